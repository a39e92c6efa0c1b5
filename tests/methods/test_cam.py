"""Class activation maps and FullGrad: by hand, from their papers, by captum, by their laws."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from nets import Folded, Patches, bent_head, seeded
from oracles import cam as oracle
from sightline import ClassScore, Game, GameError, GridCells, Points, Strokes, sketch_cnn
from sightline.methods import (
    ablation_cam,
    full_grad,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    x_grad_cam,
)
from toys import LABELS, Toy, behind, picture_net, scribble, stroke_net

ALL = ClassScore(list(LABELS))
SKETCH = scribble(3, 4, longest=20)
GRADIENT = [grad_cam, grad_cam_pp, x_grad_cam, hires_cam]
LAYERED = [*GRADIENT, ablation_cam]
EVERY = [*LAYERED, full_grad]


def on_map(model, side: int = 4, targets: ClassScore = ALL) -> Game:
    """A game on the cells of the map itself, so that nothing is carried anywhere."""
    return Game(model, GridCells(SKETCH, side, side), targets)


class ByHand(nn.Module):
    """Two maps, quarter means m and 2 m of the picture; the answer weighs their places."""

    weight = torch.tensor([[[1.0, 0.0], [3.0, -2.0]], [[0.5, 0.5], [0.0, -1.0]]])

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(8)
        self.both = nn.Conv2d(1, 2, 1, bias=False)
        self.both.weight.data = torch.tensor([1.0, 2.0])[:, None, None, None]

    def forward(self, x):
        return (self.both(self.mean(x)) * self.weight).flatten(1).sum(1, keepdim=True)


# --- by hand --------------------------------------------------------------------------------------


def test_by_hand():
    model = behind(ByHand(), labels=("value",))
    game = on_map(model, 2, ClassScore("value"))
    m = game.bound.picture().unflatten(0, (2, 8)).unflatten(2, (2, 8)).mean((1, 3)).numpy()
    assert m.min() > 0.01
    one, two = ByHand.weight.numpy()
    mean = 0.5 * m + 0.0 * 2 * m  # the slopes' means are 2 / 4 and 0 / 4
    np.testing.assert_allclose(grad_cam(game).scores, [mean.ravel()], rtol=1e-5)
    np.testing.assert_allclose(
        hires_cam(game).scores, [(one * m + two * 2 * m).ravel()], rtol=1e-5, atol=1e-7
    )
    by_share = (one * m).sum() / m.sum() * m + (two * m).sum() / m.sum() * 2 * m
    np.testing.assert_allclose(x_grad_cam(game).scores, [by_share.ravel()], rtol=1e-4)
    np.testing.assert_allclose(ablation_cam(game).scores, [by_share.ravel()], rtol=1e-4)
    assert not np.allclose(mean, by_share, rtol=0.05)


# --- from the papers ------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize("method", LAYERED)
def test_each_is_its_paper_written_out(method, column):
    model = seeded(bent_head)
    module, game = model.module, on_map(model)
    with torch.no_grad():
        features = module[:3](game.bound.picture()[None, None])[0].numpy()

    def head(maps):
        with torch.no_grad():
            return module[3:](torch.from_numpy(maps)[None])[0, column].item()

    slope = oracle.slopes_by_differences(head, features)
    formula = getattr(oracle, method.__name__)
    expected = formula(features, head if method is ablation_cam else slope)
    found = method(game).scores[column].reshape(4, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
    others = [getattr(oracle, m.__name__)(features, slope) for m in GRADIENT if m is not method]
    assert all(not np.allclose(found, other, rtol=0.01) for other in others)


@pytest.mark.parametrize("layer", ["0", "2"])
def test_grad_cam_is_captums(layer):
    from captum.attr import LayerGradCam

    model = seeded(bent_head, 1)
    game = on_map(model, 8 if layer == "0" else 4)
    picture = game.bound.picture()[None, None]
    peer = LayerGradCam(model.module, dict(model.module.named_modules())[layer])
    expected = [peer.attribute(picture, target=column) for column in range(len(LABELS))]
    found = grad_cam(game, layer=layer).scores
    np.testing.assert_allclose(found, torch.cat(expected).flatten(1).detach(), atol=1e-12)
    assert np.abs(found).max() > 1e-4


@pytest.mark.parametrize("column", [0, 3])
def test_full_grad_is_the_frozen_network_answering_to_each_bias_alone(column):
    model = seeded(Folded)
    game = on_map(model, 16)
    expected, head = oracle.full_grad(model.module, game.bound.picture().numpy(), column)
    why = full_grad(game)
    np.testing.assert_allclose(why.scores[column].reshape(16, 16), expected, atol=1e-12)
    assert expected.sum() + head == pytest.approx(game.value[column].item(), abs=1e-12)


# --- laws -----------------------------------------------------------------------------------------


def small_cnn():
    """The shipped architecture, smaller; no statistic of its normalisation at its default."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = sketch_cnn(LABELS, width=4).double().eval()
        for name, statistic in model.named_buffers():
            if name.endswith("running_mean"):
                nn.init.uniform_(statistic, -0.2, 0.1)
            elif name.endswith("running_var"):
                nn.init.uniform_(statistic, 0.1, 0.5)
    return model


