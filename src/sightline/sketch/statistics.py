"""Counts of a collection of drawings, and what its strokes are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from sightline.errors import DrawingError
from sightline.sketch.formats.stroke3 import SPLITS
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.sketch import Sketch

if TYPE_CHECKING:
    from sightline.sketch.store import SketchStore

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Distribution:
    """Values of one kind, sorted.

    Example:
        >>> counts = Distribution.of([3, 1, 2])
        >>> counts.mean, counts.quantile(0.5), counts.values.tolist()
        (2.0, 2.0, [1.0, 2.0, 3.0])
    """

    values: Float[np.ndarray, " count"]

    @classmethod
    def of(cls, values: ArrayLike) -> Distribution:
        """Of any numbers.

        Raises:
            DrawingError: none.
        """
        given = np.sort(np.asarray(values, dtype=np.float64).ravel())
        if not len(given):
            raise DrawingError("no values: a distribution needs at least one")
        return cls(given)

    def __len__(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean."""
        return float(self.values.mean())

    def quantile(self, share: float) -> float:
        """The value that this share of all does not exceed; between two, on a straight line."""
        return float(np.quantile(self.values, share))

    def share_at_most(self, limit: float) -> float:
        """Share of the values up to ``limit``."""
        return float((self.values <= limit).mean())

    def histogram(self, edges: ArrayLike) -> Int[np.ndarray, " bins"]:
        """How many values lie between these edges; the last bin holds what is beyond it too."""
        ends = np.array(edges, dtype=np.float64)
        ends[-1] = max(ends[-1], self.values[-1])
        return np.histogram(self.values, ends)[0]

    def as_dict(self) -> dict[str, float]:
        """Mean, quantiles and extremes, as plain values."""
        named = {f"q{round(100 * share):02d}": self.quantile(share) for share in QUANTILES}
        return {
            "mean": self.mean,
            "min": self.values[0].item(),
            **named,
            "max": self.values[-1].item(),
        }


@dataclass(frozen=True, eq=False)
class StrokeStatistics:
    """What the strokes of a collection are like.

    Args:
        drawings: how many.
        strokes: of each drawing.
        points: of each stroke.
        length: of each stroke along its line, as a multiple of its drawing's longest side.
        seconds: from each stroke's first point to its last; None where no drawing has times.
    """

    drawings: int
    strokes: Distribution
    points: Distribution
    length: Distribution
    seconds: Distribution | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "drawings": self.drawings,
            "strokes": self.strokes.as_dict(),
            "at_most_10_strokes": self.strokes.share_at_most(10),
            "points_per_stroke": self.points.as_dict(),
            "length_per_stroke": self.length.as_dict(),
            "seconds_per_stroke": None if self.seconds is None else self.seconds.as_dict(),
        }


def stroke_statistics(sketches: Sequence[Sketch]) -> StrokeStatistics:
    """Distributions of strokes a drawing, and of points, length and time a stroke.

    Raises:
        DrawingError: no drawings.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (3, 0)], [(0, 0), (0, 6)]])
        >>> stroke_statistics([dash]).length.values.tolist()
        [0.5, 1.0]
    """
    if not sketches:
        raise DrawingError("the collection is empty: nothing to count")
    timed = [t for s in sketches if s.times is not None for t in s.times]
    return StrokeStatistics(
        len(sketches),
        Distribution.of([len(s) for s in sketches]),
        Distribution.of([len(stroke) for s in sketches for stroke in s.strokes]),
        Distribution.of(
            np.concatenate([stroke_lengths(s) / (max(s.size) or 1.0) for s in sketches])
        ),
        Distribution.of([(t[-1] - t[0]) / 1000 for t in timed]) if timed else None,
    )


def statistics_by_label(sketches: Sequence[Sketch]) -> dict[str, StrokeStatistics]:
    """`stroke_statistics` of each label's drawings, labels sorted."""
    groups: dict[str, list[Sketch]] = {}
    for sketch in sketches:
        groups.setdefault(sketch.label or "(no label)", []).append(sketch)
    return {label: stroke_statistics(groups[label]) for label in sorted(groups)}


def collection_statistics(sketches: Sequence[Sketch]) -> dict[str, Any]:
    """Numbers of drawings, labels, strokes and points, as plain values.

    Raises:
        DrawingError: no drawings.
    """
    return _counted(
        Counter(s.label or "(no label)" for s in sketches),
        strokes=np.array([len(s) for s in sketches]),
        points=np.array([len(s.points) for s in sketches]),
        points_per_stroke=np.array([len(stroke) for s in sketches for stroke in s.strokes]),
    )


def store_statistics(store: SketchStore) -> dict[str, Any]:
    """The same of a collection on disk, without reading a point.

    Raises:
        DrawingError: no drawings.
    """
    splits = [store.split(name) for name in SPLITS]
    labels: Counter[str] = Counter()
    for split in splits:
        labels.update(split.label_counts())
    return _counted(
        labels,
        strokes=np.concatenate([s.strokes_per_sketch().numpy() for s in splits]),
        points=np.concatenate([s.points_per_sketch().numpy() for s in splits]),
        points_per_stroke=np.concatenate([s.points_per_stroke().numpy() for s in splits]),
    )


def _counted(
    labels: Counter[str],
    *,
    strokes: Int[np.ndarray, " drawings"],
    points: Int[np.ndarray, " drawings"],
    points_per_stroke: Int[np.ndarray, " strokes"],
) -> dict[str, Any]:
    if not len(strokes):
        raise DrawingError("the collection is empty: nothing to count")
    return {
        "drawings": len(strokes),
        "labels": {label: count for label, count in sorted(labels.items()) if count},
        "strokes": _summary(strokes),
        "points": _summary(points),
        "points_per_stroke": _summary(points_per_stroke),
        "at_most_10_strokes": float((strokes <= 10).mean()),
    }


def _summary(counts: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "p90": float(np.percentile(counts, 90)),
        "max": float(counts.max()),
    }
