"""What goes into a gallery: photos of a folder, drawings of a collection."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sightline.errors import TaskError
from sightline.image.coco import safe_name
from sightline.image.photo import Photo
from sightline.image.read import SUFFIXES, photo_files, read_photo
from sightline.models.encoder import Item
from sightline.sketch.collection import read_collection
from sightline.sketch.formats.quickdraw import OnError, Skipped
from sightline.sketch.read import READERS
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.gallery_files import GalleryItem, Root

_OF_FILE = re.compile(r".*?(?: line)? (\d+)")

Kind = Literal["photos", "drawings"]

File = tuple[str, str | int]
"""What an item is read from: the file of a photo; a collection, and the drawing's number in it."""


@dataclass(frozen=True, eq=False)
class Entry:
    """An item that is to be indexed, and how it is read."""

    item: GalleryItem
    read: Callable[[], Item]


def kind_of(path: Path) -> Kind:
    """Whether a file or folder, or the folders in it, hold photos or drawings.

    Raises:
        TaskError: nothing there, neither of them, or both.
    """
    if not path.exists():
        raise TaskError(f"{path} does not exist; give a folder of photos, or drawings")
    files = [path] if path.is_file() else list(_visible(path))
    if not any(_is_photo(file) or _is_drawing(file) for file in files):
        files = [file for folder in files if folder.is_dir() for file in _visible(folder)]
    photos, drawings = any(map(_is_photo, files)), any(map(_is_drawing, files))
    if photos == drawings:
        what = "both photos and drawings" if photos else "neither photos nor drawings"
        raise TaskError(
            f"{path} holds {what}: photos are {', '.join(SUFFIXES)}; drawings "
            f"{', '.join(READERS)}; give a folder of one kind"
        )
    return "photos" if photos else "drawings"


def entries_of(
    root: Root, number: int, *, on_error: OnError = "raise", skipped: Skipped | None = None
) -> list[Entry]:
    """All items of a root; photos are not read yet."""
    if root.kind == "photos":
        return [_photo_entry(root, number, file) for file in _photos_in(root.path)]
    drawings = read_drawings(root.path, on_error=on_error, skipped=skipped)
    return [_drawing_entry(number, *numbered) for numbered in enumerate(drawings)]


def entries_in_memory(items: Sequence[Item], number: int) -> tuple[Root, list[Entry]]:
    """Items that have no file; each is named as it says, or by its number.

    Raises:
        TaskError: photos and drawings mixed.
    """
    if len({isinstance(item, Sketch) for item in items}) > 1:
        raise TaskError("photos and drawings are mixed; index the one kind, then add the other")
    drawn = any(isinstance(item, Sketch) for item in items)
    return Root("drawings" if drawn else "photos", Path()), [
        Entry(
            GalleryItem(
                name_of(item) or f"item {i}",
                getattr(item, "label", None),
                None if drawn else name_of(item) or None,
                number,
            ),
            lambda item=item: item,  # type: ignore[misc]
        )
        for i, item in enumerate(items)
    ]


def name_of(item: Item) -> str:
    """The name of a drawing; of a photo without the suffix of its file; empty where it has none.

    Example:
        >>> import numpy as np
        >>> name_of(Photo(np.zeros((1, 1, 3), np.uint8), name="lamp-17.png"))
        'lamp-17'
    """
    name = item.name or ""
    plain = isinstance(item, Photo) and name.lower().endswith(SUFFIXES)
    return Path(name).stem if plain else name


def files_of(roots: Sequence[Root], items: Iterable[GalleryItem]) -> list[File | None]:
    """What each item is read from, the same however it is reached; None if it was in memory.

    Example:
        >>> roots = [Root("photos", Path("/photos")), Root("photos", Path("/photos/lamps"))]
        >>> one = GalleryItem("1", source="lamps/1.png")
        >>> one, other = files_of(roots, [one, GalleryItem("1", root=1, source="1.png")])
        >>> one == other
        True
    """
    places = [root.path.resolve() for root in roots]
    found: list[File | None] = []
    for item in items:
        place, source = places[item.root], item.source
        if isinstance(source, str):
            found.append((str(place / source), ""))
        else:
            found.append(None if source is None else (str(place), source))
    return found


def read_drawings(
    path: Path, *, on_error: OnError = "raise", skipped: Skipped | None = None
) -> list[Sketch]:
    """The drawings of a file or folder; or of the folders in it, then labelled by their names.

    Each has a name: its own, or that of ``path`` and its number.
    """
    folders = [path]
    if path.is_dir() and not any(map(_is_drawing, _visible(path))):
        folders = [p for p in _visible(path) if p.is_dir() and any(map(_is_drawing, _visible(p)))]
    drawings = [
        sketch if sketch.label or folder == path else replace(sketch, label=folder.name)
        for folder in folders or [path]
        for sketch in read_collection(folder, on_error=on_error, skipped=skipped)
    ]
    return [
        sketch if sketch.name else replace(sketch, name=f"{path.stem} {index}")
        for index, sketch in enumerate(drawings)
    ]


def is_still(item: GalleryItem, drawing: Sketch) -> bool:
    """Whether a drawing is called and labelled as when it was indexed.

    One without a name of its own is called by its file and number; the file may be another now.
    """
    names = name_of(drawing), item.name
    numbers = [_OF_FILE.fullmatch(name) for name in names]
    same = bool(numbers[0] and numbers[1] and numbers[0][1] == numbers[1][1])
    return drawing.label == item.label and (names[0] == names[1] or same)


def read_photo_of(root: Root, source: object, place: str) -> Photo:
    """A photo of a root.

    Raises:
        PhotoError: a path that leaves the root, or no readable photo there.
    """
    return read_photo(root.path / safe_name(source, place))


def _photos_in(folder: Path) -> Iterator[Path]:
    """Of the folder; or, where it has none, of the folders in it."""
    if folder.is_dir() and not any(map(_is_photo, _visible(folder))):
        inside = [p for p in _visible(folder) if p.is_dir() and any(map(_is_photo, _visible(p)))]
        yield from (file for each in inside for file in photo_files(each))
        return
    yield from photo_files(folder)


def _photo_entry(root: Root, number: int, file: Path) -> Entry:
    inside = file.relative_to(root.path)
    label = _readable(inside.parts[0]) if len(inside.parts) > 1 else None
    name = _readable(file.stem)
    item = GalleryItem(name, label, name, number, inside.as_posix())
    return Entry(item, lambda: read_photo(file))


def _readable(name: str) -> str:
    """The name of a file as it can be printed: what is not UTF-8 in it becomes a mark."""
    return os.fsencode(name).decode("utf-8", "replace")


def _drawing_entry(number: int, index: int, sketch: Sketch) -> Entry:
    return Entry(GalleryItem(name_of(sketch), sketch.label, None, number, index), lambda: sketch)


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file()


def _is_drawing(path: Path) -> bool:
    return path.name.lower().endswith(tuple(READERS)) and path.is_file()
