"""The gradient of a loss on attention: against finite differences, before and after the layer."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sightline.alignment.looking import MapSource
from sightline.alignment.losses import (
    GradiaLoss,
    HaicsLoss,
    HintLoss,
    ResLoss,
    RrrLoss,
    best_threshold,
    signs,
    unit,
)
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.wanted import Wanted
from sightline.image.batch import PictureBatch

STEP = 1e-4
ITEMS, SIZE = 4, 12
LAYER = "5"
TARGET = torch.tensor([0, 1, 2, 1])

LOSSES = {
    "gradia": GradiaLoss(),
    "res": ResLoss(),
    "res, alone": ResLoss("none", slack=0.0),
    "res, learnt": ResLoss("learnt").double(),
    "haics": HaicsLoss(),
    "rrr": RrrLoss(),
    "hint": HintLoss(),
}


class Smooth(nn.Sequential):
    """Batch normalisation before and after layer 5, then two linear layers; no kinks."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.Conv2d(4, 5, 3, padding=1),
            nn.BatchNorm2d(5),
            nn.SiLU(),
            nn.Conv2d(5, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(36, 6),
            nn.Tanh(),
            nn.Linear(6, 3),
        )


@functools.cache
def picture_net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Smooth().double().train()
        for weight in net.parameters():
            nn.init.normal_(weight, std=0.5)
    return net


@functools.cache
def token_net() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        image_size=SIZE,
        patch_size=4,
        num_labels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = ViTForImageClassification(config).double().train()
        for weight in net.parameters():
            nn.init.normal_(weight, std=0.4)
    return net


def batch() -> tuple[PictureBatch, Wanted]:
    luck = torch.Generator().manual_seed(5)
    pixels = torch.rand(ITEMS, 3, SIZE, SIZE, dtype=torch.float64, generator=luck)
    must, must_not = torch.zeros(2, ITEMS, SIZE, SIZE, dtype=torch.float64)
    must[:, 2:8, 1:7] = 1
    must_not[:, 8:, 5:] = 0.9
    must_not[3] = 0
    return PictureBatch(pixels), Wanted(must, must_not, torch.ones(ITEMS).double())


def total(net: nn.Module, source: MapSource, loss, held: Tensor | None = None) -> Tensor:
    """The loss of the batch. What RES chooses is held where finite differences want it held."""
    inputs, wanted = batch()
    maps = source.look(net, inputs).maps(TARGET)
    return (loss(maps, wanted) if held is None else loss(maps, wanted, held)).sum()


def chosen(net: nn.Module, source: MapSource, loss) -> Tensor | None:
    if not isinstance(loss, ResLoss):
        return None
    inputs, wanted = batch()
    maps = source.look(net, inputs).maps(TARGET).detach()
    every = torch.ones_like(maps, dtype=torch.bool).flatten(1)
    return best_threshold(unit(maps.flatten(1), every), signs(maps, wanted))


def by_differences(answer, weight: Tensor, place: int) -> float:
    """Fourth order: the slope of a loss by one number of one weight, no autograd on weights."""
    flat = weight.detach().view(-1)  # shares memory with the weight
    before = flat[place].item()
    found = 0.0
    for steps, share in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
        flat[place] = before + steps * STEP
        found += share * answer().item()
    flat[place] = before
    return found / (12 * STEP)


def compare(net: nn.Module, source: MapSource, loss, seed: int = 0) -> dict[str, tuple]:
    """Of each weight one number drawn at random: (autograd's slope, that of differences)."""
    names, weights = zip(*net.named_parameters(), strict=True)
    found = torch.autograd.grad(total(net, source, loss), weights, allow_unused=True)
    luck, held = np.random.default_rng(seed), chosen(net, source, loss)
    places = [int(luck.integers(w.numel())) for w in weights]
    return {
        name: (
            0.0 if slope is None else slope.flatten()[place].item(),
            by_differences(lambda: total(net, source, loss, held), weight, place),
        )
        for name, weight, slope, place in zip(names, weights, found, places, strict=True)
    }


