"""The small generator: what it answers, what it depends on, what it refuses."""

from __future__ import annotations

import pytest
import torch

from sightline.errors import ModelError
from sightline.models.generator import Generator, RasterGenerator
from sightline.models.small_generator import SmallGenerator, small_generator
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


@pytest.fixture
def net() -> SmallGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallGenerator(width=4).eval()


def ink(count: int = 2, side: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(seed))


def test_all_weights_of_the_head_zero_make_its_bias(net):
    torch.nn.init.zeros_(net.head.weight)
    net.head.bias.data = torch.tensor([0.0, 20.0, -20.0])
    with torch.no_grad():
        made = net(ink())
    assert made.shape == (2, 3, 64, 64)
    assert (made.amax((0, 2, 3)) - torch.tensor([0.5, 1.0, 0.0])).abs().max() < 1e-6
    assert (made.amin((0, 2, 3)) - torch.tensor([0.5, 1.0, 0.0])).abs().max() < 1e-6


def test_what_was_seen_at_each_size_is_handed_over(net):
    """Channels: 4 at 64 pixels, 8, 12, 16 at 8; on the way up each meets its like."""
    assert [stage[0].in_channels for stage in net.up] == [16 + 12, 12 + 8, 8 + 4]
    assert [stage[0].out_channels for stage in net.up] == [12, 8, 4]
    seen = []
    for stage in (net.coarse, *net.up):
        stage.register_forward_hook(lambda _, given, made: seen.append(made.shape[-1]))
    with torch.no_grad():
        net(ink())
    assert seen == [8, 16, 32, 64]


def test_the_middle_sees_the_corners(net):
    """A part is filled whose lines are far apart."""
    drawn = ink(1).double().requires_grad_()
    net.double()(drawn)[0, :, 32, 32].sum().backward()
    reach = drawn.grad[0, 0].abs() > 0
    assert reach[2:-2, 2:-2].float().mean() > 0.9


def test_pictures_do_not_depend_on_their_batch(net):
    with torch.no_grad():
        together = net(ink(3))
        alone = torch.cat([net(one[None]) for one in ink(3)])
    assert (together - alone).abs().max() < 1e-6
    assert 0 <= float(together.min()) < float(together.max()) <= 1


@pytest.mark.parametrize("side", [8, 24, 128])
def test_other_sides_that_eight_divides(net, side):
    with torch.no_grad():
        assert net(ink(1, side)).shape == (1, 3, side, side)


def test_what_it_cannot_read_is_told(net):
    with pytest.raises(ModelError, match=r"\[60, 60\] pixels; give sides that 8 divides"):
        net(ink(1, 60))
    with pytest.raises(ModelError, match="width is 0; it must be at least 1"):
        SmallGenerator(width=0)


def test_it_is_a_generator_of_drawings():
    generator = small_generator(width=4).eval()
    assert isinstance(generator, RasterGenerator)
    assert isinstance(generator, Generator)
    cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
    made = generator(SketchBatch.from_sketches([generator.prepare(cross)]))
    assert made.shape == (1, 3, 64, 64)
    made.sum().backward()
    assert generator.raster.module.stem[0].weight.grad.abs().max() > 0
