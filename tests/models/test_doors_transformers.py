"""DETR, Deformable DETR, RT-DETR and YOLOS, held against the library itself."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from query_detectors import KINDS, NAMES, SIZES, noise, query_detector
from sightline.errors import ModelError
from sightline.models.detector import DenseDetector
from sightline.models.doors_transformers import (
    NO_OBJECT,
    TransformersDetector,
    load_transformers_detector,
)
from sightline.models.transformers_sight import IMAGENET_MEAN, IMAGENET_STD, Sight

transformers = pytest.importorskip("transformers")

PROCESSORS = {
    "detr": "DetrImageProcessorPil",
    "deformable": "DeformableDetrImageProcessorPil",
    "rt_detr": "RTDetrImageProcessorPil",
    "yolos": "YolosImageProcessorPil",
}


def processor_of(kind: str, **settings):
    """The library's own processor that needs no torchvision."""
    if not hasattr(transformers, PROCESSORS[kind]):
        pytest.skip(f"transformers {transformers.__version__} has no {PROCESSORS[kind]}")
    return getattr(transformers, PROCESSORS[kind])(**settings)


def detector_of(kind: str, **settings) -> TransformersDetector:
    processor = {"size": SIZES[kind], "do_normalize": kind != "rt_detr"}
    return TransformersDetector(query_detector(kind), processor=processor, **settings)


# --- by hand --------------------------------------------------------------------------------------


class Answers(nn.Module):
    """Two queries and two classes, the same answer to everything."""

    def __init__(self, logits, kind: str) -> None:
        super().__init__()
        self.logits = torch.tensor([logits])
        self.config = SimpleNamespace(id2label={1: "b", 0: "a"}, model_type=kind)

    def forward(self, pixel_values):
        boxes = torch.tensor([[[0.5, 0.5, 1.0, 0.5], [0.25, 0.25, 0.5, 0.5]]])
        return SimpleNamespace(logits=self.logits, pred_boxes=boxes)


def test_a_query_with_no_object_gives_its_best_label():
    third = float(torch.tensor(2.0).log())  # odds of 2 : 1 : 1, and of 1 : 1 : 2
    answers = Answers([[0.0, third, 0.0], [0.0, 0.0, third]], "detr")
    door = TransformersDetector(answers, processor={"size": {"height": 8, "width": 16}})
    assert door.labels == ("a", "b", NO_OBJECT)
    (found,) = door.detect([noise(40, 80)], threshold=0.2)
    assert found.names == ("b", "a")
    torch.testing.assert_close(found.scores, torch.tensor([0.5, 0.25]))
    expected = torch.tensor([[0.0, 10.0, 80.0, 30.0], [0.0, 0.0, 40.0, 20.0]])
    torch.testing.assert_close(found.boxes, expected)
    assert found.candidates.tolist() == [0, 1]
    torch.testing.assert_close(
        found.distributions, torch.tensor([[0.25, 0.5, 0.25], [0.25, 0.25, 0.5]])
    )
    dense = door.dense(torch.zeros(1, 3, 8, 16))
    assert dense.boxes[0].tolist() == [[0, 2, 16, 6], [0, 0, 8, 4]]
    assert dense.features == ()
    assert dense.level is None


def test_without_no_object_a_query_may_give_two():
    three = float(torch.tensor(3.0).log())  # a probability of 3/4
    door = TransformersDetector(
        Answers([[three, three + 1], [0.0, -three]], "rt_detr"),
        processor={"size": {"height": 8, "width": 16}},
    )
    assert door.labels == ("a", "b")
    (found,) = door.detect([noise(40, 80)], threshold=0.25)
    assert found.names == ("b", "a")  # as many as queries, though a third reaches 0.25 too
    assert found.candidates.tolist() == [0, 0]
    assert float(found.scores[1]) == pytest.approx(0.75)


def test_the_word_of_the_user_is_taken_for_the_last_column():
    door = TransformersDetector(Answers([[0.0] * 3] * 2, "new kind"), no_object=True)
    assert door.labels == ("a", "b", NO_OBJECT)
    assert float(door.dense(torch.zeros(1, 3, 8, 8)).scores[0, 0, 0]) == pytest.approx(1 / 3)


