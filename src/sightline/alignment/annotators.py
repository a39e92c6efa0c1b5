"""How well people agree: Cohen's kappa, Krippendorff's alpha, and the overlap of their masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.alignment.verdicts import Verdicts
from sightline.errors import AlignmentError, unknown_name
from sightline.metrics.intervals import Interval, bootstrap_mean

Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["linear", "quadratic"]
Coincidences: TypeAlias = Float[np.ndarray, "draws values values"]
QUESTIONS = ("accurate", "necessary", "nothing_unnecessary", "reasonable", "rating")
DRAWS = 2000


def cohen_kappa(
    a: Sequence[object],
    b: Sequence[object],
    *,
    weights: Weights | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Agreement of two people beyond what their habits alone would give, item by item.

    Args:
        a: answers of one; numbers, yes and no, or names.
        b: of the other, on the same items.
        weights: how much a near miss counts: by distance of the numbers, or by its square; None:
            every miss is a miss.
        seed: of the bootstrap over items.
        draws: of it.

    Returns:
        1 for one mind, 0 for luck, with a 95 % percentile bootstrap interval over items; nan where
        both always give the same one answer, since then nothing could have differed.

    Raises:
        AlignmentError: unequal lengths; no item; weights on answers that are no numbers.

    Example:
        >>> yes_no = [1] * 20 + [1] * 5 + [0] * 10 + [0] * 15
        >>> print(cohen_kappa(yes_no, [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15))
        0.4000 [0.1255, 0.6388]

    Source:
        Cohen 1960; Cohen 1968 with weights.
    """
    if len(a) != len(b) or not len(a):
        raise AlignmentError(f"{len(a)} and {len(b)} answers; give both on the same items, some")
    values = sorted({*a, *b}, key=lambda v: (str(type(v)), v))
    miss = _misses(values, weights)
    place = {value: i for i, value in enumerate(values)}
    first, second = np.array([place[v] for v in a]), np.array([place[v] for v in b])
    pairs = first * len(values) + second
    cells = np.zeros((len(a), len(values) ** 2))
    cells[np.arange(len(a)), pairs] = 1

    def statistic(counts: Float[np.ndarray, "draws items"]) -> Float[np.ndarray, " draws"]:
        table = (counts @ cells).reshape(-1, len(values), len(values)) / len(a)
        by_luck = table.sum(2)[:, :, None] * table.sum(1)[:, None, :]
        return _beyond_luck((table * miss).sum((1, 2)), (by_luck * miss).sum((1, 2)))

    return _over_items(statistic, len(a), seed, draws)


