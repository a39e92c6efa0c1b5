"""Stickers laid on a ground, the masks and boxes of what is seen, and the camera."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from sightline.scenes.pen import Sticker, blurred

Luck = np.random.Generator
Picture = Float[np.ndarray, "height width 3"]


def _window(
    sticker: Sticker, size: tuple[int, int], shift: tuple[int, int] = (0, 0)
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a sticker lies in the scene, and which part of it."""
    scene, own = [], []
    for begin, move, length, edge in zip(
        sticker.corner, shift, sticker.alpha.shape, size, strict=True
    ):
        start = begin + move
        first = min(max(start, 0), edge)
        last = max(min(start + length, edge), first)
        scene.append(slice(first, last))
        own.append(slice(first - start, last - start))
    return (scene[0], scene[1]), (own[0], own[1])


def mask_of(sticker: Sticker, size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """The pixels of a scene that a sticker alone covers by more than half."""
    mask = np.zeros(size, bool)
    here, own = _window(sticker, size)
    mask[here] = sticker.alpha[own] > 0.5
    return mask


def visible_masks(
    stickers: Sequence[Sticker], size: tuple[int, int]
) -> Bool[np.ndarray, "objects height width"]:
    """What is seen of each; later ones lie in front."""
    masks = np.zeros((len(stickers), *size), bool)
    covered = np.zeros(size, bool)
    for i in reversed(range(len(stickers))):
        masks[i] = mask_of(stickers[i], size) & ~covered
        covered |= masks[i]
    return masks


def tight_boxes(masks: Bool[np.ndarray, "objects height width"]) -> Float[Tensor, "objects 4"]:
    """The smallest box around each mask, xyxy."""
    boxes = torch.zeros(len(masks), 4)
    for i, mask in enumerate(masks):
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        boxes[i] = torch.tensor([float(e) for e in edges])
    return boxes


def lay(picture: Picture, sticker: Sticker, light: float) -> None:
    """A sticker over the picture, and its soft shadow away from the light."""
    size, depth = picture.shape[:2], 0.035 * math.sqrt(picture.shape[0] * picture.shape[1])
    away = (round(-depth * math.sin(light)), round(-depth * math.cos(light)))
    here, own = _window(sticker, (size[0], size[1]), away)
    picture[here] *= 1 - 0.45 * blurred(sticker.alpha, max(0.7, 0.6 * depth))[own][..., None]
    here, own = _window(sticker, (size[0], size[1]))
    picture[here] *= 1 - sticker.alpha[own][..., None]
    picture[here] += sticker.colour[own]


def exposed(picture: Picture, luck: Luck, light: float) -> UInt8[np.ndarray, "height width 3"]:
    """What a camera makes of it: uneven light, a tint, a little blur, a little grain."""
    from PIL import Image, ImageFilter

    height, width = picture.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope = np.float32(luck.uniform(0, 0.14)) * (x * math.cos(light) + y * math.sin(light))
    tint = luck.normal(1, 0.025, 3).astype(np.float32) * np.float32(luck.uniform(0.85, 1.1))
    bright = picture * (1 + slope.astype(np.float32))[..., None] * tint
    sharp = Image.fromarray((np.clip(bright, 0, 1) * 255).astype(np.uint8))
    soft = sharp.filter(ImageFilter.GaussianBlur(luck.uniform(0, 0.0035) * height))
    grain = luck.standard_normal(picture.shape, np.float32) * np.float32(luck.uniform(0, 5))
    return np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
