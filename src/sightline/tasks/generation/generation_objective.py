"""Drawings with the pictures that they should become, and the loss between the two."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from sightline.errors import TaskError
from sightline.models.as_found import as_found
from sightline.models.generator import RasterGenerator
from sightline.models.place import place
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from sightline.training.processes import Processes

AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Wanted:
    """Some drawings as ink, and the pictures that are wanted of them."""

    ink: Float[Tensor, "items rows columns"]
    pictures: Float[Tensor, "items colours height width"]

    def __len__(self) -> int:
        return len(self.ink)

    def select(self, index: Int[Tensor, " chosen"]) -> Wanted:
        """These, in this order."""
        return Wanted(self.ink[index], self.pictures[index])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Wanted:
        """Elsewhere, or in another float type."""
        return Wanted(self.ink.to(device, dtype), self.pictures.to(device, dtype))


@dataclass(frozen=True, eq=False)
class Drawn:
    """Drawings and pictures in memory, a byte a number, as `training.loop.train` reads them."""

    ink: UInt8[Tensor, "items rows columns"]
    pictures: UInt8[Tensor, "items colours height width"]

    def __len__(self) -> int:
        return len(self.ink)

    def batch(self, index: Int[Tensor, " chosen"]) -> Wanted:
        """These, in this order."""
        return Wanted(self.ink[index].float() / 255, self.pictures[index].float() / 255)

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """None: 0 for each."""
        return torch.zeros_like(index)

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[Sketch, Float[Tensor, "colours height width"]]],
        generator: RasterGenerator,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> Drawn:
        """Drawings, as a generator reads them, and their pictures.

        Raises:
            TaskError: no pairs.
        """
        ink, pictures = [], []
        for sketch, picture in pairs:
            drawing = SketchBatch.from_sketches([generator.prepare(sketch)])
            ink.append(_bytes(generator.raster.picture(drawing)[0]))
            pictures.append(_bytes(picture))
            if progress is not None:
                progress(len(ink))
        if not ink:
            raise TaskError("no pairs of a drawing and a picture: there is nothing to learn")
        return cls(torch.stack(ink), torch.stack(pictures))


@dataclass(frozen=True)
class Paint:
    """The objective of a generator: absolute differences of pixels, and of their edges.

    Args:
        edges: strength of the mean absolute difference between the two pictures' steps from each
            pixel to the next, in rows and in columns; without it edges are blurred.
        chooses: which number chooses the best epoch; ``"epoch"``: the last one.
    """

    edges: float = 1.0
    chooses: str = "valid_psnr"

    @property
    def learnt(self) -> None:
        """Nothing."""

    @property
    def settings(self) -> dict[str, Any]:
        """The strength."""
        return {"kind": "paint", "edges": self.edges}

    def losses(
        self, model: nn.Module, batch: Wanted, target: Int[Tensor, " items"]
    ) -> dict[str, Float[Tensor, " items"]]:
        """The two terms of each item."""
        assert isinstance(model, RasterGenerator)  # noqa: S101, `train_generator` gives no other
        made = model.see(batch.ink).float()
        terms = {"pixels": (made - batch.pictures).abs().mean((1, 2, 3))}
        if self.edges:
            differences = [
                (made.diff(dim=axis) - batch.pictures.diff(dim=axis)).abs().mean((1, 2, 3))
                for axis in (2, 3)
            ]
            terms["edges"] = self.edges * (differences[0] + differences[1]) / 2
        return terms

    def validate(self, model: nn.Module, data: Drawn, processes: Processes) -> dict[str, float]:
        """Mean absolute and squared difference, and the latter in decibels."""
        assert isinstance(model, RasterGenerator)  # noqa: S101, as above
        apart = differences(model, data)
        absolute, squared = (float(values.mean()) for values in apart)
        psnr = -10 * math.log10(max(squared, 1e-12))
        return {"valid_l1": absolute, "valid_mse": squared, "valid_psnr": psnr}


def differences(
    generator: RasterGenerator, data: Drawn
) -> tuple[Float[Tensor, " items"], Float[Tensor, " items"]]:
    """Mean absolute and mean squared difference of each picture made from the one wanted."""
    absolute, squared = [], []
    device, _ = place(generator)
    with as_found(generator), torch.no_grad():
        for index in torch.arange(len(data)).split(AT_ONCE):
            batch = data.batch(index).to(device)
            apart = generator.see(batch.ink).double() - batch.pictures.double()
            absolute.append(apart.abs().mean((1, 2, 3)).cpu())
            squared.append(apart.square().mean((1, 2, 3)).cpu())
    return torch.cat(absolute), torch.cat(squared)


def mean_picture(data: Drawn) -> Float[Tensor, "colours height width"]:
    """What to answer without looking at the drawing."""
    return data.pictures.double().mean(0) / 255


def _bytes(picture: Tensor) -> Tensor:
    return (picture.clamp(0, 1) * 255).round().byte()
