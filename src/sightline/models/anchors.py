"""Anchors of a one-stage detector: where they stand, how boxes are told from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import ModelError
from sightline.image.boxes import from_centres, iou

VARIANCES = (0.1, 0.1, 0.2, 0.2)
MOST_GROWTH = math.log(1000 / 16)  # of a side, as a logarithm; beyond it exp would overflow


def grid_anchors(
    cells: tuple[int, int],
    shapes: Sequence[tuple[float, float]],
    *,
    picture: tuple[int, int],
    step: tuple[float, float] | None = None,
    largest: float = math.inf,
) -> Float[Tensor, "anchors 4"]:
    """Anchors of one feature map: every shape at the centre of every cell.

    Convention:
        xyxy in pixels of the picture, not clipped to it. Row by row, then column by column, then
        in the order of ``shapes``; a head's channels stand in the same order.

    Args:
        cells: rows and columns of the map.
        shapes: scale (side of the square of the same area, as a share of the picture) and ratio
            (width / height) of each.
        picture: height and width in pixels.
        step: rows and columns of pixels from cell to cell; by default the picture's share of one.
        largest: width or height, as a share of the picture, beyond which a shape is cut.

    Raises:
        ModelError: no cell, no shape, or one that is not positive.

    Example:
        >>> grid_anchors((1, 2), [(0.5, 1.0)], picture=(40, 40)).tolist()
        [[0.0, 10.0, 20.0, 30.0], [20.0, 10.0, 40.0, 30.0]]

    Source:
        Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2.2.
    """
    if min(cells) < 1 or not shapes or any(not (s > 0 and r > 0) for s, r in shapes):
        raise ModelError(
            f"anchors for {cells[0]} x {cells[1]} cells in the shapes {list(shapes)}; expected at "
            "least one cell and one shape, each (scale, width / height) above 0"
        )
    high, wide = step or (picture[0] / cells[0], picture[1] / cells[1])
    y = (torch.arange(cells[0], dtype=torch.float64) + 0.5) * high
    x = (torch.arange(cells[1], dtype=torch.float64) + 0.5) * wide
    sides = [[s * math.sqrt(r), s / math.sqrt(r)] for s, r in shapes]
    size = torch.tensor(sides, dtype=torch.float64).clamp(max=largest)
    size *= size.new_tensor([picture[1], picture[0]])
    centre = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)  # [rows, columns, 2]
    both = (centre[:, :, None].expand(-1, -1, len(size), -1), size.expand(*cells, -1, -1))
    return from_centres(torch.cat(both, -1)).reshape(-1, 4).float()


def decode(
    offsets: Float[Tensor, "*pictures anchors 4"],
    anchors: Float[Tensor, "anchors 4"],
    variances: tuple[float, float, float, float] = VARIANCES,
) -> Float[Tensor, "*pictures anchors 4"]:
    """Boxes from what a head says of each anchor.

    Args:
        offsets: of the centre's x and y, in sides of the anchor; logarithms of width and height,
            in those of the anchor; each divided by its variance.
        anchors: xyxy.
        variances: of x, y, width, height.

    Returns:
        xyxy in the unit of the anchors. No side grows more than 62.5 times.

    Example:
        >>> decode(torch.tensor([[5.0, 0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 20.0, 10.0]]))
        tensor([[10.,  0., 30., 10.]])
    """
    kind = torch.promote_types(offsets.dtype, anchors.dtype)  # a half knows no pixel of 300
    offsets, anchors = offsets.to(kind), anchors.to(offsets.device, kind)
    centre, size = _centre_and_size(anchors)
    scaled = offsets * offsets.new_tensor(variances)
    middle = scaled[..., :2] * size + centre
    grown = scaled[..., 2:].clamp(max=MOST_GROWTH).exp() * size
    return from_centres(torch.cat([middle, grown], -1))


def encode(
    boxes: Float[Tensor, "*pictures anchors 4"],
    anchors: Float[Tensor, "anchors 4"],
    variances: tuple[float, float, float, float] = VARIANCES,
) -> Float[Tensor, "*pictures anchors 4"]:
    """What a head should say of each anchor, so that `decode` gives its box back.

    Args:
        boxes: xyxy, one for each anchor, with a width and a height above 0.
        anchors: xyxy.
        variances: of x, y, width, height.
    """
    centre, size = _centre_and_size(anchors.to(boxes))
    middle, side = _centre_and_size(boxes)
    plain = torch.cat([(middle - centre) / size, (side / size).log()], -1)
    return plain / plain.new_tensor(variances)


def match(
    anchors: Float[Tensor, "anchors 4"],
    boxes: Float[Tensor, "boxes 4"],
    *,
    overlap: float = 0.5,
) -> Int[Tensor, " anchors"]:
    """Which box each anchor is to learn; -1 for none, which is background.

    Every box first takes the free anchor that it overlaps most, the best pair of all first, so that
    two boxes never share one and none is forgotten; the other anchors take the box that they
    overlap most, if by at least ``overlap``. Ties go by order. A box that touches no anchor, and a
    box of no area, stays without.

    Example:
        >>> anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0]])
        >>> match(anchors, torch.tensor([[0.0, 0.0, 4.0, 4.0]])).tolist()
        [0, -1]

    Source:
        Liu et al., ECCV 2016, "Matching strategy".
    """
    if not len(boxes):
        return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    near = iou(anchors, boxes.to(anchors))  # [anchors, boxes]
    best, box = near.max(1)
    chosen = torch.where(best >= overlap, box, -1)
    for _ in range(min(near.shape)):
        pair = int(near.argmax())
        anchor, its = divmod(pair, near.shape[1])
        if near[anchor, its] <= 0:
            break
        chosen[anchor] = its
        near[anchor], near[:, its] = -1, -1
    return chosen


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size
