"""Budgets, as people write them."""

from __future__ import annotations

import pytest

from sightline import Budget, GameError, explain
from toys import tangled, toy_game, unchecked


@pytest.mark.parametrize(
    ("given", "evaluations", "seconds"),
    [
        (2000, 2000, None),
        ("2000", 2000, None),
        ("20s", None, 20.0),
        (" 1.5 min ", None, 90.0),
        ("1h", None, 3600.0),
        ("0.25s", None, 0.25),
        (None, None, None),
    ],
)
def test_a_budget_is_evaluations_or_time(given, evaluations, seconds):
    assert Budget.of(given) == Budget(evaluations, seconds)


def test_a_budget_is_a_budget():
    given = Budget(evaluations=5, seconds=1.0)
    assert Budget.of(given) is given


@pytest.mark.parametrize(
    "given", [0, -3, "0", "0s", "-1s", "20 parsecs", "1.5", "", "s", "nan s", True, 2.5, [20]]
)
def test_other_things_are_not_understood(given):
    with unchecked(), pytest.raises(GameError, match=r"is not understood; .* \(2000\) or time"):
        Budget.of(given)


@pytest.mark.parametrize("method", ["shapley", "integrated_gradients", "smooth_grad"])
def test_methods_that_cannot_stop_half_way_refuse_a_time(method):
    with pytest.raises(GameError, match=rf"{method} cannot stop half-way, .* not 20 s; kernel_sh"):
        explain(toy_game(tangled(3), 3), method, budget="20s")
    assert explain(toy_game(tangled(3), 3), method, budget="8").made.evaluations == 8
