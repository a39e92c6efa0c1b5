"""One door for drawings in files: the format is told by the file's name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sightline.errors import DrawingError
from sightline.sketch.formats.quickdraw import OnError, Skipped, iter_ndjson, write_ndjson
from sightline.sketch.formats.quickdraw_bin import iter_bin
from sightline.sketch.formats.stroke3 import iter_npz, write_npz
from sightline.sketch.formats.svg import read_svg, write_svg
from sightline.sketch.sketch import Sketch


def read_sketch(path: str | os.PathLike[str], *, index: int = 0, **options: Any) -> Sketch:
    """Read one drawing from an .svg, .ndjson, .ndjson.gz, .npz or QuickDraw's .bin file.

    Args:
        path: the file; its suffix tells the format.
        index: which of the file's drawings, counted from 0 (train before valid before test
            in an .npz file); an .svg file holds one.
        options: handed to `read_svg` (``tolerance`` and more), `iter_ndjson` or `iter_npz`
            (``split`` and more).

    Raises:
        DrawingError: no such file, an unknown suffix, an index beyond the file's drawings, a
            broken drawing.

    Example:
        >>> import tempfile
        >>> house = Sketch.from_strokes([[(0, 4), (0, 8), (6, 8)], [(0, 4), (3, 0), (6, 4)]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_sketch(f"{folder}/house.svg", house)
        ...     read_sketch(f"{folder}/house.svg")
        Sketch(2 strokes, 6 points, 6 x 8)
    """
    path = Path(path)
    if index < 0:
        raise DrawingError(f"index counts drawings from 0; got {index}")
    if path.is_dir():
        raise DrawingError(f"{path} is a folder; read_collection reads all drawings in it")
    count = 0
    for count, sketch in enumerate(iter_file(path, **options), 1):
        if count > index:
            return sketch
    raise DrawingError(f"{path.name} has no drawing {index}: it holds {count}, counted from 0")


def write_sketch(path: str | os.PathLike[str], sketch: Sketch) -> None:
    """Write one drawing; the suffix of ``path`` tells the format, as in `read_sketch`.

    Only .ndjson keeps label, times and parts. An .npz file gets the drawing as its train split.

    Raises:
        DrawingError: an unknown suffix, or .bin, which is only read.
    """
    suffix = suffix_of(path)
    if suffix == ".bin":
        raise DrawingError(f"{Path(path).name}: .bin files are only read; write .ndjson")
    if suffix == ".svg":
        write_svg(path, sketch)
    elif suffix == ".npz":
        write_npz(path, {"train": [sketch]})
    else:
        write_ndjson(path, [sketch])


def iter_file(path: str | os.PathLike[str], **options: Any) -> Iterator[Sketch]:
    """Drawings of a file of any known format, one at a time.

    Raises:
        DrawingError: no such file, an unknown suffix.
    """
    path = Path(path)
    if not path.exists():
        raise DrawingError(f"{path} does not exist; check the path (here is {Path.cwd()})")
    return READERS[suffix_of(path)](path, **options)


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The known suffix that a file's name ends in.

    Raises:
        DrawingError: none of them; the message lists them.

    Example:
        >>> suffix_of("cats/simplified.ndjson.gz")
        '.ndjson.gz'
    """
    name = Path(path).name
    for suffix in READERS:
        if name.lower().endswith(suffix):
            return suffix
    raise DrawingError(f"{name} has no suffix of a known format; known: {', '.join(READERS)}")


def _iter_svg(
    path: Path,
    *,
    on_error: OnError = "raise",
    skipped: Skipped | None = None,
    **options: Any,
) -> Iterator[Sketch]:
    skipped = Skipped() if skipped is None else skipped
    with skipped.unless_raised(on_error):
        yield read_svg(path, **options)


READERS: dict[str, Callable[..., Iterator[Sketch]]] = {
    ".svg": _iter_svg,
    ".ndjson": iter_ndjson,
    ".ndjson.gz": iter_ndjson,
    ".npz": iter_npz,
    ".bin": iter_bin,
}
"""Suffix to reader; every reader takes ``on_error`` and ``skipped``."""
