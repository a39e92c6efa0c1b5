"""The objects: ten things that a person knows at once, each drawn in several parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sightline.scenes.pen import HOLE, Pen, arc_of, closed_curve, hsv, ring_of, toned

Luck = np.random.Generator
INK = (38, 34, 40)
CREAM = (246, 238, 222)
UPRIGHT, LEANING, ANY = math.radians(14), math.radians(32), math.pi

# of a mushroom: across, up the cap, how large
SPOTS = (
    (-0.55, 0.2, 0.15),
    (-0.12, 0.62, 0.2),
    (0.1, 0.12, 0.13),
    (0.5, 0.42, 0.18),
    (-0.75, -0.02, 0.08),
    (0.8, 0.02, 0.1),
)


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Args:
        draw: with a pen, in units of the object; luck chooses its colours and proportions.
        turn: largest angle from upright, in radians.
        mirrored: whether it may look to the other side.
    """

    draw: Callable[[Pen, Luck], None]
    turn: float
    mirrored: bool = True


def _cup(pen: Pen, luck: Luck) -> None:
    china = hsv(luck.random(), luck.uniform(0.15, 0.75), luck.uniform(0.75, 1))
    dark, narrow = toned(china, -0.25), luck.uniform(0.1, 0.3)
    if luck.random() < 0.5:
        pen.ellipse((-0.12, 0.84), (0.95, 0.16), toned(china, -0.35))
        pen.ellipse((-0.12, 0.8), (0.93, 0.14), toned(china, 0.3))
    pen.line(arc_of((0.55, -0.02), (0.36, 0.4), -1.7, 1.8), 0.17, dark)
    side = arc_of((-0.12, 0.62), (0.72 - narrow, 0.2), 0, math.pi)
    body = np.concatenate([[(0.62, -0.62)], side, [(-0.86, -0.62)]])
    pen.polygon(body, china)
    with pen.clipped(body):
        band = hsv(luck.random(), 0.7, luck.uniform(0.45, 0.9))
        at, tall = luck.uniform(-0.15, 0.25), luck.uniform(0.1, 0.22)
        pen.polygon([(-1, at - tall), (1, at - tall), (1, at + tall), (-1, at + tall)], band)
        pen.polygon([(-1, -1), (-0.62, -1), (-0.45, 1), (-1, 1)], toned(china, 0.45))
    pen.ellipse((-0.12, -0.62), (0.74, 0.2), toned(china, 0.35))
    pen.ellipse((-0.12, -0.6), (0.63, 0.145), hsv(0.07, 0.7, luck.uniform(0.22, 0.42)))


def _fish(pen: Pen, luck: Luck) -> None:
    scale = hsv(luck.random(), luck.uniform(0.5, 0.95), luck.uniform(0.7, 1))
    fin, fat = toned(scale, -0.3), luck.uniform(0.42, 0.6)
    pen.smooth([(0.5, 0), (0.98, -0.55), (0.82, 0), (0.98, 0.55)], fin)
    pen.smooth([(-0.35, -fat * 0.75), (0.05, -fat - 0.3), (0.45, -fat * 0.45)], fin)
    pen.smooth([(-0.1, fat * 0.8), (0.15, fat + 0.26), (0.4, fat * 0.5)], fin)
    body = closed_curve(
        [(-0.97, 0.05), (-0.6, -fat * 0.75), (-0.1, -fat), (0.4, -fat * 0.55), (0.72, -0.08),
         (0.72, 0.08), (0.4, fat * 0.55), (-0.1, fat), (-0.62, fat * 0.75)]
    )  # fmt: skip
    pen.polygon(body, scale)
    with pen.clipped(body):
        pen.ellipse((-0.1, fat * 1.05), (0.95, fat * 0.75), toned(scale, 0.45))
        stripe = hsv(luck.random(), 0.3, 0.98) if luck.random() < 0.5 else toned(scale, -0.45)
        for x in np.linspace(-0.28, 0.45, int(luck.integers(2, 4))):
            pen.line(arc_of((x - 0.2, 0), (0.22, fat), -1.3, 1.3), 0.11, stripe)
    pen.smooth([(-0.2, 0.02), (0.14, 0.22), (0.02, 0.05), (0.14, -0.06)], fin)
    pen.line(arc_of((-0.99, 0.1), (0.17, 0.1), 0.2, 1.5), 0.045, INK)
    pen.ellipse((-0.6, -0.1), (0.15, 0.15), CREAM)
    pen.ellipse((-0.63, -0.1), (0.085, 0.085), INK)


