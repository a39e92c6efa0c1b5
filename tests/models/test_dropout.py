"""Dropout: the rate, the scale, the gradient, the seed."""

import pytest
import torch
from torch import nn

from sightline.models.dropout import Dropout


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.93])
def test_the_rate_and_the_scale(rate, dtype):
    """Within 5 standard errors, in every one of the four entries of a draw."""
    ones = torch.ones(50_000, 4, dtype=dtype)
    found = Dropout(rate)(ones)
    assert found.dtype == dtype
    kept = found != 0
    error = 5 * (rate * (1 - rate) / len(ones)) ** 0.5
    assert ((kept.double().mean(0) - (1 - rate)).abs() < error).all()
    torch.testing.assert_close(found[kept], ones[kept] / (1 - rate))


def test_entries_of_one_draw_are_independent():
    kept = (Dropout(0.5)(torch.ones(50_000, 4)) != 0).double()
    table = torch.corrcoef(kept.T) - torch.eye(4)
    assert table.abs().max() < 5 / 50_000**0.5
    again = (Dropout(0.5)(torch.ones(50_000, 4)) != 0).double()
    assert not torch.equal(kept, again)


def test_the_gradient_is_the_mask():
    given = torch.rand(7, 5, dtype=torch.float64).add(1).requires_grad_()
    answer = Dropout(0.4)(given)
    answer.sum().backward()
    torch.testing.assert_close(given.grad, answer.detach() / given.detach())


def test_the_same_seed_drops_the_same():
    given, drop = torch.ones(3, 3, 3), Dropout(0.5)
    torch.manual_seed(1)
    first = drop(given)
    torch.manual_seed(1)
    assert torch.equal(drop(given), first)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_at_the_ends_it_is_torchs_own(rate):
    given = torch.rand(4, 4)
    assert torch.equal(Dropout(rate)(given), nn.Dropout(rate)(given))


def test_nothing_is_dropped_when_answering():
    given = torch.rand(4, 4)
    assert torch.equal(Dropout(0.5).eval()(given), given)
    assert Dropout(0.5)(torch.rand(0, 4)).shape == (0, 4)
