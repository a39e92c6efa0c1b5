"""How a recogniser of drawings is trained: one frozen record, written beside the weights."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch

from sightline.errors import SightlineError, unknown_name
from sightline.sketch.augment import Augmentation


@runtime_checkable
class Varies(Protocol):
    """A dataclass of plain values that varies batches."""

    def __call__(self, batch: Any, generator: torch.Generator, /) -> Any:
        """A varied copy; luck is drawn on the CPU."""


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run.

    Args:
        epochs: passes over the training split.
        batch: drawings a step, of all processes together.
        lr: peak learning rate of AdamW; warmup: epochs of linear rise; then a cosine to 0.
        weight_decay: of AdamW, on matrices only.
        smoothing: label smoothing of the cross entropy.
        ema: decay of the running mean of the weights that is validated and kept.
        clip: largest norm of the gradient.
        seed: of the order, the augmentation and the dropout of each epoch.
        precision: Lightning Fabric's name of a precision; bf16 is 1.5 to 2 times faster on CPUs
            that have it.
        augmentation: how drawings or pictures are varied; None for none.
        buckets: batches of drawings of like length (`order.bucketed`): a little faster a step, but
            drawings of like length have like labels, so that more steps are needed.
        normalisation: batch norms learn from each batch (``"train"``), or keep the statistics that
            the model came with (``"frozen"``), as suits fine-tuning on few items. Frozen, no item
            depends on its batch, and several processes are exact.
    """

    epochs: int = 60
    batch: int = 100
    lr: float = 6e-4
    warmup: float = 3.0
    weight_decay: float = 0.05
    smoothing: float = 0.1
    ema: float = 0.998
    clip: float = 1.0
    seed: int = 0
    precision: str = "bf16-mixed"
    augmentation: Varies | None = field(default_factory=Augmentation)
    buckets: bool = False
    normalisation: Literal["train", "frozen"] = "train"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise SightlineError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.normalisation not in ("train", "frozen"):
            known = ("train", "frozen")
            raise SightlineError(unknown_name("normalisation", self.normalisation, known))

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = max(1.0, self.warmup * steps_per_epoch)
        if step < warm:
            return self.lr * (step + 1) / warm
        done = (step - warm) / max(1.0, self.epochs * steps_per_epoch - warm)
        return self.lr * 0.5 * (1 + math.cos(math.pi * done))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return asdict(self)

    def is_of(self, told: dict[str, Any]) -> bool:
        """Whether a manifest tells of this recipe; settings younger than it had their default."""
        return {"buckets": False, "normalisation": "train"} | told == self.as_dict()