def _leaf(pen: Pen, luck: Luck) -> None:
    green = hsv(luck.uniform(0.02, 0.38), luck.uniform(0.6, 0.9), luck.uniform(0.5, 0.85))
    wide, vein = luck.uniform(0.45, 0.62), toned(green, 0.4)
    pen.line([(0, 0.6), (0.03, 0.8), (0.1, 0.98)], 0.09, toned(green, -0.4))
    right = [(wide * math.sin(math.pi * t**0.8), 0.7 - 1.68 * t) for t in np.linspace(0, 1, 15)]
    outline = [*right, *[(-x, y) for x, y in right[-2:0:-1]]]
    pen.polygon(outline, green)
    pen.polygon([(0, 0.7), *right[1:-1], (0, -0.98)], toned(green, -0.16))
    with pen.clipped(outline):
        for y in np.linspace(0.42, -0.6, 5):
            pen.line([(0, y), (0.6, y - 0.36)], 0.035, vein)
            pen.line([(0, y), (-0.6, y - 0.36)], 0.035, vein)
    pen.line([(0, 0.72), (0, -0.9)], 0.055, vein)


def _star(pen: Pen, luck: Luck) -> None:
    gold = hsv(luck.uniform(0.08, 0.17) if luck.random() < 0.7 else luck.random(), 0.8, 0.98)
    inner = luck.uniform(0.4, 0.52)
    turns = [math.pi * (i / 5 - 0.5) for i in range(10)]
    tips = [
        ((0.97, inner)[i % 2] * math.cos(a), (0.97, inner)[i % 2] * math.sin(a))
        for i, a in enumerate(turns)
    ]
    pen.line([*tips, tips[0]], 0.1, toned(gold, -0.3))
    for i in range(10):
        shade = toned(gold, 0.25) if i % 2 else toned(gold, -0.12)
        pen.polygon([(0, 0), tips[i], tips[(i + 1) % 10]], shade)


def _house(pen: Pen, luck: Luck) -> None:
    wall = hsv(luck.random(), luck.uniform(0.1, 0.5), luck.uniform(0.75, 1))
    roof = hsv(
        luck.choice([0.02, 0.05, 0.6, 0.35]), luck.uniform(0.5, 0.8), luck.uniform(0.4, 0.75)
    )
    eaves, glass = luck.uniform(-0.25, 0.0), hsv(0.14 if luck.random() < 0.4 else 0.55, 0.45, 0.95)
    wood = hsv(luck.random(), 0.6, 0.5)
    pen.polygon([(0.38, -0.8), (0.62, -0.8), (0.62, -0.2), (0.38, -0.2)], toned(roof, -0.3))
    pen.polygon([(-0.76, eaves), (0.76, eaves), (0.76, 0.95), (-0.76, 0.95)], wall)
    pen.polygon([(-0.76, 0.83), (0.76, 0.83), (0.76, 0.95), (-0.76, 0.95)], toned(wall, -0.35))
    pen.polygon([(0, -0.98), (1, eaves + 0.06), (-1, eaves + 0.06)], roof)
    pen.line([(-0.97, eaves + 0.04), (0, -0.94), (0.97, eaves + 0.04)], 0.08, toned(roof, -0.3))
    pen.polygon([(-0.58, 0.3), (-0.16, 0.3), (-0.16, 0.95), (-0.58, 0.95)], wood)
    pen.ellipse((-0.24, 0.65), (0.04, 0.04), (245, 210, 90))
    pen.polygon([(0.12, 0.22), (0.6, 0.22), (0.6, 0.62), (0.12, 0.62)], CREAM)
    pen.polygon([(0.17, 0.27), (0.55, 0.27), (0.55, 0.57), (0.17, 0.57)], glass)
    pen.line([(0.36, 0.27), (0.36, 0.57)], 0.045, CREAM)
    pen.line([(0.17, 0.42), (0.55, 0.42)], 0.045, CREAM)
    pen.ellipse((0, eaves - 0.24), (0.14, 0.14), CREAM)
    pen.ellipse((0, eaves - 0.24), (0.095, 0.095), glass)


