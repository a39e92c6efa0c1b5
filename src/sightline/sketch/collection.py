"""Collections of drawings on disk: files or folders in, labelled splits out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from sightline.errors import DrawingError
from sightline.sketch.formats.quickdraw import OnError, Skipped
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.sketch.read import READERS, iter_file
from sightline.sketch.sketch import Sketch


def read_collection(
    path: str | os.PathLike[str],
    *,
    on_error: OnError = "raise",
    skipped: Skipped | None = None,
) -> list[Sketch]:
    """All drawings of a file, or of every file of a folder in name order.

    Read are .svg, .ndjson, .ndjson.gz and .npz files; others in a folder are passed over, and so
    are folders within it.

    A ``parts.json`` beside the files ({category: [name, ...]}) names the parts that drawings give
    by number.

    Args:
        path: file or folder.
        on_error: stop at a bad drawing with its place, or leave it out and count it.
        skipped: collects what ``on_error="skip"`` left out.

    Raises:
        DrawingError: no such path, a folder without drawings, a bad drawing.
    """
    path = Path(path)
    known = ", ".join(READERS)
    if not path.exists():
        raise DrawingError(f"{path} does not exist; give a file ({known}) or a folder of them")
    files = sorted(p for p in path.iterdir() if _is_drawing(p)) if path.is_dir() else [path]
    if not files:
        raise DrawingError(f"{path} holds no file of drawings ({known})")
    options = {"on_error": on_error, "skipped": skipped}
    names = _part_names(files[0].parent / "parts.json")
    return [
        _with_named_parts(sketch, names) for file in files for sketch in iter_file(file, **options)
    ]


def split_collection(
    sketches: Sequence[Sketch], path: str | os.PathLike[str] | None = None, *, seed: int = 0
) -> dict[str, list[Sketch]]:
    """Split into train, valid and test.

    A folder with a ``splits.json`` ({category: {split: [names]}}) is split as it says; otherwise
    80, 10 and 10 % by a hash of name and seed, so that a drawing keeps its place when others
    come or go.
    """
    named = named_splits(Path(path) / "splits.json") if path is not None else {}
    chosen: dict[str, list[Sketch]] = {split: [] for split in SPLITS}
    for index, sketch in enumerate(sketches):
        name = sketch.name or str(index)
        split = named.get(name) if named else _hashed_split(name, seed)
        if split is not None:
            chosen[split].append(sketch)
    return chosen


def labels_of(sketches: Iterable[Sketch]) -> tuple[str, ...]:
    """The labels of a collection, sorted.

    Raises:
        DrawingError: a drawing without a label.
    """
    labels = set()
    for sketch in sketches:
        if sketch.label is None:
            raise DrawingError(f"{sketch.name or 'a drawing'} has no label ('word'): cannot learn")
        labels.add(sketch.label)
    return tuple(sorted(labels))


def hashed_splits(names: Sequence[str], seed: int) -> Int[np.ndarray, " names"]:
    """The place in `SPLITS` of each name: 80, 10 and 10 %, by its hash alone.

    Example:
        >>> hashed_splits(["apple", "bus", "cat", "duck"], seed=1).tolist()
        [1, 0, 0, 0]
    """
    digests = [hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4] for name in names]
    share = np.frombuffer(b"".join(digests), ">u4") / 2**32
    return np.searchsorted((0.8, 0.9), share, side="right")


def _is_drawing(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(tuple(READERS))


def named_splits(path: Path) -> dict[str, str]:
    """The split of each name that a ``splits.json`` tells; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        table: Mapping[str, Mapping[str, list[str]]] = json.loads(path.read_text())
        return {
            str(name): split
            for splits in table.values()
            for split, names in splits.items()
            for name in names
            if split in SPLITS
        }
    except (ValueError, AttributeError, TypeError):
        raise DrawingError(
            f"{path} is not a table of splits: expected {{category: {{split: [names]}}}}"
        ) from None


def _part_names(path: Path) -> dict[str, list[str]]:
    if not path.is_file():
        return {}
    try:
        table: Mapping[str, Sequence[str]] = json.loads(path.read_text())
        return {str(label): [str(name) for name in names] for label, names in table.items()}
    except (ValueError, AttributeError, TypeError):
        raise DrawingError(
            f"{path} is not a table of parts: expected {{category: [name, ...]}}"
        ) from None


def _with_named_parts(sketch: Sketch, names: Mapping[str, Sequence[str]]) -> Sketch:
    """Numbers of parts as their names; one without a name in the table stays a number."""
    own = names.get(str(sketch.label), ())
    if sketch.parts is None or not own:
        return sketch
    known = {str(number): name for number, name in enumerate(own)}
    return replace(sketch, parts=tuple(known.get(part, part) for part in sketch.parts))


def _hashed_split(name: str, seed: int) -> str:
    return SPLITS[int(hashed_splits([name], seed)[0])]
