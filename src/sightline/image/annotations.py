"""What people marked in photos: boxes and masks from COCO's files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.errors import PhotoError, unknown_name
from sightline.image import coco
from sightline.image.boxes import iou
from sightline.image.coco import CocoFile, Row, read_coco
from sightline.image.masks import MaskSource, Polygons, Runs, Segment
from sightline.image.read import MOST_PIXELS

OnOutside = Literal["raise", "clip"]
Box = tuple[float, float, float, float]

ROUNDING = 0.05
"""Pixels that a box may stick out of its photo: files round to two digits."""


@dataclass(frozen=True)
class Annotation:
    """One thing that people marked in a photo.

    Args:
        file_name: of the photo, in the folder of the photos.
        label: name of the category.
        box: xyxy in pixels of the photo.
        size: height and width of the photo.
        category: number of the category in the file.
        image: number of the photo in the file.
        number: of the annotation itself in the file.
        crowd: the box holds many things at once, not told apart.
        mask: where the human mask can be read (`mask_for`); None where there is none.
    """

    file_name: str
    label: str
    box: Box
    size: tuple[int, int]
    category: int = 0
    image: int = 0
    number: int = 0
    crowd: bool = False
    mask: MaskSource | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Annotations:
    """What people marked in many photos.

    Args:
        rows: in the order of the file.
        sizes: height and width of every photo by its file name, also of photos without marks.
        categories: names by their numbers.
        notes: what was changed on reading.
    """

    rows: tuple[Annotation, ...]
    sizes: Mapping[str, tuple[int, int]]
    categories: Mapping[int, str]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the photos, in the order of the file."""
        return tuple(self.sizes)

    def of(self, file_name: str) -> tuple[Annotation, ...]:
        """What was marked in one photo; empty where nothing was.

        Raises:
            PhotoError: a photo that the file does not list.
        """
        if file_name not in self.sizes:
            import difflib

            near = difflib.get_close_matches(file_name, self.files, n=5) or self.files[:5]
            raise PhotoError(
                f"{unknown_name('photo', file_name, near)} (of {len(self.files)} in all)"
            )
        return tuple(self._by_file.get(file_name, ()))

    @cached_property
    def _by_file(self) -> dict[str, list[Annotation]]:
        groups: dict[str, list[Annotation]] = {}
        for row in self.rows:
            groups.setdefault(row.file_name, []).append(row)
        return groups


def read_instances(path: str | os.PathLike[str], *, on_outside: OnOutside = "raise") -> Annotations:
    """Read boxes, and masks where there are any, from a COCO instances file.

    Masks may be polygons or run lengths, plain or compressed; they are decoded by `mask_for`.

    Args:
        path: the JSON file. Photos are not opened.
        on_outside: boxes that stick out of their photo, or have no area, are an error; or
            (``"clip"``) they are cut at its edge, and left out where nothing remains, which
            ``notes`` counts. Less than 0.05 pixel is rounding, and always cut.

    Raises:
        PhotoError: broken JSON, another layout, unknown ids, boxes outside, file names that leave
            their folder.

    Example:
        >>> import json, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "instances.json"
        >>> photo = {"id": 7, "file_name": "pond.jpg", "height": 480, "width": 640}
        >>> duck = {"image_id": 7, "category_id": 16, "bbox": [10, 20, 30, 40]}
        >>> bird = {"id": 16, "name": "bird"}
        >>> _ = path.write_text(
        ...     json.dumps({"images": [photo], "annotations": [duck], "categories": [bird]})
        ... )
        >>> (found,) = read_instances(path).of("pond.jpg")
        >>> found.label, found.box
        ('bird', (10.0, 20.0, 40.0, 60.0))
    """
    if on_outside not in ("raise", "clip"):
        raise PhotoError(unknown_name("on_outside", on_outside, ("raise", "clip")))
    file = read_coco(path)
    rows = []
    for i, row in enumerate(file.annotations):
        place = f"annotation {i} of {file.path.name}"
        if isinstance(row, dict) and "bbox" not in row and "segments_info" in row:
            raise PhotoError(f"{place} has 'segments_info': read it with read_panoptic")
        mask = _mask_source(row.get("segmentation"), place) if isinstance(row, dict) else None
        rows.append(_annotation(file, row, row, place, mask))
    return _annotations(file, rows, on_outside)


