"""Do early strokes matter most? Attribution against the order of drawing, with a control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from sightline.errors import TaskError
from sightline.explanation import Explanation
from sightline.metrics.agreement import spearman
from sightline.metrics.intervals import Interval, bootstrap_mean
from sightline.parts import drawing
from sightline.sketch.lengths import stroke_lengths

FEWEST = 3
FEWEST_PARTIAL = 4
"""Of three strokes a partial correlation is always 1 or -1: nothing is left to vary."""


def order_correlation(scores: Float[np.ndarray, " strokes"]) -> float:
    """Spearman's correlation of scores with *being early*: 1 where the first stroke scores highest.

    Convention:
        Positive says that early strokes matter more. NaN for fewer than 3 strokes, and where all
        scores are equal: both rank nothing.

    Example:
        >>> order_correlation(np.array([0.5, 0.3, 0.1]))
        1.0

    Source:
        Qu et al., CVPR 2024, report it for retrieval; their program for it is not published.
    """
    if len(scores) < FEWEST:
        return math.nan
    return spearman(scores, -np.arange(len(scores), dtype=np.float64))


def order_correlation_given(
    scores: Float[np.ndarray, " strokes"], control: Float[np.ndarray, " strokes"]
) -> float:
    """The same with a third number of each stroke held constant, such as its length.

    Long strokes tend to come early, and to matter: this is what is left of the correlation with
    order once length is known. A little is left even where length explains everything, since ranks
    lose some of it: of 8 strokes 0.09 on average, where the plain correlation is 0.64 (0.04 where
    it is 0.38). NaN for fewer than 4 strokes, where a side is constant, and where length ranks the
    strokes just as order or scores do: then the two cannot be told apart.

    Example:
        >>> scores, lengths = np.array([4.0, 3.0, 2.0, 1.0]), np.array([9.0, 8.0, 7.0, 6.0])
        >>> order_correlation_given(scores, lengths)  # length explains it all
        nan

    """
    return spearman_given(scores, -np.arange(len(scores), dtype=np.float64), control)


def spearman_given(
    a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"], control: Float[np.ndarray, " n"]
) -> float:
    """Spearman's correlation of two sides with a third held constant; nan where nothing is left.

    Example:
        >>> a, b = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 4.0, 3.0])
        >>> round(spearman_given(a, b, np.array([1.0, 2.0, 4.0, 3.0])), 3)  # without: 0.6
        -0.111

    Source:
        Partial rank correlation, Kendall 1942:
        r(ab.c) = (r(ab) - r(ac) r(bc)) / sqrt((1 - r(ac)^2) (1 - r(bc)^2)).
    """
    if len(a) < FEWEST_PARTIAL:
        return math.nan
    both, first, second = (spearman(*pair) for pair in ((a, b), (a, control), (b, control)))
    left = (1 - first**2) * (1 - second**2)
    if not left > 1e-12:  # NaN too
        return math.nan
    return float(np.clip((both - first * second) / math.sqrt(left), -1, 1))


@dataclass(frozen=True)
class DrawingOrder:
    """What drawing order has to do with attribution, over a set of drawings.

    Positive numbers say that early strokes matter more. The intervals are 95 % bootstrap intervals
    over drawings; None where no drawing gave a number.

    Args:
        drawings: how many were given.
        short: of them, with fewer than 3 strokes: left out.
        constant: of the others, with all scores equal: left out.
        correlation: mean of `order_correlation` over the rest.
        early_first: share of the rest in which it is above 0.
        length: mean correlation of *length* with being early, on the same drawings: how far length
            alone would show the effect.
        given_length: mean of `order_correlation_given` length; ``partial`` how many drawings gave
            one.
        partial: how many.
    """

    drawings: int
    short: int
    constant: int
    correlation: Interval | None
    early_first: Interval | None
    length: Interval | None
    given_length: Interval | None
    partial: int

    @property
    def counted(self) -> int:
        """Drawings behind ``correlation``."""
        return self.drawings - self.short - self.constant

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"counted": self.counted}


def drawing_order(
    whys: Sequence[Explanation], *, target: str | int = 0, seed: int = 0
) -> DrawingOrder:
    """Whether early strokes matter most, over explanations of strokes, one a drawing.

    Args:
        whys: explanations of strokes.
        target: which of the explained targets.
        seed: of the bootstrap.

    Raises:
        TaskError: no explanations, or of other parts than strokes.
    """
    wrong = [why.parts.kind for why in whys if why.parts.kind != "strokes"]
    if wrong or not whys:
        raise TaskError(
            f"drawing order is of strokes; got explanations of {wrong[0]}: carry them over with "
            "why.on(sl.Strokes(sketch))"
            if wrong
            else "no explanations: drawing order needs at least one"
        )
    return order_of_scores(
        [why.scores[why.target(target)] for why in whys],
        [stroke_lengths(drawing(why.parts)) for why in whys],
        seed=seed,
    )


def order_of_scores(
    scores: Sequence[Float[np.ndarray, " _"]],
    lengths: Sequence[Float[np.ndarray, " _"]],
    *,
    seed: int = 0,
) -> DrawingOrder:
    """`drawing_order` of scores that were kept without their drawings.

    Args:
        scores: of the strokes, one array a drawing.
        lengths: of the same strokes.
        seed: of the bootstrap.
    """
    short = sum(len(some) < FEWEST for some in scores)
    found = np.array([order_correlation(some) for some in scores])
    kept = np.isfinite(found)
    given = np.array([order_correlation_given(a, b) for a, b in zip(scores, lengths, strict=True)])
    # of equal lengths nothing can be said, which is no correlation
    long = np.nan_to_num([order_correlation(some) for some in lengths])
    return DrawingOrder(
        drawings=len(scores),
        short=short,
        constant=int((~kept).sum()) - short,
        correlation=_mean(found[kept], seed),
        early_first=_mean((found[kept] > 0).astype(float), seed),
        length=_mean(long[kept], seed),
        given_length=_mean(given[np.isfinite(given)], seed),
        partial=int(np.isfinite(given).sum()),
    )


def _mean(values: Float[np.ndarray, " values"], seed: int) -> Interval | None:
    return bootstrap_mean(values, seed=seed) if len(values) else None
