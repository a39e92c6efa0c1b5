"""Targets: the scalars that a game asks about."""

from sightline.targets.asked import asked_targets, default_target, together
from sightline.targets.boxes import (
    BoxEdge,
    BoxRival,
    BoxScores,
    BoxSimilarity,
    MissedBox,
    boxes_in,
    scores_of,
)
from sightline.targets.classes import ClassScore
from sightline.targets.region import Region
from sightline.targets.target import SCALES, BoundTargets, Scale, Target
from sightline.targets.vectors import Rank, RankMargin, Similarity, TripletMargin

__all__ = [
    "SCALES",
    "BoundTargets",
    "BoxEdge",
    "BoxRival",
    "BoxScores",
    "BoxSimilarity",
    "ClassScore",
    "MissedBox",
    "Rank",
    "RankMargin",
    "Region",
    "Scale",
    "Similarity",
    "Target",
    "TripletMargin",
    "asked_targets",
    "boxes_in",
    "default_target",
    "scores_of",
    "together",
]
