"""The tables of the healing study, in markdown and as numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sightline.benchmark.markdown import markdown_table, number, percent
from sightline.benchmark.records import Record
from sightline.metrics.clustered import clustered_mean, clustered_paired
from sightline.metrics.intervals import Interval

STROKE_KINDS = ("foreign", "scribble", "slash", "ticks", "copy")
HARM = 0.05
"""Logits by which noise must lower the label's score to count as harm."""


@dataclass(frozen=True)
class Numbers:
    """One remover on some runs: every share with its interval over drawings.

    Args:
        remover: its name.
        precision: of what went, how much was planted.
        recall: of what was planted, how much went.
        recall_of_harm: the same where the noise had lowered the score.
        right: answers that are right after it.
        gained: right answers after it, less those before.
        removed: strokes a drawing that went; line: the share of the line.
    """

    remover: str
    precision: Interval | None
    recall: Interval | None
    recall_of_harm: Interval | None
    right: Interval | None
    gained: Interval | None
    removed: float
    line: float


def healing_tables(rows: Sequence[Record]) -> tuple[str, dict[str, Any]]:
    """All tables, and the same numbers as plain values, by model."""
    texts: list[str] = []
    numbers: dict[str, Any] = {}
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model and row["planted"] is not None]
        noisy = [row for row in own if row["kind"] in STROKE_KINDS]
        tails = [row for row in own if row["kind"] == "overshoot"]
        clean = [row for row in own if row["kind"] == "clean"]
        parts = [f"## {model}"]
        numbers[model] = {"drawings": len({row["drawing"] for row in own})}
        for title, some in (("noise strokes", noisy), ("tails", tails), ("clean", clean)):
            if len({row["drawing"] for row in some}) < 2:
                continue
            found = [numbers_of(some, name) for name in _removers(some)]
            parts += [_heading(title, some), _table(found, title)]
            numbers[model][title] = [asdict(each) for each in found]
        if len({row["drawing"] for row in noisy}) > 1:
            parts += [_heading("by kind", noisy), _by_kind([*noisy, *tails])]
            parts += ["", _against_default(noisy)]
        texts.append("\n\n".join(part for part in parts if part))
    note = (
        "All numbers but logits in %, with 95 % bootstrap intervals, drawings resampled. Precision "
        "and recall count strokes; of tails they are the mean over drawings of shares of the line."
    )
    return "\n\n".join([*texts, note]) + "\n", numbers


def numbers_of(rows: Sequence[Record], remover: str) -> Numbers:
    """One remover on some runs."""
    shares = any(row["kind"] == "overshoot" for row in rows)
    harmed = [row for row in rows if row["lowers"] > HARM]

    def of_planted(row: Record) -> tuple[float, float]:
        return row["removers"][remover]["hit"], row["planted"]

    def of_removed(row: Record) -> tuple[float, float]:
        own = row["removers"][remover]
        return own["hit"], own["removed"]

    return Numbers(
        remover,
        precision=_ratio(rows, of_removed, shares),
        recall=_ratio(rows, of_planted, shares),
        recall_of_harm=_ratio(harmed, of_planted, shares),
        right=_mean(rows, lambda row: _right(row, remover)),
        gained=_mean(rows, lambda row: _right(row, remover) - row["right before"]),
        removed=float(np.mean([row["removers"][remover]["removed"] for row in rows])),
        line=float(np.mean([row["removers"][remover]["line"] for row in rows])),
    )


def _ratio(
    rows: Sequence[Record], parts: Callable[[Record], tuple[float, float]], shares: bool
) -> Interval | None:
    """Of strokes pooled, so that each counts alike; of tails the mean over drawings."""
    values: list[float] = []
    clusters: list[str] = []
    for row in rows:
        some, all_ = parts(row)
        if not all_:
            continue
        each = [some / all_] if shares else [1.0] * round(some) + [0.0] * round(all_ - some)
        values += each
        clusters += [row["drawing"]] * len(each)
    return clustered_mean(values, clusters) if len(set(clusters)) > 1 else None


def _mean(rows: Sequence[Record], measure: Callable[[Record], float]) -> Interval | None:
    clusters = [row["drawing"] for row in rows]
    if len(set(clusters)) < 2:
        return None
    return clustered_mean([measure(row) for row in rows], clusters)


def _removers(rows: Sequence[Record]) -> list[str]:
    return list(rows[0]["removers"])


def _heading(title: str, rows: Sequence[Record]) -> str:
    drawings = len({row["drawing"] for row in rows})
    before = percent(_mean(rows, lambda row: row["right before"]))
    clean = percent(_mean(rows, lambda row: row["right clean"]))
    told = f"### {title}\n\n{len(rows)} runs of {drawings} drawings; right before {before}"
    return told if title == "clean" else f"{told}, without the noise {clean}"


def _table(found: Sequence[Numbers], title: str) -> str:
    truth = [] if title == "clean" else ["precision", "recall", "recall where it harms"]
    counted = ["line gone"] if title == "tails" else ["strokes gone, a run", "line gone"]
    head = ["remover", *truth, "right after", "gained, points", *counted]
    told: list[list[str]] = []
    for each in found:
        known = [each.precision, each.recall, each.recall_of_harm] if truth else []
        cells = [percent(share) for share in (*known, each.right, each.gained)]
        gone = [f"{each.removed:.2f}", f"{100 * each.line:.1f}"][-len(counted) :]
        told.append([each.remover, *cells, *gone])
    return markdown_table(head, told)


def _by_kind(rows: Sequence[Record]) -> str:
    """The default remover, or P-SLA of tails, on each kind."""
    head = ["kind", "runs", "lowers the score", "changes the answer", "precision", "recall"]
    head += ["right clean", "right noisy", "right healed"]
    told: list[list[str]] = []
    for kind in (*STROKE_KINDS, "overshoot"):
        some = [row for row in rows if row["kind"] == kind]
        if len(some) < 2:
            continue
        name = "p_sla" if kind == "overshoot" else "shapley"
        own = numbers_of(some, name)
        lowers = _mean(some, lambda row: float(row["lowers"] > HARM))
        broken = _mean(some, lambda row: float(row["right clean"] > row["right before"]))
        clean = _mean(some, lambda row: row["right clean"])
        before = _mean(some, lambda row: row["right before"])
        cells = (lowers, broken, own.precision, own.recall, clean, before, own.right)
        told.append([kind, str(len(some)), *(percent(cell) for cell in cells)])
    return markdown_table(head, told)


def _against_default(rows: Sequence[Record]) -> str:
    """Right answers and planted strokes found: the default less each other, paired by run."""
    head = ["shapley less", "right answers", "p", "planted less own strokes taken, a run", "p"]
    told: list[list[str]] = []
    clusters = [row["drawing"] for row in rows]
    for name in _removers(rows):
        if name == "shapley":
            continue
        cells = []
        for measure in (_right, _sense):
            pair = ([measure(row, "shapley") for row in rows], [measure(row, name) for row in rows])
            found = clustered_paired(*pair, clusters)
            scale = percent(found.difference) if measure is _right else number(found.difference, 4)
            cells += [scale, "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"]
        told.append([name, *cells])
    return markdown_table(head, told)


def _right(row: Record, remover: str) -> float:
    return float(row["removers"][remover]["right"])


def _sense(row: Record, remover: str) -> float:
    """Planted strokes that went, less own strokes that went."""
    own = row["removers"][remover]
    return float(2 * own["hit"] - own["removed"])
