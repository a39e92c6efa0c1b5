"""Parts: the units that an explanation scores, and how a model sees some of them gone."""

from __future__ import annotations

from sightline.parts.bound import Bound, Noise
from sightline.parts.grid import GridCells
from sightline.parts.points import BoundPoints, Points
from sightline.parts.strokes import Strokes

Parts = Strokes | Points | GridCells

__all__ = ["Bound", "BoundPoints", "GridCells", "Noise", "Parts", "Points", "Strokes"]
