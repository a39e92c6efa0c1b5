"""Drawings as pictures: strokes in, ink in [0, 1] out, differentiable in the points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import DrawingError, unknown_name
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import LARGEST_COORDINATE

Profile = Literal["linear", "sigmoid", "hard"]
"""How ink falls off with the distance from the line: see `Rasteriser`."""

FAINTEST_INK = 1e-7
"""Sigmoid ink below this is no ink: it ends the sigmoid's otherwise endless reach."""

PAIRS_AT_ONCE = {"cpu": 2**17, "cuda": 2**23}
"""Pixel-segment pairs worked on together: what a core's cache holds, what fills a GPU."""


@dataclass(frozen=True)
class Rasteriser:
    """Draws a batch of sketches as pictures, ink 1 on paper 0.

    Ink is a function of the distance D from the pixel's centre to the nearest segment, all in
    pixels, with tau half the line width. So ends and joints are round, and a line drawn twice is
    no darker.

    - ``linear``: clamp(tau + 0.5 - D, 0, 1), an edge smoothed over one pixel. A line thinner than
      a pixel is drawn one pixel wide in ink that is paler in proportion.
    - ``sigmoid``: sigmoid(beta (tau - D)), and 0 where that is below 1e-7.
    - ``hard``: 1 where D <= tau, else 0; its gradient is the sigmoid's (straight through).

    Only the pixels near a segment are looked at, so the work grows with the length of the lines
    and not with pixels times segments. Gradients flow to the two ends of the nearest segment.

    Convention:
        The canvas is [-1, 1] x [-1, 1], x to the right, y down; the pixel in row r and column c of
        a picture of size n has its centre at (-1 + (c + 0.5) * 2 / n, -1 + (r + 0.5) * 2 / n).
        What lies outside the canvas is cut off.

    Args:
        size: pixels along each side.
        line_width: in canvas units, so that a drawing keeps its proportions at every size.
        profile: how ink falls off.
        beta: steepness of the sigmoid, per pixel.

    Raises:
        ValueError: a size below 1, a line width or beta that is not above 0, an unknown profile.

    Example:
        >>> from sightline.sketch.sketch import Sketch
        >>> smile = Sketch.from_strokes(
        ...     [[(-.4, -.6), (-.4, -.2)], [(.4, -.6), (.4, -.2)], [(-.6, .2), (0, .6), (.6, .2)]]
        ... )
        >>> picture = Rasteriser(size=10, line_width=0.2)(SketchBatch.from_sketches([smile]))
        >>> picture.shape
        torch.Size([1, 10, 10])
        >>> for row in picture[0]:
        ...     print("".join(" .:+#"[round(4 * float(ink))] for ink in row))
        
    Source:
        The sigmoid and its straight-through form: P-SLA of Qu et al., "Sketch-based attribution",
        CVPR 2024. The cut at 1e-7 is ours.
    """

    size: int = 64
    line_width: float = 0.05
    profile: Profile = "linear"
    beta: float = 4.0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"a picture needs a size of at least 1 pixel, not {self.size}")
        for name in ("line_width", "beta"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, not {value}")
        if self.profile not in PROFILES:
            raise ValueError(unknown_name("profile", self.profile, PROFILES))

    def __call__(self, batch: SketchBatch) -> Float[Tensor, "sketches {self.size} {self.size}"]:
        """Each sketch with all its strokes; one without strokes is a blank picture.

        Raises:
            DrawingError: a point that is NaN, infinite or beyond 1e6.
        """
        return self._draw(batch, batch.sketch_of_stroke, len(batch))

    def layers(self, batch: SketchBatch) -> Float[Tensor, "strokes {self.size} {self.size}"]:
        """Each stroke alone, in the order of the batch; their maximum is the whole sketch.

        Raises:
            DrawingError: a point that is NaN, infinite or beyond 1e6.
        """
        strokes = len(batch.order)
        return self._draw(batch, torch.arange(strokes, device=batch.device), strokes)

    @property
    def _tau(self) -> float:
        """Half the line width in pixels."""
        return self.line_width * self.size / 4

    @property
    def _reach(self) -> float:
        """The distance in pixels beyond which there is no ink."""
        if self.profile == "linear":
            return max(self._tau, 0.5) + 0.5
        return self._tau - math.log(FAINTEST_INK) / self.beta

    def _ink(self, squared_distance: Tensor) -> Tensor:
        return PROFILES[self.profile](squared_distance.sqrt(), self._tau, self.beta)

    def _draw(self, batch: SketchBatch, layer_of_stroke: Tensor, layers: int) -> Tensor:
        _check_points(batch.points)
        points = (batch.points + 1) * (self.size / 2) - 0.5  # pixel centres at whole numbers
        starts, ends = _segments(batch)
        with torch.no_grad():
            layer = layer_of_stroke[batch.stroke_of_point[starts]]
            near = _near(points[starts], points[ends], layer, size=self.size, reach=self._reach)
            cells = layers * self.size**2
            if not (torch.is_grad_enabled() and points.requires_grad):
                return self._fill(near, points.new_zeros(cells)).view(layers, self.size, self.size)
