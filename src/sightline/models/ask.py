"""One question for every recogniser: which logits, for this batch?"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from sightline.errors import ModelError
from sightline.image.batch import PictureBatch
from sightline.models.detector import PhotoClassifier
from sightline.sketch.batch import SketchBatch


def logits_of(model: Any, batch: SketchBatch | PictureBatch) -> Float[Tensor, "items classes"]:
    """What a model answers to a batch of drawings or of pictures, with gradients as the caller has.

    Args:
        model: one of drawings, a classifier of photos (`look`), or any module that takes pictures
            and answers with logits or with something that has ``.logits``.
        batch: where the model is, in its float type.

    Raises:
        ModelError: the answer is no table of logits.
    """
    if isinstance(batch, SketchBatch):
        return model(batch)
    return read_logits(model, look_at(model, batch.pixels), len(batch))


def look_at(model: Any, pixels: Tensor) -> Any:
    """A classifier of photos looks at pictures; any other module is called on them."""
    return model.look(pixels) if isinstance(model, PhotoClassifier) else model(pixels)


def read_logits(model: Any, answer: Any, rows: int) -> Float[Tensor, "items classes"]:
    """The logits in an answer of a module of torch, timm or transformers."""
    logits = getattr(answer, "logits", answer)
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != rows:
        came = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(
            f"{type(model).__name__} answered {came}; expected logits [{rows}, classes]"
        )
    return logits
