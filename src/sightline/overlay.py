"""A photo under its scores: grey where nothing speaks, coloured where something does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sightline.image.photo import Photo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

STRONGEST = 0.85
"""Opacity of the strongest score: the photo stays visible under it."""

FAINTEST = 0.04
"""Share of the scale below which nothing is laid over the photo."""


def draw_overlay(
    axes: Axes,
    photo: Photo,
    heat: Float[np.ndarray, "height width"],
    limit: float,
    colours: Colormap,
) -> None:
    """The photo, pale and grey, with scores over it; opaque in full colour at ``limit``."""
    share = np.clip(heat / limit, -1, 1)
    over = np.asarray(colours(0.5 + share / 2))
    strength = np.abs(share)
    over[..., 3] = np.where(strength < FAINTEST, 0, STRONGEST * strength**0.7)
    draw_photo(axes, photo, pale=True)
    axes.imshow(over, interpolation="nearest", extent=_extent(photo))
    axes.axis("off")


def draw_photo(axes: Axes, photo: Photo, *, pale: bool = False) -> None:
    """The photo with its pixels where boxes count them: from 0 to its width and height."""
    shown = photo.pixels
    if pale:
        grey = photo.pixels.astype(float) @ np.array([0.299, 0.587, 0.114])
        shown = np.repeat((70 + 0.72 * grey)[..., None], 3, 2).clip(0, 255).astype(np.uint8)
    axes.imshow(shown, interpolation="antialiased", extent=_extent(photo))
    axes.axis("off")


def draw_box(
    axes: Axes,
    xyxy: Float[np.ndarray, " 4"],
    *,
    name: str = "",
    colour: str = "#111111",
    size: float = 8,
) -> None:
    """A box with its name at the upper left corner, visible on light and on dark."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = xyxy
    for edge, width in (("white", 3.2), (colour, 1.6)):
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, ec=edge, lw=width)
        )
    if name:
        axes.annotate(
            name,
            (left, top),
            xytext=(2, -2),
            textcoords="offset points",
            va="top",
            fontsize=size,
            color="white",
            parse_math=False,
            bbox={"boxstyle": "square,pad=0.15", "fc": colour, "ec": "none", "alpha": 0.85},
        )


def _extent(photo: Photo) -> tuple[float, float, float, float]:
    height, width = photo.size
    return 0, width, height, 0
