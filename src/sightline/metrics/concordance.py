"""Whether many rankings of the same things agree: Kendall's W."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sightline.errors import SightlineError
from sightline.metrics.agreement import ranks


def kendall_w(scores: Float[np.ndarray, "judges things"]) -> float:
    """Kendall's coefficient of concordance: 1 where all rankings are one, about 1 / judges by luck.

    Args:
        scores: each row ranks the same things, the highest first; ties share their mean rank.

    Returns:
        A number in [0, 1]; nan where every row is constant.

    Raises:
        SightlineError: fewer than two rows or columns.

    Example:
        >>> kendall_w(np.array([[3.0, 2.0, 1.0], [30.0, 20.0, 10.0]]))
        1.0

    Source:
        Kendall and Babington Smith, 1939; with the correction for ties.
    """
    judges, things = scores.shape
    if judges < 2 or things < 2:
        raise SightlineError(
            f"{judges} rankings of {things} things: agreement needs two of each at least"
        )
    placed = np.stack([ranks(row) for row in scores])
    total = placed.sum(0)
    spread = float(((total - total.mean()) ** 2).sum())
    ties = sum(
        float((count**3 - count).sum())
        for count in (np.unique(row, return_counts=True)[1] for row in placed)
    )
    most = judges**2 * (things**3 - things) - judges * ties
    return 12 * spread / most if most > 0 else float("nan")