@pytest.mark.parametrize("method", [grad_cam, x_grad_cam, hires_cam, ablation_cam])
def test_under_a_mean_and_a_linear_head_the_map_sums_to_the_logit_without_its_bias(method):
    model = small_cnn()
    game = on_map(model)
    expected = game.value - model.module.head.bias.detach()
    assert expected.abs().min() > 1e-2
    np.testing.assert_allclose(method(game).scores.sum(1), expected, atol=1e-10)


def test_under_such_a_head_four_of_them_are_one():
    game = on_map(small_cnn())
    same = [m(game).scores for m in (grad_cam, x_grad_cam, hires_cam, ablation_cam)]
    for other in same[1:]:
        np.testing.assert_allclose(other, same[0], atol=1e-10)


def test_x_grad_cam_and_hires_cam_have_the_same_sum():
    game = on_map(seeded(bent_head))
    sums = x_grad_cam(game).scores.sum(1), hires_cam(game).scores.sum(1)
    np.testing.assert_allclose(*sums, atol=1e-12)


def test_ablation_cam_shares_out_what_is_lost_where_features_are_positive():
    model = seeded(lambda: nn.Sequential(*bent_head()[:3], nn.ReLU(), *bent_head()[3:]))
    game = on_map(model)
    with torch.no_grad():
        features = model.module[:4](game.bound.picture()[None, None])
        gone = features.repeat(4, 1, 1, 1) * (1 - torch.eye(4))[:, :, None, None]
        losses = game.value - model.module[4:](gone)
    np.testing.assert_allclose(ablation_cam(game).scores.sum(1), losses.sum(0), atol=1e-12)


@pytest.mark.parametrize(
    "build", [small_cnn, lambda: seeded(Folded), lambda: seeded(Folded, ink="black", mean=0.4)]
)
def test_full_grad_leaves_nothing_out(build):
    model = build()
    game = on_map(model, model.rasteriser.size)
    sums = full_grad(game).scores.sum(1) + model.module.head.bias.detach().numpy()
    np.testing.assert_allclose(sums, game.value, atol=1e-10)


def test_full_grad_tells_the_biases_without_a_place():
    model = seeded(Folded)
    why = full_grad(Game(model, GridCells(SKETCH, 4, 4), ClassScore("beta")))
    head = model.module.head.bias[1].item()
    assert why.made.notes[0] == f"biases without a place bring {head:.3g} logit"
    gap = float(why.made.notes[1].split()[2])
    assert why.made.notes[1].startswith("completeness gap ")
    assert abs(gap) < 1e-12


