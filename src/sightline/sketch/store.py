"""Collections on disk: drawings by their index, without reading the rest."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from sightline.errors import DrawingError, unknown_name
from sightline.sketch.batch import SketchBatch, offsets_of
from sightline.sketch.formats.quickdraw import OnError
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.sketch.shards import Shard, crc32
from sightline.sketch.sketch import Sketch

MANIFEST = "collection.json"
FORMAT = "sightline collection 1"


class SketchStore:
    """A collection that ``sightline data import`` wrote: what is in it, and its splits.

    The drawings stay on disk; what is read of them is mapped into memory, page by page.

    Example:
        >>> import tempfile
        >>> from sightline.sketch.importing import import_drawings
        >>> from sightline.sketch.formats.quickdraw import write_ndjson
        >>> roof = Sketch.from_strokes([[(0, 4), (3, 0), (6, 4)]], label="house")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     count = write_ndjson(f"{folder}/house.ndjson", [roof] * 5)
        ...     store = import_drawings([f"{folder}/house.ndjson"], f"{folder}/houses")
        >>> len(store), store.labels
        (5, ('house',))
        >>> store.split("train").batch(torch.tensor([0, 0])).points_per_stroke.tolist()
        [3, 3]
    """

    def __init__(
        self, path: Path, manifest: dict[str, Any], *, on_error: OnError, check: bool
    ) -> None:
        self.path = path
        self.labels: tuple[str, ...] = tuple(manifest["labels"])
        self.dropped: dict[str, int] = dict(manifest["dropped"])
        self._opened = (str(path), on_error, check)
        order = {label: index for index, label in enumerate(self.labels)}
        self._place = np.array([order[label] for label in manifest["label_ids"]], np.int64)
        self._shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}
        damaged: list[tuple[str, str]] = []
        for told in manifest["shards"]:
            try:
                shard = _open_shard(path / told["file"], told, check, len(self._place))
                self._shards[told["split"]].append(shard)
            except DrawingError as error:
                damaged.append((told["file"], str(error)))
        self.damaged: tuple[tuple[str, str], ...] = tuple(damaged)
        if damaged and on_error == "raise":
            raise DrawingError(
                f"{path} has damaged files: "
                + "; ".join(f"{file}: {reason}" for file, reason in damaged)
                + "; on_error='skip' reads the rest, importing anew mends it"
            )

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, on_error: OnError = "raise", check: bool = True
    ) -> SketchStore:
        """Open a folder.

        Args:
            path: the folder that ``sightline data import`` wrote.
            on_error: stop at damaged files, naming them all, or leave them out and list them in
                ``damaged``.
            check: read every file once against its checksum; about a second a gigabyte. Without
                it, only missing, shortened and unreadable files are found.

        Raises:
            DrawingError: no such collection, one of another version, an import that was not
                finished, damaged files.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        if not manifest["finished"]:
            raise DrawingError(
                f"the import into {folder} was not finished; give the same command again: it goes "
                "on where it stopped"
            )
        try:
            return cls(folder, manifest, on_error=on_error, check=check)
        except (KeyError, TypeError, AttributeError):
            raise DrawingError(f"{folder / MANIFEST} is damaged; import anew") from None

    def __reduce__(self) -> Any:
        path, on_error, check = self._opened
        return _reopen, (path, on_error, check)

    def __len__(self) -> int:
        """Number of drawings, of all splits."""
        return sum(len(shard) for shards in self._shards.values() for shard in shards)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{s} {sum(map(len, shards))}" for s, shards in self._shards.items())
        damaged = f", {len(self.damaged)} files damaged" if self.damaged else ""
        return f"SketchStore({len(self)} drawings, {len(self.labels)} labels: {sizes}{damaged})"

    def split(self, name: str) -> StoredSplit:
        """The drawings of "train", "valid" or "test".

        Raises:
            DrawingError: another name.
        """
        if name not in self._shards:
            raise DrawingError(unknown_name("split", name, SPLITS))
        return StoredSplit(self, name, self._shards[name], self._place)


