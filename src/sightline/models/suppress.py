"""From all candidates to the boxes that a detector reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.image.boxes import clip, nms
from sightline.image.frame import Frame
from sightline.models.detector import SCORE_THRESHOLD, Candidates, Detections


def report(
    candidates: Candidates,
    frames: Sequence[Frame],
    labels: Sequence[str],
    *,
    threshold: float = SCORE_THRESHOLD,
    overlap: float = 0.5,
    without: Collection[int] = (0,),
    most: int = 200,
    most_a_label: int = 400,
) -> list[Detections]:
    """Threshold, non-maximum suppression within each label, the best ``most`` of each picture.

    Of equal scores, the earlier label and then the earlier candidate goes first.

    Args:
        candidates: boxes in pixels of the network's pictures.
        frames: from each photo to its picture.
        labels: names of the columns of ``candidates.scores``.
        threshold: lowest score reported.
        overlap: IoU above which the lower of two boxes of one label goes.
        without: columns that are no objects: background.
        most: boxes a photo.
        most_a_label: boxes of one label that suppression looks at.

    Returns:
        For each photo its boxes, clipped to it, with the candidate behind each.
    """
    objects = [i for i in range(len(labels)) if i not in without]
    found = []
    for picture, frame in enumerate(frames):
        scores = candidates.scores[picture].detach().float().cpu()
        boxes = frame.back_boxes(candidates.boxes[picture].detach().float().cpu())
        boxes = clip(boxes, frame.photo)
        seen = [i for i in objects if bool((scores[:, i] >= threshold).any())]
        kept = [_kept(boxes, scores[:, i], threshold, overlap, most_a_label) for i in seen]
        none = torch.zeros(0, dtype=torch.int64)
        index = torch.cat([none, *kept])
        label = torch.cat([none, *map(torch.full_like, kept, seen)])
        best = scores[index, label].argsort(descending=True, stable=True)[:most]
        index, label = index[best], label[best]
        names = tuple(labels[i] for i in label.tolist())
        found.append(
            Detections(boxes[index], scores[index, label], label, names, index, scores[index])
        )
    return found


def _kept(
    boxes: Float[Tensor, "candidates 4"],
    scores: Float[Tensor, " candidates"],
    threshold: float,
    overlap: float,
    most: int,
) -> Int[Tensor, " kept"]:
    """Candidates of one label that survive, the highest score first."""
    which = scores.argsort(descending=True, stable=True)[:most]
    which = which[scores[which] >= threshold]
    return which[nms(boxes[which], scores[which], overlap=overlap)]
