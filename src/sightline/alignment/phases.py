"""Two phases: learn the task, then learn it again from where people say to look."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from sightline.alignment.augmentation import GuidedAugmentation
from sightline.alignment.examples import CELL_WEIGHTS, WITHOUT_VERDICT, GuidedExamples
from sightline.alignment.items import Items, examples_of
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.alignment.looking import Guide, MapSource
from sightline.alignment.measured import Measured
from sightline.alignment.measures import measure_looking
from sightline.alignment.objective import Guided
from sightline.alignment.proposed import propose
from sightline.alignment.reading import Sighted, sights
from sightline.alignment.verdicts import Verdicts
from sightline.errors import AlignmentError
from sightline.image.augment import PhotoAugmentation
from sightline.models.fingerprint import fingerprint_of
from sightline.sketch.augment import Augmentation
from sightline.training.examples import Examples
from sightline.training.loop import Progress, train
from sightline.training.processes import ALONE, Processes
from sightline.training.recipe import Recipe

PHASE_1 = Recipe(
    epochs=20, batch=32, lr=1e-3, warmup=1.0, weight_decay=0.0, smoothing=0.0, ema=0.99,
    precision="32-true", augmentation=None,
)  # fmt: skip
PHASE_2 = replace(PHASE_1, epochs=10, lr=1e-4, warmup=0.0, normalisation="frozen")


@dataclass(frozen=True)
class Lesson:
    """What people taught: labels of attention, and how much the items of each cell count.

    Args:
        labels: one an item, by its name.
        cells: of the reasonability matrix by item: RA, UA, RI or UI.
        weights: (task, attention) of each cell.
        kept: share of the labelled validation items that stays to choose by; the others are
            learnt from, as in GRADIA, where people judge what the model had not learnt from.
    """

    labels: Mapping[str, AttentionLabel]
    cells: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, tuple[float, float]] = field(default_factory=lambda: CELL_WEIGHTS)
    kept: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.kept <= 1:
            raise AlignmentError(f"kept is a share, in [0, 1]; got {self.kept}")
        for item, cell in self.cells.items():
            if cell not in self.weights:
                known = ", ".join(self.weights)
                raise AlignmentError(f"{item!r} is in cell {cell!r}; known: {known}")
        for cell, pair in self.weights.items():
            if not all(0 <= weight < float("inf") for weight in pair):
                raise AlignmentError(f"the weights of {cell} are {pair}; expected numbers from 0")

    def counts(self, item: str) -> bool:
        """Whether an item has a label with a weight above 0."""
        if item not in self.labels:
            return False
        _, attention = self.weights.get(self.cells.get(item, ""), WITHOUT_VERDICT)
        return attention * self.labels[item].weight > 0

    def moved(self, items: Items) -> list[str]:
        """Labelled validation items that are learnt from; which ones, their names decide."""
        own = [item.name for item in items.splits["valid"] if self.counts(item.name)]
        return [name for name in own if share_of(name) >= self.kept]

    def guided(self, items: Items, split: str, data: Examples) -> GuidedExamples:
        """A split's examples, joined with the labels that fall into it."""
        names = [item.name for item in items.splits[split]]
        own = [self.labels[name] for name in names if name in self.labels]
        return GuidedExamples.from_labels(data, names, own, cells=self.cells, weights=self.weights)

    @property
    def fingerprint(self) -> str:
        """Tells these labels, cells and weights from others."""
        digest = hashlib.sha256(json.dumps([self.kept, *sorted(self.weights.items())]).encode())
        for name in sorted(self.labels):
            label = self.labels[name]
            told = (name, self.cells.get(name, ""), label.weight, label.size)
            digest.update(json.dumps(told).encode())
            for side in ("must", "must_not"):
                digest.update(label.either(side).tobytes())
        return digest.hexdigest()[:16]

    def proposed(self, looked: Mapping[str, Sighted]) -> Verdicts:
        """Proposed verdicts on the items that have a label."""
        own = AttentionLabels.from_rows(self.labels[n] for n in looked if n in self.labels)
        maps = {name: looked[name].map.numpy() for name in own.items}
        return propose(maps, own, {name: looked[name].right for name in own.items})


