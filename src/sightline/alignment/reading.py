"""Where a model looks, measured: the same maps as in a loss, in evaluation mode and detached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.looking import Maps, MapSource
from sightline.image.batch import PictureBatch
from sightline.models.as_found import as_found
from sightline.models.place import place
from sightline.sketch.batch import SketchBatch
from sightline.training.examples import Examples

BATCH = 32
"""Items a forward pass: with gradients, all that it computes stays in memory."""

Logits = Float[Tensor, "items classes"]
Map = Float[Tensor, "..."]
Target = Int[Tensor, " items"] | Callable[[Tensor], Tensor]


@contextmanager
def able_to_look(model: nn.Module) -> Iterator[None]:
    """As found, with gradients: maps are read through weights that ask for them."""
    with as_found(model), torch.enable_grad():
        for weight in model.parameters():
            if weight.is_floating_point() and not weight.is_inference():
                weight.requires_grad_(True)
        yield


def read_maps(
    model: nn.Module, source: MapSource, inputs: PictureBatch | SketchBatch, target: Target
) -> tuple[Logits, Maps]:
    """Logits and maps of a batch; the model is left as it came.

    Args:
        model: on any device; the inputs are brought there.
        source: of the maps.
        inputs: a batch.
        target: the class of each item that is asked about, or what chooses it from the logits.

    Returns:
        Both where the model is, detached.
    """
    device, dtype = place(model)
    with able_to_look(model):
        looked = source.look(model, inputs.to(device, dtype))
        chosen = target if isinstance(target, Tensor) else target(looked.logits.detach())
        return looked.logits.detach(), looked.maps(chosen.to(device)).detach()


def predicted(logits: Logits) -> Int[Tensor, " items"]:
    """The classes that a model answers."""
    return logits.argmax(1)


def one_score_a_place(maps: Maps) -> Maps:
    """Of input gradients, the sum of the channels' magnitudes; other maps as they are."""
    return maps.abs().sum(1) if maps.dim() == 4 else maps


@dataclass(frozen=True, eq=False)
class Sighted:
    """Where a model looked on one item.

    Args:
        map: ``[height, width]`` of cells or ``[strokes]``, for the class that the model answers;
            a sum of magnitudes over the channels of input gradients. On the CPU.
        answer: index of that class.
        confidence: its probability.
        right: whether it is the item's own.
    """

    map: Map
    answer: int
    confidence: float
    right: bool


def sights(
    model: nn.Module,
    source: MapSource,
    data: Examples,
    names: Sequence[str],
    *,
    batch: int = BATCH,
) -> dict[str, Sighted]:
    """Where a model looks on every item, by name; it is left as it came."""
    found: dict[str, Sighted] = {}
    for chosen in torch.arange(len(data)).split(batch):
        inputs = data.batch(chosen)
        logits, maps = read_maps(model, source, inputs, predicted)
        maps = one_score_a_place(maps).cpu()
        confidence, answer = logits.softmax(1).cpu().max(1)
        right = answer == data.targets(chosen)
        lengths = inputs.strokes_per_sketch.tolist() if isinstance(inputs, SketchBatch) else None
        for row, item in enumerate(chosen.tolist()):
            own = maps[row] if lengths is None else maps[row, : lengths[row]]
            found[names[item]] = Sighted(
                own, int(answer[row]), float(confidence[row]), bool(right[row])
            )
    return found
