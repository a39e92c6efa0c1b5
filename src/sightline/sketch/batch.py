"""Many drawings as one flat tensor of points with offsets: ragged, no padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.sketch.sketch import NORMAL_SIDE, Sketch


@dataclass(frozen=True, eq=False)
class SketchBatch:
    """Drawings laid end to end.

    Convention:
        Stroke ``s`` owns ``points[stroke_offsets[s]:stroke_offsets[s + 1]]``; sketch ``n`` owns
        strokes ``sketch_offsets[n]:sketch_offsets[n + 1]``. Canvas units, y down.

    Args:
        points: all points.
        stroke_offsets: int64, starts at 0, ends at the number of points.
        sketch_offsets: int64, starts at 0, ends at the number of strokes.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]])
        >>> batch = SketchBatch.from_sketches([dash, dash])
        >>> len(batch), batch.stroke_offsets.tolist(), batch.sketch_offsets.tolist()
        (2, [0, 2, 4], [0, 1, 2])
    """

    points: Float[Tensor, "points 2"]
    stroke_offsets: Int[Tensor, " strokes_plus_1"]
    sketch_offsets: Int[Tensor, " sketches_plus_1"]

    def __post_init__(self) -> None:
        for name, total in (
            ("stroke_offsets", len(self.points)),
            ("sketch_offsets", len(self.stroke_offsets) - 1),
        ):
            offsets = getattr(self, name)
            if len(offsets) < 1 or int(offsets[0]) != 0 or int(offsets[-1]) != total:
                raise ValueError(f"{name} must start at 0 and end at {total}")

    @classmethod
    def from_sketches(
        cls, sketches: Sequence[Sketch], *, dtype: torch.dtype = torch.float32
    ) -> SketchBatch:
        """Lay drawings end to end on the CPU."""
        strokes = [stroke for sketch in sketches for stroke in sketch.strokes]
        points = np.concatenate(strokes) if strokes else np.zeros((0, 2))
        return cls(
            torch.from_numpy(points).to(dtype),
            offsets_of(torch.tensor([len(s) for s in strokes], dtype=torch.int64)),
            offsets_of(torch.tensor([len(s) for s in sketches], dtype=torch.int64)),
        )

    def __len__(self) -> int:
        """Number of sketches."""
        return len(self.sketch_offsets) - 1

    @property
    def device(self) -> torch.device:
        """Where the points are."""
        return self.points.device

    @cached_property
    def points_per_stroke(self) -> Int[Tensor, " strokes"]:
        """Length of each stroke in points."""
        return self.stroke_offsets.diff()

    @cached_property
    def strokes_per_sketch(self) -> Int[Tensor, " sketches"]:
        """Length of each sketch in strokes."""
        return self.sketch_offsets.diff()

    @cached_property
    def stroke_of_point(self) -> Int[Tensor, " points"]:
        """The stroke that each point belongs to."""
        return _owners(self.points_per_stroke, len(self.points))

    @cached_property
    def sketch_of_stroke(self) -> Int[Tensor, " strokes"]:
        """The sketch that each stroke belongs to."""
        return _owners(self.strokes_per_sketch, len(self.stroke_offsets) - 1)

    @cached_property
    def sketch_of_point(self) -> Int[Tensor, " points"]:
        """The sketch that each point belongs to."""
        return self.sketch_of_stroke[self.stroke_of_point]

    @cached_property
    def order(self) -> Int[Tensor, " strokes"]:
        """Position of each stroke within its sketch, from 0."""
        index = torch.arange(len(self.stroke_offsets) - 1, device=self.device)
        return index - self.sketch_offsets[:-1][self.sketch_of_stroke]

    @cached_property
    def first_points(self) -> Float[Tensor, "strokes 2"]:
        """Where each stroke starts: its location."""
        return self.points[self.stroke_offsets[:-1]]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> SketchBatch:
        """The same drawings on another device or in another float type."""
        device = self.device if device is None else torch.device(device)
        return SketchBatch(
            self.points.to(device, dtype or self.points.dtype),
            self.stroke_offsets.to(device),
            self.sketch_offsets.to(device),
        )

    def with_points(self, points: Float[Tensor, "points 2"]) -> SketchBatch:
        """The same drawings with their points elsewhere."""
        return replace(self, points=points)

    def select(self, sketches: Int[Tensor, " chosen"]) -> SketchBatch:
        """These sketches, in this order (repetition allowed)."""
        return self._with_strokes(self.strokes_of(sketches), self.strokes_per_sketch[sketches])

    def strokes_of(self, sketches: Int[Tensor, " chosen"]) -> Int[Tensor, " strokes"]:
        """The strokes of these sketches, in this order."""
        return ranges_of(self.sketch_offsets[:-1][sketches], self.strokes_per_sketch[sketches])

    def select_strokes(self, kept: Int[Tensor, " kept"]) -> SketchBatch:
        """These strokes, ascending, each in the sketch it belongs to."""
        counts = torch.bincount(self.sketch_of_stroke[kept], minlength=len(self))
        return self._with_strokes(kept, counts)

    def _with_strokes(self, strokes: Tensor, strokes_per_sketch: Tensor) -> SketchBatch:
        lengths = self.points_per_stroke[strokes]
        points = ranges_of(self.stroke_offsets[:-1][strokes], lengths)
        return SketchBatch(self.points[points], offsets_of(lengths), offsets_of(strokes_per_sketch))

    def sketch(self, index: int) -> Sketch:
        """One drawing back as a `Sketch`."""
        points = self.points.detach().cpu().double().numpy()
        ends = self.stroke_offsets.tolist()
        first, last = self.sketch_offsets[index : index + 2].tolist()
        return Sketch(tuple(points[ends[s] : ends[s + 1]] for s in range(first, last)))

    def normalise(self) -> SketchBatch:
        """Each sketch centred, its longest side spanning [-0.74, 0.74].

        A sketch without size is left at the centre unscaled (`Sketch.normalise` refuses it).
        """
        owner = self.sketch_of_point[:, None].expand(-1, 2)
        empty = self.points.new_zeros(len(self), 2)
        lo = empty.scatter_reduce(0, owner, self.points, "amin", include_self=False)
        hi = empty.scatter_reduce(0, owner, self.points, "amax", include_self=False)
        side = (hi - lo).amax(1, keepdim=True)
        scale = torch.where(side > 0, NORMAL_SIDE / side, torch.ones_like(side))
        owner = self.sketch_of_point
        return self.with_points((self.points - ((lo + hi) / 2)[owner]) * scale[owner])


def offsets_of(lengths: Int[Tensor, " runs"]) -> Int[Tensor, " ends"]:
    """Where runs of these lengths start and end: 0, then the running sum.

    Example:
        >>> offsets_of(torch.tensor([2, 3])).tolist()
        [0, 2, 5]
    """
    return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])


def _owners(lengths: Tensor, total: int) -> Tensor:
    index = torch.arange(len(lengths), device=lengths.device)
    return index.repeat_interleave(lengths, output_size=total)


def ranges_of(starts: Int[Tensor, " runs"], lengths: Int[Tensor, " runs"]) -> Int[Tensor, " total"]:
    """Concatenate ``arange(start, start + length)``.

    Example:
        >>> ranges_of(torch.tensor([7, 0]), torch.tensor([2, 3])).tolist()
        [7, 8, 0, 1, 2]
    """
    ends = lengths.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    owner = _owners(lengths, total)
    return torch.arange(total, device=starts.device) + (starts - ends + lengths)[owner]
