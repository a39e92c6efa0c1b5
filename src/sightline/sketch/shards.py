"""One file of a collection on disk: an Arrow table of drawings, read without copying it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Num, Real

from sightline.errors import DrawingError
from sightline.sketch.columns import Columns, running
from sightline.sketch.sketch import Sketch

MOST_LABELS = np.iinfo(np.int16).max
"""Labels are kept as int16."""


def arrow() -> Any:
    """pyarrow, or the error that says how to get it."""
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise DrawingError(
            "collections on disk need pyarrow; install it with: pip install 'sightline[data]'"
        ) from None
    return pyarrow


def shard_bytes(columns: Columns, label: Int[np.ndarray, " drawings"]) -> memoryview:
    """Drawings as an Arrow file of one batch: key, label, strokes (their lengths), points."""
    pa = arrow()
    points = narrow(columns.points)
    per_drawing = running(columns.points_per_drawing).astype(np.int32)
    beside = np.empty(points.shape[::-1], points.dtype)
    beside[:, 0], beside[:, 1] = points  # in a tenth of the time of points.T.ravel()
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(beside.ravel()), 2)
    lengths = pa.array(columns.lengths.astype(np.int32))
    strokes = pa.ListArray.from_arrays(running(columns.strokes).astype(np.int32), lengths)
    batch = pa.record_batch(
        {
            "key": pa.array(columns.keys, pa.string()),
            "label": pa.array(label.astype(np.int16)),
            "strokes": strokes,
            "points": pa.ListArray.from_arrays(per_drawing, pairs),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def narrow(points: Num[np.ndarray, "2 points"]) -> Real[np.ndarray, "2 points"]:
    """The same numbers in the narrowest of uint8, int16 and float32.

    float32 keeps 24 bits: 0.00003 of a canvas of 500, and every whole number within the limit of
    coordinates.

    Example:
        >>> [narrow(np.array([[x], [1.0]])).dtype.name for x in (255, -1, 0.5, 40_000)]
        ['uint8', 'int16', 'float32', 'float32']
    """
    whole = points.dtype.kind in "iu" or bool((points == np.rint(points)).all())
    lo, hi = (points.min(), points.max()) if points.size else (0, 0)
    for kind in (np.uint8, np.int16) if whole else ():
        limits = np.iinfo(kind)
        if limits.min <= lo and hi <= limits.max:
            return points.astype(kind)
    return points.astype(np.float32)


class Shard:
    """An Arrow file of drawings in memory that the system pages in and out.

    Args:
        path: the file.
        drawings: how many it must hold.

    Raises:
        DrawingError: not such a file; the reason without the file's name.
    """

    def __init__(self, path: Path, drawings: int) -> None:
        pa = arrow()
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
                batch = reader.get_batch(0)  # lives on when the file is closed
            key, label, strokes, points = (
                batch.column(name) for name in ("key", "label", "strokes", "points")
            )
            self._key = key
            self.label: Int[np.ndarray, " drawings"] = label.to_numpy()
            self.stroke_ends: Int[np.ndarray, " drawings_plus_1"] = strokes.offsets.to_numpy()
            self.lengths: Int[np.ndarray, " strokes"] = strokes.values.to_numpy()
            self.point_ends: Int[np.ndarray, " drawings_plus_1"] = points.offsets.to_numpy()
            # Not flatten(), which loads pyarrow.compute: a fifth of a second.
            self.points: Real[np.ndarray, "points 2"] = points.values.values.to_numpy().reshape(
                -1, 2
            )
        except (pa.ArrowException, OSError, KeyError, AttributeError, ValueError) as error:
            raise DrawingError(f"no Arrow file of drawings ({str(error)[:80]})") from None
        ends = self.stroke_ends[-1], self.point_ends[-1]
        if len(label) != drawings or ends != (len(self.lengths), len(self.points)):
            raise DrawingError(f"{len(label)} drawings of the {drawings} that were written")
        self._strokes = memoryview(self.stroke_ends)  # a number of a view is had in half the time
        self._points = memoryview(self.point_ends)

    def __len__(self) -> int:
        """Number of drawings."""
        return len(self.label)

    def drawing(self, row: int) -> tuple[Real[np.ndarray, "points 2"], Int[np.ndarray, " strokes"]]:
        """Points and lengths of the strokes of a drawing, as they lie in the file."""
        first, last = self._points[row], self._points[row + 1]
        start, end = self._strokes[row], self._strokes[row + 1]
        return self.points[first:last], self.lengths[start:end]

    def key(self, row: int) -> str:
        """The name of a drawing."""
        return self._key[row].as_py()

    def sketch(self, row: int, label: str) -> Sketch:
        """A drawing by itself."""
        points, lengths = self.drawing(row)
        strokes = np.split(points.astype(np.float64), np.cumsum(lengths)[:-1])
        return Sketch(tuple(strokes), label=label, name=self.key(row))


def crc32(data: memoryview | bytes | Path) -> int:
    """The checksum of some bytes, or of a file, read a piece at a time."""
    import zlib

    if not isinstance(data, Path):
        return zlib.crc32(data)
    sum_ = 0
    with open(data, "rb", buffering=0) as stream:
        while piece := stream.read(io.DEFAULT_BUFFER_SIZE * 64):
            sum_ = zlib.crc32(piece, sum_)
    return sum_