def far(pairs: dict[str, tuple]) -> dict[str, float]:
    """By how much slopes differ, of the larger of their size and a thousandth of the largest."""
    largest = max(abs(d) for _, d in pairs.values())
    return {n: abs(g - d) / max(abs(d), 1e-3 * largest) for n, (g, d) in pairs.items()}


def after(names) -> list[str]:
    return [name for name in names if int(name.split(".")[0]) > int(LAYER)]


@pytest.mark.parametrize("name", LOSSES)
def test_exact_before_and_after_the_layer(name):
    pairs = compare(picture_net(), GradCamMaps(LAYER), LOSSES[name])
    assert max(far(pairs).values()) < 1e-5, far(pairs)
    moved = [n for n in after(pairs) if abs(pairs[n][1]) > 1e-4]
    assert {n.split(".")[0] for n in moved} >= {"7", "10", "12"}
    assert any(abs(pairs[n][1]) > 1e-4 for n in pairs if n not in after(pairs))


@pytest.mark.parametrize("name", LOSSES)
def test_as_programmed_fails_the_same_check(name):
    pairs = compare(picture_net(), GradCamMaps(LAYER, exact=False), LOSSES[name])
    assert [pairs[n][0] for n in after(pairs)] == [0.0] * 8  # what comes after learns nothing
    assert max(abs(pairs[n][1]) for n in after(pairs)) > 1e-3
    before = {n: d for n, d in far(pairs).items() if n not in after(pairs)}
    assert max(before.values()) > 0.01


def test_as_programmed_gives_no_gradient_at_all_after_the_layer():
    net = picture_net()
    loss = total(net, GradCamMaps(LAYER, exact=False), GradiaLoss())
    weights = [w for n, w in net.named_parameters() if n in after([n])]
    assert torch.autograd.grad(loss, weights, allow_unused=True) == (None,) * 8


def test_the_maps_are_the_same():
    inputs, _ = batch()
    both = [
        GradCamMaps(LAYER, exact=e).look(picture_net(), inputs).maps(TARGET) for e in (False, True)
    ]
    assert torch.equal(*both)


def test_rrr_on_input_gradients():
    pairs = compare(picture_net(), InputGradients(), RrrLoss())
    assert max(far(pairs).values()) < 1e-5, far(pairs)
    assert sum(abs(d) > 1e-3 for _, d in pairs.values()) > 8


@pytest.mark.parametrize("name", ["gradia", "res", "haics", "rrr", "hint"])
def test_of_tokens(name):
    pairs = compare(token_net(), GradCamMaps(), LOSSES[name])
    assert max(far(pairs).values()) < 1e-5, far(pairs)
    assert abs(pairs["classifier.weight"][1]) > 1e-4
    assert abs(pairs["vit.layers.1.mlp.fc1.weight"][1]) > 1e-6
    assert abs(pairs["vit.embeddings.patch_embeddings.projection.weight"][1]) > 1e-6


def test_of_tokens_by_input_gradients():
    pairs = compare(token_net(), InputGradients(), RrrLoss())
    assert max(far(pairs).values()) < 1e-5, far(pairs)


def test_of_tokens_as_programmed_fails():
    pairs = compare(token_net(), GradCamMaps(exact=False), GradiaLoss())
    assert max(far(pairs).values()) > 0.01
    assert pairs["classifier.weight"][0] == 0.0
    assert abs(pairs["classifier.weight"][1]) > 1e-4


def test_the_learnt_imputation_is_exact_too():
    net, loss, source = picture_net(), ResLoss("learnt").double(), GradCamMaps(LAYER)
    with torch.no_grad():  # a symmetric kernel ties the largest places of a symmetric mask: a kink
        loss.kernel += torch.linspace(-0.02, 0.03, 9).view(1, 1, 3, 3)
    (slope,) = torch.autograd.grad(total(net, source, loss), [loss.kernel])
    held = chosen(net, source, loss)
    for place in (0, 4, 7):
        found = by_differences(lambda: total(net, source, loss, held), loss.kernel, place)
        assert slope.flatten()[place].item() == pytest.approx(found, rel=1e-5)
        assert abs(found) > 1e-5
