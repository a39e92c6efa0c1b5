"""Metrics: a game and an explanation in, a number with its interval out."""

from sightline.metrics.agreement import Agreement, agreement, spearman
from sightline.metrics.clustered import clustered_mean, clustered_paired
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
from sightline.metrics.localisation import Localisation, localise
from sightline.metrics.photo_flipping import photo_flipping, random_flipping
from sightline.metrics.pixel_flipping import FlipCurve
from sightline.metrics.sanity import Cascade, randomised_cascade

__all__ = [
    "Agreement",
    "Cascade",
    "Comparison",
    "Curve",
    "FlipCurve",
    "Interval",
    "Localisation",
    "agreement",
    "bootstrap_mean",
    "bootstrap_median",
    "clustered_mean",
    "clustered_paired",
    "deletion",
    "insertion",
    "kendall_w",
    "localise",
    "paired",
    "photo_flipping",
    "random_flipping",
    "randomised_cascade",
    "spearman",
    "wilson",
]
