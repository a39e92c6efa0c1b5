"""Person or no person on real photos: from a photo to the matrix to phase 2, the whole path.

53 photos are too few for a claim about any method; they show that the path holds on real photos
with masks that people drew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.alignment.before_after import BeforeAfter, compare
from sightline.alignment.formats.coco import read_coco_labels
from sightline.alignment.guides import guide
from sightline.alignment.items import Item, Items, labels_for
from sightline.alignment.labels import AttentionLabel
from sightline.alignment.matrix import Matrix
from sightline.alignment.measured import Measured
from sightline.alignment.phases import (
    PHASE_1,
    PHASE_2,
    Lesson,
    learn_task,
    learn_where,
    measure_split,
    propose_verdicts,
)
from sightline.alignment.verdicts import Verdicts
from sightline.errors import SightlineError
from sightline.image.augment import PhotoAugmentation
from sightline.image.coco import read_coco
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.ssd_mobilenet import SSDMobileNet
from sightline.models.ssd_quantised import load_ssd_mobilenet
from sightline.sketch.files import replace_file

CLASSES = ("no person", "person")
SIDE = 224
FOLDS = 5
Progress = Callable[[str], None]


class MobileNetClassifier(nn.Module):
    """The backbone of an SSD-MobileNetV1 that knows photos, a global mean and a new linear head.

    Args:
        detector: whose weights are copied.
        classes: width of the head, which starts at 0.

    Example:
        >>> net = MobileNetClassifier(SSDMobileNet(depth=0.25), classes=2)
        >>> net(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 2])
    """

    def __init__(self, detector: SSDMobileNet, *, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [detector.stem, nn.ReLU6()]
        for depthwise, pointwise in zip(detector.depthwise, detector.pointwise, strict=True):
            layers += [depthwise, nn.ReLU6(), pointwise, nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(cast("nn.Conv2d", layers[-2]).out_channels, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, pictures: Float[Tensor, "pictures 3 height width"]
    ) -> Float[Tensor, "pictures classes"]:
        """Logits of RGB in [-1, 1]."""
        maps = self.features(pictures.contiguous(memory_format=torch.channels_last))
        return self.head(F.adaptive_avg_pool2d(maps, 1).flatten(1))


@dataclass(frozen=True, eq=False)
class PeopleFindings:
    """What both phases did, every photo tested once, by models that had not learnt from it.

    Args:
        before: phase 1 on all photos.
        after: phase 2.
        matrices: proposed verdicts before and after.
    """

    before: Measured
    after: Measured
    matrices: tuple[Matrix, Matrix]

    @property
    def change(self) -> BeforeAfter:
        """Photo by photo."""
        return compare(self.before, self.after)

    def markdown(self) -> str:
        """Both matrices and the paired table."""
        first, second = (matrix.markdown() for matrix in self.matrices)
        return (
            f"Phase 1, proposed verdicts:\n\n{first}\n\nPhase 2, proposed verdicts:\n\n{second}\n\n"
            f"{self.change.markdown()}\n\n{len(self.before.rows)} photos: too few for a claim.\n"
        )


def people(
    data: str | os.PathLike[str],
    detector: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    epochs: tuple[int, int] = (20, 12),
    strength: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> PeopleFindings:
    """Both phases on five folds: learn person or not, propose verdicts, learn where to look.

    The masks of people are labels of attention. The verdicts that set the weights of phase 2 are
    proposed ones, on photos that are learnt from: no person sat at this.

    Args:
        data: COCO's layout: ``instances_boxes.json``, ``panoptic.json`` and ``panoptic``,
            ``images``.
        detector: folder of an SSD-MobileNetV1 (`load_ssd_mobilenet`).
        out: of the runs; one that was killed goes on.
        epochs: of the two phases.
        strength: of the loss on attention.
        seed: of the folds and all luck.
        progress: is told a line now and then.

    Raises:
        SightlineError: no photos of one of the two kinds.
    """
    data, out = Path(data), Path(out)
    rows = _photos(data)
    masks = read_coco_labels(
        data / "panoptic.json", category="person", panoptic_folder=data / "panoptic"
    )
    tables: tuple[list[Measured], list[Measured]] = ([], [])
    verdicts: tuple[list[Any], list[Any]] = ([], [])
    for fold in range(FOLDS):
        items = _fold(rows, fold, seed)
        labels = labels_for(items, masks, on_unknown="skip")
        folder = out / f"fold-{fold}"
        phases = _both_phases(
            (items, labels), detector, folder, epochs=epochs, strength=strength, seed=seed
        )
        for phase, (found, proposed) in enumerate(phases):
            tables[phase].append(found)
            verdicts[phase].extend(proposed)
            if progress is not None:
                right = sum(row.right for row in found.rows)
                progress(f"fold {fold + 1}/{FOLDS}, phase {phase + 1}: {right}/{len(found.rows)}\n")
    before, after = (
        replace(own[0], rows=tuple(row for part in own for row in part.rows)) for own in tables
    )
    first, second = (Matrix.from_verdicts(Verdicts.proposed(rows)) for rows in verdicts)
    findings = PeopleFindings(before, after, (first, second))
    with replace_file(out / "people.json") as stream:
        told = {"before": before.as_dict(rows=True), "after": after.as_dict(rows=True)}
        stream.write(json.dumps(told, indent=1).encode())
    return findings


def _both_phases(
    task: tuple[Items, Mapping[str, AttentionLabel]],
    detector: str | os.PathLike[str],
    folder: Path,
    *,
    epochs: tuple[int, int],
    strength: float,
    seed: int,
) -> list[tuple[Measured, Verdicts]]:
    """Measures and proposed verdicts on the test fold, after each phase."""
    items, labels = task
    net = MobileNetClassifier(load_ssd_mobilenet(detector), classes=len(CLASSES))
    model = PictureClassifier(
        net, labels=CLASSES, size=(SIDE, SIDE), mean=(0.5,) * 3, std=(0.5,) * 3,
        resampling="antialiased",
    )  # fmt: skip
    varied: dict[str, Any] = {
        "batch": 8,
        "augmentation": PhotoAugmentation(),
        "seed": seed,
        "ema": 0.9,
    }
    source, plain = guide("gradia").source, Lesson(labels)
    learn_task(
        model, items, folder=folder / "phase-1",
        recipe=replace(PHASE_1, epochs=epochs[0], lr=2e-4, **varied),
    )  # fmt: skip
    found = [
        (
            measure_split(model, items, plain, "test", source),
            propose_verdicts(model, items, plain, "test", source),
        )
    ]
    cells = {
        verdict.item: verdict.cell
        for split in ("train", "valid")
        for verdict in propose_verdicts(model, items, plain, split, source)
    }
    learn_where(
        model, items, Lesson(labels, cells), guide("gradia", strength=strength),
        folder=folder / "phase-2",
        recipe=replace(PHASE_2, epochs=epochs[1], lr=1e-4, **varied),
    )  # fmt: skip
    found.append(
        (
            measure_split(model, items, plain, "test", source),
            propose_verdicts(model, items, plain, "test", source),
        )
    )
    return found


def _photos(data: Path) -> list[Item]:
    """Every photo of the set, and whether a person is in it."""
    file = read_coco(data / "instances_boxes.json")
    person = {number for number, name in file.categories.items() if name == "person"}
    with_person = {row["image_id"] for row in file.annotations if row["category_id"] in person}
    rows = [
        Item(name, CLASSES[number in with_person], data / "images" / name)
        for number, (name, _) in sorted(file.photos.items())
    ]
    if len({item.label for item in rows}) < len(CLASSES):
        raise SightlineError(f"{data} has photos of one kind only; person and no person are needed")
    return rows


def _fold(rows: Sequence[Item], fold: int, seed: int) -> Items:
    """A fifth to test on, and of the others a fifth to choose by; both kinds in every share."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    shuffled = sorted((rows[i] for i in order), key=lambda item: item.label)
    test = shuffled[fold::FOLDS]
    names = {item.name for item in test}
    others = [item for item in shuffled if item.name not in names]
    valid = {item.name for item in others[::FOLDS]}
    return Items(
        CLASSES,
        {
            "train": tuple(item for item in others if item.name not in valid),
            "valid": tuple(item for item in others if item.name in valid),
            "test": tuple(test),
        },
    )