def krippendorff_alpha(
    table: ArrayLike, *, level: Level = "nominal", seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Agreement of any number of people who need not all have answered everything.

    Args:
        table: ``[annotators, items]``; nan where one did not answer. Items with fewer than two
            answers tell nothing of agreement and do not count.
        level: what a difference is: "nominal", other or not; "ordinal", how many answers lie
            between, for ratings; "interval", its square.
        seed: of the bootstrap over items.
        draws: of it.

    Returns:
        1 for one mind, 0 for luck, with a 95 % percentile bootstrap interval over items; nan where
        all answers are one.

    Raises:
        AlignmentError: no item that two people answered; an unknown level.

    Example:
        >>> ada, bob = [1, 2, 3, 3, 2], [1, 2, 3, 3, float("nan")]
        >>> krippendorff_alpha([ada, bob]).estimate
        1.0

    Source:
        Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
    """
    if level not in ("nominal", "ordinal", "interval"):
        raise AlignmentError(unknown_name("level", level, ("nominal", "ordinal", "interval")))
    given = np.array(table, np.float64)
    if given.ndim != 2 or np.isinf(given).any():
        raise AlignmentError(
            f"the table has shape {list(given.shape)}; expected finite numbers or nan, "
            "[annotators, items]"
        )
    given = given[:, (~np.isnan(given)).sum(0) >= 2]
    if not given.size:
        raise AlignmentError("no item has answers of two people: agreement cannot be told")
    if level == "interval":
        centred = given - np.nanmean(given)  # or rounding of large numbers would disagree
        units = [column[~np.isnan(column)][:, None] for column in centred.T]
        return _interval_alpha(np.stack([_sums(unit) for unit in units]), seed, draws)
    values = np.unique(given[~np.isnan(given)])
    counts = (given[:, :, None] == values).sum(0).astype(np.float64)
    own = np.einsum("ic,ik->ick", counts, counts)
    own -= counts[:, :, None] * np.eye(len(values))
    own /= (counts.sum(1) - 1)[:, None, None]
    flat = own.reshape(len(own), -1)

    def statistic(resampled: Float[np.ndarray, "draws items"]) -> Float[np.ndarray, " draws"]:
        seen = (resampled @ flat).reshape(-1, len(values), len(values))
        return _alpha(seen, level)

    return _over_items(statistic, given.shape[1], seed, draws)


@dataclass(frozen=True)
class MaskAgreement:
    """How well masks of several people agree.

    Args:
        iou: mean over items of the mean over pairs of people of sum(min) / sum(max).
        alpha: Krippendorff's at the interval level; pixels (or strokes) are the units, masks the
            values, soft as they are. Items are resampled, not pixels, since those of one item hang
            together.
        items: with masks of two people at least.
        pairs: of masks.
    """

    iou: Interval
    alpha: Interval
    items: int
    pairs: int


def mask_agreement(
    labels: AttentionLabels,
    *,
    mask: Literal["must", "must_not"] = "must",
    seed: int = 0,
    draws: int = DRAWS,
) -> MaskAgreement:
    """Compare the masks that several people drew of the same items.

    Args:
        labels: of two people at least; items with one label do not count.
        mask: which of the two masks.
        seed: of the bootstrap over items.
        draws: of it.

    Raises:
        AlignmentError: no item has this mask from two people; masks of one item differ in size.
    """
    groups = []
    for item in labels.items:
        own = [label for label in labels.of(item) if getattr(label, mask) is not None]
        if len(own) >= 2:
            groups.append(_stacked(own, mask))
    if not groups:
        raise AlignmentError(f"no item has a {mask} mask of two people: nothing to compare")
    shares = [[_iou(a, b) for a, b in combinations(group, 2)] for group in groups]
    sums = np.stack([_sums(group) for group in groups])
    return MaskAgreement(
        bootstrap_mean([float(np.mean(own)) for own in shares], seed=seed, draws=draws),
        _interval_alpha(sums, seed, draws),
        len(groups),
        sum(len(own) for own in shares),
    )


@dataclass(frozen=True)
class VerdictAgreement:
    """How well people agree on one question of the verdicts.

    Args:
        question: one of accurate, necessary, nothing_unnecessary, reasonable, rating.
        items: that two people at least answered.
        alpha: Krippendorff's; ordinal for ratings, otherwise nominal.
        kappas: Cohen's, of each pair of people with an item in common; quadratic weights for
            ratings.
    """

    question: str
    items: int
    alpha: Interval
    kappas: dict[tuple[str, str], Interval]


def verdict_agreement(
    verdicts: Verdicts, *, seed: int = 0, draws: int = DRAWS
) -> list[VerdictAgreement]:
    """Agreement of people on each question that two of them answered on the same items.

    Raises:
        AlignmentError: fewer than two authors; no item in common; proposed verdicts.
    """
    if verdicts.are_proposed:
        raise AlignmentError("these verdicts are proposed: agreement is between people")
    if len(verdicts.authors) < 2:
        raise AlignmentError(f"verdicts of {len(verdicts.authors)} author: agreement needs two")
    found = []
    for question in QUESTIONS:
        table = answers(verdicts, question)
        several = int(((~np.isnan(table)).sum(0) >= 2).sum())
        if several:
            level: Level = "ordinal" if question == "rating" else "nominal"
            alpha = krippendorff_alpha(table, level=level, seed=seed, draws=draws)
            kappas = _kappas(table, verdicts.authors, question, seed, draws)
            found.append(VerdictAgreement(question, several, alpha, kappas))
    if not found:
        raise AlignmentError(f"{' and '.join(verdicts.authors)} have no item in common")
    return found


def answers(verdicts: Verdicts, question: str) -> Float[np.ndarray, "annotators items"]:
    """Answers to one question as numbers, authors down, items across; nan where there is none."""
    if question not in QUESTIONS:
        raise AlignmentError(unknown_name("question", question, QUESTIONS))
    row = {author: i for i, author in enumerate(verdicts.authors)}
    column = {item: i for i, item in enumerate(verdicts.items)}
    table = np.full((len(row), len(column)), np.nan)
    for verdict in verdicts:
        answer = getattr(verdict, question)
        if answer is not None:
            table[row[verdict.author], column[verdict.item]] = answer
    return table


def _kappas(
    table: Float[np.ndarray, "annotators items"],
    authors: Sequence[str],
    question: str,
    seed: int,
    draws: int,
) -> dict[tuple[str, str], Interval]:
    weights: Weights | None = "quadratic" if question == "rating" else None
    kappas = {}
    for a, b in combinations(range(len(authors)), 2):
        both = ~np.isnan(table[[a, b]]).any(0)
        if both.any():
            sides = table[a, both].tolist(), table[b, both].tolist()
            kappas[authors[a], authors[b]] = cohen_kappa(
                *sides, weights=weights, seed=seed, draws=draws
            )
    return kappas


def _misses(values: Sequence[object], weights: Weights | None) -> Float[np.ndarray, "v v"]:
    if weights is None:
        return 1 - np.eye(len(values))
    if weights not in ("linear", "quadratic"):
        raise AlignmentError(unknown_name("weights", weights, ("linear", "quadratic")))
    if any(isinstance(value, str) for value in values):
        raise AlignmentError(f"weights need numbers; the answers are {values[:5]}")
    numbers = np.array(values, np.float64)
    apart = np.abs(numbers[:, None] - numbers)
    return apart if weights == "linear" else apart**2


def _alpha(seen: Coincidences, level: Level) -> Float[np.ndarray, " draws"]:
    """From coincidences of values: 1 - observed / expected disagreement."""
    totals = seen.sum(2)
    apart = _ordinal(totals) if level == "ordinal" else 1 - np.eye(seen.shape[1])
    total = totals.sum(1)
    by_luck = totals[:, :, None] * totals[:, None, :] / (total - 1)[:, None, None]
    # a value with itself is never a disagreement, so the diagonal's n (n - 1) need not be made
    return _beyond_luck((seen * apart).sum((1, 2)), (by_luck * apart).sum((1, 2)))


def _ordinal(totals: Float[np.ndarray, "draws values"]) -> Coincidences:
    """Squared number of answers from the middle of one value to the middle of the other."""
    middle = totals.cumsum(1) - totals / 2
    return (middle[:, :, None] - middle[:, None, :]) ** 2


def _sums(given: Float[np.ndarray, "people places"]) -> Float[np.ndarray, " 4"]:
    """Of an item's places: values, their sum, sum of squares, and the disagreement within places.

    At the interval level that is all that alpha needs, and the sums of items add up.
    """
    people = len(given)
    within = 2 * people * ((given - given.mean(0)) ** 2).sum() / (people - 1)
    return np.array([given.size, given.sum(), (given**2).sum(), within])


def _interval_alpha(sums: Float[np.ndarray, "items 4"], seed: int, draws: int) -> Interval:
    def statistic(resampled: Float[np.ndarray, "draws items"]) -> Float[np.ndarray, " draws"]:
        count, total, squares, within = (resampled @ sums).T
        spread = 2 * (count * squares - total**2) / (count * (count - 1))
        return _beyond_luck(within / count, spread)

    return _over_items(statistic, len(sums), seed, draws)


def _beyond_luck(
    seen: Float[np.ndarray, " draws"], by_luck: Float[np.ndarray, " draws"]
) -> Float[np.ndarray, " draws"]:
    possible = by_luck > 1e-12
    return np.where(possible, 1 - seen / np.where(possible, by_luck, 1), np.nan)


def _over_items(
    statistic: Callable[[Float[np.ndarray, "draws items"]], Float[np.ndarray, " draws"]],
    items: int,
    seed: int,
    draws: int,
) -> Interval:
    """The estimate and its interval, items resampled; draws in which nothing can differ drop."""
    estimate = float(statistic(np.ones((1, items)))[0])
    generator = np.random.default_rng(seed)
    counts = generator.multinomial(items, np.full(items, 1 / items), size=draws)
    drawn = statistic(counts.astype(np.float64))
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(estimate, float(low), float(high))


def _stacked(labels: Sequence[AttentionLabel], mask: str) -> Float[np.ndarray, "people places"]:
    sizes = {label.size for label in labels}
    if len(sizes) > 1:
        raise AlignmentError(
            f"masks of {labels[0].item!r} have sizes {sorted(sizes)}; people drew on two versions "
            "of it; bring them to one size first"
        )
    return np.stack([label.either(mask).ravel() for label in labels]).astype(np.float64)


def _iou(a: Float[np.ndarray, " places"], b: Float[np.ndarray, " places"]) -> float:
    """Of soft masks; two empty ones agree."""
    union = float(np.maximum(a, b).sum())
    return float(np.minimum(a, b).sum()) / union if union else 1.0
