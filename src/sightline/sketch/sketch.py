"""The drawing itself: ragged strokes on a canvas, frozen and validated once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from sightline.errors import DrawingError

OnShort = Literal["raise", "drop"]
"""What to do with a stroke of fewer than two points: stop, or leave it out."""

LARGEST_COORDINATE = 1e6
"""Canvas units. Anything beyond is a broken file, not a drawing."""

NORMAL_SIDE = 1.48
"""Longest side of a normalised drawing: it spans [-0.74, 0.74] (SketchXAINet's convention)."""

SMALLEST_DIAGONAL_SQUARED = 1e-8


@dataclass(frozen=True, eq=False)
class Sketch:
    """A drawing: strokes in the order they were drawn, each an array of points.

    Convention:
        Canvas units, x to the right, y *down*, origin wherever the source put it. Strokes are
        float64 arrays of shape ``[points, 2]`` and cannot be written to.

    Args:
        strokes: one ``[points, 2]`` array a stroke, at least two points each.
        times: milliseconds since the first point, one array ``[points]`` a stroke.
        label: the category the drawing is said to show.
        name: where it came from (a key id, a file name): used in messages and seeds.
        parts: one name a stroke, the part of the object it draws.

    Raises:
        DrawingError: no strokes; a stroke of one point; NaN; a coordinate beyond 1e6; lists of
            unequal length.

    Example:
        >>> walls, roof = [(0, 4), (0, 8), (6, 8), (6, 4)], [(0, 4), (3, 0), (6, 4)]
        >>> house = Sketch.from_strokes([walls, roof])
        >>> house
        Sketch(2 strokes, 7 points, 6 x 8)
    """

    strokes: tuple[NDArray[np.float64], ...]
    times: tuple[NDArray[np.float64], ...] | None = None
    label: str | None = None
    name: str | None = None
    parts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        strokes = tuple(_frozen_points(s, i, self._where) for i, s in enumerate(self.strokes))
        if not strokes:
            raise DrawingError(f"{self._where} is empty: a drawing needs at least 1 stroke")
        object.__setattr__(self, "strokes", strokes)
        if self.times is not None:
            object.__setattr__(self, "times", _frozen_times(self.times, strokes, self._where))
        if self.parts is not None and len(self.parts) != len(strokes):
            raise DrawingError(
                f"{self._where} has {len(strokes)} strokes but {len(self.parts)} part names; "
                "give one name a stroke"
            )

    @classmethod
    def from_strokes(
        cls, strokes: Iterable[ArrayLike], *, on_short: OnShort = "raise", **fields: Any
    ) -> Sketch:
        """Make a drawing of anything that numpy reads as ``[points, 2]`` arrays.

        With ``on_short="drop"`` strokes of fewer than two points are left out, and their times
        and part names with them.
        """
        where = fields.get("name") or "the drawing"
        kept = _arrays(strokes, where)
        if fields.get("times") is not None:
            fields["times"] = _arrays(fields["times"], f"the times of {where}")
        if on_short == "drop":
            long = [i for i, stroke in enumerate(kept) if stroke.ndim == 0 or len(stroke) >= 2]
            for key in ("times", "parts"):
                column = fields.get(key)
                if column is not None and len(column) == len(kept):
                    fields[key] = tuple(column[i] for i in long)
            kept = tuple(kept[i] for i in long)
        return cls(kept, **fields)

    @property
    def _where(self) -> str:
        return self.name or "the drawing"

    def __len__(self) -> int:
        """Number of strokes."""
        return len(self.strokes)

    def __repr__(self) -> str:
        width, height = self.size
        label = f"{self.label}: " if self.label else ""
        counts = f"{len(self)} strokes, {len(self.points)} points"
        return f"Sketch({label}{counts}, {width:g} x {height:g})"

    @property
    def points(self) -> Float[np.ndarray, "points 2"]:
        """All points of all strokes, in drawing order."""
        return np.concatenate(self.strokes)

    @property
    def box(self) -> Float[np.ndarray, " 4"]:
        """The bounding box, xyxy in canvas units."""
        points = self.points
        return np.concatenate([points.min(0), points.max(0)])

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the bounding box in canvas units."""
        x0, y0, x1, y1 = self.box
        return float(x1 - x0), float(y1 - y0)

    def select(self, strokes: Sequence[int]) -> Sketch:
        """The drawing with only these strokes, in the given order, where they were drawn."""
        return replace(
            self,
            strokes=tuple(self.strokes[i] for i in strokes),
            times=None if self.times is None else tuple(self.times[i] for i in strokes),
            parts=None if self.parts is None else tuple(self.parts[i] for i in strokes),
        )

    def with_points(self, strokes: Iterable[ArrayLike]) -> Sketch:
        """The same drawing with other points; times are dropped, since they belong to points."""
        return replace(self, strokes=_arrays(strokes, self._where), times=None)

    def transform(
        self, scale: float = 1.0, shift: Sequence[float] | NDArray[np.float64] = (0.0, 0.0)
    ) -> Sketch:
        """Scale about the origin, then shift. Times stay."""
        moved = tuple(stroke * scale + np.asarray(shift, float) for stroke in self.strokes)
        return replace(self, strokes=moved)

    @property
    def has_size(self) -> bool:
        """Whether it can be normalised: its points are not all in one place."""
        lo, hi = self.box[:2], self.box[2:]
        return bool(((hi - lo) ** 2).sum() >= SMALLEST_DIAGONAL_SQUARED)

    def normalise(self) -> Sketch:
        """Centre the drawing, its longest side spanning [-0.74, 0.74] (SketchXAINet's frame).

        Raises:
            DrawingError: every point is the same (squared diagonal of the box below 1e-8).

        Source:
            Qu et al., SketchXAI, CVPR 2023, and its program.
        """
        lo, hi = self.box[:2], self.box[2:]
        if not self.has_size:
            raise DrawingError(
                f"{self._where} has no size: all its points are in one place; leave it out"
            )
        scale = NORMAL_SIDE / (hi - lo).max()
        return self.transform(scale, -scale * (lo + hi) / 2)


def _arrays(rows: Iterable[ArrayLike], where: str) -> tuple[NDArray[np.float64], ...]:
    """Each row as a float array of its own, whatever its shape."""
    arrays = []
    for index, row in enumerate(rows):
        try:
            arrays.append(np.array(row, dtype=np.float64))
        except (TypeError, ValueError, OverflowError):
            raise DrawingError(
                f"stroke {index} of {where} is not a list of points: expected numbers [points, 2]"
            ) from None
    return tuple(arrays)


def _frozen_points(stroke: NDArray[np.float64], index: int, where: str) -> NDArray[np.float64]:
    points = np.array(stroke, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise DrawingError(
            f"stroke {index} of {where} has shape {list(points.shape)}; expected [points, 2]"
        )
    if len(points) < 2:
        raise DrawingError(
            f"a stroke needs at least 2 points; stroke {index} of {where} has {len(points)}; "
            "drop it with on_short='drop'"
        )
    if not np.isfinite(points).all():
        bad = int(np.flatnonzero(~np.isfinite(points).all(1))[0])
        raise DrawingError(
            f"point {bad} of stroke {index} of {where} is {points[bad].tolist()}; "
            "coordinates must be finite numbers"
        )
    if np.abs(points).max() > LARGEST_COORDINATE:
        bad = int(np.abs(points).max(1).argmax())
        raise DrawingError(
            f"point {bad} of stroke {index} of {where} is at {points[bad].tolist()}; coordinates "
            f"beyond {LARGEST_COORDINATE:.0e} are refused: rescale the drawing or mend the file"
        )
    points.flags.writeable = False
    return points


def _frozen_times(
    times: tuple[NDArray[np.float64], ...], strokes: tuple[NDArray[np.float64], ...], where: str
) -> tuple[NDArray[np.float64], ...]:
    frozen = tuple(np.array(t, dtype=np.float64) for t in times)
    if len(frozen) != len(strokes):
        raise DrawingError(f"{where} has {len(strokes)} strokes but {len(frozen)} lists of times")
    for index, (time, stroke) in enumerate(zip(frozen, strokes, strict=True)):
        if time.shape != (len(stroke),):
            raise DrawingError(
                f"stroke {index} of {where} has {len(stroke)} points but {time.size} times"
            )
        if not np.isfinite(time).all():
            raise DrawingError(f"a time in stroke {index} of {where} is no finite number")
        time.flags.writeable = False
    return frozen
