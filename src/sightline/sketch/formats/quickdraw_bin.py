"""QuickDraw's official binary files: simplified drawings, one record after another.

A record is little endian: key id (8 bytes), country (2), recognised (1), seconds since 1970 (4),
number of strokes (2); then for each stroke its number of points (2), x and y (1 a point each).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.columns import Columns, ranges
from sightline.sketch.formats.quickdraw import OnError, Skipped, refuse_crowd
from sightline.sketch.sketch import OnShort, Sketch

BLOCK = 2**20
"""Bytes that are read at once."""

_HEAD = struct.Struct("<Q2sbIH")
_COUNT = struct.Struct("<H")
_PREFIX = re.compile(r"(full[_/])?binary[_/]")


def iter_bin(
    path: str | os.PathLike[str],
    *,
    on_error: OnError = "raise",
    on_short: OnShort = "drop",
    skipped: Skipped | None = None,
) -> Iterator[Sketch]:
    """Drawings of an official ``.bin`` file, one at a time, labelled by the file's name.

    Args:
        path: the file, "full_binary_cat.bin" or "cat.bin".
        on_error: stop at a drawing that is none, or leave it out and count it. A file that ends
            inside a drawing stops, or is counted, too: nothing can be read from there on.
        on_short: what to do with strokes of one point.
        skipped: collects what ``on_error="skip"`` left out.

    Raises:
        DrawingError: a truncated file, with the byte at which the broken record starts; a
            drawing without strokes.
    """
    path = Path(path)
    skipped = Skipped() if skipped is None else skipped
    with skipped.unless_raised(on_error):
        for columns, _ in iter_bin_columns(path):
            ends = np.cumsum(columns.lengths)[:-1]
            strokes = np.split(columns.points.T, ends)
            done = 0
            for key, count in zip(columns.keys, columns.strokes.tolist(), strict=True):
                with skipped.unless_raised(on_error):
                    where = f"{path.name} drawing {key}"
                    refuse_crowd(count, where)
                    yield Sketch.from_strokes(
                        strokes[done : done + count],
                        on_short=on_short,
                        label=columns.words[0],
                        name=key,
                    )
                done += count


def iter_bin_columns(path: Path, start: int = 0) -> Iterator[tuple[Columns, int]]:
    """Drawings block by block, each with the byte behind it.

    Args:
        path: the file.
        start: the byte of the record to begin with.

    Raises:
        DrawingError: the file ends inside a record.
    """
    label = label_of(path)
    left = b""
    with open(path, "rb") as stream:
        stream.seek(start)
        while block := stream.read(BLOCK):
            data = left + block
            columns, used = _columns(data, label)
            left, start = data[used:], start + used
            if len(columns):
                yield columns, start
    if left:
        raise DrawingError(
            f"{path.name} ends inside the drawing that starts at byte {start}: truncated or no "
            "QuickDraw .bin file; fetch it again"
        )


def label_of(path: Path) -> str:
    """The label that a file's name tells.

    Example:
        >>> label_of(Path("full_binary_alarm%20clock.bin"))
        'alarm clock'
    """
    return _PREFIX.sub("", unquote(path.stem))


def _columns(data: bytes, label: str) -> tuple[Columns, int]:
    """The whole records of some bytes, and how many bytes they are."""
    keys, recognised, counts, lengths, starts = [], [], [], [], []
    used, size = 0, len(data)
    while used + _HEAD.size <= size:
        key, _, known, _, strokes = _HEAD.unpack_from(data, used)
        at = used + _HEAD.size
        sizes, places = [], []
        for _ in range(strokes):
            if at + 2 > size:
                at = size + 1
                break
            (points,) = _COUNT.unpack_from(data, at)
            sizes.append(points)
            places.append(at + 2)
            at += 2 + 2 * points
        if at > size:
            break
        keys.append(str(key))
        recognised.append(known != 0)
        counts.append(strokes)
        lengths += sizes
        starts += places
        used = at
    size_of, first = np.array(lengths, np.int64), np.array(starts, np.int64)
    numbers = np.frombuffer(data, np.uint8)
    x, y = ranges(first, size_of), ranges(first + size_of, size_of)
    columns = Columns(
        keys=keys,
        words=[label],
        word=np.zeros(len(keys), np.int64),
        recognised=np.array(recognised, bool),
        raw=np.zeros(len(keys), bool),
        strokes=np.array(counts, np.int64),
        lengths=size_of,
        points=np.stack([numbers[x], numbers[y]]),
    )
    return columns, used
