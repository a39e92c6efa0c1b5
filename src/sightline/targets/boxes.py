"""Targets in boxes: scores, edges, rivals, similarity, and a box that the model missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.image.boxes import areas, iou
from sightline.image.photo import Photo
from sightline.models.detector import (
    NO_OBJECTS,
    SCORE_THRESHOLD,
    Candidates,
    Detections,
    Detector,
    Reply,
)
from sightline.similarity import one_hot, similarity
from sightline.sketch.sketch import Sketch
from sightline.targets.target import SCALES, BoundTargets, Scale, index_of_label

Edge = Literal["left", "top", "right", "bottom"]
EDGES: tuple[Edge, ...] = ("left", "top", "right", "bottom")
NEAR = 0.5
"""IoU from which a candidate counts as being at the place of a missed box."""


@dataclass(frozen=True, eq=False)
class BoxScores:
    """The score of each detection, at the dense candidate that it came from.

    A candidate is a place in the head, so the question stays the same as parts come and go: how
    sure is the model of this label *here*?

    Args:
        detections: of the explained photo, by the detector that is asked.
        scale: ``"probability"``, as the detector reports it, its logit, or its logarithm.

    Raises:
        GameError: no detections, or a black box's.
    """

    detections: Detections
    scale: Scale = "probability"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise GameError(unknown_name("scale", self.scale, SCALES))
        _check_some(self.detections)

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """The candidates of the detections, checked against the head's answer."""
        found = self.detections
        candidates = _candidates(found, reply)
        labels = found.labels
        return BoundTargets(
            names=numbered(found),
            unit=self.scale,
            read=lambda answer: _on(self.scale, answer, candidates, labels),
            candidates=tuple(candidates.tolist()),
            boxes=found.boxes,
        )


@dataclass(frozen=True, eq=False)
class BoxEdge:
    """Where one edge of each detection's box is: each edge alone, never their sum.

    Args:
        detections: of the explained photo, by the detector that is asked.
        edge: ``"left"``, ``"top"``, ``"right"`` or ``"bottom"``, in pixels of the photo.

    Raises:
        GameError: no detections, a black box's, or an unknown edge.
    """

    detections: Detections
    edge: Edge

    def __post_init__(self) -> None:
        if self.edge not in EDGES:
            raise GameError(unknown_name("edge", self.edge, EDGES))
        _check_some(self.detections)

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """The candidates of the detections."""
        candidates, column = _candidates(self.detections, reply), EDGES.index(self.edge)
        return BoundTargets(
            names=tuple(f"{name}: {self.edge} edge" for name in numbered(self.detections)),
            unit="pixels",
            read=lambda answer: _dense(answer).boxes[:, candidates, column],
            candidates=tuple(candidates.tolist()),
            boxes=self.detections.boxes,
        )


@dataclass(frozen=True, eq=False)
class BoxRival:
    """How far each detection's label leads over a named rival, in logits at the same candidate.

    Args:
        detections: of the explained photo, by the detector that is asked.
        rival: a label.

    Raises:
        GameError: no detections, a black box's, or a rival that is their own label.
    """

    detections: Detections
    rival: str | int

    def __post_init__(self) -> None:
        _check_some(self.detections)

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """The candidates of the detections, and the column of the rival."""
        candidates, labels = _candidates(self.detections, reply), self.detections.labels
        column = index_of_label(self.rival, known, _dense(reply).logits.shape[2])
        if bool((labels == column).any()):
            raise GameError(
                f"rival {self.rival!r} is itself the label of a detection, which it cannot lead; "
                "name another label, or ask about the other detections alone"
            )
        rivals = torch.full_like(labels, column)

        def lead(answer: Reply) -> Tensor:
            own = _on("logit", answer, candidates, labels)
            return own - _on("logit", answer, candidates, rivals)

        name = known[column] if known else str(column)
        return BoundTargets(
            names=tuple(f"{each} rather than {name}" for each in numbered(self.detections)),
            unit="logit",
            read=lead,
            candidates=tuple(candidates.tolist()),
            boxes=self.detections.boxes,
        )


