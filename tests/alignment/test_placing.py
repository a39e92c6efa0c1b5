"""Labels at a map's size: worked by hand, against loops, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline.alignment.placing import GRADIA, at_size
from sightline.errors import AlignmentError


def naive_area_mean(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Every cell by loops over every pixel, in float64."""
    (height, width), (rows, columns) = mask.shape, size
    placed = np.zeros(size)
    for row in range(rows):
        for column in range(columns):
            top, bottom = row * height / rows, (row + 1) * height / rows
            left, right = column * width / columns, (column + 1) * width / columns
            for y in range(height):
                for x in range(width):
                    tall = max(0.0, min(y + 1, bottom) - max(y, top))
                    wide = max(0.0, min(x + 1, right) - max(x, left))
                    placed[row, column] += tall * wide * mask[y, x]
            placed[row, column] /= (bottom - top) * (right - left)
    return placed


def naive_blur(mask: np.ndarray) -> np.ndarray:
    """3 x 3, mirrored at the outermost cells; numpy calls that border "reflect"."""
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    wide = np.pad(mask, 1, mode="reflect")
    return np.array(
        [
            [(wide[y : y + 3, x : x + 3] * kernel).sum() for x in range(mask.shape[1])]
            for y in range(mask.shape[0])
        ]
    )


def random_masks(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def test_three_cells_to_two_by_hand():
    mask = torch.tensor([[[0.0, 0.6, 0.9]]], dtype=torch.float64)
    expected = torch.tensor([[[0.2, 0.8]]], dtype=torch.float64)  # (0 + 0.6 / 2) / 1.5, ...
    torch.testing.assert_close(at_size(mask, (1, 2)), expected)


def test_two_cells_to_three_by_hand():
    mask = torch.tensor([[[0.0, 1.0]]], dtype=torch.float64)
    assert at_size(mask, (1, 3)).tolist() == [[[0.0, 0.5, 1.0]]]


def test_blur_of_a_dot_by_hand():
    dot = torch.zeros(1, 3, 3)
    dot[0, 0, 0] = 1  # mirrored: the corner keeps 1/2 * 1/2, its neighbours see it once
    expected = [[1 / 4, 1 / 8, 0], [1 / 8, 1 / 16, 0], [0, 0, 0]]
    assert at_size(dot, (3, 3), blur=True).tolist() == [expected]
    dot = torch.zeros(1, 3, 3)
    dot[0, 1, 1] = 1  # seen twice from the edge
    expected = [[1 / 4, 1 / 4, 1 / 4]] * 3
    assert at_size(dot, (3, 3), blur=True).tolist() == [expected]


@pytest.mark.parametrize("size", [(7, 7), (5, 9), (4, 3), (13, 11), (20, 31), (1, 1)])
@pytest.mark.parametrize("given", [(13, 11), (8, 6)])
def test_area_mean_is_that_of_loops(given, size):
    masks = random_masks(2, *given)
    placed = at_size(masks, size).numpy()
    for mask, ours in zip(masks.numpy(), placed, strict=True):
        np.testing.assert_allclose(ours, naive_area_mean(mask, size), atol=1e-14)


@pytest.mark.parametrize("size", [(7, 7), (3, 5), (2, 2)])
def test_gradia_is_area_mean_then_blur_then_division(size):
    masks = random_masks(3, 20, 17)
    for mask, ours in zip(masks.numpy(), at_size(masks, size, **GRADIA).numpy(), strict=True):
        blurred = naive_blur(naive_area_mean(mask, size))
        np.testing.assert_allclose(ours, blurred / blurred.max(), atol=1e-14)


def test_the_same_size_changes_nothing():
    masks = random_masks(2, 6, 9)
    assert torch.equal(at_size(masks, (6, 9)), masks)


def test_the_mean_of_a_mask_stays_and_it_stays_in_range():
    masks = random_masks(4, 23, 19)
    placed = at_size(masks, (7, 5))
    torch.testing.assert_close(placed.mean((1, 2)), masks.mean((1, 2)))
    assert placed.min() >= masks.min()
    assert placed.max() <= masks.max()


def test_it_flips_with_its_mask():
    masks = random_masks(2, 10, 14)
    torch.testing.assert_close(
        at_size(masks.flip(2), (3, 4), **GRADIA), at_size(masks, (3, 4), **GRADIA).flip(2)
    )


def test_a_batch_of_one_is_one_of_a_batch():
    masks = random_masks(3, 10, 14)
    torch.testing.assert_close(
        at_size(masks[1:2], (3, 4), **GRADIA), at_size(masks, (3, 4), **GRADIA)[1:2]
    )


def test_zeros_stay_and_the_rest_reaches_one():
    masks = torch.zeros(2, 8, 8)
    masks[1, 2, 2] = 0.01
    placed = at_size(masks, (4, 4), **GRADIA)
    assert placed[0].abs().max() == 0
    assert placed[1].max() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_float_type_stays_also_under_autocast(dtype):
    masks = torch.ones(1, 6, 6, dtype=dtype)
    assert at_size(masks, (4, 4)).dtype == dtype
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert at_size(masks, (4, 4), **GRADIA).dtype == dtype


def test_one_made_without_gradients_can_be_trained_with_later():
    with torch.inference_mode():
        at_size(torch.ones(1, 17, 17), (6, 6))
    masks = torch.ones(1, 17, 17, requires_grad=True)
    at_size(masks, (6, 6)).sum().backward()
    torch.testing.assert_close(masks.grad, torch.full((1, 17, 17), 36 / 289))


def test_one_cell_and_no_items():
    assert at_size(torch.full((1, 3, 3), 0.5), (1, 1), blur=True).item() == 0.5
    assert at_size(torch.zeros(0, 3, 3), (2, 2), **GRADIA).shape == (0, 2, 2)


def test_sizes_without_a_cell_are_refused():
    with pytest.raises(AlignmentError, match=r"cannot be brought to \(0, 7\).*at least 1 x 1"):
        at_size(torch.ones(1, 4, 4), (0, 7))
    with pytest.raises(AlignmentError, match=r"masks of \(0, 4\)"):
        at_size(torch.ones(1, 0, 4), (7, 7))
