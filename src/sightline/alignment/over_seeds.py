"""What seeds say about a change: before and after of each, with Student's t over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sightline.alignment.before_after import paired_rows
from sightline.alignment.measured import MEASURES, Measured
from sightline.errors import AlignmentError
from sightline.metrics.intervals import Comparison, Interval


@dataclass(frozen=True)
class SeedRow:
    """One number over several seeds: a run before and a run after of each.

    Args:
        before: mean over seeds, Student's t interval.
        after: the same.
        change: mean of after - before, paired by seed; p of the paired t test.
        values: after - before of each seed that has both.
        left_out: seeds without the number before or after.
    """

    before: Interval
    after: Interval
    change: Comparison
    values: tuple[float, ...]
    left_out: int = 0


@dataclass(frozen=True, eq=False)
class OverSeeds:
    """Changes over seeds.

    Convention:
        The interval is Student's t over seeds: with 5 seeds, mean +- 2.776 standard errors. A
        bootstrap of 5 numbers would come out a third too short. It says how another *seed* would do
        on these test items; how other items would do, `compare` says.

    Args:
        rows: accuracy, worst group (each run's own), and every measure.
        seeds: how many.
    """

    rows: Mapping[str, SeedRow]
    seeds: int

    def markdown(self) -> str:
        """One row a number."""
        lines = [
            f"| {self.seeds} seeds | before | after | after - before | p | higher in |",
            "|---|---|---|---|---|---|",
        ]
        for name, row in self.rows.items():
            higher = f"{sum(v > 0 for v in row.values)} of {len(row.values)}"
            lines.append(
                f"| {name} | {row.before} | {row.after} | {row.change.difference} | "
                f"{row.change.p_value:.4f} | {higher} |"
            )
        return "\n".join([*lines, "", "Intervals: Student's t over seeds; p: paired t test."])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"seeds": self.seeds, "rows": {name: asdict(row) for name, row in self.rows.items()}}


def over_seeds(runs: Sequence[tuple[Measured, Measured]]) -> OverSeeds:
    """Changes over seeds, paired by seed.

    Means of a measure are over the items that have it both times, as in `compare`.

    Args:
        runs: (before, after) of each seed.

    Raises:
        AlignmentError: fewer than 2 seeds; runs that cannot be compared.
    """
    if len(runs) < 2:
        raise AlignmentError(f"{len(runs)} seeds; how seeds differ needs at least 2")
    found: dict[str, list[tuple[float, float]]] = {}
    for before, after in runs:
        for name, pair in _numbers(before, after).items():
            found.setdefault(name, []).append(pair)
    rows = {name: _seed_row(pairs, len(runs)) for name, pairs in found.items() if len(pairs) > 1}
    return OverSeeds(rows, len(runs))


def _numbers(before: Measured, after: Measured) -> dict[str, tuple[float, float]]:
    pairs = paired_rows(before, after)
    found = {"accuracy": (before.accuracy.estimate, after.accuracy.estimate)}
    if before.worst_group is not None and after.worst_group is not None:
        worst = before.worst_group.accuracy.estimate, after.worst_group.accuracy.estimate
        found["worst group"] = worst
    for measure in MEASURES:
        both = [(getattr(a, measure), getattr(b, measure)) for a, b in pairs]
        there = [pair for pair in both if None not in pair]
        if there:
            was, now = np.mean(there, axis=0)
            found[measure] = float(was), float(now)
    return found


def _seed_row(pairs: Sequence[tuple[float, float]], seeds: int) -> SeedRow:
    was, now = np.array(pairs).T
    change = paired_over_seeds(now, was)
    return SeedRow(
        student_interval(was),
        student_interval(now),
        change,
        tuple(float(v) for v in now - was),
        seeds - len(pairs),
    )


def student_interval(values: ArrayLike) -> Interval:
    """The mean of a few independent runs and Student's t interval at 95 %.

    Raises:
        AlignmentError: fewer than 2 values, or some that are not finite.

    Example:
        >>> print(student_interval([0.80, 0.82, 0.84]))
        0.8200 [0.7703, 0.8697]
    """
    mean, error, freedom = _mean_and_error(values)
    half = student_quantile(freedom) * error
    return Interval(mean, mean - half, mean + half)


def paired_over_seeds(a: ArrayLike, b: ArrayLike) -> Comparison:
    """Mean of a - b over seeds, its Student interval, and the p value of the paired t test.

    Raises:
        AlignmentError: unequal lengths, fewer than 2 seeds, values that are not finite.
    """
    first, second = (np.asarray(side, np.float64).ravel() for side in (a, b))
    if len(first) != len(second):
        raise AlignmentError(f"cannot pair {len(first)} with {len(second)} seeds")
    mean, error, freedom = _mean_and_error(first - second)
    if error == 0:  # every seed differs by the same
        return Comparison(Interval(mean, mean, mean), float(mean == 0))
    return Comparison(student_interval(first - second), 1 - student_within(mean / error, freedom))


def _mean_and_error(values: ArrayLike) -> tuple[float, float, int]:
    given = np.asarray(values, np.float64).ravel()
    if len(given) < 2 or not np.isfinite(given).all():
        raise AlignmentError(f"{given.tolist()}: an interval over seeds needs 2 finite numbers")
    return float(given.mean()), float(given.std(ddof=1) / math.sqrt(len(given))), len(given) - 1


def student_within(t: float, freedom: int) -> float:
    """The chance that Student's t lies in [-t, t]; exact for whole degrees of freedom.

    Source:
        Abramowitz and Stegun, 1964, 26.7.3 and 26.7.4.
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def student_quantile(freedom: int, within: float = 0.95) -> float:
    """The t for which Student's t lies in [-t, t] with this chance.

    Example:
        >>> round(student_quantile(4), 3)
        2.776
    """
    low, high = 0.0, math.pi / 2  # of the angle, in which the whole line is finite
    for _ in range(60):
        middle = (low + high) / 2
        t = math.sqrt(freedom) * math.tan(middle)
        low, high = (middle, high) if student_within(t, freedom) < within else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)
