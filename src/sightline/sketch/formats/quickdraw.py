"""QuickDraw's ndjson: one drawing a line, simplified ([xs, ys]) or raw ([xs, ys, times])."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import OnShort, Sketch

OnError = Literal["raise", "skip"]

LONGEST_LINE = 64 * 2**20
"""Bytes of one line; a longer one is a broken file."""

MOST_STROKES = 2_000
"""Strokes of one drawing; QuickDraw's drawings have a few dozen at most."""


class Skipped:
    """What a reader left out under ``on_error="skip"``: a count and the first reasons.

    Example:
        >>> skipped = Skipped()
        >>> skipped.add("b.ndjson line 3 is not JSON")
        >>> str(skipped)
        '1 skipped (b.ndjson line 3 is not JSON)'
    """

    def __init__(self, *, reasons: int = 5) -> None:
        self.count = 0
        self.reasons: list[str] = []
        self._most = reasons

    def add(self, reason: str) -> None:
        """Count one more and keep its reason if there is room."""
        self.count += 1
        if len(self.reasons) < self._most:
            self.reasons.append(reason)

    @contextmanager
    def unless_raised(self, on_error: OnError) -> Iterator[None]:
        """Count a `DrawingError` of what is read inside, or let it pass under ``"raise"``."""
        try:
            yield
        except DrawingError as error:
            if on_error == "raise":
                raise
            self.add(str(error))

    def __str__(self) -> str:
        if not self.count:
            return "0 skipped"
        unsaid = self.count - len(self.reasons)
        more = f", and {unsaid} more" if unsaid else ""
        return f"{self.count} skipped ({'; '.join(self.reasons)}{more})"


def refuse_crowd(count: int, where: str, most: int = MOST_STROKES) -> None:
    """Refuse a drawing of more strokes than a reader takes.

    Example:
        >>> refuse_crowd(5000, "x")
        Traceback (most recent call last):
        sightline.errors.DrawingError: x has 5000 strokes, more than 2000; split or simplify it
    """
    if count > most:
        raise DrawingError(f"{where} has {count} strokes, more than {most}; split or simplify it")


def iter_ndjson(
    path: str | os.PathLike[str],
    *,
    on_error: OnError = "raise",
    on_short: OnShort = "drop",
    skipped: Skipped | None = None,
) -> Iterator[Sketch]:
    """Drawings of a QuickDraw file, one at a time; plain or gzip by its content.

    Simplified lines hold ``[[xs, ys], ...]``, raw ones ``[[xs, ys, milliseconds], ...]``. ``word``
    becomes the label, ``key_id`` the name, ``part`` (where there is one name a stroke) the parts.

    Args:
        path: the file.
        on_error: stop at a bad line with its place, or leave it out and count it.
        on_short: what to do with strokes of fewer than two points; QuickDraw has dots, which
            are no strokes to explain, so they are dropped unless asked otherwise.
        skipped: collects what ``on_error="skip"`` left out.

    Raises:
        DrawingError: a line that is not JSON or no drawing, a truncated gzip file; the message
            names file and line.
    """
    path = Path(path)
    skipped = Skipped() if skipped is None else skipped
    for number, line in _lines(path):
        if not line.strip():
            continue
        where = f"{path.name} line {number}"
        with skipped.unless_raised(on_error):
            yield _drawing(line, where, on_short)


def read_ndjson(path: str | os.PathLike[str], **options: Any) -> list[Sketch]:
    """All drawings of a QuickDraw file; options as in `iter_ndjson`."""
    return list(iter_ndjson(path, **options))


