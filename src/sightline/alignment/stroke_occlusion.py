"""What a model of drawings loses without each stroke, inside a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sightline.alignment.looking import Looked, Maps
from sightline.alignment.wanted import padded, stroke_places
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.models.protocol import PictureModel, StrokeModel
from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch

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
        if not isinstance(inputs, SketchBatch):
            raise AlignmentError("photos have no strokes; use a source of maps for photos")
        if isinstance(model, StrokeModel):
            tokens = model.embed(inputs)
            logits = model.classify(tokens)

            def without(rows: Rows) -> Tensor:
                return model.classify(_fewer_tokens(tokens, inputs, rows))

        elif isinstance(model, PictureModel):
            with torch.no_grad():
                layers = model.rasteriser.layers(inputs)
                blank = layers.new_zeros(len(inputs), *layers.shape[1:])
                whole = blank.index_add(0, inputs.sketch_of_stroke, layers)
            logits = model.see(whole.clamp(max=1))

            def without(rows: Rows) -> Tensor:
                strokes = _strokes_of(inputs, rows)
                fewer = whole[inputs.sketch_of_stroke[strokes]] - layers[strokes]
                return model.see(fewer.clamp(0, 1))

        else:
            raise AlignmentError(
                f"{type(model).__name__} reads neither stroke tokens (SketchXAINet) nor pictures "
                "through a rasteriser (RasterModel)"
            )

        def read_some(target: Int[Tensor, " batch"], rows: Rows) -> Maps:
            there = stroke_places(inputs.select(rows))
            own = target[rows]
            before = _log_probability(logits[rows], own)
            counts = inputs.strokes_per_sketch[rows]
            after = _log_probability(without(rows), own.repeat_interleave(counts))
            return padded(before.repeat_interleave(counts) - after, there)

        def read(target: Int[Tensor, " items"]) -> Maps:
            return read_some(target, torch.arange(len(inputs), device=inputs.device))

        return Looked(logits, read, read_some)


def _log_probability(
    logits: Float[Tensor, "items classes"], target: Int[Tensor, " items"]
) -> Float[Tensor, " items"]:
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return wide.log_softmax(1).gather(1, target[:, None])[:, 0]


def _strokes_of(batch: SketchBatch, rows: Rows) -> Int[Tensor, " strokes"]:
    """The strokes of these drawings, in the order of the rows."""
    starts, counts = batch.sketch_offsets[:-1][rows], batch.strokes_per_sketch[rows]
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    return torch.arange(total, device=rows.device) + (starts - ends + counts).repeat_interleave(
        counts, output_size=total
    )


def _fewer_tokens(tokens: StrokeTokens, batch: SketchBatch, rows: Rows) -> StrokeTokens:
    """A drawing for each stroke of these rows: all of its strokes but that one."""
    counts = batch.strokes_per_sketch[rows]
    strokes = _strokes_of(batch, rows)
    # each stroke, beside all strokes of its own drawing: [pairs]
    own_count = counts.repeat_interleave(counts)
    left_out = strokes.repeat_interleave(own_count)
    first = batch.sketch_offsets[:-1][rows].repeat_interleave(counts**2)
    ends = own_count.cumsum(0)
    place = torch.arange(len(left_out), device=rows.device) - (ends - own_count).repeat_interleave(
        own_count
    )
    other = first + place
    kept: Bool[Tensor, " pairs"] = other != left_out
    index = other[kept]
    return StrokeTokens(
        tokens.shape.index_select(0, index),
        tokens.location[index],
        tokens.order[index],
        own_count - 1,
    )
