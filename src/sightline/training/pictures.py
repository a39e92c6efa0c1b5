"""Pictures in memory, for training and evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sightline.errors import SightlineError
from sightline.image.batch import PictureBatch
from sightline.image.read import read_photo
from sightline.models.detector import PhotoModel


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size with the index of their label.

    Args:
        pixels: eight bits a channel, or in [0, 1].
        target: indices into the model's labels.
        names: of the items, where they have any.
        photos: height and width of the photos that the pictures were made of, where these differ:
            labels of attention are of photos.

    Raises:
        SightlineError: none, or other numbers of targets, names or photos.

    Example:
        >>> two = Pictures(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
        >>> two.batch(torch.tensor([1])).size
        (8, 8)
    """

    pixels: (
        UInt8[Tensor, "items channels height width"] | Float[Tensor, "items channels height width"]
    )
    target: Int[Tensor, " items"]
    names: tuple[str, ...] = ()
    photos: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not len(self.pixels):
            raise SightlineError("no pictures: the split is empty")
        told = {"targets": len(self.target), "names": len(self.names), "photos": len(self.photos)}
        for what, count in told.items():
            if count != len(self.pixels) and (count or what == "targets"):
                raise SightlineError(f"{len(self.pixels)} pictures, but {count} {what}")

    @classmethod
    def from_files(
        cls,
        paths: Sequence[str | os.PathLike[str]],
        target: Sequence[int],
        model: PhotoModel,
        *,
        names: Sequence[str] = (),
    ) -> Pictures:
        """Read photos as a model's pictures, rounded to eight bits a channel.

        Raises:
            PhotoError: a file that is no photo; the message names it.
            SightlineError: no files, or pictures of unequal size.
        """
        seen: list[Tensor] = []
        photos: list[tuple[int, int]] = []
        for path in paths:
            photo = read_photo(path)
            photos.append(photo.size)
            picture = model.frame(*photo.size).pixels(photo)
            seen.append((picture * 255).round().to(torch.uint8))
            if seen[-1].shape != seen[0].shape:
                raise SightlineError(
                    f"{path} becomes a picture of {list(picture.shape[1:])} pixels, the others "
                    f"{list(seen[0].shape[1:])}; training needs a model that reads one size"
                )
        if not seen:
            raise SightlineError("no pictures: the split is empty")
        return cls(torch.stack(seen), torch.tensor(list(target)), tuple(names), tuple(photos))

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def photo_size(self, index: int) -> tuple[int, int]:
        """Height and width of the photo of one picture."""
        return self.photos[index] if self.photos else self.size

    def batch(self, index: Int[Tensor, " chosen"]) -> PictureBatch:
        """These pictures, in this order."""
        pixels = self.pixels[index]
        return PictureBatch(pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels)

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Their labels."""
        return self.target[index]
