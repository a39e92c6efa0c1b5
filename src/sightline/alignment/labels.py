"""What people said about where a model should look: one record a person and item, and many."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.errors import AlignmentError, unknown_name

Mask = Float[np.ndarray, "..."]
OnUnknown = Literal["raise", "skip"]

SAME_ASPECT = 0.01
"""How much the aspects of a mask and its photo may differ: sizes are whole pixels."""


@dataclass(frozen=True, eq=False, init=False)
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
        AlignmentError: no name; no mask, or none with anything on it; masks of two shapes; numbers
            outside [0, 1]; a negative weight.

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

    def __init__(  # noqa: PLR0917, the fields in their order
        self,
        item: str,
        must: ArrayLike | None = None,
        must_not: ArrayLike | None = None,
        weight: float = 1.0,
        author: str = "",
        time: str = "",
    ) -> None:
        if not item:
            raise AlignmentError("a label has no item; give the name of its photo or drawing")
        told: dict[str, Any] = {"item": item, "weight": weight, "author": author, "time": time}
        for name, mask in (("must", must), ("must_not", must_not)):
            told[name] = None if mask is None else _mask(mask, f"{name} of {item!r}")
        for name, value in told.items():
            object.__setattr__(self, name, value)  # frozen; lists are masks by now
        self._refuse_bad()

    def _refuse_bad(self) -> None:
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
        assert mask is not None  # noqa: S101, one is there since __init__
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

    def resized(self, size: tuple[int, int]) -> AttentionLabel:
        """The same label of the photo at another height and width; the aspect may change.

        Each new pixel has the number of the nearest old one; where pixels fall together, the
        largest of them. So a hard mask stays hard and no mark is lost. Losses take the mean over
        areas instead (`sightline.alignment.placing.at_size`).

        Raises:
            AlignmentError: a label of a drawing, whose strokes have no size.

        Example:
            >>> AttentionLabel("duck.jpg", must=[[0, 1]]).resized((2, 4)).must.tolist()
            [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
        """
        if self.of_strokes:
            raise AlignmentError(f"{self.item!r} is a drawing; its {self.size[0]} strokes stay")
        masks = [
            None if mask is None else _along(_along(mask, size[0], 0), size[1], 1)
            for mask in (self.must, self.must_not)
        ]
        return replace(self, must=masks[0], must_not=masks[1])


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

    def renamed(self, name_of: Callable[[str], str]) -> AttentionLabels:
        """The same labels, each item under the name that the function gives it."""
        return replace(self, rows=tuple(replace(r, item=name_of(r.item)) for r in self.rows))

    def check(
        self, sizes: Mapping[str, tuple[int, ...]], on_unknown: OnUnknown = "raise"
    ) -> AttentionLabels:
        """Hold the labels against the photos and drawings that they are of.

        Args:
            sizes: of every item by its name: (height, width) of a photo, (strokes,) of a drawing.
            on_unknown: a label of an item that is not there is an error; or (``"skip"``) it is
                left out, which ``notes`` counts.

        Returns:
            The labels that are of these items. A mask of another size but the same aspect (to
            1 %) stays as it is: it is resized where it is used.

        Raises:
            AlignmentError: an unknown item (the message has the nearest names), a mask of another
                aspect (the message has both sizes), as many strokes as the drawing has not.

        Example:
            >>> labels = AttentionLabels.from_rows([AttentionLabel("duck.jpg", must=[[0, 1]])])
            >>> len(labels.check({"duck.jpg": (240, 480), "goose.jpg": (480, 640)}))
            1
        """
        if on_unknown not in ("raise", "skip"):
            raise AlignmentError(unknown_name("on_unknown", on_unknown, ("raise", "skip")))
        unknown = [row.item for row in self.rows if row.item not in sizes]
        if unknown and on_unknown == "raise":
            raise AlignmentError(_told_unknown(unknown, len(self), list(sizes)))
        known = self.only(sizes)
        for row in known:
            refuse_other_size(row, sizes[row.item])
        if not unknown:
            return self
        first = f"left out {len(unknown)} of {len(self)} labels: their items are not there"
        return replace(known, notes=(*self.notes, f"{first}, first {unknown[0]!r}"))


def same_aspect(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two (height, width) have the same aspect to 1 %.

    Example:
        >>> same_aspect((480, 640), (75, 100)), same_aspect((480, 640), (640, 480))
        (True, False)
    """
    first, second = a[0] * b[1], a[1] * b[0]
    return abs(first - second) <= SAME_ASPECT * min(first, second)


def nearest_names(name: str, known: Iterable[str]) -> str:
    """The message for a name that is not among many: the nearest of them, not all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=5) or names[:5]
    return f"{unknown_name('item', name, near)} (of {len(names)} in all)"


def _told_unknown(unknown: list[str], among: int, known: list[str]) -> str:
    return (
        f"{len(unknown)} of {among} labels are of items that are not there; first: "
        f"{nearest_names(unknown[0], known)}; mend the names, or leave such labels out with "
        "on_unknown='skip'"
    )


def refuse_other_size(label: AttentionLabel, size: tuple[int, ...]) -> None:
    """Hold a label against the size of its item.

    Raises:
        AlignmentError: another aspect or number of strokes; the message has both.
    """
    kinds = {1: "a drawing", 2: "a photo"}
    who = f"the label of {label.item!r} by {label.author or 'nobody'}"
    if len(size) != len(label.size):
        raise AlignmentError(
            f"{who} has masks of {kinds[len(label.size)]}, of {list(label.size)}; the item is "
            f"{kinds.get(len(size), 'something else')}, of {list(size)}"
        )
    if label.of_strokes and label.size != size:
        raise AlignmentError(
            f"{who} is of {label.size[0]} strokes; the drawing has {size[0]}: label the drawing "
            "as it is now"
        )
    if not label.of_strokes and not same_aspect(label.size, size):
        raise AlignmentError(
            f"{who} has a mask of {label.size[0]} x {label.size[1]} (height x width); the photo "
            f"is {size[0]} x {size[1]}, of another aspect: mask the whole photo, upright; if the "
            "photo was stretched to be labelled, stretch back with label.resized(size)"
        )


def _along(mask: Mask, size: int, axis: int) -> Mask:
    """Another number of places along one axis."""
    now = mask.shape[axis]
    if size >= now:
        return mask.take(((np.arange(size) + 0.5) * now / size).astype(int), axis)
    return np.maximum.reduceat(mask, np.arange(size) * now // size, axis)


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
