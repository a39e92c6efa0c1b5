"""In which order drawings are learnt: at random, in batches of like length."""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from sightline.errors import SightlineError
from sightline.training.examples import Examples, StrokeExamples
from sightline.training.recipe import Recipe

CHUNK = 50  # batches that are sorted together: enough for like lengths, few enough for luck


def batches_of(
    data: Examples, recipe: Recipe, generator: torch.Generator
) -> tuple[Int[Tensor, " batch"], ...]:
    """The batches of an epoch; every drawing is in exactly one."""
    order = torch.randperm(len(data), generator=generator)
    if not recipe.buckets:
        return order.split(recipe.batch)
    if not isinstance(data, StrokeExamples):
        raise SightlineError("buckets are for drawings, whose lengths differ; leave them out")
    return bucketed(
        order, data.strokes_per_sketch(), data.longest_stroke(), recipe.batch, generator
    )


def bucketed(
    order: Int[Tensor, " sketches"],
    strokes: Int[Tensor, " sketches"],
    longest: Int[Tensor, " sketches"],
    batch: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, " batch"], ...]:
    """Cut a random order into batches of like drawings, and shuffle these.

    A batch is as slow as its longest stroke (steps of the recurrent net) and as its most strokes
    (attention is padded to them). So each chunk of `CHUNK` batches is sorted by strokes and cut
    into a few runs, and each run is sorted by its longest stroke and cut into batches. Only the
    last batch of the order may be smaller than the others.

    Example:
        >>> strokes = torch.tensor([9, 1, 8, 1])
        >>> cut = bucketed(torch.arange(4), strokes, strokes, 2, torch.Generator().manual_seed(2))
        >>> sorted(sorted(batch.tolist()) for batch in cut)
        [[0, 2], [1, 3]]
    """
    cut: list[Tensor] = []
    for chunk in order.split(CHUNK * batch):
        by_strokes = chunk[strokes[chunk].argsort(stable=True)]
        runs = by_strokes.split(batch * math.isqrt(math.ceil(len(chunk) / batch)))
        for run in runs:
            cut += run[longest[run].argsort(stable=True)].split(batch)
    return tuple(cut[i] for i in torch.randperm(len(cut), generator=generator).tolist())
