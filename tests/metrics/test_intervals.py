"""Intervals and paired tests: published values, and how often they are right."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from sightline import SightlineError, bootstrap_mean, bootstrap_median, paired, wilson

# --- Wilson ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3 (score, uncorrected)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(hits, trials, low, high):
    found = wilson(hits, trials)
    assert found.estimate == hits / trials
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize("hits", range(11))
def test_wilson_solves_its_equation(hits):
    """At each end p the observed share lies 1.96 of p's own standard errors away."""
    found = wilson(hits, 10)
    for end in (found.low, found.high):
        if 0 < end < 1:
            away = abs(hits / 10 - end) / math.sqrt(end * (1 - end) / 10)
            assert away == pytest.approx(1.959963984540054, abs=1e-9)


def test_wilson_is_the_same_seen_from_the_other_side():
    for hits in range(8):
        this, other = wilson(hits, 7), wilson(7 - hits, 7)
        assert this.low == pytest.approx(1 - other.high)
        assert 0 <= this.low <= this.estimate <= this.high <= 1


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 5), (0, -1)])
def test_wilson_wants_a_share(hits, trials):
    with pytest.raises(SightlineError, match=f"{hits} hits of {trials} trials is no share"):
        wilson(hits, trials)


def test_an_interval_reads_aloud():
    assert str(wilson(19, 20)) == "0.9500 [0.7639, 0.9911]"


# --- bootstrap ------------------------------------------------------------------------------------


def test_the_bootstrap_covers_the_mean():
    """Skewed values, 60 of them: 95 % nominal, a little less in truth, as is known."""
    luck = np.random.default_rng(0)
    samples = luck.exponential(2.0, (400, 60))
    intervals = [bootstrap_mean(s, seed=i, draws=400) for i, s in enumerate(samples)]
    inside = np.mean([i.low <= 2.0 <= i.high for i in intervals])
    assert 0.90 < inside < 0.98


def test_the_bootstrap_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(size=400)
    found = bootstrap_mean(values)
    assert found.estimate == pytest.approx(values.mean())
    width = 2 * 1.96 * values.std() / 20
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_the_bootstrap_is_the_same_for_the_same_seed():
    values = np.random.default_rng(1).normal(size=30)
    first, again, other = (bootstrap_mean(values, seed=seed) for seed in (4, 4, 5))
    assert first == again != other


def test_items_without_spread_have_no_width():
    found = bootstrap_mean([3.0] * 9)
    assert (found.estimate, found.low, found.high) == (3.0, 3.0, 3.0)
    assert bootstrap_mean([7]).high == 7


# --- paired ---------------------------------------------------------------------------------------


def exact_sign_flip_p(gain):
    """Share of all 2^n sign patterns at least as extreme, in plain Python."""
    seen = abs(sum(gain))
    sums = [
        abs(sum(s * g for s, g in zip(signs, gain, strict=True)))
        for signs in product((1, -1), repeat=len(gain))
    ]
    return sum(x >= seen - 1e-12 for x in sums) / len(sums)


@pytest.mark.parametrize("gain", [[1.0, 2.0, 3.0], [0.5, -0.2, 1.1, 0.7, -0.1, 0.4, 2.0, 0.3]])
def test_the_p_value_is_that_of_all_sign_flips(gain):
    found = paired(gain, np.zeros(len(gain)), draws=20_000)
    assert found.p_value == pytest.approx(exact_sign_flip_p(gain), abs=0.015)


def test_a_clear_difference_is_seen_and_its_direction():
    luck = np.random.default_rng(2)
    base = luck.normal(size=80)
    found = paired(base + 0.5 + 0.1 * luck.normal(size=80), base)
    assert found.distinguishable
    assert 0.4 < found.difference.low < 0.5 < found.difference.high < 0.6
    back = paired(base, base + 0.5)
    assert back.difference.high < 0
    assert back.p_value < 0.01


def test_no_difference_is_rarely_seen():
    """At 5 %, in about 5 % of the cases; p values are never 0."""
    luck = np.random.default_rng(3)
    found = [
        paired(luck.normal(size=25), luck.normal(size=25), seed=i, draws=500) for i in range(400)
    ]
    assert 0.02 < np.mean([f.distinguishable for f in found]) < 0.09
    assert min(f.p_value for f in found) > 0


def test_the_same_on_both_sides_is_no_difference():
    found = paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.p_value, found.difference.estimate) == (1.0, 0.0)
    assert not found.distinguishable


def test_pairing_sees_what_the_two_intervals_hide():
    luck = np.random.default_rng(4)
    base = 10 * luck.normal(size=60)
    better = base + 0.3 + 0.2 * luck.normal(size=60)
    a, b = bootstrap_mean(better), bootstrap_mean(base)
    assert a.low < b.high  # they overlap
    assert paired(better, base).distinguishable


# --- bad input ------------------------------------------------------------------------------------


def test_bad_values_are_named():
    with pytest.raises(SightlineError, match="no values: an interval needs at least one"):
        bootstrap_mean([])
    with pytest.raises(SightlineError, match="2 values are not finite"):
        bootstrap_mean([1.0, math.nan, math.inf])
    with pytest.raises(SightlineError, match="cannot pair 2 with 3 items; give the same items"):
        paired([1.0, 2.0], [1.0, 2.0, 3.0])


def test_the_median_and_its_interval():
    interval = bootstrap_median(np.arange(101.0))
    assert interval.estimate == 50
    assert 35 <= interval.low < 50 < interval.high <= 65
    assert bootstrap_median([3.0, 1.0]).estimate == 1.0  # the lower of two
    assert bootstrap_median([1.0, np.inf, np.inf]).estimate == np.inf
    first, again = (bootstrap_median(np.arange(99.0) ** 2, seed=1) for _ in range(2))
    assert first == again
    assert first != bootstrap_median(np.arange(99.0) ** 2, seed=2)


def test_the_interval_of_the_median_covers_it():
    luck = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        interval = bootstrap_median(luck.exponential(size=61), seed=seed, draws=300)
        hits += interval.low <= np.log(2) <= interval.high
    assert 180 <= hits <= 199  # 95 % of 200, give or take


@pytest.mark.parametrize("values", [[], [1.0, np.nan]])
def test_no_median(values):
    with pytest.raises(SightlineError, match="no median"):
        bootstrap_median(values)
