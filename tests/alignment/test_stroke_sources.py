"""Maps of strokes to learn through: SLA's scores and attention, exact to the second derivative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from sightline.alignment.looking import Looked, MapSource
from sightline.alignment.stroke_sources import StrokeAttention, StrokeScores
from sightline.errors import AlignmentError
from sightline.game import Game
from sightline.image.batch import PictureBatch
from sightline.methods import METHODS
from sightline.models.raster import SketchCNN
from sightline.parts import Strokes
from sightline.targets import ClassScore
from toys import (
    LABELS,
    batch_of,
    behind,
    empty_batch,
    linear_net,
    picture_net,
    scribble,
    stroke_net,
    unchecked,
)

PADDINGS = ("none", "attended", "zeroed")
SOURCES = (StrokeScores(), StrokeAttention(), StrokeAttention("rollout"))
NAMES = ("scores", "last", "rollout")
DRAWINGS = [scribble(1, 4), scribble(2, 1), scribble(3, 6)]
TARGET = torch.tensor([2, 0, 3])


def drawings(dtype=torch.float64):
    return batch_of(*DRAWINGS, dtype=dtype)


def small_cnn(seed=0):
    """SketchCNN, batch normalisation and all, a tenth as wide; smooth, so that slopes are exact."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = SketchCNN(len(LABELS), width=4)
    return behind(module, size=16)


# --- by hand --------------------------------------------------------------------------------------


def test_scores_of_a_linear_model_are_ink_times_weight():
    """logit_k = sum_p W_kp X_p, so the score of a stroke is W_k . S_i, however strokes overlap."""
    model = linear_net().double()
    batch = drawings()
    layers = model.rasteriser.layers(batch)
    expected = (layers.flatten(1) * model.module[1].weight[TARGET[batch.sketch_of_stroke]]).sum(1)
    maps = StrokeScores().look(model, batch).maps(TARGET)
    assert maps.shape == (3, 6)
    torch.testing.assert_close(maps[0, :4], expected[:4])
    torch.testing.assert_close(maps[1, :1], expected[4:5])
    torch.testing.assert_close(maps[2], expected[5:])
    assert (maps[0, 4:] == 0).all()
    assert (maps[1, 1:] == 0).all()


def test_attention_of_a_net_without_questions_is_even():
    """No query: every token gets the same share, 1 of (strokes + 1)."""
    model = stroke_net().double()
    for layer in model.layers:
        nn.init.zeros_(layer.qkv.weight)
        nn.init.zeros_(layer.qkv.bias)
    maps = StrokeAttention().look(model, drawings()).maps(TARGET)
    expected = torch.zeros(3, 6, dtype=torch.float64)
    expected[0, :4], expected[1, :1], expected[2] = 1 / 5, 1 / 2, 1 / 7
    torch.testing.assert_close(maps, expected)


# --- oracles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*PADDINGS, "cnn", "black ink"])
def test_scores_are_the_explanation_s(kind):
    """The method that explains one drawing at a time, written by others, has the same numbers."""
    model = _model(kind)
    maps = StrokeScores().look(model, drawings()).maps(TARGET).detach()
    for row, drawing, target in zip(maps, DRAWINGS, TARGET.tolist(), strict=True):
        game = Game(model, Strokes(drawing), ClassScore(target))
        told = METHODS["sla"](game).scores[0]
        np.testing.assert_allclose(row[: len(drawing)], told, atol=1e-9)


@pytest.mark.parametrize("padding", PADDINGS)
def test_scores_are_slopes_of_the_logit(padding):
    """Central differences in the presence of each stroke, one drawing at a time."""
    model = stroke_net(padding=padding).double()
    maps = StrokeScores().look(model, drawings()).maps(TARGET).detach()
    for row, drawing, target in zip(maps, DRAWINGS, TARGET.tolist(), strict=True):
        tokens = model.embed(batch_of(drawing, dtype=torch.float64))

        def logit(presence, tokens=tokens, target=target):
            return model.classify(tokens, presence=presence)[0, target]

        for stroke in range(len(drawing)):
            step = torch.zeros(len(drawing), dtype=torch.float64)
            step[stroke] = 1e-6
            with torch.no_grad():
                slope = (logit(1 + step) - logit(1 - step)) / 2e-6
            assert float(row[stroke]) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("layers", ["last", "rollout"])
