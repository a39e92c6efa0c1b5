"""Anchors, by hand and against plain loops."""

import math

import pytest
import torch

from sightline.errors import ModelError
from sightline.models.anchors import MOST_GROWTH, decode, encode, grid_anchors, match


def test_two_cells_two_shapes_by_hand():
    found = grid_anchors((1, 2), [(0.5, 1.0), (0.5, 4.0)], picture=(40, 80))
    # half of 80 x 40 is 40 x 20; ratio 4 doubles the width and halves the height
    assert found.tolist() == [
        [0, 10, 40, 30],
        [-20, 15, 60, 25],
        [40, 10, 80, 30],
        [20, 15, 100, 25],
    ]


def test_rows_come_before_columns_and_steps_are_pixels():
    found = grid_anchors((2, 2), [(0.1, 1.0)], picture=(100, 100), step=(8, 16))
    centres = ((found[:, :2] + found[:, 2:]) / 2).tolist()
    assert centres == [[8, 4], [24, 4], [8, 12], [24, 12]]


def test_sides_are_cut_not_boxes():
    (box,) = grid_anchors((1, 1), [(0.9, 2.0)], picture=(100, 100), largest=1.0).tolist()
    height = 90 / math.sqrt(2)
    assert box == pytest.approx([0, 50 - height / 2, 100, 50 + height / 2], abs=1e-5)


def test_anchors_equal_a_plain_loop():
    shapes = [(0.2, 1.0), (0.3, 2.0), (0.3, 0.5)]
    expected = []
    for row in range(3):
        for column in range(5):
            for scale, ratio in shapes:
                w, h = scale * ratio**0.5 * 50, scale / ratio**0.5 * 30
                x, y = (column + 0.5) * 10, (row + 0.5) * 10
                expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    found = grid_anchors((3, 5), shapes, picture=(30, 50))
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize(
    ("cells", "shapes"),
    [((0, 3), [(0.1, 1.0)]), ((3, 3), []), ((3, 3), [(0.0, 1.0)]), ((3, 3), [(0.1, -2.0)])],
)
def test_no_anchors_is_said(cells, shapes):
    with pytest.raises(ModelError, match="at least one cell and one shape"):
        grid_anchors(cells, shapes, picture=(30, 30))


def test_decode_by_hand():
    anchor = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # centre 20, 40; 20 x 40
    offsets = torch.tensor([[[1.0, -2.0, 5 * math.log(2), -5 * math.log(4)]]])
    # centre 20 + 0.1 * 20, 40 - 0.2 * 40; sides doubled and quartered
    assert decode(offsets, anchor)[0, 0].tolist() == pytest.approx([2, 27, 42, 37], abs=1e-5)
    plain = decode(offsets[0] / torch.tensor([10, 10, 5, 5]), anchor, (1.0, 1.0, 1.0, 1.0))
    assert plain[0].tolist() == pytest.approx([2, 27, 42, 37], abs=1e-5)


def test_encode_by_hand_and_back():
    anchor = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    box = torch.tensor([[2.0, 27.0, 42.0, 37.0]])
    expected = [1, -2, 5 * math.log(2), -5 * math.log(4)]
    assert encode(box, anchor)[0].tolist() == pytest.approx(expected, abs=1e-5)
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(7, 40, 2, generator=generator, dtype=torch.float64)
    sides = torch.rand(7, 40, 2, generator=generator, dtype=torch.float64) + 0.05
    boxes = torch.cat([corners, corners + sides], -1)
    anchors = boxes[0].flip(0)
    back = decode(encode(boxes, anchors, (0.3, 0.2, 0.5, 1.0)), anchors, (0.3, 0.2, 0.5, 1.0))
    torch.testing.assert_close(back, boxes)


def test_a_side_never_overflows():
    far = decode(torch.tensor([[0.0, 0.0, 1e6, 1e6]]), torch.tensor([[0.0, 0.0, 2.0, 2.0]]))
    side = 2 * math.exp(MOST_GROWTH)
    assert far[0].tolist() == pytest.approx([1 - side / 2] * 2 + [1 + side / 2] * 2, rel=1e-5)


