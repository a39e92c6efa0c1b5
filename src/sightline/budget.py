"""A budget in evaluations or seconds, where other libraries have knobs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sightline.errors import GameError

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Budget:
    """What a method may spend; None is no limit.

    Args:
        evaluations: rows asked of the model.
        seconds: wall-clock time; at the limit a method returns what it has.
    """

    evaluations: int | None = None
    seconds: float | None = None

    def evaluations_for(self, method: str) -> int | None:
        """The limit in evaluations, for a method that cannot stop half-way.

        Raises:
            GameError: the budget is a time.
        """
        if self.seconds is not None:
            raise GameError(
                f"{method} cannot stop half-way, so it takes a budget in evaluations, not "
                f"{self.seconds:g} s; kernel_shap takes either"
            )
        return self.evaluations

    @classmethod
    def of(cls, given: int | str | Budget | None) -> Budget:
        """Read ``2000`` (evaluations), ``"20s"``, ``"1.5min"`` or ``"1h"``.

        Example:
            >>> Budget.of("1.5min")
            Budget(evaluations=None, seconds=90.0)
        """
        if isinstance(given, Budget):
            return given
        if given is None:
            return cls()
        if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
            return cls(evaluations=given)
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h)?\s*", str(given))
        if found and found[2] and float(found[1]) > 0:
            return cls(seconds=float(found[1]) * _SECONDS[found[2]])
        if found and isinstance(given, str) and found[1].isdigit() and int(found[1]) >= 1:
            return cls(evaluations=int(found[1]))
        raise GameError(
            f"budget {given!r} is not understood; give evaluations (2000) or time ('20s', '2min')"
        )
