"""Bottles and teapots in parts."""

from __future__ import annotations

import math

import numpy as np

from sightline.scenes.pair_decoration import apart, band, contrast, dots, paint, wood
from sightline.scenes.pair_shapes import (
    Lathe,
    Luck,
    Part,
    Points,
    arc,
    box,
    curve,
    disc,
    tube,
    turned,
)
from sightline.scenes.pen import Colour, toned

BANDS = ("upper band", "second band", "third band", "lower band")


def bottle(luck: Luck) -> list[Part]:
    """A bottle: belly and neck; a cork, a cap or a glass stopper; label, bands, dots; a handle."""
    tilt, wide, neck = luck.uniform(0.1, 0.2), luck.uniform(0.36, 0.62), luck.uniform(0.12, 0.2)
    shoulder, slope, foot = (
        luck.uniform(-0.5, -0.1),
        luck.uniform(0.12, 0.34),
        luck.uniform(0.72, 1),
    )
    lip, glass = shoulder - luck.uniform(0.25, 0.55), paint(luck)
    belly = shoulder + slope + 0.1
    body = turned(
        [(neck, lip), (neck, shoulder - 0.16), (0.8 * wide, shoulder + 0.45 * slope),
         (wide, belly), (wide * (1 + foot) / 2, 0.55), (wide * foot, 1.0)], tilt
    )  # fmt: skip
    parts = []
    if luck.random() < 0.3:
        sign, out = int(luck.choice([-1, 1])), wide + luck.uniform(0.25, 0.45)
        loop = curve(
            [(0.6 * sign * neck, lip + 0.12), (0.75 * sign * out, lip + 0.16),
             (sign * out, shoulder + 0.2), (0.8 * sign * wide, belly + 0.05)]
        )  # fmt: skip
        parts.append(Part("handle", (tube(loop, luck.uniform(0.09, 0.13)),), toned(glass, -0.2)))
    parts += [*_stopper(luck, neck, lip, tilt), Part("body", (body.outline(),), glass, "round")]
    if luck.random() < 0.6:
        ring = [(neck + 0.05, lip), (neck + 0.05, lip + luck.uniform(0.07, 0.12))]
        collar = turned(ring, tilt, smooth=False).outline()
        parts.append(Part("lip", (collar,), toned(glass, -0.25), "round"))
    return [*parts, *_label(luck, body, belly + 0.05, glass)]


def _stopper(luck: Luck, neck: float, lip: float, tilt: float) -> list[Part]:
    kind, tall = str(luck.choice(["cork", "cap", "glass"])), luck.uniform(0.14, 0.28)
    if kind == "glass":
        radii = (tall * 0.7, tall * luck.uniform(0.6, 0.9))
        return [Part("stopper", (disc((0, lip + 0.02 - radii[1]), radii),), paint(luck))]
    if kind == "cork":
        profile = [(0.92 * neck, lip - tall), (0.74 * neck, lip + 0.05)]
        colour = wood(luck)
    else:
        profile = [(neck + 0.06, lip - tall), (neck + 0.06, lip + 0.06)]
        colour = paint(luck)
    return [Part("stopper", (turned(profile, tilt, smooth=False).outline(),), colour, "round")]


def _label(luck: Luck, body: Lathe, top: float, glass: Colour) -> list[Part]:
    kind, room = str(luck.choice(["sheet", "oval", "bands", "dots"])), 0.84 - top
    colour = apart(luck, glass)
    if kind == "bands":
        wide = luck.uniform(0.07, 0.12)
        heights = top + (room - wide) * np.linspace(0, 1, int(luck.integers(2, 5)))
        chosen = zip(BANDS, heights.tolist(), strict=False)
        return [band(name, body, y, wide, colour) for name, y in chosen]
    if kind == "dots":
        heights = top + room * np.linspace(0.1, 0.9, int(luck.integers(2, 4)))
        return [dots(body, heights.tolist(), int(luck.integers(2, 5)), 0.065, colour)]
    tall, share = room * luck.uniform(0.5, 0.95), luck.uniform(0.55, 0.8)
    high = top + (room - tall) * luck.random()
    middle = (0.0, high + tall / 2 + 0.9 * body.tilt * body.half(high))
    if kind == "oval":
        outline = disc(middle, (share * body.half(high), tall / 2))
        inner = disc(middle, (0.13, 0.13))
    else:
        places = np.linspace(-share, share, 9).tolist()
        upper, lower = ([body.at(x, y) for x in places] for y in (high, high + tall))
        outline = np.array([*upper, *lower[::-1]])
        inner = box(-0.2, middle[1] - 0.06, 0.2, middle[1] + 0.06)
    label = Part("label", (outline,), colour, "flat", printed=True)
    if luck.random() < 0.6:
        mark = Part("emblem", (inner,), contrast(colour), "flat", detail=True, printed=True)
        return [label, mark]
    return [label]


