"""Drawings as pictures: strokes in, ink in [0, 1] out, differentiable in the points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
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

ROUNDING = 1e-3
"""Pixels. Looked at beyond the reach, so that rounding loses no pixel."""

AT_ONCE = {"cpu": 2**17, "cuda": 2**23}
"""Pixels, counted once a segment, worked on together: a CPU wants its cache, a GPU its fill."""


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
        return self.line_width * self.size / 4  # half the width, in pixels

    @property
    def _reach(self) -> float:
        """The distance in pixels from which on there is no ink."""
        if self.profile == "linear":
            return max(self._tau, 0.5) + 0.5
        return self._tau - math.log(FAINTEST_INK) / self.beta

    def _ink(self, squared_distance: Tensor) -> Tensor:
        return PROFILES[self.profile](squared_distance.sqrt(), self._tau, self.beta)

    def _draw(self, batch: SketchBatch, layer_of_stroke: Tensor, layers: int) -> Tensor:
        _check_points(batch.points)
        points = (batch.points + 1) * (self.size / 2) - 0.5  # pixel centres at whole numbers
        start, end = _segments(batch)
        lines = _Lines(start, end, layer_of_stroke[batch.stroke_of_point[start]])
        paper = points.new_zeros(layers * self.size * self.size)
        if points.requires_grad:
            inked, nearest = _nearest(points, lines, layers, size=self.size, reach=self._reach)
            squared = _squared_distance(points, start[nearest], end[nearest], inked, self.size)
            paper.scatter_(0, inked, self._ink(squared))
        else:
            for pixel, squared, _ in _near(points, lines, size=self.size, reach=self._reach):
                paper.scatter_reduce_(0, pixel.view(-1), self._ink(squared).view(-1), "amax")
        return paper.view(layers, self.size, self.size)


def _linear(distance: Tensor, tau: float, beta: float) -> Tensor:
    ink = (max(tau, 0.5) + 0.5 - distance).clamp_(0, 1)
    return ink * (2 * tau) if tau < 0.5 else ink


def _sigmoid(distance: Tensor, tau: float, beta: float) -> Tensor:
    # torch.sigmoid may round a number by its place in memory: then a batch is not its parts.
    ink = 1 / (1 + (beta * (distance - tau)).exp())
    return torch.nn.functional.threshold(ink, FAINTEST_INK, 0.0)


def _hard(distance: Tensor, tau: float, beta: float) -> Tensor:
    soft = _sigmoid(distance, tau, beta)
    return (distance <= tau).to(distance.dtype) + (soft - soft.detach())


PROFILES: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "linear": _linear,
    "sigmoid": _sigmoid,
    "hard": _hard,
}


def _check_points(points: Float[Tensor, "points 2"]) -> None:
    good = (points.detach().abs() <= LARGEST_COORDINATE).all(1)  # false for NaN
    if not good.all():
        bad = int((~good).nonzero()[0])
        raise DrawingError(
            f"point {bad} of the batch is at {points[bad].tolist()}; a picture needs coordinates "
            f"that are finite and within {LARGEST_COORDINATE:.0e}: normalise or leave it out"
        )


def _segments(batch: SketchBatch) -> tuple[Int[Tensor, " segments"], Int[Tensor, " segments"]]:
    """The points where segments start and end; a stroke of one point is a dot, from it to it."""
    stroke = batch.stroke_of_point
    index = torch.arange(len(stroke), device=batch.device)
    first, last = batch.stroke_offsets[stroke], batch.stroke_offsets[stroke + 1] - 1
    starts = index[(index < last) | (index == first)]
    return starts, torch.minimum(starts + 1, last[starts])


class _Lines(NamedTuple):
    """Segments: the points where they start and end, and the picture that each is drawn on."""

    start: Int[Tensor, " segments"]
    end: Int[Tensor, " segments"]
    layer: Int[Tensor, " segments"]


class _Near(NamedTuple):
    """Pixels near segments: in each column (a step along a longer axis) a window across it."""

    pixel: Int[Tensor, "across columns"]
    squared_distance: Float[Tensor, "across columns"]
    segment: Int[Tensor, " columns"]


@torch.no_grad()
def _near(
    points: Float[Tensor, "points 2"], lines: _Lines, *, size: int, reach: float
) -> Iterator[_Near]:
    """Every pixel within reach of a segment, and some others, a part of the segments at a time.

    Each segment is walked along its longer axis u, from its first to its last pixel column in
    reach, caps included. It rises along v by at most 45 degrees, so that in each column all that
    is within reach lies in a window of sqrt(2) * reach to both sides. A window that sticks out of
    the canvas is pushed back in: it still holds every pixel of the canvas that it held before.
    """
    reach += ROUNDING
    across = min(math.floor(2 * math.sqrt(2) * reach) + 1, size)
    most = max(_at_once(points) // across, 1)
    width, height = (points[lines.end] - points[lines.start]).abs().T
    for u, these in enumerate((width >= height, width < height)):
        chosen = these.nonzero()[:, 0]
        frame = _frames(points[lines.start[chosen]], points[lines.end[chosen]], u)
        middle, longest = frame[0], frame[2] * frame[4] + reach
        first = (middle - longest).ceil().clamp(0, size).long()
        last = (middle + longest).floor().clamp(-1, size - 1).long()
        count = (last - first + 1).clamp_min(0)
        place = torch.stack([first - count.cumsum(0) + count, lines.layer[chosen] * size * size])
        strides = (size, 1) if u else (1, size)
        for part, column in _parts(count, most):
            segment = part.repeat_interleave(count[part], output_size=len(column))
            first_column, corner = place.index_select(1, segment)
            columns = frame.index_select(1, segment), column + first_column, corner
            window = _windows(*columns, strides, across=across, size=size, reach=reach)
            yield _Near(*window, chosen[segment])


def _at_once(points: Tensor) -> int:
    return AT_ONCE.get(points.device.type, AT_ONCE["cuda"])


def _frames(
    start: Float[Tensor, "segments 2"], end: Float[Tensor, "segments 2"], u: int
) -> Float[Tensor, "5 segments"]:
    """Middle (u, v), direction (cos, sin) and half the length, where u is the longer axis.

    Which end is first makes no difference, so that cos >= sqrt(1/2). A dot's direction is (1, 0).
    """
    delta, middle = end - start, (start + end) / 2
    du, dv = delta[:, u], delta[:, 1 - u]
    length = (du * du + dv * dv).sqrt()
    cos = torch.where(length > 0, du.abs() / length, 1)
    sin = torch.where(length > 0, dv * du.sign() / length, 0)
    return torch.stack([middle[:, u], middle[:, 1 - u], cos, sin, length / 2])


def _parts(
    count: Int[Tensor, " segments"], most: int
) -> Iterator[tuple[Int[Tensor, " part"], Int[Tensor, " columns"]]]:
    """Split segments with so many columns into parts of about `most`: segments and columns."""
    edges = torch.cat([count.new_zeros(1), count.cumsum(0)])
    marks = most * torch.arange(1, -(-int(edges[-1]) // most), device=count.device)
    cuts = [0, *torch.searchsorted(edges[1:], marks).tolist(), len(count)]
    stops = edges[cuts].tolist()
    for segments, columns in zip(pairwise(cuts), pairwise(stops), strict=True):
        if columns[0] < columns[1]:
            yield (
                torch.arange(*segments, device=count.device),
                torch.arange(*columns, device=count.device),
            )


def _windows(
    frame: Float[Tensor, "5 columns"],
    column: Int[Tensor, " columns"],
    corner: Int[Tensor, " columns"],
    strides: tuple[int, int],
    *,
    across: int,
    size: int,
    reach: float,
) -> tuple[Int[Tensor, "across columns"], Float[Tensor, "across columns"]]:
    """The pixels of each column's window and their squared distances from its segment."""
    middle_u, middle_v, cos, sin, half = frame
    u = column - middle_u
    longest = half * cos
    rise = torch.minimum(torch.maximum(u, -longest), longest) * (sin / cos)
    row = (middle_v + rise - math.sqrt(2) * reach).ceil().clamp_(0, size - across)
    v = row - middle_v
    k = torch.arange(across, device=row.device)[:, None]
    # In the segment's own frame: how far along it beyond its ends, and how far aside.
    beyond = torch.addcmul(u * cos + v * sin, k.to(u.dtype), sin).abs_().sub_(half).clamp_min_(0)
    aside = torch.addcmul(v * cos - u * sin, k.to(u.dtype), cos)
    corner = corner + column * strides[0] + row.long() * strides[1]
    return corner + k * strides[1], beyond.mul_(beyond).addcmul_(aside, aside)


