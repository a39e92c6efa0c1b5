"""Location inversion over many drawings: how often, how fast, how far, how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, groupby
from typing import Any

import numpy as np

from sightline.errors import GameError
from sightline.inversion.descent import Descent
from sightline.inversion.invert import Progress, recover, transfer
from sightline.inversion.trajectory import Trajectory, layout_distance
from sightline.metrics.intervals import Interval, bootstrap_mean, bootstrap_median
from sightline.models.door import as_model
from sightline.sketch.luck import seed_of
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True)
class InversionScores:
    """What a set of drawings says about location inversion; the drawing is the unit.

    Numbers of one drawing's restarts are averaged first, so intervals are over drawings.

    Args:
        drawings: scored; one_stroke: left out, since there is nothing to arrange; restarts: each.
        flipped: share of walks that reach the target at any step; kept: that end with it.
        at_start: share whose start is the target's already.
        steps_to_flip: median over drawings (over the walks that do not start there); infinity for
            never.
        probability: of the target in the end.
        start_distance, distance: of the first and the last layout to the drawn one, after the
            best translation, in canvas units.
        spread: distance between the last layouts of two restarts, in the same way; None for a
            single restart.
    """

    drawings: int
    one_stroke: int
    restarts: int
    flipped: Interval
    kept: Interval
    at_start: Interval
    steps_to_flip: Interval | None
    probability: Interval
    start_distance: Interval
    distance: Interval
    spread: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def inversion_scores(ways: Sequence[Trajectory], *, seed: int = 0) -> InversionScores:
    """Score the trajectories of `recover` or `transfer`, restarts of a drawing in a row.

    Args:
        ways: one or more restarts for each drawing and target.
        seed: of the bootstrap.

    Raises:
        GameError: no drawing of two strokes or more.
    """
    groups = [list(some) for _, some in groupby(ways, key=lambda w: (id(w.sketch), w.target))]
    kept = [some for some in groups if len(some[0].sketch) > 1]
    if not kept:
        raise GameError("no drawing of two strokes or more: there is nothing to arrange")
    mean = _means(kept, seed)
    steps = [s for s in map(_steps, kept) if s is not None]
    many = len(kept[0]) > 1
    return InversionScores(
        drawings=len(kept),
        one_stroke=len(groups) - len(kept),
        restarts=len(kept[0]),
        flipped=mean(lambda w: w.flipped_at is not None),
        kept=mean(lambda w: w.flipped),
        at_start=mean(lambda w: w.flipped_at == 0),
        steps_to_flip=bootstrap_median(steps, seed=seed) if steps else None,
        probability=mean(lambda w: w.target_probability[-1]),
        start_distance=mean(lambda w: w.distance(0)),
        distance=mean(lambda w: w.distance()),
        spread=bootstrap_mean([_spread(some) for some in kept], seed=seed) if many else None,
    )


def score_inversion(
    model: object,
    sketches: Sequence[Sketch],
    kind: str,
    *,
    restarts: int = 5,
    seed: int = 0,
    descent: Descent | None = None,
    progress: Progress | None = None,
) -> InversionScores:
    """Invert every drawing and score it: ``"recovery"``, or ``"transfer"`` to a random label.

    A drawing's random label depends on the drawing and the seed alone.

    Raises:
        GameError: another kind.
    """
    model = as_model(model)
    if kind == "recovery":
        ways = recover(
            model, sketches, restarts=restarts, seed=seed, descent=descent, progress=progress
        )
        return inversion_scores(ways, seed=seed)
    if kind != "transfer":
        raise GameError(f"{kind!r} is neither recovery nor transfer")
    towards: dict[str, list[Sketch]] = {}
    for sketch in sketches:
        towards.setdefault(other_label(sketch, model.labels, seed), []).append(sketch)
    ways, done, total = [], 0, len(sketches)
    for label, some in sorted(towards.items()):
        ways += transfer(model, some, label, restarts=restarts, seed=seed, descent=descent)
        done += len(some)
        if progress is not None:
            progress(done, total)
    return inversion_scores(ways, seed=seed)


def other_label(sketch: Sketch, labels: Sequence[str], seed: int) -> str:
    """A label that is not the drawing's own, by a hash of the drawing and the seed."""
    others = [label for label in labels if label != sketch.label]
    return others[seed_of(sketch, f"{seed}/other", size=4) % len(others)]


def _means(groups: list[list[Trajectory]], seed: int) -> Any:
    def mean(number: Any) -> Interval:
        each = [np.mean([float(number(way)) for way in some]) for some in groups]
        return bootstrap_mean(each, seed=seed)

    return mean


def _steps(some: list[Trajectory]) -> float | None:
    taken = [np.inf if w.flipped_at is None else w.flipped_at for w in some if w.flipped_at != 0]
    return float(np.sort(taken)[(len(taken) - 1) // 2]) if taken else None


def _spread(some: list[Trajectory]) -> float:
    ends = [way.locations[-1] for way in some]
    return float(np.mean([layout_distance(a, b) for a, b in combinations(ends, 2)]))
