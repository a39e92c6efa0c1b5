"""sketch-rnn's arrays: stroke-3 (dx, dy, pen up), stroke-5, and .npz files of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num
from numpy.typing import ArrayLike

from sightline.errors import DrawingError, unknown_name
from sightline.sketch.files import replace_file
from sightline.sketch.formats.arrays import open_npz, read_rows
from sightline.sketch.formats.quickdraw import OnError, Skipped, refuse_crowd
from sightline.sketch.sketch import OnShort, Sketch

SPLITS = ("train", "valid", "test")
"""The arrays of a sketch-rnn file, in the order they are read."""


def from_stroke3(array: ArrayLike, **fields: Any) -> Sketch:
    """Make a drawing of stroke-3 rows.

    Convention:
        Rows (dx, dy, pen_up). The pen starts at (0, 0); the first row leads to the first point.
        pen_up = 1 marks the last point of a stroke. The end of the rows ends the last stroke,
        marked or not.

    Args:
        array: ``[rows, 3]``.
        fields: further fields of `Sketch`, and ``on_short`` as in `Sketch.from_strokes`; a
            stroke left out as too short still moves the pen.

    Raises:
        DrawingError: another shape, values that are no numbers, pen_up other than 0 or 1.

    Example:
        >>> sketch = from_stroke3([[1, 1, 0], [2, 0, 1], [0, 3, 0], [-2, 0, 1]])
        >>> [stroke.tolist() for stroke in sketch.strokes]
        [[[1.0, 1.0], [3.0, 1.0]], [[3.0, 4.0], [1.0, 4.0]]]
    """
    where = fields.get("name") or "the drawing"
    strokes = strokes_of(rows_of(array, 3, where), where, absolute=False)
    return Sketch.from_strokes([stroke.T for stroke in strokes], **fields)


def strokes_of(
    rows: Num[np.ndarray, "points 3"], where: str, *, absolute: bool = True
) -> list[Num[np.ndarray, "2 _"]]:
    """The strokes of rows (x, y, pen_up), or (dx, dy, pen_up): x and y of each.

    Raises:
        DrawingError: pen_up other than 0 or 1, too many strokes.
    """
    if not np.isin(rows[:, 2], (0, 1)).all():
        bad = int(np.flatnonzero(~np.isin(rows[:, 2], (0, 1)))[0])
        raise DrawingError(
            f"row {bad} of {where} has pen_up {rows[bad, 2]:g}; expected 0 (down) or 1 (up)"
        )
    ends = np.flatnonzero(rows[:-1, 2]) + 1
    refuse_crowd(len(ends) + 1, where)
    points = rows[:, :2] if absolute else rows[:, :2].cumsum(0)
    return np.split(points.T, ends, axis=1)


def as_stroke3(sketch: Sketch) -> Num[np.ndarray, "points 3"]:
    """View a drawing as stroke-3 rows: int64 where every coordinate is whole, else float64.

    `from_stroke3` gives the same drawing back: exactly for whole numbers, else up to rounding.

    Example:
        >>> as_stroke3(Sketch.from_strokes([[(1, 1), (3, 1)], [(3, 4), (1, 4)]])).tolist()
        [[1, 1, 0], [2, 0, 1], [0, 3, 0], [-2, 0, 1]]
    """
    points = sketch.points
    rows = np.zeros((len(points), 3))
    rows[:, :2] = np.diff(points, axis=0, prepend=0.0)
    rows[np.cumsum([len(stroke) for stroke in sketch.strokes]) - 1, 2] = 1
    return rows.astype(np.int64) if (points == np.rint(points)).all() else rows


def from_stroke5(array: ArrayLike, **fields: Any) -> Sketch:
    """Make a drawing of stroke-5 rows.

    Convention:
        Rows (dx, dy, p1, p2, p3), one of the last three being 1: the pen stays down after this
        point (p1), is lifted after it (p2), or the drawing has ended before it (p3; nothing is
        read from there on). No row is a start token: leave sketch-rnn's leading (0, 0, 1, 0, 0),
        which its decoder is fed, out with ``array[1:]``.

    Args:
        array: ``[rows, 5]``.
        fields: as in `from_stroke3`.

    Raises:
        DrawingError: as `from_stroke3`; a row whose pen states are not one 1 and two 0.
    """
    where = fields.get("name") or "the drawing"
    rows = rows_of(array, 5, where)
    states = rows[:, 2:]
    wrong = np.flatnonzero(~(np.isin(states, (0, 1)).all(1) & (states.sum(1) == 1)))
    if len(wrong):
        raise DrawingError(
            f"row {wrong[0]} of {where} has pen states {states[wrong[0]].tolist()}; "
            "expected one 1 and two 0"
        )
    ended = np.flatnonzero(states[:, 2])
    drawn = rows[: ended[0]] if len(ended) else rows
    return from_stroke3(drawn[:, [0, 1, 3]], **fields)


def as_stroke5(sketch: Sketch, length: int | None = None) -> Num[np.ndarray, "length 5"]:
    """View a drawing as stroke-5 rows, filled up to ``length`` with ends (0, 0, 0, 0, 1).

    Args:
        sketch: the drawing.
        length: rows wanted; by default one more than there are points, so that the end is said.

    Raises:
        DrawingError: more points than ``length``.

    Example:
        >>> as_stroke5(Sketch.from_strokes([[(1, 1), (3, 1)]])).tolist()
        [[1, 1, 1, 0, 0], [2, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    """
    rows = as_stroke3(sketch)
    length = len(rows) + 1 if length is None else length
    if len(rows) > length:
        raise DrawingError(
            f"{sketch.name or 'the drawing'} has {len(rows)} points, more than length {length}; "
            "simplify it or ask for more rows"
        )
    wide = np.zeros((length, 5), rows.dtype)
    wide[: len(rows), :2] = rows[:, :2]
    wide[: len(rows), 2] = 1 - rows[:, 2]
    wide[: len(rows), 3] = rows[:, 2]
    wide[len(rows) :, 4] = 1
    return wide


def iter_npz(
    path: str | os.PathLike[str],
    split: str | None = None,
    *,
    on_error: OnError = "raise",
    on_short: OnShort = "drop",
    skipped: Skipped | None = None,
) -> Iterator[Sketch]:
    """Drawings of a sketch-rnn .npz file, one at a time; nothing in the file is run.

    The files hold a pickle, which numpy would obey (``allow_pickle=True``). Here it is read by an
    unpickler that admits arrays of numbers and refuses the rest. Drawings are named by file,
    array and row ("cat.npz train row 3") and have no label.

    Args:
        path: the file.
        split: "train", "valid" or "test"; by default all that are there, in this order.
        on_error: stop at a bad row with its place, or leave it out and count it. Damage to the
            file itself always stops.
        on_short: what to do with strokes of one point.
        skipped: collects what ``on_error="skip"`` left out.

    Raises:
        DrawingError: a damaged file, one that carries code, one that unpacks to too much, a
            split that is not there, a bad row; the message names file, array and row.
    """
    path = Path(path)
    skipped = Skipped() if skipped is None else skipped
    for _, where, row in npz_rows(path, split):
        with skipped.unless_raised(on_error):
            yield _drawing(row, where, on_short)


def read_npz(
    path: str | os.PathLike[str], split: str | None = None, **options: Any
) -> list[Sketch]:
    """All drawings of a sketch-rnn .npz file, or of one split; options as in `iter_npz`."""
    return list(iter_npz(path, split, **options))


def write_npz(path: str | os.PathLike[str], splits: Mapping[str, Iterable[Sketch]]) -> None:
    """Write drawings in sketch-rnn's layout: object arrays train, valid and test of stroke-3 rows.

    Rows are int16 where they fit, as in sketch-rnn's own files, else as `as_stroke3` gives them.
    A split that is not given is written empty. Labels, names, times and parts have no place in
    this format. The file appears complete or not at all.

    Raises:
        DrawingError: a split of another name.
    """
    for name in splits:
        if name not in SPLITS:
            raise DrawingError(unknown_name("split", name, SPLITS))
    arrays = {name: _object_array(splits.get(name, ())) for name in SPLITS}
    with replace_file(path) as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def npz_rows(path: Path, split: str | None = None) -> Iterator[tuple[str, str, Any]]:
    """Whatever a sketch-rnn file holds, row by row: split, place ("cat.npz train row 3"), row.

    Raises:
        DrawingError: as `iter_npz`, but for bad rows.
    """
    with open_npz(path) as archive:
        there = [name for name in SPLITS if f"{name}.npy" in archive.namelist()]
        if not there or (split is not None and split not in there):
            known = ", ".join(archive.namelist()[:10]) or "nothing"
            raise DrawingError(
                f"{path.name} has no array {split or 'train, valid or test'}; it holds {known}"
            )
        for name in [split] if split else there:
            where = f"{path.name} {name}"
            rows = read_rows(archive, f"{name}.npy", where)
            yield from ((name, f"{where} row {index}", row) for index, row in enumerate(rows))


def _drawing(row: Any, where: str, on_short: OnShort) -> Sketch:
    if not isinstance(row, np.ndarray):
        raise DrawingError(f"{where} is a {type(row).__name__}; expected an array [rows, 3]")
    return from_stroke3(row, on_short=on_short, name=where)


def rows_of(array: ArrayLike, columns: int, where: str) -> Num[np.ndarray, "rows columns"]:
    """Anything as rows of numbers, or a `DrawingError` that says what it is."""
    try:
        rows = np.array(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DrawingError(f"{where} holds values that are no numbers") from None
    if rows.size == 0:
        raise DrawingError(f"{where} is empty: a drawing needs at least 1 stroke")
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise DrawingError(
            f"{where} has shape {list(rows.shape)}; "
            f"expected [rows, {columns}] in stroke-{columns} format"
        )
    return rows


def _object_array(sketches: Iterable[Sketch]) -> np.ndarray:
    rows = [_smallest(as_stroke3(sketch)) for sketch in sketches]
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row
    return array


def _smallest(rows: np.ndarray) -> np.ndarray:
    fits = rows.dtype == np.int64 and np.abs(rows).max() <= np.iinfo(np.int16).max
    return rows.astype(np.int16) if fits else rows
