"""Attention labels from COCO's segmentations, and back."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from sightline.alignment.formats.json_file import write_json
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError, unknown_name
from sightline.image.annotations import (
    Annotation,
    Annotations,
    mask_for,
    read_instances,
    read_panoptic,
)
from sightline.image.coco import numbers, read_coco

MUST, MUST_NOT = "must", "must not"
_Mask = Bool[np.ndarray, "height width"]
_Key = tuple[str, int, str, str, float]
_EXTRAS = ("label", "author", "time", "weight")


def read_coco_labels(
    path: str | os.PathLike[str],
    *,
    category: str | Sequence[str],
    panoptic_folder: str | os.PathLike[str] | None = None,
    author: str = "",
    must_not_category: str | Sequence[str] = (),
) -> AttentionLabels:
    """Read where to look from a COCO file: at the things of some categories.

    A photo has one label, the union of the masks of its things. In a file of `write_coco_labels`
    it has as many as were written, with their authors, times and weights.

    Args:
        path: the instances file, with polygons or run lengths; or the panoptic file.
        category: names of what a model should look at.
        panoptic_folder: of the pictures of numbers; tells that the file is a panoptic one.
        author: of labels whose author the file does not tell.
        must_not_category: names of what it should leave alone.

    Returns:
        Labels of the photos that have such a thing; ``notes`` counts the others, and what was
        left out.

    Raises:
        AlignmentError: an unknown category, or one that is to be looked at and left alone.
        PhotoError: a broken file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "instances.json"
        >>> labels = AttentionLabels.from_rows([AttentionLabel("duck.jpg", must=[[0, 1]])])
        >>> _ = write_coco_labels(path, labels, {"duck.jpg": (1, 2), "pond.jpg": (4, 4)})
        >>> back = read_coco_labels(path, category="must", must_not_category="must not")
        >>> [label.item for label in back], back.notes
        (['duck.jpg'], ('1 of 2 photos have no must, must not: no label',))
    """
    must, must_not = _names(category), _names(must_not_category)
    found = _found(path, panoptic_folder)
    _check_categories(must, must_not, found, Path(path).name)
    told: dict[int, Any] = {} if panoptic_folder is not None else _told(path)
    masks: dict[_Key, dict[str, _Mask]] = {}
    left: Counter[str] = Counter()
    for row in found.rows:
        side = "must" if row.label in must else "must_not" if row.label in must_not else ""
        if side and (mask := _mask(row, left)) is not None:
            sides = masks.setdefault(_key(row, told, author), {})
            sides[side] = sides[side] | mask if side in sides else mask
    rows = tuple(_label(key, sides) for key, sides in masks.items())
    without = len(found.sizes) - len({row.item for row in rows})
    if without:
        named = ", ".join((*must, *must_not))
        left[f"of {len(found.sizes)} photos have no {named}: no label"] = without
    return AttentionLabels(rows, (*found.notes, *(f"{n} {what}" for what, n in left.items())))


def write_coco_labels(
    path: str | os.PathLike[str],
    labels: AttentionLabels,
    sizes: Mapping[str, tuple[int, int]],
    *,
    threshold: float | None = None,
) -> tuple[str, ...]:
    """Write labels as a COCO instances file with run lengths.

    Categories are "must" and "must not". Authors, times and weights are fields which COCO does
    not know, and its tools do not mind.

    Args:
        path: of the file to write.
        labels: of photos.
        sizes: height and width of every photo of the file, also of those without a label.
        threshold: soft masks are cut: from here on a pixel belongs. Needed where there are any,
            for COCO has none.

    Returns:
        Notes: how many masks were cut, how many are empty since. The file has them as well.

    Raises:
        AlignmentError: soft masks without a threshold, a label of another size than its photo,
            of no photo, or of strokes.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise AlignmentError(f"threshold is {threshold}; a mask is cut in (0, 1]")
    ids = {name: number for number, name in enumerate(sizes, 1)}
    rows: list[dict[str, Any]] = []
    left: Counter[str] = Counter()
    for number, label in enumerate(labels):
        _check_size(label, sizes)
        extras = {"label": number, "author": label.author, "time": label.time}
        for category, side in enumerate(("must", "must_not"), 1):
            mask = _cut(label, side, threshold, left)
            if mask.any():
                rows.append(
                    {"id": len(rows) + 1, "image_id": ids[label.item], "category_id": category}
                    | _shape(mask)
                    | extras
                    | {"weight": float(label.weight)}
                )
    notes = tuple(f"{count} {what}" for what, count in left.items())
    write_json(path, _tables(ids, sizes, rows, notes))
    return notes


def run_text(mask: Bool[np.ndarray, "height width"]) -> str:
    """A mask as COCO's compressed run lengths.

    Convention:
        Down the columns, background first. From the fourth length on, differences from the length
        two before; five bits a character, the lowest first, and a sixth where more follow.

    Example:
        >>> run_text(np.array([[False, True], [False, True]]))
        '22'

    Source:
        rleToString in cocoapi, common/maskApi.c.
    """
    return "".join(_characters(length) for length in _differences(_lengths(mask)))


