"""Regions of a picture whose strokes are known: the parts of a drawn object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import TaskError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.targets.region import Asked, Region, covering

LEAST_PIXELS = 0.003
"""Of the picture: parts that show less are left out; 12 pixels of 64 x 64."""
REACH = 1 / 32
"""Of the picture's side: how far a line may lie outside the part that it draws."""
LINE_WIDTH = 0.05


@dataclass(frozen=True, eq=False)
class PartRegions:
    """The parts of a drawing that can be asked about: where they are, and whose the strokes are.

    Args:
        names: of the parts.
        masks: their pixels in the picture.
        own: which strokes draw each part.
    """

    names: tuple[str, ...]
    masks: Bool[Tensor, "parts height width"]
    own: Bool[np.ndarray, "parts strokes"]

    @classmethod
    def of(
        cls,
        sketch: Sketch,
        masks: Mapping[str, Bool[np.ndarray, "height width"]],
        *,
        least: float = LEAST_PIXELS,
    ) -> PartRegions:
        """The parts of a drawing that show, that a stroke draws, and that not all strokes draw.

        Args:
            sketch: with a part's name for each stroke, over the picture when it is normalised.
            masks: pixels of each part by its name.
            least: share of the picture that a part must show.

        Raises:
            TaskError: strokes without names of parts, or no part that can be asked about.
        """
        if sketch.parts is None:
            raise TaskError(
                f"the strokes of {sketch.name or 'the drawing'} do not say which part they draw; "
                "give Sketch(..., parts=(...)), one name a stroke"
            )
        drawn = np.array(sketch.parts)
        shown = {name: drawn == name for name, mask in masks.items() if mask.mean() >= least}
        kept = {name: own for name, own in shown.items() if own.any() and not own.all()}
        if not kept:
            raise TaskError(
                f"no part of {sketch.name or 'the drawing'} shows in the picture and has strokes "
                "of its own; leave the drawing out"
            )
        pixels = np.stack([masks[name] for name in kept])
        return cls(tuple(kept), torch.from_numpy(pixels), np.stack(list(kept.values())))

    def __len__(self) -> int:
        """Number of parts."""
        return len(self.names)

    def region(self, asked: Asked = "content") -> Region:
        """What to ask a game about: one target a part."""
        return Region(self.masks, self.names, asked)

    def select(self, parts: list[int]) -> PartRegions:
        """Only these."""
        names = tuple(self.names[i] for i in parts)
        return PartRegions(names, self.masks[parts], self.own[parts])

    def showing(
        self, drawn: Float[Tensor, "colours height width"], least: float = 1e-3
    ) -> PartRegions:
        """Only parts in which a picture differs from that of an empty sheet.

        Args:
            drawn: the difference.
            least: mean square of it over the part.

        Raises:
            TaskError: none is left.
        """
        share = covering(self.masks.double(), drawn)
        energy = torch.einsum("phw,hw->p", share, drawn.double().square().mean(0))
        found = (energy / share.sum((1, 2)) >= least).nonzero()[:, 0].tolist()
        if not found:
            raise TaskError("the picture shows nothing where the parts are; leave it out")
        return self.select(found)

    def wide(self, reach: float = REACH) -> Bool[Tensor, "parts height width"]:
        """The masks with everything around them within ``reach`` of the picture's side."""
        return widened(self.masks, round(reach * self.masks.shape[2]))


def widened(
    masks: Bool[Tensor, "masks height width"], pixels: int
) -> Bool[Tensor, "masks height width"]:
    """Masks with every pixel that is at most so many away, in rows and in columns.

    Example:
        >>> dot = torch.zeros(1, 1, 5, dtype=torch.bool)
        >>> dot[0, 0, 2] = True
        >>> widened(dot, 1).int().tolist()
        [[[0, 1, 1, 1, 0]]]
    """
    if not pixels:
        return masks
    wide = F.max_pool2d(masks[None].float(), 2 * pixels + 1, stride=1, padding=pixels)[0]
    return wide > 0


def ink_inside(
    sketch: Sketch, regions: PartRegions, *, reach: float = REACH
) -> Float[np.ndarray, "parts strokes"]:
    """How much ink each stroke has in and just around each part: geometry, without any generator.

    What a method must match to be worth its cost, where strokes lie where they act.

    Args:
        sketch: the drawing, as the generator reads it.
        regions: its parts.
        reach: how far around a part ink counts, of the picture's side.

    Returns:
        Pixels full of ink.
    """
    size = regions.masks.shape[2]
    drawing = SketchBatch.from_sketches([sketch.normalise()])
    layers = Rasteriser(size=size, line_width=LINE_WIDTH).layers(drawing)
    found = torch.einsum("shw,phw->ps", layers.double(), regions.wide(reach).double())
    return np.array(found.numpy())
