"""How much a drawing was changed: would a person still see the same one?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sightline.errors import TaskError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.raster import Rasteriser
from sightline.sketch.simplify import resample
from sightline.sketch.sketch import NORMAL_SIDE, Sketch

PAPER = Rasteriser(size=64, line_width=0.05)
SAMPLES = 128
"""Lines are measured at points that lie this share of the longest side apart."""


@dataclass(frozen=True)
class Change:
    """What an attack did to the ink and to the shape.

    Convention:
        Lengths are in the canvas units of the drawings; ``side`` is the longest side of the
        drawing before, so that any length over it is a share of the drawing.

    Args:
        side: longest side before.
        length_before, length_after: of all lines together.
        ink: share of the ink that is not common to both at 64 pixels: the sum of differences over
            the sum of the darker of both. 0 is the same picture, 1 has no pixel in common.
        mean_distance: from the lines of each to the nearest line of the other, the mean of both
            ways (Chamfer).
        largest_distance: the largest of those (Hausdorff).

    Raises:
        TaskError: a number that is negative or not finite.
    """

    side: float
    length_before: float
    length_after: float
    ink: float
    mean_distance: float
    largest_distance: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < np.inf:
                raise TaskError(f"{name} of a change is {value}; expected a number of 0 or more")

    @property
    def length_share(self) -> float:
        """How much longer (or, below 0, shorter) all lines together have become."""
        before = self.length_before
        return (self.length_after - before) / before if before else 0.0

    @property
    def mean_share(self) -> float:
        """The mean distance as a share of the longest side."""
        return self.mean_distance / self.side if self.side else 0.0

    @property
    def largest_share(self) -> float:
        """The largest distance as a share of the longest side."""
        return self.largest_distance / self.side if self.side else 0.0

    def as_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Change:
        """The change that `as_dict` told.

        Raises:
            TaskError: a number is missing or none.
        """
        try:
            return cls(**{field.name: float(told[field.name]) for field in fields(cls)})
        except (KeyError, TypeError, ValueError) as error:
            raise TaskError(f"no change of a drawing: {error!r}") from None

    def __str__(self) -> str:
        return (
            f"{self.ink:.1%} of the ink differs at 64 pixels, lines {self.length_share:+.1%} long, "
            f"{self.mean_share:.2%} of the side apart in the mean, {self.largest_share:.1%} at most"
        )


def change_between(before: Sketch, after: Sketch) -> Change:
    """Measure how far two drawings on one canvas are apart.

    Args:
        before: the drawing as it was.
        after: what became of it, in the same canvas units.

    Raises:
        DrawingError: the drawing before has no size.

    Example:
        >>> before = Sketch.from_strokes([[(0, 0), (10, 0)], [(0, 10), (10, 10)]])
        >>> after = Sketch.from_strokes([[(0, 0), (10, 0)], [(0, 9), (10, 9)]])
        >>> change = change_between(before, after)
        >>> change.mean_distance, change.largest_distance, change.length_share
        (0.5, 1.0, 0.0)
    """
    side = max(before.size)
    there, back = lines_apart(before, after, side), lines_apart(after, before, side)
    return Change(
        side=side,
        length_before=ink_length(before),
        length_after=ink_length(after),
        ink=_ink_change(before, after),
        mean_distance=float(there.mean() + back.mean()) / 2,
        largest_distance=float(max(there.max(), back.max())),
    )


def ink_length(sketch: Sketch) -> float:
    """Length of all lines together, in canvas units."""
    return float(stroke_lengths(sketch).sum())


def lines_apart(of: Sketch, to: Sketch, side: float) -> Float[np.ndarray, " samples"]:
    """Distances of points close together on the lines of one drawing to the lines of another."""
    spacing = (side or 1.0) / SAMPLES
    samples = np.concatenate([resample(stroke, spacing) for stroke in of.strokes])
    start = np.concatenate([stroke[:-1] for stroke in to.strokes])
    along = np.concatenate([np.diff(stroke, axis=0) for stroke in to.strokes])
    squared = (along**2).sum(1)
    parts = np.array_split(samples, max(len(samples) * len(start) // 2**20, 1))
    return np.concatenate([_nearest(part, start, along, squared) for part in parts])


def _nearest(
    samples: Float[np.ndarray, "samples 2"],
    start: Float[np.ndarray, "segments 2"],
    along: Float[np.ndarray, "segments 2"],
    squared: Float[np.ndarray, " segments"],
) -> Float[np.ndarray, " samples"]:
    """The distance of each point to the nearest of many segments."""
    offset = samples[:, None] - start  # [samples, segments, 2]
    part = (offset * along).sum(2) / np.where(squared > 0, squared, 1)
    gap = offset - part.clip(0, 1)[..., None] * along
    return np.sqrt((gap**2).sum(2).min(1))


def _ink_change(before: Sketch, after: Sketch) -> float:
    """Both on the paper on which the drawing before is normalised."""
    lo, hi = before.box[:2], before.box[2:]
    before.normalise()  # refuses a drawing without size, in words
    scale = NORMAL_SIDE / float((hi - lo).max())
    placed = [sketch.transform(scale, -scale * (lo + hi) / 2) for sketch in (before, after)]
    first, second = PAPER(SketchBatch.from_sketches(placed, dtype=torch.float64))
    darker = float(torch.maximum(first, second).sum())
    return float((first - second).abs().sum()) / darker if darker else 0.0
