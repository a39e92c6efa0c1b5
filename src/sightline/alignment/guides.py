"""Ways to teach a model where to look, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sightline.alignment.looking import AttentionLoss, Guide, MapSource
from sightline.alignment.losses import GradiaLoss, HaicsLoss, HintLoss, ResLoss, RrrLoss
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.errors import AlignmentError, unknown_name

SOURCES = ("grad-cam", "input-gradients", "strokes", "attention", "occlusion")

RRR_STRENGTH = 1000 / 255**2
"""On input gradients. Ross et al., 2017, take 1000 for greys to 255; pixels here are to 1."""


@dataclass(frozen=True)
class _Recipe:
    loss: Callable[[], AttentionLoss]
    source: str = "grad-cam"
    exact: bool = True


_RECIPES = {
    "gradia": _Recipe(GradiaLoss),
    "gradia-as-programmed": _Recipe(GradiaLoss, exact=False),
    "res": _Recipe(ResLoss),
    "res-learnt": _Recipe(lambda: ResLoss("learnt")),
    "haics": _Recipe(HaicsLoss),
    "rrr": _Recipe(RrrLoss, source="input-gradients"),
    "rrr-grad-cam": _Recipe(RrrLoss),
    "hint": _Recipe(HintLoss),
}

GUIDES = tuple(_RECIPES)
"""Names that `guide` knows."""


def guide(
    name: str,
    *,
    strength: float | None = None,
    layer: str | None = None,
    source: str | MapSource | None = None,
) -> Guide:
    """A way to teach a model where to look.

    Args:
        name: one of `GUIDES`. ``"gradia-as-programmed"`` is ``"gradia"`` with Grad-CAM's weights
            held constant, for comparison.
        strength: factor of the loss on attention; by default 1, and 0.015 for input gradients.
        layer: that Grad-CAM reads; by default as `GradCamMaps` finds it.
        source: of the maps, where it is not the method's own: one of `SOURCES` or any `MapSource`.
            Labels of drawings want ``"strokes"``, ``"attention"`` or ``"occlusion"``.

    Raises:
        AlignmentError: an unknown name, a negative strength, or choices that do not go together.

    Example:
        >>> guide("rrr").name, guide("rrr", source="strokes").source.settings["name"]
        ('rrr', 'strokes')
    """
    if name not in _RECIPES:
        raise AlignmentError(unknown_name("guide", name, GUIDES))
    recipe = _RECIPES[name]
    if not recipe.exact and source not in (None, "grad-cam"):
        raise AlignmentError(
            f"{name!r} is a way to differentiate Grad-CAM, and has no other source; use 'gradia'"
        )
    maps = _source(recipe, layer, source)
    of_pixels = isinstance(maps, InputGradients)
    if of_pixels and recipe.loss is not RrrLoss:
        raise AlignmentError(
            f"{name!r} compares one map an item with its label, and input gradients are one a "
            "channel; use 'rrr', or maps of Grad-CAM"
        )
    if strength is None:
        strength = RRR_STRENGTH if of_pixels else 1.0
    if not 0 <= strength < float("inf"):
        raise AlignmentError(f"strength {strength}; expected a number of at least 0")
    return Guide(name, maps, recipe.loss(), float(strength))


def _source(recipe: _Recipe, layer: str | None, source: str | MapSource | None) -> MapSource:
    asked = recipe.source if source is None else source
    if asked == "grad-cam":
        return GradCamMaps(layer, exact=recipe.exact)
    if layer is not None:
        raise AlignmentError(
            f"layer {layer!r} is for Grad-CAM; other sources of maps read none: leave it out"
        )
    if not isinstance(asked, str):
        return asked
    if asked == "input-gradients":
        return InputGradients()
    if asked not in SOURCES:
        raise AlignmentError(unknown_name("source", asked, SOURCES))
    from sightline.alignment.stroke_occlusion import StrokeOcclusion
    from sightline.alignment.stroke_sources import StrokeAttention, StrokeScores

    strokes: dict[str, Callable[[], MapSource]] = {
        "strokes": StrokeScores,
        "attention": StrokeAttention,
        "occlusion": StrokeOcclusion,
    }
    return strokes[asked]()
