"""A classifier measured by its answers and by where it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.looking import MapSource
from sightline.alignment.measured import BY_PEOPLE, Looking, Measured
from sightline.alignment.overlap import (
    GRADIA,
    RES,
    energy_inside,
    gradia_iou,
    precision_recall_f1,
    wrong_reason,
)
from sightline.alignment.reading import BATCH, able_to_look, one_score_a_place
from sightline.alignment.verdicts import Verdicts, cell_of
from sightline.alignment.wanted import Wanted
from sightline.errors import AlignmentError
from sightline.models.place import place
from sightline.training.examples import Examples

Reasonable = Callable[[Looking], bool | None] | Verdicts


def measure_looking(
    model: nn.Module,
    data: Examples,
    source: MapSource,
    *,
    items: Sequence[str],
    masks: Callable[[Int[Tensor, " chosen"]], Wanted],
    classes: Sequence[str] = (),
    groups: Sequence[str] | None = None,
    reasonable: Reasonable | None = None,
    map_of: Literal["predicted", "true"] = "predicted",
    iou_threshold: float = GRADIA,
    threshold: float = RES,
    unmarked: Literal["wrong", "open"] = "wrong",
    batch: int = BATCH,
    smallest_group: int = 10,
    seed: int = 0,
) -> Measured:
    """Run a classifier over examples and measure where it looks; it is left as it came.

    One forward pass a batch, in evaluation mode, gives logits and maps. Maps of input gradients
    ``[channels, height, width]`` become the sum of the channels' magnitudes.

    Args:
        model: a classifier.
        data: what it reads, and the true classes.
        source: of the maps.
        items: a name for each of ``data``; names pair two measurements.
        masks: the labels of some rows, at the size of their pictures, or a column a stroke.
        classes: names of the classes; by default their numbers.
        groups: of each item, for the worst-group accuracy; for example class x ground.
        reasonable: whether a map is reasonable, for the cells RA, UA, RI, UI: a rule on the row,
            or verdicts (people's hold for the maps that they saw, not for another model's).
        map_of: read maps for the predicted class, as GRADIA's evaluation does, or for the true one,
            as its training does.
        iou_threshold: of `gradia_iou`.
        threshold: of `precision_recall_f1`.
        unmarked: whether a bright place that nobody marked is wrong, or left open (RES's way; items
            without must-not places have no precision and no F1 then).
        batch: items a forward pass; the numbers do not depend on it.
        smallest_group: of fewer items are named, and do not count as the worst.
        seed: of the intervals.

    Raises:
        AlignmentError: other numbers of names, groups and examples; a name twice; no examples.
    """
    _refuse_unequal(len(data), items, groups)
    limits = _Limits(iou_threshold, threshold, unmarked == "open")
    device, dtype = place(model)
    judge, whose = _judge(reasonable)
    rows: list[Looking] = []
    with able_to_look(model):
        for chosen in torch.arange(len(data)).split(batch):
            looked = source.look(model, data.batch(chosen).to(device, dtype))
            logits, truth = looked.logits.detach(), data.targets(chosen)
            read_for = logits.argmax(1) if map_of == "predicted" else truth.to(logits.device)
            maps = one_score_a_place(looked.maps(read_for).detach().cpu())
            wanted = masks(chosen).to("cpu")
            _refuse_other_rows(len(chosen), maps, wanted)
            found = _rows(logits.cpu(), read_for.cpu(), maps, wanted, limits)
            rows += [replace(r, truth=str(int(t))) for r, t in zip(found, truth, strict=True)]
    named = [
        _named(row, items[i], groups[i] if groups is not None else "", classes)
        for i, row in enumerate(rows)
    ]
    settings = {
        "maps": source.settings,
        "map_of": map_of,
        "channels": "the sum of their magnitudes, where a map has channels",
        "negative_scores": "0 for iou, energy and wrong reason; kept for precision, recall and f1",
        "iou_threshold": iou_threshold,
        "threshold": threshold,
        "unmarked": unmarked,
        "cells": whose,
    }
    placed = tuple(_in_cell(row, judge(row)) for row in named)
    return Measured(placed, settings, smallest_group, seed)


@dataclass(frozen=True)
class _Limits:
    """From where on a map is bright, and whether unmarked places count."""

    iou_threshold: float
    threshold: float
    open_unmarked: bool

    def numbers(self, of_map: Tensor, must: Tensor, must_not: Tensor) -> dict[str, Any]:
        """Every number that the label allows."""
        found: dict[str, Any] = {"labelled": True}
        if must_not.any():
            found |= {"has_must_not": True, "wrong_reason": wrong_reason(of_map, must_not)}
        if not must.any():
            return found
        found |= {
            "has_must": True,
            "iou": gradia_iou(of_map, must, threshold=self.iou_threshold),
            "energy": energy_inside(of_map, must),
        }
        others = must_not if self.open_unmarked else None
        overlap = precision_recall_f1(of_map, must, others, threshold=self.threshold)
        if overlap is None:
            return found
        if self.open_unmarked and not must_not.any():  # nothing could be wrong
            return found | {"recall": overlap.recall}
        return found | overlap._asdict()


def _rows(
    logits: Float[Tensor, "items classes"],
    read_for: Int[Tensor, " items"],
    maps: Tensor,
    wanted: Wanted,
    limits: _Limits,
) -> Iterator[Looking]:
    """Rows of a batch, without the names that the caller knows."""
    sure, best = logits.double().softmax(1).max(1)
    for i in range(len(logits)):
        of_map, must, must_not = _of_item(i, maps, wanted)
        labelled = bool(wanted.weight[i] > 0)
        yield Looking(
            item="",
            truth="",
            predicted=str(int(best[i])),
            confidence=float(sure[i]),
            read_for=str(int(read_for[i])),
            blank=not bool((of_map > 0).any()),
            **(limits.numbers(of_map, must, must_not) if labelled else {}),
        )


def _of_item(i: int, maps: Tensor, wanted: Wanted) -> tuple[Tensor, Tensor, Tensor]:
    """Map, must and must-not of one item; of a drawing without the pads, which come last."""
    if wanted.there is None:
        return maps[i], wanted.must[i], wanted.must_not[i]
    count = int(wanted.there[i].sum())
    if maps.dim() != 2 or maps.shape[1] < count:
        raise AlignmentError(
            f"maps of shape {list(maps.shape)} for drawings of up to {count} strokes; expected one "
            "score a stroke"
        )
    return maps[i, :count], wanted.must[i, :count], wanted.must_not[i, :count]


def _named(row: Looking, item: str, group: str, classes: Sequence[str]) -> Looking:
    if not classes:
        return replace(row, item=item, group=group)
    truth, predicted, read_for = (
        str(classes[int(number)]) for number in (row.truth, row.predicted, row.read_for)
    )
    return replace(row, item=item, group=group, truth=truth, predicted=predicted, read_for=read_for)


def _judge(reasonable: Reasonable | None) -> tuple[Callable[[Looking], bool | None], str]:
    """What says whether a map is reasonable, and whose word it is."""
    if reasonable is None:
        return lambda _: None, "nothing"
    if not isinstance(reasonable, Verdicts):
        return reasonable, "a rule of the program, not people"
    told = {item: cell.startswith("R") for item, cell in reasonable.cells.items()}
    whose = "proposed verdicts, not people" if reasonable.are_proposed else BY_PEOPLE
    return lambda row: told.get(row.item), whose


def _in_cell(row: Looking, reasonable: bool | None) -> Looking:
    if reasonable is None:
        return row
    return replace(row, cell=cell_of(reasonable=reasonable, accurate=row.right))


def _refuse_unequal(count: int, items: Sequence[str], groups: Sequence[str] | None) -> None:
    if not count:
        raise AlignmentError("no examples to measure")
    if len(items) != count or (groups is not None and len(groups) != count):
        told = "" if groups is None else f" and {len(groups)} groups"
        raise AlignmentError(f"{count} examples have {len(items)} names{told}; give one each")
    if len(set(items)) < count:
        twice = next(item for item in items if list(items).count(item) > 1)
        raise AlignmentError(f"item {twice!r} is there twice; items are paired by their names")


def _refuse_other_rows(count: int, maps: Tensor, wanted: Wanted) -> None:
    if not count == len(maps) == len(wanted):
        raise AlignmentError(
            f"{count} items came with {len(maps)} maps and {len(wanted)} labels; masks(index) "
            "gives the labels of the rows that it is asked for, in their order"
        )
