"""SketchXAINet: a transformer whose tokens are strokes (Qu et al., CVPR 2023)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from sightline.errors import ModelError, unknown_name
from sightline.sketch.batch import SketchBatch
from sightline.sketch.simplify import simplify
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
        epsilon = self.config.epsilon
        return (sketch if epsilon is None else simplify(sketch, epsilon=epsilon)).normalise()

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
        location = tokens.location if location is None else location
        embedded = self._sum(tokens.shape, location, tokens.order)
        if self.config.padding != "none":
            return self._classify_padded(embedded, tokens, presence)
        ragged = Ragged.with_class_token(tokens.strokes_per_sketch)
        flat = ragged.interleave(self.class_token.to(embedded.dtype), self.dropout(embedded))
        weight = None if presence is None else ragged.pad(ragged.interleave_ones(presence))
        return self._encode(flat, ragged, weight)

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

    def _classify_padded(
        self, embedded: Tensor, tokens: StrokeTokens, presence: Tensor | None
    ) -> Tensor:
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
        flat = ragged.interleave(self.class_token.to(filled.dtype), self.dropout(filled))
        return self._encode(flat, ragged, None)

    def _empty_slots(self, like: Tensor) -> Float[Tensor, "slots hidden"]:
        slots = torch.arange(self.config.max_strokes, device=like.device)
        if self.config.padding == "zeroed":
            return like.new_zeros(len(slots), like.shape[1])
        nothing = like.new_zeros(len(slots), like.shape[1])
        return self._sum(nothing, like.new_zeros(len(slots), 2), slots).to(like.dtype)

    def _encode(self, flat: Tensor, ragged: Ragged, weight: Tensor | None) -> Tensor:
        for layer in self.layers:
            flat = layer(flat, ragged, weight)
        return self.head(self.norm(flat[ragged.starts]))


class StrokeShape(nn.Module):
    """A stroke's form: a bidirectional recurrent net over its steps, summed over time."""

    def __init__(self, hidden: int, cell: str) -> None:
        super().__init__()
        cells = {"lstm": nn.LSTM, "gru": nn.GRU}
        if cell not in cells:
            raise ModelError(unknown_name("cell", cell, cells))
        self.rnn = cells[cell](4, hidden // 2, num_layers=2, bidirectional=True)

    def forward(self, batch: SketchBatch) -> Float[Tensor, "strokes hidden"]:
        """Rows (dx, dy, 1 - end, end) of every stroke, packed without padding."""
        lengths = batch.points_per_stroke
        if not len(lengths):
            return self.rnn.weight_ih_l0.new_zeros(0, 2 * self.rnn.hidden_size)
        by_length = lengths.argsort(descending=True, stable=True)
        rank = torch.empty_like(by_length)
        rank[by_length] = torch.arange(len(lengths), device=lengths.device)
        owner = batch.stroke_of_point
        time = torch.arange(len(owner), device=owner.device) - batch.stroke_offsets[owner]
        packed = (time * len(lengths) + rank[owner]).argsort()
        data = stroke_steps(batch)[packed].to(self.rnn.weight_ih_l0.dtype)
        running = torch.bincount(time).cpu()  # strokes still being drawn at each time
        if isinstance(self.rnn, nn.LSTM) and data.device.type == "cpu" and torch.is_grad_enabled():
            return summed_bilstm(self.rnn, data, running)[rank]
        output, _ = self.rnn(PackedSequence(data, running))
        summed = output.data.new_zeros(len(lengths), output.data.shape[1])
        return summed.index_add(0, owner[packed], output.data)


def summed_bilstm(
    rnn: nn.LSTM, data: Float[Tensor, "points width"], running: Int[Tensor, " times"]
) -> Float[Tensor, "strokes hidden"]:
    """Sum over time of a bidirectional LSTM's output, both directions in one loop.

    The same numbers as ``rnn`` on a packed sequence. On a CPU torch's own backward pass fills a
    gradient of the whole input at every time step, which costs more than everything else here.

    Args:
        rnn: bidirectional, without dropout.
        data: time-major packed input, longest stroke first.
        running: strokes that are still running at each time.
    """
    counts = running.tolist()
    strokes = counts[0]
    back = _reversed_in_time(running)
    both = torch.stack([data, data[back]])
    for layer in range(rnn.num_layers):
        both = _lstm_layer(rnn, layer, both, counts)  # [2, points, hidden], second one reversed
        if layer < rnn.num_layers - 1:
            aligned = torch.cat([both[0], both[1][back]], 1)
            both = torch.stack([aligned, aligned[back]])
    owner = torch.cat([torch.arange(n) for n in counts])
    summed = both.new_zeros(2, strokes, both.shape[2]).index_add(1, owner, both)
    return summed.transpose(0, 1).flatten(1)


def _lstm_layer(rnn: nn.LSTM, layer: int, both: Tensor, counts: list[int]) -> Tensor:
    ends = ("", "_reverse")

    def weights(kind: str) -> Tensor:
        return torch.stack([getattr(rnn, f"{kind}_l{layer}{end}") for end in ends])

    bias = (weights("bias_ih") + weights("bias_hh"))[:, None]
    gates_in = torch.baddbmm(bias, both, weights("weight_ih").transpose(1, 2)).split(counts, 1)
    recurrent = weights("weight_hh").transpose(1, 2)
    hidden = cell = both.new_zeros(2, counts[0], rnn.hidden_size)
    outputs = []
    for given, count in zip(gates_in, counts, strict=True):
        gates = torch.baddbmm(given, hidden[:, :count], recurrent)
        i, f, g, o = gates.chunk(4, 2)
        cell = f.sigmoid() * cell[:, :count] + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        outputs.append(hidden)
    return torch.cat(outputs, 1)


def _reversed_in_time(running: Int[Tensor, " times"]) -> Int[Tensor, " points"]:
    """Packed position of each stroke's time T - 1 - t, at the position of its time t."""
    starts = running.cumsum(0) - running
    lengths = (running[:, None] > torch.arange(int(running[0]))).sum(0)
    time = torch.arange(len(running)).repeat_interleave(running)
    stroke = torch.arange(int(running.sum())) - starts[time]
    return starts[lengths[stroke] - 1 - time] + stroke


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer over ragged tokens; only the attention itself is padded."""

    def __init__(self, hidden: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(hidden, eps=1e-12)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm_mlp = nn.LayerNorm(hidden, eps=1e-12)
        self.up = nn.Linear(hidden, mlp)
        self.down = nn.Linear(mlp, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, flat: Float[Tensor, "tokens hidden"], ragged: Ragged, weight: Tensor | None
    ) -> Float[Tensor, "tokens hidden"]:
        """One layer. ``weight`` [sketches, longest] scales keys' shares, 1 for a whole token."""
        qkv = ragged.pad(self.qkv(self.norm_attention(flat)))
        # [sketches, longest, 3 * hidden] -> 3 x [sketches, heads, longest, head width]
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = _attend(q, k, v, ragged.mask, weight)
        mixed = ragged.unpad(mixed.transpose(1, 2).flatten(2))
        flat = flat + self.dropout(self.out(mixed))
        return flat + self.dropout(self.down(F.gelu(self.up(self.norm_mlp(flat)))))


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, weight: Tensor | None
) -> Float[Tensor, "sketches heads longest width"]:
    # Written out: for a handful of strokes this beats the fused kernel on a CPU, both ways.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if weight is None:
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        return scores.softmax(-1) @ v
    # Softmax with a weight on each key, in a form whose gradient exists at weight 0 as well. The
    # largest score among the keys that are there sets the scale; an absent one may lie above it.
    weight = (weight if mask is None else weight * mask)[:, None, None, :].to(scores.dtype)
    top = scores.detach().masked_fill(weight <= 0, float("-inf")).amax(-1, keepdim=True)
    largest = math.log(torch.finfo(scores.dtype).max) / 2
    share = (scores - top).clamp(max=largest).exp() * weight
    return (share / share.sum(-1, keepdim=True)) @ v


