"""Things that are no object: plain shapes that lie under the objects and try to mislead."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sightline.scenes.pen import HOLE, Colour, Pen, arc_of, closed_curve, hsv, ring_of

Luck = np.random.Generator


def _blob(pen: Pen, luck: Luck, colour: Colour) -> None:
    angle = np.linspace(0, 2 * math.pi, 8, endpoint=False)
    out = luck.uniform(0.55, 1, 8)
    pen.smooth(np.stack([out * np.cos(angle), out * np.sin(angle)], 1), colour)


def _corners(pen: Pen, luck: Luck, colour: Colour) -> None:
    """A regular polygon; never a star."""
    angle = np.linspace(0, 2 * math.pi, int(luck.integers(3, 7)), endpoint=False)
    pen.polygon(np.stack([np.cos(angle), np.sin(angle)], 1), colour)


def _ring(pen: Pen, luck: Luck, colour: Colour) -> None:
    inner = luck.uniform(0.4, 0.75)
    pen.ellipse((0, 0), (0.9, 0.9), colour)
    pen.polygon(ring_of((0, 0), (0.9 * inner, 0.9 * inner)), HOLE)


def _bar(pen: Pen, luck: Luck, colour: Colour) -> None:
    pen.line([(-0.9, 0), (0.9, luck.uniform(-0.3, 0.3))], luck.uniform(0.08, 0.3), colour)


def _cross(pen: Pen, luck: Luck, colour: Colour) -> None:
    width = luck.uniform(0.15, 0.4)
    pen.line([(-0.8, 0), (0.8, 0)], width, colour)
    pen.line([(0, -0.8), (0, 0.8)], width, colour)


def _bow(pen: Pen, luck: Luck, colour: Colour) -> None:
    begin = luck.uniform(0, 2 * math.pi)
    pen.line(arc_of((0, 0), (0.8, 0.8), begin, begin + luck.uniform(1.5, 4)), 0.15, colour)


def _egg(pen: Pen, luck: Luck, colour: Colour) -> None:
    pen.ellipse((0, 0), (luck.uniform(0.5, 0.7), 0.95), colour)


def _heart(pen: Pen, _: Luck, colour: Colour) -> None:
    right = [(0.4, -0.75), (0.85, -0.5), (0.75, 0.1)]
    left = [(-x, y) for x, y in right[::-1]]
    outline = closed_curve([(0, -0.35), *right, (0, 0.85), *left])
    pen.polygon(outline, colour)


SHAPES: tuple[Callable[[Pen, Luck, Colour], None], ...] = (
    _blob,
    _corners,
    _ring,
    _bar,
    _cross,
    _bow,
    _egg,
    _heart,
)


def draw_clutter(pen: Pen, luck: Luck) -> None:
    """One plain shape of any colour."""
    colour = hsv(luck.random(), luck.uniform(0.1, 0.9), luck.uniform(0.25, 1))
    SHAPES[int(luck.integers(len(SHAPES)))](pen, luck, colour)
