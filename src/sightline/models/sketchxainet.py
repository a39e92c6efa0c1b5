"""SketchXAINet: a transformer whose tokens are strokes (Qu et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.errors import ModelError, unknown_name
from sightline.models.ragged import EncoderLayer, Ragged
from sightline.models.stroke_shape import StrokeShape
from sightline.sketch.batch import SketchBatch
from sightline.sketch.simplify import prepare
from sightline.sketch.sketch import Sketch

Padding = Literal["none", "attended", "zeroed"]


@dataclass(frozen=True)
class SketchXAINetConfig:
    """The shape of a SketchXAINet.

    Args:
        labels: the categories, in the order of the logits.
        hidden: width of a token; layers, heads, mlp: of the encoder.
        cell: the recurrent cell of the shape embedding.
        max_strokes: rows of the order table.
        padding: ``"none"`` attends to the strokes there are. The published checkpoints were
            trained with every drawing filled up to ``max_strokes`` slots and the pads attended:
            ``"attended"`` (a pad is location bias + order row) or ``"zeroed"`` (a zero vector).
        use_shape, use_location, use_order: switches of the published ablation.
        dropout: on tokens and in the encoder, while training.
        epsilon: tolerance of `sightline.simplify` for drawings given to this model; None where
            the model reads points as they come.
    """

    labels: tuple[str, ...]
    hidden: int = 192
    layers: int = 12
    heads: int = 3
    mlp: int = 768
    cell: Literal["lstm", "gru"] = "lstm"
    max_strokes: int = 196
    padding: Padding = "none"
    use_shape: bool = True
    use_location: bool = True
    use_order: bool = True
    dropout: float = 0.1
    epsilon: float | None = 2.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written beside weights."""
        return asdict(self) | {"labels": list(self.labels)}


SIZES: dict[str, dict[str, int]] = {
    "nano": {"hidden": 96, "layers": 6, "heads": 3, "mlp": 384},
    "tiny": {"hidden": 192, "layers": 12, "heads": 3, "mlp": 768},
    "base": {"hidden": 768, "layers": 12, "heads": 12, "mlp": 3072},
}


@dataclass(frozen=True, eq=False)
class StrokeTokens:
    """Strokes as SketchXAINet reads them, before any of them is taken away.

    Shapes never change when strokes come and go or move, so they are computed once and reused.

    Args:
        shape: embedding of each stroke's form.
        location: first point of each stroke in the normalised frame.
        order: when it was drawn, from 0.
        strokes_per_sketch: how many consecutive strokes belong to each sketch.
    """

    shape: Float[Tensor, "strokes hidden"]
    location: Float[Tensor, "strokes 2"]
    order: Int[Tensor, " strokes"]
    strokes_per_sketch: Int[Tensor, " sketches"]


