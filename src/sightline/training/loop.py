"""The training loop: Lightning Fabric, one checkpoint an epoch, resumable to the same numbers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.sketch.files import replace_file
from sightline.training.examples import Examples
from sightline.training.objective import CrossEntropy, Objective
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
    objective: Objective | None = None,
    origin: str = "",
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
    process up to rounding, dropout, and the batch statistics of models that have any. Modules are
    in the mode in which they came when this ends, also by an error.

    Args:
        model: with the same weights in every process; the first one's are taken.
        training: what is learnt.
        validation: what the best epoch is chosen by.
        recipe: the settings; ``recipe.batch`` is divided among the processes.
        folder: of the run, where every process can read it. Only the first one writes.
        objective: what is made smaller; by default the cross entropy of the task.
        origin: tells what the run began with; one with another origin is not continued.
        progress: is told of steps and epochs.
        processes: those that train together; all must call this.

    Raises:
        SightlineError: the folder holds a run of another recipe or origin; processes found
            different runs; a loss that is not finite.
    """
    objective = objective or CrossEntropy(recipe.smoothing)
    run = _Run(model, recipe, folder, objective, processes)
    run.origin = origin
    run.resume()
    with torch.random.fork_rng(devices=[]), modes_of(model):
        for epoch in range(len(run.history), recipe.epochs):
            started = time.monotonic()
            losses = run.epoch(training, epoch, progress)
            found = run.validate(validation)
            seconds = round(time.monotonic() - started, 2)
            run.record({"epoch": epoch + 1, **losses, **found, "seconds": seconds})
            if progress is not None:
                progress(_line(run.history[-1], recipe.epochs))
    run.model.load_state_dict(run.best)
    return run.history


