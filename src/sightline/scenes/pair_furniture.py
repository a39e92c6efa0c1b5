"""Lamps and chairs in parts."""

from __future__ import annotations

import math

import numpy as np

from sightline.scenes.pair_decoration import apart, band, dots, metal, paint, wood
from sightline.scenes.pair_shapes import (
    Lathe,
    Luck,
    Part,
    arc,
    box,
    curve,
    disc,
    rounded,
    tube,
    turned,
)
from sightline.scenes.pen import Colour, toned


def lamp(luck: Luck) -> list[Part]:
    """A table lamp: shade, body on a foot or three legs; hem, bands, pleats, dots; knob, chain."""
    tilt, brass, colour = luck.uniform(0.1, 0.2), metal(luck), paint(luck)
    upper, lower = luck.uniform(0.22, 0.55), luck.uniform(0.62, 0.95)
    tall, thick = luck.uniform(0.6, 0.95), luck.uniform(0.06, 0.09)
    neck = tilt * lower + luck.uniform(0.05, 0.16)
    middle = (upper + lower) / 2 + luck.uniform(-0.12, 0.1)
    shade = turned([(upper, -tall), (middle, -tall / 2), (lower, 0)], tilt)
    parts = _lamp_legs(luck, neck, brass) if luck.random() < 0.3 else _lamp_body(luck, neck, brass)
    parts.append(Part("neck", (box(-thick, -0.1, thick, neck + 0.06),), brass, "round"))
    if luck.random() < 0.5:
        parts.append(_chain(luck, lower, tilt, brass))
    parts.append(Part("shade", (shade.outline(),), colour, "round"))
    parts.append(
        Part("opening", (shade.rim(-tall, 0.86),), toned(colour, -0.35), "flat",
             (shade.front(-tall),), detail=True, printed=True)
    )  # fmt: skip
    parts += _shade_pattern(luck, shade, tall, apart(luck, colour))
    if luck.random() < 0.45:
        radius = luck.uniform(0.07, 0.11)
        parts.append(Part("knob", (disc((0, -tall - radius - 0.03), (radius, radius)),), brass))
    return parts


def _chain(luck: Luck, lower: float, tilt: float, brass: Colour) -> Part:
    x = lower * luck.uniform(0.4, 0.7) * luck.choice([-1, 1])
    end = 0.6 * tilt * lower + luck.uniform(0.25, 0.5)
    ball = disc((x, end), (0.075, 0.075))
    line = np.array([[x, -0.1], [x, end - 0.06]])
    return Part("chain", (box(x - 0.032, -0.1, x + 0.032, end), ball), brass, lines=(line, ball))


def _lamp_legs(luck: Luck, top: float, brass: Colour) -> list[Part]:
    colour, end = wood(luck), top + luck.uniform(0.7, 1.1)
    spread, thick = luck.uniform(0.45, 0.75), luck.uniform(0.09, 0.13)
    feet = {"left leg": (-spread, end), "right leg": (spread, end)}
    if luck.random() < 0.6:
        feet = {"middle leg": (luck.uniform(-0.15, 0.15), end + 0.1), **feet}
    legs = [
        Part(name, (tube([(0.3 * x, top), (x, y)], (thick, 0.7 * thick)),), colour, "round")
        for name, (x, y) in feet.items()
    ]
    return [*legs, Part("collar", (box(-0.3, top - 0.03, 0.3, top + 0.13, 0.05),), brass)]


