import json
import math

import numpy as np
import pytest

from sightline.errors import TaskError
from sightline.metrics.intervals import bootstrap_mean, bootstrap_median, wilson
from sightline.tasks.retrieval.scores import (
    RetrievalScores,
    accuracy_at,
    average_precision,
    first_place,
    mean_average_precision,
    mean_reciprocal_rank,
    median_of_groups,
    median_place,
    relevance_in_order,
    share_of_groups,
)


def order(marks: str) -> np.ndarray:
    """``"x-x"``: relevant, not, relevant."""
    return np.array([mark == "x" for mark in marks])


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marks", "precision", "place"),
    [
        ("x", 1, 1),
        ("-x", 1 / 2, 2),
        ("x-x", (1 + 2 / 3) / 2, 1),
        ("-x-x-x", (1 / 2 + 2 / 4 + 3 / 6) / 3, 2),
        ("xxx--", 1, 1),
        ("---xx", (1 / 4 + 2 / 5) / 2, 4),
    ],
)
def test_precision_and_place_by_hand(marks, precision, place):
    assert average_precision(order(marks)) == pytest.approx(precision, abs=1e-12)
    assert first_place(order(marks)) == place


def test_accuracy_by_hand():
    assert accuracy_at([1, 2, 2, 5], 1) == wilson(1, 4)
    assert accuracy_at([1, 2, 2, 5], 2) == wilson(3, 4)
    assert accuracy_at(np.array([1, 2, 2, 5]), 5) == wilson(4, 4)


def test_places_by_hand():
    places = [1, 2, 4, 4]
    assert mean_reciprocal_rank(places).estimate == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 4) / 4)
    assert median_place(places).estimate == 2, "the lower one"
    assert mean_reciprocal_rank(places, seed=3) == bootstrap_mean([1, 0.5, 0.25, 0.25], seed=3)
    assert median_place(places, seed=3) == bootstrap_median(places, seed=3)


def test_ties_are_counted_against_the_query():
    scores = np.array([0.5, 0.9, 0.5, 0.1])
    assert relevance_in_order(scores, order("x---")).tolist() == [False, False, True, False]
    assert relevance_in_order(scores, order("--x-")).tolist() == [False, False, True, False]
    assert relevance_in_order(scores, order("x-x-")).tolist() == [False, True, True, False]
    assert first_place(relevance_in_order(np.ones(5), order("x----"))) == 5


# --- oracles --------------------------------------------------------------------------------------


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    luck = np.random.default_rng(seed)
    relevant = luck.random(40) < 0.2
    relevant[luck.integers(40)] = True
    return luck.integers(0, 9, 40) / 8, relevant


def precision_in_loops(scores, relevant) -> float:
    """Items taken one by one from the best score down, of equal ones the relevant last."""
    left, taken, precisions = list(zip(scores, relevant, strict=True)), [], []
    while left:
        best = max(score for score, _ in left)
        equal = [pair for pair in left if pair[0] == best]
        wrong = [pair for pair in equal if not pair[1]]
        taken.append((wrong or equal)[0])
        left.remove(taken[-1])
        if taken[-1][1]:
            precisions.append(sum(hit for _, hit in taken) / len(taken))
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_as_plain_loops(seed):
    scores, relevant = drawn(seed)
    ours = average_precision(relevance_in_order(scores, relevant))
    assert ours == pytest.approx(precision_in_loops(scores, relevant), abs=1e-12)


# --- laws -----------------------------------------------------------------------------------------


def test_of_one_relevant_item_precision_is_the_reciprocal_place():
    for place in range(1, 9):
        marks = order("-" * (place - 1) + "x" + "--")
        assert average_precision(marks) == pytest.approx(1 / first_place(marks))


def test_order_of_items_means_nothing():
    scores, relevant = drawn(1)
    turned = np.random.default_rng(2).permutation(len(scores))
    one, other = (
        relevance_in_order(scores, relevant),
        relevance_in_order(scores[turned], relevant[turned]),
    )
    assert one.tolist() == other.tolist()


