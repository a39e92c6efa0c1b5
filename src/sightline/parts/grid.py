"""Cells of a grid over the picture as parts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError
from sightline.models.protocol import PictureModel
from sightline.parts.bound import Bound, Noise, batch_of, ink_of, noisy, prepared, unfit
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True, eq=False)
class GridCells:
    """The cells of a grid over a picture model's square canvas, row by row from the top left.

    An absent cell is blank paper: presence multiplies the ink in it. With as many rows and columns
    as the picture has pixels, cells are pixels.

    Convention:
        The canvas is [-1, 1] x [-1, 1] in the normalised frame, x to the right, y down. A pixel
        belongs to the cell that holds its centre; a centre on a border to the later cell.

    Args:
        sketch: the drawing.
        rows: from top to bottom.
        columns: from left to right.

    Raises:
        GameError: no row or no column.

    Example:
        >>> dash = Sketch.from_strokes([[(0, 0), (1, 0)]])
        >>> GridCells(dash, 2, 2).names[2]
        'row 2 column 1'
    """

    sketch: Sketch
    rows: int
    columns: int
    kind = "grid cells"

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise GameError(
                f"a grid of {self.rows} x {self.columns} cells: give at least 1 row and 1 column"
            )

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
        """The drawing as ``model`` sees it with cells partly blank."""
        if not isinstance(model, PictureModel):
            raise unfit(model, self.kind)
        size = model.rasteriser.size
        if max(self.rows, self.columns) > size:
            raise GameError(
                f"{self.rows} x {self.columns} grid cells on pictures of {size} x {size} pixels: "
                f"some would hold no pixel; give at most {size} rows and columns"
            )
        return _Cells(model, batch_of(model, prepared(model, self.sketch)), self)


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

    def ink(self) -> Float[Tensor, "height width"]:
        """All cells."""
        return self._ink
