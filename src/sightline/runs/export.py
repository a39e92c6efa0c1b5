"""A run for other programs: COCO results, CSV, Arrow and Parquet files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from sightline.errors import SightlineError
from sightline.runs.rows import PhotoResult, Row, arrow, schema
from sightline.runs.run import Run
from sightline.sketch.files import replace_file


def write_coco(run: Run, path: Path) -> int:
    """Write a COCO list of results: an entry a box, our numbers under ``"sightline"``.

    Other tools read ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and ``score``,
    and pass over the rest. Image and category ids are those of the annotations; without
    annotations, the number in the photo's name (or its place in the list) and the label's column.

    Returns:
        Entries written.

    Raises:
        SightlineError: a label that the annotations' categories do not have.
    """
    count = 0
    with replace_file(path) as stream:
        stream.write(b"[")
        for entry in _entries(run):
            stream.write(b",\n" if count else b"\n")
            stream.write(json.dumps(entry, allow_nan=False).encode())
            count += 1
        stream.write(b"\n]\n")
    return count


def _entries(run: Run) -> Iterator[dict[str, Any]]:
    ids = image_ids(run)
    for photo in run.photos():
        ordered = sorted(photo.explanations, key=lambda row: row.number)  # stable
        for number, rows in groupby(ordered, key=lambda row: row.number):
            yield _entry(run, photo, number, list(rows), ids[photo.name])


def _entry(
    run: Run, photo: PhotoResult, number: int, rows: list[Row], image: int
) -> dict[str, Any]:
    first = rows[0]
    x0, y0, x1, y1 = first.box
    parts = {name: array.tolist() for name, array in photo.parts.items()}
    return {
        "image_id": image,
        "category_id": _category(run, first),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "score": 0.0 if first.detector_score is None else first.detector_score,
        "sightline": {
            "photo": photo.name,
            "number": number,
            "label": first.label,
            "parts": {"kind": photo.parts_kind, **parts},
            "methods": {row.method: _numbers(row) for row in rows},
        },
    }


def _numbers(row: Row) -> dict[str, Any]:
    return {
        "target": row.target,
        "unit": row.unit,
        "value": row.value,
        "base": row.base,
        "scores": row.scores.tolist(),
        "errors": None if row.errors is None else row.errors.tolist(),
        "measures": dict(row.measures),
        "blank": row.blank,
        "evaluations": row.evaluations,
        "seconds": row.seconds,
    }


def _category(run: Run, row: Row) -> int:
    categories = run.manifest.categories
    if not categories:
        return row.label_index
    if row.label not in categories:
        raise SightlineError(
            f"label {row.label!r} is no category of the run's annotations; they have "
            f"{', '.join(list(categories)[:5])}, ...; run with annotations of the same labels"
        )
    return categories[row.label]


def image_ids(run: Run) -> dict[str, int]:
    """The image id of each photo: of the annotations, or its name's number, or its place.

    Raises:
        SightlineError: only some photos are in the annotations.
    """
    photos = run.manifest.photos
    stems = [PurePosixPath(photo.name).stem for photo in photos]
    numbered = all(stem.isascii() and stem.isdigit() for stem in stems)
    numbers = [int(stem) for stem in stems] if numbered else list(range(len(photos)))
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(photos)))
    given = [photo.image_id for photo in photos]
    chosen = [n if g is None else g for g, n in zip(given, numbers, strict=True)]
    if any(g is not None for g in given) and any(g is None for g in given):
        raise SightlineError("some photos of the run have an image id and some none")
    return {photo.name: number for photo, number in zip(photos, chosen, strict=True)}


def write_table(run: Run, path: Path) -> int:
    """Write all rows as one file: .parquet, .arrow or .csv (lists as JSON inside their cells).

    Returns:
        Rows written.

    Raises:
        SightlineError: another suffix.
    """
    kind = path.suffix.lower()
    if kind not in _WRITERS:
        raise SightlineError(f"cannot write {path.name!r}: use one of {', '.join(_WRITERS)}")
    with replace_file(path) as stream:
        return _WRITERS[kind](run, stream)


def _write_parquet(run: Run, stream: Any) -> int:
    with arrow().parquet.ParquetWriter(stream, schema(), compression="zstd") as writer:
        for table in run.tables():
            writer.write_table(table)
    return len(run)


def _write_arrow(run: Run, stream: Any) -> int:
    pa = arrow()
    with pa.ipc.new_file(stream, schema()) as writer:
        for table in run.tables():
            writer.write_table(table)
    return len(run)


def _write_csv(run: Run, stream: Any) -> int:
    import csv

    text = io.TextIOWrapper(stream, "utf-8", newline="")
    names = schema().names
    writer = csv.writer(text)
    writer.writerow(names)
    for table in run.tables():
        for row in table.to_pylist(maps_as_pydicts="strict"):
            writer.writerow([_plain(row[name]) for name in names])
    text.flush()
    text.detach()
    return len(run)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


_WRITERS = {".parquet": _write_parquet, ".arrow": _write_arrow, ".csv": _write_csv}
