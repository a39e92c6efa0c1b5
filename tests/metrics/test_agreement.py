"""Agreement of two explanations: ranks, the first part, squared error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightline import Explanation, GameError, Points, Provenance, Strokes, agreement
from sightline.metrics import spearman
from toys import scribble

SKETCH = scribble(1, 5)
MADE = Provenance("by hand", "none", "0", 0, 0.0)


def scored(*rows, parts=None, targets=("a", "b")):
    scores = np.array(rows, dtype=float)
    zeros = np.zeros(len(scores))
    parts = parts or Strokes(scribble(1, scores.shape[1]))
    return Explanation(scores, parts, targets[: len(scores)], "logit", zeros, zeros, MADE)


# --- Spearman -------------------------------------------------------------------------------------


def rank_by_counting(values):
    """One plus how many are smaller, plus half of the other equals."""
    return [
        1 + sum(other < x for other in values) + (sum(other == x for other in values) - 1) / 2
        for x in values
    ]


def pearson(a, b):
    ma, mb = sum(a) / len(a), sum(b) / len(b)
    over = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    return over / math.sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_is_the_correlation_of_ranks(ties):
    luck = np.random.default_rng(0)
    for size in (2, 3, 10, 101):
        for _ in range(5):
            a, b = luck.normal(size=(2, size))
            if ties and size > 3:
                a, b = a.round(0), b.round(0)
            expected = pearson(rank_by_counting(a.tolist()), rank_by_counting(b.tolist()))
            assert spearman(a, b) == pytest.approx(expected, abs=1e-12)


def test_spearman_by_hand():
    """1 - 6 sum d^2 / (n (n^2 - 1)), without ties."""
    a, b = np.array([10.0, 20, 30, 40, 50]), np.array([2.0, 1, 4, 3, 5])
    assert spearman(a, b) == pytest.approx(1 - 6 * 4 / (5 * 24))
    assert spearman(a, a**3) == pytest.approx(1)
    assert spearman(a, -a) == pytest.approx(-1)
    # ties: ranks 1.5, 1.5, 3 against 1, 2, 3
    assert spearman(np.array([5.0, 5, 9]), np.array([1.0, 2, 3])) == pytest.approx(math.sqrt(0.75))


@pytest.mark.parametrize("constant", [np.zeros(4), np.full(4, 3.0)])
def test_spearman_of_what_ranks_nothing_is_not_a_number(constant):
    assert math.isnan(spearman(constant, np.arange(4.0)))
    assert math.isnan(spearman(np.arange(4.0), constant))
    assert math.isnan(spearman(np.array([1.0]), np.array([2.0])))


# --- agreement ------------------------------------------------------------------------------------


def test_agreement_by_hand():
    found = agreement(scored([1.0, 2.0, 4.0]), scored([1.0, 5.0, 3.0]))
    assert found.spearman == pytest.approx(0.5)
    assert found.top1 is False
    assert found.squared_error == pytest.approx((0 + 9 + 1) / 3)
    assert agreement(scored([1.0, 6.0, 4.0]), scored([1.0, 5.0, 3.0])).top1 is True


def test_targets_are_matched_by_name():
    two = scored([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    turned = scored([3.0, 2.0, 1.0], [1.0, 2.0, 3.0], targets=("b", "a"))
    for target in ("a", "b", 0, 1):
        assert agreement(turned, two, target=target).squared_error == 0
    with pytest.raises(GameError, match="no target 'b' here; explained: a"):
        agreement(scored([1.0, 2.0, 3.0]), two, target="b")


def test_other_parts_are_refused():
    with pytest.raises(GameError, match=r"2 strokes cannot be .* with 3 strokes; use why\.on"):
        agreement(scored([1.0, 2.0]), scored([1.0, 2.0, 3.0]))
    sketch = scribble(1, 1, longest=2)
    dots = scored([1.0, 2.0], parts=Points(sketch))
    with pytest.raises(GameError, match="2 points cannot be compared with 2 strokes"):
        agreement(dots, scored([1.0, 2.0]))
