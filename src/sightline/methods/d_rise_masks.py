"""The masks of RISE and D-RISE, and the sum of masks weighted by what a model said."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError

GRID = (16, 16)
CHUNK = 64
"""Masks at once: 23 MB of 300 x 300."""


def masks(
    count: int,
    size: tuple[int, int],
    *,
    grid: tuple[int, int] = GRID,
    keep: float = 0.5,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "count height width"]:
    """Random smooth masks: coarse grids of coins, enlarged, each at an offset of its own.

    Drawing 5 and then 3 more of one generator gives the same masks as drawing 8.

    Args:
        count: how many.
        size: height and width.
        grid: rows and columns of coins.
        keep: chance that a cell is there (1) rather than gone (0); the mean of every pixel.
        generator: the luck, on the CPU, whatever ``device`` is.
        device: where the masks are made.

    Returns:
        In [0, 1]: how much of each pixel is there.

    Raises:
        GameError: no such size, grid or chance.

    Example:
        >>> drawn = masks(5, (30, 40), grid=(4, 4), generator=torch.Generator().manual_seed(16))
        >>> drawn.shape
        torch.Size([5, 30, 40])

    Source:
        Petsiuk et al., BMVC 2018, section 3.2; D-RISE, CVPR 2021, section 3.3. A grid is enlarged
        to (rows + 1) x (columns + 1) cells of ceil(size / grid) pixels and cropped at a random
        offset below one cell. The paper rounds cells down, which leaves some sizes uncovered; the
        authors' program rounds up, as here. Its interpolation reflects at the border of the
        enlarged grid; here the outermost coins are held.
    """
    _check(count, size, grid, keep)
    cell = (-(-size[0] // grid[0]), -(-size[1] // grid[1]))
    coins, offsets = _drawn(count, grid, cell, keep, generator)
    # across first, while there are few rows: then whole rows are copied, which is fast
    across = _enlarged(coins.to(device).mT, offsets[:, 1], cell[1], size[1]).mT
    return _enlarged(across, offsets[:, 0], cell[0], size[0])


def stream_masks(
    count: int,
    size: tuple[int, int],
    *,
    grid: tuple[int, int] = GRID,
    keep: float = 0.5,
    generator: torch.Generator,
    chunk: int = CHUNK,
    device: torch.device | str = "cpu",
) -> Iterator[Float[Tensor, "chunk height width"]]:
    """The same masks, at most ``chunk`` of them in memory at a time.

    Raises:
        GameError: as `masks`, or a chunk of none.

    Example:
        >>> luck = torch.Generator().manual_seed(16)
        >>> [len(some) for some in stream_masks(150, (30, 40), generator=luck)]
        [64, 64, 22]
    """
    _check(count, size, grid, keep)
    if chunk < 1:
        raise GameError(f"chunk is {chunk}; it must be at least 1")
    for first in range(0, count, chunk):
        some = min(chunk, count - first)
        yield masks(some, size, grid=grid, keep=keep, generator=generator, device=device)


class Saliency:
    """The mean of masks, each weighted by what the model said of the picture under it.

    Sums are in float64, so the order and the size of the chunks change nothing beyond the last
    digits (1e-12 of the result).

    Args:
        keep: the chance with which the masks were drawn: the mean of every pixel.

    Raises:
        GameError: ``keep`` is no chance.

    Example:
        >>> saliency = Saliency(keep=0.5)
        >>> left, right = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> saliency.add(torch.tensor([[0.75], [0.25]]), torch.stack([left, right]))
        >>> saliency.map().tolist()  # 0.75 with the left pixel, 0.25 with the right
        [[[0.75, 0.25]]]

    Source:
        Petsiuk et al., BMVC 2018, eq. 6: S = 1 / (N p) sum_k v_k m_k.
    """

    def __init__(self, *, keep: float = 0.5) -> None:
        _check_keep(keep)
        self.keep = keep
        self.count = 0
        self._sum: Tensor | None = None
        self._squares: Tensor | None = None

    def add(
        self, values: Float[Tensor, "rows targets"], masks: Float[Tensor, "rows height width"]
    ) -> None:
        """Take in what the model said under some masks.

        Raises:
            GameError: another number of targets, or another size, than before; a value that is
                no number.
        """
        shape = (values.shape[1], *masks.shape[1:])
        if self._sum is not None and tuple(self._sum.shape) != shape:
            raise GameError(
                f"values and masks of shape {list(shape)} (targets, height, width) after "
                f"{list(self._sum.shape)}; a map takes one shape: make another Saliency"
            )
        if not bool(values.isfinite().all()):
            row = int((~values.isfinite()).any(1).nonzero()[0])
            raise GameError(f"the value under mask {self.count + row} is no finite number")
        weights, flat = values.to(masks.device).double().T, masks.double().flatten(1)
        added, squared = weights @ flat, weights.square() @ flat.square()
        self._sum = _plus(self._sum, added.reshape(shape))
        self._squares = _plus(self._squares, squared.reshape(shape))
        self.count += len(masks)

    def map(self) -> Float[Tensor, "targets height width"]:
        """The mean so far, float64; only differences between places mean something.

        Raises:
            GameError: nothing was added.
        """
        return self._added(1)[0] / (self.count * self.keep)

    def errors(self) -> Float[Tensor, "targets height width"]:
        """The standard error of each pixel of the map.

        Raises:
            GameError: fewer than two masks were added.
        """
        total, squares = self._added(2)
        spread = (squares - total.square() / self.count).clamp(min=0) / (self.count - 1)
        return (spread / self.count).sqrt() / self.keep

    def _added(self, least: int) -> tuple[Tensor, Tensor]:
        if self._sum is None or self._squares is None or self.count < least:
            what = "a map needs a mask" if least == 1 else "error bars need two masks"
            raise GameError(f"{what} and {self.count} came; call add first")
        return self._sum, self._squares


def _drawn(
    count: int,
    grid: tuple[int, int],
    cell: tuple[int, int],
    keep: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Coins ``[count, rows, columns]`` and offsets ``[count, 2]``.

    One draw a mask, so that a mask does not depend on how many are drawn with it.
    """
    places = grid[0] * grid[1]
    each = [torch.rand(places + 2, generator=generator, dtype=torch.float64) for _ in range(count)]
    luck = torch.stack(each)
    coins = (luck[:, :places] < keep).float().reshape(count, *grid)
    return coins, (luck[:, places:] * torch.tensor(cell)).long()


