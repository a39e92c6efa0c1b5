"""Anchors over parts: the fewest parts that hold the model's answer, whatever the others do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.anchor_search import Arm, Asked, Search
from sightline.methods.record import record
from sightline.methods.shapley import MOST_PARTS

LEAST_BUDGET = 64

LEAST_SCORE = 1e-6
"""Score of a part of the anchor that added no precision: still above those outside."""


def anchors(
    game: Game,
    *,
    budget: int | str | Budget | None = 2000,
    precision: float = 0.95,
    seed: int = 0,
    beam: int = 2,
) -> Explanation:
    """The fewest parts with which the model answers the target, whatever the others do.

    Asked is the model's answer (its highest class), not the target's value: the precision of a set
    of parts is the chance of the target's class with those parts there and each other by a fair
    coin. Coverage, the chance that such a coalition holds the set, is 0.5^size.

    Args:
        game: any number of parts.
        budget: evaluations or time, in equal shares for the targets; an answer is asked once for
            all of them. Where it allows all 2^n coalitions every precision is exact, and the
            smallest anchor is found among all sets. Else they are sampled and searched by beam;
            a set with few coalitions left to draw is asked about all of them.
        precision: to be reached.
        seed: of the coalitions.
        beam: how many sets of each size the search goes on from.

    Returns:
        For parts of the anchor, the precision that they gained when the search added them (at
        least 1e-6, so that they come before the others); 0 outside. The notes give the rule in
        words. Where no anchor is found, scores are those of the set of the highest precision.

    Raises:
        GameError: a precision outside (0, 1], or no beam.

    Source:
        Ribeiro et al., 2018, algorithms 1 and 2: beam search with KL-LUCB (delta 0.05, epsilon
        0.1). Differs: the perturbation takes parts away; the first size with an anchor ends the
        search, since coverage depends on the size alone; the choice of the beam takes its means
        as they are once a size has spent a quarter of the evaluations left.
    """
    if not 0 < precision <= 1:
        raise GameError(f"precision is {precision}; it is a share such as 0.95")
    if beam < 1:
        raise GameError(f"beam is {beam}; it must be at least 1")
    limit = Budget.of(budget)
    _check_budget(game, limit)
    meter = Meter(game, limit)
    asked = Asked(game, meter, limit)
    whole = int(asked.answers(torch.ones(1, len(game.parts), dtype=torch.bool)))
    answer = game.model.labels[whole] if game.model.labels else str(whole)
    rules = []
    for number in range(len(game.targets)):
        search = Search(asked, number, seed=seed, beam=beam)
        arm, reached = search.run(precision)
        rules.append(_Rule(arm, search.beta, None if reached else precision))
    return record(
        game,
        torch.stack([rule.scores(len(game.parts)) for rule in rules]),
        meter,
        "anchors",
        settings={
            "budget": budget if isinstance(budget, int | str) else str(limit),
            "precision": precision,
            "beam": beam,
        },
        seed=seed,
        notes=tuple(
            rule.words(game, target, answer)
            for rule, target in zip(rules, game.targets, strict=True)
        ),
        unit="precision",
    )


def _check_budget(game: Game, limit: Budget) -> None:
    n = len(game.parts)
    if limit == Budget() and n > MOST_PARTS:
        raise GameError(
            f"2^{n} coalitions are too many to ask about all: give anchors a budget (2000, '20s')"
        )
    least = min(2**n, LEAST_BUDGET)
    if limit.evaluations is not None and limit.evaluations < least:
        raise GameError(
            f"anchors of {n} {game.parts.kind} needs at least {least} evaluations, the budget "
            f"allows {limit.evaluations}"
        )


@dataclass(frozen=True, eq=False)
class _Rule:
    """What a search came to; ``missed`` is the precision that no set reached."""

    arm: Arm
    beta: float
    missed: float | None

    def scores(self, parts: int) -> Float[Tensor, " parts"]:
        """What the precision gained with each part of the set, never below `LEAST_SCORE`."""
        scores = torch.zeros(parts, dtype=torch.float64)
        precisions = [*self.arm.before, self.arm.mean]
        for part, (low, high) in zip(self.arm.path, itertools.pairwise(precisions), strict=True):
            scores[part] = max(high - low, LEAST_SCORE)
        return scores

    def words(self, game: Game, target: str, answer: str) -> str:
        """The rule as a sentence; ``answer`` is the model's with everything there."""
        arm, free = self.arm, len(game.parts) - len(self.arm.path)
        low, high = arm.bounds(self.beta)
        interval = "" if arm.exact else f" [{100 * low:.0f}, {100 * high:.0f}]"
        every = "all " if arm.exact else ""
        names = ", ".join(game.parts.names[i] for i in arm.path)
        held = f"{target} in {100 * arm.mean:.3g} %{interval} of {every}2^{free} coalitions"
        rule = f"{names}: {held}; coverage {100 * 0.5 ** len(arm.path):.2g} %"
        if self.missed is None:
            return f"anchor: {rule}" if names else f"no part is needed: {held}"
        # everything there is an anchor of its own answer: only the budget keeps the search from it
        why = f" (with everything there the answer is {answer})"
        why = " within the budget" if answer == target else why
        if not arm.hits.any():
            return f"no anchor was found for {target}{why}: it was never the answer to a draw"
        best = rule if names else f"no part: {held}"
        return f"no anchor reaches {100 * self.missed:.3g} %{why}; best found: {best}"
