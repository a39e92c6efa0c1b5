"""How far a run has come, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Args:
        done: photos explained, of this start and those before it.
        failed: photos that could not be.
        total: photos of the list.
        boxes: explained since this start; explanations: likewise.
        here: photos gone through since this start.
        seconds: since this start.

    Example:
        >>> print(Progress(done=9, failed=1, total=100, boxes=25, explanations=75, here=5,
        ...                seconds=40.0))
        10 of 100 photos (1 failed), 25 boxes, 75 explanations, 8.0 s a photo, 0:12:00 left
    """

    done: int
    failed: int
    total: int
    boxes: int = 0
    explanations: int = 0
    here: int = 0
    seconds: float = 0.0

    @property
    def seconds_a_photo(self) -> float:
        """Of those gone through since this start; 0 before the first."""
        return self.seconds / self.here if self.here else 0.0

    @property
    def seconds_left(self) -> float:
        """At the pace so far."""
        return self.seconds_a_photo * (self.total - self.done - self.failed)

    def __str__(self) -> str:
        failed = f" ({self.failed} failed)" if self.failed else ""
        hours, rest = divmod(round(self.seconds_left), 3600)
        left = f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
        return (
            f"{self.done + self.failed} of {self.total} photos{failed}, {self.boxes} boxes, "
            f"{self.explanations} explanations, {self.seconds_a_photo:.1f} s a photo, {left} left"
        )


Tell = Callable[[Progress], None]


def tell_seldom(say: Callable[[str], None], *, every: float = 1.0) -> Tell:
    """A callback that says a line at most once in ``every`` seconds, and always the last one.

    Example:
        >>> said = []
        >>> tell = tell_seldom(said.append, every=60.0)
        >>> for photo in range(1, 4):
        ...     tell(Progress(done=photo, failed=0, total=3, here=photo, seconds=photo * 2.0))
        >>> len(said)
        2
    """
    told = float("-inf")

    def tell(progress: Progress) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= every or progress.done + progress.failed >= progress.total:
            told = now
            say(str(progress))

    return tell
