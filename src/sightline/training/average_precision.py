"""Average precision of a detector: how well its boxes, ranked by score, find the true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import SightlineError
from sightline.image.boxes import iou
from sightline.metrics.intervals import Interval
from sightline.models.detector import Detections

OVERLAPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Detections of one label in all photos, the highest score first.

    Args:
        photo: of each.
        hits: whether it found a true box, at each overlap.
        true: true boxes of the label in each photo.
    """

    photo: Int[np.ndarray, " found"]
    hits: np.ndarray  # [found, overlaps]
    true: Int[np.ndarray, " photos"]

    def precision(self, weight: np.ndarray) -> Float[np.ndarray, " overlaps"]:
        """Average precision where photo i counts ``weight[i]`` times; NaN without true boxes."""
        total = weight @ self.true
        if not total:
            return np.full(self.hits.shape[1], np.nan)
        counted = weight[self.photo].astype(np.float64)
        right = np.cumsum(counted[:, None] * self.hits, 0)
        recall = right / total
        precise = right / np.maximum(np.cumsum(counted), 1e-12)[:, None]
        precise = np.maximum.accumulate(precise[::-1], 0)[::-1]
        levels = np.linspace(0, 1, 101)
        areas = []
        for column in range(self.hits.shape[1]):
            first = np.searchsorted(recall[:, column], levels - 1e-9)
            reached = first < len(recall)
            areas.append(precise[first[reached], column].sum() / len(levels))
        return np.array(areas)


def average_precision(
    found: Sequence[Detections],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    names: Sequence[Sequence[str]],
    *,
    overlaps: Sequence[float] = OVERLAPS,
    draws: int = 200,
    seed: int = 0,
) -> dict[float, Interval]:
    """Mean over the labels of the average precision, at each overlap; photos are resampled.

    A detection finds the true box of its label that it overlaps most, if by at least the overlap
    asked and if no detection of a higher score has found it.

    Args:
        found: in each photo, with low scores too.
        boxes: the true ones of each photo.
        names: of those.
        overlaps: IoU that counts as found.
        draws: of the bootstrap over photos.
        seed: of the draws.

    Raises:
        SightlineError: lists of different lengths, or no true box.

    Source:
        Lin et al., "Microsoft COCO", ECCV 2014: precision at 101 levels of recall; without COCO's
        crowds, size classes and limit of 100 boxes.
    """
    if not len(found) == len(boxes) == len(names) or not any(names):
        raise SightlineError(
            f"answers for {len(found)} photos, true boxes of {len(boxes)}, names of {len(names)}; "
            "give one of each a photo, and at least one true box"
        )
    labels = sorted({name for those in names for name in those})
    ranked = [_rank(label, found, boxes, names, overlaps) for label in labels]
    luck = np.random.default_rng(seed)
    even = np.full(len(found), 1 / len(found))
    weights = [np.ones(len(found), np.int64), *luck.multinomial(len(found), even, size=draws)]
    # a label that a resample lost counts in no mean of that resample
    means = np.array([np.nanmean([r.precision(w) for r in ranked], 0) for w in weights])
    low, high = np.percentile(means[1:] if draws else means, [2.5, 97.5], axis=0)
    return {
        overlap: Interval(float(means[0, i]), float(low[i]), float(high[i]))
        for i, overlap in enumerate(overlaps)
    }


def _rank(
    label: str,
    found: Sequence[Detections],
    boxes: Sequence[Tensor],
    names: Sequence[Sequence[str]],
    overlaps: Sequence[float],
) -> _Ranked:
    photo, score, hits, true = [], [], [], []
    for number, (those, truth, called) in enumerate(zip(found, boxes, names, strict=True)):
        own = [i for i, name in enumerate(those.names) if name == label]
        own.sort(key=lambda i, of=those.scores: -float(of[i]))  # type: ignore[misc]
        meant = truth[[i for i, name in enumerate(called) if name == label]]
        near = iou(those.boxes[own], meant.to(those.boxes)).cpu().numpy()
        hits += list(zip(*[_hits(near, overlap) for overlap in overlaps], strict=True))
        photo += [number] * len(own)
        score += those.scores[own].tolist()
        true.append(len(meant))
    order = np.argsort(-np.array(score), kind="stable").astype(np.int64)
    table = np.array(hits, bool).reshape(-1, len(overlaps))[order]
    return _Ranked(np.array(photo, np.int64)[order], table, np.array(true, np.int64))


def _hits(near: Float[np.ndarray, "found true"], overlap: float) -> list[bool]:
    """Which detections, in their order, find a true box that is still free."""
    free, hits = np.ones(near.shape[1], bool), []
    for row in near:
        open_to = np.where(free, row, -1.0)
        best = int(open_to.argmax()) if len(row) else -1
        hit = best >= 0 and open_to[best] >= overlap
        if hit:
            free[best] = False
        hits.append(bool(hit))
    return hits
