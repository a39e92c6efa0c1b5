import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from figures import LABELS, drawings
from guided import guided_drawings, guided_squares, picture_net, stroke_net
from sightline.alignment.augmentation import GuidedAugmentation
from sightline.alignment.examples import GuidedExamples
from sightline.alignment.guides import guide
from sightline.alignment.objective import Guided
from sightline.errors import SightlineError
from sightline.image.augment import PhotoAugmentation
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
from sightline.sketch.augment import Augmentation
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.training import loop
from sightline.training.evaluate import evaluate
from sightline.training.examples import Labelled
from sightline.training.loop import train
from sightline.training.recipe import Recipe

RECIPE = Recipe(epochs=4, batch=16, lr=2e-3, warmup=1, precision="32-true", seed=3)


def small_net() -> SketchXAINet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SketchXAINet(SketchXAINetConfig(LABELS, hidden=16, layers=2, heads=2, mlp=32))


@pytest.fixture(scope="module")
def sets() -> tuple[Labelled, Labelled]:
    prepare = small_net().prepare
    return tuple(
        Labelled.from_sketches(drawings(n, s), LABELS, prepare) for n, s in ((48, 1), (30, 2))
    )


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_it_learns_what_can_be_learnt(sets, tmp_path):
    net = small_net()
    recipe = Recipe(epochs=25, batch=8, lr=5e-3, warmup=1, precision="32-true", ema=0.9)
    history = train(net, *sets, recipe, tmp_path)
    assert max(row["valid_top1"] for row in history) >= 0.9
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history


def test_the_model_ends_with_the_best_epochs_mean_weights(sets, tmp_path, monkeypatch):
    told, seen = iter([0.5, 0.9, 0.9, 0.1]), []

    def validate(self, data):
        seen.append({name: value.clone() for name, value in self.mean.items()})
        return {"valid_top1": next(told)}

    monkeypatch.setattr(loop._Run, "validate", validate)
    net = small_net()
    train(net, *sets, RECIPE, tmp_path)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, seen[1][name]), name
    assert not torch.equal(seen[1]["head.weight"], seen[3]["head.weight"])


@pytest.mark.parametrize(("stop_in", "buckets"), [(1, False), (2, True), (3, False)])
def test_a_stopped_run_reaches_the_same_numbers(sets, tmp_path, monkeypatch, stop_in, buckets):
    straight, recipe = small_net(), replace(RECIPE, buckets=buckets)
    wanted = train(straight, *sets, recipe, tmp_path / "straight")

    steps = 0
    own_step = loop._Run._step

    def failing(self, *rest):
        nonlocal steps
        steps += 1
        if steps == 3 * stop_in + 2:  # 3 steps an epoch: in the middle of one
            raise KeyboardInterrupt
        return own_step(self, *rest)

    monkeypatch.setattr(loop._Run, "_step", failing)
    with pytest.raises(KeyboardInterrupt):
        train(small_net(), *sets, recipe, tmp_path / "stopped")
    monkeypatch.undo()
    resumed = small_net()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)  # the caller's random state must not matter
        history = train(resumed, *sets, recipe, tmp_path / "stopped")
    assert numbers(history) == numbers(wanted)
    for name, weight in straight.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_another_recipe_does_not_continue_a_run(sets, tmp_path):
    train(small_net(), *sets, Recipe(epochs=1, precision="32-true"), tmp_path)
    with pytest.raises(SightlineError, match="holds a run of another recipe"):
        train(small_net(), *sets, Recipe(epochs=1, lr=1e-5, precision="32-true"), tmp_path)


def test_a_damaged_checkpoint_is_named(sets, tmp_path):
    train(small_net(), *sets, Recipe(epochs=1, precision="32-true"), tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SightlineError, match="is damaged"):
        train(small_net(), *sets, Recipe(epochs=1, precision="32-true"), tmp_path)


