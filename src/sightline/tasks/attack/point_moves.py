"""Movement of points within a budget: how little has to move for the answer to change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import TaskError, unknown_name
from sightline.models.as_found import as_found
from sightline.models.protocol import PictureModel, SketchModel
from sightline.parts.bound import see_softly
from sightline.sketch.batch import SketchBatch
from sightline.sketch.luck import seed_of

Loss = Literal["margin", "cross_entropy"]
LOSSES = ("margin", "cross_entropy")
Answers = Callable[[Float[Tensor, "points 2"]], Float[Tensor, "sketches labels"]]
"""Logits as a function of where the points are."""

SHARPNESS = 4.0
"""Beta, in 1 / pixels, of the sigmoid whose gradient stands for a picture's."""


@dataclass(frozen=True)
class Moves:
    """How far points may move, and how the way is looked for.

    Args:
        budget: the farthest that any point may be from where it was drawn, in canvas units of the
            frame given; a normalised drawing is 1.48 long.
        steps: 1 moves each point by the whole budget along its own gradient; more are shorter,
            each brought back into the budget, and the best place of all steps is kept.
        step: length of a step; by default the budget for one, 2.5 x budget / steps for more.
        targeted: whether the labels are to be reached, rather than left.
        loss: what is climbed. The margin between two logits keeps its gradient where the model
            is sure, and cross entropy (what training on attacked drawings usually climbs) not.

    Raises:
        TaskError: a budget below 0, no steps, a step that is not above 0, an unknown loss.

    Example:
        >>> Moves(budget=0.02, steps=10).length
        0.005
    """

    budget: float
    steps: int = 1
    step: float | None = None
    targeted: bool = False
    loss: Loss = "margin"

    def __post_init__(self) -> None:
        if not 0 <= self.budget < math.inf:
            raise TaskError(f"the budget is {self.budget}; give a length of 0 or more, as in 0.02")
        if self.steps < 1:
            raise TaskError(f"steps is {self.steps}; it must be at least 1")
        if self.step is not None and not 0 < self.step < math.inf:
            raise TaskError(f"step is {self.step}; give a length above 0, or None")
        if self.loss not in LOSSES:
            raise TaskError(unknown_name("loss", self.loss, LOSSES))

    @property
    def length(self) -> float:
        """Length of a step."""
        if self.step is not None:
            return self.step
        return self.budget if self.steps == 1 else 2.5 * self.budget / self.steps


def move_points(
    model: SketchModel,
    batch: SketchBatch,
    labels: Int[Tensor, " sketches"],
    moves: Moves,
    *,
    start: Float[Tensor, "points 2"] | None = None,
    normalise: bool = True,
    sharpness: float = SHARPNESS,
) -> SketchBatch:
    """Move the points of drawings so that a model leaves a label, or reaches one.

    Drawings are moved together, and each as it would be alone, but for rounding. A picture model
    in float32 rounds otherwise in another batch, and unit steps and the choice of the best step
    make that large: points may end elsewhere within the budget, at answers that seldom differ. In
    float64 they end where they would alone. The model is left as it came.

    Args:
        model: reads drawings. One of pictures is shown its own picture, with the gradient of a
            softer one.
        batch: drawings as the model reads them, where it is.
        labels: to be left, or with ``moves.targeted`` to be reached: one a drawing.
        moves: the budget and the way.
        start: offsets to begin with, such as `moves_by_luck` gives.
        normalise: whether the model is shown the moved drawing normalised anew, as it would read
            it; otherwise as it stands.
        sharpness: beta of the softer picture's sigmoid, in 1 / pixels.

    Returns:
        The moved drawings in the frame of ``batch``. Where ``normalise`` is left, the model's
        answer is ``model(moved.normalise())``.

    Raises:
        TaskError: labels that are not one a drawing, or no gradient by the places of points.

    Source:
        Goodfellow et al., 2015 (one step); Madry et al., 2018 (steps with projection). The ball is
        a disc of radius ``budget`` around each point, so the steepest step is each point's own
        unit gradient.
    """
    if labels.shape != (len(batch),):
        raise TaskError(
            f"labels are of shape {list(labels.shape)}; give one a drawing, [{len(batch)}]"
        )
    with as_found(model):
        batch = _fresh(batch)
        answers = answers_by_points(model, batch, normalise=normalise, sharpness=sharpness)
        points = moved_points(
            answers, batch.points, batch.sketch_of_point, labels.clone(), moves, start=start
        )
    return batch.with_points(points)