def test_full_grad_tells_the_gap_of_a_network_that_is_bent():
    model = seeded(bent_head)
    game = on_map(model, 16, ClassScore(0))
    why = full_grad(game)
    gap = float(why.made.notes[-1].split()[2])
    assert why.made.notes[-1] == f"completeness gap {gap:.2g} logit"
    assert gap > 1e-3
    biases = float(why.made.notes[0].split()[5])
    assert abs(game.value - why.scores.sum() - biases) == pytest.approx(gap, rel=0.05)


@pytest.mark.parametrize("method", EVERY)
def test_on_strokes_scores_and_what_is_lost_are_the_maps_sum(method):
    model = seeded(bent_head)
    strokes = method(Game(model, Strokes(SKETCH), ALL))
    points = method(Game(model, Points(SKETCH), ALL))
    assert strokes.parts.kind == "strokes"
    assert points.parts.kind == "points"
    np.testing.assert_allclose(points.on(Strokes(SKETCH)).scores, strokes.scores, atol=1e-9)
    lost = method(on_map(model, 16)).scores.sum(1) - strokes.scores.sum(1)
    note = [n for n in strokes.made.notes if n.startswith("cells without ink hold")]
    assert len(note) == (method is full_grad or np.abs(lost).max() > 1e-9)


@pytest.mark.parametrize("method", EVERY)
def test_a_class_that_looks_at_nothing_has_no_scores(method):
    model = seeded(Folded)
    model.module.head.weight.data[2] = 0
    scores = method(Game(model, Strokes(SKETCH), ALL)).scores
    assert not scores[2].any()
    assert scores[[0, 1, 3]].any(1).all()


@pytest.mark.parametrize("method", EVERY)
def test_targets_are_explained_together_as_alone(method):
    model = seeded(bent_head)
    together = method(Game(model, Strokes(SKETCH), ALL)).scores
    for row, label in zip(together, LABELS, strict=True):
        alone = method(Game(model, Strokes(SKETCH), ClassScore(label))).scores
        np.testing.assert_allclose(alone, row[None], atol=1e-12)


@pytest.mark.parametrize("method", EVERY)
def test_the_drawing_may_stand_anywhere(method):
    model = seeded(bent_head)
    moved = SKETCH.transform(0.01, (30, -7))
    here, there = (method(Game(model, Strokes(s))).scores for s in (SKETCH, moved))
    np.testing.assert_allclose(here, there, atol=1e-9)


def test_scales_other_than_logits_are_read_through():
    """The map of a log-probability: the logit's less the mean of all, weighted by probability."""
    model = seeded(Folded)
    logits = hires_cam(on_map(model)).scores
    log = hires_cam(on_map(model, targets=ClassScore(list(LABELS), scale="log-probability")))
    probability = on_map(model).value.softmax(0).numpy()
    np.testing.assert_allclose(log.scores, logits - probability @ logits, atol=1e-12)


# --- cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*GRADIENT, full_grad])
def test_all_targets_cost_one_evaluation(method):
    game = Game(seeded(bent_head), Strokes(SKETCH), ALL)
    assert method(game).made.evaluations == 1
    assert game.evaluations == 3


def test_ablation_costs_one_a_channel_and_one():
    assert ablation_cam(on_map(seeded(bent_head))).made.evaluations == 4 + 1


def test_ablation_does_not_depend_on_the_batch_or_on_memory():
    model = seeded(bent_head)
    whole = ablation_cam(on_map(model)).scores
    game = Game(model, GridCells(SKETCH, 4, 4), ALL, batch=3)
    np.testing.assert_allclose(ablation_cam(game).scores, whole, atol=1e-12)

    class Cramped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model.module

        def forward(self, x):
            if len(x) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return self.inner(x)

    cramped = on_map(behind(Cramped()).double())
    np.testing.assert_allclose(ablation_cam(cramped).scores, whole, atol=1e-12)
    assert cramped.rows_at_once == 2


# --- layers ---------------------------------------------------------------------------------------


def test_the_layer_is_found_and_told():
    why = grad_cam(Game(small_cnn(), Strokes(SKETCH)))
    assert why.made.settings == {"layer": "stages"}
    assert why.made.notes[0] == "carried from 4 x 4 grid cells to strokes"


