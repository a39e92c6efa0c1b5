"""Generators whose every pixel is known: each part's strokes fill that part."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sightline.models.generator import RasterGenerator
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch

RASTER = Rasteriser(size=32, line_width=0.08)


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def totem() -> tuple[Sketch, dict[str, np.ndarray]]:
    """Three boxes one above the other, the middle one in two strokes; and where they are."""
    half = [[(20, 42), (80, 42), (80, 58)], [(20, 42), (20, 58), (80, 58)]]
    strokes = [box(26, 0, 74, 32), *half, box(26, 68, 74, 100)]
    sketch = Sketch.from_strokes(
        strokes, parts=("head", "belly", "belly", "feet"), label="totem", name="totem"
    )
    drawn = (np.concatenate(sketch.normalise().strokes) + 1) / 2 * 32
    edges = [drawn[:5], drawn[5:11], drawn[11:]]
    y, x = np.indices((32, 32)) + 0.5
    masks = {}
    for name, points in zip(("head", "belly", "feet"), edges, strict=True):
        (x0, y0), (x1, y1) = points.min(0), points.max(0)
        masks[name] = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    return sketch, masks


class Fills(nn.Module):
    """Paper, and each part as dark as there is ink of its strokes; ``onto`` fills others instead.

    Linear in the ink, so that every method must find the same.
    """

    def __init__(self, sketch: Sketch, masks: dict[str, np.ndarray], onto: dict[str, str]) -> None:
        super().__init__()
        drawing = SketchBatch.from_sketches([sketch.normalise()])
        layers = RASTER.layers(drawing)
        names = list(masks)
        mine = torch.tensor([[p == name for p in sketch.parts or ()] for name in names]).float()
        keys = torch.einsum("ps,shw->phw", mine, layers)
        self.keys = nn.Buffer(keys / keys.square().sum((1, 2), keepdim=True))
        painted = [masks[onto.get(name, name)] for name in names]
        self.fills = nn.Buffer(torch.from_numpy(np.stack(painted)).float())

    def forward(self, ink: Tensor) -> Tensor:
        dark = torch.einsum("bhw,phw->bp", ink[:, 0], self.keys)
        grey = 1 - 0.7 * torch.einsum("bp,phw->bhw", dark, self.fills)
        return grey[:, None].expand(-1, 3, -1, -1)


def painter(
    sketch: Sketch, masks: dict[str, np.ndarray], onto: dict[str, str] | None = None
) -> RasterGenerator:
    return RasterGenerator(Fills(sketch, masks, onto or {}), rasteriser=RASTER)
