"""Random changes of drawings for training, on flat batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.sketch.batch import SketchBatch, offsets_of


@dataclass(frozen=True, eq=False)
class StrokeOrigins:
    """Which old strokes the strokes of a changed batch are made of.

    Args:
        old: for each piece, the stroke that it was.
        new: for each piece, the stroke that it is now, ascending. Every new stroke has a piece.
    """

    old: Int[Tensor, " pieces"]
    new: Int[Tensor, " pieces"]

    def carry(self, values: Float[Tensor, " strokes"]) -> Float[Tensor, " new_strokes"]:
        """A number of each old stroke at the new ones; the largest where several were joined.

        Example:
            >>> joined = StrokeOrigins(torch.tensor([0, 2, 2]), torch.tensor([0, 0, 1]))
            >>> joined.carry(torch.tensor([0.2, 1.0, 0.5]))
            tensor([0.5000, 0.5000])
        """
        count = int(self.new[-1]) + 1 if len(self.new) else 0
        old, new = self.old.to(values.device), self.new.to(values.device)
        start = values.new_zeros(count)
        return start.scatter_reduce(0, new, values[old], "amax", include_self=False)


@dataclass(frozen=True)
class Augmentation:
    """How drawings are varied while a model learns; lengths in the normalised frame [-1, 1].

    Args:
        rotation: standard deviation, radians.
        stretch: standard deviation of the logarithm of the scale along x and y.
        shear: standard deviation.
        flip: probability of mirroring left and right.
        warp: amplitude of a smooth bend of the whole canvas.
        stroke_shift: standard deviation of each stroke's own shift.
        jitter: standard deviation of each point.
        drop: largest probability of leaving out a stroke (drawn anew for each sketch).
        reverse: probability that a stroke is drawn from its other end.
        split: probability that a stroke is cut in two; join: that it continues the one before.
    """

    rotation: float = 0.12
    stretch: float = 0.12
    shear: float = 0.08
    flip: float = 0.5
    warp: float = 0.06
    stroke_shift: float = 0.02
    jitter: float = 0.006
    drop: float = 0.25
    reverse: float = 0.1
    split: float = 0.1
    join: float = 0.05

    def __call__(self, batch: SketchBatch, generator: torch.Generator) -> SketchBatch:
        """A varied, normalised copy of a normalised batch. Every sketch keeps a stroke."""
        return self.traced(batch, generator)[0]

    def traced(
        self, batch: SketchBatch, generator: torch.Generator
    ) -> tuple[SketchBatch, StrokeOrigins]:
        """The same, and which old strokes each new one is made of."""
        batch, kept = _drop(batch, self.drop, generator)
        batch = reverse_strokes(batch, self.reverse, generator)
        batch, cut_from = _split(batch, self.split, generator)
        batch, part_of = _join(batch, self.join, generator)
        return self._move(batch, generator).normalise(), StrokeOrigins(kept[cut_from], part_of)

    def _move(self, batch: SketchBatch, generator: torch.Generator) -> SketchBatch:
        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=batch.points.dtype)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, dtype=batch.points.dtype)

        count = len(batch)
        angle = self.rotation * normal(count)
        scale = (self.stretch * normal(count, 2)).exp()
        scale[:, 0] *= torch.where(uniform(count) < self.flip, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([cos, -sin, sin, cos], 1).view(count, 2, 2)
        shear = torch.eye(2, dtype=batch.points.dtype).repeat(count, 1, 1)
        shear[:, 0, 1] = self.shear * normal(count)
        matrix = turn @ shear * scale[:, None, :]  # acts on column vectors
        owner = batch.sketch_of_point
        points = (matrix[owner] @ batch.points[:, :, None]).squeeze(2)
        points = points + self._warp(points, normal(count, 2, 2), uniform(count, 2), owner)
        points = points + self.stroke_shift * normal(len(batch.order), 2)[batch.stroke_of_point]
        return batch.with_points(points + self.jitter * normal(*points.shape))

    def _warp(
        self, points: Tensor, wave: Tensor, phase: Tensor, owner: Tensor
    ) -> Float[Tensor, "points 2"]:
        argument = (wave[owner] @ points[:, :, None]).squeeze(2) * 2.0 + 2 * math.pi * phase[owner]
        return self.warp * argument.sin()


def drop_strokes(batch: SketchBatch, most: float, generator: torch.Generator) -> SketchBatch:
    """Leave out each stroke with a probability drawn from [0, most] for its sketch."""
    return _drop(batch, most, generator)[0]


def _drop(
    batch: SketchBatch, most: float, generator: torch.Generator
) -> tuple[SketchBatch, Int[Tensor, " kept"]]:
    """Also which strokes are kept."""
    rate = most * torch.rand(len(batch), generator=generator)
    luck = torch.rand(len(batch.order), generator=generator)
    keep = luck >= rate[batch.sketch_of_stroke]
    best = torch.zeros(len(batch)).scatter_reduce(0, batch.sketch_of_stroke, luck, "amax")
    kept = (keep | (luck == best[batch.sketch_of_stroke])).nonzero()[:, 0]
    return batch.select_strokes(kept), kept


def reverse_strokes(batch: SketchBatch, rate: float, generator: torch.Generator) -> SketchBatch:
    """Draw some strokes from their other end."""
    turned = torch.rand(len(batch.order), generator=generator) < rate
    owner = batch.stroke_of_point
    index = torch.arange(len(owner))
    mirrored = batch.stroke_offsets[owner] + batch.stroke_offsets[owner + 1] - 1 - index
    return batch.with_points(batch.points[torch.where(turned[owner], mirrored, index)])


def split_strokes(batch: SketchBatch, rate: float, generator: torch.Generator) -> SketchBatch:
    """Cut some strokes in two at one of their inner points, which both halves keep."""
    return _split(batch, rate, generator)[0]


def _split(
    batch: SketchBatch, rate: float, generator: torch.Generator
) -> tuple[SketchBatch, Int[Tensor, " new_strokes"]]:
    """Also the stroke that each new one was cut from."""
    lengths = batch.points_per_stroke
    cut = (torch.rand(len(lengths), generator=generator) < rate) & (lengths > 3)
    spot = torch.rand(len(lengths), generator=generator)
    at = batch.stroke_offsets[:-1] + 1 + (spot * (lengths - 2)).long()
    twice = torch.ones(len(batch.points), dtype=torch.int64)
    twice[at[cut]] = 2
    first_half = (at - batch.stroke_offsets[:-1] + 1)[cut]
    new_lengths = torch.stack([lengths, torch.zeros_like(lengths)], 1)
    new_lengths[cut] = torch.stack([first_half, lengths[cut] + 1 - first_half], 1)
    counts = torch.zeros(len(batch), dtype=torch.int64)
    counts.index_add_(0, batch.sketch_of_stroke, 1 + cut.long())
    flat = new_lengths.flatten()
    halved = SketchBatch(
        batch.points.repeat_interleave(twice, 0),
        offsets_of(flat[flat > 0]),
        offsets_of(counts),
    )
    return halved, torch.arange(len(lengths)).repeat_interleave(1 + cut.long())


def join_strokes(batch: SketchBatch, rate: float, generator: torch.Generator) -> SketchBatch:
    """Let some strokes continue the stroke before them, as if the pen had not been lifted."""
    return _join(batch, rate, generator)[0]


def _join(
    batch: SketchBatch, rate: float, generator: torch.Generator
) -> tuple[SketchBatch, Int[Tensor, " old_strokes"]]:
    """Also the new stroke that each old one is part of."""
    joined = torch.rand(len(batch.order), generator=generator) < rate
    starts = ~joined | (batch.order == 0)
    counts = torch.zeros(len(batch), dtype=torch.int64)
    counts.index_add_(0, batch.sketch_of_stroke, starts.long())
    end = batch.stroke_offsets[-1:]
    whole = SketchBatch(
        batch.points, torch.cat([batch.stroke_offsets[:-1][starts], end]), offsets_of(counts)
    )
    return whole, starts.cumsum(0) - 1
