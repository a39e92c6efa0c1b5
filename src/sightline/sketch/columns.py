"""Many drawings column by column: how they are read in bulk, sieved and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Num, Shaped

from sightline.sketch.formats.quickdraw import MOST_STROKES
from sightline.sketch.sketch import LARGEST_COORDINATE, SMALLEST_DIAGONAL_SQUARED

NO_STROKES = "no strokes"
EMPTY_STROKE = "a stroke without points"
CROWD = f"more than {MOST_STROKES} strokes"
TOO_FAR = f"a coordinate beyond {LARGEST_COORDINATE:.0e}"
NO_EXTENT = "no extent"
NO_LABEL = "no label"
NOT_RECOGNISED = "not recognised"


@dataclass(frozen=True, eq=False)
class Columns:
    """Drawings laid end to end, with what is known of each.

    Convention:
        Canvas units, y down; ``points[0]`` is x, ``points[1]`` is y, in any type that holds them.

    Args:
        keys: the name of each drawing.
        words: the labels that occur.
        word: index into ``words``; -1 for a drawing without a label.
        recognised: whether the game knew what it was; True where the source does not say.
        raw: whether the drawing is as it was drawn, with times, not simplified.
        strokes: strokes of each drawing.
        lengths: points of each stroke.
        points: all points.
        hashed: the split of each drawing by the hash of its key, where somebody has looked.
    """

    keys: Sequence[str]
    words: Sequence[str]
    word: Int[np.ndarray, " drawings"]
    recognised: Bool[np.ndarray, " drawings"]
    raw: Bool[np.ndarray, " drawings"]
    strokes: Int[np.ndarray, " drawings"]
    lengths: Int[np.ndarray, " strokes"]
    points: Num[np.ndarray, "2 points"]
    hashed: Int[np.ndarray, " drawings"] | None = None

    @classmethod
    def from_strokes(
        cls, drawings: Sequence[Sequence[Num[np.ndarray, "columns _"]]], **fields: Any
    ) -> Columns:
        """Of strokes as arrays ``[2 or more, points]``: x, y, and what is not looked at."""
        strokes = [stroke[:2] for drawing in drawings for stroke in drawing]
        return cls(
            strokes=np.array([len(drawing) for drawing in drawings], np.int64),
            lengths=np.array([stroke.shape[1] for stroke in strokes], np.int64),
            points=np.concatenate([np.zeros((2, 0), np.uint8), *strokes], axis=1),
            **fields,
        )

    def __len__(self) -> int:
        """Number of drawings."""
        return len(self.keys)

    @property
    def points_per_drawing(self) -> Int[np.ndarray, " drawings"]:
        """Points of each drawing, over its strokes."""
        ends = running(self.lengths)[running(self.strokes)]
        return np.diff(ends)

    def select(self, chosen: Bool[np.ndarray, " drawings"]) -> Columns:
        """The chosen drawings, in their order."""
        return self if chosen.all() else self.take(np.flatnonzero(chosen))

    def part(self, first: int, end: int) -> Columns:
        """The drawings from ``first`` up to ``end``; nothing is copied."""
        strokes = running(self.strokes)[[first, end]]
        points = running(self.lengths)[strokes]
        return replace(
            self,
            keys=self.keys[first:end],
            word=self.word[first:end],
            recognised=self.recognised[first:end],
            raw=self.raw[first:end],
            strokes=self.strokes[first:end],
            lengths=self.lengths[slice(*strokes)],
            points=self.points[:, slice(*points)],
            hashed=None if self.hashed is None else self.hashed[first:end],
        )

    def take(self, order: Int[np.ndarray, " chosen"]) -> Columns:
        """These drawings, in this order."""
        strokes = ranges(running(self.strokes)[order], self.strokes[order])
        lengths = self.lengths[strokes]
        return replace(
            self,
            keys=[self.keys[index] for index in order.tolist()],
            word=self.word[order],
            recognised=self.recognised[order],
            raw=self.raw[order],
            strokes=self.strokes[order],
            lengths=lengths,
            points=self.points.take(ranges(running(self.lengths)[strokes], lengths), axis=1),
            hashed=None if self.hashed is None else self.hashed[order],
        )

    def select_strokes(self, kept: Bool[np.ndarray, " strokes"]) -> Columns:
        """The same drawings with only these strokes."""
        before = running(kept)
        return replace(
            self,
            strokes=np.diff(before[running(self.strokes)]),
            lengths=self.lengths[kept],
            points=self.points[:, np.repeat(kept, self.lengths)],
        )


def labelled(
    keys: Sequence[str], label: str, drawings: Sequence[Sequence[Num[np.ndarray, "columns _"]]]
) -> Columns:
    """Drawings that all show the same thing, of strokes as in `Columns.from_strokes`."""
    return Columns.from_strokes(
        drawings,
        keys=keys,
        words=[label],
        word=np.zeros(len(keys), np.int64),
        recognised=np.ones(len(keys), bool),
        raw=np.zeros(len(keys), bool),
    )


def join(pieces: Sequence[Columns]) -> Columns:
    """Columns one after another; their words are merged."""
    known = {word: i for i, word in enumerate(dict.fromkeys(w for p in pieces for w in p.words))}
    word = [
        np.array([known[w] for w in p.words] + [-1], np.int64)[p.word]  # the last entry is -1's
        for p in pieces
    ]
    arrays = {
        name: np.concatenate([getattr(p, name) for p in pieces], axis=-1)
        for name in ("recognised", "raw", "strokes", "lengths", "points")
    }
    keys = [key for piece in pieces for key in piece.keys]
    return Columns(keys=keys, words=list(known), word=np.concatenate(word), **arrays)


def sieve(columns: Columns, *, recognised_only: bool = False) -> tuple[Columns, dict[str, int]]:
    """Leave out what is no drawing to learn from.

    Strokes of one point (dots) are left out of drawings that have others.

    Returns:
        what is left, and how many drawings went for each reason; a drawing with several
        reasons goes for the first.
    """
    alive = np.ones(len(columns), bool)
    dropped: dict[str, int] = {}
    for reason, bad in _reasons(columns, recognised_only):
        if count := int((bad & alive).sum()):
            dropped[reason] = count
            alive &= ~bad
    kept = columns.select(alive)
    long = kept.lengths > 1
    return (kept if long.all() else kept.select_strokes(long)), dropped


def _reasons(
    columns: Columns, recognised_only: bool
) -> Iterable[tuple[str, Bool[np.ndarray, " drawings"]]]:
    long = _count(columns, columns.lengths > 1)
    yield EMPTY_STROKE, _count(columns, columns.lengths == 0) > 0
    yield NO_STROKES, long == 0
    yield CROWD, columns.strokes > MOST_STROKES
    yield from _places(columns, long > 0)
    yield NO_LABEL, columns.word < 0
    if recognised_only:
        yield NOT_RECOGNISED, ~columns.recognised


def _count(columns: Columns, strokes: Bool[np.ndarray, " strokes"]) -> np.ndarray:
    """How many of each drawing's strokes are marked."""
    if strokes.all():
        return columns.strokes
    return np.diff(running(strokes)[running(columns.strokes)])


