"""What an attack did: the drawing before and after, the answers, and how much was changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sightline.errors import TaskError, unknown_name
from sightline.models.recognise import Answer
from sightline.sketch.plain import as_plain, from_plain
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.change import Change
from sightline.tasks.records import read_record, write_record
from sightline.version import __version__

Kind = Literal["points", "remove", "insert"]
KINDS = ("points", "remove", "insert")
FORMAT = "sightline attack 1"


@dataclass(frozen=True, eq=False)
class Attack:
    """One attack on one drawing.

    Convention:
        Both drawings are on the canvas of the source, in its units. Budgets are of the kind of the
        attack: ``points`` counts in units of the normalised frame, in which the longest side is
        1.48; ``remove`` and ``insert`` in shares of the drawing's ink (the length of its lines).

    Args:
        kind: what was done: ``points``, ``remove`` or ``insert``.
        sketch: before; where points are moved, with the points that the model reads.
        attacked: after.
        label: what was to be left: the answer before.
        target: what was to be reached; None where any other answer will do.
        before: the answer before; after: to the attacked drawing as it stands, normalised;
            again: to the attacked drawing read from the start, as after saving (None where it
            cannot be read).
        budget: what was allowed; used: what was needed of it.
        evaluations: forward passes of the model for one drawing; a pass backward counts one more.
        change: of ink and shape.
        stroke: that was taken away (its place before) or put in (its place after).
        notes: what a reader should know.

    Raises:
        TaskError: an unknown kind, or strokes that do not fit it.
    """

    kind: Kind
    sketch: Sketch
    attacked: Sketch
    label: str
    target: str | None
    before: Answer
    after: Answer
    again: Answer | None
    budget: float
    used: float
    evaluations: int
    change: Change
    stroke: int | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise TaskError(unknown_name("kind of attack", self.kind, KINDS))
        gained = len(self.attacked) - len(self.sketch)
        wanted = {"points": 0, "remove": -1, "insert": 1}[self.kind]
        if gained not in (wanted, 0):
            raise TaskError(
                f"an attack of kind {self.kind!r} made {len(self.attacked)} strokes of "
                f"{len(self.sketch)}; expected {len(self.sketch) + wanted}"
            )
        if (self.stroke is not None) != (gained != 0):
            raise TaskError("an attack names the stroke that was taken away or put in, no other")
        whole = self.sketch if gained < 0 else self.attacked
        if self.stroke is not None and not 0 <= self.stroke < len(whole):
            raise TaskError(
                f"stroke {self.stroke} is not there to be named: the drawing has {len(whole)}, "
                "counted from 0"
            )

    @property
    def success(self) -> bool:
        """Whether the answer to the attacked drawing is what was wanted."""
        return self._wanted(self.after)

    @property
    def survives(self) -> bool:
        """Whether it still is when the attacked drawing is read from the start."""
        return self.again is not None and self._wanted(self.again)

    def _wanted(self, answer: Answer) -> bool:
        if self.target is not None:
            return answer.label == self.target
        return answer.label != self.label

    def as_dict(self) -> dict[str, Any]:
        """Plain values: what `save` writes."""
        return {
            "format": FORMAT,
            "sightline": __version__,
            "kind": self.kind,
            "label": self.label,
            "target": self.target,
            "success": self.success,
            "survives": self.survives,
            "before": _told(self.before),
            "after": _told(self.after),
            "again": None if self.again is None else _told(self.again),
            "budget": self.budget,
            "used": self.used,
            "evaluations": self.evaluations,
            "change": self.change.as_dict(),
            "stroke": self.stroke,
            "notes": list(self.notes),
            "sketch": as_plain(self.sketch),
            "attacked": as_plain(self.attacked),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON, whole or not at all."""
        write_record(path, self.as_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Attack:
        """Read what `save` wrote.

        Raises:
            TaskError: no such file, or no attack in it.
        """
        with read_record(path, FORMAT, "an attack") as told:
            return cls(
                kind=told["kind"],
                sketch=from_plain(told["sketch"]),
                attacked=from_plain(told["attacked"]),
                label=str(told["label"]),
                target=None if told["target"] is None else str(told["target"]),
                before=_answer(told["before"]),
                after=_answer(told["after"]),
                again=None if told["again"] is None else _answer(told["again"]),
                budget=float(told["budget"]),
                used=float(told["used"]),
                evaluations=int(told["evaluations"]),
                change=Change.from_dict(told["change"]),
                stroke=None if told["stroke"] is None else int(told["stroke"]),
                notes=tuple(str(note) for note in told["notes"]),
            )


def _told(answer: Answer) -> dict[str, Any]:
    return {"label": answer.label, "probability": answer.probability}


def _answer(told: Mapping[str, Any]) -> Answer:
    probability = float(told["probability"])
    if not 0 <= probability <= 1:
        raise TaskError(f"a probability is {probability}; expected 0 to 1")
    return Answer(str(told["label"]), probability)
