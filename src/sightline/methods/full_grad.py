"""FullGrad: input and biases, each times its slope, so that nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from sightline.carry import WHOLE, carry_maps
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.features import as_map, network, picture_of, slopes, watched
from sightline.methods.record import lost_outside, record
from sightline.models.detector import Candidates
from sightline.parts import BoundPhoto, GridCells

CHANNELS_FIRST = (_ConvNd, _BatchNorm, nn.GroupNorm)
"""Modules whose bias belongs to dimension 1; that of all others to the last."""


def full_grad(game: Game) -> Explanation:
    """Input times slope, and every bias times its slope, each where it acts.

    For networks of linear layers, ReLU and max pooling, the maps and the biases without a place
    (those of linear heads) sum to the value itself, not to value - base: what a network says of a
    blank sheet is in its biases. Elsewhere there is a gap, which is told. Each layer's map goes to
    the parts from its own grid, so that on strokes as little as may be falls on blank paper.

    Raises:
        GameError: no pictures, no gradient.

    Source:
        Srinivas and Fleuret, 2019, equation 4, psi the identity (bilinear, each bias map's sum
        kept) in place of rescaled absolute values. Batch normalisation, in evaluation mode, has
        the bias beta - gamma mean / deviation.
    """
    picture, root, meter = picture_of(game, "full_grad"), network(game), Meter(game)
    game.check_differentiable()
    found: list[_Full] = []

    def look(_: Tensor) -> Tensor:
        found.append(_decompose(game, root, picture))
        return found[-1].unplaced[None]

    game.inside(torch.ones(1, 1), look)
    full, bound, scores = found[-1], game.bound, np.zeros((len(game.targets), len(game.parts)))
    lost = np.zeros(len(game.targets))
    for maps, extent in full.maps:
        placed = maps.double().cpu()
        spans = bound.spans(extent) if isinstance(bound, BoundPhoto) else (WHOLE, WHOLE)
        carried = carry_maps(placed, game.parts, spans)
        scores, lost = scores + carried, lost + (placed.sum((1, 2)).numpy() - carried.sum(1))
    unplaced = full.unplaced.double().cpu().numpy()
    gap = np.abs(game.value.numpy() - scores.sum(1) - lost - unplaced).max()
    notes = [f"biases without a place bring {_told(unplaced)} {game.unit}"]
    if isinstance(bound, BoundPhoto):
        notes += lost_outside(game, torch.from_numpy(lost), torch.from_numpy(scores))
    elif not isinstance(game.parts, GridCells):
        notes.append(f"cells without ink hold {_told(lost)} {game.unit}, which nothing gets")
    notes.append(f"completeness gap {gap:.2g} {game.unit}")
    return record(game, torch.from_numpy(scores), meter, "full_grad", notes=tuple(notes))


@dataclass(frozen=True)
class _Full:
    """Maps [targets, height, width] with what they span, and what has no place [targets]."""

    maps: list[tuple[Tensor, tuple[int, int] | None]]
    unplaced: Float[Tensor, " targets"]


def _decompose(game: Game, root: nn.Module, picture: Tensor) -> _Full:
    with torch.enable_grad(), watched(root) as outputs, _entrance(root) as shown:
        ink = picture[None].clone().requires_grad_()
        reply = game.bound.see(ink)
        values = game.read(reply, rows=1)[0]
    read = shown[0] if shown else ink
    biased = [(o, b) for o in outputs if (b := _bias(o.module)) is not None]
    by_input, *by_output = slopes(values, [read, *(output.tensor for output, _ in biased)])
    extent = reply.extent if isinstance(reply, Candidates) else None
    own = None if read is ink else extent  # what is read inside may have been padded before
    brought = (by_input * read).detach()  # [targets, 1, (colours,) height, width]
    maps = {(read.shape[-2:], own): brought.flatten(1, -3).sum(1)}
    unplaced = torch.zeros_like(values.detach())
    for (output, bias), slope in zip(biased, by_output, strict=True):
        placed, rest = _bias_map(slope.squeeze(1), bias, output.module)
        unplaced = unplaced + rest
        if placed is not None:
            size = (placed.shape[1:], extent)
            maps[size] = maps[size] + placed if size in maps else placed
    return _Full([(each, size[1]) for size, each in maps.items()], unplaced)


def _told(values: Float[np.ndarray, " targets"]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


@contextmanager
def _entrance(root: nn.Module) -> Iterator[list[Tensor]]:
    """The pictures that ``root`` is called with while this is open."""
    shown: list[Tensor] = []

    def hook(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        shown.extend(x for x in inputs[:1] if isinstance(x, Tensor) and x.ndim == 4)

    handle = root.register_forward_pre_hook(hook)
    try:
        yield shown
    finally:
        handle.remove()


def _bias(module: nn.Module) -> Tensor | None:
    """What a module adds to its channels, whatever comes in."""
    bias = getattr(module, "bias", None)
    if isinstance(module, _BatchNorm) and module.running_mean is not None:
        assert module.running_var is not None  # noqa: S101, they come together
        slope = (module.running_var + module.eps).rsqrt()
        slope = slope if module.weight is None else slope * module.weight
        return (0 if bias is None else bias) - slope * module.running_mean
    return bias if isinstance(bias, Tensor) else None


def _bias_map(
    slope: Float[Tensor, "targets ..."], bias: Tensor, module: nn.Module
) -> tuple[Float[Tensor, "targets height width"] | None, Float[Tensor, " targets"]]:
    """A bias times its slope where it acts, as a map; and what has no place."""
    first = isinstance(module, CHANNELS_FIRST)
    first |= getattr(module, "data_format", "") == "channels_first"  # ConvNeXt's layer norm
    brought = slope * (bias.reshape(-1, *[1] * (slope.ndim - 2)) if first else bias)
    total = brought.flatten(1).sum(1)
    if not first and brought.ndim == 4:  # channels last
        brought = brought.movedim(3, 1)
    found = None if first and brought.ndim == 3 else as_map(brought)
    if found is None:
        return None, total
    placed = found.sum(1)
    return placed, total - placed.sum((1, 2))
