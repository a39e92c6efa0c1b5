"""How well a gallery is searched: accuracy at k, average precision, places; with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from sightline.errors import TaskError
from sightline.metrics.clustered import clustered_mean
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
        instances: how many objects the queries are of. Several queries of one object share its
            luck, so that intervals then count objects, not queries.
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
    instances: int | None = None

    @classmethod
    def of(
        cls,
        relevance: Iterable[Relevance],
        *,
        at: Sequence[int] = (1, 5, 10),
        groups: Sequence[Hashable] | None = None,
        **told: Any,
    ) -> RetrievalScores:
        """All scores of queries, each given as `relevance_in_order`, one after the other.

        Args:
            relevance: of each query.
            at: the k of the accuracies.
            groups: the object that each query is of; by default each is of its own.
            told: the other fields.

        Raises:
            TaskError: no queries, or one without a relevant item.
        """
        seed = told.get("seed", 0)
        found = [(first_place(one), average_precision(one)) for one in relevance]
        places, precisions = [place for place, _ in found], [share for _, share in found]
        if groups is not None and len(set(groups)) < len(places):
            told |= _by_instance(places, precisions, groups, at, told)
        else:
            told |= {
                "instances": len(places),
                "accuracy": {k: accuracy_at(places, k) for k in at},
                "mean_average_precision": bootstrap_mean(precisions, seed=seed),
                "mean_reciprocal_rank": mean_reciprocal_rank(places, seed=seed),
                "median_place": median_place(places, seed=seed),
            }
        return cls(queries=len(places), **told)

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
        several = self.instances is not None and self.instances < self.queries
        of = f" of {self.instances} instances" if several else ""
        head = f"{self.queries} queries{of}, {self.gallery} items, relevant: the same {self.by}"
        return "\n".join([head + unmatched, *lines])


def share_of_groups(hits: Bool[np.ndarray, " queries"], groups: Sequence[Hashable]) -> Interval:
    """A share, where several queries are of one object and share its luck.

    Convention:
        Wilson's interval of as many queries as these are worth: of so many independent ones the
        share would be as uncertain. They are worth no more than their number, and no less than
        where all queries of an object answer alike. Hits are rounded away from the share.

    Example:
        >>> print(share_of_groups(np.ones(240, dtype=bool), [i % 12 for i in range(240)]))
        1.0000 [0.7575, 1.0000]

    Source:
        Kish, 1965 (the design effect); Korn and Graubard, 1998 (its use in such an interval).
    """
    of, count = _numbered(groups), len(hits)
    sizes, right = np.bincount(of), int(hits.sum())
    share = right / count
    fewest = count**2 / float((sizes**2).sum())
    apart = float(((np.bincount(of, weights=hits) - sizes * share) ** 2).sum())
    spread = apart * len(sizes) / max(len(sizes) - 1, 1)
    worth = share * (1 - share) * count**2 / spread if spread else float(count)
    # all right, all wrong or one object tells nothing of how objects differ
    mixed = 0 < right < count and len(sizes) > 1
    trials = max(1, int(min(max(worth, fewest), count) if mixed else fewest))
    low, high = wilson(right * trials // count, trials), wilson(-(-right * trials // count), trials)
    return Interval(share, low.low, high.high)


def median_of_groups(
    places: Int[np.ndarray, " queries"], groups: Sequence[Hashable], *, seed: int = 0
) -> Interval:
    """`median_place`, objects resampled, each with all its queries."""
    order, of = np.argsort(places, kind="stable"), _numbered(groups)
    ranked, of, count = places[order], of[order], int(of.max()) + 1
    generator, medians = np.random.default_rng(seed), []
    for drawn in generator.multinomial(count, np.full(count, 1 / count), size=2000):
        until = drawn[of].cumsum()
        medians.append(ranked[np.searchsorted(until, (until[-1] - 1) // 2, side="right")])
    low, high = np.percentile(medians, [2.5, 97.5], method="inverted_cdf")
    return Interval(float(ranked[(len(ranked) - 1) // 2]), float(low), float(high))


def _by_instance(
    places: Sequence[int],
    precisions: Sequence[float],
    groups: Sequence[Hashable],
    at: Sequence[int],
    told: Mapping[str, Any],
) -> dict[str, Any]:
    """Scores whose intervals count objects; one object alone says nothing of others."""
    found, seed, count = _places(places), told.get("seed", 0), len(set(groups))

    def mean(values: ArrayLike) -> Interval:
        if count < 2:
            return Interval(float(np.asarray(values).mean()), 0.0, 1.0)
        return clustered_mean(values, groups, seed=seed)

    middle = median_of_groups(found, groups, seed=seed)
    return {
        "instances": count,
        "accuracy": {k: share_of_groups(found <= k, groups) for k in at},
        "mean_average_precision": mean(precisions),
        "mean_reciprocal_rank": mean(1 / found),
        "median_place": middle
        if count > 1
        else Interval(middle.estimate, 1.0, float(told["gallery"])),
    }


def _numbered(groups: Sequence[Hashable]) -> Int[np.ndarray, " queries"]:
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], np.int64)


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
