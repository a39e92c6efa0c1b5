"""SSD300-VGG16: torchvision's names, its anchors, and its forward pass written out plainly."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.image.photo import Photo
from sightline.models.coco_labels import COCO_LABELS
from sightline.models.detector import DenseDetector
from sightline.models.ssd_vgg import SSDVGG, load_ssd_vgg

FEATURES = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
FEATURES |= {12: (256, 256), 14: (256, 256), 17: (256, 512), 19: (512, 512), 21: (512, 512)}
EXTRAS = [(1, 1024, 256, 512), (2, 512, 128, 256), (3, 256, 128, 256), (4, 256, 128, 256)]
HEADS = [(512, 4), (1024, 6), (512, 6), (256, 6), (256, 4), (256, 4)]


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = SSDVGG(("nothing", "cat", "dog")).eval().requires_grad_(False)
    for head in made.head.values():  # random weights say little; a bias for each shape of anchor
        for i, convolution in enumerate(head.module_list):
            convolution.bias.copy_(torch.linspace(-1, 1 + i / 10, len(convolution.bias)))
    return made


@pytest.fixture(scope="module")
def picture():
    return torch.rand(1, 3, 300, 300, generator=torch.Generator().manual_seed(8))


def _shapes(columns):
    """Names and shapes of torchvision's ssd300_vgg16, from its rules."""
    shapes = {"backbone.scale_weight": (512,)}

    def convolution(name, inputs, outputs, kernel):
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        shapes[f"{name}.bias"] = (outputs,)

    for i, (inputs, outputs) in FEATURES.items():
        convolution(f"backbone.features.{i}", inputs, outputs, 3)
    for i in (1, 3, 5):
        convolution(f"backbone.extra.0.{i}", 512, 512, 3)
    convolution("backbone.extra.0.7.1", 512, 1024, 3)
    convolution("backbone.extra.0.7.3", 1024, 1024, 1)
    for i, inputs, narrow, outputs in EXTRAS:
        convolution(f"backbone.extra.{i}.0", inputs, narrow, 1)
        convolution(f"backbone.extra.{i}.2", narrow, outputs, 3)
    for head, width in (("classification_head", columns), ("regression_head", 4)):
        for i, (inputs, shapes_of_anchor) in enumerate(HEADS):
            convolution(f"head.{head}.module_list.{i}", inputs, width * shapes_of_anchor, 3)
    return shapes


def test_names_and_shapes_are_torchvisions(model):
    state = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert list(state.items()) == list(_shapes(3).items())
    assert len(state) == 71
    # as torchvision counts the COCO weights
    assert sum(math.prod(shape) for shape in _shapes(91).values()) == 35_641_826
    assert torch.equal(model.backbone.scale_weight, torch.full((512,), 20.0))


def test_coco_labels():
    assert len(COCO_LABELS) == 91
    assert [COCO_LABELS[i] for i in (0, 1, 12, 13, 44, 90)] == [
        "__background__",
        "person",
        "N/A",
        "stop sign",
        "bottle",
        "toothbrush",
    ]
    assert sum(name != "N/A" for name in COCO_LABELS) == 81


def test_coco_labels_are_those_of_another_detector(data):
    lines = (data / "ssd_mobilenet_v1_coco_quant" / "labels.txt").read_text().splitlines()
    ours = ["???" if name in ("__background__", "N/A") else name for name in COCO_LABELS]
    assert ours == lines


def test_anchors_by_hand(model):
    assert model.anchors.shape == (8732, 4)
    assert torch.bincount(model.level).tolist() == [5776, 2166, 600, 150, 36, 4]
    # first cell of the first map: centre 4, 4; squares of 0.07 and sqrt(0.07 * 0.15) of 300
    wide, high = 21 * math.sqrt(2) / 2, 21 / math.sqrt(2) / 2
    between = 150 * math.sqrt(0.07 * 0.15)
    halves = [(10.5, 10.5), (between, between), (wide, high), (high, wide)]
    expected = torch.tensor([[4 - x, 4 - y, 4 + x, 4 + y] for x, y in halves])
    torch.testing.assert_close(model.anchors[:4], expected)
    # the next cell lies 8 to the right; the cell below 38 cells later
    torch.testing.assert_close(model.anchors[4:8], expected + torch.tensor([8.0, 0, 8, 0]))
    torch.testing.assert_close(model.anchors[152:156], expected + torch.tensor([0.0, 8, 0, 8]))
    # the last map: one cell, steps of 300; 0.87 * sqrt(2) is cut to the picture's width
    high = 261 / math.sqrt(2) / 2
    last = torch.tensor([[0, 150 - high, 300, 150 + high], [150 - high, 0, 150 + high, 300]])
    torch.testing.assert_close(model.anchors[-2:], last)
    # third shape pair of the second map (ratio 3), first cell at 8, 8
    x, y = 45 * math.sqrt(3) / 2, 45 / math.sqrt(3) / 2
    expected = torch.tensor([[8 - x, 8 - y, 8 + x, 8 + y], [8 - y, 8 - x, 8 + y, 8 + x]])
    torch.testing.assert_close(model.anchors[5780:5782], expected)


