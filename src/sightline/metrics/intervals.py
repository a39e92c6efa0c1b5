"""Intervals and paired tests: every number of sightline comes with how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.errors import SightlineError

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval.

    Example:
        >>> print(wilson(19, 20))
        0.9500 [0.7639, 0.9911]
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}]"


def wilson(hits: int, trials: int) -> Interval:
    """A share and its Wilson score interval at 95 %.

    Raises:
        SightlineError: no trials, or more hits than trials.

    Source:
        Wilson, 1927.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise SightlineError(f"{hits} hits of {trials} trials is no share")
    p, z2 = hits / trials, Z95**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    # at 0 and at all hits an end is the share itself, but for rounding
    return Interval(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def bootstrap_mean(values: ArrayLike, *, seed: int = 0, draws: int = 2000) -> Interval:
    """The mean and its percentile bootstrap interval at 95 %, items resampled.

    Raises:
        SightlineError: no values, or some that are not finite.
    """
    given = _finite(values)
    means = _resampled_means(given, seed, draws)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(given.mean()), float(low), float(high))


def bootstrap_median(values: ArrayLike, *, seed: int = 0, draws: int = 2000) -> Interval:
    """The median and its percentile bootstrap interval at 95 %; infinity means "not reached".

    Raises:
        SightlineError: no values, or NaN.
    """
    given = np.asarray(values, dtype=np.float64).ravel()
    if not len(given) or np.isnan(given).any():
        raise SightlineError(f"{len(given)} values, some NaN: no median")
    # the lower median, so that half a drawing is never counted, nor inf - inf taken
    ranked, middle = np.sort(given), (len(given) - 1) // 2
    generator = np.random.default_rng(seed)
    index = np.sort(generator.integers(len(ranked), size=(draws, len(ranked))), 1)[:, middle]
    low, high = np.percentile(index, [2.5, 97.5], method="inverted_cdf")
    return Interval(float(ranked[middle]), float(ranked[int(low)]), float(ranked[int(high)]))


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same items: mean difference, its interval, and a two-sided p value."""

    difference: Interval
    p_value: float

    @property
    def distinguishable(self) -> bool:
        """Whether the difference is significant at 5 %."""
        return self.p_value < 0.05


def paired(a: ArrayLike, b: ArrayLike, *, seed: int = 0, draws: int = 2000) -> Comparison:
    """Compare two methods item by item: bootstrap interval of a - b, sign-flip permutation test.

    Raises:
        SightlineError: unequal lengths.
    """
    first, second = _finite(a), _finite(b)
    if len(first) != len(second):
        raise SightlineError(
            f"cannot pair {len(first)} with {len(second)} items; give the same items to both"
        )
    gain = first - second
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, len(gain)))
    as_extreme = np.abs(signs @ gain) >= abs(gain.sum()) - 1e-12 * np.abs(gain).sum()
    p = (1 + int(as_extreme.sum())) / (1 + draws)
    return Comparison(bootstrap_mean(gain, seed=seed, draws=draws), p)


def _resampled_means(values: np.ndarray, seed: int, draws: int) -> Float[np.ndarray, " draws"]:
    generator = np.random.default_rng(seed)
    # a resample of n items is a multinomial count of each
    counts = generator.multinomial(len(values), np.full(len(values), 1 / len(values)), size=draws)
    return counts @ values / len(values)


def _finite(values: ArrayLike) -> Float[np.ndarray, " items"]:
    given = np.asarray(values, dtype=np.float64).ravel()
    if not len(given):
        raise SightlineError("no values: an interval needs at least one")
    if not np.isfinite(given).all():
        raise SightlineError(f"{int((~np.isfinite(given)).sum())} values are not finite")
    return given
