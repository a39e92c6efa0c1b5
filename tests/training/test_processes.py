"""Several processes: the numbers of one; killed, they go on to the same weights."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from figures import drawings
from sightline.alignment.guides import guide
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.training.processes import ALONE, Processes, joined

HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def together(count: int, *command: object) -> str:
    head = [sys.executable] if count == 1 else [*TORCHRUN, str(count)]
    whole = [*head, *(str(word) for word in command)]
    done = subprocess.run(whole, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_everything_once(count):
    rows = torch.arange(5)
    shares = [Processes(rank, count).share(rows).tolist() for rank in range(count)]
    assert sorted(row for share in shares for row in share) == [0, 1, 2, 3, 4]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_alone_changes_nothing():
    numbers = [torch.tensor([1.0, 2.0]), torch.tensor(3)]
    ALONE.sum_each(numbers)
    ALONE.from_first(numbers)
    assert [n.tolist() for n in numbers] == [[1.0, 2.0], 3]
    assert ALONE.agree(4)
    assert ALONE.first
    with joined() as processes:
        assert processes == ALONE


@pytest.mark.slow
def test_evaluation_on_2_and_3_processes_is_that_of_one(tmp_path):
    found = []
    for count in (1, 2, 3):
        out = tmp_path / f"{count}.json"
        together(count, HERE / "together.py", "measure", out)
        found.append(json.loads(out.read_text()))
    assert sum(map(sum, found[0]["confusion"])) == 1001
    assert found[1] == found[0]
    assert found[2] == found[0]


@pytest.mark.slow
def test_training_on_2_and_3_processes_is_that_of_one(tmp_path):
    """In float64 without dropout: augmentation, order, clipping and the running mean included."""
    runs = {}
    for count in (1, 2, 3):
        out = tmp_path / f"{count}.safetensors"
        together(count, HERE / "together.py", "learn", out)
        runs[count] = load_file(out), json.loads(out.with_suffix(".json").read_text())
    weights, history = runs[1]
    for count in (2, 3):
        for name, weight in weights.items():
            torch.testing.assert_close(runs[count][0][name], weight, atol=1e-9, rtol=0)
        for mine, alone in zip(runs[count][1], history, strict=True):
            assert mine["valid_top1"] == alone["valid_top1"]
            assert mine["train_loss"] == pytest.approx(alone["train_loss"], abs=1e-9)


@pytest.mark.slow
def test_guided_training_on_2_and_3_processes_is_that_of_one(tmp_path):
    """Photos with a loss that learns itself, frozen batch norms, strokes; bits where as many."""
    runs, told = {}, {}
    for run, count in {"1": 1, "2": 2, "2 again": 2, "3": 3}.items():
        out = tmp_path / f"{run}.safetensors"
        together(count, HERE / "together.py", "look", out)
        runs[run], told[run] = load_file(out), json.loads(out.with_suffix(".json").read_text())
    alone = runs["1"]
    for name, weight in alone.items():
        assert torch.equal(runs["2"][name], runs["2 again"][name]), name
        for other in ("2", "3"):
            torch.testing.assert_close(runs[other][name], weight, atol=1e-9, rtol=0)
            if "running" in name:
                assert torch.equal(runs[other][name], weight), name
    assert (alone["group/kernel"] - guide("res-learnt").loss.kernel.detach()).abs().max() > 1e-6
    for other in ("2", "3"):
        for name, history in told["1"].items():
            for mine, row in zip(told[other][name], history, strict=True):
                for number in row.keys() - {"seconds"}:
                    assert mine[number] == pytest.approx(row[number], abs=1e-9), (name, number)
                assert row["train_attention"] > 0


def workers_of(parent: int) -> list[int]:
    """Processes that torchrun started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the workers in /proc")
def test_one_of_two_is_killed_and_both_go_on(tmp_path):
    """The command itself: the death of one ends the run; the next one ends in the same bits."""
    data = tmp_path / "data.ndjson"
    write_ndjson(data, drawings(300, 4))
    command = ["-m", "sightline", "train", "sketch", str(data), "--size", "nano", "--epochs", "3"]
    command += ["--precision", "32-true", "--seed", "1", "--batch", "32", "--out"]

    spoken = together(2, *command, tmp_path / "straight")
    assert spoken.count("drawings to learn from") == 1, "one process speaks"

    victim = subprocess.Popen(
        [*TORCHRUN, "2", *command, str(tmp_path / "killed")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(workers_of(victim.pid)[1], signal.SIGKILL)
    assert victim.wait(60) != 0
    assert 1 <= len(metrics.read_text().splitlines()) < 3, "killed too early or too late"
    together(2, *command, tmp_path / "killed")

    mended, straight = (
        load_file(tmp_path / out / "model" / "model.safetensors") for out in ("killed", "straight")
    )
    assert all(torch.equal(mended[name], straight[name]) for name in straight)
    assert len(metrics.read_text().splitlines()) == 3

    measure = ["-m", "sightline", "evaluate", "sketch", data, "--split", "all", "--json"]
    model = tmp_path / "killed" / "model"
    alone, both = (together(count, *measure, "--model", model) for count in (1, 2))
    assert json.loads(alone) == json.loads(both)
