"""Methods: each takes a game and returns an explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sightline.errors import GameError, unknown_name
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.methods.gradient import p_sla, sla, sla_integrated
from sightline.methods.occlusion import occlusion, random
from sightline.methods.shapley import kernel_shap, shapley

METHODS: dict[str, Callable[..., Explanation]] = {
    "shapley": shapley,
    "kernel_shap": kernel_shap,
    "sla": sla,
    "sla_integrated": sla_integrated,
    "p_sla": p_sla,
    "occlusion": occlusion,
    "random": random,
}
"""Every method by its name; tests and the command line draw from here."""

SAMPLED = frozenset({"kernel_shap", "random"})
"""Methods that take a seed."""

BUDGETED = frozenset({"shapley", "kernel_shap", "sla_integrated"})
"""Methods that take a budget."""


def explain(
    game: Game, method: str = "shapley", *, budget: int | str | None = None, seed: int = 0
) -> Explanation:
    """Run a method by its name; a budget or seed it does not take is left out.

    Raises:
        GameError: an unknown method.
    """
    if method not in METHODS:
        raise GameError(unknown_name("method", method, METHODS))
    settings: dict[str, Any] = {}
    if method in BUDGETED and budget is not None:
        settings["budget"] = budget
    if method in SAMPLED:
        settings["seed"] = seed
    return METHODS[method](game, **settings)


__all__ = [
    "BUDGETED",
    "METHODS",
    "SAMPLED",
    "explain",
    "kernel_shap",
    "occlusion",
    "p_sla",
    "random",
    "shapley",
    "sla",
    "sla_integrated",
]
