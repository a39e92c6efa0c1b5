"""Shapley values: by hand, against the definition, by their axioms; and Kernel SHAP's promises."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from oracles.shapley import shapley_by_orders
from sightline import Budget, ClassScore, Game, GameError, Strokes, kernel_shap, shapley
from sightline.methods.coalitions import PairedDesign
from toys import (
    additive,
    batch_of,
    exclusive_or,
    gloves,
    picture_net,
    scribble,
    stroke_net,
    tangled,
    toy_game,
)

BOTH = [shapley, kernel_shap]


def as_function_of_sets(value, parts):
    def of(present):
        there = torch.zeros(1, parts, dtype=torch.float64)
        there[0, list(present)] = 1
        return value(there).item()

    return of


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize(
    ("value", "parts", "expected"),
    [
        (additive([5.0], base=2), 1, [5]),
        (additive([2.0, -1.0]), 2, [2, -1]),
        (exclusive_or, 2, [0, 0]),
        (lambda z: 10 * z[:, 0] * z[:, 1] + z[:, 1] + 7, 2, [5, 6]),
        (additive([2.0, -1.0, 3.0], base=100), 3, [2, -1, 3]),
        (gloves, 3, [2 / 3, 1 / 6, 1 / 6]),
        (lambda z: z.prod(1) * 12, 3, [4, 4, 4]),
        # three voters, two needed; the fourth's voice counts for nothing
        (lambda z: (z[:, :3].sum(1) >= 2).double(), 4, [1 / 3, 1 / 3, 1 / 3, 0]),
    ],
)
def test_by_hand(method, value, parts, expected):
    np.testing.assert_allclose(method(toy_game(value, parts)).scores, [expected], atol=1e-12)


# --- the definition -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("parts", [2, 3, 4, 5, 6])
def test_the_mean_over_all_orders(method, parts):
    value = tangled(parts, seed=parts)
    expected = shapley_by_orders(as_function_of_sets(value, parts), parts)
    found = method(toy_game(value, parts), budget=2**parts)
    np.testing.assert_allclose(found.scores, [expected], atol=1e-10)


@pytest.mark.parametrize("make", [lambda: stroke_net(use_order=False), picture_net])
def test_the_mean_over_all_orders_of_real_models(make):
    """Values from drawings with strokes taken out, without any of the game's machinery."""
    model = make().double()
    sketch = model.prepare(scribble(1, 4))
    blank = Game(model, Strokes(sketch), ClassScore("gamma")).base.item()

    def value(present):
        if not present:
            return blank
        left = batch_of(sketch.select(sorted(present)), dtype=torch.float64)
        return model(left)[0, 2].item()

    found = shapley(Game(model, Strokes(sketch), ClassScore("gamma")))
    np.testing.assert_allclose(found.scores[0], shapley_by_orders(value, 4), atol=1e-10)
    assert np.abs(found.scores).max() > 1e-2


# --- axioms ---------------------------------------------------------------------------------------

SMALL = {"shapley": shapley, "kernel": lambda game: kernel_shap(game, budget=80)}


@pytest.fixture(params=SMALL)
def method(request):
    """Exact values, and Kernel SHAP with a third of the coalitions."""
    return SMALL[request.param]


def test_scores_sum_to_value_minus_base(method):
    for seed in range(4):
        why = method(toy_game(tangled(8, seed), 8))
        np.testing.assert_allclose(why.gap, 0, atol=1e-12)


def test_symmetric_parts_get_the_same():
    value = tangled(6)

    def symmetric(there):
        swapped = there[:, [3, 1, 2, 0, 4, 5]]
        return value(there) + value(swapped)

    scores = shapley(toy_game(symmetric, 6)).scores[0]
    assert scores[0] == pytest.approx(scores[3], abs=1e-12)
    assert np.abs(scores[0] - scores[[1, 2, 4, 5]]).min() > 1e-3


def test_a_part_without_effect_gets_nothing():
    value = tangled(5)
    why = shapley(toy_game(lambda there: value(there[:, [0, 1, 2, 4, 5]]), 6))
    assert why.scores[0, 3] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(
        np.delete(why.scores[0], 3), shapley(toy_game(value, 5)).scores[0], atol=1e-12
    )


