"""What a training run makes smaller, and the number by which its best epoch is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.models.ask import logits_of
from sightline.training.evaluate import accuracy
from sightline.training.processes import Processes


@runtime_checkable
class Objective(Protocol):
    """The loss of a run."""

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values that another run must share to be the same; empty for the plain task."""

    @property
    def chooses(self) -> str:
        """Which number of `validate` chooses the best epoch; the higher the better."""

    @property
    def learnt(self) -> nn.Module | None:
        """What the loss itself learns beside the model, if anything."""

    def losses(
        self, model: nn.Module, batch: Any, target: Int[Tensor, " items"]
    ) -> dict[str, Float[Tensor, " items"]]:
        """Terms by name, one number an item.

        The loss is the mean over the whole batch of their sum; a process may be asked about its
        share of the batch only.
        """

    def validate(self, model: nn.Module, data: Any, processes: Processes) -> dict[str, float]:
        """Numbers of the validation split; the model is left as it came."""


@dataclass(frozen=True)
class CrossEntropy:
    """The plain task: recognise.

    Args:
        smoothing: of the labels.
        chooses: which number chooses the best epoch; ``"epoch"``: the last one.
    """

    smoothing: float = 0.0
    chooses: str = "valid_top1"

    @property
    def learnt(self) -> None:
        """Nothing."""

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing beyond the recipe, which tells the smoothing."""
        return {}

    def losses(
        self, model: nn.Module, batch: Any, target: Int[Tensor, " items"]
    ) -> dict[str, Float[Tensor, " items"]]:
        """The cross entropy of each item."""
        return {"task": cross_entropy(logits_of(model, batch), target, self.smoothing)}

    def validate(self, model: nn.Module, data: Any, processes: Processes) -> dict[str, float]:
        """Top-1 accuracy."""
        return {"valid_top1": accuracy(model, data, processes=processes)}


def cross_entropy(
    logits: Float[Tensor, "items classes"], target: Int[Tensor, " items"], smoothing: float
) -> Float[Tensor, " items"]:
    """Of each item, in float32 at least."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(exact, target, label_smoothing=smoothing, reduction="none")