def answers_by_points(
    model: SketchModel,
    batch: SketchBatch,
    *,
    normalise: bool = True,
    sharpness: float = SHARPNESS,
) -> Answers:
    """A model's answer to drawings as a function of their points, differentiable in them.

    The model is asked as it is: modes and weights are not touched. Arguments as in `move_points`.
    """
    soft = model.rasteriser.softened(sharpness) if isinstance(model, PictureModel) else None

    def answers(points: Float[Tensor, "points 2"]) -> Float[Tensor, "sketches labels"]:
        moved = batch.with_points(points)
        moved = moved.normalise() if normalise else moved
        if soft is None or not isinstance(model, PictureModel):
            return model(moved)
        return see_softly(model, moved, soft)

    return answers


def moved_points(
    answers: Answers,
    points: Float[Tensor, "points 2"],
    owner: Int[Tensor, " points"],
    labels: Int[Tensor, " sketches"],
    moves: Moves,
    *,
    start: Float[Tensor, "points 2"] | None = None,
) -> Float[Tensor, "points 2"]:
    """The places of points after an attack: tensors in, a tensor without a graph out.

    Gradients are taken by the points alone, so no weight's ``.grad`` is touched, and nothing is
    asked of the model but ``answers``. One step costs one pass forward and backward; ``n`` steps
    cost ``n`` of them and a last pass forward.

    Args:
        answers: logits of places, such as `answers_by_points` gives.
        points: where they were drawn.
        owner: the drawing that each point belongs to.
        labels: to be left, or reached: one a drawing.
        moves: the budget and the way.
        start: offsets to begin with; brought into the budget first.

    Example:
        >>> lean = lambda points: torch.stack([points[:, 0] * 0, points[:, 0]], 1)
        >>> point, whose = torch.tensor([[0.0, 0.0]]), torch.tensor([0])
        >>> moved_points(lean, point, whose, torch.tensor([0]), Moves(0.5)).tolist()
        [[0.5, 0.0]]
    """
    origin = points.detach()
    place = origin if start is None else within(origin + start, origin, moves.budget)
    best = _Best(origin, torch.full(labels.shape, -math.inf, device=origin.device))
    for step in range(moves.steps):
        logits, slope = _climb(answers, place, labels, moves)
        if step:  # where it began is no move
            best.keep(place, margins(logits, labels, moves.targeted), owner)
        place = within(place + moves.length * directions(slope), origin, moves.budget)
    if moves.steps == 1:
        return place
    with torch.no_grad():
        best.keep(place, margins(answers(place), labels, moves.targeted), owner)
    return best.place


def margins(
    logits: Float[Tensor, "sketches labels"], labels: Int[Tensor, " sketches"], targeted: bool
) -> Float[Tensor, " sketches"]:
    """How far an attack is past the border, in logits: above 0 where it has succeeded.

    Example:
        >>> margins(torch.tensor([[2.0, 5.0, 1.0]]), torch.tensor([0]), False).tolist()
        [3.0]
        >>> margins(torch.tensor([[2.0, 5.0, 1.0]]), torch.tensor([0]), True).tolist()
        [-3.0]
    """
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -math.inf).amax(1)
    return own[:, 0] - others if targeted else others - own[:, 0]


