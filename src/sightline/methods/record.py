"""From a method's numbers to an `Explanation`, with its provenance, in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from sightline.explanation import Explanation, Provenance
from sightline.game import Game, Meter
from sightline.parts import Parts


def record(
    game: Game,
    scores: Tensor,
    meter: Meter,
    method: str,
    *,
    settings: dict[str, Any] | None = None,
    seed: int | None = None,
    errors: Tensor | None = None,
    notes: tuple[str, ...] = (),
    unit: str | None = None,
    parts: Parts | None = None,
) -> Explanation:
    """Put scores ``[targets, parts]`` of a game together with how they were made.

    ``unit`` and ``parts`` are those of the scores where they are not the game's own; from other
    parts the scores are carried to the game's.
    """
    seconds = round(meter.seconds, 6)  # before the weights are hashed, which no method is charged
    why = Explanation(
        scores=_array(scores),
        parts=game.parts if parts is None else parts,
        targets=game.targets,
        unit=unit or game.unit,
        value=_array(game.value),
        base=_array(game.base),
        errors=None if errors is None else _array(errors),
        boxes=None if game.boxes is None else _array(game.boxes),
        made=Provenance(
            method=method,
            model=type(game.model).__name__,
            fingerprint=game.fingerprint,
            evaluations=meter.evaluations,
            seconds=seconds,
            settings=settings or {},
            seed=seed,
            versions=_versions(),
            notes=notes,
        ),
    )
    return why if parts is None else replace(why.on(game.parts), parts=game.parts)


def _array(values: Tensor) -> np.ndarray:
    return np.array(values.detach().double().cpu().numpy())


def _versions() -> dict[str, str]:
    import torch

    from sightline.version import __version__

    return {"sightline": __version__, "torch": torch.__version__}
