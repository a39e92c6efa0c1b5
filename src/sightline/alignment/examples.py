"""Labelled items of a task, joined with what people said about where to look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.alignment.labels import AttentionLabel, nearest_names, refuse_other_size
from sightline.alignment.placing import at_size
from sightline.alignment.wanted import GuidedBatch, Wanted
from sightline.errors import AlignmentError, unknown_name
from sightline.training.examples import Examples, StrokeExamples

CELL_WEIGHTS: dict[str, tuple[float, float]] = {
    "UI": (1.0, 1.0),
    "UA": (0.4, 1.6),
    "RI": (0.8, 0.2),
    "RA": (1.0, 0.0),
}
"""Of the task and of attention, for the items of each cell of the matrix.

Source:
    Gao et al., "Aligning Eyes between Humans and Deep Neural Network through Interactive Attention
    Alignment" (GRADIA), CSCW 2022.
"""
WITHOUT_VERDICT = (1.0, 1.0)

Masks = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class GuidedExamples:
    """Items of a task, some of them with labels of attention.

    A batch's weights are scaled so that the mean over its items is GRADIA's sum: the mean task loss
    plus the mean over its *labelled* items of their loss on attention.

    Args:
        data: what is read, and the task's labels.
        masks: must and must-not of the labelled items by their index, at the size of the picture
            ``[height, width]`` or ``[strokes]``.
        attention_weight: by index, of labelled items; 1 where none is given.
        task_weight: by index; 1 where none is given.

    Raises:
        AlignmentError: an index beyond the data, a negative weight.
    """

    data: Examples
    masks: Mapping[int, Masks]
    attention_weight: Mapping[int, float] = field(default_factory=dict)
    task_weight: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index in (*self.masks, *self.attention_weight, *self.task_weight):
            if not 0 <= index < len(self.data):
                raise AlignmentError(f"a label for item {index} of {len(self.data)}")
        for weight in (*self.attention_weight.values(), *self.task_weight.values()):
            if not 0 <= weight < float("inf"):
                raise AlignmentError(f"a weight of {weight}; expected a number from 0")

    @classmethod
    def from_labels(
        cls,
        data: Examples,
        names: Sequence[str],
        labels: Iterable[AttentionLabel],
        *,
        cells: Mapping[str, str] | None = None,
        weights: Mapping[str, tuple[float, float]] = CELL_WEIGHTS,
    ) -> GuidedExamples:
        """Join items and labels by name.

        Args:
            data: pictures (`Pictures`) or drawings.
            names: of the items, in their order.
            labels: at most one an item: see `combined` for several persons'.
            cells: of the reasonability matrix, by item; items without one count (1, 1).
            weights: (task, attention) of each cell.

        Raises:
            AlignmentError: a label for an unknown item, two labels of one item, a mask of another
                number of strokes or another aspect than its picture, an unknown cell.
        """
        if len(names) != len(data):
            raise AlignmentError(f"{len(data)} items have {len(names)} names; give one each")
        place = {name: index for index, name in enumerate(names)}
        often, joined = Counter(names), _Joined(data)
        masks: dict[int, Masks] = {}
        attention: dict[int, float] = {}
        task: dict[int, float] = {}
        for label in labels:
            if label.item not in place:
                raise AlignmentError(_unknown(label.item, names))
            if often[label.item] > 1:
                raise AlignmentError(_twice(label.item, often[label.item]))
            index = place[label.item]
            if index in masks:
                raise AlignmentError(
                    f"{label.item!r} has two labels; combine them first: sl.combined(labels)"
                )
            masks[index] = joined.masks(label, index)
            attention[index] = label.weight
        for item, cell in (cells or {}).items():
            if cell not in weights:
                raise AlignmentError(unknown_name("cell", cell, weights))
            if item in place and (index := place[item]) in masks:
                task[index], factor = weights[cell]
                attention[index] *= factor
        return cls(data, masks, attention, task)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def labelled(self) -> Int[Tensor, " labelled"]:
        """Indices of the items whose label counts."""
        counts = [i for i in sorted(self.masks) if self.attention_weight.get(i, 1.0) > 0]
        return torch.tensor(counts, dtype=torch.int64)

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """The task's labels."""
        return self.data.targets(index)

    def batch(self, index: Int[Tensor, " chosen"]) -> GuidedBatch:
        """These items, in this order."""
        inputs, chosen = self.data.batch(index), index.tolist()
        weight = torch.tensor(
            [self.attention_weight.get(i, 1.0) if i in self.masks else 0.0 for i in chosen]
        )
        weight = weight * (len(chosen) / max(int((weight > 0).sum()), 1))
        task = torch.tensor([self.task_weight.get(i, 1.0) for i in chosen])
        return GuidedBatch(inputs, self._wanted(inputs, chosen, weight), task)

    def _wanted(self, inputs: Any, chosen: list[int], weight: Float[Tensor, " chosen"]) -> Wanted:
        nothing = Wanted.nothing(inputs)
        tables = nothing.must.clone(), nothing.must_not.clone()
        for row, item in enumerate(chosen):
            for table, mask in zip(tables, self.masks.get(item, ()), strict=False):
                table[row, : len(mask)] = mask  # a drawing's row ends in pads
        return replace(nothing, must=tables[0], must_not=tables[1], weight=weight)


@dataclass(frozen=True, eq=False)
class _Joined:
    """Labels as masks at the places that the model's input has."""

    data: Any

    @cached_property
    def strokes(self) -> list[int] | None:
        """Of every drawing; None of pictures."""
        if not isinstance(self.data, StrokeExamples):
            return None
        return self.data.strokes_per_sketch().tolist()

    def masks(self, label: AttentionLabel, index: int) -> Masks:
        """Must and must-not."""
        if label.of_strokes != (self.strokes is not None):
            kinds = ("photo", "drawing")
            raise AlignmentError(
                f"the label of {label.item!r} is one of a {kinds[label.of_strokes]}, "
                f"{list(label.size)}; the item is a {kinds[not label.of_strokes]}"
            )
        given = [torch.from_numpy(label.either(name).copy()) for name in ("must", "must_not")]
        size = self.data.photo_size(index) if self.strokes is None else (self.strokes[index],)
        refuse_other_size(label, size)
        if self.strokes is not None:
            return given[0], given[1]
        must, must_not = at_size(torch.stack(given), self.data.size)
        return must, must_not


def _twice(item: str, count: int) -> str:
    return f"a label for {item!r}, which is the name of {count} items; give each its own"


def _unknown(item: str, names: Sequence[str]) -> str:
    return (
        f"a label for what is not there: {nearest_names(item, names)}; mend its name, or leave it "
        "out with labels.only(names)"
    )
