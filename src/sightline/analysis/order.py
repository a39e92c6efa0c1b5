"""Order of drawing: what the order table holds, and drawings drawn in another order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from sightline.analysis.accuracy import Change
from sightline.errors import ModelError, SightlineError
from sightline.models.sketchxainet import SketchXAINet
from sightline.sketch.sketch import Sketch


def order_similarity(model: Any, *, rows: int = 20) -> Float[np.ndarray, "rows rows"]:
    """Cosine similarity of the order embeddings of the first strokes.

    Args:
        model: a SketchXAINet that uses order.
        rows: how many. Rows that no training drawing was long enough to use hold what they were
            initialised with; `order_use` counts.

    Raises:
        ModelError: the model has no order table, or was trained without it.
        SightlineError: rows that are not in the table.

    Source:
        Qu et al., SketchXAI, CVPR 2023.
    """
    table = _order_model(model).order.weight.detach().double().cpu().numpy()
    if not 1 <= rows <= len(table):
        raise SightlineError(f"{rows} rows of an order table of {len(table)}: ask for 1 to that")
    rows_of_length_1 = table[:rows] / np.linalg.norm(table[:rows], axis=1, keepdims=True)
    return np.clip(rows_of_length_1 @ rows_of_length_1.T, -1, 1)


def order_use(sketches: Sequence[Sketch], *, rows: int = 20) -> Int[np.ndarray, " rows"]:
    """How many drawings are long enough to use each row of the order table.

    Example:
        >>> dash = [(0, 0), (1, 0)]
        >>> order_use([Sketch.from_strokes([dash]), Sketch.from_strokes([dash] * 2)], rows=3)
        array([2, 1, 0])
    """
    lengths = np.array([len(s) for s in sketches], dtype=np.int64)
    return (lengths[:, None] > np.arange(rows)).sum(0)


def shuffled(seed: int) -> Change:
    """Strokes in a random order, where they were drawn.

    Example:
        >>> three = Sketch.from_strokes([[(i, 0), (i, 1)] for i in range(3)])
        >>> [int(stroke[0, 0]) for stroke in shuffled(2)([three])[0].strokes]
        [2, 0, 1]
    """

    def change(sketches: Sequence[Sketch]) -> list[Sketch]:
        luck = np.random.default_rng(seed)
        return [s.select(luck.permutation(len(s)).tolist()) for s in sketches]

    return change


def reversed_order(sketches: Sequence[Sketch]) -> list[Sketch]:
    """The last stroke first; each stroke is drawn in the direction it was."""
    return [s.select(range(len(s) - 1, -1, -1)) for s in sketches]


def first(count: int) -> Change:
    """Only the first ``count`` strokes; a shorter drawing stays whole."""
    _at_least_one(count)
    return lambda sketches: [s.select(range(min(count, len(s)))) for s in sketches]


def last(count: int) -> Change:
    """Only the last ``count`` strokes, which then count from 0; a shorter drawing stays whole."""
    _at_least_one(count)
    return lambda sketches: [s.select(range(max(0, len(s) - count), len(s))) for s in sketches]


def first_share(share: float) -> Change:
    """The first strokes up to this share of their number, rounded up."""
    _in_unit(share)
    return lambda sketches: [s.select(range(_kept(share, len(s)))) for s in sketches]


def last_share(share: float) -> Change:
    """The last strokes up to this share of their number, rounded up."""
    _in_unit(share)
    return lambda sketches: [
        s.select(range(len(s) - _kept(share, len(s)), len(s))) for s in sketches
    ]


def at_random(share: float, seed: int) -> Change:
    """As many strokes as `first_share` keeps, chosen at random, in the order they were drawn."""
    _in_unit(share)

    def change(sketches: Sequence[Sketch]) -> list[Sketch]:
        luck = np.random.default_rng(seed)
        return [
            s.select(sorted(luck.permutation(len(s))[: _kept(share, len(s))].tolist()))
            for s in sketches
        ]

    return change


def reframed(change: Change) -> Change:
    """A change whose drawings are centred and scaled anew, as if nothing else was to come.

    A drawing without size, all its points in one place, keeps its frame.
    """

    def again(sketches: Sequence[Sketch]) -> list[Sketch]:
        return [s.normalise() if max(s.size) > 1e-4 else s for s in change(sketches)]

    return again


def orders(shuffles: int, seed: int) -> dict[str, Change | Sequence[Change]]:
    """The changes that `sightline analyse order` measures, by name; several are averaged."""
    changes: dict[str, Change | Sequence[Change]] = {
        "shuffled": [shuffled(seed + i) for i in range(shuffles)],
        "reversed": reversed_order,
    }
    for share in (0.25, 0.5, 0.75):
        changes[f"first {share:.0%}"] = first_share(share)
        changes[f"last {share:.0%}"] = last_share(share)
        changes[f"any {share:.0%}"] = [at_random(share, seed + i) for i in range(shuffles)]
    for count in range(1, 11):
        changes[f"first {count}"] = first(count)
        changes[f"last {count}"] = last(count)
        changes[f"first {count}, reframed"] = reframed(first(count))
        changes[f"last {count}, reframed"] = reframed(last(count))
    return changes


def _kept(share: float, count: int) -> int:
    # 0.28 * 25 is 7.000000000000001 in floating point
    return max(1, math.ceil(share * count - 1e-9))


def _order_model(model: Any) -> SketchXAINet:
    if not isinstance(model, SketchXAINet):
        raise ModelError(
            f"{type(model).__name__} has no order embedding; give a SketchXAINet, such as "
            "sl.load('sketchxainet-tiny')"
        )
    if not model.config.use_order:
        raise ModelError(
            "this SketchXAINet was trained without order (use_order=False): its order table was "
            "never used; give a model trained with it"
        )
    return model


def _at_least_one(count: int) -> None:
    if count < 1:
        raise SightlineError(f"{count} strokes make no drawing: keep at least 1")


def _in_unit(share: float) -> None:
    if not 0 < share <= 1:
        raise SightlineError(f"a share of {share} of the strokes: give one above 0, at most 1")
