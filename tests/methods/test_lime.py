"""LIME: by hand, against plain normal equations and captum, and its error bars."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from sightline import ClassScore, Game, GameError, Points, Strokes, lime
from sightline.methods.lime import closeness
from sightline.parts import GridCells
from toys import LABELS, additive, linear_net, picture_net, rails, scribble, tangled, toy_game


def ridge_fit(rows, values, weights, ridge: float) -> np.ndarray:
    """Slopes of a weighted ridge regression, from its normal equations; no penalty on column 0."""
    design = np.hstack([np.ones((len(rows), 1)), rows])
    penalty = ridge * np.diag([0.0] + [1.0] * rows.shape[1])
    left = design.T @ np.diag(weights) @ design + penalty
    return np.linalg.solve(left, design.T @ (weights * values))[1:]


def weight(row, width: float) -> float:
    """As lime's program for images: sqrt(exp(-d^2 / width^2)), d the cosine distance."""
    cosine = 0.0 if not row.any() else row.sum() / np.sqrt(row.sum() * len(row))
    return math.sqrt(math.exp(-((1 - cosine) ** 2) / width**2))


def expected_fit(value, parts: int, *, budget: int, width=0.25, ridge=1.0) -> np.ndarray:
    """The fit that samples of this size come to: every coalition as often as they hold it."""
    rows = np.array(list(product([0.0, 1.0], repeat=parts)))
    often = np.full(len(rows), budget / len(rows))
    often[-1] += 1  # everything there is always in
    weights = often * [weight(row, width) for row in rows]
    return ridge_fit(rows, value(torch.from_numpy(rows)).numpy(), weights, ridge)


def sample_of(game, **settings):
    """An explanation, and the coalitions that it asked about, everything there last."""
    game.model.asked.clear()
    why = lime(game, **settings)
    rows = torch.cat(game.model.asked).numpy()
    return why, np.vstack([rows, np.ones((1, rows.shape[1]))])


# --- by hand --------------------------------------------------------------------------------------


def test_one_part_by_hand():
    """Two coalitions: a slope of 5, pulled to 0 by the ridge against w0 w1 / (w0 + w1)."""
    why = lime(toy_game(additive([5.0], base=2), 1), budget=10, kernel_width=0.5, ridge=2.0)
    nothing, everything = 10 / 2 * math.exp(-1 / (2 * 0.5**2)), 10 / 2 + 1
    held = nothing * everything / (nothing + everything)
    np.testing.assert_allclose(why.scores, [[5 * held / (held + 2)]], atol=1e-12)


@pytest.mark.parametrize("budget", [50, 2000])
def test_without_a_ridge_a_linear_game_has_one_answer(budget):
    weights = [3.0, -1.0, 0.5, 0.0, 2.0, 1.0, -2.0]
    why = lime(toy_game(additive(weights, base=9), 7), budget=budget, ridge=0.0)
    np.testing.assert_allclose(why.scores, [weights], atol=1e-10)
    np.testing.assert_allclose(why.errors, 0, atol=1e-10)


def test_a_linear_model_of_pictures_has_one_answer():
    game = Game(linear_net().double(), Strokes(rails(4)), ClassScore(list(LABELS)))
    expected = game.gradient(torch.ones(1, 4))[0]
    np.testing.assert_allclose(lime(game, ridge=0.0).scores, expected, atol=1e-10)


# --- the regression -------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "ridge"), [(0.25, 1.0), (1.0, 0.0), (0.1, 10.0)])
def test_a_sample_solves_the_normal_equations(width, ridge):
    game = toy_game(tangled(12), 12)
    why, rows = sample_of(game, budget=300, seed=4, kernel_width=width, ridge=ridge)
    assert len(rows) == 301
    weights = np.array([weight(row, width) for row in rows])
    values = tangled(12)(torch.from_numpy(rows)).numpy()
    expected = ridge_fit(rows, values, weights, ridge)
    np.testing.assert_allclose(why.scores[0], expected, atol=1e-10)
    assert abs(rows[:-1].mean() - 0.5) < 0.03


