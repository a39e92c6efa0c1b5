"""Clustered intervals: equal to the plain ones where they should be, and right where those fail."""

from __future__ import annotations

import numpy as np
import pytest

from sightline import SightlineError, bootstrap_mean, paired
from sightline.metrics.clustered import clustered_mean, clustered_paired


def photos_of(luck, photos=40, boxes=8, shared=1.0, own=0.4):
    """Boxes around 0, which differ more from photo to photo than within one."""
    names = np.repeat(np.arange(photos), boxes)
    return luck.normal(size=photos)[names] * shared + luck.normal(size=len(names)) * own, names


# --- by hand --------------------------------------------------------------------------------------


def test_two_photos_by_hand():
    """Three boxes of 1 and one of 0: photos drawn (a, a), (a, b), (b, b) mean 1, 3/4, 0."""
    found = clustered_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"])
    assert (found.estimate, found.low, found.high) == (0.75, 0.0, 1.0)
    # (a, b) comes half the time, the others a quarter each
    few = [clustered_mean([1, 1, 1, 0], "aaab", seed=s, draws=1).low for s in range(400)]
    assert set(few) == {0.0, 0.75, 1.0}
    assert np.mean(np.array(few) == 0.75) == pytest.approx(0.5, abs=0.08)


def test_signs_flip_by_photo():
    """Three photos, all ahead: of eight sign patterns two are as extreme."""
    found = clustered_paired([2.0, 2, 2, 1, 3], [1.0, 1, 1, 0, 0], "aaabc", draws=4000)
    assert found.p_value == pytest.approx(0.25, abs=0.03)
    assert found.difference.estimate == pytest.approx(7 / 5)
    assert not found.distinguishable


# --- laws -----------------------------------------------------------------------------------------


def test_the_interval_of_a_difference_is_that_of_its_mean():
    luck = np.random.default_rng(6)
    (a, names), (b, _) = photos_of(luck), photos_of(luck)
    found = clustered_paired(a, b, names, seed=3, draws=100)
    assert found.difference == clustered_mean(a - b, names, seed=3, draws=100)


def test_equal_methods_cannot_be_told_apart():
    assert clustered_paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "aab").p_value == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_one_box_a_photo_is_the_plain_bootstrap(seed):
    luck = np.random.default_rng(seed)
    a, b = luck.normal(size=37), luck.normal(size=37)
    names = [f"{i}.jpg" for i in luck.permutation(37)]
    assert clustered_mean(a, names, seed=seed) == bootstrap_mean(a, seed=seed)
    assert clustered_paired(a, b, names, seed=seed) == paired(a, b, seed=seed)


def test_the_order_of_boxes_within_a_photo_does_not_matter():
    values, names = photos_of(np.random.default_rng(0), 6, 5)
    shuffled = np.arange(30).reshape(6, 5)[:, ::-1].ravel()
    assert clustered_mean(values, names).low == pytest.approx(
        clustered_mean(values[shuffled], names[shuffled]).low
    )


def test_copies_of_a_box_are_no_evidence():
    """Each box told eight times over: the plain interval shrinks, the clustered one does not."""
    values, names = photos_of(np.random.default_rng(1), 30, 1)
    once = clustered_mean(values, names)
    eight = clustered_mean(values.repeat(8), names.repeat(8))
    assert eight.low == pytest.approx(once.low)
    assert eight.high == pytest.approx(once.high)
    plain = bootstrap_mean(values.repeat(8))
    assert plain.high - plain.low < 0.5 * (eight.high - eight.low)


def test_names_may_be_anything():
    values = [1.0, 2.0, 4.0]
    expected = clustered_mean(values, ["a", "b", "a"])
    assert clustered_mean(values, [7, 3, 7]) == expected
    assert clustered_mean(values, np.array([1, 0, 1])) == expected
    assert clustered_mean(values, [("x", 1), ("x", 2), ("x", 1)]) == expected


# --- how often it is right ------------------------------------------------------------------------


def test_it_covers_the_mean_where_the_plain_interval_does_not():
    """200 data sets of 40 photos with 8 boxes each; the true mean is 0."""
    luck = np.random.default_rng(2)
    clustered = plain = 0
    for i in range(200):
        values, names = photos_of(luck)
        ours = clustered_mean(values, names, seed=i, draws=400)
        naive = bootstrap_mean(values, seed=i, draws=400)
        clustered += ours.low <= 0 <= ours.high
        plain += naive.low <= 0 <= naive.high
    assert 0.90 <= clustered / 200 <= 0.99
    assert plain / 200 < 0.70


def test_it_is_seldom_fooled_where_the_plain_test_often_is():
    """Two methods that are equally good on the whole, though each has its photos."""
    luck = np.random.default_rng(3)
    clustered = plain = 0
    for i in range(200):
        gain, names = photos_of(luck)
        zero = np.zeros_like(gain)
        clustered += clustered_paired(gain, zero, names, seed=i, draws=400).distinguishable
        plain += paired(gain, zero, seed=i, draws=400).distinguishable
    assert clustered / 200 <= 0.09
    assert plain / 200 > 0.30


def test_it_sees_a_difference_that_is_there():
    gain, names = photos_of(np.random.default_rng(5))
    found = clustered_paired(gain + 1.0, np.zeros_like(gain), names)
    assert found.distinguishable
    assert found.difference.low > 0


# --- errors ---------------------------------------------------------------------------------------


def test_errors_say_what_came():
    with pytest.raises(SightlineError, match="all 3 boxes are of one photo"):
        clustered_mean([1.0, 2.0, 3.0], "aaa")
    with pytest.raises(SightlineError, match="3 values in 2 places"):
        clustered_mean([1.0, 2.0, 3.0], "ab")
    with pytest.raises(SightlineError, match="1 of 2 values are missing or not finite; leave"):
        clustered_mean([1.0, None], "ab")
    with pytest.raises(SightlineError, match="no values"):
        clustered_mean([], [])
    with pytest.raises(SightlineError, match="cannot pair 2 with 3 boxes"):
        clustered_paired([1.0, 2.0], [1.0, 2.0, 3.0], "ab")
    with pytest.raises(SightlineError, match="1 of 2 b are missing"):
        clustered_paired([1.0, 2.0], [1.0, np.inf], "ab")
