"""Records of what a task did, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sightline.errors import SightlineError, TaskError, first_line
from sightline.sketch.files import replace_file


def write_record(path: str | os.PathLike[str], told: Mapping[str, Any]) -> None:
    """Write plain values, whole or not at all.

    Raises:
        TaskError: a number that JSON does not know.
    """
    try:
        text = json.dumps(told, allow_nan=False)
    except ValueError as error:
        raise TaskError(f"{path} is not written: {first_line(error)}") from None
    with replace_file(path) as stream:
        stream.write(text.encode() + b"\n")


@contextmanager
def read_record(path: str | os.PathLike[str], form: str, what: str) -> Iterator[dict[str, Any]]:
    """What `write_record` wrote. What goes wrong while it is used is an error of the file.

    Args:
        path: of the file.
        form: its ``format``, with the version.
        what: it holds, with its article.

    Raises:
        TaskError: no such file, another format, or something in it is missing or not what it
            should be.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_record(f"{folder}/walk.json", {"format": "sightline walk 1", "steps": 3})
        ...     with read_record(f"{folder}/walk.json", "sightline walk 1", "a walk") as told:
        ...         told["steps"]
        3
    """
    path = Path(path)
    try:
        yield _object(path, form, what)
    except SightlineError as error:
        if str(path) in str(error):
            raise
        raise TaskError(f"{path} is not {what}, or damaged: {error}") from None
    except KeyError as error:
        raise TaskError(f"{path} is not {what}, or damaged: {error} is missing") from None
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise TaskError(f"{path} is not {what}, or damaged: {first_line(error)}") from None


def _object(path: Path, form: str, what: str) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise TaskError(
            f"{path} does not exist; give the .json to which {what} was saved"
        ) from None
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path} is not {what}, or damaged: not JSON, {error}") from None
    if not isinstance(told, dict):
        raise TaskError(f"{path} is not {what}, or damaged: expected one JSON object")
    if told["format"] != form:
        raise TaskError(
            f"{path} is not {what} of this version: its format is {told['format']!r}, expected "
            f"{form!r}; give one that this version saved"
        )
    return told