@dataclass(frozen=True, eq=False)
class BoxSimilarity:
    """How much of each detection is still found: D-RISE's similarity, for any detector.

    Args:
        detections: of the explained photo; by a black box, by another detector, or by a person.

    Source:
        Petsiuk et al., 2021: max over the boxes found of IoU x cosine of the distributions.
    """

    detections: Detections

    def __post_init__(self) -> None:
        _check_some(self.detections)

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """The boxes to look for, with the distribution of labels at each."""
        if isinstance(reply, Tensor):
            raise GameError(f"{type(model).__name__} finds no boxes: ask sl.ClassScore(label)")
        found = self.detections
        wanted = found.distributions
        if wanted is None:
            wanted = one_hot(found.labels, len(known))
        alike = _alike(found.boxes, wanted, known)
        return BoundTargets(numbered(found), "similarity", alike, boxes=found.boxes)


@dataclass(frozen=True, eq=False)
class MissedBox:
    """A box that the model missed: a person says where and what.

    Asked is the candidate at that place (IoU of at least 0.5, else the nearest one there is) that
    comes closest to the label; a black box is asked for its similarity to the missed box.

    Args:
        xyxy: in pixels of the photo.
        label: what is there.
        scale: of the candidate's score.

    Raises:
        GameError: a box without area.
    """

    xyxy: Sequence[float]
    label: str | int
    scale: Scale = "probability"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise GameError(unknown_name("scale", self.scale, SCALES))
        if len(self.xyxy) != 4 or not float(areas(self._box)) > 0:
            raise GameError(
                f"missed box {list(self.xyxy)} has no area; give left, top, right, bottom in "
                "pixels of the photo"
            )

    @property
    def _box(self) -> Float[Tensor, " 4"]:
        return torch.tensor([float(x) for x in self.xyxy])

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """The candidate at the place.

        Raises:
            GameError: a box outside the photo, or an unknown label.
        """
        if isinstance(reply, Tensor):
            raise GameError(f"{type(model).__name__} finds no boxes: ask sl.ClassScore(label)")
        if isinstance(subject, Photo):
            check_inside(self.xyxy, subject)
        count = reply.scores.shape[2] if isinstance(reply, Candidates) else len(known)
        column = index_of_label(self.label, known, count)
        name = f"missed {known[column] if known else column}"
        box = self._box[None]
        if not isinstance(reply, Candidates):
            wanted = one_hot(torch.tensor([column]), count)
            return BoundTargets((name,), "similarity", _alike(box, wanted, known), boxes=box)
        labels = torch.tensor([column])
        at = _best_at(reply, box, column)
        return BoundTargets(
            names=(name,),
            unit=self.scale,
            read=lambda answer: _on(self.scale, answer, at, labels),
            candidates=tuple(at.tolist()),
            boxes=box,
        )


def scores_of(detections: Detections, scale: Scale = "probability") -> BoxScores | BoxSimilarity:
    """What is asked of detections by default: their scores; of a black box's, their similarity."""
    if detections.candidates is None:
        return BoxSimilarity(detections)
    return BoxScores(detections, scale)


def boxes_in(
    detector: Detector, photo: Photo, *, threshold: float = SCORE_THRESHOLD, most: int | None = None
) -> Detections:
    """What a detector finds in one photo, or an error that says how near it came.

    Args:
        detector: any.
        photo: to look at.
        threshold: lowest score.
        most: the best so many; all by default.

    Raises:
        GameError: nothing of at least that score.
    """
    found = detector.detect([photo], threshold=threshold)[0]
    if len(found):
        return found[slice(most)]
    near = detector.detect([photo], threshold=0.0)[0]
    best = f"the best is {near.names[0]} with {float(near.scores[0]):.3f}" if len(near) else "none"
    raise GameError(
        f"no detection of at least {threshold} in {photo.name or 'this photo'}: {best}; lower "
        "threshold, or ask about a box that it missed: sl.MissedBox((left, top, right, bottom), "
        "label)"
    )