def teapot(luck: Luck) -> list[Part]:
    """A teapot: lid, knob and spout; the handle behind or above; a foot; bands, dots, a heart."""
    tilt, wide, tall = luck.uniform(0.12, 0.22), luck.uniform(0.62, 0.85), luck.uniform(0.75, 1.25)
    belly, mouth = luck.uniform(0.35, 0.68) * tall, luck.uniform(0.4, 0.68) * wide
    foot, china = luck.uniform(0.45, 0.75) * wide, paint(luck)
    other = apart(luck, china) if luck.random() < 0.4 else toned(china, -0.2)
    body = turned(
        [(mouth, 0), ((mouth + wide) / 2 + 0.08, 0.3 * belly), (wide, belly),
         ((wide + foot) / 2 + 0.1, (tall + belly) / 2), (foot, tall)], tilt
    )  # fmt: skip
    parts = [
        Part("spout", (_spout(luck, wide, tall, belly),), china),
        Part("handle", (_handle(luck, wide, tall, mouth),), other),
    ]
    if luck.random() < 0.55:
        ring = [(0.9 * foot, tall), (1.06 * foot, tall + luck.uniform(0.08, 0.15))]
        outline = turned(ring, tilt, smooth=False).outline()
        parts.append(Part("foot", (outline,), toned(china, -0.25), "round"))
    parts.append(Part("body", (body.outline(),), china, "round"))
    return [
        *parts,
        *_teapot_pattern(luck, body, tall, belly, china),
        *_lid(luck, mouth, tilt, other),
    ]


def _lid(luck: Luck, mouth: float, tilt: float, colour: Colour) -> list[Part]:
    high, half, radius = (
        luck.uniform(0.1, 0.34),
        mouth * luck.uniform(0.84, 0.98),
        luck.uniform(0.07, 0.13),
    )
    knob = disc((0, -high - 0.8 * radius), (radius * luck.uniform(0.8, 1.5), radius))
    dome = np.concatenate(
        [arc((0, 0), (half, high), math.pi, 2 * math.pi),
         arc((0, 0), (half, tilt * half), 0, math.pi)[1:-1]]
    )  # fmt: skip
    return [Part("knob", (knob,), colour), Part("lid", (dome,), toned(colour, 0.15), "round")]


def _spout(luck: Luck, wide: float, tall: float, belly: float) -> Points:
    out, up, bend = luck.uniform(0.38, 0.62), luck.uniform(-0.12, 0.25), luck.uniform(0, 0.2)
    path = curve(
        [(-0.7 * wide, belly + 0.12 * tall), (-wide - 0.4 * out, belly - 0.05 + bend),
         (-wide - 0.7 * out, 0.3 * tall + 0.5 * bend), (-wide - out, up - 0.05)]
    )  # fmt: skip
    return tube(path, (luck.uniform(0.32, 0.46), 0.24, luck.uniform(0.13, 0.2)))


def _handle(luck: Luck, wide: float, tall: float, mouth: float) -> Points:
    thick = luck.uniform(0.1, 0.16)
    if luck.random() < 0.3:
        radii = (mouth + 0.15, luck.uniform(0.65, 1.0))
        return tube(arc((0, 0.15), radii, math.pi, 2 * math.pi, steps=24), thick)
    out, low, corner = luck.uniform(0.35, 0.6), luck.uniform(0.6, 0.85), luck.uniform(0.6, 1.05)
    path = curve(
        [(0.8 * mouth, 0.12 * tall), (wide + out * corner, 0.1 * tall), (wide + out, 0.4 * tall),
         (wide + 0.5 * out, (low - 0.1) * tall), (0.6 * wide, low * tall)]
    )  # fmt: skip
    return tube(path, thick)


def _teapot_pattern(
    luck: Luck, body: Lathe, tall: float, belly: float, china: Colour
) -> list[Part]:
    kind = str(luck.choice(["plain", "band", "two bands", "dots", "heart"]))
    colour, wide = apart(luck, china), luck.uniform(0.09, 0.15)
    upper = band("upper band", body, tall * luck.uniform(0.12, 0.22), wide, colour)
    lower = band("lower band", body, tall * luck.uniform(0.5, 0.62), wide, colour)
    if kind == "band":
        return [lower]
    if kind == "two bands":
        return [upper, lower]
    if kind == "dots":
        heights = tall * np.linspace(0.28, 0.6, int(luck.integers(1, 4)))
        radius, across = luck.uniform(0.06, 0.08), int(luck.integers(3, 6))
        return [dots(body, heights.tolist(), across, radius, colour)]
    if kind == "heart":
        x, y = body.at(luck.uniform(-0.2, 0.2), 0.75 * belly)
        outline = _heart() * luck.uniform(0.2, 0.3) + (x, y)
        return [Part("heart", (outline,), colour, "flat", detail=True, printed=True)]
    return []


def _heart() -> Points:
    """Two units wide."""
    t = np.linspace(0, 2 * math.pi, 28, endpoint=False)
    up = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -up], 1) / 16