@pytest.mark.parametrize("method", LAYERED)
def test_a_layer_is_given_by_its_name_or_itself(method):
    model = seeded(bent_head)
    game = Game(model, GridCells(SKETCH, 8, 8), ALL)
    by_name, by_itself = method(game, layer="0"), method(game, layer=model.module[0])
    np.testing.assert_array_equal(by_name.scores, by_itself.scores)
    assert by_itself.made.settings == {"layer": "0"}
    assert np.abs(by_name.scores - method(game).scores).max() > 1e-3


@pytest.mark.parametrize("method", LAYERED)
@pytest.mark.parametrize(("layer", "side"), [("relu", 8), ("norm", 16)])
def test_a_layer_used_twice_or_overwritten_is_seen_as_it_was(method, layer, side):
    """`Folded` uses one ReLU, in place, for 16 x 16 and then for 8 x 8."""
    model, plain = seeded(Folded), seeded(Folded)
    plain.module.relu = nn.ReLU()
    found = method(on_map(model, side), layer=layer)
    assert found.made.notes == ()  # as large as asked: nothing was carried
    np.testing.assert_allclose(found.scores, method(on_map(plain, side), layer=layer).scores)
    assert (found.scores.min() < 0) or method is grad_cam_pp


def once_ink(model):
    return on_map(model).bound.picture()[None, None]


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("method", LAYERED)
def test_the_tokens_of_a_transformer_are_a_grid(method, class_token):
    model = seeded(lambda: Patches(class_token=class_token))
    why = method(on_map(model))
    # with a class token the last block's patches are read by nobody: its first norm is the last
    assert why.made.settings == {"layer": "blocks.1.before" if class_token else "norm"}
    assert why.made.notes == ()  # 4 x 4 as asked
    assert why.scores.any(1).all()
    silent = method(on_map(model), layer="norm").scores
    assert silent.any() != class_token


def test_a_transformers_map_is_its_patches_in_place():
    model = seeded(Patches)
    block = model.module.blocks[1]
    game = on_map(model)
    m = model.module
    tokens = m.embed(once_ink(model)).flatten(2).transpose(1, 2)
    tokens = m.blocks[0](torch.cat([m.class_token, tokens], 1) + m.place)
    seen = block.before(tokens).detach().requires_grad_()
    block.before = nn.Identity()  # from here on by hand: block(x) = x + attention(before(x))...
    q, k, v = block.qkv(seen).unflatten(2, (3, 2, -1)).permute(2, 0, 3, 1, 4)
    mixed = ((q @ k.transpose(2, 3) / 2).softmax(-1) @ v).transpose(1, 2).flatten(2)
    after = tokens + block.out(mixed)
    answer = m.head(m.norm(after + block.mlp(block.between(after)))[:, 0])[0]
    slope = torch.stack([torch.autograd.grad(y, seen, retain_graph=True)[0][0] for y in answer])
    expected = (slope * seen[0].detach()).sum(2)[:, 1:]
    np.testing.assert_allclose(answer.detach(), game.value, atol=1e-12)
    block.before = nn.LayerNorm(8).double()
    block.before.load_state_dict(seeded(Patches).module.blocks[1].before.state_dict())
    np.testing.assert_allclose(hires_cam(game).scores, expected, atol=1e-12)


# --- refusals -------------------------------------------------------------------------------------


def test_an_unknown_layer_lists_the_nearest():
    with pytest.raises(GameError, match=r"unknown layer 'stage'; did you mean 'stages'\? Known: "):
        grad_cam(Game(small_cnn(), Strokes(SKETCH)), layer="stage")


def test_a_module_of_another_model_is_no_layer():
    with pytest.raises(GameError, match="this Conv2d is no layer of the model; give a name"):
        grad_cam(Game(small_cnn(), Strokes(SKETCH)), layer=nn.Conv2d(1, 1, 1))


