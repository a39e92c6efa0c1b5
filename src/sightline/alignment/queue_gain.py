"""What a label is worth in the order of a queue: measured by learning from the first n of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from sightline.alignment.over_seeds import paired_over_seeds, student_interval
from sightline.alignment.queue import Candidate, order
from sightline.errors import AlignmentError, unknown_name
from sightline.metrics.intervals import Comparison, Interval

RANDOM = "random"
Learn: TypeAlias = Callable[[Sequence[str], int], float]
"""Teach a fresh model the labels of these items, with the luck of this seed; give its score."""

Scores: TypeAlias = Float[np.ndarray, "seeds budgets"]


@dataclass(frozen=True, eq=False)
class GainCurve:
    """Scores after the first n labels of each strategy, of the same seeds.

    Args:
        budgets: numbers of labels.
        start: score of each seed without any label.
        scores: of each strategy, seeds down, budgets across; "random" is among them.
    """

    budgets: tuple[int, ...]
    start: Float[np.ndarray, " seeds"]
    scores: Mapping[str, Scores]

    def gain_per_label(self, strategy: str, budget: int) -> Interval:
        """(score - score without a label) / labels, with its interval over seeds."""
        gain = self._column(strategy, budget) - self.start
        return student_interval(gain / budget)

    def over_random(self, strategy: str, budget: int) -> Comparison:
        """Score above that of random order, paired by seed."""
        return paired_over_seeds(self._column(strategy, budget), self._column(RANDOM, budget))

    def _column(self, strategy: str, budget: int) -> Float[np.ndarray, " seeds"]:
        if strategy not in self.scores:
            raise AlignmentError(unknown_name("strategy", strategy, self.scores))
        if budget not in self.budgets:
            raise AlignmentError(f"{budget} labels were not tried; tried: {self.budgets}")
        return self.scores[strategy][:, self.budgets.index(budget)]

    def markdown(self) -> str:
        """A row a strategy and budget: score, gain per label, and the difference from random."""
        rows = [
            f"{len(self.start)} seeds, Student's t intervals at 95 %; "
            f"without a label {student_interval(self.start)}",
            "",
            "| order | labels | score | gain per label | over random |",
            "|---|---|---|---|---|",
        ]
        for strategy in self.scores:
            rows += [self._row(strategy, budget) for budget in self.budgets]
        return "\n".join(rows)

    def _row(self, strategy: str, budget: int) -> str:
        score, gain = self._column(strategy, budget), self.gain_per_label(strategy, budget)
        words = f"{gain.estimate:.2g} [{gain.low:.2g}, {gain.high:.2g}]"
        better = "–" if strategy == RANDOM else str(self.over_random(strategy, budget).difference)
        return f"| {strategy} | {budget} | {student_interval(score)} | {words} | {better} |"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "budgets": list(self.budgets),
            "start": self.start.tolist(),
            "scores": {name: own.tolist() for name, own in self.scores.items()},
        }


def simulate(
    items: Sequence[Candidate],
    strategy: str | Sequence[str],
    learn: Learn,
    *,
    budgets: Sequence[int] = (10, 30, 100),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    wanted: Mapping[str, int] | None = None,
) -> GainCurve:
    """Give labels in the order of the queue, and measure what was learnt from the first n.

    Random order is always simulated beside, with the same seeds: what a queue is worth is what it
    gives beyond that. The seed chooses the random order, breaks ties of the others, and is handed
    on to ``learn``.

    Args:
        items: candidates whose labels are known but not yet given.
        strategy: of the queue, one or several.
        learn: teaches a fresh model the labels of the items named, with a seed; gives its score.
        budgets: numbers of labels to try.
        seeds: two at least.
        wanted: labels wanted of each cell, for `order`.

    Raises:
        AlignmentError: a budget beyond the items that are not labelled yet; fewer than two seeds;
            a score that is not finite.
    """
    tried = (strategy,) if isinstance(strategy, str) else tuple(strategy)
    tried = (*(name for name in tried if name != RANDOM), RANDOM)
    open_ones = [item for item in items if not item.labelled]
    _check(budgets, seeds, len(open_ones))
    start = np.array([_score(learn, (), seed) for seed in seeds])
    scores = {
        name: np.array([_curve(open_ones, name, learn, budgets, seed, wanted) for seed in seeds])
        for name in tried
    }
    return GainCurve(tuple(budgets), start, scores)


def _curve(  # noqa: PLR0917, the loop of `simulate` hands on what it was given
    items: Sequence[Candidate],
    strategy: str,
    learn: Learn,
    budgets: Sequence[int],
    seed: int,
    wanted: Mapping[str, int] | None,
) -> list[float]:
    queue = order(items, strategy, wanted=wanted, seed=seed).items
    return [_score(learn, queue[:budget], seed) for budget in budgets]


def _score(learn: Learn, items: Sequence[str], seed: int) -> float:
    score = float(learn(items, seed))
    if not np.isfinite(score):
        raise AlignmentError(f"the score after {len(items)} labels is {score} (seed {seed})")
    return score


def _check(budgets: Sequence[int], seeds: Sequence[int], items: int) -> None:
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise AlignmentError(f"seeds are {list(seeds)}; an interval needs two different ones")
    if not budgets or min(budgets) < 1 or max(budgets) > items:
        raise AlignmentError(
            f"budgets are {list(budgets)}; give numbers from 1 to the {items} items without a label"
        )
