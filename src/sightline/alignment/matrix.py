"""The reasonability matrix: is the answer right, and did the model look where it should?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sightline.alignment.verdicts import CELLS, Verdicts
from sightline.errors import AlignmentError
from sightline.metrics.intervals import Z95, Interval, wilson

if TYPE_CHECKING:
    from sightline.alignment.moves import Moves

PROPOSED = "proposed by the program, not said by people"
_NO_ITEMS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Association:
    """Whether being reasonable goes with being accurate.

    Args:
        odds_ratio: odds of an accurate answer where the map is reasonable, over those where it is
            not; 1 where neither tells of the other. With Woolf's 95 % interval; where a cell is
            empty, half an item is added to each (Haldane and Anscombe).
        p_value: of Fisher's exact test, two-sided.
    """

    odds_ratio: Interval
    p_value: float


@dataclass(frozen=True)
class Matrix:
    """Counts of the four cells, and what they say.

    Args:
        counts: of RA, UA, RI and UI.
        proposed: made of proposed verdicts; its table and picture say so.
        items: the cell of each item, where it is known; needed to compare two matrices.

    Example:
        >>> published = Matrix.from_counts(ra=402, ua=212, ri=71, ui=65)
        >>> print(published.accuracy)
        0.8187 [0.7895, 0.8446]
        >>> print(published.reasonable)
        0.6307 [0.5955, 0.6645]
    """

    counts: Mapping[str, int]
    proposed: bool = False
    items: Mapping[str, str] = field(default_factory=lambda: _NO_ITEMS, repr=False)

    def __post_init__(self) -> None:
        if set(self.counts) != set(CELLS) or any(count < 0 for count in self.counts.values()):
            raise AlignmentError(f"counts are {dict(self.counts)}; give {', '.join(CELLS)}, from 0")
        if not sum(self.counts.values()):
            raise AlignmentError("no verdict: a matrix needs one at least")
        ordered = {cell: self.counts[cell] for cell in CELLS}
        object.__setattr__(self, "counts", MappingProxyType(ordered))

    @classmethod
    def from_counts(cls, *, ra: int, ua: int, ri: int, ui: int) -> Matrix:
        """From the four numbers alone, as papers print them."""
        return cls({"RA": ra, "UA": ua, "RI": ri, "UI": ui})

    @classmethod
    def from_verdicts(cls, verdicts: Verdicts) -> Matrix:
        """From one verdict an item.

        Raises:
            AlignmentError: no verdict; an item with several.
        """
        items = verdicts.cells
        counts = {cell: sum(own == cell for own in items.values()) for cell in CELLS}
        return cls(counts, verdicts.are_proposed, MappingProxyType(items))

    @property
    def total(self) -> int:
        """Verdicts in all four cells."""
        return sum(self.counts.values())

    def share(self, cell: str) -> Interval:
        """Of one cell, with its Wilson interval."""
        return wilson(self.counts[cell], self.total)

    @property
    def accuracy(self) -> Interval:
        """Share of right answers."""
        return wilson(self.counts["RA"] + self.counts["UA"], self.total)

    @property
    def reasonable(self) -> Interval:
        """Share of reasonable maps."""
        return wilson(self.counts["RA"] + self.counts["RI"], self.total)

    def reasonable_where(self, *, accurate: bool) -> Interval | None:
        """Share of reasonable maps among right answers, or wrong ones; None where there are none.

        Args:
            accurate: among the right answers, otherwise among the wrong ones.
        """
        letter = "A" if accurate else "I"
        of = self.counts["R" + letter] + self.counts["U" + letter]
        return wilson(self.counts["R" + letter], of) if of else None

    @property
    def association(self) -> Association | None:
        """Reasonable against accurate; None where all answers, or all maps, are of one sort."""
        ra, ua, ri, ui = self.counts.values()
        if not (ra + ua and ri + ui and ra + ri and ua + ui):
            return None
        return Association(odds_ratio(ra, ua, ri, ui), fisher_exact(ra, ua, ri, ui))

    @property
    def title(self) -> str:
        """What it is a matrix of."""
        return f"{self.total} verdicts" + (f", {PROPOSED}" if self.proposed else "")

    def against(self, after: Matrix) -> Moves:
        """From this matrix to a later one, item by item.

        Raises:
            AlignmentError: items unknown or none in common; one of people, the other proposed.
        """
        from sightline.alignment.moves import Moves

        return Moves.between(self, after)

    def sentences(self) -> list[str]:
        """What the numbers say."""
        said = [f"accurate {percent(self.accuracy)}; reasonable {percent(self.reasonable)}"]
        for accurate, words in ((True, "right"), (False, "wrong")):
            share = self.reasonable_where(accurate=accurate)
            if share is not None:
                said.append(f"reasonable where the answer is {words}: {percent(share)}")
        found = self.association
        if found is None:
            return [*said, "whether the two go together cannot be told: one of them never varies"]
        together = "go together" if found.odds_ratio.estimate > 1 else "seldom go together"
        if found.p_value >= 0.05:
            together = "cannot be told from independent"
        tested = f"{odds_words(found.odds_ratio)}, Fisher's exact p {p_words(found.p_value)}"
        return [*said, f"reasonable and accurate {together}: {tested}"]

    def text(self) -> str:
        """As a table for a terminal."""
        rows = [f"{self.title}; shares with 95 % Wilson intervals", ""]
        rows += [
            f"{cell}  {words:25s} {self.counts[cell]:6d}   {percent(self.share(cell))}"
            for cell, words in CELLS.items()
        ]
        return "\n".join([*rows, "", *self.sentences()])

    def markdown(self) -> str:
        """As a table for a document."""
        rows = [f"Reasonability, {self.title}.", "", "| | accurate | inaccurate |", "|---|---|---|"]
        for letter, word in (("R", "reasonable"), ("U", "unreasonable")):
            cells = [
                f"{self.counts[c]}: {percent(self.share(c))}" for c in (f"{letter}A", f"{letter}I")
            ]
            rows.append(f"| {word} | {' | '.join(cells)} |")
        return "\n".join([*rows, "", *(f"- {sentence}" for sentence in self.sentences())])

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        found = self.association
        return {
            "proposed": self.proposed,
            "total": self.total,
            "counts": dict(self.counts),
            "shares": {cell: vars(self.share(cell)) for cell in CELLS},
            "accurate": vars(self.accuracy),
            "reasonable": vars(self.reasonable),
            "odds_ratio": None if found is None else vars(found.odds_ratio),
            "fisher_p": None if found is None else found.p_value,
        }


def odds_ratio(a: int, b: int, c: int, d: int) -> Interval:
    """(a d) / (b c), with Woolf's 95 % interval; with half an item more in each if one is 0.

    Example:
        >>> print(odds_ratio(10, 5, 5, 10))
        4.0000 [0.8764, 18.2557]
    """
    added = 0.0 if min(a, b, c, d) else 0.5
    counts = [count + added for count in (a, b, c, d)]
    log = math.log(counts[0] * counts[3] / (counts[1] * counts[2]))
    half = Z95 * math.sqrt(sum(1 / count for count in counts))
    return Interval(math.exp(log), math.exp(log - half), math.exp(log + half))


def fisher_exact(a: int, b: int, c: int, d: int) -> float:
    """Two-sided p of Fisher's exact test: all tables as unlikely as this one, or more.

    Example:
        The lady tasting tea, three of four cups right:

        >>> round(fisher_exact(3, 1, 1, 3), 4)
        0.4857

    Source:
        Fisher, The Design of Experiments, 1935.
    """
    row, column, total = a + b, a + c, a + b + c + d
    possible = range(max(0, row + column - total), min(row, column) + 1)
    logs = {x: _log_choose(row, x) + _log_choose(total - row, column - x) for x in possible}
    # tables of equal chance differ by rounding: R's tolerance
    as_rare = [log for log in logs.values() if log <= logs[a] + 1e-7]
    most = max(logs.values())
    total_mass = math.fsum(math.exp(log - most) for log in logs.values())
    return min(1.0, math.fsum(math.exp(log - most) for log in as_rare) / total_mass)


def percent(interval: Interval) -> str:
    """A share for people: 81.9 % [79.0, 84.5]."""
    low, middle, high = (100 * x for x in (interval.low, interval.estimate, interval.high))
    return f"{middle:.1f} % [{low:.1f}, {high:.1f}]"


def odds_words(ratio: Interval) -> str:
    """An odds ratio for people."""
    return f"odds ratio {ratio.estimate:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"


def p_words(p: float) -> str:
    """A p value for people."""
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
