"""D-RISE: a plain loop over the same masks, by hand where there is one coin, and its laws."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from detectors import SIDE, BlackBox, LinearDetector, confetti, plain
from sightline import (
    BoxScores,
    BoxSimilarity,
    Frame,
    Game,
    GameError,
    GridCells,
    MissedBox,
    Strokes,
    Superpixels,
)
from sightline.methods import d_rise
from sightline.methods.d_rise_masks import CHUNK, masks
from sightline.models.black_box import CallableDetector
from toys import picture_net, scribble

MODEL = LinearDetector(3)
PHOTO = confetti(0)
CELLS = GridCells(PHOTO, 4, 4)
FOUND = MODEL.detect([PHOTO])[0][[0, 4, 8]]


def lamp(box=(8, 4, 12, 8)) -> CallableDetector:
    """Finds one box, as surely as the photo is bright there."""
    left, top, right, bottom = box

    def finds(photos):
        return [([box], [p[top:bottom, left:right].mean() / 255], [0]) for p in photos]

    return CallableDetector(finds, labels=["lamp"])


def plainly(game: Game, count: int, *, grid, keep: float, seed: int):
    """Scores and standard errors of parts, mask by mask."""
    region = game.bound.region.numpy()
    luck = torch.Generator().manual_seed(seed)
    each = []
    for _ in range(count):
        mask = masks(1, region.shape, grid=grid, keep=keep, generator=luck)
        picture = game.bound.composed(mask)
        with torch.no_grad():
            values = game.read(game.bound.see(picture), rows=1)[0].double().numpy()
        shares = [mask[0].numpy()[region == part].mean() for part in range(len(game.parts))]
        each.append(np.outer(values, np.array(shares, np.float64) - keep) / keep)
    each = np.array(each)
    return each.mean(0), each.std(0, ddof=1) / count**0.5


@pytest.mark.parametrize("model", [MODEL, BlackBox(MODEL)])
@pytest.mark.parametrize(("grid", "keep"), [((16, 16), 0.5), ((3, 5), 0.3)])
def test_it_is_a_plain_loop_over_the_same_masks(model, grid, keep):
    target = BoxScores(FOUND) if model is MODEL else BoxSimilarity(FOUND)
    numbers = torch.arange(SIDE).ge(10).long() + 2 * torch.arange(SIDE).ge(5).long()[:, None]
    game = Game(model, Superpixels(PHOTO, of_pixels=numbers), target)
    why = d_rise(game, budget=70, grid=grid, keep=keep, seed=4)
    scores, errors = plainly(game, 70, grid=grid, keep=keep, seed=4)
    np.testing.assert_allclose(why.scores, scores, atol=1e-6)
    np.testing.assert_allclose(why.errors, errors, atol=1e-6)
    assert why.made.evaluations == 70 > CHUNK
    assert why.made.settings == {"budget": 70, "grid": list(grid), "keep": keep}
    assert why.made.seed == 4


@pytest.mark.parametrize("build", [lamp, lambda: MODEL])
def test_the_true_cell_comes_first(build):
    game = Game(build(), GridCells(plain(255), 4, 4), MissedBox((8, 4, 12, 8), 0))
    if build is not lamp:
        game = Game(MODEL, CELLS, BoxScores(FOUND[[0]], "logit"))
    why = d_rise(game, budget=800, grid=(4, 4), seed=1)
    assert why.ranking()[0] == (6 if build is lamp else 5)


def test_the_error_bars_hold_the_mean_of_many():
    game = Game(MODEL, CELLS, BoxScores(FOUND))
    many = d_rise(game, budget=1500, grid=(4, 4), seed=100).scores
    some = [d_rise(game, budget=100, grid=(4, 4), seed=seed) for seed in range(8)]
    apart = np.array([(why.scores - many) / why.errors for why in some])
    assert 0.6 < np.sqrt((apart**2).mean()) < 1.5


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_batch_changes_nothing(batch):
    for target in (BoxScores(FOUND, "logit"), BoxSimilarity(FOUND)):
        one, other = (
            d_rise(Game(MODEL, CELLS, target, batch=b), budget=66, seed=2) for b in (None, batch)
        )
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_allclose(one.errors, other.errors, atol=1e-6)


def test_boxes_share_the_masked_passes():
    model = LinearDetector(3)
    every = Game(model, CELLS, BoxScores(MODEL.detect([PHOTO])[0]))
    model.pictures = 0
    together = d_rise(every, budget=50)
    assert model.pictures == 50
    row = every.targets.index("duck 1")
    alone = d_rise(Game(model, CELLS, BoxScores(FOUND[[2]])), budget=50)
    np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-6)


def test_a_seed_is_a_seed():
    game = Game(MODEL, CELLS, BoxScores(FOUND))
    one, same, other = (d_rise(game, budget=40, seed=s).scores for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    before = torch.random.get_rng_state()
    d_rise(game, budget=10)
    assert torch.equal(before, torch.random.get_rng_state())


def test_masks_leave_alone_what_the_frame_adds():
    """One cell lies in the frame's bars: its score is the same under every mask."""
    model = LinearDetector(3, partial(Frame.letterboxed, fill=1.0))
    photo = confetti(4, (8, SIDE))
    game = Game(model, GridCells(photo, 2, 4), MissedBox((0, -1, 4, 0.2), "cup"))
    assert game.candidates[0] < 4
    why = d_rise(game, budget=64, grid=(4, 4))
    value = game.value.item()
    assert value == pytest.approx(game.base.item(), abs=1e-7)
    # the value is a constant, so a score is that times how far the masks stray from their mean
    drawn = masks(64, (SIDE, SIDE), grid=(4, 4), generator=torch.Generator().manual_seed(0))
    mean = drawn[:, 4:12].reshape(64, 2, 4, 4, 4).mean((0, 2, 4)).flatten() / 0.5 - 1
    np.testing.assert_allclose(why.scores[0], value * mean.numpy(), atol=1e-6)


def test_a_part_without_effect_gets_0_within_its_error_bar():
    """The light sees one cell of 16; all others are nothing to it."""
    white = plain(255)
    game = Game(lamp(), GridCells(white, 4, 4), BoxSimilarity(lamp().detect([white])[0]))
    why = d_rise(game, budget=2000, grid=(4, 4))
    assert why.errors is not None
    far = [0, 3, 12, 15]  # the corners: masks are smooth, so neighbours come and go together
    assert (np.abs(why.scores[0, far]) < 4 * why.errors[0, far]).all()
    assert why.scores[0, 6] > 6 * why.errors[0, 6]


def test_time_is_a_budget_too():
    why = d_rise(Game(MODEL, CELLS, BoxScores(FOUND)), budget="0.01s")
    assert why.made.evaluations >= CHUNK
    assert why.made.evaluations % CHUNK == 0
    assert why.made.notes[0].startswith("stopped after ")


def test_one_mask_has_no_error_bars():
    assert d_rise(Game(MODEL, CELLS, BoxScores(FOUND)), budget=1).errors is None


def test_drawings_are_told_of_the_kin():
    game = Game(picture_net(), Strokes(scribble()))
    with pytest.raises(GameError, match="d_rise masks a photo, not strokes of a drawing; use rise"):
        d_rise(game)


@pytest.mark.parametrize("keep", [0.0, 1.0, -1.0])
def test_a_chance_is_a_chance(keep):
    with pytest.raises(GameError, match=r"keep is .*; it is a chance between 0 and 1"):
        d_rise(Game(MODEL, CELLS, BoxScores(FOUND)), keep=keep)
