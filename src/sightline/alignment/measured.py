"""What a measurement found: rows of items, and accuracy, groups, cells and means with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from sightline.alignment.matrix import Matrix
from sightline.alignment.verdicts import CELLS
from sightline.errors import AlignmentError
from sightline.metrics.intervals import Interval, bootstrap_mean, wilson

MEASURES = ("iou", "precision", "recall", "f1", "energy", "wrong_reason")
BY_PEOPLE = "people's verdicts"


@dataclass(frozen=True)
class Looking:
    """Where a classifier looked in one item, and what it answered.

    Args:
        item: its name.
        truth: the true class.
        predicted: the answer.
        confidence: the answer's softmax probability.
        read_for: the class that the map was read for.
        group: of the item, where groups were given.
        cell: RA, UA, RI or UI, where something said whether the map is reasonable.
        labelled: whether anybody said where to look.
        has_must: whether some place has to be looked at.
        has_must_not: whether some place has to be left alone.
        blank: whether the map had no positive score.
        iou: `gradia_iou`.
        precision: `precision_recall_f1`.
        recall: the same.
        f1: the same.
        energy: `energy_inside`.
        wrong_reason: as `wrong_reason` says.
    """

    item: str
    truth: str
    predicted: str
    confidence: float
    read_for: str
    group: str = ""
    cell: str = ""
    labelled: bool = False
    has_must: bool = False
    has_must_not: bool = False
    blank: bool = False
    iou: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    energy: float | None = None
    wrong_reason: float | None = None

    @property
    def right(self) -> bool:
        """Whether the answer is true."""
        return self.truth == self.predicted

    def asked(self, measure: str) -> bool:
        """Whether there is a label to measure against; a blank map has no number then."""
        return self.has_must_not if measure == "wrong_reason" else self.has_must


@dataclass(frozen=True)
class Mean:
    """A measure over items; None where no item has it.

    Args:
        interval: of the mean, items resampled.
        count: items in it.
        missing: items that are labelled for it and have no number: the map was blank, or showed
            nothing that it could be judged by. They are not in the mean.
    """

    interval: Interval | None
    count: int
    missing: int

    def __str__(self) -> str:
        return "-" if self.interval is None else str(self.interval)


@dataclass(frozen=True)
class Group:
    """The accuracy of one group of items.

    Args:
        name: of the group.
        accuracy: share of right answers, Wilson interval.
        count: items.
        counted: whether it is large enough to be the worst.
    """

    name: str
    accuracy: Interval
    count: int
    counted: bool


@dataclass(frozen=True)
class Cell:
    """One cell of the reasonability matrix: its items, their share, and the means over them."""

    count: int
    share: Interval
    means: Mapping[str, Mean]


@dataclass(frozen=True, eq=False)
class Measured:
    """A classifier measured by its answers and by where it looks.

    Args:
        rows: one an item.
        settings: how it was measured: maps, class, thresholds.
        smallest_group: groups of fewer items do not count as the worst.
        seed: of the intervals.

    Raises:
        AlignmentError: no rows.

    Example:
        >>> sharp = Looking("a.png", "cat", "cat", 0.9, "cat", has_must=True, iou=0.5)
        >>> blank = Looking("b.png", "dog", "cat", 0.6, "cat", has_must=True, blank=True)
        >>> found = Measured((sharp, blank), {})
        >>> found.accuracy.estimate, found.means["iou"].count, found.means["iou"].missing
        (0.5, 1, 1)
    """

    rows: tuple[Looking, ...]
    settings: Mapping[str, Any]
    smallest_group: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.rows:
            raise AlignmentError("a measurement needs at least one item")

    @property
    def accuracy(self) -> Interval:
        """Share of right answers, with its Wilson interval."""
        return share(row.right for row in self.rows)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Accuracy of each named group, by name."""
        found: dict[str, list[bool]] = {}
        for row in self.rows:
            if row.group:
                found.setdefault(row.group, []).append(row.right)
        return tuple(
            Group(name, share(right), len(right), len(right) >= self.smallest_group)
            for name, right in sorted(found.items())
        )

    @property
    def worst_group(self) -> Group | None:
        """The large enough group of lowest accuracy; None where there is none."""
        counted = [group for group in self.groups if group.counted]
        return min(counted, key=lambda group: group.accuracy.estimate, default=None)

    @cached_property
    def means(self) -> Mapping[str, Mean]:
        """Every measure over the items that have it."""
        return means_of(self.rows, self.seed)

    @cached_property
    def cells(self) -> Mapping[str, Cell]:
        """The cells of the matrix; empty where nothing said what is reasonable."""
        placed = [row for row in self.rows if row.cell]
        members = {cell: [row for row in placed if row.cell == cell] for cell in CELLS}
        return {
            cell: Cell(len(rows), wilson(len(rows), len(placed)), means_of(rows, self.seed))
            for cell, rows in members.items()
            if placed
        }

    @property
    def matrix(self) -> Matrix | None:
        """The reasonability matrix; None where nothing said what is reasonable."""
        items = {row.item: row.cell for row in self.rows if row.cell}
        if not items:
            return None
        counts = {cell: sum(own == cell for own in items.values()) for cell in CELLS}
        return Matrix(counts, self.settings.get("cells") != BY_PEOPLE, items)

    @property
    def blank(self) -> int:
        """Maps without any positive score."""
        return sum(row.blank for row in self.rows)

    def markdown(self) -> str:
        """Tables of all numbers, and how they were measured."""
        lines = [
            "| measure | mean [95 % interval] | items | without a number |",
            "|---|---|---|---|",
        ]
        lines += [f"| accuracy | {self.accuracy} | {len(self.rows)} | 0 |"]
        worst = self.worst_group
        if worst is not None:
            lines += [f"| worst group: {worst.name} | {worst.accuracy} | {worst.count} | 0 |"]
        lines += [f"| {k} | {m} | {m.count} | {m.missing} |" for k, m in self.means.items()]
        small = [f"{group.name} ({group.count})" for group in self.groups if not group.counted]
        lines += ["", f"{self.blank} of {len(self.rows)} maps are blank: no positive score."]
        if small:
            lines += [f"Too small to be the worst group: {', '.join(small)}."]
        if self.cells:
            lines += ["", *self._cell_lines(), "", f"Cells are by {self.settings.get('cells')}."]
        return "\n".join([*lines, "", in_words(self.settings)])

    def _cell_lines(self) -> Iterable[str]:
        yield "| cell | items | share | " + " | ".join(MEASURES) + " |"
        yield "|---|---|---|" + "---|" * len(MEASURES)
        for name, cell in self.cells.items():
            numbers = " | ".join(str(cell.means[measure]) for measure in MEASURES)
            yield f"| {name} | {cell.count} | {cell.share} | {numbers} |"

    def as_dict(self, *, rows: bool = False) -> dict[str, Any]:
        """Plain values for JSON; with every row if asked."""
        worst = self.worst_group
        told = {
            "settings": dict(self.settings),
            "seed": self.seed,
            "items": len(self.rows),
            "blank": self.blank,
            "accuracy": asdict(self.accuracy),
            "smallest_group": self.smallest_group,
            "worst_group": None if worst is None else asdict(worst),
            "groups": [asdict(group) for group in self.groups],
            "measures": {name: asdict(mean) for name, mean in self.means.items()},
            "cells": {
                name: {
                    "count": cell.count,
                    "share": asdict(cell.share),
                    "measures": {k: asdict(mean) for k, mean in cell.means.items()},
                }
                for name, cell in self.cells.items()
            },
        }
        return told | ({"rows": [asdict(row) for row in self.rows]} if rows else {})


def in_words(settings: Mapping[str, Any]) -> str:
    """How something was measured, as a sentence.

    Example:
        >>> in_words({"maps": {"name": "grad-cam", "exact": True}, "map_of": "predicted"})
        'Measured with maps: name grad-cam, exact True; map of: predicted.'
    """
    said = []
    for name, given in settings.items():
        value = given
        if isinstance(given, Mapping):
            value = ", ".join(f"{key} {choice}" for key, choice in given.items())
        said.append(f"{name.replace('_', ' ')}: {value}")
    return f"Measured with {'; '.join(said)}."


def share(hits: Iterable[bool]) -> Interval:
    """The share of hits with its Wilson interval."""
    given = list(hits)
    return wilson(sum(given), len(given))


def means_of(rows: Sequence[Looking], seed: int) -> dict[str, Mean]:
    """The mean of every measure over the rows that have it."""
    found = {}
    for measure in MEASURES:
        values = [getattr(row, measure) for row in rows if row.asked(measure)]
        given = [value for value in values if value is not None]
        interval = bootstrap_mean(given, seed=seed) if given else None
        found[measure] = Mean(interval, len(given), len(values) - len(given))
    return found
