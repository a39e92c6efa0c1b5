"""A recogniser without its last layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sightline as sl
from sightline.errors import ModelError
from sightline.game import Game
from sightline.models.encoder import Encoder, similarities
from sightline.models.headless import LeftOut, headless
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.protocol import AttentiveModel, EmbeddingModel, PictureModel, StrokeModel
from sightline.models.raster import RasterModel, SketchCNN, sketch_cnn
from sightline.models.sketchxainet import SketchXAINet
from sightline.models.small_resnet import small_resnet
from sightline.models.transformers_classifier import small_of_config
from sightline.parts import Strokes
from sightline.targets.vectors import Similarity
from toys import LABELS, batch_of, picture_net, scribble, stroke_net, unchecked

BATCH = batch_of(scribble(1, 3), scribble(2, 4))


def small_cnn() -> RasterModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return sketch_cnn(LABELS, width=4).eval()


# --- the head of the vectors is the answer --------------------------------------------------------


@pytest.mark.parametrize("padding", ["none", "attended", "zeroed"])
def test_strokes(padding):
    model = stroke_net(padding=padding)
    vectors = headless(model)(BATCH)
    assert vectors.shape == (2, 16)
    assert torch.equal(model.head(vectors), model(BATCH))


def test_ink():
    model = small_cnn()
    vectors = headless(model)(BATCH)
    assert vectors.shape == (2, 16)
    assert torch.equal(model.module.head(vectors), model(BATCH))


def test_photos():
    model = small_resnet(LABELS, (32, 32), widths=(4, 8)).eval()
    pictures = torch.rand(2, 3, 32, 32)
    vectors = headless(model).look(pictures)
    assert vectors.shape == (2, 8)
    assert torch.equal(model.module.head(vectors), model.look(pictures))


@pytest.mark.parametrize("kind", ["resnet", "vit"])
def test_classifiers_of_transformers(kind):
    pytest.importorskip("transformers")
    model = small_of_config(kind, LABELS, size=(32, 32)).eval()
    head = model.module.classifier
    head = head[-1] if isinstance(head, nn.Sequential) else head
    pictures = torch.rand(2, 3, 32, 32)
    vectors = headless(model).look(pictures)
    assert vectors.shape == (2, 32)
    torch.testing.assert_close(head(vectors), model.look(pictures))


def test_any_layer_by_its_name():
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
    x = torch.rand(3, 6)
    assert torch.equal(headless(module, layer="3")(x), module[:3](x))
    inner = nn.ModuleDict({"deep": module})
    assert torch.equal(headless(inner, layer="deep.3")["deep"](x), module[:3](x))


def test_a_raster_model_of_any_module():
    vectors = headless(picture_net(), layer="5")
    assert vectors(BATCH).shape == (2, 216)
    assert vectors.labels == ()


# --- still a model of its kind --------------------------------------------------------------------


def test_protocols_hold():
    strokes, ink = headless(stroke_net()), headless(small_cnn())
    assert isinstance(strokes, SketchXAINet)
    assert isinstance(strokes, StrokeModel)
    assert isinstance(strokes, EmbeddingModel)
    assert isinstance(strokes, AttentiveModel)
    assert isinstance(ink, PictureModel)
    assert strokes.labels == ink.labels == ()
    assert strokes.config.labels == ()
    photos = headless(small_resnet(LABELS, (32, 32), widths=(4, 8)))
    assert isinstance(photos, PictureClassifier)
    assert photos.labels == ()


def test_presence_acts_on_the_vectors():
    """A stroke that is half there moves the vector; one that is absent is not in it."""
    model = headless(stroke_net())
    tokens = model.embed(batch_of(scribble(1, 3)))
    without = model.classify(tokens, presence=torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(without, model(batch_of(scribble(1, 3).select([0, 1]))))
    assert not torch.equal(without, model.classify(tokens))


METHODS = ["sla", "integrated_gradients", "smooth_grad", "shapley", "kernel_shap", "occlusion"]


@pytest.mark.parametrize("method", [*METHODS, "attention", "attention_rollout"])
def test_methods_on_strokes(method):
    encoder = Encoder(sketch=headless(stroke_net()))
    others = encoder.encode([scribble(5), scribble(6)])
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(others))
    assert getattr(sl, method)(game).scores.shape == (2, 3)


@pytest.mark.parametrize("method", [*METHODS, "grad_cam", "hires_cam", "eigen_cam", "full_grad"])
def test_methods_on_ink(method):
    encoder = Encoder(sketch=headless(small_cnn()))
    others = encoder.encode([scribble(5), scribble(6)])
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(others))
    scores = getattr(sl, method)(game).scores
    assert scores.shape == (2, 3)
    assert scores.any()


def test_shipped_recognisers():
    for name, width in (("sketch-cnn", 96), ("sketchxainet-tiny", 192)):
        encoder = Encoder(sketch=headless(sl.load(name)))
        assert encoder.encode([scribble(1, 5), scribble(2, 5)]).shape == (2, width)


# --- the user's model -----------------------------------------------------------------------------


MODELS = {
    "strokes": stroke_net,
    "ink": small_cnn,
    "photos": lambda: small_resnet(LABELS, (32, 32), widths=(4, 8)).eval(),
}


def answers(model) -> torch.Tensor:
    if isinstance(model, PictureClassifier):
        return model.look(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return model(BATCH)


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_stays_as_it_is(kind):
    model = MODELS[kind]()
    before, modes = answers(model), [m.training for m in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    names = [name for name, _ in model.named_modules()]
    twin = headless(model)
    answers(twin)
    assert model.labels == LABELS
    assert torch.equal(answers(model), before)
    assert [m.training for m in model.modules()] == modes
    assert [name for name, _ in model.named_modules()] == names
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not any(isinstance(module, LeftOut) for module in model.modules())


@pytest.mark.parametrize("kind", MODELS)
def test_weights_are_shared_and_the_head_is_gone(kind):
    model = MODELS[kind]()
    own, shared = dict(model.named_parameters()), dict(headless(model).named_parameters())
    assert all(shared[name] is own[name] for name in shared)
    assert sorted(own.keys() - shared.keys()) == sorted(n for n in own if "head." in n)
    assert len(own) == len(shared) + 2


@pytest.mark.parametrize("kind", MODELS)
def test_moving_the_one_moves_the_other_whole(kind):
    model = MODELS[kind]()
    twin = headless(model).double()
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert {b.dtype for b in model.buffers() if b.is_floating_point()} <= {torch.float64}
    assert answers(twin).dtype == answers(model).dtype == torch.float64
    assert {p.dtype for p in headless(model.float()).parameters()} == {torch.float32}


def test_modes_are_switched_together():
    model = small_cnn()
    twin = headless(model)
    twin.train()
    assert model.module.dropout.training
    assert model.module.head.training
    twin.eval()
    assert not any(module.training for module in [*model.modules(), *twin.modules()])


def test_training_the_one_trains_the_other():
    model = small_cnn()
    head = model.module.head.weight.clone()
    twin = headless(model)
    before = answers(model)
    optimiser = torch.optim.SGD(twin.parameters(), 0.1)
    vectors = twin(BATCH)
    similarities(vectors, vectors.detach().flip(0)).sum().backward()
    optimiser.step()
    assert not torch.allclose(answers(model), before)
    assert torch.equal(model.module.head.weight, head)
    assert model.module.head.weight.grad is None


def test_it_can_be_left_out_twice():
    """Of a headless model another layer can be left out; its own model does not notice."""
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    once = headless(module, layer="1")
    twice = headless(once, layer="0")
    x = torch.rand(1, 4)
    assert torch.equal(twice(x), x)
    assert torch.equal(once(x), module[0](x))
    assert module(x).shape == (1, 2)


# --- errors ---------------------------------------------------------------------------------------


def test_errors():
    with unchecked(), pytest.raises(ModelError, match="function has no layers to leave out"):
        headless(lambda x: x)
    with pytest.raises(ModelError, match="unknown layer 'haed'; did you mean 'head'"):
        headless(SketchCNN(2, width=4), layer="haed")
    with pytest.raises(ModelError, match=r"which layer of Sequential is the last\? .*example '3'"):
        headless(nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)))
    with pytest.raises(ModelError, match="as named_modules"):
        headless(nn.Tanh())
    two = nn.ModuleDict({"head": nn.Linear(2, 2), "classifier": nn.Linear(2, 2)})
    with pytest.raises(ModelError, match=r"which layer of ModuleDict is the last\?"):
        headless(two)


def test_wrapped_networks():
    module = nn.Sequential(nn.Linear(2, 2))
    module.forward = module[0].forward
    with pytest.raises(ModelError, match="compiled or wrapped"):
        headless(module, layer="0")
