"""What a game is asked: one target, several, or the default."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sightline.errors import GameError
from sightline.image.photo import Photo
from sightline.models.detector import Detections, Detector
from sightline.parts import GridCells, Parts, Points, Strokes, Superpixels
from sightline.targets.boxes import boxes_in, scores_of
from sightline.targets.classes import ClassScore
from sightline.targets.target import BoundTargets, Target


def asked_targets(parts: object, targets: object) -> list[Target]:
    """The targets as a list; empty for the default.

    Raises:
        GameError: what is no set of parts, or no target.
    """
    if not isinstance(parts, Strokes | Points | GridCells | Superpixels):
        raise GameError(
            f"a {type(parts).__name__} is no set of parts: give sl.Strokes(sketch), "
            "sl.Points(sketch), sl.Superpixels(photo) or sl.GridCells(sketch or photo, rows, "
            "columns)"
        )
    if targets is None:
        return []
    if isinstance(targets, Detections):
        raise GameError("detections are no target yet: give sl.BoxScores(detections)")
    asked = [targets] if isinstance(targets, Target) else targets
    if not isinstance(asked, Sequence) or isinstance(asked, str):
        raise GameError(f"{targets!r} is no target: give sl.ClassScore({targets!r})")
    for target in asked:
        if not isinstance(target, Target):
            raise GameError(f"{target!r} is no target: give sl.ClassScore({target!r})")
    if not asked:
        raise GameError("no target: name at least one, or leave targets out for the default")
    return list(asked)


def default_target(model: object, parts: Parts) -> Target:
    """The predicted class, or all that a detector finds in the photo.

    Raises:
        GameError: it finds nothing.
    """
    if not (isinstance(model, Detector) and isinstance(parts.subject, Photo)):
        return ClassScore()
    return scores_of(boxes_in(model, parts.subject))


def together(bound: Sequence[BoundTargets]) -> BoundTargets:
    """Several targets as one dimension.

    Raises:
        GameError: units differ, or one thing is asked twice.
    """
    units = {each.unit for each in bound}
    names = tuple(name for each in bound for name in each.names)
    if len(units) > 1:
        raise GameError(
            f"targets of one game share a unit; these have {', '.join(sorted(units))}: give them "
            "one scale, or play a game each"
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise GameError(f"two targets are both named {twice!r}; ask each thing once")
    if len(bound) == 1:
        return bound[0]
    boxes = [each.boxes for each in bound if each.boxes is not None]
    dense = all(each.candidates for each in bound)
    return BoundTargets(
        names=names,
        unit=bound[0].unit,
        read=lambda answer: torch.cat([each.read(answer) for each in bound], 1),
        classes=tuple(c for each in bound for c in each.classes),
        candidates=tuple(c for each in bound for c in each.candidates) if dense else (),
        boxes=torch.cat(boxes) if len(boxes) == len(bound) else None,
    )
