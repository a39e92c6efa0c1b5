"""What a rating study found: models with intervals, pairs of them, agreement, and order effects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sightline.alignment.ratings import Rating
from sightline.errors import AlignmentError
from sightline.metrics.clustered import clustered_mean, clustered_paired
from sightline.metrics.intervals import Comparison, Interval

QUESTIONS = ("necessary", "nothing_unnecessary", "reasonable", "rating")
Key = tuple[str, str]
"""A rater and an item: one sheet."""


@dataclass(frozen=True)
class OfModel:
    """What raters said of one model's maps.

    Args:
        model: its name.
        maps: ratings in it.
        items: rated ones.
        raters: of them.
        means: of the questions: shares of yes, and the mean rating; intervals over items.
        preferred: share of the complete sheets on which it has the highest rating; ties share.
    """

    model: str
    maps: int
    items: int
    raters: int
    means: Mapping[str, Interval]
    preferred: float | None


@dataclass(frozen=True)
class OfPair:
    """Two models on the same sheets: same item, same rater.

    Args:
        first: a model.
        second: another.
        sheets: that have both.
        rating: mean of first - second.
        reasonable: the same of the share of reasonable maps.
        higher: sheets on which the first has the higher rating.
        ties: on which both have the same.
    """

    first: str
    second: str
    sheets: int
    rating: Comparison
    reasonable: Comparison
    higher: int
    ties: int


@dataclass(frozen=True)
class OrderEffect:
    """Whether the place in which a map was shown mattered.

    Args:
        by_place: mean rating of each place, from the first.
        p_value: how often ratings shuffled within their sheets differ as much by place.
        sheets: complete ones, which alone count here.
    """

    by_place: tuple[float, ...]
    p_value: float
    sheets: int


@dataclass(frozen=True, eq=False)
class StudySummary:
    """A rating study in numbers.

    Convention:
        Items are resampled, each with all its ratings by all raters: intervals say how other items
        would do with *these* raters. With few raters that is all that can be said.

    Args:
        models: the highest mean rating first: the order of preference.
        pairs: of the models, in this order.
        agreement: Krippendorff's alpha of each question over the maps that several people rated
            (ordinal for the rating); empty with one rater.
        order: of the maps on a sheet; None without two complete sheets.
        notes: what was left out, or is to be doubted.
    """

    models: tuple[OfModel, ...]
    pairs: tuple[OfPair, ...]
    agreement: Mapping[str, Interval]
    order: OrderEffect | None
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Tables for a document."""
        blocks = ["\n".join(self._model_lines())]
        if self.pairs:
            blocks.append("\n".join(self._pair_lines()))
        if self.agreement:
            lines = ["| question | Krippendorff's alpha |", "|---|---|"]
            lines += [f"| {_words(q)} | {alpha} |" for q, alpha in self.agreement.items()]
            blocks.append("\n".join(lines))
        if self.order is not None:
            places = ", ".join(f"{mean:.2f}" for mean in self.order.by_place)
            blocks.append(
                f"Mean rating by place on the sheet: {places} ({self.order.sheets} complete "
                f"sheets, permutation p {self.order.p_value:.4f})."
            )
        blocks.append("95 % intervals; items resampled, each with all its ratings.")
        return "\n\n".join([*blocks, *self.notes])

    def _model_lines(self) -> Iterable[str]:
        yield f"| model | maps | {' | '.join(map(_words, QUESTIONS))} | preferred |"
        yield "|---|---|---|---|---|---|---|"
        for row in self.models:
            means = " | ".join(str(row.means[q]) for q in QUESTIONS)
            liked = "-" if row.preferred is None else f"{row.preferred:.2f}"
            yield f"| {row.model} | {row.maps} | {means} | {liked} |"

    def _pair_lines(self) -> Iterable[str]:
        yield "| pair | sheets | rating | p | reasonable | p | higher, same, lower |"
        yield "|---|---|---|---|---|---|---|"
        for row in self.pairs:
            lower = row.sheets - row.higher - row.ties
            yield (
                f"| {row.first} - {row.second} | {row.sheets} | {row.rating.difference} | "
                f"{row.rating.p_value:.4f} | {row.reasonable.difference} | "
                f"{row.reasonable.p_value:.4f} | {row.higher}, {row.ties}, {lower} |"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "models": [asdict(row) for row in self.models],
            "pairs": [asdict(row) for row in self.pairs],
            "agreement": {name: asdict(alpha) for name, alpha in self.agreement.items()},
            "order": None if self.order is None else asdict(self.order),
            "notes": list(self.notes),
        }


