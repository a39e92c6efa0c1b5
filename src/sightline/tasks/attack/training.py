"""Training on attacked drawings, and accuracy under attack."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.errors import TaskError
from sightline.models.ask import logits_of
from sightline.models.place import place
from sightline.models.protocol import SketchModel
from sightline.sketch.batch import SketchBatch
from sightline.tasks.attack.point_moves import (
    Moves,
    answers_by_points,
    move_points,
    moved_points,
)
from sightline.training.evaluate import accuracy
from sightline.training.examples import StrokeExamples
from sightline.training.loop import modes_of
from sightline.training.objective import cross_entropy
from sightline.training.processes import Processes


@dataclass(frozen=True)
class TrainedOnAttacks:
    """An objective: recognise drawings also when their points were moved against the model.

    Each batch is attacked anew, by the model as it is at that step, in evaluation mode and in the
    frame of the batch. One step costs a forward and a backward pass more, and learning from the
    moved drawings as much again.

    Args:
        moves: the attack. Cross entropy is what is usually climbed here.
        smoothing: of the labels.
        clean: share of the loss that is of the drawings as they are; 0 leaves them out.
        chooses: which number of `validate` chooses the best epoch.

    Raises:
        TaskError: targeted moves, or a share that is none.

    Source:
        Madry et al., 2018 (training on the attacked items); the share of clean ones as in
        Goodfellow et al., 2015, eq. in section 6, where it is a half.
    """

    moves: Moves
    smoothing: float = 0.0
    clean: float = 0.5
    chooses: str = "valid_mean"

    def __post_init__(self) -> None:
        if self.moves.targeted:
            raise TaskError("training moves drawings away from their label; targeted=True is none")
        if not 0 <= self.clean < 1:
            raise TaskError(f"the share of clean drawings is {self.clean}; expected 0 to below 1")

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values that another run must share to be the same."""
        return {"attacked": asdict(self.moves), "clean": self.clean}

    @property
    def learnt(self) -> None:
        """Nothing."""

    def losses(
        self, model: nn.Module, batch: SketchBatch, target: Int[Tensor, " items"]
    ) -> dict[str, Float[Tensor, " items"]]:
        """``task`` of the drawings as they are, ``attacked`` of the moved ones."""
        with modes_of(model):
            model.eval()
            answers = answers_by_points(_reader(model), batch, normalise=False)
            points = moved_points(answers, batch.points, batch.sketch_of_point, target, self.moves)
        shown = {"attacked": (1 - self.clean, batch.with_points(points))}
        if self.clean:
            shown["task"] = (self.clean, batch)
        return {
            name: share * cross_entropy(logits_of(model, drawings), target, self.smoothing)
            for name, (share, drawings) in shown.items()
        }

    def validate(
        self, model: nn.Module, data: StrokeExamples, processes: Processes
    ) -> dict[str, float]:
        """Accuracy on the drawings as they are, on attacked ones, and the mean of the two."""
        attacked = AttackedExamples(data, model, self.moves)
        top1 = accuracy(model, data, processes=processes)
        found = accuracy(model, attacked, processes=processes)
        return {"valid_top1": top1, "valid_attacked": found, "valid_mean": (top1 + found) / 2}


@dataclass(frozen=True, eq=False)
class AttackedExamples:
    """Labelled drawings whose points are moved against a model as they are read.

    Each drawing is shown as the model would read it anew: normalised after it was moved.

    Args:
        data: the drawings as they are.
        model: is attacked, and left as it came.
        moves: the budget and the way.
    """

    data: StrokeExamples
    model: nn.Module
    moves: Moves

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, index: Int[Tensor, " chosen"]) -> SketchBatch:
        """These drawings, moved, where the model is."""
        device, dtype = place(self.model)
        drawings = self.data.batch(index).to(device, dtype)
        labels = self.data.targets(index).to(device)
        return move_points(_reader(self.model), drawings, labels, self.moves).normalise()

    def targets(self, index: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Their labels."""
        return self.data.targets(index)


def _reader(model: nn.Module) -> SketchModel:
    if not isinstance(model, SketchModel):
        raise TaskError(
            f"{type(model).__name__} is no model of drawings, which has labels and `prepare`; "
            "only such a model can be attacked"
        )
    return model
