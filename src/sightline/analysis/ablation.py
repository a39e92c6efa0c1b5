"""What each part of SketchXAINet's token is worth: models trained without one, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.analysis.accuracy import Outcome, compared, hits
from sightline.errors import ModelError
from sightline.metrics.intervals import wilson
from sightline.models.sketchxainet import SketchXAINet
from sightline.sketch.sketch import Sketch

SWITCHES = ("shape", "location", "order")

PUBLISHED: Mapping[str, float] = {
    "full": 0.8610,
    "without shape": 0.3104,
    "without location": 0.8141,
    "without order": 0.8366,
}
"""Accuracy of Tiny on 345 categories of QuickDraw, Qu et al., SketchXAI, CVPR 2023."""


def ablation(models: Sequence[Any], sketches: Sequence[Sketch], *, seed: int = 0) -> list[Outcome]:
    """Accuracy of models trained without shape, location or order, against the full one.

    Args:
        models: SketchXAINets, the full one first.
        sketches: labelled, of a split that no model learnt from.
        seed: of bootstrap and permutation.

    Returns:
        One outcome a model, named by what it lacks; differences are paired by drawing.

    Raises:
        ModelError: a model that is no SketchXAINet, a first one that lacks something, or two that
            lack the same.

    Source:
        Qu et al., SketchXAI, CVPR 2023, the ablations of its table; `PUBLISHED` has the numbers.
    """
    names = [lacks(model) for model in models]
    if not names or names[0] != "full":
        raise ModelError(
            f"the first model is {names[0] if names else 'missing'}; give the full one first, "
            "the others are measured against it"
        )
    if len(set(names)) < len(names):
        raise ModelError(f"two models lack the same: {', '.join(names)}; give each once")
    whole = hits(models[0], sketches)
    first = Outcome(names[0], whole, wilson(int(whole.sum()), len(whole)))
    rest = [
        compared(name, hits(model, sketches), whole, seed=seed)
        for name, model in zip(names[1:], models[1:], strict=True)
    ]
    return [first, *rest]


def lacks(model: Any) -> str:
    """What a SketchXAINet was trained without, in words.

    Example:
        >>> from sightline.models.sketchxainet import sketchxainet
        >>> lacks(sketchxainet("nano", ("a", "b"), use_shape=False))
        'without shape'
    """
    if not isinstance(model, SketchXAINet):
        raise ModelError(
            f"{type(model).__name__} has no switches for shape, location and order; train "
            "SketchXAINets with 'sightline train sketch --without'"
        )
    missing = [name for name in SWITCHES if not getattr(model.config, f"use_{name}")]
    return "without " + " and ".join(missing) if missing else "full"
