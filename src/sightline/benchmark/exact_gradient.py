"""What a loss on Grad-CAM teaches, when the weights of the map are differentiated and when not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.alignment.looking import AttentionLoss
from sightline.alignment.losses import GradiaLoss
from sightline.alignment.map_sources import GradCamMaps
from sightline.alignment.wanted import GuidedBatch
from sightline.models.as_found import as_found

Gradients = dict[str, Float[Tensor, "..."]]


@dataclass(frozen=True)
class LayerGradient:
    """The gradient of a loss on maps by the weights of one layer, exact and detached.

    Args:
        layer: its name.
        cosine: between both; None where either is zero.
        share: length of the detached one, divided by that of the exact one; None where that is 0.
    """

    layer: str
    cosine: float | None
    share: float | None


def layer_gradients(
    model: nn.Module,
    batch: GuidedBatch,
    target: Int[Tensor, " items"],
    *,
    maps: GradCamMaps | None = None,
    loss: AttentionLoss | None = None,
) -> list[LayerGradient]:
    """Compare the exact gradient with the published programs' detached one, layer by layer.

    Args:
        model: left as it came.
        batch: labelled items.
        target: their classes.
        maps: Grad-CAM, by default where it is found.
        loss: by default GRADIA's.

    Returns:
        One a layer that has weights and that either gradient reaches, in the model's order. Layers
        after the map have a share of 0: the detached gradient does not reach them.
    """
    maps, loss = maps or GradCamMaps(), loss or GradiaLoss()
    exact, detached = (
        _gradients(model, batch, target, replace(maps, exact=way), loss) for way in (True, False)
    )
    layers: dict[str, list[str]] = {}
    for name in exact:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    found = [_compared(layer, names, exact, detached) for layer, names in layers.items()]
    return [row for row in found if row.share is not None]


def _compared(layer: str, names: list[str], exact: Gradients, detached: Gradients) -> LayerGradient:
    one, other = (
        torch.cat([g[name].flatten().double() for name in names]) for g in (exact, detached)
    )
    long, short = float(one.norm()), float(other.norm())
    cosine = float(one @ other) / (long * short) if long and short else None
    return LayerGradient(layer, cosine, short / long if long else None)


def _gradients(
    model: nn.Module,
    batch: GuidedBatch,
    target: Int[Tensor, " items"],
    maps: GradCamMaps,
    loss: AttentionLoss,
) -> Gradients:
    with as_found(model), torch.enable_grad():
        weights = {name: weight.requires_grad_() for name, weight in model.named_parameters()}
        far = loss(maps.look(model, batch.inputs).maps(target), batch.wanted).mean()
        slopes = torch.autograd.grad(far, list(weights.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weight) if slope is None else slope.detach()
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }
