"""A drawing as plain values, for records in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightline.sketch.sketch import Sketch


def as_plain(sketch: Sketch) -> dict[str, Any]:
    """Everything of a drawing as lists, numbers and words.

    Example:
        >>> as_plain(Sketch.from_strokes([[(0, 0), (1, 0)]], label="dash"))["strokes"]
        [[[0.0, 0.0], [1.0, 0.0]]]
    """
    return {
        "strokes": [stroke.tolist() for stroke in sketch.strokes],
        "times": sketch.times and [times.tolist() for times in sketch.times],
        "label": sketch.label,
        "name": sketch.name,
        "parts": None if sketch.parts is None else list(sketch.parts),
    }


def from_plain(told: Mapping[str, Any]) -> Sketch:
    """The drawing that `as_plain` told.

    Raises:
        DrawingError: what is told is no drawing.
        KeyError: something is missing.
        TypeError: something is of another kind.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]], label="dash", parts=("line",))
        >>> again = from_plain(as_plain(dash))
        >>> again.label, again.parts, again.points.tolist()
        ('dash', ('line',), [[0.0, 0.0], [1.0, 0.0]])
    """
    parts = told["parts"]
    return Sketch.from_strokes(
        told["strokes"],
        times=told["times"],
        label=told["label"],
        name=told["name"],
        parts=None if parts is None else tuple(str(part) for part in parts),
    )