def test_training_leaves_the_callers_random_state(sets, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(small_net(), *sets, Recipe(epochs=1, precision="32-true"), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_rate_rises_and_falls_as_written():
    recipe = Recipe(epochs=10, lr=1.0, warmup=2)
    rates = [recipe.rate(step, 5) for step in range(50)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[30] == pytest.approx(0.5)  # half of the way down the cosine
    assert rates[49] < 0.01


def test_validation_is_a_share_of_the_validation_split(sets, tmp_path):
    """Not of the training split, nor of any other: 30 drawings give thirtieths."""
    history = train(small_net(), *sets, replace(RECIPE, lr=1e-9, ema=0.0, epochs=1), tmp_path)
    want = evaluate(small_net(), sets[1], LABELS).top1.estimate
    assert history[0]["valid_top1"] == pytest.approx(want, abs=1e-12)
    assert (history[0]["valid_top1"] * 30) == pytest.approx(round(want * 30), abs=1e-9)
    assert 0 < want < 1


def test_a_manifest_from_before_buckets_is_of_a_recipe_without():
    told = json.loads(json.dumps(RECIPE.as_dict()))
    assert RECIPE.is_of(told)
    del told["buckets"]
    assert RECIPE.is_of(told)
    assert not replace(RECIPE, buckets=True).is_of(told)


def test_a_file_that_is_no_checkpoint_is_named(sets, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "checkpoint.safetensors")
    with pytest.raises(SightlineError, match="is no checkpoint of a training run"):
        train(small_net(), *sets, RECIPE, tmp_path)


# --- guided ---------------------------------------------------------------------------------------

GUIDED = replace(RECIPE, epochs=3, batch=5, lr=5e-3)
VARIED = {
    "photos": GuidedAugmentation(PhotoAugmentation()),
    "strokes": GuidedAugmentation(Augmentation()),
}


def guided_sets(kind: str) -> tuple[GuidedExamples, GuidedExamples]:
    make = guided_squares if kind == "photos" else guided_drawings
    return make(17, [0, 3, 4, 9, 12], 1), make(8, [1, 2], 2)


def guided_net(kind: str, norm: str = "group"):
    return picture_net(norm) if kind == "photos" else stroke_net()


def stopping(monkeypatch, step: int) -> None:
    """A run that dies in this step, counted from 1."""
    steps, own_step = 0, loop._Run._step

    def failing(self, *rest):
        nonlocal steps
        steps += 1
        if steps == step:
            raise KeyboardInterrupt
        return own_step(self, *rest)

    monkeypatch.setattr(loop._Run, "_step", failing)


@pytest.mark.parametrize(
    ("kind", "name", "source", "norm"),
    [
        ("photos", "gradia", None, "group"),
        ("photos", "res-learnt", None, "group"),
        ("photos", "rrr", None, "batch"),
        ("strokes", "gradia", "strokes", "none"),
        ("strokes", "res-learnt", "attention", "none"),
    ],
)
def test_a_stopped_guided_run_reaches_the_same_numbers(
    kind, name, source, norm, tmp_path, monkeypatch
):
    sets = guided_sets(kind)
    normalisation = "frozen" if norm == "batch" else "train"
    recipe = replace(GUIDED, augmentation=VARIED[kind], normalisation=normalisation)

    def go(folder):
        net, objective = guided_net(kind, norm), Guided(guide(name, source=source))
        history = train(net, *sets, recipe, tmp_path / folder, objective=objective)
        return history, net.state_dict(), objective.learnt

    wanted, straight, own = go("straight")
    stopping(monkeypatch, 4 + 2)  # 4 steps an epoch: in the second one
    with pytest.raises(KeyboardInterrupt):
        go("stopped")
    monkeypatch.undo()
    kept = (tmp_path / "stopped" / "metrics.jsonl").read_text().splitlines()
    assert len(kept) == 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(77)  # the caller's random state must not matter
        history, resumed, own_again = go("stopped")
    assert numbers(history) == numbers(wanted)
    assert all(row["train_attention"] > 0 for row in wanted)
    assert all(torch.equal(weight, resumed[key]) for key, weight in straight.items())
    if name == "res-learnt":
        assert torch.equal(own.kernel, own_again.kernel)
        moved = (own.kernel - guide("res-learnt").loss.kernel).abs().max().item()
        assert (moved > 1e-4) == (kind == "photos"), "strokes have no neighbours to impute from"


def test_another_guide_or_strength_does_not_continue_a_run(tmp_path):
    sets, recipe = guided_sets("photos"), replace(GUIDED, epochs=1, augmentation=None)

    def go(objective):
        return train(picture_net(), *sets, recipe, tmp_path, objective=objective)

    row = go(Guided(guide("gradia"), taught="a"))
    others = [
        Guided(guide("hint"), taught="a"),
        Guided(guide("gradia", strength=2.0), taught="a"),
        Guided(guide("gradia", layer="module.stem"), taught="a"),
        Guided(guide("gradia"), 0.1, taught="a"),
        Guided(guide("gradia"), taught="b"),
        Guided(guide("gradia")),
    ]
    for other in others:
        with pytest.raises(SightlineError, match="holds a run of another recipe, guide or labels"):
            go(other)
    with pytest.raises(SightlineError, match="holds a run of another recipe, guide or labels"):
        train(picture_net(), *(own.data for own in sets), recipe, tmp_path)
    assert go(Guided(guide("gradia"), taught="a")) == row


@pytest.mark.parametrize("normalisation", ["frozen", "train"])
def test_frozen_statistics_stay_and_modes_come_back(normalisation, tmp_path):
    net = picture_net("batch")
    net.module.stages.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    recipe = replace(GUIDED, epochs=2, augmentation=None, normalisation=normalisation)
    train(net, *guided_sets("photos"), recipe, tmp_path, objective=Guided(guide("gradia")))
    after = net.state_dict()
    stays = [torch.equal(after[n], before[n]) for n in after if "running" in n or "tracked" in n]
    assert len(stays) == 3 * 6
    assert all(stays) == (normalisation == "frozen")
    assert not any(torch.equal(after[n], before[n]) for n in after if n.endswith("0.weight"))
    assert [module.training for module in net.modules()] == modes


def test_modes_come_back_after_a_failure(tmp_path, monkeypatch):
    net = picture_net("batch").eval()
    net.module.head.train()
    modes = [module.training for module in net.modules()]
    stopping(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        recipe, objective = replace(GUIDED, augmentation=None), Guided(guide("gradia"))
        train(net, *guided_sets("photos"), recipe, tmp_path, objective=objective)
    assert [module.training for module in net.modules()] == modes


class Exploding(nn.Module):
    """A loss that is fine until some step, and then not: itself, or its gradient only."""

    settings: ClassVar = {"name": "exploding"}

    def __init__(self, what: str, step: int) -> None:
        super().__init__()
        self.what, self.left = what, step

    def forward(self, maps, wanted):
        self.left -= 1
        far = maps.flatten(1).mean(1) * 1e-3
        if self.left >= 0:
            return far
        # the square root of 0 has no slope
        return far * float("nan") if self.what == "loss" else far + (0 * far).abs().sqrt()


@pytest.mark.parametrize(
    ("what", "says"), [("loss", "the loss is nan"), ("gradient", "a gradient is not finite")]
)
def test_what_is_not_finite_names_the_cure_and_leaves_the_epoch_before(what, says, tmp_path):
    data = guided_squares(10, range(10), 1)  # 2 steps an epoch, and 1 of validation
    recipe, chosen = replace(GUIDED, augmentation=None), guide("gradia")
    loss = Exploding(what, 2 + 1 + 1)
    objective = Guided(replace(chosen, loss=loss))
    with pytest.raises(SightlineError, match=f"{says}; nothing of this epoch was kept: lower the"):
        train(picture_net(), data, data, recipe, tmp_path, objective=objective)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
    kept = load_file(tmp_path / "checkpoint.safetensors")
    assert all(bool(value.isfinite().all()) for value in kept.values())
    whole, mended = picture_net(), picture_net()
    mend = Guided(replace(chosen, loss=Exploding(what, 99)))
    history = train(mended, data, data, recipe, tmp_path, objective=mend)
    same = train(whole, data, data, recipe, tmp_path / "whole", objective=mend)
    assert numbers(history) == numbers(same)


def test_buckets_are_for_drawings(tmp_path):
    with pytest.raises(SightlineError, match="buckets are for drawings"):
        train(picture_net(), *guided_sets("photos"), replace(GUIDED, buckets=True), tmp_path)


def test_frozen_weights_stay(tmp_path):
    net = picture_net()
    net.module.stem.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    recipe = replace(GUIDED, augmentation=None, weight_decay=0.1)
    train(net, *guided_sets("photos"), recipe, tmp_path, objective=Guided(guide("gradia")))
    assert not any(weight.requires_grad for weight in net.module.stem.parameters())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("module.stem"), name


@pytest.mark.slow
def test_kill_9_and_go_on(tmp_path):
    """The command itself, killed without warning, then started again."""
    data = tmp_path / "data.ndjson"
    write_ndjson(data, drawings(400, 4))
    command = [sys.executable, "-m", "sightline", "train", "sketch", str(data), "--size", "nano"]
    command += ["--epochs", "3", "--precision", "32-true", "--seed", "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(out):
        return [*command, "--out", str(tmp_path / out)]

    subprocess.run(run("straight"), check=True, capture_output=True, env=environment)
    victim = subprocess.Popen(
        run("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert 1 <= len(metrics.read_text().splitlines()) < 3, "killed too early or too late"
    subprocess.run(run("killed"), check=True, capture_output=True, env=environment)

    def rows(out):
        text = (tmp_path / out / "metrics.jsonl").read_text()
        return numbers(json.loads(line) for line in text.splitlines())

    assert rows("killed") == rows("straight")
    mended, straight = (
        load_file(tmp_path / out / "model" / "model.safetensors") for out in ("killed", "straight")
    )
    assert all(torch.equal(mended[name], straight[name]) for name in straight)
    assert not list((tmp_path / "killed").glob(".*")), "no half-written file is left"
