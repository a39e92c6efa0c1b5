"""Drawings and photos as vectors of one space."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.errors import ModelError, unknown_name
from sightline.image.photo import Photo
from sightline.models.as_found import as_found
from sightline.models.detector import PhotoClassifier
from sightline.models.door import as_model, as_photo_model
from sightline.models.fingerprint import fingerprint_of
from sightline.models.place import batch_for, place
from sightline.models.protocol import PictureModel, SketchModel
from sightline.models.sketchxainet import SketchXAINetConfig
from sightline.sketch.sketch import Sketch

Item = Sketch | Photo
Measure = Literal["cosine", "distance"]
MEASURES: tuple[Measure, ...] = ("cosine", "distance")
AT_ONCE = 64
SHORTEST = 1e-12
"""A vector that is no longer has no direction: its cosine with any other is 0."""

_SETTINGS = ("rasteriser", "channels", "ink", "epsilon", "size", "mean", "std", "resampling")
"""What a branch does to an item before its weights see it."""


class Encoder(nn.Module):
    """Turns drawings, photos or both into vectors that can be compared.

    Either branch is a model as a game takes it, whose answers are vectors ``[items, dimension]``
    instead of logits. Give the same module twice where one network reads both.

    Args:
        sketch: reads drawings: a module from pictures to vectors (then behind a `RasterModel`), a
            `RasterModel` of one, or a model of strokes; None for an encoder of photos.
        photo: reads photos: such a module (then behind a `PictureClassifier`), or a
            `PictureClassifier` of one; None for an encoder of drawings.
        measure: how vectors are compared: ``"cosine"``, or ``"distance"``, Euclidean.
        name: for messages and records.

    Raises:
        ModelError: neither branch, or one that reads neither drawings nor photos.

    Example:
        >>> pooled = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        >>> encoder = Encoder(sketch=pooled)
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> encoder.encode([cross]).shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        *,
        sketch: object = None,
        photo: object = None,
        measure: Measure = "cosine",
        name: str = "",
    ) -> None:
        super().__init__()
        if measure not in MEASURES:
            raise ModelError(unknown_name("measure", measure, MEASURES))
        if sketch is None and photo is None:
            raise ModelError("an encoder needs a branch: give sketch=..., photo=..., or both")
        self.sketch = None if sketch is None else as_model(sketch)
        self.photo = None if photo is None else _photo_branch(photo)
        self.measure: Measure = measure
        self.name = name

    def branch(self, item: Item) -> SketchModel | PhotoClassifier:
        """The model that reads such an item.

        Raises:
            ModelError: there is none.
        """
        drawn = isinstance(item, Sketch)
        found = self.sketch if drawn else self.photo
        if found is None:
            what, other = ("drawings", "photos") if drawn else ("photos", "drawings")
            word = "sketch" if drawn else "photo"
            raise ModelError(
                f"this encoder reads {other} only; give it a branch for {what}: "
                f"sl.Encoder({word}=...)"
            )
        return found

    def encode(
        self, items: Sequence[Item], *, batch: int = AT_ONCE
    ) -> Float[Tensor, "items dimension"]:
        """Vectors of items of one kind, float32 on the CPU, without gradients.

        The model is left as it came. Nothing is scaled to length 1 here: `similarities` does that
        where the measure needs it.

        Raises:
            ModelError: no items, items of a kind that it does not read, or answers that are no
                vectors.
        """
        _refuse_nothing(len(items), batch)
        odd = next((i for i, item in enumerate(items) if not isinstance(item, type(items[0]))), 0)
        if odd or not isinstance(items[0], Sketch | Photo):
            kinds = ", then ".join(dict.fromkeys(type(items[i]).__name__ for i in (0, odd)))
            raise ModelError(
                f"item {odd} cannot be encoded: came {kinds}; give drawings only, or photos only"
            )
        model = self.branch(items[0])
        found: list[Tensor] = []
        with as_found(self), torch.no_grad():
            for start in range(0, len(items), batch):
                some = items[start : start + batch]
                found.append(self._checked(self._answer(model, some), len(some)).float().cpu())
        return torch.cat(found)

    def encode_ink(
        self, pictures: Float[Tensor, "items height width"], *, batch: int = AT_ONCE
    ) -> Float[Tensor, "items dimension"]:
        """Vectors of drawings that are known as pictures of ink only, in [0, 1], ink = 1.

        Raises:
            ModelError: no pictures, pictures of another size than the branch draws, answers that
                are no vectors; the branch for drawings reads strokes, or there is none.
        """
        if not isinstance(self.sketch, PictureModel):
            raise ModelError(
                "drawings that are pictures need a branch that reads pictures; "
                f"{type(self.sketch).__name__} does not"
            )
        _refuse_nothing(len(pictures), batch)
        size = self.sketch.rasteriser.size
        if pictures.shape[1:] != (size, size):
            raise ModelError(
                f"ink of shape {list(pictures.shape)}; expected [items, {size}, {size}], as large "
                "as the branch draws strokes"
            )
        with as_found(self), torch.no_grad():
            found = [
                self._checked(self.sketch.see(some), len(some)).float().cpu()
                for some in pictures.to(*place(self.sketch)).split(batch)
            ]
        return torch.cat(found)

    @property
    def fingerprint(self) -> str:
        """A hash of both branches: weights, modules and their settings, and how items are read.

        Two encoders of one fingerprint give the same vectors, but for what a module does outside
        of its weights, submodules and ``extra_repr``.
        """
        told = [fingerprint_of(self), self.measure]
        told += [f"{n}:{type(m).__name__}({m.extra_repr()})" for n, m in self.named_modules()]
        for branch in (self.sketch, self.photo):
            told += [f"{n}={getattr(branch, n)}" for n in _SETTINGS if hasattr(branch, n)]
            told.append(_config_of(branch))
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]

    def _answer(self, model: Any, items: Sequence[Any]) -> Any:
        if isinstance(items[0], Sketch):
            return model(batch_for(model, [model.prepare(sketch) for sketch in items]))
        pictures = [model.frame(*photo.size).pixels(photo) for photo in items]
        return model.look(torch.stack(pictures).to(*place(model)))

    def _checked(self, answer: Any, rows: int) -> Tensor:
        if not isinstance(answer, Tensor) or answer.dim() != 2 or len(answer) != rows:
            came = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ModelError(f"the encoder answered {came}; expected vectors [{rows}, dimension]")
        if not bool(answer.isfinite().all()):
            raise ModelError("the encoder answered NaN or infinity; check its weights")
        return answer


