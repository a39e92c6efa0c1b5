"""The door for networks that make a picture of a drawing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import ModelError
from sightline.models.as_found import as_found
from sightline.models.place import batch_for
from sightline.models.raster import Ink, RasterModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch


@runtime_checkable
class Generator(Protocol):
    """Answers drawings with pictures."""

    @property
    def generates(self) -> bool:
        """True: its answers are pictures ``[drawings, channels, height, width]``, not logits."""


class RasterGenerator(nn.Module):
    """Any network from a picture of a drawing to a picture, as a model of drawings.

    Args:
        module: from pictures of ink ``[batch, channels, size, size]`` to pictures ``[batch,
            colours, height, width]``; a function will do, which then gives no gradient unless
            torch can follow it.
        rasteriser: how strokes become ink; by default 224 pixels.
        channels: the ink is repeated on this many.
        ink: ``"white"`` on black (ink = 1), or ``"black"`` on white (ink = 0).
        mean, std: subtracted and divided before the module sees the ink.
        low, high: what the module calls black and white; pictures are answered in [0, 1].
        epsilon: tolerance of `sightline.simplify` applied to drawings first; None for none.

    Raises:
        ModelError: a range without extent.

    Example:
        >>> generator = RasterGenerator(lambda ink: 1 - ink.expand(-1, 3, -1, -1))
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> generator(SketchBatch.from_sketches([generator.prepare(cross)])).shape
        torch.Size([1, 3, 224, 224])
    """

    generates = True

    def __init__(
        self,
        module: nn.Module | Callable[[Tensor], Tensor],
        *,
        rasteriser: Rasteriser | None = None,
        channels: int = 1,
        ink: Ink = "white",
        mean: float = 0.0,
        std: float = 1.0,
        low: float = 0.0,
        high: float = 1.0,
        epsilon: float | None = None,
    ) -> None:
        super().__init__()
        if not -math.inf < low < high < math.inf:
            raise ModelError(f"pictures from {low} to {high} have no range; give low below high")
        inner = module if isinstance(module, nn.Module) else _Function(module)
        self.raster = RasterModel(
            inner,
            rasteriser=rasteriser,
            channels=channels,
            ink=ink,
            mean=mean,
            std=std,
            epsilon=epsilon,
        )
        self.low, self.high = low, high

    @property
    def labels(self) -> tuple[str, ...]:
        """None: a picture is no class."""
        return ()

    @property
    def rasteriser(self) -> Rasteriser:
        """How strokes become ink."""
        return self.raster.rasteriser

    def prepare(self, sketch: Sketch) -> Sketch:
        """Simplified where the network was trained so, then normalised."""
        return self.raster.prepare(sketch)

    def forward(self, batch: SketchBatch) -> Float[Tensor, "sketches colours height width"]:
        """Pictures of drawings in the normalised frame, in [0, 1]."""
        return self.see(self.raster.picture(batch))

    def see(
        self, pictures: Float[Tensor, "sketches rows columns"]
    ) -> Float[Tensor, "sketches colours height width"]:
        """Pictures made of ink in [0, 1].

        Raises:
            ModelError: the module answered something else.
        """
        made = self.raster.module(self.raster.shown(pictures))
        if not isinstance(made, Tensor) or made.ndim != 4 or len(made) != len(pictures):
            came = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ModelError(
                f"the generator answered {came}; expected pictures [{len(pictures)}, colours, "
                "height, width]"
            )
        return (made - self.low) / (self.high - self.low)

    def generate(self, sketch: Sketch) -> Float[Tensor, "colours height width"]:
        """The picture of one drawing, float32 on the CPU, without gradients; left as it came."""
        with as_found(self), torch.no_grad():
            return self(batch_for(self, [self.prepare(sketch)]))[0].float().cpu()


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, pictures: Tensor) -> Tensor:
        return self.function(pictures)