@pytest.mark.parametrize("budget", [64, 1000])
def test_within_the_budget_it_is_what_samples_come_to(budget):
    game = toy_game(tangled(6), 6)
    why, rows = sample_of(game, budget=budget)
    np.testing.assert_allclose(
        why.scores[0], expected_fit(tangled(6), 6, budget=budget), atol=1e-10
    )
    np.testing.assert_array_equal(why.errors, 0)
    assert len(rows) - 1 == why.made.evaluations == 62
    assert why.made.notes == ("all 2^6 coalitions, each by its chance: no sampling error",)


def test_captum_gives_the_same_from_the_same_samples():
    """Its sampling loop, its kernel and its distance; the regression is ours to hand over."""
    from captum.attr import Lime
    from captum.attr._core.lime import get_exp_kernel_similarity_function

    value, ours = tangled(10), toy_game(tangled(10), 10)
    why, rows = sample_of(ours, budget=200, seed=1)
    waiting = iter(torch.from_numpy(rows))

    class Ridge:
        def fit(self, data):
            x, y, w = (t.double().numpy() for t in next(iter(data)))
            # ridge as more rows of data: an intercept that is free, slopes that are drawn to 0
            mean = np.average(x, 0, w)
            root = np.sqrt(w)[:, None]
            more = np.vstack([root * (x - mean), np.eye(10)])
            wanted = np.concatenate([root[:, 0] * (y - np.average(y, weights=w)), np.zeros(10)])
            self.slopes = np.linalg.lstsq(more, wanted, rcond=None)[0]

        def representation(self):
            return torch.from_numpy(self.slopes)[None]

    theirs = Lime(
        lambda z: value(z.double()),
        interpretable_model=Ridge(),
        similarity_func=get_exp_kernel_similarity_function("cosine", kernel_width=0.25),
        perturb_func=lambda *_, **__: next(waiting)[None].long(),
    )
    found = theirs.attribute(torch.ones(1, 10), n_samples=len(rows))
    np.testing.assert_allclose(found[0], why.scores[0], atol=1e-5)  # captum's are float32


def test_weights_by_hand():
    rows = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    # cosines 1, 1 / 2, and by convention 0
    expected = [1, math.exp(-0.25 / (2 * 0.0625)), math.exp(-1 / (2 * 0.0625))]
    np.testing.assert_allclose(closeness(rows, 0.25), expected, atol=1e-15)


def test_samples_come_to_their_limit_and_error_bars_hold_95_percent():
    game = toy_game(tangled(8), 8)
    exact = expected_fit(tangled(8), 8, budget=200)
    runs = [lime(game, budget=200, seed=seed) for seed in range(150)]
    scores = np.stack([why.scores[0] for why in runs])
    assert (np.abs(scores.mean(0) - exact) < 4 * scores.std(0) / 150**0.5 + 0.01).all()
    inside = [np.abs(why.scores[0] - exact) <= 1.96 * why.errors[0] for why in runs]
    assert 0.92 < np.mean(inside) < 0.98
    told = np.mean([why.errors[0] ** 2 for why in runs]) ** 0.5
    assert 0.9 < told / scores.std(0).mean() < 1.15


@pytest.mark.parametrize("wrong", [{"kernel_width": 100.0}, {"ridge": 50.0}])
def test_other_weights_or_ridges_are_seen(wrong):
    game = toy_game(tangled(8), 8)
    exact = expected_fit(tangled(8), 8, budget=1000)
    assert np.abs(lime(game, budget=1000, **wrong).scores[0] - exact).max() > 0.05


# --- laws -----------------------------------------------------------------------------------------


