"""Drawings as pictures: strokes in, ink in [0, 1] out, differentiable in the points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
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
        starts, ends = _segments(batch)
        layer = layer_of_stroke[batch.stroke_of_point[starts]]
        near = _near(points, starts, ends, layer, size=self.size, reach=self._reach)
        paper = points.new_zeros(layers * self.size * self.size)
        if points.requires_grad:
            inked, nearest = _nearest(near, points, len(paper), self._reach)
            squared = _squared_distance(points, starts[nearest], ends[nearest], inked, self.size)
            paper = paper.scatter(0, inked, self._ink(squared))
        else:
            for pixel, squared, _ in near:
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


class _Near(NamedTuple):
    """Pixels near segments: in each column (a step along a longer axis) a window across it."""

    pixel: Int[Tensor, "across columns"]
    squared_distance: Float[Tensor, "across columns"]
    segment: Int[Tensor, " columns"]


@torch.no_grad()
def _near(
    points: Float[Tensor, "points 2"],
    starts: Int[Tensor, " segments"],
    ends: Int[Tensor, " segments"],
    layer: Int[Tensor, " segments"],
    *,
    size: int,
    reach: float,
) -> Iterator[_Near]:
    """Every pixel within reach of a segment, and some others, a part of the segments at a time.

    Each segment is walked along its longer axis u, from its first to its last pixel column in
    reach, caps included. It rises along v by at most 45 degrees, so that in each column all that
    is within reach lies in a window of sqrt(2) * reach to both sides. A window that sticks out of
    the canvas is pushed back in: it still holds every pixel of the canvas that it held before.
    """
    reach += ROUNDING
    across = min(math.floor(2 * math.sqrt(2) * reach) + 1, size)
    lines, steep = _lines(points[starts], points[ends])
    mid_u, _, cos, _, half = lines
    first = (mid_u - half * cos - reach).ceil().clamp(0, size).long()
    last = (mid_u + half * cos + reach).floor().clamp(-1, size - 1).long()
    columns = (last - first + 1).clamp_min(0)
    before = columns.cumsum(0) - columns
    steps = torch.where(steep, size, 1), torch.where(steep, 1, size)  # in memory, along u and v
    walks = torch.stack([first - before, layer * size * size, *steps])
    most = max(PAIRS_AT_ONCE.get(points.device.type, 2**23) // across, 1)
    for segments, column in _parts(columns, most):
        segment = segments.repeat_interleave(columns[segments], output_size=len(column))
        line, walk = lines.index_select(1, segment), walks.index_select(1, segment)
        yield _Near(*_windows(line, walk, column, across=across, size=size, reach=reach), segment)


def _lines(
    start: Float[Tensor, "segments 2"], end: Float[Tensor, "segments 2"]
) -> tuple[Float[Tensor, "5 segments"], Bool[Tensor, " segments"]]:
    """Middle (u, v), direction (cos, sin) and half the length, u along the longer axis.

    The second tensor says where u is y. Directions have cos >= sqrt(1/2); a dot's is (1, 0).
    """
    delta, middle = end - start, (start + end) / 2
    steep = delta[:, 1].abs() > delta[:, 0].abs()
    (du, dv), (u, v) = (torch.where(steep, t.T.flip(0), t.T) for t in (delta, middle))
    length = (du * du + dv * dv).sqrt()
    dot = length == 0
    cos = torch.where(dot, 1, du.abs() / length)
    sin = torch.where(dot, 0, dv * du.sign() / length)
    return torch.stack([u, v, cos, sin, length / 2]), steep


def _parts(
    columns: Int[Tensor, " segments"], most: int
) -> Iterator[tuple[Int[Tensor, " some"], Int[Tensor, " columns"]]]:
    """Split segments into runs of about `most` columns: which segments, which columns."""
    edges = torch.cat([columns.new_zeros(1), columns.cumsum(0)])
    marks = most * torch.arange(1, -(-int(edges[-1]) // most), device=columns.device)
    middle = torch.searchsorted(edges[1:], marks)
    cuts = torch.cat([middle.new_zeros(1), middle, middle.new_full((1,), len(columns))])
    spans = zip(pairwise(cuts.tolist()), pairwise(edges[cuts].tolist()), strict=True)
    for segments, these in spans:
        if these[0] < these[1]:
            yield (
                torch.arange(*segments, device=columns.device),
                torch.arange(*these, device=columns.device),
            )


def _windows(
    line: Float[Tensor, "5 columns"],
    walk: Int[Tensor, "4 columns"],
    column: Int[Tensor, " columns"],
    *,
    across: int,
    size: int,
    reach: float,
) -> tuple[Int[Tensor, "across columns"], Float[Tensor, "across columns"]]:
    """The pixels of each column's window and their squared distances from its segment."""
    mid_u, mid_v, cos, sin, half = line
    first, origin, step_u, step_v = walk
    column_u = column + first
    u = column_u - mid_u
    limit = half * cos
    rise = torch.minimum(torch.maximum(u, -limit), limit) * (sin / cos)
    row = (mid_v + rise - math.sqrt(2) * reach).ceil().clamp(0, size - across)
    v = row - mid_v
    k = torch.arange(across, device=row.device)[:, None]
    # In the segment's own frame: the distance along it beyond its ends, and the distance across.
    beyond = torch.addcmul(u * cos + v * sin, k.to(u.dtype), sin).abs_().sub_(half).clamp_min_(0)
    aside = torch.addcmul(v * cos - u * sin, k.to(u.dtype), cos)
    squared = beyond.mul_(beyond).addcmul_(aside, aside)
    corner = origin + column_u * step_u + row.long() * step_v
    return corner + (k.int() * step_v.int()), squared


@torch.no_grad()
def _nearest(
    near: Iterator[_Near], points: Float[Tensor, "points 2"], cells: int, reach: float
) -> tuple[Int[Tensor, " inked"], Int[Tensor, " inked"]]:
    """The cells within reach of a segment, and the segment nearest to each, the last of equals."""
    least = points.new_full((cells,), math.inf)
    owner = torch.full((cells,), -1, device=points.device)
    for pixel, squared, segment in near:
        least.scatter_reduce_(0, pixel.view(-1), squared.view(-1), "amin")
        winner = (squared == least[pixel]) & (squared < reach * reach)
        owner.scatter_reduce_(0, pixel[winner], segment.expand_as(pixel)[winner], "amax")
    inked = (owner >= 0).nonzero()[:, 0]
    return inked, owner[inked]


def _squared_distance(
    points: Float[Tensor, "points 2"],
    start: Int[Tensor, " inked"],
    end: Int[Tensor, " inked"],
    cell: Int[Tensor, " inked"],
    size: int,
) -> Float[Tensor, " inked"]:
    """From pixels to segments, differentiable in the points."""
    centre = torch.stack([cell % size, cell // size % size]).to(points.dtype)
    first, last = (points.T.index_select(1, index) for index in (start, end))
    along, offset = last - first, centre - first  # [2, inked]
    length = (along * along).sum(0)
    part = ((offset * along).sum(0) / torch.where(length > 0, length, 1)).clamp(0, 1)
    gap = offset - part * along
    # A root has no slope at 0, and a pixel on the line must not turn the gradient into NaN.
    return (gap * gap).sum(0).clamp_min(torch.finfo(points.dtype).tiny)
