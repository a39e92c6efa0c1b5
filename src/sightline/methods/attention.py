"""Attention: where a transformer of strokes looked. It does not know what it was asked."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.record import record
from sightline.models.protocol import AttentiveModel
from sightline.parts import Strokes, drawing

UNIT = "share of attention"
BLIND = "attention does not know the target: every target has the same scores"

Layers = Float[Tensor, "layers tokens tokens"]


def attention(game: Game, *, layer: int = -1) -> Explanation:
    """How much the class token attends to each stroke, mean over the heads of one layer.

    Shares of what the class token takes in that layer; what it takes from itself is left out (and
    so is what it takes from empty slots, where pads are attended), and a note says how much. One
    evaluation, no gradient.

    Args:
        game: of a model whose attention can be read (SketchXAINet).
        layer: 0 is the first, -1 the last.

    Raises:
        GameError: a model without attention over strokes, or no such layer.

    Source:
        Qu et al., CVPR 2023, as a map of what the class token attends to.
    """

    def last(layers: Layers) -> Float[Tensor, "tokens tokens"]:
        if not -len(layers) <= layer < len(layers):
            raise GameError(
                f"no layer {layer} in a model with {len(layers)}: give 0 to {len(layers) - 1}"
            )
        return layers[layer]

    return _attended(game, "attention", last, {"layer": layer})


def attention_rollout(game: Game) -> Explanation:
    """How much of each stroke reaches the class token through all layers, by attention alone.

    Half of each layer's output is taken to be its input (the skip connection), half what it
    attends to. One evaluation, no gradient. What is left out is told as for `attention`.

    Raises:
        GameError: a model without attention over strokes.

    Source:
        Abnar and Zuidema, 2020, equation 1 and section 4: the product over layers of
        (mean of heads + identity) / 2, its rows summing to 1.
    """

    def rolled(layers: Layers) -> Float[Tensor, "tokens tokens"]:
        reached = torch.eye(layers.shape[1]).to(layers)
        for share in layers:
            mixed = (share + torch.eye(len(share)).to(share)) / 2
            reached = mixed / mixed.sum(1, keepdim=True) @ reached
        return reached

    return _attended(game, "attention_rollout", rolled, {})


def _attended(
    game: Game,
    method: str,
    read: Callable[[Layers], Float[Tensor, "tokens tokens"]],
    settings: dict[str, int],
) -> Explanation:
    model, meter = game.model, Meter(game)

    def look(_: Tensor) -> Tensor:
        tokens = game.bound.stroke_tokens()
        if tokens is None or not isinstance(model, AttentiveModel):
            raise GameError(
                f"{method} reads where stroke tokens look, as SketchXAINet's do, but "
                f"{type(model).__name__} attends to no strokes; use {game.without_gradient}"
            )
        with torch.no_grad():
            layers = [share[0].mean(0).double() for share in model.attention(tokens)]
        return read(torch.stack(layers))[:1]  # the class token's row

    row = game.inside(torch.ones(1, 1), look)[0]
    strokes = len(drawing(game.parts))
    own, shares, pads = row[0], row[1 : 1 + strokes], row[1 + strokes :]
    notes = [BLIND, f"the class token itself holds {float(own):.3g}"]
    if len(pads):
        notes.append(f"{len(pads)} empty slots hold {float(pads.sum()):.3g}")
    return record(
        game,
        shares.expand(len(game.targets), -1),
        meter,
        method,
        parts=Strokes(drawing(game.parts)),
        settings=settings,
        notes=tuple(notes),
        unit=UNIT,
    )
