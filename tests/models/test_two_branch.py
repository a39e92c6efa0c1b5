"""Two small branches into one space."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.models.encoder import Encoder
from sightline.models.small_resnet import SmallResNet
from sightline.models.two_branch import Branch, two_branch
from sightline.sketch.raster import Rasteriser
from toys import batch_of, scribble, unchecked


def test_a_branch_by_hand():
    """The last map in 4 x 4 means, each place with weights of its own."""
    branch = Branch(3, channels=1, width=4)
    picture = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    last = branch.features(picture)[0]  # [16, 8, 8]
    means = last.unflatten(1, (4, 2)).unflatten(3, (4, 2)).mean((2, 4))
    wanted = branch.head.weight @ means.flatten() + branch.head.bias
    torch.testing.assert_close(branch(picture)[0], wanted)


def test_where_a_detail_is_matters():
    """A global mean would hardly tell a picture from its mirror image."""
    branch = Branch(8, channels=1, width=4)
    picture = torch.zeros(1, 1, 64, 64)
    picture[..., :16, :16] = 1
    both = branch(torch.cat([picture, picture.flip(3)]))
    assert (both[0] - both[1]).abs().max() > 0.05


def test_the_default_can_be_shipped():
    """Two million bytes hold both branches as float16."""
    encoder = two_branch(seed=0)
    counts = [sum(p.numel() for p in b.parameters()) for b in (encoder.sketch, encoder.photo)]
    assert all(350_000 < count < 450_000 for count in counts)
    assert 2 * sum(counts) < 1_900_000


def test_what_the_branches_read():
    encoder = two_branch(dimension=5, size=48, width=4)
    assert encoder.sketch.rasteriser == Rasteriser(size=48, line_width=0.05)
    assert encoder.sketch.epsilon == 2.0
    assert (encoder.photo.size, encoder.photo.resampling) == ((48, 48), "antialiased")
    assert encoder.sketch.labels == encoder.photo.labels == ()
    assert encoder.encode([scribble()]).shape == (1, 5)
    assert two_branch(width=4, measure="distance").measure == "distance"


def test_seeds():
    before = torch.random.get_rng_state()
    one, same, other = (two_branch(width=4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.fingerprint == same.fingerprint != other.fingerprint
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert two_branch(width=4).fingerprint == one.fingerprint
        assert two_branch(width=4).fingerprint != one.fingerprint


@pytest.mark.parametrize("width", [1, 3, 8])
@pytest.mark.parametrize("size", [32, 45, 64])
def test_every_width_and_size_can_be_differentiated(width, size):
    encoder = two_branch(dimension=3, size=size, width=width, seed=0)
    pictures = torch.rand(2, 3, size, size, requires_grad=True)
    vectors = encoder.photo.look(pictures).sum(0) + encoder.sketch.see(pictures[:, 0]).sum(0)
    vectors.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert pictures.grad.abs().sum() > 0


def test_vectors_in_training_are_those_of_evaluation():
    """No batch norm: a triplet's vectors do not tell who else is in the batch."""
    encoder = two_branch(width=4, seed=0).train()
    batch = batch_of(*(encoder.sketch.prepare(scribble(i)) for i in range(3)))
    together = encoder.sketch(batch)
    alone = encoder.eval().sketch(batch_of(encoder.sketch.prepare(scribble(1))))
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-6)


def test_an_ordinary_loop_trains_both_branches():
    """Four drawings learn whose photo is whose."""
    encoder = two_branch(dimension=8, width=4, size=32, seed=0).train()
    luck = torch.Generator().manual_seed(0)
    photos = torch.rand(4, 3, 32, 32, generator=luck)
    drawn = batch_of(*(encoder.sketch.prepare(scribble(i)) for i in range(4)))
    optimiser = torch.optim.Adam(encoder.parameters(), 1e-2)

    def loss():
        one = F.normalize(encoder.sketch(drawn))
        other = F.normalize(encoder.photo.look(photos))
        return F.cross_entropy(10 * one @ other.T, torch.arange(4))

    first = loss().item()
    for _ in range(25):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss().item() < first / 4


@pytest.mark.parametrize("wrong", [{"dimension": 0}, {"width": 0}, {"size": 31}], ids=str)
def test_shapes_that_are_none(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(ModelError, match=f"{name} {value}.*expected at least 1, 1, and 32 pixels"):
        two_branch(**wrong)


def test_an_unknown_measure():
    with unchecked(), pytest.raises(ModelError, match="unknown measure 'euclid'"):
        two_branch(width=2, measure="euclid")


def test_it_is_an_encoder_of_small_residual_nets():
    encoder = two_branch(width=2)
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder.sketch.module, SmallResNet)
    assert isinstance(encoder.photo.module, SmallResNet)