def test_attention_is_the_explanation_s(padding, layers):
    model = stroke_net(padding=padding, layers=3).double()
    name = {"last": "attention", "rollout": "attention_rollout"}[layers]
    maps = StrokeAttention(layers).look(model, drawings()).maps(TARGET).detach()
    for row, drawing in zip(maps, DRAWINGS, strict=True):
        game = Game(model, Strokes(drawing), ClassScore(0))
        told = METHODS[name](game).scores[0]
        np.testing.assert_allclose(row[: len(drawing)], told, atol=1e-9)
        assert (row[len(drawing) :] == 0).all()


# --- one forward pass -----------------------------------------------------------------------------


TOGETHER = [
    (source, kind)
    for source in SOURCES
    for kind in (*PADDINGS, "cnn", "black ink")
    if isinstance(source, StrokeScores) or kind in PADDINGS  # pictures have no attention
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("source", "kind"), TOGETHER, ids=str)
def test_logits_are_the_model_s(source, kind, training):
    """In training too: dropout is drawn once, for logits and maps together."""
    model = _model(kind, dropout=0.3).train(training)
    luck = torch.random.get_rng_state()
    expected = model(drawings())
    torch.random.set_rng_state(luck)
    looked = source.look(model, drawings())
    torch.testing.assert_close(looked.logits, expected, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_the_net_runs_once(source):
    model = stroke_net().double()
    runs = {"shape": 0, "norm": 0, "head": 0}
    for name, module in model.named_children():
        if name in runs:
            module.register_forward_hook(lambda *_, name=name: runs.update({name: runs[name] + 1}))
    looked = source.look(model, drawings())
    looked.maps(TARGET)
    looked.maps(TARGET)
    assert runs == {"shape": 1, "norm": 1, "head": 1}


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_a_drawing_does_not_feel_its_batch_mates(source):
    model = stroke_net().double()
    together = source.look(model, drawings()).maps(TARGET)
    for row, drawing, target in zip(together, DRAWINGS, TARGET, strict=True):
        alone = source.look(model, batch_of(drawing, dtype=torch.float64)).maps(target[None])
        torch.testing.assert_close(row[: len(drawing)], alone[0])


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_maps_are_of_the_class_asked_for_and_attention_of_none(source):
    looked = source.look(stroke_net().double(), drawings())
    same = torch.equal(looked.maps(TARGET), looked.maps((TARGET + 1) % len(LABELS)))
    assert same == isinstance(source, StrokeAttention)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_drawings_without_strokes_have_empty_maps(source):
    looked = source.look(stroke_net(), empty_batch(2))
    assert looked.maps(torch.tensor([0, 1])).shape == (2, 0)
    assert looked.logits.isfinite().all()


# --- weights learn through the maps ---------------------------------------------------------------

SPOTS = {
    "strokes": ("shape.rnn.weight_hh_l0", "location.weight", "order.weight", "layers.0.up.weight",
                "layers.1.qkv.weight", "norm.weight", "head.weight"),
    "cnn": ("module.stem.0.weight", "module.stages.0.first.0.weight",
            "module.stages.7.second.0.weight", "module.stages.7.second.1.weight",
            "module.head.weight"),
}  # fmt: skip
"""Before, at and behind the place where the map is read."""


@dataclass(frozen=True)
class Loss:
    """A smooth function of maps, and the largest error of its slopes by two-sided steps."""

    source: object
    model: nn.Module
    weigh: torch.Tensor

    def __call__(self):
        maps = self.source.look(self.model, drawings()).maps(TARGET)
        return (self.weigh * maps).sum() + (maps**2).sum()

    def error(self, name: str, *, step: float = 1e-6, entries: int = 6) -> float:
        weight = dict(self.model.named_parameters())[name]
        (slope,) = torch.autograd.grad(self(), weight, allow_unused=True)
        slope = torch.zeros_like(weight) if slope is None else slope
        luck = np.random.default_rng(len(name))
        rows = luck.integers(weight.numel(), size=entries)
        if name == "order.weight":  # rows of the table beyond the longest drawing are not read
            rows = luck.integers(4 * weight.shape[1], size=entries)
        worst, flat = 0.0, weight.data.view(-1)
        for row in rows.tolist():
            kept = flat[row].item()
            flat[row] = kept + step
            above = self().item()
            flat[row] = kept - step
            below = self().item()
            flat[row] = kept
            numeric = (above - below) / (2 * step)
            exact = slope.reshape(-1)[row].item()
            worst = max(worst, abs(numeric - exact) / max(abs(numeric), 1e-3))
        return worst


def _loss(source, model):
    luck = torch.Generator().manual_seed(5)
    return Loss(source, model, torch.randn(3, 6, generator=luck, dtype=torch.float64))


@pytest.mark.parametrize("name", SPOTS["strokes"])
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_slopes_of_stroke_maps_are_exact_everywhere(source, name):
    assert _loss(source, stroke_net().double()).error(name) < 1e-5


@pytest.mark.parametrize("padding", ["attended", "zeroed"])
@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_slopes_are_exact_where_pads_are_there(source, padding):
    loss = _loss(source, stroke_net(padding=padding).double())
    for name in ("location.weight", "layers.0.qkv.weight"):
        assert loss.error(name) < 1e-5


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", SPOTS["cnn"])
def test_slopes_of_a_cnn_s_scores_are_exact_before_and_after_its_last_stage(name, training):
    model = _smooth(small_cnn().double()).train(training)
    model.module.dropout.p = 0.0
    assert _loss(StrokeScores(), model).error(name, step=1e-5) < 1e-4


def test_detached_scores_fail_that_check():
    """The original's way, the derivative taken as a number: what it teaches is not the slope."""

    class Detached(StrokeScores):
        def look(self, model, inputs):
            tokens = model.embed(inputs)
            presence = torch.ones(len(inputs.order), dtype=torch.float64, requires_grad=True)
            logits = model.classify(tokens, presence=presence)
            chosen = logits.gather(1, TARGET[:, None]).sum()
            (slope,) = torch.autograd.grad(chosen, presence, retain_graph=True)  # no graph
            table = torch.zeros(3, 6, dtype=torch.float64)
            table[torch.arange(6) < inputs.strokes_per_sketch[:, None]] = slope
            # the embedding's own sum keeps a graph alive: `Looked.maps` alone would not notice
            return Looked(logits, lambda target: table + 0 * tokens.shape.sum())

    loss = _loss(Detached(), stroke_net().double())
    assert loss.error("head.weight") > 0.5
    assert loss.error("layers.0.up.weight") > 0.5


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_the_head_learns_from_scores_and_not_from_attention(source):
    """Attention is read before the head: a loss on it alone teaches the head nothing."""
    model = stroke_net().double()
    source.look(model, drawings()).maps(TARGET).pow(2).sum().backward()
    learnt = model.head.weight.grad is not None and bool(model.head.weight.grad.any())
    assert learnt == isinstance(source, StrokeScores)
    assert model.location.weight.grad.any()
    assert model.shape.rnn.weight_ih_l0.grad.any()


# --- the model is left as it came -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "cnn"])
def test_nothing_is_left_on_the_model(kind):
    model = _model(kind).train()
    StrokeScores().look(model, drawings()).maps(TARGET)
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_without_gradients_maps_are_numbers(source):
    """So that measures read the maps that training reads."""
    model = stroke_net().double()
    expected = source.look(model, drawings()).maps(TARGET).detach()
    with torch.no_grad():
        looked = source.look(model, drawings())
        maps = looked.maps(TARGET)
    assert not maps.requires_grad
    assert not looked.logits.requires_grad
    torch.testing.assert_close(maps, expected)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_gradients_under_bfloat16_are_finite(source):
    model = stroke_net()
    with torch.autocast("cpu", torch.bfloat16):
        looked = source.look(model, drawings(torch.float32))
        loss = looked.logits.float().sum() + looked.maps(TARGET).float().pow(2).sum()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


# --- what is refused ------------------------------------------------------------------------------


def test_refusals():
    photos = PictureBatch(torch.zeros(2, 3, 8, 8))
    with pytest.raises(AlignmentError, match="photos have no scores of strokes; use a source"):
        StrokeScores().look(stroke_net(), photos)
    with pytest.raises(AlignmentError, match="photos have no attention to strokes"):
        StrokeAttention().look(stroke_net(), photos)
    with pytest.raises(AlignmentError, match=r"Linear gives strokes no scores .* RasterModel"):
        StrokeScores().look(nn.Linear(2, 2), drawings())
    with pytest.raises(AlignmentError, match=r"RasterModel attends to no strokes.*StrokeScores"):
        StrokeAttention().look(picture_net(), drawings())
    mean = "unknown layers 'rolout'; did you mean 'rollout'"
    with unchecked(), pytest.raises(AlignmentError, match=mean):
        StrokeAttention("rolout")


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_settings_are_plain(source):
    assert isinstance(source, MapSource)
    assert source.settings["name"] in ("strokes", "attention")
    assert source.settings.get("layers") == getattr(source, "layers", None)


def _model(kind, *, dropout=0.0):
    if kind in PADDINGS:
        return stroke_net(padding=kind, dropout=dropout).double()
    return picture_net(ink="black" if kind == "black ink" else "white", mean=0.3, std=0.5).double()


def _smooth(model):
    """Softplus for ReLU: a kink within a step would spoil the differences."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, nn.Softplus(beta=3))
    return model
