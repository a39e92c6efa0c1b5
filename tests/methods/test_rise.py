"""RISE: by hand, against means over all coalitions, and its error bars."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sightline import Budget, ClassScore, Game, GameError, Points, Strokes, rise
from sightline.parts import GridCells
from toys import additive, gloves, picture_net, scribble, stroke_net, tangled, toy_game


def mean_with_each(value, parts: int, keep: float) -> np.ndarray:
    """E[v | part i there], a coalition after the other."""
    total, mass = np.zeros(parts), np.zeros(parts)
    for there in product([0.0, 1.0], repeat=parts):
        chance = np.prod([keep if t else 1 - keep for t in there])
        v = value(torch.tensor([there], dtype=torch.float64)).item()
        total += chance * v * np.array(there)
        mass += chance * np.array(there)
    return total / mass


@pytest.mark.parametrize(
    ("value", "parts", "keep", "expected"),
    [
        (additive([5.0], base=2), 1, 0.5, [7]),
        (additive([2.0, -1.0]), 2, 0.5, [2 - 1 / 2, -1 + 2 / 2]),
        (additive([2.0, -1.0], base=10), 2, 0.25, [12 - 1 / 4, 9 + 2 / 4]),
        (gloves, 3, 0.5, [3 / 4, 1 / 2, 1 / 2]),
        (lambda z: z.prod(1) * 12, 3, 0.5, [3, 3, 3]),
    ],
)
def test_by_hand(value, parts, keep, expected):
    np.testing.assert_allclose(rise(toy_game(value, parts), keep=keep).scores, [expected])


@pytest.mark.parametrize("keep", [0.5, 0.2])
def test_within_the_budget_it_is_the_mean_over_all_coalitions_that_hold_the_part(keep):
    game = toy_game(tangled(6), 6)
    game.model.asked.clear()
    why = rise(game, budget=64, keep=keep)
    np.testing.assert_allclose(why.scores[0], mean_with_each(tangled(6), 6, keep), atol=1e-12)
    np.testing.assert_array_equal(why.errors, 0)
    rows = torch.cat(game.model.asked)
    assert len(rows) == len(rows.unique(dim=0)) == why.made.evaluations == 62
    assert why.made.notes == ("all 2^6 coalitions, each by its chance: no sampling error",)
    assert rise(game, budget=63, keep=keep).made.notes == ()


@pytest.mark.parametrize("keep", [0.5, 0.3])
def test_a_sample_is_summed_as_the_paper_has_it(keep):
    game = toy_game(tangled(12), 12)
    game.model.asked.clear()
    why = rise(game, budget=300, keep=keep, seed=5)
    masks = torch.cat(game.model.asked).numpy()
    assert len(masks) == 300 == why.made.evaluations
    values = tangled(12)(torch.from_numpy(masks)).numpy()
    expected = sum(v * m for v, m in zip(values, masks, strict=True)) / (300 * keep)
    np.testing.assert_allclose(why.scores[0], expected, atol=1e-12)
    assert abs(masks.mean() - keep) < 0.03


@pytest.mark.parametrize("keep", [0.5, 0.25])
def test_error_bars_hold_95_percent(keep):
    game = toy_game(tangled(8), 8)
    exact = rise(game, budget=256, keep=keep).scores[0]
    runs = [rise(game, budget=200, keep=keep, seed=seed) for seed in range(150)]
    inside = [np.abs(why.scores[0] - exact) <= 1.96 * why.errors[0] for why in runs]
    assert 0.92 < np.mean(inside) < 0.98
    told = np.mean([why.errors[0] ** 2 for why in runs]) ** 0.5
    spread = np.stack([why.scores[0] for why in runs]).std(0).mean()
    assert 0.9 < told / spread < 1.15


def test_scores_do_not_share_out_the_value():
    """A part without effect gets the mean of all values, not 0."""
    why = rise(toy_game(additive([4.0, 0.0], base=1), 2))
    assert why.scores.tolist() == [[5, 3]]
    assert abs(why.gap[0]) > 1


def test_symmetric_parts_get_the_same():
    value = tangled(5)
    why = rise(toy_game(lambda z: value(z) + value(z[:, [4, 1, 2, 3, 0]]), 5))
    assert why.scores[0, 0] == pytest.approx(why.scores[0, 4], abs=1e-12)
    assert np.abs(why.scores[0, 0] - why.scores[0, 1:4]).min() > 1e-3


def test_numbers_do_not_depend_on_the_batch_and_seeds_repeat():
    def run(batch, seed=2):
        return rise(toy_game(tangled(12), 12, batch=batch), budget=200, seed=seed)

    first = run(512)
    for batch in (1, 7):
        np.testing.assert_allclose(run(batch).scores, first.scores, atol=1e-12)
        np.testing.assert_allclose(run(batch).errors, first.errors, atol=1e-12)
    np.testing.assert_array_equal(run(512).scores, first.scores)
    assert np.abs(run(512, seed=3).scores - first.scores).max() > 1e-3


@pytest.mark.parametrize("budget", [40, 5000])
def test_targets_are_explained_together_as_alone(budget):
    values = [tangled(7, seed) for seed in range(3)]
    together = rise(toy_game(lambda z: torch.stack([v(z) for v in values], 1), 7), budget=budget)
    for row, value in zip(together.scores, values, strict=True):
        alone = rise(toy_game(value, 7), budget=budget)
        np.testing.assert_allclose(row, alone.scores[0], atol=1e-12)


@pytest.mark.parametrize("parts", [Points(scribble(1, 3)), GridCells(scribble(1, 3), 4, 5)])
def test_points_and_grid_cells_may_be_asked_about(parts):
    game = Game(picture_net(), parts, ClassScore(0))
    assert rise(game, budget=100).scores.shape == (1, len(parts))


# --- what it may spend, for LIME as well ----------------------------------------------------------


def test_a_budget_in_time_is_kept(monkeypatch):
    """On a clock of our own, where an evaluation takes 10 ms."""
    clock = SimpleNamespace(now=0.0)
    value = tangled(20)

    def slow(there):
        clock.now += 0.01 * len(there)
        return value(there)

    monkeypatch.setattr("sightline.game.time", SimpleNamespace(monotonic=lambda: clock.now))
    game = toy_game(slow, 20)
    why = rise(game, budget="10s")
    assert 900 < why.made.evaluations < 1010
    assert why.made.notes == ("stopped after 10.0 s, as the budget says",)
    both = rise(game, budget=Budget(evaluations=100, seconds=10.0)).made
    assert (both.evaluations, both.notes) == (100, ())


def test_a_budget_in_time_is_for_all_coalitions_as_soon_as_it_is_enough(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    value = tangled(9)

    def slow(there):
        clock.now += 0.01 * len(there)
        return value(there)

    monkeypatch.setattr("sightline.game.time", SimpleNamespace(monotonic=lambda: clock.now))
    why = rise(toy_game(slow, 9), budget="10s")
    assert why.made.evaluations == 64 + 510
    np.testing.assert_allclose(why.scores[0], mean_with_each(value, 9, 0.5), atol=1e-12)


def test_without_a_budget_all_are_asked_or_a_budget_is_wanted():
    assert rise(toy_game(tangled(11), 11), budget=None).made.evaluations == 2**11 - 2
    with pytest.raises(GameError, match=r"2\^17 coalitions of 17 strokes are too many .* give a b"):
        rise(toy_game(tangled(17), 17), budget=None)


def test_one_coalition_has_no_error_bars():
    why = rise(toy_game(tangled(5), 5), budget=1)
    assert why.errors is None
    assert why.made.notes == ("one coalition has no error bars: they need 2",)


@pytest.mark.parametrize("keep", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_keep_is_a_chance(keep):
    with pytest.raises(GameError, match=r"it is a chance between 0 and 1, such as 0\.5"):
        rise(toy_game(tangled(3), 3), keep=keep)


def test_how_it_was_made_is_recorded():
    game = Game(stroke_net(), Strokes(scribble(1, 12)), ClassScore("beta"))
    made = rise(game, budget=32, seed=3, keep=0.4).made
    assert (made.method, made.seed) == ("rise", 3)
    assert made.settings == {"budget": 32, "keep": 0.4}
