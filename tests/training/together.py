"""What one of several processes does in test_processes.py; the first one writes the result."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from figures import LABELS, drawings
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
from sightline.training.evaluate import evaluate
from sightline.training.examples import Labelled
from sightline.training.loop import train
from sightline.training.processes import Processes, joined
from sightline.training.recipe import Recipe


def net(seed: int) -> SketchXAINet:
    torch.manual_seed(seed)
    small = SketchXAINetConfig(LABELS, hidden=16, layers=2, heads=2, mlp=32, dropout=0.0)
    return SketchXAINet(small)


def examples(count: int, seed: int) -> Labelled:
    return Labelled.from_sketches(drawings(count, seed), LABELS, net(0).prepare)


def measure(out: Path, processes: Processes) -> None:
    """1,001 drawings: neither 2 nor 3 divides them, nor do batches of 250."""
    result = evaluate(net(0), examples(1001, 3), LABELS, processes=processes)
    if processes.first:
        numbers = {"confusion": result.confusion.tolist(), "top5": vars(result.top5)}
        out.write_text(json.dumps(numbers))


def learn(out: Path, processes: Processes) -> None:
    """The last batch has one drawing: some processes have no share of it. Each starts elsewhere."""
    model = net(processes.rank)
    recipe = Recipe(
        epochs=2, batch=25, lr=2e-3, warmup=1, precision="64-true", seed=3, buckets=True
    )
    sets = examples(101, 1), examples(31, 2)
    history = train(model, *sets, recipe, out.with_suffix(".run"), processes=processes)
    if processes.first:
        save_file(model.state_dict(), out)
        out.with_suffix(".json").write_text(json.dumps(history))


if __name__ == "__main__":
    task, out = sys.argv[1:]
    with joined() as processes:
        {"measure": measure, "learn": learn}[task](Path(out), processes)
        processes.leave()
