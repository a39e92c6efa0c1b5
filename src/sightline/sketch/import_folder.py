"""The folder of an import: whose it is, and how far the import has come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.errors import DrawingError
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.sketch.sources import START, Source
from sightline.sketch.store import FORMAT, MANIFEST, read_manifest

_OTHER = {"plan": "other arguments", "sources": "other sources"}


@dataclass(frozen=True)
class Mark:
    """A place in the sources, and what was found before it."""

    source: int = 0
    position: tuple[int, ...] = START
    seen: tuple[int, ...] = (0, 0, 0)
    dropped: dict[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    of_label: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Mark:
        """A mark as a manifest holds it."""
        lists = {name: tuple(told[name]) for name in ("position", "seen", "refused")}
        return cls(**{**told, **lists})


def begun(out: Path, plan: dict[str, Any], sources: Sequence[Source]) -> dict[str, Any]:
    """What the folder says, once it is seen to be of this very import; or what it will say.

    Raises:
        DrawingError: it holds something else, or another import.
    """
    asked = {"plan": plan, "sources": [_told(source) for source in sources]}
    if not (out / MANIFEST).is_file():
        if out.exists() and any(_not_ours(out)):
            raise DrawingError(f"{out} holds other files; give a folder of its own")
        _clean(out)
        empty: dict[str, Any] = {split: {} for split in SPLITS}
        new = {"format": FORMAT, "finished": False, "labels": [], "label_ids": []}
        return {
            **new, **asked, "drawings": empty, "dropped": {}, "refused": [],
            "resume": None, "shards": [],
        }  # fmt: skip
    manifest = read_manifest(out)
    for name, value in json.loads(json.dumps(asked)).items():
        if manifest.get(name) != value:
            changed = _difference(manifest, name, value)
            raise DrawingError(
                f"{out} holds an import of {_OTHER[name]}: {changed}; "
                "give the same to go on, or another folder"
            )
    _clean(out)
    return manifest


def _told(source: Source) -> dict[str, Any]:
    """A source as the manifest knows it: by name, sizes and times of change."""
    stats = [file.stat() for file in source.files]
    return {
        "path": str(source.path),
        "bytes": [stat.st_size for stat in stats],
        "changed_ns": [stat.st_mtime_ns for stat in stats],
    }


def _difference(manifest: dict[str, Any], name: str, asked: Any) -> str:
    there = manifest.get(name)
    if name == "plan" and isinstance(there, dict):
        changed = [key for key in asked if asked[key] != there.get(key)]
        return ", ".join(f"{key} was {there.get(key)}, now {asked[key]}" for key in changed)
    return "a file was added, left out, renamed or changed"


def _not_ours(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not _half(path))


def _half(path: Path) -> bool:
    """Whether a file is what a kill left of a file that was being written."""
    return path.name.startswith((f".{MANIFEST}.", *(f".{split}-" for split in SPLITS)))


def _clean(folder: Path) -> None:
    for path in list(folder.iterdir()) if folder.is_dir() else ():
        if _half(path):
            path.unlink()
