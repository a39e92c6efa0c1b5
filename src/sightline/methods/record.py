"""From a method's numbers to an `Explanation`, with its provenance, in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from sightline.explanation import Explanation, Provenance
from sightline.game import Game, Meter


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
) -> Explanation:
    """Put scores ``[targets, parts]`` of a game together with how they were made.

    ``unit`` is that of the scores where it is not the game's own.
    """
    seconds = round(meter.seconds, 6)  # before the weights are hashed, which no method is charged
    return Explanation(
        scores=_array(scores),
        parts=game.parts,
        targets=game.targets,
        unit=unit or game.unit,
        value=_array(game.value),
        base=_array(game.base),
        errors=None if errors is None else _array(errors),
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


def _array(values: Tensor) -> np.ndarray:
    return np.array(values.detach().double().cpu().numpy())


def _versions() -> dict[str, str]:
    import torch

    from sightline.version import __version__

    return {"sightline": __version__, "torch": torch.__version__}