def test_games_add_and_scale(method):
    one, two = tangled(8, 1), tangled(8, 2)
    together = method(toy_game(lambda there: 3 * one(there) - two(there) + 5, 8)).scores
    apart = 3 * method(toy_game(one, 8)).scores - method(toy_game(two, 8)).scores
    np.testing.assert_allclose(together, apart, atol=1e-10)


def test_targets_are_explained_together_as_alone(method):
    values = [tangled(8, seed) for seed in range(3)]
    together = method(toy_game(lambda there: torch.stack([v(there) for v in values], 1), 8))
    assert together.scores.shape == (3, 8)
    for row, value in zip(together.scores, values, strict=True):
        np.testing.assert_allclose(row, method(toy_game(value, 8)).scores[0], atol=1e-10)


def test_the_drawing_may_stand_anywhere():
    model = stroke_net().double()
    here, there = (
        shapley(Game(model, Strokes(s), ClassScore(0))).scores
        for s in (scribble(1), scribble(1).transform(37.0, (-5, 900)))
    )
    np.testing.assert_allclose(here, there, atol=1e-9)


# --- what exact values cost -----------------------------------------------------------------------


def test_exact_values_ask_each_coalition_once():
    game = toy_game(tangled(5), 5)
    game.model.asked.clear()
    why = shapley(game)
    rows = torch.cat(game.model.asked)
    assert len(rows) == len(rows.unique(dim=0)) == 32 == why.made.evaluations


def test_more_than_16_parts_are_sent_to_kernel_shap():
    with pytest.raises(GameError, match=r"17 strokes need 2\^17 .* at most 16 .*kernel_shap\(game"):
        shapley(toy_game(additive([1.0] * 17), 17))


def test_a_budget_that_is_too_small_for_exact_values_is_an_error():
    game = toy_game(tangled(5), 5)
    with pytest.raises(GameError, match="need 32 evaluations, the budget allows 31: raise it, or"):
        shapley(game, budget=31)
    assert shapley(game, budget=32).scores.shape == (1, 5)


# --- Kernel SHAP: numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [2, 3, 4, 7, 8, 9])
def test_with_all_coalitions_kernel_shap_is_exact_and_knows_it(parts):
    game = toy_game(tangled(parts), parts)
    for budget in (2**parts, 10 * 2**parts, "1h"):
        why = kernel_shap(game, budget=budget, seed=4)
        np.testing.assert_allclose(why.scores, shapley(game).scores, atol=1e-10)
        np.testing.assert_allclose(why.errors, 0, atol=1e-12)
        assert why.made.evaluations == 2**parts - 2


@pytest.mark.parametrize("parts", [40, 64])
def test_pairs_of_coalitions_solve_games_of_pairs_exactly(parts):
    """Pairing cancels what is even: a game of at most pairwise effects is linear in what is left.

    There phi_i = w_i + (1/2) sum_j (Q_ij + Q_ji).
    """
    luck = torch.Generator().manual_seed(parts)
    alone = torch.randn(parts, dtype=torch.float64, generator=luck)
    pairs = torch.randn(parts, parts, dtype=torch.float64, generator=luck).fill_diagonal_(0)
    game = toy_game(lambda z: z @ alone + (z @ pairs * z).sum(1), parts)
    expected = alone + (pairs.sum(0) + pairs.sum(1)) / 2
    why = kernel_shap(game, budget=5 * parts, seed=1)
    np.testing.assert_allclose(why.scores[0], expected, atol=1e-8)
    np.testing.assert_allclose(why.errors, 0, atol=1e-8)


@pytest.mark.parametrize("parts", [40, 64])
def test_large_games_come_within_their_error_bars(parts):
    """Products of three parts: each member's share is a third of the coefficient."""
    luck = np.random.default_rng(parts)
    triples = [luck.choice(parts, 3, replace=False) for _ in range(3 * parts)]
    gains = luck.normal(size=len(triples))
    member = torch.tensor(np.stack(triples))
    game = toy_game(lambda z: z[:, member].prod(2) @ torch.from_numpy(gains), parts)
    expected = np.zeros(parts)
    for triple, gain in zip(triples, gains, strict=True):
        expected[triple] += gain / 3
    away, coarse = [], kernel_shap(game, budget=10 * parts)
    for seed in range(10):
        why = kernel_shap(game, budget=20 * parts, seed=seed)
        np.testing.assert_allclose(why.gap, 0, atol=1e-9)
        away.append((why.scores[0] - expected) / why.errors[0])
        assert why.errors.mean() < coarse.errors.mean()
    assert np.abs(away).max() < 5
    assert 0.9 < (np.abs(away) <= 1.96).mean() < 0.99


