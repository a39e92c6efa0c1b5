"""Lengths of lines."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sightline.sketch.sketch import Sketch


def line_length(line: Float[np.ndarray, "points 2"]) -> float:
    """Length of the line through some points, in their units.

    Example:
        >>> line_length(np.array([[0, 0], [3, 4], [3, 5.0]]))
        6.0
    """
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def stroke_lengths(sketch: Sketch) -> Float[np.ndarray, " strokes"]:
    """Length of the line through each stroke's points, in canvas units.

    Example:
        >>> stroke_lengths(Sketch.from_strokes([[(0, 0), (3, 4)], [(0, 0), (0, 2), (0, 0)]]))
        array([5., 4.])
    """
    return np.array([line_length(stroke) for stroke in sketch.strokes])


def lengths_along(line: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, " points"]:
    """Length of the line up to each of its points.

    Example:
        >>> lengths_along(np.array([[0, 0], [3, 4], [3, 5.0]]))
        array([0., 5., 6.])
    """
    return np.concatenate([[0.0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