# --- the library itself ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_the_library_finds(kind):
    door = detector_of(kind)
    processor = processor_of(kind, size=SIZES[kind])
    for photo in (noise(90, 120, 1), noise(140, 77, 2)):
        inputs = processor(images=photo.pixels, return_tensors="pt")
        with torch.no_grad():
            outputs = door.module(pixel_values=inputs["pixel_values"])
        (own,) = processor.post_process_object_detection(
            outputs, threshold=0.3, target_sizes=[photo.size]
        )
        (found,) = door.detect([photo], threshold=0.3)
        order = own["scores"].argsort(descending=True, stable=True)
        assert len(found) == len(order) > 0
        torch.testing.assert_close(found.scores, own["scores"][order], atol=2e-4, rtol=0)
        assert found.labels.tolist() == own["labels"][order].tolist()
        torch.testing.assert_close(found.boxes, own["boxes"][order], atol=0.02, rtol=0)
        assert found.names == tuple(NAMES[i] for i in found.labels.tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(90, 120), (64, 64), (300, 40), (64, 200), (33, 47)])
def test_the_picture_is_the_processors(kind, size):
    door = detector_of(kind)
    processor = processor_of(kind, size=SIZES[kind])
    photo = noise(*size)
    if kind == "yolos" and size == (300, 40):
        with pytest.raises(ModelError, match="a photo of 300 x 40 pixels is too narrow"):
            door.frame(*size)
        return
    own = processor(images=photo.pixels, return_tensors="pt")["pixel_values"]
    picture = door.frame(*size).pixels(photo)[None]
    torch.testing.assert_close(door.sight.normalised(picture), own, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(480, 640), (427, 640), (612, 612), (1080, 1920), (333, 500)])
def test_sizes_without_a_processor_are_the_published(kind, size):
    processor = processor_of(kind)
    own = processor(images=noise(*size).pixels, return_tensors="pt")["pixel_values"]
    sight = Sight.of(None, query_detector(kind).config.model_type)
    assert sight.frame(*size).picture == tuple(own.shape[2:])
    assert Sight.of(processor, query_detector(kind).config.model_type) == sight


@pytest.mark.parametrize("kind", KINDS)
def test_watching_changes_no_number(kind):
    door = detector_of(kind)
    pictures = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    dense = door.dense(pictures)
    with torch.no_grad():
        own = door.module(pixel_values=door.sight.normalised(pictures))
    assert torch.equal(dense.logits.detach(), own.logits)
    x, y, w, h = own.pred_boxes.unbind(-1)
    by_hand = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
    torch.testing.assert_close(dense.boxes.detach(), by_hand * torch.tensor([96, 64, 96, 64]))


# --- insides --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_the_maps_and_the_picture(kind):
    door = detector_of(kind)
    pictures = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    expected = {"detr": [(2, 3)], "yolos": [(4, 6)]}.get(kind, [(8, 12), (4, 6), (2, 3)])
    with_weights = door.dense(pictures)
    assert [tuple(f.shape[2:]) for f in with_weights.features] == expected
    assert with_weights.level.tolist() == [len(expected) - 1] * 12
    pictures.requires_grad_()
    dense = door.dense(pictures)
    for row in (0, 7):
        slopes = torch.autograd.grad(
            dense.scores[0, row, 1], (*dense.features, pictures), retain_graph=True
        )
        assert all(float(s.abs().max()) > 0 for s in slopes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_backward_pass_stops_at_the_maps_where_nothing_below_needs_it(kind):
    door = detector_of(kind)
    door.requires_grad_(False)
    dense = door.dense(torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert all(f.is_leaf and f.requires_grad for f in dense.features)
    slopes = torch.autograd.grad(dense.scores[0, :, 1].sum(), dense.features)
    assert all(float(s.abs().max()) > 0 for s in slopes)


def test_the_slope_of_a_map_is_what_changes_the_score():
    """Against differences, in float64: the map is the one that the queries read."""
    module = query_detector("yolos").double()
    door = TransformersDetector(module, processor={"size": SIZES["yolos"]})
    pictures = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)).double()
    dense = door.dense(pictures.float())
    (slope,) = torch.autograd.grad(dense.scores[0, 3, 2], dense.features)
    nudge = torch.randn(slope.shape, generator=torch.Generator().manual_seed(1)).double() * 1e-6

    def pushed(by):
        def hook(_, inputs):
            tokens = inputs[0].clone()
            tokens[:, 1:-12] += by.flatten(2).transpose(1, 2)
            return (tokens, *inputs[1:])

        handle = module.vit.encoder.layer[-1].register_forward_pre_hook(hook)
        with torch.no_grad():
            value = door.dense(pictures.float()).scores[0, 3, 2]
        handle.remove()
        return float(value)

    difference = pushed(nudge) - pushed(-nudge)
    assert difference == pytest.approx(float(2 * (slope * nudge).sum()), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_hear_of_the_others(kind):
    door = detector_of(kind).double()
    pictures = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0)).double()
    together = door.dense(pictures.float()).scores.detach()
    alone = torch.cat([door.dense(p[None].float()).scores.detach() for p in pictures])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=0)


