import math

import numpy as np
import pytest
from scipy import stats

from sightline.errors import TaskError
from sightline.explanation import Explanation, Provenance
from sightline.parts import Points, Strokes
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.drawing_order import (
    drawing_order,
    order_correlation,
    order_correlation_given,
)


def explained(scores, lengths=None) -> Explanation:
    """Level strokes of these lengths with these scores."""
    lengths = np.arange(1.0, len(scores) + 1) if lengths is None else lengths
    sketch = Sketch.from_strokes([[(0, i), (long, i)] for i, long in enumerate(lengths)])
    made = Provenance("test", "none", "", evaluations=0, seconds=0.0)
    one = np.zeros(1)
    return Explanation(np.array([scores], float), Strokes(sketch), ("x",), "y", one, one, made)


# --- by hand --------------------------------------------------------------------------------------


def test_early_strokes_that_matter_more_are_positive():
    assert order_correlation(np.array([3.0, 2.0, 1.0, 0.0])) == 1
    assert order_correlation(np.array([0.0, 1.0, 2.0, 3.0])) == -1
    # ranks 3 1 2 against 3 2 1: 1 - 6 (0 + 1 + 1) / (3 x 8)
    assert order_correlation(np.array([9.0, 1.0, 2.0])) == pytest.approx(0.5)


def test_where_nothing_is_ranked_there_is_no_number():
    assert math.isnan(order_correlation(np.ones(5)))
    assert math.isnan(order_correlation(np.array([2.0, 1.0])))
    assert math.isnan(order_correlation_given(np.array([3.0, 2.0, 1.0]), np.array([1.0, 3.0, 2.0])))
    assert math.isnan(order_correlation_given(np.arange(4.0), np.ones(4)))


def test_lengths_run_along_the_line():
    bent = Sketch.from_strokes([[(0, 0), (3, 4), (3, 0)], [(1, 1), (1, 1)]])
    np.testing.assert_array_equal(stroke_lengths(bent), [9, 0])


# --- an oracle ------------------------------------------------------------------------------------


def test_the_partial_correlation_is_that_of_the_residuals_of_ranks():
    luck = np.random.default_rng(0)
    for _ in range(20):
        count = int(luck.integers(5, 12))
        scores, control = luck.integers(0, 6, count).astype(float), luck.normal(size=count)
        early = -np.arange(count)
        x, y, z = (stats.rankdata(v) for v in (scores, early, control))
        design = np.stack([np.ones(count), z], 1)
        left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in (x, y)]
        expected = np.corrcoef(*left)[0, 1]
        assert order_correlation_given(scores, control) == pytest.approx(expected, abs=1e-9)
        assert order_correlation(scores) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_where_length_explains_it_all_little_is_left_given_length():
    luck = np.random.default_rng(1)
    plain, given = [], []
    for _ in range(600):
        lengths = 8 - np.arange(8) + luck.normal(0, 2, 8)  # long strokes come early
        scores = lengths + luck.normal(0, 2, 8)  # and matter because they are long
        plain.append(order_correlation(scores))
        given.append(order_correlation_given(scores, lengths))
    assert np.mean(plain) > 0.6
    # ranks lose some of what length says: the docstring's number, by 3000 drawings
    assert np.nanmean(given) == pytest.approx(0.09, abs=0.05)


# --- over a set -----------------------------------------------------------------------------------


def test_a_set_counts_what_it_leaves_out():
    whys = [
        explained([4, 3, 2, 1]),  # 1; shorter strokes come first here
        explained([4, 3, 1, 2], [5, 2, 2, 1]),  # 0.8
        explained([1, 1, 1, 1]),  # constant
        explained([2, 1]),  # short
        explained([0.0]),  # short
    ]
    found = drawing_order(whys)
    assert (found.drawings, found.short, found.constant, found.counted) == (5, 2, 1, 2)
    assert found.correlation.estimate == pytest.approx(0.9)
    assert found.early_first.estimate == 1
    assert found.length.estimate == pytest.approx(
        (-1 + stats.spearmanr([5, 2, 2, 1], [3, 2, 1, 0])[0]) / 2
    )
    assert found.partial == 1  # the first drawing's length ranks as its order does
    alone = order_correlation_given(np.array([4.0, 3, 1, 2]), np.array([5.0, 2, 2, 1]))
    assert found.given_length.estimate == pytest.approx(alone)
    assert found.as_dict()["counted"] == 2


def test_equal_lengths_say_nothing_about_order():
    found = drawing_order([explained([3, 2, 1], [1, 1, 1])])
    assert found.length.estimate == 0
    assert found.given_length is None


def test_a_set_of_nothing_but_short_ones_has_no_mean():
    found = drawing_order([explained([1.0]), explained([1.0, 2.0])])
    assert found.correlation is found.length is found.given_length is None
    assert found.counted == 0


def test_other_parts_and_no_drawings_are_refused():
    why = explained([3, 2, 1])
    points = Explanation(
        np.ones((1, 6)), Points(why.parts.sketch), ("x",), "y", why.value, why.base, why.made
    )
    with pytest.raises(TaskError, match="got explanations of points"):
        drawing_order([why, points])
    with pytest.raises(TaskError, match="no explanations"):
        drawing_order([])