@pytest.fixture(scope="module")
def many_runs():
    """A tangled game of 12 parts, its exact scores, and Kernel SHAP from many seeds."""
    game = toy_game(tangled(12, seed=0), 12)
    exact = shapley(game).scores[0]
    runs = {
        budget: [kernel_shap(game, budget=budget, seed=seed) for seed in range(seeds)]
        for budget, seeds in ((60, 200), (100, 200), (400, 150), (3000, 40))
    }
    return exact, runs


def test_the_mean_over_seeds_is_the_exact_value(many_runs):
    exact, runs = many_runs
    for found in runs.values():
        scores = np.stack([why.scores[0] for why in found])
        error_of_mean = scores.std(0, ddof=1) / len(scores) ** 0.5
        assert (np.abs(scores.mean(0) - exact) < 4 * error_of_mean).all()


def test_error_bars_hold_95_percent(many_runs):
    """|error| <= 1.96 standard errors; also where most coalitions are drawn (3000 of 4096)."""
    exact, runs = many_runs
    for budget, found in runs.items():
        if budget < 8 * 12:  # of few pairs a normal error is not normal: 90 % at 5 a part
            continue
        inside = [np.abs(why.scores[0] - exact) <= 1.96 * why.errors[0] for why in found]
        assert 0.88 < np.mean(inside) < 0.99


def test_error_bars_have_the_size_of_the_error(many_runs):
    exact, runs = many_runs
    for found in runs.values():
        error = np.mean([(why.scores[0] - exact) ** 2 for why in found])
        told = np.mean([why.errors[0] ** 2 for why in found])
        assert 0.85 < (told / error) ** 0.5 < 1.15


def test_more_evaluations_are_better(many_runs):
    _, runs = many_runs
    told = [np.mean([why.errors for why in found]) for found in runs.values()]
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize(("parts", "budget"), [(12, 16), (12, 24), (40, 60)])
def test_too_few_pairs_for_error_bars_give_none_and_say_so(parts, budget):
    """As many unknowns as pairs fit perfectly: no spread is left to read an error from."""
    why = kernel_shap(toy_game(tangled(parts), parts), budget=budget)
    assert why.errors is None
    assert why.made.notes == (f"too few evaluations for error bars: they need {2 * parts + 2}",)
    np.testing.assert_allclose(why.gap, 0, atol=1e-10)
    enough = kernel_shap(toy_game(tangled(parts), parts), budget=2 * parts + 2)
    assert enough.errors is not None
    assert enough.made.notes == ()


# --- a known wrong version must fail --------------------------------------------------------------

WRONG = {
    "no kernel": lambda design: torch.ones(len(design.members), dtype=torch.float64),
    "kernel upside down": lambda design: 1 / RIGHT(design),
    "no chance": lambda design: torch.tensor([s.mass for s in design._strata]).double()[
        design._owner
    ],
    "half sizes whole": lambda design: torch.tensor(
        [s.mass / s.share / s.drawn for s in design._strata]
    ).double()[design._owner],
}
RIGHT = PairedDesign.weights


@pytest.mark.parametrize("wrong", WRONG)
def test_other_weights_are_not_shapley_values(wrong, monkeypatch):
    game = toy_game(tangled(8), 8)
    exact = shapley(game).scores
    monkeypatch.setattr(PairedDesign, "weights", WRONG[wrong])
    assert np.abs(kernel_shap(game, budget=2**8).scores - exact).max() > 1e-3


def test_error_bars_without_the_finite_population_are_too_wide(many_runs, monkeypatch):
    """The coverage test above does see a wrong formula."""
    exact, _ = many_runs
    right = PairedDesign.standard_error

    def infinite(design, influence, *, parameters):
        before = [s.drawn for s in design._strata]
        for stratum in design._strata:
            stratum.drawn = 0
        try:
            return right(design, influence, parameters=parameters)
        finally:
            for stratum, drawn in zip(design._strata, before, strict=True):
                stratum.drawn = drawn

    monkeypatch.setattr(PairedDesign, "standard_error", infinite)
    game = toy_game(tangled(12, seed=0), 12)
    runs = [kernel_shap(game, budget=3000, seed=seed) for seed in range(15)]
    inside = [np.abs(why.scores[0] - exact) <= 1.96 * why.errors[0] for why in runs]
    assert np.mean(inside) > 0.99


