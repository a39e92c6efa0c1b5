"""What studies found in Markdown: tables, and numbers with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sightline.metrics.intervals import Interval

DASH = "–"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, a line a row.

    Example:
        >>> print(markdown_table(["method", "right"], [["sla", "3"]]))
        | method | right |
        | --- | --- |
        | sla | 3 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def percent(share: Interval | None, digits: int = 1) -> str:
    """A share in per cent with its interval, where that is known; a dash for none.

    Example:
        >>> percent(Interval(0.25, 0.125, 0.5))
        '25.0 [12.5, 50.0]'
    """
    if share is None:
        return DASH
    return number(Interval(100 * share.estimate, 100 * share.low, 100 * share.high), digits)


def number(interval: Interval | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with its interval, where that is known; a dash for none.

    Example:
        >>> number(Interval(-0.5, -1, 0.25), signed=True)
        '−0.50 [−1.00, +0.25]'
    """
    if interval is None:
        return DASH
    shown = f"{'+' if signed else ''}.{digits}f"
    ends = (interval.estimate, interval.low, interval.high)
    middle, low, high = (format(end, shown) for end in ends)
    told = middle if math.isinf(interval.low) else f"{middle} [{low}, {high}]"
    return told.replace("-", "−") if signed else told
