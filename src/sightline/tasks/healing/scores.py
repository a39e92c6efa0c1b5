"""Scores of what is left of a drawing, as the model would read it anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import TaskError
from sightline.game import Game
from sightline.image.photo import Photo
from sightline.models.detector import Reply
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.parts import Parts
from sightline.parts.bound import prepared
from sightline.sketch.sketch import Sketch
from sightline.targets.target import BoundTargets


def scores_of(
    game: Game, sketches: Sequence[Sketch], *, target: str | int = 0
) -> Float[np.ndarray, " drawings"]:
    """What a game's target says of other drawings, each read as a drawing of its own.

    In a game absent strokes leave the others where they stand. Here nothing is absent: each
    drawing is simplified, framed and counted anew, as if it had been drawn so. Each counts as one
    evaluation of the game.

    Args:
        game: whose model and targets are asked. The predicted class stays the class that was
            predicted of the game's own drawing.
        sketches: at least one, each with a size.
        target: which of its targets.

    Raises:
        TaskError: the game is not about a drawing.
    """
    model, row = checked_model(game), row_of(game, target)
    batch = batch_for(model, [prepared(model, sketch) for sketch in sketches])

    def play(rows: Tensor) -> Tensor:
        with torch.no_grad():
            answer = model(batch.select(rows.long()))
            return game.read(answer, rows=len(rows))[:, row]

    return game.inside(torch.arange(len(sketches)).double(), play).double().numpy()


def asked_of(game: Game, parts: Parts) -> Game:
    """The same model, asked the very same about other parts."""
    again = Game(game.model, parts, _AskedAgain(game.resolved), batch=game.batch)
    again.fingerprint = game.fingerprint  # the same weights need not be hashed at every step
    return again


def row_of(game: Game, target: str | int) -> int:
    """Index of a game's target.

    Raises:
        TaskError: it has no such target.
    """
    if isinstance(target, str) and target in game.targets:
        return game.targets.index(target)
    if isinstance(target, int) and 0 <= target < len(game.targets):
        return target
    raise TaskError(f"no target {target!r} in this game; it asks {', '.join(game.targets)}")


def checked_model(game: Game) -> SketchModel:
    """The game's model.

    Raises:
        TaskError: it does not read drawings.
    """
    if isinstance(game.parts.subject, Photo) or not isinstance(game.model, SketchModel):
        raise TaskError(
            f"a drawing is healed by a game of drawings, and this one is of "
            f"{game.parts.kind} of a photo; give sl.Game(model, sl.Strokes(sketch), ...)"
        )
    return game.model


@dataclass(frozen=True, eq=False)
class _AskedAgain:
    """Targets that another game has resolved."""

    bound: BoundTargets

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """As they are."""
        return self.bound
