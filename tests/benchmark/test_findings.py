"""The table and the verdict say what the numbers say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightline.benchmark.findings import Cost, Findings, holm


def findings(**tests):
    values = {
        name: {method: np.array(numbers, float) for method, numbers in by_method.items()}
        for name, by_method in tests.items()
    }
    return Findings(
        model="Toy",
        drawings=30,
        checked=5,
        unplanted=1,
        values=values,
        cost={"good": Cost(256, 0.5)},
        refused={"grad_cam": "reads strokes"},
    )


LUCK = np.random.default_rng(0)
GOOD = 0.9 + 0.02 * LUCK.normal(size=30)
TWIN = GOOD + 0.02 * LUCK.normal(size=30)
BAD = 0.5 + 0.02 * LUCK.normal(size=30)


def test_the_leaders_are_the_best_and_those_who_cannot_be_told_from_it():
    found = findings(planted={"bad": BAD, "good": GOOD, "twin": TWIN})
    assert set(found.leaders["planted"]) == {"good", "twin"}
    best = found.leaders["planted"][0]
    (sentence,) = found.verdict()
    assert sentence.startswith(f"Ranking a planted stroke last: {best} is best (0.9")
    assert "not distinguishable from it: " in sentence
    assert "bad" not in sentence


def test_lower_is_better_where_it_is():
    found = findings(part_deletion={"bad": BAD + 0.4, "good": GOOD - 0.5})
    assert found.leaders["part_deletion"] == ("good",)
    assert found.verdict()[0].endswith("distinguishable from all others.")


def test_the_reference_does_not_compete_with_itself():
    found = findings(agreement={"shapley": np.ones(30), "good": GOOD, "bad": BAD})
    assert found.leaders["agreement"] == ("good",)
    assert "shapley" not in found.verdict()[0].split(":")[1]


def test_a_check_is_failed_only_for_sure():
    found = findings(
        labels={"blind": np.ones(30), "sees": np.zeros(30), "unsure": np.tile([0.0, 1.0], 15)},
    )
    assert [m for m in found.methods if found.fails(found.tests[0], m)] == ["blind"]
    assert found.verdict()[0] == "Depending on the label asked about: not passed by blind (1.000)."
    stays = findings(shift={"steady": np.ones(30), "moody": np.zeros(30)})
    assert "not passed by moody" in stays.verdict()[0]


def test_what_was_not_measured_is_a_dash():
    found = findings(
        planted={"good": GOOD, "bad": BAD}, shift={"good": np.full(30, np.nan), "bad": BAD}
    )
    rows = {row[0]: row for row in found.rows()}
    assert rows["good"][found.columns.index("shifted ↑")] == "–"
    assert rows["good"][-2:] == ["256", "0.500"]
    assert rows["bad"][-2:] == ["0", "–"]
    assert [row[0] for row in found.rows()] == ["good", "bad"]
    assert found.markdown().count("\n") == 3
    json.dumps(found.as_dict(), allow_nan=False)


def test_holm_by_hand():
    # 4 hypotheses at 5 %: 0.01 * 4, 0.012 * 3, 0.03 * 2
    assert holm({"a": 0.012, "b": 0.01, "c": 0.03, "d": 0.5}) == {"a", "b"}
    assert holm({"a": 0.02, "b": 0.02, "c": 0.02}) == set()
    assert holm({"a": 0.01, "b": 0.02, "c": 0.04}) == {"a", "b", "c"}  # 0.01 * 3, 0.02 * 2, 0.04
    assert holm({}) == set()


def test_intervals_hold_the_mean():
    found = findings(planted={"good": GOOD})
    interval = found.interval("planted", "good")
    assert interval.estimate == pytest.approx(GOOD.mean())
    assert interval.low < GOOD.mean() < interval.high
