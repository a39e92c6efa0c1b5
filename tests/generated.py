"""Drawings as files, made up from a seed: what a test of imports needs many of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

LABELS = ("pear", "apple", "hot dog")


def records(count: int, *, seed: int = 0, top: int = 256, first: int = 0) -> list[dict]:
    """QuickDraw records: a few strokes of a few points, labels in no order."""
    luck = np.random.default_rng(seed)
    return [
        {
            "word": LABELS[luck.integers(len(LABELS))],
            "countrycode": "CH",
            "timestamp": "2017-03-08 21:12:07.26604 UTC",
            "recognized": bool(luck.random() < 0.9),
            "key_id": str(5_000_000_000_000_000 + first + number),
            "drawing": [
                luck.integers(0, top, (2, luck.integers(2, 9))).tolist()
                for _ in range(luck.integers(1, 7))
            ],
        }
        for number in range(count)
    ]


def lines(told: list[dict]) -> bytes:
    """Records as QuickDraw writes them."""
    return b"".join(json.dumps(r, separators=(",", ":")).encode() + b"\n" for r in told)


def write(path: Path, count: int, **options) -> Path:
    """A file of so many drawings."""
    path.write_bytes(lines(records(count, **options)))
    return path
