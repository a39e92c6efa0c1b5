"""One round of the study of attacks: a drawing of each label under every kind of attack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sightline.errors import TaskError
from sightline.models.as_found import as_found
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.luck import seed_of
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.case import Case
from sightline.tasks.attack.change import change_between
from sightline.tasks.attack.point_moves import Moves, margins, move_points, moves_by_luck
from sightline.tasks.attack.reading import read_again
from sightline.tasks.attack.stroke_insertion import insert_stroke
from sightline.tasks.attack.stroke_removal import (
    chosen_removal,
    guided_order,
    removals,
    small_strokes,
    without_stroke,
)

BUDGETS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)
SHARES = (0.02, 0.05, 0.1, 0.2)
INSERTED = (0.05, 0.1, 0.2)
POINTS = ("moved by luck", "one step", "10 steps", "10 steps to a target")
REMOVED = ("removed by luck", "removed by SLA", "removed")
PUT_IN = ("inserted by luck", "inserted")
UNTOUCHED = "read again"


@dataclass(frozen=True)
class AttackStudy:
    """What is run.

    Args:
        drawings: of each label; inserted: of them, how many also have a stroke put in.
        budgets: of moved points, in units of the normalised frame.
        shares: of the ink, for removal; inserted_shares: for insertion.
        steps: of the attack of several steps.
        tries: strokes by luck of an insertion.
        seed: of the choice of drawings, targets and all luck.

    Raises:
        TaskError: no drawings, or more with a stroke put in than there are.
    """

    drawings: int = 8
    inserted: int = 3
    budgets: tuple[float, ...] = BUDGETS
    shares: tuple[float, ...] = SHARES
    inserted_shares: tuple[float, ...] = INSERTED
    steps: int = 10
    tries: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.drawings < 1 or not 0 <= self.inserted <= self.drawings:
            raise TaskError(
                f"{self.drawings} drawings of each label, {self.inserted} of them with a stroke "
                "put in; give at least 1, and no more of the second"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, but for how many drawings: more may be added later."""
        told = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        del told["drawings"], told["inserted"]
        return told


@dataclass(frozen=True)
class Row:
    """One drawing under one attack.

    Args:
        model, drawing: names.
        kind: of attack; level: its budget or share.
        success: the answer is what was wanted; again: also when read from the start.
        other: whether the other model, right about the drawing before, is wrong now; None where it
            was not right.
        ink, mean, largest: of the change, as shares; 0 where there was nothing to change.
    """

    model: str
    drawing: str
    kind: str
    level: float
    success: bool
    again: bool
    other: bool | None
    ink: float
    mean: float
    largest: float


def attacked_round(
    name: str,
    model: SketchModel,
    witness: SketchModel,
    drawings: Sequence[Sketch],
    study: AttackStudy,
    *,
    insert: bool,
) -> list[Row]:
    """Every attack on those drawings of a round that the model answers rightly.

    Args:
        name: of the model.
        model: attacked.
        witness: shown what came of it.
        drawings: labelled.
        study: budgets, shares and luck.
        insert: whether strokes are put in too, which costs most.
    """
    with as_found(model), as_found(witness), torch.no_grad():
        given = _Drawings.of(name, model, witness, drawings)
        if not given.sketches:
            return []
        rows = [*_moved(given, study), *_removed(given, study)]
        return rows + (list(_inserted(given, study)) if insert else [])


@dataclass(frozen=True, eq=False)
class _Drawings:
    """The drawings of a round that a model answers rightly, as it reads them."""

    name: str
    model: SketchModel
    witness: SketchModel
    sketches: list[Sketch]
    batch: SketchBatch
    labels: Int[Tensor, " sketches"]
    witnessed: Bool[np.ndarray, " sketches"]

    @classmethod
    def of(
        cls, name: str, model: SketchModel, witness: SketchModel, drawings: Sequence[Sketch]
    ) -> _Drawings:
        right = _answers_rightly(model, drawings, drawings)
        sketches = [sketch for sketch, hit in zip(drawings, right, strict=True) if hit]
        batch = batch_for(model, [model.prepare(sketch) for sketch in sketches])
        labels = [model.labels.index(str(sketch.label)) for sketch in sketches]
        told = torch.tensor(labels, dtype=torch.int64, device=batch.device)
        witnessed = _answers_rightly(witness, sketches, sketches)
        return cls(name, model, witness, sketches, batch, told, witnessed)

    @property
    def read(self) -> list[Sketch]:
        """The drawings in the model's frame."""
        return [self.batch.sketch(index) for index in range(len(self.batch))]

    def rows(
        self,
        kind: str,
        level: float,
        before: Sequence[Sketch],
        attacked: Sequence[Sketch | None],
        success: Sequence[bool],
        *,
        targets: Int[Tensor, " sketches"] | None = None,
    ) -> Iterator[Row]:
        """A row a drawing; None is an attack that had nothing to change."""
        shown = [old if new is None else new for old, new in zip(before, attacked, strict=True)]
        again = read_again(self.model, shown)
        seen = _answers_rightly(self.witness, shown, self.sketches)
        wanted = self.labels if targets is None else targets
        for index, new in enumerate(attacked):
            answer = again[index]
            reached = answer is not None and int(answer.argmax()) == int(wanted[index])
            done = new is not None and answer is not None
            change = (0.0, 0.0, 0.0) if new is None else _shares(before[index], new)
            yield Row(
                self.name,
                str(self.sketches[index].name),
                kind,
                level,
                success[index],
                done and (not reached if targets is None else reached),
                not bool(seen[index]) if self.witnessed[index] else None,
                *change,
            )


