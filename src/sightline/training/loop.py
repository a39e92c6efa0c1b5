"""The training loop: Lightning Fabric, one checkpoint an epoch, resumable to the same numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import SightlineError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch
from sightline.training.recipe import Recipe

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Prepared drawings with the index of their label."""

    drawings: SketchBatch
    target: Int[Tensor, " sketches"]

    def __len__(self) -> int:
        return len(self.drawings)

    @classmethod
    def from_sketches(
        cls,
        sketches: Sequence[Sketch],
        labels: Sequence[str],
        prepare: Callable[[Sketch], Sketch],
    ) -> Labelled:
        """Prepare drawings as a model wants them and look their labels up."""
        index = {label: i for i, label in enumerate(labels)}
        unknown = sorted({str(s.label) for s in sketches if s.label not in index})
        if unknown:
            raise SightlineError(
                f"labels {', '.join(unknown)} are not among the model's: {', '.join(labels)}"
            )
        drawings = SketchBatch.from_sketches([prepare(s) for s in sketches])
        return cls(drawings, torch.tensor([index[str(s.label)] for s in sketches]))


def train(
    model: nn.Module,
    training: Labelled,
    validation: Labelled,
    recipe: Recipe,
    folder: Path,
    *,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train ``model`` in place and return one record an epoch.

    At the end of every epoch ``folder`` holds a checkpoint and ``metrics.jsonl``, each replaced
    atomically. A run that was killed continues from its last epoch and reaches the same numbers,
    because order, augmentation and dropout are drawn from (seed, epoch) alone. The model ends
    with the running mean of the weights from the epoch of the best validation accuracy.

    Raises:
        SightlineError: the folder holds a run of another recipe.
    """
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="auto", devices=1, precision=recipe.precision)  # type: ignore[arg-type]
    run = _Run(model, recipe, folder)
    run.resume()
    fast, optimizer = fabric.setup(model, run.optimizer)
    run.optimizer = optimizer
    steps = -(-len(training) // recipe.batch)
    with torch.random.fork_rng(devices=[]):
        for epoch in range(len(run.history), recipe.epochs):
            started = time.monotonic()
            loss = _epoch(fabric, fast, run, training, epoch, steps, progress)
            run.record(
                {
                    "epoch": epoch + 1,
                    "train_loss": loss,
                    "valid_top1": run.validate(fabric, fast, validation),
                    "seconds": round(time.monotonic() - started, 2),
                }
            )
            if progress is not None:
                progress(_line(run.history[-1], recipe.epochs))
    run.load_best()
    return run.history


@torch.no_grad()
def predict(
    model: nn.Module, drawings: SketchBatch, *, batch: int = 250
) -> Tensor:
    """Logits [sketches, labels] of prepared drawings, in evaluation mode; the mode is restored."""
    was_training = model.training
    device = next(model.parameters()).device
    model.eval()
    try:
        index = torch.arange(len(drawings))
        pieces = [model(drawings.select(i).to(device)).float().cpu() for i in index.split(batch)]
        return torch.cat(pieces)
    finally:
        model.train(was_training)


def _epoch(
    fabric: Any,
    model: nn.Module,
    run: _Run,
    data: Labelled,
    epoch: int,
    steps: int,
    progress: Progress | None,
) -> float:
    recipe = run.recipe
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    torch.manual_seed(recipe.seed * 1_000_003 + epoch)  # dropout; restored by the caller
    order = torch.randperm(len(data), generator=generator)
    total = 0.0
    model.train()
    for step, chosen in enumerate(order.split(recipe.batch)):
        drawings = data.drawings.select(chosen)
        if recipe.augmentation is not None:
            drawings = recipe.augmentation(drawings, generator)
        for group in run.optimizer.param_groups:
            group["lr"] = recipe.rate(epoch * steps + step, steps)
        target = data.target[chosen].to(fabric.device)
        # Fabric's wrapper would take the frozen batch apart, so the bare module is called here
        with fabric.autocast():
            logits = run.model(drawings.to(fabric.device))
        loss = F.cross_entropy(logits.float(), target, label_smoothing=recipe.smoothing)
        fabric.backward(loss)
        fabric.clip_gradients(model, run.optimizer, max_norm=recipe.clip)
        run.optimizer.step()
        run.optimizer.zero_grad()
        run.average(epoch * steps + step)
        total += loss.item() * len(chosen)
        if progress is not None and step % 20 == 0:
            progress(f"\repoch {epoch + 1}/{recipe.epochs} step {step}/{steps}")
    return total / len(data)


class _Run:
    """What must survive a kill: weights, their mean, the best of it, optimiser, history."""

    def __init__(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        vectors = [p for p in model.parameters() if p.ndim < 2]
        self.optimizer: Any = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": recipe.weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=recipe.lr,
        )
        self.model, self.recipe, self.folder = model, recipe, folder
        self.mean = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.best = self.mean
        self.history: list[dict[str, Any]] = []

    @torch.no_grad()
    def average(self, step: int) -> None:
        """Move the running mean towards the weights; faster in the first steps."""
        keep = min(self.recipe.ema, (step + 1) / (step + 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - keep)
            else:
                self.mean[name].copy_(value)

    def validate(self, fabric: Any, model: nn.Module, data: Labelled) -> float:
        """Top-1 accuracy of the mean weights."""
        own = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.mean)
        try:
            logits = predict(self.model, data.drawings)
        finally:
            self.model.load_state_dict(own)
        return float((logits.argmax(1) == data.target).double().mean())

    def record(self, row: dict[str, Any]) -> None:
        """Keep the epoch's numbers and write everything down."""
        if all(row["valid_top1"] > old["valid_top1"] for old in self.history):
            self.best = {k: v.clone() for k, v in self.mean.items()}
        self.history.append(row)
        self._save()

    def load_best(self) -> None:
        """Put the best mean weights into the model."""
        self.model.load_state_dict(self.best)

    def _save(self) -> None:
        from safetensors.torch import save

        tensors = {}
        for name, state in (("mean", self.mean), ("best", self.best), ("now", self._weights())):
            tensors |= {f"{name}/{k}": v.cpu().contiguous() for k, v in state.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{k}": torch.as_tensor(v).cpu() for k, v in slots.items()}
        meta = {"recipe": json.dumps(self.recipe.as_dict()), "history": json.dumps(self.history)}
        with replace_file(self.folder / "checkpoint.safetensors") as stream:
            stream.write(save(tensors, meta))
        with replace_file(self.folder / "metrics.jsonl") as stream:
            stream.writelines(json.dumps(row).encode() + b"\n" for row in self.history)

    def _weights(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def resume(self) -> None:
        """Continue a run of the same recipe if the folder holds one."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if meta["recipe"] != json.dumps(self.recipe.as_dict()):
            raise SightlineError(
                f"{self.folder} holds a run of another recipe; give another --out, or the same "
                "settings to continue it"
            )
        self.history = json.loads(meta["history"])
        self.model.load_state_dict(_under("now/", tensors))
        self.mean, self.best = _under("mean/", tensors), _under("best/", tensors)
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("adam/", tensors).items():
            index, kind = name.split("/")
            slots.setdefault(int(index), {})[kind] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": slots})


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}


def _line(row: dict[str, Any], epochs: int) -> str:
    return (
        f"\repoch {row['epoch']}/{epochs}: loss {row['train_loss']:.3f}, "
        f"valid top-1 {row['valid_top1']:.2%}, {row['seconds']:.0f} s\n"
    )
