"""Accuracy of a recogniser on drawings that were changed, each against the untouched ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sightline.errors import DrawingError, SightlineError
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired, wilson
from sightline.models.as_found import as_found
from sightline.models.place import place
from sightline.models.protocol import SketchModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch

Change = Callable[[Sequence[Sketch]], list[Sketch]]
"""Drawings as the model reads them in, as many others out, in the same frame."""

AS_DRAWN = "as drawn"


@dataclass(frozen=True, eq=False)
class Outcome:
    """How well changed drawings are recognised.

    Args:
        name: of the change.
        hits: for each drawing 1 where the answer was right, 0 where not; the mean over repeats.
        share: of right answers. Its interval is Wilson's, or where the change was drawn several
            times, a bootstrap over drawings.
        change: the difference to the untouched drawings, paired; None for these themselves.
    """

    name: str
    hits: Float[np.ndarray, " drawings"]
    share: Interval
    change: Comparison | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        record: dict[str, Any] = {"name": self.name, "accuracy": vars(self.share)}
        if self.change is not None:
            record |= {
                "difference": vars(self.change.difference),
                "p_value": self.change.p_value,
            }
        return record


def accuracy_under(
    model: SketchModel,
    sketches: Sequence[Sketch],
    changes: Mapping[str, Change | Sequence[Change]],
    *,
    seed: int = 0,
) -> list[Outcome]:
    """Accuracy on labelled drawings as they are, and under each change.

    Args:
        model: any model of drawings; it is left as it came.
        sketches: labelled, as they were drawn; `model.prepare` is applied once, before a change.
        changes: by name; several of one name (shuffles of several seeds) are averaged.
        seed: of bootstrap and permutation.

    Raises:
        DrawingError: no drawings.
        SightlineError: a label that is not among the model's, or a change that loses drawings.

    Example:
        >>> from sightline.analysis.order import first, reversed_order
        >>> import sightline as sl
        >>> model = sl.load("sketchxainet-tiny")
        >>> face = sl.Sketch.from_strokes([[(0, 0), (9, 0), (9, 9), (0, 9), (0, 0)],
        ...     [(2, 2), (3, 2)], [(6, 2), (7, 2)], [(2, 6), (7, 6)]], label="face")
        >>> done = accuracy_under(model, [face], {"reversed": reversed_order, "first 1": first(1)})
        >>> [outcome.name for outcome in done]
        ['as drawn', 'reversed', 'first 1']
    """
    truth = _truth(model, sketches)
    prepared = [model.prepare(s) for s in sketches]
    whole = _right(model, prepared, truth)
    outcomes = [Outcome(AS_DRAWN, whole, wilson(int(whole.sum()), len(whole)))]
    for name, given in changes.items():
        repeats = [given] if callable(given) else list(given)
        each = [_right(model, _changed(name, repeat, prepared), truth) for repeat in repeats]
        outcomes.append(compared(name, np.mean(each, axis=0), whole, len(repeats), seed))
    return outcomes


def compared(
    name: str,
    hits: Float[np.ndarray, " drawings"],
    whole: Float[np.ndarray, " drawings"],
    repeats: int = 1,
    seed: int = 0,
) -> Outcome:
    """The outcome of one row of hits beside that of the same drawings untouched."""
    share = wilson(int(hits.sum()), len(hits)) if repeats == 1 else bootstrap_mean(hits, seed=seed)
    return Outcome(name, hits, share, paired(hits, whole, seed=seed))


def hits(model: SketchModel, sketches: Sequence[Sketch]) -> Float[np.ndarray, " drawings"]:
    """1 for each labelled drawing that is recognised, 0 for the others.

    Raises:
        DrawingError: no drawings.
        SightlineError: a label that is not among the model's.
    """
    truth = _truth(model, sketches)
    return _right(model, [model.prepare(s) for s in sketches], truth)


def probabilities(
    model: SketchModel, prepared: Sequence[Sketch], *, batch: int = 250
) -> Float[np.ndarray, "drawings labels"]:
    """The model's answers to prepared drawings, float64; it is left as it came."""
    device, dtype = place(model)
    pieces = []
    with as_found(model), torch.no_grad():
        for start in range(0, len(prepared), batch):
            drawings = SketchBatch.from_sketches(prepared[start : start + batch], dtype=dtype)
            pieces.append(model(drawings.to(device)).double().softmax(1).cpu().numpy())
    return np.concatenate(pieces)


def _truth(model: SketchModel, sketches: Sequence[Sketch]) -> np.ndarray:
    if not len(sketches):
        raise DrawingError("no drawings: there is nothing to recognise")
    index = {label: i for i, label in enumerate(model.labels)}
    unknown = sorted({str(s.label) for s in sketches if s.label not in index})
    if unknown:
        raise SightlineError(
            f"labels {', '.join(unknown)} are not among the model's: {', '.join(model.labels)}"
        )
    return np.array([index[str(s.label)] for s in sketches])


def _changed(name: str, change: Change, prepared: list[Sketch]) -> list[Sketch]:
    drawings = change(prepared)
    if len(drawings) != len(prepared):
        raise SightlineError(
            f"the change {name!r} made {len(drawings)} drawings of {len(prepared)}; "
            "return one for each, in the same order"
        )
    return drawings


def _right(
    model: SketchModel, prepared: Sequence[Sketch], truth: np.ndarray
) -> Float[np.ndarray, " drawings"]:
    return (probabilities(model, prepared).argmax(1) == truth).astype(float)
