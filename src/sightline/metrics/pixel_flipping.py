"""Pixel flipping: what is left of a score as a photo's pixels go, the most important first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sightline.errors import GameError
from sightline.metrics.localisation import Map, read_map

# of pixels flipped: 0, 0.02, ..., 1
RATIOS = np.linspace(0, 1, 51)
CHUNK = 16

Values = Callable[[Bool[Tensor, "rows height width"]], object]


@dataclass(frozen=True, eq=False)
class FlipCurve:
    """A score as pixels are taken away (or, rising, put in), the most important first.

    Args:
        values: the score at each ratio.
        ratios: of pixels flipped, from 0 to 1.
        random: the same for random orders, one a row; there may be none.
        rising: True for insertion: a higher area is better; for deletion a lower one.

    Raises:
        GameError: ratios that do not rise from 0 to 1, or values that do not fit or are not finite.

    Example:
        >>> half = FlipCurve(np.array([0.8, 0.2, 0.0]), np.array([0.0, 0.5, 1.0]))
        >>> round(half.auc, 3), round(half.normalised_auc, 3)
        (0.3, 0.375)
    """

    values: Float[np.ndarray, " ratios"]
    ratios: Float[np.ndarray, " ratios"]
    random: Float[np.ndarray, "orders ratios"] | None = None
    rising: bool = False

    def __post_init__(self) -> None:
        _check_ratios(self.ratios)
        if len(self.ratios) < 2 or self.ratios[0] != 0 or self.ratios[-1] != 1:
            raise GameError("an area needs ratios from 0 to 1, both ends among them")
        rows = [self.values] if self.random is None else [self.values, *self.random]
        if not all(np.isfinite(row).all() for row in rows):
            raise GameError("some values of the curve are not finite: it has no area")

    @cached_property
    def auc(self) -> float:
        """Area under the curve by the trapezoid rule: a mean score."""
        return _area(self.values, self.ratios)

    @property
    def initial(self) -> float:
        """The score of the whole photo: where deletion begins, and where insertion ends."""
        return float(self.values[-1 if self.rising else 0])

    @property
    def normalised_auc(self) -> float | None:
        """Area / score of the whole photo; None where that is not positive (see `reason`)."""
        return None if self.reason else self.auc / self.initial

    @property
    def reason(self) -> str:
        """Why there is no normalised area; empty where there is one."""
        if self.initial > 0:
            return ""
        return f"the whole photo's score is {self.initial:g}: no positive number to divide by"

    @cached_property
    def random_auc(self) -> float | None:
        """Mean area of the random orders."""
        if self.random is None or not len(self.random):
            return None
        return float(np.mean([_area(row, self.ratios) for row in self.random]))

    @property
    def gain(self) -> float | None:
        """How much better than random, in the unit of the score; positive is better."""
        if self.random_auc is None:
            return None
        return (self.auc - self.random_auc) * (1 if self.rising else -1)


def pixel_flipping(
    of_pixels: Map,
    values: Values,
    *,
    rising: bool = False,
    ratios: Float[np.ndarray, " ratios"] = RATIOS,
    orders: int = 1,
    seed: int = 0,
    chunk: int = CHUNK,
) -> FlipCurve:
    """Take pixels away, the most important first, and ask for the score at each ratio.

    Args:
        of_pixels: scores ``[height, width]``.
        values: answers masks ``[rows, height, width]`` of pixels *removed*, rising or not, with one
            score each. What a removed pixel becomes is its affair (detex: grey, 0.5).
        rising: put pixels into nothing instead.
        ratios: of pixels flipped.
        orders: random orders to compare with. Over so many pixels one is enough; where many boxes
            of one photo are measured, ask for none and use `flip_values` once.
        seed: of ties and of random orders.
        chunk: how many masks are made at a time; no number depends on it.

    Raises:
        PhotoError: the map is broken.
        GameError: ratios outside [0, 1] or not rising; answers of another number, or not finite.

    Example:
        >>> truth = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        >>> def score(removed):
        ...     return ((~removed) * truth).sum((1, 2))
        >>> curve = pixel_flipping(truth, score, ratios=np.linspace(0, 1, 5))
        >>> curve.values.tolist(), curve.normalised_auc
        ([1.0, 0.0, 0.0, 0.0, 0.0], 0.125)

    Source:
        Samek et al., 2017; Petsiuk et al., 2018. Protocol of the public program detex (51 ratios,
        trapezoid rule), which flips ``ratio`` of height x width x 3 numbers, so three times the
        ratio, for one-channel maps, and ranks CAMs by the colours of their picture.
    """
    size = _size(of_pixels)
    if orders < 0:
        raise GameError(f"orders is {orders}; expected the number of random orders, from 0")

    def along(order: Int[Tensor, " pixels"]) -> Float[np.ndarray, " ratios"]:
        return flip_values(order, size, values, rising=rising, ratios=ratios, chunk=chunk)

    order = flipping_order(of_pixels, seed)
    own = along(order)
    lucky = [along(o.to(order.device)) for o in random_orders(len(order), orders, seed)]
    return FlipCurve(own, ratios, np.stack(lucky) if lucky else None, rising)


def flipping_order(of_pixels: Map, seed: int = 0) -> Int[Tensor, " pixels"]:
    """Places of pixels, row by row, the most important first; ties in a shuffled order.

    A superpixel is one large tie. Sorted as it stands it would go from top to bottom.

    Raises:
        PhotoError: the map is not ``[height, width]``, or not finite.

    Example:
        >>> flipping_order(np.array([[0.1, -2.0], [0.0, 3.0]])).tolist()
        [3, 0, 2, 1]
    """
    scores = torch.from_numpy(read_map(of_pixels).ravel().copy())
    luck = torch.from_numpy(np.random.default_rng([seed, 0]).permutation(len(scores)))
    order = luck[scores[luck].argsort(descending=True, stable=True)]
    return order.to(of_pixels.device) if isinstance(of_pixels, Tensor) else order


def random_orders(pixels: int, orders: int, seed: int = 0) -> Iterator[Int[Tensor, " pixels"]]:
    """Orders that know nothing, one at a time; the n-th does not depend on how many are asked."""
    for i in range(orders):
        yield torch.from_numpy(np.random.default_rng([seed, 1, i]).permutation(pixels))


def flip_masks(
    order: Int[Tensor, " pixels"],
    ratios: Float[np.ndarray, " ratios"],
    size: tuple[int, int],
) -> Bool[Tensor, "ratios height width"]:
    """Which pixels are flipped: at ratio r exactly the first round(r x pixels) of the order.

    Raises:
        GameError: ratios outside [0, 1] or not rising; an order for another size.

    Example:
        >>> flip_masks(torch.tensor([2, 0, 1]), np.array([0.0, 1 / 3, 1.0]), (1, 3)).int().tolist()
        [[[0, 0, 0]], [[0, 0, 1]], [[1, 1, 1]]]
    """
    _check_ratios(ratios)
    if len(order) != size[0] * size[1]:
        raise GameError(
            f"the order has {len(order)} pixels, a photo of {size[0]} x {size[1]} has "
            f"{size[0] * size[1]}"
        )
    step = torch.empty_like(order)
    step[order] = torch.arange(len(order), device=order.device)
    counts = torch.from_numpy(np.rint(ratios * len(order)).astype(np.int64)).to(order.device)
    return step.view(1, *size) < counts[:, None, None]


def flip_values(
    order: Int[Tensor, " pixels"],
    size: tuple[int, int],
    values: Values,
    *,
    rising: bool = False,
    ratios: Float[np.ndarray, " ratios"] = RATIOS,
    chunk: int = CHUNK,
) -> Float[np.ndarray, " ratios"]:
    """The score along one order; arguments as in `pixel_flipping`.

    Raises:
        GameError: as there.
    """
    if chunk < 1:
        raise GameError(f"chunk is {chunk}; at least 1 mask must be made at a time")
    _check_ratios(ratios)
    asked = []
    for start in range(0, len(ratios), chunk):
        flipped = flip_masks(order, ratios[start : start + chunk], size)
        asked.append(_answers(values(~flipped if rising else flipped), len(flipped)))
    return np.concatenate(asked)


def _answers(given: object, rows: int) -> Float[np.ndarray, " rows"]:
    plain = given.detach().cpu() if isinstance(given, Tensor) else given
    scores = np.asarray(plain, dtype=np.float64)
    if scores.shape != (rows,):
        raise GameError(
            f"values answered {rows} masks with shape {list(scores.shape)}; expected one score a "
            "mask"
        )
    if not np.isfinite(scores).all():
        raise GameError(f"values answered {rows} masks with scores that are not finite")
    return scores


def _size(of_pixels: Map) -> tuple[int, int]:
    height, width = read_map(of_pixels).shape
    return height, width


def _check_ratios(ratios: Float[np.ndarray, " ratios"]) -> None:
    rising = len(ratios) and bool((np.diff(ratios) > 0).all())
    if not rising or not ratios[0] >= 0 or not ratios[-1] <= 1:
        raise GameError("ratios must rise within [0, 1], such as np.linspace(0, 1, 51)")


def _area(values: Float[np.ndarray, " ratios"], ratios: Float[np.ndarray, " ratios"]) -> float:
    return float(((values[1:] + values[:-1]) / 2 * np.diff(ratios)).sum())
