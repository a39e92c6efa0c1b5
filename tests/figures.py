"""Labelled drawings of three figures, easy to tell apart."""

import numpy as np

from sightline.sketch.sketch import Sketch

LABELS = ("cross", "ring", "zigzag")


def drawing(label: str, luck: np.random.Generator) -> Sketch:
    shift, size = luck.normal(0, 20, 2), luck.uniform(40, 100)
    turn = np.linspace(0, 2 * np.pi, 12)
    strokes = {
        "cross": [[(-1, -1), (1, 1)], [(-1, 1), (1, -1)]],
        "ring": [np.stack([np.cos(turn), np.sin(turn)], 1)],
        "zigzag": [[(-1, 0), (-0.5, 1), (0, 0), (0.5, 1), (1, 0)]],
    }[label]
    return Sketch.from_strokes(
        [np.asarray(s) * size + shift + luck.normal(0, 2, (len(s), 2)) for s in strokes],
        label=label,
        name=f"{label} {luck.integers(1 << 40)}",
    )


def drawings(count: int, seed: int) -> list[Sketch]:
    luck = np.random.default_rng(seed)
    return [drawing(LABELS[i % 3], luck) for i in range(count)]
