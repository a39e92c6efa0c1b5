"""A dense rasteriser: every pixel against every segment, one after the other, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def distances(strokes: list[ArrayLike], size: int) -> NDArray[np.float64]:
    """From each pixel's centre to the nearest segment, in pixels; infinite without segments."""
    centres = -1 + (np.arange(size) + 0.5) * 2 / size
    pixels = np.stack(np.meshgrid(centres, centres), -1)  # [row, column, (x, y)]
    nearest = np.full((size, size), np.inf)
    for stroke in strokes:
        points = np.asarray(stroke, float)
        for a, b in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            length = (b - a) @ (b - a)
            t = (pixels - a) @ (b - a) / (length if length > 0 else 1)
            gap = pixels - a - np.clip(t, 0, 1)[..., None] * (b - a)
            nearest = np.minimum(nearest, np.linalg.norm(gap, axis=-1))
    return nearest * size / 2


def ink(
    strokes: list[ArrayLike], size: int, line_width: float, profile: str, beta: float
) -> NDArray[np.float64]:
    """The picture of these strokes by the profile's formula."""
    distance, tau = distances(strokes, size), line_width * size / 4
    if profile == "linear":
        return np.clip(0.5 + max(tau, 0.5) - distance, 0, 1) * min(1, 2 * tau)
    if profile == "hard":
        return (distance <= tau).astype(float)
    sigmoid = 1 / (1 + np.exp(np.minimum(beta * (distance - tau), 700)))
    return np.where(sigmoid < 1e-7, 0, sigmoid)
