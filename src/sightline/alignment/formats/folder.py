"""Our own layout: a folder of one ``labels.json`` and a PNG picture for each mask.

``labels.json`` is ``{"version": 1, "labels": [...]}``. Each record has ``item``, ``weight``,
``author``, ``time``, and ``must`` and ``must_not`` as far as they were given: of a photo the name
of a grey PNG in the folder, of a drawing a list with a number for each stroke.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from sightline.alignment.formats.json_file import kind, read_json, write_json
from sightline.alignment.formats.masks_png import png_of, read_mask
from sightline.alignment.labels import (
    AttentionLabel,
    AttentionLabels,
    Mask,
    OnUnknown,
    nearest_names,
)
from sightline.errors import AlignmentError, PhotoError, unknown_name
from sightline.image.coco import numbers, safe_name
from sightline.sketch.files import replace_file

VERSION = 1
INDEX = "labels.json"
PICTURES = "masks"
NOT = "_not"
OURS = re.compile(r"-(must|must_not)-[0-9a-f]{16}\.png")
"""How the names end that `write_labels` gives."""


def write_labels(
    folder: str | os.PathLike[str], labels: AttentionLabels | Iterable[AttentionLabel]
) -> None:
    """Write labels as a folder; what `read_labels_folder` reads is the same again.

    Masks of photos of which every number is k / 255 (hard masks, all that came from 8 bits) are
    PNG pictures of 8 bits, exact. Others are of 16 bits, exact to 1 / 131070, and what is above 0
    stays so. Numbers of strokes are exact. Pictures come first and ``labels.json`` last, in one
    move: until then the folder says what it said before. Pictures of labels that it held before
    are then removed.

    Args:
        folder: made if it is not there.
        labels: any number of them; several of one item, too.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_labels(folder, [AttentionLabel("duck.jpg", must=[[0, 1]], author="ada")])
        >>> (label,) = read_labels_folder(folder)
        >>> label.item, label.must.tolist(), label.author
        ('duck.jpg', [[0.0, 1.0]], 'ada')
    """
    folder = Path(folder)
    new: list[Path] = []
    try:
        rows = [_record(label, folder, new) for label in labels]
        write_json(folder / INDEX, {"version": VERSION, "labels": rows}, indent=1)
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise
    _sweep(
        folder, {row[name] for row in rows for name in ("must", "must_not") if _named(row, name)}
    )


def read_labels_folder(
    folder: str | os.PathLike[str],
    *,
    items: Iterable[str] | None = None,
    on_unknown: OnUnknown = "raise",
) -> AttentionLabels:
    """Read labels from a folder that `write_labels` wrote, or from a plain folder of PNG masks.

    Convention:
        Plain masks are grey, white where a photo has to be looked at; ``duck.png`` is of the item
        whose name without its suffix is ``duck``, and ``duck_not.png`` says what has to be left
        alone in it. Masks may lie in folders as their items do (``cat/1.png`` of ``cat/1.jpg``).
        A mask whose largest grey is 1 of 255 was meant as 0 and 1, and is read so, with a note.

    Args:
        folder: with a ``labels.json`` or with PNG masks.
        items: names of photos; a plain folder needs them, other folders do not.
        on_unknown: a plain mask of no item is an error; or (``"skip"``) it is left out, with a
            note.

    Raises:
        AlignmentError: no such folder, broken JSON (with the place), a record or a mask that is
            broken, empty, or outside the folder; a plain mask of no item or of several.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AlignmentError(f"{folder} is no folder; give one with {INDEX} or PNG masks")
    if (folder / INDEX).is_file():
        return read_index(folder / INDEX)
    return _read_plain(folder, items, on_unknown)


def plain_masks(folder: Path) -> list[Path]:
    """PNG files of a folder and of those in it, without hidden ones, by name."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        path
        for path in found
        if path.suffix.lower() == ".png" and not any(p.startswith(".") for p in path.parts)
    )


def _record(label: AttentionLabel, folder: Path, new: list[Path]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "item": label.item,
        "weight": float(label.weight),
        "author": label.author,
        "time": label.time,
    }
    for name in ("must", "must_not"):
        mask: Mask | None = getattr(label, name)
        if mask is not None:
            row[name] = mask.tolist() if mask.ndim == 1 else _stored(mask, label, name, folder, new)
    return row


def _stored(mask: Mask, label: AttentionLabel, name: str, folder: Path, new: list[Path]) -> str:
    """The picture's name, made of its content: one that is there already is the same."""
    png = png_of(mask)
    stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(label.item).stem)[:40].strip("_") or "item"
    digest = hashlib.sha256(png).hexdigest()[:16]
    path = folder / PICTURES / f"{stem}-{name}-{digest}.png"
    if not path.is_file():
        with replace_file(path) as stream:
            stream.write(png)
        new.append(path)
    return f"{PICTURES}/{path.name}"


def _named(row: Mapping[str, Any], name: str) -> bool:
    return isinstance(row.get(name), str)


def _sweep(folder: Path, used: set[str]) -> None:
    """Remove pictures of earlier labels: only such as have a name that we give."""
    for path in sorted((folder / PICTURES).glob("*.png")):
        if OURS.search(path.name) and f"{PICTURES}/{path.name}" not in used:
            path.unlink()


