"""Superpixels: numbered without holes, each in one piece, the same each time; and their runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.measure import label as pieces_of
from skimage.segmentation import slic

from sightline.errors import PhotoError
from sightline.image.photo import Photo
from sightline.image.read import read_photo
from sightline.image.superpixels import decode_labels, encode_labels, superpixels


def noise(height: int, width: int, seed: int = 0) -> Photo:
    rng = np.random.default_rng(seed)
    return Photo(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))


def quarters(side: int = 40) -> Photo:
    pixels = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    pixels[:half, half:], pixels[half:, :half], pixels[half:, half:] = (255, 0, 0), 255, (0, 0, 255)
    return Photo(pixels)


def test_four_colours_are_four_patches():
    labels = superpixels(quarters(), 4, sigma=0.0)
    corners = [labels[:20, :20], labels[:20, 20:], labels[20:, :20], labels[20:, 20:]]
    assert [corner.unique().tolist() for corner in corners] == [[0], [1], [2], [3]]
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (5, 90), (60, 60)])
@pytest.mark.parametrize("count", [1, 4, 256])
def test_every_number_is_used(size, count):
    for photo in (noise(*size), Photo(np.zeros((*size, 3), np.uint8))):
        labels = superpixels(photo, count)
        assert labels.shape == size
        assert labels.unique().tolist() == list(range(int(labels.max()) + 1))


def test_holes_in_the_numbers_are_closed(monkeypatch):
    holed = np.array([[0, 0, 3], [5, 5, 3]])
    monkeypatch.setattr("skimage.segmentation.slic", lambda *a, **k: holed)
    assert superpixels(noise(2, 3)).tolist() == [[0, 0, 1], [2, 2, 1]]


@pytest.mark.parametrize("seed", range(3))
def test_each_patch_is_one_piece(seed):
    labels = superpixels(noise(50, 70, seed), 30).numpy()
    pieces = pieces_of(labels + 1, connectivity=1)
    assert pieces.max() == labels.max() + 1


def test_the_settings_are_those_of_detex():
    photo = noise(60, 80)
    expected = slic(
        photo.pixels, n_segments=40, sigma=1.4, compactness=10, slic_zero=True, start_label=0
    )
    assert superpixels(photo, 40).tolist() == expected.tolist()
    plain = slic(photo.pixels, n_segments=40, sigma=3, compactness=1, start_label=0)
    told = superpixels(photo, 40, sigma=3.0, compactness=1.0, zero_parameter=False)
    assert told.tolist() == plain.tolist()
    assert plain.tolist() != expected.tolist()


def test_a_real_photo(data):
    photo = read_photo(data / "coco_open_mini" / "images" / "000000000030.jpg")
    labels, again = superpixels(photo), superpixels(photo)
    assert torch.equal(labels, again)
    count = int(labels.max()) + 1
    assert 200 <= count <= 256
    assert len(encode_labels(labels)["lengths"]) < labels.numel() / 10
    assert torch.equal(decode_labels(encode_labels(labels)), labels)


@pytest.mark.parametrize(
    "settings", [{"count": 0}, {"sigma": -1.0}, {"compactness": 0.0}, {"sigma": float("nan")}]
)
def test_settings_that_make_no_patches(settings):
    with pytest.raises(PhotoError, match=r"need count >= 1, sigma >= 0 and compactness > 0; got"):
        superpixels(noise(8, 8), **settings)


# Runs


def test_runs_by_hand():
    runs = encode_labels(torch.tensor([[3, 3], [3, -1], [3, 3]]))
    assert {name: array.tolist() for name, array in runs.items()} == {
        "shape": [3, 2],
        "values": [3, -1, 3],
        "lengths": [3, 1, 2],
    }
    assert {array.dtype for array in runs.values()} == {np.dtype(np.int32)}


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (1, 1), (1, 9), (13, 7)])
@pytest.mark.parametrize("kinds", [1, 2, 50])
def test_runs_come_back(size, kinds):
    labels = torch.randint(-1, kinds, size, generator=torch.Generator().manual_seed(1))
    runs = encode_labels(labels)
    lists = {name: array.tolist() for name, array in runs.items()}  # as Parquet gives them back
    for told in (runs, lists):
        back = decode_labels(told)
        assert back.dtype == torch.int64
        assert torch.equal(back, labels)
    assert (np.diff(runs["values"]) != 0).all()  # no run is cut in two


def test_numbers_of_more_than_32_bits_are_refused():
    assert encode_labels(torch.tensor([[2**31 - 1]]))["values"].tolist() == [2**31 - 1]
    with pytest.raises(PhotoError, match="run from 0 to 2147483648; expected numbers of 32 bits"):
        encode_labels(torch.tensor([[0, 2**31]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": [3, 2]}, "are 5 pixels long, the map has 2 x 3 = 6; the record is cut off"),
        ({"lengths": [3, 4]}, "are 7 pixels long"),
        ({"lengths": [6]}, "2 values and 1 lengths"),
        ({"lengths": [7, -1]}, r"shortest -1\); expected as many of each, lengths from 1"),
        ({"lengths": [6, 0]}, "shortest 0"),
        ({"lengths": [2**62, 2**62]}, "pixels long"),
        ({"lengths": [2**63, 1]}, "."),
        ({"shape": [6]}, r"have the shape \[6\]; expected height and width"),
        ({"shape": [-2, -3]}, r"have the shape \[-2, -3\]"),
        ({"shape": [2**31, 2**31]}, "at most 100,000,000 pixels"),
        ({"values": [0.5, 1.0]}, "values of float64.*whole numbers"),
        ({"values": ["a", "b"]}, "values of .*whole numbers"),
        ({"values": [[0], [1, 2]]}, "values of object .*whole numbers"),
        ({"values": None}, "values of object .*whole numbers"),
    ],
)
def test_broken_runs_are_refused(changes, message):
    whole = {"shape": [2, 3], "values": [0, 1], "lengths": [3, 3]}
    assert decode_labels(whole).tolist() == [[0] * 3, [1] * 3]
    with pytest.raises(PhotoError, match=message):
        decode_labels(whole | changes)


def test_a_missing_field_is_named():
    with pytest.raises(PhotoError, match=r"no 'lengths' \(keys: shape, values\); expected shape,"):
        decode_labels({"shape": [1, 1], "values": [0]})


def test_as_many_pixels_as_allowed():
    runs = encode_labels(torch.zeros(4, 5, dtype=torch.int64))
    assert decode_labels(runs, most_pixels=20).shape == (4, 5)
    with pytest.raises(PhotoError, match="at most 19 pixels"):
        decode_labels(runs, most_pixels=19)