# --- Kernel SHAP: the sample ----------------------------------------------------------------------


def drawn(parts, budget, seed=0, **settings):
    game = toy_game(tangled(parts), parts)
    game.model.asked.clear()
    kernel_shap(game, budget=budget, seed=seed, **settings)
    return torch.cat(game.model.asked)


@pytest.fixture(params=["listed", "luck"])
def way(request, monkeypatch):
    """A stratum is either listed and shuffled, or drawn by luck without what came before."""
    if request.param == "luck":
        monkeypatch.setattr("sightline.methods.coalitions.LARGEST_LISTED", 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("parts", "budget"), [(5, 20), (5, 32), (8, 256), (7, 100), (12, 999), (13, 2000), (64, 800)]
)
def test_no_coalition_comes_twice_and_each_comes_with_its_complement(parts, budget):
    rows = drawn(parts, budget)
    assert len(rows) == (budget - 2) // 2 * 2  # everything and nothing are the game's own
    there = {tuple(row) for row in rows.tolist()}
    assert len(there) == len(rows)
    assert {tuple(1 - x for x in row) for row in there} == there
    assert all(0 < sum(row) < parts for row in there)


@pytest.mark.parametrize("parts", [12, 13, 40])
def test_sizes_are_uniform(parts):
    """As long as no size has run out: size 1 of n parts has n coalitions."""
    rows = drawn(parts, 5 * parts)
    counts = torch.bincount(rows.sum(1).long(), minlength=parts + 1)[1:parts]
    assert counts.max() - counts.min() <= 2
    assert counts.sum() == len(rows)


def test_sizes_that_run_out_are_all_there():
    rows = drawn(9, 300)
    counts = torch.bincount(rows.sum(1).long(), minlength=10)[1:9].tolist()
    assert counts[:2] == counts[:-3:-1] == [9, 36]  # all there are
    assert counts[2] < math.comb(9, 3)


@pytest.mark.usefixtures("way")
def test_every_coalition_of_a_size_has_the_same_chance():
    """Half sizes too, where part 0 is in the member that is kept."""
    seen = {size: Counter() for size in range(1, 6)}
    for seed in range(400):
        design = PairedDesign(6, torch.Generator().manual_seed(seed))
        for row in design.draw(7).tolist():
            for member in (row, [1 - x for x in row]):
                seen[int(sum(member))][tuple(member)] += 1
    for size, counts in seen.items():
        assert len(counts) == math.comb(6, size)
        expected = counts.total() / len(counts)
        chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
        assert chi2 < 2.5 * len(counts)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("parts", [9, 12, 64])
def test_a_sample_does_not_depend_on_its_rounds(parts):
    at_once, in_rounds = (PairedDesign(parts, torch.Generator().manual_seed(8)) for _ in "ab")
    at_once.draw(150)
    for pairs in (1, 60, 9, 80):
        in_rounds.draw(pairs)

    def coalitions(design):
        return {tuple(row) for row in design.members.tolist()}

    assert coalitions(at_once) == coalitions(in_rounds)
    assert len(coalitions(at_once)) == min(150, 2 ** (parts - 1) - 1)


def test_seeds_give_the_same_again_and_others_give_others():
    def scores(seed):
        return kernel_shap(toy_game(tangled(12), 12), budget=200, seed=seed).scores

    np.testing.assert_array_equal(scores(5), scores(5))
    assert np.abs(scores(5) - scores(6)).max() > 1e-3


def test_numbers_do_not_depend_on_the_batch():
    results = [
        kernel_shap(toy_game(tangled(12), 12, batch=batch), budget=200, seed=2)
        for batch in (1, 7, 512)
    ]
    for other in results[1:]:
        np.testing.assert_allclose(other.scores, results[0].scores, atol=1e-10)
        np.testing.assert_allclose(other.errors, results[0].errors, atol=1e-10)


# --- Kernel SHAP: what it may spend ---------------------------------------------------------------


