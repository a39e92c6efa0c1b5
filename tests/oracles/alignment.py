"""Losses on attention written out from their papers: loops, one item at a time, float64."""

from __future__ import annotations

import math

import numpy as np


def area(mask, rows, columns):
    """Mean of what each new cell covers, by the overlap of each old cell with it."""
    height, width = mask.shape
    placed = np.zeros((rows, columns))
    for r, c, y, x in np.ndindex(rows, columns, height, width):
        down = min((r + 1) / rows, (y + 1) / height) - max(r / rows, y / height)
        across = min((c + 1) / columns, (x + 1) / width) - max(c / columns, x / width)
        placed[r, c] += max(down, 0) * max(across, 0) * mask[y, x] * rows * columns
    return placed


def blurred(mask):
    """3 x 3 Gaussian of OpenCV: beyond the border the picture is mirrored at its last cell."""
    wide = np.pad(mask, 1, mode="reflect")
    spread = np.zeros_like(mask)
    for r, c in np.ndindex(mask.shape):
        for i, j in np.ndindex(3, 3):
            spread[r, c] += (1, 2, 1)[i] * (1, 2, 1)[j] * wide[r + i, c + j] / 16
    return spread


def scaled(mask):
    return mask / mask.max() if mask.max() > 0 else mask


def unit(numbers):
    low, high = min(numbers), max(numbers)
    return [(x - low) / (high - low) if high > low else 0.0 for x in numbers]


def placed(mask, shape, *, blur=False, scale=False):
    """A mask at the places of a map, in a row; a drawing's strokes are its places."""
    if mask.ndim == 2:
        mask = area(mask, *shape)
        mask = blurred(mask) if blur else mask
    return list((scaled(mask) if scale else mask).ravel())


def asked(first, second):
    """A mask, or what the other leaves where it is empty."""
    return first if first.any() else 1 - second


def signs(must, must_not, shape):
    up, down = (placed(mask, shape, scale=True) for mask in (must, must_not))
    return [int(u >= 0.5 - 1e-9) - int(d >= 0.5 - 1e-9) for u, d in zip(up, down, strict=True)]


def gradia(looked, must, must_not, *, blur=True):
    want = placed(asked(must, must_not), looked.shape, blur=blur, scale=True)
    seen = unit(looked.ravel())
    return sum(abs(m - a) for m, a in zip(seen, want, strict=True)) / len(seen)


def threshold(seen, said):
    """Try every candidate, as the program does."""
    up = [m for m, f in zip(seen, said, strict=True) if f > 0]
    down = [m for m, f in zip(seen, said, strict=True) if f < 0]
    best, found = 0.0, 0.0
    for a in [m + 1e-4 for m in down] + up:
        agreed = sum(m < a for m in down) / len(down) if down else 0.0
        agreed += sum(m >= a for m in up) / len(up) if up else 0.0
        if agreed > best + 1e-12:
            best, found = agreed, a
    return found


def res(looked, must, must_not, *, slack=0.1, alpha=1.0, impute=True):
    seen, said = unit(looked.ravel()), signs(must, must_not, looked.shape)
    a = threshold(seen, said)
    off = [abs(math.tanh(5 * (m - a)) - f) for m, f in zip(seen, said, strict=True) if f]
    loss = max(sum(off) / len(off) - slack, 0.0) if off else 0.0
    if impute and must.any():
        want = placed(must, looked.shape, blur=True, scale=True)
        loss += alpha * sum(abs(m - g) for m, g in zip(seen, want, strict=True)) / len(seen)
    return loss


def haics(looked, must, must_not, *, margin=0.01):
    total, count = 0.0, 0
    for m, f in zip(unit(looked.ravel()), signs(must, must_not, looked.shape), strict=True):
        p = margin + (1 - 2 * margin) * m
        total -= math.log(p) if f > 0 else math.log(1 - p) if f < 0 else 0.0
        count += f != 0
    return total / count if count else 0.0


def rrr(looked, must, must_not):
    """``looked`` is a map, or [channels, height, width]."""
    channels = looked if looked.ndim == 3 else looked[None]
    want = placed(asked(must_not, must), channels.shape[1:])
    return sum((a * x) ** 2 for c in channels for a, x in zip(want, c.ravel(), strict=True))


def hint(looked, must, must_not):
    want = placed(asked(must, must_not), looked.shape)
    return sum((m - a) ** 2 for m, a in zip(unit(looked.ravel()), want, strict=True))
