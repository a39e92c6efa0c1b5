"""Counts by hand, batches, shares of several processes, and a model left as it came."""

import numpy as np
import pytest
import torch
from torch import nn

from figures import LABELS, drawings
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
from sightline.sketch.batch import SketchBatch
from sightline.training.evaluate import Evaluation, accuracy, answers, evaluate, predict
from sightline.training.examples import Labelled
from sightline.training.processes import Processes


@pytest.fixture(scope="module")
def net() -> SketchXAINet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SketchXAINet(SketchXAINetConfig(LABELS, hidden=16, layers=2, heads=2, mlp=32))


@pytest.fixture(scope="module")
def odd(net) -> Labelled:
    return Labelled.from_sketches(drawings(101, 2), LABELS, net.prepare)


def test_evaluation_counts_by_hand():
    logits = torch.tensor([[5.0, 1, 0], [0, 5, 1], [5, 1, 0], [0, 1, 5]])
    result = Evaluation.from_logits(logits, torch.tensor([0, 1, 1, 2]), LABELS)
    assert result.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert result.top1.estimate == 0.75
    assert result.top5.estimate == 1.0
    assert result.per_class()[1]["taken_for"] == "cross"


def test_the_best_five_of_seven_by_hand():
    labels = tuple("abcdefg")
    logits = torch.tensor([[7.0, 6, 5, 4, 3, 2, 1]]).repeat(4, 1)
    result = Evaluation.from_logits(logits, torch.tensor([0, 4, 5, 6]), labels)
    assert result.top1.estimate == 0.25
    assert result.top5.estimate == 0.5


def test_evaluation_does_not_depend_on_the_batch(net, odd):
    whole = predict(net, odd)
    torch.testing.assert_close(predict(net, odd, batch=7), whole)
    by_batch = [evaluate(net, odd, LABELS, batch=b) for b in (1, 7, 250)]
    assert all(np.array_equal(r.confusion, by_batch[0].confusion) for r in by_batch)


def test_evaluation_is_what_the_logits_say(net, odd):
    by_logits = Evaluation.from_logits(predict(net, odd), odd.target, LABELS)
    counted = evaluate(net, odd, LABELS, batch=10)
    assert np.array_equal(counted.confusion, by_logits.confusion)
    assert (counted.top1, counted.top5) == (by_logits.top1, by_logits.top5)
    assert accuracy(net, odd, batch=10) == counted.top1.estimate
    assert counted.confusion.sum() == 101


@pytest.mark.parametrize("count", [2, 3, 20])
def test_processes_share_the_same_batches_nothing_twice(net, odd, count):
    alone = predict(net, odd, batch=10)
    found = torch.full_like(alone, torch.nan)
    for rank in range(count):
        for chosen, logits in answers(net, odd, batch=10, processes=Processes(rank, count)):
            assert found[chosen].isnan().all(), "a drawing was answered twice"
            found[chosen] = logits
    assert torch.equal(found, alone)  # to the last bit: none is missing


class _Failing(nn.Module):
    """A model that trains, with a buffer, and breaks in the second batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, batch: SketchBatch) -> torch.Tensor:
        self.calls += 1
        assert not self.training
        if len(batch) < 10:
            raise RuntimeError("a short batch")
        return self.weight.expand(len(batch), 3)


def test_the_model_is_as_it_was_also_after_a_failure(odd):
    model = _Failing().train()
    random = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="a short batch"):
        evaluate(model, odd, LABELS, batch=10)
    assert model.training
    assert model.weight.requires_grad
    assert model.weight.grad is None
    assert model.calls == 0
    assert torch.equal(torch.get_rng_state(), random)
