"""Files of a rating study: pictures that hold pixels alone, and lines that survive a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sightline.errors import AlignmentError
from sightline.sketch.files import replace_file


def store_picture(folder: Path, name: str, source: str | os.PathLike[str]) -> str:
    """Write the pixels of a picture file as PNG: no text, date or name of the original comes along.

    Returns:
        The file's name in the folder.

    Raises:
        PhotoError: no picture.
    """
    from PIL import Image

    from sightline.image.read import read_photo

    with replace_file(folder / f"{name}.png") as stream:
        Image.fromarray(read_photo(source).pixels).save(stream, "PNG")
    return f"{name}.png"


def store_map(folder: Path, name: str, scores: Float[np.ndarray, "height width"]) -> str:
    """Write a map's numbers as safetensors, under the key ``map``.

    Returns:
        The file's name in the folder.

    Raises:
        AlignmentError: numbers that are not finite.
    """
    from safetensors.numpy import save

    if not np.isfinite(scores).all():
        raise AlignmentError(f"{int((~np.isfinite(scores)).sum())} scores of a map are no number")
    with replace_file(folder / f"{name}.safetensors") as stream:
        stream.write(save({"map": np.ascontiguousarray(scores, np.float32)}))
    return f"{name}.safetensors"


def read_map(path: str | os.PathLike[str]) -> Float[np.ndarray, "height width"]:
    """The numbers that `store_map` wrote."""
    from safetensors.numpy import load_file

    return load_file(path)["map"]


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Add one JSON line in one write, on disk when this returns.

    A line that a kill cut short stays, closed by a line end, so that the next is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(handle, "r+b", buffering=0) as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(end - 1, 0))
        torn = end > 0 and stream.read(1) != b"\n"
        data = (b"\n" if torn else b"") + json.dumps(line).encode() + b"\n"
        written = stream.write(data)
        os.fsync(stream.fileno())
    if written != len(data):
        raise AlignmentError(f"{path}: {written} of {len(data)} bytes written; is the disk full?")


def read_lines(path: Path) -> tuple[list[tuple[str, Mapping[str, Any]]], tuple[str, ...]]:
    """The whole lines of a file with their places, and notes on those that are lost."""
    lines: list[tuple[str, Mapping[str, Any]]] = []
    notes: list[str] = []
    for number, text in enumerate(path.read_bytes().split(b"\n"), start=1):
        place = f"{path.name}, line {number}"
        try:
            line = json.loads(text) if text.strip() else None
        except ValueError:  # not UTF-8, or no JSON
            notes.append(f"{place} was written half and is lost: {text[:40]!r}")
            continue
        if isinstance(line, dict):
            lines.append((place, line))
        elif line is not None:
            notes.append(f"{place} is no record and is left out: {text[:40]!r}")
    return lines, tuple(notes)
