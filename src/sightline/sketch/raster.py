"""Drawings as pictures: strokes in, ink in [0, 1] out, differentiable in the points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import DrawingError, unknown_name
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import LARGEST_COORDINATE

FAINTEST_INK = 1e-7
"""Sigmoid ink below this is no ink: it ends the sigmoid's otherwise endless reach."""

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
        profile: how ink falls off: linear, sigmoid or hard.
        beta: how steep the sigmoid is, per pixel.

    Raises:
        ValueError: a size below 1, a line width or beta that is not above 0, an unknown profile.

    Example:
        >>> from sightline.sketch.sketch import Sketch
        >>> eyes = [[(-0.4, -0.6), (-0.4, -0.3)], [(0.4, -0.6), (0.4, -0.3)]]
        >>> mouth = [(-0.7, 0.2), (-0.3, 0.6), (0.3, 0.6), (0.7, 0.2)]
        >>> smile = SketchBatch.from_sketches([Sketch.from_strokes([*eyes, mouth])])
        >>> pictures = Rasteriser(size=12, line_width=0.2)(smile)
        >>> pictures.shape
        torch.Size([1, 12, 12])
        >>> for row in pictures[0, 1:-1]:
        ...     print("".join("_-+#"[round(3 * float(ink))] for ink in row))
        ___-____-___
        ___#-__-#___
        ___#-__-#___
        ___+____+___
        ____________
        _-________-_
        _++______++_
        __++____++__
        ___+####+___
        ____----____

    Source:
        The sigmoid and its straight-through form: P-SLA of Qu et al., CVPR 2024. The cut at 1e-7
        and the linear profile are ours.
    """

    size: int = 64
    line_width: float = 0.05
    profile: str = "linear"
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

    def softened(self, beta: float) -> Rasteriser:
        """The same lines with a sigmoid's edge, whose gradient reaches further than a line's own.

        Args:
            beta: how steep, per pixel.
        """
        return replace(self, profile="sigmoid", beta=beta)

    @property
    def _tau(self) -> float:
        return self.line_width * self.size / 4  # half the width, in pixels

    @property
    def _reach(self) -> float:
        """The distance in pixels from which on there is no ink."""
        if self.profile == "linear":
            return max(self._tau, 0.5) + 0.5
        return self._tau - math.log(FAINTEST_INK) / self.beta

    @property
    def _plateau(self) -> float:
        """The distance in pixels up to which ink is all there and does not change."""
        return max(self._tau - 0.5, 0) if self.profile == "linear" else 0

    def _ink(self, squared_distance: Tensor) -> Tensor:
        return PROFILES[self.profile](squared_distance.sqrt(), self._tau, self.beta)

    def _draw(self, batch: SketchBatch, layer_of_stroke: Tensor, layers: int) -> Tensor:
        _check_points(batch.points)
        points = (batch.points + 1) * (self.size / 2) - 0.5  # pixel centres at whole numbers
        start, end = _segments(batch)
        lines = _Lines(start, end, layer_of_stroke[batch.stroke_of_point[start]])
        paper = points.new_zeros(layers * self.size * self.size)
        if points.requires_grad:
            self._draw_sloped(paper, points, lines)
        else:
            for pixel, squared, _ in _near(points, lines, size=self.size, reach=self._reach):
                paper.scatter_reduce_(0, pixel.view(-1), self._ink(squared).view(-1), "amax")
        return paper.view(layers, self.size, self.size)

    def _draw_sloped(self, paper: Tensor, points: Tensor, lines: _Lines) -> None:
        """Draw with gradients: find who is nearest without them, then measure only that again."""
        pixel, squared, nearest = _nearest(
            points, lines, len(paper) // self.size**2, size=self.size, reach=self._reach
        )
        paper.scatter_(0, pixel, self._ink(squared))
        sloped = (squared > self._plateau**2).nonzero()[:, 0]
        pixel, nearest = pixel[sloped], nearest[sloped]
        squared = _squared_distance(
            points, lines.start[nearest], lines.end[nearest], pixel, self.size
        )
        paper.scatter_(0, pixel, self._ink(squared))


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
"""Ink by distance and tau, half the line width, both in pixels, and by beta."""


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
    marks = torch.arange(most, max(int(edges[-1]), most), most, device=count.device)
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
    row = (middle_v + u * (sin / cos) - math.sqrt(2) * reach).ceil().clamp_(0, size - across)
    v = row - middle_v
    k = torch.arange(across, device=row.device)[:, None]
    # In the segment's own frame: how far along it beyond its ends, and how far aside.
    beyond = torch.addcmul(u * cos + v * sin, k.to(u.dtype), sin).abs_().sub_(half).clamp_min_(0)
    aside = torch.addcmul(v * cos - u * sin, k.to(u.dtype), cos)
    corner = corner + column * strides[0] + row.long() * strides[1]
    return corner + k * strides[1], beyond.mul_(beyond).addcmul_(aside, aside)


_Nearest = tuple[Int[Tensor, " inked"], Float[Tensor, " inked"], Int[Tensor, " inked"]]
"""Pixels within reach, each once: where, squared distance, which segment is nearest."""


def _nearest(
    points: Float[Tensor, "points 2"], lines: _Lines, layers: int, *, size: int, reach: float
) -> _Nearest:
    """The pixels of all layers within reach of a segment: some layers at a time, to save memory."""
    some = max(min(8 * _at_once(points) // size**2, layers), 1)
    marks = torch.arange(0, layers + some, some, device=points.device)
    cuts = torch.searchsorted(lines.layer, marks).tolist()
    nothing = lines.start[:0]
    found = [(nothing, points.detach()[:0, 0], nothing)]
    for run, (first, last) in enumerate(pairwise(cuts)):
        layer = lines.layer[first:last] - run * some
        part = _Lines(lines.start[first:last], lines.end[first:last], layer)
        for pixel, squared, segment in _nearest_of(points, part, some, size=size, reach=reach):
            found.append((pixel + run * some * size**2, squared, segment + first))
    pixel, squared, segment = (torch.cat(column) for column in zip(*found, strict=True))
    return pixel, squared, segment


@torch.no_grad()
def _nearest_of(
    points: Float[Tensor, "points 2"], lines: _Lines, layers: int, *, size: int, reach: float
) -> list[_Nearest]:
    """The same, in several pieces, for few layers.

    Of equally near segments it is the last that is looked at: they share the near point, or the
    pixel stands midway between them and has no one gradient.
    """
    least = points.new_full((layers * size**2,), math.inf)
    owner = torch.empty_like(least, dtype=torch.int64)
    claims = []
    for pixels, squared_distances, segments in _near(points, lines, size=size, reach=reach):
        pixel, squared = pixels.view(-1), squared_distances.view(-1)
        least.scatter_reduce_(0, pixel, squared, "amin")
        best = (squared == least.index_select(0, pixel)) & (squared < reach**2)
        won = best.nonzero()[:, 0]
        pixel, squared, segment = pixel[won], squared[won], segments[won % len(segments)]
        owner.scatter_reduce_(0, pixel, segment, "amax", include_self=False)
        claims.append((pixel, squared, segment))
    last = [owner[pixel] == segment for pixel, _, segment in claims]
    return [(p[kept], d[kept], s[kept]) for (p, d, s), kept in zip(claims, last, strict=True)]


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
