"""Curves as polylines that stay within a tolerance.

Both kinds rest on one bound: over a step ``h`` of its parameter, a curve ``P`` is nowhere farther
from its chord than ``h^2 / 8 * max |P''|`` (the error of linear interpolation). So many equal steps
are taken that this is at most the tolerance.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from sightline.errors import DrawingError

MOST_PIECES = 100_000
"""Pieces of one curve. A pixel-wide tolerance needs a few dozen."""


def flatten_bezier(
    control: Float[np.ndarray, "control 2"], tolerance: float
) -> Float[np.ndarray, "points 2"]:
    """A Bezier curve of degree 2 or 3 as points on it, both ends included.

    ``P''`` is constant for degree 2; for degree 3 it runs straight from one end's value to the
    other's, so its largest length is at an end.

    Example:
        >>> flatten_bezier(np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0]]), 0.25).tolist()
        [[0.0, 0.0], [1.0, 1.0], [2.0, 0.0]]
    """
    degree = len(control) - 1
    bend = degree * (degree - 1) * np.sqrt((np.diff(control, 2, axis=0) ** 2).sum(1)).max()
    t = np.linspace(0.0, 1.0, _pieces(1.0, float(bend), tolerance) + 1)[:, None]
    layers = [np.broadcast_to(point, (len(t), 2)) for point in control]
    while len(layers) > 1:  # de Casteljau
        layers = [(1 - t) * a + t * b for a, b in pairwise(layers)]
    return _between(layers[0], control[0], control[-1])


def flatten_arc(
    center: Float[np.ndarray, " 2"],
    axes: Float[np.ndarray, "2 2"],
    angles: tuple[float, float],
    tolerance: float,
) -> Float[np.ndarray, "points 2"]:
    """An arc of an ellipse as points on it.

    Convention:
        ``P(t) = center + cos(t) axes[0] + sin(t) axes[1]`` for t from ``angles[0]`` through a
        signed sweep ``angles[1]``, radians. The axes need not be at right angles, so an affine
        map of an arc is the arc of the mapped center and axes. ``|P''|`` is at most the largest
        singular value of the axes.

    Example:
        >>> flatten_arc(np.zeros(2), np.eye(2), (0.0, math.pi), 0.5).round(6).tolist()
        [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    """
    start, sweep = angles
    bend = float(np.linalg.norm(axes, 2))
    t = start + np.linspace(0.0, sweep, _pieces(sweep, bend, tolerance) + 1)
    return center + np.stack([np.cos(t), np.sin(t)], 1) @ axes


def _pieces(span: float, bend: float, tolerance: float) -> int:
    pieces = abs(span) * math.sqrt(bend / (8 * tolerance))
    if not pieces <= MOST_PIECES:
        raise DrawingError(
            f"a curve needs more than {MOST_PIECES} pieces at tolerance {tolerance:g}; "
            "raise the tolerance or mend the curve"
        )
    return max(1, math.ceil(pieces))


def _between(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The same points with the ends exactly where they belong, rounding apart."""
    points[[0, -1]] = start, end
    return points