def _lamp_body(luck: Luck, top: float, brass: Colour) -> list[Part]:
    tilt, tall, wide = luck.uniform(0.1, 0.2), luck.uniform(0.7, 1.1), luck.uniform(0.3, 0.52)
    foot, thick, end = luck.uniform(0.42, 0.62), luck.uniform(0.07, 0.14), top + tall
    colour = wood(luck) if luck.random() < 0.4 else paint(luck)
    kind = str(luck.choice(["jar", "gourd", "column"]))
    profiles = {
        "jar": [(0.12, 0), (wide, luck.uniform(0.25, 0.6)), (0.7 * wide, 0.85), (0.6 * wide, 1)],
        "gourd": [(0.1, 0), (0.6 * wide, 0.22), (0.35 * wide, 0.45), (wide, 0.75), (0.5 * wide, 1)],
        "column": [(0.11, 0.0), (0.12, 0.4), (0.16, 0.8), (0.2, 1.0)],
    }
    body = turned([(x, top + y * tall) for x, y in profiles[kind]], tilt)
    plate = turned([(foot, end - 0.02), (foot, end + thick)], tilt, smooth=False)
    parts = [
        Part("foot", (plate.outline(),), brass, "round"),
        Part("body", (body.outline(),), colour, "round"),
    ]
    if luck.random() < 0.5:
        y, high = top + tall * luck.uniform(0.45, 0.7), luck.uniform(0.08, 0.14)
        parts.append(band("stripe", body, y, high, apart(luck, colour)))
    return parts


def _shade_pattern(luck: Luck, shade: Lathe, tall: float, colour: Colour) -> list[Part]:
    kind = str(luck.choice(["plain", "hem", "bands", "pleats", "dots"]))
    wide = luck.uniform(0.08, 0.13)
    hem = band("hem", shade, -wide, wide, colour)
    if kind == "hem":
        return [hem]
    if kind == "bands":
        return [band("upper band", shade, luck.uniform(0.12, 0.2) - tall, wide, colour), hem]
    if kind == "dots":
        heights = -tall * np.linspace(0.7, 0.2, int(luck.integers(1, 4)))
        return [dots(shade, heights.tolist(), int(luck.integers(3, 5)), 0.06, colour)]
    if kind == "pleats":
        places = np.linspace(-0.72, 0.72, int(luck.integers(3, 7))).tolist()
        folds = tuple(np.array([shade.at(x, 0.1 - tall), shade.at(x, -0.03)]) for x in places)
        bars = tuple(tube(fold, 0.055) for fold in folds)
        return [Part("pleats", bars, colour, "flat", folds, detail=True, printed=True)]
    return []


def chair(luck: Luck) -> list[Part]:
    """A chair from the front, a little above: slats, rungs, board or hoop; legs or a stem; arms."""
    front, deep = luck.uniform(0.5, 0.72), luck.uniform(0.3, 0.5)
    thick, board = luck.uniform(0.1, 0.15), luck.uniform(0.11, 0.17)
    back = front * luck.uniform(0.72, 0.95)
    colour = wood(luck) if luck.random() < 0.6 else paint(luck)
    legs = _stem if luck.random() < 0.2 else _chair_legs
    parts = [
        *legs(luck, (front, back, deep), thick, colour),
        *_chair_back(luck, back, -deep, thick, colour),
        *_seat(luck, (front, back, deep), board, colour),
    ]
    if luck.random() < 0.35:
        parts += _arms(luck, (front, back, deep), thick, colour)
    return parts


def _seat(luck: Luck, plan: tuple[float, float, float], board: float, colour: Colour) -> list[Part]:
    front, back, deep = plan
    top = np.array([[-back, -deep], [back, -deep], [front, 0], [-front, 0]])
    whole = np.array([*top[:3], [front, board], [-front, board], top[3]])
    edge = box(-front, 0, front, board)
    line = (np.array([[-front, 0.0], [front, 0.0]]),)
    bend = luck.uniform(0.02, 0.06)
    parts = [
        Part("seat", (rounded(whole, bend),), toned(colour, 0.14)),
        Part(
            "front edge", (rounded(edge, bend),), toned(colour, -0.22), "flat", line, printed=True
        ),
    ]
    if luck.random() < 0.4:
        pad = rounded(top * (0.84, 0.78) - (0, 0.05), 0.16)
        parts.append(Part("cushion", (pad,), paint(luck), printed=True))
    return parts


def _stem(luck: Luck, plan: tuple[float, float, float], thick: float, colour: Colour) -> list[Part]:
    radius, long = plan[0] * luck.uniform(0.6, 0.9), luck.uniform(0.65, 1.0)
    foot = turned([(radius, long), (radius, long + 0.1)], 0.16, smooth=False)
    stem, steel = box(-0.7 * thick, 0.0, 0.7 * thick, long + 0.05), metal(luck)
    return [
        Part("foot", (foot.outline(),), steel, "round"),
        Part("stem", (stem,), toned(steel, -0.15), "round"),
    ]


