"""How well a model recognises a set of drawings: accuracy with intervals, per class, confusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.metrics.intervals import Interval, wilson
from sightline.training.loop import Labelled, predict


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
        """Count hits and misses."""
        count = len(target)
        best = logits.topk(min(5, logits.shape[1]), 1).indices
        hits = best == target[:, None]
        pairs = target * len(labels) + best[:, 0]
        table = torch.bincount(pairs, minlength=len(labels) ** 2).view(len(labels), -1)
        return cls(
            labels,
            table.numpy(),
            wilson(int(hits[:, 0].sum()), count),
            wilson(int(hits.any(1).sum()), count),
        )

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


def evaluate(model: nn.Module, data: Labelled, labels: tuple[str, ...]) -> Evaluation:
    """Run a model over prepared drawings; it is left as it came."""
    return Evaluation.from_logits(predict(model, data.drawings), data.target, labels)
