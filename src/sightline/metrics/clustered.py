"""Intervals and paired tests for boxes: the photo is the unit, since its boxes are no strangers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from sightline.errors import SightlineError
from sightline.metrics.intervals import Comparison, Interval

Clusters = Sequence[object] | np.ndarray


def clustered_mean(
    values: ArrayLike, clusters: Clusters, *, seed: int = 0, draws: int = 2000
) -> Interval:
    """The mean over boxes and its percentile bootstrap interval at 95 %, photos resampled.

    Boxes of one photo share its light, its clutter and its luck. Resampled one by one they pass for
    more evidence than they are, and the interval comes out too short.

    Args:
        values: one a box.
        clusters: the photo of each box: names or numbers.
        seed: of the resamples.
        draws: how many resamples.

    Returns:
        The plain mean of all values; every resample draws as many photos as there are, each with
        all its boxes. With one box a photo this is `bootstrap_mean`, to the last digit.

    Raises:
        SightlineError: no values, some that are not finite, other lengths, or fewer than 2 photos.

    Example:
        >>> clustered_mean([1.0, 1.0, 0.0, 0.0], ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]).estimate
        0.5

    Source:
        Davison and Hinkley, 1997, section 3.8 (clusters resampled whole).
    """
    given = _finite(values, "values")
    sums, sizes = _by_cluster(given, clusters)
    generator, count = np.random.default_rng(seed), len(sums)
    # a resample of n photos is a multinomial count of each
    counts = generator.multinomial(count, np.full(count, 1 / count), size=draws)
    low, high = np.percentile(counts @ sums / (counts @ sizes), [2.5, 97.5])
    return Interval(float(given.mean()), float(low), float(high))


def clustered_paired(
    a: ArrayLike, b: ArrayLike, clusters: Clusters, *, seed: int = 0, draws: int = 2000
) -> Comparison:
    """Compare two methods on the same boxes: photos resampled, and signs flipped by photo.

    Args:
        a: one value a box.
        b: of the same boxes.
        clusters: the photo of each box.
        seed: of the resamples and of the signs.
        draws: how many of each.

    Returns:
        The mean of a - b; the p value asks how often the sum is as far from 0 when each photo's
        differences, all together, may as well have had the other sign.

    Raises:
        SightlineError: unequal lengths, values that are not finite, or fewer than 2 photos.
    """
    first, second = _finite(a, "a"), _finite(b, "b")
    if len(first) != len(second):
        raise SightlineError(
            f"cannot pair {len(first)} with {len(second)} boxes; give the same boxes to both"
        )
    gain = first - second
    sums, _ = _by_cluster(gain, clusters)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, len(sums)))
    as_extreme = np.abs(signs @ sums) >= abs(sums.sum()) - 1e-12 * np.abs(sums).sum()
    p = (1 + int(as_extreme.sum())) / (1 + draws)
    return Comparison(clustered_mean(gain, clusters, seed=seed, draws=draws), p)


def _by_cluster(
    values: Float[np.ndarray, " boxes"], clusters: Clusters
) -> tuple[Float[np.ndarray, " photos"], Int[np.ndarray, " photos"]]:
    """Sum and number of each photo's values, photos as they first come."""
    if len(clusters) != len(values):
        raise SightlineError(
            f"{len(values)} values in {len(clusters)} places; name the photo of each box, no more"
        )
    place: dict[object, int] = {}
    of_box = np.array([place.setdefault(name, len(place)) for name in clusters], dtype=np.int64)
    if len(place) < 2:
        raise SightlineError(
            f"all {len(values)} boxes are of one photo; how photos differ needs at least 2"
        )
    return np.bincount(of_box, weights=values), np.bincount(of_box)


def _finite(values: ArrayLike, what: str) -> Float[np.ndarray, " boxes"]:
    given = np.asarray(values, dtype=np.float64).ravel()
    if not len(given):
        raise SightlineError(f"no {what}: an interval needs at least two photos")
    if not np.isfinite(given).all():
        raise SightlineError(
            f"{int((~np.isfinite(given)).sum())} of {len(given)} {what} are missing or not finite; "
            "leave these boxes out, in all methods alike, and print how many"
        )
    return given
