"""Where a model of drawings looks: scores of strokes and attention to them, to learn through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.looking import Looked, Maps
from sightline.alignment.wanted import padded, stroke_places
from sightline.errors import AlignmentError, unknown_name
from sightline.image.batch import PictureBatch
from sightline.models.protocol import PictureModel, StrokeModel
from sightline.models.raster import laid_over
from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch

Layers = Literal["last", "rollout"]


@runtime_checkable
class AttendingModel(StrokeModel, Protocol):
    """Gives its attention together with its logits."""

    def classify_attending(
        self, tokens: StrokeTokens
    ) -> tuple[Float[Tensor, "sketches labels"], list[Float[Tensor, "sketches heads _ longest"]]]:
        """Logits, and a layer an entry; of the last one only the class token's row."""


@dataclass(frozen=True)
class StrokeScores:
    """The score of every stroke for its drawing's class: SLA, inside a loss.

    The map is d logit / d presence of each stroke where all are there, ``[items, longest]``, 0 at
    pads. Stroke tokens are weighted as `SketchXAINet.classify` does; a raster model sees X =
    clip(sum_i w_i S_i, 0, 1), and the clip is passed straight through. One forward pass gives the
    logits of the task and what the scores are made of; weights learn through the scores by a
    second derivative (so a network of nothing but ReLUs has none in its biases).

    A batch normalisation that is training mixes the drawings: a score is then the effect on the
    logits of the whole batch.

    Example:
        >>> from sightline.models.sketchxainet import sketchxainet
        >>> from sightline.sketch.sketch import Sketch
        >>> net = sketchxainet("nano", ("house", "cat")).eval()
        >>> house = Sketch.from_strokes([[(0, 4), (6, 4)], [(0, 4), (3, 0), (6, 4)]])
        >>> batch = SketchBatch.from_sketches([net.prepare(house)])
        >>> looked = StrokeScores().look(net, batch)
        >>> looked.maps(torch.tensor([0])).shape
        torch.Size([1, 2])

    Source:
        Qu et al., CVPR 2024 (SLA), as a map that a loss on attention can be taken of.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Its name; there is nothing to choose."""
        return {"name": "strokes"}

    def look(self, model: nn.Module, inputs: PictureBatch | SketchBatch) -> Looked:
        """One forward pass; the model's modes are the caller's affair.

        Raises:
            AlignmentError: photos, or a model with neither stroke tokens nor a rasteriser.
        """
        batch = drawings_of(inputs, "scores of strokes")
        if isinstance(model, StrokeModel):
            return _of_tokens(model, batch)
        if isinstance(model, PictureModel):
            return _of_layers(model, batch)
        raise AlignmentError(
            f"{type(model).__name__} gives strokes no scores with a gradient: it reads neither "
            "stroke tokens (SketchXAINet) nor pictures through a rasteriser (RasterModel); put a "
            "picture classifier behind RasterModel"
        )


@dataclass(frozen=True)
class StrokeAttention:
    """What the class token takes from each stroke, mean over heads, ``[items, longest]``.

    Shares of at most 1 in all: the class token keeps some for itself (and empty slots take some,
    where pads are attended). Attention does not know classes: every target has the same map. It
    comes out of the forward pass of the task, with its gradient, at no further cost.

    Args:
        layers: ``"last"``: of the last layer; ``"rollout"``: through all layers, half of each
            being its skip connection (Abnar and Zuidema, 2020).

    Raises:
        AlignmentError: another choice of layers.
    """

    layers: Layers = "last"

    def __post_init__(self) -> None:
        if self.layers not in ("last", "rollout"):
            raise AlignmentError(unknown_name("layers", self.layers, ["last", "rollout"]))

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choice."""
        return {"name": "attention", "layers": self.layers}

    def look(self, model: nn.Module, inputs: PictureBatch | SketchBatch) -> Looked:
        """One forward pass; the model's modes are the caller's affair.

        Raises:
            AlignmentError: photos, or a model that attends to no strokes.
        """
        batch = drawings_of(inputs, "attention to strokes")
        if not isinstance(model, AttendingModel):
            raise AlignmentError(
                f"{type(model).__name__} attends to no strokes, as SketchXAINet does; "
                "use StrokeScores, which any recogniser of drawings can learn through"
            )
        logits, shares = model.classify_attending(model.embed(batch))
        heads = [share.mean(1) for share in shares]
        row = heads[-1][:, 0] if self.layers == "last" else _rolled(heads)
        there = stroke_places(batch)
        maps = row[:, 1 : 1 + there.shape[1]] * there
        return Looked(logits, lambda target: maps)


def drawings_of(inputs: PictureBatch | SketchBatch, what: str) -> SketchBatch:
    """The batch, where it is one of drawings.

    Raises:
        AlignmentError: photos.
    """
    if not isinstance(inputs, SketchBatch):
        raise AlignmentError(
            f"photos have no {what}; use a source of maps for photos (GradCamMaps)"
        )
    return inputs


def _of_tokens(model: StrokeModel, batch: SketchBatch) -> Looked:
    """Presence acts behind the embedding of shapes, so no second derivative passes through it."""
    tokens, there = model.embed(batch), stroke_places(batch)
    presence = torch.ones(
        len(batch.order), dtype=tokens.shape.dtype, device=batch.device, requires_grad=True
    )
    with torch.enable_grad():
        logits = model.classify(tokens, presence=presence)

    def read(target: Int[Tensor, " items"]) -> Maps:
        return padded(_slope(logits, target, presence), there)

    return Looked.from_pass(logits, read)


def _of_layers(model: PictureModel, batch: SketchBatch) -> Looked:
    """With the clip passed through, d / dw_i is the sum over pixels of S_i d / dX."""
    with torch.no_grad():
        layers = model.rasteriser.layers(batch)  # [strokes, height, width]
        picture = laid_over(layers, batch).clamp(max=1)
    picture.requires_grad_()
    there = stroke_places(batch)
    with torch.enable_grad():
        logits = model.see(picture)

    def read(target: Int[Tensor, " items"]) -> Maps:
        # index_select: its gradient is a quick index_add, that of slope[owner] a slow index_put
        slope = _slope(logits, target, picture).index_select(0, batch.sketch_of_stroke)
        return padded((slope * layers).sum((1, 2)), there)

    return Looked.from_pass(logits, read)


def _slope(logits: Tensor, target: Int[Tensor, " items"], of: Tensor) -> Tensor:
    """The gradient of each item's own logit; where learning, to be differentiated once more."""
    with torch.enable_grad():
        chosen = logits.gather(1, target[:, None]).sum()
    learning = torch.is_grad_enabled()
    (slope,) = torch.autograd.grad(chosen, of, create_graph=learning, retain_graph=True)
    return slope


def _rolled(heads: list[Float[Tensor, "items _ longest"]]) -> Float[Tensor, "items longest"]:
    """The class token's row of the product over layers of (attention + identity) / 2."""
    last = heads[-1]
    own = torch.zeros_like(last)
    own[:, :, 0] = 1
    row = (last + own) / 2  # [items, 1, tokens]: a row times matrices, never matrix times matrix
    for share in reversed(heads[:-1]):
        row = (row @ share + row) / 2
    return row[:, 0]
