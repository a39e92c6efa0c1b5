"""What drawings are imported from: files of every bulk format, read piece by piece."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sightline.errors import DrawingError
from sightline.sketch.blocks import blocks_of
from sightline.sketch.collection import named_splits
from sightline.sketch.columns import Columns, labelled
from sightline.sketch.formats import sketchxai_h5
from sightline.sketch.formats.quickdraw_bin import iter_bin_columns
from sightline.sketch.formats.stroke3 import SPLITS, npz_rows, rows_of, strokes_of
from sightline.sketch.readers import Readers

ROWS = 4096
"""Drawings of a sketch-rnn file that are read at once."""

START: tuple[int, ...] = (0, 0)
END: tuple[int, ...] = (-1,)

_AFFIX = re.compile(r"^sketchrnn[_/]|\.full$")


@dataclass(frozen=True, eq=False)
class Piece:
    """Some drawings of a source, and where the next ones start.

    Args:
        columns: the drawings.
        position: what to give to `Source.pieces` to go on behind them.
        share: how much of the source has been read, of 1.
        refused: what could not be read, a message each.
        split: the split that the source puts them in, if it has any.
    """

    columns: Columns
    position: tuple[int, ...]
    share: float
    refused: Sequence[str] = ()
    split: str | None = None


@dataclass(frozen=True)
class Source:
    """A file of drawings, or a folder in the original's HDF5 layout.

    Args:
        path: as it was given or found.
        splits: the place in `SPLITS` of each key, from a ``splits.json`` beside the file.
    """

    path: Path
    splits: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def files(self) -> list[Path]:
        """The files that are read."""
        return sketchxai_h5.files_of(self.path) if self.path.is_dir() else [self.path]

    def pieces(
        self, position: tuple[int, ...] = START, *, readers: Readers, raise_bad: bool = False
    ) -> Iterator[Piece]:
        """The drawings from a position on.

        A file that is damaged gives what could be read of it, then one refusal.

        Raises:
            DrawingError: something is bad and ``raise_bad`` is set; the message names the place.
        """
        if position == END:
            return
        reader = _iter_h5 if self.path.is_dir() else _READERS[_suffix(self.path)]
        try:
            yield from reader(self.path, position, raise_bad, readers)
        except DrawingError as error:
            if raise_bad:
                raise
            yield Piece(labelled([], "", []), END, 1.0, [str(error)])


def find_sources(paths: Iterable[str | os.PathLike[str]]) -> list[Source]:
    """The sources that files and folders are; a folder's files in name order.

    Raises:
        DrawingError: no such path, a file of another format, a folder without drawings.
    """
    found = [source for path in paths for source in _found(Path(path))]
    if not found:
        raise DrawingError("nothing to import: give files or folders of drawings")
    if len({source.path.resolve() for source in found}) < len(found):
        raise DrawingError("a source was given twice; each would be imported twice")
    return found


def _found(path: Path) -> list[Source]:
    known = ", ".join(_READERS)
    if not path.exists():
        raise DrawingError(f"{path} does not exist; give a file ({known}) or a folder of them")
    if path.is_dir() and sketchxai_h5.is_collection(path):
        return [Source(path)]
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    files = [file for file in files if path.is_file() or _suffix(file)]
    if not files:
        raise DrawingError(f"{path} holds no file to import ({known})")
    if not _suffix(files[0]):
        raise DrawingError(f"{path} cannot be imported; known are {known}, and SketchXAI's HDF5")
    named = named_splits(files[0].parent / "splits.json")
    splits = {name: SPLITS.index(split) for name, split in named.items()}
    return [Source(file, splits) for file in files]


def _suffix(path: Path) -> str:
    return next((suffix for suffix in _READERS if path.name.lower().endswith(suffix)), "")


def _iter_ndjson(
    path: Path, position: tuple[int, ...], raise_bad: bool, readers: Readers
) -> Iterator[Piece]:
    for block, read in readers.map(blocks_of(path, *position)):
        behind = block.end, block.behind
        yield Piece(read.columns, behind, block.share, read.refused)


def _iter_bin(
    path: Path, position: tuple[int, ...], raise_bad: bool, readers: Readers
) -> Iterator[Piece]:
    size = max(path.stat().st_size, 1)
    for columns, byte in iter_bin_columns(path, position[0]):
        yield Piece(columns, (byte, 0), byte / size)


def _iter_npz(
    path: Path, position: tuple[int, ...], raise_bad: bool, readers: Readers
) -> Iterator[Piece]:
    label = _AFFIX.sub("", unquote(path.stem))
    done = position[0]
    rows = islice(npz_rows(path), done, None)
    for split, of_split in groupby(rows, key=lambda row: row[0]):
        while some := list(islice(of_split, ROWS)):
            done += len(some)
            columns, refused = _of_rows([row[1:] for row in some], label, raise_bad)
            yield Piece(columns, (done, 0), SPLITS.index(split) / len(SPLITS), refused, split)


def _of_rows(
    rows: Sequence[tuple[str, Any]], label: str, raise_bad: bool
) -> tuple[Columns, list[str]]:
    keys, drawings, refused = [], [], []
    for where, row in rows:
        try:
            drawings.append(strokes_of(rows_of(row, 3, where), where, absolute=False))
            keys.append(where)
        except DrawingError as error:
            if raise_bad:
                raise
            refused.append(str(error))
    return labelled(keys, label, drawings), refused


def _iter_h5(
    path: Path, position: tuple[int, ...], raise_bad: bool, readers: Readers
) -> Iterator[Piece]:
    labels = sketchxai_h5.read_categories(path / sketchxai_h5.CATEGORIES)
    groups = [(s, c) for s in SPLITS for c in range(len(labels))]
    done, start = position
    for place, (split, category) in enumerate(groups[done:], done):
        first = start if place == done else 0
        blocks = sketchxai_h5.iter_h5_columns(path, split, category, labels[category], first)
        for columns, refused, behind in blocks:
            if refused and raise_bad:
                raise DrawingError(refused[0])
            yield Piece(columns, (place, behind), place / len(groups), refused, split)


_READERS: dict[str, Callable[[Path, tuple[int, ...], bool, Readers], Iterator[Piece]]] = {
    ".ndjson": _iter_ndjson,
    ".ndjson.gz": _iter_ndjson,
    ".bin": _iter_bin,
    ".npz": _iter_npz,
}
