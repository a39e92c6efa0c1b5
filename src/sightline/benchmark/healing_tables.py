"""The tables of the healing study, in markdown and as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sightline.benchmark.ledger import Finished
from sightline.benchmark.outcomes import percent
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


def healing_tables(rows: Sequence[Finished]) -> tuple[str, dict[str, Any]]:
    """All tables, and the same numbers as plain values, by model."""
    texts: list[str] = []
    numbers: dict[str, Any] = {}
    for model in dict.fromkeys(row.experiment.network for row in rows):
        own = [row for row in rows if row.experiment.network == model and _planted(row)]
        noisy = [row for row in own if row.experiment.study in STROKE_KINDS]
        tails = [row for row in own if row.experiment.study == "overshoot"]
        clean = [row for row in own if row.experiment.study == "clean"]
        parts = [f"## {model}"]
        numbers[model] = {"drawings": len({row.experiment.method for row in own})}
        for title, some in (("noise strokes", noisy), ("tails", tails), ("clean", clean)):
            if len({row.experiment.method for row in some}) < 2:
                continue
            found = [numbers_of(some, name) for name in _removers(some)]
            parts += [_heading(title, some), _table(found, title)]
            numbers[model][title] = [asdict(each) for each in found]
        if len({row.experiment.method for row in noisy}) > 1:
            parts += [_heading("by kind", noisy), _by_kind([*noisy, *tails])]
            parts += ["", _against_default(noisy)]
        texts.append("\n\n".join(part for part in parts if part))
    note = (
        "All numbers but logits in %, with 95 % bootstrap intervals, drawings resampled. Precision "
        "and recall count strokes; of tails they are the mean over drawings of shares of the line."
    )
    return "\n\n".join([*texts, note]) + "\n", numbers


def numbers_of(rows: Sequence[Finished], remover: str) -> Numbers:
    """One remover on some runs."""
    shares = any(row.experiment.study == "overshoot" for row in rows)
    harmed = [row for row in rows if _of(row, "lowers") > HARM]
    return Numbers(
        remover,
        precision=_ratio(rows, f"hit, {remover}", f"removed, {remover}", shares),
        recall=_ratio(rows, f"hit, {remover}", "planted", shares),
        recall_of_harm=_ratio(harmed, f"hit, {remover}", "planted", shares),
        right=_mean(rows, lambda row: _of(row, f"right, {remover}")),
        gained=_mean(rows, lambda row: _of(row, f"right, {remover}") - _of(row, "right before")),
        removed=float(np.mean([_of(row, f"removed, {remover}") for row in rows])),
        line=float(np.mean([_of(row, f"line, {remover}") for row in rows])),
    )


def _ratio(rows: Sequence[Finished], part: str, whole: str, shares: bool) -> Interval | None:
    """Of strokes pooled, so that each counts alike; of tails the mean over drawings."""
    values: list[float] = []
    clusters: list[str] = []
    for row in rows:
        some, all_ = _of(row, part), _of(row, whole)
        if not all_:
            continue
        each = [some / all_] if shares else [1.0] * round(some) + [0.0] * round(all_ - some)
        values += each
        clusters += [row.experiment.method] * len(each)
    return clustered_mean(values, clusters) if len(set(clusters)) > 1 else None


def _mean(rows: Sequence[Finished], measure: Any) -> Interval | None:
    clusters = [row.experiment.method for row in rows]
    if len(set(clusters)) < 2:
        return None
    return clustered_mean([measure(row) for row in rows], clusters)


def _of(row: Finished, measure: str) -> float:
    value = row.measures[measure]
    assert value is not None  # noqa: S101, `_planted` has left out the runs without noise
    return value


def _planted(row: Finished) -> bool:
    return row.measures["planted"] is not None


def _removers(rows: Sequence[Finished]) -> list[str]:
    return [name[9:] for name in rows[0].measures if name.startswith("removed, ")]


def _heading(title: str, rows: Sequence[Finished]) -> str:
    drawings = len({row.experiment.method for row in rows})
    before = percent(_mean(rows, lambda row: _of(row, "right before")))
    clean = percent(_mean(rows, lambda row: _of(row, "right clean")))
    told = f"### {title}\n\n{len(rows)} runs of {drawings} drawings; right before {before}"
    return told if title == "clean" else f"{told}, without the noise {clean}"


def _table(found: Sequence[Numbers], title: str) -> str:
    truth = [] if title == "clean" else ["precision", "recall", "recall where it harms"]
    counted = ["line gone"] if title == "tails" else ["strokes gone, a run", "line gone"]
    head = ["remover", *truth, "right after", "gained, points", *counted]
    lines = [_line(head), _line(["---"] * len(head))]
    for each in found:
        known = [each.precision, each.recall, each.recall_of_harm] if truth else []
        cells = [percent(share) for share in (*known, each.right, each.gained)]
        gone = [f"{each.removed:.2f}", f"{100 * each.line:.1f}"][-len(counted) :]
        lines.append(_line([each.remover, *cells, *gone]))
    return "\n".join(lines)


def _by_kind(rows: Sequence[Finished]) -> str:
    """The default remover, or P-SLA of tails, on each kind."""
    head = ["kind", "runs", "lowers the score", "changes the answer", "precision", "recall"]
    head += ["right clean", "right noisy", "right healed"]
    lines = [_line(head), _line(["---"] * len(head))]
    for kind in (*STROKE_KINDS, "overshoot"):
        some = [row for row in rows if row.experiment.study == kind]
        if len(some) < 2:
            continue
        name = "p_sla" if kind == "overshoot" else "shapley"
        own = numbers_of(some, name)
        lowers = _mean(some, lambda row: float(_of(row, "lowers") > HARM))
        broken = _mean(some, lambda row: float(_of(row, "right clean") > _of(row, "right before")))
        clean = _mean(some, lambda row: _of(row, "right clean"))
        before = _mean(some, lambda row: _of(row, "right before"))
        cells = (lowers, broken, own.precision, own.recall, clean, before, own.right)
        lines.append(_line([kind, str(len(some)), *(percent(cell) for cell in cells)]))
    return "\n".join(lines)


def _against_default(rows: Sequence[Finished]) -> str:
    """Right answers and planted strokes found: the default less each other, paired by run."""
    head = ["shapley less", "right answers", "p", "planted less own strokes taken, a run", "p"]
    lines = [_line(head), _line(["---"] * len(head))]
    clusters = [row.experiment.method for row in rows]
    for name in _removers(rows):
        if name == "shapley":
            continue
        cells = []
        for measure in (_right, _sense):
            pair = ([measure(row, "shapley") for row in rows], [measure(row, name) for row in rows])
            found = clustered_paired(*pair, clusters)
            scale = percent(found.difference) if measure is _right else str(found.difference)
            cells += [scale, "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"]
        lines.append(_line([name, *cells]))
    return "\n".join(lines)


def _right(row: Finished, remover: str) -> float:
    return _of(row, f"right, {remover}")


def _sense(row: Finished, remover: str) -> float:
    """Planted strokes that went, less own strokes that went."""
    return 2 * _of(row, f"hit, {remover}") - _of(row, f"removed, {remover}")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
