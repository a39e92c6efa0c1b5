"""Tables of records in files: JSON lines or CSV, read with the place of every mistake."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import AlignmentError, first_line
from sightline.sketch.files import replace_file

SUFFIXES = (".jsonl", ".csv")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_records(path: Path, needed: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each record with its place ("verdicts.csv, line 3"); empty fields of a CSV file are None.

    Raises:
        AlignmentError: no such file, another suffix, a line that is no record, a column of
            ``needed`` that is missing.
    """
    read = {".jsonl": _json_lines, ".csv": _csv_rows}[_suffix(path)]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AlignmentError(f"cannot read {path}: {first_line(error)}") from None
    for line, record in read(text, path.name):
        place = f"{path.name}, line {line}"
        for name in needed:
            if record.get(name) is None:
                raise AlignmentError(
                    f"{place} has no {name!r}; needed: {', '.join(needed)}; there: "
                    f"{', '.join(map(str, record)) or 'nothing'}"
                )
        yield place, record


def write_records(path: Path, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write records whole or not at all; None is an empty field of CSV.

    Raises:
        AlignmentError: another suffix than .jsonl or .csv.
    """
    text = io.StringIO()
    if _suffix(path) == ".csv":
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows({name: _field(record[name]) for name in columns} for record in records)
    else:
        for record in records:
            text.write(json.dumps({name: record[name] for name in columns}, allow_nan=False) + "\n")
    with replace_file(path) as stream:
        stream.write(text.getvalue().encode())


def flag(given: object, place: str) -> bool | None:
    """Yes, no, or None where nothing was said: as JSON and as people write it.

    Example:
        >>> flag("Yes", "verdicts.csv, line 2"), flag(None, "verdicts.csv, line 2")
        (True, None)
    """
    if given is None or isinstance(given, bool):
        return given
    known = _WORDS.get(str(given).strip().lower())
    if known is None:
        raise AlignmentError(f"{place} is {given!r}; say true or false, or leave it empty")
    return known


def number(given: object, place: str) -> float | None:
    """A finite number, or None where nothing was said."""
    if given is None:
        return None
    try:
        value = float("nan") if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) < float("inf"):
        raise AlignmentError(f"{place} is {given!r}; expected a number, or nothing")
    return value


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise AlignmentError(f"{path.name!r} is no table of records: use {' or '.join(SUFFIXES)}")
    return suffix


def _field(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _json_lines(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
        except (json.JSONDecodeError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise AlignmentError(
                f"{name}, line {line} is no JSON object: {row[:60]!r}; was the file written half?"
            )
        yield line, record


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in table:
            # DictReader's keys: None for fields beyond the header; None as value for missing ones
            if None in row or any(value is None for value in row.values()):
                raise AlignmentError(
                    f"{name}, line {table.line_num} has another number of fields than the header "
                    f"({len(table.fieldnames or ())}); was the file written half?"
                )
            yield table.line_num, {key: value or None for key, value in row.items()}
    except csv.Error as error:
        raise AlignmentError(f"{name}, after line {table.line_num}: {first_line(error)}") from None
