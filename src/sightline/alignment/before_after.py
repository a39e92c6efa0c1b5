"""Two measurements of the same items, before and after, paired by item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sightline.alignment.measured import MEASURES, Group, Looking, Measured, in_words, share
from sightline.alignment.moves import Moves, mcnemar_exact
from sightline.errors import AlignmentError
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired

Pair = tuple[Looking, Looking]


@dataclass(frozen=True)
class Changed:
    """One number before and after, of the same items.

    Args:
        before: over the items that have it both times.
        after: the same.
        change: after - before, paired by item; the p value is McNemar's exact one for accuracy, a
            sign-flip permutation's for the rest.
        count: items in it.
        missing_before: labelled items whose map gave no number before (it was blank).
        missing_after: the same, after.
    """

    before: Interval
    after: Interval
    change: Comparison
    count: int
    missing_before: int = 0
    missing_after: int = 0


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """What changed between two measurements of the same items.

    Args:
        whole: accuracy and every measure over all items.
        groups: the same of each group.
        cells: the same of the items that were in each cell *before*.
        worst_before: the worst group before; None where there are no groups.
        worst_after: the worst group after, which may be another one.
        moves: from cell to cell; None where nothing said what is reasonable.
        settings: how both were measured.
    """

    whole: Mapping[str, Changed]
    groups: Mapping[str, Mapping[str, Changed]]
    cells: Mapping[str, Mapping[str, Changed]]
    worst_before: Group | None
    worst_after: Group | None
    moves: Moves | None
    settings: Mapping[str, Any]

    def markdown(self) -> str:
        """Tables of every change."""
        blocks = ["\n".join(_table("all items", self.whole))]
        if self.worst_before is not None and self.worst_after is not None:
            worst = f"{_group(self.worst_before)} before, {_group(self.worst_after)} after"
            blocks.append(f"Worst group: {worst}.")
        blocks += ["\n".join(_table(f"group {k}", v)) for k, v in self.groups.items()]
        blocks += ["\n".join(_table(f"{k} before", v)) for k, v in self.cells.items()]
        if self.moves is not None:
            blocks.append(self.moves.markdown())
        return "\n\n".join([*blocks, in_words(self.settings)])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "settings": dict(self.settings),
            "whole": _plain(self.whole),
            "groups": {name: _plain(rows) for name, rows in self.groups.items()},
            "cells": {name: _plain(rows) for name, rows in self.cells.items()},
            "worst_before": None if self.worst_before is None else asdict(self.worst_before),
            "worst_after": None if self.worst_after is None else asdict(self.worst_after),
            "moves": None if self.moves is None else self.moves.as_dict(),
        }


def compare(before: Measured, after: Measured, *, seed: int = 0) -> BeforeAfter:
    """Compare two measurements item by item.

    Args:
        before: of one model.
        after: of another, or of the same one trained on, on the same items in the same way.
        seed: of intervals and permutations.

    Raises:
        AlignmentError: other items, classes or groups; another way of measuring.

    Example:
        >>> def row(item, answer):
        ...     return Looking(item, "cat", answer, 0.9, answer)
        >>> before = Measured((row("a", "dog"), row("b", "cat")), {})
        >>> after = Measured((row("a", "cat"), row("b", "cat")), {})
        >>> compare(before, after).whole["accuracy"].change.difference.estimate
        0.5
    """
    pairs = paired_rows(before, after)
    matrices = before.matrix, after.matrix
    moves = None
    if matrices[0] is not None and matrices[1] is not None:
        moves = matrices[0].against(matrices[1])
    return BeforeAfter(
        whole=_changes(pairs, seed),
        groups=_by(pairs, lambda pair: pair[0].group, seed),
        cells=_by(pairs, lambda pair: pair[0].cell, seed),
        worst_before=before.worst_group,
        worst_after=after.worst_group,
        moves=moves,
        settings=before.settings,
    )


def paired_rows(before: Measured, after: Measured) -> list[Pair]:
    """Each item's row before and after.

    Raises:
        AlignmentError: other items, classes or groups; another way of measuring.
    """
    # people judge the maps of one model: cells may be known before and not after
    known = {"cells"} if after.matrix is None else set()
    differ = [
        f"{name}: {before.settings.get(name)!r} before, {after.settings.get(name)!r} after"
        for name in {**before.settings, **after.settings}
        if name not in known and before.settings.get(name) != after.settings.get(name)
    ]
    if differ:
        raise AlignmentError(f"measured in two ways ({'; '.join(differ)}); use one for both")
    first, second = ({row.item: row for row in side.rows} for side in (before, after))
    if set(first) != set(second):
        alone = sorted(set(first) ^ set(second))
        raise AlignmentError(
            f"{len(alone)} items are in one measurement only ({', '.join(alone[:3])}); measure the "
            "same items both times"
        )
    pairs = [(row, second[item]) for item, row in first.items()]
    for one, other in pairs:
        if (one.truth, one.group) != (other.truth, other.group):
            raise AlignmentError(
                f"{one.item!r} is {one.truth!r} in group {one.group!r} before and {other.truth!r} "
                f"in {other.group!r} after; both must be measured on the same labels"
            )
    return pairs


def _by(
    pairs: Sequence[Pair], key: Callable[[Pair], str], seed: int
) -> dict[str, Mapping[str, Changed]]:
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        if key(pair):
            found.setdefault(key(pair), []).append(pair)
    return {name: _changes(found[name], seed) for name in sorted(found)}


def _changes(pairs: Sequence[Pair], seed: int) -> dict[str, Changed]:
    found = {"accuracy": _accuracy(pairs, seed)}
    for measure in MEASURES:
        changed = _change(measure, pairs, seed)
        if changed is not None:
            found[measure] = changed
    return found


def _accuracy(pairs: Sequence[Pair], seed: int) -> Changed:
    was, now = ([row.right for row in side] for side in zip(*pairs, strict=True))
    gained = sum(b and not a for a, b in zip(was, now, strict=True))
    lost = sum(a and not b for a, b in zip(was, now, strict=True))
    difference = bootstrap_mean(np.subtract(now, was, dtype=np.float64), seed=seed)
    change = Comparison(difference, mcnemar_exact(gained, lost))
    return Changed(share(was), share(now), change, len(pairs))


def _change(measure: str, pairs: Sequence[Pair], seed: int) -> Changed | None:
    asked = [(getattr(a, measure), getattr(b, measure)) for a, b in pairs if a.asked(measure)]
    both = [(a, b) for a, b in asked if a is not None and b is not None]
    if not both:
        return None
    was, now = (np.array(side) for side in zip(*both, strict=True))
    return Changed(
        bootstrap_mean(was, seed=seed),
        bootstrap_mean(now, seed=seed),
        paired(now, was, seed=seed),
        len(both),
        sum(a is None for a, _ in asked),
        sum(b is None for _, b in asked),
    )


def _table(title: str, rows: Mapping[str, Changed]) -> Iterable[str]:
    yield f"| {title} | before | after | after - before | p | items | blank before, after |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in rows.items():
        missing = f"{row.missing_before}, {row.missing_after}"
        yield (
            f"| {name} | {row.before} | {row.after} | {row.change.difference} | "
            f"{row.change.p_value:.4f} | {row.count} | {missing} |"
        )


def _group(group: Group) -> str:
    return f"{group.name} {group.accuracy} ({group.count} items)"


def _plain(rows: Mapping[str, Changed]) -> dict[str, Any]:
    return {name: asdict(row) for name, row in rows.items()}
