"""What a model takes a drawing for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sightline.models.as_found import as_found
from sightline.models.place import place
from sightline.models.protocol import SketchModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True)
class Answer:
    """One label and its probability."""

    label: str
    probability: float


def recognise(model: SketchModel, sketch: Sketch, *, top: int = 5) -> list[Answer]:
    """The most probable labels of one drawing, best first. The model is left as it came."""
    device, dtype = place(model)
    batch = SketchBatch.from_sketches([model.prepare(sketch)], dtype=dtype).to(device)
    with as_found(model), torch.no_grad():
        probability = model(batch)[0].double().softmax(0).cpu()
    labels = model.labels or tuple(str(i) for i in range(len(probability)))
    best = probability.topk(min(top, len(probability)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [Answer(labels[i], p) for i, p in pairs]
