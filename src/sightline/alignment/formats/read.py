"""Labels of attention from whatever file holds them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from sightline.alignment.formats.folder import (
    INDEX,
    plain_masks,
    read_index,
    read_labels_folder,
)
from sightline.alignment.formats.gradia import (
    CELLS,
    compact,
    is_gradia_attention,
    parsed_gradia,
)
from sightline.alignment.formats.json_file import kind, read_json
from sightline.alignment.labels import AttentionLabels, OnUnknown
from sightline.errors import AlignmentError, PhotoError
from sightline.image.coco import safe_name
from sightline.training.item_names import Names

Layout = Literal["ours", "gradia", "coco", "label studio"]

LAYOUTS = (
    f"a folder with {INDEX}, or with PNG masks",
    "GRADIA's JSON: a list of {'img', 'attention'}",
    "COCO's JSON: an object with images, annotations, categories",
    "Label Studio's JSON: a list of tasks with 'annotations', or with brush marks ('rle')",
)


def read_labels(
    path: str | os.PathLike[str],
    *,
    items: Iterable[str] | None = None,
    photos: str | os.PathLike[str] | None = None,
    category: str | Sequence[str] | None = None,
    on_unknown: OnUnknown = "raise",
) -> AttentionLabels:
    """Read labels of attention in any of the layouts; what the file holds decides, not its name.

    Args:
        path: a folder of ours or of PNG masks; or a JSON file of GRADIA, COCO or Label Studio.
        items: names of the photos. A label that names only the end of one (``duck.jpg`` of
            ``train/bird/duck.jpg``) is given the whole name. Plain masks need them, or ``photos``.
        photos: folder of the photos: their names where ``items`` are not given. GRADIA's masks,
            which are of stretched photos, are stretched back to the photos that lie there.
        category: of COCO: what has to be looked at. Files of `write_coco_labels` need none.
        on_unknown: of plain masks: one of no item is an error, or (``"skip"``) left out. For the
            other layouts, `AttentionLabels.check` tells.

    Raises:
        AlignmentError: an unknown layout (the message has those that are read, and what was
            found), or a broken file.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "attention.json"
        >>> _ = path.write_text(json.dumps([{"img": "duck.jpg", "attention": [[0, 1]]}]))
        >>> read_labels(path, items=["train/bird/duck.jpg"]).items
        ('train/bird/duck.jpg',)
    """
    path = Path(path)
    names = tuple(items) if items is not None else None
    if names is None and photos is not None:
        names = photo_names(photos)
    if (path / INDEX).is_file():
        path = path / INDEX  # others name theirs so, too: what is in it decides
    if path.is_dir():
        _refuse_other_folder(path)
        labels = read_labels_folder(path, items=names, on_unknown=on_unknown)
    elif path.exists():
        labels = _read_file(path, photos, category)
    else:
        raise AlignmentError(f"{path} does not exist; expected {_layouts()}")
    return labels if names is None else _named(labels, names)


def photo_names(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of the photos of a folder and of those in it, as paths relative to it.

    Raises:
        AlignmentError: no such folder, or no photo in it.
    """
    from sightline.image.read import SUFFIXES

    folder = Path(folder)
    if not folder.is_dir():
        raise AlignmentError(f"{folder} is no folder; give the one that holds the photos")
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    names = sorted(
        path.as_posix()
        for path in found
        if path.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in path.parts)
    )
    if not names:
        raise AlignmentError(f"{folder} has no photo ({', '.join(SUFFIXES)})")
    return tuple(names)


def _read_file(
    path: Path, photos: str | os.PathLike[str] | None, category: str | Sequence[str] | None
) -> AttentionLabels:
    told = read_json(path, object_hook=compact)
    layout = _layout(told)
    if layout == "ours":
        return read_index(path)
    if layout == "gradia":
        return parsed_gradia(told, path, sizes=_sizes(told, photos))
    if layout == "coco":
        return _read_coco(path, told, category)
    if layout == "label studio":
        from sightline.alignment.formats.label_studio import read_label_studio

        return read_label_studio(path)
    raise AlignmentError(f"{path} has {_found(told)}; expected {_layouts()}")


