"""The search for an anchor: beam search over sets of parts, with bounds on their precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from sightline.budget import Budget
from sightline.game import Game, Meter
from sightline.methods.shapley import MOST_PARTS, all_coalitions

FAILURE = 0.05
"""Chance that a bound fails (delta of the paper)."""

NEAR_BEST = 0.1
"""How much precision a member of the beam may lack of the best (epsilon of the paper)."""

NEAR_PRECISION = 0.05
"""How far below the precision asked for the lower bound of an anchor may lie."""

FIRST_LOOK, ONE_LOOK = 128, 32
"""Coalitions drawn of a set before it is extended, which its successors share; and of a rival."""

LARGEST_SHARE = 4
"""One size of sets may spend at most one in so many of the evaluations left on choosing a beam."""


def kl_bounds(mean: float, rows: int, beta: float) -> tuple[float, float]:
    """The interval of chances q with rows x KL(mean, q) <= beta, by bisection.

    Example:
        >>> [round(q, 3) for q in kl_bounds(0.9, 100, 3.0)]
        [0.811, 0.958]
    """
    if not rows:
        return 0.0, 1.0
    bounds = []
    for end in (0.0, 1.0):
        inside, outside = mean, end
        for _ in range(30):
            middle = (inside + outside) / 2
            sides = ((mean, middle), (1 - mean, 1 - middle))
            if rows * sum(p * math.log(p / q) for p, q in sides if p > 0) <= beta:
                inside = middle
            else:
                outside = middle
        bounds.append(inside)
    return bounds[0], bounds[1]


@dataclass(eq=False)
class Arm:
    """A set of parts, in the order the search added them, and what was seen of it.

    ``rows`` are coalitions that hold the set, ``hits`` whether the answer was the target's class;
    ``before`` holds the precision that the search saw before it added each part.
    """

    path: tuple[int, ...]
    rows: Bool[Tensor, "rows parts"]
    hits: Bool[Tensor, " rows"]
    before: tuple[float, ...] = ()
    exact: bool = False

    @property
    def mean(self) -> float:
        """Precision, as seen; 0 where nothing was."""
        return float(self.hits.double().mean()) if len(self.hits) else 0.0

    def bounds(self, beta: float) -> tuple[float, float]:
        """Of the precision; a point where all coalitions were asked."""
        return (self.mean, self.mean) if self.exact else kl_bounds(self.mean, len(self.hits), beta)

    def with_part(self, part: int) -> Arm:
        """One more part there; what was seen of coalitions that hold it is kept."""
        held = self.rows[:, part]
        path, before = (*self.path, part), (*self.before, self.mean)
        return Arm(path, self.rows[held], self.hits[held], before, self.exact)


class Asked:
    """The model's answers, each coalition asked once, within the budget."""

    def __init__(self, game: Game, meter: Meter, budget: Budget) -> None:
        self.game, self.meter, self.budget = game, meter, budget
        self._known: dict[bytes, int] = {}

    def answers(self, rows: Bool[Tensor, "rows parts"]) -> Tensor:
        """Class that each row is given."""
        new = self._unknown(rows)
        if new:
            fresh = self.game.answers(rows[list(new.values())].float())
            self._known.update(zip(new, fresh.tolist(), strict=True))
        return torch.tensor([self._known[row.tobytes()] for row in rows.numpy()])

    def affords(self, rows: Bool[Tensor, "rows parts"], share: float) -> bool:
        """Whether a share of the budget is enough for these rows."""
        return len(self._unknown(rows)) <= self.room(share)

    def affords_all(self) -> bool:
        """Whether the budget is enough for all coalitions."""
        return 2 ** len(self.game.parts) - len(self._known) <= self.room(1.0)

    def room(self, share: float) -> int:
        """Evaluations left of a share of the budget."""
        spent, rooms = self.meter.evaluations, [2**MOST_PARTS]
        if self.budget.evaluations is not None:
            rooms = [int(share * self.budget.evaluations) - spent]
        if self.budget.seconds is not None:
            left = share * self.budget.seconds - self.meter.seconds
            rooms.append(int(left * spent / self.meter.seconds) if spent else FIRST_LOOK)
        return max(0, min(rooms))

    def _unknown(self, rows: Tensor) -> dict[bytes, int]:
        keys = (row.tobytes() for row in rows.numpy())
        return {key: index for index, key in enumerate(keys) if key not in self._known}


