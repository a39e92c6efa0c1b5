"""Maps inside a training step: by hand, place by place, whole batches, and the model as it came."""

from __future__ import annotations

import copy
import gc

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nets import Folded, Patches, seeded
from oracles import cam as oracle
from sightline.alignment import map_sources
from sightline.alignment.looking import MapSource
from sightline.alignment.losses import GradiaLoss
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.wanted import Wanted
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.models.photo_classifier import PictureClassifier
from toys import batch_of, picture_net, scribble, stroke_net

SOURCES = [GradCamMaps(), GradCamMaps(exact=False), InputGradients()]
TARGET = torch.tensor([0, 2, 1, 2])


def pictures(items: int = 4, size: int = 16, seed: int = 0, dtype=torch.float64) -> PictureBatch:
    luck = torch.Generator().manual_seed(seed)
    return PictureBatch(torch.rand(items, 3, size, size, dtype=dtype, generator=luck))


def cnn(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 5, 3, stride=2, padding=1),
            nn.BatchNorm2d(5),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(20, 6),
            nn.Tanh(),
            nn.Linear(6, 3),
        )
        for weight in net.parameters():
            nn.init.normal_(weight, std=0.5)
    return net.double().eval()


def vit(**settings):
    from transformers import ViTConfig, ViTForImageClassification

    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = ViTConfig(**shape, intermediate_size=12, image_size=16, patch_size=4, **settings)
        net = ViTForImageClassification(config)
        for weight in net.parameters():
            nn.init.normal_(weight, std=0.4)
    return net.double().eval()


def resnet():
    from transformers import ResNetConfig, ResNetForImageClassification

    shape = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "num_labels": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        net = ResNetForImageClassification(ResNetConfig(**shape, layer_type="basic"))
    return net.double().eval()


def picked(net: nn.Module, inputs=None, layer: str | None = None) -> str:
    """The layer that is read."""
    root, inputs = map_sources._network(net), inputs or pictures()
    return map_sources._place(root, net, inputs, layer)[0]


# --- by hand, and place by place ------------------------------------------------------------------


