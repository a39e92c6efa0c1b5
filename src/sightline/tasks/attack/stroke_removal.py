"""Removal of one small stroke: does the answer hang on it?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError, TaskError, unknown_name
from sightline.game import Game
from sightline.methods import METHODS, explain
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.parts import Strokes
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.sketch import Sketch
from sightline.targets import ClassScore
from sightline.tasks.attack.attack import Attack
from sightline.tasks.attack.case import Case

SHARE = 0.1
GUIDE_COST = 4
"""Evaluations: a game asks two, a gradient costs two."""


def remove_small_stroke(
    model: object,
    sketch: Sketch,
    *,
    target: str | None = None,
    share: float = SHARE,
    guide: str | None = None,
) -> Attack:
    """Take away the one small stroke that changes the answer, if there is one.

    Every stroke that is small enough is tried, in one batch, so the result is exact: of those that
    change the answer, the one with the least ink; of none, the one that comes nearest. With a
    ``guide`` only the small stroke that an explanation ranks first is tried.

    Args:
        model: a model of drawings, or a picture classifier.
        sketch: in any canvas units.
        target: the label to be reached; None leaves the answer for any other.
        share: the most ink of the stroke, as a share of the length of all lines.
        guide: a method that scores strokes, such as ``"sla"``.

    Returns:
        An attack; where no stroke is small enough it removes none, and a note says so.

    Raises:
        TaskError: a share that is not above 0 and below 1, an unknown target, or one that is the
            answer already.
        GameError: an unknown guide, or one that does not work on this model.
    """
    check_share(share)
    if guide is not None and guide not in METHODS:
        raise GameError(unknown_name("method", guide, METHODS))
    network = as_model(model)
    with as_found(network), torch.no_grad():
        case = Case.of(network, sketch, target)
    small = small_strokes(case.reading.read, share)
    cost = len(small)
    if guide is not None and small:
        order = guided_order(case, guide)
        small, cost = [next(stroke for stroke in order if stroke in small)], 1 + GUIDE_COST
    with as_found(network), torch.no_grad():
        if not small:
            note = f"no stroke that could be spared has at most {100 * share:g}% of the ink"
            return case.record(
                "remove", sketch, case.logits, budget=share, used=0.0, evaluations=0, notes=(note,)
            )
        removed = removals(network, case.reading.read, small)
        lengths = stroke_lengths(case.reading.read)
        chosen = chosen_removal(case.margins(removed).cpu().numpy(), lengths[small])
        return case.record(
            "remove",
            without_stroke(sketch, small[chosen]),
            removed[chosen],
            budget=share,
            used=float(lengths[small[chosen]] / lengths.sum()),
            evaluations=cost,
            stroke=small[chosen],
        )


def check_share(share: float) -> None:
    """Refuse what is no share of the ink.

    Raises:
        TaskError: it is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise TaskError(f"share is {share}; give a part of the ink, above 0 and below 1")


def small_strokes(read: Sketch, share: float) -> list[int]:
    """The strokes with at most this share of the ink whose removal leaves a drawing of some size.

    Example:
        >>> rungs = Sketch.from_strokes([[(0, 0), (0, 8)], [(1, 0), (1, 1)], [(2, 0), (2, 3)]])
        >>> small_strokes(rungs, 0.25)
        [1, 2]
    """
    lengths = stroke_lengths(read)
    small = np.flatnonzero(lengths <= share * lengths.sum()).tolist()
    return [index for index in small if len(read) > 1 and without_stroke(read, index).has_size]


def without_stroke(sketch: Sketch, stroke: int) -> Sketch:
    """The drawing without one stroke; the others stay where they are."""
    return sketch.select([index for index in range(len(sketch)) if index != stroke])


def removals(
    model: SketchModel, read: Sketch, strokes: Sequence[int]
) -> Float[Tensor, "strokes labels"]:
    """The logits of a drawing without each of some strokes, normalised anew, in one batch."""
    left = [without_stroke(read, stroke) for stroke in strokes]
    return model(batch_for(model, left).normalise())


def guided_order(case: Case, guide: str) -> list[int]:
    """The strokes as an explanation ranks them: first what speaks most for the label to be left.

    Of a target it is what speaks most against it.
    """
    game = Game(case.model, Strokes(case.reading.read), ClassScore(case.label))
    scores = explain(game, guide).scores[0]
    return np.argsort(-scores if case.target is None else scores, kind="stable").tolist()


def chosen_removal(
    margin: Float[np.ndarray, " strokes"], length: Float[np.ndarray, " strokes"]
) -> int:
    """Of those that succeed the one with the least ink; of none the one that comes nearest."""
    succeeds = margin > 0
    return int(np.where(succeeds, length, np.inf).argmin() if succeeds.any() else margin.argmax())