@dataclass(frozen=True, eq=False)
class Ragged:
    """Where each token of each sketch lies: end to end, and in a padded block for attention."""

    lengths: Int[Tensor, " sketches"]
    starts: Int[Tensor, " sketches"]
    strokes: Int[Tensor, " strokes"]
    slot: Int[Tensor, " tokens"] | None
    shape: tuple[int, int]
    mask: Tensor | None

    @classmethod
    def with_class_token(cls, strokes_per_sketch: Int[Tensor, " sketches"]) -> Ragged:
        """One class token before the strokes of each sketch."""
        lengths = strokes_per_sketch + 1
        ends = lengths.cumsum(0)
        starts = ends - lengths
        shape = (len(lengths), int(lengths.max()))
        total = int(ends[-1])
        sketch = torch.arange(len(lengths), device=lengths.device).repeat_interleave(
            lengths, output_size=total
        )
        token = torch.arange(total, device=lengths.device)
        strokes = token[token != starts[sketch]]
        if total == shape[0] * shape[1]:
            return cls(lengths, starts, strokes, None, shape, None)
        slot = sketch * shape[1] + token - starts[sketch]
        mask = torch.arange(shape[1], device=lengths.device) < lengths[:, None]
        return cls(lengths, starts, strokes, slot, shape, mask)

    def interleave(self, first: Tensor, strokes: Tensor) -> Float[Tensor, "tokens hidden"]:
        """The class token before each sketch's strokes."""
        total = len(self.starts) + len(strokes)
        return first.expand(total, -1).index_copy(0, self.strokes, strokes)

    def interleave_ones(self, presence: Tensor) -> Float[Tensor, "tokens 1"]:
        """Presence of every token; the class token is always there."""
        ones = presence.new_ones(len(self.starts) + len(presence), 1)
        return ones.index_copy(0, self.strokes, presence[:, None])

    def pad(self, flat: Float[Tensor, "tokens width"]) -> Tensor:
        """[tokens, width] -> [sketches, longest, width]; width 1 is squeezed away."""
        if self.slot is None:
            block = flat.view(*self.shape, -1)
        else:
            block = flat.new_zeros(self.shape[0] * self.shape[1], flat.shape[1])
            block = block.index_copy(0, self.slot, flat).view(*self.shape, -1)
        return block.squeeze(-1) if flat.shape[1] == 1 else block

    def unpad(self, block: Tensor) -> Float[Tensor, "tokens width"]:
        """[sketches, longest, width] -> [tokens, width]."""
        flat = block.reshape(-1, block.shape[-1])
        return flat if self.slot is None else flat[self.slot]


def stroke_steps(batch: SketchBatch) -> Float[Tensor, "points 4"]:
    """Rows (dx, dy, 1 - end, end); dx = dy = 0 in a stroke's first row, end = 1 in its last."""
    points = batch.points
    delta = torch.cat([points[:1] * 0, points[1:] - points[:-1]])
    first = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    first[batch.stroke_offsets[:-1]] = True
    end = torch.zeros(len(points), 1, dtype=points.dtype, device=points.device)
    end[batch.stroke_offsets[1:] - 1] = 1
    return torch.cat([delta.masked_fill(first[:, None], 0), 1 - end, end], 1)


def sketchxainet(size: str, labels: tuple[str, ...], **settings: Any) -> SketchXAINet:
    """A SketchXAINet with random weights: ``"nano"``, ``"tiny"`` or ``"base"``.

    Draws from torch's global generator, as modules do.
    """
    if size not in SIZES:
        raise ModelError(unknown_name("size", size, SIZES))
    shape: dict[str, Any] = SIZES[size] | settings
    return SketchXAINet(SketchXAINetConfig(labels=tuple(labels), **shape))
