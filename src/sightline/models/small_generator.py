"""A small generator of our own: from a drawing of 64 pixels to a picture in colours."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.models.generator import RasterGenerator
from sightline.sketch.raster import Rasteriser

SIZE = 64
COLOURS = 3
HALVINGS = 3


class SmallGenerator(nn.Module):
    """A U-Net: three halvings, three doublings, and what each halving saw handed over to them.

    At the coarsest, 8 x 8 places, every place sees nearly the whole drawing, so that a part can be
    filled whose lines are far apart.

    Args:
        width: channels at full size; 2, 3 and 4 times as many after each halving.

    Raises:
        ModelError: a width below 1.

    Example:
        >>> SmallGenerator(width=4)(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 3, 64, 64])

    Source:
        Ronneberger et al., "U-Net", MICCAI 2015, far smaller, with batch norm; the last layer is a
        sigmoid, so that every picture lies in [0, 1].
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        if width < 1:
            raise ModelError(f"width is {width}; it must be at least 1 channel")
        self.width = width
        sizes = [width * step for step in range(1, HALVINGS + 2)]
        self.stem = _conv(1, width)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(before, now), _conv(now, now)) for before, now in pairwise(sizes)
        )
        self.coarse = nn.Sequential(_conv(sizes[-1], sizes[-1]), _conv(sizes[-1], sizes[-1]))
        self.up = nn.ModuleList(
            _conv(below + beside, beside)
            for below, beside in zip(sizes[:0:-1], sizes[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(width, COLOURS, 3, padding=1)

    def forward(
        self, ink: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures of ink in [0, 1], both sides multiples of 8.

        Raises:
            ModelError: another side.
        """
        step = 2**HALVINGS
        if any(side % step for side in ink.shape[2:]):
            raise ModelError(
                f"the ink has {list(ink.shape[2:])} pixels; give sides that {step} divides"
            )
        x = self.stem(ink.contiguous(memory_format=torch.channels_last))
        beside = []
        for stage in self.down:
            beside.append(x)
            x = stage(F.avg_pool2d(x, 2))  # thinned without a stride, so that all ink counts
        x = self.coarse(x)
        for stage in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = stage(torch.cat([x, beside.pop()], 1))
        return self.head(x).sigmoid()


def _conv(before: int, now: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, now, 3, padding=1, bias=False), nn.BatchNorm2d(now), nn.ReLU()
    )


def small_generator(**settings: Any) -> RasterGenerator:
    """A small generator with random weights: `SmallGenerator` behind a 64-pixel rasteriser.

    Args:
        settings: of `SmallGenerator`.
    """
    module = SmallGenerator(**settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return RasterGenerator(module, rasteriser=Rasteriser(size=SIZE, line_width=0.05))
