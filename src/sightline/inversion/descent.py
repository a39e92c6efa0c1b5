"""How strokes walk, and what a model answers where they stand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError
from sightline.models.protocol import PictureModel, SketchModel, StrokeModel
from sightline.models.sketchxainet import StrokeTokens
from sightline.parts.bound import see_softly
from sightline.sketch.batch import SketchBatch

Movable = Callable[[Float[Tensor, "strokes 2"]], Float[Tensor, "sketches labels"]]


@dataclass(frozen=True)
class Descent:
    """How the strokes walk: the authors' settings.

    Args:
        steps: how many.
        rate: learning rate of the first step; it falls along a cosine to ``last_rate``.
        longest_step: the gradient of all strokes of a drawing together is shortened so that a
            step moves them by no more than this, in canvas units of [-1, 1].
        sharpness: for models that read pictures: beta, in 1 / pixels, of the sigmoid whose
            gradient stands for the picture's; the picture itself stays the model's own. A soft
            one feels a stroke from further away.

    Raises:
        GameError: no steps, or a rate, step or sharpness that is not above 0.

    Source:
        Qu et al., SketchXAI, CVPR 2023, and their program: SGD, 10 to 1e-5 over 100 steps, norm
        clipped to 0.5 / (rate + 1e-8).
    """

    steps: int = 100
    rate: float = 10.0
    last_rate: float = 1e-5
    longest_step: float = 0.5
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise GameError(f"steps is {self.steps}; it must be at least 1")
        for name in ("rate", "last_rate", "longest_step", "sharpness"):
            if not 0 < getattr(self, name) < math.inf:
                raise GameError(f"{name} is {getattr(self, name)}; it must be a number above 0")

    @classmethod
    def of(cls, model: object) -> Descent:
        """The authors' settings; smaller steps for a model of pictures, whose gradient is local.

        With the authors' steps the strokes of 30 drawings jumped off a 64-pixel canvas.
        """
        local = isinstance(model, PictureModel)
        return cls(rate=0.1, longest_step=0.1) if local else cls()

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        fallen = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.last_rate + (self.rate - self.last_rate) * fallen

    def moves(
        self, slope: Float[Tensor, "strokes 2"], owner: Int[Tensor, " strokes"], step: int
    ) -> Float[Tensor, "strokes 2"]:
        """What a step takes off the locations; ``owner`` says which drawing a stroke is of."""
        rate = self.rate_at(step)
        squares = (slope * slope).sum(1)
        drawings = int(owner[-1]) + 1
        norm = squares.new_zeros(drawings).index_add(0, owner, squares).sqrt()
        share = (self.longest_step / (rate + 1e-8) / (norm + 1e-6)).clamp(max=1)
        return rate * share[owner, None] * slope


def movable(model: SketchModel, batch: SketchBatch, descent: Descent) -> Movable:
    """The model's answer to drawings as a function of where their strokes stand."""
    if isinstance(model, StrokeModel):
        with torch.no_grad():
            tokens: StrokeTokens = model.embed(batch)
        return lambda location: model.classify(tokens, location=location)
    first, owner = batch.first_points, batch.stroke_of_point

    def moved(location: Tensor) -> SketchBatch:
        return batch.with_points(batch.points + (location - first)[owner])

    if not isinstance(model, PictureModel):
        return lambda location: model(moved(location))
    soft = model.rasteriser.softened(descent.sharpness)
    return lambda location: see_softly(model, moved(location), soft)
