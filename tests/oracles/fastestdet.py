"""FastestDet's boxes, cell by cell, as its example for onnxruntime has them."""

from __future__ import annotations

import math

import numpy as np


def boxes(answer: np.ndarray, height: int, width: int) -> list[tuple]:
    """Of ``[channels, rows, columns]``: (xyxy in pixels, score, label) of every cell."""
    _, rows, columns = answer.shape
    found = []
    for row in range(rows):
        for column in range(columns):
            sure, x, y, w, h, *labels = (float(number) for number in answer[:, row, column])
            x, y = (column + math.tanh(x)) / columns, (row + math.tanh(y)) / rows
            w, h = 1 / (1 + math.exp(-w)), 1 / (1 + math.exp(-h))
            box = [(x - w / 2) * width, (y - h / 2) * height]
            box += [(x + w / 2) * width, (y + h / 2) * height]
            score = sure**0.6 * max(labels) ** 0.4
            found.append((box, score, labels.index(max(labels))))
    return found