def _answers_rightly(
    model: SketchModel, shown: Sequence[Sketch], of: Sequence[Sketch]
) -> Bool[np.ndarray, " sketches"]:
    """Whether the answer to what is shown is the label of the drawing that it is of."""
    answers = read_again(model, shown)
    hits = [
        logits is not None and model.labels[int(logits.argmax())] == sketch.label
        for logits, sketch in zip(answers, of, strict=True)
    ]
    return np.array(hits, dtype=bool)


def _shares(before: Sketch, after: Sketch) -> tuple[float, float, float]:
    change = change_between(before, after)
    return change.ink, change.mean_share, change.largest_share


def _luck(sketch: Sketch, purpose: str, below: int) -> int:
    return seed_of(sketch, purpose) % below


# --- points ---------------------------------------------------------------------------------------


def _moved(given: _Drawings, study: AttackStudy) -> Iterator[Row]:
    """All drawings together, each kind of movement at each budget."""
    batch, labels = given.batch, given.labels
    yield from _of_moved(given, UNTOUCHED, 0.0, batch)
    classes = len(given.model.labels)
    luck = [_luck(sketch, f"{study.seed}/target", classes - 1) for sketch in given.sketches]
    targets = (labels + 1 + torch.tensor(luck).to(labels)) % classes
    for budget in study.budgets:
        by_luck = batch.with_points(batch.points + moves_by_luck(batch, budget, seed=study.seed))
        yield from _of_moved(given, POINTS[0], budget, by_luck)
        for kind, moves in ((POINTS[1], Moves(budget)), (POINTS[2], Moves(budget, study.steps))):
            yield from _of_moved(
                given, kind, budget, move_points(given.model, batch, labels, moves)
            )
        moves = Moves(budget, study.steps, targeted=True)
        moved = move_points(given.model, batch, targets, moves)
        yield from _of_moved(given, POINTS[3], budget, moved, targets)


def _of_moved(
    given: _Drawings,
    kind: str,
    level: float,
    moved: SketchBatch,
    targets: Int[Tensor, " sketches"] | None = None,
) -> Iterator[Row]:
    wanted = given.labels if targets is None else targets
    logits = given.model(moved.normalise())
    success = (margins(logits, wanted, targets is not None) > 0).tolist()
    attacked = [moved.sketch(index) for index in range(len(moved))]
    yield from given.rows(kind, level, given.read, attacked, success, targets=targets)


# --- strokes --------------------------------------------------------------------------------------


def _removed(given: _Drawings, study: AttackStudy) -> Iterator[Row]:
    """Every stroke of every drawing is taken away once; what may be taken depends on the share."""
    reads, found = given.read, [_each_removed(given, index) for index in range(len(given.batch))]
    for share in study.shares:
        plans: dict[str, list[int | None]] = {kind: [] for kind in REMOVED}
        for index, (margin, order) in enumerate(found):
            small = small_strokes(reads[index], share)
            plans[REMOVED[0]].append(_by_luck(given.sketches[index], small, study.seed))
            plans[REMOVED[1]].append(next((stroke for stroke in order if stroke in small), None))
            lengths = stroke_lengths(reads[index])[small]
            exact = small[chosen_removal(margin[small], lengths)] if small else None
            plans[REMOVED[2]].append(exact)
        for kind, strokes in plans.items():
            yield from _of_removed(given, kind, share, strokes, [margin for margin, _ in found])


def _each_removed(given: _Drawings, index: int) -> tuple[np.ndarray, list[int]]:
    """The margin without each stroke (none of those that cannot go), and SLA's order."""
    case = Case.of(given.model, given.sketches[index], None)
    read = case.reading.read
    margin, small = np.full(len(read), -np.inf), small_strokes(read, 1.0)
    if small:
        margin[small] = case.margins(removals(given.model, read, small)).cpu().numpy()
    return margin, guided_order(case, "sla")


def _by_luck(sketch: Sketch, small: Sequence[int], seed: int) -> int | None:
    return small[_luck(sketch, f"{seed}/removal", len(small))] if small else None


def _of_removed(
    given: _Drawings,
    kind: str,
    share: float,
    strokes: Sequence[int | None],
    margin: Sequence[np.ndarray],
) -> Iterator[Row]:
    attacked = [
        None if stroke is None else without_stroke(sketch, stroke)
        for sketch, stroke in zip(given.sketches, strokes, strict=True)
    ]
    success = [
        stroke is not None and bool(own[stroke] > 0)
        for own, stroke in zip(margin, strokes, strict=True)
    ]
    yield from given.rows(kind, share, given.sketches, attacked, success)


def _inserted(given: _Drawings, study: AttackStudy) -> Iterator[Row]:
    for share in study.inserted_shares:
        for kind, tries, steps in ((PUT_IN[0], 1, 0), (PUT_IN[1], study.tries, study.steps)):
            done = [
                insert_stroke(
                    given.model, sketch, share=share, tries=tries, steps=steps, seed=study.seed
                )
                for sketch in given.sketches
            ]
            attacked = [attack.attacked for attack in done]
            success = [attack.success for attack in done]
            yield from given.rows(kind, share, given.sketches, attacked, success)
