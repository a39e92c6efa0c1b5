"""Rows of a rating study: who said what of whose map; in CSV and Parquet, and GRADIA's own CSV."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sightline.alignment.record_files import flag, number, read_records, write_records
from sightline.errors import AlignmentError, first_line
from sightline.sketch.files import replace_file

GRADIA_MODELS = 4


@dataclass(frozen=True)
class Rating:
    """What one rater said of one model's map of one item.

    Args:
        item: name of the photo.
        model: whose map it was; the rater was not told.
        rater: who said so.
        letter: under which the map was shown.
        place: in the order shown, from 1.
        necessary: question 1, does the map cover what is necessary?
        nothing_unnecessary: question 2, does it cover nothing unnecessary?
        rating: 1 (very poor) to 5 (excellent).
        time: when, ISO 8601.
        corrections: how many answers to the same map came before.

    Raises:
        AlignmentError: a rating outside 1 to 5, a place below 1, or no name.
    """

    item: str
    model: str
    rater: str
    letter: str
    place: int
    necessary: bool
    nothing_unnecessary: bool
    rating: int
    time: str = ""
    corrections: int = 0

    def __post_init__(self) -> None:
        where = f"the rating of {self.item!r} by {self.rater!r}"
        if self.rating not in (1, 2, 3, 4, 5) or self.place < 1:
            raise AlignmentError(
                f"{where} is {self.rating} at place {self.place}; 1 to 5, at a place from 1"
            )
        if not (self.item and self.model and self.rater):
            raise AlignmentError(f"{where} of model {self.model!r} lacks a name")

    @property
    def reasonable(self) -> bool:
        """Whether the map covers what is necessary and nothing unnecessary."""
        return self.necessary and self.nothing_unnecessary


COLUMNS = tuple(field.name for field in fields(Rating))


@dataclass(frozen=True)
class Ratings:
    """Rows of a study.

    Args:
        rows: one a rater, item and model.
        notes: what is lost, left out, or to be doubted.
    """

    rows: tuple[Rating, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Rating]:
        return iter(self.rows)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write as CSV, JSON lines or Parquet, as the suffix says; whole or not at all.

        Raises:
            AlignmentError: another suffix, or pyarrow is missing for Parquet.
        """
        path = Path(path)
        if path.suffix.lower() == ".parquet":
            _write_parquet(path, self.rows)
        else:
            write_records(path, COLUMNS, (asdict(row) for row in self.rows))


def read_ratings(path: str | os.PathLike[str]) -> Ratings:
    """Read what `Ratings.write` wrote.

    Raises:
        AlignmentError: a broken file or record, with its place.
    """
    path = Path(path)
    if path.suffix.lower() == ".parquet":
        pyarrow = _arrow()
        try:
            records = pyarrow.parquet.read_table(path).to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise AlignmentError(f"cannot read {path}: {first_line(error)}") from None
        return Ratings(
            tuple(_rating(row, f"{path.name}, row {i}") for i, row in enumerate(records))
        )
    needed = ("item", "model", "rater", "place", "necessary", "nothing_unnecessary", "rating")
    return Ratings(tuple(_rating(record, place) for place, record in read_records(path, needed)))


