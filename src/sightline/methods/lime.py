"""LIME over parts: a linear model of the game, weighted towards everything there."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.coins import Tossed, toss
from sightline.methods.record import record

DEFAULT_SAMPLE = 1000


def lime(
    game: Game,
    *,
    budget: int | str | Budget | None = DEFAULT_SAMPLE,
    seed: int = 0,
    kernel_width: float = 0.25,
    ridge: float = 1.0,
) -> Explanation:
    """Slopes of a linear model of the game, fitted to random coalitions near everything there.

    Each part is there by a fair coin; everything there is one more row. The fit is a weighted
    ridge regression with an intercept, which is not penalised.

    Args:
        game: any number of parts.
        budget: evaluations or time. Where it allows all 2^n coalitions they are asked once each
            and weigh what a sample of this budget (1000 for a time) would hold of them: the
            scores are those that such samples come to.
        seed: of the sample.
        kernel_width: of the weight exp(-D^2 / (2 kernel_width^2)), D the cosine distance to
            everything there, 1 - sqrt(size / n).
        ridge: penalty on the squared slopes. It pulls them towards 0, less with a larger budget.

    Returns:
        Scores, with standard errors in ``errors``; without, where there are no more coalitions
        than unknowns.

    Raises:
        GameError: a width of 0 or below, or a ridge below 0.

    Source:
        Ribeiro et al., 2016, eq. 1 with the settings of its program for images (``lime_image``:
        width 0.25, ridge 1, weights sqrt(exp(-D^2 / width^2)), which are the ones above; captum's
        kernel is the same). All parts stay in the model; none are selected first. Standard errors
        (linearised, each row by its own residual) are ours.
    """
    if not (math.isfinite(kernel_width) and kernel_width > 0):
        raise GameError(f"kernel_width is {kernel_width}; it must be above 0, such as 0.25")
    if not (math.isfinite(ridge) and ridge >= 0):
        raise GameError(f"ridge is {ridge}; it must be at least 0")
    limit = Budget.of(budget)
    meter = Meter(game, limit)
    tossed = toss(game, meter, keep=0.5, seed=seed)
    size = (limit.evaluations or DEFAULT_SAMPLE) if tossed.complete else len(tossed.members)
    scores, errors = fit(tossed, game.value, size=size, kernel_width=kernel_width, ridge=ridge)
    notes = tossed.notes
    if errors is None:
        notes += (f"too few evaluations for error bars: they need {len(game.parts) + 2}",)
    settings = {
        "budget": budget if isinstance(budget, int | str) else str(limit),
        "kernel_width": kernel_width,
        "ridge": ridge,
    }
    return record(
        game, scores, meter, "lime", settings=settings, seed=seed, errors=errors, notes=notes
    )


def fit(
    tossed: Tossed,
    value: Float[Tensor, " targets"],
    *,
    size: int,
    kernel_width: float,
    ridge: float,
) -> tuple[Float[Tensor, "targets parts"], Float[Tensor, "targets parts"] | None]:
    """Weighted ridge regression: slopes and their standard errors.

    Args:
        tossed: the coalitions, which together count as ``size`` rows.
        value: of everything there, one more row.
        size: see above.
        kernel_width: as in `lime`.
        ridge: as in `lime`.
    """
    rows, parts = tossed.members.shape
    x = torch.cat([tossed.members, torch.ones(1, parts, dtype=torch.float64)])
    y = torch.cat([tossed.values, value[None]])
    count = torch.cat([size * tossed.shares, torch.ones(1, dtype=torch.float64)])
    weight = count * closeness(x, kernel_width)
    share = weight / weight.sum()
    x, y = x - share @ x, y - share @ y  # the intercept
    gram = x.T @ (weight[:, None] * x) + ridge * torch.eye(parts, dtype=torch.float64)
    inverse = torch.linalg.pinv(gram, hermitian=True)
    slope = inverse @ (x.T @ (weight[:, None] * y))  # [parts, targets]
    if tossed.complete:
        return slope.T, torch.zeros_like(slope.T)
    if rows <= parts + 1:  # a perfect fit of too few rows says nothing
        return slope.T, None
    residual = (y - x @ slope)[:-1]  # everything there is no luck
    pull = torch.einsum("kp,kt->tkp", (weight[:, None] * x)[:-1] @ inverse, residual)
    spread = pull.var(1) * rows * rows / (rows - parts - 1)
    return slope.T, spread.sqrt()


def closeness(members: Float[Tensor, "rows parts"], kernel_width: float) -> Float[Tensor, " rows"]:
    """Weight of each coalition by its cosine distance to everything there.

    Example:
        >>> closeness(torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double(), 0.5).log().tolist()
        [0.0, -2.0]
    """
    distance = 1 - members.mean(1).sqrt()
    return (-(distance**2) / (2 * kernel_width**2)).exp()
