"""Gradients by presence (SLA and its kin) and by coordinates (P-SLA)."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.record import record
from sightline.models.protocol import PictureModel
from sightline.parts import Noise

DEFAULT_STEPS = 32
DEFAULT_DRAWS = 32


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


def gradient_x_input(game: Game) -> Explanation:
    """Gradient times input: the gradient by presence with everything there, as it is.

    Parts are inputs scaled by their presence, and presence is 1, so the gradient is the product.
    Over the pixels of a picture it is the product of each pixel with its slope. Unlike `sla`,
    where ink of several strokes is clipped the gradient is 0.

    Args:
        game: parts that may be partly there.

    Source:
        Shrikumar et al., 2016: a_i = x_i dy/dx_i.
    """
    meter = Meter(game)
    slope = game.gradient(torch.ones(1, len(game.parts)))
    return record(game, slope[0], meter, "gradient_x_input")


def smooth_grad(
    game: Game,
    *,
    noise: float = 0.15,
    budget: int | str | Budget | None = DEFAULT_DRAWS,
    seed: int = 0,
) -> Explanation:
    """The gradient by presence with everything there, averaged over noise on what is read.

    Noise is Gaussian, on the picture's pixels, or on the summed embeddings of strokes (shape +
    location + order). Clipped ink passes no gradient, so without noise it is `gradient_x_input`.

    Args:
        game: parts that may be partly there.
        noise: standard deviation, as a share of the range (max - min) of what is read.
        budget: evaluations: draws of the noise.
        seed: of the noise.

    Returns:
        Scores, with the standard errors of the mean over the draws in ``errors``.

    Raises:
        GameError: noise below 0, or parts that come and go whole.

    Source:
        Smilkov et al., 2017: mean over k of dy/dx at x + N(0, (noise (max x - min x))^2). Here x
        is multiplied by the presence of its part before the noise, and the gradient is by
        presence. A model without ``embedded`` takes the range of its shape embeddings.
    """
    if not (math.isfinite(noise) and noise >= 0):
        raise GameError(f"noise is {noise}; it is a share of the input's range, such as 0.15")
    draws = Budget.of(budget).evaluations_for("smooth_grad") or DEFAULT_DRAWS
    meter = Meter(game)
    seeds = torch.randint(2**62, (draws,), generator=torch.Generator().manual_seed(seed))
    slopes = game.gradient(torch.ones(draws, len(game.parts)), noise=Noise(noise, seeds))
    errors = slopes.std(0) / draws**0.5 if draws > 1 else None
    notes: tuple[str, ...] = ()
    if errors is None:
        notes = ("one draw has no error bars: they need 2",)
    elif noise and bool(errors.amax() <= 1e-6 * slopes.abs().amax()):
        notes = ("the gradient is the same with and without noise",)
    settings = {"noise": noise, "budget": draws}
    return record(
        game,
        slopes.mean(0),
        meter,
        "smooth_grad",
        settings=settings,
        seed=seed,
        errors=errors,
        notes=notes,
    )


def integrated_gradients(
    game: Game, *, budget: int | str | Budget | None = DEFAULT_STEPS
) -> Explanation:
    """The gradient by presence, averaged on the way from nothing to everything.

    The path-integrated form of `sla`. The scores sum to value - base, up to the error of the
    quadrature, which is reported.

    Args:
        game: parts that may be partly there.
        budget: evaluations: nodes of the Gauss-Legendre rule on [0, 1].

    Source:
        Sundararajan et al., 2017, on stroke weights as in Qu et al., 2024.
    """
    steps = Budget.of(budget).evaluations_for("integrated_gradients") or DEFAULT_STEPS
    meter = Meter(game)
    scores = path_gradient(game, steps)
    gap = (game.value - game.base - scores.sum(1)).abs().max()
    notes = (f"completeness gap {float(gap):.2g} {game.unit}",)
    settings = {"budget": steps}
    return record(game, scores, meter, "integrated_gradients", settings=settings, notes=notes)


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
        rasteriser = game.model.rasteriser.softened(sharpness)
    slopes = game.coordinate_gradient(rasteriser=rasteriser)
    settings = {"sharpness": sharpness} if rasteriser else {}
    unit = f"{game.unit} per canvas unit"
    return record(game, slopes.norm(dim=2), meter, "p_sla", settings=settings, unit=unit)
