"""Superpixels: patches of like colour, each a part that comes and goes; and their short form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from sightline.errors import PhotoError
from sightline.image.photo import Photo
from sightline.image.read import MOST_PIXELS

FIELDS = ("shape", "values", "lengths")


def superpixels(
    photo: Photo,
    count: int = 256,
    *,
    sigma: float = 1.4,
    compactness: float = 10.0,
    zero_parameter: bool = True,
) -> Int64[Tensor, "height width"]:
    """Cut a photo into patches of like colour, each in one piece (SLIC in CIELAB).

    The same photo gives the same patches: nothing is left to luck.

    Args:
        photo: the photo.
        count: how many to aim at. Patches start on a regular grid and small ones are merged, so
            there are often fewer, and sometimes more (at worst one a pixel, on a tiny photo).
        sigma: of the Gaussian that smooths first, in pixels.
        compactness: how much place weighs against colour.
        zero_parameter: adapt compactness to each patch (SLICO).

    Returns:
        The number of each pixel's patch: 0 to n - 1, every number used.

    Raises:
        PhotoError: settings that make no patches.

    Example:
        >>> half = np.zeros((20, 40, 3), np.uint8)
        >>> half[:, 20:] = 255
        >>> superpixels(Photo(half), 2, sigma=0.0)[0, ::10].tolist()
        [0, 0, 1, 1]

    Source:
        Achanta et al., SLIC superpixels compared to state-of-the-art superpixel methods, TPAMI
        2012, as scikit-image has it. The defaults are those of detex.
    """
    if count < 1 or not (0 <= sigma < np.inf and 0 < compactness < np.inf):
        raise PhotoError(
            f"superpixels need count >= 1, sigma >= 0 and compactness > 0; got count={count}, "
            f"sigma={sigma}, compactness={compactness}"
        )
    from skimage.segmentation import slic

    found = slic(
        photo.pixels,
        n_segments=count,
        sigma=sigma,
        compactness=compactness,
        slic_zero=zero_parameter,
        start_label=0,
    )
    _, dense = np.unique(found, return_inverse=True)
    return torch.from_numpy(dense.reshape(photo.size).astype(np.int64))


def encode_labels(labels: Int[Tensor, "height width"]) -> dict[str, Int[np.ndarray, " _"]]:
    """A map of whole numbers as runs along its rows; a run may go on in the next row.

    Returns:
        Arrays of int32, as a row of a table takes them: ``shape`` (height, width), ``values`` and
        ``lengths`` of the runs.

    Raises:
        PhotoError: a number beyond 32 bits.

    Example:
        >>> runs = encode_labels(torch.tensor([[0, 0, 1], [1, 1, 0]]))
        >>> runs["values"].tolist(), runs["lengths"].tolist()
        ([0, 1, 0], [2, 3, 1])
    """
    flat = labels.detach().cpu().numpy().astype(np.int64).ravel()
    if flat.size and (abs(flat) > np.iinfo(np.int32).max).any():
        raise PhotoError(
            f"labels run from {flat.min()} to {flat.max()}; expected numbers of 32 bits"
        )
    starts = np.flatnonzero(np.diff(flat, prepend=flat[:1] - 1))
    lengths = np.diff(starts, append=flat.size)
    arrays = (np.array(labels.shape), flat[starts], lengths)
    return {name: array.astype(np.int32) for name, array in zip(FIELDS, arrays, strict=True)}


def decode_labels(
    runs: Mapping[str, object], *, most_pixels: int = MOST_PIXELS
) -> Int64[Tensor, "height width"]:
    """The map that `encode_labels` was given.

    Args:
        runs: its arrays, or lists of the same numbers.
        most_pixels: a larger map is refused.

    Raises:
        PhotoError: runs that make no map.
    """
    shape, values, lengths = (_whole_numbers(runs, name) for name in FIELDS)
    if len(shape) != 2 or (shape < 0).any() or int(shape[0]) * int(shape[1]) > most_pixels:
        raise PhotoError(
            f"label runs have the shape {shape.tolist()}; expected height and width, at most "
            f"{most_pixels:,} pixels"
        )
    if len(values) != len(lengths) or (lengths < 1).any():
        raise PhotoError(
            f"label runs have {len(values)} values and {len(lengths)} lengths (shortest "
            f"{min(lengths.tolist(), default=0)}); expected as many of each, lengths from 1"
        )
    pixels, told = int(shape[0]) * int(shape[1]), sum(lengths.tolist())
    if told != pixels:
        raise PhotoError(
            f"label runs are {told} pixels long, the map has {shape[0]} x {shape[1]} = {pixels}; "
            "the record is cut off or of another photo"
        )
    return torch.from_numpy(np.repeat(values, lengths).reshape(int(shape[0]), int(shape[1])))


def _whole_numbers(runs: Mapping[str, object], name: str) -> Int64[np.ndarray, " _"]:
    if name not in runs:
        raise PhotoError(
            f"label runs have no {name!r} (keys: {', '.join(map(str, runs))}); expected "
            f"{', '.join(FIELDS)}"
        )
    try:
        array = np.asarray(runs[name])
    except (TypeError, ValueError):  # ragged
        array = np.array(None, object)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise PhotoError(
            f"label runs have {name} of {array.dtype} {list(array.shape)}; expected whole numbers "
            "in a row"
        )
    return array.astype(np.int64)
