"""GRADIA's files: attention masks, and which predictions had a reasonable attention."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any, Literal

import numpy as np

from sightline.alignment.formats.json_file import kind, read_json, write_json
from sightline.alignment.labels import AttentionLabel, AttentionLabels, Mask, nearest_names
from sightline.errors import AlignmentError, unknown_name
from sightline.sketch.files import replace_file

PathLike = str | os.PathLike[str]
OnEmpty = Literal["raise", "skip"]
OnMustNot = Literal["raise", "leave_out"]

CELLS = {
    "RA": "Reasonable Accurate",
    "UA": "Unreasonable Accurate",
    "RI": "Reasonable Inaccurate",
    "UI": "Unreasonable Inaccurate",
}
"""The cells of the matrix, as GRADIA's files write them."""
_CELL_OF = {text: cell for cell, text in CELLS.items()}
_SIDE = 224


def read_gradia(
    path: PathLike,
    *,
    updates: Sequence[PathLike] = (),
    removals: Sequence[PathLike] = (),
    sizes: Mapping[str, tuple[int, int]] | None = None,
    on_empty: OnEmpty = "raise",
) -> AttentionLabels:
    """Read GRADIA's attention files.

    Convention:
        Each is a list of ``{"img": path, "attention": rows of numbers}``. The item is the file
        name of the path. GRADIA's masks are 224 x 224 whatever the photo's aspect: the photo was
        stretched. A mask whose largest number is above 1 is divided by 255. Soft masks stay soft
        (GRADIA's program cuts them down to 0 and 1). Of two masks of one photo the later counts.

    Args:
        path: the file (``attention_val.json``).
        updates: files of the same layout whose masks replace or join those before
            (``attention_val_update.json``).
        removals: files that list by ``"img"`` what is then taken away
            (``attention_val_remove.json``).
        sizes: (height, width) of photos by their file names: masks are stretched back to these;
            others stay as they are.
        on_empty: a mask with nothing on it is an error; or (``"skip"``) it is left out, with a
            note.

    Raises:
        AlignmentError: broken JSON (with the place), another layout, numbers outside [0, 255], an
            empty mask, a removal of what is not there.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "attention_val.json"
        >>> entry = {"img": "val/ducks/duck.jpg", "attention": [[0, 1], [0, 0]]}
        >>> _ = path.write_text(json.dumps([entry]))
        >>> (label,) = read_gradia(path)
        >>> label.item, label.must.tolist()
        ('duck.jpg', [[0.0, 1.0], [0.0, 0.0]])
    """
    files = [(str(file), read_json(file, object_hook=compact)) for file in (path, *updates)]
    masks, notes = _masks(files, on_empty)
    for file in removals:
        _remove(masks, file)
    return _labels(masks, notes, sizes or {})


def parsed_gradia(
    told: Any, path: PathLike, *, sizes: Mapping[str, tuple[int, int]] | None = None
) -> AttentionLabels:
    """As `read_gradia`, of a file that has been parsed (with `compact`) already."""
    masks, notes = _masks([(str(path), told)], "raise")
    return _labels(masks, notes, sizes or {})


def compact(entry: dict[str, Any]) -> dict[str, Any]:
    """Rows of numbers as one array as soon as an entry is read: a list takes eight times more."""
    if "img" in entry and isinstance(entry.get("attention"), list):
        try:
            entry["attention"] = np.array(entry["attention"], np.float32)
        except (ValueError, TypeError, OverflowError):
            entry["attention"] = None
    return entry


def is_gradia_attention(told: Any) -> bool:
    """Whether a parsed file has the layout of GRADIA's masks."""
    first = told[0] if isinstance(told, list) and told else None
    return isinstance(first, dict) and {"img", "attention"} <= first.keys()


def write_gradia_attention(
    path: PathLike,
    labels: AttentionLabels | Iterable[AttentionLabel],
    *,
    size: tuple[int, int] | None = (_SIDE, _SIDE),
    on_must_not: OnMustNot = "raise",
) -> None:
    """Write labels as GRADIA's attention file, whole or not at all.

    Args:
        path: the file.
        labels: of photos, one an item. GRADIA's file has neither weight, author nor time.
        size: (height, width) that masks are stretched to, 224 x 224 for GRADIA's program; None
            leaves them as they are.
        on_must_not: the layout has no masks of what to leave alone: a label with one is an error;
            or (``"leave_out"``) only its must mask is written, if there is any.

    Raises:
        AlignmentError: labels that the layout cannot hold.
    """
    if on_must_not not in ("raise", "leave_out"):
        raise AlignmentError(unknown_name("on_must_not", on_must_not, ("raise", "leave_out")))
    seen: set[str] = set()
    with replace_file(path) as stream:  # an entry at a time: all of them would fill the memory
        stream.write(b"[")
        for label in labels:
            _refuse_label(label, seen, on_must_not)
            if label.must is not None and label.must.any():
                sized = label if size is None else label.resized(size)
                entry = json.dumps({"img": label.item, "attention": _plain(sized)})
                stream.write((", " if seen else "").encode() + entry.encode())
                seen.add(label.item)
        stream.write(b"]\n")


