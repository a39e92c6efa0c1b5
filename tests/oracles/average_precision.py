"""Average precision at IoU 0.5, the COCO way: every label alone, 101 recalls."""

from __future__ import annotations

import numpy as np

from oracles.d_rise import overlap


def ap50(found, truth) -> float:
    """``found``: (photo, score, box) of one label; ``truth``: boxes of that label by photo."""
    left = {photo: list(boxes) for photo, boxes in truth.items()}
    hits = []
    for photo, _, box in sorted(found, key=lambda each: -each[1]):
        near = max(left.get(photo, []), key=lambda b: overlap(box, b), default=None)
        hit = near is not None and overlap(box, near) >= 0.5
        if hit:
            left[photo].remove(near)
        hits.append(hit)
    right = np.cumsum(hits) if hits else np.zeros(0)
    precision = right / np.arange(1, len(hits) + 1)
    recall = right / sum(len(boxes) for boxes in truth.values())
    return float(
        np.mean([max(precision[recall >= r], default=0.0) for r in np.linspace(0, 1, 101)])
    )
