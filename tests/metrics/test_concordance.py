"""Kendall's W: by hand, and as the mean of pairwise rank correlations."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sightline.errors import SightlineError
from sightline.metrics import kendall_w, spearman


def test_by_hand():
    opposed = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert kendall_w(opposed) == 0
    # rank sums 3, 7, 8 of 3 judges about a mean of 6: 12 * 14 / (9 * 24)
    three = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])
    assert kendall_w(three) == pytest.approx(12 * (9 + 1 + 4) / (9 * 24))


def test_a_judge_who_ties_all_knows_nothing():
    tied = np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    # W with ties: 12 * 2 / (4 * 24 - 2 * 24)
    assert kendall_w(tied) == pytest.approx(12 * 2 / (4 * 24 - 2 * 24))
    assert np.isnan(kendall_w(np.ones((3, 4))))


@pytest.mark.parametrize("seed", range(4))
def test_without_ties_it_is_the_mean_spearman_of_all_pairs(seed):
    table = np.random.default_rng(seed).normal(size=(6, 5))
    mean = np.mean([spearman(a, b) for a, b in combinations(table, 2)])
    assert kendall_w(table) == pytest.approx((mean * 5 + 1) / 6)


@pytest.mark.parametrize("shape", [(1, 4), (4, 1)])
def test_too_little_to_compare(shape):
    with pytest.raises(SightlineError, match="two of each"):
        kendall_w(np.zeros(shape))