def read_reasonability(
    path: PathLike, *, misclassified: PathLike | Iterable[str] | None = None
) -> dict[str, str]:
    """The cell (RA, UA, RI, UI) of each photo in one of GRADIA's reasonability files.

    Convention:
        Either ``{file name: "Unreasonable Accurate", ...}``, which has the accuracy in it; or a
        list of ``{"img": path, "label": "reasonable" or "unreasonable"}``, which needs the list
        of the photos that the model got wrong. Entries of the list without a file name are passed
        over, and of two of one photo the later counts, as in GRADIA's program.

    Args:
        path: the file.
        misclassified: for the list: names or paths of the photos that were classified wrongly,
            or a JSON file that lists them (``misclassified.json``).

    Raises:
        AlignmentError: broken JSON (with the place), another layout, an unknown verdict; a list
            without ``misclassified``, or a table with it.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "reasonability.json"
        >>> _ = path.write_text(json.dumps({"duck.jpg": "Unreasonable Accurate"}))
        >>> read_reasonability(path)
        {'duck.jpg': 'UA'}
    """
    told = read_json(path)
    if isinstance(told, dict):
        if misclassified is not None:
            raise AlignmentError(f"{path} says itself what is accurate; give no misclassified=")
        return {
            _name(img, f"a key of {path}"): _cell(text, img, path) for img, text in told.items()
        }
    if not isinstance(told, list):
        raise AlignmentError(
            f"{path} is {kind(told)}; expected {{file name: {CELLS['UA']!r}, ...}} or a list of "
            "{'img', 'label'}"
        )
    if misclassified is None:
        raise AlignmentError(
            f"{path} says what is reasonable, not what is accurate: give misclassified=, the "
            "photos that the model got wrong"
        )
    wrong = _wrong(misclassified)
    cells = {}
    for i, entry in enumerate(told):
        place = f"entry {i} of {path}"
        img = _field(entry, "img", place)
        if not isinstance(img, str) or _base(img):
            name = _name(img, place)
            cells[name] = _reasonable(entry, place) + ("I" if name in wrong else "A")
    return cells


def write_gradia_reasonability(path: PathLike, cells: Mapping[str, str]) -> None:
    """Write the cell (RA, UA, RI, UI) of each photo as GRADIA's table, whole or not at all.

    Raises:
        AlignmentError: an unknown cell.
    """
    for name, cell in cells.items():
        if cell not in CELLS:
            raise AlignmentError(f"{name!r} has {unknown_name('cell', cell, CELLS)}")
    write_json(path, {name: CELLS[cell] for name, cell in cells.items()})


def _refuse_label(label: AttentionLabel, seen: Container[str], on_must_not: OnMustNot) -> None:
    if label.must_not is not None and on_must_not == "raise":
        raise AlignmentError(
            f"the label of {label.item!r} says what to leave alone, which GRADIA's file cannot "
            "hold; write_labels can, or leave it out with on_must_not='leave_out'"
        )
    if label.of_strokes:
        raise AlignmentError(f"{label.item!r} is a drawing; GRADIA's file holds masks of photos")
    if label.item in seen:
        raise AlignmentError(
            f"{label.item!r} has several labels; GRADIA's file holds one: use combined(labels)"
        )


def _masks(
    files: Sequence[tuple[str, Any]], on_empty: OnEmpty
) -> tuple[dict[str, Mask], list[str]]:
    """The mask of each photo, later files over earlier ones; and what was changed."""
    if on_empty not in ("raise", "skip"):
        raise AlignmentError(unknown_name("on_empty", on_empty, ("raise", "skip")))
    masks: dict[str, Mask] = {}
    notes = []
    for path, told in files:
        found = [
            _item_and_mask(entry, f"entry {i} of {path}", on_empty)
            for i, entry in _entries(told, path)
        ]
        own = dict(found)
        empty = [item for item, mask in own.items() if not mask.any()]
        masks |= own
        for item in empty:  # also one of an earlier file, which this one has emptied
            del masks[item]
        if empty:
            notes.append(f"{path}: left out {len(empty)} empty masks, first of {empty[0]!r}")
        if len(own) < len(found):
            notes.append(
                f"{path}: {len(found) - len(own)} masks are of photos listed twice: the "
                "last of each counts"
            )
    return masks, notes


