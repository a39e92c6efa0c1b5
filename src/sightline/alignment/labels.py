"""What people said about where a model should look: one record a person and item, and many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.errors import AlignmentError

Mask = Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class AttentionLabel:
    """Where one person says that a model should look, and where it should not.

    Convention:
        Soft masks in [0, 1]: of a photo ``[height, width]`` in its own pixels, of a drawing
        ``[strokes]`` in the order of drawing. What neither mask covers is left open.

    Args:
        item: name of the photo or drawing: a file name, a key id.
        must: how much each place has to be looked at; None where nothing was said.
        must_not: how much each place has to be left alone; None where nothing was said.
        weight: of this label in a loss, at least 0.
        author: who said so.
        time: when, ISO 8601.

    Raises:
        AlignmentError: no mask, or none with anything on it; masks of two shapes; numbers outside
            [0, 1]; a negative weight.

    Example:
        >>> label = AttentionLabel("duck.jpg", must=[[0, 1], [0, 0]], author="ada")
        >>> label.size, label.must_not is None
        ((2, 2), True)
    """

    item: str
    must: Mask | None = None
    must_not: Mask | None = None
    weight: float = 1.0
    author: str = ""
    time: str = ""

    def __post_init__(self) -> None:
        for name in ("must", "must_not"):
            mask = getattr(self, name)
            if mask is not None:
                object.__setattr__(self, name, _mask(mask, f"{name} of {self.item!r}"))
        given = [mask for mask in (self.must, self.must_not) if mask is not None]
        if not any(mask.any() for mask in given):
            raise AlignmentError(
                f"the label of {self.item!r} by {self.author or 'nobody'} is empty: no place has "
                "to be looked at or left alone; mark one, or leave the label out"
            )
        if len({mask.shape for mask in given}) > 1:
            raise AlignmentError(
                f"{self.item!r} has a must mask of {given[0].shape} and a must-not mask of "
                f"{given[1].shape}; both are of the same photo"
            )
        if not 0 <= self.weight < np.inf:
            raise AlignmentError(f"the label of {self.item!r} has weight {self.weight}; at least 0")

    @property
    def size(self) -> tuple[int, ...]:
        """(height, width) of a photo's masks, (strokes,) of a drawing's."""
        mask = self.must if self.must is not None else self.must_not
        assert mask is not None  # noqa: S101, one is there since __post_init__
        return mask.shape

    @property
    def of_strokes(self) -> bool:
        """Whether this is a label of a drawing."""
        return len(self.size) == 1

    @property
    def contradictions(self) -> int:
        """Places that have to be looked at and left alone, both."""
        if self.must is None or self.must_not is None:
            return 0
        return int(((self.must > 0) & (self.must_not > 0)).sum())

    def either(self, name: str) -> Mask:
        """The mask ``must`` or ``must_not``; zeros where nothing was said."""
        mask: np.ndarray | None = getattr(self, name)
        return np.zeros(self.size, np.float32) if mask is None else mask


@dataclass(frozen=True, eq=False)
class AttentionLabels:
    """Labels of many items, by one person or several.

    Args:
        rows: in the order in which they came.
        notes: what was changed or left out on reading.
    """

    rows: tuple[AttentionLabel, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_rows(cls, rows: Iterable[AttentionLabel]) -> AttentionLabels:
        """From any number of records."""
        return cls(tuple(rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[AttentionLabel]:
        return iter(self.rows)

    def __contains__(self, item: object) -> bool:
        return item in self._by_item

    @property
    def items(self) -> tuple[str, ...]:
        """Names of the labelled items, each once, in the order in which they came."""
        return tuple(self._by_item)

    def of(self, item: str) -> tuple[AttentionLabel, ...]:
        """All labels of one item; empty where there is none."""
        return tuple(self._by_item.get(item, ()))

    @cached_property
    def _by_item(self) -> Mapping[str, list[AttentionLabel]]:
        groups: dict[str, list[AttentionLabel]] = {}
        for row in self.rows:
            groups.setdefault(row.item, []).append(row)
        return groups

    def only(self, items: Iterable[str]) -> AttentionLabels:
        """The labels of these items."""
        wanted = set(items)
        return replace(self, rows=tuple(row for row in self.rows if row.item in wanted))


def _mask(given: ArrayLike, place: str) -> Mask:
    try:
        mask = np.array(given, np.float32)
    except (ValueError, TypeError):
        raise AlignmentError(f"{place} is no table of numbers; rows of unequal length?") from None
    if mask.ndim not in (1, 2) or not mask.size:
        raise AlignmentError(
            f"{place} has shape {list(mask.shape)}; expected [height, width], or [strokes]"
        )
    if not (np.isfinite(mask).all() and mask.min() >= 0 and mask.max() <= 1):
        raise AlignmentError(f"{place} has numbers outside [0, 1]; divide by the largest first")
    mask.setflags(write=False)
    return mask