def _layout(told: Any) -> Layout | None:
    if is_gradia_attention(told):
        return "gradia"
    if isinstance(told, dict):
        if {"images", "annotations"} <= told.keys():
            return "coco"
        return "ours" if isinstance(told.get("labels"), list) else None
    tasks = told[:100] if isinstance(told, list) else []
    return "label studio" if any(_is_task(task) for task in tasks) else None


def _is_task(told: Any) -> bool:
    """Of Label Studio's JSON, or of its short form, where brush marks stand under any name."""
    if not isinstance(told, dict):
        return False
    firsts = [value[0] for value in told.values() if isinstance(value, list) and value]
    brushed = any(isinstance(mark, dict) and "rle" in mark for mark in firsts)
    return "annotations" in told or "completions" in told or brushed


def _read_coco(path: Path, told: Any, category: str | Sequence[str] | None) -> AttentionLabels:
    from sightline.alignment.formats.coco import MUST, MUST_NOT, read_coco_labels

    if category is None:
        rows = told.get("categories") or []
        names = [row.get("name") for row in rows if isinstance(row, dict)]
        if names == [MUST, MUST_NOT]:
            return read_coco_labels(path, category=MUST, must_not_category=MUST_NOT)
        raise AlignmentError(
            f"{path} is COCO's: give category=, what has to be looked at; it has "
            f"{', '.join(map(str, names[:20])) or 'none'}"
        )
    rows = told["annotations"]
    first = rows[0] if isinstance(rows, list) and rows else None
    panoptic = isinstance(first, dict) and "segments_info" in first
    folder = path.with_suffix("") if panoptic else None  # as COCO's own files lie
    return read_coco_labels(path, category=category, panoptic_folder=folder)


def _sizes(told: Any, photos: str | os.PathLike[str] | None) -> dict[str, tuple[int, int]]:
    """Height and width of GRADIA's photos, of those that lie in the folder."""
    from sightline.image.read import read_photo

    if photos is None:
        return {}
    by_name = Names(photo_names(photos))
    sizes = {}
    for entry in told:
        img = entry.get("img") if isinstance(entry, dict) else None
        name = img.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(img, str) else ""
        if name and (item := found_name(by_name, name)) is not None:
            sizes[name] = read_photo(Path(photos) / safe_name(item, "a photo")).size
    return sizes


def _named(labels: AttentionLabels, names: tuple[str, ...]) -> AttentionLabels:
    """Each label under the one name that it can mean; unknown ones stay, for `check` to tell."""
    by_name = Names(names)
    return labels.renamed(lambda item: found_name(by_name, item) or item)


def found_name(names: Names, name: str) -> str | None:
    """The item that a name means, as `Names.find` has it.

    Raises:
        AlignmentError: several items that it can be.
    """
    try:
        return names.find(name)
    except PhotoError as error:
        raise AlignmentError(str(error)) from error


def _refuse_other_folder(folder: Path) -> None:
    if plain_masks(folder):
        return
    suffixes = Counter(p.suffix.lower() or "no suffix" for p in folder.iterdir() if p.is_file())
    found = ", ".join(f"{count} of {suffix}" for suffix, count in suffixes.most_common(5))
    raise AlignmentError(
        f"{folder} has no labels (files: {found or 'none'}); expected {_layouts()}: give the file "
        "itself if it lies in there"
    )


def _found(told: Any) -> str:
    values = list(told.values()) if isinstance(told, dict) else []
    if values and all(isinstance(v, str) and v in CELLS.values() for v in values):
        return "GRADIA's verdicts, not labels (read_reasonability reads them)"
    if isinstance(told, list) and told and isinstance(told[0], dict):
        return f"a list of objects with {', '.join(told[0]) or 'nothing'}"
    if isinstance(told, dict):
        return f"an object with {', '.join(list(told)[:10]) or 'nothing'}"
    return f"a list of {len(told)}" if isinstance(told, list) else kind(told)


def _layouts() -> str:
    return "; or ".join(LAYOUTS)
