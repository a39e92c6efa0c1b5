"""COCO's JSON, checked row by row: every number a number, every name in its folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sightline.errors import PhotoError, first_line

Row = Any
"""As it came: each field is checked as it is read."""


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The three tables of a COCO file, and where they were read.

    Args:
        path: for messages.
        photos: by image id: file name, height and width.
        categories: names by id.
        annotations: the rows, still as they came.
    """

    path: Path
    photos: Mapping[int, tuple[str, tuple[int, int]]]
    categories: Mapping[int, str]
    annotations: Sequence[Row]

    def photo(self, row: Row, place: str) -> tuple[int, str, tuple[int, int]]:
        """Image id, file name and size of the photo of an annotation."""
        number = whole(row, "image_id", place)
        if number not in self.photos:
            raise PhotoError(
                f"{place} is of image_id {number}, which is not among the {len(self.photos)} of "
                "'images'"
            )
        return number, *self.photos[number]

    def category(self, row: Row, place: str) -> int:
        """The id, known to be listed."""
        number = whole(row, "category_id", place)
        if number not in self.categories:
            known = sorted(self.categories)
            raise PhotoError(
                f"{place} has category_id {number}, which 'categories' does not list (it has "
                f"{len(known)}, from {known[0]} to {known[-1]})"
                if known
                else f"{place} has category_id {number}, but 'categories' is empty"
            )
        return number


def read_coco(path: str | os.PathLike[str]) -> CocoFile:
    """Read the tables of a COCO file.

    Raises:
        PhotoError: no such file, broken JSON, another layout, an id twice, an unsafe file name.
    """
    path = Path(path)
    tables = _parsed(path)
    layout = f"{path.name}: expected COCO's layout"
    if not isinstance(tables, dict):
        raise PhotoError(
            f"{layout}, an object with images, annotations, categories; got {_kind(tables)}"
        )
    for name in ("images", "annotations", "categories"):
        if not isinstance(tables.get(name), list):
            came = f"it is {_kind(tables[name])}" if name in tables else "it is missing"
            raise PhotoError(
                f"{layout} with a list {name!r}, but {came} (keys: {', '.join(tables) or 'none'})"
            )
    return CocoFile(
        path,
        _photos(tables["images"], path.name),
        _categories(tables["categories"], path.name),
        tables["annotations"],
    )


def field(row: Row, name: str, place: str) -> Any:
    """A value of a row.

    Raises:
        PhotoError: the row lacks it; names those it has.
    """
    if not isinstance(row, dict):
        raise PhotoError(f"{place} is {_kind(row)}; expected an object")
    if name not in row:
        raise PhotoError(f"{place} has no {name!r} (keys: {', '.join(row) or 'none'})")
    return row[name]


def whole(row: Row, name: str, place: str) -> int:
    """A whole number of a row."""
    value = field(row, name, place)
    if not isinstance(value, int) or isinstance(value, bool):
        raise PhotoError(f"{place} has {name} {_short(value)}; expected a whole number")
    return value


def numbers(values: Any, what: str, *, count: int | None = None) -> tuple[float, ...]:
    """Finite numbers of a list, as many as ``count``."""
    right = isinstance(values, list) and (count is None or len(values) == count)
    if not right or not all(_is_finite(v) for v in values):
        expected = "numbers" if count is None else f"{count} numbers"
        raise PhotoError(f"{what} is {_short(values)}; expected a list of {expected}")
    return tuple(float(v) for v in values)


def safe_name(name: Any, place: str) -> str:
    """A file name that stays in its folder, on every system.

    Raises:
        PhotoError: an absolute one, one that climbs, or none at all.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise PhotoError(f"{place} has file_name {_short(name)}; expected the name of a file")
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.anchor or ".." in windows.parts:
        raise PhotoError(f"{place} has file_name {_short(name)}, which leaves its folder; refused")
    return name


def _parsed(path: Path) -> Any:
    if not path.is_file():
        raise PhotoError(f"{path} does not exist, or is no file; check the path")
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise PhotoError(
            f"{path} is broken JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:  # not text; or nested without end
        raise PhotoError(f"{path} is no JSON: {first_line(error)}") from error


def _photos(rows: Sequence[Row], file: str) -> dict[int, tuple[str, tuple[int, int]]]:
    photos: dict[int, tuple[str, tuple[int, int]]] = {}
    seen: set[str] = set()
    for i, row in enumerate(rows):
        place = f"image {i} of {file}"
        number = whole(row, "id", place)
        name = safe_name(field(row, "file_name", place), place)
        size = (whole(row, "height", place), whole(row, "width", place))
        if min(size) < 1:
            raise PhotoError(f"{place} has height {size[0]} and width {size[1]}; expected from 1")
        if number in photos or name in seen:
            raise PhotoError(f"{place} has an id or file_name twice: {number}, {name}")
        photos[number] = (name, size)
        seen.add(name)
    return photos


def _categories(rows: Sequence[Row], file: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for i, row in enumerate(rows):
        place = f"category {i} of {file}"
        number, name = whole(row, "id", place), field(row, "name", place)
        if not isinstance(name, str) or number in names:
            raise PhotoError(
                f"{place} has id {number} and name {_short(name)}; expected each id once, with a "
                "text"
            )
        names[number] = name
    return names


def _is_finite(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return number and math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), "a number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
