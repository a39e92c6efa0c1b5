"""The loss of a single-shot detector: labels and places, with hard negatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sightline.models.anchors import encode, match

MATCHED = 0.45  # IoU with a box from which on an anchor must find it
LEAST_NEGATIVES = 10  # a picture, so that one without objects teaches as well


def detection_loss(
    logits: Float[Tensor, "pictures anchors labels"],
    offsets: Float[Tensor, "pictures anchors 4"],
    anchors: Float[Tensor, "anchors 4"],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    labels: Sequence[Int[Tensor, " _"]],
    *,
    negatives: float = 3.0,
) -> Float[Tensor, ""]:
    """Cross entropy of the labels and smooth L1 of the offsets, by the number of objects' anchors.

    Args:
        logits: column 0 is the background.
        offsets: as `decode` reads them.
        anchors: xyxy in pixels of the pictures.
        boxes: the true ones of each picture, in the same unit.
        labels: columns of those.
        negatives: background anchors that count for each of an object: those most mistaken in the
            whole batch, and ten more a picture.

    Source:
        Liu et al., "SSD", ECCV 2016, equations 1 to 3 and "Hard negative mining" (there ranked
        picture by picture).
    """
    told = [_told(anchors.cpu(), b, own) for b, own in zip(boxes, labels, strict=True)]
    label, wanted = (torch.stack(of).to(logits.device) for of in zip(*told, strict=True))
    flat = F.cross_entropy(logits.float().flatten(0, 1), label.flatten(), reduction="none")
    mistaken, is_object = flat.view_as(label), label > 0
    count = int(is_object.sum())
    ground = mistaken[~is_object]
    most = min(int(negatives * count) + LEAST_NEGATIVES * len(label), len(ground))
    classes = mistaken[is_object].sum() + ground.topk(most).values.sum()
    places = F.smooth_l1_loss(offsets.float()[is_object], wanted[is_object], reduction="sum")
    return (classes + places) / max(1, count)


def _told(
    anchors: Float[Tensor, "anchors 4"], boxes: Float[Tensor, "_ 4"], labels: Int[Tensor, " _"]
) -> tuple[Int[Tensor, " anchors"], Float[Tensor, "anchors 4"]]:
    """What each anchor should say: a label, 0 for background, and offsets."""
    if not len(boxes):
        return torch.zeros(len(anchors), dtype=torch.int64), torch.zeros_like(anchors)
    whose = match(anchors, boxes, overlap=MATCHED)
    own = whose.clamp(min=0)
    return torch.where(whose >= 0, labels[own], 0), encode(boxes[own], anchors)