@pytest.mark.parametrize(("parts", "least"), [(2, 4), (3, 4), (12, 14), (13, 14), (64, 66)])
def test_the_smallest_budget_is_a_pair_of_each_size(parts, least):
    game = toy_game(tangled(parts), parts)
    with pytest.raises(GameError, match=rf"needs at least {least} .* allows {least - 1}"):
        kernel_shap(game, budget=least - 1)
    assert kernel_shap(game, budget=least).made.evaluations == least - 2


def test_large_games_want_a_budget_or_a_rule():
    game = toy_game(tangled(17), 17)
    with pytest.raises(GameError, match=r"give kernel_shap a budget .* or a stop rule"):
        kernel_shap(game, budget=None)
    assert kernel_shap(game, budget=None, stop=0.2).made.evaluations < 2**17


@pytest.mark.parametrize("stop", [0.0, 1.0, -0.1, 5.0])
def test_a_stop_rule_is_a_share(stop):
    with pytest.raises(GameError, match="it is a share between 0 and 1"):
        kernel_shap(toy_game(tangled(5), 5), stop=stop)


def test_the_stop_rule_stops_and_holds():
    game = toy_game(tangled(12), 12)
    spent = []
    for stop in (0.2, 0.05, 0.01):
        why = kernel_shap(game, budget=None, stop=stop)
        assert why.errors.max() <= stop * (why.scores.max() - why.scores.min())
        assert why.made.notes == (f"stopped: standard errors below {stop:.2%} of the range",)
        spent.append(why.made.evaluations)
    assert spent == sorted(spent)
    assert spent[0] < 200 < spent[2] < 4094


def test_a_round_costs_at_most_half_of_what_is_spent():
    """Beyond the first looks: so a stop rule wastes little, and looks are few."""
    game = toy_game(tangled(12), 12, batch=10_000)
    game.model.asked.clear()
    kernel_shap(game, budget=4000)
    rounds = [len(rows) for rows in game.model.asked]
    for i, size in enumerate(rounds):
        assert size <= max(64, sum(rounds[:i]) / 2)
    assert len(rounds) < 15


def test_the_stop_rule_is_for_every_target():
    easy, hard = additive([1.0, 2.0] + [0.0] * 10), tangled(12)
    one = kernel_shap(toy_game(easy, 12), stop=0.02).made.evaluations
    both = toy_game(lambda z: torch.stack([easy(z), hard(z)], 1), 12)
    assert kernel_shap(both, stop=0.02).made.evaluations > 2 * one


def test_a_budget_in_time_is_kept(monkeypatch):
    """On a clock of our own, where an evaluation takes 10 ms."""
    clock = SimpleNamespace(now=0.0)
    value = tangled(14)

    def slow(there):
        clock.now += 0.01 * len(there)
        return value(there)

    monkeypatch.setattr("sightline.game.time", SimpleNamespace(monotonic=lambda: clock.now))
    game = toy_game(slow, 14)
    why = kernel_shap(game, budget="10s")
    assert 900 < why.made.evaluations < 1010
    assert 9.9 < why.made.seconds < 10.1
    assert why.made.notes == ("stopped after 10.0 s, as the budget says",)
    assert why.made.settings == {"budget": "10s", "stop": None}
    both = kernel_shap(game, budget=Budget(evaluations=100, seconds=10.0))
    assert both.made.evaluations == 98


# --- provenance -----------------------------------------------------------------------------------


def test_how_it_was_made_is_recorded():
    game = toy_game(tangled(6), 6)
    why = kernel_shap(game, budget=40, seed=9)
    made = why.made
    assert (made.method, made.seed, made.model) == ("kernel_shap", 9, "Toy")
    assert made.settings == {"budget": 40, "stop": None}
    assert made.evaluations == 38
    assert set(made.versions) == {"sightline", "torch"}
    assert why.value.tolist() == game.value.tolist()
    assert (why.unit, why.targets) == ("logit", ("v0",))
    assert shapley(game).errors is None


def test_the_table_of_all_coalitions_is_in_order():
    """Each subset once, part i on bit i."""
    from sightline.methods.shapley import all_coalitions

    rows = all_coalitions(4).tolist()
    subsets = [set(s) for size in range(5) for s in combinations(range(4), size)]
    assert sorted(map(sorted, subsets)) == sorted([i for i in range(4) if row[i]] for row in rows)
    assert rows[6] == [0, 1, 1, 0]