def learn_task(
    model: nn.Module,
    items: Items,
    *,
    folder: Path,
    recipe: Recipe = PHASE_1,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> list[dict[str, Any]]:
    """Phase 1: train a model in place for the task alone; as `train` otherwise."""
    labels = labels_of_model(model, items)
    training, validation = (_examples(items, split, labels, model) for split in ("train", "valid"))
    return train(
        model,
        training,
        validation,
        recipe,
        folder,
        origin=_origin(model, items),
        progress=progress,
        processes=processes,
    )


def learn_where(
    model: nn.Module,
    items: Items,
    lesson: Lesson,
    guide: Guide,
    *,
    folder: Path,
    recipe: Recipe = PHASE_2,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> list[dict[str, Any]]:
    """Phase 2: train a model in place for the task and for where it looks.

    Labelled items of the training split are learnt from, and most of the validation split's as
    well (``lesson.kept`` stay behind). The best epoch is that of the smallest whole loss on what is
    left of the validation split; without a label there, accuracy alone would choose, which is
    blind to where the model looks, so it is the last. The test split is not read.

    Raises:
        AlignmentError: no label counts in what is learnt from.
    """
    labels, origin = labels_of_model(model, items), _origin(model, items)
    moved = lesson.moved(items)
    if moved and len(moved) == len(items.splits["valid"]):
        raise AlignmentError(
            f"all {len(moved)} items of the validation split have a label and would be learnt "
            "from; keep more of them to choose the epoch by: kept above "
            f"{lesson.kept:g}, or unlabelled items"
        )
    items = items.with_learnt(moved)
    training, validation = (
        lesson.guided(items, split, _examples(items, split, labels, model))
        for split in ("train", "valid")
    )
    if not len(training.labelled):
        raise AlignmentError(
            f"none of the {len(lesson.labels)} labels counts in training: they name items of "
            "another split, or all are in cell RA, whose weight is 0"
        )
    return train(
        model,
        training,
        validation,
        _guided(recipe),
        folder,
        objective=Guided(guide, recipe.smoothing, lesson.fingerprint, chooses_by(validation)),
        origin=origin,
        progress=progress,
        processes=processes,
    )


def measure_split(
    model: nn.Module,
    items: Items,
    lesson: Lesson,
    split: str,
    source: MapSource,
    *,
    verdicts: Verdicts | None = None,
) -> Measured:
    """Accuracy and where a model looks on a split; each class is a group.

    With verdicts, items stand in their cells, and the measures are told by cell as well.
    """
    own, classes = items.splits[split], labels_of_model(model, items)
    data = _examples(items, split, classes, model)
    every = replace(lesson, cells={})  # cells weigh what is learnt, not what is measured
    guided = every.guided(items, split, data)
    return measure_looking(
        model,
        data,
        source,
        items=[item.name for item in own],
        masks=lambda chosen: guided.batch(chosen).wanted,
        classes=classes,
        groups=[item.label for item in own],
        reasonable=verdicts,
    )


def propose_verdicts(
    model: nn.Module, items: Items, lesson: Lesson, split: str, source: MapSource
) -> Verdicts:
    """Verdicts on a split's labelled items, computed from maps and masks and marked so."""
    own = items.splits[split]
    data = _examples(items, split, labels_of_model(model, items), model)
    return lesson.proposed(sights(model, source, data, [item.name for item in own]))


def chooses_by(validation: GuidedExamples) -> str:
    """What chooses the epoch: the whole loss, or the last where no label is left to see it by."""
    return "valid_score" if len(validation.labelled) else "epoch"


def _origin(model: nn.Module, items: Items) -> str:
    """Tells a run from one that began with other weights or other items."""
    digest = hashlib.sha256(fingerprint_of(model).encode())
    for split, own in items.splits.items():
        digest.update(json.dumps([split, *((item.name, item.label) for item in own)]).encode())
    return digest.hexdigest()[:16]


def _examples(items: Items, split: str, labels: tuple[str, ...], model: Any) -> Examples:
    if not items.splits[split]:
        told = ", ".join(f"{len(own)} {name}" for name, own in items.splits.items())
        raise AlignmentError(
            f"the {split} split has no items ({told}); put some there: a folder {split}, or a "
            "splits.json that names them"
        )
    return examples_of(items.splits[split], labels, model)


def labels_of_model(model: Any, items: Items) -> tuple[str, ...]:
    """The model's classes, among which are all of the items'."""
    known: tuple[str, ...] = tuple(model.labels)
    missing = sorted(set(items.labels) - set(known))
    if missing:
        raise AlignmentError(
            f"the model knows no class {', '.join(missing)}; it knows {', '.join(known) or 'none'}"
        )
    return known


def _guided(recipe: Recipe) -> Recipe:
    """The same recipe, whose augmentation moves labels with what they lie on."""
    if isinstance(recipe.augmentation, PhotoAugmentation | Augmentation):
        return replace(recipe, augmentation=GuidedAugmentation(recipe.augmentation))
    return recipe


def share_of(name: str) -> float:
    """A number in [0, 1) that a name alone decides.

    Example:
        >>> share_of("duck.jpg") == share_of("duck.jpg") != share_of("goose.jpg")
        True
    """
    return int.from_bytes(hashlib.sha256(f"kept/{name}".encode()).digest()[:4], "big") / 2**32