def read_panoptic(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    on_outside: OnOutside = "raise",
) -> Annotations:
    """Read the segments of a COCO panoptic file: each an annotation with a mask.

    Args:
        path: the JSON file.
        folder: of its pictures of numbers. They are opened by `mask_for`, not now.
        on_outside: as for `read_instances`.

    Raises:
        PhotoError: as `read_instances`.
    """
    if on_outside not in ("raise", "clip"):
        raise PhotoError(unknown_name("on_outside", on_outside, ("raise", "clip")))
    file, rows = read_coco(path), []
    for i, row in enumerate(file.annotations):
        place = f"annotation {i} of {file.path.name}"
        if isinstance(row, dict) and "segments_info" not in row and "bbox" in row:
            raise PhotoError(f"{place} has no 'segments_info': read it with read_instances")
        picture = Path(folder) / coco.safe_name(coco.field(row, "file_name", place), place)
        segments = coco.field(row, "segments_info", place)
        if not isinstance(segments, list):
            raise PhotoError(f"{place} has segments_info that is no list")
        for j, segment in enumerate(segments):
            inner = f"segment {j} of {place}"
            mask = Segment(picture, coco.whole(segment, "id", inner))
            rows.append(_annotation(file, row, segment, inner, mask))
    return _annotations(file, rows, on_outside)


def mask_for(annotation: Annotation) -> Bool[Tensor, "height width"] | None:
    """The human mask of an annotation, decoded now; None where there is none.

    Raises:
        PhotoError: the mask is broken, or of another size than the photo.
    """
    if annotation.mask is None:
        return None
    height, width = annotation.size
    if height * width > MOST_PIXELS:
        raise PhotoError(
            f"photo {annotation.file_name!r} is said to be {width} x {height} pixels; masks are "
            f"decoded up to {MOST_PIXELS:,}"
        )
    return annotation.mask.decode(annotation.size)


def with_masks(
    instances: Annotations, segments: Annotations, *, overlap: float = 0.5
) -> Annotations:
    """Give boxes the masks of the segments that are the same things.

    Within a photo, a box and a segment can be the same when they have the same label, are both
    crowds or both not, and their boxes have an IoU of at least ``overlap``. Pairs are made from
    the highest IoU down, each box and each segment once. A box that has a mask keeps it.

    Args:
        instances: the boxes, from `read_instances`.
        segments: with masks, often from `read_panoptic`.
        overlap: in [0, 1].

    Returns:
        The boxes in the same order; those without a segment as they were.

    Raises:
        PhotoError: the two say different sizes of one photo.
    """
    if not 0 <= overlap <= 1:
        raise PhotoError(f"overlap is an IoU, in [0, 1]; got {overlap}")
    found: dict[int, MaskSource | None] = {}
    for name in instances.files:
        if name not in segments.sizes:
            continue
        if instances.sizes[name] != segments.sizes[name]:
            raise PhotoError(
                f"photo {name!r} is {instances.sizes[name]} (height, width) in the one file, "
                f"{segments.sizes[name]} in the other"
            )
        boxes = [row for row in instances.of(name) if row.mask is None]
        others = [row for row in segments.of(name) if row.mask is not None]
        found |= {id(boxes[i]): others[j].mask for i, j in _pairs(boxes, others, overlap)}
    rows = tuple(replace(r, mask=found[id(r)]) if id(r) in found else r for r in instances.rows)
    return replace(instances, rows=rows)


def check_files(annotations: Annotations, folder: str | os.PathLike[str]) -> list[str]:
    """Names of the photos that are listed but are not in the folder."""
    return [name for name in annotations.files if not (Path(folder) / name).is_file()]


