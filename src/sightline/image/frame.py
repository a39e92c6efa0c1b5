"""The one object that moves pixels, points, boxes and masks between a photo and a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import PhotoError, unknown_name
from sightline.image.photo import Photo

Resampling = Literal["bilinear", "antialiased"]


@dataclass(frozen=True)
class Frame:
    """From the pixels of a photo to those of the picture that a network reads.

    Convention:
        Both are continuous coordinates with pixel centres at half numbers, x to the right, y down:
        picture = photo * scale + offset.

    Args:
        photo: height and width of the photo.
        picture: height and width of what the network reads.
        scale: of x and of y.
        offset: of x and of y, in pixels of the picture: where a letterboxed photo begins.
        resampling: ``"bilinear"`` reads the four nearest pixels (torch), ``"antialiased"`` averages
            over all that fall together (Pillow).
        fill: of what the photo does not cover, in [0, 1].

    Raises:
        PhotoError: numbers by which pixels and coordinates would not move together.

    Example:
        >>> frame = Frame.stretched((480, 640), (300, 300))
        >>> frame.boxes(torch.tensor([[0.0, 0.0, 640.0, 240.0]])).tolist()
        [[0.0, 0.0, 300.0, 150.0]]
    """

    photo: tuple[int, int]
    picture: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float] = (0.0, 0.0)
    resampling: Resampling = "bilinear"
    fill: float = 0.0

    def __post_init__(self) -> None:
        if min(*self.photo, *self.picture) < 1 or not 0 <= self.fill <= 1:
            raise PhotoError(
                f"a frame from {self.photo} to {self.picture} (height, width) with fill "
                f"{self.fill}; expected at least 1 x 1 pixels each, and fill in [0, 1]"
            )
        if self.resampling not in get_args(Resampling):
            raise PhotoError(unknown_name("resampling", self.resampling, get_args(Resampling)))
        # pixels come in whole numbers; else boxes would drift away from what they hold
        exact = (self.photo[0] * self.scale[1], self.photo[1] * self.scale[0], *self.offset)
        if min(self.inner) < 1 or any(abs(x - round(x)) > 1e-6 for x in exact):
            raise PhotoError(
                f"a frame of scale {self.scale} and offset {self.offset} (x, y) puts a photo of "
                f"{self.photo} (height, width) between pixels; choose a scale that gives a whole "
                "number of them, as Frame.letterboxed does"
            )

    @classmethod
    def stretched(
        cls,
        photo: tuple[int, int],
        picture: tuple[int, int],
        *,
        resampling: Resampling = "bilinear",
    ) -> Frame:
        """The whole photo on the whole picture, whatever its aspect."""
        scale = (picture[1] / photo[1], picture[0] / photo[0])
        return cls(photo, picture, scale, resampling=resampling)

    @classmethod
    def letterboxed(
        cls,
        photo: tuple[int, int],
        picture: tuple[int, int],
        *,
        resampling: Resampling = "bilinear",
        fill: float = 0.0,
        centred: bool = True,
    ) -> Frame:
        """The photo in its aspect, as large as it fits; the rest is ``fill``."""
        fits = min(picture[0] / photo[0], picture[1] / photo[1])
        inner = (max(1, round(photo[0] * fits)), max(1, round(photo[1] * fits)))
        room = ((picture[1] - inner[1]) // 2, (picture[0] - inner[0]) // 2)
        return cls(
            photo,
            picture,
            (inner[1] / photo[1], inner[0] / photo[0]),
            (float(room[0]), float(room[1])) if centred else (0.0, 0.0),
            resampling,
            fill,
        )

    @classmethod
    def unchanged(cls, photo: tuple[int, int]) -> Frame:
        """The photo itself."""
        return cls(photo, photo, (1.0, 1.0))

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the photo inside the picture."""
        return round(self.photo[0] * self.scale[1]), round(self.photo[1] * self.scale[0])

    def pixels(self, photo: Photo) -> Float[Tensor, "3 height width"]:
        """The picture, in [0, 1].

        Raises:
            PhotoError: the photo has another size than this frame was made for.
        """
        if photo.size != self.photo:
            raise PhotoError(
                f"photo {photo.name!r} is {photo.size[0]} x {photo.size[1]} pixels (height x "
                f"width), this frame is for {self.photo[0]} x {self.photo[1]}"
            )
        return self._padded(self._resized(photo), self.fill)

    def points(self, xy: Float[Tensor, "*any 2"]) -> Float[Tensor, "*any 2"]:
        """Points of the photo in the picture."""
        return xy * xy.new_tensor(self.scale) + xy.new_tensor(self.offset)

    def back_points(self, xy: Float[Tensor, "*any 2"]) -> Float[Tensor, "*any 2"]:
        """Points of the picture in the photo."""
        return (xy - xy.new_tensor(self.offset)) / xy.new_tensor(self.scale)

    def boxes(self, xyxy: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 4"]:
        """Boxes of the photo in the picture."""
        return self.points(xyxy.unflatten(-1, (2, 2))).flatten(-2)

    def back_boxes(self, xyxy: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any 4"]:
        """Boxes of the picture in the photo; not clipped to it."""
        return self.back_points(xyxy.unflatten(-1, (2, 2))).flatten(-2)

    def labels(self, of_pixels: Int[Tensor, "height width"]) -> Int[Tensor, "rows columns"]:
        """Whole numbers of the photo's pixels at the picture's, the nearest; -1 where no photo."""
        if tuple(of_pixels.shape) != self.photo:
            raise PhotoError(
                f"labels or masks of {list(of_pixels.shape)} pixels (height x width), this frame "
                f"is for {list(self.photo)}"
            )
        row, column = self._source(0), self._source(1)
        found = of_pixels[row.clamp(min=0)][:, column.clamp(min=0)]
        outside = (row < 0)[:, None] | (column < 0)
        return torch.where(outside.to(found.device), -1, found)

    def masks(
        self, of_pixels: Bool[Tensor, "*any height width"]
    ) -> Bool[Tensor, "*any rows columns"]:
        """Masks of the photo in the picture, by the nearest pixel; nothing where no photo is."""
        flat = of_pixels.reshape(-1, *of_pixels.shape[-2:])
        moved = [self.labels(mask.long()) == 1 for mask in flat]
        shape = (*of_pixels.shape[:-2], *self.picture)
        return torch.stack(moved).reshape(shape) if moved else of_pixels.new_zeros(shape)

    def back_maps(
        self, of_picture: Shaped[Tensor, "*any rows columns"]
    ) -> Float[Tensor, "*any height width"]:
        """Maps of the picture at the photo's pixels, bilinear; edges held."""
        if tuple(of_picture.shape[-2:]) != self.picture:
            raise PhotoError(
                f"maps of {list(of_picture.shape[-2:])} pixels (height x width), this frame's "
                f"picture is {list(self.picture)}"
            )
        inside = [
            torch.arange(*ends).clamp(0, most - 1)  # a photo larger than its picture: edges held
            for ends, most in zip(self._covered(), self.picture, strict=True)
        ]
        inner = of_picture[..., inside[0], :][..., inside[1]].float()
        flat = inner.reshape(-1, 1, *inner.shape[-2:])
        grown = F.interpolate(flat, self.photo, mode="bilinear", align_corners=False)
        return grown.reshape(*of_picture.shape[:-2], *self.photo)

    def _covered(self) -> tuple[tuple[int, int], tuple[int, int]]:
        left, top = (round(o) for o in self.offset)
        return (top, top + self.inner[0]), (left, left + self.inner[1])

    def _source(self, axis: int) -> Int[Tensor, " cells"]:
        """For each row (0) or column (1) of the picture, that of the photo; -1 outside."""
        scale, offset = self.scale[1 - axis], self.offset[1 - axis]
        centre = torch.arange(self.picture[axis], dtype=torch.float64) + 0.5
        index = ((centre - offset) / scale).floor().long()
        return torch.where((index >= 0) & (index < self.photo[axis]), index, -1)

    def _resized(self, photo: Photo) -> Float[Tensor, "3 height width"]:
        height, width = self.inner
        if (height, width) == photo.size:
            return _as_tensor(photo.pixels)
        if self.resampling == "antialiased":
            from PIL import Image

            shrunk = Image.fromarray(photo.pixels).resize(
                (width, height), Image.Resampling.BILINEAR
            )
            return _as_tensor(np.asarray(shrunk))
        full = _as_tensor(photo.pixels)[None]
        return F.interpolate(full, (height, width), mode="bilinear", align_corners=False)[0]

    def _padded(self, inner: Tensor, fill: float) -> Tensor:
        if tuple(inner.shape[1:]) == self.picture:
            return inner
        (top, bottom), (left, right) = self._covered()
        room = (left, self.picture[1] - right, top, self.picture[0] - bottom)
        return F.pad(inner, room, value=fill)


def _as_tensor(pixels: np.ndarray) -> Float[Tensor, "3 height width"]:
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255
