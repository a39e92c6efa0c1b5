"""What a game asks of a model of drawings."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch


@runtime_checkable
class SketchModel(Protocol):
    """Answers a batch of normalised drawings with logits."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits; empty where they have none."""

    def prepare(self, sketch: Sketch) -> Sketch:
        """The drawing as this model reads it: same strokes, its frame, its density of points."""

    def __call__(self, batch: SketchBatch) -> Float[Tensor, "sketches labels"]:
        """Logits."""


@runtime_checkable
class StrokeModel(SketchModel, Protocol):
    """Reads strokes as tokens, so that presence and location act after the shapes are embedded."""

    def embed(self, batch: SketchBatch) -> StrokeTokens:
        """What does not change as strokes come, go and move."""

    def classify(
        self,
        tokens: StrokeTokens,
        *,
        presence: Float[Tensor, " strokes"] | None = None,
        location: Float[Tensor, "strokes 2"] | None = None,
    ) -> Float[Tensor, "sketches labels"]:
        """Logits with strokes partly there or elsewhere."""


@runtime_checkable
class EmbeddingModel(StrokeModel, Protocol):
    """Shows what its encoder reads."""

    def embedded(self, tokens: StrokeTokens) -> Float[Tensor, "strokes hidden"]:
        """Each stroke's shape, location and order, summed."""


@runtime_checkable
class AttentiveModel(StrokeModel, Protocol):
    """Shows where its tokens attend."""

    def attention(
        self, tokens: StrokeTokens
    ) -> list[Float[Tensor, "sketches heads longest longest"]]:
        """A layer an entry; rows ask, columns are asked; token 0 is the class token."""


@runtime_checkable
class PictureModel(SketchModel, Protocol):
    """Reads drawings through a rasteriser."""

    @property
    def rasteriser(self) -> Rasteriser:
        """How strokes become ink."""

    def see(
        self, pictures: Float[Tensor, "sketches height width"]
    ) -> Float[Tensor, "sketches labels"]:
        """Logits of pictures of ink in [0, 1]."""
