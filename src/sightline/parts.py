"""Parts: the units that an explanation scores, and how a model sees some of them gone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError
from sightline.models.place import place
from sightline.models.protocol import PictureModel, SketchModel, StrokeModel
from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch, offsets_of
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch


class Bound(ABC):
    """Parts bound to a model: a function of presence, everything constant computed once.

    Args of the call:
        presence: ``[batch, parts]`` in [0, 1], on the model's device.
        straight_through: where ink saturates, let the gradient pass as if it did not (SLA).
    """

    partial: bool = True
    """Whether presence between 0 and 1, and so a gradient, means something."""

    @abstractmethod
    def __call__(
        self, presence: Float[Tensor, "batch parts"], *, straight_through: bool = False
    ) -> Tensor:
        """The model's output, one row a row of presence."""


@dataclass(frozen=True, eq=False)
class Strokes:
    """The strokes of a drawing as parts.

    Absent is never drawn: the other strokes keep their place on the canvas and in the order.

    Example:
        >>> house = Sketch.from_strokes([[(0, 4), (6, 4)], [(0, 4), (3, 0), (6, 4)]])
        >>> Strokes(house).names
        ('stroke 0', 'stroke 1')
    """

    sketch: Sketch
    kind = "strokes"

    def __len__(self) -> int:
        return len(self.sketch)

    @property
    def names(self) -> tuple[str, ...]:
        """One name a stroke; where the drawing names its parts, those names too."""
        parts = self.sketch.parts or ("",) * len(self)
        return tuple(f"stroke {i}" + (f" ({p})" if p else "") for i, p in enumerate(parts))

    def bind(self, model: object) -> Bound:
        """The drawing as ``model`` sees it with strokes partly there."""
        batch = _batch(model, _prepared(model, self.sketch))
        if isinstance(model, StrokeModel):
            return _StrokeTokens(model, batch)
        if isinstance(model, PictureModel):
            return _StrokeLayers(model, batch)
        raise _unfit(model, "strokes")


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
            raise _unfit(model, "points")
        return BoundPoints(model, _batch(model, self.sketch.normalise()))


Parts = Strokes | Points


class _StrokeTokens(Bound):
    """Strokes of a model that reads tokens: shapes are embedded once."""

    def __init__(self, model: StrokeModel, batch: SketchBatch) -> None:
        self.model = model
        with torch.no_grad():
            self.tokens = model.embed(batch)

    def __call__(
        self, presence: Float[Tensor, "batch parts"], *, straight_through: bool = False
    ) -> Tensor:
        whole = bool(((presence == 0) | (presence == 1)).all())
        if whole and not presence.requires_grad:
            there = presence.bool()
            return self.model.classify(self._tokens(there.nonzero()[:, 1], there.sum(1)))
        rows, strokes = presence.shape
        index = torch.arange(strokes, device=presence.device).repeat(rows)
        counts = torch.full((rows,), strokes, device=presence.device)
        return self.model.classify(self._tokens(index, counts), presence=presence.flatten())

    def _tokens(self, index: Tensor, counts: Tensor) -> StrokeTokens:
        tokens = self.tokens
        return replace(
            tokens,
            shape=tokens.shape[index],
            location=tokens.location[index],
            order=tokens.order[index],
            strokes_per_sketch=counts,
        )


class _StrokeLayers(Bound):
    """Strokes of a model that reads pictures: each stroke is rasterised once."""

    def __init__(self, model: PictureModel, batch: SketchBatch) -> None:
        self.model = model
        with torch.no_grad():
            self.layers = model.rasteriser.layers(batch)  # [strokes, height, width]

    def __call__(
        self, presence: Float[Tensor, "batch parts"], *, straight_through: bool = False
    ) -> Tensor:
        ink = (presence.to(self.layers.dtype) @ self.layers.flatten(1)).unflatten(
            1, self.layers.shape[1:]
        )
        clipped = ink.clamp(max=1)
        if straight_through:
            clipped = ink + (clipped - ink).detach()
        return self.model.see(clipped)


class BoundPoints(Bound):
    """Points bound to a model: they can be left out, and they can be moved."""

    partial = False

    def __init__(self, model: SketchModel, batch: SketchBatch) -> None:
        self.model, self.batch = model, batch

    def __call__(
        self, presence: Float[Tensor, "batch parts"], *, straight_through: bool = False
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
        smooth = rasteriser(batch)
        with torch.no_grad():
            layers = self.model.rasteriser.layers(batch)
            own = layers.sum(0, keepdim=True).clamp(max=1)
        return self.model.see(smooth + (own - smooth).detach())


def _prepared(model: object, sketch: Sketch) -> Sketch:
    return model.prepare(sketch) if isinstance(model, SketchModel) else sketch.normalise()


def _batch(model: object, sketch: Sketch) -> SketchBatch:
    device, dtype = place(model)
    return SketchBatch.from_sketches([sketch], dtype=dtype).to(device)


def _unfit(model: object, kind: str) -> GameError:
    return GameError(
        f"{type(model).__name__} cannot be asked about {kind}: wrap a picture classifier in "
        "sl.RasterModel(module, labels=...), or give a model with prepare, labels and a call "
        "on a SketchBatch"
    )
