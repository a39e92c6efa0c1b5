"""The layer with its own backward pass: against the plain loop, and against finite differences."""

import pytest
import torch

from sightline.models.bilstm import Clock, Layer, bilstm_layer, plain_layer

LENGTHS = (6, 6, 4, 1)


@pytest.fixture
def clock() -> Clock:
    return Clock.of(torch.tensor([sum(n > t for n in LENGTHS) for t in range(max(LENGTHS))]))


def numbers(*, dtype=torch.float64, inputs=3, width=2) -> tuple[torch.Tensor, Layer]:
    luck = torch.Generator().manual_seed(8)

    def some(*shape):
        return torch.randn(*shape, generator=luck, dtype=torch.float64).to(dtype)

    layer = Layer(some(2, 4 * width, inputs), some(2, 4 * width), some(2, width, 4 * width))
    return some(sum(LENGTHS), inputs), layer


def by_hand(data, layer, clock):
    """One sequence at a time, one step at a time, as the paper has it."""
    width = layer.recurrent.shape[1]
    starts = [sum(clock.counts[:t]) for t in range(len(clock.counts))]
    answer = torch.zeros(len(data), 2 * width, dtype=data.dtype)
    for sequence, length in enumerate(LENGTHS):
        for side in (0, 1):
            times = range(length) if side == 0 else reversed(range(length))
            h = c = torch.zeros(width, dtype=data.dtype)
            for t in times:
                row = starts[t] + sequence
                gates = layer.inputs[side] @ data[row] + layer.bias[side]
                o, i, f, new = (gates + h @ layer.recurrent[side]).chunk(4)
                c = f.sigmoid() * c + i.sigmoid() * new.tanh()
                h = o.sigmoid() * c.tanh()
                answer[row, side * width : (side + 1) * width] = h
    return answer


@pytest.mark.parametrize("layer_of", [bilstm_layer, plain_layer])
@pytest.mark.parametrize("grad", [False, True])
def test_the_layer_is_that_of_the_paper(clock, layer_of, grad):
    data, layer = numbers()
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(
            layer_of(data, layer, clock), by_hand(data, layer, clock), atol=1e-13, rtol=0
        )


def test_gradients_are_right(clock):
    given = [t.requires_grad_() for t in (numbers()[0], *numbers()[1])]

    def run(data, *layer):
        return bilstm_layer(data, Layer(*layer), clock)

    assert torch.autograd.gradcheck(run, given)
    assert torch.autograd.gradgradcheck(run, given)


@pytest.mark.parametrize("wanted", [(0,), (2,), (1, 3)])
def test_only_what_is_asked_is_differentiated(clock, wanted):
    """An explanation asks for the points alone, with the weights held."""
    given = [numbers()[0], *numbers()[1]]
    for index in wanted:
        given[index].requires_grad_()
    asked = [given[index] for index in wanted]
    found, plain = (
        torch.autograd.grad(of(given[0], Layer(*given[1:]), clock).square().sum(), asked)
        for of in (bilstm_layer, plain_layer)
    )
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def test_a_backward_pass_may_be_repeated(clock):
    given = [t.requires_grad_() for t in (numbers()[0], *numbers()[1])]
    loss = bilstm_layer(given[0], Layer(*given[1:]), clock).sum()
    first = torch.autograd.grad(loss, given, retain_graph=True)
    again = torch.autograd.grad(loss, given)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_autocast_stays_near(clock):
    data, layer = numbers(dtype=torch.float32)
    exact = bilstm_layer(data, layer, clock)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = bilstm_layer(data, layer, clock)
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(coarse.float(), exact, atol=0.03, rtol=0)
