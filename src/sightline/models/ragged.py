"""A transformer over sketches of unequal length: tokens end to end, only attention is padded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.models.dense import Dense, dense
from sightline.models.dropout import Dropout


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer over ragged tokens; only the attention itself is padded."""

    def __init__(self, hidden: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(hidden, eps=1e-12)
        self.qkv = Dense(hidden, 3 * hidden)
        self.out = Dense(hidden, hidden)
        self.norm_mlp = nn.LayerNorm(hidden, eps=1e-12)
        self.up = Dense(hidden, mlp)
        self.down = Dense(mlp, hidden)
        self.dropout = Dropout(dropout)

    def forward(
        self, flat: Float[Tensor, "tokens hidden"], ragged: Ragged, weight: Tensor | None
    ) -> Float[Tensor, "tokens hidden"]:
        """One layer. ``weight`` [sketches, longest] scales keys' shares, 1 for a whole token."""
        return self.step(flat, ragged, weight)[0]

    def step(
        self, flat: Float[Tensor, "tokens hidden"], ragged: Ragged, weight: Tensor | None
    ) -> tuple[Float[Tensor, "tokens hidden"], Float[Tensor, "sketches heads longest longest"]]:
        """One layer, and what each token (row) took from each (column): rows sum to 1."""
        qkv = ragged.pad(self.qkv(self.norm_attention(flat)))
        q, k, v = self._by_head(qkv, 3)
        shares = _shares(q, k, ragged.mask, weight)
        mixed = ragged.unpad((shares @ v).transpose(1, 2).flatten(2))
        return self._after_attention(flat, mixed), shares

    def first_tokens(
        self, flat: Float[Tensor, "tokens hidden"], ragged: Ragged, weight: Tensor | None
    ) -> Float[Tensor, "sketches hidden"]:
        """What the layer makes of each sketch's first token: all that is read of the last layer."""
        return self.first_step(flat, ragged, weight)[0]

    def first_step(
        self, flat: Float[Tensor, "tokens hidden"], ragged: Ragged, weight: Tensor | None
    ) -> tuple[Float[Tensor, "sketches hidden"], Float[Tensor, "sketches heads 1 longest"]]:
        """The same, and what each sketch's first token took from each token."""
        normed, hidden = self.norm_attention(flat), flat.shape[1]
        ask, give = self.qkv.weight.split([hidden, 2 * hidden])
        ask_bias, give_bias = self.qkv.bias.split([hidden, 2 * hidden])
        (q,) = self._by_head(dense(normed[ragged.starts], ask, ask_bias)[:, None], 1)
        k, v = self._by_head(ragged.pad(dense(normed, give, give_bias)), 2)
        shares = _shares(q, k, ragged.mask, weight)
        mixed = shares @ v  # [sketches, heads, 1, head width]
        return self._after_attention(flat[ragged.starts], mixed.flatten(1)), shares

    def _by_head(self, block: Float[Tensor, "sketches longest width"], count: int) -> Tensor:
        """[sketches, longest, count * hidden] -> [count, sketches, heads, longest, head width]."""
        return block.unflatten(2, (count, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def _after_attention(self, flat: Tensor, mixed: Tensor) -> Float[Tensor, "tokens hidden"]:
        flat = flat + self.dropout(self.out(mixed))
        return flat + self.dropout(self.down(F.gelu(self.up(self.norm_mlp(flat)))))


def _shares(
    q: Tensor, k: Tensor, mask: Tensor | None, weight: Tensor | None
) -> Float[Tensor, "sketches heads asking longest"]:
    # Written out: for a handful of strokes this beats the fused kernel on a CPU, both ways.
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if weight is None:
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        return scores.softmax(-1)
    # Softmax with a weight on each key, in a form whose gradient exists at weight 0 as well. The
    # largest score among the keys that are there sets the scale; an absent one may lie above it.
    weight = (weight if mask is None else weight * mask)[:, None, None, :].to(scores.dtype)
    top = scores.detach().masked_fill(weight <= 0, float("-inf")).amax(-1, keepdim=True)
    largest = math.log(torch.finfo(scores.dtype).max) / 2
    share = (scores - top).clamp(max=largest).exp() * weight
    return share / share.sum(-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Ragged:
    """Where each token of each sketch lies: end to end, and in a padded block for attention."""

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
            return cls(starts, strokes, None, shape, None)
        slot = sketch * shape[1] + token - starts[sketch]
        mask = torch.arange(shape[1], device=lengths.device) < lengths[:, None]
        return cls(starts, strokes, slot, shape, mask)

    def interleave(self, first: Tensor, strokes: Tensor) -> Float[Tensor, "tokens hidden"]:
        """The class token before each sketch's strokes."""
        total = len(self.starts) + len(strokes)
        return first.expand(total, -1).index_copy(0, self.strokes, strokes)

    def interleave_ones(self, presence: Tensor) -> Float[Tensor, "tokens 1"]:
        """Presence of every token; the class token is always there."""
        ones = presence.new_ones(len(self.starts) + len(presence), 1)
        return ones.index_copy(0, self.strokes, presence[:, None])

    def pad(self, flat: Float[Tensor, "tokens width"]) -> Float[Tensor, "sketches longest width"]:
        """[tokens, width] -> [sketches, longest, width]."""
        if self.slot is not None:
            blank = flat.new_zeros(self.shape[0] * self.shape[1], flat.shape[1])
            flat = blank.index_copy(0, self.slot, flat)
        return flat.view(*self.shape, -1)

    def unpad(self, block: Tensor) -> Float[Tensor, "tokens width"]:
        """[sketches, longest, width] -> [tokens, width]."""
        flat = block.reshape(-1, block.shape[-1])
        # index_select: its gradient is a quick index_add, that of flat[slot] a slow index_put
        return flat if self.slot is None else flat.index_select(0, self.slot)
