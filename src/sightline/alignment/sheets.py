"""What a rater of a study sees and says: sheets, answers, and the lines of their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.alignment.study_files import read_lines
from sightline.errors import AlignmentError


@dataclass(frozen=True)
class Answer:
    """One rater's answers to one map.

    Args:
        necessary: question 1, does the map cover what is necessary?
        nothing_unnecessary: question 2, does it cover nothing unnecessary?
        rating: 1 (very poor) to 5 (excellent).
    """

    necessary: bool
    nothing_unnecessary: bool
    rating: int


@dataclass(frozen=True)
class SheetMap:
    """A map as a rater sees it: a letter, a file, and the answers so far (at first none)."""

    letter: str
    file: Path
    answer: Answer | None = None


@dataclass(frozen=True)
class Sheet:
    """What one rater is shown at once; it does not know any model's name.

    Args:
        id: to rate it by.
        item: name of the photo.
        photo: the original.
        maps: of all models, in an order of this rater's and item's own.
        number: of this sheet in the rater's order, from 1.
        of: how many sheets there are.
    """

    id: str
    item: str
    photo: Path
    maps: tuple[SheetMap, ...]
    number: int
    of: int

    @property
    def done(self) -> bool:
        """Whether every map is rated."""
        return all(shown.answer is not None for shown in self.maps)


@dataclass(frozen=True)
class Progress:
    """How far a rater is.

    Args:
        rater: their name.
        sheets: finished ones.
        of: all.
        maps: rated ones.
        notes: lines of their file that could not be read, and are lost.
    """

    rater: str
    sheets: int
    of: int
    maps: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Told:
    """What a rater's file says.

    Args:
        rater: empty where nothing was drawn yet.
        items: of each sheet that was drawn.
        orders: of its maps, as codes.
        answers: to each map (sheet, code), as they came.
        notes: lines that are lost or do not fit.
    """

    rater: str
    items: dict[str, str]
    orders: dict[str, list[str]]
    answers: dict[tuple[str, str], list[Mapping[str, Any]]]
    notes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, rows: Mapping[str, Mapping[str, Any]]) -> Told:
        """Read a rater's file, which may not be there yet, against the items of the study."""
        lines, notes = read_lines(path) if path.is_file() else ([], ())
        told = cls("", {}, {}, {}, notes)
        rater, lost = "", []
        for place, line in lines:
            try:
                told._add(line, rows)
                rater = line["rater"]
            except (KeyError, TypeError, AlignmentError) as error:
                lost.append(f"{place} does not fit the study and is left out: {error}")
        return cls(rater, told.items, told.orders, told.answers, (*notes, *lost))

    def _add(self, line: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> None:
        sheet, codes = line["sheet"], rows[line["item"]]["maps"]
        if not (isinstance(line["rater"], str) and isinstance(line["time"], str)):
            raise AlignmentError("its rater or its time is no text")
        if line["kind"] == "sheet":
            if sorted(line["order"]) != sorted(codes):
                raise AlignmentError("its order has other maps")
            self.items[sheet] = line["item"]
            self.orders.setdefault(sheet, list(line["order"]))
        elif line["kind"] == "answer":
            answer_of(line)
            if sheet not in self.orders or line["code"] not in codes:
                raise AlignmentError("its sheet was never drawn")
            self.answers.setdefault((sheet, line["code"]), []).append(line)

    def last(self, sheet: str, code: str) -> Answer | None:
        """The answer to a map that counts."""
        given = self.answers.get((sheet, code))
        return answer_of(given[-1]) if given else None


def answer_of(given: Mapping[str, Any]) -> Answer:
    """Checked answers.

    Raises:
        AlignmentError: one is missing, or no answer.
    """
    for name in ("necessary", "nothing_unnecessary"):
        if not isinstance(given[name], bool):
            raise AlignmentError(f"{name} is {given[name]!r}; answer True or False: no default")
    rating = given["rating"]
    if isinstance(rating, bool) or not isinstance(rating, int) or not 1 <= rating <= 5:
        raise AlignmentError(f"rating is {rating!r}; give a whole number from 1 to 5: no default")
    return Answer(given["necessary"], given["nothing_unnecessary"], rating)
