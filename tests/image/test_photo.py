"""The photo refuses what is no photo."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from sightline.errors import PhotoError
from sightline.image.photo import Photo


def test_size_is_height_then_width():
    assert Photo(np.zeros((2, 3, 3), np.uint8)).size == (2, 3)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0, 3)])
def test_a_photo_has_a_pixel(shape):
    with pytest.raises(PhotoError, match=r"photo 'void\.png' has pixels uint8 of shape .*1 x 1"):
        Photo(np.zeros(shape, np.uint8), name="void.png")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises((PhotoError, TypeCheckError)):
        Photo(pixels)
    with pytest.raises(PhotoError, match=r"expected uint8 \[height, width, 3\]"):
        _unchecked(pixels).__post_init__()


def _unchecked(pixels: np.ndarray) -> Photo:
    """A photo as a user makes it, without the shape checks of the tests."""
    photo = object.__new__(Photo)
    object.__setattr__(photo, "pixels", pixels)
    object.__setattr__(photo, "name", "")
    return photo


def test_photos_are_not_compared_pixel_by_pixel():
    one, other = (Photo(np.zeros((2, 2, 3), np.uint8)) for _ in range(2))
    assert one != other  # an array in == would be ambiguous
    assert len({one, other}) == 2