def _plain_maps(state, picture):
    """The six maps, layer by layer from the paper and torchvision's names."""

    def convolved(name, x, **how):
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how).relu()

    mean = torch.tensor([0.48235, 0.45882, 0.40784], dtype=picture.dtype)
    x = (picture - mean[:, None, None]) / (1 / 255)
    for i in FEATURES:
        if i in (5, 10):
            x = F.max_pool2d(x, 2)
        if i == 17:
            x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-math.inf), 2)
        x = convolved(f"backbone.features.{i}", x, padding=1)
    length = x.square().sum(1, keepdim=True).sqrt()
    maps = [x / length * state["backbone.scale_weight"][:, None, None]]
    x = F.max_pool2d(x, 2)
    for i in (1, 3, 5):
        x = convolved(f"backbone.extra.0.{i}", x, padding=1)
    x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-math.inf), 3, 1)
    x = convolved("backbone.extra.0.7.1", x, padding=6, dilation=6)
    maps.append(convolved("backbone.extra.0.7.3", x))
    for i, how in enumerate([{"stride": 2, "padding": 1}] * 2 + [{}] * 2, start=1):
        x = convolved(f"backbone.extra.{i}.0", maps[-1])
        maps.append(convolved(f"backbone.extra.{i}.2", x, **how))
    return maps


