"""What the benchmark found: one table of all methods, with intervals, and a verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from sightline.benchmark.planted import Planted
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired

Better = Literal["higher", "lower"]
LEVEL = 0.05
REFERENCE = "shapley"
"""What others are compared with; it does not compete where it is compared with itself."""


@dataclass(frozen=True)
class Test:
    """One column of the table.

    Args:
        name: its key; title: of the column; better: which way.
        question: what it decides, as the verdict says it.
        contest: whether methods are ranked by it; a sanity check is passed or failed instead.
        against_reference: whether exact Shapley values are the truth.
    """

    name: str
    title: str
    better: Better
    question: str
    contest: bool = True
    against_reference: bool = False


TESTS = (
    Test("planted", "planted AUC", "higher", "Ranking a planted stroke last"),
    Test(
        "agreement",
        "Spearman",
        "higher",
        "Agreeing with exact Shapley values",
        against_reference=True,
    ),
    Test(
        "first",
        "same first",
        "higher",
        "Naming the same first stroke as exact Shapley values",
        against_reference=True,
    ),
    Test("consistency", "parts' W", "higher", "Ranking parts alike over a category"),
    Test("part_deletion", "part deletion", "lower", "Finding the parts that the answer needs"),
    Test("weights 100%", "shuffled weights", "lower", "Forgetting shuffled weights", False),
    Test("random labels", "random labels", "lower", "Depending on what was learnt", False),
    Test("labels", "other label", "lower", "Depending on the label asked about", False),
    Test("shift", "shifted", "higher", "Staying when the drawing is shifted", False),
)
UNMOVED = 0.5
"""Rank correlation above which an explanation has not noticed what was done to the model."""


@dataclass(frozen=True)
class Cost:
    """Mean cost of one explanation."""

    evaluations: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Findings:
    """Numbers of every test and method, a number an item, in the same order for all methods.

    Args:
        model: its class; drawings: how many; checked: of them, in the sanity checks;
            unplanted: of them, without room for a planted stroke.
        values: test -> method -> one number a drawing (a label, for ``consistency``).
        cost: of one explanation, by method; seconds are this machine's.
        refused: method -> why it does not work on this model.
        learnt: share of random labels that the model of that check learnt by heart.
        examples: drawings with a planted stroke, the first few.
        notes: what a reader should know.
        seed: of the run, and of the intervals.
    """

    model: str
    drawings: int
    checked: int
    unplanted: int
    values: dict[str, dict[str, Float[np.ndarray, " items"]]]
    cost: dict[str, Cost]
    refused: dict[str, str]
    learnt: float | None = None
    examples: tuple[Planted, ...] = ()
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def methods(self) -> list[str]:
        """Methods and baselines, the best at planted strokes first."""
        first = next(iter(self.values.values()))
        key = self.values.get("planted", first)
        return sorted(key, key=lambda name: -float(np.nanmean(key[name])))

    @property
    def tests(self) -> list[Test]:
        """The tests that this data allowed."""
        return [test for test in TESTS if test.name in self.values]

    def interval(self, test: str, method: str) -> Interval | None:
        """Mean and bootstrap interval; None where the test does not apply to the method."""
        return self._intervals[test, method]

    @cached_property
    def _intervals(self) -> dict[tuple[str, str], Interval | None]:
        return {
            (test, method): _interval(values[np.isfinite(values)], self.seed)
            for test, by_method in self.values.items()
            for method, values in by_method.items()
        }

    def compare(self, test: str, a: str, b: str) -> Comparison:
        """Two methods on the same items."""
        return paired(self.values[test][a], self.values[test][b], seed=self.seed)

    @cached_property
    def leaders(self) -> dict[str, tuple[str, ...]]:
        """For each contest the best method, then those that cannot be told from it.

        Paired sign-flip tests against the best, at 5 % after Holm's correction.
        """
        return {test.name: self._leaders(test) for test in self.tests if test.contest}

    def _leaders(self, test: Test) -> tuple[str, ...]:
        sign = -1 if test.better == "higher" else 1
        own = {REFERENCE} if test.against_reference else set()
        means = {
            m: sign * float(v.mean()) for m, v in self.values[test.name].items() if m not in own
        }
        best, *others = sorted(means, key=lambda name: means[name])
        p = {other: self.compare(test.name, best, other).p_value for other in others}
        apart = holm(p)
        return (best, *(other for other in others if other not in apart))

    def verdict(self) -> list[str]:
        """Sentences: who is best at what, who cannot be told from the best, who fails a check."""
        return [self._contest(t) if t.contest else self._check(t) for t in self.tests]

    def _contest(self, test: Test) -> str:
        best, *others = self.leaders[test.name]
        told = f"{test.question}: {best} is best ({self._estimate(test, best)})"
        if others:
            return f"{told}; not distinguishable from it: {', '.join(others)}."
        return f"{told}, and distinguishable from all others."

    def _estimate(self, test: Test, method: str) -> str:
        interval = self.interval(test.name, method)
        return "" if interval is None else f"{interval.estimate:.3f}"

    def _check(self, test: Test) -> str:
        failed = [m for m in self.methods if self.fails(test, m)]
        if not failed:
            return f"{test.question}: every method passes."
        shown = ", ".join(f"{m} ({self._estimate(test, m)})" for m in failed)
        return f"{test.question}: not passed by {shown}."

    def fails(self, test: Test, method: str) -> bool:
        """Whether a sanity check is failed for sure: the whole interval is on the wrong side."""
        interval = self.interval(test.name, method)
        if interval is None:
            return False
        return interval.low > UNMOVED if test.better == "lower" else interval.high < UNMOVED

    def rows(self) -> list[list[str]]:
        """The table as text: a row a method, a star at the leaders of a contest."""
        return [
            [name, *(self._cell(t, name) for t in self.tests), *self._cost(name)]
            for name in self.methods
        ]

    def _cell(self, test: Test, method: str) -> str:
        interval = self.interval(test.name, method)
        if interval is None:
            return "–"
        star = "*" if method in self.leaders.get(test.name, ()) else ""
        mark = "!" if not test.contest and self.fails(test, method) else star
        return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]{mark}"

    def _cost(self, method: str) -> list[str]:
        if method not in self.cost:
            return ["0", "–"]
        cost = self.cost[method]
        return [f"{cost.evaluations:.0f}", f"{cost.seconds:.3f}"]

    @property
    def columns(self) -> list[str]:
        """Titles of the table's columns."""
        arrow = {"higher": "↑", "lower": "↓"}
        titles = [f"{t.title} {arrow[t.better]}" for t in self.tests]
        return ["method", *titles, "evaluations", "seconds"]

    def markdown(self) -> str:
        """The table for a page."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; seconds stand apart, since they alone differ from run to run."""
        tests = {
            test: {
                method: {
                    "mean": float(np.nanmean(v)) if np.isfinite(v).any() else None,
                    "values": [None if np.isnan(x) else x for x in v.tolist()],
                }
                for method, v in by_method.items()
            }
            for test, by_method in self.values.items()
        }
        return {
            "model": self.model,
            "seed": self.seed,
            "drawings": self.drawings,
            "checked": self.checked,
            "unplanted": self.unplanted,
            "learnt": self.learnt,
            "notes": list(self.notes),
            "tests": tests,
            "evaluations": {m: c.evaluations for m, c in self.cost.items()},
            "leaders": {test: list(names) for test, names in self.leaders.items()},
            "verdict": self.verdict(),
            "refused": self.refused,
            "seconds": {m: c.seconds for m, c in self.cost.items()},
        }


def _interval(values: Float[np.ndarray, " items"], seed: int) -> Interval | None:
    return bootstrap_mean(values, seed=seed) if len(values) else None


def holm(p_values: dict[str, float], *, level: float = LEVEL) -> set[str]:
    """Names whose hypothesis is rejected by Holm's step-down procedure.

    Example:
        >>> sorted(holm({"a": 0.01, "b": 0.04, "c": 0.03}))
        ['a']

    Source:
        Holm, 1979.
    """
    rejected: set[str] = set()
    for index, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        if p_values[name] * (len(p_values) - index) >= level:
            break
        rejected.add(name)
    return rejected