def write_ndjson(path: str | os.PathLike[str], sketches: Iterable[Sketch]) -> int:
    """Write drawings as QuickDraw does, gzip where the name ends in ``.gz``; return how many.

    Whole numbers are written as such, times as a third list. The file appears complete or not
    at all.
    """
    count = 0
    with replace_file(path) as raw:
        stream: IO[bytes] = raw
        if str(path).endswith(".gz"):
            stream = gzip.GzipFile(fileobj=raw, mode="wb", mtime=0)  # type: ignore[assignment]
        for sketch in sketches:
            stream.write(json.dumps(_record(sketch), separators=(",", ":")).encode() + b"\n")
            count += 1
        if stream is not raw:
            stream.close()
    return count


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with open(path, "rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        opener: Any = gzip.open if zipped else open
        with opener(path, "rb") as stream:
            while line := stream.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise DrawingError(
                        f"{path.name} line {number} is longer than {LONGEST_LINE} bytes: "
                        "expected one drawing a line (ndjson), not one JSON list"
                    )
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DrawingError(
            f"{path.name} is truncated or damaged after line {number} ({error}); fetch it again"
        ) from None


def parse_line(line: bytes, where: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    """A line's record, and its strokes as arrays ``[2 or 3, points]``: x, y and perhaps times.

    Raises:
        DrawingError: not JSON, or not a drawing; one without strokes passes.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        end = "" if line.endswith(b"\n") else "; the file may be truncated"
        raise DrawingError(f"{where} is not JSON: {line[:40]!r}...{end}") from None
    strokes = record.get("drawing") if isinstance(record, dict) else None
    if not isinstance(strokes, list):
        raise DrawingError(f"{where} has no list 'drawing'; expected a QuickDraw record")
    refuse_crowd(len(strokes), where)
    return record, [_columns(stroke, index, where) for index, stroke in enumerate(strokes)]


def _drawing(line: bytes, where: str, on_short: OnShort) -> Sketch:
    record, columns = parse_line(line, where)
    if not columns:
        raise DrawingError(f"{where} is empty: a drawing needs at least 1 stroke")
    timed = all(len(c) == 3 for c in columns)
    parts = record.get("part")
    sketch = Sketch.from_strokes(
        [c[:2].T for c in columns],
        on_short=on_short,
        times=tuple(c[2] for c in columns) if timed else None,
        parts=tuple(map(str, parts)) if isinstance(parts, list) else None,
        label=_text(record.get("word")),
        name=where,
    )
    return replace(sketch, name=_text(record.get("key_id")) or where)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _columns(stroke: Any, index: int, where: str) -> np.ndarray:
    if not isinstance(stroke, list) or len(stroke) not in (2, 3):
        raise DrawingError(
            f"stroke {index} of {where} is not [xs, ys] or [xs, ys, times] but {str(stroke)[:40]}"
        )
    lengths = [len(c) if isinstance(c, list) else -1 for c in stroke]
    if len(set(lengths)) != 1 or lengths[0] < 0:
        raise DrawingError(
            f"stroke {index} of {where} has lists of unequal length {lengths}: "
            "x, y (and times) need one number a point"
        )
    try:
        return np.array(stroke, dtype=np.float64)
    except OverflowError:
        raise DrawingError(
            f"stroke {index} of {where} holds a number too large for a coordinate; mend the file"
        ) from None
    except (TypeError, ValueError):
        raise DrawingError(f"stroke {index} of {where} holds values that are no numbers") from None


def _record(sketch: Sketch) -> dict[str, Any]:
    record: dict[str, Any] = {}
    if sketch.label is not None:
        record["word"] = sketch.label
    if sketch.name is not None:
        record["key_id"] = sketch.name
    columns = [[_plain(c) for c in stroke.T] for stroke in sketch.strokes]
    if sketch.times is not None:
        columns = [[*c, _plain(t)] for c, t in zip(columns, sketch.times, strict=True)]
    record["drawing"] = columns
    if sketch.parts is not None:
        record["part"] = list(sketch.parts)
    return record


def _plain(values: np.ndarray) -> list[float] | list[int]:
    whole = np.isfinite(values).all() and (values == np.rint(values)).all()
    return values.astype(np.int64).tolist() if whole else values.tolist()
