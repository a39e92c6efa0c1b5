"""One drawing under attack: what every kind of attack asks first and records last."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import TaskError, unknown_name
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.models.recognise import answers_of, names_of
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.attack import Attack, Kind
from sightline.tasks.attack.change import change_between
from sightline.tasks.attack.point_moves import margins
from sightline.tasks.attack.reading import Reading, read_again


@dataclass(frozen=True, eq=False)
class Case:
    """A drawing, the model's answer to it, and what is wanted instead.

    Made and asked within `as_found`, without gradients.

    Args:
        model: reads drawings.
        reading: of the drawing.
        batch: the drawing alone, as the model reads it.
        logits: the answer to it.
        label: to be left or, with a target, to be reached.
        target: its name; None where any other answer than ``label`` will do.
    """

    model: SketchModel
    reading: Reading
    batch: SketchBatch
    logits: Float[Tensor, " labels"]
    label: int
    target: str | None

    @classmethod
    def of(cls, model: SketchModel, sketch: Sketch, target: str | None) -> Case:
        """Read and ask.

        Raises:
            TaskError: an unknown target, or one that is the answer already.
        """
        reading = Reading.of(model, sketch)
        batch = batch_for(model, [reading.read])
        logits = model(batch)[0]
        names = names_of(model, len(logits))
        answer = int(logits.argmax())
        if target is not None and target not in names:
            raise TaskError(unknown_name("label", target, names))
        if target == names[answer]:
            raise TaskError(
                f"{target!r} is the answer already; give another target, or none to leave it"
            )
        label = answer if target is None else names.index(target)
        return cls(model, reading, batch, logits, label, target)

    def labels(self, drawings: int) -> Int[Tensor, " drawings"]:
        """The label for each of several variants of the drawing."""
        return torch.full((drawings,), self.label, device=self.batch.device)

    def margins(self, logits: Float[Tensor, "variants labels"]) -> Float[Tensor, " variants"]:
        """How far variants are past the border; above 0 is success."""
        return margins(logits, self.labels(len(logits)), self.target is not None)

    def record(
        self,
        kind: Kind,
        attacked: Sketch,
        after: Float[Tensor, " labels"],
        *,
        budget: float,
        used: float,
        evaluations: int,
        sketch: Sketch | None = None,
        stroke: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> Attack:
        """The attack, its change measured and the attacked drawing read from the start."""
        before = self.reading.source if sketch is None else sketch
        again = read_again(self.model, [attacked])[0]
        answer = answers_of(self.model, self.logits)[0]
        return Attack(
            kind=kind,
            sketch=before,
            attacked=attacked,
            label=answer.label,
            target=self.target,
            before=answer,
            after=answers_of(self.model, after)[0],
            again=None if again is None else answers_of(self.model, again)[0],
            budget=budget,
            used=used,
            evaluations=evaluations + 2,  # the answers before, and read again
            change=change_between(before, attacked),
            stroke=stroke,
            notes=notes,
        )