class _Run:
    """A training run, and what of it must survive a kill."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        folder: Path,
        objective: Objective,
        processes: Processes,
    ) -> None:
        self.model, self.recipe, self.folder = model, recipe, folder
        self.objective, self.processes, self.origin = objective, processes, ""
        self.beside = objective.learnt or nn.Module()
        # Fabric's own strategies want a wrapped model that is fed tensors; gradients are added here
        device = [processes.device] if torch.cuda.is_available() else 1
        self.fabric = _fabric()(accelerator="auto", devices=device, precision=recipe.precision)
        groups = _groups(model, recipe.weight_decay)
        if weights := list(self.beside.parameters()):
            groups.append({"params": weights, "weight_decay": 0.0})
        optimizer = torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
        self.wrapped, self.optimizer = self.fabric.setup(model, optimizer)
        self.beside.to(self.fabric.device)
        for learnt in (model, self.beside):
            processes.from_first(learnt.state_dict().values())
        self.history: list[dict[str, Any]] = []
        self.mean = self._weights()
        self.best = self.mean

    def epoch(self, data: Examples, epoch: int, progress: Progress | None) -> dict[str, float]:
        """One pass over the data; the mean loss, and its terms where there are several."""
        seed = self.recipe.seed * 1_000_003 + epoch
        generator = torch.Generator().manual_seed(seed)
        # dropout draws from the global state, which `train` restores
        torch.manual_seed(seed + self.processes.rank * 1_000_000_007)
        batches = batches_of(data, self.recipe, generator)
        self.model.train()
        if self.recipe.normalisation == "frozen":
            freeze_batch_norms(self.model)
        terms: dict[str, Tensor] = {}
        for index, chosen in enumerate(batches):
            step = epoch * len(batches) + index
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(step, len(batches))
            for name, total in self._step(data, chosen, generator).items():
                terms[name] = terms.get(name, torch.zeros((), dtype=torch.float64)) + total
            self._average(step)
            if progress is not None:
                head = f"epoch {epoch + 1}/{self.recipe.epochs}"
                progress(f"\r{head} {bar(index + 1, len(batches))}")
        means = {
            name: float(self.processes.sum(total)) / len(data) for name, total in terms.items()
        }
        several = means if len(means) > 1 else {}
        return {
            "train_loss": sum(means.values()),
            **{f"train_{name}": mean for name, mean in several.items()},
        }

    def _step(
        self, data: Examples, chosen: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Learn from one batch; the sums of the terms over this process's share of it."""
        device, rows = self.fabric.device, torch.arange(len(chosen))
        own = self.processes.share(rows)
        shown = own if len(own) else rows[:1]
        batch = self._read(data, chosen, shown, generator).to(device)
        target = data.targets(chosen[shown]).to(device)
        # Fabric's wrapper would take the frozen batch apart, so the bare module is called
        with self.fabric.autocast():
            terms = self.objective.losses(self.model, batch, target)
        total = torch.stack(list(terms.values())).sum()
        if not bool(torch.isfinite(total)):
            raise SightlineError(_not_finite(f"the loss is {total.item()}"))
        # the sum over processes is the mean over the whole batch; a process without a share has
        # lent a hand with weight 0
        self.fabric.backward(total * (bool(len(own)) / len(chosen)))
        self._add_up()
        self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        share = bool(len(own))
        return {name: share * term.detach().double().sum().cpu() for name, term in terms.items()}

    def _clip(self) -> None:
        try:
            self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=self.recipe.clip)
        except RuntimeError as error:
            if "non-finite" not in str(error):
                raise
            raise SightlineError(_not_finite("a gradient is not finite")) from None

    def _read(
        self, data: Examples, chosen: Tensor, rows: Tensor, generator: torch.Generator
    ) -> Any:
        """These rows of a batch. The whole batch is varied, whatever the number of processes."""
        batch = data.batch(chosen)
        if self.recipe.augmentation is not None:
            batch = self.recipe.augmentation(batch, generator)
        return batch if len(rows) == len(chosen) else batch.select(rows)

    def _add_up(self) -> None:
        """Gradients become those of the whole batch, batch statistics the mean of all shares'."""
        count = self.processes.count
        if count == 1:
            return
        learnt = [*self.model.parameters(), *self.beside.parameters()]
        # a share without labels gives some weights no gradient, and messages must be of one size;
        # a weight that no share has a gradient for keeps none: the optimizer would move it
        whose = torch.tensor([weight.grad is not None for weight in learnt], dtype=torch.int64)
        somebodys = self.processes.sum(whose).tolist()
        for weight, some in zip(learnt, somebodys, strict=True):
            if some and weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        self.processes.sum_each([w.grad for w in learnt if w.grad is not None])
        # those of frozen norms are everybody's same; a mean over three would round them
        active = (module for module in self.model.modules() if module.training)
        moving = {id(b): b for module in active for b in module.buffers(recurse=False)}
        buffers = [buffer for buffer in moving.values() if buffer.is_floating_point()]
        self.processes.sum_each(buffers)
        for buffer in buffers:
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

    def validate(self, data: Examples) -> dict[str, float]:
        """Numbers of the mean weights."""
        own = self._weights()
        self.model.load_state_dict(self.mean)
        try:
            return self.objective.validate(self.model, data, self.processes)
        finally:
            self.model.load_state_dict(own)

    def record(self, row: dict[str, Any]) -> None:
        """Keep the epoch's numbers and write everything down."""
        number = self.objective.chooses
        reached = [old[number] for old in self.history if not math.isnan(old[number])]
        if not self.history or all(row[number] > before for before in reached):
            self.best = {name: value.clone() for name, value in self.mean.items()}
        self.history.append(row)
        if self.processes.first:
            self._save()

    def _save(self) -> None:
        from safetensors.torch import save

        tensors: State = {}
        for prefix, state in (("mean", self.mean), ("best", self.best), ("now", self._weights())):
            tensors |= {f"{prefix}/{k}": v.cpu().contiguous() for k, v in state.items()}
        beside = self.beside.state_dict()
        tensors |= {f"beside/{k}": v.cpu().contiguous() for k, v in beside.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"adam/{index}/{k}": torch.as_tensor(v).cpu().contiguous() for k, v in slots.items()
            }
        meta = {
            "recipe": json.dumps(self.recipe.as_dict()),
            "objective": json.dumps(self.objective.settings),
            "history": json.dumps(self.history),
            "origin": self.origin,
        }
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
        told, own = json.loads(meta.get("objective", "{}")), json.dumps(self.objective.settings)
        if not self.recipe.is_of(json.loads(meta["recipe"])) or told != json.loads(own):
            raise SightlineError(
                f"{self.folder} holds a run of another recipe, guide or labels; give another "
                "--out, or the same settings to continue it"
            )
        if meta.get("origin", "") != self.origin:
            raise SightlineError(
                f"{self.folder} holds a run that began with another model or other items; give "
                "another --out, or remove it"
            )
        self.model.load_state_dict(_under("now/", tensors))
        self.beside.load_state_dict(_under("beside/", tensors))
        device = self.fabric.device
        self.mean, self.best = (
            {k: v.to(device) for k, v in _under(prefix, tensors).items()}
            for prefix in ("mean/", "best/")
        )
        slots: dict[int, State] = {}
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        for name, value in _under("adam/", tensors).items():
            index, kind = name.split("/")
            slots.setdefault(int(index), {})[kind] = _laid_out_as(weights[int(index)], value)
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


def freeze_batch_norms(model: nn.Module) -> None:
    """Let batch norms use the statistics they have, and keep them."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.eval()


@contextmanager
def modes_of(model: nn.Module) -> Iterator[None]:
    """Training and evaluation modes come back, also after a failure."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _not_finite(what: str) -> str:
    return (
        f"{what}; nothing of this epoch was kept: lower the learning rate or the strength, or "
        "look for pictures or weights that are not finite"
    )


def _laid_out_as(weight: Tensor, value: Tensor) -> Tensor:
    """In the weight's memory order: fused optimizers pair numbers by their place in memory."""
    if value.shape != weight.shape:
        return value
    return torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)


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
    numbers = [f"{name.removeprefix('train_')} {row[name]:.3f}" for name in row if "train" in name]
    if "valid_top1" in row:
        numbers.append(f"valid top-1 {row['valid_top1']:.2%}")
    return f"\repoch {row['epoch']}/{epochs}: {', '.join(numbers)}, {row['seconds']:.0f} s\n"
