"""How well one map and one label agree: GRADIA's IoU, RES's precision, energy, wrong reason."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from sightline.alignment.placing import grown
from sightline.errors import AlignmentError

# "..." and not one or two axes: other shapes are refused in words, below
Map = Float[np.ndarray, "..."] | Float[Tensor, "..."]
Label = Shaped[np.ndarray, "..."] | Shaped[Tensor, "..."]
Numbers = Float[np.ndarray, "..."]

GRADIA = 0.75
RES = 0.5


class Overlap(NamedTuple):
    """Precision, recall and F1 of a map cut at a threshold; None where nothing could be wrong."""

    precision: float | None
    recall: float
    f1: float


def gradia_iou(of_map: Map, must: Label, *, threshold: float = GRADIA) -> float | None:
    """Intersection over union of the brightest places of a map and the label: GRADIA's score.

    Convention:
        Negative scores become 0 (here, in evaluation; GRADIA's training map keeps them). The map
        is grown to the label's size, bilinear, half-pixel centres, and brought to [0, 1] by its
        smallest and largest number. Places above ``threshold`` against places marked above 0.
        Strokes are compared one by one, with nothing to grow.

    Args:
        of_map: scores ``[rows, columns]`` of a layer's cells or of pixels, or ``[strokes]``.
        must: the label, ``[height, width]`` or ``[strokes]``.
        threshold: of the map in [0, 1].

    Returns:
        None for a blank map: no positive score, or the same everywhere. Count such maps.

    Raises:
        AlignmentError: an empty label; shapes that do not fit; numbers that are not finite.

    Example:
        >>> gradia_iou(np.array([0.1, 0.9, -2.0, 1.0]), np.array([0, 1, 1, 0]))
        0.3333333333333333

    Source:
        GRADIA's program (GradCam.__call__, compute_iou). There a blank map gives NaN or 0.
    """
    marked = _marked(must, "must") > 0
    scores = _scaled(_grown(np.maximum(_map(of_map), 0), marked.shape))
    if scores is None:
        return None
    seen = scores > _share(threshold)
    return float((seen & marked).sum() / (seen | marked).sum())


def precision_recall_f1(
    of_map: Map, must: Label, must_not: Label | None = None, *, threshold: float = RES
) -> Overlap | None:
    """Precision, recall and F1 of the bright places of a map against the label: RES's scores.

    Convention:
        The map keeps its negative scores, is grown as in `gradia_iou` and brought to [0, 1]. With
        ``must_not`` only marked places count, as in RES: what is bright where nobody said anything
        is no mistake. Without it every place outside ``must`` is a mistake, which is stricter.
        Where must and must-not contradict each other the stronger counts; equal ones say nothing.

    Args:
        of_map: scores ``[rows, columns]``, or ``[strokes]``.
        must: what has to be looked at.
        must_not: what has to be left alone.
        threshold: of the map in [0, 1].

    Returns:
        None for a map that is the same everywhere. Precision is None where no marked place is
        bright; recall and F1 are 0 then.

    Raises:
        AlignmentError: as for `gradia_iou`.

    Example:
        >>> precision_recall_f1(np.array([0.0, 1.0, 0.9, 0.8]), np.array([0, 1, 1, 0]))
        Overlap(precision=0.6666666666666666, recall=1.0, f1=0.8)

    Source:
        RES's program (compute_exp_score, threshold 0.5). It adds 1e-6 to every denominator. Given
        a label without must-not places it always answers a precision of 1; here leave
        ``must_not`` out for a number that can fail.
    """
    wanted = _marked(must, "must")
    sign = wanted - _label(must_not, "must_not") if must_not is not None else wanted - (wanted <= 0)
    scores = _scaled(_grown(_map(of_map), wanted.shape))
    if scores is None:
        return None
    seen, yes, no = scores > _share(threshold), sign > 0, sign < 0
    right, wrong, missed = (int(n.sum()) for n in (seen & yes, seen & no, ~seen & yes))
    precision = right / (right + wrong) if right + wrong else None
    recall = right / (right + missed) if right + missed else 0.0
    return Overlap(precision, recall, 2 * right / max(2 * right + wrong + missed, 1))


def energy_inside(of_map: Map, must: Label) -> float | None:
    """Share of the sum of positive scores that lies on the label; soft labels count as they say.

    Args:
        of_map: scores ``[rows, columns]``, grown as in `gradia_iou`, or ``[strokes]``.
        must: the label.

    Returns:
        None for a map without a positive score.

    Raises:
        AlignmentError: as for `gradia_iou`.

    Example:
        >>> energy_inside(np.array([3.0, 1.0, -4.0]), np.array([1, 0, 0]))
        0.75

    Source:
        Wang et al., 2020 (Score-CAM); of a whole mask it is `sightline.localise`'s ``energy``.
    """
    wanted = _marked(must, "must")
    energy = _grown(np.maximum(_map(of_map), 0), wanted.shape)
    total = float(energy.sum())
    return float((energy * wanted).sum()) / total if total > 0 else None


def wrong_reason(of_map: Map, must_not: Label, *, threshold: float | None = None) -> float | None:
    """How bright a map is where the model must not look; 0 is best, 1 is worst.

    Convention:
        The mean over the confounder of the attribution without its negative part, grown and brought
        to [0, 1] as in `gradia_iou`: 1 is the brightest place of *this* map, so that a model
        that looks nowhere else scores 1 however faint its map is.

    Args:
        of_map: scores ``[rows, columns]``, or ``[strokes]``.
        must_not: the confounder; soft labels weight the mean.
        threshold: cut the map there first, and give the share of the confounder that is above.

    Returns:
        None for a blank map.

    Raises:
        AlignmentError: as for `gradia_iou`.

    Example:
        >>> wrong_reason(np.array([0.5, 1.0, 0.0, -1.0]), np.array([1, 0, 0, 1]))
        0.25

    Source:
        The wrong-reason score of Friedrich et al., 2023 (A typology for exploring the mitigation
        of shortcut behaviour). Their program always cuts, at the mean or median that it measured
        over a data set before; pass that number as ``threshold`` to compare.
    """
    wanted = _marked(must_not, "must_not")
    scores = _scaled(_grown(np.maximum(_map(of_map), 0), wanted.shape))
    if scores is None:
        return None
    if threshold is not None:
        scores = (scores > _share(threshold)).astype(np.float64)
    return float((scores * wanted).sum() / wanted.sum())


def _map(of_map: Map) -> Numbers:
    """Float64 on the CPU, one or two axes, its largest size 1 so that nothing overflows."""
    given = of_map.detach().cpu().numpy() if isinstance(of_map, Tensor) else of_map
    scores = np.asarray(given, np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise AlignmentError(
            f"the map has shape {list(scores.shape)}; expected [rows, columns], or [strokes]"
        )
    if not np.isfinite(scores).all():
        raise AlignmentError(f"{int((~np.isfinite(scores)).sum())} scores of the map are no number")
    return scores / (np.abs(scores).max() or 1.0)


def _label(given: Label, name: str) -> Numbers:
    label = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, np.float64)
    if label.ndim not in (1, 2) or not (np.isfinite(label).all() and (label >= 0).all()):
        raise AlignmentError(
            f"the {name} label has shape {list(label.shape)} or numbers below 0; expected [height, "
            "width] or [strokes] in [0, 1]"
        )
    return label


def _marked(given: Label, name: str) -> Numbers:
    label = _label(given, name)
    if not label.any():
        raise AlignmentError(f"the {name} label is empty: no place to compare the map with")
    return label


def _grown(scores: Numbers, size: tuple[int, ...]) -> Numbers:
    if scores.shape == size:
        return scores
    if scores.ndim != 2 or len(size) != 2:
        raise AlignmentError(
            f"the map has shape {list(scores.shape)}, the label {list(size)}; a photo's map is "
            "grown to its label, strokes are compared one by one"
        )
    return grown(scores, (size[0], size[1]))


def _scaled(scores: Numbers) -> Numbers | None:
    """In [0, 1]; None where all are the same."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else None


def _share(threshold: float) -> float:
    if not 0 <= threshold < 1:
        raise AlignmentError(f"threshold is {threshold}; expected a share of the map in [0, 1)")
    return threshold
