"""Labels of photos at the size of a map, and maps at the size of a photo."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from sightline.errors import AlignmentError

GRADIA = {"blur": True, "scaled": True}
"""How GRADIA brings a label to its map: ``at_size(masks, (7, 7), **GRADIA)``."""


def at_size(
    masks: Float[Tensor, "items height width"],
    size: tuple[int, int],
    *,
    blur: bool = False,
    scaled: bool = False,
) -> Float[Tensor, "items rows columns"]:
    """Labels of photos at the size of a map.

    Each new cell is the mean of what it covers, weighted by the shares of overlap. This is exact
    for every ratio, also one that is not whole, and also for a map larger than the photo.

    Convention:
        ``blur=True, scaled=True`` (`GRADIA`) is GRADIA's: the area mean, then a 3 x 3 Gaussian,
        then division by the maximum. OpenCV rounds to whole numbers in between, this does not.

    Args:
        masks: in [0, 1]; of photos, not of drawings.
        size: rows and columns of the map.
        blur: by (1/4, 1/2, 1/4) along each axis; the border is mirrored at the outermost cells.
        scaled: divide each mask by its maximum; one of zeros stays.

    Raises:
        AlignmentError: a size below 1 x 1.

    Example:
        >>> mask = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])
        >>> at_size(mask, (1, 2)), at_size(mask, (1, 2), scaled=True)
        (tensor([[[0.7500, 0.0000]]]), tensor([[[1., 0.]]]))

    Source:
        Gao et al., Aligning Eyes between Humans and Deep Neural Network through Interactive
        Attention Alignment, CSCW 2022, as its program does it (`cv2.resize` with INTER_AREA,
        `cv2.GaussianBlur` with a kernel of 3 and sigma 0).
    """
    if min(*size, *masks.shape[1:]) < 1:
        raise AlignmentError(
            f"masks of {tuple(masks.shape[1:])} cannot be brought to {size}; both need at least "
            "1 x 1 cells (rows, columns)"
        )
    with torch.autocast(masks.device.type, enabled=False):
        down = _axis(masks.shape[1], size[0], blur, masks.device, masks.dtype)
        across = _axis(masks.shape[2], size[1], blur, masks.device, masks.dtype)
        placed = down @ masks @ across.T
    if not scaled:
        return placed
    most = placed.flatten(1).amax(1)[:, None, None]
    return placed / torch.where(most > 0, most, torch.ones_like(most))


def grown(
    scores: Float[np.ndarray, "rows columns"], size: tuple[int, int]
) -> Float[np.ndarray, "height width"]:
    """A map of cells at a larger size, bilinear, cell centres kept in place."""
    cells = torch.from_numpy(np.ascontiguousarray(scores))[None, None]
    return interpolate(cells, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()


@lru_cache(maxsize=64)
def _axis(
    given: int, wanted: int, blur: bool, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "wanted given"]:
    """What each wanted cell takes of each given one, along one axis."""
    with torch.inference_mode(False):  # or the cached matrix could not be used in training
        shares = _shares(given, wanted)
        return (_blur(wanted) @ shares if blur else shares).to(device, dtype)


def _shares(given: int, wanted: int) -> Float[Tensor, "wanted given"]:
    """In units of 1 / (given * wanted) of the axis, where all edges are whole numbers."""
    starts, new_starts = torch.arange(given) * wanted, torch.arange(wanted)[:, None] * given
    ends = torch.minimum(starts + wanted, new_starts + given)
    return (ends - torch.maximum(starts, new_starts)).clamp(min=0).double() / given


def _blur(cells: int) -> Float[Tensor, "cells cells"]:
    """(1/4, 1/2, 1/4) with OpenCV's border reflect-101: beyond cell 0 comes cell 1."""
    matrix = torch.eye(cells, dtype=torch.float64) / 2
    for step in (-1, 1):
        beside = (torch.arange(cells) + step).abs()
        beside = torch.where(beside >= cells, cells - 2, beside).clamp(min=0)
        matrix[torch.arange(cells), beside] += 0.25
    return matrix
