"""A stroke's form as a vector: a recurrent net over its steps."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from sightline.errors import ModelError, unknown_name
from sightline.models.bilstm import Clock, Layer, bilstm_layer
from sightline.sketch.batch import SketchBatch


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
        data = stroke_steps(batch).index_select(0, packed).to(self.rnn.weight_ih_l0.dtype)
        running = torch.bincount(time).cpu()  # strokes still being drawn at each time
        if isinstance(self.rnn, nn.LSTM) and data.device.type == "cpu":
            return summed_bilstm(self.rnn, data, running).index_select(0, rank)
        output, _ = self.rnn(PackedSequence(data, running))
        summed = output.data.new_zeros(len(lengths), output.data.shape[1])
        return summed.index_add(0, owner[packed], output.data)


def summed_bilstm(
    rnn: nn.LSTM, data: Float[Tensor, "points width"], running: Int[Tensor, " times"]
) -> Float[Tensor, "strokes hidden"]:
    """Sum over time of a bidirectional LSTM's output, both directions in one loop.

    The same numbers as ``rnn`` on a packed sequence. On a CPU torch's own backward pass fills a
    gradient of the whole input at every time step, which costs more than everything else here;
    see `bilstm_layer`.

    Args:
        rnn: bidirectional, without dropout.
        data: time-major packed input, longest stroke first.
        running: strokes that are still running at each time.
    """
    clock, given = Clock.of(running), data.dtype
    for index in range(rnn.num_layers):
        data = bilstm_layer(data, _weights(rnn, index), clock)
    owner = torch.cat([torch.arange(n) for n in clock.counts])
    data = data.to(given)  # from autocast's half type, in which sums would lose
    return data.new_zeros(clock.counts[0], data.shape[1]).index_add(0, owner, data)


def _weights(rnn: nn.LSTM, layer: int) -> Layer:
    def both(kind: str) -> Tensor:
        """Of both directions [2, 4 * width, ...]; torch has the gates in, forget, new, out."""
        ends = [getattr(rnn, f"{kind}_l{layer}{end}") for end in ("", "_reverse")]
        i, f, g, o = torch.stack(ends).chunk(4, 1)
        return torch.cat([o, i, f, g], 1)

    bias = both("bias_ih") + both("bias_hh")
    return Layer(both("weight_ih"), bias, both("weight_hh").transpose(1, 2))


def stroke_steps(batch: SketchBatch) -> Float[Tensor, "points 4"]:
    """Rows (dx, dy, 1 - end, end); dx = dy = 0 in a stroke's first row, end = 1 in its last."""
    points = batch.points
    delta = torch.cat([points[:1] * 0, points[1:] - points[:-1]])
    first = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    first[batch.stroke_offsets[:-1]] = True
    end = torch.zeros(len(points), 1, dtype=points.dtype, device=points.device)
    end[batch.stroke_offsets[1:] - 1] = 1
    return torch.cat([delta.masked_fill(first[:, None], 0), 1 - end, end], 1)
