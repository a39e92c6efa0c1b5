"""Pixel flipping: exact ratios, exact areas, and the known wrong versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oracles import pixel_flipping as oracle
from sightline.errors import GameError, PhotoError
from sightline.metrics.pixel_flipping import (
    RATIOS,
    FlipCurve,
    flip_masks,
    flip_values,
    flipping_order,
    pixel_flipping,
    random_orders,
)

SCORES = np.random.default_rng(4).normal(size=(7, 9))
THIRDS = np.linspace(0, 1, 4)


def ours(scores, ratio):
    order = flipping_order(scores)
    return flip_masks(order, np.array([ratio]), scores.shape)[0].numpy()


# --- by hand --------------------------------------------------------------------------------------


def test_a_small_photo_by_hand():
    truth = torch.tensor([[3.0, -1.0], [0.0, 2.0]])

    def score(removed):
        return ((~removed) * truth).sum((1, 2))

    quarters = np.linspace(0, 1, 5)
    curve = pixel_flipping(truth, score, ratios=quarters, orders=0)
    assert curve.values.tolist() == [4.0, 1.0, -1.0, -1.0, 0.0]
    assert curve.auc == 0.25
    assert (curve.initial, curve.normalised_auc, curve.reason) == (4.0, 0.25 / 4, "")
    assert curve.random_auc is curve.gain is None
    curve = pixel_flipping(truth, score, ratios=quarters, orders=0, rising=True)
    assert curve.values.tolist() == [0.0, 3.0, 5.0, 5.0, 4.0]
    assert (curve.initial, curve.auc, curve.normalised_auc) == (4.0, 3.75, 0.9375)


def test_areas_of_uneven_ratios():
    curve = FlipCurve(np.array([1.0, 0.5, 0.0]), np.array([0.0, 0.2, 1.0]))
    assert curve.auc == pytest.approx(0.15 + 0.2)
    assert curve.auc == pytest.approx(oracle.area(curve.values, curve.ratios))


def test_gain_is_positive_where_better_than_random():
    values, ratios = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 1.0])
    random = np.array([[1.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
    assert FlipCurve(values, ratios, random).random_auc == pytest.approx(0.625)
    assert FlipCurve(values, ratios, random).gain == pytest.approx(0.375)
    assert FlipCurve(values, ratios, random, rising=True).gain == pytest.approx(-0.375)


@pytest.mark.parametrize("whole", [0.0, -2.0])
def test_no_area_is_divided_by_nothing(whole):
    ratios = np.array([0.0, 1.0])
    falling = FlipCurve(np.array([whole, 1.0]), ratios)
    assert falling.auc == (whole + 1) / 2
    assert falling.normalised_auc is None
    assert falling.reason.startswith(f"the whole photo's score is {whole:g}: no positive number")
    assert FlipCurve(np.array([whole, 1.0]), ratios, rising=True).normalised_auc is not None


# --- exactly the stated ratio ---------------------------------------------------------------------


def check_ratios(version):
    for ratio in RATIOS.tolist():
        assert version(SCORES, ratio).sum() == round(ratio * SCORES.size)


def check_ranking(version):
    """What is gone is at least as high as what is left."""
    for ratio in (0.1, 0.3, 0.6):
        gone = version(SCORES, ratio)
        assert SCORES[gone].min() >= SCORES[~gone].max()


def check_ties(version):
    """A tied area does not go from top to bottom."""
    flat = np.zeros((40, 40))
    top = version(flat, 0.5)[:20].mean()
    assert 0.4 < top < 0.6


def test_the_checks_hold():
    check_ratios(ours)
    check_ranking(ours)
    check_ties(ours)
    check_ratios(oracle.flipped)
    check_ranking(oracle.flipped)


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (check_ratios, oracle.three_times),
        (check_ratios, oracle.by_colours),
        (check_ranking, oracle.by_colours),
        (check_ties, oracle.top_to_bottom),
    ],
)
def test_a_known_fault_fails_its_check(check, wrong):
    with pytest.raises(AssertionError):
        check(wrong)


def test_three_times_the_ratio_has_nothing_left_at_a_third():
    assert oracle.three_times(SCORES, 1 / 3).all()
    assert ours(SCORES, 1 / 3).mean() == pytest.approx(1 / 3)


def test_plain_loops_flip_the_same_pixels():
    masks = flip_masks(flipping_order(SCORES), RATIOS, SCORES.shape).numpy()
    assert masks.shape == (51, 7, 9)
    for ratio, mask in zip(RATIOS, masks, strict=True):
        assert np.array_equal(mask, oracle.flipped(SCORES, ratio))
    assert (masks[1:] >= masks[:-1]).all()
    assert not masks[0].any()
    assert masks[-1].all()


# --- orders ---------------------------------------------------------------------------------------


def test_order_falls_and_holds_every_pixel_once():
    order = flipping_order(SCORES)
    assert (np.diff(SCORES.ravel()[order]) <= 0).all()
    assert sorted(order.tolist()) == list(range(SCORES.size))


def test_ties_are_broken_by_the_seed_alone():
    tied = np.repeat([[2.0], [1.0]], 50, 1)
    first, again, other = (flipping_order(tied, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert set(first[:50].tolist()) == set(other[:50].tolist()) == set(range(50))


def test_random_orders_do_not_depend_on_their_number():
    three, five = list(random_orders(30, 3, 7)), list(random_orders(30, 5, 7))
    assert all(torch.equal(a, b) for a, b in zip(three, five, strict=False))
    assert len({tuple(o.tolist()) for o in five}) == 5
    # nor is a blank map's order one of them
    assert not torch.equal(flipping_order(np.zeros((5, 6)), 7), three[0])


def test_luck_leaves_the_global_state_alone():
    np.random.seed(1)  # noqa: NPY002 - this is the state in question
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    pixel_flipping(SCORES, lambda m: m.float().mean((1, 2)), ratios=THIRDS)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


# --- streaming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rising", [False, True])
def test_chunks_are_small_and_change_nothing(rising):
    weights = torch.from_numpy(SCORES)
    rows = []

    def score(removed):
        rows.append(len(removed))
        return [float((weights * ~m).sum()) for m in removed]

    whole = pixel_flipping(SCORES, score, rising=rising, chunk=51)
    assert rows == [51, 51]
    rows.clear()
    parts = pixel_flipping(SCORES, score, rising=rising, chunk=20)
    assert rows == [20, 20, 11] * 2
    assert np.array_equal(whole.values, parts.values)
    assert np.array_equal(whole.random, parts.random)
    assert whole.gain == parts.gain > 0


def test_insertion_is_deletion_seen_from_the_other_side():
    """Where removing the best is asked of 'removed', putting it in is asked of its opposite."""
    seen = []

    def score(removed):
        seen.append(removed)
        return torch.zeros(len(removed))

    order = flipping_order(SCORES)
    flip_values(order, (7, 9), score, ratios=THIRDS)
    flip_values(order, (7, 9), score, ratios=THIRDS, rising=True)
    assert torch.equal(seen[0], ~seen[1])


def test_a_true_map_beats_luck_and_a_false_one_does_not():
    truth = torch.from_numpy(np.maximum(SCORES, 0))

    def score(removed):
        return ((~removed) * truth).sum((1, 2)) / truth.sum()

    assert pixel_flipping(SCORES, score, orders=8).gain > 0.15
    assert pixel_flipping(-SCORES, score, orders=8).gain < -0.15
    assert pixel_flipping(SCORES, score, rising=True, orders=8).gain > 0.15
    # with luck alone a sum falls straight
    assert pixel_flipping(SCORES, score, orders=8).random_auc == pytest.approx(0.5, abs=0.05)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ratios", [[0.0, 1.5], [-0.1, 1.0], [0.0, 0.5, 0.5], [1.0, 0.0], [], [0.0, np.nan]]
)
def test_ratios_must_rise_within_bounds(ratios):
    with pytest.raises(GameError, match=r"ratios must rise within \[0, 1\]"):
        flip_masks(flipping_order(SCORES), np.array(ratios, dtype=float), SCORES.shape)


@pytest.mark.parametrize("ratios", [[0.0, 0.9], [0.1, 1.0], [0.0]])
def test_an_area_needs_both_ends(ratios):
    with pytest.raises(GameError, match="needs ratios from 0 to 1, both ends among them"):
        FlipCurve(np.ones(len(ratios)), np.array(ratios))


def test_errors_say_what_came():
    with pytest.raises(GameError, match="order has 63 pixels, a photo of 9 x 9 has 81"):
        flip_masks(flipping_order(SCORES), THIRDS, (9, 9))
    with pytest.raises(GameError, match=r"answered 4 masks with shape \[4, 1\]"):
        pixel_flipping(SCORES, lambda m: m.float().mean((1, 2))[:, None], ratios=THIRDS)
    with pytest.raises(GameError, match="answered 4 masks with scores that are not finite"):
        pixel_flipping(SCORES, lambda m: m.float().mean((1, 2)) / 0, ratios=THIRDS)
    with pytest.raises(GameError, match="chunk is 0"):
        pixel_flipping(SCORES, lambda m: m.float().mean((1, 2)), chunk=0)
    with pytest.raises(GameError, match="orders is -1"):
        pixel_flipping(SCORES, lambda m: m.float().mean((1, 2)), orders=-1)
    with pytest.raises(PhotoError, match="expected one score a pixel"):
        flipping_order(np.ones((7, 9, 3)))
    with pytest.raises(GameError, match="not finite: it has no area"):
        FlipCurve(np.array([1.0, np.nan]), np.array([0.0, 1.0]))
