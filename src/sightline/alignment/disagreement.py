"""How little several maps of one item agree: where methods differ, a person is worth asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.alignment.placing import grown
from sightline.errors import AlignmentError, unknown_name
from sightline.metrics.agreement import spearman


def disagreement(
    maps: Sequence[ArrayLike], *, by: Literal["ranks", "regions"] = "ranks", top: float = 0.2
) -> float:
    """How little several maps of one item agree, from 0 (all say the same) to 1.

    Args:
        maps: one a method, ``[height, width]`` or ``[strokes]``; smaller ones of a photo grow to
            the largest.
        by: "ranks", (1 - mean rank correlation over pairs) / 2, so 0.5 for maps that have nothing
            to do with each other; "regions", 1 - mean IoU of the regions of highest values.
        top: share of the places in a region.

    Raises:
        AlignmentError: fewer than two maps; maps of photos and of drawings; an unknown way.

    Example:
        >>> disagreement([[3, 2, 1], [30, 20, 10]]), disagreement([[3, 2, 1], [1, 2, 3]])
        (0.0, 1.0)
    """
    if by not in ("ranks", "regions"):
        raise AlignmentError(unknown_name("way to compare maps", by, ("ranks", "regions")))
    shown = _one_size(maps)
    pairs = [(a, b) for i, a in enumerate(shown) for b in shown[i + 1 :]]
    if by == "ranks":
        # a flat map ranks nothing: it agrees with none
        alike = np.nan_to_num([spearman(a, b) for a, b in pairs])
        return float(np.clip((1 - alike.mean()) / 2, 0, 1))
    count = max(1, round(top * len(shown[0])))
    regions = [set(np.argsort(-own, kind="stable")[:count].tolist()) for own in shown]
    shares = [len(a & b) / len(a | b) for i, a in enumerate(regions) for b in regions[i + 1 :]]
    return 1 - float(np.mean(shares))


def _one_size(maps: Sequence[ArrayLike]) -> list[Float[np.ndarray, " places"]]:
    shown = [np.array(own, np.float64) for own in maps]
    if len(shown) < 2:
        raise AlignmentError(f"{len(shown)} map: disagreement needs two methods at least")
    kinds = {own.ndim for own in shown}
    if kinds == {1} and len({len(own) for own in shown}) == 1:
        return shown
    if kinds != {2}:
        raise AlignmentError(
            f"maps of one item have shapes {[list(own.shape) for own in shown]}; expected "
            "[height, width] each, or one number a stroke each"
        )
    rows, columns = (max(own.shape[axis] for own in shown) for axis in (0, 1))
    return [grown(own, (rows, columns)).ravel() for own in shown]