class Search:
    """The search for one target's anchor."""

    def __init__(self, asked: Asked, number: int, *, seed: int, beam: int) -> None:
        self.asked, self.beam, self.spent = asked, beam, False
        self.luck = torch.Generator().manual_seed(seed)
        self.parts, self.wanted = len(asked.game.parts), asked.game.classes[number]
        self.share = (number + 1) / len(asked.game.targets)
        # of the bounds that decide: at most beam - 1 sets at each of as many sizes as parts
        self.beta = math.log((1 + (beam - 1) * self.parts) / FAILURE)

    def run(self, precision: float) -> tuple[Arm, bool]:
        """The best anchor of the smallest size, and True; else the best set, and False."""
        arms, best = [self._empty()], []
        while arms:
            chosen = self._chosen(arms)
            best += chosen[:1]
            for arm in chosen:
                if self._reaches(arm, precision):
                    return arm, True
            if self.spent:
                break
            arms = self._successors(chosen)
        return max(best, key=lambda arm: arm.mean), False

    def _empty(self) -> Arm:
        nothing = torch.zeros(0, self.parts, dtype=torch.bool)
        arm = Arm((), nothing, nothing[:, 0])
        self._prepare([arm])
        if self.asked.affords_all():
            self.beam = 2**self.parts  # every precision is known: no set is left out
            self._see(arm, self._listed(arm), exact=True)
        return arm

    def _chosen(self, arms: list[Arm]) -> list[Arm]:
        """The sets of the highest precision, the best first (KL-LUCB, as far as its share goes)."""

        def ranked() -> list[Arm]:
            return sorted(arms, key=lambda arm: -arm.mean)

        turn, least = 1, self.asked.room(self.share) * (LARGEST_SHARE - 1) // LARGEST_SHARE
        while len(arms) > self.beam and self.asked.room(self.share) > least:
            top, rest = ranked()[: self.beam], ranked()[self.beam :]
            doubt = math.log(405.5 * len(arms) * turn**1.1 / FAILURE)
            beta = doubt + math.log(doubt)
            weakest = min(top, key=lambda arm: arm.bounds(beta)[0])
            rival = max(rest, key=lambda arm: arm.bounds(beta)[1])
            if rival.bounds(beta)[1] - weakest.bounds(beta)[0] <= NEAR_BEST:
                break
            if not self._look([weakest, rival]):
                break
            turn += 1
        return ranked()[: self.beam]

    def _reaches(self, arm: Arm, precision: float) -> bool:
        """Whether a set is an anchor; looked at until that is clear, or the budget is spent."""
        while True:
            low, high = arm.bounds(self.beta)
            if arm.mean < precision and high < precision + NEAR_PRECISION:
                return False
            if arm.mean >= precision and low >= precision - NEAR_PRECISION:
                return True
            if not self._look([arm]):
                return False

    def _successors(self, chosen: list[Arm]) -> list[Arm]:
        """All sets of one part more; one that is reached twice keeps the better one's order."""
        self._prepare(chosen)
        found: dict[frozenset[int], tuple[Arm, int]] = {}
        for arm in chosen:
            for part in self._outside(arm):
                found.setdefault(frozenset((*arm.path, part)), (arm, part))
        return [arm.with_part(part) for arm, part in found.values()]

    def _prepare(self, arms: list[Arm]) -> None:
        """Coalitions for the successors to share: each holds half of the parts outside."""
        count = min(FIRST_LOOK, self.asked.room(self.share) // LARGEST_SHARE)
        self._look([arm for arm in arms if len(arm.hits) < count], count)

    def _look(self, arms: list[Arm], count: int = ONE_LOOK) -> bool:
        """Draw more coalitions of each set, or list them where they are no more than that."""
        open_arms = [arm for arm in arms if not arm.exact]
        few = [2 ** (self.parts - len(arm.path)) <= len(arm.hits) + count for arm in open_arms]
        rows = [
            self._listed(arm) if is_few else self._drawn(arm, count)
            for arm, is_few in zip(open_arms, few, strict=True)
        ]
        if rows and self.asked.affords(torch.cat(rows), self.share):
            self.asked.answers(torch.cat(rows))  # all in one go
            for arm, seen, is_few in zip(open_arms, rows, few, strict=True):
                self._see(arm, seen, exact=is_few)
        elif rows:
            self.spent = True
        return not self.spent

    def _see(self, arm: Arm, rows: Tensor, *, exact: bool) -> None:
        hits = self.asked.answers(rows) == self.wanted
        arm.rows = rows if exact else torch.cat([arm.rows, rows])
        arm.hits = hits if exact else torch.cat([arm.hits, hits])
        arm.exact = exact

    def _drawn(self, arm: Arm, count: int) -> Bool[Tensor, "rows parts"]:
        rows = torch.rand(count, self.parts, generator=self.luck) < 0.5
        rows[:, list(arm.path)] = True
        return rows

    def _listed(self, arm: Arm) -> Bool[Tensor, "rows parts"]:
        others = self._outside(arm)
        rows = torch.ones(2 ** len(others), self.parts, dtype=torch.bool)
        rows[:, others] = all_coalitions(len(others)).bool()
        return rows

    def _outside(self, arm: Arm) -> list[int]:
        return [part for part in range(self.parts) if part not in arm.path]
