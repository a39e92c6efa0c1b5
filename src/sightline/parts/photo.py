"""Regions of a photo as parts: superpixels, and what a network sees when some are absent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.models.detector import (
    DenseDetector,
    Detector,
    PhotoClassifier,
    PhotoModel,
    ProposingDetector,
    Reply,
)
from sightline.models.place import place
from sightline.parts.bound import Bound, Noise, noisy

Absent = Literal["grey", "mean", "blur"] | Photo
Span = tuple[float, float]
ABSENCES = ("grey", "mean", "blur")
BLUR = 0.05
"""Standard deviation of the blur that stands in for absent regions, of the longest side."""

PHOTOS_AT_ONCE = 32
LEAST_SCORE = 0.01
"""A black box is asked for all boxes from here on, since absence lowers scores."""


@dataclass(frozen=True, eq=False)
class Superpixels:
    """Superpixels of a photo as parts, by SLIC.

    Args:
        photo: what is explained.
        count: how many are asked for; SLIC may give a few less.
        absent: what stands in for an absent one: ``"grey"`` (0.5), ``"mean"`` (the photo's mean
            colour), ``"blur"`` (the photo without its detail), or another photo.
        of_pixels: the superpixel of each pixel, where it is known already.

    Raises:
        GameError: an absence that is unknown, or numbers below 0 or of another photo.
    """

    photo: Photo
    count: int = 256
    absent: Absent = "grey"
    of_pixels: Int[Tensor, "height width"] | None = None
    kind = "superpixels"

    def __post_init__(self) -> None:
        check_absent(self.absent)
        if self.of_pixels is None:
            from sightline.image.superpixels import superpixels

            object.__setattr__(self, "of_pixels", superpixels(self.photo, self.count))
        if tuple(self.numbers.shape) != self.photo.size:
            raise GameError(
                f"superpixels of {list(self.numbers.shape)} pixels do not fit a photo of "
                f"{list(self.photo.size)}"
            )
        if int(self.numbers.min()) < 0:
            raise GameError(
                f"superpixels are numbered from {int(self.numbers.min())}; expected numbers from 0"
            )

    def __len__(self) -> int:
        return int(self.numbers.max()) + 1

    @property
    def numbers(self) -> Int[Tensor, "height width"]:
        """The superpixel of each pixel."""
        assert self.of_pixels is not None  # noqa: S101, made at the latest by __post_init__
        return self.of_pixels

    @property
    def subject(self) -> Photo:
        """What the parts are of."""
        return self.photo

    @property
    def names(self) -> tuple[str, ...]:
        """One name a superpixel: its number."""
        return tuple(f"superpixel {i}" for i in range(len(self)))

    def bind(self, model: object) -> BoundPhoto:
        """The photo as ``model`` sees it with superpixels partly absent."""
        return BoundPhoto(model, self.photo, self.numbers, self.absent)


class BoundPhoto(Bound):
    """Regions of a photo bound to a model.

    Masked pictures are composed at the size that the network reads: photo and absence are resized
    once. A black box gets whole photos, so there they are composed at the size of the photo.
    """

    def __init__(
        self, model: object, photo: Photo, of_pixels: Int[Tensor, "height width"], absent: Absent
    ) -> None:
        self.model = _readable(model)
        unchanged = Frame.unchanged(photo.size)
        self.frame = model.frame(*photo.size) if isinstance(model, PhotoModel) else unchanged
        device, dtype = place(model)
        self._photo = self.frame.pixels(photo).to(device, dtype)
        region = self.frame.labels(of_pixels)
        self._parts = int(of_pixels.max()) + 1
        # what the frame adds around the photo is always there: one part more, and never absent
        self._region = torch.where(region < 0, self._parts, region).to(device)
        nothing = _absence(photo, absent, self.frame).to(device, dtype)
        self._absent = torch.where(self._region == self._parts, self._photo, nothing)
        self.partial = isinstance(model, PhotoModel)
        self._proposals: Tensor | None = None
        if isinstance(model, ProposingDetector):
            with torch.no_grad():
                self._proposals = model.propose(self._photo)

    @property
    def rows_at_once(self) -> int:
        """Photos are large."""
        return PHOTOS_AT_ONCE

    @property
    def region(self) -> Int[Tensor, "height width"]:
        """The part of each pixel of the network's picture; the number of parts: none."""
        return self._region

    @cached_property
    def source(self) -> Int[Tensor, "height width"]:
        """The photo's pixel (row by row) that each of the picture's shows; -1 for none."""
        height, width = self.frame.photo
        return self.frame.labels(torch.arange(height * width).view(height, width))

    @cached_property
    def covered(self) -> tuple[slice, slice]:
        """Rows and columns of the picture where the photo is."""
        here = self.source >= 0
        rows, columns = here.any(1).nonzero()[:, 0], here.any(0).nonzero()[:, 0]
        return (
            slice(int(rows[0]), int(rows[-1]) + 1),
            slice(int(columns[0]), int(columns[-1]) + 1),
        )

    def __call__(
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Reply:
        """The answer to the photo with regions partly absent."""
        around = presence.new_ones(len(presence), 1)
        masks = torch.cat([presence, around], 1)[:, self._region]
        return self.see(noisy(self.composed(masks), noise))

    def composed(
        self, masks: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """The photo where a mask is 1, its absence where it is 0; around it always the frame."""
        weight = masks.to(self._photo.dtype)[:, None]
        return torch.lerp(self._absent, self._photo, weight)

    def spans(self, extent: tuple[int, int] | None = None) -> tuple[Span, Span]:
        """Where the photo begins and ends, down and across, as shares of the picture.

        Args:
            extent: height and width that count as the whole, where a network sees past the edge.
        """
        across, down = self.frame.offset
        height, width = extent or self.frame.picture
        inner = self.frame.inner
        return (
            (down / height, (down + inner[0]) / height),
            (across / width, (across + inner[1]) / width),
        )

    def picture(self) -> Float[Tensor, "3 height width"] | None:
        """The photo as the network reads it; None for a black box."""
        return self._photo if self.partial else None

    def see(self, pictures: Float[Tensor, "batch 3 height width"]) -> Reply:
        """The answer to pictures; boxes in pixels of the photo."""
        model = self.model
        if isinstance(model, ProposingDetector) and self._proposals is not None:
            return model.dense_at(pictures, self._proposals).in_photo(self.frame)
        if isinstance(model, DenseDetector):
            return model.dense(pictures).in_photo(self.frame)
        if isinstance(model, PhotoClassifier):
            return model.look(pictures)
        return model.detect(_as_photos(pictures), threshold=LEAST_SCORE)


def check_absent(absent: object) -> None:
    """Refuse an absence that is none.

    Raises:
        GameError: an unknown name.
    """
    if not isinstance(absent, Photo) and absent not in ABSENCES:
        raise GameError(unknown_name("absence", str(absent), [*ABSENCES, "or a Photo"]))


def _readable(model: object) -> DenseDetector | PhotoClassifier | Detector:
    if isinstance(model, DenseDetector | PhotoClassifier | Detector):
        return model
    raise GameError(
        f"{type(model).__name__} cannot be asked about photos: wrap a picture classifier in "
        "sl.PictureClassifier(module, labels=...), or open a detector with sl.load_detector(...)"
    )


def _absence(photo: Photo, absent: Absent, frame: Frame) -> Float[Tensor, "3 height width"]:
    """What the network would read of nothing."""
    shown = frame.pixels(photo)
    if isinstance(absent, Photo):
        return frame.pixels(_resized(absent, photo.size))
    if absent == "grey":
        return torch.full_like(shown, 0.5)
    if absent == "mean":
        colour = torch.from_numpy(photo.pixels.mean((0, 1)) / 255).to(shown)
        return colour[:, None, None].expand_as(shown)
    return frame.pixels(_blurred(photo))


def _resized(photo: Photo, size: tuple[int, int]) -> Photo:
    from PIL import Image

    image = Image.fromarray(photo.pixels).resize(size[::-1], Image.Resampling.BILINEAR)
    return Photo(np.asarray(image), photo.name)


def _blurred(photo: Photo) -> Photo:
    from PIL import Image, ImageFilter

    radius = math.ceil(BLUR * max(photo.size))
    return Photo(np.asarray(Image.fromarray(photo.pixels).filter(ImageFilter.GaussianBlur(radius))))


def _as_photos(pictures: Float[Tensor, "batch 3 height width"]) -> Sequence[Photo]:
    whole = pictures.mul(255).add_(0.5).clamp_(0, 255).byte()
    pixels = whole.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [Photo(each) for each in pixels]