def _enlarged(
    coins: Float[Tensor, "count cells across"], offset: Tensor, cell: int, length: int
) -> Float[Tensor, "count length across"]:
    """Linear between the centres of the enlarged cells, along the first axis after the count.

    One plain operation after another, each rounded alone: neither a product of matrices nor a
    fused one, whose last digit may depend on the number of masks.
    """
    count, cells, width = coins.shape
    pixel = offset[:, None] + torch.arange(length) + 0.5
    place = (pixel.double() * cells / ((cells + 1) * cell) - 0.5).clamp(0, cells - 1)
    low = place.floor().long()
    first = cells * torch.arange(count)[:, None]
    rows = coins.reshape(-1, width)
    near, far = (
        rows.index_select(0, (first + index).flatten().to(rows.device))
        for index in (low, (low + 1).clamp(max=cells - 1))
    )
    share = (place - low).to(rows).reshape(-1, 1)
    return far.sub_(near).mul_(share).add_(near).reshape(count, length, width)


def _plus(sofar: Tensor | None, added: Tensor) -> Tensor:
    return added if sofar is None else sofar + added


def _check(count: int, size: tuple[int, int], grid: tuple[int, int], keep: float) -> None:
    if count < 1:
        raise GameError(f"{count} masks; draw at least 1")
    if min(size) < 1 or min(grid) < 1:
        raise GameError(
            f"masks of {size[0]} x {size[1]} pixels from a grid of {grid[0]} x {grid[1]}; both "
            "need at least one row and one column"
        )
    _check_keep(keep)


def _check_keep(keep: float) -> None:
    if not 0 < keep < 1:
        raise GameError(f"keep is {keep}; it is a chance between 0 and 1, such as 0.5")
