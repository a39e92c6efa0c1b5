"""A small residual network of our own for small pictures: digits, scenes, thumbnails of photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError, unknown_name
from sightline.models.photo_classifier import PictureClassifier

Norm = Literal["group", "batch"]

GROUPS = 8
PLACES = 6
"""Rows and columns of the last map, at least, where a stem of stride 2 is chosen for a size."""


class SmallResNet(nn.Module):
    """A small residual CNN for pictures of 28 to 128 pixels: stages, global mean, a linear head.

    Every stage but the first halves the picture; a stem of stride 2 halves it once more. The last
    map, `features`, is what class activation maps are read at.

    With group norm, the default, no picture depends on the others in its batch, and nothing is
    averaged over batches: a map read in training mode is the one of evaluation mode, and several
    processes learn exactly what one would. Batch norm has neither property. They cost the same.

    Args:
        classes: width of the head.
        channels: of the pictures.
        widths: channels of each stage.
        blocks: residual blocks a stage.
        stem_stride: 2, or 1 for pictures below 48 pixels.
        norm: ``"group"`` or ``"batch"``.

    Raises:
        ModelError: none of something, a stride that is neither 1 nor 2, an unknown norm.

    Example:
        >>> model = SmallResNet(2)
        >>> model.features(torch.zeros(4, 3, 64, 64)).shape, model(torch.zeros(4, 3, 64, 64)).shape
        (torch.Size([4, 128, 8, 8]), torch.Size([4, 2]))

    Source:
        He et al., "Deep residual learning for image recognition", CVPR 2016; Wu and He, "Group
        normalization", ECCV 2018.
    """

    def __init__(
        self,
        classes: int,
        *,
        channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
        stem_stride: int = 2,
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        if not widths or min(classes, channels, blocks, *widths) < 1 or stem_stride not in (1, 2):
            raise ModelError(
                f"classes {classes}, channels {channels}, widths {list(widths)}, blocks {blocks}, "
                f"stem_stride {stem_stride}; expected at least 1 of each, and a stride of 1 or 2"
            )
        if norm not in get_args(Norm):
            raise ModelError(unknown_name("norm", norm, get_args(Norm)))
        self.settings: dict[str, Any] = {
            "classes": classes,
            "channels": channels,
            "widths": list(widths),
            "blocks": blocks,
            "stem_stride": stem_stride,
            "norm": norm,
        }
        self.stem = _conv(channels, widths[0], norm, stride=stem_stride)
        before = widths[0]
        stages = []
        for index, now in enumerate(widths):
            steps = [1 if index == 0 else 2] + [1] * (blocks - 1)
            befores = [before] + [now] * (blocks - 1)
            pairs = zip(befores, steps, strict=True)
            stages.append(nn.Sequential(*(_Residual(b, now, norm, stride=s) for b, s in pairs)))
            before = now
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(
        self, pictures: Float[Tensor, "pictures _ height width"]
    ) -> Float[Tensor, "pictures kernels rows columns"]:
        """The last map."""
        # a tenth faster on a CPU with group norm, a fifth with batch norm
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        return self.stages(self.stem(pictures))

    def forward(
        self, pictures: Float[Tensor, "pictures _ height width"]
    ) -> Float[Tensor, "pictures classes"]:
        """Logits."""
        return self.head(self.features(pictures).mean((2, 3)))


class _Residual(nn.Module):
    def __init__(self, before: int, now: int, norm: Norm, *, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(before, now, norm, stride=stride)
        self.second = nn.Sequential(nn.Conv2d(now, now, 3, padding=1, bias=False), _norm(norm, now))
        self.stride = stride
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or before != now:
            self.skip = nn.Sequential(nn.Conv2d(before, now, 1, bias=False), _norm(norm, now))

    def forward(self, x: Tensor) -> Tensor:
        # halved by a mean, which keeps every pixel, and not by a stride of the 1 x 1 convolution:
        # oneDNN (torch 2.13) crashes in the backward pass of that one where channels are few
        skipped = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride > 1 else x
        return F.relu(self.second(self.first(x)) + self.skip(skipped))


def _conv(before: int, now: int, norm: Norm, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, now, 3, stride=stride, padding=1, bias=False), _norm(norm, now), nn.ReLU()
    )


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def small_resnet(
    labels: Sequence[str],
    size: tuple[int, int] = (64, 64),
    *,
    seed: int = 0,
    stem_stride: int | None = None,
    **settings: Any,
) -> PictureClassifier:
    """A `SmallResNet` with random weights, as a classifier of photos.

    Args:
        labels: names of the classes.
        size: height and width of its pictures; pictures of other sizes are answered as well.
        seed: of the weights; torch's random state is left as it was.
        stem_stride: by default 2 where that leaves a last map of at least 6 x 6 places, else 1.
        settings: of `SmallResNet`.

    Raises:
        ModelError: no labels, or settings that `SmallResNet` refuses.

    Example:
        >>> model = small_resnet(["duck", "cup"], size=(28, 28))
        >>> model.module.settings["stem_stride"], model.look(torch.zeros(1, 3, 28, 28)).shape
        (1, torch.Size([1, 2]))
    """
    if stem_stride is None:
        halvings = len(settings.get("widths", (32, 64, 128))) - 1
        stem_stride = 2 if min(size) >= PLACES * 2 ** (halvings + 1) else 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # and not those of other devices
        module = SmallResNet(len(labels), stem_stride=stem_stride, **settings)
    # photos shrink by averages; the whole range of a pixel becomes -2 to 2
    return PictureClassifier(
        module,
        labels=labels,
        size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        resampling="antialiased",
    )
