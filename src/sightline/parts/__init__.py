"""Parts: the units that an explanation scores, and how a model sees some of them gone."""

from __future__ import annotations

from sightline.errors import GameError
from sightline.parts.bound import LARGEST_BATCH, Bound, Noise
from sightline.parts.grid import GridCells
from sightline.parts.photo import Absent, BoundPhoto, Superpixels
from sightline.parts.points import BoundPoints, Points
from sightline.parts.strokes import Strokes
from sightline.sketch.sketch import Sketch

Parts = Strokes | Points | GridCells | Superpixels


def drawing(parts: Parts) -> Sketch:
    """The drawing that parts are of.

    Raises:
        GameError: they are of a photo.
    """
    if isinstance(parts.subject, Sketch):
        return parts.subject
    raise GameError(f"these {parts.kind} are of a photo, and a drawing was asked for")


__all__ = [
    "LARGEST_BATCH",
    "Absent",
    "Bound",
    "BoundPhoto",
    "BoundPoints",
    "GridCells",
    "Noise",
    "Parts",
    "Points",
    "Strokes",
    "Superpixels",
    "drawing",
]
