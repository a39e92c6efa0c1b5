"""Pictures that a drawing determines: each part of the object in a colour of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sightline.scenes.pairs import Pair
from sightline.scenes.pen import Colour, hsv

PAPER: Colour = (240, 236, 228)
PALETTE: Mapping[str, Colour] = {
    "arm": (134, 90, 110),
    "band": (214, 88, 110),
    "body": (64, 132, 164),
    "bottom": (110, 80, 150),
    "buckle": (64, 92, 190),
    "cap": (238, 196, 110),
    "chain": (70, 66, 76),
    "clasp": (64, 92, 190),
    "collar": (176, 136, 190),
    "cushion": (220, 110, 120),
    "dots": (98, 70, 140),
    "edge": (52, 116, 96),
    "emblem": (170, 60, 80),
    "flap": (196, 168, 62),
    "foot": (122, 84, 62),
    "handle": (146, 86, 140),
    "heart": (210, 50, 70),
    "heel": (60, 56, 64),
    "hem": (150, 60, 60),
    "hoop": (116, 74, 44),
    "knob": (205, 92, 70),
    "label": (240, 206, 130),
    "laces": (226, 96, 64),
    "leg": (150, 98, 58),
    "lid": (104, 168, 96),
    "lip": (92, 104, 126),
    "loop": (44, 110, 110),
    "neck": (120, 126, 140),
    "opening": (250, 222, 150),
    "patch": (90, 150, 170),
    "pleats": (176, 120, 40),
    "pocket": (76, 178, 140),
    "post": (116, 74, 44),
    "rail": (90, 60, 40),
    "rungs": (196, 146, 84),
    "seam": (110, 60, 40),
    "seat": (72, 150, 120),
    "shade": (242, 184, 75),
    "slats": (196, 146, 84),
    "sole": (84, 96, 120),
    "spout": (226, 140, 70),
    "stem": (110, 116, 128),
    "stopper": (200, 90, 70),
    "strap": (52, 130, 140),
    "stretcher": (170, 120, 70),
    "stripe": (98, 70, 140),
    "stripes": (98, 70, 140),
    "tassel": (150, 176, 56),
    "upper": (186, 106, 62),
}
"""Colours by the last word of a part's name, so that all four legs have one."""
DARKEST, BRIGHTEST = 0.6, 1.25
"""How far the photo's light and shade change a colour."""


def colour_of(part: str) -> Colour:
    """The colour of a part; one that the palette lacks has always the same by its name.

    Example:
        >>> colour_of("left front leg") == colour_of("right back leg")
        True
    """
    kind = part.rsplit(maxsplit=1)[-1]
    if kind in PALETTE:
        return PALETTE[kind]
    return hsv(hashlib.sha256(kind.encode()).digest()[0] / 256, 0.55, 0.7)


def paint(pair: Pair, size: int) -> Float[Tensor, "3 size size"]:
    """The photo of a pair in the colours of its parts, on plain paper.

    Of the photo stay the shapes, and light and shade within each part; its colours, its ground and
    its shadows, which no drawing tells, go.

    Args:
        pair: with a photo at least as large.
        size: of the picture; a larger photo is averaged.
    """
    light = pair.photo.pixels.astype(np.float64).mean(2)
    picture = np.empty((*light.shape, 3))
    picture[:] = PAPER
    for name, mask in pair.masks.items():
        if mask.any():
            picture[mask] = np.array(colour_of(name)) * _shade(light, mask)[:, None]
    whole = torch.from_numpy(picture.clip(0, 255) / 255).float().permute(2, 0, 1)
    return F.interpolate(whole[None], (size, size), mode="area")[0]


def _shade(
    light: Float[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, " pixels"]:
    """How much brighter each pixel of a part is than its middle."""
    inside = light[mask]
    return (inside / max(float(np.median(inside)), 1.0)).clip(DARKEST, BRIGHTEST)
