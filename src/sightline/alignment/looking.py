"""Where a model looks, as a function that a loss can be differentiated through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.wanted import Wanted
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.sketch.batch import SketchBatch

Maps = Float[Tensor, "items ..."]


@dataclass(frozen=True, eq=False)
class Looked:
    """The forward pass that the loss of the task makes, and where the model looked in it.

    Args:
        logits: of the batch, with their gradient.
        read: gives the maps for one class of each item. Maps are signed and raw, made of the same
            forward pass, and can be differentiated by every weight before *and after* the layer
            that they are read at.
        read_some: the same for some rows only, where each row costs forward passes of its own.
    """

    logits: Float[Tensor, "items classes"]
    read: Callable[[Int[Tensor, " items"]], Maps]
    read_some: Callable[[Int[Tensor, " batch"], Int[Tensor, " rows"]], Maps] | None = None

    @classmethod
    def from_pass(
        cls, logits: Float[Tensor, "items classes"], read: Callable[[Int[Tensor, " items"]], Maps]
    ) -> Looked:
        """Of a pass with gradients, whose graph logits keep only where the caller has them on."""
        return cls(logits if torch.is_grad_enabled() else logits.detach(), read)

    def maps(self, target: Int[Tensor, " batch"], rows: Int[Tensor, " rows"] | None = None) -> Maps:
        """Where the model looked for these classes.

        Args:
            target: a class for every item of the batch.
            rows: of the maps that are asked for; all by default.

        Returns:
            ``[items, height, width]`` of the cells of a layer, ``[items, channels, height, width]``
            of input gradients, ``[items, longest]`` of strokes.

        Raises:
            AlignmentError: a map without a gradient, through which no weight could learn.
        """
        if rows is not None and self.read_some is not None:
            maps = self.read_some(target, rows)
        else:
            maps = self.read(target)
            maps = maps if rows is None else maps[rows]
        if torch.is_grad_enabled() and not maps.requires_grad:
            raise AlignmentError(
                "the map is detached: no weight would learn from a loss on it; read maps with "
                "gradients enabled (create_graph=True), from a model whose weights require them"
            )
        return maps


@runtime_checkable
class MapSource(Protocol):
    """A way to read where a model looks."""

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choices, as plain values."""

    def look(self, model: nn.Module, inputs: PictureBatch | SketchBatch) -> Looked:
        """One forward pass; the model's modes are the caller's affair."""


@runtime_checkable
class AttentionLoss(Protocol):
    """How far maps are from what people want."""

    @property
    def settings(self) -> dict[str, Any]:
        """Its name and its choices, as plain values."""

    def __call__(self, maps: Maps, wanted: Wanted) -> Float[Tensor, " items"]:
        """One number an item, not weighted; every item of ``wanted`` has a label."""


@dataclass(frozen=True, eq=False)
class Guide:
    """A way to teach a model where to look: which maps, which loss on them, how strong.

    Args:
        name: as users ask for it.
        source: of the maps.
        loss: on the maps; a `torch.nn.Module` where it learns something itself (RES).
        strength: factor of the loss on attention beside that of the task.
    """

    name: str
    source: MapSource
    loss: AttentionLoss
    strength: float = 1.0

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {
            "name": self.name,
            "source": self.source.settings,
            "loss": self.loss.settings,
            "strength": self.strength,
        }
