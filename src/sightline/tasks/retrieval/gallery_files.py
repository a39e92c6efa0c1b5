"""A gallery on disk: vectors that are mapped, not read; items one JSON line each."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import TaskError, first_line
from sightline.models.encoder import MEASURES, Measure
from sightline.sketch.files import replace_file
from sightline.sketch.shards import crc32

MANIFEST = "gallery.json"
FORMAT = "sightline gallery 1"
KINDS = ("photos", "drawings")
ROWS = 65_536
PIECE = 2**24

_OURS = re.compile(r"(vectors-[0-9a-f]{8}\.npy|items-[0-9a-f]{8}\.jsonl)")
_DAMAGED = "the gallery is damaged: index again"


@dataclass(frozen=True)
class Root:
    """Where items come from.

    Args:
        kind: ``"photos"``: a folder; ``"drawings"``: a file or folder of them.
        path: of it; nothing of items that were made in memory.
    """

    kind: str
    path: Path


@dataclass(frozen=True)
class GalleryItem:
    """What is known of one item.

    Args:
        name: for people, and to find it by.
        label: its category, where known.
        instance: the one object that it shows, where known.
        root: which of the gallery's roots it comes from.
        source: path in the folder of photos, with ``/``; or index in the collection of drawings;
            None if it was made in memory.
    """

    name: str
    label: str | None = None
    instance: str | None = None
    root: int = 0
    source: str | int | None = None


@dataclass(frozen=True)
class Told:
    """The manifest: which encoder made the vectors, and where the items come from."""

    encoder: str
    fingerprint: str
    measure: Measure
    roots: tuple[Root, ...]


class StoredItems:
    """The items of a file, each read when it is asked for, as a sequence of them.

    Args:
        path: of the file, a JSON object a line.
        count: of the lines.
        roots: how many there are.
    """

    def __init__(self, path: Path, count: int, roots: int) -> None:
        self.path, self._count, self._roots = path, count, roots

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> GalleryItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[GalleryItem, ...]: ...
    def __getitem__(self, index: int | slice) -> GalleryItem | tuple[GalleryItem, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        start = int(self._ends[place - 1]) if place else 0
        with open(self.path, "rb") as stream:
            stream.seek(start)
            return self._item(stream.read(int(self._ends[place]) - start), place)

    def __iter__(self) -> Iterator[GalleryItem]:
        self._ends  # noqa: B018, the count of lines is checked
        with open(self.path, "rb") as stream:
            for place, line in enumerate(stream):
                yield self._item(line, place)

    @cached_property
    def _ends(self) -> Int[np.ndarray, " items"]:
        """Where each line ends; the file is looked through once, a piece at a time."""
        ends, start = [], 0
        with open(self.path, "rb") as stream:
            while piece := stream.read(PIECE):
                ends.append(np.flatnonzero(np.frombuffer(piece, np.uint8) == 10) + start + 1)
                start += len(piece)
        found = np.concatenate([np.empty(0, np.int64), *ends])
        if len(found) != self._count or (self._count and found[-1] != start):
            raise TaskError(
                f"{self.path} holds {len(found)} lines, {MANIFEST} says {self._count}; {_DAMAGED}"
            )
        return found

    def _item(self, line: bytes, place: int) -> GalleryItem:
        where = f"{self.path} line {place + 1}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise TaskError(f"{where} is not JSON; {_DAMAGED}") from None
        return _checked_item(row, where, self._roots)


Items = Sequence[GalleryItem] | StoredItems


def write_gallery(
    folder: str | os.PathLike[str],
    told: Told,
    vectors: Float[Tensor, "items dimension"],
    items: Items,
) -> None:
    """Write a gallery: it appears whole, in place of one that was there, or not at all.

    Files carry their checksum in their name; the manifest, written last, says which count.
    """
    folder = Path(folder)
    fresh = not folder.exists()
    written: list[Path] = []
    try:
        written.append(_renamed(_write_vectors(folder / "vectors.npy", vectors), "vectors"))
        written.append(_renamed(_write_items(folder / "items.jsonl", items), "items"))
        manifest = {
            "format": FORMAT,
            "encoder": told.encoder,
            "fingerprint": told.fingerprint,
            "measure": told.measure,
            "items": len(items),
            "dimension": vectors.shape[1],
            "roots": [{"kind": root.kind, "path": str(root.path)} for root in told.roots],
            "files": [{"name": path.name, "bytes": path.stat().st_size} for path in written],
        }
        with replace_file(folder / MANIFEST) as stream:
            # in ASCII, since a path need not be UTF-8
            stream.write(json.dumps(manifest, indent=2).encode() + b"\n")
    except BaseException:
        _forget(folder, fresh)
        raise
    _forget(folder, False)


def open_gallery(
    folder: str | os.PathLike[str], *, check: bool = False
) -> tuple[Told, Float[Tensor, "items dimension"], StoredItems]:
    """Open a gallery; the vectors are mapped into memory, page by page as they are used.

    Args:
        folder: that `write_gallery` wrote.
        check: read every file once against its checksum.

    Raises:
        TaskError: no gallery, another version, a missing or damaged file; the message names it.
    """
    folder = Path(folder)
    path, row = folder / MANIFEST, _manifest(folder)
    try:
        count, dimension = _natural(row["items"]), _natural(row["dimension"])
        roots = tuple(_root(root) for root in row["roots"])
        told = Told(_text(row["encoder"]), _text(row["fingerprint"]), row["measure"], roots)
        vectors, items = [
            (folder / _own(file["name"], kind), _natural(file["bytes"]))
            for file, kind in zip(row["files"], ("vectors", "items"), strict=True)
        ]
        if told.measure not in MEASURES:
            raise ValueError(told.measure)
        if not roots:
            raise ValueError("roots")
    except (KeyError, TypeError, ValueError, IndexError):
        raise TaskError(f"{path} lacks what a gallery's manifest says; {_DAMAGED}") from None
    for file, size in (vectors, items):
        _check_file(file, size, check)
    return told, _mapped(vectors[0], count, dimension), StoredItems(items[0], count, len(roots))


def _write_vectors(path: Path, vectors: Float[Tensor, "items dimension"]) -> Path:
    header = {"descr": "<f4", "fortran_order": False, "shape": tuple(vectors.shape)}
    with replace_file(path) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for rows in vectors.split(ROWS):
            stream.write(rows.detach().cpu().numpy().astype("<f4").tobytes())
    return path


def _write_items(path: Path, items: Items) -> Path:
    with replace_file(path) as stream:
        for item in items:
            told = {key: value for key, value in asdict(item).items() if value is not None}
            stream.write(json.dumps(told).encode() + b"\n")
    return path


def _renamed(path: Path, kind: str) -> Path:
    return path.replace(path.with_name(f"{kind}-{crc32(path):08x}{path.suffix}"))


def _forget(folder: Path, fresh: bool) -> None:
    """Remove files of ours that the manifest does not name, and the folder if it was ours."""
    try:
        named = {file["name"] for file in _manifest(folder)["files"]}
    except TaskError:
        named = set()
    plain = ("vectors.npy", "items.jsonl")
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in named and (path.name in plain or _OURS.fullmatch(path.name)):
            path.unlink()
    if fresh and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise TaskError(
            f"{folder} is no gallery: it has no {MANIFEST}; make one with sightline retrieve index"
        )
    try:
        row = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise TaskError(f"{path} is not JSON; {_DAMAGED}") from None
    if not isinstance(row, dict) or row.get("format") != FORMAT:
        came = row.get("format") if isinstance(row, dict) else type(row).__name__
        raise TaskError(f"{path} says {came!r}; expected {FORMAT!r}: index again")
    return row


def _check_file(path: Path, size: int, check: bool) -> None:
    if not path.is_file():
        raise TaskError(f"{path} is missing; {_DAMAGED}")
    came = path.stat().st_size
    if came != size:
        raise TaskError(f"{path} has {came} bytes, {MANIFEST} says {size}; {_DAMAGED}")
    if check and f"-{crc32(path):08x}." not in path.name:
        raise TaskError(f"{path} is not what was written (its checksum differs); {_DAMAGED}")


def _mapped(path: Path, count: int, dimension: int) -> Float[Tensor, "items dimension"]:
    try:
        # mode c: a private map, so that torch may have it; nothing is ever written back
        array = np.lib.format.open_memmap(path, mode="c")
    except Exception as error:  # a hostile header raises anything
        raise TaskError(
            f"{path} is no array of numbers ({first_line(error)}); {_DAMAGED}"
        ) from error
    right = array.dtype == np.dtype("<f4") and array.flags.c_contiguous
    if not right or array.shape != (count, dimension):
        raise TaskError(
            f"{path} holds {array.dtype} {list(array.shape)}, {MANIFEST} says float32 "
            f"[{count}, {dimension}]; {_DAMAGED}"
        )
    return torch.from_numpy(array)


_FIELDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "label": (str,),
    "instance": (str,),
    "root": (int,),
    "source": (str, int),
}


def _checked_item(row: Any, where: str, roots: int) -> GalleryItem:
    fits = (
        isinstance(row, dict)
        and "name" in row
        and all(type(value) in _FIELDS.get(key, ()) for key, value in row.items())
        and 0 <= row.get("root", 0) < roots
    )
    if not fits:
        raise TaskError(
            f"{where} is no item: expected an object with name, and perhaps label, instance, "
            f"root and source; {_DAMAGED}"
        )
    return GalleryItem(**row)


def _root(row: Any) -> Root:
    if row["kind"] not in KINDS:
        raise ValueError(row["kind"])
    return Root(row["kind"], Path(_text(row["path"])))


def _natural(value: Any) -> int:
    if type(value) is not int or not 1 <= value < math.inf:
        raise ValueError(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _own(name: Any, kind: str) -> str:
    """A file name that we would have given, so one of this folder."""
    if not _OURS.fullmatch(_text(name)) or not name.startswith(kind):
        raise ValueError(name)
    return name
