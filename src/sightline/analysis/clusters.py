"""K-means: centres of many points, from seeds that are spread out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sightline.errors import SightlineError

ROWS = 4096
"""Points whose distances are held in memory at once."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centres, and the one that each point belongs to.

    Args:
        centres: the mean of each cluster's points.
        assigned: the nearest centre of each point.
        distance: squared distance of each point to it.
        total: sum of squared distances to the mean of all points.
        history: the inertia (sum of squared distances) after each round; it never rises.
    """

    centres: Float[np.ndarray, "clusters width"]
    assigned: Int[np.ndarray, " points"]
    distance: Float[np.ndarray, " points"]
    total: float
    history: tuple[float, ...]

    @property
    def inertia(self) -> float:
        """Sum of squared distances to the nearest centre."""
        return float(self.distance.sum())

    @property
    def explained(self) -> float:
        """Share of the total inertia that the centres take away: 0 for one centre, 1 at most."""
        return 1 - self.inertia / self.total if self.total > 0 else 1.0

    @property
    def sizes(self) -> Int[np.ndarray, " clusters"]:
        """Points in each cluster."""
        return np.bincount(self.assigned, minlength=len(self.centres))


def kmeans(
    points: Float[np.ndarray, "points width"],
    count: int,
    *,
    seed: int = 0,
    restarts: int = 2,
    rounds: int = 100,
) -> Clusters:
    """Cluster points around ``count`` centres; the best of some restarts.

    Each restart begins with k-means++ and goes on by Lloyd's rounds until no point changes its
    centre. A centre that loses all its points moves to the point that is farthest from its own.

    Args:
        points: to cluster.
        count: number of clusters.
        seed: of the first centres.
        restarts: how often to begin anew; the smallest inertia is kept.
        rounds: at most so many a restart.

    Raises:
        SightlineError: fewer distinct points than clusters, or points that are not finite.

    Example:
        >>> found = kmeans(np.array([[0.0], [1.0], [10.0], [11.0]]), 2)
        >>> sorted(found.centres[:, 0].tolist()), found.inertia
        ([0.5, 10.5], 1.0)

    Source:
        Lloyd, 1982; Arthur and Vassilvitskii, 2007 (k-means++).
    """
    given = np.asarray(points, dtype=np.float64)
    _check(given, count, restarts, rounds)
    luck = np.random.default_rng(seed)
    runs = [_lloyd(given, _spread(given, count, luck), rounds) for _ in range(restarts)]
    return min(runs, key=lambda run: run.inertia)


def nearest(
    points: Float[np.ndarray, "points width"], centres: Float[np.ndarray, "clusters width"]
) -> tuple[Int[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """The nearest centre of each point (the first of equals), and its squared distance.

    Example:
        >>> nearest(np.array([[0.0], [9.0]]), np.array([[8.0], [1.0]]))
        (array([1, 0]), array([1., 1.]))
    """
    found = []
    squares = (centres**2).sum(1)
    for start in range(0, len(points), ROWS):
        rows = points[start : start + ROWS]
        found.append((squares - 2 * rows @ centres.T).argmin(1))
    assigned = np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
    # the short formula above loses digits where a point is near: the distance is taken in full
    return assigned, ((points - centres[assigned]) ** 2).sum(1)


def _check(points: np.ndarray, count: int, restarts: int, rounds: int) -> None:
    if min(count, restarts, rounds) < 1:
        raise SightlineError(
            f"{count} clusters, {restarts} restarts, {rounds} rounds: each must be at least 1"
        )
    if not np.isfinite(points).all():
        raise SightlineError("points that are not finite cannot be clustered")
    if not len(points):
        raise SightlineError("no points: there is nothing to cluster")


def _spread(
    points: np.ndarray, count: int, luck: np.random.Generator
) -> Float[np.ndarray, "clusters width"]:
    """K-means++: each next centre is a point drawn by its squared distance to those there are."""
    chosen = [int(luck.integers(len(points)))]
    away = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < count:
        if not away.any():
            raise SightlineError(
                f"{len(chosen)} different points make no {count} clusters; "
                "ask for fewer, or give more"
            )
        chosen.append(int(luck.choice(len(points), p=away / away.sum())))
        away = np.minimum(away, ((points - points[chosen[-1]]) ** 2).sum(1))
    return points[chosen]


def _lloyd(points: np.ndarray, centres: np.ndarray, rounds: int) -> Clusters:
    assigned, distance = nearest(points, centres)
    history = [float(distance.sum())]
    for _ in range(rounds):
        centres = _means(points, assigned, distance, len(centres))
        now, distance = nearest(points, centres)
        history.append(float(distance.sum()))
        if (now == assigned).all():
            break
        assigned = now
    total = float(((points - points.mean(0)) ** 2).sum())
    return Clusters(centres, now, distance, total, tuple(history))


def _means(
    points: np.ndarray, assigned: np.ndarray, distance: np.ndarray, count: int
) -> Float[np.ndarray, "clusters width"]:
    assigned = _filled(assigned, distance, count)
    together = np.argsort(assigned, kind="stable")
    present, starts = np.unique(assigned[together], return_index=True)
    means = np.zeros((count, points.shape[1]))
    means[present] = np.add.reduceat(points[together], starts)
    return means / np.maximum(np.bincount(assigned, minlength=count), 1)[:, None]


def _filled(assigned: np.ndarray, distance: np.ndarray, count: int) -> np.ndarray:
    """The assignment with a point in each empty cluster: the farthest ones that leave company."""
    sizes = np.bincount(assigned, minlength=count)
    empty = [int(i) for i in np.flatnonzero(sizes == 0)]
    assigned = assigned.copy()
    for point in np.argsort(-distance) if empty else ():
        if not empty:
            break
        if sizes[assigned[point]] > 1:
            sizes[assigned[point]] -= 1
            assigned[point] = empty.pop()
    return assigned
