"""A drawing as a model reads it, and the way back to the canvas that it was drawn on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sightline.errors import DrawingError, TaskError
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model makes of a drawing before it looks: fewer points, in its own frame.

    Args:
        source: as drawn.
        read: as `prepare` has it: normalised, maybe simplified.
        scale, shift: ``source = read * scale + shift``, in the source's canvas units.
    """

    source: Sketch
    read: Sketch
    scale: float
    shift: tuple[float, float]

    @classmethod
    def of(cls, model: SketchModel, sketch: Sketch) -> Reading:
        """Read a drawing as the model does.

        The way back is the best uniform scale and shift between what both have in common: the
        ends of strokes and the box. Where points are only left out it is exact; rounding to a
        grid is averaged.
        """
        read = model.prepare(sketch)
        if len(read) != len(sketch):
            raise TaskError(
                f"{type(model).__name__} makes {len(read)} strokes of the {len(sketch)} of "
                f"{sketch.name or 'the drawing'}; an attack needs a model that keeps strokes"
            )
        near, far = _landmarks(read), _landmarks(sketch)
        middle, centre = near.mean(0), far.mean(0)
        spread = near - middle
        scale = float((spread * (far - centre)).sum() / (spread**2).sum())
        x, y = centre - scale * middle
        return cls(sketch, read, scale, (float(x), float(y)))

    def as_drawn(self, sketch: Sketch) -> Sketch:
        """A drawing of the model's frame on the source's canvas; label and name are the source's.

        A stroke more or less than the source has takes the names of parts away.
        """
        placed = sketch.transform(self.scale, self.shift)
        same = len(placed) == len(self.source)
        return Sketch(
            placed.strokes,
            label=self.source.label,
            name=self.source.name,
            parts=self.source.parts if same else None,
        )


def _landmarks(sketch: Sketch) -> Float[np.ndarray, "landmarks 2"]:
    ends = [stroke[[0, -1]] for stroke in sketch.strokes]
    return np.concatenate([*ends, sketch.box.reshape(2, 2)])


def read_again(
    model: SketchModel, sketches: Sequence[Sketch]
) -> list[Float[Tensor, " labels"] | None]:
    """The logits of drawings that the model reads from the start, as after saving.

    None for a drawing that it cannot read: one without size.
    """
    read: list[Sketch | None] = []
    for sketch in sketches:
        try:
            read.append(model.prepare(sketch))
        except DrawingError:
            read.append(None)
    there = [sketch for sketch in read if sketch is not None]
    rows = iter(model(batch_for(model, there)) if there else ())
    return [None if sketch is None else next(rows) for sketch in read]