def test_by_hand():
    """Two maps, x and 2 x; the class weighs their places by 1 0 3 -2 and 4 0 0 0: w = 1/2, 1."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 2, bias=False))
    net[0].weight.data = torch.tensor([1.0, 2.0])[:, None, None, None]
    net[2].weight.data = torch.tensor([[1.0, 0, 3, -2, 4, 0, 0, 0], [0] * 8])
    x = torch.tensor([[[[1.0, -2.0], [3.0, 0.5]]]])
    looked = GradCamMaps().look(net, PictureBatch(x))
    assert looked.maps(torch.tensor([0])).tolist() == (x[:, 0] * (0.5 * 1 + 1 * 2)).tolist()
    assert looked.maps(torch.tensor([1])).abs().max() == 0
    assert torch.equal(looked.logits, net(x))


@pytest.mark.parametrize("layer", ["0", "4", "5"])
def test_of_each_item_as_by_differences(layer):
    net, inputs = cnn(), pictures()
    found = GradCamMaps(layer).look(net, inputs).maps(TARGET)
    cut = int(layer) + 1
    still = copy.deepcopy(net)
    for module in still:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    for item, target in enumerate(TARGET.tolist()):
        with torch.no_grad():
            features = still[:cut](inputs.pixels[[item]])[0].numpy()

        def head(maps, target=target):
            with torch.no_grad():
                return still[cut:](torch.from_numpy(maps)[None])[0, target].item()

        slope = oracle.slopes_by_differences(head, features)
        expected = oracle.grad_cam(features, slope)
        np.testing.assert_allclose(found[item].detach(), expected, atol=1e-7)
        assert np.abs(expected).max() > 1e-3


def test_input_gradients_by_hand():
    """Of a linear softmax: sum_k W_k - K sum_j p_j W_j."""
    net, inputs = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double(), pictures(size=4)
    looked = InputGradients().look(net, inputs)
    weight, share = net[1].weight, looked.logits.softmax(1)
    expected = (weight.sum(0) - 3 * share @ weight).view(4, 3, 4, 4)
    np.testing.assert_allclose(looked.maps(TARGET).detach(), expected.detach(), atol=1e-12)
    assert torch.equal(looked.maps(TARGET), looked.maps(1 - TARGET.clamp(max=1)))


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("build", [cnn, vit, resnet])
def test_a_batch_is_its_items_one_by_one(source, build):
    net, inputs = build(), pictures()
    together = source.look(net, inputs)
    maps = together.maps(TARGET).detach()
    assert maps.abs().amax(list(range(1, maps.dim()))).min() > 1e-8
    for item in range(4):
        rows = torch.tensor([item])
        alone = source.look(net, inputs.select(rows))
        np.testing.assert_allclose(alone.logits.detach(), together.logits[rows].detach())
        np.testing.assert_allclose(alone.maps(TARGET[rows]).detach(), maps[rows], atol=1e-10)


def test_gradients_of_a_batch_are_the_sum_of_its_items():
    """The way of one forward pass an item, in evaluation mode."""
    net, inputs = cnn(), pictures()
    must = torch.zeros(4, 16, 16, dtype=torch.float64)
    must[:, 3:9, 5:] = 1
    wanted = Wanted(must, torch.zeros_like(must), torch.ones(4).double())

    def slopes(rows: torch.Tensor) -> list[torch.Tensor]:
        looked = GradCamMaps().look(net, inputs.select(rows))
        loss = GradiaLoss()(looked.maps(TARGET[rows]), wanted.select(rows)).sum()
        return list(torch.autograd.grad(loss, list(net.parameters())[:-1]))

    one_by_one = [slopes(torch.tensor([item])) for item in range(4)]
    for whole, *parts in zip(slopes(torch.arange(4)), *one_by_one, strict=True):
        np.testing.assert_allclose(whole, sum(parts), atol=1e-10)
        assert whole.any()


def test_one_forward_pass_for_the_batch_and_one_probe_for_the_model():
    net, sizes = cnn(), []
    net.register_forward_hook(lambda _module, given, _out: sizes.append(len(given[0])))
    for _ in range(3):
        looked = GradCamMaps().look(net, pictures())
        looked.maps(TARGET)
        looked.maps(1 - TARGET.clamp(max=1))
    assert sizes == [1, 4, 4, 4]


def test_task_and_map_share_the_pass():
    net = cnn()
    looked = GradCamMaps().look(net, pictures())
    (looked.maps(TARGET).sum() + looked.logits.sum()).backward()
    assert all(weight.grad is not None for weight in net.parameters())


# --- the model as it came -------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
def test_training_mode_stays_and_counts_one_batch(source):
    net, inputs = cnn().train(), pictures()
    expected = copy.deepcopy(net)
    state = torch.random.get_rng_state()
    logits = source.look(net, inputs).logits
    torch.random.set_rng_state(state)
    assert torch.equal(logits, expected(inputs.pixels))  # the same dropout, the same batch
    assert all(module.training for module in net.modules())
    for name, buffer in net.named_buffers():
        assert torch.equal(buffer, dict(expected.named_buffers())[name])
    assert int(net[1].num_batches_tracked) == 1


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(source, fails):
    net, inputs = cnn(), pictures()
    source.look(net, inputs)
    net[0].weight.requires_grad_(False)
    if fails:
        net[-1] = nn.Linear(7, 3).double()
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            source.look(net, inputs)
    else:
        source.look(net, inputs).maps(TARGET)
    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())
    assert [w.requires_grad for w in net.parameters()] == [False] + [True] * 11
    assert all(w.grad is None for w in net.parameters())
    assert not inputs.pixels.requires_grad
    assert inputs.pixels.grad is None


def test_what_is_remembered_dies_with_the_model():
    net = cnn()
    GradCamMaps().look(net, pictures()).maps(TARGET)
    before = len(map_sources._KNOWN)
    del net
    gc.collect()
    assert len(map_sources._KNOWN) == before - 1


# --- which layer ----------------------------------------------------------------------------------


def test_default_layers():
    assert picked(cnn()) == "7"
    assert picked(cnn()[:7].append(nn.Sequential(nn.Flatten(), nn.Linear(80, 3)).double())) == "6"
    assert picked(resnet()) == "resnet.encoder.stages.1"
    assert picked(vit()) == "vit.layers.1.layernorm_before"  # after it only the class token counts
    sketch = batch_of(scribble(3, 4, longest=20), dtype=torch.float64)
    assert picked(seeded(Folded), sketch) == "pool"
    assert picked(seeded(Patches), sketch) == "blocks.1.before"
    assert picked(seeded(lambda: Patches(class_token=False)), sketch) == "norm"
    classifier = PictureClassifier(cnn(), labels=["a", "b", "c"], size=(16, 16))
    assert picked(classifier) == "7"


@pytest.mark.parametrize("build", [Folded, Patches, lambda: Patches(class_token=False)])
def test_drawings_before_a_raster_model(build):
    net = seeded(build)
    batch = batch_of(scribble(3, 4, longest=20), scribble(4, 3, longest=20), dtype=torch.float64)
    looked = GradCamMaps().look(net, batch)
    maps = looked.maps(torch.tensor([1, 3]))
    assert maps.shape in {(2, 4, 4), (2, 8, 8)}
    assert maps.abs().amax((1, 2)).min() > 1e-6
    assert torch.equal(looked.logits, net(batch))


def test_a_layer_called_twice_is_read_in_its_last_call():
    net = seeded(Folded)
    batch = batch_of(scribble(3, 4, longest=20), dtype=torch.float64)
    maps = GradCamMaps("relu").look(net, batch).maps(torch.tensor([1]))
    assert maps.shape == (1, 8, 8)


def test_work_in_place_after_the_layer_leaves_the_map_alone():
    net, inputs = cnn(), pictures()
    expected = GradCamMaps("4").look(net, inputs).maps(TARGET)
    for module in net:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    found = GradCamMaps("4").look(net, inputs).maps(TARGET)
    assert torch.equal(found, expected)
    assert not torch.allclose(found, GradCamMaps("5").look(net, inputs).maps(TARGET))


def test_a_model_that_changed_is_looked_through_again():
    net = cnn()
    assert picked(net) == "7"
    head = nn.Sequential(nn.Flatten(), nn.Linear(80, 3)).double()
    del net[7:]
    net.append(head)
    del net[6]
    assert picked(net) == "5"


def test_a_layer_that_is_left_out():
    class Sometimes(nn.Sequential):
        whole = True

        def forward(self, x):
            return super().forward(x) if self.whole else self[7:](self[0:6](x))

    net = Sometimes(*cnn())
    source = GradCamMaps("6")
    source.look(net, pictures())
    net.whole = False
    with pytest.raises(AlignmentError, match="layer '6' was not called in this forward pass"):
        source.look(net, pictures()).maps(TARGET)


def test_layer_errors():
    net = vit()
    with pytest.raises(AlignmentError, match=r"unknown layer 'vit.layer.1'; did you mean 'vit.lay"):
        GradCamMaps("vit.layer.1").look(net, pictures())
    with pytest.raises(AlignmentError, match=r"layer 'classifier' gave \[1, 3\], not a feature"):
        GradCamMaps("classifier").look(net, pictures())
    with pytest.raises(AlignmentError, match=r"do not depend on the places of layer 'vit.layers.1"):
        GradCamMaps("vit.layers.1").look(net, pictures())
    flat = nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).double()
    with pytest.raises(AlignmentError, match=r"no layer of Sequential .*use InputGradients\(\)"):
        GradCamMaps().look(flat, pictures())
    with pytest.raises(AlignmentError, match="3 targets for 4 items"):
        GradCamMaps().look(cnn(), pictures()).maps(TARGET[:3])


# --- where no gradient would arrive ---------------------------------------------------------------


class Behind(nn.Module):
    """A backbone that is run in some way, and a head."""

    def __init__(self, run) -> None:
        super().__init__()
        net = cnn()
        self.backbone, self.head, self.run = net[:7], net[7:], run

    def forward(self, x):
        return self.head(self.run(self.backbone, x))


def without_gradients(backbone, x):
    with torch.no_grad():
        return backbone(x)


@pytest.mark.parametrize("exact", [True, False])
def test_features_under_no_grad(exact):
    source = GradCamMaps("backbone", exact=exact)
    looked = source.look(Behind(without_gradients), pictures())
    with pytest.raises(AlignmentError, match="the map is detached: layer 'backbone' was computed"):
        looked.maps(TARGET)


@pytest.mark.parametrize("build", [cnn, vit])
@pytest.mark.parametrize("source", SOURCES)
def test_everything_frozen(source, build):
    net = build().requires_grad_(False)
    looked = source.look(net, pictures())
    with pytest.raises(AlignmentError, match="the map is detached: no weight would learn"):
        looked.maps(TARGET)
    with torch.no_grad():
        assert looked.maps(TARGET).any()  # to look at, it will do


def test_a_model_that_detaches_its_answer():
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 3)).double()
    net.register_forward_hook(lambda _module, _given, out: out.detach())
    with pytest.raises(AlignmentError, match="the map is detached"):
        InputGradients().look(net, pictures()).maps(TARGET)


def test_behind_a_frozen_backbone_the_head_learns_what_it_would():
    net, inputs = cnn(), pictures()
    head = list(net[7:].parameters())
    expected = torch.autograd.grad(
        GradCamMaps().look(net, inputs).maps(TARGET).square().sum(), head, allow_unused=True
    )
    net[:7].requires_grad_(False)
    looked = GradCamMaps().look(net, inputs)
    found = torch.autograd.grad(looked.maps(TARGET).square().sum(), head, allow_unused=True)
    for mine, other in zip(found[:-1], expected[:-1], strict=True):
        np.testing.assert_allclose(mine, other)
        assert mine.any()
    held = GradCamMaps(exact=False).look(net, inputs)
    with pytest.raises(AlignmentError, match="the map is detached"):
        held.maps(TARGET)


@pytest.mark.parametrize("source", SOURCES)
def test_without_gradients_maps_are_numbers(source):
    net, inputs = cnn(), pictures()
    expected = source.look(net, inputs).maps(TARGET)
    with torch.no_grad():
        looked = source.look(net, inputs)
        maps = looked.maps(TARGET)
    assert not maps.requires_grad
    assert not looked.logits.requires_grad
    assert torch.equal(maps, expected)


@pytest.mark.parametrize("source", SOURCES)
def test_inference_mode(source):
    net, inputs = cnn(), pictures()
    with (
        torch.inference_mode(),
        pytest.raises(AlignmentError, match=r"under torch\.inference_mode"),
    ):
        source.look(net, inputs)
    with torch.inference_mode():
        made_there = cnn()
    with pytest.raises(AlignmentError, match=r"under torch\.inference_mode"):
        source.look(made_there, inputs)


@pytest.mark.parametrize("source", SOURCES)
def test_gradient_checkpointing(source):
    net = vit(hidden_dropout_prob=0.0)
    net.vit.layers[0].gradient_checkpointing = True  # as transformers sets it
    source.look(net, pictures()).maps(TARGET)  # in evaluation mode nothing is thrown away
    with pytest.raises(
        AlignmentError, match=r"checkpointing throws away \(gradient_checkpointing of 'vit"
    ):
        source.look(net.train(), pictures())


def test_a_checkpointed_head():
    """By torch's own function: one way fits, the other throws away what a map is made of."""
    expected = GradCamMaps("6").look(cnn(), pictures()).maps(TARGET)

    class Head(Behind):
        def forward(self, x):
            return checkpoint(self.head, self.backbone(x), use_reentrant=self.run)

    found = GradCamMaps("backbone").look(Head(False), pictures()).maps(TARGET)
    np.testing.assert_allclose(found.detach(), expected.detach())
    with pytest.raises(AlignmentError, match="gradient checkpointing throws away"):
        GradCamMaps("backbone").look(Head(True), pictures()).maps(TARGET)


