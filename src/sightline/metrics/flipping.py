"""Deletion and insertion: does the score follow the ranking that an explanation gives?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game

RANDOM_ORDERS = 32


@dataclass(frozen=True, eq=False)
class Curve:
    """A target's value as parts are taken away, or put in, one after another.

    Args:
        values: at 0, 1, ..., n parts changed, in ``unit``.
        random: the same for random orders, one a row.
        rising: True for insertion: a higher area is better; for deletion a lower one.
    """

    values: Float[np.ndarray, " steps"]
    random: Float[np.ndarray, "orders steps"]
    unit: str
    rising: bool

    @cached_property
    def auc(self) -> float:
        """Area under the curve over the share of parts changed (trapezoid rule): a mean value."""
        return float(areas(self.values[None])[0])

    @cached_property
    def random_auc(self) -> float:
        """Mean area of the random orders."""
        return float(areas(self.random).mean())

    @cached_property
    def gain(self) -> float:
        """How much better than random, in the unit of the value; positive is better."""
        return (self.auc - self.random_auc) * (1 if self.rising else -1)


def deletion(
    game: Game,
    why: Explanation,
    *,
    target: str | int = 0,
    orders: int = RANDOM_ORDERS,
    seed: int = 0,
) -> Curve:
    """Take parts away, the most important first; a true explanation makes the value fall fast.

    Args:
        game: what to measure with: the explained parts, and the explained target among its own.
        why: ranks the parts.
        target: which of the explained targets.
        orders: random orders to compare with.
        seed: of the random orders.

    Raises:
        GameError: the explanation is of other parts or targets.

    Source:
        Petsiuk et al., 2018 (deletion and insertion); Samek et al., 2017 (pixel flipping).
    """
    return _curve(game, why, target, orders, seed, rising=False)


def insertion(
    game: Game,
    why: Explanation,
    *,
    target: str | int = 0,
    orders: int = RANDOM_ORDERS,
    seed: int = 0,
) -> Curve:
    """Put parts into nothing, the most important first; arguments as in `deletion`."""
    return _curve(game, why, target, orders, seed, rising=True)


def _curve(
    game: Game, why: Explanation, target: str | int, orders: int, seed: int, *, rising: bool
) -> Curve:
    name = why.targets[why.target(target)]
    if len(why.parts) != len(game.parts) or why.parts.kind != game.parts.kind:
        raise GameError(
            f"the explanation scores {len(why.parts)} {why.parts.kind}, the game has "
            f"{len(game.parts)} {game.parts.kind}; carry it over with why.on(game.parts)"
        )
    if name not in game.targets:
        raise GameError(f"the game does not ask about {name!r}; it asks {', '.join(game.targets)}")
    if orders < 1:
        raise GameError(f"orders is {orders}; at least 1 random order is needed to compare with")
    generator = torch.Generator().manual_seed(seed)
    count = len(game.parts)
    lucky = [torch.randperm(count, generator=generator).tolist() for _ in range(orders)]
    paths = torch.stack([presence_along(o, rising=rising) for o in [why.ranking(target), *lucky]])
    # the same coalitions come again and again in a small game: each is asked once
    asked, place = torch.unique(paths.flatten(0, 1), dim=0, return_inverse=True)
    values = game(asked)[:, game.targets.index(name)][place].view(paths.shape[:2]).numpy()
    return Curve(values[0], values[1:], game.unit, rising)


def areas(curves: Float[np.ndarray, "curves steps"]) -> Float[np.ndarray, " curves"]:
    """The trapezoid rule on [0, 1]: the mean height of the steps."""
    return (curves[:, :-1] + curves[:, 1:]).mean(1) / 2


def presence_along(order: list[int], *, rising: bool) -> Float[Tensor, "steps parts"]:
    """Presence as the parts of ``order`` are put in (rising) or taken away, one a step.

    Example:
        >>> presence_along([1, 0], rising=False).tolist()
        [[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """
    step = torch.empty(len(order), dtype=torch.int64)
    step[torch.tensor(order, dtype=torch.int64)] = torch.arange(len(order))
    changed = torch.arange(len(order) + 1)[:, None] > step
    return (changed if rising else ~changed).float()
