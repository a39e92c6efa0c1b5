"""How well a model recognises drawings or pictures: accuracy, per class, confusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.metrics.intervals import Interval, wilson
from sightline.models.as_found import as_found
from sightline.models.ask import logits_of
from sightline.models.place import place
from sightline.training.examples import Examples
from sightline.training.processes import ALONE, Processes

BATCH = 250


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Hits and misses of a recogniser.

    Args:
        labels: the model's labels.
        confusion: rows are the true labels, columns the answers.
        top1, top5: shares with their Wilson intervals.
    """

    labels: tuple[str, ...]
    confusion: Int[np.ndarray, "labels labels"]
    top1: Interval
    top5: Interval

    @classmethod
    def from_logits(
        cls, logits: Float[Tensor, "sketches labels"], target: Tensor, labels: tuple[str, ...]
    ) -> Evaluation:
        """Count hits and misses of answers that are at hand."""
        return cls.from_counts(*_count(logits, target, len(labels)), labels)

    @classmethod
    def from_counts(
        cls, confusion: Int[Tensor, "labels labels"], top5: Tensor, labels: tuple[str, ...]
    ) -> Evaluation:
        """From the table of true labels and answers, and how many were among the best five."""
        count, hits = int(confusion.sum()), int(confusion.trace())
        return cls(labels, confusion.numpy(), wilson(hits, count), wilson(int(top5), count))

    def per_class(self) -> list[dict[str, Any]]:
        """One row a label: how many, how many right, Wilson interval, most common wrong answer."""
        rows = []
        for index, label in enumerate(self.labels):
            row = self.confusion[index]
            count, hits = int(row.sum()), int(row[index])
            if not count:
                continue
            wrong = np.where(np.arange(len(row)) == index, 0, row)
            share = wilson(hits, count)
            rows.append(
                {
                    "label": label,
                    "count": count,
                    "correct": hits,
                    "accuracy": share.estimate,
                    "low": share.low,
                    "high": share.high,
                    "taken_for": self.labels[int(wrong.argmax())] if wrong.any() else "",
                }
            )
        return rows


def evaluate(
    model: nn.Module,
    data: Examples,
    labels: tuple[str, ...],
    *,
    batch: int = BATCH,
    processes: Processes = ALONE,
) -> Evaluation:
    """Run a model over drawings or pictures; it is left as it came.

    Counts are kept and answers are not, so memory does not grow with the set. On several
    processes each takes whole batches, the same ones that one process would take, and the whole
    numbers are added: the result is that of one process, whatever their number.

    Args:
        model: answers with one logit a label.
        data: with targets among ``labels``.
        labels: the model's.
        batch: drawings a forward pass.
        processes: those that share the work; all must call this.
    """
    confusion = torch.zeros(len(labels), len(labels), dtype=torch.int64)
    top5 = torch.zeros((), dtype=torch.int64)
    for chosen, logits in answers(model, data, batch=batch, processes=processes):
        table, hits = _count(logits, data.targets(chosen), len(labels))
        confusion += table
        top5 += hits
    processes.sum_each([confusion, top5])
    return Evaluation.from_counts(confusion, top5, labels)


def accuracy(
    model: nn.Module, data: Examples, *, batch: int = BATCH, processes: Processes = ALONE
) -> float:
    """Share of items that are recognised; as `evaluate`, without the table."""
    hits = torch.zeros((), dtype=torch.int64)
    for chosen, logits in answers(model, data, batch=batch, processes=processes):
        hits += (logits.argmax(1) == data.targets(chosen)).sum()
    return int(processes.sum(hits)) / len(data)


def predict(
    model: nn.Module, data: Examples, *, batch: int = BATCH
) -> Float[Tensor, "sketches labels"]:
    """Logits of all items, float32 on the CPU; the model is left as it came."""
    return torch.cat([logits for _, logits in answers(model, data, batch=batch)])


def answers(
    model: nn.Module, data: Examples, *, batch: int = BATCH, processes: Processes = ALONE
) -> Iterator[tuple[Int[Tensor, " chosen"], Float[Tensor, "chosen labels"]]]:
    """Indices and logits of this process's batches, one batch at a time."""
    device, dtype = place(model)
    batches = torch.arange(len(data)).split(batch)
    for chosen in batches[processes.rank :: processes.count]:
        items = data.batch(chosen).to(device, dtype)
        with as_found(model), torch.no_grad():
            logits = logits_of(model, items).float().cpu()
        yield chosen, logits


def _count(logits: Tensor, target: Tensor, labels: int) -> tuple[Tensor, Tensor]:
    """Table of true labels and answers; how many true labels are among the best five answers."""
    best = logits.topk(min(5, labels), 1).indices
    pairs = target * labels + best[:, 0]
    table = torch.bincount(pairs, minlength=labels**2).view(labels, -1)
    return table, (best == target[:, None]).sum()
