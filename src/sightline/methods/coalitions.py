"""Sampling coalitions for Kernel SHAP: by size, in complementary pairs, without replacement."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST_LISTED = 500_000
"""Pairs times parts up to which a stratum is listed and shuffled; beyond, luck and rejection."""

DRAWN_AT_ONCE = 64
"""Rows that rejection looks at together: fixed, so that a sample does not depend on its rounds."""


@dataclass
class _Stratum:
    """All pairs (a coalition of ``size`` parts, its complement)."""

    parts: int
    size: int
    generator: torch.Generator
    drawn: int = 0
    seen: set[bytes] = field(default_factory=set)
    waiting: list[Tensor] = field(default_factory=list)
    listed: Tensor | None = None

    @property
    def halved(self) -> bool:
        """Whether both members of a pair have this size; part 0 is in the one that we keep."""
        return 2 * self.size == self.parts

    @property
    def pairs(self) -> int:
        """How many pairs there are."""
        return math.comb(self.parts, self.size) // (2 if self.halved else 1)

    @property
    def share(self) -> float:
        """Relative number of draws when sizes are uniform over 1 .. parts - 1."""
        return 0.5 if self.halved else 1.0

    @property
    def mass(self) -> float:
        """Sum of the Shapley kernel over the stratum: (n - 1) / (s (n - s)) per full size."""
        return (self.parts - 1) / (self.size * (self.parts - self.size)) * self.share

    def draw(self, count: int) -> Tensor:
        """``count`` pairs not drawn before, ``[count, parts]``."""
        listed = self.pairs * self.parts <= LARGEST_LISTED
        rows = self._from_list(count) if listed else self._by_luck(count)
        self.drawn += count
        return rows

    def _from_list(self, count: int) -> Tensor:
        if self.listed is None:
            first = range(1, self.parts) if self.halved else range(self.parts)
            chosen = itertools.combinations(first, self.size - (1 if self.halved else 0))
            index = torch.tensor(list(chosen), dtype=torch.int64).reshape(self.pairs, -1)
            rows = torch.zeros(self.pairs, self.parts).scatter_(1, index, 1.0)
            if self.halved:
                rows[:, 0] = 1.0
            self.listed = rows[torch.randperm(self.pairs, generator=self.generator)]
        return self.listed[self.drawn : self.drawn + count]

    def _by_luck(self, count: int) -> Tensor:
        while len(self.waiting) < count:
            luck = torch.rand(DRAWN_AT_ONCE, self.parts, generator=self.generator)
            if self.halved:
                luck[:, 0] = -1.0
            chosen = luck.topk(self.size, 1, largest=False).indices
            for row in torch.zeros(DRAWN_AT_ONCE, self.parts).scatter_(1, chosen, 1.0):
                key = row.to(torch.uint8).numpy().tobytes()
                if key not in self.seen:
                    self.seen.add(key)
                    self.waiting.append(row)
        rows, self.waiting = self.waiting[:count], self.waiting[count:]
        return torch.stack(rows)


class PairedDesign:
    """A growing sample of coalition pairs, the same whatever rounds it is drawn in.

    Each size s and its complement n - s form a stratum. Strata get equal numbers of draws until
    one is exhausted, whose share then goes to the others.

    Args:
        parts: at least 2.
        generator: where all luck comes from.
    """

    def __init__(self, parts: int, generator: torch.Generator) -> None:
        sizes = range(1, parts // 2 + 1)
        self._order = torch.randperm(len(sizes), generator=generator).tolist()
        seeds = torch.randint(2**62, (len(sizes),), generator=generator).tolist()
        self._strata = [
            _Stratum(parts, size, torch.Generator().manual_seed(seed))
            for size, seed in zip(sizes, seeds, strict=True)
        ]
        self.members = torch.zeros(0, parts)
        self._owner = torch.zeros(0, dtype=torch.int64)

    def draw(self, pairs: int) -> Float[Tensor, "fresh parts"]:
        """Draw up to so many more pairs; fewer when all are drawn."""
        fresh, owner = [], []
        for index, count in enumerate(self._allocate(pairs)):
            if count:
                fresh.append(self._strata[index].draw(count))
                owner += [index] * count
        if not fresh:
            return self.members[:0]
        rows = torch.cat(fresh)
        self.members = torch.cat([self.members, rows])
        self._owner = torch.cat([self._owner, torch.tensor(owner)])
        return rows

    @property
    def exhausted(self) -> bool:
        """Whether every pair is drawn."""
        return all(s.drawn == s.pairs for s in self._strata)

    def weights(self) -> Float[Tensor, " pairs"]:
        """Shapley kernel over the chance to be drawn, for each pair."""
        each = [s.mass / max(s.drawn, 1) for s in self._strata]
        return torch.tensor(each, dtype=torch.float64)[self._owner]

    def standard_error(
        self, influence: Float[Tensor, "targets pairs parts"], *, parameters: int
    ) -> Float[Tensor, "targets parts"]:
        """Standard error of a sum of influences under this design.

        Within each stratum the spread of the pairs' influences, with the finite-population
        correction 1 - drawn / all; overall scaled by m / (m - p) for the p fitted parameters.
        """
        variance = influence.new_zeros(influence.shape[0], influence.shape[2])
        for index, stratum in enumerate(self._strata):
            own = influence[:, self._owner == index]
            left = 1 - stratum.drawn / stratum.pairs
            if not own.shape[1] or left <= 0:
                continue
            spread = own.var(1) if own.shape[1] > 1 else own[:, 0] ** 2
            variance += own.shape[1] * left * spread
        count = len(self.members)
        return (variance * count / max(1, count - parameters)).sqrt()

    def _allocate(self, pairs: int) -> list[int]:
        """How many pairs to draw from each stratum so that the totals stay level."""
        counts = [0] * len(self._strata)
        room = [min(s.pairs - s.drawn, pairs) for s in self._strata]
        left = min(pairs, sum(room))
        while left:
            open_strata = [i for i in self._order if counts[i] < room[i]]
            strata = self._strata
            fill = {i: (strata[i].drawn + counts[i]) / strata[i].share for i in open_strata}
            level = min(fill.values())
            for i in open_strata:
                if fill[i] <= level and left:
                    counts[i] += 1
                    left -= 1
        return counts
