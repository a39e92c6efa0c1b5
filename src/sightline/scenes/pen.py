"""A pen that draws one object, turned and scaled, with smooth edges and a little light."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from PIL import Image

Points = Sequence[tuple[float, float]] | Float[np.ndarray, "points 2"]
Colour = tuple[int, int, int]
HOLE = (0, 0, 0, 0)
REACH = 1.6  # of an object turned by any angle, and of its shadow's blur
FINER = 3  # times as many pixels while drawing, averaged at the end


@dataclass(frozen=True)
class Pose:
    """How an object stands in the scene.

    Args:
        centre: x and y in pixels of the scene.
        radius: pixels of one unit: objects fill about [-1, 1] x [-1, 1], y down.
        angle: in radians, clockwise as seen.
        aspect: width over height.
        mirrored: left and right exchanged, before turning.
    """

    centre: tuple[float, float]
    radius: float
    angle: float = 0.0
    aspect: float = 1.0
    mirrored: bool = False

    def matrix(self) -> Float[np.ndarray, "2 2"]:
        """From the object's units to pixels."""
        wide = self.radius * math.sqrt(self.aspect)
        tall = self.radius / math.sqrt(self.aspect)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        stretch = np.diag([-wide if self.mirrored else wide, tall])
        return np.array([[cos, -sin], [sin, cos]]) @ stretch


@dataclass(frozen=True, eq=False)
class Sticker:
    """A drawn object before it lies in a scene.

    Args:
        colour: times ``alpha``, 0 to 1.
        alpha: how much of each pixel is covered.
        corner: row and column of the scene where the upper left pixel comes to lie.
    """

    colour: Float[np.ndarray, "height width 3"]
    alpha: Float[np.ndarray, "height width"]
    corner: tuple[int, int]


@dataclass
class Pen:
    """Draws in units of the object on a sheet that just holds it.

    Later shapes lie over earlier ones; `HOLE` as the colour cuts through.
    """

    pose: Pose
    _sheet: Image.Image = field(init=False)
    _draw: Any = field(init=False)

    def __post_init__(self) -> None:
        from PIL import Image

        longer = max(self.pose.aspect, 1 / self.pose.aspect) ** 0.5
        across = math.ceil(2 * REACH * self.pose.radius * longer) + 8
        x, y = self.pose.centre
        self.corner = (math.floor(y - across / 2), math.floor(x - across / 2))
        self._sheet = Image.new("RGBA", (across * FINER, across * FINER))
        self._move(self._sheet)

    def _move(self, sheet: Image.Image) -> None:
        from PIL import ImageDraw

        self._draw = ImageDraw.Draw(sheet)

    def polygon(self, points: Points, colour: tuple[int, ...]) -> None:
        """Straight edges."""
        self._draw.polygon(self._flat(points), fill=colour)

    def smooth(self, points: Points, colour: tuple[int, ...]) -> None:
        """A closed curve through the points."""
        self.polygon(closed_curve(points), colour)

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        colour: tuple[int, ...],
        turn: float = 0.0,
    ) -> None:
        """An ellipse, ``turn`` radians clockwise."""
        self.polygon(ring_of(centre, radii, turn), colour)

    def line(self, points: Points, width: float, colour: tuple[int, ...]) -> None:
        """A line with round joints and ends; never thinner than a pixel and a half."""
        thick = max(1.5 * FINER, width * self.pose.radius * FINER)
        at = self._flat(points)
        self._draw.line(at, fill=colour, width=round(thick), joint="curve")
        half = thick / 2 - 0.5
        for x, y in zip(at[::2], at[1::2], strict=True):
            self._draw.ellipse((x - half, y - half, x + half, y + half), fill=colour)

    def clipped(self, outline: Points) -> _Clipped:
        """What is drawn inside ``with`` shows only within the outline."""
        return _Clipped(self, self._flat(outline))

    def _flat(self, points: Points) -> list[float]:
        centre = np.array(self.pose.centre) - self.corner[::-1]
        at = np.asarray(points, np.float64) @ self.pose.matrix().T + centre
        return (at * FINER - 0.5).ravel().tolist()

    def sticker(self, light: float) -> Sticker:
        """The object, lit from the angle ``light`` (radians, 0 is the right, clockwise)."""
        small = np.asarray(self._sheet.convert("RGBa").reduce(FINER), np.float32) / 255
        alpha = small[..., 3]
        lit = small[..., :3] * _relief(alpha, light, self.pose.radius)[..., None]
        return Sticker(np.minimum(lit, alpha[..., None]), alpha, self.corner)


class _Clipped:
    """A second sheet, laid on the first through a stencil."""

    def __init__(self, pen: Pen, outline: list[float]) -> None:
        self.pen, self.outline = pen, outline

    def __enter__(self) -> None:
        self.below = self.pen._sheet
        self.above = self.below.copy()
        self.pen._move(self.above)

    def __exit__(self, *_: object) -> None:
        from PIL import Image, ImageDraw

        stencil = Image.new("L", self.below.size)
        ImageDraw.Draw(stencil).polygon(self.outline, fill=255)
        self.below.paste(self.above, (0, 0), stencil)
        self.pen._move(self.below)


def closed_curve(points: Points, *, steps: int = 7) -> Float[np.ndarray, "curve 2"]:
    """A closed Catmull-Rom curve through the points."""
    p1 = np.asarray(points, np.float64)
    p0, p2, p3 = np.roll(p1, 1, 0), np.roll(p1, -1, 0), np.roll(p1, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    curve = p1 + 0.5 * t * (
        p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0))
    )
    return curve.reshape(-1, 2)


def ring_of(
    centre: tuple[float, float], radii: tuple[float, float], turn: float = 0.0
) -> Float[np.ndarray, "40 2"]:
    """Points around an ellipse."""
    angle = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    return np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], 1)


def arc_of(
    centre: tuple[float, float], radii: tuple[float, float], begin: float, end: float
) -> Float[np.ndarray, "18 2"]:
    """Points along a part of an ellipse, radians clockwise from the right."""
    angle = np.linspace(begin, end, 18)
    x, y = radii[0] * np.cos(angle), radii[1] * np.sin(angle)
    return np.stack([centre[0] + x, centre[1] + y], 1)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour by hue (0 to 1, round), saturation and value.

    Example:
        >>> hsv(1 / 3, 1.0, 1.0)
        (0, 255, 0)
    """
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def toned(colour: Colour, by: float) -> Colour:
    """Lighter (``by`` above 0, towards white) or darker (below, towards black)."""
    towards = 255 if by > 0 else 0
    red, green, blue = (round(c + (towards - c) * abs(by)) for c in colour)
    return red, green, blue


def blurred(plane: Float[np.ndarray, "height width"], radius: float) -> np.ndarray:
    """Three box blurs make a good Gaussian."""
    from PIL import Image, ImageFilter

    picture = Image.fromarray((plane * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def _relief(
    alpha: Float[np.ndarray, "height width"], light: float, radius: float
) -> Float[np.ndarray, "height width"]:
    """Brightness of a cushion of this outline: brighter towards the light, darker away from it."""
    soft = blurred(alpha, max(0.8, 0.16 * radius))
    slope = np.gradient(soft)
    towards = -(slope[0] * math.sin(light) + slope[1] * math.cos(light)) * radius
    return 1.0 + np.clip(0.32 * towards, -0.42, 0.3).astype(np.float32)
