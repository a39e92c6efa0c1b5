"""Boxes: xyxy, in the pixels of a photo unless said otherwise."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def areas(boxes: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any"]:
    """Areas; 0 where a box is inside out."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    return (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)


def iou(a: Float[Tensor, "*any a 4"], b: Float[Tensor, "*any b 4"]) -> Float[Tensor, "*any a b"]:
    """Intersection over union of each box with each other; 0 where both are empty.

    Example:
        >>> iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]])).item()
        0.3333333432674408
    """
    one, other = a.unsqueeze(-2), b.unsqueeze(-3)
    shared = torch.cat(
        [torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])],
        -1,
    )
    both = areas(shared)
    union = areas(one) + areas(other) - both
    return both / union.clamp(min=torch.finfo(union.dtype).tiny)


def clip(boxes: Float[Tensor, "*any 4"], size: tuple[int, int]) -> Float[Tensor, "*any 4"]:
    """Boxes cut off at the edges of a photo of ``size`` (height, width)."""
    most = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    return torch.minimum(boxes.clamp(min=0), most)


def from_centres(boxes: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 4"]:
    """Centre x, centre y, width, height as xyxy."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def nms(
    boxes: Float[Tensor, "boxes 4"],
    scores: Float[Tensor, " boxes"],
    *,
    overlap: float,
    groups: Int[Tensor, " boxes"] | None = None,
) -> Int[Tensor, " kept"]:
    """Non-maximum suppression: the boxes kept, the highest score first; ties by their order.

    A box goes when it overlaps a kept one of its own group by more than ``overlap``.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order]
    near = iou(ranked, ranked) > overlap
    if groups is not None:
        own = groups[order]
        near &= own[:, None] == own
    conflicts, kept = near.cpu().numpy(), []
    alive = [True] * len(order)
    for i in range(len(order)):
        if alive[i]:
            kept.append(i)
            for j in conflicts[i].nonzero()[0]:
                alive[j] = False
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]
