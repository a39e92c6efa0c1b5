"""Colours of objects, and what is printed on them: bands, dots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sightline.scenes.pair_shapes import Lathe, Luck, Part, disc
from sightline.scenes.pen import Colour, hsv, toned

DARK, PALE = (60, 50, 56), (244, 236, 220)


def paint(luck: Luck) -> Colour:
    """Any colour."""
    return hsv(luck.random(), luck.uniform(0.25, 0.8), luck.uniform(0.55, 0.95))


def wood(luck: Luck) -> Colour:
    """A brown."""
    return hsv(luck.uniform(0.06, 0.09), luck.uniform(0.45, 0.7), luck.uniform(0.4, 0.8))


def metal(luck: Luck) -> Colour:
    """Steel or brass."""
    return hsv(luck.uniform(0.08, 0.14), luck.choice([0.05, 0.55]), luck.uniform(0.5, 0.8))


def apart(luck: Luck, colour: Colour) -> Colour:
    """A colour that stands out from another."""
    far = toned(colour, luck.choice([-0.5, 0.6]))
    return far if luck.random() < 0.5 else contrast(colour)


def contrast(colour: Colour) -> Colour:
    """Dark on what is bright, pale on what is dark."""
    return DARK if sum(colour) > 384 else PALE


def band(name: str, lathe: Lathe, top: float, tall: float, colour: Colour) -> Part:
    """A band around a turned body; a person draws its two lines."""
    lines = (lathe.front(top), lathe.front(top + tall))
    return Part(
        name, (lathe.ring(top, top + tall),), colour, "round", lines, detail=True, printed=True
    )


def dots(
    lathe: Lathe, heights: Sequence[float], across: int, radius: float, colour: Colour
) -> Part:
    """Round dots on a turned body, every other row a little to the right."""
    spots = []
    for number, y in enumerate(heights):
        for place in np.linspace(-0.66, 0.54, across) + 0.12 * (number % 2):
            x = float(place)
            spots.append(disc(lathe.at(x, y), (radius * math.sqrt(1 - x**2), radius)))
    return Part("dots", tuple(spots), colour, "flat", detail=True, printed=True)
