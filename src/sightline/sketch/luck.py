"""Luck of a drawing's own: other drawings, and the order of the work, do not change it."""

from __future__ import annotations

import hashlib

from sightline.sketch.sketch import Sketch


def digest(sketch: Sketch, purpose: str) -> bytes:
    """32 bytes that depend on the drawing's points and the purpose, which holds the user's seed.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]])
        >>> digest(dash, "7/start") == digest(dash, "8/start")
        False
    """
    return hashlib.sha256(f"{purpose}/".encode() + sketch.points.tobytes()).digest()


def seed_of(sketch: Sketch, purpose: str, *, size: int = 7) -> int:
    """A whole number of so many bytes for a generator, of the drawing's own.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]])
        >>> seed_of(dash, "7/start", size=1) == digest(dash, "7/start")[0]
        True
    """
    return int.from_bytes(digest(sketch, purpose)[:size], "big")