def test_all_scores_at_once():
    relevance = [order("x--"), order("-xx"), order("--x")]
    scores = RetrievalScores.of(relevance, at=(1, 2), by="label", gallery=3, unmatched=1, seed=4)
    assert scores.queries == 3
    assert scores.accuracy == {1: wilson(1, 3), 2: wilson(2, 3)}
    assert scores.mean_average_precision == mean_average_precision(relevance, seed=4)
    assert scores.mean_reciprocal_rank == mean_reciprocal_rank([1, 2, 3], seed=4)
    assert scores.median_place.estimate == 2
    told = json.loads(json.dumps(scores.as_dict()))
    assert told["accuracy"]["2"]["estimate"] == pytest.approx(2 / 3)
    assert told["by"] == "label"
    assert told["mean_average_precision"]["low"] == scores.mean_average_precision.low
    assert "accuracy at 2           0.6667" in str(scores)
    assert "1 left out" in str(scores)


def test_the_same_queries_given_again_are_no_more_evidence():
    """Twelve objects, twenty drawings of each that answer alike: twelve independent answers."""
    places = np.array([1] * 9 + [2, 3, 5])
    luck = np.random.default_rng(3)
    order_of = luck.permutation(240)
    groups = np.tile(np.arange(12), 20)[order_of].tolist()
    relevance = [order("-" * (place - 1) + "x" + "-" * 9) for place in np.tile(places, 20)]
    told = {"by": "instance", "gallery": 14, "unmatched": 0}
    shown = [relevance[i] for i in order_of]
    again = RetrievalScores.of(shown, groups=groups, **told)
    once = RetrievalScores.of(relevance[:12], groups=range(12), **told)
    assert (again.queries, again.instances, once.instances) == (240, 12, 12)
    assert once.accuracy[1] == wilson(9, 12)
    assert again.accuracy[1] == wilson(9, 12)
    assert again.accuracy[5] == wilson(12, 12)
    assert again.median_place.estimate == once.median_place.estimate
    for name in ("mean_average_precision", "mean_reciprocal_rank"):
        one, other = getattr(once, name), getattr(again, name)
        # the objects come in another order, so that their resamples differ a little
        np.testing.assert_allclose(list(vars(one).values()), list(vars(other).values()), atol=0.02)
    assert "240 queries of 12 instances, 14 items" in str(again)
    assert str(once).startswith("12 queries, 14 items")


def test_independent_drawings_of_an_object_count_fully():
    luck = np.random.default_rng(5)
    hits = luck.random(3000) < 0.7
    found = share_of_groups(hits, [i % 1500 for i in range(3000)])
    plain = wilson(int(hits.sum()), 3000)
    assert found.estimate == plain.estimate
    assert found.high - found.low == pytest.approx(plain.high - plain.low, rel=0.05)


def test_the_median_of_groups_by_all_resamples():
    """Two objects, one of three places: four resamples, each as likely."""
    places, groups = np.array([1, 4, 6, 9]), ["a", "b", "b", "b"]
    found = median_of_groups(places, groups)
    # aa: 1; ab and ba: the second of four; bb: the middle of 4 4 6 6 9 9
    assert vars(found) == {"estimate": 4.0, "low": 1.0, "high": 6.0}


def test_one_object_says_nothing_of_others():
    relevance = [order("x--"), order("-x-")]
    told = {"by": "instance", "gallery": 3, "unmatched": 0}
    scores = RetrievalScores.of(relevance, groups=["lamp", "lamp"], **told)
    assert (scores.mean_average_precision.low, scores.mean_average_precision.high) == (0, 1)
    assert (scores.median_place.low, scores.median_place.high) == (1, 3)
    assert scores.accuracy[1].low == wilson(0, 1).low
    assert scores.accuracy[1].high == wilson(1, 1).high


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: accuracy_at([], 1), "counted from 1"),
        (lambda: accuracy_at([0, 1], 1), r"places \[0, 1\] of shape \[2\]; expected one a query"),
        (lambda: accuracy_at([1], 0), "k is 0; the first place is 1"),
        (lambda: mean_average_precision([]), "no queries"),
        (lambda: average_precision(order("--")), "none of 2 items is relevant"),
        (lambda: first_place(order("--")), "none of 2 items is relevant"),
        (lambda: RetrievalScores.of([], by="label", gallery=1, unmatched=0), "counted from 1"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(TaskError, match=words):
        call()


def test_intervals_are_no_wider_than_what_can_be():
    interval = accuracy_at([1] * 20, 1)
    assert interval.high == 1
    assert math.isclose(interval.low, wilson(20, 20).low)
