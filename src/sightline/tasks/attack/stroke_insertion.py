"""Insertion of one small stroke: does a little more ink change the answer?"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import TaskError
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.sketch.batch import SketchBatch, offsets_of
from sightline.sketch.lengths import line_length
from sightline.sketch.luck import seed_of
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.attack import Attack
from sightline.tasks.attack.case import Case
from sightline.tasks.attack.change import ink_length
from sightline.tasks.attack.point_moves import SHARPNESS, answers_by_points, directions, slope_of
from sightline.tasks.attack.stroke_removal import SHARE, check_share

TRIES = 64
STEPS = 10
POINTS = (2, 5)
"""Fewest and most points of an inserted stroke."""

TURN = 0.7
"""Standard deviation of the bend at a point, in radians."""

REFINED = 4
"""How many of the best tries are refined."""

ROUNDING = 1e-6
"""What rounding may add to the length of a stroke, in the normalised frame."""

Stroke = Float[Tensor, "_ 2"]


def insert_stroke(
    model: object,
    sketch: Sketch,
    *,
    target: str | None = None,
    share: float = SHARE,
    tries: int = TRIES,
    steps: int = STEPS,
    sharpness: float = SHARPNESS,
    seed: int = 0,
) -> Attack:
    """Put in one short stroke that changes the answer.

    Strokes by luck, inside the drawing's box, are scored in one batch. The best of them are then
    refined by gradient steps on their points, within the box and the length that is allowed. The
    stroke is drawn last; all others stay as they are.

    Args:
        model: a model of drawings, or a picture classifier.
        sketch: in any canvas units.
        target: the label to be reached; None leaves the answer for any other.
        share: the longest the stroke may be, as a share of the length of all lines.
        tries: strokes by luck.
        steps: of the refinement; 0 leaves it out.
        sharpness: of the softer picture whose gradient stands for a picture's.
        seed: of the luck, which depends on the drawing too.

    Raises:
        TaskError: a share that is not above 0 and below 1, no tries, steps below 0, an unknown
            target, one that is the answer already, or a model without gradient to refine by.
    """
    check_share(share)
    if tries < 1 or steps < 0:
        raise TaskError(f"{tries} tries, {steps} steps; give at least 1 and 0")
    network = as_model(model)
    with as_found(network), torch.no_grad():
        case = Case.of(network, sketch, target)
        ink = ink_length(case.reading.read)
        allowed = share * ink
        longest = max(allowed - ROUNDING, allowed / 2)
        strokes = strokes_by_luck(case.reading.read, longest, tries, seed=seed)
        many = inserted(case, strokes)
        logits = network(many)
        height = case.margins(logits)
        best = height.topk(min(REFINED if steps else 1, tries)).indices
        stroke, after = strokes[int(best[0])], logits[best[0]]
        if steps:
            start = inserted(case, [strokes[index] for index in best.tolist()])
            stroke, after = _refined(case, start, longest, steps, sharpness)
        line = stroke.double().cpu().numpy()
        placed = case.reading.as_drawn(Sketch.from_strokes([line]))
        attacked = Sketch((*sketch.strokes, *placed.strokes), label=sketch.label, name=sketch.name)
        return case.record(
            "insert",
            attacked,
            after,
            budget=share,
            used=line_length(line) / ink,
            evaluations=tries + (2 * steps + 1) * len(best) * bool(steps),
            stroke=len(sketch),
        )


def strokes_by_luck(
    read: Sketch, longest: float, count: int, *, seed: int = 0
) -> list[Float[Tensor, "_ 2"]]:
    """Short strokes inside a drawing's box: gently bending lines of 2 to 5 points.

    Args:
        read: the drawing, on whose points the luck depends.
        longest: length of each, but where the box cuts it.
        count: how many.
        seed: of the luck.
    """
    own = seed_of(read, f"{seed}/insert")
    luck = torch.Generator().manual_seed(own)
    lo, hi = torch.from_numpy(read.box).view(2, 2)
    return [_by_luck(lo, hi, longest, luck) for _ in range(count)]


def _by_luck(lo: Tensor, hi: Tensor, longest: float, luck: torch.Generator) -> Stroke:
    points = int(torch.randint(POINTS[0], POINTS[1] + 1, (), generator=luck))
    first = lo + (hi - lo) * torch.rand(2, generator=luck, dtype=torch.float64)
    turns = TURN * torch.randn(points - 1, generator=luck, dtype=torch.float64)
    turns[0] = math.tau * torch.rand((), generator=luck, dtype=torch.float64)
    heading = turns.cumsum(0)
    steps = torch.stack([heading.cos(), heading.sin()], 1) * longest / (points - 1)
    walk = torch.cat([first[None], first + steps.cumsum(0)])
    return walk.clamp(lo, hi)


def inserted(case: Case, strokes: list[Float[Tensor, "_ 2"]]) -> SketchBatch:
    """The drawing once for each of some strokes, which is drawn last."""
    own = case.batch
    points = [piece for stroke in strokes for piece in (own.points, stroke.to(own.points))]
    lengths = [
        length for stroke in strokes for length in (*own.points_per_stroke.tolist(), len(stroke))
    ]
    counts = torch.full((len(strokes),), len(own.order) + 1, device=own.device)
    ends = offsets_of(torch.tensor(lengths, dtype=torch.int64, device=own.device))
    return SketchBatch(torch.cat(points), ends, offsets_of(counts))


def _refined(
    case: Case, start: SketchBatch, longest: float, steps: int, sharpness: float
) -> tuple[Stroke, Float[Tensor, " labels"]]:
    """The last strokes of drawings after steps up their margin: the best stroke of all steps."""
    last = start.sketch_offsets[1:] - 1
    free = (start.stroke_of_point[:, None] == last).any(1)
    answers = answers_by_points(case.model, start, normalise=False, sharpness=sharpness)
    points, found = start.points, []
    for _ in range(steps):
        with torch.enable_grad():
            place = points.detach().clone().requires_grad_()
            logits = answers(place)
            slope = slope_of(case.margins(logits).sum(), place, "give steps=0")
        found.append((points, logits.detach()))
        step = 2.5 * longest / steps * directions(slope) * free[:, None]
        points = _kept(case, start, points + step, free, longest)
    found.append((points, answers(points)))
    heights = torch.stack([case.margins(logits) for _, logits in found])
    when, which = divmod(int(heights.argmax()), len(start))
    points, logits = found[when]
    return points[start.stroke_of_point == last[which]], logits[which]


def _kept(
    case: Case, start: SketchBatch, points: Tensor, free: Tensor, longest: float
) -> Float[Tensor, "points 2"]:
    """Inserted strokes brought back into the drawing's box and to the length allowed."""
    lo, hi = case.batch.points.amin(0), case.batch.points.amax(0)
    moved = torch.where(free[:, None], points.clamp(lo, hi), points)
    for stroke in (start.sketch_offsets[1:] - 1).tolist():
        first, last = start.stroke_offsets[stroke : stroke + 2].tolist()
        line = moved[first:last]
        middle, length = line.mean(0), line.diff(dim=0).norm(dim=1).sum()
        if length > longest:  # towards its middle, which stays in the box
            moved[first:last] = middle + (line - middle) * (longest / length)
    return moved
