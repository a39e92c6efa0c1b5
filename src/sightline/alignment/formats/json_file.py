"""JSON files: broken ones are told by line and column, new ones appear complete."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sightline.errors import AlignmentError, first_line
from sightline.sketch.files import replace_file

Hook = Callable[[dict[str, Any]], Any]


def read_json(path: str | os.PathLike[str], *, object_hook: Hook | None = None) -> Any:
    """What a JSON file holds.

    Args:
        path: the file.
        object_hook: called with each object as it is read, to keep a large file small in memory.

    Raises:
        AlignmentError: no such file, or broken JSON: where, and whether the file just ends.
    """
    path = Path(path)
    if not path.is_file():
        raise AlignmentError(f"{path} does not exist, or is no file; check the path")
    try:
        return json.loads(path.read_bytes(), object_hook=object_hook)
    except json.JSONDecodeError as error:
        text = error.doc.rstrip()
        half = error.pos >= len(text) or not text.endswith(("]", "}"))
        cure = "; the file ends too early: it was written half, write it again" if half else ""
        raise AlignmentError(
            f"{path} is broken JSON at line {error.lineno}, column {error.colno}: {error.msg}{cure}"
        ) from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise AlignmentError(f"{path} is no JSON: {first_line(error)}") from error


def write_json(path: str | os.PathLike[str], value: Any, *, indent: int | None = None) -> None:
    """Write a JSON file, whole or not at all."""
    text = json.dumps(value, indent=indent, allow_nan=False)
    with replace_file(path) as stream:
        stream.write(text.encode() + b"\n")


def kind(value: Any) -> str:
    """What a value of a JSON file is, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return kinds.get(type(value), "a number")
