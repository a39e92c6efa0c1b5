"""The objective of guided training: the loss of the task, and a loss on where the model looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.examples import GuidedExamples
from sightline.alignment.looking import Guide
from sightline.alignment.reading import BATCH, able_to_look
from sightline.alignment.wanted import GuidedBatch
from sightline.models.ask import logits_of
from sightline.models.place import place
from sightline.training.objective import cross_entropy
from sightline.training.processes import Processes


@dataclass(frozen=True, eq=False)
class Guided:
    """The task's cross entropy, and a guide's loss on the items that have labels.

    The maps come from the forward pass that the task's loss makes; the model is in whatever mode
    training has it in.

    Args:
        guide: which maps, which loss, how strong.
        smoothing: of the task's labels.
        taught: tells what people said from anything else that they could have said; a run goes on
            only with the same.
        chooses: which number of `validate` chooses the best epoch; ``"epoch"``: the last one.
    """

    guide: Guide
    smoothing: float = 0.0
    taught: str = ""
    chooses: str = "valid_score"

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values for the run's manifest."""
        told = {"taught": self.taught} if self.taught else {}
        return {"guide": self.guide.settings, "smoothing": self.smoothing, **told}

    @property
    def learnt(self) -> nn.Module | None:
        """What the guide's loss learns itself."""
        return self.guide.loss if isinstance(self.guide.loss, nn.Module) else None

    def losses(
        self, model: nn.Module, batch: GuidedBatch, target: Int[Tensor, " items"]
    ) -> dict[str, Float[Tensor, " items"]]:
        """``task`` and ``attention`` of each item, both weighted."""
        rows = batch.wanted.labelled
        if not len(rows) or not self.guide.strength:  # the plain task, to the bit
            plain = cross_entropy(logits_of(model, batch.inputs), target, self.smoothing)
            return {"task": batch.task_weight * plain, "attention": torch.zeros_like(plain)}
        looked = self.guide.source.look(model, batch.inputs)
        task = batch.task_weight * cross_entropy(looked.logits, target, self.smoothing)
        far = self.guide.loss(looked.maps(target, rows), batch.wanted.select(rows))
        weighted = self.guide.strength * batch.wanted.weight[rows] * far.to(task.dtype)
        return {"task": task, "attention": torch.zeros_like(task).index_add(0, rows, weighted)}

    def validate(
        self, model: nn.Module, data: GuidedExamples, processes: Processes
    ) -> dict[str, float]:
        """Accuracy; the mean loss on attention of labelled items; and the score that chooses.

        The score is the negative of the whole loss, weighted as in training: a biased validation
        split is recognised by a model that looks at the wrong thing as well as by one that does
        not.
        """
        sums = torch.zeros(4, dtype=torch.float64)  # hits, task, attention, labelled
        batches = torch.arange(len(data)).split(BATCH)
        device, dtype = place(model)
        for chosen in batches[processes.rank :: processes.count]:
            batch, target = data.batch(chosen).to(device, dtype), data.targets(chosen).to(device)
            with able_to_look(model):
                looked = self.guide.source.look(model, batch.inputs)
                rows = batch.wanted.labelled
                far = torch.zeros(0)
                if len(rows):
                    maps = looked.maps(target, rows).detach()
                    with torch.no_grad():
                        far = self.guide.loss(maps, batch.wanted.select(rows))
                        # the item's own weight, without the scale of its batch
                        far = far * batch.wanted.weight[rows] * (len(rows) / len(chosen))
                logits = looked.logits.detach()
            hits = (logits.argmax(1) == target).sum()
            task = (batch.task_weight * cross_entropy(logits, target, self.smoothing)).sum()
            found = [hits.double(), task, far.double().sum(), torch.tensor(float(len(rows)))]
            sums += torch.stack([number.double().cpu() for number in found])
        hits, task, far, labelled = processes.sum(sums).tolist()
        attention = far / labelled if labelled else 0.0
        return {
            "valid_top1": hits / len(data),
            "valid_attention": attention,
            "valid_score": -(task / len(data) + self.guide.strength * attention),
        }