def summary(ratings: Iterable[Rating], *, seed: int = 0, notes: Sequence[str] = ()) -> StudySummary:
    """Sum up the rows of a study.

    Args:
        ratings: one row a rater, item and model: `RatingStudy.ratings`, or read from a file.
        seed: of the intervals and tests.
        notes: to hand on.

    Raises:
        AlignmentError: no rows, a map rated twice by one person (a history), or ratings of fewer
            than 2 items of a model.

    Example:
        >>> def row(item, model, rating):
        ...     return Rating(item, model, "ada", "A", 1, True, True, rating)
        >>> rows = [row("a", "new", 5), row("a", "old", 2), row("b", "new", 4), row("b", "old", 3)]
        >>> found = summary(rows)
        >>> [model.model for model in found.models], found.pairs[0].rating.difference.estimate
        (['new', 'old'], 2.0)
    """
    rows = list(ratings)
    sheets = _sheets(rows)
    names = dict.fromkeys(row.model for row in rows)
    complete = [sheet for sheet in sheets.values() if len(sheet) == len(names)]
    models = [_of_model([r for r in rows if r.model == name], complete, seed) for name in names]
    models.sort(key=lambda row: -row.means["rating"].estimate)
    pairs, told = [], list(notes)
    for first, second in combinations([row.model for row in models], 2):
        both = [(s[first], s[second]) for s in sheets.values() if first in s and second in s]
        if len({a.item for a, _ in both}) < 2:
            told.append(f"{first} and {second} share fewer than 2 items and are not compared")
        else:
            pairs.append(_of_pair(both, seed))
    if len(complete) < len(sheets):
        told.append(f"{len(sheets) - len(complete)} of {len(sheets)} sheets are not complete")
    return StudySummary(
        tuple(models),
        tuple(pairs),
        _agreement(rows, seed),
        _order_effect(complete, seed),
        tuple(told),
    )


def _sheets(rows: Sequence[Rating]) -> dict[Key, dict[str, Rating]]:
    if not rows:
        raise AlignmentError("no ratings to sum up")
    sheets: dict[Key, dict[str, Rating]] = {}
    for row in rows:
        sheet = sheets.setdefault((row.rater, row.item), {})
        if row.model in sheet:
            raise AlignmentError(
                f"{row.rater!r} rated {row.model!r} on {row.item!r} twice; give the answers that "
                "count: ratings(), without the history"
            )
        sheet[row.model] = row
    return sheets


def _of_model(
    rows: Sequence[Rating], complete: Sequence[Mapping[str, Rating]], seed: int
) -> OfModel:
    model, items = rows[0].model, [row.item for row in rows]
    if len(set(items)) < 2:
        raise AlignmentError(
            f"model {model!r} has ratings of one item only; how items differ needs at least 2"
        )
    means = {
        question: clustered_mean([float(getattr(row, question)) for row in rows], items, seed=seed)
        for question in QUESTIONS
    }
    liked = None
    if complete:
        liked = float(np.mean([_liked(sheet, model) for sheet in complete]))
    raters = len({row.rater for row in rows})
    return OfModel(model, len(rows), len(set(items)), raters, means, liked)


def _liked(sheet: Mapping[str, Rating], model: str) -> float:
    most = max(row.rating for row in sheet.values())
    best = [name for name, row in sheet.items() if row.rating == most]
    return (model in best) / len(best)


def _of_pair(both: Sequence[tuple[Rating, Rating]], seed: int) -> OfPair:
    items = [a.item for a, _ in both]

    def compared(question: str) -> Comparison:
        first = [float(getattr(a, question)) for a, _ in both]
        second = [float(getattr(b, question)) for _, b in both]
        return clustered_paired(first, second, items, seed=seed)

    return OfPair(
        both[0][0].model,
        both[0][1].model,
        len(both),
        compared("rating"),
        compared("reasonable"),
        sum(a.rating > b.rating for a, b in both),
        sum(a.rating == b.rating for a, b in both),
    )


def _agreement(rows: Sequence[Rating], seed: int) -> dict[str, Interval]:
    from sightline.alignment.annotators import krippendorff_alpha

    raters = {name: i for i, name in enumerate(dict.fromkeys(row.rater for row in rows))}
    maps = {key: i for i, key in enumerate(dict.fromkeys((r.item, r.model) for r in rows))}
    table = np.full((len(QUESTIONS), len(raters), len(maps)), np.nan)
    for row in rows:
        answers = [float(getattr(row, question)) for question in QUESTIONS]
        table[:, raters[row.rater], maps[row.item, row.model]] = answers
    if ((~np.isnan(table[0])).sum(0) < 2).all():
        return {}
    return {
        question: krippendorff_alpha(
            answers, level="ordinal" if question == "rating" else "nominal", seed=seed
        )
        for question, answers in zip(QUESTIONS, table, strict=True)
    }


def _order_effect(
    complete: Sequence[Mapping[str, Rating]], seed: int, draws: int = 2000
) -> OrderEffect | None:
    if len(complete) < 2:
        return None
    by_place = [sorted(sheet.values(), key=lambda row: row.place) for sheet in complete]
    table = np.array([[float(row.rating) for row in sheet] for sheet in by_place])
    generator = np.random.default_rng(seed)
    shuffled = (generator.permuted(table, axis=1).mean(0).var() for _ in range(draws))
    spread = table.mean(0).var()
    as_far = sum(value >= spread - 1e-12 for value in shuffled)
    means = tuple(float(mean) for mean in table.mean(0))
    return OrderEffect(means, (1 + as_far) / (1 + draws), len(complete))


def _words(name: str) -> str:
    return name.replace("_", " ")
