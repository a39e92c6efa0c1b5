"""Files of lines, cut into blocks of whole lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.formats.quickdraw import LONGEST_LINE

BLOCK = 2**20
"""Bytes that are read at once: enough to forget the cost of a call, and still cached."""


@dataclass(frozen=True)
class Block:
    """Whole lines of a file.

    Args:
        path: the file.
        start: the place of the first byte in what the file holds, unzipped.
        end: behind the last byte.
        line: lines of the file before these.
        behind: lines of the file up to the end of these.
        share: how much of the file has been read with it, of 1.
        text: the lines; None where they can be read from the file as it is.
    """

    path: Path
    start: int
    end: int
    line: int
    behind: int
    share: float
    text: bytes | None = None

    def read(self) -> bytes:
        """The lines."""
        if self.text is not None:
            return self.text
        with open(self.path, "rb", buffering=0) as stream:
            stream.seek(self.start)
            text = stream.read(self.end - self.start)
        if len(text) < self.end - self.start:
            raise DrawingError(f"{self.path.name} became shorter while it was read")
        return text


def blocks_of(path: Path, start: int, line: int) -> Iterator[Block]:
    """The blocks of a file, plain or gzip by its content, from a line on.

    The same from whatever place on: a block's end depends on the bytes from its start alone.

    Args:
        path: the file.
        start: the place of the line's first byte.
        line: lines before it.

    Raises:
        DrawingError: a line that is too long, or a zipped file that is damaged, when all that
            is before it is given.
    """
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield from (_zipped if zipped else _plain)(path, raw, start, line)


def _plain(path: Path, raw: IO[bytes], start: int, line: int) -> Iterator[Block]:
    size = max(path.stat().st_size, 1)
    room = bytearray(BLOCK)  # the same for all blocks: only their ends are wanted
    seen = np.frombuffer(room, np.uint8)
    raw.seek(start)
    while count := raw.readinto(room):  # type: ignore[attr-defined]
        length = room.rfind(b"\n", 0, count) + 1 if count == BLOCK else count
        behind = line + int(np.count_nonzero(seen[:length] == ord("\n")))
        if not length:
            raw.seek(start)
            length = _long_line(path, raw, line)
            behind = line + 1
        yield Block(path, start, start + length, line, behind, (start + length) / size)
        start, line = start + length, behind
        raw.seek(start)


def _long_line(path: Path, raw: IO[bytes], line: int) -> int:
    """The length of a line that is longer than a block."""
    length = len(raw.readline(LONGEST_LINE + 1))
    if length > LONGEST_LINE:
        raise _too_long(path, line)
    return length


def _zipped(path: Path, raw: IO[bytes], start: int, line: int) -> Iterator[Block]:
    size = max(path.stat().st_size, 1)
    text = b""

    def block(end: int) -> Block:
        lines = line + text.count(b"\n", 0, end)
        return Block(path, start, start + end, line, lines, raw.tell() / size, text[:end])

    stream = gzip.GzipFile(fileobj=raw)
    try:
        stream.seek(start)
        while data := stream.read1(BLOCK):
            text += data
            while len(text) >= BLOCK and (end := _cut(text)):
                made = block(end)
                text, start, line = text[end:], made.end, made.behind
                yield made
            if len(text) > LONGEST_LINE:
                raise _too_long(path, line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        made = block(text.rfind(b"\n") + 1)
        if made.text:
            yield made
        raise DrawingError(
            f"{path.name} is truncated or damaged after line {made.behind} ({error}); "
            "fetch it again"
        ) from None
    if text:
        yield block(len(text))


def _cut(text: bytes) -> int:
    """Behind the last line that ends within a block, else behind the first one; 0: no line ends."""
    return (text.rfind(b"\n", 0, BLOCK) + 1) or (text.find(b"\n", BLOCK) + 1)


def _too_long(path: Path, line: int) -> DrawingError:
    return DrawingError(
        f"{path.name} line {line + 1} is longer than {LONGEST_LINE} bytes: "
        "expected one drawing a line (ndjson), not one JSON list"
    )
