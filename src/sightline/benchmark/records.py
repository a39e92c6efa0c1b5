"""Records of a study, a JSON line each, so that a killed study goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.errors import TaskError

Record = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Records:
    """Records of a study, a JSON line each, so that a killed study goes on where it was.

    Args:
        path: of the file.
        settings: of the study, which stand in its first line; another study's file is refused.
    """

    path: Path
    settings: Mapping[str, Any]

    def read(self) -> list[Record]:
        """All whole records; half a last line is left out.

        Raises:
            TaskError: the file is of another study.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        told = [json.loads(line) for line in lines]
        if told and told[0] != json.loads(json.dumps(dict(self.settings))):
            raise TaskError(
                f"{self.path} is of other settings or another encoder; give another folder"
            )
        return told[1:]

    def append(self, record: Record) -> None:
        """Write one down so that it survives a loss of power."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            self._write(dict(self.settings))
        self._write(record)

    def complete(
        self, count: int, record: Callable[[int], Record], tell: Tell | None = None
    ) -> list[Record]:
        """What is there, and then the rest, each written down as it is made.

        Args:
            count: of all records.
            record: makes the one of a place, from 0.
            tell: hears how far it is.
        """
        for place in range(len(self.read()), count):
            self.append(record(place))
            if tell is not None:
                tell(f"{self.path.name}: {place + 1} of {count}")
        return self.read()

    def _write(self, record: Record) -> None:
        with open(self.path, "a+b") as stream:
            stream.seek(0)
            stream.truncate(stream.read().rfind(b"\n") + 1)
            stream.write(json.dumps(record, allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
