"""Strokes and stretches that a drawing is better without."""

from __future__ import annotations

from sightline.tasks.healing.heal import heal
from sightline.tasks.healing.pieces import Piece
from sightline.tasks.healing.record import Healing, Step
from sightline.tasks.healing.suggestions import Suggestion, suggest

__all__ = ["Healing", "Piece", "Step", "Suggestion", "heal", "suggest"]