def check_inside(xyxy: Sequence[float], photo: Photo) -> None:
    """Refuse a box outside a photo.

    Raises:
        GameError: with box and size.
    """
    height, width = photo.size
    left, top, right, bottom = xyxy
    if left < -1 or top < -1 or right > width + 1 or bottom > height + 1:
        raise GameError(
            f"box {[round(float(x), 1) for x in xyxy]} lies outside {photo.name or 'the photo'} of "
            f"{width} x {height} pixels (width x height); boxes are left, top, right, bottom"
        )


def numbered(detections: Detections) -> tuple[str, ...]:
    """Names that tell boxes of one label apart: counted by score.

    Example:
        >>> two = Detections(torch.zeros(2, 4), torch.ones(2), torch.ones(2).long(), ("cup",) * 2)
        >>> numbered(two)
        ('cup 1', 'cup 2')
    """
    seen: dict[str, int] = {}
    names = []
    for name in detections.names:
        seen[name] = seen.get(name, 0) + 1
        names.append(f"{name} {seen[name]}")
    return tuple(names)


def _check_some(detections: Detections) -> None:
    if not len(detections):
        raise GameError(
            "there is no detection to explain: lower the threshold of detect(), or ask about a "
            "box that was missed: sl.MissedBox((left, top, right, bottom), label)"
        )


def _dense(answer: Reply) -> Candidates:
    if isinstance(answer, Candidates):
        return answer
    raise GameError(
        "this target asks a candidate of a dense head, and a black box has none; use "
        "sl.BoxSimilarity(detections)"
    )


def _candidates(detections: Detections, reply: Reply) -> Int[Tensor, " boxes"]:
    count = _dense(reply).boxes.shape[1]
    if detections.candidates is None:
        raise GameError(
            "these detections do not say which candidate they came from: take them from the "
            "detector's own detect(), or use sl.BoxSimilarity(detections)"
        )
    if int(detections.candidates.max()) >= count:
        raise GameError(
            f"a detection came from candidate {int(detections.candidates.max())}, but this "
            f"detector has {count}: detections of another detector? Use sl.BoxSimilarity"
        )
    columns = _dense(reply).logits.shape[2]
    if int(detections.labels.max()) >= columns:
        raise GameError(
            f"a detection has label {int(detections.labels.max())}, but this detector has "
            f"{columns}: detections of another detector? Use sl.BoxSimilarity"
        )
    return detections.candidates


def _on(
    scale: Scale,
    answer: Reply,
    candidates: Int[Tensor, " targets"],
    labels: Int[Tensor, " targets"],
) -> Float[Tensor, "batch targets"]:
    dense = _dense(answer)
    if scale == "logit":
        return dense.logits[:, candidates, labels]
    scores = dense.scores[:, candidates, labels]
    # a score that was rounded to 0 has no logarithm
    return scores if scale == "probability" else scores.clamp(torch.finfo(scores.dtype).tiny).log()


def _alike(
    boxes: Float[Tensor, "targets 4"],
    distributions: Float[Tensor, "targets labels"],
    known: tuple[str, ...],
) -> Callable[[Reply], Float[Tensor, "batch targets"]]:
    without = [i for i, name in enumerate(known) if name in NO_OBJECTS]

    def read(answer: Reply) -> Tensor:
        assert not isinstance(answer, Tensor)  # noqa: S101, no box is asked of a classifier
        return similarity(answer, boxes, distributions, without=without)

    return read


def _best_at(answer: Candidates, box: Float[Tensor, "1 4"], column: int) -> Int[Tensor, " 1"]:
    """The candidate nearest to the label among those at the box; else the one nearest to it."""
    overlap = iou(answer.boxes[0].detach(), box.to(answer.boxes))[:, 0]
    score = answer.scores[0, :, column].detach()
    if not bool(overlap.any()):
        return _apart(answer.boxes[0].detach(), box.to(answer.boxes)).argmin()[None].cpu()
    there = overlap >= min(NEAR, float(overlap.max()))
    return torch.where(there, score, -1).argmax()[None].cpu()


def _apart(boxes: Float[Tensor, "boxes 4"], box: Float[Tensor, "1 4"]) -> Float[Tensor, " boxes"]:
    """Distance of centres."""
    return ((boxes[:, :2] + boxes[:, 2:] - box[:, :2] - box[:, 2:]) / 2).norm(dim=1)
