"""Pixel flipping in plain loops, and the ways in which a well-known program got it wrong."""

from __future__ import annotations

import numpy as np

from oracles.localisation import colours


def flipped(scores, ratio):
    """A mask of the round(ratio x pixels) highest scores; no ties."""
    mask = np.zeros(scores.size, dtype=bool)
    for place in sorted(range(scores.size), key=lambda i: -scores.flat[i])[
        : round(ratio * scores.size)
    ]:
        mask[place] = True
    return mask.reshape(scores.shape)


def area(values, ratios):
    total = 0.0
    for i in range(1, len(values)):
        total += (ratios[i] - ratios[i - 1]) * (values[i] + values[i - 1]) / 2
    return total


def three_times(scores, ratio):
    """Wrong: the ratio of height x width x 3 numbers, taken from a map of one channel."""
    mask = np.zeros(scores.size, dtype=bool)
    mask[np.argsort(-scores, axis=None)[: int(ratio * scores.size * 3)]] = True
    return mask.reshape(scores.shape)


def by_colours(scores, ratio):
    """Wrong: the brightest numbers of a picture of the map; any channel takes the pixel."""
    picture = colours(scores)
    top = np.argsort(-picture, axis=None)[: int(ratio * picture.size)]
    rows, columns, _ = np.unravel_index(top, picture.shape)
    mask = np.zeros(scores.shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def top_to_bottom(scores, ratio):
    """Wrong: ties leave in the order of the pixels."""
    mask = np.zeros(scores.size, dtype=bool)
    mask[np.argsort(-scores, axis=None, kind="stable")[: round(ratio * scores.size)]] = True
    return mask.reshape(scores.shape)
