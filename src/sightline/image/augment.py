"""Random changes of photos for training: pixels, masks and boxes move together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from sightline.errors import PhotoError
from sightline.image.batch import PictureBatch

Pixels = Float[Tensor, "pictures channels height width"]
Masks = Float[Tensor, "_ masks _ _"]
Boxes = Sequence[Float[Tensor, "_ 4"]]

DRAWS = 11
"""Numbers that each picture takes from the generator, whatever is switched off."""


@dataclass(frozen=True)
class PhotoAugmentation:
    """How photos are varied while a model learns; everything else than `flip` is a largest change.

    Convention:
        One matrix a picture moves its pixels, its masks and its boxes. Pixels from outside the
        photo are those of its nearest edge, masks from there are 0. The picture keeps its size.
        A flip alone is exact: nothing is sampled anew. Each number is drawn evenly between its
        largest change down and up, on the CPU, picture after picture: results depend neither on
        the device nor on how pictures are grouped into batches.

    Args:
        flip: probability of mirroring left and right.
        shift: along each axis, as a share of that side.
        scale: of the size, as a share: 0.1 is from 1 / 1.1 to 1.1.
        rotation: in radians.
        crop: share of both sides that is cut away; the rest is enlarged to the whole.
        brightness: share by which pixels are multiplied: 0.1 is from 0.9 to 1.1.
        contrast: the same for the distance from the mean of the picture.
        saturation: the same for the distance from grey; of pictures with three channels.

    Raises:
        PhotoError: a number out of its range.

    Example:
        >>> mirror = PhotoAugmentation.off(flip=1.0)
        >>> pixels, mask = torch.rand(1, 3, 4, 6), torch.rand(1, 1, 4, 6)
        >>> generator = torch.Generator().manual_seed(0)
        >>> moved, moved_mask, boxes = mirror.moved(
        ...     pixels, mask, [torch.tensor([[0.0, 1.0, 2.0, 3.0]])], generator
        ... )
        >>> torch.equal(moved, pixels.flip(3)), torch.equal(moved_mask, mask.flip(3)), boxes
        (True, True, [tensor([[4., 1., 6., 3.]])])
    """

    flip: float = 0.5
    shift: float = 0.05
    scale: float = 0.1
    rotation: float = 0.1
    crop: float = 0.1
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            most = 1.0 if name == "flip" else 3.2 if name == "rotation" else 0.9
            if not 0 <= value <= most:
                raise PhotoError(f"{name} is {value}; expected from 0 (off) to {most:g}")

    @classmethod
    def off(cls, **changes: float) -> PhotoAugmentation:
        """No change but these."""
        return cls(**{field.name: 0.0 for field in fields(cls)} | changes)

    def __call__(self, batch: PictureBatch, generator: torch.Generator) -> PictureBatch:
        """A varied copy of a batch."""
        return PictureBatch(self.moved(batch.pixels, None, None, generator)[0])

    def moved(
        self,
        pixels: Pixels,
        masks: Masks | None,
        boxes: Boxes | None,
        generator: torch.Generator,
    ) -> tuple[Pixels, Masks | None, list[Float[Tensor, "_ 4"]] | None]:
        """Varied copies of pictures, with what was marked in them.

        Args:
            pixels: in [0, 1].
            masks: any number a picture, of the size of the pictures.
            boxes: xyxy in pixels, one table a picture.
            generator: on the CPU; it alone decides.

        Returns:
            The same three. A box is tight around its moved corners, cut at the edge of the
            picture. All rows stay, so that labels beside them still fit; one that was moved out
            of the picture has no area (`with_area`).

        Raises:
            PhotoError: masks of another size or number than the pictures, or as many boxes.
        """
        _check(pixels, masks, boxes)
        luck = torch.rand(len(pixels), DRAWS, generator=generator, dtype=torch.float64)
        size = (pixels.shape[2], pixels.shape[3])
        flipped = luck[:, 0] < self.flip
        matrix = self._matrix(luck, size)
        pixels = self._coloured(self._placed(pixels, flipped, matrix, "border"), luck)
        if masks is not None:
            masks = self._placed(masks, flipped, matrix, "zeros")
        if boxes is None:
            return pixels, masks, None
        whole = matrix @ _mirror(flipped, size[1])
        return pixels, masks, [_boxes(b, m, size) for b, m in zip(boxes, whole, strict=True)]

    def _matrix(
        self, luck: Float[Tensor, "pictures _"], size: tuple[int, int]
    ) -> Float[Tensor, "pictures 3 3"]:
        """Where a point of the (mirrored) photo comes to lie, in pixels x, y, 1."""
        span = 2 * luck - 1
        height, width = size
        middle = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        angle = self.rotation * span[:, 1]
        factor = (1 + self.scale) ** span[:, 2]
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
        linear = factor[:, None, None] * turn
        shift = self.shift * span[:, 3:5] * torch.tensor([width, height])
        offset = middle + shift - linear @ middle
        zoom = 1 / (1 - self.crop * luck[:, 5])
        corner = (1 - 1 / zoom)[:, None] * luck[:, 6:8] * torch.tensor([width, height])
        matrix = torch.eye(3, dtype=torch.float64).repeat(len(luck), 1, 1)
        matrix[:, :2, :2] = zoom[:, None, None] * linear
        matrix[:, :2, 2] = zoom[:, None] * (offset - corner)
        return matrix

    def _placed(
        self,
        maps: Float[Tensor, "pictures layers height width"],
        flipped: Bool[Tensor, " pictures"],
        matrix: Float[Tensor, "pictures 3 3"],
        outside: str,
    ) -> Float[Tensor, "pictures layers height width"]:
        mirrored = flipped.to(maps.device)[:, None, None, None]
        maps = torch.where(mirrored, maps.flip(3), maps)
        if not any((self.shift, self.scale, self.rotation, self.crop)):
            return maps
        finer = torch.promote_types(maps.dtype, torch.float32)  # a half cannot tell pixels apart
        fine = maps.to(finer)
        grid = _grid(matrix, fine)
        return grid_sample(fine, grid, padding_mode=outside, align_corners=False).to(maps.dtype)

    def _coloured(self, pixels: Pixels, luck: Float[Tensor, "pictures _"]) -> Pixels:
        if not any((self.brightness, self.contrast, self.saturation)):
            return pixels
        span = (2 * luck - 1).to(pixels)[:, :, None, None, None]
        pixels = pixels * (1 + self.brightness * span[:, 8])
        if self.contrast:
            mean = _grey(pixels).mean((2, 3), keepdim=True)
            pixels = mean + (pixels - mean) * (1 + self.contrast * span[:, 9])
        if self.saturation and pixels.shape[1] == 3:
            grey = _grey(pixels)
            pixels = grey + (pixels - grey) * (1 + self.saturation * span[:, 10])
        return pixels.clamp(0, 1)


def with_area(boxes: Float[Tensor, "boxes 4"]) -> Bool[Tensor, " boxes"]:
    """Which boxes have an area; one that was moved out of its picture has none.

    Example:
        >>> with_area(torch.tensor([[0.0, 0.0, 2.0, 1.0], [6.0, 1.0, 6.0, 3.0]])).tolist()
        [True, False]
    """
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _check(pixels: Pixels, masks: Masks | None, boxes: Boxes | None) -> None:
    count, _, *size = pixels.shape
    if masks is not None and (len(masks), *masks.shape[2:]) != (count, *size):
        raise PhotoError(
            f"masks of {list(masks.shape)} do not go with pixels of {list(pixels.shape)}: bring "
            "them to the size of the pictures first"
        )
    if boxes is not None and len(boxes) != count:
        raise PhotoError(f"{len(boxes)} tables of boxes for {count} pictures; give one each")


def _mirror(flipped: Bool[Tensor, " pictures"], width: int) -> Float[Tensor, "pictures 3 3"]:
    matrix = torch.eye(3, dtype=torch.float64).repeat(len(flipped), 1, 1)
    matrix[flipped, 0, 0], matrix[flipped, 0, 2] = -1.0, float(width)
    return matrix


def _grid(
    matrix: Float[Tensor, "pictures 3 3"], like: Float[Tensor, "pictures _ height width"]
) -> Float[Tensor, "pictures height width 2"]:
    """Where each new pixel is taken from; -1 and 1 are the outer edges of the photo."""
    height, width = like.shape[2:]
    per_side = torch.tensor([2 / width, 2 / height], dtype=torch.float64)[:, None]
    taken = (torch.linalg.inv(matrix)[:, :2] * per_side).to(like)[:, None, None]
    x = torch.arange(width, device=like.device, dtype=like.dtype)[:, None] + 0.5
    y = torch.arange(height, device=like.device, dtype=like.dtype)[:, None, None] + 0.5
    return (y * taken[..., 1] + (taken[..., 2] - 1)) + x * taken[..., 0]


def _boxes(
    boxes: Float[Tensor, "boxes 4"], matrix: Float[Tensor, "3 3"], size: tuple[int, int]
) -> Float[Tensor, "boxes 4"]:
    """Tight around the moved corners, cut at the edges."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2).double()
    linear, offset = matrix[:2, :2].to(boxes.device), matrix[:2, 2].to(boxes.device)
    moved = corners @ linear.mT + offset
    tight = torch.cat([moved.amin(1), moved.amax(1)], 1)
    most = torch.tensor([size[1], size[0]] * 2, dtype=torch.float64, device=boxes.device)
    return tight.clamp(min=0).minimum(most).to(boxes.dtype)


def _grey(pixels: Pixels) -> Float[Tensor, "pictures 1 height width"]:
    """Brightness as the eye has it; of other than three channels, their mean."""
    if pixels.shape[1] != 3:
        return pixels.mean(1, keepdim=True)
    weights = pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return (pixels * weights).sum(1, keepdim=True)
