"""Targets: the scalars that a game asks about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError, unknown_name

Scale = Literal["logit", "log-probability", "probability"]
SCALES: tuple[Scale, ...] = ("logit", "log-probability", "probability")


@dataclass(frozen=True)
class BoundTargets:
    """Targets resolved against a model's output: their names, their unit, how to read them.

    ``classes`` are the columns of the model's output that they ask about.
    """

    names: tuple[str, ...]
    unit: str
    read: Callable[[Float[Tensor, "batch classes"]], Float[Tensor, "batch targets"]]
    classes: tuple[int, ...]


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

    def bind(self, known: tuple[str, ...], output: Float[Tensor, "batch classes"]) -> BoundTargets:
        """Resolve labels against the model's output on the whole input (row 0).

        Raises:
            GameError: a label the model does not know, an index out of range, an output that is
                no ``[batch, classes]`` tensor or does not fit the labels.
        """
        classes = output.shape[1]
        if known and len(known) != classes:
            raise GameError(
                f"the model has {len(known)} labels but answers {classes} numbers; "
                "give it one label a class"
            )
        labels = self._listed(predicted=int(output[0].argmax()))
        indices = [self._index(label, known, classes) for label in labels]
        names = tuple(known[i] if known else str(i) for i in indices)
        return BoundTargets(
            names, self.scale, lambda answer: self._read(answer)[:, indices], tuple(indices)
        )

    def _listed(self, *, predicted: int) -> Sequence[str | int]:
        if self.labels is None:
            return [predicted]
        return [self.labels] if isinstance(self.labels, str | int) else self.labels

    def _read(self, output: Tensor) -> Tensor:
        if self.scale == "logit":
            return output
        log = output.log_softmax(1)
        return log if self.scale == "log-probability" else log.exp()

    @staticmethod
    def _index(label: str | int, known: tuple[str, ...], classes: int) -> int:
        if isinstance(label, str):
            if not known:
                raise GameError(
                    f"target {label!r} is a name, but this model has no labels; give an index "
                    f"from 0 to {classes - 1}, or labels=... when wrapping the model"
                )
            if label not in known:
                raise GameError(unknown_name("label", label, known))
            return known.index(label)
        if isinstance(label, bool) or not isinstance(label, int):
            raise GameError(f"target {label!r} is neither a label nor an index")
        if not 0 <= label < classes:
            raise GameError(
                f"target {label} is out of range: this model answers {classes} classes, "
                f"0 to {classes - 1}"
            )
        return label