def within(
    place: Float[Tensor, "points 2"], origin: Float[Tensor, "points 2"], budget: float
) -> Float[Tensor, "points 2"]:
    """Each point, or the nearest place to it that is no farther than the budget from its origin.

    Rounding may not bring it outside either: where it would, the place is a little nearer.

    Example:
        >>> within(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), 2.5).tolist()
        [[1.5, 2.0]]
    """
    offset = place - origin
    length = offset.norm(dim=1, keepdim=True)
    if not budget:
        return origin
    kept = origin + offset * (budget / length.clamp_min(budget))
    over = distances(kept, origin)[:, None] > budget
    # a place is rounded by the size of its coordinates, not by that of its offset
    slack = 4 * torch.finfo(origin.dtype).eps * (origin.abs().amax(1, keepdim=True) + budget)
    inner = origin + offset * ((budget - slack).clamp_min(0) / length.clamp_min(budget))
    return torch.where(over, inner, kept)


def distances(
    place: Float[Tensor, "points 2"], origin: Float[Tensor, "points 2"]
) -> Float[Tensor, " points"]:
    """How far each point is from its origin, in float64: a float32 may round over a budget."""
    return (place.double() - origin.double()).norm(dim=1)


def directions(slope: Float[Tensor, "points 2"]) -> Float[Tensor, "points 2"]:
    """Each point's own unit vector; none where there is no slope."""
    length = slope.norm(dim=1, keepdim=True)
    return torch.where(length > 0, slope / length, 0)


def slope_of(height: Tensor, place: Tensor, cure: str) -> Float[Tensor, "points 2"]:
    """The gradient of a height by the places of points.

    Raises:
        TaskError: the height does not depend on them; ``cure`` says what to do instead.
    """
    slope = None
    if height.requires_grad:
        (slope,) = torch.autograd.grad(height, place, allow_unused=True)
    if slope is None:
        raise TaskError(
            "points are moved along a gradient, and this model's answer carries none by their "
            f"places; {cure}"
        )
    return slope


def moves_by_luck(
    batch: SketchBatch, budget: float, *, seed: int = 0, full: bool = True
) -> Float[Tensor, "points 2"]:
    """Offsets in directions by luck: what an attack is compared with, or begins from.

    Each drawing has luck of its own, from its points and the seed, so its mates do not change it.

    Args:
        batch: drawings.
        budget: the radius.
        seed: of the luck.
        full: by the whole budget; otherwise uniform in the disc.
    """
    found = [_luck(batch, index, seed, full) for index in range(len(batch))]
    offsets = torch.cat(found) if found else torch.zeros(0, 2, dtype=torch.float64)
    return budget * offsets.to(batch.points)


def _luck(batch: SketchBatch, index: int, seed: int, full: bool) -> Float[Tensor, "points 2"]:
    sketch = batch.sketch(index)
    own = seed_of(sketch, f"{seed}/move")
    generator = torch.Generator().manual_seed(own)
    angle, radius = torch.rand(2, len(sketch.points), generator=generator, dtype=torch.float64)
    offset = torch.stack([(math.tau * angle).cos(), (math.tau * angle).sin()], 1)
    return offset if full else offset * radius.sqrt()[:, None]


@dataclass
class _Best:
    """The best place of each drawing so far, and how good it is."""

    place: Tensor
    margin: Tensor

    def keep(self, place: Tensor, margin: Tensor, owner: Tensor) -> None:
        better = margin > self.margin
        self.place = torch.where(better[owner][:, None], place, self.place)
        self.margin = torch.where(better, margin.to(self.margin.dtype), self.margin)


def _climb(
    answers: Answers, place: Tensor, labels: Tensor, moves: Moves
) -> tuple[Float[Tensor, "sketches labels"], Float[Tensor, "points 2"]]:
    """The answer at a place, and the gradient of what is climbed there."""
    with torch.enable_grad():
        place = place.detach().clone().requires_grad_()
        logits = answers(place)
        if moves.loss == "margin":
            height = margins(logits, labels, moves.targeted).sum()
        else:
            far = F.cross_entropy(logits, labels, reduction="sum")
            height = -far if moves.targeted else far
        cure = "attack it by removal or insertion of a stroke, or by luck"
        return logits.detach(), slope_of(height, place, cure)


def _fresh(batch: SketchBatch) -> SketchBatch:
    """Tensors that autograd may keep, also where the caller made them in inference mode."""
    return SketchBatch(
        batch.points.detach().clone(), batch.stroke_offsets.clone(), batch.sketch_offsets.clone()
    )