def _balloon(pen: Pen, luck: Luck) -> None:
    skin = hsv(luck.random(), luck.uniform(0.65, 0.95), luck.uniform(0.75, 1))
    long, sway = luck.uniform(0.4, 0.5), luck.uniform(0.05, 0.14)
    steps = np.linspace(0, 1, 12)
    pen.line(np.stack([sway * np.sin(7 * steps), 0.5 + long * steps], 1), 0.05, toned(skin, -0.5))
    pen.polygon([(0, 0.4), (0.13, 0.58), (-0.13, 0.58)], toned(skin, -0.25))
    body = closed_curve(
        [(0, -0.97), (0.5, -0.79), (0.68, -0.32), (0.44, 0.2), (0, 0.48), (-0.44, 0.2),
         (-0.68, -0.32), (-0.5, -0.79)]
    )  # fmt: skip
    pen.polygon(body, skin)
    with pen.clipped(body):
        pen.ellipse((0.3, 0.0), (0.75, 0.85), toned(skin, -0.12))
        pen.ellipse((-0.08, -0.33), (0.6, 0.72), skin)
        if luck.random() < 0.35:
            pen.line(arc_of((0, -0.75), (1, 0.55), 0, math.pi), 0.16, toned(skin, 0.6))
    pen.ellipse((-0.3, -0.55), (0.11, 0.2), toned(skin, 0.65), 0.5)


def _boat(pen: Pen, luck: Luck) -> None:
    hull = hsv(luck.random(), luck.uniform(0.5, 0.9), luck.uniform(0.4, 0.85))
    sail = hsv(luck.random(), luck.uniform(0, 0.3), luck.uniform(0.9, 1))
    mast = luck.uniform(-0.15, 0.1)
    pen.line([(mast, 0.45), (mast, -0.92)], 0.08, (112, 78, 52))
    main = [(mast + 0.07, -0.82), (mast + 0.42, -0.25), (0.78, 0.26), (mast + 0.07, 0.3)]
    pen.polygon(main, sail)
    with pen.clipped(main):
        pen.polygon([(-1, -0.16), (1, -0.16), (1, 0.04), (-1, 0.04)], hsv(luck.random(), 0.7, 0.85))
    pen.polygon([(mast - 0.08, -0.72), (mast - 0.08, 0.28), (-0.74, 0.28)], toned(sail, -0.14))
    pen.polygon([(mast, -0.97), (mast + 0.3, -0.89), (mast, -0.8)], hsv(luck.random(), 0.9, 0.9))
    keel = [(-0.97, 0.36), (0.97, 0.36), (0.78, 0.66), (0.5, 0.9), (-0.55, 0.9), (-0.82, 0.66)]
    pen.polygon(keel, hull)
    with pen.clipped(keel):
        pen.polygon([(-1, 0.36), (1, 0.36), (1, 0.5), (-1, 0.5)], toned(hull, 0.55))
        pen.polygon([(-1, 0.78), (1, 0.78), (1, 1), (-1, 1)], toned(hull, -0.35))


