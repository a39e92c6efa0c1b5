"""Parts of objects that people draw: their outlines, and the shapes that these are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from sightline.scenes.pen import Colour, ring_of

Luck = np.random.Generator
Place = tuple[float, float]
Points = Float[np.ndarray, "_ 2"]
Surface = Literal["round", "soft", "flat"]
"""Of a part: turned on a lathe (lit across), a cushion (lit at its edges), a board."""


@dataclass(frozen=True, eq=False)
class Part:
    """One part of an object, in the object's own units: x to the right, y down.

    Args:
        name: unique in the object.
        outlines: closed, without their first point again; most parts have one.
        colour: of the lit surface.
        surface: how light falls on it.
        lines: what a person draws of it, where that is not the outlines.
        detail: a person may leave it out; it never reaches the edge of the object.
        printed: lies flat on the part below, hides none of its outline.
    """

    name: str
    outlines: tuple[Points, ...]
    colour: Colour
    surface: Surface = "soft"
    lines: tuple[Points, ...] | None = None
    detail: bool = False
    printed: bool = False

    def moved(self, scale: float, shift: Points | Float[np.ndarray, " 2"]) -> Part:
        """Scaled about the origin, then shifted."""
        lines = None if self.lines is None else tuple(scale * x + shift for x in self.lines)
        outlines = tuple(scale * x + shift for x in self.outlines)
        return Part(
            self.name, outlines, self.colour, self.surface, lines, self.detail, self.printed
        )


def framed(parts: Sequence[Part], share: float) -> tuple[Part, ...]:
    """The object in the unit square: its box centred, the longest side ``share`` of the square's.

    Example:
        >>> board = Part("board", (np.array([[0, 0], [4, 0], [4, 2], [0, 2.0]]),), (9, 9, 9))
        >>> framed([board], 0.5)[0].outlines[0].tolist()
        [[0.25, 0.375], [0.75, 0.375], [0.75, 0.625], [0.25, 0.625]]
    """
    points = np.concatenate([outline for part in parts for outline in part.outlines])
    low, high = points.min(0), points.max(0)
    scale = share / float((high - low).max())
    return tuple(part.moved(scale, 0.5 - scale * (low + high) / 2) for part in parts)


def curve(points: Sequence[Place] | Points, *, steps: int = 8) -> Points:
    """A smooth open curve through the points (Catmull-Rom)."""
    at = np.asarray(points, np.float64)
    at = np.concatenate([2 * at[:1] - at[1:2], at, 2 * at[-1:] - at[-2:-1]])
    p0, p1, p2, p3 = (at[i : len(at) - 3 + i, None] for i in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    path = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    return np.concatenate([path.reshape(-1, 2), at[-2:-1]])


def arc(centre: Place, radii: Place, begin: float, end: float, *, steps: int = 16) -> Points:
    """Points along a part of an ellipse, radians clockwise from the right."""
    angle = np.linspace(begin, end, steps)
    return np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], 1)


def disc(centre: Place, radii: Place, turn: float = 0.0) -> Points:
    """An ellipse as an outline."""
    return ring_of(centre, radii, turn)


def tube(path: Sequence[Place] | Points, width: float | Sequence[float]) -> Points:
    """The outline of a band around a path; ``width`` at its points, or at its ends."""
    at = np.asarray(path, np.float64)
    wide = np.atleast_1d(np.asarray(width, np.float64))
    half = np.interp(np.linspace(0, 1, len(at)), np.linspace(0, 1, len(wide)), wide) / 2
    along = np.gradient(at, axis=0)
    along /= np.maximum(np.sqrt((along**2).sum(1, keepdims=True)), 1e-9)
    aside = np.stack([-along[:, 1], along[:, 0]], 1) * half[:, None]
    return np.concatenate([at + aside, (at - aside)[::-1]])


def rounded(outline: Sequence[Place] | Points, radius: float, *, steps: int = 5) -> Points:
    """A polygon with its corners rounded (never by more than half of an edge)."""
    at = np.asarray(outline, np.float64)
    before, after = np.roll(at, 1, 0) - at, np.roll(at, -1, 0) - at
    reach = []
    for edge in (before, after):
        length = np.maximum(np.sqrt((edge**2).sum(1, keepdims=True)), 1e-9)
        reach.append(at + edge * np.minimum(radius / length, 0.5))
    t = np.linspace(0, 1, steps)[None, :, None]
    start, stop = reach[0][:, None], reach[1][:, None]
    bent = (1 - t) ** 2 * start + 2 * t * (1 - t) * at[:, None] + t**2 * stop
    return bent.reshape(-1, 2)


def box(left: float, top: float, right: float, bottom: float, radius: float = 0.0) -> Points:
    """A rectangle, with rounded corners if asked."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return rounded(corners, radius) if radius else corners


@dataclass(frozen=True, eq=False)
class Lathe:
    """A turned body, seen a little from above.

    Args:
        profile: half widths over heights: rows (half width, y), y growing.
        tilt: height over width of its circles as seen.
        axis: x of its axis.
    """

    profile: Points
    tilt: float
    axis: float = 0.0

    def half(self, y: float) -> float:
        """Half of the width at a height."""
        return float(np.interp(y, self.profile[:, 1], self.profile[:, 0]))

    def outline(self) -> Points:
        """The whole silhouette."""
        right, left = self._sides(self.profile)
        top, bottom = self.profile[[0, -1], 1].tolist()
        return np.concatenate([right, self.front(bottom)[1:-1], left, self.back(top)[1:-1]])

    def ring(self, top: float, bottom: float) -> Points:
        """What is seen of the surface between two heights."""
        heights = self.profile[:, 1]
        right, left = self._sides(self.profile[(heights > top) & (heights < bottom)])
        return np.concatenate([self.front(top)[::-1], right, self.front(bottom), left])

    def _sides(self, rows: Points) -> tuple[Points, Points]:
        """The right edge downwards, the left one upwards."""
        across, y = rows.T
        right = np.stack([self.axis + across, y], 1)
        return right, np.stack([self.axis - across, y], 1)[::-1]

    def front(self, y: float) -> Points:
        """The near half of the circle at a height, from the right to the left."""
        half = self.half(y)
        return arc((self.axis, y), (half, self.tilt * half), 0, math.pi)

    def back(self, y: float) -> Points:
        """The far half of the circle at a height, from the left to the right."""
        half = self.half(y)
        return arc((self.axis, y), (half, self.tilt * half), math.pi, 2 * math.pi)

    def rim(self, y: float, share: float = 1.0) -> Points:
        """The circle at a height."""
        half = self.half(y) * share
        return disc((self.axis, y), (half, self.tilt * half))

    def at(self, across: float, y: float) -> Place:
        """A place on the near surface: ``across`` from -1 (left edge) to 1."""
        half = self.half(y)
        lower = self.tilt * half * math.sqrt(max(0.0, 1 - across**2))
        return self.axis + across * half, y + lower


def turned(
    points: Sequence[Place], tilt: float, axis: float = 0.0, *, smooth: bool = True
) -> Lathe:
    """A lathe of a profile through (half width, y), its rows from the top down."""
    path = curve(points) if smooth else np.asarray(points, np.float64)
    rows = np.maximum(path, (0.01, -np.inf))
    return Lathe(rows[np.concatenate([[True], np.diff(rows[:, 1]) > 1e-6])], tilt, axis)