def read_gradia_study(path: str | os.PathLike[str], *, rater: str | None = None) -> Ratings:
    """Read a file of answers of GRADIA's rating page.

    Its columns ``a_1`` to ``c_4`` are the answers to Q1, Q2 and the rating, of model 1 to 4 (the
    page has sorted them back); ``rnd_order`` is the original, 0, and the models as they were shown.
    Its Q2 asks whether the focus contains anything *unnecessary*: its yes is our no.

    Args:
        path: ``results_....csv``.
        rater: who answered; by default the file's name, since the file does not tell.

    Returns:
        Models are named "1" to "4". Rows without answers are left out and noted, and so is how
        many maps have exactly the answers that the page had filled in beforehand.

    Raises:
        AlignmentError: no such file, other columns, an answer that is none.

    Source:
        GRADIA's FrontEndUIs/app.py and cnn_ui_reason_prep.py.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            table = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AlignmentError(f"cannot read {path}: {first_line(error)}") from None
    name = path.stem if rater is None else rater
    rows: list[Rating] = []
    empty = 0
    for line, record in enumerate(table, start=2):
        place = f"{path.name}, line {line}"
        answers = [record.get(f"{q}_{m}") for q in "abc" for m in range(1, GRADIA_MODELS + 1)]
        if None in answers or not record.get("img_idx"):
            raise AlignmentError(f"{place} lacks columns; expected img_idx, a_1 to c_4, rnd_order")
        if not all(answers):
            empty += 1
        else:
            rows += _gradia_rows(record, name, place)
    return Ratings(tuple(rows), _gradia_notes(path.name, rows, empty))


def _gradia_rows(record: Mapping[str, str], rater: str, place: str) -> Iterator[Rating]:
    try:
        shown = [int(model) for model in json.loads(record["rnd_order"])]
    except (KeyError, ValueError, TypeError):
        shown = []
    if sorted(shown) != list(range(GRADIA_MODELS + 1)) or shown[0]:
        raise AlignmentError(
            f"{place}: rnd_order is {record.get('rnd_order')!r}; e.g. [0, 2, 1, 4, 3]"
        )
    for model in shown[1:]:
        at = shown.index(model)
        unnecessary = flag(record[f"b_{model}"], f"{place}: b_{model}")
        answers = {
            "item": record["img_idx"].removesuffix(".jpg"),
            "model": str(model),
            "rater": rater,
            "letter": "ABCD"[at - 1],
            "place": at,
            "necessary": record[f"a_{model}"],
            "nothing_unnecessary": not unnecessary,
            "rating": record[f"c_{model}"],
        }
        yield _rating(answers, place)


def _gradia_notes(name: str, rows: list[Rating], empty: int) -> tuple[str, ...]:
    left = (row.necessary and not row.nothing_unnecessary and row.rating == 5 for row in rows)
    filled = sum(left)
    notes = [f"{name}: {empty} items have no answer and are left out"] if empty else []
    if filled:
        notes.append(
            f"{name}: {filled} of {len(rows)} maps have the answers that GRADIA's page fills in "
            "beforehand (yes, yes, 5); nobody may have given them"
        )
    return tuple(notes)


def _rating(record: Mapping[str, Any], place: str) -> Rating:
    whole = {}
    for name in ("place", "rating", "corrections"):
        value = number(record.get(name), f"{place}: {name}")
        if value is None and name == "corrections":
            value = 0.0
        if value is None or not value.is_integer():
            raise AlignmentError(
                f"{place}: {name} is {record.get(name)!r}; expected a whole number"
            )
        whole[name] = int(value)
    said = {}
    for name in ("necessary", "nothing_unnecessary"):
        answer = flag(record.get(name), f"{place}: {name}")
        if answer is None:
            raise AlignmentError(f"{place}: {name} is not answered")
        said[name] = answer
    words = {n: str(record.get(n) or "") for n in ("item", "model", "rater", "letter", "time")}
    try:
        return Rating(**(words | whole | said))  # type: ignore[arg-type]
    except AlignmentError as error:
        raise AlignmentError(f"{place}: {error}") from None


def _write_parquet(path: Path, rows: tuple[Rating, ...]) -> None:
    pyarrow = _arrow()
    text, whole, yes = pyarrow.string(), pyarrow.int32(), pyarrow.bool_()
    kinds = {"str": text, "int": whole, "bool": yes}
    schema = pyarrow.schema([(field.name, kinds[str(field.type)]) for field in fields(Rating)])
    table = pyarrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    with replace_file(path) as stream:
        pyarrow.parquet.write_table(table, stream)


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise AlignmentError(
            "Parquet needs pyarrow; install it with: pip install 'sightline[data]', or write CSV"
        ) from None
    return pyarrow
