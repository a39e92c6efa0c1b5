"""The steps that benchmarks/alignment_step.py times do what it says of them."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from sightline.alignment.map_sources import GradCamMaps

FILE = Path(__file__).parents[2] / "benchmarks" / "alignment_step.py"
SMALL = {
    "small-resnet": {"widths": (8, 12, 16)},
    "resnet18": {
        "embedding_size": 16,
        "hidden_sizes": [16, 16, 16, 16],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
    },
    "vit-tiny": {
        "hidden_size": 16,
        "num_hidden_layers": 12,  # the layer is named by its number
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "patch_size": 16,
    },
}


@pytest.fixture(scope="module")
def step():
    """The benchmark, as a module; it imports what lies beside it."""
    sys.path.insert(0, str(FILE.parent))
    try:
        spec = importlib.util.spec_from_file_location("alignment_step", FILE)
        module = importlib.util.module_from_spec(spec)
        sys.modules["alignment_step"] = module  # dataclasses look there
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FILE.parent))
        sys.modules.pop("alignment_step", None)


@pytest.fixture(params=SMALL)
def given(step, request, monkeypatch):
    """A narrow model of each kind in float64, in evaluation mode, and four pictures."""
    name = request.param
    if name != "small-resnet":
        pytest.importorskip("transformers")
    kind, _, _ = step.MODELS[name]
    monkeypatch.setitem(step.MODELS, name, (kind, (64, 64), SMALL[name]))
    found = step.setting(name, batch=4, seed=0)
    assert found.model.training
    found.model.double().eval()
    return replace(found, batch=found.batch.to(dtype=torch.float64))


def gradients(model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)


# --- what each side computes ----------------------------------------------------------------------


def test_the_peers_maps_are_ours_with_constant_weights(step, given):
    """Alone or together is the same in evaluation mode."""
    maps = GradCamMaps(given.layer, exact=False).look(given.model, given.batch.inputs)
    together = maps.maps(given.target)
    alone = [
        step.alone(given.model, given.layer, picture, int(target))
        for picture, target in zip(given.pixels, given.target, strict=True)
    ]
    torch.testing.assert_close(torch.stack(alone), together, rtol=1e-9, atol=1e-12)
    assert float(together.detach().std()) > 0


def test_the_layer_is_the_one_that_users_get(given):
    default, named = (
        GradCamMaps(layer).look(given.model, given.batch.inputs).maps(given.target)
        for layer in (None, given.layer)
    )
    assert torch.equal(default, named)


def test_the_peers_step_is_ours_with_constant_weights(step, given):
    theirs = gradients(given.model, step.peers(given))
    held = gradients(given.model, step.held(given))
    assert apart(theirs, held) < 1e-10
    exact = gradients(given.model, step.ours(given))
    assert apart(exact, held) > 1e-6


def test_a_strength_of_nothing_is_the_plain_step(step, given):
    plain = gradients(given.model, step.plain(given))
    assert apart(gradients(given.model, step.ours(given, strength=0.0)), plain) < 1e-12
    assert apart(gradients(given.model, step.ours(given)), plain) > 1e-6


def test_the_plain_loss_by_hand(step, given):
    logits = given.model.look(given.pixels)
    chosen = logits.softmax(1)[torch.arange(4), given.target]
    torch.testing.assert_close(step.plain(given), -chosen.log().mean())
    plain, ours, rrr = (side(given).item() for side in (step.plain, step.ours, step.rrr))
    assert min(ours, rrr) > plain


def test_every_item_is_labelled(step, given):
    wanted = given.batch.wanted
    assert len(wanted.labelled) == 4
    assert ((wanted.must.sum((1, 2)) - (64 // 3) ** 2).abs() < 1e-9).all()


# --- how it measures ------------------------------------------------------------------------------


def test_all_sides_read_the_same_weights(step, given):
    before = {name: value.clone() for name, value in given.model.state_dict().items()}
    optimizer = step.optimizer_of(given)
    for side in step.SIDES:
        assert step.step(given, optimizer, side) > 0
    after = given.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    slots = optimizer.state_dict()["state"]
    assert all(float(slot["step"]) == len(step.SIDES) for slot in slots.values())  # it did step


def test_ratios_are_of_steps_of_one_round(step):
    rows = step.summary("net", {"plain": [1.0, 2.0, 4.0], "ours": [1.5, 2.0, 5.0]})
    assert rows[1] == {
        "model": "net",
        "side": "ours",
        "seconds": 2.0,
        "ratio": 1.25,
        "ratio_min": 1.0,
        "ratio_max": 1.5,
    }


@pytest.mark.parametrize(("ours", "verdict"), [(1.39, "1.39: holds"), (1.5, "1.50: DOES NOT HOLD")])
def test_the_verdict(step, capsys, ours, verdict):
    rows = step.summary("net", {"plain": [1.0], "ours": [ours]})
    step.report(
        rows, "a machine", argparse.Namespace(batch=2, repeats=1, memory=False, clock="wall")
    )
    assert f"claim, net, at most 1.4: {verdict}" in capsys.readouterr().out


def test_min_max_by_hand(step):
    maps = torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]])
    assert step.scaled(maps).tolist() == [[[0.0, 0.25], [0.5, 1.0]]]
    assert F.l1_loss(step.scaled(maps), torch.ones(1, 2, 2)).item() == 0.5625
