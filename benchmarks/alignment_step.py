"""Claim: a step that also teaches where to look costs at most 1.4 plain steps, all items labelled.

One classifier with random weights, one batch of 32 random pictures with masks, one process. Steps
in alternating rounds, each with cross entropy, a backward pass and Adam (at a rate of 0, so that
all read the same weights):

- plain: nothing else;
- ours: Grad-CAM of the whole batch from the forward pass of the task, its weights differentiated
  too, GRADIA's loss on it;
- ours, weights of the maps held constant (``gradia-as-programmed``);
- the peer's: as GRADIA's program does it, a forward and a backward pass of its own for each picture
  with a label, one at a time, whose map then takes part in the loss. (Its loop over channels is one
  product here, which is faster than the original.)
- RRR on the gradient of the input, as information: it goes back through the whole network twice.

A ratio is that of two steps of the same round. ``--clock processor`` counts the time for which the
process was on a processor, which other processes on a busy machine change less; meant for
``--threads 1``. ``--memory`` runs each step in a process of its own
and tells the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sightline as sl
from material import arguments, run, say, start, table
from sightline.alignment.looking import Guide
from sightline.alignment.losses import GradiaLoss, RrrLoss
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.objective import Guided
from sightline.alignment.placing import at_size
from sightline.alignment.wanted import GuidedBatch, Wanted
from sightline.allocator import keep_freed_memory
from sightline.image.batch import PictureBatch
from sightline.methods.features import as_map
from sightline.models.load_classifier import load_classifier
from sightline.models.photo_classifier import PictureClassifier

CLAIM = 1.4
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
LABELS = ("one", "other")

_BOTTLENECKS = {
    "embedding_size": 64,
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
    "layer_type": "bottleneck",
}
_BASIC = _BOTTLENECKS | {
    "hidden_sizes": [64, 128, 256, 512],
    "depths": [2, 2, 2, 2],
    "layer_type": "basic",
}
_TINY = {
    "hidden_size": 192,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "patch_size": 16,
}
MODELS = {
    "small-resnet": ("small-resnet", (64, 64), {}),
    "resnet18": ("transformers-config:resnet", (224, 224), _BASIC),
    "resnet50": ("transformers-config:resnet", (224, 224), _BOTTLENECKS),
    "vit-tiny": ("transformers-config:vit", (224, 224), _TINY),
}
LAYERS = {
    "small-resnet": "stages",
    "resnet18": "resnet.encoder.stages.3",
    "resnet50": "resnet.encoder.stages.3",
    "vit-tiny": "vit.layers.11.layernorm_before",
}
"""Where all sides read the map: the last stage; in a ViT what its last attention reads."""


@dataclass(frozen=True)
class Setting:
    """What all sides are given."""

    model: PictureClassifier
    layer: str
    batch: GuidedBatch
    target: Tensor

    @property
    def pixels(self) -> Tensor:
        """Of the pictures."""
        assert isinstance(self.batch.inputs, PictureBatch)
        return self.batch.inputs.pixels


def setting(name: str, *, batch: int, seed: int) -> Setting:
    """A model in training mode, and random pictures, each with a rectangle to look at."""
    kind, size, settings = MODELS[name]
    model = load_classifier(kind, labels=LABELS, size=size, seed=seed, **settings).train()
    luck = torch.Generator().manual_seed(seed)
    pictures = PictureBatch(torch.rand(batch, 3, *size, generator=luck))
    must = torch.zeros(batch, *size)
    for mask in must:
        top, left = (int(torch.randint(side // 2, (1,), generator=luck)) for side in size)
        mask[top : top + size[0] // 3, left : left + size[1] // 3] = 1
    ones = torch.ones(batch)
    wanted = Wanted(must, torch.zeros_like(must), ones)
    target = torch.randint(len(LABELS), (batch,), generator=luck)
    return Setting(model, LAYERS[name], GuidedBatch(pictures, wanted, ones), target)


# --- one loss a side ------------------------------------------------------------------------------


def plain(given: Setting) -> Tensor:
    """The loss of the task."""
    return F.cross_entropy(given.model.look(given.pixels), given.target)


def guided(given: Setting, guide: Guide) -> Tensor:
    """Ours."""
    losses = Guided(guide).losses(given.model, given.batch, given.target)
    return losses["task"].mean() + losses["attention"].mean()


def ours(given: Setting, *, exact: bool = True, strength: float = 1.0) -> Tensor:
    """GRADIA's loss on Grad-CAM of the whole batch."""
    return guided(
        given, Guide("gradia", GradCamMaps(given.layer, exact=exact), GradiaLoss(), strength)
    )


def held(given: Setting) -> Tensor:
    """The same, the weights of the maps constant."""
    return ours(given, exact=False)


def rrr(given: Setting) -> Tensor:
    """RRR on the gradient of the input."""
    return guided(given, Guide("rrr", InputGradients(), RrrLoss(), 1e-3))


def peers(given: Setting) -> Tensor:
    """GRADIA's way: every labelled picture once more, alone, forwards and backwards."""
    task = F.cross_entropy(given.model.look(given.pixels), given.target)
    maps = torch.stack(
        [
            alone(given.model, given.layer, picture, int(target))
            for picture, target in zip(given.pixels, given.target, strict=True)
        ]
    )
    shape = (maps.shape[1], maps.shape[2])
    labels = at_size(given.batch.wanted.must, shape, blur=True, scaled=True)
    far = (scaled(maps) - labels).abs().mean((1, 2))
    return task + (given.batch.wanted.weight * far).mean()