def test_a_layer_without_a_map_says_so():
    message = r"layer 'head' gave \[1, 4\], not a feature map .* those that do: first, norm, relu"
    with pytest.raises(GameError, match=message):
        grad_cam(Game(seeded(Folded), Strokes(SKETCH)), layer="head")


def test_a_network_without_maps_says_so():
    flat = behind(nn.Sequential(nn.Flatten(), nn.Linear(256, len(LABELS))))
    with pytest.raises(
        GameError, match=r"no layer of the model gives a feature map .* use shapley"
    ):
        grad_cam(Game(flat, Strokes(SKETCH)))


@pytest.mark.parametrize("method", EVERY)
def test_a_model_of_strokes_has_no_maps(method):
    message = (
        rf"{method.__name__} looks at .* SketchXAINet reads no pictures; use shapley, kernel_shap"
    )
    with pytest.raises(GameError, match=message):
        method(Game(stroke_net(), Strokes(SKETCH)))
    with pytest.raises(GameError, match="Toy reads no pictures"):
        method(Game(Toy(lambda z: z.sum(1, keepdim=True), 4), Strokes(SKETCH)))


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = seeded(Folded).module

    def forward(self, x):
        return self.inner(x).detach()


@pytest.mark.parametrize("method", [*GRADIENT, full_grad])
def test_without_a_gradient_the_methods_that_need_none_are_named(method):
    with pytest.raises(GameError, match=r"carries no gradient .* needs none: shapley, kernel_shap"):
        method(Game(behind(Detached()).double(), Strokes(SKETCH)))


def test_ablation_needs_no_gradient():
    found = ablation_cam(on_map(behind(Detached()).double()))
    np.testing.assert_allclose(found.scores, ablation_cam(on_map(seeded(Folded))).scores)


# --- as found -------------------------------------------------------------------------------------


def state_of(model):
    return [
        (m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
    ] + [(p.requires_grad, p.grad) for p in model.parameters()]


@pytest.mark.parametrize("method", EVERY)
def test_the_model_is_as_it_was(method):
    model = seeded(Folded).train()
    model.module.first.weight.requires_grad_(False)
    before, weights = state_of(model), [v.clone() for v in model.state_dict().values()]
    method(Game(model, Strokes(SKETCH), ALL))
    assert state_of(model) == before
    assert all(map(torch.equal, weights, model.state_dict().values()))


class Failing(Folded):
    calls = 0

    def forward(self, x):
        self.calls += 1
        answer = super().forward(x)
        if self.calls > 1:
            raise RuntimeError("the cat is on the keyboard")
        return answer


@pytest.mark.parametrize("method", EVERY)
def test_the_model_is_as_it_was_after_a_failure(method):
    model = seeded(Failing).train()
    game = Game(model, Strokes(SKETCH), ALL)
    before = state_of(model)
    with pytest.raises(RuntimeError, match="cat"):
        method(game)
    assert state_of(model) == before


@pytest.mark.parametrize("method", EVERY)
def test_it_works_where_the_caller_wants_no_gradients(method):
    game = Game(seeded(Folded), Strokes(SKETCH), ALL)
    expected = method(game).scores
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            np.testing.assert_array_equal(method(game).scores, expected)


# --- known wrong versions must fail ---------------------------------------------------------------


def test_full_grad_without_the_bias_inside_batch_normalisation_is_not_complete(monkeypatch):
    module = sys.modules["sightline.methods.full_grad"]  # the function hides it in the package
    monkeypatch.setattr(module, "_bias", lambda layer: getattr(layer, "bias", None))
    why = full_grad(on_map(seeded(Folded), 16))
    assert float(why.made.notes[-1].split()[2]) > 1e-2


def test_the_maps_are_not_cut_at_nothing_nor_scaled():
    """A ReLU or min-max would hide what speaks against the target."""
    scores = grad_cam(on_map(picture_net().double(), 6)).scores
    assert (scores < 0).any()
    assert (scores > 0).any()
    assert np.abs(scores).max() != 1