def _places(
    columns: Columns, drawn: Bool[np.ndarray, " drawings"]
) -> Iterable[tuple[str, Bool[np.ndarray, " drawings"]]]:
    """Points too far away; all points of the strokes that stay in one place."""
    rest = columns
    if not (columns.lengths > 1).all():
        rest = columns.select_strokes(columns.lengths > 1).select(drawn)
    starts = running(rest.points_per_drawing)[:-1]
    lo, hi = np.zeros((2, 2, len(columns)))
    if len(rest):
        # in float32, as they are stored
        points = rest.points.astype(np.float32) if rest.points.dtype.kind == "f" else rest.points
        lo[:, drawn] = np.minimum.reduceat(points, starts, axis=1)
        hi[:, drawn] = np.maximum.reduceat(points, starts, axis=1)
    far = ~(np.maximum(np.abs(lo), np.abs(hi)) <= LARGEST_COORDINATE).all(0)  # NaN is far too
    yield TOO_FAR, np.asarray(far)
    with np.errstate(invalid="ignore", over="ignore"):
        yield NO_EXTENT, drawn & (((hi - lo) ** 2).sum(0) < SMALLEST_DIAGONAL_SQUARED)


def running(lengths: Shaped[np.ndarray, " runs"]) -> Int[np.ndarray, " ends"]:
    """Where runs of these lengths start and end: 0, then the running sum.

    Example:
        >>> running(np.array([2, 3])).tolist()
        [0, 2, 5]
    """
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def ranges(
    starts: Int[np.ndarray, " runs"], lengths: Int[np.ndarray, " runs"]
) -> Int[np.ndarray, " total"]:
    """Concatenate ``arange(start, start + length)``.

    Example:
        >>> ranges(np.array([7, 0]), np.array([2, 3])).tolist()
        [7, 8, 0, 1, 2]
    """
    ends = running(lengths)
    return np.arange(ends[-1]) + np.repeat(starts - ends[:-1], lengths)
