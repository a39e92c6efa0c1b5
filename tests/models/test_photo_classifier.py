"""Classifiers of photos: plain modules, and ResNet and ViT of transformers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from query_detectors import NAMES, noise
from sightline.errors import ModelError
from sightline.models.detector import DenseDetector, PhotoClassifier
from sightline.models.photo_classifier import PictureClassifier


class Means(nn.Module):
    """The mean of each channel as it came."""

    def forward(self, x):
        return x.mean((2, 3))


def test_what_the_network_reads_by_hand():
    means = PictureClassifier(Means(), size=(4, 6), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))
    picture = torch.tensor([1.0, 0.5, 1.0])[None, :, None, None].expand(2, 3, 4, 6)
    assert means.look(picture).tolist() == [[1.0, 1.0, 0.5]] * 2
    frame = means.frame(40, 30)
    assert frame.picture == (4, 6)
    assert frame.scale == (0.2, 0.1)
    assert frame.resampling == "bilinear"
    assert isinstance(means, PhotoClassifier)
    assert not isinstance(means, DenseDetector)


def test_imagenet_is_the_default():
    picture = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None].expand(1, 3, 224, 224)
    torch.testing.assert_close(PictureClassifier(Means()).look(picture), torch.zeros(1, 3))
    assert PictureClassifier(Means()).frame(10, 10).picture == (224, 224)


def resnet() -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], id2label=dict(enumerate(NAMES))
    )
    return ResNetForImageClassification(config)


def vit() -> nn.Module:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(NAMES)),
    )
    return ViTForImageClassification(config)


@pytest.mark.parametrize("build", [resnet, vit])
def test_classifiers_of_transformers(build):
    pytest.importorskip("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build().eval()
    door = PictureClassifier(module, size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert door.labels == tuple(NAMES)
    assert not door.training
    picture = door.frame(90, 120).pixels(noise(90, 120))[None].requires_grad_()
    logits = door.look(picture)
    assert torch.equal(logits, module(pixel_values=(picture - 0.5) / 0.5).logits)
    (slope,) = torch.autograd.grad(logits[0, 2], picture)
    assert float(slope.abs().max()) > 0
    together = door.look(torch.cat([picture, picture * 0.5]))
    torch.testing.assert_close(together[:1], logits, atol=1e-6, rtol=0)


def test_precision_follows_the_weights():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
    assert PictureClassifier(linear, size=(2, 2)).look(torch.zeros(1, 3, 2, 2)).dtype == (
        torch.float64
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_halves_are_shown_halves(dtype):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).to(dtype)
    picture = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    door = PictureClassifier(linear, size=(2, 2), mean=(0.5,) * 3, std=(0.5,) * 3)
    logits = door.look(picture)
    assert torch.equal(logits, linear(((picture - 0.5) / 0.5).to(dtype)))
    (slope,) = torch.autograd.grad(logits[0, 0], picture)
    assert slope.dtype == torch.float32
    assert float(slope.abs().min()) > 0


def test_what_does_not_fit_is_told():
    with pytest.raises(ModelError, match="Means knows 3 classes, 2 labels were given"):
        PictureClassifier(Means(), labels=["a", "b"]).look(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"Flatten answered \[192\]; expected logits \[1, classes"):
        PictureClassifier(nn.Flatten(0)).look(torch.zeros(1, 3, 8, 8))
    detector = Means()
    detector.forward = lambda x: SimpleNamespace(boxes=x)
    with pytest.raises(ModelError, match="Means answered SimpleNamespace; expected logits"):
        PictureClassifier(detector).look(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ModelError, match=r"size \(0, 8\).* expected at least 1 x 1 pixels"):
        PictureClassifier(Means(), size=(0, 8))
    with pytest.raises(ModelError, match=r"std \[1, 0, 1\]; expected"):
        PictureClassifier(Means(), std=(1, 0, 1))
