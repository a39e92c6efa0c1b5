"""Boxes against counted pixels and a plain suppression."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline.image import boxes as b


def covered(box: list[int], size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    x0, y0, x1, y1 = box
    mask[y0:y1, x0:x1] = True
    return mask


def random_boxes(rng: np.random.Generator, count: int, size: int = 20) -> np.ndarray:
    return np.sort(rng.integers(0, size + 1, (count, 2, 2)), 1).reshape(count, 4)


def plain_nms(boxes, scores, groups, overlap) -> list[int]:
    """As the field's textbooks have it: take the best, throw away what overlaps, again."""
    left = sorted(range(len(boxes)), key=lambda i: -scores[i])
    kept = []
    while left:
        best, *rest = left
        kept.append(best)
        left = [
            i for i in rest if groups[i] != groups[best] or counted_iou(boxes, best, i) <= overlap
        ]
    return kept


def counted_iou(boxes, i: int, j: int) -> float:
    one, other = covered(boxes[i]), covered(boxes[j])
    return float((one & other).sum() / max((one | other).sum(), 1))


def test_iou_by_hand():
    unit = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    others = torch.tensor(
        [
            [0.0, 0.0, 2.0, 2.0],  # itself
            [1.0, 1.0, 3.0, 3.0],  # a corner: 1 of 7
            [0.0, 0.0, 2.0, 1.0],  # its upper half
            [2.0, 0.0, 4.0, 2.0],  # beside it, an edge shared
            [0.5, 0.5, 1.5, 1.5],  # inside
            [2.0, 2.0, 0.0, 0.0],  # inside out
            [1.0, 1.0, 1.0, 1.0],  # a point
        ]
    )
    expected = torch.tensor([[1, 1 / 7, 0.5, 0, 0.25, 0, 0]])
    assert torch.allclose(b.iou(unit, others), expected)
    assert b.iou(others[-1:], others[-1:]).item() == 0


@pytest.mark.parametrize("seed", range(4))
def test_iou_and_areas_count_pixels(seed):
    rng = np.random.default_rng(seed)
    whole = random_boxes(rng, 12)
    boxes = torch.from_numpy(whole).double()
    assert b.areas(boxes).tolist() == [covered(box).sum() for box in whole]
    expected = [[counted_iou(whole, i, j) for j in range(12)] for i in range(12)]
    assert torch.allclose(b.iou(boxes, boxes), torch.tensor(expected, dtype=torch.float64))


def test_iou_of_batches_is_that_of_each():
    boxes = torch.from_numpy(random_boxes(np.random.default_rng(5), 24)).float().reshape(3, 8, 4)
    together = b.iou(boxes[:, :5], boxes[:, 5:])
    assert together.shape == (3, 5, 3)
    for i in range(3):
        assert torch.equal(together[i], b.iou(boxes[i, :5], boxes[i, 5:]))
    assert b.iou(boxes[0, :0], boxes[0]).shape == (0, 8)


def test_clip_by_hand():
    boxes = torch.tensor([[-5.0, -6.0, 700.0, 500.0], [1.0, 2.0, 3.0, 4.0], [650, 10, 660, 20]])
    cut = [[0, 0, 640, 480], [1, 2, 3, 4], [640, 10, 640, 20]]
    assert b.clip(boxes, (480, 640)).tolist() == cut


def test_from_centres_by_hand():
    assert b.from_centres(torch.tensor([[10.0, 20.0, 4.0, 6.0]])).tolist() == [[8, 17, 12, 23]]


def test_nms_by_hand():
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6.4], [20, 20, 30, 30], [0, 0, 10, 10]]
    )
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95, 0.9])
    # 1 overlaps 0 by 0.8 and goes; 2 overlaps 1 by 0.8 but 0 by 0.64: it stays at 0.7
    assert b.nms(boxes, scores, overlap=0.7).tolist() == [3, 0, 2]
    assert b.nms(boxes, scores, overlap=0.5).tolist() == [3, 0]
    apart = torch.tensor([0, 1, 0, 0, 1])
    assert b.nms(boxes, scores, overlap=0.5, groups=apart).tolist() == [3, 0, 4]


def test_nms_keeps_boxes_that_overlap_by_exactly_the_limit():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1]])
    assert b.nms(boxes, torch.tensor([0.9, 0.8]), overlap=0.5).tolist() == [0, 1]


def test_nms_of_nothing():
    kept = b.nms(torch.zeros(0, 4), torch.zeros(0), overlap=0.5)
    assert kept.dtype == torch.int64
    assert kept.tolist() == []


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("seed", range(6))
def test_nms_agrees_with_a_plain_one(seed, overlap):
    rng = np.random.default_rng(seed)
    whole = random_boxes(rng, 40)
    scores = rng.integers(0, 12, 40) / 12  # with ties: the first of equals goes first
    groups = rng.integers(0, 3, 40)
    boxes, numbers = torch.from_numpy(whole).double(), torch.from_numpy(scores)
    told = b.nms(boxes, numbers, overlap=overlap, groups=torch.from_numpy(groups))
    assert told.tolist() == plain_nms(whole, scores, groups, overlap)
    told = b.nms(boxes, numbers, overlap=overlap)
    assert told.tolist() == plain_nms(whole, scores, np.zeros(40), overlap)
