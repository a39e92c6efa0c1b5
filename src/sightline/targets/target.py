"""What every kind of target becomes once a model's answer is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.image.photo import Photo
from sightline.models.detector import Reply
from sightline.sketch.sketch import Sketch

Scale = Literal["logit", "log-probability", "probability"]
SCALES: tuple[Scale, ...] = ("logit", "log-probability", "probability")


@dataclass(frozen=True)
class BoundTargets:
    """Targets resolved against a model's answer: their names, their unit, how to read them.

    Args:
        names: one a target, all different.
        unit: of the values.
        read: from a model's answer to values; gradients stay.
        classes: columns of a classifier's answer that they ask about.
        candidates: candidates of a dense head that they ask about, one a target.
        boxes: xyxy in pixels of the photo, one a target.
    """

    names: tuple[str, ...]
    unit: str
    read: Callable[[Reply], Float[Tensor, "batch targets"]]
    classes: tuple[int, ...] = ()
    candidates: tuple[int, ...] = ()
    boxes: Float[Tensor, "targets 4"] | None = None


@runtime_checkable
class Target(Protocol):
    """One question, or several of one kind."""

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """Resolve against the model's labels and its answer to the whole input (row 0)."""


def index_of_label(label: object, known: tuple[str, ...], count: int) -> int:
    """Column of a label given by name or index.

    Raises:
        GameError: no such label.
    """
    if isinstance(label, str):
        if not known:
            raise GameError(
                f"target {label!r} is a name, but this model has no labels; give an index "
                f"from 0 to {count - 1}, or labels=... when wrapping the model"
            )
        if label not in known:
            raise GameError(unknown_name("label", label, known))
        return known.index(label)
    if isinstance(label, bool) or not isinstance(label, int):
        raise GameError(f"target {label!r} is neither a label nor an index")
    if not 0 <= label < count:
        raise GameError(
            f"target {label} is out of range: this model answers {count} classes, 0 to {count - 1}"
        )
    return label