def alone(model: PictureClassifier, layer: str, picture: Tensor, target: int) -> Tensor:
    """The map of one picture: its weights from a backward pass through the whole network."""
    kept: list[Tensor] = []
    slopes: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        kept.append(output)
        output.register_hook(slopes.append)

    handle = model.module.get_submodule(layer).register_forward_hook(keep)
    try:
        logits = model.look(picture[None])
    finally:
        handle.remove()
    model.zero_grad()
    logits[0, target].backward(retain_graph=True)
    features, slope = as_map(kept[0]), as_map(slopes[0])
    assert features is not None
    assert slope is not None
    return torch.einsum("k,khw->hw", slope[0].mean((1, 2)), features[0])


def scaled(maps: Tensor) -> Tensor:
    """Each from 0 to 1."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / maps.amax((1, 2), keepdim=True)


SIDES: dict[str, Callable[[Setting], Tensor]] = {
    "plain": plain,
    "ours": ours,
    "ours, constant weights": held,
    "peer's": peers,
    "RRR, input gradient": rrr,
}


# --- measured -------------------------------------------------------------------------------------


def optimizer_of(given: Setting) -> torch.optim.Optimizer:
    """Adam, as GRADIA has it, at a rate of 0."""
    return torch.optim.Adam(given.model.parameters(), lr=0.0)


def step(
    given: Setting, optimizer: torch.optim.Optimizer, side: str, *, clock: str = "wall"
) -> float:
    """Seconds."""
    started = CLOCKS[clock]()
    loss = SIDES[side](given)
    optimizer.zero_grad()  # only now: the peer's maps leave gradients of single pictures
    loss.backward()
    optimizer.step()
    return CLOCKS[clock]() - started


def measure(name: str, given: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every side in every round."""
    what = setting(name, batch=given.batch, seed=given.seed)
    optimizer = optimizer_of(what)
    found: dict[str, list[float]] = {side: [] for side in given.sides}
    for index in range(given.repeats + 1):
        times = {s: step(what, optimizer, s, clock=given.clock) for s in given.sides}
        if index:  # none is timed cold
            for side, seconds in times.items():
                found[side].append(seconds)
        shown = ", ".join(f"{side} {seconds:.2f}" for side, seconds in times.items())
        say(f"{name}, round {index}/{given.repeats}: {shown} s")
    return found


def peak_of(name: str, side: str, **settings: int) -> float:
    """GB that a process has held which only does two such steps."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(theirs, name, side), kwargs=settings)
    process.start()
    theirs.close()
    try:
        return float(ours.recv())
    except EOFError:
        raise sl.SightlineError(f"the step {side!r} of {name} did not end; memory?") from None
    finally:
        process.join()


def _peak(pipe, name: str, side: str, *, batch: int, seed: int, threads: int) -> None:
    torch.set_num_threads(threads)
    what = setting(name, batch=batch, seed=seed)
    optimizer = optimizer_of(what)
    for _ in range(2):
        step(what, optimizer, side)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def summary(name: str, found: dict[str, list[float]]) -> list[dict]:
    """Medians, and the ratio to the plain step of each round."""
    rows = []
    for side, seconds in found.items():
        ratios = [s / p for s, p in zip(seconds, found["plain"], strict=True)]
        rows.append(
            {
                "model": name,
                "side": side,
                "seconds": median(seconds),
                "ratio": median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
            }
        )
    return rows


def main(given: argparse.Namespace) -> dict:
    machine = start(argparse.Namespace(model="sketchxainet-tiny", threads=given.threads))[1]
    keep_freed_memory()
    given.sides = ["plain", *(side for side in SIDES if side in given.side and side != "plain")]
    rows = []
    for name in MODELS if given.model == "all" else [given.model]:
        rows += summary(name, measure(name, given))
    if given.memory:
        for row in rows:
            settings = {"batch": given.batch, "seed": given.seed}
            settings["threads"] = torch.get_num_threads()
            row["peak"] = peak_of(row["model"], row["side"], **settings)
    if not given.json:
        report(rows, machine, given)
    return {"rows": rows, "machine": machine, "batch": given.batch, "repeats": given.repeats}


def report(rows: list[dict], machine: str, given: argparse.Namespace) -> None:
    print(f"batch {given.batch}, every item labelled, {given.repeats} rounds; {machine}")
    print(f"seconds of the {given.clock} clock\n")
    header = ["model", "step", "seconds", "ratio to plain (min to max)"]
    header += ["peak, GB"] * given.memory
    print(table(header, [_cells(row) for row in rows]) + "\n")
    for row in rows:
        if row["side"] == "ours":
            verdict = "holds" if row["ratio"] <= CLAIM else "DOES NOT HOLD"
            print(f"claim, {row['model']}, at most {CLAIM}: {row['ratio']:.2f}: {verdict}")


def _cells(row: dict) -> list[str]:
    ratio = f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
    cells = [row["model"], row["side"], f"{row['seconds']:.3f}", ratio]
    return cells + ([f"{row['peak']:.2f}"] if "peak" in row else [])


if __name__ == "__main__":
    parser = arguments(__doc__, model="all")
    parser.add_argument("--batch", type=int, default=32, help="pictures")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--side", nargs="+", choices=SIDES, default=list(SIDES), help="steps")
    parser.add_argument("--memory", action="store_true", help="peak memory of each step too")
    run(main, parser)
