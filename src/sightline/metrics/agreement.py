"""How well two explanations of the same parts agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.errors import GameError
from sightline.explanation import Explanation


@dataclass(frozen=True)
class Agreement:
    """Agreement with a reference, usually the exact Shapley values.

    Args:
        spearman: rank correlation; nan where either ranks nothing (one part, or all equal).
        top1: whether both name the same part first.
        squared_error: mean squared difference of the scores, in the squared unit.
    """

    spearman: float
    top1: bool
    squared_error: float


def agreement(why: Explanation, reference: Explanation, *, target: str | int = 0) -> Agreement:
    """Compare an explanation with a reference on one target.

    Raises:
        GameError: other parts, or the target is missing in one of them.
    """
    if why.parts.kind != reference.parts.kind or len(why.parts) != len(reference.parts):
        raise GameError(
            f"{len(why.parts)} {why.parts.kind} cannot be compared with "
            f"{len(reference.parts)} {reference.parts.kind}; use why.on(parts)"
        )
    name = reference.targets[reference.target(target)]
    a, b = why.scores[why.target(name)], reference.scores[reference.target(name)]
    same_first = int(a.argmax()) == int(b.argmax())
    return Agreement(spearman(a, b), same_first, float(((a - b) ** 2).mean()))


def spearman(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation, ties at their mean rank; nan where one side is constant.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
        0.5
    """
    x, y = (ranks(side) - (len(side) - 1) / 2 for side in (a, b))
    norm = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float(x @ y / norm) if norm else float("nan")


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Places from 0, the lowest first; ties share their mean place."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum() - 1
    return (last - (counts - 1) / 2)[inverse]
