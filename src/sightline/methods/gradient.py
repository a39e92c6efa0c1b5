"""Gradients by presence (SLA and its path-integrated form) and by coordinates (P-SLA)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.record import record
from sightline.models.protocol import PictureModel
from sightline.sketch.raster import Rasteriser

DEFAULT_STEPS = 32


def sla(game: Game) -> Explanation:
    """Stroke-level attribution: the gradient by presence with everything there.

    One forward and one backward pass for all parts. First order: it says what happens when a part
    fades a little, in the unit of the target for a whole part.

    Source:
        Qu et al., CVPR 2024: a_i = dy/dw_i at w = 1, X = clip(sum_i w_i S_i), the clip passed
        straight through.
    """
    meter = Meter(game)
    slope = game.gradient(torch.ones(1, len(game.parts)), straight_through=True)
    return record(game, slope[0], meter, "sla")


def sla_integrated(game: Game, *, budget: int | str | Budget | None = DEFAULT_STEPS) -> Explanation:
    """The gradient by presence, averaged on the way from nothing to everything.

    The scores sum to value - base, up to the error of the quadrature, which is reported.

    Args:
        game: parts that may be partly there.
        budget: evaluations: nodes of the Gauss-Legendre rule on [0, 1].

    Source:
        Sundararajan et al., 2017 (integrated gradients), on stroke weights as in Qu et al., 2024.
    """
    steps = Budget.of(budget).evaluations_for("sla_integrated") or DEFAULT_STEPS
    meter = Meter(game)
    scores = path_gradient(game, steps)
    gap = (game.value - game.base - scores.sum(1)).abs().max()
    notes = (f"completeness gap {float(gap):.2g} {game.unit}",)
    settings = {"budget": steps}
    return record(game, scores, meter, "sla_integrated", settings=settings, notes=notes)


def path_gradient(game: Game, steps: int) -> Float[Tensor, "targets parts"]:
    """Integral of the gradient along presence (t, ..., t), t from 0 to 1, by Gauss-Legendre."""
    node, weight = np.polynomial.legendre.leggauss(steps)
    along = torch.from_numpy((node + 1) / 2).float()[:, None].expand(-1, len(game.parts))
    slopes = game.gradient(along)  # [steps, targets, parts]
    return torch.einsum("s,stp->tp", torch.from_numpy(weight / 2), slopes)


def p_sla(game: Game, *, sharpness: float = 4.0) -> Explanation:
    """Point-level attribution: how much the target changes as each point moves.

    Scores are lengths of gradients, so never negative; unit of the target per canvas unit of the
    normalised frame [-1, 1].

    Args:
        game: with `Points`.
        sharpness: beta of the sigmoid whose gradient stands for the picture's, in 1 / pixels;
            for models that read pictures. Models that read strokes are differentiated as they are.

    Source:
        Qu et al., CVPR 2024: X(p) = sigmoid(beta (tau - D(p))), a_k = |dy/dV_k|.
    """
    meter = Meter(game)
    rasteriser = None
    if isinstance(game.model, PictureModel):
        own = game.model.rasteriser
        rasteriser = Rasteriser(
            size=own.size, line_width=own.line_width, profile="sigmoid", beta=sharpness
        )
    slopes = game.coordinate_gradient(rasteriser=rasteriser)
    settings = {"sharpness": sharpness} if rasteriser else {}
    unit = f"{game.unit} per canvas unit"
    return record(game, slopes.norm(dim=2), meter, "p_sla", settings=settings, unit=unit)