def test_dense_equals_the_layers_written_out(model, picture):
    state = model.state_dict()
    maps = _plain_maps(state, picture)
    with torch.no_grad():
        found = model.dense(picture)
    assert [tuple(m.shape[1:]) for m in found.features] == [
        (512, 38, 38),
        (1024, 19, 19),
        (512, 10, 10),
        (256, 5, 5),
        (256, 3, 3),
        (256, 1, 1),
    ]
    for ours, plain in zip(found.features, maps, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
    # one candidate of every map: shape 2 of the last cell, read from the channels by hand
    first = 0
    for i, plain in enumerate(maps):
        cells, shapes = plain.shape[-1], HEADS[i][1]
        candidate = first + (cells * cells - 1) * shapes + 2
        first += cells * cells * shapes
        values = [
            F.conv2d(plain, state[f"{name}.{i}.weight"], state[f"{name}.{i}.bias"], padding=1)
            for name in ("head.classification_head.module_list", "head.regression_head.module_list")
        ]
        logits = values[0][0, 6:9, -1, -1]
        torch.testing.assert_close(found.logits[0, candidate], logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.scores[0, candidate], logits.softmax(0), atol=1e-4, rtol=0)
        x, y, w, h = values[1][0, 8:12, -1, -1].tolist()
        x0, y0, x1, y1 = model.anchors[candidate].tolist()
        x, y = (x0 + x1) / 2 + x / 10 * (x1 - x0), (y0 + y1) / 2 + y / 10 * (y1 - y0)
        w, h = math.exp(w / 5) * (x1 - x0) / 2, math.exp(h / 5) * (y1 - y0) / 2
        expected = [x - w, y - h, x + w, y + h]
        assert found.boxes[0, candidate].tolist() == pytest.approx(expected, abs=2e-3)
        assert int(found.level[candidate]) == i
    assert first == 8732


def test_gradients_stop_at_the_maps(model, picture):
    found = model.dense(picture)
    candidate = 5776  # first of the second map
    (gradient,) = torch.autograd.grad(found.logits[0, candidate, 1], found.features[1])
    assert gradient.abs().sum() > 0
    assert gradient[0, :, 2:].abs().sum() == 0  # a head of 3 x 3 at the first cell
    assert all(feature.is_leaf for feature in found.features)


@pytest.mark.slow
def test_the_gradient_by_the_picture(model, picture):
    state = {name: value.double() for name, value in model.state_dict().items()}
    double = SSDVGG(model.labels).double().requires_grad_(False)
    double.load_state_dict(state)
    luck = torch.Generator().manual_seed(9)
    x = picture.double().requires_grad_()
    (gradient,) = torch.autograd.grad(double.dense(x).scores[0, 5000, 1], x)
    way = torch.randn(x.shape, generator=luck, dtype=x.dtype)
    step = 1e-9  # so small because millions of units have a kink somewhere near
    with torch.no_grad():
        ends = [float(double.dense(x + s * way).scores[0, 5000, 1]) for s in (step, -step)]
    slope = (ends[0] - ends[1]) / (2 * step)
    assert float((gradient * way).sum()) == pytest.approx(slope, rel=1e-4)


def test_detect_reports_in_pixels_of_the_photo(model):
    luck = np.random.default_rng(1)
    photo = Photo(luck.integers(0, 256, (60, 90, 3), dtype=np.uint8))
    model.train()
    model.backbone.scale_weight.requires_grad_()
    try:
        (found,) = model.detect([photo], threshold=0.4)
        assert model.training
        assert model.backbone.scale_weight.requires_grad
    finally:
        model.eval().requires_grad_(False)
    assert 0 < len(found) <= 200
    assert bool((found.scores >= 0.4).all())
    assert set(found.names) <= {"cat", "dog"}
    assert bool((found.boxes <= torch.tensor([90, 60, 90, 60])).all())
    assert bool((found.boxes >= 0).all())
    picture = model.frame(60, 90).pixels(photo)
    plain = F.interpolate(
        torch.from_numpy(photo.pixels).permute(2, 0, 1)[None] / 255, (300, 300), mode="bilinear"
    )[0]
    torch.testing.assert_close(picture, plain)
    with torch.no_grad():
        dense = model.dense(picture[None])
    torch.testing.assert_close(found.distributions, dense.scores[0, found.candidates])
    moved = dense.boxes[0, found.candidates] * torch.tensor([0.3, 0.2, 0.3, 0.2])
    torch.testing.assert_close(
        found.boxes, moved.clamp(min=0).minimum(torch.tensor([90.0, 60, 90, 60]))
    )


def test_it_is_a_dense_detector(model):
    assert isinstance(model, DenseDetector)
    assert model.labels == ("nothing", "cat", "dog")
    assert model.detect([]) == []


def test_pictures_of_another_size_are_refused(model):
    with pytest.raises(ModelError, match="224 x 300 pixels; this detector reads 300 x 300"):
        model.dense(torch.zeros(1, 3, 224, 300))


def test_weights_are_read_from_both_formats(model, picture, tmp_path):
    from safetensors.torch import save_file

    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    torch.save(state, tmp_path / "ssd.pth")
    save_file(state, tmp_path / "ssd.safetensors")
    before = torch.random.get_rng_state()
    for name in ("ssd.pth", "ssd.safetensors"):
        loaded = load_ssd_vgg(tmp_path / name, labels=model.labels)
        assert not loaded.training
        for key, value in loaded.state_dict().items():
            assert torch.equal(value, state[key])
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.dense(picture).scores, model.dense(picture).scores, rtol=0, atol=2e-5
        )


def test_weights_that_do_not_fit_are_told(model, tmp_path):
    with pytest.raises(
        ModelError, match=r"no weights at .*nowhere\.pth; give the file of torchvis"
    ):
        load_ssd_vgg(tmp_path / "nowhere.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_ssd_vgg(tmp_path / "text.pth")
    state = model.state_dict()
    cases = [
        ({"backbone.scale_weight": torch.ones(512)}, "has no 'backbone.features.0.weight' .70 of"),
        (state | {"extra": torch.ones(1)}, r"has 'extra', which an SSD300-VGG16 has not"),
        (state | {"backbone.scale_weight": torch.ones(3)}, r"_weight' is \[3\]; expected \[512\]"),
    ]
    for wrong, message in cases:
        torch.save(wrong, tmp_path / "wrong.pth")
        with pytest.raises(ModelError, match=message):
            load_ssd_vgg(tmp_path / "wrong.pth", labels=model.labels)
    torch.save(state, tmp_path / "three.pth")
    with pytest.raises(ModelError, match="knows 3 columns, 91 labels were given"):
        load_ssd_vgg(tmp_path / "three.pth")
