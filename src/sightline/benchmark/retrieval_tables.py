"""The study of retrieval as tables: every number with its interval, and how many it stands on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sightline.benchmark.records import Record
from sightline.benchmark.retrieval import Studied
from sightline.metrics.agreement import spearman
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired
from sightline.tasks.retrieval.drawing_order import (
    DrawingOrder,
    order_of_scores,
    spearman_given,
)
from sightline.tasks.retrieval.rank_deletion import (
    RankDeletion,
    compare_areas,
    rank_table,
)

FEWEST_PARTS = 3


def study_text(studied: Studied) -> str:
    """All tables of one encoder."""
    parts = [
        f"## {studied.name}",
        f"{studied.scores}",
        strokes_table(studied),
        order_table(studied),
    ]
    if any("photo" in record for record in studied.records):
        parts.append(photo_table(studied))
    return "\n\n".join([f"{parts[0]}\n\n```text\n{parts[1]}\n```", *parts[2:]])


def falls(records: Sequence[Record]) -> dict[str, list[RankDeletion]]:
    """The falls in the order of each method, as they were measured."""
    found: dict[str, list[RankDeletion]] = {}
    for record in records:
        random = np.array(record["random_places"], dtype=np.float64)
        for name, places in record["places"].items():
            fall = RankDeletion(np.array(places, dtype=np.float64), random, record["gallery"])
            found.setdefault(name, []).append(fall)
    return found


def strokes_table(studied: Studied) -> str:
    """How soon the right one falls as strokes are taken away in each method's order.

    A star marks the best area and those that cannot be told from it (paired, 5 %).
    """
    seed = studied.settings.seed
    curves = falls(studied.records)
    best = max(curves, key=lambda name: float(np.mean([c.area for c in curves[name]])))
    lines = [
        f"{len(studied.records)} drawings of {_range(studied)} strokes, seed {seed}",
        "",
        "| order of taking away | gallery before it, % | more than in random orders, points | "
        "strokes to lose the first place |",
        "|---|---|---|---|",
    ]
    for row in rank_table(curves, seed=seed):
        level = row.method == best or (
            row.method in curves
            and not compare_areas(curves[best], curves[row.method], seed=seed).distinguishable
        )
        gain = "" if row.method not in curves else _percent(row.gain.difference)
        lines.append(
            f"| {row.method}{' *' if level else ''} | {_percent(row.area)} | {gain} | "
            f"{'–' if row.to_lose is None else _short(row.to_lose)} |"
        )
    first = rank_table(curves, seed=seed)[0].first
    return "\n".join([*lines, "", f"The last column is over the {first} that stood first."])


def orders(studied: Studied) -> dict[str, DrawingOrder]:
    """What drawing order has to do with each method's scores."""
    lengths = [np.array(record["lengths"]) for record in studied.records]
    return {
        name: order_of_scores(
            [np.array(record["scores"][name]) for record in studied.records],
            lengths,
            seed=studied.settings.seed,
        )
        for name in studied.records[0]["scores"]
    }


def order_table(studied: Studied) -> str:
    """Whether early strokes score highest, alone and given length; positive says they do."""
    lines = [
        "| scores | with being early | above 0, % of drawings | given length | drawings |",
        "|---|---|---|---|---|",
    ]
    found = orders(studied)
    for name, order in found.items():
        lines.append(
            f"| {name} | {_or_dash(order.correlation)} | {_or_dash(order.early_first, _percent)} | "
            f"{_or_dash(order.given_length)} | {order.counted}, {order.partial} |"
        )
    length = next(iter(found.values())).length
    return "\n".join([*lines, "", f"Length itself with being early: {_or_dash(length)}."])


def photo_table(studied: Studied) -> str:
    """Whether the photo's scores lie on the object, and agree with the strokes part by part."""
    seed = studied.settings.seed
    shown = [record for record in studied.records if "photo" in record]
    area = bootstrap_mean([record["photo"]["area"] for record in shown], seed=seed)
    lines = [
        f"{len(shown)} photos, {studied.settings.superpixels} superpixels, of which the object "
        f"covers {_percent(area)} %: what scores that know nothing put there",
        "",
        "| method, absence | on the object, % | more than its area, points | agreement by parts | "
        "given the parts' size |",
        "|---|---|---|---|---|",
    ]
    for name in shown[0]["photo"]["by"]:
        mass, gain = on_object(shown, name, seed)
        agree, given = (
            _mean(part_agreement(shown, name, how), seed) for how in (spearman, _given_size)
        )
        lines.append(
            f"| {name} | {_percent(mass)} | {_percent(gain.difference)} | {_or_dash(agree)} | "
            f"{_or_dash(given)} |"
        )
    size = _mean(part_agreement(shown, None, spearman), seed)
    counted = len(_finite(part_agreement(shown, None, spearman)))
    told = f"Over {counted} photos of at least {FEWEST_PARTS} drawn parts. "
    return "\n".join(
        [*lines, "", f"{told}Length of a part's strokes with its pixels: {_or_dash(size)}."]
    )


def on_object(records: Sequence[Record], name: str, seed: int = 0) -> tuple[Interval, Comparison]:
    """Share of the positive scores on the object, and by how much it exceeds its area's share.

    Photos without a positive score count as their area's share: nothing was found out.
    """
    area = [record["photo"]["area"] for record in records]
    told = [record["photo"]["by"][name]["on_object"] for record in records]
    mass = [a if m is None else m for m, a in zip(told, area, strict=True)]
    return bootstrap_mean(mass, seed=seed), paired(mass, area, seed=seed)


How = Callable[..., float]


def part_agreement(records: Sequence[Record], name: str | None, how: How) -> list[float]:
    """Of each photo, the correlation over parts of what strokes and superpixels bring.

    ``name`` None gives that of the parts' sizes: the length of strokes, and the pixels.
    """
    found = []
    for record in records:
        parts, pixels = record["photo"]["parts"], np.array(record["photo"]["pixels"], float)
        if len(parts) < FEWEST_PARTS:
            continue
        strokes = record["lengths"] if name is None else record["scores"]["shapley"]
        drawn = np.array(
            [
                sum(x for x, own in zip(strokes, record["parts"], strict=True) if own == part)
                for part in parts
            ]
        )
        seen = pixels if name is None else np.array(record["photo"]["by"][name]["of_parts"])
        found.append(how(drawn, seen, pixels) if how is _given_size else how(drawn, seen))
    return found


def _given_size(drawn: np.ndarray, seen: np.ndarray, pixels: np.ndarray) -> float:
    return spearman_given(drawn, seen, pixels)


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _mean(values: Sequence[float], seed: int) -> Interval | None:
    finite = _finite(values)
    return bootstrap_mean(finite, seed=seed) if finite else None


def _range(studied: Studied) -> str:
    return f"{studied.settings.strokes[0]} to {studied.settings.strokes[1]}"


def _percent(interval: Interval) -> str:
    numbers = (interval.estimate, interval.low, interval.high)
    middle, low, high = (f"{100 * x:.1f}" for x in numbers)
    return f"{middle} [{low}, {high}]"


def _short(interval: Interval) -> str:
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _or_dash(interval: Interval | None, how: Callable[[Interval], str] = _short) -> str:
    return "–" if interval is None else how(interval)
