"""Which items deserve a person's minute first, and why."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sightline.alignment.record_files import flag, number, read_records, write_records
from sightline.alignment.verdicts import CELLS
from sightline.errors import AlignmentError, unknown_name

STRATEGIES: Mapping[str, Mapping[str, float]] = {
    "unreasonable-first": {"unreasonable": 1.0, "disagreement": 0.5, "wanted": 0.5},
    "disagreement": {"disagreement": 1.0, "wanted": 0.1},
    "uncertain": {"uncertain": 1.0, "wanted": 0.1},
    "cells": {"wanted": 1.0, "unreasonable": 0.1, "disagreement": 0.05},
    "random": {},
}
"""How much each ground weighs. Every ground is a number in [0, 1]."""

RESTS_ON: Mapping[str, tuple[str, ...]] = {
    "unreasonable-first": ("cell", "disagreement"),
    "disagreement": ("disagreement",),
    "uncertain": ("confidence",),
    "cells": ("cell",),
    "random": (),
}
"""What must be known of a candidate at least, one of these, for a strategy to tell anything."""


@dataclass(frozen=True)
class Candidate:
    """An item that could be labelled, and what is known of it.

    Args:
        item: name of the photo or drawing.
        cell: of the matrix, usually proposed: RA, UA, RI, UI.
        confidence: probability of the model's answer, in [0, 1].
        disagreement: between methods, in [0, 1]; `disagreement.disagreement` makes it of maps.
        labelled: whether somebody labelled it already.

    Raises:
        AlignmentError: an unknown cell; a number outside [0, 1].
    """

    item: str
    cell: str | None = None
    confidence: float | None = None
    disagreement: float | None = None
    labelled: bool = False

    def __post_init__(self) -> None:
        if not self.item:
            raise AlignmentError("a candidate without an item; name the photo or drawing")
        if self.cell is not None and self.cell not in CELLS:
            raise AlignmentError(unknown_name(f"cell of {self.item!r}", self.cell, CELLS))
        for name in ("confidence", "disagreement"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise AlignmentError(f"{name} of {self.item!r} is {value}; give a number in [0, 1]")

    @property
    def grounds(self) -> dict[str, float]:
        """What speaks for asking a person, each in [0, 1]; 0 where nothing is known."""
        unreasonable = self.cell is not None and self.cell[0] == "U"
        sure = 0.5 if self.confidence is None else self.confidence
        return {
            "unreasonable": sure if unreasonable else 0.0,
            "disagreement": self.disagreement or 0.0,
            "uncertain": 0.0 if self.confidence is None else 1 - self.confidence,
        }


@dataclass(frozen=True)
class Queued:
    """An item in its place, with the score that put it there and the reasons in words."""

    item: str
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Queue:
    """Items in the order in which they deserve a person's minute.

    Example:
        >>> queue = order([Candidate("hen.jpg", "RA", 0.9), Candidate("duck.jpg", "UA", 0.97)])
        >>> queue.items, queue.rows[0].reasons
        (('duck.jpg', 'hen.jpg'), ('confident (0.97), right, and the map unreasonable (UA)',))
    """

    rows: tuple[Queued, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Queued]:
        return iter(self.rows)

    @property
    def items(self) -> tuple[str, ...]:
        """Names, the first to be labelled first."""
        return tuple(row.item for row in self.rows)

    def first(self, count: int) -> Queue:
        """The first so many."""
        return Queue(self.rows[:count])

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write as JSON lines or CSV, as the suffix says; `read` gives it back."""
        records = (asdict(row) | {"reasons": "; ".join(row.reasons)} for row in self.rows)
        write_records(Path(path), ("item", "score", "reasons"), records)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Queue:
        """Read what `write` wrote.

        Raises:
            AlignmentError: a broken file or record, with its place.
        """
        rows = []
        for place, record in read_records(Path(path), ("item", "score")):
            reasons = str(record.get("reasons") or "")
            score = number(record["score"], f"{place}: score") or 0.0
            words = tuple(reasons.split("; ")) if reasons else ()
            rows.append(Queued(str(record["item"]), score, words))
        return cls(tuple(rows))