def _item_and_mask(entry: Any, place: str, on_empty: OnEmpty) -> tuple[str, Mask]:
    item = _name(_field(entry, "img", place), place)
    mask = _attention(_field(entry, "attention", place), f"{place} ({item})")
    if not mask.any() and on_empty == "raise":
        raise AlignmentError(
            f"attention of {place} ({item}) is empty: no place is marked; mark one, or leave such "
            "entries out with read_gradia(..., on_empty='skip')"
        )
    return item, mask


def _labels(
    masks: Mapping[str, Mask], notes: Iterable[str], sizes: Mapping[str, tuple[int, int]]
) -> AttentionLabels:
    rows = [AttentionLabel(item, must=mask) for item, mask in masks.items()]
    sized = (row.resized(sizes[row.item]) if row.item in sizes else row for row in rows)
    return AttentionLabels(tuple(sized), tuple(notes))


def _attention(told: Any, place: str) -> Mask:
    if not isinstance(told, np.ndarray) or told.ndim != 2 or not told.size:
        raise AlignmentError(f"attention of {place} is no table of numbers, [height, width]")
    if not (np.isfinite(told).all() and told.min() >= 0 and told.max() <= 255):
        raise AlignmentError(
            f"attention of {place} has numbers from {told.min()} to {told.max()}; expected [0, 1] "
            "or [0, 255]"
        )
    return told / np.float32(255) if told.max() > 1 else told


def _remove(masks: dict[str, Mask], path: PathLike) -> None:
    for i, entry in _entries(read_json(path, object_hook=compact), str(path)):
        place = f"entry {i} of {path}"
        item = _name(_field(entry, "img", place), place)
        if item not in masks:
            raise AlignmentError(
                f"{place} removes what is not there: {nearest_names(item, masks)}; mend its name"
            )
        del masks[item]


def _entries(told: Any, path: str) -> list[tuple[int, Any]]:
    if not isinstance(told, list):
        raise AlignmentError(f"{path} is {kind(told)}; expected a list of {{'img', 'attention'}}")
    return list(enumerate(told))


def _field(entry: Any, name: str, place: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        came = f"keys {', '.join(entry) or 'none'}" if isinstance(entry, dict) else kind(entry)
        raise AlignmentError(f"{place} has no {name!r} ({came}); expected an object with it")
    return entry[name]


def _base(img: str) -> str:
    """The file name of a path of any system; empty where the path ends in a folder."""
    return "" if img.endswith(("/", "\\")) else PureWindowsPath(img).name


def _name(img: Any, place: str) -> str:
    if not isinstance(img, str) or not _base(img):
        raise AlignmentError(f"{place} has img {img!r}; expected the path of a photo")
    return _base(img)


def _cell(text: Any, img: str, path: PathLike) -> str:
    if not isinstance(text, str) or text not in _CELL_OF:
        raise AlignmentError(
            f"{img!r} of {path} has {unknown_name('verdict', str(text)[:80], _CELL_OF)}"
        )
    return _CELL_OF[text]


def _reasonable(entry: Any, place: str) -> str:
    label = _field(entry, "label", place)
    if label not in ("reasonable", "unreasonable"):
        known = ("reasonable", "unreasonable")
        raise AlignmentError(f"{place} has {unknown_name('label', str(label)[:80], known)}")
    return "R" if label == "reasonable" else "U"


def _wrong(misclassified: PathLike | Iterable[str]) -> set[str]:
    if not isinstance(misclassified, str | os.PathLike):
        return {_name(name, "misclassified") for name in misclassified}
    names = read_json(misclassified)
    if not isinstance(names, list):
        raise AlignmentError(f"{misclassified} is {kind(names)}; expected a list of file names")
    return {_name(name, f"an entry of {misclassified}") for name in names}


def _plain(label: AttentionLabel) -> list[list[float]]:
    """Hard masks as whole numbers, as GRADIA writes them."""
    mask = label.either("must")
    hard = bool(np.isin(mask, (0, 1)).all())
    return mask.astype(np.int64).tolist() if hard else mask.tolist()
