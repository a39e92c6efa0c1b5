"""Import: from QuickDraw's files to a collection on disk, in bounded memory, safe from a kill.

What is read is kept in memory until a split has enough for a file; then the file is written under
another name, moved into its place, and told in ``collection.json``, which is replaced as a whole.
With it goes a mark: the last place in the sources before which everything is in files. An import
that was killed goes on from its mark, reads the rest as the first time, and passes over the
drawings that are in files already; so it ends in the same bytes.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from sightline.errors import DrawingError
from sightline.sketch.collection import hashed_splits
from sightline.sketch.columns import Columns, join, running, sieve
from sightline.sketch.files import replace_file
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.sketch.import_folder import Mark, begun
from sightline.sketch.readers import Readers
from sightline.sketch.shards import MOST_LABELS, arrow, crc32, shard_bytes
from sightline.sketch.simplify import simplify
from sightline.sketch.sketch import Sketch
from sightline.sketch.sources import START, Piece, Source, find_sources
from sightline.sketch.store import MANIFEST, SketchStore
from sightline.sketch.writing import Writer

SHARD = 65_536
"""Drawings of a file."""

MOST_POINTS = 2**22
"""Points of a file, more or less: raw drawings have more points, and memory is bounded."""

MOST_PROCESSES = 4

SMALL = 8_000_000
"""Bytes of sources that are read before other processes have started."""

NOT_READABLE = "not readable"
IN_NO_SPLIT = "in no split"
OVER = "over the most of a label"

_TOLD = 5
"""Messages about unreadable drawings that are kept."""

Progress = Callable[[int, float], None]
"""Called with the number of drawings read and the share of the sources' bytes."""


