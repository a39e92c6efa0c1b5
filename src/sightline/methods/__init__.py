"""Methods: each takes a game and returns an explanation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sightline.errors import GameError, unknown_name
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.methods.anchors import anchors
from sightline.methods.attention import attention, attention_rollout
from sightline.methods.cam import (
    ablation_cam,
    eigen_cam,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    odam,
    ssgrad_cam,
    x_grad_cam,
)
from sightline.methods.d_rise import d_rise
from sightline.methods.full_grad import full_grad
from sightline.methods.gradient import (
    gradient_x_input,
    integrated_gradients,
    p_sla,
    sla,
    smooth_grad,
)
from sightline.methods.lime import lime
from sightline.methods.occlusion import occlusion, random
from sightline.methods.rise import rise
from sightline.methods.shapley import kernel_shap, shapley
from sightline.parts import Points, Strokes
from sightline.parts.bound import prepared
from sightline.sketch.sketch import Sketch

METHODS: dict[str, Callable[..., Explanation]] = {
    "shapley": shapley,
    "kernel_shap": kernel_shap,
    "lime": lime,
    "rise": rise,
    "d_rise": d_rise,
    "anchors": anchors,
    "sla": sla,
    "gradient_x_input": gradient_x_input,
    "smooth_grad": smooth_grad,
    "integrated_gradients": integrated_gradients,
    "p_sla": p_sla,
    "grad_cam": grad_cam,
    "grad_cam_pp": grad_cam_pp,
    "x_grad_cam": x_grad_cam,
    "hires_cam": hires_cam,
    "odam": odam,
    "ssgrad_cam": ssgrad_cam,
    "eigen_cam": eigen_cam,
    "ablation_cam": ablation_cam,
    "full_grad": full_grad,
    "attention": attention,
    "attention_rollout": attention_rollout,
    "occlusion": occlusion,
    "random": random,
}
"""Every method by its name; tests and the command line draw from here."""

SAMPLED = frozenset({"kernel_shap", "lime", "rise", "d_rise", "anchors", "smooth_grad", "random"})
"""Methods that take a seed."""

BUDGETED = frozenset(
    {
        "shapley",
        "kernel_shap",
        "lime",
        "rise",
        "d_rise",
        "anchors",
        "smooth_grad",
        "integrated_gradients",
    }
)
"""Methods that take a budget."""


def parts_for(method: str, model: object, sketch: Sketch) -> Strokes | Points:
    """What a method asks about in a drawing: its strokes; for ``p_sla`` the points it reads."""
    return Points(prepared(model, sketch)) if method == "p_sla" else Strokes(sketch)


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
    "ablation_cam",
    "anchors",
    "attention",
    "attention_rollout",
    "d_rise",
    "eigen_cam",
    "explain",
    "full_grad",
    "grad_cam",
    "grad_cam_pp",
    "gradient_x_input",
    "hires_cam",
    "integrated_gradients",
    "kernel_shap",
    "lime",
    "occlusion",
    "odam",
    "p_sla",
    "parts_for",
    "random",
    "rise",
    "shapley",
    "sla",
    "smooth_grad",
    "ssgrad_cam",
    "x_grad_cam",
]
