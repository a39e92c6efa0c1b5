"""What people said about a map: does it cover what is necessary, and nothing unnecessary?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from sightline.alignment.record_files import flag, number, read_records, write_records
from sightline.errors import AlignmentError, unknown_name

CELLS = {
    "RA": "reasonable, accurate",
    "UA": "unreasonable, accurate",
    "RI": "reasonable, inaccurate",
    "UI": "unreasonable, inaccurate",
}
"""Of the matrix: is the answer right (accurate), and is it right for a reason (reasonable)."""

Kind = Literal["people", "proposed"]


def cell_of(*, reasonable: bool, accurate: bool) -> str:
    """The cell of the matrix that two answers give.

    Example:
        >>> cell_of(reasonable=False, accurate=True)
        'UA'
    """
    return ("R" if reasonable else "U") + ("A" if accurate else "I")


@dataclass(frozen=True)
class Verdict:
    """One person's verdict on where a model looked at one item, or one that was computed.

    Args:
        item: name of the photo or drawing.
        accurate: whether the model's answer is right.
        necessary: question 1, does the map cover what is necessary? None: not answered.
        nothing_unnecessary: question 2, does it cover nothing unnecessary? None: not answered.
        outright: reasonable or not, where a person said only that and answered neither question
            (GRADIA's file).
        rating: of the map, 1 to 5.
        author: who said so.
        time: when, ISO 8601.
        proposed: computed, by `propose`; no person said so.
        reason: in words.

    Raises:
        AlignmentError: answers that do not settle whether it is reasonable, or settle it twice;
            a rating outside 1 to 5; no item.

    Example:
        >>> verdict = Verdict("duck.jpg", True, necessary=True, nothing_unnecessary=False)
        >>> verdict.reasonable, verdict.cell
        (False, 'UA')

    Source:
        Gao et al., Aligning Eyes between Humans and Deep Neural Network through Interactive
        Attention Alignment (GRADIA), CSCW 2022.
    """

    item: str
    accurate: bool
    necessary: bool | None = None
    nothing_unnecessary: bool | None = None
    outright: bool | None = None
    rating: int | None = None
    author: str = ""
    time: str = ""
    proposed: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        answers = (self.necessary, self.nothing_unnecessary)
        settled = None not in answers or False in answers
        if not self.item:
            raise AlignmentError("a verdict without an item; name the photo or drawing")
        if self.outright is not None and answers != (None, None):
            raise AlignmentError(
                f"the verdict on {self.item!r} answers the questions and says outright as well; "
                "keep the answers, leave 'outright' empty"
            )
        if self.outright is None and not settled:
            raise AlignmentError(
                f"the verdict on {self.item!r} does not tell whether the map is reasonable; answer "
                "'necessary' and 'nothing_unnecessary', or say 'outright'"
            )
        if self.rating not in (None, 1, 2, 3, 4, 5):
            raise AlignmentError(f"the rating of {self.item!r} is {self.rating}; 1 to 5, or none")

    @property
    def reasonable(self) -> bool:
        """Whether the map covers what is necessary and nothing unnecessary."""
        if self.outright is not None:
            return self.outright
        return bool(self.necessary and self.nothing_unnecessary)

    @property
    def cell(self) -> str:
        """Where it stands in the matrix: RA, UA, RI or UI."""
        return cell_of(reasonable=self.reasonable, accurate=self.accurate)


COLUMNS = tuple(field.name for field in fields(Verdict))


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of people, or proposed ones: never both in one collection.

    Args:
        rows: in the order in which they came.
        notes: what was left out, and why.

    Raises:
        AlignmentError: people's and proposed verdicts together; two of one author on one item.

    Example:
        >>> rows = [Verdict("duck.jpg", True, outright=True, author="ada"),
        ...         Verdict("duck.jpg", True, outright=False, proposed=True)]
        >>> Verdicts.of_people(rows).cells, Verdicts.proposed(rows).cells
        ({'duck.jpg': 'RA'}, {'duck.jpg': 'UA'})
    """

    rows: tuple[Verdict, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        proposed = sum(row.proposed for row in self.rows)
        if 0 < proposed < len(self.rows):
            raise AlignmentError(
                f"{len(self.rows) - proposed} verdicts of people and {proposed} proposed ones do "
                "not go together; choose Verdicts.of_people(rows) or Verdicts.proposed(rows)"
            )
        for (item, author), count in Counter((r.item, r.author) for r in self.rows).items():
            if count > 1:
                raise AlignmentError(
                    f"{author or 'one author'} has {count} verdicts on {item!r}; keep one"
                )

    @classmethod
    def from_rows(cls, rows: Iterable[Verdict], notes: tuple[str, ...] = ()) -> Verdicts:
        """From records of one kind."""
        return cls(tuple(rows), notes)

    @classmethod
    def of_people(cls, rows: Iterable[Verdict]) -> Verdicts:
        """Those that a person gave."""
        return cls(tuple(row for row in rows if not row.proposed))

    @classmethod
    def proposed(cls, rows: Iterable[Verdict]) -> Verdicts:
        """Those that were computed."""
        return cls(tuple(row for row in rows if row.proposed))

    @classmethod
    def from_cells(cls, cells: Mapping[str, str], *, author: str = "") -> Verdicts:
        """Verdicts that tell only the cell of each item, as "UA" or "Unreasonable Accurate".

        Questions 1 and 2 stay unanswered: the cell does not tell which of them was denied.

        Raises:
            AlignmentError: an unknown cell.
        """
        rows = []
        for item, given in cells.items():
            cell = _cell(given, item)
            rows.append(Verdict(item, cell[1] == "A", outright=cell[0] == "R", author=author))
        return cls(tuple(rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.rows)

    @property
    def are_proposed(self) -> bool:
        """Whether these were computed."""
        return any(row.proposed for row in self.rows)

    @property
    def authors(self) -> tuple[str, ...]:
        """Each once, in the order in which they came."""
        return tuple(dict.fromkeys(row.author for row in self.rows))

    @property
    def items(self) -> tuple[str, ...]:
        """Each once, in the order in which they came."""
        return tuple(dict.fromkeys(row.item for row in self.rows))

    @property
    def cells(self) -> dict[str, str]:
        """The cell of each item.

        Raises:
            AlignmentError: an item with verdicts of several authors.
        """
        cells: dict[str, str] = {}
        for row in self.rows:
            if row.item in cells:
                raise AlignmentError(
                    f"{row.item!r} has verdicts of several authors "
                    f"({', '.join(name or 'unnamed' for name in self.authors)}); choose one with "
                    "by(author), or keep what they agree on with agreed()"
                )
            cells[row.item] = row.cell
        return cells

    def by(self, author: str) -> Verdicts:
        """The verdicts of one author.

        Raises:
            AlignmentError: nobody of that name.
        """
        if author not in self.authors:
            raise AlignmentError(unknown_name("author", author, self.authors))
        return replace(self, rows=tuple(row for row in self.rows if row.author == author))

    def agreed(self) -> Verdicts:
        """One verdict an item, of the items on whose cell all authors agree; the rest is noted."""
        groups: dict[str, list[Verdict]] = {}
        for row in self.rows:
            groups.setdefault(row.item, []).append(row)
        same = [rows[0] for rows in groups.values() if len({row.cell for row in rows}) == 1]
        left = f"{len(groups) - len(same)} of {len(groups)} items left out: authors disagree"
        return Verdicts(tuple(same), self.notes if len(same) == len(groups) else (left,))


def read_verdicts(path: str | os.PathLike[str], *, only: Kind | None = None) -> Verdicts:
    """Read verdicts: our JSON lines or CSV, or GRADIA's reasonability JSON.

    Args:
        path: the suffix tells which: .jsonl, .csv, or .json for GRADIA's.
        only: "people" or "proposed": what to keep of a file that holds both.

    Raises:
        AlignmentError: a broken file or record, with its place; both kinds in one file.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        from sightline.alignment.formats.gradia import read_reasonability

        return _kept(Verdicts.from_cells(read_reasonability(path)), only)
    records = read_records(path, ("item", "accurate"))
    return _kept([_verdict(record, place) for place, record in records], only)


def write_verdicts(path: str | os.PathLike[str], verdicts: Verdicts) -> None:
    """Write verdicts as JSON lines (.jsonl) or CSV (.csv); `read_verdicts` gives them back.

    Raises:
        AlignmentError: another suffix.
    """
    write_records(Path(path), COLUMNS, (asdict(row) for row in verdicts))


def _kept(rows: Iterable[Verdict], only: Kind | None) -> Verdicts:
    if only is None:
        return rows if isinstance(rows, Verdicts) else Verdicts.from_rows(rows)
    if only not in ("people", "proposed"):
        raise AlignmentError(unknown_name("kind of verdicts", only, ("people", "proposed")))
    return Verdicts.of_people(rows) if only == "people" else Verdicts.proposed(rows)


def _verdict(record: Mapping[str, Any], place: str) -> Verdict:
    known: dict[str, Any] = {
        name: flag(record.get(name), f"{place}: {name}")
        for name in ("accurate", "necessary", "nothing_unnecessary", "outright", "proposed")
    }
    known |= {name: str(record.get(name) or "") for name in ("item", "author", "time", "reason")}
    rating = number(record.get("rating"), f"{place}: rating")
    if rating is not None and not rating.is_integer():
        raise AlignmentError(f"{place}: rating is {rating}; 1 to 5 in whole numbers")
    known["rating"] = None if rating is None else int(rating)
    try:
        return Verdict(**(known | {"proposed": bool(known["proposed"])}))
    except AlignmentError as error:
        raise AlignmentError(f"{place}: {error}") from None


def _cell(given: str, item: str) -> str:
    """RA of "RA", of "Reasonable Accurate", and of "reasonable, accurate"."""
    short = "".join(word[0] for word in given.replace(",", " ").split()).upper()
    words = " ".join(given.replace(",", " ").lower().split())
    if given in CELLS:
        return given
    if short in CELLS and CELLS[short].replace(",", "") == words:
        return short
    known = unknown_name("cell", given, CELLS)
    raise AlignmentError(f"{known} (verdict on {item!r})")
