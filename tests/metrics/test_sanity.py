"""Model randomisation: the right layers, in the right order, and nothing left behind."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from sightline.errors import ModelError, SightlineError
from sightline.metrics.sanity import Cascade, LayerSimilarity, randomised_cascade


def make_net():
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 4, 3, padding=1),
            norm=nn.BatchNorm2d(4),
            act=nn.ReLU(),
            body=nn.Conv2d(4, 6, 3, padding=1),
            pool=nn.AdaptiveAvgPool2d(2),
            flat=nn.Flatten(),
            head=nn.Linear(24, 5),
        )
    )


@pytest.fixture
def net():
    return make_net()


PICTURE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(3))


def slope(model):
    """Gradient of the first class, summed over the channels."""
    with torch.enable_grad():
        picture = PICTURE.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(picture)[0, 0], picture)
    return gradient[0].sum(0)


def edges(_):
    """Knows the photo, never asks the model."""
    return PICTURE[0].mean(0).diff(dim=0)


def weights_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def changed(a, b):
    return {name.split(".")[0] for name in a if not torch.equal(a[name], b[name])}


# --- which layers, in which order -----------------------------------------------------------------


def walk(net, **settings):
    """The weights at each call of explain, the original first."""
    seen = []

    def explain(model):
        seen.append(weights_of(model))
        return slope(model)

    return randomised_cascade(net, explain, **settings), seen


def test_the_cascade_goes_from_the_head_to_the_first_layer(net):
    found, seen = walk(net)
    assert [s.layers for s in found.steps] == [("head",), ("body",), ("norm",), ("stem",)]
    assert changed(seen[0], seen[1]) == {"head"}
    assert changed(seen[0], seen[2]) == {"head", "body"}
    # a new batch norm has one number throughout: nothing to shuffle
    assert changed(seen[0], seen[3]) == {"head", "body"}
    assert changed(seen[0], seen[4]) == {"head", "body", "stem"}
    # what is random stays as it is
    assert changed(seen[1], seen[4]) == {"body", "stem"}


def test_each_parameter_keeps_its_numbers(net):
    _, seen = walk(net)
    for name, numbers in seen[0].items():
        now = seen[-1][name]
        assert torch.equal(now.flatten().sort().values, numbers.flatten().sort().values)
    # few stay in their places
    assert (seen[0]["body.weight"] == seen[-1]["body.weight"]).float().mean() < 0.05


def test_layers_are_shared_out_over_the_groups(net):
    found, _ = walk(net, groups=2)
    assert [s.layers for s in found.steps] == [("body", "head"), ("stem", "norm")]
    assert [s.layers for s in walk(net, groups=1)[0].steps] == [("stem", "norm", "body", "head")]


def test_the_random_model_depends_on_the_seed_and_not_on_the_groups(net):
    last = [walk(net, groups=g)[1][-1] for g in (1, 3, 6)]
    assert not changed(last[0], last[1]) | changed(last[0], last[2])
    assert changed(last[0], walk(net, seed=1)[1][-1]) == {"stem", "body", "head"}


def test_one_by_one_each_layer_alone(net):
    found, seen = walk(net, cumulative=False)
    assert [changed(seen[0], s) for s in seen[1:]] == [{"head"}, {"body"}, set(), {"stem"}]
    assert found.steps[2].spearman == pytest.approx(1.0)
    assert found.passes is None
    assert found.verdict == "undecided: layers were randomised one by one, never all together"


def test_the_order_may_be_told(net):
    found, seen = walk(net, layers=["head", "body"])
    assert [s.layers for s in found.steps] == [("body",), ("head",)]
    assert changed(seen[0], seen[-1]) == {"head", "body"}


def test_a_shared_weight_is_shuffled_once():
    torch.manual_seed(0)
    tied = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 4, bias=False))
    tied[2].weight = tied[0].weight
    found = randomised_cascade(tied, lambda m: m[0].weight)
    assert [s.layers for s in found.steps] == [("0",)]


# --- correlations and the verdict -----------------------------------------------------------------


def test_the_correlations_are_those_of_the_ranks(net):
    maps = []

    def explain(model):
        maps.append(slope(model))
        return maps[-1]

    found = randomised_cascade(net, explain, groups=2)

    def by_hand(a, b):
        # a rank: how many are below, and half of those that are equal
        x, y = ((v[:, None] > v).sum(1) + (v[:, None] == v).sum(1) / 2 for v in (a, b))
        return float(torch.corrcoef(torch.stack([x, y]).double())[0, 1])

    first, *others = (m.flatten() for m in maps)
    for step, now in zip(found.steps, others, strict=True):
        assert step.spearman == pytest.approx(by_hand(first, now))
        assert step.absolute == pytest.approx(by_hand(first.abs(), now.abs()))


def test_a_map_of_the_weights_passes_and_a_map_of_the_photo_fails(net):
    torch.manual_seed(1)
    linear = nn.Linear(1600, 1)
    found = randomised_cascade(linear, lambda m: m.weight.view(40, 40))
    assert found.passes
    assert found.verdict.startswith("passes: rank correlation ")
    blind = randomised_cascade(net, edges)
    assert blind.passes is False
    assert blind.verdict.startswith(
        "fails: rank correlation 1.00, of absolute values 1.00 with every layer random, expected"
    )


def cascade(spearman, absolute, note=""):
    return Cascade((LayerSimilarity(("head",), spearman, absolute, note),))


@pytest.mark.parametrize(
    ("spearman", "absolute", "passes"),
    [
        (0.09, -0.09, True),
        (0.11, 0.0, False),
        (-0.11, 0.0, False),
        (0.0, 0.11, False),
        (0.0, None, True),
    ],
)
def test_the_verdict_asks_both_correlations(spearman, absolute, passes):
    assert cascade(spearman, absolute).passes is passes
    assert cascade(spearman, absolute).verdict.startswith("passes" if passes else "fails")


def test_only_the_wholly_random_model_decides():
    first = LayerSimilarity(("head",), 1.0, 1.0)
    assert Cascade((first, LayerSimilarity(("stem",), 0.0, 0.0))).passes


def test_a_random_model_may_have_nothing_to_show(net):
    maps = iter([np.eye(3), np.zeros((3, 3)), np.full((3, 3), np.nan)])
    found = randomised_cascade(net, lambda _: next(maps), groups=2)
    blank, broken = found.steps
    assert (blank.spearman, blank.absolute, blank.note) == (None, None, "the same everywhere")
    assert (broken.spearman, broken.absolute, broken.note) == (None, None, "not finite")
    assert (found.passes, cascade(None, None, blank.note).passes) == (None, True)
    assert found.verdict == "undecided: with every layer random the map is not finite"
    assert cascade(None, None, blank.note).verdict.startswith("passes: with every layer random")


def test_signs_alone_leave_no_absolute_values_to_rank(net):
    maps = iter([np.array([[1.0, -1.0]]), np.array([[-2.0, 2.0]])])
    found = randomised_cascade(net, lambda _: next(maps), groups=1)
    assert (found.steps[0].spearman, found.steps[0].absolute) == (-1.0, None)
    assert not found.passes
    assert "of absolute values" not in found.verdict


# --- as found -------------------------------------------------------------------------------------


def snapshot(net):
    state = {name: (t.data_ptr(), t.numpy().tobytes()) for name, t in net.state_dict().items()}
    parameters = [(id(p), p.requires_grad, p.grad) for p in net.parameters()]
    hooks = [len(m._forward_hooks) + len(m._backward_hooks) for m in net.modules()]
    return state, parameters, [m.training for m in net.modules()], hooks


@pytest.mark.parametrize("fails_at", [None, 0, 1, 3])
@pytest.mark.parametrize("cumulative", [True, False])
def test_the_model_is_left_as_it_was_found(net, fails_at, cumulative):
    net.train()
    net.norm.eval()
    net.body.weight.requires_grad_(False)
    net.head.bias.grad = torch.ones(5)
    with torch.no_grad():
        net.head.weight[0, :3] = torch.tensor([-0.0, float("inf"), float("nan")])
    before, luck = snapshot(net), torch.get_rng_state()
    calls = iter(range(9))

    def explain(model):
        if next(calls) == fails_at:
            raise RuntimeError("the lamp went out")
        assert not model.training
        model.train()  # and the statistics of the norm move
        model(PICTURE)
        return torch.rand(5, 5)

    if fails_at is None:
        randomised_cascade(net, explain, cumulative=cumulative)
    else:
        with pytest.raises(RuntimeError, match="the lamp went out"):
            randomised_cascade(net, explain, cumulative=cumulative)
    assert snapshot(net) == before
    assert torch.equal(torch.get_rng_state(), luck)


def test_an_unlike_map_leaves_the_model_as_found(net):
    before, maps = snapshot(net), iter([torch.rand(3, 3), torch.rand(3, 4)])
    with pytest.raises(SightlineError, match=r"shape \[3, 3\], then \[3, 4\]"):
        randomised_cascade(net, lambda _: next(maps))
    assert snapshot(net) == before


def test_the_callers_own_graph_survives(net):
    """A loss computed before can still be differentiated after, to the same gradients."""
    twin = make_net()
    ours, theirs = net(PICTURE).sum(), twin(PICTURE).sum()
    randomised_cascade(net, slope)
    ours.backward()
    theirs.backward()
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_it_works_inside_and_on_models_made_in_inference_mode(net):
    expected = randomised_cascade(net, slope)
    with torch.inference_mode():
        assert randomised_cascade(net, slope) == expected
        frozen = make_net()
    before = snapshot(frozen)
    found = randomised_cascade(frozen, lambda m: m.stem.weight.flatten(1))
    assert found.steps[-1].spearman < 0.5
    assert snapshot(frozen) == before


def test_luck_is_the_seed_s(net):
    first, again, other = (randomised_cascade(net, slope, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


# --- errors ---------------------------------------------------------------------------------------


def test_errors_say_what_came(net):
    with pytest.raises(ModelError, match="unknown layer 'haed'; did you mean 'head'"):
        randomised_cascade(net, slope, layers=["haed"])
    with pytest.raises(SightlineError, match="groups is 0"):
        randomised_cascade(net, slope, groups=0)
    with pytest.raises(ModelError, match="no parameter can be randomised"):
        randomised_cascade(nn.ReLU(), slope)
    with pytest.raises(ModelError, match="no parameter can be randomised"):
        randomised_cascade(nn.BatchNorm2d(3), slope)
    for useless in (np.ones((3, 3)), np.full((3, 3), np.nan)):
        with pytest.raises(SightlineError, match="original map ranks nothing"):
            randomised_cascade(net, lambda _, m=useless: m)