class StoredSplit:
    """One split of a `SketchStore`: drawings by index, in the order of their sources."""

    def __init__(
        self,
        store: SketchStore,
        name: str,
        shards: list[Shard],
        place: Int[np.ndarray, " labels"],
    ) -> None:
        self.labels: tuple[str, ...] = store.labels
        self._store, self._name = store, name
        self._shards = shards
        self._label = place
        self._starts = np.cumsum([0, *(len(shard) for shard in shards)])

    def __reduce__(self) -> Any:
        return _split_of, (self._store, self._name)

    def __len__(self) -> int:
        """Number of drawings."""
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"StoredSplit({self._name}: {len(self)} drawings, {len(self.labels)} labels)"

    def batch(self, index: Int[Tensor, " chosen"]) -> SketchBatch:
        """The drawings of these indices, in canvas units, as they were stored.

        Raises:
            DrawingError: an index that is not there.
        """
        # A slice a drawing and no more: grouped by file, batches from many files would be slower.
        points, lengths = [_NO_POINTS], [_NO_LENGTHS]
        counts = []
        for shard, row in self._places(index):
            drawn, sizes = shard.drawing(row)
            points.append(drawn)
            lengths.append(sizes)
            counts.append(len(sizes))
        return SketchBatch(
            torch.from_numpy(np.concatenate(points).astype(np.float32)),
            offsets_of(torch.from_numpy(np.concatenate(lengths).astype(np.int64))),
            offsets_of(torch.tensor(counts, dtype=torch.int64)),
        )

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """The labels of these drawings, as indices into ``labels``."""
        stored = [int(shard.label[row]) for shard, row in self._places(index)]
        return torch.from_numpy(self._label[np.array(stored, np.int64)])

    def keys(self, index: Int[Tensor, " chosen"]) -> list[str]:
        """The names of these drawings."""
        return [shard.key(row) for shard, row in self._places(index)]

    def sketch(self, i: int) -> Sketch:
        """One drawing, with its label and name."""
        ((shard, row),) = self._places(torch.tensor([i]))
        return shard.sketch(row, self.labels[self._label[shard.label[row]]])

    def label_counts(self) -> dict[str, int]:
        """Drawings of each label."""
        counts: Counter[int] = Counter()
        for shard in self._shards:
            counts.update(self._label[shard.label].tolist())
        return {label: counts[index] for index, label in enumerate(self.labels)}

    def strokes_per_sketch(self) -> Int[Tensor, " sketches"]:
        """Strokes of every drawing, int32."""
        return self._gathered([np.diff(shard.stroke_ends) for shard in self._shards])

    def points_per_sketch(self) -> Int[Tensor, " sketches"]:
        """Points of every drawing, int32."""
        return self._gathered([np.diff(shard.point_ends) for shard in self._shards])

    def points_per_stroke(self) -> Int[Tensor, " strokes"]:
        """Points of every stroke of every drawing, int32."""
        return self._gathered([shard.lengths for shard in self._shards])

    def longest_stroke(self) -> Int[Tensor, " sketches"]:
        """Points of the longest stroke of every drawing, int32."""
        return self._gathered(
            [np.maximum.reduceat(s.lengths, s.stroke_ends[:-1]) for s in self._shards]
        )

    def _gathered(self, pieces: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate([_NO_LENGTHS, *pieces]))

    def _places(self, index: Int[Tensor, " chosen"]) -> list[tuple[Shard, int]]:
        """The file of each drawing and its row there."""
        wanted = index.cpu().numpy()
        wrong = (wanted < 0) | (wanted >= len(self))
        if wrong.any():
            raise DrawingError(
                f"{self._name} has {len(self)} drawings, counted from 0; "
                f"there is no {int(wanted[wrong][0])}"
            )
        file = np.searchsorted(self._starts, wanted, side="right") - 1
        rows = (wanted - self._starts[file]).tolist()
        return [(self._shards[f], row) for f, row in zip(file.tolist(), rows, strict=True)]


_NO_POINTS = np.zeros((0, 2), np.uint8)
_NO_LENGTHS = np.zeros(0, np.int32)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a collection's folder says of itself.

    Raises:
        DrawingError: no collection, a damaged one, another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DrawingError(
            f"{folder} is no collection (it has no {MANIFEST}); make one with: "
            "sightline data import SOURCE --out FOLDER"
        )
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
    except (ValueError, KeyError, TypeError):
        raise DrawingError(f"{path} is damaged; import anew") from None
    if version != FORMAT:
        raise DrawingError(f"{folder} is a {str(version)[:40]!r}; this program reads {FORMAT!r}")
    return manifest


def _open_shard(path: Path, told: dict[str, Any], check: bool, labels: int) -> Shard:
    if not path.is_file():
        raise DrawingError("is not there")
    size = path.stat().st_size
    if size != told["bytes"]:
        raise DrawingError(f"has {size} bytes of the {told['bytes']} that were written")
    if check and crc32(path) != told["crc32"]:
        raise DrawingError("is not what was written (its checksum differs)")
    shard = Shard(path, told["drawings"])
    if len(shard) and not 0 <= int(shard.label.min()) <= int(shard.label.max()) < labels:
        raise DrawingError("has a label that the collection has not")
    return shard


def _reopen(path: str, on_error: OnError, check: bool) -> SketchStore:
    return SketchStore.open(path, on_error=on_error, check=check)


def _split_of(store: SketchStore, name: str) -> StoredSplit:
    return store.split(name)
