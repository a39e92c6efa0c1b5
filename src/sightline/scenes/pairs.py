"""Fine-grained pairs from a seed: the photo of one object, and a drawing of that very object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from sightline.errors import TaskError, unknown_name
from sightline.image.photo import Photo
from sightline.scenes.pair_families import FAMILIES_BY_NAME
from sightline.scenes.pair_hand import draw_by_hand
from sightline.scenes.pair_photo import photograph
from sightline.scenes.pair_shapes import Part, framed
from sightline.sketch.sketch import NORMAL_SIDE, Sketch

FAMILIES = tuple(FAMILIES_BY_NAME)
"""Names of the families of objects."""

SMALLEST = 32

TRAINING, VALIDATION, TEST = 20_000_000, 21_000_000, 22_000_000
"""Seeds of the first instance of each split; what is shipped was trained and measured on these."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A photo of an object and a drawing of the same object, with the truth about its parts.

    Convention:
        The drawing's canvas is the photo: its points are pixels, and lie on the outlines of the
        parts up to the hand's slips. Both are framed alike: the object's box in the middle, its
        longest side 0.74 of the photo's, which is where ``(sketch.normalise() + 1) / 2 * size``
        puts the drawing too.

    Args:
        name: of the instance, "lamp-000017"; all its drawers share it.
        family: one of `FAMILIES`.
        photo: size x size pixels; the same for every drawer.
        sketch: labelled with the family, named "lamp-000017-1" after the drawer (from 1), with
            the name of a part for each stroke. A drawer may leave details out, and nobody draws
            what is hidden, so not each mask has a stroke; each stroke has a mask.
        masks: the visible pixels of each part, from the hindmost; no pixel has two.
    """

    name: str
    family: str
    photo: Photo
    sketch: Sketch
    masks: dict[str, Bool[np.ndarray, "height width"]]


def draw_pair(seed: int, *, family: str | None = None, size: int = 64, drawer: int = 0) -> Pair:
    """One pair; the same for the same arguments, to the last bit.

    Args:
        seed: of the instance: its measures, parts, colours, light.
        family: one of `FAMILIES`; by default they take turns with the seed.
        size: height and width of the photo in pixels. The object is the same at each size.
        drawer: number of the hand. Another one draws the same object with other luck and habits.

    Raises:
        TaskError: an unknown family, a negative seed or drawer, a size below 32.

    Example:
        >>> pair = draw_pair(14)
        >>> pair.name, pair.sketch.name, pair.photo.size
        ('teapot-000014', 'teapot-000014-1', (64, 64))
    """
    family = _checked(seed, family, size, drawer)
    parts = _instance(seed, family)
    name = f"{family}-{seed:06d}"
    pixels, masks = photograph(parts, size, _luck(seed, family, 1))
    strokes, owners = draw_by_hand(parts, _luck(seed, family, 2, drawer))
    sketch = Sketch.from_strokes(
        [stroke * size for stroke in strokes],
        label=family,
        name=f"{name}-{drawer + 1}",
        parts=tuple(owners),
    )
    return Pair(name, family, Photo(pixels, name=name), sketch, masks)


@dataclass(frozen=True)
class PairSet(Sequence[Pair]):
    """Pairs drawn when they are asked for; made by `pair_set`."""

    instances: int
    seed: int
    size: int
    drawers: int
    families: tuple[str, ...]

    def __len__(self) -> int:
        return self.instances * self.drawers

    def __getitem__(self, index: int) -> Pair:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        instance, drawer = divmod(index % len(self), self.drawers)
        seed = self.seed + instance
        family = self.families[seed % len(self.families)]
        return draw_pair(seed, family=family, size=self.size, drawer=drawer)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))


def pair_set(
    count: int,
    *,
    seed: int = 0,
    size: int = 64,
    drawers: int = 1,
    families: Sequence[str] | None = None,
) -> PairSet:
    """Pairs of ``count`` instances, of seeds ``seed`` to ``seed + count - 1``, families in turn.

    Splits are ranges of seeds that do not touch: train on ``pair_set(4000, seed=TRAINING)``, choose
    on ``pair_set(400, seed=VALIDATION)``, report on ``pair_set(400, seed=TEST)``.

    Args:
        count: of instances. Each comes ``drawers`` times in a row, drawn by another hand.
        seed: of the first instance.
        size: of the photos.
        drawers: drawings of each instance.
        families: some of `FAMILIES`; by default all.

    Raises:
        TaskError: an unknown family or none, a negative count, no drawer, and as `draw_pair`.

    Example:
        >>> [pair.sketch.name for pair in pair_set(2, seed=400, drawers=2)]
        ['bottle-000400-1', 'bottle-000400-2', 'bag-000401-1', 'bag-000401-2']
    """
    chosen = FAMILIES if families is None else tuple(families)
    if count < 0 or drawers < 1:
        raise TaskError(
            f"count={count}, drawers={drawers}; give a count from 0, and at least 1 drawer"
        )
    if not chosen:
        raise TaskError(f"no families to draw; give some of {', '.join(FAMILIES)}")
    for family in chosen:
        _checked(seed, family, size, 0)
    return PairSet(count, seed, size, drawers, chosen)


def _checked(seed: int, family: str | None, size: int, drawer: int) -> str:
    if seed < 0 or drawer < 0:
        raise TaskError(f"seed={seed}, drawer={drawer}; give whole numbers from 0")
    if size < SMALLEST:
        raise TaskError(f"size is {size}; a pair needs at least {SMALLEST} pixels a side")
    if family is None:
        return FAMILIES[seed % len(FAMILIES)]
    if family not in FAMILIES_BY_NAME:
        raise TaskError(unknown_name("family", family, FAMILIES))
    return family


def _luck(seed: int, family: str, *purpose: int) -> np.random.Generator:
    """Of a purpose of its own, so that another drawer leaves the photo alone."""
    return np.random.default_rng([seed, int.from_bytes(family.encode(), "little"), *purpose])


def _instance(seed: int, family: str) -> tuple[Part, ...]:
    return framed(FAMILIES_BY_NAME[family](_luck(seed, family, 0)), NORMAL_SIDE / 2)
