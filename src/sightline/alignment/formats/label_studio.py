"""Label Studio's JSON export: brush, polygon and rectangle labels, read and written."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import numpy as np
from jaxtyping import Float

from sightline.alignment.formats.json_file import read_json, write_json
from sightline.alignment.formats.regions import Values, mask_of, size_of
from sightline.alignment.formats.runs import encode_brush
from sightline.alignment.labels import AttentionLabel, AttentionLabels, same_aspect
from sightline.errors import AlignmentError, PhotoError, unknown_name
from sightline.image.coco import safe_name

MUST, MUST_NOT = "must look", "must not look"
OWN_NAME = "sightline_item"
_Names = tuple[str, ...]
_Any = Float[np.ndarray, "_ _"]


def read_label_studio(
    path: str | os.PathLike[str],
    *,
    must: Sequence[str] = (MUST,),
    must_not: Sequence[str] = (MUST_NOT,),
    image_key: str = "image",
    strip_prefix: bool = False,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> AttentionLabels:
    """Read the labels of Label Studio's export in the format "JSON".

    Each annotation of a task is one label: the union of its brush strokes (soft where they are),
    polygons and rectangles. Predictions are a machine's, and are not read.

    Args:
        path: the JSON file. Photos are not opened.
        must: names of the labels that say where to look.
        must_not: names of those that say where not to look.
        image_key: of the photo in the data of a task.
        strip_prefix: the eight digits that Label Studio puts before the name of an uploaded file
            are taken away.
        sizes: height and width of the photos by item, where known; a label of another aspect
            is an error.

    Returns:
        Items are file names, without folders. ``notes`` counts what was left out.

    Raises:
        AlignmentError: another layout, an unknown name of a label, broken runs, two sizes of one
            photo.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "export.json"
        >>> label = AttentionLabel("duck.jpg", must=[[0, 1], [0, 0]], author="ada@example.org")
        >>> write_label_studio(path, AttentionLabels.from_rows([label]))
        >>> (back,) = read_label_studio(path)
        >>> back.item, back.author, back.must.tolist()
        ('duck.jpg', 'ada@example.org', [[0.0, 1.0], [0.0, 0.0]])
    """
    reader = _Reader(Path(path), tuple(must), tuple(must_not), image_key, strip_prefix, sizes or {})
    rows = tuple(label for i, task in enumerate(reader.tasks()) for label in reader.labels(i, task))
    notes = tuple(f"{count} {what} of {reader.path.name}" for what, count in reader.left.items())
    return AttentionLabels(rows, notes)


def write_label_studio(
    path: str | os.PathLike[str],
    labels: AttentionLabels,
    *,
    must: str = MUST,
    must_not: str = MUST_NOT,
    address: str = "{}",
    tag: str = "tag",
    image_key: str = "image",
    authors: bool = True,
) -> None:
    """Write labels as tasks with brush labels, as Label Studio imports and exports them.

    Masks keep 8 bits. Weights stand in the ``meta`` of the regions, from where they are read back.

    Args:
        path: of the file to write.
        labels: of photos.
        must: name of the label that says where to look.
        must_not: name of the one that says where not to look.
        address: of a photo, with ``{}`` for its name: ``/data/local-files/?d=photos/{}``.
        tag: name of the brush tag in the labelling interface.
        image_key: of the photo in the data of a task.
        authors: write who made each label. Label Studio imports only the authors it knows.

    Raises:
        AlignmentError: a label of strokes.
    """
    tasks = []
    for number, item in enumerate(labels.items, 1):
        annotations = [
            _annotation(label, {"must": must, "must_not": must_not}, tag, image_key, authors)
            for label in labels.of(item)
        ]
        data = {image_key: address.replace("{}", quote(item)), OWN_NAME: item}
        tasks.append({"id": number, "data": data, "annotations": annotations})
    write_json(path, tasks)


def _annotation(
    label: AttentionLabel, names: Mapping[str, str], tag: str, image_key: str, authors: bool
) -> dict[str, Any]:
    if label.of_strokes:
        raise AlignmentError(
            f"the label of {label.item!r} is one of strokes; Label Studio's brush marks photos"
        )
    regions = [
        _region(label, which, name) | {"from_name": tag, "to_name": image_key}
        for which, name in names.items()
        if label.either(which).any()
    ]
    made: dict[str, Any] = {"result": regions, "was_cancelled": False}
    if label.time:
        made["created_at"] = label.time
    if authors and label.author:
        made["completed_by"] = {"email": label.author}
    return made


def _region(label: AttentionLabel, which: str, name: str) -> dict[str, Any]:
    alpha = np.rint(255 * label.either(which)).astype(np.uint8)
    return {
        "id": which,
        "type": "brushlabels",
        "original_width": label.size[1],
        "original_height": label.size[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_brush(alpha), "brushlabels": [name]},
        "meta": {"weight": label.weight},
    }


@dataclass(frozen=True, eq=False)
class _Reader:
    """One file and how to read it; ``left`` counts what is left out."""

    path: Path
    must: _Names
    must_not: _Names
    image_key: str
    strip_prefix: bool
    sizes: Mapping[str, tuple[int, int]]
    left: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if both := set(self.must) & set(self.must_not):
            raise AlignmentError(f"{sorted(both)} are given as must and as must_not; choose one")

    def tasks(self) -> list[Any]:
        tasks = read_json(self.path)
        if not isinstance(tasks, list):
            raise AlignmentError(
                f"{self.path.name} is no list of tasks; export from Label Studio as 'JSON'"
            )
        return tasks

    def labels(self, index: int, task: Any) -> Iterator[AttentionLabel]:
        place = f"task {index} of {self.path.name}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise AlignmentError(f"{place} has no 'data'; export from Label Studio as 'JSON'")
        place = f"task {task.get('id', index)} of {self.path.name}"
        made = task.get("annotations", task.get("completions"))
        if not isinstance(made, list):
            raise AlignmentError(
                f"{place} has no list 'annotations'; export from Label Studio as 'JSON', not as "
                "'JSON-MIN'"
            )
        item = self.item(task["data"], place)
        for annotation in made:
            if (label := self.label(item, annotation, f"{place} ({item})")) is not None:
                yield label

    def item(self, data: Mapping[str, Any], place: str) -> str:
        """The name of the file, without the folders or the address that it lies under."""
        given = data.get(OWN_NAME, data.get(self.image_key))
        if not isinstance(given, str) or not given:
            raise AlignmentError(
                f"{place} names no photo: its data has no text {self.image_key!r} (keys: "
                f"{', '.join(data) or 'none'}); say which with image_key"
            )
        name = given if OWN_NAME in data else _file_name(given)
        if self.strip_prefix:
            name = re.sub(r"^[0-9a-f]{8}-(?=.)", "", name)
        try:
            return safe_name(name, place)
        except PhotoError as error:
            raise AlignmentError(str(error)) from error

    def label(self, item: str, annotation: Any, place: str) -> AttentionLabel | None:
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise AlignmentError(f"{place} has an annotation without a list 'result'")
        if annotation.get("was_cancelled"):
            self.left["skipped annotation(s) left out"] += 1
            return None
        masks: dict[str, Values] = {}
        weight = 1.0
        for region in annotation["result"]:
            for which, mask in self.region(region, item, place):
                masks[which] = _union(masks, mask, which, place)
                weight = _weight(region, place)
        if not any(mask.any() for mask in masks.values()):
            self.left["annotation(s) that mark nothing left out"] += 1
            return None
        return AttentionLabel(
            item,
            masks.get("must"),
            masks.get("must_not"),
            weight,
            _author(annotation),
            _time(annotation.get("created_at")),
        )

    def region(self, region: Any, item: str, place: str) -> Iterator[tuple[str, Values]]:
        """Its mask, for each side that it is named on."""
        value = region.get("value") if isinstance(region, dict) else None
        if not isinstance(value, dict):
            raise AlignmentError(f"{place} has a region without a 'value'")
        if not ({"rle", "points"} & set(value) or {"x", "width", "height"} <= set(value)):
            self.left[f"region(s) of type {region.get('type')!r} left out"] += 1
            return
        sides = self.sides(region, value, place)
        if sides:
            size = size_of(region, place)
            if not same_aspect(self.sizes.get(item, size), size):
                raise AlignmentError(
                    f"{place} was labelled at {size} (height, width), its photo is "
                    f"{self.sizes[item]}; label the photo that the model sees"
                )
            mask = mask_of(value, size, place)
            yield from ((side, mask) for side in sides)

    def sides(self, region: Mapping[str, Any], value: Mapping[str, Any], place: str) -> set[str]:
        names = value.get(str(region.get("type")), value.get("labels", []))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise AlignmentError(f"{place} has a region whose labels are no list of names")
        if not names:
            self.left["region(s) without a name left out"] += 1
        for name in names:
            if name not in (*self.must, *self.must_not):
                known = unknown_name("label", name, (*self.must, *self.must_not))
                raise AlignmentError(f"{place}: {known}; say which it is with must or must_not")
        given = {"must": self.must, "must_not": self.must_not}
        return {side for side, known in given.items() if set(names) & set(known)}


def _file_name(address: str) -> str:
    """The last part of a path, an address, or what ``?d=`` of local files names."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _union(masks: Mapping[str, _Any], mask: _Any, which: str, place: str) -> _Any:
    for other in masks.values():
        if other.shape != mask.shape:
            raise AlignmentError(
                f"{place} has regions of two sizes, {other.shape} and {mask.shape} (height, "
                "width), in one annotation"
            )
    return np.maximum(masks.get(which, mask), mask)


def _weight(region: Mapping[str, Any], place: str) -> float:
    meta = region.get("meta")
    weight = meta.get("weight", 1.0) if isinstance(meta, dict) else 1.0
    if not isinstance(weight, int | float) or not math.isfinite(weight):
        raise AlignmentError(f"{place} has a region of weight {weight!r}; expected a number")
    return float(weight)


def _author(annotation: Mapping[str, Any]) -> str:
    """E-mail where there is one, else the number; old exports have a name and a number."""
    by = annotation.get("completed_by", annotation.get("created_username", ""))
    if isinstance(by, dict):
        by = by.get("email") or by.get("username") or by.get("id", "")
    return "" if by is None else str(by).strip()


def _time(created: Any) -> str:
    """ISO 8601; old exports count seconds since 1970."""
    if isinstance(created, int | float) and not isinstance(created, bool):
        return datetime.fromtimestamp(created, UTC).isoformat()
    return created if isinstance(created, str) else ""