class SketchXAINet(nn.Module):
    """Recognises drawings from their strokes: shape + location + order, a transformer, a head.

    Called with a `SketchBatch` in the normalised frame; returns logits ``[sketches, labels]``.

    Source:
        Qu et al., SketchXAI, CVPR 2023. Differs: no unused patch embedding; ragged batches do
        not attend to pads unless ``config.padding`` says so.
    """

    def __init__(self, config: SketchXAINetConfig) -> None:
        super().__init__()
        if config.padding not in ("none", "attended", "zeroed"):
            raise ModelError(
                unknown_name("padding", config.padding, ["none", "attended", "zeroed"])
            )
        self.config = config
        hidden = config.hidden
        self.class_token = nn.Parameter(torch.zeros(hidden))
        self.shape = StrokeShape(hidden, config.cell)
        self.location = nn.Linear(2, hidden)
        self.order = nn.Embedding(config.max_strokes, hidden)
        self.layers = nn.ModuleList(
            EncoderLayer(hidden, config.heads, config.mlp, config.dropout)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(hidden, eps=1e-12)
        self.head = nn.Linear(hidden, len(config.labels))
        self.dropout = nn.Dropout(config.dropout)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.order.weight, std=0.02)
        nn.init.trunc_normal_(self.class_token, std=0.02)
        nn.init.normal_(self.location.weight, std=0.5)

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories, in the order of the logits."""
        return self.config.labels

    def prepare(self, sketch: Sketch) -> Sketch:
        """The drawing as this model reads it: simplified as its training data was, normalised."""
        return prepare(sketch, self.config.epsilon)

    def forward(self, batch: SketchBatch) -> Float[Tensor, "sketches labels"]:
        """Logits of drawings in the normalised frame."""
        return self.classify(self.embed(batch))

    def embed(self, batch: SketchBatch) -> StrokeTokens:
        """Everything about the strokes that does not depend on which of them are there."""
        longest = int(batch.strokes_per_sketch.max()) if len(batch) else 0
        if longest > self.config.max_strokes:
            raise ModelError(
                f"a drawing has {longest} strokes; this model reads at most "
                f"{self.config.max_strokes}: simplify it, or keep the first ones with "
                f"sketch.select(range({self.config.max_strokes}))"
            )
        return StrokeTokens(
            self.shape(batch), batch.first_points, batch.order, batch.strokes_per_sketch
        )

    def classify(
        self,
        tokens: StrokeTokens,
        *,
        presence: Float[Tensor, " strokes"] | None = None,
        location: Float[Tensor, "strokes 2"] | None = None,
    ) -> Float[Tensor, "sketches labels"]:
        """Logits from stroke tokens.

        Args:
            tokens: what `embed` returned.
            presence: how much of each stroke is there, in [0, 1]. 0 is exactly the drawing
                without the stroke, each other stroke keeping its place in the order; between,
                the stroke's share of every attention sum is scaled (where pads are attended:
                the token moves to what the model sees in an empty slot).
            location: other first points than the drawn ones; every stroke moves rigidly.
        """
        flat, ragged, weight = self._lay_out(tokens, presence, location)
        *before, last = cast("list[EncoderLayer]", self.layers)
        for layer in before:
            flat = layer(flat, ragged, weight)
        return self.head(self.norm(last.first_tokens(flat, ragged, weight)))

    def embedded(self, tokens: StrokeTokens) -> Float[Tensor, "strokes hidden"]:
        """What the encoder reads of each stroke: shape + location + order."""
        return self._sum(tokens.shape, tokens.location, tokens.order)

    def attention(
        self, tokens: StrokeTokens
    ) -> list[Float[Tensor, "sketches heads longest longest"]]:
        """What each token takes from each other, a layer an entry.

        Convention:
            Rows ask, columns are asked; a row sums to 1. Token 0 is the class token, token 1 + i
            the stroke drawn as number i of its sketch; where pads are attended, those of no
            stroke are empty slots. Beyond the end of a sketch columns are 0 and rows mean nothing.
        """
        flat, ragged, weight = self._lay_out(tokens, None, None)
        shares = []
        for layer in cast("list[EncoderLayer]", self.layers):
            flat, share = layer.step(flat, ragged, weight)
            shares.append(share)
        return shares

    def classify_attending(
        self, tokens: StrokeTokens
    ) -> tuple[Float[Tensor, "sketches labels"], list[Float[Tensor, "sketches heads _ longest"]]]:
        """Logits and the attention they were made with, of one forward pass, with gradients.

        Convention:
            As of `attention`, but of the last layer only the row of the class token (``[sketches,
            heads, 1, longest]``): no more of it is read for the logits.
        """
        flat, ragged, weight = self._lay_out(tokens, None, None)
        *before, last = cast("list[EncoderLayer]", self.layers)
        shares = []
        for layer in before:
            flat, share = layer.step(flat, ragged, weight)
            shares.append(share)
        first, share = last.first_step(flat, ragged, weight)
        return self.head(self.norm(first)), [*shares, share]

    def _lay_out(
        self, tokens: StrokeTokens, presence: Tensor | None, location: Tensor | None
    ) -> tuple[Float[Tensor, "tokens hidden"], Ragged, Tensor | None]:
        """Tokens as the encoder takes them, and the weights of keys where presence sets any."""
        location = tokens.location if location is None else location
        embedded = self._sum(tokens.shape, location, tokens.order)
        if self.config.padding != "none":
            return *self._lay_out_padded(embedded, tokens, presence), None
        ragged = Ragged.with_class_token(tokens.strokes_per_sketch)
        flat = ragged.interleave(self.class_token.to(embedded.dtype), self.dropout(embedded))
        weight = (
            None if presence is None else ragged.pad(ragged.interleave_ones(presence)).squeeze(2)
        )
        return flat, ragged, weight

    def _sum(
        self, shape: Tensor, location: Tensor, order: Int[Tensor, " strokes"]
    ) -> Float[Tensor, "strokes hidden"]:
        config, place = self.config, location.to(self.location.weight.dtype)
        terms = [
            *([shape] if config.use_shape else []),
            *([self.location(place)] if config.use_location else []),
            *([self.order(order)] if config.use_order else []),
        ]
        return torch.stack(terms).sum(0) if terms else torch.zeros_like(shape)

    def _lay_out_padded(
        self, embedded: Tensor, tokens: StrokeTokens, presence: Tensor | None
    ) -> tuple[Tensor, Ragged]:
        count, slots = len(tokens.strokes_per_sketch), self.config.max_strokes
        pads = self._empty_slots(embedded)
        if presence is not None:
            embedded = torch.lerp(
                pads[tokens.order], embedded, presence[:, None].to(embedded.dtype)
            )
        sketch = torch.arange(count, device=pads.device).repeat_interleave(
            tokens.strokes_per_sketch
        )
        filled = pads.repeat(count, 1).index_copy(0, sketch * slots + tokens.order, embedded)
        ragged = Ragged.with_class_token(torch.full_like(tokens.strokes_per_sketch, slots))
        return ragged.interleave(self.class_token.to(filled.dtype), self.dropout(filled)), ragged

    def _empty_slots(self, like: Tensor) -> Float[Tensor, "slots hidden"]:
        slots = torch.arange(self.config.max_strokes, device=like.device)
        if self.config.padding == "zeroed":
            return like.new_zeros(len(slots), like.shape[1])
        nothing = like.new_zeros(len(slots), like.shape[1])
        return self._sum(nothing, like.new_zeros(len(slots), 2), slots).to(like.dtype)


def sketchxainet(size: str, labels: tuple[str, ...], **settings: Any) -> SketchXAINet:
    """A SketchXAINet with random weights: ``"nano"``, ``"tiny"`` or ``"base"``.

    Draws from torch's global generator, as modules do.
    """
    if size not in SIZES:
        raise ModelError(unknown_name("size", size, SIZES))
    shape: dict[str, Any] = SIZES[size] | settings
    return SketchXAINet(SketchXAINetConfig(labels=tuple(labels), **shape))
