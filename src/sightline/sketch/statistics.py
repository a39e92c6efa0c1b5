"""Counts of a collection of drawings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.sketch import Sketch


def collection_statistics(sketches: Sequence[Sketch]) -> dict[str, Any]:
    """Numbers of drawings, labels, strokes and points, as plain values.

    Raises:
        DrawingError: no drawings.
    """
    if not sketches:
        raise DrawingError("the collection is empty: nothing to count")
    strokes = np.array([len(s) for s in sketches])
    lengths = np.array([len(stroke) for s in sketches for stroke in s.strokes])
    labels = Counter(s.label or "(no label)" for s in sketches)
    return {
        "drawings": len(sketches),
        "labels": dict(sorted(labels.items())),
        "strokes": _summary(strokes),
        "points": _summary(np.array([len(s.points) for s in sketches])),
        "points_per_stroke": _summary(lengths),
        "at_most_10_strokes": float((strokes <= 10).mean()),
    }


def _summary(counts: np.ndarray) -> dict[str, float]:
    return {
        "mean": float(counts.mean()),
        "median": float(np.median(counts)),
        "p90": float(np.percentile(counts, 90)),
        "max": float(counts.max()),
    }
