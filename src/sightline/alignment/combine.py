"""One label out of several people's, and the places where they contradict each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from sightline.alignment.labels import AttentionLabel, AttentionLabels, Mask, same_aspect
from sightline.errors import AlignmentError, unknown_name

OnContradiction = Literal["raise", "weigh", "must", "must_not"]
Places = Bool[np.ndarray, "..."]
Votes = Float[np.ndarray, "..."]

WAYS = ("raise", "weigh", "must", "must_not")


def combined(
    labels: Sequence[AttentionLabel], *, on_contradiction: OnContradiction = "raise"
) -> AttentionLabel:
    """One label out of several of the same item.

    Convention:
        Each mask is the mean, by weight, over those who gave such a mask: one person's silence
        is no vote against another's mark. Labels of weight 0 do not count, unless all have it.
        Masks of two sizes and one aspect are brought to the larger. The weight is the mean of
        those that count; authors are joined; the time is the latest.

        A place is contradictory when somebody says that it has to be looked at and somebody (the
        same person, too) that it has to be left alone.

    Args:
        labels: at least one; a single one may contradict itself.
        on_contradiction: what is done with such places. ``"raise"``: an error. ``"weigh"``: the
            side with more votes (sum of weight times mask) stays, times
            (1 - votes against / votes for), so one label becomes its must - must_not, and equal
            votes leave the place open. ``"must"`` or ``"must_not"``: that side wins, the other is
            0 there.

    Raises:
        AlignmentError: no label, those of two items, of two aspects or numbers of strokes;
            contradictory places, with their number and whose they are; nothing left after
            weighing.

    Example:
        >>> ada = AttentionLabel("duck.jpg", must=[[1, 1, 0]], author="ada")
        >>> bob = AttentionLabel("duck.jpg", must=[[0, 1, 0]], must_not=[[0, 0, 1]], author="bob")
        >>> both = combined([ada, bob])
        >>> both.must.tolist(), both.must_not.tolist(), both.author
        ([[0.5, 1.0, 0.0]], [[0.0, 0.0, 1.0]], 'ada, bob')
    """
    if on_contradiction not in WAYS:
        raise AlignmentError(unknown_name("on_contradiction", on_contradiction, WAYS))
    rows = _of_one_size(labels)
    rows = [row for row in rows if row.weight > 0] or rows
    must, must_not = _mean(rows, "must"), _mean(rows, "must_not")
    places = _contradictory(rows)
    if must is not None and must_not is not None and places.any():
        if on_contradiction == "raise":
            raise AlignmentError(_told(rows, places))
        must, must_not = _settled(rows, must, must_not, places, on_contradiction)
        if not (must.any() or must_not.any()):
            raise AlignmentError(
                f"nothing is left of the labels of {rows[0].item!r}: every marked place is "
                "contradictory with equal votes; leave it out, or let one side win"
            )
    return replace(
        rows[0],
        must=must,
        must_not=must_not,
        weight=float(np.mean([row.weight for row in rows])),
        author=", ".join(dict.fromkeys(row.author for row in rows if row.author)),
        time=max(row.time for row in rows),
    )


def contradictions_of(labels: AttentionLabels | Iterable[AttentionLabel]) -> dict[str, int]:
    """How many places of each item have to be looked at and left alone, both.

    Within one label, or between those of several people. Items without such places are left out.

    Raises:
        AlignmentError: labels of one item that are of two aspects or numbers of strokes.

    Example:
        >>> ada = AttentionLabel("duck.jpg", must=[[1, 1, 0]], author="ada")
        >>> bob = AttentionLabel("duck.jpg", must_not=[[0, 1, 1]], author="bob")
        >>> contradictions_of([ada, bob])
        {'duck.jpg': 1}
    """
    groups = AttentionLabels.from_rows(labels)
    counts = {}
    for item in groups.items:
        rows = _of_one_size(groups.of(item))
        counts[item] = int(_contradictory(rows).sum())
    return {item: count for item, count in counts.items() if count}


def _of_one_size(labels: Sequence[AttentionLabel]) -> list[AttentionLabel]:
    if not labels:
        raise AlignmentError("no label to combine; give at least one")
    items = list(dict.fromkeys(label.item for label in labels))
    if len(items) > 1:
        raise AlignmentError(
            f"labels of {len(items)} items, first {items[0]!r} and {items[1]!r}; combine those of "
            "one item at a time: labels.of(item)"
        )
    largest = max(labels, key=lambda label: label.size).size
    return [_brought(label, largest) for label in labels]


def _brought(label: AttentionLabel, size: tuple[int, ...]) -> AttentionLabel:
    if label.size == size:
        return label
    if len(label.size) == len(size) == 2 and same_aspect(label.size, size):
        return label.resized((size[0], size[1]))
    raise AlignmentError(
        f"{label.item!r} has labels of {list(label.size)} and of {list(size)}; expected masks of "
        "one aspect, or of the same strokes"
    )


def _votes(rows: Sequence[AttentionLabel], name: str) -> Votes:
    """Sum of weight times mask, in float64; labels of weight 0 are here only when all are."""
    total = np.zeros(rows[0].size)
    for row in rows:
        total += (row.weight or 1.0) * row.either(name).astype(np.float64)
    return total


def _mean(rows: Sequence[AttentionLabel], name: str) -> Mask | None:
    said = [row for row in rows if getattr(row, name) is not None]
    if not said:
        return None
    mean = _votes(said, name) / sum(row.weight or 1.0 for row in said)
    return mean.clip(0, 1).astype(np.float32)


def _contradictory(rows: Sequence[AttentionLabel]) -> Places:
    must = np.any([row.either("must") > 0 for row in rows], axis=0)
    return must & np.any([row.either("must_not") > 0 for row in rows], axis=0)


def _settled(
    rows: Sequence[AttentionLabel],
    must: Mask,
    must_not: Mask,
    places: Places,
    way: OnContradiction,
) -> tuple[Mask, Mask]:
    none = np.float32(0)
    if way == "must":
        return must, np.where(places, none, must_not)
    if way == "must_not":
        return np.where(places, none, must), must_not
    pro, con = _votes(rows, "must"), _votes(rows, "must_not")
    return _weighed(must, pro, con, places), _weighed(must_not, con, pro, places)


def _weighed(mask: Mask, pro: Votes, con: Votes, places: Places) -> Mask:
    """Times (1 - votes against / votes for), not below 0, where there are both."""
    share = np.divide(con, pro, out=np.zeros_like(pro), where=places)
    return (mask * (1 - share).clip(0, 1)).astype(np.float32)


def _told(rows: Sequence[AttentionLabel], places: Places) -> str:
    what = "strokes" if rows[0].of_strokes else "pixels"
    return (
        f"{int(places.sum())} of {places.size} {what} of {rows[0].item!r} have to be looked at "
        f"(says {_who(rows, 'must', places)}) and left alone (says "
        f"{_who(rows, 'must_not', places)}), both; mend the labels, or choose on_contradiction="
        "'weigh', 'must' or 'must_not'"
    )


def _who(rows: Sequence[AttentionLabel], name: str, places: Places) -> str:
    says = [row.author or "nobody" for row in rows if (row.either(name)[places] > 0).any()]
    return ", ".join(dict.fromkeys(says))
