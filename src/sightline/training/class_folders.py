"""Photos of classes on disk, a folder a class, into labelled splits."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sightline.errors import PhotoError, first_line, unknown_name
from sightline.image.read import photo_files
from sightline.sketch.collection import hashed_splits
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.training.item_names import Names

OnEmpty = Literal["raise", "skip"]
SPLIT_NAMES = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
"""As folders and files call them, and as we do."""


class LabelledPhoto(NamedTuple):
    """A photo file, its class, and the name that labels of attention know it by."""

    path: Path
    label: str
    item: str


@dataclass(frozen=True, eq=False)
class ClassFolders:
    """Labelled photos in splits.

    Args:
        labels: of all classes, sorted.
        splits: the photos of train, valid and test; empty where there are none.
        notes: what was left out on reading.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, tuple[LabelledPhoto, ...]]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return sum(len(photos) for photos in self.splits.values())

    def __iter__(self) -> Iterator[LabelledPhoto]:
        for photos in self.splits.values():
            yield from photos

    @property
    def items(self) -> tuple[str, ...]:
        """Names of all photos, split by split."""
        return tuple(photo.item for photo in self)

    def item_for(self, name: str) -> str:
        """The item that a file of labels means: its name, or as much of its end as is unique.

        Raises:
            PhotoError: no photo, or several, that it can be.
        """
        found = self._names.find(name)
        if found is None:
            import difflib

            items = self.items
            near = difflib.get_close_matches(name, items, n=5) or items[:5]
            raise PhotoError(f"{unknown_name('photo', name, near)} (of {len(items)} in all)")
        return found

    @cached_property
    def _names(self) -> Names:
        return Names(self.items)


def read_class_folders(
    folder: str | os.PathLike[str], *, seed: int = 0, on_empty: OnEmpty = "raise"
) -> ClassFolders:
    """Find photos of classes: ``folder/train/duck/1.jpg`` or ``folder/duck/1.jpg``.

    Convention:
        Item names are paths relative to ``folder``, with ``/``. With folders for splits (train;
        valid, val or validation; test) others beside them are passed over, with a note. Without,
        a ``splits.json`` ({split: [names]}, by item name or by as much of its end as is unique)
        tells; what it does not name is left out, with a note. Otherwise 80, 10 and 10 % by a hash
        of name and seed, so that a photo keeps its place when others come or go. Photos are not
        opened, hidden files and folders within those of classes are passed over.

    Args:
        folder: of the classes, or of the splits.
        seed: of the hash.
        on_empty: a class folder without a photo is an error; or (``"skip"``) it is left out, with
            a note.

    Raises:
        PhotoError: no such folder, no class in it, an empty class, a broken ``splits.json``.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("train/duck/1.jpg", "train/goose/1.jpg", "val/duck/2.jpg"):
        ...     (root / name).parent.mkdir(parents=True, exist_ok=True)
        ...     (root / name).touch()
        >>> photos = read_class_folders(root)
        >>> photos.labels, photos.splits["valid"][0].item, photos.item_for("2.jpg")
        (('duck', 'goose'), 'val/duck/2.jpg', 'val/duck/2.jpg')
    """
    folder = Path(folder)
    if on_empty not in ("raise", "skip"):
        raise PhotoError(unknown_name("on_empty", on_empty, ("raise", "skip")))
    if not folder.is_dir():
        raise PhotoError(f"{folder} is no folder; give one with a folder for each class")
    notes: list[str] = []
    homes = _split_folders(folder)
    if homes:
        splits = {
            split: _photos(homes[split], folder, on_empty, notes) if split in homes else []
            for split in SPLITS
        }
        others = [p.name for p in _folders(folder) if p not in homes.values()]
        if others:
            notes.append(f"passed over the folders beside the splits: {', '.join(others)}")
    else:
        splits = _split(_photos(folder, folder, on_empty, notes), folder, seed, notes)
    return in_splits(splits, notes)


