"""Regions of a generated picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import GameError, unknown_name
from sightline.image.photo import Photo
from sightline.models.detector import Reply
from sightline.sketch.sketch import Sketch
from sightline.targets.target import BoundTargets

Asked = Literal["content", "brightness"]
ASKED: tuple[Asked, ...] = ("content", "brightness")
LEAST_CONTENT = 1e-6


@dataclass(frozen=True, eq=False)
class Region:
    """What a generator puts into regions of its picture.

    Args:
        masks: one a region, rows from the top; of another size than the picture they are scaled.
        names: of the regions; numbered where not given.
        asked: ``"content"``: how much of what the whole drawing puts there, and the empty sheet
            does not, is there: 0 for the empty sheet, 1 for the whole drawing. ``"brightness"``:
            the mean over the region's pixels and colours, black 0 and white 1.

    Raises:
        GameError: no region, an empty one, or another number of names.

    Example:
        >>> left = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> left[:, :, :2] = True
        >>> Region(left, names=("left",)).names
        ('left',)

    Source:
        Ours. Content is <G(w) - G(0), u> / |G(1) - G(0)|, u the unit vector of G(1) - G(0), over
        the region's pixels: linear in the picture, so that its gradient is not 0 where
        the drawing is whole, as that of a distance to the whole picture would be.
    """

    masks: Bool[Tensor, "regions height width"]
    names: tuple[str, ...] = ()
    asked: Asked = "content"

    def __post_init__(self) -> None:
        if self.asked not in ASKED:
            raise GameError(unknown_name("asked", self.asked, ASKED))
        if self.masks.ndim != 3 or not len(self.masks):
            raise GameError(
                f"masks have shape {list(self.masks.shape)}; expected [regions, height, width]"
            )
        names = tuple(self.names) or tuple(f"region {i}" for i in range(len(self.masks)))
        if len(names) != len(self.masks):
            raise GameError(f"{len(self.masks)} regions, but {len(names)} names; give one each")
        empty = [name for name, mask in zip(names, self.masks, strict=True) if not mask.any()]
        if empty:
            raise GameError(f"region {empty[0]!r} has no pixel; leave it out")
        object.__setattr__(self, "names", names)

    @classmethod
    def of_boxes(
        cls,
        boxes: Sequence[tuple[float, float, float, float]],
        size: tuple[int, int],
        *,
        names: tuple[str, ...] = (),
        asked: Asked = "content",
    ) -> Region:
        """Boxes, xyxy in pixels of a picture of this height and width, as regions.

        A pixel belongs to a box that its centre lies in.
        """
        height, width = size
        y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width)[None] + 0.5
        masks = [(x > x0) & (x < x1) & (y > y0) & (y < y1) for x0, y0, x1, y1 in boxes]
        return cls(torch.stack(masks), names, asked)

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """One target a region; what is there with everything (row 0) and nothing (row 1).

        Raises:
            GameError: the model answers no pictures, or a region shows nothing of the drawing.
        """
        if not isinstance(reply, Tensor) or reply.ndim != 4:
            raise GameError(
                "the model answers no pictures: regions are asked of a generator, "
                "sl.RasterGenerator(module)"
            )
        share = self._share(reply)  # [regions, height, width]
        if self.asked == "brightness":
            even = share[:, None].expand(-1, reply.shape[1], -1, -1) / reply.shape[1]
            return BoundTargets(self.names, "brightness", _weighted(even))
        blank = reply[1]
        drawn = share[:, None] * (reply[0] - blank)  # [regions, colours, height, width]
        size = torch.einsum("rchw,chw->r", drawn, reply[0] - blank)
        missing = [n for n, s in zip(self.names, size.tolist(), strict=True) if s < LEAST_CONTENT]
        if missing:
            raise GameError(
                f"the drawing puts nothing into {missing[0]!r}: the picture there is that of an "
                "empty sheet; ask about another region, or for its brightness"
            )
        along = drawn / size[:, None, None, None]
        empty_sheet = torch.einsum("chw,rchw->r", blank, along)
        return BoundTargets(self.names, "content", _weighted(along, less=empty_sheet))

    def _share(self, reply: Tensor) -> Tensor:
        """Each region's pixels, of the picture's size, as shares of 1."""
        masks = covering(self.masks.to(reply.device, reply.dtype), reply)
        return masks / masks.sum((1, 2), keepdim=True)


def covering(
    masks: Float[Tensor, "masks rows columns"], picture: Float[Tensor, "... height width"]
) -> Float[Tensor, "masks height width"]:
    """How much of each pixel of a picture masks of any size cover."""
    if masks.shape[1:] == picture.shape[-2:]:
        return masks
    return F.interpolate(masks[None], picture.shape[-2:], mode="area")[0]


def _weighted(
    weights: Float[Tensor, "regions colours height width"], less: Tensor | None = None
) -> Callable[[Reply], Tensor]:
    """Weighted sums of a picture's pixels, one a region, less a number each."""

    def read(reply: Reply) -> Tensor:
        assert isinstance(reply, Tensor)  # noqa: S101, bind has made sure
        found = torch.einsum("bchw,rchw->br", reply, weights.to(reply))
        return found if less is None else found - less.to(reply)

    return read