@torch.no_grad()
def _nearest(
    points: Float[Tensor, "points 2"], lines: _Lines, layers: int, *, size: int, reach: float
) -> tuple[Int[Tensor, " inked"], Int[Tensor, " inked"]]:
    """The pixels of all layers within reach of a segment, and the segment nearest to each.

    Of equally near segments it is the last that is looked at: they share the near point, or the
    pixel stands between them and there is no one gradient.
    """
    some = max(64 * _at_once(points) // size**2, 1)  # layers at a time: the memory needed is bounded
    least = points.new_empty(min(some, layers) * size**2)
    owner = torch.empty_like(least, dtype=torch.int64)
    found = []
    for layer in range(0, layers, some):
        bounds = torch.tensor([layer, layer + some], device=points.device)
        first, last = torch.searchsorted(lines.layer, bounds).tolist()
        part = _Lines(*(column[first:last] for column in lines))
        least.fill_(math.inf)
        for pixel, squared, segment in _near(
            points, part._replace(layer=part.layer - layer), size=size, reach=reach
        ):
            cell, gap = pixel.view(-1), squared.view(-1)
            least.scatter_reduce_(0, cell, gap, "amin")
            won = ((gap == least.index_select(0, cell)) & (gap < reach**2)).nonzero()[:, 0]
            owner.scatter_reduce_(
                0, cell[won], first + segment[won % len(segment)], "amax", include_self=False
            )
        inked = (least < reach**2).nonzero()[:, 0]
        found.append(torch.stack([inked + layer * size**2, owner[inked]]))
    inked, nearest = torch.cat(found, 1) if found else owner.new_empty(2, 0)
    return inked, nearest


def _squared_distance(
    points: Float[Tensor, "points 2"],
    start: Int[Tensor, " inked"],
    end: Int[Tensor, " inked"],
    pixel: Int[Tensor, " inked"],
    size: int,
) -> Float[Tensor, " inked"]:
    """From pixels to segments, differentiable in the points."""
    centre = torch.stack([pixel % size, pixel // size % size]).to(points.dtype)  # [(x, y), inked]
    first, last = (points.T.index_select(1, index) for index in (start, end))
    along, offset = last - first, centre - first
    length = (along * along).sum(0)
    part = ((offset * along).sum(0) / torch.where(length > 0, length, 1)).clamp(0, 1)
    gap = offset - part * along
    # A root is infinitely steep at 0: a pixel on the line would turn the gradient into NaN.
    return (gap * gap).sum(0).clamp_min(torch.finfo(points.dtype).tiny)
