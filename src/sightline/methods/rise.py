"""RISE over parts: the mean of the value over random coalitions that hold a part."""

from __future__ import annotations

import torch

from sightline.budget import Budget
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.coins import toss
from sightline.methods.record import record


def rise(
    game: Game, *, budget: int | str | Budget | None = 1000, keep: float = 0.5, seed: int = 0
) -> Explanation:
    """The mean value of random coalitions that hold a part, for each part.

    Each score is a mean of whole values, so the scores do not share out value - base: a part
    without any effect gets the mean value of all coalitions, and only differences between parts
    mean something.

    Args:
        game: any number of parts.
        budget: evaluations or time. Where it allows all 2^n coalitions they are asked once each,
            weighted by their chance, and the scores are exact.
        keep: chance of each part to be there.
        seed: of the sample.

    Returns:
        Scores, with standard errors in ``errors``.

    Raises:
        GameError: ``keep`` is no chance between 0 and 1.

    Source:
        Petsiuk et al., 2018, eq. 6: S_i = 1 / (keep N) sum_k v(m_k) m_ki. Here masks are
        coalitions of parts, in place of smooth masks on a grid of pixels.
    """
    if not 0 < keep < 1:
        raise GameError(f"keep is {keep}; it is a chance between 0 and 1, such as 0.5")
    limit = Budget.of(budget)
    meter = Meter(game, limit)
    tossed = toss(game, meter, keep=keep, seed=seed)
    each = torch.einsum("kt,kp->tpk", tossed.values, tossed.members / keep)
    scores, notes, rows = each @ tossed.shares, tossed.notes, len(tossed.members)
    errors = None
    if tossed.complete:
        errors = torch.zeros_like(scores)
    elif rows > 1:
        errors = each.std(2) / rows**0.5
    else:
        notes += ("one coalition has no error bars: they need 2",)
    settings = {"budget": budget if isinstance(budget, int | str) else str(limit), "keep": keep}
    return record(
        game, scores, meter, "rise", settings=settings, seed=seed, errors=errors, notes=notes
    )