def read_index(path: Path) -> AttentionLabels:
    """Read a ``labels.json``, and the pictures beside it."""
    table = read_json(path)
    rows = table.get("labels") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(rows, list):
        raise AlignmentError(f"{path} is {kind(table)}; expected an object with a list 'labels'")
    if table.get("version") != VERSION:
        raise AlignmentError(
            f"{path} has version {table.get('version')!r}; this sightline reads {VERSION}"
        )
    return AttentionLabels.from_rows(
        _label(row, path.parent, f"label {i} of {path}") for i, row in enumerate(rows)
    )


def _label(row: Any, folder: Path, place: str) -> AttentionLabel:
    if not isinstance(row, dict):
        raise AlignmentError(f"{place} is {kind(row)}; expected an object")
    texts = [row.get(name, "") for name in ("item", "author", "time")]
    weight = row.get("weight", 1.0)
    if not all(isinstance(text, str) for text in texts) or not texts[0]:
        raise AlignmentError(f"{place} has item, author, time {texts}; expected texts")
    try:
        (weight,) = numbers([weight], f"weight of {place}")
    except PhotoError as error:
        raise AlignmentError(str(error)) from error
    masks = [_mask(row.get(name), folder, f"{name} of {place}") for name in ("must", "must_not")]
    try:
        return AttentionLabel(texts[0], masks[0], masks[1], weight, texts[1], texts[2])
    except AlignmentError as error:
        raise AlignmentError(f"{place}: {error}") from error


def _mask(told: Any, folder: Path, place: str) -> Mask | None:
    """Of a photo: a picture in the folder; of a drawing: numbers."""
    if told is None:
        return None
    try:
        if isinstance(told, list):
            return np.array(numbers(told, place), np.float32)
        name = safe_name(told, place)
    except PhotoError as error:
        raise AlignmentError(str(error)) from error
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):  # a link may lead out of it
        raise AlignmentError(f"{place} is {name!r}, which leaves its folder; refused")
    return read_mask(path)


def _read_plain(
    folder: Path, items: Iterable[str] | None, on_unknown: OnUnknown
) -> AttentionLabels:
    files = plain_masks(folder)
    if not files:
        raise AlignmentError(f"{folder} has neither {INDEX} nor a PNG mask")
    if items is None:
        raise AlignmentError(
            f"{folder} has {len(files)} PNG masks and no {INDEX}: give items=, the names of the "
            "photos, to know whose they are"
        )
    if on_unknown not in ("raise", "skip"):
        raise AlignmentError(unknown_name("on_unknown", on_unknown, ("raise", "skip")))
    pairs, left_out = _paired(folder, files, tuple(items), on_unknown)
    meant: list[str] = []
    rows = tuple(_plain_label(folder, item, pair, meant) for item, pair in pairs.items())
    notes = [f"left out {len(left_out)} masks of no item, first {left_out[0]}"] if left_out else []
    if meant:
        notes.append(f"read {len(meant)} masks of greys 0 and 1 as black and white: {meant[0]} ...")
    return AttentionLabels(rows, tuple(notes))


def _paired(
    folder: Path, files: list[Path], items: tuple[str, ...], on_unknown: OnUnknown
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """The files ``must`` and ``must_not`` of each item, and those of none."""
    index = _by_stem(items)
    pairs: dict[str, dict[str, Path]] = {}
    left_out = []
    for file in files:
        found, side = _items_of(file, index)
        if len(found) > 1:
            raise AlignmentError(
                f"{folder / file} can be of {len(found)} items, {found[0]!r} and {found[1]!r}; "
                "put masks in folders as their photos are"
            )
        if not found and on_unknown == "raise":
            raise AlignmentError(
                f"{folder / file} is a mask of no item: {nearest_names(file.as_posix(), items)}; "
                "mend its name, or leave such masks out with on_unknown='skip'"
            )
        if not found:
            left_out.append(file.as_posix())
            continue
        pair = pairs.setdefault(found[0], {})
        if side in pair:
            raise AlignmentError(
                f"{folder / file} and {folder / pair[side]} are both the {side} mask of "
                f"{found[0]!r}; keep one"
            )
        pair[side] = file
    return pairs, left_out


def _by_stem(items: tuple[str, ...]) -> dict[str, list[str]]:
    """Items by their names without suffix, in their folders; out of them where that is nobody's."""
    bare: dict[str, list[str]] = {}
    placed: dict[str, list[str]] = {}
    for item in dict.fromkeys(items):
        path = PurePosixPath(item)
        bare.setdefault(path.stem, []).append(item)
        placed.setdefault(path.with_suffix("").as_posix(), []).append(item)
    return bare | placed


def _items_of(file: Path, index: Mapping[str, list[str]]) -> tuple[list[str], str]:
    """Whose mask a file can be, and which: ``a_not`` is of ``a``, or of an item ``a_not``."""
    stem = file.with_suffix("").as_posix()
    found, side = list(index.get(stem, ())), "must"
    if stem.endswith(NOT) and (other := index.get(stem.removesuffix(NOT))):
        found, side = [*other, *found], "must_not"
    return found, side


def _plain_label(
    folder: Path, item: str, pair: Mapping[str, Path], meant: list[str]
) -> AttentionLabel:
    masks = {}
    for name, file in pair.items():
        mask = read_mask(folder / file)
        if mask.max() == np.float32(1) / np.float32(255):
            mask = (mask > 0).astype(np.float32)
            meant.append(file.as_posix())
        if not mask.any():
            raise AlignmentError(
                f"{folder / file} is all black: nothing in {item!r} is marked; paint it, or "
                "remove the file"
            )
        masks[name] = mask
    return AttentionLabel(item, masks.get("must"), masks.get("must_not"))
