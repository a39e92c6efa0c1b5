"""How well a gallery is searched: accuracy at k, average precision, places; with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from sightline.errors import TaskError
from sightline.metrics.intervals import Interval, bootstrap_mean, bootstrap_median, wilson

Relevance = Bool[np.ndarray, " _"]
"""Whether what stands at each place is relevant; queries may differ in how many places."""


def relevance_in_order(
    scores: Float[np.ndarray, " items"], relevant: Bool[np.ndarray, " items"]
) -> Relevance:
    """Whether what stands at each place is relevant, the first place first.

    Convention:
        Ties are counted against the query: of equally near items the relevant stand last. So an
        encoder that answers the same to everything is last, whatever the order of the files.

    Example:
        >>> relevance_in_order(np.array([0.5, 0.9, 0.5]), np.array([True, False, False])).tolist()
        [False, False, True]
    """
    return relevant[np.lexsort((relevant, -scores))]


def first_place(relevance: Relevance) -> int:
    """The place of the first relevant item, counted from 1.

    Raises:
        TaskError: none is relevant.

    Example:
        >>> first_place(np.array([False, True, True]))
        2
    """
    _refuse_none_relevant(relevance)
    return int(relevance.argmax()) + 1


def average_precision(relevance: Relevance) -> float:
    """The mean, over the relevant items, of the share of relevant ones up to their place.

    Raises:
        TaskError: none is relevant.

    Example:
        >>> average_precision(np.array([True, False, True]))  # (1/1 + 2/3) / 2
        0.8333333333333333
    """
    _refuse_none_relevant(relevance)
    places = np.flatnonzero(relevance) + 1
    return float((np.arange(1, len(places) + 1) / places).mean())


def accuracy_at(places: Int[np.ndarray, " queries"] | Sequence[int], k: int) -> Interval:
    """Share of queries whose first relevant item is among the first ``k``; Wilson's interval.

    Raises:
        TaskError: no queries, places below 1, ``k`` below 1.

    Example:
        >>> print(accuracy_at([1, 3, 11, 2], 3))
        0.7500 [0.3006, 0.9544]
    """
    given = _places(places)
    if k < 1:
        raise TaskError(f"k is {k}; the first place is 1")
    return wilson(int((given <= k).sum()), len(given))


def mean_average_precision(relevance: Sequence[Relevance], *, seed: int = 0) -> Interval:
    """The mean of `average_precision`, queries resampled for its interval.

    Raises:
        TaskError: no queries, or one without a relevant item.
    """
    if not len(relevance):
        raise TaskError("no queries: nothing to score")
    return bootstrap_mean([average_precision(one) for one in relevance], seed=seed)


def mean_reciprocal_rank(
    places: Int[np.ndarray, " queries"] | Sequence[int], *, seed: int = 0
) -> Interval:
    """The mean of 1 / place of the first relevant item, queries resampled for its interval.

    Raises:
        TaskError: no queries, places below 1.
    """
    return bootstrap_mean(1 / _places(places), seed=seed)


def median_place(places: Int[np.ndarray, " queries"] | Sequence[int], *, seed: int = 0) -> Interval:
    """The median place of the first relevant item (the lower one of two), queries resampled.

    Raises:
        TaskError: no queries, places below 1.
    """
    return bootstrap_median(_places(places), seed=seed)


@dataclass(frozen=True)
class RetrievalScores:
    """How well queries find what they are of.

    Args:
        by: what is relevant: ``"instance"``, the same object; ``"label"``, the same category.
        queries: how many were asked; gallery: how many items were searched.
        unmatched: queries left out, since nothing in the gallery is relevant to them.
        accuracy: at each k.
        mean_average_precision: over queries.
        mean_reciprocal_rank: of the first relevant item.
        median_place: of the first relevant item, counted from 1.
        seed: of the resampling.
        encoder: its name; fingerprint: of its weights.
    """

    by: str
    queries: int
    gallery: int
    unmatched: int
    accuracy: Mapping[int, Interval]
    mean_average_precision: Interval
    mean_reciprocal_rank: Interval
    median_place: Interval
    seed: int = 0
    encoder: str = ""
    fingerprint: str = ""

    @classmethod
    def of(
        cls, relevance: Iterable[Relevance], *, at: Sequence[int] = (1, 5, 10), **told: Any
    ) -> RetrievalScores:
        """All scores of queries, each given as `relevance_in_order`, one after the other.

        Raises:
            TaskError: no queries, or one without a relevant item.
        """
        seed = told.get("seed", 0)
        found = [(first_place(one), average_precision(one)) for one in relevance]
        places, precisions = [place for place, _ in found], [share for _, share in found]
        return cls(
            queries=len(places),
            accuracy={k: accuracy_at(places, k) for k in at},
            mean_average_precision=bootstrap_mean(precisions, seed=seed),
            mean_reciprocal_rank=mean_reciprocal_rank(places, seed=seed),
            median_place=median_place(places, seed=seed),
            **told,
        )

    def as_dict(self) -> dict[str, Any]:
        """Numbers and words for JSON; an interval is estimate, low, high."""
        plain = {key: value for key, value in vars(self).items() if not isinstance(value, Interval)}
        plain["accuracy"] = {str(k): _numbers(value) for k, value in self.accuracy.items()}
        scores = {k: _numbers(v) for k, v in vars(self).items() if isinstance(v, Interval)}
        return {**plain, **scores}

    def __str__(self) -> str:
        unmatched = f", {self.unmatched} left out: nothing is relevant" if self.unmatched else ""
        rows = [(f"accuracy at {k}", value) for k, value in self.accuracy.items()]
        rows += [
            ("mean average precision", self.mean_average_precision),
            ("mean reciprocal rank", self.mean_reciprocal_rank),
        ]
        lines = [f"{name:24s}{value}" for name, value in rows]
        middle = self.median_place
        lines.append(
            f"{'median place':24s}{middle.estimate:.0f} [{middle.low:.0f}, {middle.high:.0f}]"
        )
        head = f"{self.queries} queries, {self.gallery} items, relevant: the same {self.by}"
        return "\n".join([head + unmatched, *lines])


def _numbers(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def _places(places: ArrayLike) -> Int[np.ndarray, " queries"]:
    given = np.asarray(places, dtype=np.int64)
    if given.ndim != 1 or not len(given) or given.min() < 1:
        raise TaskError(
            f"places {given.tolist()[:5]} of shape {list(given.shape)}; expected one a query, "
            "counted from 1"
        )
    return given


def _refuse_none_relevant(relevance: Relevance) -> None:
    if not relevance.any():
        raise TaskError(
            f"none of {len(relevance)} items is relevant to the query; leave such queries out"
        )