def _folders(folder: Path) -> list[Path]:
    found = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted(found, key=lambda p: p.name)


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders of splits: named so, and holding folders; "train" can be a class, too."""
    homes: dict[str, Path] = {}
    named = [path for path in _folders(folder) if path.name.lower() in SPLIT_NAMES]
    if not any(_folders(path) for path in named):
        return {}
    for path in named:
        split = SPLIT_NAMES[path.name.lower()]
        if split in homes:
            raise PhotoError(
                f"{folder} has both {homes[split].name} and {path.name}; keep one of them"
            )
        homes[split] = path
    return homes


def _photos(home: Path, root: Path, on_empty: OnEmpty, notes: list[str]) -> list[LabelledPhoto]:
    """Those of every class folder in ``home``, by class and name."""
    classes = _folders(home)
    if not classes:
        raise PhotoError(
            f"{home} has no folder; expected one for each class, with its photos in it"
        )
    photos = []
    for path in classes:
        try:
            files = photo_files(path)
        except PhotoError as error:
            if on_empty == "raise":
                raise PhotoError(
                    f"the class {path.name!r} is empty: {error}; remove the folder, or leave it "
                    "out with on_empty='skip'"
                ) from error
            notes.append(f"left out the class folder {path.relative_to(root)}: no photo in it")
            continue
        photos += [
            LabelledPhoto(file, path.name, file.relative_to(root).as_posix()) for file in files
        ]
    return photos


def _split(
    photos: Sequence[LabelledPhoto], folder: Path, seed: int, notes: list[str]
) -> dict[str, list[LabelledPhoto]]:
    """As ``splits.json`` tells, or by a hash of the name."""
    told = _told_splits(folder / "splits.json", photos)
    splits: dict[str, list[LabelledPhoto]] = {split: [] for split in SPLITS}
    left_out = 0
    for photo in photos:
        split = hashed_split(photo, seed) if told is None else told.get(photo.item)
        if split is None:
            left_out += 1
        else:
            splits[split].append(photo)
    if left_out:
        notes.append(f"left out {left_out} of {len(photos)} photos that splits.json does not name")
    return splits


def hashed_split(photo: LabelledPhoto, seed: int) -> str:
    """The split of a photo by the hash of its name."""
    return SPLITS[int(hashed_splits([photo.item], seed)[0])]


def _told_splits(path: Path, photos: Sequence[LabelledPhoto]) -> dict[str, str] | None:
    """The split of each item that the file names; None where there is no file."""
    if not path.is_file():
        return None
    known = Names(photo.item for photo in photos)
    told: dict[str, str] = {}
    for key, names in _table(path).items():
        split = split_name(key, path.name)
        for name in names:
            item = known.find(name)
            if item is None:
                raise PhotoError(f"{path} names {name!r} in {key!r}, which is not in the folder")
            if told.setdefault(item, split) != split:
                raise PhotoError(f"{path} has {item!r} in {told[item]!r} and in {split!r}")
    return told


def _table(path: Path) -> dict[str, list[str]]:
    try:
        told = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise PhotoError(
            f"{path} is broken JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PhotoError(f"{path} is no JSON: {first_line(error)}") from error
    if not isinstance(told, dict) or not all(_is_names(names) for names in told.values()):
        raise PhotoError(f"{path} is not a table of splits: expected {{split: [names]}}")
    return told


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def split_name(name: str, place: str) -> str:
    """Our name of a split.

    Raises:
        PhotoError: an unknown one.
    """
    split = SPLIT_NAMES.get(name.strip().lower())
    if split is None:
        raise PhotoError(f"{place} has {unknown_name('split', name, SPLIT_NAMES)}")
    return split


def in_splits(splits: Mapping[str, Sequence[LabelledPhoto]], notes: list[str]) -> ClassFolders:
    """Photos in splits, their labels, and which split lacks a class."""
    labels = sorted({photo.label for photos in splits.values() for photo in photos})
    if not labels:
        raise PhotoError("no class has a photo; nothing to learn from")
    for split, photos in splits.items():
        lacking = sorted(set(labels) - {photo.label for photo in photos}) if photos else []
        if lacking:
            notes.append(f"no photo in {split} of: {', '.join(lacking)}")
    ours = {split: tuple(photos) for split, photos in splits.items()}
    return ClassFolders(tuple(labels), ours, tuple(notes))
