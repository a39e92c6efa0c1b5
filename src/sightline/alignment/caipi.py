"""CAIPI: counterexamples that show a model what does not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.alignment.losses import where_not_to_look
from sightline.alignment.wanted import GuidedBatch, Wanted, padded, stroke_places
from sightline.errors import AlignmentError, unknown_name
from sightline.image.batch import PictureBatch
from sightline.sketch.batch import SketchBatch

Fill = Literal["uniform", "other", "mean"]
FILLS = ("uniform", "other", "mean")

Rows = Int[Tensor, " rows"]


def counterexamples(
    batch: GuidedBatch,
    *,
    copies: int = 1,
    fill: Fill = "uniform",
    generator: torch.Generator,
) -> tuple[GuidedBatch, Rows]:
    """Copies of labelled items in which what must be left alone is something else.

    They are trained on as ordinary items of the same class, so that nothing of that class is left
    in the region. The region is where the must-not mask is at least 1/2, or where the must mask is
    at most 1/2 if there is no other. Items without a region give no copy. Of drawings the wrong
    strokes are dropped, which leaves nothing to chance; one that would lose all gives no copy.

    Args:
        batch: what a model reads, and where people want it to look.
        copies: of each item.
        fill: what takes the region's place in pictures: ``"uniform"`` noise in [0, 1], the same
            place in an ``"other"`` item of the batch, or the ``"mean"`` colour of what is left.
        generator: draws what is random; on the CPU, whatever the device.

    Returns:
        The copies, and for each the row of its original: ``targets[rows]`` are their classes.

    Raises:
        AlignmentError: less than one copy, no such fill, no other item.

    Example:
        >>> wrong = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
        >>> wanted = Wanted(torch.zeros(2, 1, 2), wrong, torch.tensor([1.0, 0.0]))
        >>> batch = GuidedBatch(PictureBatch(torch.zeros(2, 3, 1, 2)), wanted, torch.ones(2))
        >>> luck = torch.Generator().manual_seed(0)
        >>> found, rows = counterexamples(batch, copies=3, generator=luck)
        >>> rows.tolist(), found.inputs.pixels[:, :, :, 1].any().item()
        ([0, 0, 0], False)

    Source:
        Teso and Kersting, AIES 2019 (CAIPI).
    """
    _check(batch, copies, fill)
    rows = _with_region(batch).repeat_interleave(copies)
    return _changed(batch, rows, batch.select(rows), fill=fill, generator=generator), rows


def with_counterexamples(
    batch: GuidedBatch,
    target: Int[Tensor, " items"],
    *,
    copies: int = 1,
    fill: Fill = "uniform",
    generator: torch.Generator,
) -> tuple[GuidedBatch, Int[Tensor, " more"]]:
    """A batch and its `counterexamples` behind it, with the classes of both."""
    _check(batch, copies, fill)
    rows = _with_region(batch).repeat_interleave(copies)
    every = torch.cat([torch.arange(len(batch), device=rows.device), rows])
    copied = batch.select(every)
    joined = _changed(batch, rows, copied, first=len(batch), fill=fill, generator=generator)
    return joined, target[every.to(target.device)]


def _check(batch: GuidedBatch, copies: int, fill: str) -> None:
    if copies < 1:
        raise AlignmentError(f"{copies} copies; expected at least 1")
    if fill not in FILLS:
        raise AlignmentError(unknown_name("fill", fill, FILLS))
    if fill == "other" and len(batch) < 2 and isinstance(batch.inputs, PictureBatch):
        raise AlignmentError("fill='other' wants another item in the batch; this one has 1")


def _region(wanted: Wanted) -> Bool[Tensor, "items ..."]:
    wrong = where_not_to_look(wanted) >= 0.5
    return wrong if wanted.there is None else wrong & wanted.there


def _with_region(batch: GuidedBatch) -> Rows:
    """Rows of labelled items of which something can be changed, and something left."""
    region = _region(batch.wanted)
    can = (batch.wanted.weight > 0) & region.flatten(1).any(1)
    if batch.wanted.there is not None:
        can &= (batch.wanted.there & ~region).flatten(1).any(1)
    return can.nonzero()[:, 0]


def _changed(
    batch: GuidedBatch,
    rows: Rows,
    copied: GuidedBatch,
    *,
    first: int = 0,
    fill: str,
    generator: torch.Generator,
) -> GuidedBatch:
    """The copied items from ``first`` on, which came from ``rows``, without their region."""
    region = _region(copied.wanted)
    region[:first] = False
    if isinstance(copied.inputs, SketchBatch):
        return _dropped(copied, copied.inputs, region)
    assert isinstance(batch.inputs, PictureBatch)  # noqa: S101, there are two kinds
    filling = _filling(batch.inputs.pixels, rows, region[first:], fill, generator)
    pixels = copied.inputs.pixels.clone()
    pixels[first:] = torch.where(region[first:, None], filling, pixels[first:])
    return replace(copied, inputs=PictureBatch(pixels))


def _filling(
    pixels: Float[Tensor, "items channels height width"],
    rows: Rows,
    region: Bool[Tensor, "rows height width"],
    fill: str,
    generator: torch.Generator,
) -> Float[Tensor, "rows channels _ _"]:
    """What takes the place of regions."""
    if fill == "mean":
        left = ~region[:, None]
        count = left.sum((2, 3), keepdim=True).clamp(min=1)
        return (pixels[rows] * left).sum((2, 3), keepdim=True) / count
    if fill == "other":
        steps = torch.randint(1, len(pixels), (len(rows),), generator=generator)
        return pixels[(rows + steps.to(rows.device)) % len(pixels)]
    noise = torch.rand(len(rows), *pixels.shape[1:], generator=generator)
    return noise.to(pixels.device, pixels.dtype)


def _dropped(
    copied: GuidedBatch, drawings: SketchBatch, region: Bool[Tensor, "items longest"]
) -> GuidedBatch:
    """Drawings without the strokes of a region, and their labels without them too."""
    wanted = copied.wanted
    assert wanted.there is not None  # noqa: S101, labels of drawings say which strokes exist
    kept = ~region[wanted.there]
    fewer = drawings.select_strokes(kept.nonzero()[:, 0])
    there = stroke_places(fewer)
    must, must_not = (
        padded(masks[wanted.there][kept], there) for masks in (wanted.must, wanted.must_not)
    )
    return copied.with_inputs(fewer, Wanted(must, must_not, wanted.weight, there))
