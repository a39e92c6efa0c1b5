"""What a model takes a drawing for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.models.as_found import as_found
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True)
class Answer:
    """One label and its probability."""

    label: str
    probability: float


def recognise(model: SketchModel, sketch: Sketch, *, top: int = 5) -> list[Answer]:
    """The most probable labels of one drawing, best first. The model is left as it came."""
    with as_found(model), torch.no_grad():
        logits = model(batch_for(model, [model.prepare(sketch)]))[0]
    return answers_of(model, logits, top=top)


def answers_of(
    model: SketchModel, logits: Float[Tensor, " labels"], *, top: int = 1
) -> list[Answer]:
    """The most probable labels, best first; numbers where the model names none."""
    probability = logits.detach().double().softmax(0).cpu()
    labels = names_of(model, len(probability))
    best = probability.topk(min(top, len(probability)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [Answer(labels[i], p) for i, p in pairs]


def names_of(model: SketchModel, count: int) -> tuple[str, ...]:
    """Names of a model's so many classes; numbers where it names none."""
    return tuple(model.labels) or tuple(str(i) for i in range(count))
