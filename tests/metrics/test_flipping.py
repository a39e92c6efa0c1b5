"""Deletion and insertion: curves worked by hand, and against luck."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

from sightline import (
    ClassScore,
    Explanation,
    Game,
    GameError,
    Points,
    Strokes,
    deletion,
    insertion,
    occlusion,
    shapley,
)
from sightline.metrics.flipping import presence_along
from toys import additive, gloves, picture_net, scribble, tangled, toy_game


def scored(game: Game, scores) -> Explanation:
    return replace(occlusion(game), scores=np.atleast_2d(np.array(scores, dtype=float)))


# --- by hand --------------------------------------------------------------------------------------


def test_the_curves_of_an_additive_game():
    game = toy_game(additive([3.0, 1.0, 2.0], base=10), 3)
    why = scored(game, [3, 1, 2])
    down, up = deletion(game, why), insertion(game, why)
    assert down.values.tolist() == [16, 13, 11, 10]
    assert up.values.tolist() == [10, 13, 15, 16]
    # trapezoids of width 1/3
    assert down.auc == pytest.approx((16 / 2 + 13 + 11 + 10 / 2) / 3)
    assert up.auc == pytest.approx((10 / 2 + 13 + 15 + 16 / 2) / 3)
    assert (down.rising, up.rising, down.unit) == (False, True, "logit")


def test_the_curves_of_a_game_with_interactions():
    game = toy_game(gloves, 3)
    why = scored(game, [5, 1, 2])  # left, then the second right glove
    assert insertion(game, why).values.tolist() == [0, 0, 1, 1]
    assert deletion(game, why).values.tolist() == [1, 0, 0, 0]
    last = scored(game, [-5, 1, 2])
    assert insertion(game, last).values.tolist() == [0, 0, 0, 1]


def test_the_mean_of_luck_is_the_mean_over_all_orders():
    value = tangled(4)
    game = toy_game(value, 4)
    curves = []
    for order in permutations(range(4)):
        there = torch.zeros(5, 4, dtype=torch.float64)
        for step, part in enumerate(order):
            there[step + 1 :, part] = 1
        curves.append(value(there).numpy())
    areas = [(c[:-1] + c[1:]).sum() / 2 / 4 for c in curves]
    found = insertion(game, scored(game, [1, 2, 3, 4]), orders=4000)
    assert found.random.shape == (4000, 5)
    assert found.random_auc == pytest.approx(np.mean(areas), abs=4 * np.std(areas) / 4000**0.5)


def test_presence_along_an_order():
    assert presence_along([2, 0, 1], rising=True).tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [1, 0, 1],
        [1, 1, 1],
    ]
    falling = presence_along([2, 0, 1], rising=False)
    assert torch.equal(falling, 1 - presence_along([2, 0, 1], rising=True))


# --- what a curve says ----------------------------------------------------------------------------


def test_the_true_ranking_beats_luck_and_its_reverse_loses():
    weights = np.linspace(-1, 2, 8)
    game = toy_game(additive(weights.tolist()), 8)
    for metric in (deletion, insertion):
        true, reverse = metric(game, scored(game, weights)), metric(game, scored(game, -weights))
        assert true.gain > 0.2
        assert reverse.gain < -0.2
        bound = true.random.sum(1)
        best = bound.max() if true.rising else -bound.min()
        assert (1 if true.rising else -1) * true.values.sum() >= best


def test_deletion_and_insertion_mirror_each_other_in_an_additive_game():
    game = toy_game(additive([3.0, 1.0, 2.0, -1.0]), 4)
    why = scored(game, [3, 1, 2, -1])
    down, up = deletion(game, why), insertion(game, why)
    np.testing.assert_allclose(up.values + down.values, 5.0)
    assert up.gain == pytest.approx(down.gain)


def test_the_ends_are_the_games_own():
    game = Game(picture_net().double(), Strokes(scribble(1)), ClassScore(2))
    why = shapley(game)
    down, up = deletion(game, why), insertion(game, why)
    assert (down.values[0], down.values[-1]) == pytest.approx((game.value.item(), game.base.item()))
    assert (up.values[-1], up.values[0]) == pytest.approx((game.value.item(), game.base.item()))
    assert (down.random[:, [0, -1]] == down.values[[0, -1]]).all()


def test_one_part_has_one_step_and_nothing_to_gain():
    game = toy_game(additive([2.0], base=1), 1)
    found = deletion(game, scored(game, [2]))
    assert found.values.tolist() == [3, 1]
    assert (found.auc, found.gain) == (2.0, 0.0)


def test_ties_are_taken_in_drawing_order():
    game = toy_game(additive([1.0, 2.0, 4.0]), 3)
    assert insertion(game, scored(game, [0, 0, 0])).values.tolist() == [0, 1, 3, 7]
    assert insertion(game, scored(game, [0, 1, 1])).values.tolist() == [0, 2, 6, 7]


# --- luck and cost --------------------------------------------------------------------------------


def test_luck_is_the_same_for_the_same_seed():
    game = toy_game(tangled(7), 7)
    why = occlusion(game)
    curves = [deletion(game, why, seed=seed).random for seed in (0, 0, 1)]
    np.testing.assert_array_equal(curves[0], curves[1])
    assert np.abs(curves[0] - curves[2]).max() > 1e-3


def test_no_coalition_is_asked_twice():
    game = toy_game(tangled(4), 4)
    why = occlusion(game)
    game.model.asked.clear()
    deletion(game, why, orders=50)
    rows = torch.cat(game.model.asked)
    assert len(rows) == len(rows.unique(dim=0)) <= 16


def test_without_numpy_2(monkeypatch):
    """pyproject allows numpy 1.26, where the trapezoid rule has another name."""
    monkeypatch.delattr(np, "trapezoid", raising=False)
    game = toy_game(additive([3.0, 1.0]), 2)
    found = deletion(game, scored(game, [3, 1]))
    assert found.auc == pytest.approx((4 / 2 + 1 + 0) / 2)
    assert found.random_auc > 0


# --- targets and parts ----------------------------------------------------------------------------


def test_targets_are_matched_by_name():
    game = toy_game(lambda z: torch.stack([z @ torch.tensor([1.0, 2]).double(), -z.sum(1)], 1), 2)
    why = scored(game, [[1, 2], [9, 1]])
    assert deletion(game, why, target="v1").values.tolist() == [-2, -1, 0]
    assert deletion(game, why, target=1).values.tolist() == [-2, -1, 0]
    assert deletion(game, why).values.tolist() == [3, 1, 0]
    other = toy_game(additive([1.0, 2.0]), 2)
    with pytest.raises(GameError, match="does not ask about 'v1'; it asks v0"):
        deletion(other, why, target="v1")


def test_other_parts_are_refused():
    game = toy_game(additive([1.0, 2.0, 3.0]), 3)
    why = occlusion(toy_game(additive([1.0, 2.0]), 2))
    with pytest.raises(GameError, match=r"2 strokes, the game has 3 strokes; .*why\.on\(game\.pa"):
        insertion(game, why)
    sketch = scribble(1, 3)
    dots = Explanation(
        np.zeros((1, len(sketch.points))), Points(sketch), *(getattr(why, n) for n in LATER)
    )
    with pytest.raises(GameError, match="points, the game has 3 strokes"):
        insertion(game, dots)


LATER = ("targets", "unit", "value", "base", "made")


def test_the_wrong_way_round_is_worse():
    """A known wrong version: least important first."""
    game = toy_game(tangled(8), 8)
    why = shapley(game)
    backwards = replace(why, scores=-why.scores)
    assert deletion(game, why).auc < deletion(game, backwards).auc
    assert insertion(game, why).auc > insertion(game, backwards).auc


@pytest.mark.parametrize("metric", [deletion, insertion])
def test_at_least_one_random_order_is_needed(metric):
    game = Game(picture_net(), Strokes(scribble()))
    with pytest.raises(GameError, match="orders is 0; at least 1 random order"):
        metric(game, occlusion(game), orders=0)
