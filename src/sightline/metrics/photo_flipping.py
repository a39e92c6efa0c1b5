"""Pixel flipping of an explained photo: pixels go at the size that the network reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.carry import is_same_photo
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.metrics.pixel_flipping import (
    RATIOS,
    FlipCurve,
    flip_values,
    flipping_order,
    random_orders,
)
from sightline.parts import BoundPhoto


def photo_flipping(
    game: Game,
    why: Explanation,
    *,
    target: str | int = 0,
    rising: bool = False,
    ratios: Float[np.ndarray, " ratios"] = RATIOS,
    seed: int = 0,
) -> FlipCurve:
    """Take pixels of a photo away, those under the highest scores first.

    A flipped pixel becomes what the game's parts become when absent; grey 0.5 is detex's protocol.
    Whatever the parts of the explanation are, pixels are ranked by `Explanation.heat`, so methods
    on superpixels and on grids meet on equal terms.

    Args:
        game: of the photo; its targets hold the explained one.
        why: ranks the pixels.
        target: which of the explained targets.
        rising: put pixels into nothing instead.
        ratios: of pixels flipped.
        seed: of ties.

    Raises:
        GameError: a game of a drawing, or an explanation of other targets or of another photo.

    Source:
        As `sightline.metrics.pixel_flipping`.
    """
    bound, name = _photo_of(game), why.targets[why.target(target)]
    if name not in game.targets:
        raise GameError(f"the game does not ask about {name!r}; it asks {', '.join(game.targets)}")
    if not is_same_photo(why.parts.subject, game.parts.subject):
        raise GameError("the explanation is of another photo than the game")
    of_pixels = _on_picture(bound, torch.from_numpy(why.heat(target)))
    order = flipping_order(of_pixels, seed)
    column = game.targets.index(name)
    play = _answering(game, bound)
    values = flip_values(
        order,
        (of_pixels.shape[0], of_pixels.shape[1]),
        lambda masks: play(masks)[:, column],
        rising=rising,
        ratios=ratios,
        chunk=game.rows_at_once,
    )
    return FlipCurve(values, ratios, rising=rising)


def random_flipping(
    game: Game,
    *,
    orders: int = 1,
    rising: bool = False,
    ratios: Float[np.ndarray, " ratios"] = RATIOS,
    seed: int = 0,
) -> Float[np.ndarray, "orders ratios targets"]:
    """Values of all targets along random orders of pixels: what every ranking must beat."""
    bound = _photo_of(game)
    rows, columns = bound.covered
    size = (rows.stop - rows.start, columns.stop - columns.start)
    play = _answering(game, bound)
    found = []
    for order in random_orders(size[0] * size[1], orders, seed):
        kept: list[Tensor] = []

        def first(masks: Tensor, kept: list[Tensor] = kept) -> Tensor:
            kept.append(play(masks))
            return kept[-1][:, 0]

        flip_values(order, size, first, rising=rising, ratios=ratios, chunk=game.rows_at_once)
        found.append(torch.cat(kept).numpy())
    return np.stack(found)


def _photo_of(game: Game) -> BoundPhoto:
    if isinstance(game.bound, BoundPhoto):
        return game.bound
    raise GameError("pixel flipping is of photos; for strokes use sl.deletion and sl.insertion")


def _answering(
    game: Game, bound: BoundPhoto
) -> Callable[[Bool[Tensor, "rows height width"]], Float[Tensor, "rows targets"]]:
    """Values of masks of removed pixels of the part of the picture that the photo covers."""
    rows, columns = bound.covered

    def play(removed: Tensor) -> Tensor:
        shown = torch.ones(len(removed), *bound.region.shape)
        shown[:, rows, columns] = (~removed).float()
        return game.inside(shown, under)

    def under(shown: Tensor) -> Tensor:
        with torch.no_grad():
            return game.read(bound.see(bound.composed(shown)), rows=len(shown))

    return play


def _on_picture(
    bound: BoundPhoto, heat: Float[Tensor, "height width"]
) -> Float[Tensor, "rows columns"]:
    rows, columns = bound.covered
    return heat.flatten()[bound.source[rows, columns].clamp(min=0)]
