import itertools

import numpy as np
import pytest

from oracles.kmeans import assign, inertia, means
from sightline.analysis.clusters import _lloyd, _spread, kmeans, nearest
from sightline.errors import SightlineError


def heaps(seed=0, each=30, centres=((0, 0, 0), (9, 0, 0), (0, 9, 0), (9, 9, 9))):
    luck = np.random.default_rng(seed)
    return np.concatenate([luck.normal(c, 1, (each, 3)) for c in centres])


def test_four_points_make_two_pairs():
    found = kmeans(np.array([[0.0, 0], [0, 2], [8, 0], [8, 2]]), 2)
    assert sorted(found.centres.tolist()) == [[0, 1], [8, 1]]
    assert found.inertia == 4
    assert found.total == 4 + 4 * 16
    assert found.explained == pytest.approx(1 - 4 / 68)
    assert found.sizes.tolist() == [2, 2]


def test_one_cluster_is_the_mean_and_explains_nothing():
    points = heaps()
    found = kmeans(points, 1)
    assert found.centres[0] == pytest.approx(points.mean(0))
    assert found.explained == pytest.approx(0, abs=1e-12)


def test_as_many_clusters_as_points_explain_all():
    assert kmeans(np.arange(5.0)[:, None], 5).inertia == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_round_is_lloyds(seed):
    points = heaps(seed)
    start = _spread(points, 5, np.random.default_rng(seed))
    plain = [list(c) for c in start]
    for rounds in range(1, 4):
        plain = means(points.tolist(), assign(points.tolist(), plain), 5)
        found = _lloyd(points, start, rounds)
        if len(found.history) <= rounds:
            break  # settled before
        assert found.centres == pytest.approx(np.array(plain), abs=1e-9)
        assert found.assigned.tolist() == assign(points.tolist(), plain)
        assert found.inertia == pytest.approx(inertia(points.tolist(), plain))


@pytest.mark.parametrize("seed", range(5))
def test_inertia_never_rises_and_the_end_is_a_fixed_point(seed):
    points = np.random.default_rng(seed).normal(size=(400, 6))
    found = kmeans(points, 12, seed=seed)
    assert all(b <= a * (1 + 1e-12) for a, b in itertools.pairwise(found.history))
    assert len(found.history) > 3
    assert found.history[-1] == found.inertia
    assert found.assigned.tolist() == assign(points.tolist(), found.centres.tolist())
    assert found.centres == pytest.approx(
        np.array(means(points.tolist(), found.assigned.tolist(), 12)), abs=1e-9
    )


def test_far_heaps_are_found_from_any_seed():
    truth = np.repeat(np.arange(4), 30)
    for seed in range(5):
        found = kmeans(heaps(), 4, seed=seed, restarts=3)
        pairs = set(zip(truth.tolist(), found.assigned.tolist(), strict=True))
        assert len(pairs) == 4


def test_centres_spread_out_better_than_chance():
    """Drawn evenly, three lone points among a hundred would be missed nearly always."""
    luck = np.random.default_rng(0)
    points = np.concatenate([luck.normal(0, 0.1, (97, 1)), [[50.0], [100.0], [150.0]]])
    for seed in range(10):
        chosen = _spread(points, 4, np.random.default_rng(seed))
        assert sorted(chosen[:, 0].round(-1).tolist()) == [0, 50, 100, 150]


def test_the_same_seed_gives_the_same_clusters():
    points = np.random.default_rng(1).normal(size=(300, 4))
    first, second, other = (kmeans(points, 20, seed=s, restarts=1) for s in (7, 7, 8))
    assert np.array_equal(first.centres, second.centres)
    assert not np.array_equal(first.centres, other.centres)


def test_restarts_never_make_it_worse():
    points = np.random.default_rng(2).normal(size=(300, 4))
    inertias = [kmeans(points, 20, restarts=n).inertia for n in (1, 2, 6)]
    assert inertias == sorted(inertias, reverse=True)
    assert inertias[2] < inertias[0]


def test_a_centre_that_loses_all_its_points_is_put_to_use():
    points = 1000 + np.array([[0.0], [1], [2], [10], [11]])
    found = _lloyd(points, 1000 + np.array([[1.0], [10.5], [500]]), 20)
    assert (found.sizes > 0).all()
    assert all(b <= a for a, b in itertools.pairwise(found.history))


def test_distances_of_near_points_far_from_the_origin_keep_their_digits():
    points = 1e8 + np.array([[0.0], [1.0], [3.0]])
    assert nearest(points, points[:1])[1].tolist() == [0, 1, 9]


def test_blocks_do_not_show(monkeypatch):
    points = heaps()
    whole = kmeans(points, 6)
    monkeypatch.setattr("sightline.analysis.clusters.ROWS", 7)
    assert np.array_equal(kmeans(points, 6).assigned, whole.assigned)


@pytest.mark.parametrize(
    ("points", "count", "words"),
    [
        (np.zeros((5, 2)), 2, "1 different points make no 2 clusters; ask for fewer"),
        (np.zeros((0, 2)), 1, "no points"),
        (np.array([[np.nan, 0.0]]), 1, "not finite"),
        (np.zeros((5, 2)), 0, "0 clusters, 2 restarts, 100 rounds: each must be at least 1"),
    ],
)
def test_what_cannot_be_clustered_is_said(points, count, words):
    with pytest.raises(SightlineError, match=words):
        kmeans(points, count)
