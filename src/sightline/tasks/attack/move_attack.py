"""Attack a drawing by moving its points."""

from __future__ import annotations

import torch

from sightline.errors import TaskError
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.attack import Attack
from sightline.tasks.attack.case import Case
from sightline.tasks.attack.point_moves import (
    SHARPNESS,
    Loss,
    Moves,
    distances,
    move_points,
    moves_by_luck,
    within,
)

BUDGET = 0.04
STEPS = 10


def attack_points(
    model: object,
    sketch: Sketch,
    *,
    target: str | None = None,
    budget: float = BUDGET,
    steps: int = STEPS,
    step: float | None = None,
    starts: int = 1,
    loss: Loss = "margin",
    sharpness: float = SHARPNESS,
    seed: int = 0,
) -> Attack:
    """Move the points of a drawing, each by no more than a budget, until the answer changes.

    Args:
        model: a model of drawings, or a picture classifier.
        sketch: in any canvas units.
        target: the label to be reached; None leaves the answer for any other.
        budget: the farthest that a point may move, in units of the normalised frame, in which the
            longest side of the drawing is 1.48.
        steps: 1 is one step by the gradient; more are projected back into the budget.
        step: length of a step; by default 2.5 x budget / steps.
        starts: the first begins where the points are, others at luck within the budget; the best
            is kept.
        loss: what is climbed, as in `Moves`.
        sharpness: of the softer picture whose gradient stands for a picture's.
        seed: of the starts.

    Raises:
        TaskError: an unknown target, one that is the answer already, or settings without meaning.

    Example:
        >>> from sightline.models.raster import sketch_cnn
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> done = attack_points(sketch_cnn(("cross", "ring")), cross, budget=0.05, steps=2)
        >>> done.used <= 0.05, len(done.attacked)
        (True, 2)
    """
    moves = Moves(budget, steps, step, target is not None, loss)
    if starts < 1:
        raise TaskError(f"starts is {starts}; it must be at least 1")
    network = as_model(model)
    with as_found(network), torch.no_grad():
        case = Case.of(network, sketch, target)
        moved = _moved(case, moves, starts, seed, sharpness)
        cost = starts * (2 * steps + (steps > 1) + (starts > 1))
        return _recorded(case, moved, budget, cost)


def move_by_luck(model: object, sketch: Sketch, *, budget: float = BUDGET, seed: int = 0) -> Attack:
    """Move each point by the whole budget in a direction by luck: what attacks are compared with.

    Args:
        model: a model of drawings, or a picture classifier.
        sketch: in any canvas units.
        budget: how far each point moves, in units of the normalised frame.
        seed: of the luck, which depends on the drawing too.
    """
    Moves(budget)  # refuses a budget that is none, in words
    network = as_model(model)
    with as_found(network), torch.no_grad():
        case = Case.of(network, sketch, None)
        offset = moves_by_luck(case.batch, budget, seed=seed)
        origin = case.batch.points
        moved = case.batch.with_points(within(origin + offset, origin, budget))
        return _recorded(case, moved, budget, 0)


def _recorded(case: Case, moved: SketchBatch, budget: float, cost: int) -> Attack:
    return case.record(
        "points",
        case.reading.as_drawn(moved.sketch(0)),
        case.model(moved.normalise())[0],
        sketch=case.reading.as_drawn(case.reading.read),
        budget=budget,
        used=float(distances(moved.points, case.batch.points).max()),
        evaluations=cost + 1,
    )


def _moved(case: Case, moves: Moves, starts: int, seed: int, sharpness: float) -> SketchBatch:
    """The drawing after the best of its starts."""
    batch = case.batch
    many = batch.select(torch.zeros(starts, dtype=torch.int64, device=batch.device))
    luck = [
        moves_by_luck(batch, moves.budget, seed=seed + start, full=False)
        for start in range(1, starts)
    ]
    begin = torch.cat([torch.zeros_like(batch.points), *luck])
    labels = case.labels(starts)
    moved = move_points(case.model, many, labels, moves, start=begin, sharpness=sharpness)
    if starts == 1:
        return moved
    best = case.margins(case.model(moved.normalise())).argmax()
    return moved.select(best[None])
