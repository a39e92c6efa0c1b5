"""Metrics: a game and an explanation in, a number with its interval out."""

from sightline.metrics.agreement import Agreement, agreement, spearman
from sightline.metrics.flipping import Curve, deletion, insertion
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired, wilson

__all__ = [
    "Agreement",
    "Comparison",
    "Curve",
    "Interval",
    "agreement",
    "bootstrap_mean",
    "deletion",
    "insertion",
    "paired",
    "spearman",
    "wilson",
]
