"""Many pictures of one size, as a network reads them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PictureBatch:
    """Pictures of one size.

    Args:
        pixels: in [0, 1], channels first; normalisation is the model's.

    Example:
        >>> batch = PictureBatch(torch.zeros(4, 3, 8, 8))
        >>> len(batch), len(batch.select(torch.tensor([2, 0])))
        (4, 2)
    """

    pixels: Float[Tensor, "pictures channels height width"]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def device(self) -> torch.device:
        """Where the pixels are."""
        return self.pixels.device

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def select(self, pictures: Int[Tensor, " chosen"]) -> PictureBatch:
        """These pictures, in this order."""
        return PictureBatch(self.pixels[pictures])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> PictureBatch:
        """The same pictures on another device or in another float type."""
        return PictureBatch(self.pixels.to(device or self.device, dtype or self.pixels.dtype))