# --- kinds of numbers, kinds of models ------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("build", [cnn, vit])
def test_under_autocast_maps_are_float32(source, build):
    net, inputs = build().float(), pictures(dtype=torch.float32)
    expected = source.look(net, inputs).maps(TARGET)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        looked = source.look(net, inputs)
        maps = looked.maps(TARGET)
    assert maps.dtype == torch.float32
    assert (maps - expected).abs().max() < 0.1 * expected.abs().max()
    maps.square().sum().backward()
    assert all(w.grad.isfinite().all() for w in net.parameters() if w.grad is not None)
    assert any(w.grad is not None and w.grad.any() for w in net.parameters())


def test_input_gradients_of_drawings():
    net = picture_net()
    batch = batch_of(scribble(1), scribble(2))
    looked = InputGradients().look(net, batch)
    assert looked.maps(torch.tensor([0, 1])).shape == (2, 1, 16, 16)
    assert torch.equal(looked.logits, net(batch))
    with pytest.raises(AlignmentError, match="SketchXAINet reads drawings as strokes"):
        InputGradients().look(stroke_net(), batch)


@pytest.mark.parametrize("source", SOURCES)
def test_sources_fit_the_protocol(source):
    assert isinstance(source, MapSource)
    assert source.settings["name"] in {"grad-cam", "input-gradients"}


def test_a_photo_classifier_normalises_its_pictures():
    net = cnn()
    classifier = PictureClassifier(net, labels=["a", "b", "c"], size=(16, 16))
    mean, std = (torch.tensor(t).double()[:, None, None] for t in (classifier.mean, classifier.std))
    inputs = pictures()
    shown = PictureBatch((inputs.pixels - mean) / std)
    found = GradCamMaps().look(classifier, inputs).maps(TARGET)
    np.testing.assert_allclose(
        found.detach(), GradCamMaps().look(net, shown).maps(TARGET).detach(), atol=1e-6
    )
