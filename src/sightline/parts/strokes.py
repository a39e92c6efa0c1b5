"""Strokes as parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.models.place import batch_for
from sightline.models.protocol import EmbeddingModel, PictureModel, SketchModel, StrokeModel
from sightline.models.sketchxainet import StrokeTokens
from sightline.parts.bound import Bound, Noise, noisy, prepared, unfit
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


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
    def subject(self) -> Sketch:
        """What the parts are of."""
        return self.sketch

    @property
    def names(self) -> tuple[str, ...]:
        """One name a stroke; where the drawing names its parts, those names too."""
        parts = self.sketch.parts or ("",) * len(self)
        return tuple(f"stroke {i}" + (f" ({p})" if p else "") for i, p in enumerate(parts))

    def bind(self, model: object) -> Bound:
        """The drawing as ``model`` sees it with strokes partly there."""
        batch = batch_for(model, [prepared(model, self.sketch)])
        if isinstance(model, StrokeModel):
            return _StrokeTokens(model, batch)
        if isinstance(model, PictureModel):
            return _StrokeLayers(model, batch)
        if isinstance(model, SketchModel):
            return _StrokeSubsets(model, batch)
        raise unfit(model, "strokes")


class _StrokeTokens(Bound):
    """Strokes of a model that reads tokens: shapes are embedded once."""

    def __init__(self, model: StrokeModel, batch: SketchBatch) -> None:
        self.model = model
        with torch.no_grad():
            self.tokens = model.embed(batch)

    def __call__(
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Tensor:
        whole = bool(((presence == 0) | (presence == 1)).all())
        if whole and noise is None and not presence.requires_grad:
            there = presence.bool()
            return self.model.classify(self._tokens(there.nonzero()[:, 1], there.sum(1)))
        rows, strokes = presence.shape
        index = torch.arange(strokes, device=presence.device).repeat(rows)
        counts = torch.full((rows,), strokes, device=presence.device)
        tokens = self._tokens(index, counts)
        if noise is not None:  # shape is a term of the sum, so noise on it is noise on the sum
            shape = noise.added_to(tokens.shape.unflatten(0, (rows, strokes)), self._span())
            tokens = replace(tokens, shape=shape.flatten(0, 1))
        return self.model.classify(tokens, presence=presence.flatten())

    def stroke_tokens(self) -> StrokeTokens:
        """All strokes."""
        return self.tokens

    def _span(self) -> Float[Tensor, ""]:
        read = self.tokens.shape
        if isinstance(self.model, EmbeddingModel):
            with torch.no_grad():
                read = self.model.embedded(self.tokens)
        return read.amax() - read.amin()

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
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Tensor:
        ink = (presence.to(self.layers.dtype) @ self.layers.flatten(1)).unflatten(
            1, self.layers.shape[1:]
        )
        clipped = ink.clamp(max=1)
        if straight_through:
            clipped = ink + (clipped - ink).detach()
        return self.model.see(noisy(clipped, noise))

    def picture(self) -> Float[Tensor, "height width"]:
        """All strokes."""
        return self.layers.sum(0).clamp(max=1)

    def see(self, pictures: Float[Tensor, "pictures height width"]) -> Tensor:
        """Logits of pictures of ink."""
        return self.model.see(pictures)


class _StrokeSubsets(Bound):
    """Strokes of a model that answers drawings and no more: each coalition is a drawing."""

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
        rows = torch.zeros(len(presence), dtype=torch.int64, device=presence.device)
        there = presence.bool().flatten().nonzero()[:, 0]
        return self.model(self.batch.select(rows).select_strokes(there))
