"""What a run does with one photo: detect, explain every box by every method, measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.image.annotations import (
    Annotation,
    mask_for,
)
from sightline.image.boxes import iou
from sightline.image.photo import Photo
from sightline.image.superpixels import encode_labels
from sightline.methods import explain
from sightline.metrics.localisation import localise
from sightline.metrics.photo_flipping import photo_flipping, random_flipping
from sightline.metrics.pixel_flipping import RATIOS, FlipCurve
from sightline.models.detector import Detections, Detector
from sightline.parts import GridCells, Superpixels
from sightline.runs.rows import Box, PhotoResult, Row
from sightline.runs.settings import PhotoSettings
from sightline.targets import boxes_in, scores_of

MAPS = frozenset(
    {
        "grad_cam",
        "grad_cam_pp",
        "x_grad_cam",
        "hires_cam",
        "odam",
        "ssgrad_cam",
        "eigen_cam",
        "ablation_cam",
        "full_grad",
        "d_rise",
    }
)
"""Methods that find places, not parts: they are asked on a fine grid, and carried."""

COARSE = RATIOS[::2]
"""Ratios of insertion: a half of those of deletion, whose number is detex's."""

SAME_OBJECT = 0.5
"""IoU from which a detection of the same label is the annotated object."""


def examine_photo(
    detector: Detector,
    photo: Photo,
    settings: PhotoSettings,
    *,
    marked: Sequence[Annotation] = (),
    batch: int | None = None,
) -> PhotoResult:
    """Every box of a photo, explained by every method and measured.

    Methods that score parts are asked about superpixels. Those that find places (`MAPS`) are asked
    about the cells of a fine grid, measured as they are, and kept on the superpixels.

    Raises:
        GameError: nothing found in the photo.
    """
    found = boxes_in(detector, photo, threshold=settings.threshold, most=settings.most)
    parts = Superpixels(photo, settings.superpixels, settings.absent)
    rows, columns = (min(settings.grid, side) for side in photo.size)  # a cell holds a pixel
    grid = GridCells(photo, rows, columns, settings.absent)
    asked = scores_of(found, settings.scale)
    game = Game(detector, parts, asked, batch=batch)
    fine = Game(detector, grid, asked, batch=batch) if MAPS & {*settings.methods} else game
    known = _Known(game, found, settings, marked)
    told: list[Row] = []
    for method in settings.methods:
        own = fine if method in MAPS else game
        try:
            why = explain(own, method, budget=settings.budget(method), seed=known.seed)
        except GameError as error:
            raise GameError(f"{method}: {error}") from error
        told += [known.row(why, number) for number in range(len(found))]
    height, width = photo.size
    labels = {k: np.asarray(v, np.int32) for k, v in encode_labels(parts.numbers).items()}
    order = sorted(told, key=lambda row: (row.number, settings.methods.index(row.method)))
    return PhotoResult(photo.name, height, width, labels, parts.kind, tuple(order))


class _Known:
    """What all rows of one photo share."""

    def __init__(
        self,
        game: Game,
        found: Detections,
        settings: PhotoSettings,
        marked: Sequence[Annotation],
    ) -> None:
        import hashlib

        self.game, self.found, self.settings = game, found, settings
        told = f"{settings.seed}/{game.parts.subject.name}".encode()
        self.seed = int.from_bytes(hashlib.sha256(told).digest()[:4], "big")
        self.masks, self.others = _objects(found, marked)
        self.lucky: dict[bool, np.ndarray] = {}
        if settings.flips:
            for rising in (False, True):
                ratios = COARSE if rising else RATIOS
                values = random_flipping(game, rising=rising, ratios=ratios, seed=self.seed)
                self.lucky[rising] = values.mean(0)  # [ratios, targets]

    def row(self, why: Explanation, number: int) -> Row:
        """One box by one method."""
        made, found = why.made, self.found
        kept = self._kept(why)
        measures, curve = self._measured(why, number)
        left, top, right, bottom = (float(x) for x in found.boxes[number])
        boxes = len(found)
        return Row(
            number=number,
            method=made.method,
            label=found.names[number],
            label_index=int(found.labels[number]),
            target=why.targets[number],
            box=(left, top, right, bottom),
            scores=kept.scores[number],
            detector_score=float(found.scores[number]),
            candidate=None if found.candidates is None else int(found.candidates[number]),
            unit=why.unit,
            value=float(why.value[number]),
            base=float(why.base[number]),
            errors=None if kept.errors is None else kept.errors[number],
            evaluations=made.evaluations,
            seconds=made.seconds / boxes,
            seed=made.seed,
            notes=(*kept.made.notes, *([f"{boxes} boxes shared the evaluations"][: boxes > 1])),
            blank=why.blank(number),
            measures=measures,
            curve=curve,
        )

    def _kept(self, why: Explanation) -> Explanation:
        """On the superpixels: scores that add up are shared out, means of D-RISE are averaged."""
        parts = self.game.parts
        if why.made.method != "d_rise" or not isinstance(parts, Superpixels):
            return why.on(parts)
        owner = parts.numbers.numpy().ravel()
        size = np.bincount(owner, minlength=len(parts))
        heats = [why.heat(row).ravel() for row in range(len(why.targets))]
        means = np.stack([np.bincount(owner, heat, len(parts)) / size for heat in heats])
        return replace(why, scores=means, parts=parts, errors=None)

    def _measured(
        self, why: Explanation, number: int
    ) -> tuple[dict[str, float | None], tuple[float, ...] | None]:
        where = localise(
            why.heat(number),
            self.found.boxes[number].numpy(),
            mask=self.masks[number],
            others=self.others[number],
        )
        measures = where.numbers()
        if not self.settings.flips:
            return measures, None
        gone = photo_flipping(self.game, why, target=number, seed=self.seed)
        back = photo_flipping(
            self.game, why, target=number, rising=True, ratios=COARSE, seed=self.seed
        )
        measures |= {
            "deletion": gone.auc,
            "deletion_normalised": gone.normalised_auc,
            "insertion": back.auc,
            "insertion_normalised": back.normalised_auc,
            "random_deletion": self._luck(gone, number),
            "random_insertion": self._luck(back, number),
        }
        return measures, tuple(gone.values.tolist())

    def _luck(self, curve: FlipCurve, number: int) -> float:
        values = self.lucky[curve.rising][:, number]
        return FlipCurve(values, curve.ratios, rising=curve.rising).auc


def _objects(
    found: Detections, marked: Sequence[Annotation]
) -> tuple[list[Bool[Tensor, "height width"] | None], list[list[Box]]]:
    """For each detection the human mask of its object, and the boxes of the other objects."""
    masks: list[Tensor | None] = []
    others: list[list[Box]] = []
    boxes = torch.tensor([a.box for a in marked], dtype=torch.float32).reshape(-1, 4)
    overlap = iou(found.boxes.float(), boxes)
    for number, name in enumerate(found.names):
        same = [i for i, a in enumerate(marked) if a.label == name and not a.crowd]
        best = max(same, key=lambda i: float(overlap[number, i]), default=None)
        own = best is not None and float(overlap[number, best]) >= SAME_OBJECT
        masks.append(mask_for(marked[best]) if own and best is not None else None)
        # a crowd of this label may hold the object itself
        rest = [
            a.box for i, a in enumerate(marked) if i != best and not (a.crowd and a.label == name)
        ]
        others.append(rest if own else [])
    return masks, others
