"""The small residual network of ours."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.models.detector import PhotoClassifier
from sightline.models.small_resnet import SmallResNet, small_resnet
from toys import unchecked


def pictures(count: int = 3, side: int = 32, channels: int = 3, dtype=torch.float32):
    luck = torch.Generator().manual_seed(count)
    return torch.randn(count, channels, side, side, generator=luck, dtype=dtype)


def seeded(*arguments, **settings) -> SmallResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SmallResNet(*arguments, **settings)


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "stem_stride", "cells"),
    [(28, 1, 7), (28, 2, 4), (48, 2, 6), (64, 2, 8), (65, 2, 9), (128, 2, 16), (1, 2, 1)],
)
def test_the_last_map_by_hand(side, stem_stride, cells):
    model = seeded(5, widths=(8, 12, 16), stem_stride=stem_stride)
    assert model.features(pictures(2, side)).shape == (2, 16, cells, cells)
    assert model(pictures(2, side)).shape == (2, 5)


@pytest.mark.parametrize("side", [28, 32, 40, 47, 48, 56, 64, 100, 128])
def test_a_map_has_places_to_speak_of(side):
    model = small_resnet(["a", "b"], (side, side), widths=(8, 8, 8))
    assert min(model.module.features(pictures(1, side)).shape[2:]) >= 6


def test_blocks_and_channels():
    model = seeded(2, channels=1, widths=(8, 16), blocks=2)
    assert [len(stage) for stage in model.stages] == [2, 2]
    assert model.features(pictures(2, 28, 1)).shape == (2, 16, 7, 7)


# --- an independent oracle ------------------------------------------------------------------------


def plainly(state: dict, x, stem_stride: int):
    """Group norm written out; widths of three stages of one block."""

    def norm(x, name):
        groups = x.unflatten(1, (8, -1)).flatten(2)
        mean, var = groups.mean(2, keepdim=True), groups.var(2, keepdim=True, unbiased=False)
        flat = ((groups - mean) / (var + 1e-5).sqrt()).view(x.shape)
        return flat * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def conv(x, name, stride=1):
        kernel = state[f"{name}.weight"]
        return F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    x = norm(conv(x, "stem.0", stem_stride), "stem.1").relu()
    for stage in range(3):
        name, stride = f"stages.{stage}.0", 1 if stage == 0 else 2
        y = norm(conv(x, f"{name}.first.0", stride), f"{name}.first.1").relu()
        y = norm(conv(y, f"{name}.second.0"), f"{name}.second.1")
        if stage > 0:
            x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
            x = norm(conv(x, f"{name}.skip.0"), f"{name}.skip.1")
        x = (x + y).relu()
    return x.flatten(2).mean(2) @ state["head.weight"].T + state["head.bias"]


@pytest.mark.parametrize("stem_stride", [1, 2])
def test_it_computes_what_it_says(stem_stride):
    model = seeded(4, widths=(8, 16, 24), stem_stride=stem_stride).double()
    for name, weight in model.named_parameters():  # norms that do something
        if weight.dim() == 1:
            luck = torch.Generator().manual_seed(len(name))
            weight.data += torch.rand(weight.shape, generator=luck, dtype=torch.float64)
    given = pictures(3, 32, dtype=torch.float64)
    expected = plainly(model.state_dict(), given, stem_stride)
    torch.testing.assert_close(model(given), expected, rtol=1e-10, atol=1e-10)


# --- laws -----------------------------------------------------------------------------------------


def test_with_group_norm_no_picture_hears_of_the_others():
    model, given = seeded(3, widths=(8, 8, 8)).double(), pictures(4, dtype=torch.float64)
    alone = torch.cat([model(one[None]) for one in given])
    torch.testing.assert_close(model(given), alone, rtol=1e-12, atol=1e-12)
    assert torch.equal(model.train()(given), model.eval()(given))
    assert not list(model.buffers())


def test_with_batch_norm_it_does():
    model, given = seeded(3, widths=(8, 8, 8), norm="batch").double(), pictures(4).double()
    assert not torch.allclose(model.train()(given)[:1], model(given[:1]))


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_every_weight_learns_also_through_a_second_derivative(norm):
    """Few channels and strides of 2, where oneDNN once crashed."""
    model = seeded(2, widths=(8, 8, 8), norm=norm)
    given = pictures(2).requires_grad_()
    (slope,) = torch.autograd.grad(model(given)[:, 0].sum(), given, create_graph=True)
    (slope.square().sum() + model(given).square().sum()).backward()
    assert all(float(weight.grad.abs().max()) > 0 for weight in model.parameters())


def test_the_seed_decides_and_luck_is_left_alone():
    before = torch.random.get_rng_state()
    first, same, other = (small_resnet(["a", "b"], seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [model.module.stem[0].weight for model in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_as_a_classifier_of_photos():
    model = small_resnet(["duck", "cup"], (48, 64))
    assert isinstance(model, PhotoClassifier)
    assert model.labels == ("duck", "cup")
    assert model.frame(100, 200).picture == (48, 64)
    grey = torch.full((1, 3, 48, 64), 0.5)  # the mean: nothing is left of it
    assert torch.equal(model.look(grey), model.module(torch.zeros(1, 3, 48, 64)))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"widths": ()}, r"widths \[\], .*; expected at least 1 of each"),
        ({"widths": (8, 0)}, r"widths \[8, 0\]"),
        ({"blocks": 0}, "blocks 0"),
        ({"channels": 0}, "channels 0"),
        ({"stem_stride": 3}, "stem_stride 3; .* a stride of 1 or 2"),
        ({"norm": "grup"}, "unknown norm 'grup'; did you mean 'group'"),
    ],
)
def test_what_cannot_be_built_is_told(settings, told):
    with unchecked(), pytest.raises(ModelError, match=told):
        SmallResNet(2, **settings)


def test_without_labels():
    with pytest.raises(ModelError, match="classes 0"):
        small_resnet([])
