"""From a method's numbers to an `Explanation`, with its provenance, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sightline.carry import WHOLE, carry_maps
from sightline.explanation import Explanation, Provenance
from sightline.game import Game, Meter
from sightline.parts import BoundPhoto, GridCells, Parts


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


@dataclass(frozen=True, eq=False)
class Placed:
    """Scores of some targets at the places of one feature map.

    ``targets`` are rows of a game's; ``extent`` is what the map spans, in pixels of the picture,
    where that is not the picture.
    """

    targets: Sequence[int]
    maps: Float[Tensor, "targets height width"]
    extent: tuple[int, int] | None = None


def record_maps(
    game: Game,
    placed: Sequence[Placed],
    meter: Meter,
    method: str,
    *,
    settings: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> Explanation:
    """Maps of a network, each of some targets, carried to the parts of the game.

    A network may see more than a photo: what its frame adds, and past the picture's edge. What the
    maps hold there is lost, and a note says how much.
    """
    bound = game.bound
    if not isinstance(bound, BoundPhoto):
        (each,) = placed  # only a detector's targets have several maps
        cells = GridCells(game.parts.subject, *each.maps.shape[1:])
        scores = each.maps.flatten(1)
        return record(game, scores, meter, method, parts=cells, settings=settings, notes=notes)
    scores, lost = game.value.new_zeros(len(game.targets), len(game.parts)), game.value * 0
    for each in placed:
        own = list(each.targets)
        carried = carry_maps(each.maps, game.parts, bound.spans(each.extent))
        scores[own] = scores.new_tensor(carried)
        lost[own] = each.maps.sum((1, 2)) - scores[own].sum(1)
    notes += _carried(game, placed) + lost_outside(game, lost, scores)
    return record(game, scores, meter, method, settings=settings, notes=notes)


def _carried(game: Game, placed: Sequence[Placed]) -> tuple[str, ...]:
    """Where the scores came from, if not from the parts themselves."""
    bound, parts = game.bound, game.parts
    assert isinstance(bound, BoundPhoto)  # noqa: S101, only photos come here
    asked = f"{parts.rows} x {parts.columns}" if isinstance(parts, GridCells) else ""
    sizes = dict.fromkeys(f"{e.maps.shape[1]} x {e.maps.shape[2]}" for e in placed)
    whole = all(bound.spans(each.extent) == (WHOLE, WHOLE) for each in placed)
    if whole and list(sizes) == [asked]:
        return ()
    return (
        f"carried from {', '.join(sizes)} grid cells to {asked} {parts.kind}".replace("  ", " "),
    )


def lost_outside(game: Game, lost: Tensor, scores: Tensor) -> tuple[str, ...]:
    """What maps hold outside a photo, where it is more than rounding."""
    most = int(lost.abs().argmax())
    if not float(lost[most].abs()) > 1e-9 * float(scores.abs().sum(1).max() + lost.abs().max()):
        return ()
    told = f"{float(lost[most]):.3g} {game.unit} ({game.targets[most]})"
    return (f"places outside the photo hold {told}, which nothing gets",)


def _array(values: Tensor) -> np.ndarray:
    return np.array(values.detach().double().cpu().numpy())


def _versions() -> dict[str, str]:
    import torch

    from sightline.version import __version__

    return {"sightline": __version__, "torch": torch.__version__}
