"""The original SketchXAI's collection: one HDF5 data set a drawing, and categories.pkl.

A folder holds ``quickdraw_train.hdf5``, ``quickdraw_valid.hdf5`` and ``quickdraw_test.hdf5``, each
with ``/sketch/<category>/<number>``: rows (x, y, pen up), normalised, absolute. ``categories.pkl``
is a pickle with the names of the categories, then the list of all drawings, which for 345
categories would take gigabytes as Python objects. Neither is needed nor loaded: of the pickle its
instructions are listed, not run, up to the end of the names.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.columns import Columns, labelled
from sightline.sketch.formats.stroke3 import SPLITS, rows_of, strokes_of

CATEGORIES = "categories.pkl"
BLOCK = 1024
"""Drawings that are read at once."""

_MOST_STEPS = 100_000
_NOTES = re.compile(r"PROTO|FRAME|EMPTY_DICT|DICT|MEMOIZE|.*PUT")
_LISTS = ("EMPTY_LIST", "LIST")
_ENDS = ("SETITEM", "SETITEMS", "STOP")
_TEXT = re.compile(r".*UNICODE.*|.*STRING")


def is_collection(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return (folder / CATEGORIES).is_file() and any(_file(folder, s).is_file() for s in SPLITS)


def files_of(folder: Path) -> list[Path]:
    """The files of the collection that are there."""
    files = [folder / CATEGORIES, *(_file(folder, split) for split in SPLITS)]
    return [file for file in files if file.is_file()]


def read_categories(path: Path) -> tuple[str, ...]:
    """The names in ``categories.pkl``, in their order; no pickle is run.

    Raises:
        DrawingError: damaged, without the list of names, or with code before it.
    """
    try:
        with open(path, "rb") as stream:
            names = _names(stream)
    except (ValueError, EOFError, OverflowError) as error:
        raise DrawingError(f"{path} {str(error)[:200]}") from None
    if not names or len(set(names)) != len(names):
        raise DrawingError(f"{path} names no categories, or one of them twice")
    return tuple(names)


def _names(stream: IO[bytes]) -> list[str]:
    """The texts that the pickle would put into the list under "categories".

    Raises:
        ValueError: no such list, or anything but texts before its end.
    """
    names: list[str] | None = None
    texts: list[str] = []  # read, but in no list yet
    batch = False  # whether a mark is open, so that the texts will be put there together
    for step, (operation, value, _) in enumerate(pickletools.genops(stream)):
        kind = operation.name
        if kind in _LISTS and names is None and texts[-1:] == ["categories"]:
            names, texts, batch = [], [], False
        elif isinstance(value, str) and _TEXT.fullmatch(kind):
            texts.append(value)
        elif kind == "MARK":
            batch, texts = True, texts if names is None else []
        elif names is not None and kind in ("APPEND", "APPENDS"):
            names, texts, batch = names + texts, [], False
        elif _NOTES.fullmatch(kind) and step < _MOST_STEPS:
            continue
        elif names is not None and not batch and (texts or kind in _ENDS):
            return names  # on to the next key, or at the end
        else:
            raise ValueError(
                f"has {kind} where the list 'categories' was expected: it is not SketchXAI's, or "
                "carries code (not run here); do not load it elsewhere"
            )
    raise ValueError("has no list 'categories'; expected SketchXAI's categories.pkl")


def iter_h5_columns(
    folder: Path, split: str, category: int, label: str, start: int = 0
) -> Iterator[tuple[Columns, list[str], int]]:
    """Drawings of a category and split: columns, why others are bad, and the number behind them.

    Raises:
        DrawingError: no HDF5 file.
    """
    path = _file(folder, split)
    if not path.is_file():
        return
    with _open(path) as file:
        group = _inside(file, f"sketch/{category}")
        total = 0 if group is None else len(group)
        for first in range(start, total, BLOCK):
            until = min(first + BLOCK, total)
            kept, drawings, refused = [], [], []
            for number in range(first, until):
                where = f"{path.name} /sketch/{category}/{number}"
                try:
                    drawings.append(strokes_of(_rows(group, str(number), where), where))
                    kept.append(f"{split}/{category}/{number}")
                except DrawingError as error:
                    refused.append(str(error))
            yield labelled(kept, label, drawings), refused, until


def _file(folder: Path, split: str) -> Path:
    return folder / f"quickdraw_{split}.hdf5"


def _open(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise DrawingError(
            "reading HDF5 needs h5py; install it with: pip install 'sightline[data]'"
        ) from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DrawingError(f"{path} is truncated or no HDF5 file ({error})") from None


def _inside(group: Any, name: str) -> Any:
    """What stands under a name in this very file; links elsewhere lead nowhere."""
    import h5py

    try:
        for part in name.strip("/").split("/"):
            if not isinstance(group, h5py.Group) or part not in group:
                return None
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                return None
            group = group[part]
    except (OSError, RuntimeError, KeyError, ValueError):
        return None
    return group


def _rows(group: Any, name: str, where: str) -> np.ndarray:
    """The rows of one drawing."""
    import h5py

    data = _inside(group, name)
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise DrawingError(f"{where} is not there, or no data set of this file")
    if data.ndim != 2 or data.shape[1] != 3 or data.size > 3_000_000:
        raise DrawingError(f"{where} has shape {list(data.shape)}; expected [points, 3]")
    try:
        return rows_of(data[()], 3, where)
    except (OSError, RuntimeError) as error:
        raise DrawingError(f"{where} is damaged ({str(error)[:80]})") from None