def similarities(
    vectors: Float[Tensor, "rows dimension"],
    others: Float[Tensor, "others dimension"],
    measure: Measure = "cosine",
) -> Float[Tensor, "rows others"]:
    """How alike vectors are: the cosine, or minus the Euclidean distance; more is more alike.

    Differentiable in the vectors, also where two are equal.

    Example:
        >>> east, north = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> similarities(east, north).tolist()
        [[0.0, 1.0]]
        >>> similarities(east, north, "distance")[0, 1].item()
        -1.0
    """
    if measure == "cosine":
        return _unit(vectors) @ _unit(others).T
    # pair by pair: exact where two are equal, also in the gradient, and no table of differences
    return -torch.cdist(vectors, others, compute_mode="donot_use_mm_for_euclid_dist")


def _unit(vectors: Float[Tensor, "rows dimension"]) -> Float[Tensor, "rows dimension"]:
    """Of length 1; a vector of zeros stays one, and passes no gradient."""
    length = vectors.norm(dim=1, keepdim=True)
    there = length > SHORTEST
    return torch.where(there, vectors, 0) / torch.where(there, length, 1)


def _config_of(branch: object) -> str:
    """Settings of a recogniser's network; what its classes were called changes no vector."""
    config = getattr(branch, "config", None)
    told = asdict(config) if isinstance(config, SketchXAINetConfig) else {}
    return str({name: value for name, value in told.items() if name != "labels"})


def _refuse_nothing(items: int, batch: int) -> None:
    if not items or batch < 1:
        raise ModelError(
            f"nothing to encode: {items} items, {batch} at once; give at least one drawing or photo"
        )


def _photo_branch(photo: object) -> PhotoClassifier:
    model = as_photo_model(photo)
    if not isinstance(model, PhotoClassifier):
        raise ModelError(
            f"{type(model).__name__} finds boxes; an encoder of photos answers vectors: give a "
            "torch.nn.Module from pictures to vectors"
        )
    return model
