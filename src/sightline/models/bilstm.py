"""A layer of a bidirectional LSTM over packed sequences, with a backward pass of its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.models.dense import dense


class Layer(NamedTuple):
    """Weights of both directions; gates in the order out, in, forget, new."""

    inputs: Float[Tensor, "2 gates inputs"]
    bias: Float[Tensor, "2 gates"]
    recurrent: Float[Tensor, "2 width gates"]


@dataclass(frozen=True, eq=False)
class Clock:
    """Where each step of each packed sequence lies.

    Packed data is time-major, the longest sequence first: all first steps, then all second ones.
    The other direction is packed in its own time, which starts at each sequence's end.

    Args:
        counts: sequences that are still running at each time.
        mirror: position of a sequence's time T - 1 - t, at the position of its time t.
        earlier: position of time t - 1, for every position after the first time.
    """

    counts: tuple[int, ...]
    mirror: Int[Tensor, " points"]
    earlier: Int[Tensor, " later"]

    @classmethod
    def of(cls, running: Int[Tensor, " times"]) -> Clock:
        """From the number of running sequences at each time.

        Example:
            >>> clock = Clock.of(torch.tensor([2, 1, 1]))  # sequences of 3 steps and of 1
            >>> clock.mirror.tolist(), clock.earlier.tolist()
            ([3, 1, 2, 0], [0, 2])
        """
        starts = running.cumsum(0) - running
        lengths = (running[:, None] > torch.arange(int(running[0]))).sum(0)
        time = torch.arange(len(running)).repeat_interleave(running)
        sequence = torch.arange(len(time)) - starts[time]
        mirror = starts[lengths[sequence] - 1 - time] + sequence
        later = time > 0
        earlier = starts[time[later] - 1] + sequence[later]
        return cls(tuple(running.tolist()), mirror, earlier)

    def slices(self) -> list[slice]:
        """Positions of each time."""
        ends = [0]
        for count in self.counts:
            ends.append(ends[-1] + count)
        return [slice(a, b) for a, b in pairwise(ends)]


def bilstm_layer(
    data: Float[Tensor, "points inputs"], layer: Layer, clock: Clock
) -> Float[Tensor, "points both"]:
    """Hidden states of both directions, side by side.

    The backward pass of a plain loop (`plain_layer`) goes through it again, with several small
    matrix products and many small copies for each time. Here only the product that must wait for
    the time after it stays in the loop; the others are done for all times at once. A second
    derivative is taken through the plain loop.
    """
    if torch.is_autocast_enabled(data.device.type):
        dtype = torch.get_autocast_dtype(data.device.type)
        data, layer = data.to(dtype), Layer(*(w.to(dtype) for w in layer))
    if torch.is_grad_enabled():
        return _BiLstm.apply(clock, data, *layer)
    return _side_by_side(_run(data, layer, clock).hidden, clock)


def plain_layer(
    data: Float[Tensor, "points inputs"], layer: Layer, clock: Clock
) -> Float[Tensor, "points both"]:
    """The same numbers in differentiable steps, which torch may differentiate any number of times.

    Source:
        Hochreiter and Schmidhuber, Long short-term memory, 1997, with forget gates, as torch.
    """
    ahead, behind = (
        torch.nn.functional.linear(x, w, b)
        for x, w, b in zip((data, data[clock.mirror]), layer.inputs, layer.bias, strict=True)
    )
    width = layer.recurrent.shape[1]
    hidden = cell = data.new_zeros(2, clock.counts[0], width)
    outputs = []
    for step in torch.stack([ahead, behind]).split(clock.counts, 1):
        gates = torch.baddbmm(step, hidden[:, : step.shape[1]], layer.recurrent)
        o, i, f = gates[..., : 3 * width].sigmoid().chunk(3, 2)
        cell = torch.addcmul(i * gates[..., 3 * width :].tanh(), f, cell[:, : step.shape[1]])
        hidden = o * cell.tanh()
        outputs.append(hidden)
    return _side_by_side(torch.cat(outputs, 1), clock)


class _Trace(NamedTuple):
    """What a forward pass leaves; both directions, each in its own time."""

    mirrored: Float[Tensor, "points inputs"]
    gates: Float[Tensor, "2 points gates"]
    cells: Float[Tensor, "2 points width"]
    squashed: Float[Tensor, "2 points width"]
    hidden: Float[Tensor, "2 points width"]


def _run(data: Tensor, layer: Layer, clock: Clock) -> _Trace:
    width = layer.recurrent.shape[1]
    mirrored = data.index_select(0, clock.mirror)
    sides = zip((data, mirrored), layer.inputs, layer.bias, strict=True)
    gates = torch.stack([dense(x, w, b) for x, w, b in sides])
    cells, squashed, hidden = data.new_empty(3, 2, len(data), width)
    before: slice | None = None
    for now in clock.slices():
        gate, cell = gates[:, now], cells[:, now]
        if before is not None:
            gate.baddbmm_(hidden[:, before][:, : gate.shape[1]], layer.recurrent)
        gate[..., : 3 * width].sigmoid_()
        o, i, f, new = gate.chunk(4, 2)
        torch.mul(i, new.tanh_(), out=cell)
        if before is not None:
            cell.addcmul_(f, cells[:, before][:, : gate.shape[1]])
        squash = torch.tanh(cell, out=squashed[:, now])
        torch.mul(o, squash, out=hidden[:, now])
        before = now
    return _Trace(mirrored, gates, cells, squashed, hidden)


def _side_by_side(hidden: Float[Tensor, "2 points width"], clock: Clock) -> Tensor:
    return torch.cat([hidden[0], hidden[1].index_select(0, clock.mirror)], 1)


class _BiLstm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, clock: Clock, data: Tensor, *weights: Tensor) -> Tensor:
        trace = _run(data, Layer(*weights), clock)
        ctx.save_for_backward(data, *weights, *trace)
        ctx.clock = clock
        return _side_by_side(trace.hidden, clock)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), clock = grads, ctx.clock
        data, *weights = ctx.saved_tensors[:4]
        layer, trace = Layer(*weights), _Trace(*ctx.saved_tensors[4:])
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # the caller wants to differentiate the gradient
            return (None, *_differentiable(data, layer, clock, grad, wanted))
        slopes = _walk_back(grad, layer, trace, clock)
        by_data = _by_data(slopes, layer, clock) if wanted[0] else None
        if not any(wanted[1:]):
            return (None, by_data, None, None, None)
        sides = zip(slopes, (data, trace.mirrored), strict=True)
        by_inputs = torch.stack([side.T @ x for side, x in sides])
        hidden = trace.hidden.index_select(1, clock.earlier)
        later = slopes[:, clock.counts[0] :]
        by_recurrent = torch.stack([h.T @ s for h, s in zip(hidden, later, strict=True)])
        return (None, by_data, by_inputs, slopes.sum(1), by_recurrent)


def _differentiable(
    data: Tensor, layer: Layer, clock: Clock, grad: Tensor, wanted: tuple[bool, ...]
) -> list[Tensor | None]:
    given = [data, *layer]
    answer = plain_layer(data, layer, clock)
    asked = [tensor for tensor, want in zip(given, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(answer, asked, grad, create_graph=True))
    return [next(found) if want else None for want in wanted]


def _by_data(slopes: Tensor, layer: Layer, clock: Clock) -> Float[Tensor, "points inputs"]:
    ahead, behind = (side @ weight for side, weight in zip(slopes, layer.inputs, strict=True))
    return ahead + behind.index_select(0, clock.mirror)


def _walk_back(
    grad: Float[Tensor, "points both"], layer: Layer, trace: _Trace, clock: Clock
) -> Float[Tensor, "2 points gates"]:
    """Gradient by the gates before their squashing, from the last time to the first."""
    width = layer.recurrent.shape[1]
    slopes, by_cell = _slopes(trace, clock)
    forget = trace.gates[..., 2 * width : 3 * width]
    ahead, behind = grad.chunk(2, 1)
    by_hidden = torch.stack([ahead, behind.index_select(0, clock.mirror)])
    recurrent = layer.recurrent.transpose(1, 2)
    later: slice | None = None
    for now in reversed(clock.slices()):
        slope, dh, dc = slopes[:, now], by_hidden[:, now], by_cell[:, now]
        if later is not None:
            count = later.stop - later.start
            dh[:, :count].baddbmm_(slopes[:, later], recurrent)
        dc.mul_(dh)
        if later is not None:
            dc[:, :count].addcmul_(by_cell[:, later], forget[:, later])
        slope[..., :width].mul_(dh)
        slope[..., width:].unflatten(2, (3, width)).mul_(dc[:, :, None])
        later = now
    return slopes


def _slopes(trace: _Trace, clock: Clock) -> tuple[Tensor, Tensor]:
    """All that the backward loop multiplies with, for every time at once.

    Derivatives of the hidden state by the out gate, of the cell by the other gates, and of the
    hidden state by the cell.
    """
    o, i, f, new = trace.gates.chunk(4, 2)
    first = trace.cells.new_zeros(2, clock.counts[0], trace.cells.shape[2])
    cell_before = torch.cat([first, trace.cells.index_select(1, clock.earlier)], 1)
    slopes = torch.empty_like(trace.gates)
    for_o, for_i, for_f, for_new = slopes.chunk(4, 2)
    sigmoid, tanh = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    sigmoid(trace.squashed, o, grad_input=for_o)
    sigmoid(new, i, grad_input=for_i)
    sigmoid(cell_before, f, grad_input=for_f)
    tanh(i, new, grad_input=for_new)
    return slopes, tanh(o, trace.squashed)
