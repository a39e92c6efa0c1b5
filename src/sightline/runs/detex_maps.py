"""One map in a file of detex, checked: where it is, what it says, its numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from sightline.errors import PhotoError, SightlineError
from sightline.image.read import MOST_PIXELS
from sightline.runs.rows import Row

METHODS = {"kSHAP": "kernel_shap", "XGrad-CAM": "x_grad_cam", "Grad-CAM++": "grad_cam_pp"}
"""What detex calls them -> our names."""

CORNERS = ("x1", "y1", "x2", "y2")
FROM_COLOURS = "read back from the colours of a picture, in 253 steps"

OWN = (
    "method", "label", "target", "unit", "value", "base", "evaluations", "seconds", "seed", "notes",
    "blank", "measures", "curve", "candidate", "detector_score", "number",
)  # fmt: skip
"""Fields of a row that our own export keeps in an attribute beside the map."""

_ATTRIBUTES = ("box_num", "box", "label", "score", "explainer_engine")


def maps_in(file: Any, path: Path) -> Iterator[StoredMap]:
    """Every map of an open file, its form checked.

    Raises:
        SightlineError: another layout; the message names the place.
    """
    for image in file:
        for head in _group(file, image, f"{path} /{image}"):
            inside = _group(file[image], head, f"{path} /{image}/{head}")
            for column in inside:
                numbers = [_number(name, path, (image, head, column)) for name in
                           (image, head, column)]  # fmt: skip
                yield StoredMap(path, inside, *numbers)


class StoredMap:
    """One data set of a file, and the group that it lies in."""

    def __init__(self, path: Path, group: Any, image: int, head: int, column: int) -> None:
        self.image, self.head, self.column = image, head, column
        self.where = f"{path} /{image}/{head}/{column}"
        self._data = _dataset(group, str(column), self.where)
        told = _attributes(group, self.where, path.stem)
        self.number, self.box, self.label, self.score, self.engine = told
        self.own = _own_of(self._data, self.where)
        self.method = self.own["method"] if self.own else self._method()

    def _method(self) -> str:
        name = METHODS.get(self.engine, self.engine).replace("/", "-") or "detex"
        return name if self.column >= 4 else f"{name} ({CORNERS[self.column]})"

    def heat(self) -> Float[np.ndarray, "height width"]:
        """The scores, pixel by pixel.

        Raises:
            PhotoError: damaged data, numbers that are no scores.
        """
        try:
            data = self._data[()][0]
        except (OSError, RuntimeError) as error:
            raise PhotoError(
                f"{self.where} is damaged ({str(error)[:80]}); leave it out, or make it again"
            ) from None
        coloured = data.dtype == np.uint8 and self.engine in ("XGrad-CAM", "Grad-CAM++")
        if coloured:
            return from_colours(data, self.where)
        if not np.isfinite(data).all():
            raise PhotoError(f"{self.where} has numbers that are not finite; make it again")
        if not (data == data[..., :1]).all():
            raise PhotoError(
                f"{self.where} has three channels that differ; expected one number a pixel: give "
                "the sum or the mean of the channels"
            )
        return data[..., 0].astype(np.float64)

    def row(self, scores: Float[np.ndarray, " parts"], labels: Mapping[int, str]) -> Row:
        """The explanation, as much of it as the file tells."""
        if self.own:
            told = {name: self.own[name] for name in OWN}
            told |= {"box": tuple(self.own["box"]), "notes": tuple(told["notes"])}
            told["curve"] = None if told["curve"] is None else tuple(told["curve"])
            return Row(**told, label_index=self.column - 4, scores=scores)
        coloured = self._data.dtype == np.uint8
        index = self.column - 4 if self.column >= 4 else self.label
        label = labels.get(index, str(index))
        return Row(
            number=self.number,
            method=self.method,
            label=label,
            label_index=index,
            target=label if self.column >= 4 else CORNERS[self.column],
            box=self.box,
            scores=scores,
            detector_score=self.score,
            candidate=self.head,
            notes=(FROM_COLOURS,) if coloured else (),
        )


def from_colours(
    picture: Shaped[np.ndarray, "height width channels"], where: str
) -> Float[np.ndarray, "height width"]:
    """The map behind detex's pictures of Grad-CAM: the middle of each colour's step.

    Raises:
        PhotoError: a colour that such pictures do not have.
    """
    from matplotlib import colormaps

    table = (255 * colormaps["jet"](np.arange(256))[:, :3]).astype(np.uint8)
    if picture.shape[-1] == 1:  # detex keeps blue alone where there is no other colour
        picture = np.concatenate([np.zeros_like(picture)] * 2 + [picture], -1)
    known, sought = (c.astype(np.int64) @ [65536, 256, 1] for c in (table, picture))
    colours, of_step = np.unique(known, return_inverse=True)
    place = np.searchsorted(colours, sought).clip(max=len(colours) - 1)
    if (colours[place] != sought).any():
        raise PhotoError(
            f"{where} is a picture in other colours than detex's (jet); expected those, or one "
            "number a pixel"
        )
    # four steps are the same pure blue: their middle
    steps = np.bincount(of_step, weights=np.arange(256)) / np.bincount(of_step)
    return np.sqrt((steps[place] + 0.5) / 256)


def _number(name: str, path: Path, names: tuple[str, ...]) -> int:
    if not (name.isascii() and name.isdigit() and len(name) < 10):
        raise SightlineError(
            f"{path} /{'/'.join(names)}: {name!r} is no number; expected /image/box/column, as "
            "detex writes them"
        )
    return int(name)


def _group(parent: Any, name: str, where: str) -> Any:
    h5py = h5py_or_cure()
    found = _linked(parent, name, where)
    if not isinstance(found, h5py.Group):
        raise SightlineError(f"{where} is no group; expected /image/box/column, as detex writes it")
    return found


def _dataset(group: Any, name: str, where: str) -> Any:
    h5py = h5py_or_cure()
    data = _linked(group, name, where)
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise SightlineError(f"{where} is no data set of this file; export it anew")
    shape: tuple[int, ...] = data.shape or ()
    right = len(shape) == 4 and shape[0] == 1 and shape[3] in (1, 3) and data.dtype.kind in "iuf"
    if not right or not 0 < shape[1] * shape[2] <= MOST_PIXELS:
        raise SightlineError(
            f"{where} holds {data.dtype} {list(shape)}; expected numbers [1, height, width, 1 or 3]"
        )
    return data


def _linked(parent: Any, name: str, where: str) -> Any:
    """What stands there in this very file; links elsewhere are refused."""
    h5py = h5py_or_cure()
    try:
        if isinstance(parent.get(name, getlink=True), h5py.HardLink):
            return parent[name]
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise SightlineError(f"{where} is damaged ({str(error)[:80]}); export it anew") from None
    raise SightlineError(f"{where} is a link elsewhere; copy the data into the file")


def _attributes(group: Any, where: str, stem: str) -> tuple[int, Any, int, float, str]:
    """``box_num``, ``box``, ``label``, ``score``, ``explainer_engine`` of a box's group."""
    told: dict[str, Any] = dict.fromkeys(_ATTRIBUTES)
    try:
        told |= {name: group.attrs[name] for name in _ATTRIBUTES if name in group.attrs}
        box = tuple(float(side) for side in np.asarray(told["box"], np.float64).reshape(4))
        number, label, score = int(told["box_num"]), int(told["label"]), float(told["score"])
        if number < 0 or not np.isfinite([*box, score]).all():
            raise ValueError("numbers out of range")
    except (OSError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        lacking = [name for name in _ATTRIBUTES[:4] if told[name] is None]
        what = f"lacks {', '.join(lacking)}" if lacking else f"is wrong ({str(error)[:80]})"
        raise SightlineError(
            f"{where}: the box's group {what}; expected the attributes box_num, box (4 numbers), "
            "label and score, as detex writes them"
        ) from None
    engine = told["explainer_engine"]
    engine = engine.decode("utf-8", "replace") if isinstance(engine, bytes) else engine
    return number, box, label, score, engine if isinstance(engine, str) else stem


_NUMBER, _MAYBE, _WORDS = (int, float), (int, float, type(None)), (str, type(None))
_KINDS: dict[str, Any] = {
    "photo": str, "method": str, "label": str, "target": str, "unit": str, "value": _MAYBE,
    "base": _MAYBE, "evaluations": int, "seconds": _NUMBER, "seed": (int, type(None)),
    "notes": list, "blank": _WORDS, "measures": dict, "curve": (list, type(None)),
    "candidate": (int, type(None)), "detector_score": _MAYBE, "number": int, "box": list,
}  # fmt: skip


def _own_of(data: Any, where: str) -> dict[str, Any]:
    """What our own export told, checked; empty where another program wrote."""
    try:
        if "sightline" not in data.attrs:
            return {}
        told = json.loads(data.attrs["sightline"])
        wrong = [name for name, kind in _KINDS.items() if not isinstance(told[name], kind)]
        lists = [*told["box"], *(told["curve"] or ()), *told["measures"].values()]
        if wrong or len(told["box"]) != 4 or not all(isinstance(n, _MAYBE) for n in lists):
            raise ValueError(", ".join(wrong) or "box, curve or measures")
        if not all(isinstance(note, str) for note in told["notes"]):
            raise ValueError("notes")
        return told
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SightlineError(
            f"{where}: the attribute 'sightline' is damaged ({str(error)[:80]}); remove it, and "
            "the rest is read as detex's own"
        ) from None


def h5py_or_cure() -> Any:
    """h5py, or the error that says how to get it."""
    try:
        import h5py
    except ImportError:
        raise SightlineError(
            "the layout of detex needs h5py; install it with: pip install 'sightline[data]'"
        ) from None
    return h5py
