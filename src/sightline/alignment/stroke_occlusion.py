"""What a model of drawings loses without each stroke, inside a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from sightline.alignment.looking import Looked, Maps
from sightline.alignment.stroke_sources import drawings_of
from sightline.alignment.wanted import padded, stroke_places
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.models.protocol import PictureModel, StrokeModel
from sightline.models.raster import laid_over
from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch, ranges_of
from sightline.training.objective import cross_entropy

Rows = Int[Tensor, " rows"]


@dataclass(frozen=True)
class StrokeOcclusion:
    """How much more probable a class is with each stroke than without it, inside a loss.

    The map is log p(all) - log p(all but stroke i), ``[items, longest]``, 0 at pads. A slope at the
    finished drawing (`StrokeScores`) can be made small while the stroke is still used: a share of
    attention that is near 1 has no slope. A difference cannot. It costs a forward pass a stroke of
    the drawings that are asked about; embeddings and rasters of strokes are made once.

    Example:
        >>> from sightline.models.sketchxainet import sketchxainet
        >>> from sightline.sketch.sketch import Sketch
        >>> net = sketchxainet("nano", ("house", "cat")).eval()
        >>> house = Sketch.from_strokes([[(0, 4), (6, 4)], [(0, 4), (3, 0), (6, 4)]])
        >>> looked = StrokeOcclusion().look(net, SketchBatch.from_sketches([net.prepare(house)]))
        >>> looked.maps(torch.tensor([0])).shape
        torch.Size([1, 2])

    Source:
        Ours; leaving one out is as old as Zeiler and Fergus, ECCV 2014.
    """

    @property
    def settings(self) -> dict[str, Any]:
        """Its name; there is nothing to choose."""
        return {"name": "occlusion"}

    def look(self, model: nn.Module, inputs: PictureBatch | SketchBatch) -> Looked:
        """One forward pass; those without strokes are made when maps are asked for.

        Raises:
            AlignmentError: photos, or a model with neither stroke tokens nor a rasteriser.
        """
        batch = drawings_of(inputs, "strokes")
        if isinstance(model, StrokeModel):
            tokens = model.embed(batch)
            logits = model.classify(tokens)

            def without(rows: Rows) -> Tensor:
                return model.classify(_fewer_tokens(tokens, batch, rows))

        elif isinstance(model, PictureModel):
            with torch.no_grad():
                layers = model.rasteriser.layers(batch)
                whole = laid_over(layers, batch)
            logits = model.see(whole.clamp(max=1))

            def without(rows: Rows) -> Tensor:
                strokes = batch.strokes_of(rows)
                fewer = whole[batch.sketch_of_stroke[strokes]] - layers[strokes]
                return model.see(fewer.clamp(0, 1))

        else:
            raise AlignmentError(
                f"{type(model).__name__} reads neither stroke tokens (SketchXAINet) nor pictures "
                "through a rasteriser (RasterModel)"
            )

        def read_some(target: Int[Tensor, " batch"], rows: Rows) -> Maps:
            own, counts = target[rows], batch.strokes_per_sketch[rows]
            before = cross_entropy(logits[rows], own, 0.0)
            after = cross_entropy(without(rows), own.repeat_interleave(counts), 0.0)
            lost = after - before.repeat_interleave(counts)
            return padded(lost, stroke_places(batch.select(rows)))

        def read(target: Int[Tensor, " items"]) -> Maps:
            return read_some(target, torch.arange(len(batch), device=batch.device))

        return Looked(logits, read, read_some)


def _fewer_tokens(tokens: StrokeTokens, batch: SketchBatch, rows: Rows) -> StrokeTokens:
    """A drawing for each stroke of these rows: all of its strokes but that one."""
    strokes = batch.strokes_of(rows)
    sketch = batch.sketch_of_stroke[strokes]
    counts = batch.strokes_per_sketch[sketch]
    # each stroke, beside all strokes of its own drawing
    others = ranges_of(batch.sketch_offsets[:-1][sketch], counts)
    index = others[others != strokes.repeat_interleave(counts)]
    return StrokeTokens(
        tokens.shape.index_select(0, index),
        tokens.location[index],
        tokens.order[index],
        counts - 1,
    )
