"""Cells of a grid over a drawing's canvas or a photo as parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError
from sightline.image.photo import Photo
from sightline.models.place import batch_for
from sightline.models.protocol import PictureModel
from sightline.parts.bound import Bound, Noise, ink_of, noisy, prepared, unfit
from sightline.parts.photo import Absent, BoundPhoto, check_absent
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True, eq=False)
class GridCells:
    """The cells of a grid over a picture model's canvas or a photo, row by row from the top left.

    An absent cell of a drawing is blank paper: presence multiplies the ink in it. What stands in
    for an absent cell of a photo is a choice. With as many rows and columns as the picture has
    pixels, cells are pixels.

    Convention:
        The canvas of a drawing is [-1, 1] x [-1, 1] in the normalised frame; that of a photo is the
        photo. x to the right, y down. A pixel belongs to the cell that holds its centre; a centre
        on a border to the later cell.

    Args:
        subject: the drawing, or the photo.
        rows: from top to bottom.
        columns: from left to right.
        absent: of a photo, what stands in for absent cells, as in `Superpixels`.

    Raises:
        GameError: no row or no column, or more than a photo has pixels.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]])
        >>> GridCells(dash, 2, 2).names[2]
        'row 2 column 1'
    """

    subject: Sketch | Photo
    rows: int
    columns: int
    absent: Absent = "grey"
    kind = "grid cells"

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise GameError(
                f"a grid of {self.rows} x {self.columns} cells: give at least 1 row and 1 column"
            )
        if isinstance(self.subject, Photo):
            check_absent(self.absent)
            self._check_room(self.subject.size)

    def __len__(self) -> int:
        return self.rows * self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """One name a cell, counted from 1."""
        rows, columns = range(1, self.rows + 1), range(1, self.columns + 1)
        return tuple(f"row {row} column {column}" for row in rows for column in columns)

    def of_pixels(self, height: int, width: int) -> Int[Tensor, "height width"]:
        """Index of the cell that each pixel of a picture belongs to."""
        row = ((torch.arange(height) * 2 + 1) * self.rows).div(2 * height, rounding_mode="floor")
        column = ((torch.arange(width) * 2 + 1) * self.columns).div(
            2 * width, rounding_mode="floor"
        )
        return row[:, None] * self.columns + column

    def bind(self, model: object) -> Bound:
        """The drawing or photo as ``model`` sees it with cells partly absent."""
        if isinstance(self.subject, Photo):
            of_pixels = self.of_pixels(*self.subject.size)
            return BoundPhoto(model, self.subject, of_pixels, self.absent)
        if not isinstance(model, PictureModel):
            raise unfit(model, self.kind)
        size = model.rasteriser.size
        self._check_room((size, size))
        return _Cells(model, batch_for(model, [prepared(model, self.subject)]), self)

    def _check_room(self, size: tuple[int, int]) -> None:
        if self.rows > size[0] or self.columns > size[1]:
            raise GameError(
                f"{self.rows} x {self.columns} grid cells on pictures of {size[0]} x {size[1]} "
                f"pixels: some would hold no pixel; give at most {size[0]} rows and {size[1]} "
                "columns"
            )


class _Cells(Bound):
    """Cells of a picture: the ink is there once, presence multiplies it."""

    def __init__(self, model: PictureModel, batch: SketchBatch, cells: GridCells) -> None:
        self.model = model
        self._ink = ink_of(model, batch)
        self._cell = cells.of_pixels(*self._ink.shape).to(self._ink.device)

    def __call__(
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Tensor:
        shown = presence.to(self._ink.dtype)[:, self._cell] * self._ink
        return self.model.see(noisy(shown, noise))

    def picture(self) -> Float[Tensor, "height width"]:
        """All cells."""
        return self._ink

    def see(self, pictures: Float[Tensor, "pictures height width"]) -> Tensor:
        """Logits of pictures of ink."""
        return self.model.see(pictures)
