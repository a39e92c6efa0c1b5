"""What one of several processes does in test_processes.py; the first one writes the result."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from figures import LABELS, drawings
from guided import guided_drawings, guided_squares, picture_net, stroke_net
from sightline.alignment.augmentation import GuidedAugmentation
from sightline.alignment.guides import guide
from sightline.alignment.objective import Guided
from sightline.image.augment import PhotoAugmentation
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


LABELLED = (0, 1, 7)
GUIDED = Recipe(
    epochs=2,
    batch=4,
    lr=2e-3,
    warmup=1,
    weight_decay=0.1,
    precision="64-true",
    seed=3,
    augmentation=None,
)


def seasoned() -> torch.nn.Module:
    """Statistics of batch norms whose mean over three processes would be rounded."""
    net, luck = picture_net("batch").double(), torch.Generator().manual_seed(5)
    for name, buffer in net.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=luck, dtype=buffer.dtype) + 0.5)
    return net


def look(out: Path, processes: Processes) -> None:
    """Three labels in batches of 4: shares, and whole batches, without any; the last is of one."""
    varied = GuidedAugmentation(PhotoAugmentation())
    runs = {
        "group": (picture_net(seed=processes.rank), "res-learnt", None, {"augmentation": varied}),
        "batch": (seasoned(), "gradia", None, {"normalisation": "frozen"}),
        "strokes": (stroke_net(dropout=0.0), "gradia", "strokes", {"augmentation": None}),
    }
    weights, histories = {}, {}
    for name, (net, named, source, changes) in runs.items():
        make = guided_drawings if name == "strokes" else guided_squares
        objective = Guided(guide(named, source=source))
        sets = make(21, LABELLED, 1), make(9, (2, 3), 2)
        folder = out.with_suffix(f".{name}")
        recipe = replace(GUIDED, **changes)
        histories[name] = train(
            net, *sets, recipe, folder, objective=objective, processes=processes
        )
        weights |= {f"{name}/{key}": value for key, value in net.state_dict().items()}
        if objective.learnt is not None:
            weights[f"{name}/kernel"] = objective.learnt.kernel.detach()
    if processes.first:
        save_file({key: value.contiguous() for key, value in weights.items()}, out)
        out.with_suffix(".json").write_text(json.dumps(histories))


if __name__ == "__main__":
    task, out = sys.argv[1:]
    with joined() as processes:
        {"measure": measure, "learn": learn, "look": look}[task](Path(out), processes)
        processes.leave()
