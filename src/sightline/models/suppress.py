"""From all candidates to the boxes that a detector reports."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
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
        scores = candidates.scores[picture].detach()
        boxes = clip(frame.back_boxes(candidates.boxes[picture].detach()), frame.photo)
        which, label = _above(scores[:, objects], threshold, most_a_label)
        label = torch.tensor(objects, device=scores.device)[label]
        kept = nms(boxes[which], scores[which, label], overlap=overlap, groups=label)[:most]
        index, label = which[kept].cpu(), label[kept].cpu()
        found.append(
            Detections(
                boxes[index.to(boxes.device)].float().cpu(),
                scores.cpu()[index, label].float(),
                label,
                tuple(labels[i] for i in label.tolist()),
                index,
                scores[index.to(scores.device)].float().cpu(),
            )
        )
    return found


def _above(scores: Tensor, threshold: float, most: int) -> tuple[Tensor, Tensor]:
    """Candidate and label of the scores of at least ``threshold``, the ``most`` of each label."""
    count = min(most, len(scores))
    best, which = scores.topk(count, 0)
    keep = best >= threshold
    label = torch.arange(scores.shape[1], device=scores.device).expand(count, -1)
    return which[keep], label[keep]
