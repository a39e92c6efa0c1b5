"""Wrong labels on purpose: how much do careless people cost?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError, unknown_name

LARGEST_OVERLAP = 0.3
"""IoU of a wrong mask with the right one, at most: a label that is nearly right is not wrong."""
Plane = Float[np.ndarray, "height width"]
Wronged = AttentionLabel | None
Luck = np.random.Generator


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels of which some are wrong.

    Args:
        labels: all of them, in their order.
        wrong: numbers of the wrong rows, rising.
    """

    labels: AttentionLabels
    wrong: tuple[int, ...]


def with_wrong_labels(
    labels: AttentionLabels,
    share: float,
    *,
    kind: str = "another",
    seed: int = 0,
    largest_overlap: float = LARGEST_OVERLAP,
) -> NoisyLabels:
    """Make this share of the labels wrong; the same ones for the same arguments.

    Args:
        labels: of photos.
        share: of labels that become wrong, rounded to whole labels, halves up.
        kind: ``another``: the masks of another item of the same size; ``mirrored``: its own masks,
            mirrored along the axis (or both) that moves them most; ``swapped``: must and must not
            change places, and a mask that is alone becomes its complement.
        seed: of the luck.
        largest_overlap: IoU of a wrong mask with the right one, at most; of the must mask where
            there is one, else of the must-not mask.

    Raises:
        AlignmentError: a share outside [0, 1], an unknown kind, labels of strokes, or too few
            labels that can be made wrong in this way.

    Example:
        >>> rows = [AttentionLabel(f"{i}.jpg", must=np.eye(4)[i][None]) for i in range(4)]
        >>> noisy = with_wrong_labels(AttentionLabels.from_rows(rows), 0.25)
        >>> len(noisy.wrong), noisy.labels.rows[noisy.wrong[0]].author
        (1, 'wrong on purpose')
    """
    if not 0 <= share <= 1:
        raise AlignmentError(f"share is {share}; give a number from 0 to 1")
    if kind not in KINDS:
        raise AlignmentError(unknown_name("kind of wrong label", kind, KINDS))
    strokes = next((row.item for row in labels if row.of_strokes), None)
    if strokes is not None:
        raise AlignmentError(f"the label of {strokes!r} is of strokes; wrong ones are of photos")
    rows, wanted = list(labels.rows), int(share * len(labels) + 0.5)
    wrong: list[int] = []
    luck = np.random.default_rng(seed)
    for index in luck.permutation(len(rows)).tolist():
        if len(wrong) == wanted:
            break
        made = KINDS[kind](labels.rows, index, largest_overlap, luck)
        if made is not None:
            rows[index] = replace(made, author="wrong on purpose")
            wrong.append(index)
    if len(wrong) < wanted:
        raise AlignmentError(
            f"only {len(wrong)} of {wanted} labels could be made wrong as {kind!r} with an overlap "
            f"of at most {largest_overlap}; try another of {', '.join(KINDS)}"
        )
    note = f"{wanted} of {len(rows)} labels are wrong on purpose ({kind}, seed {seed})"
    return NoisyLabels(AttentionLabels(tuple(rows), (*labels.notes, note)), tuple(sorted(wrong)))


def overlap(one: AttentionLabel, other: AttentionLabel) -> float:
    """IoU of two must masks, or of the must-not masks where either has no must mask."""
    name = "must" if one.must is not None and other.must is not None else "must_not"
    first, second = one.either(name) > 0, other.either(name) > 0
    return float((first & second).sum() / max(1, (first | second).sum()))


def _another(rows: Sequence[AttentionLabel], index: int, most: float, luck: Luck) -> Wronged:
    own = rows[index]
    for other in luck.permutation(len(rows)).tolist():
        given = rows[other]
        fits = given.item != own.item and given.size == own.size and _says_as_much(given, own)
        if fits and overlap(given, own) <= most:
            return replace(own, must=given.must, must_not=given.must_not)
    return None


def _says_as_much(given: AttentionLabel, own: AttentionLabel) -> bool:
    return (given.must is None, given.must_not is None) == (own.must is None, own.must_not is None)


def _mirrored(rows: Sequence[AttentionLabel], index: int, most: float, luck: Luck) -> Wronged:
    own = rows[index]
    flips = [_moved(own, partial(np.flip, axis=axes)) for axes in (0, 1, (0, 1))]
    least = min(flips, key=lambda flipped: overlap(flipped, own))
    return least if overlap(least, own) <= most else None


def _moved(label: AttentionLabel, move: Callable[[Plane], Plane]) -> AttentionLabel:
    must, must_not = (None if m is None else move(m) for m in (label.must, label.must_not))
    return replace(label, must=must, must_not=must_not)


def _swapped(rows: Sequence[AttentionLabel], index: int, most: float, luck: Luck) -> Wronged:
    own = rows[index]
    if own.must is not None and own.must_not is not None:
        made = replace(own, must=own.must_not, must_not=own.must)
    else:
        made = _moved(own, lambda mask: 1 - mask)
    return made if overlap(made, own) <= most else None


KINDS: dict[str, Callable[[Sequence[AttentionLabel], int, float, Luck], Wronged]] = {
    "another": _another,
    "mirrored": _mirrored,
    "swapped": _swapped,
}
