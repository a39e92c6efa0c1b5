"""Points as parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.models.place import batch_for
from sightline.models.protocol import PictureModel, SketchModel, StrokeModel
from sightline.models.sketchxainet import StrokeTokens
from sightline.parts.bound import Bound, Noise, ink_of, see_softly, unfit
from sightline.sketch.batch import SketchBatch, offsets_of
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True, eq=False)
class Points:
    """The points of a drawing's strokes as parts, in drawing order.

    An absent point is left out of its line, which then runs straight between the points that
    remain; a stroke of fewer than two points is gone. Points come and go whole.

    The drawing is taken as it stands: pass ``model.prepare(sketch)`` where the model reads a
    simplified drawing.
    """

    sketch: Sketch
    kind = "points"

    def __len__(self) -> int:
        return len(self.sketch.points)

    @property
    def subject(self) -> Sketch:
        """What the parts are of."""
        return self.sketch

    @property
    def names(self) -> tuple[str, ...]:
        """One name a point."""
        return tuple(
            f"stroke {i} point {k}"
            for i, stroke in enumerate(self.sketch.strokes)
            for k in range(len(stroke))
        )

    def bind(self, model: object) -> BoundPoints:
        """The drawing as ``model`` sees it with points left out or moved."""
        if not isinstance(model, SketchModel):
            raise unfit(model, "points")
        return BoundPoints(model, batch_for(model, [self.sketch.normalise()]))


class BoundPoints(Bound):
    """Points bound to a model: they can be left out, and they can be moved."""

    partial = False

    def __init__(self, model: SketchModel, batch: SketchBatch) -> None:
        self.model, self.batch = model, batch

    def __call__(
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Tensor:
        """The output with absent points left out of their lines."""
        return self.model(self._without_absent(presence.bool()))

    def _without_absent(self, there: Tensor) -> SketchBatch:
        rows, strokes = len(there), len(self.batch.points_per_stroke)
        owner = self.batch.stroke_of_point
        counts = torch.zeros(rows, strokes, dtype=torch.int64, device=there.device)
        counts.index_add_(1, owner, there.long())
        kept = there & (counts >= 2)[:, owner]
        counts = counts.where(counts >= 2, 0)
        lengths = counts.flatten()
        return SketchBatch(
            self.batch.points[kept.nonzero()[:, 1]],
            offsets_of(lengths[lengths > 0]),
            offsets_of((counts > 0).sum(1)),
        )

    @property
    def points(self) -> Float[Tensor, "points 2"]:
        """Where the points are, normalised frame."""
        return self.batch.points

    def moved(
        self, points: Float[Tensor, "points 2"], *, rasteriser: Rasteriser | None = None
    ) -> Tensor:
        """The output with the points elsewhere, differentiable in them.

        Args:
            points: new coordinates, normalised frame.
            rasteriser: for models that read pictures, whose gradient to use; the picture itself
                stays the model's own.
        """
        batch = self.batch.with_points(points)
        if rasteriser is None or not isinstance(self.model, PictureModel):
            return self.model(batch)
        return see_softly(self.model, batch, rasteriser)

    def picture(self) -> Float[Tensor, "height width"] | None:
        """All points."""
        return ink_of(self.model, self.batch) if isinstance(self.model, PictureModel) else None

    def see(self, pictures: Float[Tensor, "pictures height width"]) -> Tensor:
        """Logits of pictures of ink."""
        assert isinstance(self.model, PictureModel)  # noqa: S101, else there is no picture
        return self.model.see(pictures)

    def stroke_tokens(self) -> StrokeTokens | None:
        """All points."""
        if not isinstance(self.model, StrokeModel):
            return None
        with torch.no_grad():
            return self.model.embed(self.batch)
