"""The training loop: Lightning Fabric, one checkpoint an epoch, resumable to the same numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import SightlineError
from sightline.models.as_found import as_found
from sightline.models.place import place
from sightline.sketch.batch import SketchBatch
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch
from sightline.training.recipe import Recipe

Progress = Callable[[str], None]
State = dict[str, Tensor]

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


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
        """Prepare drawings as a model wants them and look their labels up.

        Raises:
            SightlineError: no drawings, or a label that is not among the model's.
        """
        if not sketches:
            raise SightlineError("no drawings: the split is empty")
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
    run = _Run(model, recipe, folder)
    run.resume()
    with torch.random.fork_rng(devices=[]):
        for epoch in range(len(run.history), recipe.epochs):
            started = time.monotonic()
            loss = run.epoch(training, epoch, progress)
            top1 = run.validate(validation)
            seconds = round(time.monotonic() - started, 2)
            run.record(
                {"epoch": epoch + 1, "train_loss": loss, "valid_top1": top1, "seconds": seconds}
            )
            if progress is not None:
                progress(_line(run.history[-1], recipe.epochs))
    run.model.load_state_dict(run.best)
    return run.history


def predict(
    model: nn.Module, drawings: SketchBatch, *, batch: int = 250
) -> Float[Tensor, "sketches labels"]:
    """Logits of prepared drawings, float32 on the CPU; the model is left as it came."""
    device, dtype = place(model)
    with as_found(model), torch.no_grad():
        pieces = [
            model(drawings.select(index).to(device, dtype)).float().cpu()
            for index in torch.arange(len(drawings)).split(batch)
        ]
    return torch.cat(pieces)


class _Run:
    """A training run, and what of it must survive a kill."""

    def __init__(self, model: nn.Module, recipe: Recipe, folder: Path) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.fabric = _fabric()(accelerator="auto", devices=1, precision=recipe.precision)
        optimizer = torch.optim.AdamW(_groups(model, recipe.weight_decay), lr=recipe.lr)
        self.wrapped, self.optimizer = self.fabric.setup(model, optimizer)
        self.history: list[dict[str, Any]] = []
        self.mean = self._weights()
        self.best = self.mean

    def epoch(self, data: Labelled, epoch: int, progress: Progress | None) -> float:
        """One pass over the data; the mean loss."""
        seed = self.recipe.seed * 1_000_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout draws from the global state, which `train` restores
        batches = torch.randperm(len(data), generator=generator).split(self.recipe.batch)
        self.model.train()
        total = 0.0
        for index, chosen in enumerate(batches):
            step = epoch * len(batches) + index
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(step, len(batches))
            total += self._step(data, chosen, generator) * len(chosen)
            self._average(step)
            if progress is not None:
                head = f"epoch {epoch + 1}/{self.recipe.epochs}"
                progress(f"\r{head} {bar(index + 1, len(batches))}")
        return total / len(data)

    def _step(self, data: Labelled, chosen: Tensor, generator: torch.Generator) -> float:
        recipe, device = self.recipe, self.fabric.device
        drawings = data.drawings.select(chosen)
        if recipe.augmentation is not None:
            drawings = recipe.augmentation(drawings, generator)
        # Fabric's wrapper would take the frozen batch apart, so the bare module is called
        with self.fabric.autocast():
            logits = self.model(drawings.to(device))
        target = data.target[chosen].to(device)
        loss = F.cross_entropy(logits.float(), target, label_smoothing=recipe.smoothing)
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the running mean towards the weights; faster in the first steps."""
        keep = min(self.recipe.ema, (step + 1) / (step + 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - keep)
            else:
                self.mean[name].copy_(value)

    def validate(self, data: Labelled) -> float:
        """Top-1 accuracy of the mean weights."""
        own = self._weights()
        self.model.load_state_dict(self.mean)
        try:
            logits = predict(self.model, data.drawings)
        finally:
            self.model.load_state_dict(own)
        return float((logits.argmax(1) == data.target).double().mean())

    def record(self, row: dict[str, Any]) -> None:
        """Keep the epoch's numbers and write everything down."""
        if all(row["valid_top1"] > old["valid_top1"] for old in self.history):
            self.best = {name: value.clone() for name, value in self.mean.items()}
        self.history.append(row)
        self._save()

    def _save(self) -> None:
        from safetensors.torch import save

        tensors: State = {}
        for prefix, state in (("mean", self.mean), ("best", self.best), ("now", self._weights())):
            tensors |= {f"{prefix}/{k}": v.cpu().contiguous() for k, v in state.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"adam/{index}/{k}": torch.as_tensor(v).cpu().contiguous() for k, v in slots.items()
            }
        meta = {"recipe": json.dumps(self.recipe.as_dict()), "history": json.dumps(self.history)}
        with replace_file(self.folder / CHECKPOINT) as stream:
            stream.write(save(tensors, meta))
        with replace_file(self.folder / METRICS) as stream:
            stream.writelines(json.dumps(row).encode() + b"\n" for row in self.history)

    def _weights(self) -> State:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def resume(self) -> None:
        """Continue a run of the same recipe if the folder holds one."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                meta = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise SightlineError(f"{path} is damaged ({error}); remove it to start anew") from None
        if meta.get("recipe") != json.dumps(self.recipe.as_dict()):
            raise SightlineError(
                f"{self.folder} holds a run of another recipe; give another --out, or the same "
                "settings to continue it"
            )
        self.history = json.loads(meta["history"])
        self.model.load_state_dict(_under("now/", tensors))
        device = self.fabric.device
        self.mean, self.best = (
            {k: v.to(device) for k, v in _under(prefix, tensors).items()}
            for prefix in ("mean/", "best/")
        )
        slots: dict[int, State] = {}
        for name, value in _under("adam/", tensors).items():
            index, kind = name.split("/")
            slots.setdefault(int(index), {})[kind] = value
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": slots})


def _fabric() -> Any:
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise SightlineError(
            "training needs Lightning Fabric: pip install 'sightline[train]'"
        ) from None
    return Fabric


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _under(prefix: str, tensors: State) -> State:
    return {n[len(prefix) :]: t for n, t in tensors.items() if n.startswith(prefix)}


def bar(done: int, total: int, *, width: int = 30) -> str:
    """A progress bar in text.

    Example:
        >>> bar(1, 4, width=8)
        '██······  25 %'
    """
    full = width * done // total
    return "█" * full + "·" * (width - full) + f" {100 * done // total:3d} %"


def _line(row: dict[str, Any], epochs: int) -> str:
    return (
        f"\repoch {row['epoch']}/{epochs}: loss {row['train_loss']:.3f}, "
        f"valid top-1 {row['valid_top1']:.2%}, {row['seconds']:.0f} s\n"
    )
