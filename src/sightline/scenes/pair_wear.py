"""Shoes and bags in parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.scenes.pair_decoration import apart, contrast, metal, paint
from sightline.scenes.pair_shapes import (
    Luck,
    Part,
    Place,
    Points,
    arc,
    box,
    curve,
    disc,
    rounded,
    tube,
)
from sightline.scenes.pen import Colour, hsv, toned

FLOOR = 0.5


@dataclass(frozen=True, eq=False)
class _Upper:
    """Of a shoe, its toe to the right: x of the heel, of the tongue and of the toe; its lines."""

    rear: float
    front: float
    top: float
    length: float
    toe: float
    lean: float
    back: Points
    nose: Points

    def outline(self) -> Points:
        return np.concatenate([self.back, self.nose])


def shoe(luck: Luck) -> list[Part]:
    """A shoe or a boot from the side: sole, heel; toe cap, laces, stripes, patch, collar, loop."""
    upper, colour = _upper(luck), paint(luck)
    if luck.random() < 0.5:
        colour = hsv(luck.uniform(0.03, 0.1), luck.uniform(0.4, 0.8), luck.uniform(0.3, 0.75))
    rubber = hsv(luck.random(), 0.08, luck.choice([0.25, 0.95]))
    parts = []
    if luck.random() < 0.35:
        x, y = upper.rear + upper.lean, upper.top
        loop = [(x + 0.1, y + 0.2), (x - 0.16, y + 0.12), (x - 0.1, y - 0.1), (x + 0.1, y + 0.02)]
        parts.append(Part("loop", (tube(curve(loop), 0.08),), rubber))
    parts += _sole(luck, upper)
    parts.insert(-1, Part("upper", (upper.outline(),), colour))
    other = apart(luck, colour)
    if luck.random() < 0.5:
        parts.append(_toe_cap(luck, upper, rubber))
    if luck.random() < 0.6:
        parts.append(_collar(luck, upper, other))
    return [*parts, *_laces(luck, upper, contrast(colour)), *_side(luck, upper, other)]


def _upper(luck: Luck) -> _Upper:
    shaft, length, toe = luck.uniform(0.2, 1.3), luck.uniform(0.85, 1.1), luck.uniform(0.26, 0.42)
    instep, lean, rear = luck.uniform(0.02, 0.2), luck.uniform(-0.08, 0.1), -0.8
    front = rear + luck.uniform(0.46, 0.62) + lean
    back = curve([(rear + lean, -shaft), (rear + 0.03, 0.12 - 0.4 * shaft), (rear, FLOOR)])
    nose = curve(
        [(length, FLOOR), (length, FLOOR - 0.6 * toe), (0.72 * length, FLOOR - toe),
         (0.28, 0.2 - instep), (front - 0.4 * lean + 0.07, -0.06 - 0.2 * shaft), (front, -shaft)]
    )  # fmt: skip
    return _Upper(rear, front, -shaft, length, toe, lean, back, nose)


def _sole(luck: Luck, upper: _Upper) -> list[Part]:
    """The heel, if there is one, and the sole in front of it."""
    colour = hsv(luck.uniform(0.05, 0.1), luck.uniform(0.05, 0.5), luck.choice([0.22, 0.85]))
    heel, y = luck.uniform(-0.1, 0.3), FLOOR + luck.uniform(0.1, 0.17)
    left, right = upper.rear - 0.04, upper.length + 0.04
    flat = [(left, FLOOR - 0.06), (right, FLOOR - 0.06), (right - 0.02, y), (left + 0.02, y)]
    sole = Part("sole", (rounded(flat, 0.06),), colour)
    if heel < 0.08:
        return [sole]
    block = box(upper.rear, y - 0.06, upper.rear + luck.uniform(0.42, 0.6), y + heel, 0.04)
    return [Part("heel", (block,), toned(colour, -0.3)), sole]


def _toe_cap(luck: Luck, upper: _Upper, colour: Colour) -> Part:
    x, y = upper.nose.T
    start, low = upper.length - luck.uniform(0.3, 0.45), FLOOR - 0.05
    tip = upper.nose[(x > start + 0.08) & (y < low)]
    edge = curve(np.array([tip[-1], (start - 0.06, FLOOR - 0.4 * upper.toe), (start, low)]))
    outline = np.concatenate([edge, [(upper.length, low)], tip])
    return Part("toe cap", (outline,), colour, lines=(edge,), printed=True)


def _collar(luck: Luck, upper: _Upper, colour: Colour) -> Part:
    tall = luck.uniform(0.1, 0.2)
    left = upper.back[upper.back[:, 1] < upper.top + tall]
    right = upper.nose[upper.nose[:, 1] < upper.top + tall]
    return Part(
        "collar", (np.concatenate([left[::-1], right[::-1]]),), colour,
        lines=(np.array([left[-1], right[0]]),), detail=True, printed=True,
    )  # fmt: skip


def _laces(luck: Luck, upper: _Upper, colour: Colour) -> list[Part]:
    """Short bars inwards from the instep."""
    count, long = int(luck.choice([0, 3, 4, 5])), luck.uniform(0.2, 0.32)
    if not count:
        return []
    x, y = upper.nose.T
    instep = upper.nose[(x < 0.5 * upper.length) & (y > upper.top + 0.22)]
    along = np.gradient(instep, axis=0)
    inwards = np.stack([along[:, 1], -along[:, 0]], 1)
    inwards /= np.sqrt((inwards**2).sum(1, keepdims=True))
    inwards = inwards * 0.6 + (-0.5, 0.25)
    rows = np.linspace(0.06, 0.94, count) * (len(instep) - 1)
    ways = tuple(instep[i] + inwards[i] * np.array([[0.05], [long]]) for i in rows.astype(int))
    bars = tuple(tube(way, 0.07) for way in ways)
    return [Part("laces", bars, colour, "flat", ways, detail=True, printed=True)]


def _side(luck: Luck, upper: _Upper, colour: Colour) -> list[Part]:
    kind, rear = str(luck.choice(["plain", "stripes", "patch", "seam"])), upper.rear
    if kind == "stripes":
        places = np.linspace(-0.36, -0.02, int(luck.integers(2, 5))).tolist()
        bars = tuple(tube([(x - 0.16, 0.4), (x, 0.1)], 0.075) for x in places)
        return [Part("stripes", bars, colour, "flat", detail=True, printed=True)]
    if kind == "patch":
        radius, high = luck.uniform(0.11, 0.15), luck.uniform(0.05, 0.15)
        spot = disc((rear + 0.3, high), (radius, radius))
        return [Part("patch", (spot,), colour, "flat", detail=True, printed=True)]
    if kind == "seam":
        end = rear + luck.uniform(0.45, 0.6)
        line = curve([(rear + 0.03, 0.12), (rear + 0.3, 0.16), (end, FLOOR - 0.06)])
        return [Part("seam", (tube(line, 0.07),), colour, "flat", (line,), True, True)]
    return []


def bag(luck: Luck) -> list[Part]:
    """A handbag: body, one strap or two handles; flap, clasp, pocket, trim, tassel."""
    wide, tall, taper = luck.uniform(0.65, 1.0), luck.uniform(0.8, 1.2), luck.uniform(0.72, 1.08)
    bend, leather = luck.uniform(0.08, 0.3), paint(luck)
    brass, other = metal(luck), apart(luck, leather)
    upper = wide * taper
    body = rounded([(-upper, 0), (upper, 0), (wide, tall), (-wide, tall)], bend)
    parts = _straps(luck, upper, toned(leather, -0.3))
    parts.append(Part("body", (body,), leather))
    if luck.random() < 0.4:
        parts.append(_bottom(luck, (wide, upper, tall), body, other))
    elif luck.random() < 0.5:
        half, high = wide * luck.uniform(0.4, 0.62), tall * luck.uniform(0.25, 0.36)
        pocket = box(-half, 0.92 * tall - high, half, 0.92 * tall, luck.uniform(0.02, 0.14))
        parts.append(Part("pocket", (pocket,), toned(leather, -0.18), detail=True, printed=True))
    if luck.random() < 0.6:
        parts += _flap(luck, (upper, tall, bend), toned(leather, luck.choice([-0.18, 0.2])), brass)
    elif luck.random() < 0.6:
        knobs = tuple(disc((x, -0.03), (0.085, 0.085)) for x in (-0.07, 0.07))
        parts.append(Part("clasp", knobs, brass))
    if luck.random() < 0.35:
        parts.append(_tassel(luck, upper, other))
    return parts


def _straps(luck: Luck, upper: float, colour: Colour) -> list[Part]:
    thick, half = luck.uniform(0.08, 0.13), upper * luck.uniform(0.4, 0.85)
    high = luck.uniform(0.45, 1.0)
    loops = {"strap": (half, high)}
    if luck.random() < 0.4:
        loops = {"back handle": (half * 0.92, high * 1.2), "front handle": (half, high)}
    return [
        Part(name, (tube(arc((0, 0.12), radii, math.pi, 2 * math.pi, steps=24), thick),), colour)
        for name, radii in loops.items()
    ]


def _bottom(luck: Luck, measures: tuple[float, float, float], body: Points, colour: Colour) -> Part:
    """The lower part in another colour."""
    wide, upper, tall = measures
    y = tall * luck.uniform(0.62, 0.78)
    half = upper + (wide - upper) * y / tall
    line = np.array([[half, y], [-half, y]])
    low = body[body[:, 1] > y]
    return Part("bottom", (np.concatenate([line[::-1], low]),), colour, lines=(line,), printed=True)


def _flap(
    luck: Luck, measures: tuple[float, float, float], colour: Colour, brass: Colour
) -> list[Part]:
    upper, tall, bend = measures
    long, narrow = tall * luck.uniform(0.32, 0.5), luck.uniform(0.45, 0.95)
    kind = str(luck.choice(["straight", "pointed", "round"]))
    tips: dict[str, Sequence[Place] | Points] = {
        "straight": [(upper * narrow, long), (-upper * narrow, long)],
        "pointed": [(upper * narrow, 0.5 * long), (0, 1.1 * long), (-upper * narrow, 0.5 * long)],
        "round": arc((0, 0.3 * long), (upper * 0.96, 0.75 * long), 0, math.pi),
    }
    corners = np.array([(-upper, 0.0), (upper, 0.0), *list(tips[kind])])
    outline = rounded(corners, 0.7 * bend if kind == "straight" else 0.05)
    flap = Part("flap", (outline + np.array([0.0, 0.02]),), colour)
    if luck.random() < 0.25:
        return [flap]
    size, low = luck.uniform(0.09, 0.14), 0.95 * long
    square = box(-size, low - size, size, low + size, 0.03)
    buckle = square if luck.random() < 0.5 else disc((0, low), (size, size))
    return [flap, Part("buckle", (buckle,), brass, detail=True)]


def _tassel(luck: Luck, upper: float, colour: Colour) -> Part:
    x, long = upper * luck.uniform(0.45, 0.65) * luck.choice([-1, 1]), luck.uniform(0.25, 0.42)
    cone = np.array(
        [[x - 0.04, 0.1], [x + 0.04, 0.1], [x + 0.11, 0.14 + long], [x - 0.11, 0.14 + long]]
    )
    return Part("tassel", (cone,), colour, "round", detail=True)