# --- as found -------------------------------------------------------------------------------------


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_is_left_as_it_came(kind):
    door = detector_of(kind)
    module = door.module.train()
    before = hooks(module)
    state = copy.deepcopy(module.state_dict())
    needs = [p.requires_grad for p in module.parameters()]
    (found,) = door.detect([noise(90, 120)], threshold=0.1)
    (again,) = door.detect([noise(90, 120)], threshold=0.1)
    assert torch.equal(found.scores, again.scores)  # evaluation mode, though it is in training
    assert isinstance(door, DenseDetector)
    assert hooks(module) == before
    assert all(m.training for m in module.modules())
    assert [p.requires_grad for p in module.parameters()] == needs
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_also_after_a_failure(kind):
    door = detector_of(kind)
    module = door.module.train()
    before = hooks(module)
    inner = {"yolos": "vit.encoder.layer.2"}.get(kind, "model.decoder.layers.0")

    def fail(*_):
        raise RuntimeError("out of paper")

    handle = module.get_submodule(inner).register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of paper"):
        door.detect([noise(90, 120)])
    handle.remove()
    assert hooks(module) == before
    assert all(m.training for m in module.modules())


# --- from files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["detr", "yolos"])
def test_a_folder_is_loaded(kind, tmp_path):
    module = query_detector(kind)
    module.save_pretrained(tmp_path)
    settings = {"size": SIZES[kind], "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    door = load_transformers_detector(str(tmp_path))
    assert door.sight.mean == (0.5, 0.4, 0.3)
    assert door.labels == (*NAMES, NO_OBJECT)
    assert not door.training
    same = TransformersDetector(module, processor=settings)
    (a,), (b,) = (d.detect([noise(90, 120)], threshold=0.1) for d in (door, same))
    assert torch.equal(a.scores, b.scores)
    assert torch.equal(a.boxes, b.boxes)


def test_a_folder_without_a_model_is_told(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as a detector of transformers"):
        load_transformers_detector(str(tmp_path))


# --- errors and settings --------------------------------------------------------------------------


def test_what_is_no_detector_is_refused():
    with pytest.raises(ModelError, match="Linear is no detector of transformers"):
        TransformersDetector(nn.Linear(2, 2))
    with pytest.raises(ModelError, match="knows 2 classes, 3 labels were given"):
        TransformersDetector(Answers([[0.0] * 3] * 2, "detr"), labels=["x", "y", "z"])
    with pytest.raises(ModelError, match="answers 3 columns for 2 labels; where the last"):
        TransformersDetector(Answers([[0.0] * 3] * 2, "new")).dense(torch.zeros(1, 3, 8, 8))
    classifier = Answers([[0.0] * 2] * 2, "new")
    classifier.forward = lambda pixel_values: SimpleNamespace(logits=torch.zeros(1, 2))
    with pytest.raises(ModelError, match="expected an output with logits and pred_boxes"):
        TransformersDetector(classifier).dense(torch.zeros(1, 3, 8, 8))


def test_settings_of_all_ages_are_read():
    old = Sight.of({"size": 800, "max_size": 1333})
    assert old == Sight.of({"size": {"shortest_edge": 800, "longest_edge": 1333}}) == Sight()
    assert (old.mean, old.std) == (IMAGENET_MEAN, IMAGENET_STD)
    within = Sight.of({"size": {"max_height": 100, "max_width": 50}})
    assert within.frame(200, 50).picture == (100, 25)
    assert Sight.of({"size": {"shortest_edge": 40}}).frame(80, 2000).picture == (40, 1000)
    exact = Sight.of({"size": {"height": 640, "width": 480}, "do_normalize": False})
    assert (exact.exact, exact.mean, exact.std) == ((640, 480), (0, 0, 0), (1, 1, 1))


def test_settings_that_cannot_be_followed_are_refused():
    with pytest.raises(ModelError, match="filter 3 of Pillow; only bilinear"):
        Sight.of({"size": 800, "resample": 3})
    with pytest.raises(ModelError, match="the processor's size is None; expected height and width"):
        Sight.of({})
    with pytest.raises(ModelError, match="the processor resizes nothing"):
        Sight.of({"do_resize": False})
    with pytest.raises(ModelError, match="ndarray is no image processor"):
        Sight.of(np.zeros(3))
