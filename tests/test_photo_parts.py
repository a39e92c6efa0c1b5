"""Regions of photos as parts: what a network sees without them, and where scores are carried."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from detectors import (
    SIDE,
    BentDetector,
    BlackBox,
    LinearDetector,
    TwoStageDetector,
    confetti,
    plain,
)
from sightline import (
    Frame,
    Game,
    GameError,
    GridCells,
    Photo,
    PictureClassifier,
    Points,
    Strokes,
    Superpixels,
)
from sightline.carry import carry, carry_maps, heat, is_same_photo, resized
from sightline.parts import BoundPhoto, drawing
from sightline.parts.photo import ABSENCES
from toys import Toy, picture_net, scribble, unchecked

PHOTO = confetti(0)
HALVES = torch.arange(SIDE).ge(10).long().expand(SIDE, SIDE)
"""Two parts: columns 0 to 9, and 10 to 15."""

LETTERBOX = partial(Frame.letterboxed, fill=0.25)


def bound(absent="grey", photo: Photo = PHOTO, model=None, numbers=HALVES) -> BoundPhoto:
    parts = Superpixels(photo, absent=absent, of_pixels=numbers)
    found = parts.bind(LinearDetector() if model is None else model)
    assert isinstance(found, BoundPhoto)
    return found


def shown(of: BoundPhoto, *presence: float) -> np.ndarray:
    """The picture that is composed for one row of presence."""
    of.see = lambda pictures: pictures.flatten(1)  # type: ignore[method-assign]
    return of(torch.tensor([presence])).view(3, SIDE, SIDE).numpy()


def as_picture(photo: Photo) -> np.ndarray:
    return photo.pixels.transpose(2, 0, 1) / np.float32(255)


# --- what stands in for absent parts --------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_part_fades_to_grey_and_the_other_stays(value):
    picture = shown(bound(), value, 1.0)
    whole = as_picture(PHOTO)
    np.testing.assert_array_equal(picture[:, :, 10:], whole[:, :, 10:])
    faded = 0.5 + value * (whole[:, :, :10] - 0.5)
    np.testing.assert_allclose(picture[:, :, :10], faded, atol=1e-7)


def test_the_mean_colour_is_the_photos():
    picture = shown(bound("mean"), 0.0, 0.0)
    expected = as_picture(PHOTO).mean((1, 2))
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(picture, np.broadcast_to(expected[:, None, None], (3, 16, 16)), 1e-6)


def test_another_photo_may_stand_in_and_takes_the_size():
    other = confetti(5)
    np.testing.assert_array_equal(shown(bound(other), 0.0, 0.0), as_picture(other))
    larger = plain(51, (40, 20))
    np.testing.assert_allclose(shown(bound(larger), 0.0, 0.0), 0.2, atol=1e-7)


def test_a_blur_keeps_the_colour_and_loses_the_detail():
    half = np.zeros((SIDE, SIDE, 3), np.uint8)
    half[:, 8:] = 255
    picture = shown(bound("blur", Photo(half)), 0.0, 0.0)
    row = picture[0, 5]
    assert (np.diff(row) >= 0).all()
    assert row[0] < 0.02 < row[7] < 0.5 < row[8] < 0.98 < row[15]
    np.testing.assert_allclose(picture.mean(), 0.5, atol=0.02)


@pytest.mark.parametrize("absent", [*ABSENCES, confetti(9)])
def test_everything_there_is_the_photo_and_an_absent_part_is_hidden(absent):
    np.testing.assert_array_equal(shown(bound(absent), 1.0, 1.0), as_picture(PHOTO))
    changed = PHOTO.pixels.copy()
    changed[:, :10] = 255 - changed[:, :10]
    if absent not in ("mean", "blur"):  # those know the photo
        one, other = (shown(bound(absent, p), 0.0, 1.0) for p in (PHOTO, Photo(changed)))
        np.testing.assert_array_equal(one, other)


def test_an_unknown_absence_names_the_known():
    for build in (Superpixels, lambda p, **k: GridCells(p, 2, 2, **k)):
        with (
            unchecked(),
            pytest.raises(GameError, match="unknown absence 'gray'; did you mean 'grey'"),
        ):
            build(PHOTO, absent="gray")


# --- frames ---------------------------------------------------------------------------------------


def letterboxed(absent="grey") -> BoundPhoto:
    """8 x 16 pixels, which stand in rows 4 to 11 of the picture."""
    photo = confetti(1, (8, SIDE))
    return bound(absent, photo, LinearDetector(0, LETTERBOX), HALVES[:8])


@pytest.mark.parametrize("absent", [*ABSENCES, confetti(9)])
def test_what_the_frame_adds_is_never_absent(absent):
    picture = shown(letterboxed(absent), 0.0, 0.0)
    np.testing.assert_array_equal(picture[:, :4], 0.25)
    np.testing.assert_array_equal(picture[:, 12:], 0.25)
    assert (picture[:, 4:12] != 0.25).any()
    own = letterboxed(absent)
    assert own.region[[0, 3, 12, 15]].eq(2).all()
    assert own.region[4:12].lt(2).all()


@pytest.mark.parametrize("absent", ["grey", confetti(9)])
def test_masks_by_pixels_leave_the_frame_alone_too(absent):
    """D-RISE masks the whole picture."""
    own = letterboxed(absent)
    nothing = own.composed(torch.zeros(1, SIDE, SIDE))[0].numpy()
    np.testing.assert_array_equal(nothing, shown(letterboxed(absent), 0.0, 0.0))


def test_boxes_come_back_in_pixels_of_the_photo():
    own = letterboxed()
    reply = own(torch.ones(1, 2))
    model = LinearDetector(0, LETTERBOX)
    inside = model.dense(own.picture()[None])
    up = torch.tensor([0.0, 4.0, 0.0, 4.0])
    torch.testing.assert_close(reply.boxes, inside.boxes - up)
    assert torch.equal(reply.logits, inside.logits)


def test_a_black_box_sees_photos_of_the_photos_own_size():
    seen = []

    class Watches(BlackBox):
        def detect(self, photos, *, threshold=0.5):
            seen.extend(photos)
            return super().detect(photos, threshold=threshold)

    photo = confetti(1, (8, 20))
    numbers = torch.zeros(8, 20, dtype=torch.int64)
    numbers[:, 12:] = 1
    own = Superpixels(photo, of_pixels=numbers).bind(Watches(LinearDetector()))
    assert not own.partial
    assert own.picture() is None
    own(torch.tensor([[1.0, 0.0]]))
    np.testing.assert_array_equal(seen[0].pixels[:, :12], photo.pixels[:, :12])
    assert (seen[0].pixels[:, 12:] == 128).all()


def test_a_large_photo_is_resized_once_and_its_regions_with_it():
    photo = plain(255, (64, 32))
    numbers = torch.zeros(64, 32, dtype=torch.int64)
    numbers[32:] = 1
    picture = shown(bound("grey", photo, None, numbers), 1.0, 0.0)
    np.testing.assert_array_equal(picture[:, :8], 1.0)
    np.testing.assert_array_equal(picture[:, 8:], 0.5)


def test_proposals_are_those_of_the_whole_photo_and_held():
    model = TwoStageDetector()
    game = Game(model, GridCells(PHOTO, 2, 2))
    model.asked.clear()
    luck = torch.Generator().manual_seed(1)
    values = game((torch.rand(5, 4, generator=luck) < 0.5).float())
    assert set(model.asked) == {"dense_at"}
    # hidden, a proposal still means its place, so what is asked is grey there
    nothing = game(torch.zeros(1, 4))
    expected = [torch.sigmoid(0.5 * model.slope[i]).item() for i in (0, 0, 0, 0, 1, 1, 1, 1)]
    np.testing.assert_allclose(nothing[0], expected, atol=1e-6)
    assert values.std(0).max() > 1e-3


# --- grids and superpixels ------------------------------------------------------------------------


def test_cells_of_a_photo_are_counted_as_those_of_a_canvas():
    cells = GridCells(confetti(0, (4, 6)), 2, 3)
    assert len(cells) == 6
    region = cells.bind(BlackBox(LinearDetector())).region
    assert region.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_more_cells_than_pixels_are_refused():
    GridCells(PHOTO, SIDE, SIDE)
    with pytest.raises(GameError, match="17 x 2 grid cells on pictures of 16 x 16 pixels"):
        GridCells(PHOTO, SIDE + 1, 2)


def test_superpixels_cover_the_photo_and_have_names():
    photo = Photo(np.kron(PHOTO.pixels[:4, :4], np.ones((16, 16, 1), np.uint8)))
    parts = Superpixels(photo, 16)
    assert parts.numbers.unique().tolist() == list(range(len(parts)))
    assert 8 <= len(parts) <= 32
    assert parts.names[3] == "superpixel 3"
    assert parts.subject is photo


def test_superpixels_of_another_photo_are_refused():
    with pytest.raises(GameError, match=r"superpixels of \[4, 16\] pixels do not fit a photo of"):
        Superpixels(PHOTO, of_pixels=HALVES[:4])
    with pytest.raises(GameError, match="numbered from -1; expected numbers from 0"):
        Superpixels(PHOTO, of_pixels=HALVES - 1)


def test_a_drawing_is_asked_of_parts_of_drawings_only():
    assert drawing(Strokes(scribble())).name == "scribble 0"
    with pytest.raises(
        GameError, match="these superpixels are of a photo, and a drawing was asked"
    ):
        drawing(Superpixels(PHOTO, of_pixels=HALVES))


def test_strokes_of_a_detector_and_superpixels_of_a_model_of_drawings():
    for parts in (Strokes(scribble()), Points(scribble()), GridCells(scribble(), 2, 2)):
        with pytest.raises(GameError, match=r"LinearDetector reads photos, not drawings; give it"):
            Game(LinearDetector(), parts)
        with pytest.raises(GameError, match=r"reads photos, not drawings, so it cannot be asked"):
            parts.bind(LinearDetector())
    for model in (picture_net(), Toy(lambda z: z, 2)):
        with pytest.raises(GameError, match=r"does not read photos: give sl.load_detector"):
            Game(model, Superpixels(PHOTO, of_pixels=HALVES))
    with pytest.raises(GameError, match="int cannot be asked about photos: wrap a picture class"):
        Superpixels(PHOTO, of_pixels=HALVES).bind(3)


def test_a_plain_module_is_a_classifier_of_photos():
    class Red(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    game = Game(Red(), Superpixels(PHOTO, of_pixels=HALVES))
    assert isinstance(game.model, PictureClassifier)
    assert game.bound.picture().shape == (3, 224, 224)
    assert game.boxes is None
    assert game.candidates == ()


# --- where scores are carried ---------------------------------------------------------------------


def checkers(size: int = 4) -> Superpixels:
    """Superpixels that are the cells of a grid, numbered from the bottom right."""
    step = SIDE // size
    row = torch.arange(SIDE) // step
    return Superpixels(PHOTO, of_pixels=size**2 - 1 - (row[:, None] * size + row))


def test_superpixels_to_cells_and_back_where_they_are_the_same_places():
    scores = np.arange(16.0)[None] - 5
    cells = GridCells(PHOTO, 4, 4)
    there = carry(scores, checkers(), cells)
    np.testing.assert_allclose(there, scores[:, ::-1], atol=1e-12)
    whole = carry(np.ones((1, 4)), GridCells(PHOTO, 2, 2), checkers(2))
    np.testing.assert_allclose(whole, 1, atol=1e-12)


def test_superpixels_are_shared_out_by_their_pixels():
    halves = Superpixels(PHOTO, of_pixels=HALVES)
    # columns 0 to 9 in cells of 4: 4, 4, 2; columns 10 to 15: 2, 4
    cells = GridCells(PHOTO, 1, 4)
    found = carry(np.array([[10.0, 60.0]]), halves, cells)
    np.testing.assert_allclose(found, [[4, 4, 2 + 20, 40]], atol=1e-12)
    quarters = carry(np.array([[10.0, 60.0]]), halves, checkers(2))  # from the bottom right
    np.testing.assert_allclose(quarters, [[31, 4, 31, 4]], atol=1e-12)


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (16, 16), (1, 7)])
def test_sums_stay(size):
    luck = np.random.default_rng(3)
    cells, pieces = GridCells(PHOTO, *size), Superpixels(PHOTO, of_pixels=HALVES)
    scores = luck.normal(size=(2, len(cells)))
    for other in (pieces, checkers(), GridCells(PHOTO, 5, 3)):
        np.testing.assert_allclose(carry(scores, cells, other).sum(1), scores.sum(1), atol=1e-12)
    back = luck.normal(size=(2, 2))
    np.testing.assert_allclose(carry(back, pieces, cells).sum(1), back.sum(1), atol=1e-12)


def test_heat_is_a_superpixels_own_score_and_smooth_between_cells():
    assert heat(np.array([[3.0, -1.0]]), Superpixels(PHOTO, of_pixels=HALVES))[0, 7].tolist() == [
        *[3.0] * 10,
        *[-1.0] * 6,
    ]
    row = heat(np.array([[0.0, 8.0]]), GridCells(PHOTO, 1, 2))[0, 3]
    # centres of the cells at 4 and 12, of the pixels at half numbers
    assert row.tolist() == [*[0.0] * 4, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, *[8.0] * 4]
    with pytest.raises(GameError, match="a heat map over pixels is of a photo; a drawing has"):
        heat(np.ones((1, 5)), Strokes(scribble()))


def test_parts_of_another_photo_are_refused():
    cells = GridCells(PHOTO, 2, 2)
    for other in (GridCells(confetti(1), 2, 2), GridCells(scribble(), 2, 2)):
        with pytest.raises(GameError, match="of another photo, or of a drawing"):
            carry(np.ones((1, 4)), cells, other)
    with pytest.raises(GameError, match="of another photo, or of a drawing"):
        carry(np.ones((1, 4)), GridCells(scribble(), 2, 2), cells)
    again = Photo(PHOTO.pixels.copy())
    assert is_same_photo(again, PHOTO)
    assert carry(np.ones((1, 4)), cells, GridCells(again, 2, 2)).tolist() == [[1.0] * 4]
    assert not is_same_photo(scribble(), scribble())


# --- maps that span more than the photo -----------------------------------------------------------


def test_a_map_of_a_letterboxed_picture_loses_what_lies_beside_the_photo():
    own = letterboxed()
    assert own.spans() == ((0.25, 0.75), (0.0, 1.0))
    maps = torch.arange(16.0, dtype=torch.float64).view(1, 4, 4)
    cells = GridCells(confetti(1, (8, SIDE)), 2, 4)
    assert carry_maps(maps, cells, own.spans()).tolist() == [list(range(4, 12))]
    fewer = GridCells(confetti(1, (8, SIDE)), 1, 2)
    assert carry_maps(maps, fewer, own.spans()).tolist() == [[4 + 5 + 8 + 9, 6 + 7 + 10 + 11]]


def test_a_map_of_more_than_the_picture_is_cut_at_its_edge():
    own = bound()
    assert own.spans((24, 32)) == ((0.0, 2 / 3), (0.0, 0.5))
    maps = torch.ones(1, 6, 4, dtype=torch.float64)
    found = carry_maps(maps, GridCells(PHOTO, 4, 2), own.spans((24, 32)))
    np.testing.assert_allclose(found, 1, atol=1e-12)
    by_pixel = carry_maps(maps, checkers(2), own.spans((24, 32)))
    np.testing.assert_allclose(by_pixel, 2, atol=1e-12)


@pytest.mark.parametrize("new", [3, 8, 23])
def test_pieces_side_by_side_are_the_whole(new):
    """Cut in two anywhere, a map gives each half its own, and nothing twice."""
    luck = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 1, 8, generator=luck, dtype=torch.float64)
    cut = new // 2
    at = cut / new
    whole = resized(maps, (1, new))
    parts = [
        resized(maps, (1, n), ((0.0, 1.0), s))
        for n, s in ((cut, (0.0, at)), (new - cut, (at, 1.0)))
    ]
    np.testing.assert_allclose(torch.cat(parts, 2), whole, atol=1e-9)


def test_a_cell_that_is_half_outside_takes_half():
    """Two cells; of three new ones the last begins at 0.8, and only half of it is there."""
    maps = torch.eye(2, dtype=torch.float64)[:, None]
    found = resized(maps, (1, 2), ((0.0, 1.0), (0.0, 0.8)))[:, 0]
    # new centres at 0.2, 0.6, 1.0 of the way, old ones at 0.25 and 0.75
    weights = torch.tensor([[1.0, 0.3, 0.0], [0.0, 0.7, 1.0 * 0.5]], dtype=torch.float64)
    torch.testing.assert_close(found, (weights / weights.sum(1, keepdim=True))[:, :2])


def test_a_map_may_be_larger_than_the_photo():
    tiny = confetti(0, (3, 5))
    maps = torch.rand(1, 9, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    pieces = Superpixels(tiny, of_pixels=torch.arange(15).view(3, 5))
    found = carry_maps(maps, pieces).reshape(3, 5)
    np.testing.assert_allclose(found, maps[0].view(3, 3, 5, 2).sum((1, 3)), atol=1e-12)


def test_presence_fades_smoothly_by_differences():
    game = Game(BentDetector(), Superpixels(PHOTO, of_pixels=HALVES))
    at, step = torch.tensor([[0.6, 0.3]], dtype=torch.float64), 1e-5
    slope = game.gradient(at)[0]
    for part in range(2):
        move = step * torch.eye(2, dtype=torch.float64)[part]
        apart = (game(at + move) - game(at - move))[0] / (2 * step)
        np.testing.assert_allclose(slope[:, part], apart, atol=1e-8)
    assert slope.abs().median() > 1e-2
