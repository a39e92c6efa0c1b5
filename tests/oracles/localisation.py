"""Localisation in plain loops, and the ways in which a well-known program got it wrong."""

from __future__ import annotations

import numpy as np


def covered(box, row, column):
    """Share of a pixel that a box covers."""
    x0, y0, x1, y1 = box
    wide = min(x1, column + 1) - max(x0, column)
    high = min(y1, row + 1) - max(y0, row)
    return max(wide, 0.0) * max(high, 0.0)


def weights_of(box, size):
    w = np.zeros(size)
    for row, column in np.ndindex(size):
        w[row, column] = covered(box, row, column)
    return w


def overlap(scores, weights, threshold):
    """Every number but pointing, pixel by pixel, from weights [height, width] in [0, 1]."""
    peak = scores.max()
    positive = total = region = both = size = 0.0
    for place in np.ndindex(scores.shape):
        energy = max(scores[place], 0.0)
        total += energy
        positive += energy * weights[place]
        size += weights[place]
        if energy > threshold * peak:
            region += 1
            both += weights[place]
    area = size / scores.size
    return {
        "area": area,
        "inside": both / region,
        "energy": positive / total,
        "per_area": positive / total / area,
        "coverage": both / size,
        "iou": both / (size + region - both),
    }


def discrimination(scores, own, others):
    lost = kept = 0.0
    for place in np.ndindex(scores.shape):
        energy = max(scores[place], 0.0)
        kept += energy * own[place]
        lost += energy * max(max(o[place] for o in others) - own[place], 0.0)
    return lost / (lost + kept)


def nearest(weights, row, column):
    """Distance from the centre of a pixel to the nearest pixel of a mask."""
    found = np.inf
    for r, c in zip(*weights.nonzero(), strict=True):
        found = min(found, np.hypot(max(abs(r - row) - 0.5, 0), max(abs(c - column) - 0.5, 0)))
    return found


def _corners(box):
    return tuple(int(c) for c in box)


# --- wrong on purpose: each takes scores [height, width] and a box, and gives inside, coverage, iou


def _counts(both, region, area):
    return {"inside": both / region, "coverage": both / area, "iou": both / (area + region - both)}


def swapped(scores, box, threshold=0.5):
    """Columns where rows belong."""
    x0, y0, x1, y1 = _corners(box)
    region = scores > threshold * scores.max()
    return _counts(region[x0:x1, y0:y1].sum(), region.sum(), (x1 - x0) * (y1 - y0))


def colours(scores):
    """A picture of a map, [height, width, 3] in [0, 1]: blue, green, red from low to high."""
    level = (scores - scores.min()) / np.ptp(scores)
    return np.stack([1.5 - abs(4 * level - c) for c in (3, 2, 1)], -1).clip(0, 1)


def channels_counted(scores, box, threshold=0.5):
    """Each colour of a picture of the map counts as a pixel; the box keeps its area."""
    x0, y0, x1, y1 = _corners(box)
    region = colours(scores) > threshold
    return _counts(region[y0:y1, x0:x1].sum(), region.sum(), (x1 - x0) * (y1 - y0))


def two_thresholds(scores, box, threshold=0.5):
    """Above the threshold in the numerator, above 0 in the denominator."""
    x0, y0, x1, y1 = _corners(box)
    both = (scores[y0:y1, x0:x1] > threshold * scores.max()).sum()
    return _counts(both, (scores > 0).sum(), (x1 - x0) * (y1 - y0))


def absolute_threshold(scores, box, threshold=0.5):
    """Above the threshold itself, whatever the unit of the map."""
    x0, y0, x1, y1 = _corners(box)
    region = scores > threshold
    return _counts(region[y0:y1, x0:x1].sum(), max(region.sum(), 1), (x1 - x0) * (y1 - y0))


def right(scores, box, threshold=0.5):
    x0, y0, x1, y1 = _corners(box)
    region = scores > threshold * scores.max()
    return _counts(region[y0:y1, x0:x1].sum(), region.sum(), (x1 - x0) * (y1 - y0))
