"""A healing: the drawing as it was, every step, and the way back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np

from sightline.errors import TaskError
from sightline.game import Game
from sightline.sketch.plain import as_plain, from_plain
from sightline.sketch.sketch import Sketch
from sightline.tasks.healing.pieces import Piece, Pieces, drawn, length_of, name_of, whole, without
from sightline.tasks.healing.scores import row_of, scores_of
from sightline.tasks.records import read_record, write_record

FORMAT = "sightline healing 1"


@dataclass(frozen=True)
class Step:
    """One removal.

    Args:
        piece: what went.
        score: of what is left.
        explained: what the explanation said of the piece, if one was asked.
        method: which explanation.
    """

    piece: Piece
    score: float
    explained: float | None = None
    method: str | None = None


@dataclass(frozen=True, eq=False)
class Healing:
    """What was taken out of a drawing, step by step. It never changes: every act gives a new one.

    Args:
        drawing: as it was before anything went.
        target: what is scored; unit: of the scores.
        value: score of the drawing as it was.
        model: its class; fingerprint: of its weights.
        steps: every removal, in order.
        undone: what `redo` brings back, last first.
        notes: what a reader should know, such as why it stopped.

    Raises:
        TaskError: a step that takes what is not there, or that leaves nothing.

    Example:
        >>> cross = Sketch.from_strokes([[(0, 0), (9, 9)], [(0, 9), (9, 0)]])
        >>> healing = Healing(cross, "slash", "logit", 0.5, "Toy", "0" * 16)
        >>> healing = replace(healing, steps=(Step(Piece(0, 0, 1), score=2.0),))
        >>> healing.removed, len(healing.sketch), healing.gain
        ((Piece(stroke=0, first=0, last=1),), 1, 1.5)
        >>> len(healing.undo().sketch), len(healing.undo().redo().sketch)
        (2, 1)
    """

    drawing: Sketch
    target: str
    unit: str
    value: float
    model: str
    fingerprint: str
    steps: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        later = (step.piece for step in reversed(self.undone))
        left = reduce(without, later, self.pieces)
        if not left or not self.pieces:
            raise TaskError("these steps leave nothing of the drawing")
        scores = [self.value, *(step.score for step in (*self.steps, *self.undone))]
        if not np.isfinite(scores).all():
            raise TaskError(f"scores of a healing must be finite numbers; these are {scores}")

    def __repr__(self) -> str:
        went = f"{len(self.steps)} step{'s' * (len(self.steps) != 1)}"
        return f"Healing({self.target}: {went}, {self.value:.3f} -> {self.score:.3f} {self.unit})"

    @cached_property
    def pieces(self) -> Pieces:
        """What is left, counted in the drawing as it was."""
        return reduce(without, self.removed, whole(self.drawing))

    @property
    def removed(self) -> Pieces:
        """What went, in the order in which it went."""
        return tuple(step.piece for step in self.steps)

    @cached_property
    def sketch(self) -> Sketch:
        """What is left, as a drawing on the same canvas."""
        return drawn(self.drawing, self.pieces)

    @property
    def scores(self) -> tuple[float, ...]:
        """Score at the start and after every step."""
        return (self.value, *(step.score for step in self.steps))

    @property
    def score(self) -> float:
        """Score of what is left."""
        return self.scores[-1]

    @property
    def gain(self) -> float:
        """By how much the score rose in all."""
        return self.score - self.value

    @property
    def share_removed(self) -> float:
        """Of the drawing's line."""
        total = length_of(self.drawing, whole(self.drawing))
        return length_of(self.drawing, self.removed) / total if total else 0.0

    def at(self, step: int) -> Sketch:
        """The drawing after so many steps; 0 is as it was."""
        if not 0 <= step <= len(self.steps):
            raise TaskError(f"no step {step} in a healing of {len(self.steps)}")
        return replace(self, steps=self.steps[:step], undone=()).sketch

    def name(self, piece: Piece) -> str:
        """A piece of the drawing in words."""
        return name_of(self.drawing, piece)

    def remove(self, gone: Piece | Sequence[Piece], game: Game) -> Healing:
        """Take out what a person chose, score it after each, and forget what was undone.

        Args:
            gone: one piece or several; a suggestion's is ``suggestion.piece``.
            game: the one that this healing began with, or one that asks the same.

        Raises:
            TaskError: a piece that is not all there; nothing would be left; another model or
                target.
        """
        self.check(game)
        pieces, states, steps = self.pieces, [], []
        listed = [gone] if isinstance(gone, Piece) else list(gone)
        for piece in listed:
            pieces = without(pieces, piece)
            if not pieces or not drawn(self.drawing, pieces).has_size:
                raise TaskError(
                    f"without {self.name(piece)} nothing would be left of the drawing; keep it, "
                    "or keep another"
                )
            states.append(drawn(self.drawing, pieces))
        if not states:
            return self
        scores = scores_of(game, states, target=self.target)
        steps = [Step(p, float(score)) for p, score in zip(listed, scores, strict=True)]
        return self.then(steps)

    def then(self, steps: Sequence[Step]) -> Healing:
        """With further steps; what was undone is forgotten, and so is why it had stopped."""
        return replace(self, steps=(*self.steps, *steps), undone=(), notes=())

    def undo(self) -> Healing:
        """Without the last step, which `redo` brings back.

        Raises:
            TaskError: there is none.
        """
        if not self.steps:
            raise TaskError("there is no step to undo")
        undone = (*self.undone, self.steps[-1])
        return replace(self, steps=self.steps[:-1], undone=undone, notes=())

    def redo(self) -> Healing:
        """With the step again that was undone last.

        Raises:
            TaskError: none was undone, or something else was removed since.
        """
        if not self.undone:
            raise TaskError("there is no undone step to redo")
        steps = (*self.steps, self.undone[-1])
        return replace(self, steps=steps, undone=self.undone[:-1], notes=())

    def check(self, game: Game) -> None:
        """Refuse a game that asks something else.

        Raises:
            TaskError: another model, target or unit.
        """
        row_of(game, self.target)
        if (game.fingerprint, game.unit) != (self.fingerprint, self.unit):
            came = f"{type(game.model).__name__} {game.fingerprint}, {game.unit}"
            raise TaskError(
                f"this healing was scored by {self.model} {self.fingerprint} in {self.unit}, and "
                f"the game is of {came}: scores of two models or units cannot be compared"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything as JSON; the file appears whole or not at all."""
        told: dict[str, Any] = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _PLAIN},
            "score": self.score,
            "drawing": as_plain(self.drawing),
            "steps": [asdict(step) for step in self.steps],
            "undone": [asdict(step) for step in self.undone],
            "notes": list(self.notes),
        }
        write_record(path, told)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Healing:
        """Read what `save` wrote.

        Raises:
            TaskError: no such file, not a healing, or steps that do not fit the drawing.
        """
        with read_record(path, FORMAT, "a healing") as told:
            return cls(
                drawing=from_plain(told["drawing"]),
                steps=_steps(told["steps"]),
                undone=_steps(told["undone"]),
                notes=tuple(str(note) for note in told["notes"]),
                **{name: kind(told[name]) for name, kind in _PLAIN.items()},
            )


def begin(start: Sketch | Healing, game: Game, *, target: str | int = 0) -> Healing:
    """A healing without steps of a drawing; a healing as it is, if the game fits it."""
    if isinstance(start, Healing):
        start.check(game)
        return start
    score = float(scores_of(game, [start], target=target)[0])
    name = game.targets[row_of(game, target)]
    return Healing(start, name, game.unit, score, type(game.model).__name__, game.fingerprint)


_PLAIN: dict[str, Any] = {
    "target": str,
    "unit": str,
    "value": float,
    "model": str,
    "fingerprint": str,
}


def _steps(told: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    return tuple(
        Step(
            Piece(**{name: int(step["piece"][name]) for name in ("stroke", "first", "last")}),
            float(step["score"]),
            None if step["explained"] is None else float(step["explained"]),
            None if step["method"] is None else str(step["method"]),
        )
        for step in told
    )
