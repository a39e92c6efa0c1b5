"""Files of a study: a JSON line for each thing done, synced, and what was found in the end."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sightline.errors import SightlineError, TaskError
from sightline.sketch.files import replace_file
from sightline.sketch.luck import digest
from sightline.sketch.sketch import Sketch

Record = dict[str, Any]
Tell = Callable[[str], None]
Item = TypeVar("Item")


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Write a line down so that it survives a loss of power; half a line before it is cut."""
    told = json.dumps(dict(line), allow_nan=False).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as stream:
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)
        stream.write(told)
        stream.flush()
        os.fsync(stream.fileno())


def read_lines(path: Path, item: Callable[[Any], Item], what: str) -> tuple[list[Item], bool]:
    """The whole lines of a file, and whether half a last one was left out.

    Args:
        path: of the file.
        item: makes one of a line's plain values; its errors say that the line is broken.
        what: a line is, in words.

    Raises:
        SightlineError: a broken line.
    """
    *lines, half = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(item(json.loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SightlineError(
                f"{path}, line {number} is no {what} ({error}); remove the line to run it again"
            ) from None
    return found, bool(half)


@dataclass(frozen=True)
class Records:
    """Records of a study in a file of their own, so that a killed study goes on where it was.

    Args:
        path: of the file; no other process may write to it.
        settings: what every record depends on; they stand in the first line, and the file of
            other settings is refused.
    """

    path: Path
    settings: Mapping[str, Any]

    def read(self) -> list[Record]:
        """All whole records; half a last line is left out.

        Raises:
            TaskError: the file is of other settings.
            SightlineError: a broken line.
        """
        if not self.path.exists():
            return []
        found, _ = read_lines(self.path, _record, "record of a study")
        if found:
            self._check(found[0])
        return found[1:]

    def append(self, record: Record) -> None:
        """Write one down."""
        if not self.path.exists() or b"\n" not in self.path.read_bytes():
            append_line(self.path, self.settings)
        append_line(self.path, record)

    def complete(
        self,
        plan: Sequence[Mapping[str, str | int]],
        make: Callable[[Any], Record],
        tell: Tell | None = None,
    ) -> list[Record]:
        """The records of a plan, in its order; those that are missing are made and written down.

        Args:
            plan: what tells each record from the others, by the same names; it is put in.
            make: the record of one of the plan.
            tell: hears how far it is.
        """
        names = tuple(plan[0]) if plan else ()
        done = self.by(names)
        for number, step in enumerate(plan, 1):
            if tuple(step.values()) in done:
                continue
            self.append({**step, **make(step)})
            if tell is not None:
                tell(f"{self.path.name}: {number} of {len(plan)}")
        done = self.by(names)
        return [done[tuple(step.values())] for step in plan]

    def by(self, names: Sequence[str]) -> dict[tuple[Any, ...], Record]:
        """All records by what these names stand for in them."""
        return {tuple(record.get(name) for name in names): record for record in self.read()}

    def _check(self, there: Record) -> None:
        given = json.loads(json.dumps(dict(self.settings)))
        other = [
            f"{name} was {reprlib.repr(there.get(name))} and is {reprlib.repr(given.get(name))}"
            for name in dict.fromkeys((*there, *given))
            if there.get(name) != given.get(name)
        ]
        if other:
            raise TaskError(
                f"{self.path} is of another study: {'; '.join(other)}. Give another folder, or "
                "the same settings"
            )


def collection_digest(sketches: Sequence[Sketch]) -> str:
    """What drawings and labels there are, in any order, as 64 letters."""
    own = sorted(digest(sketch, str(sketch.label)) for sketch in sketches)
    return hashlib.sha256(b"".join(own)).hexdigest()


def write_findings(out: Path, name: str, text: str, numbers: object) -> None:
    """Write what a study found: its tables to ``name.md``, its numbers to ``name.json``."""
    told = json.dumps(numbers, allow_nan=False, indent=1)
    for end, content in (("md", text), ("json", told)):
        with replace_file(out / f"{name}.{end}") as stream:
            stream.write(content.rstrip("\n").encode() + b"\n")


def _record(told: Any) -> Record:
    if not isinstance(told, dict):
        raise TypeError("it holds no names")
    return told