def test_half_offsets_keep_whole_anchors():
    anchors = torch.tensor([[0.0, 0.0, 2.0, 2.0], [200.3, 100.7, 300.1, 299.9]])
    boxes = decode(torch.zeros(2, 4, dtype=torch.bfloat16), anchors)
    torch.testing.assert_close(boxes, anchors)
    assert decode(torch.zeros(2, 4, dtype=torch.float64), anchors).dtype == torch.float64


def test_decode_is_differentiable():
    anchors = torch.tensor([[0.0, 0.0, 2.0, 4.0], [1.0, 1.0, 5.0, 2.0]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(4)
    offsets = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda o: decode(o, anchors), (offsets,))


ROW = torch.tensor([[0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0], [20.0, 0.0, 30.0, 10.0]])


def test_match_takes_half_and_more():
    exactly_half = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    assert match(ROW, exactly_half).tolist() == [0, -1, -1]
    assert match(ROW[[0, 0, 1]], exactly_half).tolist() == [0, 0, -1]  # a twin has the box, too
    # the second box lies on the third anchor with 8 of 10 columns, IoU 8 / 12
    boxes = torch.tensor([[0.0, 0.0, 10.0, 9.0], [18.0, 0.0, 28.0, 10.0]])
    assert match(ROW, boxes).tolist() == [0, -1, 1]


def test_match_forgets_no_box():
    small = torch.tensor([[12.0, 2.0, 14.0, 4.0]])  # IoU 0.04
    assert match(ROW, small).tolist() == [-1, 0, -1]
    # both like anchor 0 best; the second by more, so the first takes its second choice
    boxes = torch.tensor([[2.0, 0.0, 13.0, 10.0], [0.0, 0.0, 10.0, 10.0]])
    assert match(ROW, boxes).tolist() == [1, 0, -1]


def test_match_of_a_box_taken_over_by_force():
    # anchor 0 overlaps box 0 by 0.8 and box 1 by 0.5; box 1 has no other, box 0 has a twin anchor
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0]])
    boxes = torch.tensor([[0.0, 0.0, 10.0, 8.0], [0.0, 0.0, 5.0, 10.0]])
    assert match(anchors, boxes).tolist() == [1, 0]


def test_match_without_boxes_and_with_more_boxes_than_anchors():
    assert match(ROW, torch.zeros(0, 4)).tolist() == [-1, -1, -1]
    assert match(ROW[:1], torch.cat([ROW[:1] + 1, ROW[:1]])).tolist() == [1]
    away = torch.tensor([[50.0, 50.0, 60.0, 60.0], [5.0, 5.0, 5.0, 5.0]])
    assert match(ROW, away).tolist() == [-1, -1, -1]


def test_match_equals_a_plain_loop():
    generator = torch.Generator().manual_seed(5)
    corner = torch.rand(30, 2, generator=generator) * 20
    boxes = torch.cat([corner, corner + 2 + 8 * torch.rand(30, 2, generator=generator)], 1)
    anchors = grid_anchors((6, 6), [(0.2, 1.0), (0.3, 2.0), (0.4, 0.5)], picture=(30, 30))
    assert match(anchors, boxes).tolist() == _match_plainly(anchors.tolist(), boxes.tolist())


def _match_plainly(anchors, boxes):
    def overlap(a, b):
        w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        both = w * h
        return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

    pairs = sorted(
        ((overlap(a, b), i, j) for i, a in enumerate(anchors) for j, b in enumerate(boxes)),
        key=lambda p: (-p[0], p[1], p[2]),
    )
    chosen = [-1] * len(anchors)
    for value, i, j in pairs:
        if value >= 0.5 and chosen[i] < 0:
            chosen[i] = j
    taken_anchors, taken_boxes = set(), set()
    for value, i, j in pairs:
        if value > 0 and i not in taken_anchors and j not in taken_boxes:
            chosen[i] = j
            taken_anchors.add(i)
            taken_boxes.add(j)
    return chosen
