"""Shuffled weights keep their scale and lose what was learnt; a shift moves what the model sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline.benchmark.perturbed import randomised, relabelled, shifted
from sightline.errors import GameError
from sightline.models.protocol import PictureModel, StrokeModel
from sightline.sketch.sketch import Sketch
from toys import Toy, batch_of, picture_net, scribble, stroke_net


def changed(model, other):
    own = model.state_dict()
    return {name for name, value in other.state_dict().items() if not torch.equal(value, own[name])}


@pytest.mark.parametrize("make", [stroke_net, picture_net])
def test_the_cascade_goes_from_the_head_down(make):
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cascade = randomised(model, levels=(0.0, 0.5, 1.0))
    head, half, every = (changed(model, other) for other in cascade.models)
    assert head <= half < every  # batch normalisation starts with equal weights
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    last = [name for name, _ in model.named_parameters()][-2:]
    assert head <= set(last)
    trained = [n for n, p in model.named_parameters() if p.unique().numel() > 1]
    assert every == set(trained)
    for name, value in cascade.models[-1].state_dict().items():
        torch.testing.assert_close(value.flatten().sort()[0], before[name].flatten().sort()[0])


def test_the_cascade_is_one_for_a_seed():
    model = stroke_net()
    a, b, c = (randomised(model, seed=s).models[-1] for s in (0, 0, 1))
    assert not changed(a, b)
    assert changed(a, c)


def test_a_model_without_weights():
    with pytest.raises(GameError, match="no weights to shuffle"):
        randomised(Toy(lambda there: there.sum(1, keepdim=True), 3))


def test_labels_by_luck_are_learnt_by_heart_and_the_model_stays():
    model = picture_net(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    luck = torch.get_rng_state()
    drawings = [Sketch(scribble(i, 4).strokes, label=model.labels[i % 4]) for i in range(24)]
    parrot = relabelled(model, drawings, epochs=80)
    assert parrot.accuracy >= 0.95
    batch = batch_of(*(model.prepare(s) for s in drawings))
    said = parrot.model(batch).argmax(1)
    true = torch.tensor([i % 4 for i in range(24)])
    assert (said == true).float().mean() < 0.6  # it learnt others
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert model.module[4].p == 0.5
    assert (torch.get_rng_state() == luck).all()
    again = relabelled(model, drawings, epochs=80)
    assert not changed(parrot.model, again.model)


def test_nothing_can_be_learnt_without_a_gradient():
    class Detached(torch.nn.Module):
        labels = ("a", "b")

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(2))

        def prepare(self, sketch):
            return sketch

        def forward(self, batch):
            return (torch.ones(len(batch), 1) * self.weight).detach()

    with pytest.raises(GameError, match="no gradient to its weights"):
        relabelled(Detached(), [Sketch(scribble().strokes, label="a")])


@pytest.mark.parametrize("make", [stroke_net, picture_net])
def test_a_shift_moves_what_the_model_reads_and_leaves_the_model(make):
    model, sketch = make(), scribble(4)
    other = shifted(model, (0.1, -0.2))
    away = other.prepare(sketch).points - model.prepare(sketch).points
    np.testing.assert_allclose(away, np.tile([0.1, -0.2], (len(away), 1)), atol=1e-12)
    assert isinstance(other, StrokeModel if make is stroke_net else PictureModel)
    batch = batch_of(model.prepare(sketch))
    with torch.no_grad():
        torch.testing.assert_close(other(batch), model(batch))
        moved = batch_of(other.prepare(sketch))
        assert not torch.allclose(model(moved), model(batch))
    assert other.labels == model.labels
