"""Shapley values as the mean over all orders of arrival, in plain Python."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations


def shapley_by_orders(value: Callable[[frozenset[int]], float], parts: int) -> list[float]:
    """What each part adds when it arrives, averaged over all ``parts``! orders."""
    total = [0.0] * parts
    orders = 0
    for order in permutations(range(parts)):
        present: frozenset[int] = frozenset()
        for part in order:
            joined = present | {part}
            total[part] += value(joined) - value(present)
            present = joined
        orders += 1
    return [t / orders for t in total]
