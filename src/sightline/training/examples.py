"""What training and evaluation read: prepared drawings with labels, in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from sightline.errors import SightlineError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from sightline.sketch.store import StoredSplit


@runtime_checkable
class Batch(Protocol):
    """What a model reads at once: drawings, pictures, or either with labels of attention."""

    def __len__(self) -> int:
        """How many items."""
        ...

    def select(self, index: Int[Tensor, " chosen"], /) -> Batch:
        """These items, in this order."""
        ...

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Batch:
        """The same elsewhere, or in another float type."""
        ...


@runtime_checkable
class Examples(Protocol):
    """Labelled items, as a model reads them, by index."""

    def __len__(self) -> int:
        """How many."""
        ...

    def batch(self, index: Int[Tensor, " chosen"]) -> Any:
        """These items, in this order, as a `Batch`; drawings in the normalised frame."""
        ...

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Their labels, as indices into the model's."""
        ...


@runtime_checkable
class StrokeExamples(Examples, Protocol):
    """Drawings, whose lengths are known before they are read."""

    def strokes_per_sketch(self) -> Int[Tensor, " sketches"]:
        """Strokes of every drawing."""
        ...

    def longest_stroke(self) -> Int[Tensor, " sketches"]:
        """Points of the longest stroke of every drawing."""
        ...


@dataclass(frozen=True, eq=False)
class Labelled:
    """Prepared drawings in memory with the index of their label."""

    drawings: SketchBatch
    target: Int[Tensor, " sketches"]

    def __len__(self) -> int:
        return len(self.drawings)

    def batch(self, index: Int[Tensor, " chosen"]) -> SketchBatch:
        """These drawings, in this order."""
        return self.drawings.select(index)

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Their labels."""
        return self.target[index]

    def strokes_per_sketch(self) -> Int[Tensor, " sketches"]:
        """Strokes of every drawing."""
        return self.drawings.strokes_per_sketch

    def longest_stroke(self) -> Int[Tensor, " sketches"]:
        """Points of the longest stroke of every drawing."""
        points, owner = self.drawings.points_per_stroke, self.drawings.sketch_of_stroke
        return points.new_zeros(len(self)).scatter_reduce(0, owner, points, "amax")

    @classmethod
    def from_sketches(
        cls,
        sketches: Sequence[Sketch],
        labels: Sequence[str],
        prepare: Callable[[Sketch], Sketch],
    ) -> Labelled:
        """Prepare drawings as a model wants them and look their labels up.

        Raises:
            SightlineError: no drawings, or a label that is not among the model's.
        """
        _not_empty(sketches)
        places = _places(sorted({str(s.label) for s in sketches}), labels)
        drawings = SketchBatch.from_sketches([prepare(s) for s in sketches])
        return cls(drawings, torch.tensor([places[str(s.label)] for s in sketches]))


class Stored:
    """A split of a collection on disk, each batch normalised as it is read.

    Nothing is kept in memory. Drawings are not simplified: a collection holds them as the model
    should read them.

    Args:
        split: of a `SketchStore`.
        labels: the model's.

    Raises:
        SightlineError: no drawings, or a label that is not among the model's.
    """

    def __init__(self, split: StoredSplit, labels: Sequence[str]) -> None:
        _not_empty(split)
        self._split = split
        places = _places(split.labels, labels)
        self._place = torch.tensor([places[label] for label in split.labels])

    def __len__(self) -> int:
        return len(self._split)

    def batch(self, index: Int[Tensor, " chosen"]) -> SketchBatch:
        """These drawings, in this order, in the normalised frame."""
        return self._split.batch(index).normalise()

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Their labels, as indices into the model's."""
        return self._place[self._split.targets(index)]

    def strokes_per_sketch(self) -> Int[Tensor, " sketches"]:
        """Strokes of every drawing."""
        return self._split.strokes_per_sketch()

    def longest_stroke(self) -> Int[Tensor, " sketches"]:
        """Points of the longest stroke of every drawing."""
        return self._split.longest_stroke()


def _not_empty(examples: Sequence[Sketch] | StoredSplit) -> None:
    if not len(examples):
        raise SightlineError("no drawings: the split is empty")


def _places(found: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    places = {label: index for index, label in enumerate(labels)}
    unknown = [label for label in found if label not in places]
    if unknown:
        raise SightlineError(
            f"labels {', '.join(unknown)} are not among the model's: {', '.join(labels)}"
        )
    return places
