"""Coalitions by the toss of a coin, for LIME and RISE: a sample of them, or all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError
from sightline.game import Game, Meter
from sightline.methods.shapley import MOST_PARTS, all_coalitions

FIRST_LOOK = 64
"""Evaluations after which a budget in time knows what an evaluation costs."""


@dataclass(frozen=True)
class Tossed:
    """Coalitions in which each part is there by a coin, and their values.

    ``shares`` sum to 1: equal in a sample; where all coalitions are there, their chances.
    """

    members: Float[Tensor, "rows parts"]
    values: Float[Tensor, "rows targets"]
    shares: Float[Tensor, " rows"]
    complete: bool
    notes: tuple[str, ...] = ()


def toss(game: Game, meter: Meter, *, keep: float, seed: int) -> Tossed:
    """Ask about coalitions that hold each part with the chance ``keep``.

    As soon as the budget allows all 2^n coalitions, each is asked once and weighs its chance: what
    a sample would come to. Everything and nothing are known already.

    Raises:
        GameError: no budget, and too many parts to ask about all coalitions.
    """
    n = len(game.parts)
    luck = torch.Generator().manual_seed(seed)
    members, values, spent = [], [], 0
    while True:
        room = _room(game, meter, spent)
        if 2**n <= room:
            return _all(game, keep)
        timed = meter.seconds_left is not None
        count = min(room, max(FIRST_LOOK, spent // 2)) if timed else room
        if count <= 0:
            break
        members.append((torch.rand(count, n, generator=luck) < keep).float())
        values.append(game(members[-1]))
        spent += count
    in_time = meter.budget is None or spent == meter.budget.evaluations
    notes = () if in_time else (f"stopped after {meter.seconds:.1f} s, as the budget says",)
    shares = torch.full((spent,), 1 / spent, dtype=torch.float64)
    return Tossed(torch.cat(members).double(), torch.cat(values), shares, False, notes)


def _all(game: Game, keep: float) -> Tossed:
    members = all_coalitions(len(game.parts)).double()
    between = [game(members[1:-1])] if len(members) > 2 else []
    values = torch.cat([game.base[None], *between, game.value[None]])
    size = members.sum(1)
    chance = keep**size * (1 - keep) ** (members.shape[1] - size)
    note = f"all 2^{members.shape[1]} coalitions, each by its chance: no sampling error"
    return Tossed(members, values, chance, True, (note,))


def _room(game: Game, meter: Meter, spent: int) -> int:
    """Evaluations that the budget still allows."""
    limit, rooms = meter.budget, []
    if limit is not None and limit.evaluations is not None:
        rooms.append(limit.evaluations - spent)
    left = meter.seconds_left
    if left is not None:
        rooms.append(int(max(left, 0) * spent / meter.seconds) if spent else FIRST_LOOK)
    if rooms:
        return min(rooms)
    if len(game.parts) > MOST_PARTS:
        raise GameError(
            f"2^{len(game.parts)} coalitions of {len(game.parts)} {game.parts.kind} are too many "
            "to ask about all: give a budget (1000, '20s')"
        )
    return 2**MOST_PARTS
