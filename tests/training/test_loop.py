import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from figures import LABELS, drawings
from sightline.errors import SightlineError
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
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
