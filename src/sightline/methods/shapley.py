"""Shapley values: exact where 2^n is affordable, Kernel SHAP beyond."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.coalitions import PairedDesign
from sightline.methods.record import record

MOST_PARTS = 16
RIDGE = 1e-3


def shapley(game: Game, *, budget: int | str | Budget | None = None) -> Explanation:
    """Exact Shapley values from all 2^n coalitions: the yardstick of every approximate method.

    Args:
        game: at most 16 parts.
        budget: an error if fewer evaluations are allowed than the 2^n needed.

    Returns:
        Scores that sum to value - base exactly, up to rounding.

    Raises:
        GameError: too many parts, or a budget that is too small.

    Source:
        Shapley, 1953: phi_i = sum over S without i of |S|! (n - |S| - 1)! / n!
        (v(S with i) - v(S)).
    """
    n, limit = len(game.parts), Budget.of(budget).evaluations_for("shapley")
    if n > MOST_PARTS:
        raise GameError(
            f"exact Shapley values of {n} {game.parts.kind} need 2^{n} evaluations; at most "
            f"{MOST_PARTS} parts are allowed: use kernel_shap(game, budget=2000)"
        )
    if limit is not None and limit < 2**n:
        raise GameError(
            f"exact Shapley values of {n} {game.parts.kind} need {2**n} evaluations, the budget "
            f"allows {limit}: raise it, or use kernel_shap"
        )
    meter = Meter(game)
    return record(game, shapley_values(game(all_coalitions(n))), meter, "shapley")


def all_coalitions(parts: int) -> Float[Tensor, "coalitions parts"]:
    """Every subset; bit i of the row's number says whether part i is there."""
    return ((torch.arange(2**parts)[:, None] >> torch.arange(parts)) & 1).float()


def shapley_values(values: Float[Tensor, "coalitions targets"]) -> Float[Tensor, "targets parts"]:
    """Shapley values of a full table of coalition values, in the order of `all_coalitions`.

    Example:
        >>> shapley_values(torch.tensor([[0.0], [1.0], [2.0], [4.0]]).double()).tolist()
        [[1.5, 2.5]]
    """
    n = int(math.log2(len(values)))
    number = torch.arange(2**n)
    size = all_coalitions(n).sum(1).long()
    weight = torch.tensor(
        [1.0 / (n * math.comb(n - 1, s)) if s < n else 0.0 for s in range(n + 1)],
        dtype=torch.float64,
    )
    scores = []
    for part in range(n):
        without = number[(number >> part) & 1 == 0]
        gain = values[without + (1 << part)] - values[without]
        scores.append((weight[size[without]][:, None] * gain).sum(0))
    return torch.stack(scores, 1)


