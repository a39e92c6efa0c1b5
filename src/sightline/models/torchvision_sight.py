"""How torchvision's detectors read a photo, and what they call its labels."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sightline.errors import ModelError
from sightline.image.boxes import clip
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.place import place


def frame_of(transform: Any, photo: tuple[int, int]) -> Frame:
    """The frame of a `GeneralizedRCNNTransform`: its resizing, without its padding.

    Source:
        torchvision.models.detection.transform: a fixed size, or the shorter side to ``min_size``
        unless the longer one would pass ``max_size``; sizes are rounded down.
    """
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        return Frame.stretched(photo, (height, width))
    shortest, longest = transform.min_size[-1], transform.max_size
    scale = min(shortest / min(photo), longest / max(photo))
    return Frame.stretched(photo, (int(photo[0] * scale), int(photo[1] * scale)))


def as_images(transform: Any, pictures: Float[Tensor, "pictures 3 height width"]) -> Any:
    """An `ImageList`: normalised, then padded with zeros on the right and at the bottom."""
    from torchvision.models.detection.image_list import ImageList

    size = (pictures.shape[2], pictures.shape[3])
    step = transform.size_divisible
    bottom, right = (math.ceil(side / step) * step - side for side in size)
    ready = F.pad(transform.normalize(pictures), (0, right, 0, bottom))
    return ImageList(ready, [size] * len(pictures))


def as_maps(features: Tensor | dict[str, Tensor]) -> dict[str, Tensor]:
    """What a backbone returned, by name."""
    return {"0": features} if isinstance(features, Tensor) else dict(features)


def as_weights_are(module: nn.Module, pictures: Tensor) -> Tensor:
    """Pictures where the module is and in its precision."""
    device, dtype = place(module)
    return pictures.to(device, dtype)


def library_finds(module: nn.Module, photo: Photo) -> dict[str, Tensor]:
    """What the module itself says of one photo, alone: boxes, scores, labels on the CPU.

    Photos go one by one because torchvision pads a batch to its largest photo, and a network sees
    the padding.
    """
    pixels = torch.from_numpy(photo.pixels.copy()).permute(2, 0, 1).float() / 255
    found = module([as_weights_are(module, pixels)])[0]
    return {name: found[name].detach().cpu() for name in ("boxes", "scores", "labels")}


def clipped(boxes: Float[Tensor, "*any 4"], frame: Frame) -> Float[Tensor, "*any 4"]:
    """Boxes of the picture in the photo, cut off at its edges as torchvision does."""
    return frame.back_boxes(clip(boxes, frame.picture))


def named(labels: tuple[str, ...] | None, count: int | None) -> tuple[str, ...]:
    """The labels given, or numbers; as many as the head has columns.

    Raises:
        ModelError: another number of labels than of columns, or neither is known.
    """
    if labels is None and count is None:
        raise ModelError("this head does not say how many labels it knows; give labels=[...]")
    if labels is None:
        return tuple(str(i) for i in range(count or 0))
    if count is not None and len(labels) != count:
        raise ModelError(
            f"the head has {count} columns, {len(labels)} labels were given; background is one of "
            "the columns where the library has one"
        )
    return tuple(labels)
