"""Two matrices of the same items: how many went from which cell to which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightline.alignment.verdicts import CELLS
from sightline.errors import AlignmentError

if TYPE_CHECKING:
    from sightline.alignment.matrix import Matrix

CELL_NAMES = tuple(CELLS)


@dataclass(frozen=True)
class Change:
    """One yes or no of the same items, before and after.

    Args:
        gained: items that became it.
        lost: items that were it and no longer are.
        p_value: of McNemar's exact test, two-sided.
    """

    gained: int
    lost: int
    p_value: float


@dataclass(frozen=True)
class Moves:
    """What became of each item between two matrices.

    Args:
        counts: items of each (cell before, cell after).
        left_out: items that only one of the two matrices has.
        proposed: between matrices of proposed verdicts.
    """

    counts: Mapping[tuple[str, str], int]
    left_out: int = 0
    proposed: bool = False

    @classmethod
    def between(cls, before: Matrix, after: Matrix) -> Moves:
        """Of the items that both matrices have.

        Raises:
            AlignmentError: items unknown or none in common; one of people, the other proposed.
        """
        for name, matrix in (("first", before), ("second", after)):
            if not matrix.items:
                raise AlignmentError(
                    f"the {name} matrix knows only its counts; to follow items, make it with "
                    "Matrix.from_verdicts"
                )
        if before.proposed != after.proposed:
            raise AlignmentError(
                "one matrix is of people's verdicts, the other of proposed ones; a change between "
                "them would be one of judges; compare two of the same kind"
            )
        same = [item for item in before.items if item in after.items]
        if not same:
            raise AlignmentError(
                f"no item is in both matrices: {next(iter(before.items))!r} and others before, "
                f"{next(iter(after.items))!r} and others after"
            )
        moved = Counter((before.items[item], after.items[item]) for item in same)
        counts = {(a, b): moved[a, b] for a in CELL_NAMES for b in CELL_NAMES}
        return cls(counts, len(before.items) + len(after.items) - 2 * len(same), before.proposed)

    @property
    def total(self) -> int:
        """Items in both matrices."""
        return sum(self.counts.values())

    @property
    def accurate(self) -> Change:
        """How answers changed."""
        return self._change("A", 1)

    @property
    def reasonable(self) -> Change:
        """How maps changed."""
        return self._change("R", 0)

    def _change(self, letter: str, place: int) -> Change:
        sides = [
            (before[place] == letter, after[place] == letter, count)
            for (before, after), count in self.counts.items()
        ]
        gained = sum(count for was, now, count in sides if now and not was)
        lost = sum(count for was, now, count in sides if was and not now)
        return Change(gained, lost, mcnemar_exact(gained, lost))

    def sentences(self) -> list[str]:
        """What the numbers say."""
        from sightline.alignment.matrix import PROPOSED, p_words

        said = [
            f"{what}: {change.gained} gained, {change.lost} lost of {self.total} items; "
            f"McNemar's exact p {p_words(change.p_value)}"
            for what, change in (("accurate", self.accurate), ("reasonable", self.reasonable))
        ]
        if self.left_out:
            said.append(f"{self.left_out} items are in one of the two only and left out")
        return [*said, PROPOSED] if self.proposed else said

    def text(self) -> str:
        """As a table for a terminal: before down, after across."""
        head = "before / after" + "".join(f"{cell:>7s}" for cell in CELL_NAMES)
        rows = [
            f"{a:14s}" + "".join(f"{self.counts[a, b]:7d}" for b in CELL_NAMES) for a in CELL_NAMES
        ]
        return "\n".join([head, *rows, "", *self.sentences()])

    def markdown(self) -> str:
        """As a table for a document: before down, after across."""
        rows = [f"| before / after | {' | '.join(CELL_NAMES)} |", "|---|---|---|---|---|"]
        rows += [
            f"| {a} | {' | '.join(str(self.counts[a, b]) for b in CELL_NAMES)} |"
            for a in CELL_NAMES
        ]
        return "\n".join([*rows, "", *(f"- {sentence}" for sentence in self.sentences())])

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "proposed": self.proposed,
            "items": self.total,
            "left_out": self.left_out,
            "moves": {f"{a} -> {b}": count for (a, b), count in self.counts.items()},
            "accurate": vars(self.accurate),
            "reasonable": vars(self.reasonable),
        }


def mcnemar_exact(gained: int, lost: int) -> float:
    """Two-sided p of the sign test on the items that changed; 1 where none did.

    Example:
        >>> mcnemar_exact(1, 9)
        0.021484375

    Source:
        McNemar, 1947; with the binomial distribution itself.
    """
    changed, term, tail = gained + lost, 1, 0
    for k in range(min(gained, lost) + 1):
        tail += term  # whole numbers of any size: exact
        term = term * (changed - k) // (k + 1)
    return min(1.0, 2 * tail / 2**changed)