def _mushroom(pen: Pen, luck: Luck) -> None:
    cap = hsv(luck.uniform(-0.05, 0.1), luck.uniform(0.55, 0.95), luck.uniform(0.55, 0.95))
    stem, tall = toned(CREAM, -luck.uniform(0, 0.15)), luck.uniform(0.9, 1.15)
    edge = 0.98 - tall
    pen.smooth(
        [(-0.26, edge), (0.26, edge), (0.25, 0.5), (0.37, 0.93), (0, 0.98), (-0.37, 0.93),
         (-0.25, 0.5)], stem
    )  # fmt: skip
    pen.ellipse((0, edge + 0.3), (0.36, 0.1), toned(stem, -0.2))
    dome = np.concatenate(
        [arc_of((0, edge), (0.97, edge + 0.97), math.pi, 2 * math.pi),
         arc_of((0, edge), (0.97, 0.16), 0, math.pi)]
    )  # fmt: skip
    pen.ellipse((0, edge + 0.02), (0.9, 0.22), toned(stem, -0.3))
    pen.polygon(dome, cap)
    with pen.clipped(dome):
        for x, y, r in SPOTS:
            jitter = luck.uniform(-0.06, 0.06, 2)
            at = (x + jitter[0], edge - y * (edge + 0.97) + jitter[1])
            pen.ellipse(at, (r, 0.8 * r), CREAM)


def _key(pen: Pen, luck: Luck) -> None:
    metal = hsv(luck.choice([0.12, 0.09, 0.6]), luck.uniform(0.1, 0.7), luck.uniform(0.6, 0.95))
    dark, bow = toned(metal, -0.3), luck.uniform(0.34, 0.42)
    centre = (0.0, -0.97 + bow)
    pen.line([(0, centre[1] + bow * 0.8), (0, 0.9)], 0.2, metal)
    pen.line([(0.06, centre[1] + bow), (0.06, 0.9)], 0.06, dark)
    for y, long in ((0.82, luck.uniform(0.34, 0.5)), (0.52, luck.uniform(0.26, 0.4))):
        pen.polygon([(0, y - 0.09), (long, y - 0.09), (long, y + 0.1), (0, y + 0.1)], metal)
        pen.polygon([(0.1, y + 0.03), (long, y + 0.03), (long, y + 0.1), (0.1, y + 0.1)], dark)
    pen.line(
        [(-0.14, centre[1] + bow + 0.1), (0.14, centre[1] + bow + 0.1)], 0.12, toned(metal, 0.3)
    )
    pen.ellipse(centre, (bow, bow), dark)
    pen.ellipse((0, centre[1] - 0.02), (bow - 0.03, bow - 0.03), metal)
    pen.polygon(ring_of(centre, (bow * 0.5, bow * 0.5)), HOLE)


def _ladybird(pen: Pen, luck: Luck) -> None:
    red = hsv(luck.uniform(-0.03, 0.13), luck.uniform(0.8, 1), luck.uniform(0.7, 1))
    for side in (-1, 1):
        for y, out in ((-0.25, -0.42), (0.15, 0.18), (0.5, 0.78)):
            pen.line([(side * 0.5, y), (side * 0.95, out)], 0.09, INK)
        pen.line([(side * 0.14, -0.7), (side * 0.34, -0.97)], 0.06, INK)
        pen.ellipse((side * 0.35, -0.95), (0.06, 0.06), INK)
    pen.ellipse((0, -0.56), (0.42, 0.3), INK)
    body = ring_of((0, 0.15), (0.76, 0.8))
    pen.polygon(body, red)
    with pen.clipped(body):
        pen.line([(0, -0.7), (0, 1)], 0.06, INK)
        pen.ellipse((0, -0.62), (0.5, 0.24), INK)
        size = luck.uniform(0.12, 0.18)
        for x, y in ((0.34, -0.16), (0.44, 0.28), (0.22, 0.62)):
            for side in (-1, 1):
                pen.ellipse((side * x, y), (size, size), INK)
        pen.ellipse((-0.42, -0.15), (0.07, 0.16), toned(red, 0.6), 0.7)
    for side in (-1, 1):
        pen.ellipse((side * 0.22, -0.6), (0.1, 0.1), CREAM)


KINDS: dict[str, Kind] = {
    "cup": Kind(_cup, UPRIGHT),
    "fish": Kind(_fish, LEANING),
    "leaf": Kind(_leaf, ANY),
    "star": Kind(_star, ANY),
    "house": Kind(_house, UPRIGHT),
    "balloon": Kind(_balloon, LEANING),
    "boat": Kind(_boat, UPRIGHT),
    "mushroom": Kind(_mushroom, UPRIGHT),
    "key": Kind(_key, ANY),
    "ladybird": Kind(_ladybird, ANY),
}