def _lengths(mask: _Mask) -> list[int]:
    flat = mask.T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def _differences(lengths: Sequence[int]) -> list[int]:
    return [n - lengths[i - 2] if i > 2 else n for i, n in enumerate(lengths)]


def _characters(number: int) -> str:
    text = ""
    while True:
        five = number & 31
        number >>= 5  # keeps the sign
        if number == (-1 if five & 16 else 0):
            return text + chr(five + 48)
        text += chr(five + 32 + 48)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _found(
    path: str | os.PathLike[str], panoptic_folder: str | os.PathLike[str] | None
) -> Annotations:
    """Boxes do not matter here: those that stick out are clipped."""
    if panoptic_folder is None:
        return read_instances(path, on_outside="clip")
    return read_panoptic(path, panoptic_folder, on_outside="clip")


def _check_categories(
    must: tuple[str, ...], must_not: tuple[str, ...], found: Annotations, file: str
) -> None:
    if both := set(must) & set(must_not):
        raise AlignmentError(f"{sorted(both)} are to be looked at and to be left alone; choose one")
    if not must and not must_not:
        raise AlignmentError("no category to look at or to leave alone; name one")
    for name in (*must, *must_not):
        if name not in found.categories.values():
            known = sorted(found.categories.values())
            raise AlignmentError(f"{file}: {unknown_name('category', name, known)}")


def _told(path: str | os.PathLike[str]) -> dict[int, Any]:
    """Rows with a field of ours, by their number."""
    return {
        row["id"]: row
        for row in read_coco(path).annotations
        if isinstance(row.get("id"), int) and any(name in row for name in _EXTRAS)
    }


def _key(row: Annotation, told: Mapping[int, Any], author: str) -> _Key:
    """Marks of one key are one label."""
    extras = told.get(row.number, {})
    place = f"annotation {row.number} of {row.file_name}"
    (weight,) = numbers([extras.get("weight", 1.0)], f"weight of {place}")
    (number,) = numbers([extras.get("label", 0)], f"label of {place}")
    by, time = extras.get("author") or author, extras.get("time") or ""
    if not isinstance(by, str) or not isinstance(time, str):
        raise AlignmentError(f"{place} has author {by!r} and time {time!r}; expected texts")
    return row.file_name, int(number), by, time, weight


def _mask(row: Annotation, left: Counter[str]) -> _Mask | None:
    mask = mask_for(row)
    if mask is None or not mask.any():
        kind = "without a mask" if mask is None else "with an empty mask"
        left[f"annotation(s) {kind} left out"] += 1
        return None
    return mask.numpy()


def _label(key: _Key, sides: Mapping[str, _Mask]) -> AttentionLabel:
    item, _, author, time, weight = key
    return AttentionLabel(item, sides.get("must"), sides.get("must_not"), weight, author, time)


def _check_size(label: AttentionLabel, sizes: Mapping[str, tuple[int, int]]) -> None:
    if label.of_strokes:
        raise AlignmentError(f"the label of {label.item!r} is one of strokes; COCO has photos")
    if label.item not in sizes:
        raise AlignmentError(f"the label of {label.item!r} is of a photo that sizes does not list")
    if label.size != tuple(sizes[label.item]):
        raise AlignmentError(
            f"the label of {label.item!r} is {label.size} (height, width), its photo "
            f"{tuple(sizes[label.item])}; bring it to that size first (label.resized)"
        )


def _cut(label: AttentionLabel, side: str, threshold: float | None, left: Counter[str]) -> _Mask:
    mask = label.either(side)
    hard = bool(np.isin(mask, (0, 1)).all())
    if hard:
        return np.asarray(mask > 0)
    if threshold is None:
        raise AlignmentError(
            f"the {side} mask of {label.item!r} is soft, and COCO has no soft masks; say where "
            "they are cut, as threshold=0.5"
        )
    cut = np.asarray(mask >= threshold)
    left[f"soft mask(s) cut at {threshold:g}"] += 1
    if not cut.any():
        left[f"mask(s) left out: nothing reaches {threshold:g}"] += 1
    return cut


def _shape(mask: _Mask) -> dict[str, Any]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "segmentation": {"counts": run_text(mask), "size": list(mask.shape)},
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "iscrowd": 0,
    }


def _tables(
    ids: Mapping[str, int],
    sizes: Mapping[str, tuple[int, int]],
    rows: list[dict[str, Any]],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    images = [
        {
            "id": number,
            "file_name": name,
            "height": int(sizes[name][0]),
            "width": int(sizes[name][1]),
        }
        for name, number in ids.items()
    ]
    categories = [{"id": 1, "name": MUST}, {"id": 2, "name": MUST_NOT}]
    info = {"description": "attention labels", "notes": list(notes)}
    return {"info": info, "images": images, "annotations": rows, "categories": categories}
