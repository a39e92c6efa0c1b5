"""Scores of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.image.photo import Photo
from sightline.models.detector import Detector, Reply
from sightline.sketch.sketch import Sketch
from sightline.targets.target import SCALES, BoundTargets, Scale, index_of_label


@dataclass(frozen=True)
class ClassScore:
    """The score of one or several classes.

    Args:
        labels: a name, an index, or a list of either; None asks about the predicted class.
        scale: ``"logit"``, ``"log-probability"`` or ``"probability"``: the unit of the values.

    Example:
        >>> ClassScore("airplane", scale="probability")
        ClassScore(labels='airplane', scale='probability')
    """

    labels: str | int | Sequence[str | int] | None = None
    scale: Scale = "logit"

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise GameError(unknown_name("scale", self.scale, SCALES))
        if not isinstance(self.labels, str | int | Sequence | None):
            raise GameError(f"target {self.labels!r} is neither a label nor an index")
        if isinstance(self.labels, Sequence) and not len(self.labels):
            raise GameError("no target: name at least one label, or None for the predicted class")

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """Resolve labels against the model's logits of the whole input (row 0).

        Raises:
            GameError: a label the model does not know, an index out of range, an answer of a
                detector, or one that does not fit the labels.
        """
        if isinstance(model, Detector) or not isinstance(reply, Tensor):
            raise GameError(
                "a detector has boxes, not one class: ask sl.BoxScores(detections), or leave the "
                "targets out for every box it finds"
            )
        classes = reply.shape[1]
        if known and len(known) != classes:
            raise GameError(
                f"the model has {len(known)} labels but answers {classes} numbers; "
                "give it one label a class"
            )
        labels = self._listed(predicted=int(reply[0].argmax()))
        indices = tuple(index_of_label(label, known, classes) for label in labels)
        return BoundTargets(
            names=tuple(known[i] if known else str(i) for i in indices),
            unit=self.scale,
            read=lambda answer: self._read(answer)[:, indices],
            classes=indices,
        )

    def _listed(self, *, predicted: int) -> Sequence[str | int]:
        if self.labels is None:
            return [predicted]
        return [self.labels] if isinstance(self.labels, str | int) else self.labels

    def _read(self, logits: object) -> Tensor:
        assert isinstance(logits, Tensor)  # noqa: S101, bind has made sure
        if self.scale == "logit":
            return logits
        log = logits.log_softmax(1)
        return log if self.scale == "log-probability" else log.exp()
