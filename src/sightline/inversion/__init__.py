"""Stroke location inversion: walks of strokes towards a label, and what they show."""

from __future__ import annotations

from sightline.inversion.descent import Descent
from sightline.inversion.invert import invert, recover, transfer
from sightline.inversion.scores import InversionScores, inversion_scores, score_inversion
from sightline.inversion.trajectory import Trajectory

__all__ = [
    "Descent",
    "InversionScores",
    "Trajectory",
    "inversion_scores",
    "invert",
    "recover",
    "score_inversion",
    "transfer",
]
