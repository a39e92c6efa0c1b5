"""The stand-ins, against torchvision's own plain form of RoIAlign and boxes worked by hand."""

from __future__ import annotations

import sys

import pytest
import torch
import torchvision.ops

from torchvision_door.operators import roi_align


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [2, 0])
def test_roi_align_is_the_librarys(aligned, ratio):
    luck = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 12, 16, generator=luck)
    corner = torch.rand(20, 2, generator=luck) * 80 - 8
    size = torch.rand(20, 2, generator=luck) * 60
    picture = torch.randint(0, 2, (20, 1), generator=luck).float()
    regions = torch.cat([picture, corner, corner + size], 1)
    settings = (0.125, 3, 4, ratio, aligned)
    plain = sys.modules["torchvision.ops.roi_align"]._roi_align
    eager = getattr(plain, "__wrapped__", plain)
    inside = (regions[:, 1:] >= 8).all(1) & (regions[:, [3, 4]] <= torch.tensor([120, 90])).all(1)
    assert int(inside.sum()) > 3
    regions = regions[inside]
    torch.testing.assert_close(roi_align(maps, regions, *settings), eager(maps, regions, *settings))


def test_suppression_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 5]])
    scores = torch.tensor([0.5, 0.9, 0.3, 0.8])
    assert torchvision.ops.nms(boxes, scores, 0.6).tolist() == [1, 3, 2]
