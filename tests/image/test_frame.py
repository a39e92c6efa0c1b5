"""Pixels, points, boxes and masks move together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sightline.errors import PhotoError
from sightline.image.frame import Frame
from sightline.image.photo import Photo

HEIGHT, WIDTH = 40, 80
FRAMES = {
    "unchanged": Frame.unchanged((HEIGHT, WIDTH)),
    "half": Frame.stretched((HEIGHT, WIDTH), (20, 40)),
    "squeezed": Frame.stretched((HEIGHT, WIDTH), (32, 32)),
    "grown": Frame.stretched((HEIGHT, WIDTH), (120, 100)),
    "half, averaged": Frame.stretched((HEIGHT, WIDTH), (20, 40), resampling="antialiased"),
    "squeezed, averaged": Frame.stretched((HEIGHT, WIDTH), (32, 32), resampling="antialiased"),
    "letterboxed": Frame.letterboxed((HEIGHT, WIDTH), (64, 64)),
    "in the corner": Frame.letterboxed((HEIGHT, WIDTH), (64, 64), centred=False),
    "in a tall letterbox, averaged": Frame.letterboxed(
        (HEIGHT, WIDTH), (100, 48), resampling="antialiased"
    ),
    "in a wide letterbox": Frame.letterboxed((HEIGHT, WIDTH), (64, 300)),
    "cropped": Frame((HEIGHT, WIDTH), (30, 50), (1.0, 1.0), (-20.0, -5.0)),
    "halved and cropped": Frame((HEIGHT, WIDTH), (20, 20), (0.5, 0.5), (-10.0, 0.0)),
}
frames = pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())


def rectangle(box: list[int]) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def red_on_blue(mask: np.ndarray) -> Photo:
    colours = np.array([[0, 0, 255], [255, 0, 0]], np.uint8)
    return Photo(colours[mask.astype(int)], name="flag.png")


def counted(box: list[float], size: tuple[int, int]) -> torch.Tensor:
    """Pixels whose centres are in a box, one by one."""
    x0, y0, x1, y1 = box
    return torch.tensor(
        [
            [x0 <= column + 0.5 < x1 and y0 <= row + 0.5 < y1 for column in range(size[1])]
            for row in range(size[0])
        ]
    )


# By hand


def test_pixels_by_hand():
    photo = Photo(np.array([[[0] * 3, [255] * 3]], np.uint8))
    grown = Frame.stretched((1, 2), (1, 4)).pixels(photo)
    assert grown[0].tolist() == [[0.0, 0.25, 0.75, 1.0]]
    boxed = Frame.letterboxed((1, 2), (4, 2), fill=0.5).pixels(photo)
    assert boxed[2].tolist() == [[0.5, 0.5], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]]


def test_channels_keep_their_order():
    photo = Photo(np.array([[[10, 20, 30]]], np.uint8))
    assert (Frame.unchanged((1, 1)).pixels(photo)[:, 0, 0] * 255).tolist() == [10, 20, 30]


def test_coordinates_by_hand():
    frame = Frame.letterboxed((100, 200), (300, 400))  # twice as large: 200 x 400, 50 from the top
    assert (frame.scale, frame.offset, frame.inner) == ((2.0, 2.0), (0.0, 50.0), (200, 400))
    assert frame.points(torch.tensor([10.0, 20.0])).tolist() == [20.0, 90.0]
    assert frame.boxes(torch.tensor([0.0, 0.0, 200.0, 100.0])).tolist() == [0, 50, 400, 250]
    assert frame.back_boxes(torch.tensor([0.0, 50.0, 2.0, 52.0])).tolist() == [0, 0, 1, 1]


def test_labels_by_hand():
    labels = torch.tensor([[7, 9]])
    thirds = torch.tensor([[5, 6, 7]])  # centres at 0.75 and 2.25 of the photo
    assert Frame.stretched((1, 3), (1, 2)).labels(thirds).tolist() == [[5, 7]]
    assert Frame.stretched((1, 2), (1, 4)).labels(labels).tolist() == [[7, 7, 9, 9]]
    assert Frame.letterboxed((1, 2), (3, 2)).labels(labels).tolist() == [[-1] * 2, [7, 9], [-1] * 2]
    assert Frame((1, 2), (1, 1), (1.0, 1.0), (-1.0, 0.0)).labels(labels).tolist() == [[9]]


def test_maps_go_back_by_hand():
    ramp = torch.tensor([[0.0, 1.0]])
    assert Frame.stretched((1, 4), (1, 2)).back_maps(ramp).tolist() == [[0.0, 0.25, 0.75, 1.0]]
    cropped = Frame((1, 4), (1, 2), (1.0, 1.0), (-1.0, 0.0))
    assert cropped.back_maps(ramp).tolist() == [[0.0, 0.0, 1.0, 1.0]]


# Together


@frames
@pytest.mark.parametrize("box", [[20, 10, 60, 30], [0, 0, 40, 20], [40, 20, 80, 40]])
def test_a_rectangle_lands_where_its_box_lands(frame, box):
    """Edges on the pixel grid of every picture here: the pixels agree to the last one."""
    mask = rectangle(box)
    picture = frame.pixels(red_on_blue(mask))
    landed = frame.boxes(torch.tensor(box, dtype=torch.float64)).round(decimals=9).tolist()
    expected = counted(landed, frame.picture)
    assert expected.any()
    assert torch.equal(picture[0] > 0.5, expected)
    assert torch.equal(frame.masks(torch.from_numpy(mask)), expected)
    assert torch.equal(frame.labels(torch.from_numpy(mask).long()) == 1, expected)


@frames
@pytest.mark.parametrize("seed", range(5))
def test_any_rectangle_lands_within_a_pixel_of_its_box(frame, seed):
    rng = np.random.default_rng(seed)
    x0, y0 = int(rng.integers(22, 45)), int(rng.integers(6, 15))
    box = [x0, y0, x0 + int(rng.integers(8, 14)), y0 + int(rng.integers(8, 14))]
    mask = rectangle(box)
    landed = frame.boxes(torch.tensor(box, dtype=torch.float64))
    moved = frame.masks(torch.from_numpy(mask))
    for found in (frame.pixels(red_on_blue(mask))[0] > 0.5, moved):
        rows, columns = found.any(1).nonzero()[:, 0], found.any(0).nonzero()[:, 0]
        edges = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert float((edges - landed).abs().max()) <= 1


@frames
@pytest.mark.parametrize("strip", [[30, 0, 50, 40], [0, 10, 80, 30]])
def test_maps_go_back_to_where_they_came_from(frame, strip):
    mask = rectangle(strip)
    back = frame.back_maps(frame.pixels(red_on_blue(mask)))
    assert torch.equal(back[0] > 0.5, torch.from_numpy(mask))
    assert torch.equal(back[2] < 0.5, torch.from_numpy(mask))


@frames
def test_what_surrounds_the_photo_does_not_bleed_into_maps(frame):
    everywhere = frame.pixels(red_on_blue(np.ones((HEIGHT, WIDTH), bool)))
    assert (frame.back_maps(everywhere)[0] - 1).abs().max() < 1e-6


@frames
def test_points_and_boxes_come_back(frame):
    generator = torch.Generator().manual_seed(3)
    xy = torch.rand(4, 5, 2, generator=generator, dtype=torch.float64) * 200 - 60
    boxes = torch.rand(4, 5, 4, generator=generator, dtype=torch.float64) * 200 - 60
    assert (frame.back_points(frame.points(xy)) - xy).abs().max() < 1e-12
    assert (frame.back_boxes(frame.boxes(boxes)) - boxes).abs().max() < 1e-12
    corners = torch.cat([frame.points(boxes[..., :2]), frame.points(boxes[..., 2:])], -1)
    assert torch.equal(frame.boxes(boxes), corners)


@pytest.mark.parametrize("resampling", ["bilinear", "antialiased"])
def test_fill_is_outside_the_photo_and_nowhere_else(resampling):
    frame = Frame.letterboxed((30, 50), (64, 64), resampling=resampling, fill=0.25)
    picture = frame.pixels(Photo(np.full((30, 50, 3), 255, np.uint8)))
    outside = frame.labels(torch.zeros(30, 50, dtype=torch.int64)) == -1
    assert (picture[:, outside] == 0.25).all()
    assert (picture[:, ~outside] - 1).abs().max() < 1e-6
    assert frame.inner == (38, 64)
    assert int(outside.sum()) == 64 * 64 - 38 * 64


def test_averaging_reads_all_pixels_and_bilinear_only_the_nearest():
    """A fine comb: every fourth column is white."""
    comb = np.zeros((16, 64, 3), np.uint8)
    comb[:, ::4] = 255
    sharp = Frame.stretched((16, 64), (4, 16)).pixels(Photo(comb))
    soft = Frame.stretched((16, 64), (4, 16), resampling="antialiased").pixels(Photo(comb))
    assert sharp.unique().tolist() == [0]  # columns 1.5, 5.5, ... see columns 1 and 2 only
    assert (soft[:, :, 1:-1] - 0.25).abs().max() < 0.02


@frames
def test_masks_of_any_number(frame):
    some = torch.from_numpy(np.stack([rectangle([0, 0, 40, 20]), rectangle([20, 10, 60, 30])]))
    moved = frame.masks(some[None])
    assert moved.shape == (1, 2, *frame.picture)
    assert torch.equal(moved[0, 1], frame.masks(some[1]))
    assert frame.masks(some[:0]).shape == (0, *frame.picture)


@pytest.mark.parametrize("seed", range(3))
def test_letterboxes_hold_the_whole_photo_in_its_aspect(seed):
    rng = np.random.default_rng(seed)
    for photo, picture in rng.integers(8, 900, (50, 2, 2)).tolist():
        frame = Frame.letterboxed(tuple(photo), tuple(picture))
        x0, y0, x1, y1 = frame.boxes(torch.tensor([0.0, 0.0, photo[1], photo[0]])).tolist()
        assert -1e-3 <= x0 < x1 <= picture[1] + 1e-3
        assert -1e-3 <= y0 < y1 <= picture[0] + 1e-3
        fits = min(picture[0] / photo[0], picture[1] / photo[1])
        assert abs(frame.inner[0] - photo[0] * fits) <= max(0.5, 1 - photo[0] * fits) + 1e-9
        assert abs(frame.inner[1] - photo[1] * fits) <= max(0.5, 1 - photo[1] * fits) + 1e-9
        assert max(abs((picture[1] - x1) - x0), abs((picture[0] - y1) - y0)) <= 1 + 1e-3


# Refusals


def test_a_photo_of_another_size_is_refused():
    frame = Frame.stretched((480, 640), (300, 300))
    with pytest.raises(PhotoError, match=r"'wide\.png' is 4 x 6 pixels .* is for 480 x 640"):
        frame.pixels(Photo(np.zeros((4, 6, 3), np.uint8), name="wide.png"))
    with pytest.raises(PhotoError, match=r"\[640, 480\] pixels .* for \[480, 640\]"):
        frame.labels(torch.zeros(640, 480, dtype=torch.int64))
    with pytest.raises(PhotoError, match=r"\[640, 480\] pixels"):
        frame.masks(torch.zeros(2, 640, 480, dtype=torch.bool))
    with pytest.raises(PhotoError, match=r"maps of \[38, 38\].*picture is \[300, 300\]"):
        frame.back_maps(torch.zeros(3, 38, 38))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picture": (0, 4)}, "at least 1 x 1"),
        ({"fill": 127.0}, r"fill 127\.0.*fill in \[0, 1\]"),
        ({"fill": math.nan}, r"fill in \[0, 1\]"),
        ({"scale": (0.3, 0.5)}, "between pixels"),
        ({"scale": (0.0, 0.5)}, "between pixels"),
        ({"offset": (0.0, 1.5)}, r"offset \(0\.0, 1\.5\).*between pixels"),
    ],
)
def test_a_frame_that_would_tear_pixels_from_boxes_is_refused(changes, message):
    fields = {"photo": (8, 8), "picture": (4, 4), "scale": (0.5, 0.5)}
    with pytest.raises(PhotoError, match=message):
        Frame(**(fields | changes))