def _pairs(
    boxes: list[Annotation], others: list[Annotation], overlap: float
) -> Iterable[tuple[int, int]]:
    """Greedy, the highest IoU first; ties in the order of the file."""
    if not boxes or not others:
        return
    shared = iou(_as_tensor(boxes), _as_tensor(others))
    near = (shared >= overlap).nonzero().tolist()
    left_boxes, left_others = set(range(len(boxes))), set(range(len(others)))
    for i, j in sorted(near, key=lambda pair: -float(shared[pair[0], pair[1]])):
        same = (boxes[i].label, boxes[i].crowd) == (others[j].label, others[j].crowd)
        if same and i in left_boxes and j in left_others:
            left_boxes.remove(i)
            left_others.remove(j)
            yield i, j


def _as_tensor(rows: list[Annotation]) -> Float[Tensor, "boxes 4"]:
    return torch.tensor([row.box for row in rows], dtype=torch.float64)


def _annotation(
    file: CocoFile, row: Row, marked: Row, place: str, mask: MaskSource | None
) -> Annotation:
    """One of a ``row`` that names the photo and what is ``marked`` in it: often the same."""
    image, name, size = file.photo(row, place)
    category = file.category(marked, place)
    x, y, width, height = coco.numbers(
        coco.field(marked, "bbox", place), f"bbox of {place}", count=4
    )
    if width < 0 or height < 0:
        raise PhotoError(
            f"bbox of {place} has width {width} and height {height}; expected x, y, width, height"
        )
    return Annotation(
        name,
        file.categories[category],
        (x, y, x + width, y + height),
        size,
        category,
        image,
        coco.whole(marked, "id", place) if "id" in marked else 0,
        bool(marked.get("iscrowd", 0)),
        mask,
    )


def _mask_source(told: Any, place: str) -> MaskSource | None:
    """Polygons or run lengths; an empty list is how some tools write that there is no mask."""
    if told is None or told == []:
        return None
    if isinstance(told, list):
        corners = tuple(coco.numbers(xs, f"a polygon of {place}") for xs in told)
        return Polygons(corners, place)
    counts = coco.field(told, "counts", f"segmentation of {place}")
    height, width = coco.numbers(
        coco.field(told, "size", f"segmentation of {place}"), f"size of {place}", count=2
    )
    if not isinstance(counts, str):
        counts = tuple(int(c) for c in coco.numbers(counts, f"counts of {place}"))
    return Runs(counts, (int(height), int(width)), place)


def _annotations(file: CocoFile, rows: list[Annotation], on_outside: OnOutside) -> Annotations:
    kept, changed = [], []
    for row in rows:
        cut = _cut(row)
        moved = max(abs(a - b) for a, b in zip(cut, row.box, strict=True))
        empty = cut[0] >= cut[2] or cut[1] >= cut[3]
        if moved > ROUNDING or empty:
            changed.append((row, empty))
        if not empty:
            kept.append(replace(row, box=cut))
    notes: tuple[str, ...] = ()
    if changed:
        message = _told(changed, len(rows), file.path.name)
        if on_outside == "raise":
            raise PhotoError(f"{message}; mend the file, or read it with on_outside='clip'")
        notes = (f"{message}; clipped, and left out where nothing remained",)
    return Annotations(tuple(kept), dict(file.photos.values()), file.categories, notes)


def _cut(row: Annotation) -> Box:
    (x0, y0, x1, y1), (height, width) = row.box, row.size
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def _told(changed: list[tuple[Annotation, bool]], among: int, file: str) -> str:
    row, _ = changed[0]
    nothing = sum(empty for _, empty in changed)
    box = ", ".join(f"{edge:g}" for edge in row.box)
    return (
        f"{len(changed)} of {among} boxes of {file} are outside their photo ({nothing} with no "
        f"area in it), first that of annotation {row.number} in {row.file_name}: [{box}] in "
        f"{row.size[1]} x {row.size[0]} (width x height)"
    )