def order(
    items: Sequence[Candidate],
    strategy: str = "unreasonable-first",
    *,
    wanted: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Queue:
    """Put items in the order in which they deserve a person's minute.

    The order depends on the items and the seed alone, not on the order in which they come: ties are
    broken by luck drawn from the seed and the item's name. Labelled items come last.

    Args:
        items: to be ordered, each once.
        strategy: "unreasonable-first" (sure of an answer for a wrong reason), "disagreement" (of
            methods), "uncertain", "cells" (what is wanted most), or "random".
        wanted: how many labels of each cell are wanted in all; labelled items count towards them,
            and so do items already in the queue.
        seed: of the luck.

    Raises:
        AlignmentError: an unknown strategy or cell; an item twice; a strategy that rests on what
            no candidate has.
    """
    if strategy not in STRATEGIES:
        raise AlignmentError(unknown_name("strategy", strategy, STRATEGIES))
    _check(items, strategy, wanted or {})
    weights = STRATEGIES[strategy]
    open_ones = [item for item in items if not item.labelled]
    done = sorted((item for item in items if item.labelled), key=lambda c: _luck(c.item, seed))
    need = _Need(wanted or {}, [item.cell for item in done])
    rows = list(_queued(open_ones, weights, need, seed))
    rows += [Queued(item.item, 0.0, ("labelled already",)) for item in done]
    return Queue(tuple(rows))


def write_candidates(path: str | os.PathLike[str], candidates: Iterable[Candidate]) -> None:
    """Write candidates as JSON lines or CSV, as the suffix says; `read_candidates` reads them."""
    names = tuple(field.name for field in fields(Candidate))
    write_records(Path(path), names, (asdict(candidate) for candidate in candidates))


def read_candidates(path: str | os.PathLike[str]) -> list[Candidate]:
    """Read candidates from JSON lines or CSV with the columns of `Candidate`; only item is needed.

    Raises:
        AlignmentError: a broken file or record, with its place.
    """
    found = []
    for place, record in read_records(Path(path), ("item",)):
        numbers = {
            name: number(record.get(name), f"{place}: {name}")
            for name in ("confidence", "disagreement")
        }
        labelled = bool(flag(record.get("labelled"), f"{place}: labelled"))
        try:
            cell = record.get("cell") or None
            found.append(Candidate(str(record["item"]), cell, **numbers, labelled=labelled))
        except AlignmentError as error:
            raise AlignmentError(f"{place}: {error}") from None
    return found


class _Need:
    """How much each cell is still wanted: the share of its labels that is missing."""

    def __init__(self, wanted: Mapping[str, int], done: Iterable[str | None]) -> None:
        self.wanted, self.got = dict(wanted), Counter(done)

    def left(self, cell: str | None) -> int:
        return max(0, self.wanted.get(cell or "", 0) - self.got[cell])

    def __call__(self, cell: str | None) -> float:
        return self.left(cell) / self.wanted[cell] if cell and self.left(cell) else 0.0


def _queued(
    items: Sequence[Candidate], weights: Mapping[str, float], need: _Need, seed: int
) -> Iterator[Queued]:
    """Greedily: whatever is queued makes its cell less wanted.

    Within a cell the order does not change, so only the cells' first items need be compared.
    """
    cells: dict[str | None, list[tuple[float, float, Candidate]]] = {}
    for item in items:
        score = sum(weights.get(name, 0.0) * value for name, value in item.grounds.items())
        cells.setdefault(item.cell, []).append((score, _luck(item.item, seed), item))
    for ranked in cells.values():
        ranked.sort(key=lambda row: row[:2])  # the best is the last
    extra = weights.get("wanted", 0.0)
    while cells:
        cell = max(cells, key=lambda c: (cells[c][-1][0] + extra * need(c), cells[c][-1][1]))
        score, _, item = cells[cell].pop()
        yield Queued(item.item, score + extra * need(cell), _reasons(item, weights, need))
        need.got[cell] += 1
        if not cells[cell]:
            del cells[cell]


def _reasons(item: Candidate, weights: Mapping[str, float], need: _Need) -> tuple[str, ...]:
    grounds, said = item.grounds, []
    if weights.get("unreasonable") and grounds["unreasonable"]:
        answer = "right" if item.cell == "UA" else "wrong"
        sure = "" if item.confidence is None else f"{_how_sure(item.confidence)}, "
        said.append(f"{sure}{answer}, and the map unreasonable ({item.cell})")
    if weights.get("disagreement") and grounds["disagreement"] > 0:
        said.append(f"methods disagree ({grounds['disagreement']:.2f})")
    if weights.get("uncertain") and grounds["uncertain"] > 0:
        said.append(f"unsure of its answer ({item.confidence:.2f})")
    if weights.get("wanted") and need.left(item.cell):
        said.append(f"{need.left(item.cell)} more labels of {item.cell} wanted")
    return tuple(said) or ("by luck: nothing else speaks for it",)


def _how_sure(confidence: float) -> str:
    return f"{'confident' if confidence >= 0.7 else 'not sure'} ({confidence:.2f})"


def _luck(item: str, seed: int) -> float:
    """In [0, 1), from the name and the seed: the same wherever the item stands in a list."""
    digest = hashlib.sha256(f"{seed}:{item}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check(items: Sequence[Candidate], strategy: str, wanted: Mapping[str, int]) -> None:
    twice = [name for name, count in Counter(c.item for c in items).items() if count > 1]
    if twice:
        raise AlignmentError(f"{twice[0]!r} is a candidate twice; give each item once")
    for cell, count in wanted.items():
        if cell not in CELLS:
            raise AlignmentError(unknown_name("cell", cell, CELLS))
        if count < 0:
            raise AlignmentError(f"{count} labels of {cell} are wanted; at least 0")
    needed = RESTS_ON[strategy]
    known = any(getattr(item, name) is not None for item in items for name in needed)
    if needed and items and not known:
        raise AlignmentError(
            f"the strategy {strategy!r} rests on {' or '.join(needed)}, which no candidate has; "
            "give it, or choose another strategy"
        )
    if strategy == "cells" and not wanted:
        raise AlignmentError("the strategy 'cells' needs 'wanted', the labels wanted of each cell")
