"""Finished runs as tables: means over seeds with Student's intervals, and what was recovered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightline.alignment.over_seeds import student_interval
from sightline.benchmark.ledger import Experiment, Finished
from sightline.benchmark.markdown import markdown_table, percent
from sightline.metrics.intervals import Interval

Row = tuple[str, str, int, float]


def over_seeds(values: Sequence[float]) -> Interval:
    """The mean and its Student's t interval at 95 %; of one seed, without any width known.

    Example:
        >>> print(over_seeds([0.8, 0.9, 1.0]))
        0.9000 [0.6516, 1.1484]
    """
    if len(values) == 1:
        return Interval(float(values[0]), -math.inf, math.inf)
    return student_interval(values)


@dataclass(frozen=True)
class Outcomes:
    """The finished runs of one study.

    Args:
        rows: of any methods, networks, labels, noise and seeds.
    """

    rows: tuple[Finished, ...]

    @classmethod
    def from_rows(cls, rows: Sequence[Finished], study: str) -> Outcomes:
        """Those of one study."""
        return cls(tuple(row for row in rows if row.experiment.study == study))

    @property
    def kinds(self) -> tuple[Row, ...]:
        """What was run, without the seeds, in the order in which it first came."""
        return tuple(dict.fromkeys(_kind(row.experiment) for row in self.rows))

    def values(self, kind: Row, measure: str) -> dict[int, float]:
        """A measure of each seed that has it."""
        found = {
            row.experiment.seed: row.measures.get(measure)
            for row in self.rows
            if _kind(row.experiment) == kind
        }
        return {seed: value for seed, value in sorted(found.items()) if value is not None}

    def mean(self, kind: Row, measure: str) -> Interval | None:
        """Over seeds; None where no run has it."""
        values = list(self.values(kind, measure).values())
        return over_seeds(values) if values else None

    def difference(self, kind: Row, other: Row, measure: str) -> Interval | None:
        """Of two kinds of run, paired by their seeds."""
        first, second = self.values(kind, measure), self.values(other, measure)
        both = [first[seed] - second[seed] for seed in first if seed in second]
        return over_seeds(both) if both else None

    def recovered(
        self, kind: Row, plain: Row, clean: Row, measure: str, *, of_clean: str | None = None
    ) -> Interval | None:
        """Which share of the gap between a plain and a clean model was closed.

        The share of each seed is ``(it - plain) / (clean - plain)``; then mean and interval.

        Args:
            kind: of the run asked about.
            plain: the kind that was misled.
            clean: the reference.
            measure: usually an accuracy.
            of_clean: the reference's measure, where it is another: clean models are tested on
                clean data.
        """
        here, low = self.values(kind, measure), self.values(plain, measure)
        high = self.values(clean, of_clean or measure)
        shares = [
            (here[seed] - low[seed]) / (high[seed] - low[seed])
            for seed in here
            if seed in low and seed in high and high[seed] != low[seed]
        ]
        return over_seeds(shares) if shares else None

    def table(
        self,
        measures: Sequence[str],
        *,
        recovered: Mapping[Row, Interval | None] | None = None,
        kinds: Sequence[Row] | None = None,
    ) -> str:
        """A table in markdown: one row a kind of run."""
        extra = ["gap recovered"] if recovered is not None else []
        head = ["method", "network", "labels", "wrong", "seeds", *measures, *extra]
        rows = []
        for kind in kinds or self.kinds:
            method, network, labels, noise = kind
            seeds = sum(_kind(row.experiment) == kind for row in self.rows)
            cells = [percent(self.mean(kind, measure)) for measure in measures]
            if recovered is not None:
                cells.append(percent(recovered.get(kind)))
            said = [method, network, str(labels or "–"), f"{noise:.0%}" if noise else "–"]
            rows.append([*said, str(seeds), *cells])
        note = "Means over seeds in %, with Student's t intervals at 95 %."
        return f"{markdown_table(head, rows)}\n\n{note}"


def _kind(experiment: Experiment) -> Row:
    return experiment.method, experiment.network, experiment.labels, experiment.noise
