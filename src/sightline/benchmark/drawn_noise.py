"""Noise that a hand might leave on a drawing, planted so that it is known what is noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sightline.benchmark.planted import plant
from sightline.errors import SightlineError, unknown_name
from sightline.sketch.luck import seed_of
from sightline.sketch.simplify import resample
from sightline.sketch.sketch import Sketch
from sightline.tasks.healing.pieces import Piece

Line = Float[np.ndarray, "_ 2"]

TICKS = 3
TRIES = 100
STEP = 0.03
"""Distance of the points of a drawn line, normalised frame."""


@dataclass(frozen=True, eq=False)
class Noisy:
    """A drawing with noise on it.

    Args:
        clean: normalised, as it was before.
        sketch: with the noise, which lies within the box of the clean drawing, so that nothing
            else moves.
        kind: of the noise.
        planted: the pieces of ``sketch`` that are noise.
    """

    clean: Sketch
    sketch: Sketch
    kind: str
    planted: tuple[Piece, ...]


def add_noise(
    host: Sketch, kind: str, *, donors: Sequence[Sketch] = (), seed: int = 0
) -> Noisy | None:
    """Plant noise of a kind on a drawing; luck depends on the drawing, the kind and the seed.

    - ``foreign``: a stroke of a drawing of another category (`plant`);
    - ``scribble``: a zigzag over a patch of a quarter to two fifths of the box;
    - ``slash``: a bowed line from one side of the box to the opposite one;
    - ``ticks``: three marks, each a twentieth to a tenth of the longest side;
    - ``copy``: one of the drawing's own strokes once more, beside itself;
    - ``overshoot``: a stroke that goes on beyond its end.

    Each stands at a place by luck in the order of drawing; only an overshoot is no stroke.

    Args:
        host: a drawing; labelled where the noise is foreign.
        kind: one of `NOISES`.
        donors: drawings that foreign strokes are taken from.
        seed: of the luck.

    Returns:
        None where no place was found for it.

    Raises:
        SightlineError: an unknown kind.

    Example:
        >>> roof = Sketch.from_strokes([[(0, 4), (3, 0), (6, 4)], [(0, 4), (0, 8), (6, 8)]])
        >>> noisy = add_noise(roof, "ticks")
        >>> len(noisy.sketch), len(noisy.planted)
        (5, 3)
    """
    if kind not in NOISES:
        raise SightlineError(unknown_name("kind of noise", kind, NOISES))
    host = replace(host.normalise(), times=None, parts=None)
    luck = np.random.default_rng(seed_of(host, f"{seed}/{kind}", size=8))
    if kind == "overshoot":
        return _overshot(host, luck)
    if kind == "foreign":
        found = plant(host, donors, seed=seed)
        if found is None:
            return None
        return Noisy(host, found.sketch, kind, (_stroke(found.sketch, found.index),))
    lines = _LINES[kind](host, luck)
    return None if lines is None else _among(host, lines, kind, luck)


def _stroke(sketch: Sketch, index: int) -> Piece:
    return Piece(index, 0, len(sketch.strokes[index]) - 1)


def _among(host: Sketch, lines: list[Line], kind: str, luck: np.random.Generator) -> Noisy:
    """New strokes at places by luck in the order of drawing."""
    places = sorted(luck.integers(len(host) + 1, size=len(lines)).tolist())
    strokes, planted = list(host.strokes), []
    for done, (place, line) in enumerate(zip(places, lines, strict=True)):
        strokes.insert(place + done, line)
        planted.append(place + done)
    sketch = replace(host, strokes=tuple(strokes))
    return Noisy(host, sketch, kind, tuple(_stroke(sketch, index) for index in planted))


def _scribble(host: Sketch, luck: np.random.Generator) -> list[Line]:
    low, room = host.box[:2], np.ptp(host.points, axis=0)
    extent = luck.uniform(0.25, 0.4) * room
    corner = low + luck.random(2) * (room - extent)
    turns = int(luck.integers(5, 10))
    across = np.arange(turns) % 2 + luck.uniform(-0.12, 0.12, turns)
    zigzag = np.stack([np.linspace(0, 1, turns), across.clip(0, 1)], 1)
    if luck.random() < 0.5:
        zigzag = zigzag[:, ::-1]
    return [_dense(corner + zigzag * extent)]


def _slash(host: Sketch, luck: np.random.Generator) -> list[Line]:
    low, room = host.box[:2], np.ptp(host.points, axis=0)
    start, end = luck.random(2)
    along = np.linspace(0, 1, 25)
    bow = luck.uniform(-0.05, 0.05) * np.sin(np.pi * along)
    line = np.stack([along, (start + (end - start) * along + bow).clip(0, 1)], 1)
    if luck.random() < 0.5:
        line = line[:, ::-1]
    return [low + line * room]


def _ticks(host: Sketch, luck: np.random.Generator) -> list[Line]:
    low, room = host.box[:2], np.ptp(host.points, axis=0)
    lines = []
    for _ in range(TICKS):
        length, angle = room.max() * luck.uniform(0.05, 0.1), luck.uniform(0, np.pi)
        reach = length * np.array([np.cos(angle), np.sin(angle)])
        free = (room - np.abs(reach)).clip(0)
        start = low + luck.random(2) * free + (-reach).clip(0)
        line = start + np.linspace(0, 1, 4)[:, None] * reach
        lines.append(line.clip(host.box[:2], host.box[2:]))  # a flat drawing has no room
    return lines


def _copy(host: Sketch, luck: np.random.Generator) -> list[Line] | None:
    """A stroke once more, an eighth to a quarter of the longest side away."""
    low, high = host.box[:2], host.box[2:]
    for _ in range(TRIES):
        stroke = host.strokes[int(luck.integers(len(host)))]
        angle, far = luck.uniform(0, 2 * np.pi), luck.uniform(1 / 8, 1 / 4)
        shift = far * float((high - low).max()) * np.array([np.cos(angle), np.sin(angle)])
        moved = stroke + shift
        if (moved >= low).all() and (moved <= high).all() and np.ptp(stroke, axis=0).max() > 0:
            return [moved]
    return None


def _overshot(host: Sketch, luck: np.random.Generator) -> Noisy | None:
    """A tail of a fifth to half of the longest side, roughly the way the stroke was going."""
    low, high = host.box[:2], host.box[2:]
    for _ in range(TRIES):
        index = int(luck.integers(len(host)))
        stroke = host.strokes[index]
        going = stroke[-1] - stroke[max(0, len(stroke) - 4)]
        angle = np.arctan2(going[1], going[0]) + luck.uniform(-0.6, 0.6)
        length = float((high - low).max()) * luck.uniform(0.2, 0.5)
        bend = np.linspace(0, luck.uniform(-0.5, 0.5), max(4, round(length / STEP)))
        step = length / len(bend) * np.stack([np.cos(angle + bend), np.sin(angle + bend)], 1)
        tail = stroke[-1] + step.cumsum(0)
        if (tail >= low).all() and (tail <= high).all() and np.ptp(stroke, axis=0).max() > 0:
            strokes = list(host.strokes)
            strokes[index] = np.concatenate([stroke, tail])
            sketch = replace(host, strokes=tuple(strokes))
            gone = Piece(index, len(stroke) - 1, len(strokes[index]) - 1)
            return Noisy(host, sketch, "overshoot", (gone,))
    return None


def _dense(corners: Line) -> Line:
    """Points along straight lines, as a pen would leave them."""
    return resample(corners, STEP)


_LINES: dict[str, Callable[[Sketch, np.random.Generator], list[Line] | None]] = {
    "scribble": _scribble,
    "slash": _slash,
    "ticks": _ticks,
    "copy": _copy,
}
NOISES = ("foreign", *_LINES, "overshoot")
"""Kinds of noise."""
