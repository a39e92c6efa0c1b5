"""The training loop: Lightning Fabric, one checkpoint an epoch, resumable to the same numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import SightlineError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.files import replace_file
from sightline.training.evaluate import accuracy
from sightline.training.examples import Examples
from sightline.training.order import batches_of
from sightline.training.processes import ALONE, Processes
from sightline.training.recipe import Recipe

Progress = Callable[[str], None]
State = dict[str, Tensor]

CHECKPOINT = "checkpoint.safetensors"
METRICS = "metrics.jsonl"


def train(
    model: nn.Module,
    training: Examples,
    validation: Examples,
    recipe: Recipe,
    folder: Path,
    *,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> list[dict[str, Any]]:
    """Train ``model`` in place and return one record an epoch.

    At the end of every epoch ``folder`` holds a checkpoint and ``metrics.jsonl``, each replaced
    atomically. A run that was killed continues from its last epoch and reaches the same numbers,
    because order, augmentation and dropout are drawn from (seed, epoch) alone. The model ends
    with the running mean of the weights from the epoch of the best validation accuracy.

    On several processes each learns from its share of every batch, and gradients are added. Order
    and augmentation are those of one process; dropout is drawn from (seed, epoch, rank). So as
    many processes always reach the same weights; another number of them reaches those of one
    process up to rounding, dropout, and the batch statistics of models that have any.

    Args:
        model: with the same weights in every process; the first one's are taken.
        training: what is learnt.
        validation: what the best epoch is chosen by.
        recipe: the settings; ``recipe.batch`` is divided among the processes.
        folder: of the run, where every process can read it. Only the first one writes.
        progress: is told of steps and epochs.
        processes: those that train together; all must call this.

    Raises:
        SightlineError: the folder holds a run of another recipe; processes found different runs.
    """
    run = _Run(model, recipe, folder, processes)
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


class _Run:
    """A training run, and what of it must survive a kill."""

    def __init__(
        self, model: nn.Module, recipe: Recipe, folder: Path, processes: Processes
    ) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.processes = processes
        # Fabric's own strategies want a wrapped model that is fed tensors; gradients are added here
        device = [processes.device] if torch.cuda.is_available() else 1
        self.fabric = _fabric()(accelerator="auto", devices=device, precision=recipe.precision)
        groups = _groups(model, recipe.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
        self.wrapped, self.optimizer = self.fabric.setup(model, optimizer)
        processes.from_first(model.state_dict().values())
        self.history: list[dict[str, Any]] = []
        self.mean = self._weights()
        self.best = self.mean

    def epoch(self, data: Examples, epoch: int, progress: Progress | None) -> float:
        """One pass over the data; the mean loss."""
        seed = self.recipe.seed * 1_000_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        # dropout draws from the global state, which `train` restores
        torch.manual_seed(seed + self.processes.rank * 1_000_000_007)
        batches = batches_of(data, self.recipe, generator)
        self.model.train()
        total = torch.zeros((), dtype=torch.float64)
        for index, chosen in enumerate(batches):
            step = epoch * len(batches) + index
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(step, len(batches))
            total += self._step(data, chosen, generator)
            self._average(step)
            if progress is not None:
                head = f"epoch {epoch + 1}/{self.recipe.epochs}"
                progress(f"\r{head} {bar(index + 1, len(batches))}")
        return float(self.processes.sum(total)) / len(data)

    def _step(self, data: Examples, chosen: Tensor, generator: torch.Generator) -> float:
        """Learn from one batch; the sum of the losses of this process's share of it."""
        recipe, device = self.recipe, self.fabric.device
        rows = torch.arange(len(chosen))
        own = self.processes.share(rows)
        drawings, target = self._read(data, chosen, own if len(own) else rows[:1], generator)
        # Fabric's wrapper would take the frozen batch apart, so the bare module is called
        with self.fabric.autocast():
            logits = self.model(drawings.to(device))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = F.cross_entropy(logits, target.to(device), label_smoothing=recipe.smoothing)
        # weighted, so that the sum over processes is the mean over the whole batch; a process
        # without a share has lent a hand with weight 0
        self.fabric.backward(loss * (len(own) / len(chosen)))
        self._add_up()
        self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item() * len(own)

    def _read(
        self, data: Examples, chosen: Tensor, rows: Tensor, generator: torch.Generator
    ) -> tuple[SketchBatch, Tensor]:
        """These rows of a batch. The whole batch is varied, whatever the number of processes."""
        target, whole = data.targets(chosen[rows]), len(rows) == len(chosen)
        if self.recipe.augmentation is None:
            return data.batch(chosen[rows]), target
        drawings = self.recipe.augmentation(data.batch(chosen), generator)
        return drawings if whole else drawings.select(rows), target

    def _add_up(self) -> None:
        """Gradients become those of the whole batch, batch statistics the mean of all shares'."""
        count = self.processes.count
        weights = (p.grad for p in self.model.parameters())
        self.processes.sum_each([grad for grad in weights if grad is not None])
        buffers = [b for b in self.model.buffers() if b.is_floating_point()]
        self.processes.sum_each(buffers)
        for buffer in buffers if count > 1 else []:
            buffer.div_(count)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the running mean towards the weights; faster in the first steps."""
        keep = min(self.recipe.ema, (step + 1) / (step + 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, 1 - keep)
            else:
                self.mean[name].copy_(value)

    def validate(self, data: Examples) -> float:
        """Top-1 accuracy of the mean weights."""
        own = self._weights()
        self.model.load_state_dict(self.mean)
        try:
            return accuracy(self.model, data, processes=self.processes)
        finally:
            self.model.load_state_dict(own)

    def record(self, row: dict[str, Any]) -> None:
        """Keep the epoch's numbers and write everything down."""
        if all(row["valid_top1"] > old["valid_top1"] for old in self.history):
            self.best = {name: value.clone() for name, value in self.mean.items()}
        self.history.append(row)
        if self.processes.first:
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
        meta, tensors = _checkpoint(self.folder / CHECKPOINT)
        self.history = json.loads(meta.get("history", "[]"))
        if not self.processes.agree(len(self.history)):
            raise SightlineError(
                f"the processes found different runs in {self.folder}; give a folder that all of "
                "them can read"
            )
        if not meta:
            return
        if not self.recipe.is_of(json.loads(meta["recipe"])):
            raise SightlineError(
                f"{self.folder} holds a run of another recipe; give another --out, or the same "
                "settings to continue it"
            )
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


def _checkpoint(path: Path) -> tuple[dict[str, str], State]:
    """What a checkpoint holds; nothing where there is none."""
    if not path.exists():
        return {}, {}
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise SightlineError(f"{path} is damaged ({error}); remove it to start anew") from None
    if not meta or not {"recipe", "history"} <= set(meta):
        raise SightlineError(f"{path} is no checkpoint of a training run; give another --out")
    return meta, tensors


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
