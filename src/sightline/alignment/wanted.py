"""Labels of a batch as tensors: where a model should look, beside what it reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.image.batch import PictureBatch
from sightline.sketch.batch import SketchBatch


@dataclass(frozen=True, eq=False)
class Wanted:
    """Where the items of a batch should be looked at, and where not.

    Convention:
        Masks of pictures are ``[items, height, width]`` at the size of the picture; those of
        drawings ``[items, longest]``, padded to the drawing of most strokes. An item without a
        label has masks of 0 and weight 0. Labelled masks are soft, in [0, 1].

    Args:
        must: how much each place has to be looked at.
        must_not: how much each place has to be left alone.
        weight: of each item in the loss on attention; 0 where it has no label.
        there: which places exist (pads of drawings do not); None: all.
    """

    must: Float[Tensor, "items ..."]
    must_not: Float[Tensor, "items ..."]
    weight: Float[Tensor, " items"]
    there: Bool[Tensor, "items ..."] | None = None

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def labelled(self) -> Int[Tensor, " labelled"]:
        """Rows of the items that have a label which counts."""
        return self.weight.nonzero()[:, 0]

    @property
    def of_strokes(self) -> bool:
        """Whether places are strokes."""
        return self.must.dim() == 2

    def select(self, items: Int[Tensor, " chosen"]) -> Wanted:
        """These items, in this order."""
        there = None if self.there is None else self.there[items]
        return Wanted(self.must[items], self.must_not[items], self.weight[items], there)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Wanted:
        """The same on another device or in another float type."""
        masks = [m.to(device, dtype) for m in (self.must, self.must_not, self.weight)]
        there = None if self.there is None else self.there.to(device)
        return Wanted(masks[0], masks[1], masks[2], there)

    @classmethod
    def nothing(cls, batch: SketchBatch | PictureBatch) -> Wanted:
        """No label for any item of a batch."""
        if isinstance(batch, PictureBatch):
            masks = batch.pixels.new_zeros(len(batch), *batch.size)
            return cls(masks, masks, masks.new_zeros(len(batch)))
        there = stroke_places(batch)
        masks = batch.points.new_zeros(there.shape)
        return cls(masks, masks, masks.new_zeros(len(batch)), there)


@dataclass(frozen=True, eq=False)
class GuidedBatch:
    """What a model reads, and where people want it to look.

    Args:
        inputs: pictures or drawings.
        wanted: of each.
        task_weight: of each in the loss of the task.
    """

    inputs: PictureBatch | SketchBatch
    wanted: Wanted
    task_weight: Float[Tensor, " items"]

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, items: Int[Tensor, " chosen"]) -> GuidedBatch:
        """These items, in this order; strokes are padded to the longest of all, as before."""
        return GuidedBatch(
            self.inputs.select(items), self.wanted.select(items), self.task_weight[items]
        )

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> GuidedBatch:
        """The same on another device or in another float type."""
        return GuidedBatch(
            self.inputs.to(device, dtype),
            self.wanted.to(device, dtype),
            self.task_weight.to(device, dtype),
        )

    def with_inputs(self, inputs: PictureBatch | SketchBatch, wanted: Wanted) -> GuidedBatch:
        """The same items, moved: what is read and what is wanted go together."""
        return replace(self, inputs=inputs, wanted=wanted)


def stroke_places(batch: SketchBatch, *, longest: int | None = None) -> Bool[Tensor, "items _"]:
    """Which places of a padded table are strokes.

    Args:
        batch: the drawings.
        longest: columns; by default as many as the drawing of most strokes has.

    Example:
        >>> from sightline.sketch.sketch import Sketch
        >>> dash = [(0, 0), (1, 0)]
        >>> two = [Sketch.from_strokes([dash]), Sketch.from_strokes([dash, dash])]
        >>> stroke_places(SketchBatch.from_sketches(two)).tolist()
        [[True, False], [True, True]]
    """
    counts = batch.strokes_per_sketch
    most = int(counts.max()) if longest is None else longest
    return torch.arange(most, device=batch.device) < counts[:, None]


def padded(
    of_strokes: Float[Tensor, " strokes"], there: Bool[Tensor, "items longest"]
) -> Float[Tensor, "items longest"]:
    """Numbers of strokes laid end to end, as a padded table; differentiable.

    Example:
        >>> padded(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[True, False], [True, True]]))
        tensor([[1., 0.],
                [2., 3.]])
    """
    return torch.zeros(there.shape, dtype=of_strokes.dtype, device=there.device).masked_scatter(
        there, of_strokes
    )
