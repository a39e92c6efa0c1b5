"""A scene from a seed: objects on a ground, with the mask and the box of each."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.errors import SightlineError, unknown_name
from sightline.image.photo import Photo
from sightline.scenes.clutter import draw_clutter
from sightline.scenes.grounds import GROUNDS
from sightline.scenes.objects import KINDS
from sightline.scenes.painting import exposed, lay, mask_of, tight_boxes, visible_masks
from sightline.scenes.pen import Pen, Pose, Sticker

LABELS = ("background", *KINDS)
SIZE = (192, 240)
LEAST_VISIBLE = 0.35
Luck = np.random.Generator


@dataclass(frozen=True, eq=False)
class Scene:
    """A generated photo, and the truth about it. Later objects lie in front of earlier ones.

    Args:
        photo: what a model sees.
        boxes: xyxy in pixels, tight around what is visible.
        labels: columns of `LABELS`; 0, the background, is no object.
        names: of those labels.
        masks: the visible pixels of each object; no pixel has two.
        ground: name of the texture.
    """

    photo: Photo
    boxes: Float[Tensor, "objects 4"]
    labels: Int[Tensor, " objects"]
    names: tuple[str, ...]
    masks: Bool[Tensor, "objects height width"]
    ground: str

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class _Item:
    """What will be drawn where; ``seed`` chooses its colours."""

    kind: str
    pose: Pose
    seed: int

    def sticker(self, light: float) -> Sticker:
        pen, luck = Pen(self.pose), np.random.default_rng(self.seed)
        if self.kind in KINDS:
            KINDS[self.kind].draw(pen, luck)
        else:
            draw_clutter(pen, luck)
        return pen.sticker(light)


def draw_scene(
    seed: int,
    *,
    size: tuple[int, int] = SIZE,
    objects: int | tuple[int, int] = (1, 5),
    kinds: Sequence[str] = tuple(KINDS),
    ground: str | None = None,
    ground_of: Mapping[str, str | None] | None = None,
    clutter: int | tuple[int, int] = (0, 5),
    least_visible: float = LEAST_VISIBLE,
    without: Collection[int] = (),
) -> Scene:
    """A scene; the same one for the same arguments.

    Args:
        seed: of everything: what, where, which colours, which light.
        size: height and width in pixels. Objects grow with it.
        objects: how many are laid out, or the fewest and the most. Those that would be hidden,
            or have no room, are not in the scene.
        kinds: to choose from; a kind named twice comes twice as often.
        ground: name of the texture; by default any.
        ground_of: a ground for each kind, or None for any: the kind of the frontmost object
            chooses that of the scene. So a data set can be made in which the ground gives the
            label away, or, with other grounds, no longer does.
        clutter: how many plain shapes lie under the objects.
        least_visible: share of an object that must be seen; with less it is left out.
        without: numbers of objects to take away; all else stays as it was, so that the two
            scenes differ in those objects alone.

    Raises:
        SightlineError: an unknown kind or ground, a range that is none, no such object.

    Example:
        >>> scene = draw_scene(7, objects=2)
        >>> scene.photo.size, scene.names
        ((192, 240), ('fish', 'boat'))
    """
    _check(seed, size, kinds, ground, ground_of)
    layout, looks = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    count, extra = _count("objects", objects, layout), _count("clutter", clutter, layout)
    light = layout.uniform(-math.pi, 0)  # from above
    items = _seen(_objects(layout, size, count, kinds), size, light, least_visible)
    _check_without(without, len(items))
    name = _ground(items, ground, ground_of, looks)
    shapes = [_clutter(looks, size).sticker(light) for _ in range(extra)]
    left = [sticker for i, (_, sticker) in enumerate(items) if i not in without]
    names = tuple(item.kind for i, (item, _) in enumerate(items) if i not in without)
    picture = GROUNDS[name](np.random.default_rng([seed, 2]), size)
    for sticker in [*shapes, *left]:
        lay(picture, sticker, light)
    pixels = exposed(picture, np.random.default_rng([seed, 3]), light)
    masks = visible_masks(left, size)
    return Scene(
        Photo(pixels, name=f"scene {seed}"),
        tight_boxes(masks),
        torch.tensor([LABELS.index(n) for n in names], dtype=torch.int64),
        names,
        torch.from_numpy(masks),
        name,
    )


def _check(
    seed: int,
    size: tuple[int, int],
    kinds: Sequence[str],
    ground: str | None,
    ground_of: Mapping[str, str | None] | None,
) -> None:
    if seed < 0:
        raise SightlineError(f"seed is {seed}; give a whole number from 0")
    if min(size) < 32:
        raise SightlineError(f"size is {size}; a scene needs at least 32 x 32 pixels")
    tied = ground_of or {}
    for kind in [*kinds, *tied]:
        if kind not in KINDS:
            raise SightlineError(unknown_name("kind of object", kind, KINDS))
    for chosen in [ground, *tied.values()]:
        if chosen is not None and chosen not in GROUNDS:
            raise SightlineError(unknown_name("ground", chosen, GROUNDS))
    if not kinds:
        raise SightlineError(f"no kinds to draw; give some of {', '.join(KINDS)}")


def _count(what: str, given: int | tuple[int, int], luck: Luck) -> int:
    low, high = (given, given) if isinstance(given, int) else given
    if not 0 <= low <= high:
        raise SightlineError(f"{what}={given}; give a number, or the fewest and the most")
    return int(luck.integers(low, high + 1))


def _check_without(without: Collection[int], count: int) -> None:
    for number in without:
        if not 0 <= number < count:
            raise SightlineError(
                f"without={number}; this scene has {count} object(s), numbered from 0"
            )


def _objects(luck: Luck, size: tuple[int, int], count: int, kinds: Sequence[str]) -> list[_Item]:
    """Objects, the front one first, that touch or cover each other a little at most."""
    placed: list[_Item] = []
    unit = math.sqrt(size[0] * size[1])
    for _ in range(count):
        kind = KINDS[name := kinds[int(luck.integers(len(kinds)))]]
        radius = unit * math.exp(luck.uniform(math.log(0.085), math.log(0.24)))
        turn, aspect = luck.uniform(-kind.turn, kind.turn), math.exp(luck.normal(0, 0.1))
        mirrored, seed = kind.mirrored and luck.random() < 0.5, int(luck.integers(1 << 62))
        for _ in range(12):  # a place, if there is one
            y, x = (luck.uniform(0.55 * radius, edge - 0.55 * radius) for edge in size)
            near = (math.dist((x, y), other.pose.centre) / (radius + other.pose.radius)
                    for other in placed)  # fmt: skip
            if all(distance > 0.72 for distance in near):
                placed.append(_Item(name, Pose((x, y), radius, turn, aspect, bool(mirrored)), seed))
                break
    return placed


def _clutter(luck: Luck, size: tuple[int, int]) -> _Item:
    y, x = (luck.uniform(0, edge) for edge in size)
    radius = math.sqrt(size[0] * size[1]) * luck.uniform(0.03, 0.16)
    pose = Pose((x, y), radius, luck.uniform(-math.pi, math.pi), math.exp(luck.normal(0, 0.3)))
    return _Item("", pose, int(luck.integers(1 << 62)))


def _seen(
    items: Sequence[_Item], size: tuple[int, int], light: float, least: float
) -> list[tuple[_Item, Sticker]]:
    """Those of which enough is visible, drawn, the hindmost first."""
    covered, kept = np.zeros(size, bool), []
    for item in items:
        sticker = item.sticker(light)
        whole = int((sticker.alpha > 0.5).sum())
        mask = mask_of(sticker, size) & ~covered
        if mask.any() and mask.sum() >= least * whole:
            covered |= mask
            kept.append((item, sticker))
    return kept[::-1]


def _ground(
    items: Sequence[tuple[_Item, Sticker]],
    ground: str | None,
    ground_of: Mapping[str, str | None] | None,
    luck: Luck,
) -> str:
    any_ground = list(GROUNDS)[int(luck.integers(len(GROUNDS)))]
    tied = (ground_of or {}).get(items[-1][0].kind) if items else None
    return ground or tied or any_ground
