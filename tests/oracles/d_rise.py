"""D-RISE and its masks written out from the papers, number by number."""

from __future__ import annotations

import math

import numpy as np


def overlap(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union else 0.0


def cosine(p, q) -> float:
    dot = sum(x * y for x, y in zip(p, q, strict=True))
    lengths = math.sqrt(sum(x * x for x in p)) * math.sqrt(sum(y * y for y in q))
    return dot / lengths if lengths else 0.0


def similarities(pictures, targets) -> np.ndarray:
    """``pictures``: of each picture (box, distribution, objectness) of each found box."""
    values = np.zeros((len(pictures), len(targets)))
    for row, found in enumerate(pictures):
        for column, (place, spread) in enumerate(targets):
            for box, scores, sure in found:
                s = overlap(place, box) * cosine(spread, scores) * sure
                values[row, column] = max(values[row, column], s)
    return values


def mask(coins: np.ndarray, offset: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """One grid of coins, enlarged by bilinear interpolation and cropped, pixel by pixel."""
    rows, columns = coins.shape
    tall, wide = math.ceil(size[0] / rows), math.ceil(size[1] / columns)
    out = np.zeros(size)
    for y in range(size[0]):
        for x in range(size[1]):
            v = (y + offset[0] + 0.5) * rows / ((rows + 1) * tall) - 0.5
            u = (x + offset[1] + 0.5) * columns / ((columns + 1) * wide) - 0.5
            v, u = min(max(v, 0), rows - 1), min(max(u, 0), columns - 1)
            for r in range(rows):
                for c in range(columns):
                    share = max(0, 1 - abs(v - r)) * max(0, 1 - abs(u - c))
                    out[y, x] += share * coins[r, c]
    return out


def saliency(values, masks, keep: float) -> tuple[np.ndarray, np.ndarray]:
    """Map and standard errors, from all products at once."""
    products = np.array([v * m for v, m in zip(values, masks, strict=True)]) / keep
    return products.mean(0), products.std(0, ddof=1) / math.sqrt(len(products))