@dataclass(frozen=True)
class Plan:
    """What an import makes of its sources.

    Args:
        simplify: tolerance of QuickDraw's simplification, applied to raw drawings; None stores
            them as they are.
        splits: "source", as the source says (sketch-rnn's arrays, SketchXAI's files, a
            ``splits.json`` beside the file) and by hash where it says nothing; or always "hash".
        seed: of the hash.
        shard: drawings of a file.
        most: drawings of a label, the first ones; None for all.
        recognised_only: leave out what the game did not recognise.

    Raises:
        DrawingError: a number that must be positive and is not, another kind of splits.
    """

    simplify: float | None = None
    splits: str = "source"
    seed: int = 0
    shard: int = SHARD
    most: int | None = None
    recognised_only: bool = False

    def __post_init__(self) -> None:
        if self.splits not in ("source", "hash"):
            raise DrawingError(f"splits are by 'source' or by 'hash'; got {self.splits!r}")
        for name in ("simplify", "shard", "most"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise DrawingError(f"{name} must be more than 0; got {value}")


def import_drawings(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    raise_bad: bool = False,
    processes: int | None = None,
    progress: Progress | None = None,
    **plan: Any,
) -> SketchStore:
    """Make a collection on disk of files of drawings, or finish one that was begun.

    Args:
        sources: files (.ndjson, .ndjson.gz, .bin, .npz) or folders of them, or a folder in the
            layout of SketchXAI's own data (HDF5 and categories.pkl).
        out: the folder to make. If it holds a part of the same import, that goes on; if it holds
            all of it, nothing is done.
        raise_bad: stop at what cannot be read, instead of counting it.
        processes: how many read ndjson beside this one; 0 for none. By default 4, or as many as
            there are processors; none for less than 8 MB.
        progress: told after every block.
        plan: the fields of `Plan`.

    Raises:
        DrawingError: no sources, a folder that holds something else or another import, with
            ``raise_bad`` a bad drawing.

    Example:
        >>> import tempfile
        >>> from sightline.sketch.formats.quickdraw import write_ndjson
        >>> roof = Sketch.from_strokes([[(0, 4), (3, 0), (6, 4)]], label="house", name="12")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     count = write_ndjson(f"{folder}/house.ndjson", [roof])
        ...     import_drawings([f"{folder}/house.ndjson"], f"{folder}/houses", seed=3)
        SketchStore(1 drawings, 1 labels: train 0, valid 0, test 1)
    """
    arrow()
    work = _Import(find_sources(sources), Path(out), Plan(**plan))
    if not work.manifest["finished"]:
        count = work.processes() if processes is None else processes
        reading = Readers(count, seed=work.plan.seed, raise_bad=raise_bad)
        with Writer() as writer, reading as readers:
            work.run(readers, writer, raise_bad=raise_bad, progress=progress)
    return SketchStore.open(out, check=False)


class _Pending:
    """The drawings of a split that are in no file yet."""

    def __init__(self) -> None:
        self._pieces: deque[Columns] = deque()
        self.drawings = 0
        self.points = 0

    def add(self, columns: Columns) -> None:
        if len(columns):
            self._pieces.append(columns)
            self.drawings += len(columns)
            self.points += columns.points.shape[1]

    def take(self, most: int) -> Columns:
        """The first drawings, at most so many."""
        columns = join(list(self._pieces))
        end = min(most, len(columns))
        self._pieces.clear()
        self.drawings = self.points = 0
        self.add(columns.part(end, len(columns)))
        return columns.part(0, end)


class _Import:
    """An import under way: the folder, what it says of itself, and what is not in it yet."""

    def __init__(self, sources: list[Source], out: Path, plan: Plan) -> None:
        self.sources, self.out, self.plan = sources, out, plan
        self.manifest = begun(out, asdict(plan), sources)
        self.mark = Mark.from_json(self.manifest["resume"] or asdict(Mark()))
        self.marks = deque([self.mark])
        self.pending = tuple(_Pending() for _ in SPLITS)
        self.written = [0, 0, 0]
        for shard in self.manifest["shards"]:
            self.written[SPLITS.index(shard["split"])] += shard["drawings"]
        self.label_ids = {label: i for i, label in enumerate(self.manifest["label_ids"])}

    def processes(self) -> int:
        """How many should read: none where they would not be started before all is read."""
        size = sum(file.stat().st_size for source in self.sources for file in source.files)
        return min(MOST_PROCESSES, os.cpu_count() or 1) if size >= SMALL and sys.executable else 0

    def run(
        self, readers: Readers, writer: Writer, *, raise_bad: bool, progress: Progress | None
    ) -> None:
        """Read what is not read, write what is not written."""
        self.writer = writer
        sizes = [sum(file.stat().st_size for file in source.files) for source in self.sources]
        before, total = running(np.array(sizes)), max(sum(sizes), 1)
        start = self.mark
        self._save(finished=False)  # from here on the folder is this import's
        for number, source in enumerate(self.sources[start.source :], start.source):
            position = start.position if number == start.source else START
            for piece in source.pieces(position, readers=readers, raise_bad=raise_bad):
                self._take(number, source, piece)
                if progress is not None:
                    share = (before[number] + piece.share * sizes[number]) / total
                    progress(sum(self.mark.seen) + sum(self.mark.dropped.values()), float(share))
        for split in range(len(SPLITS)):
            while self.pending[split].drawings:
                self._write(split)
        self._save(finished=True)

    def _take(self, number: int, source: Source, piece: Piece) -> None:
        """Sort a piece's drawings into the splits, write what is full, move the mark."""
        kept, lost = sieve(piece.columns, recognised_only=self.plan.recognised_only)
        kept, of_label, over = self._at_most(kept)
        place = self._places(kept, source, piece)
        lost |= {
            NOT_READABLE: len(piece.refused), OVER: over, IN_NO_SPLIT: int((place < 0).sum())
        }  # fmt: skip
        dropped = dict(self.mark.dropped)
        for reason, count in lost.items():
            if count:
                dropped[reason] = dropped.get(reason, 0) + count
        order = np.argsort(place, kind="stable")
        kept = kept.take(order)
        bounds = np.searchsorted(place[order], range(len(SPLITS) + 1)).tolist()
        seen = list(self.mark.seen)
        for split, (first, end) in enumerate(pairwise(bounds)):
            new = min(first + max(self.written[split] - seen[split], 0), end)
            seen[split] += end - first
            self.pending[split].add(self._simplified(kept.part(new, end)))
        self.mark = Mark(
            number,
            piece.position,
            tuple(seen),
            dropped,
            (*self.mark.refused, *piece.refused)[:_TOLD],
            of_label,
        )
        self.marks.append(self.mark)
        for split, pending in enumerate(self.pending):
            while pending.drawings >= self.plan.shard or pending.points >= MOST_POINTS:
                self._write(split)
                self._save(finished=False)

    def _places(
        self, columns: Columns, source: Source, piece: Piece
    ) -> Int[np.ndarray, " drawings"]:
        """The split of each drawing, -1 for none."""
        if self.plan.splits == "source" and piece.split is not None:
            return np.full(len(columns), SPLITS.index(piece.split))
        if self.plan.splits == "source" and source.splits:
            return np.array([source.splits.get(key, -1) for key in columns.keys], np.int64)
        if columns.hashed is not None:
            return columns.hashed
        return hashed_splits(columns.keys, self.plan.seed)

    def _at_most(self, columns: Columns) -> tuple[Columns, dict[str, int], int]:
        """The drawings that a label has still room for, how many it then has, how many went."""
        if self.plan.most is None:
            return columns, {}, 0
        of_label = dict(self.mark.of_label)
        keep = np.ones(len(columns), bool)
        for index, word in enumerate(columns.words):
            own = np.flatnonzero(columns.word == index)
            room = self.plan.most - of_label.get(word, 0)
            keep[own[room:]] = False
            of_label[word] = of_label.get(word, 0) + min(room, len(own))
        return columns.select(keep), of_label, int((~keep).sum())

    def _simplified(self, columns: Columns) -> Columns:
        if self.plan.simplify is None or not columns.raw.any():
            return columns
        strokes = np.split(columns.points.T, np.cumsum(columns.lengths)[:-1])
        simple: list[np.ndarray] = []
        for raw, (first, end) in zip(columns.raw, pairwise(running(columns.strokes)), strict=True):
            drawing = strokes[first:end]
            if raw:
                drawing = list(_simple(drawing, self.plan.simplify))
            simple += drawing
        lengths = np.array([len(stroke) for stroke in simple], np.int64)
        return replace(columns, lengths=lengths, points=np.concatenate(simple).T)

    def _write(self, split: int) -> None:
        """Have one more file of a split written."""
        columns = self.pending[split].take(self.plan.shard)
        self.written[split] += len(columns)
        label = self._labels(columns)
        name = SPLITS[split]
        number = sum(shard["split"] == name for shard in self.manifest["shards"])
        told: dict[str, Any] = {
            "file": f"{name}-{number:05d}.arrow",
            "split": name,
            "drawings": len(columns),
        }
        self.manifest["shards"].append(told)
        counts = self.manifest["drawings"][name]
        labels = list(self.label_ids)
        for index, count in zip(*np.unique(label, return_counts=True), strict=True):
            counts[labels[index]] = counts.get(labels[index], 0) + int(count)
        self.writer.give(lambda: _write_shard(self.out, told, columns, label))

    def _labels(self, columns: Columns) -> Int[np.ndarray, " drawings"]:
        """The numbers of the labels, in the order in which files have had them."""
        used, first = np.unique(columns.word, return_index=True)
        for index in used[np.argsort(first)]:
            self.label_ids.setdefault(columns.words[index], len(self.label_ids))
        if len(self.label_ids) > MOST_LABELS:
            raise DrawingError(f"more than {MOST_LABELS} labels; is 'word' the label?")
        ids = np.array([self.label_ids.get(word, -1) for word in columns.words], np.int64)
        return ids[columns.word]

    def _save(self, *, finished: bool) -> None:
        """Say what is there: all of it, or up to the mark before which all is in files."""
        while len(self.marks) > 1 and self._is_written(self.marks[1]):
            self.marks.popleft()
        mark = self.mark if finished else self.marks[0]
        self.manifest |= {
            "finished": finished,
            "labels": sorted(self.label_ids),
            "label_ids": list(self.label_ids),
            "dropped": dict(sorted(mark.dropped.items())),
            "refused": list(mark.refused),
            "resume": None if finished else asdict(mark),
        }
        for split, counts in self.manifest["drawings"].items():
            self.manifest["drawings"][split] = dict(sorted(counts.items()))
        # As it is now, but for the sizes of files that are still to be written before it.
        shards = list(self.manifest["shards"])
        drawings = {split: dict(counts) for split, counts in self.manifest["drawings"].items()}
        manifest = {**self.manifest, "shards": shards, "drawings": drawings}
        self.writer.give(lambda: _write_manifest(self.out, manifest))

    def _is_written(self, mark: Mark) -> bool:
        return all(seen <= done for seen, done in zip(mark.seen, self.written, strict=True))


def _simple(strokes: Sequence[np.ndarray], epsilon: float) -> Sequence[np.ndarray]:
    return simplify(Sketch.from_strokes(strokes), epsilon=epsilon).strokes


def _write_shard(
    out: Path, told: dict[str, Any], columns: Columns, label: Int[np.ndarray, " drawings"]
) -> None:
    """Write a file, and tell what only then is known."""
    data = shard_bytes(columns, label)
    told |= {"bytes": len(data), "crc32": crc32(data)}
    with replace_file(out / told["file"]) as stream:
        stream.write(data)


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    with replace_file(out / MANIFEST) as stream:
        stream.write(json.dumps(manifest, indent=1).encode())
