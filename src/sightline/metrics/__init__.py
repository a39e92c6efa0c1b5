"""Metrics: a game and an explanation in, a number with its interval out."""

from sightline.metrics.agreement import Agreement, agreement, spearman
from sightline.metrics.concordance import kendall_w
from sightline.metrics.flipping import Curve, deletion, insertion
from sightline.metrics.intervals import (
    Comparison,
    Interval,
    bootstrap_mean,
    bootstrap_median,
    paired,
    wilson,
)

__all__ = [
    "Agreement",
    "Comparison",
    "Curve",
    "Interval",
    "agreement",
    "bootstrap_mean",
    "bootstrap_median",
    "deletion",
    "insertion",
    "kendall_w",
    "paired",
    "spearman",
    "wilson",
]
