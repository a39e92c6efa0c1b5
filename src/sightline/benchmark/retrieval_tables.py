"""The study of retrieval as tables: every number with its interval, and how many it stands on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from sightline.benchmark.markdown import markdown_table, number, percent
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


def study_numbers(studied: Studied) -> dict[str, Any]:
    """The same numbers as plain values."""
    seed = studied.settings.seed
    shown = [record for record in studied.records if "photo" in record]
    photos: dict[str, dict[str, Interval | None]] = {}
    for name in shown[0]["photo"]["by"] if shown else ():
        mass, gain = on_object(shown, name, seed)
        photos[name] = {
            "on_object": mass,
            "gain": gain.difference,
            "agreement": _mean(part_agreement(shown, name, spearman), seed),
            "given_size": _mean(part_agreement(shown, name, _given_size), seed),
        }
    return {
        "scores": studied.scores.as_dict(),
        "drawings": len(studied.records),
        "strokes": [asdict(row) for row in rank_table(falls(studied.records), seed=seed)],
        "order": {name: order.as_dict() for name, order in orders(studied).items()},
        "photos": {
            name: {what: None if x is None else asdict(x) for what, x in told.items()}
            for name, told in photos.items()
        },
    }


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
    head = [
        "order of taking away",
        "gallery before it, %",
        "more than in random orders, points",
        "strokes to lose the first place",
    ]
    rows = rank_table(curves, seed=seed)
    told = []
    for row in rows:
        level = row.method == best or (
            row.method in curves
            and not compare_areas(curves[best], curves[row.method], seed=seed).distinguishable
        )
        gain = "" if row.method not in curves else percent(row.gain.difference)
        name = f"{row.method} *" if level else row.method
        told.append([name, percent(row.area), gain, number(row.to_lose)])
    return "\n\n".join(
        [
            f"{len(studied.records)} drawings of {_range(studied)} strokes, seed {seed}",
            markdown_table(head, told),
            f"The last column is over the {rows[0].first} that stood first.",
        ]
    )


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
    head = ["scores", "with being early", "above 0, % of drawings", "given length", "drawings"]
    found = orders(studied)
    told = [
        [
            name,
            number(order.correlation),
            percent(order.early_first),
            number(order.given_length),
            f"{order.counted}, {order.partial}",
        ]
        for name, order in found.items()
    ]
    length = number(next(iter(found.values())).length)
    return f"{markdown_table(head, told)}\n\nLength itself with being early: {length}."


def photo_table(studied: Studied) -> str:
    """Whether the photo's scores lie on the object, and agree with the strokes part by part."""
    seed = studied.settings.seed
    shown = [record for record in studied.records if "photo" in record]
    area = bootstrap_mean([record["photo"]["area"] for record in shown], seed=seed)
    head = [
        "method, absence",
        "on the object, %",
        "more than its area, points",
        "agreement by parts",
        "given the parts' size",
    ]
    told = []
    for name in shown[0]["photo"]["by"]:
        mass, gain = on_object(shown, name, seed)
        agree, given = (
            _mean(part_agreement(shown, name, how), seed) for how in (spearman, _given_size)
        )
        told.append([name, percent(mass), percent(gain.difference), number(agree), number(given)])
    sizes = part_agreement(shown, None, spearman)
    return "\n\n".join(
        [
            f"{len(shown)} photos, {studied.settings.superpixels} superpixels, of which the object "
            f"covers {percent(area)} %: what scores that know nothing put there",
            markdown_table(head, told),
            f"Over {len(_finite(sizes))} photos of at least {FEWEST_PARTS} drawn parts. "
            f"Length of a part's strokes with its pixels: {number(_mean(sizes, seed))}.",
        ]
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
