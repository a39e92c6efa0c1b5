"""Verdicts computed from a map and a label: a start for a person, never in a person's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.alignment.placing import at_size, grown
from sightline.alignment.verdicts import Verdict, Verdicts
from sightline.errors import AlignmentError

AUTHOR = "sightline"
Places: TypeAlias = Float[np.ndarray, "..."]


@dataclass(frozen=True)
class Evidence:
    """What a proposed verdict rests on.

    Args:
        covered: share of what must be looked at that lies under the map's region; None where
            nobody said what must be.
        inside: share of the map's positive evidence that lies where it may, in that of the must
            mask seen by the same cells; None for a blank map.
        total: sum of the map, signs and all.
    """

    covered: float | None
    inside: float | None
    total: float


def propose(
    maps: Mapping[str, ArrayLike],
    labels: AttentionLabels,
    accurate: Mapping[str, bool],
    *,
    threshold: float = 0.3,
    covers: float = 0.5,
    inside: float = 0.4,
) -> Verdicts:
    """Propose a verdict on each map whose item has a label.

    Question 1 is answered by the share of the must mask under the map's region, the places of at
    least ``threshold`` of its maximum. Question 2 is answered by the share of the map's positive
    evidence outside the must-not mask; where nobody drew one, inside the must mask. A map without
    positive evidence is unreasonable. The reason of each verdict has the numbers.

    The defaults were set on 150 generated scenes of one object. They pass its mask, the same seen
    by 7 x 7 cells, and 9 of 10 boxes around it; they refuse all of its surroundings, even maps,
    noise, and a quarter of the mask. A map that looks at the object and as much at another place
    of its size still passes: raise ``inside`` above 0.5 where that matters.

    Convention:
        A map covers the whole photo, whatever its size. One smaller than the photo's mask grows
        bilinearly, as people see it; one larger is met by the mask's area mean. Coarse cells cannot
        help reaching over an outline: the share inside is divided by that of the must mask itself,
        seen by the same cells. Masks of several people on one item are averaged.

    Args:
        maps: of each item, signed, ``[height, width]`` of a photo, ``[strokes]`` of a drawing.
        labels: where the model should look.
        accurate: whether the answer on each item is right.
        threshold: share of the map's maximum from which on a place counts as looked at.
        covers: least share of the must mask that is to be covered.
        inside: least share of the positive evidence that is to lie where it may.

    Returns:
        Proposed verdicts. Items without a label, or with nothing that must be looked at, are left
        out and noted.

    Raises:
        AlignmentError: a threshold outside (0, 1]; no word on the accuracy of an item; a map that
            is no map, or has other strokes than the label.

    Example:
        >>> label = AttentionLabel("duck.jpg", must=[[1, 1], [0, 0]])
        >>> looks = {"duck.jpg": [[0.9, 0.8], [0.1, -0.4]]}
        >>> found = propose(looks, AttentionLabels((label,)), {"duck.jpg": True})
        >>> found.cells, found.rows[0].proposed
        ({'duck.jpg': 'RA'}, True)
    """
    for name, value in (("threshold", threshold), ("covers", covers), ("inside", inside)):
        if not 0 < value <= 1:
            raise AlignmentError(f"{name} is {value}; give a share above 0, up to 1")
    rows, notes = [], []
    for item, given in maps.items():
        if item not in accurate:
            raise AlignmentError(f"'accurate' does not say whether the answer on {item!r} is right")
        own = labels.of(item)
        if not any(label.must is not None and label.must.any() for label in own):
            why = "no label" if not own else "its labels do not say what must be looked at"
            notes.append(f"{item!r} left out: {why}")
            continue
        found = measure(given, own, threshold=threshold)
        rows.append(_verdict(item, accurate[item], found, covers, inside))
    return Verdicts.from_rows(rows, tuple(notes))


def measure(
    given: ArrayLike, labels: Sequence[AttentionLabel], *, threshold: float = 0.3
) -> Evidence:
    """How much of the labels of one item a map covers, and how much of it lies where it may.

    Raises:
        AlignmentError: a map that is no map, or has other strokes than the labels.
    """
    item = labels[0].item
    own = _map(given, item)
    must, must_not = _averaged(labels, own)
    shown, best, must, must_not = _same_size(own, must, must_not)
    evidence = np.maximum(shown, 0)
    total = float(own.sum())
    if not evidence.any():
        return Evidence(0.0 if must.any() else None, None, total)
    region = evidence >= threshold * evidence.max()
    allowed = 1 - must_not if must_not.any() else must
    covered = float((must * region).sum() / must.sum()) if must.any() else None
    reach = _share(best, allowed) if must.any() else 1.0
    return Evidence(covered, min(1.0, _share(evidence, allowed) / (reach or 1.0)), total)


def _share(evidence: Places, allowed: Places) -> float:
    return float((evidence * allowed).sum() / evidence.sum())


def _verdict(item: str, accurate: bool, found: Evidence, covers: float, inside: float) -> Verdict:
    assert found.covered is not None  # noqa: S101, there is a must mask: `propose` looked
    if found.inside is None:
        reason = f"the map is blank: no positive evidence anywhere, sum {found.total:.3g}"
        return Verdict(item, accurate, False, author=AUTHOR, proposed=True, reason=reason)
    reason = (
        f"covers {found.covered:.2f} of what must be looked at (at least {covers:g}); "
        f"{found.inside:.2f} of its evidence lies where it may (at least {inside:g})"
    )
    return Verdict(
        item,
        accurate,
        found.covered >= covers,
        found.inside >= inside,
        author=AUTHOR,
        proposed=True,
        reason=reason,
    )


def _averaged(labels: Sequence[AttentionLabel], shown: Places) -> tuple[Places, Places]:
    """Must and must-not mask of an item, the mean over the people who labelled it."""
    item, sizes = labels[0].item, {label.size for label in labels}
    if len(sizes) > 1:
        raise AlignmentError(f"the labels of {item!r} have sizes {sorted(sizes)}; expected one")
    (size,) = sizes
    if len(size) != shown.ndim or (shown.ndim == 1 and size != shown.shape):
        raise AlignmentError(
            f"the map of {item!r} has shape {list(shown.shape)}, its label {list(size)}; "
            "expected [height, width] for both, or one number a stroke for both"
        )
    must = np.stack([label.either("must") for label in labels]).astype(np.float64)
    must_not = np.stack([label.either("must_not") for label in labels]).astype(np.float64)
    return must.mean(0), must_not.mean(0)


def _same_size(
    shown: Places, must: Places, must_not: Places
) -> tuple[Places, Places, Places, Places]:
    """Map, must mask seen by the map's cells, must mask and must-not mask, all at one size."""
    if must.shape == shown.shape:
        return shown, must, must, must_not
    (rows, columns), cells = must.shape, (shown.shape[0], shown.shape[1])
    met = at_size(torch.from_numpy(np.stack([must, must_not])), cells).numpy()
    if cells[0] <= rows and cells[1] <= columns:
        size = (rows, columns)
        return grown(shown, size), grown(met[0], size), must, must_not
    return shown, met[0], met[0], met[1]


def _map(given: ArrayLike, item: str) -> Places:
    try:
        shown = np.array(given, np.float64)
    except (ValueError, TypeError):
        raise AlignmentError(f"the map of {item!r} is no table of numbers") from None
    if shown.ndim not in (1, 2) or not shown.size or not np.isfinite(shown).all():
        raise AlignmentError(
            f"the map of {item!r} has shape {list(shown.shape)} and "
            f"{int((~np.isfinite(shown)).sum())} numbers that are not finite; expected finite "
            "[height, width], or [strokes]"
        )
    return shown