def _chair_legs(
    luck: Luck, plan: tuple[float, float, float], thick: float, colour: Colour
) -> list[Part]:
    front, back, deep = plan
    long, spread, thin = luck.uniform(0.65, 1.0), luck.uniform(0, 0.14), luck.uniform(0.6, 1.0)
    dark, rear = toned(colour, -0.28), long - 0.55 * deep

    def leg(name: str, x: float, end: float, shade: Colour) -> Part:
        path = [(x, 0.0), (x + math.copysign(spread, x), end)]
        return Part(name, (tube(path, (thick, thick * thin)),), shade, "round")

    parts = [
        leg("left back leg", -back * 0.84, rear, dark),
        leg("right back leg", back * 0.84, rear, dark),
    ]
    if luck.random() < 0.5:
        y = rear * luck.uniform(0.5, 0.8)
        parts.append(Part("stretcher", (box(-front * 0.9, y, front * 0.9, y + 0.09),), dark))
    x = front - thick / 2
    return [
        *parts,
        leg("left front leg", -x, long, colour),
        leg("right front leg", x, long, colour),
    ]


def _chair_back(luck: Luck, back: float, seat: float, thick: float, colour: Colour) -> list[Part]:
    kind, rise = str(luck.choice(["slats", "rungs", "board", "hoop"])), luck.uniform(0.85, 1.25)
    x, top, low = back - thick / 2, seat - rise, seat + 0.1
    wider = x + luck.uniform(-0.08, 0.12)
    count, wide, dark = int(luck.integers(2, 6)), luck.uniform(0.08, 0.12), toned(colour, -0.12)
    parts = []
    if kind in ("slats", "hoop"):
        high = top + (0.35 * x if kind == "hoop" else 0.1)
        places = np.linspace(-0.62, 0.62, count).tolist()
        bars = tuple(tube([(p * x, low), (p * wider, high)], wide) for p in places)
        parts.append(Part("slats", bars, dark))
    if kind == "rungs":
        heights = (top + rise * np.linspace(0.45, 0.85, min(count, 3))).tolist()
        bars = tuple(box(-x, y - wide / 2, x, y + wide / 2) for y in heights)
        parts.append(Part("rungs", bars, dark))
    if kind == "hoop":
        bow = arc((0, top + x), (wider, x), math.pi, 2 * math.pi)
        path = np.concatenate([[(-x, low)], bow, [(x, low)]])
        return [*parts, Part("hoop", (tube(path, 0.9 * thick),), colour)]
    for side, sign in (("left", -1), ("right", 1)):
        post = tube([(sign * x, low), (sign * wider, top)], thick)
        parts.append(Part(f"{side} post", (post,), colour, "round"))
    edge, crest = wider + thick / 2, luck.uniform(0.0, 0.14)
    tall = rise * (luck.uniform(0.5, 0.75) if kind == "board" else luck.uniform(0.15, 0.26))
    bow = arc((0, top), (edge, crest), math.pi, 2 * math.pi, steps=9)
    rail = np.concatenate([bow, [(edge, top + tall), (-edge, top + tall)]])
    return [*parts, Part("rail", (rail,), colour)]


def _arms(luck: Luck, plan: tuple[float, float, float], thick: float, colour: Colour) -> list[Part]:
    front, back, deep = plan
    high, out = luck.uniform(0.3, 0.5), luck.uniform(0.0, 0.1)
    parts = []
    for side, sign in (("left", -1), ("right", 1)):
        path = curve(
            [(sign * (back - thick / 2), -deep - high), (sign * (front + out), 0.02 - high),
             (sign * (front - thick / 4 + out / 2), 0.06)]
        )  # fmt: skip
        parts.append(Part(f"{side} arm", (tube(path, 0.8 * thick),), toned(colour, 0.05)))
    return parts
