"""Pixel flipping of photos: by hand on a linear detector, for boxes of one game, in any frame."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pytest
import torch

from detectors import SIDE, BlackBox, LinearDetector, confetti, plain, weights
from sightline import (
    BoxScores,
    BoxSimilarity,
    Explanation,
    Frame,
    Game,
    GameError,
    GridCells,
    Provenance,
    Strokes,
    Superpixels,
    occlusion,
)
from sightline.metrics.photo_flipping import photo_flipping, random_flipping
from sightline.metrics.pixel_flipping import RATIOS, flip_masks, random_orders
from toys import picture_net, scribble

MODEL = LinearDetector(3)
PHOTO = confetti(0)
CELLS = GridCells(PHOTO, 4, 4)
FOUND = MODEL.detect([PHOTO])[0][[0, 4, 8]]
FEW = np.linspace(0, 1, 9)


def by_pixels(parts, values: np.ndarray) -> Explanation:
    zero, made = np.zeros(1), Provenance("by hand", "Carpenter", "0", 1, 0.0)
    return Explanation(values.reshape(1, -1), parts, ("kite 1",), "logit", zero, zero, made)


def every_pixel(photo=PHOTO) -> Superpixels:
    count = photo.size[0] * photo.size[1]
    return Superpixels(photo, of_pixels=torch.arange(count).view(photo.size))


def logit_along(order: np.ndarray, *, rising: bool = False) -> np.ndarray:
    """Of the first detection, whose cell is at rows and columns 4 to 7: pixel by pixel."""
    weight, bias = weights(MODEL, 0, int(FOUND.labels[0])), -0.125
    shown = PHOTO.pixels.transpose(2, 0, 1) / 255
    found = []
    for ratio in FEW:
        flipped = set(order[: round(ratio * SIDE**2)].tolist())
        value = bias
        for y in range(4):
            for x in range(4):
                place = (4 + y) * SIDE + 4 + x
                gone = (place in flipped) != rising
                at = np.full(3, 0.5) if gone else shown[:, 4 + y, 4 + x]
                value += weight[:, y, x] @ at
        found.append(value)
    return np.array(found)


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rising", [False, True])
def test_exactly_the_given_share_of_pixels_goes(rising):
    order = np.random.default_rng(1).permutation(SIDE**2)
    values = np.empty(SIDE**2)
    values[order] = np.arange(SIDE**2)[::-1]
    game = Game(MODEL, CELLS, BoxScores(FOUND, "logit"))
    why = by_pixels(every_pixel(), values)
    before = game.evaluations
    curve = photo_flipping(game, why, rising=rising, ratios=FEW)
    expected = logit_along(order, rising=rising)
    np.testing.assert_allclose(curve.values, expected, atol=1e-6)
    assert curve.rising == rising
    assert game.evaluations == before + len(FEW)
    ends = [game.value[0], game.base[0]]
    np.testing.assert_allclose(curve.values[[0, -1]], ends[::-1] if rising else ends, atol=1e-6)
    area = ((expected[1:] + expected[:-1]) / 2).mean()
    assert curve.auc == pytest.approx(area, abs=1e-6)


def test_three_times_the_share_is_found_out(monkeypatch):
    """What the public program detex does for maps of one channel."""
    order = np.random.default_rng(1).permutation(SIDE**2)
    values = np.empty(SIDE**2)
    values[order] = np.arange(SIDE**2)[::-1]
    game = Game(MODEL, CELLS, BoxScores(FOUND, "logit"))

    def wrong(order, size, values, *, rising, ratios, chunk):
        tripled = np.minimum(3 * ratios, 1)
        each = [flip_masks(order, np.array([r]), size) for r in tripled]
        return values(torch.cat(each)).numpy()

    monkeypatch.setattr(sys.modules[photo_flipping.__module__], "flip_values", wrong)
    curve = photo_flipping(game, by_pixels(every_pixel(), values), ratios=FEW)
    expected = logit_along(order)
    assert np.abs(curve.values - expected).max() > 0.1
    assert (curve.values[4:] == curve.values[-1]).all()


def test_a_flipped_pixel_becomes_what_the_games_parts_become():
    game = Game(MODEL, GridCells(PHOTO, 4, 4, plain(255)), BoxScores(FOUND, "logit"))
    why = by_pixels(every_pixel(), np.arange(256.0))
    curve = photo_flipping(game, why, ratios=FEW)
    assert curve.values[-1] == pytest.approx(game.base[0].item(), abs=1e-6)
    grey = Game(MODEL, CELLS, BoxScores(FOUND, "logit"))
    assert abs(curve.values[-1] - photo_flipping(grey, why, ratios=FEW).values[-1]) > 0.05


def test_methods_on_any_parts_meet_on_pixels():
    """Cells, and superpixels that are these cells, rank the same pixels; ties by the same luck."""
    numbers = torch.arange(4).repeat_interleave(4)
    pieces = Superpixels(PHOTO, of_pixels=numbers[:, None] * 4 + numbers)
    game = Game(MODEL, CELLS, BoxScores(FOUND))
    on_pieces = Game(MODEL, pieces, BoxScores(FOUND))
    why = occlusion(on_pieces)
    one, other = (photo_flipping(g, why, target=2, seed=3).values for g in (game, on_pieces))
    np.testing.assert_array_equal(one, other)
    assert len(one) == len(RATIOS) == 51
    again = photo_flipping(game, why, target="duck 1", seed=4).values
    assert np.abs(again - one).max() > 1e-6  # other ties
    assert one[[0, -1]].tolist() == again[[0, -1]].tolist()


def test_a_true_ranking_beats_luck():
    game = Game(MODEL, CELLS, BoxScores(FOUND, "logit"))
    why = occlusion(game)
    lucky = random_flipping(game, orders=4)
    for row in range(3):
        gone = photo_flipping(game, why, target=row)
        back = photo_flipping(game, why, target=row, rising=True)
        luck = (lucky[:, 1:, row] + lucky[:, :-1, row]).mean() / 2
        assert gone.auc < luck - 0.01
        assert back.auc > luck + 0.01


def test_a_target_is_found_by_its_name_in_the_game():
    game = Game(MODEL, CELLS, BoxScores(FOUND))
    other = Game(MODEL, CELLS, BoxScores(FOUND[[2]]))
    why = occlusion(other)
    one, same = photo_flipping(game, why), photo_flipping(other, why)
    np.testing.assert_allclose(one.values, same.values, atol=1e-7)
    assert one.values[0] == pytest.approx(float(FOUND.scores[2]))


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_changes_nothing(batch):
    why = occlusion(Game(MODEL, CELLS, BoxScores(FOUND, "logit")))
    one, other = (
        photo_flipping(Game(MODEL, CELLS, BoxScores(FOUND, "logit"), batch=b), why).values
        for b in (None, batch)
    )
    np.testing.assert_array_equal(one, other)


# --- luck -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rising", [False, True])
def test_random_orders_answer_for_all_targets_at_once(rising):
    model = LinearDetector(3)
    game = Game(model, CELLS, BoxScores(FOUND, "logit"))
    model.pictures = 0
    found = random_flipping(game, orders=2, rising=rising, ratios=FEW, seed=6)
    assert found.shape == (2, len(FEW), 3)
    assert model.pictures == 2 * len(FEW)
    for number, order in enumerate(random_orders(SIDE**2, 2, 6)):
        expected = logit_along(order.numpy(), rising=rising)
        np.testing.assert_allclose(found[number, :, 0], expected, atol=1e-6)
    np.testing.assert_array_equal(
        found[:1], random_flipping(game, rising=rising, ratios=FEW, seed=6)
    )


# --- frames and black boxes -----------------------------------------------------------------------


def test_pixels_of_the_frame_are_neither_counted_nor_taken():
    model = LinearDetector(3, partial(Frame.letterboxed, fill=1.0))
    photo = confetti(4, (8, SIDE))
    seen = []
    dense = model.dense
    model.dense = lambda pictures: seen.append(pictures) or dense(pictures)
    game = Game(model, GridCells(photo, 2, 4), BoxScores(model.detect([photo])[0], "logit"))
    shown = game.bound.picture()
    values = np.random.default_rng(2).permutation(128.0 * np.ones(128).cumsum())
    seen.clear()
    why = by_pixels(every_pixel(photo), values)
    why = Explanation(
        why.scores, why.parts, game.targets[:1], "logit", why.value, why.base, why.made
    )
    photo_flipping(game, why, ratios=FEW)
    pictures = torch.cat(seen)
    assert (pictures[:, :, :4] == 1).all()
    assert (pictures[:, :, 12:] == 1).all()
    gone = (pictures != shown).any(1)
    assert gone.sum((1, 2)).tolist() == [round(r * 128) for r in FEW]
    highest = np.argsort(-values)[:16]
    assert set(np.flatnonzero(gone[1, 4:12].flatten())) == set(highest.tolist())
    seen.clear()
    random_flipping(game, ratios=FEW)
    gone = (torch.cat(seen) != shown).any(1)
    assert gone.sum((1, 2)).tolist() == [round(r * 128) for r in FEW]


def test_a_large_photo_is_flipped_at_the_networks_size():
    large = type(PHOTO)(np.kron(PHOTO.pixels, np.ones((3, 3, 1), np.uint8)))
    order = np.random.default_rng(1).permutation(SIDE**2)
    values = np.empty(SIDE**2)
    values[order] = np.arange(SIDE**2)[::-1]
    game = Game(MODEL, GridCells(large, 4, 4), BoxScores(FOUND, "logit"))
    blocks = Superpixels(
        large,
        of_pixels=torch.arange(256).view(16, 16).repeat_interleave(3, 0).repeat_interleave(3, 1),
    )
    curve = photo_flipping(game, by_pixels(blocks, values), ratios=FEW)
    np.testing.assert_allclose(curve.values, logit_along(order), atol=1e-6)


def test_a_black_box_is_flipped_at_the_photos_size():
    game = Game(BlackBox(MODEL), CELLS, BoxSimilarity(FOUND))
    curve = photo_flipping(game, occlusion(game), target=1)
    assert curve.values[0] == pytest.approx(game.value[1].item())
    assert curve.values[-1] == pytest.approx(game.base[1].item())


# --- refusals -------------------------------------------------------------------------------------


def test_what_does_not_fit_says_so():
    game = Game(MODEL, CELLS, BoxScores(FOUND))
    why = occlusion(game)
    drawn = Game(picture_net(), Strokes(scribble()))
    for wrong in (lambda: photo_flipping(drawn, why), lambda: random_flipping(drawn)):
        with pytest.raises(GameError, match=r"pixel flipping is of photos; for strokes use"):
            wrong()
    with pytest.raises(GameError, match="does not ask about 'kite 2'; it asks kite 1"):
        photo_flipping(Game(MODEL, CELLS, BoxScores(FOUND[[0]])), why, target=1)
    with pytest.raises(GameError, match="no target 'cup 1' here"):
        photo_flipping(game, why, target="cup 1")
    for photo in (confetti(8), confetti(0, (20, 20))):
        other = by_pixels(GridCells(photo, 2, 2), np.arange(4.0))
        with pytest.raises(GameError, match="the explanation is of another photo than the game"):
            photo_flipping(game, other)
