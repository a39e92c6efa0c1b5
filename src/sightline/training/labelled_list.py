"""Photos of classes by a list: a CSV file of file, label and split."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from sightline.errors import PhotoError, first_line
from sightline.image.coco import safe_name
from sightline.image.read import SUFFIXES
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.training.class_folders import (
    ClassFolders,
    LabelledPhoto,
    hashed_split,
    in_splits,
    split_name,
)


def read_labelled_list(
    path: str | os.PathLike[str], photos: str | os.PathLike[str], *, seed: int = 0
) -> ClassFolders:
    """Find photos by a list: a CSV file with the columns ``file``, ``label`` and ``split``.

    Without a column ``split``, 80, 10 and 10 % by a hash of name and seed. The item name is the
    file as the list has it. Photos are not opened.

    Args:
        path: the list, with a first line that names the columns.
        photos: folder that the files are in.
        seed: of the hash.

    Raises:
        PhotoError: a column is missing; a row that is short, names a file that is not there,
            leaves the folder or comes twice, or an unknown split: with its line.
    """
    path, photos = Path(path), Path(photos)
    rows = _csv_rows(path)
    splits: dict[str, list[LabelledPhoto]] = {split: [] for split in SPLITS}
    seen: dict[str, int] = {}
    for line, row in rows:
        place = f"{path.name}, line {line}"
        photo = _listed(row, photos, place)
        if photo.item in seen:
            raise PhotoError(f"{place}: {photo.item!r} is on line {seen[photo.item]} already")
        seen[photo.item] = line
        split = row.get("split")
        splits[hashed_split(photo, seed) if split is None else split_name(split, place)].append(
            photo
        )
    if not seen:
        raise PhotoError(f"{path} lists no photo")
    return in_splits(splits, [])


def _csv_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Rows by column, each with its line; a short or long row is an error."""
    if not path.is_file():
        raise PhotoError(f"{path} does not exist, or is no file; check the path")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, skipinitialspace=True)
            columns = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PhotoError(f"{path} is no CSV file: {first_line(error)}") from error
    missing = {"file", "label"} - set(columns)
    if missing:
        raise PhotoError(
            f"{path} has the columns {', '.join(columns) or 'none'}; expected file, label and "
            f"split: {', '.join(sorted(missing))} is missing"
        )
    for line, row in rows:
        if len(row) != len(columns):
            raise PhotoError(
                f"{path.name}, line {line} has {len(row)} fields; expected {len(columns)}: "
                f"{', '.join(columns)}"
            )
    return [(line, dict(zip(columns, row, strict=True))) for line, row in rows]


def _listed(row: Mapping[str, str], photos: Path, place: str) -> LabelledPhoto:
    name, label = safe_name(row["file"].strip(), place), row["label"].strip()
    if not label:
        raise PhotoError(f"{place} has no label")
    path = photos / name
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise PhotoError(f"{place}: {path} does not exist, or is no photo ({', '.join(SUFFIXES)})")
    return LabelledPhoto(path, label, PurePosixPath(name).as_posix())