def test_a_part_without_effect_gets_nothing():
    value = tangled(5)
    game = toy_game(lambda z: value(z[:, [0, 1, 2, 4, 5]]), 6)
    # where weights fall with size, parts are not independent, and even this one gets a little
    why = lime(game, budget=10**9, kernel_width=1e6)
    assert why.scores[0, 3] == pytest.approx(0, abs=1e-7)
    assert np.abs(np.delete(why.scores[0], 3)).min() > 0.1


def test_symmetric_parts_get_the_same():
    value = tangled(5)
    why = lime(toy_game(lambda z: value(z) + value(z[:, [4, 1, 2, 3, 0]]), 5))
    assert why.scores[0, 0] == pytest.approx(why.scores[0, 4], abs=1e-12)
    assert np.abs(why.scores[0, 0] - why.scores[0, 1:4]).min() > 1e-3


def test_games_add_and_scale():
    one, two = tangled(12, 1), tangled(12, 2)

    def run(value):
        return lime(toy_game(value, 12), budget=200).scores

    together = run(lambda z: 3 * one(z) - two(z) + 5)
    np.testing.assert_allclose(together, 3 * run(one) - run(two), atol=1e-10)


@pytest.mark.parametrize("budget", [40, 5000])
def test_targets_are_explained_together_as_alone(budget):
    values = [tangled(7, seed) for seed in range(3)]
    together = lime(toy_game(lambda z: torch.stack([v(z) for v in values], 1), 7), budget=budget)
    for row, error, value in zip(together.scores, together.errors, values, strict=True):
        alone = lime(toy_game(value, 7), budget=budget)
        np.testing.assert_allclose(row, alone.scores[0], atol=1e-10)
        np.testing.assert_allclose(error, alone.errors[0], atol=1e-10)


def test_numbers_do_not_depend_on_the_batch_and_seeds_repeat():
    def run(batch, seed=2):
        return lime(toy_game(tangled(12), 12, batch=batch), budget=200, seed=seed)

    first = run(512)
    for batch in (1, 7):
        np.testing.assert_allclose(run(batch).scores, first.scores, atol=1e-10)
        np.testing.assert_allclose(run(batch).errors, first.errors, atol=1e-10)
    np.testing.assert_array_equal(run(512).scores, first.scores)
    assert np.abs(run(512, seed=3).scores - first.scores).max() > 1e-3


@pytest.mark.parametrize("parts", [Points(scribble(1, 3)), GridCells(scribble(1, 3), 4, 5)])
def test_points_and_grid_cells_may_be_asked_about(parts):
    game = Game(picture_net(), parts, ClassScore(0))
    assert lime(game, budget=100).scores.shape == (1, len(parts))


# --- edges ----------------------------------------------------------------------------------------


def test_too_few_coalitions_for_error_bars_give_none_and_say_so():
    game = toy_game(tangled(12), 12)
    why = lime(game, budget=13)
    assert why.errors is None
    assert why.made.notes == ("too few evaluations for error bars: they need 14",)
    assert lime(game, budget=14).errors is not None
    assert np.isfinite(lime(game, budget=2, ridge=0.0).scores).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_width": 0.0}, r"kernel_width is 0\.0; it must be above 0, such as 0\.25"),
        ({"kernel_width": float("nan")}, "kernel_width is nan"),
        ({"ridge": -1.0}, r"ridge is -1\.0; it must be at least 0"),
        ({"ridge": float("inf")}, "ridge is inf"),
        ({"budget": "soon"}, "is not understood"),
    ],
)
def test_bad_arguments_are_named(settings, message):
    with pytest.raises(GameError, match=message):
        lime(toy_game(tangled(3), 3), **settings)


def test_how_it_was_made_is_recorded():
    made = lime(toy_game(tangled(12), 12), budget="64", seed=3, ridge=2.0).made
    assert (made.method, made.seed, made.evaluations) == ("lime", 3, 64)
    assert made.settings == {"budget": "64", "kernel_width": 0.25, "ridge": 2.0}
