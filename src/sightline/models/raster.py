"""Raster recognisers of drawings: any picture model behind a rasteriser, and one of ours."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError, unknown_name
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.simplify import prepare
from sightline.sketch.sketch import Sketch

Ink = Literal["white", "black"]


class RasterModel(nn.Module):
    """Any picture classifier as a model of drawings.

    Drawings are rasterised stroke by stroke and laid over each other as ``clip(sum, 0, 1)``, the
    picture that stroke-level attribution takes apart again.

    Args:
        module: from pictures ``[batch, channels, size, size]`` to logits ``[batch, classes]``.
        labels: names of the classes; numbered where not given.
        rasteriser: how strokes become ink; by default 224 pixels.
        channels: the ink is repeated on this many.
        ink: ``"white"`` on black (ink = 1), or ``"black"`` on white (ink = 0).
        mean, std: subtracted and divided before the module sees the picture.
        epsilon: tolerance of `sightline.simplify` applied to drawings first; None for none.

    Source:
        Qu et al., CVPR 2024 (SLA): X = clip(sum_i w_i S_i, 0, 1).
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        labels: tuple[str, ...] = (),
        rasteriser: Rasteriser | None = None,
        channels: int = 1,
        ink: Ink = "white",
        mean: float = 0.0,
        std: float = 1.0,
        epsilon: float | None = None,
    ) -> None:
        super().__init__()
        if ink not in ("white", "black"):
            raise ModelError(unknown_name("ink", ink, ["white", "black"]))
        if not (math.isfinite(mean) and 0 < std < math.inf):
            raise ModelError(f"mean is {mean}, std {std}; expected finite numbers, std above 0")
        if epsilon is not None and not 0 <= epsilon < math.inf:
            raise ModelError(f"epsilon is {epsilon}; expected a tolerance of 0 or more, or None")
        self.module = module
        self.labels = tuple(labels)
        self.rasteriser = rasteriser or Rasteriser(size=224)
        self.channels, self.ink, self.mean, self.std = channels, ink, mean, std
        self.epsilon = epsilon

    def prepare(self, sketch: Sketch) -> Sketch:
        """Simplified where the model was trained so, then normalised."""
        return prepare(sketch, self.epsilon)

    def forward(self, batch: SketchBatch) -> Float[Tensor, "sketches labels"]:
        """Logits of drawings in the normalised frame."""
        return self.see(self.picture(batch))

    def picture(self, batch: SketchBatch) -> Float[Tensor, "sketches size size"]:
        """The ink that the model looks at."""
        return pictures_of(self.rasteriser, batch)

    def see(
        self, pictures: Float[Tensor, "sketches height width"]
    ) -> Float[Tensor, "sketches labels"]:
        """Logits of pictures of ink in [0, 1]."""
        return self.module(self.shown(pictures))

    def shown(
        self, pictures: Float[Tensor, "sketches height width"]
    ) -> Float[Tensor, "sketches {self.channels} height width"]:
        """What the module is shown of ink: its colours, its channels, its place and type."""
        shown = pictures if self.ink == "white" else 1 - pictures
        shown = (shown - self.mean) / self.std
        weight = next(self.module.parameters(), shown)
        shown = shown.to(weight.device, weight.dtype if weight.is_floating_point() else None)
        return shown[:, None].expand(-1, self.channels, -1, -1)


def pictures_of(rasteriser: Rasteriser, batch: SketchBatch) -> Float[Tensor, "sketches size size"]:
    """Drawings as SLA takes them apart: strokes rasterised alone, laid over each other, clipped."""
    return laid_over(rasteriser.layers(batch), batch).clamp(max=1)


def laid_over(
    layers: Float[Tensor, "strokes size size"], batch: SketchBatch
) -> Float[Tensor, "sketches size size"]:
    """The sum of each drawing's strokes, not yet clipped."""
    blank = layers.new_zeros(len(batch), *layers.shape[1:])
    return blank.index_add(0, batch.sketch_of_stroke, layers)


class SketchCNN(nn.Module):
    """A small residual CNN for 64-pixel drawings: four stages, global mean, a linear head.

    Args:
        classes: width of the head.
        width: channels of the first stage; doubled at each of the next two.
    """

    def __init__(self, classes: int, *, width: int = 24, dropout: float = 0.2) -> None:
        super().__init__()
        widths = (width, width * 2, width * 3, width * 4)
        self.stem = _conv(1, widths[0], stride=2)
        stages: list[nn.Module] = []
        before = widths[0]
        for index, now in enumerate(widths):
            stages += [_Residual(before, now, stride=1 if index == 0 else 2), _Residual(now, now)]
            before = now
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, classes)

    def forward(
        self, pictures: Float[Tensor, "batch 1 size size"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        return self.head(self.dropout(self.stages(self.stem(pictures)).mean((2, 3))))


class _Residual(nn.Module):
    def __init__(self, before: int, now: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(before, now, stride=stride)
        self.second = nn.Sequential(
            nn.Conv2d(now, now, 3, padding=1, bias=False), nn.BatchNorm2d(now)
        )
        plain = stride == 1 and before == now
        self.skip: nn.Module = (
            nn.Identity()
            if plain
            else nn.Sequential(
                nn.Conv2d(before, now, 1, stride=stride, bias=False), nn.BatchNorm2d(now)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.skip(x))


def _conv(before: int, now: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, now, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(now),
        nn.ReLU(),
    )


def sketch_cnn(labels: tuple[str, ...], **settings: Any) -> RasterModel:
    """A small raster recogniser with random weights: `SketchCNN` behind a 64-pixel rasteriser."""
    rasteriser = Rasteriser(size=64, line_width=0.05)
    # channels last: convolutions on a CPU are half as fast again
    module = SketchCNN(len(labels), **settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return RasterModel(module, labels=labels, rasteriser=rasteriser, epsilon=2.0)