def kernel_shap(
    game: Game,
    *,
    budget: int | str | Budget | None = 2000,
    seed: int = 0,
    stop: float | None = None,
) -> Explanation:
    """Shapley values by regression on sampled coalitions, with error bars and a stop rule.

    Coalition sizes are drawn uniformly (leverage sampling), without replacement, each coalition
    with its complement; each is weighted by the inverse of its chance. The sum of the scores is
    value - base, enforced exactly. With a budget for all 2^n coalitions the values are exact.

    Args:
        game: any number of parts.
        budget: evaluations (at least one pair a size) or time.
        seed: of the sample.
        stop: stop early once the largest standard error is below this share of the range of the
            scores (for every target).

    Returns:
        Scores, with standard errors in ``errors``; without, where there are no more pairs of
        coalitions than unknowns. The errors are fair from about 5 evaluations a part.

    Source:
        Lundberg and Lee, 2017; Musco and Witter, 2024 (leverage sampling, without replacement).
        Standard errors: linearisation within the strata of equal size, with finite-population
        correction, pairs as units; ours.
    """
    n, limit = len(game.parts), Budget.of(budget)
    _check_kernel_budget(n, limit, stop)
    meter = Meter(game, limit)
    if n == 1:
        return record(game, (game.value - game.base)[:, None], meter, "kernel_shap", seed=seed)
    design = PairedDesign(n, torch.Generator().manual_seed(seed))
    allowed = min(2**n, limit.evaluations or 2**n) - 2  # everything and nothing are known already
    fit: Fit | None = None
    notes: tuple[str, ...] = ()
    gains: list[Tensor] = []
    while True:
        spent = 2 * len(design.members)
        fresh = design.draw(_round(n, spent, allowed, meter) // 2)
        if not len(fresh):
            break
        values = game(torch.cat([fresh, 1 - fresh])).unflatten(0, (2, -1))
        gains.append(values)
        fit = fit_pairs(design, torch.cat(gains, 1), game.base, game.value)
        if stop is not None and fit.settled(stop):
            notes = (f"stopped: standard errors below {stop:.2%} of the range",)
            break
        if meter.seconds_left is not None and meter.seconds_left <= 0:
            notes = (f"stopped after {meter.seconds:.1f} s, as the budget says",)
            break
    if fit is None:
        raise GameError("no coalition was drawn: raise the budget")
    if fit.errors is None:
        notes += (f"too few evaluations for error bars: they need {2 * n + 2}",)
    settings = {"budget": budget if isinstance(budget, int | str) else str(limit), "stop": stop}
    return record(
        game,
        fit.scores,
        meter,
        "kernel_shap",
        settings=settings,
        seed=seed,
        errors=fit.errors,
        notes=notes,
    )


@dataclass(frozen=True)
class Fit:
    """Regression scores ``[targets, parts]`` and their standard errors, where they are known."""

    scores: Float[Tensor, "targets parts"]
    errors: Float[Tensor, "targets parts"] | None

    def settled(self, share: float) -> bool:
        """Whether all errors are below a share of the range of each target's scores."""
        if self.errors is None:
            return False
        spread = self.scores.amax(1) - self.scores.amin(1)
        return bool((self.errors.amax(1) <= share * spread).all())


def fit_pairs(
    design: PairedDesign,
    values: Float[Tensor, "2 pairs targets"],
    base: Float[Tensor, " targets"],
    value: Float[Tensor, " targets"],
) -> Fit:
    """Weighted least squares on pairs (a coalition, its complement), sum of scores fixed.

    For a pair the regression row is z - 1/2 and the response (v(S) - v(complement)) / 2: the even
    part of the game cancels, and so does the intercept.
    """
    z = design.members.double() - 0.5  # [pairs, parts]
    y = (values[0] - values[1]) / 2  # [pairs, targets]
    weight, n = design.weights(), z.shape[1]
    total = value - base
    even = total[None, :] / n  # the part of the scores that the constraint fixes
    y = y - z.sum(1, keepdim=True) * even
    basis = _sum_zero_basis(n)  # [parts, parts - 1]
    x = z @ basis
    gram = x.T @ (weight[:, None] * x)
    singular = int(torch.linalg.matrix_rank(gram, hermitian=True)) < n - 1
    if singular:
        gram = gram + RIDGE * gram.diagonal().mean() * torch.eye(n - 1, dtype=gram.dtype)
    inverse = torch.linalg.inv(gram)
    slope = inverse @ (x.T @ (weight[:, None] * y))
    residual = y - x @ slope
    scores = (basis @ slope + even).T
    if len(z) < n and not design.exhausted:  # a perfect fit of too few pairs says nothing
        return Fit(scores, None)
    influence = torch.einsum("pn,pt->tpn", (weight[:, None] * x) @ inverse @ basis.T, residual)
    return Fit(scores, design.standard_error(influence, parameters=n - 1))


def _sum_zero_basis(n: int) -> Float[Tensor, "parts parts-1"]:
    """Orthonormal columns that span the vectors of sum 0 (Helmert)."""
    basis = torch.zeros(n, n - 1, dtype=torch.float64)
    for k in range(1, n):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -k
    return basis / basis.norm(dim=0)


def _round(n: int, spent: int, allowed: int, meter: Meter) -> int:
    """Evaluations of the next round: a first look, then half as much again, within the time."""
    wanted = max(4 * n, 64, spent // 2)
    if spent and meter.seconds_left is not None:
        wanted = max(2, min(wanted, int(spent / meter.seconds * meter.seconds_left)))
    return max(0, min(wanted, allowed - spent))


def _check_kernel_budget(n: int, limit: Budget, stop: float | None) -> None:
    least = min(2**n, 2 * (n // 2) + 2)
    if limit.evaluations is not None and limit.evaluations < least:
        raise GameError(
            f"kernel_shap of {n} parts needs at least {least} evaluations (one pair of each "
            f"size), the budget allows {limit.evaluations}"
        )
    if limit.evaluations is None and limit.seconds is None and stop is None and n > MOST_PARTS:
        raise GameError("give kernel_shap a budget (2000, '20s') or a stop rule (stop=0.05)")
    if stop is not None and not 0 < stop < 1:
        raise GameError(f"stop is {stop}; it is a share between 0 and 1, such as 0.05")
