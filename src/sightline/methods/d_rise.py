"""D-RISE: random smooth masks over a photo, weighted by what a detector still says under them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.budget import Budget
from sightline.errors import GameError
from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.d_rise_masks import CHUNK, GRID, Saliency, masks
from sightline.methods.record import record
from sightline.parts import BoundPhoto

MASKS = 5000


def d_rise(
    game: Game,
    *,
    budget: int | str | Budget | None = MASKS,
    grid: tuple[int, int] = GRID,
    keep: float = 0.5,
    seed: int = 0,
) -> Explanation:
    """The mean value under random smooth masks that show a place, less that under all masks.

    All boxes of a photo share the masked passes. Any detector will do: ask `BoxSimilarity` of a
    black box, which is D-RISE as published, or the score of a dense candidate. Each part's score is
    the mean over its pixels. The scores do not share out value - base, but a part without any
    effect gets 0, up to its error bar.

    Args:
        game: of a photo.
        budget: evaluations (masks) or time.
        grid: rows and columns of coins that a mask is enlarged from.
        keep: chance of each coin to be there.
        seed: of the masks.

    Returns:
        Scores, with standard errors in ``errors``.

    Raises:
        GameError: parts of a drawing, or a chance that is none.

    Source:
        Petsiuk et al., CVPR 2021; the masks of Petsiuk et al., BMVC 2018. 5,000 masks, 16 x 16. The
        papers leave the mean under all masks in, which every place then has in common: rankings
        are the same, but all of the map is positive.
    """
    bound = game.bound
    if not isinstance(bound, BoundPhoto):
        raise GameError(
            f"d_rise masks a photo, not {game.parts.kind} of a drawing; use rise, its kin by parts"
        )
    limit = Budget.of(budget)
    meter, saliency = Meter(game, limit), Saliency(keep=keep)
    generator = torch.Generator().manual_seed(seed)
    shape, shares = (bound.region.shape[0], bound.region.shape[1]), _shares(bound, len(game.parts))

    def under(shown: Tensor) -> Tensor:
        with torch.no_grad():
            return game.read(bound.see(bound.composed(shown)), rows=len(shown))

    left = limit.evaluations or (MASKS if limit.seconds is None else 2**62)
    notes: tuple[str, ...] = ()
    while left > 0:
        some = min(left, CHUNK)
        drawn = masks(some, shape, grid=grid, keep=keep, generator=generator)
        saliency.add(game.inside(drawn, under), _means(drawn, shares) - keep)
        left -= some
        if meter.seconds_left is not None and meter.seconds_left <= 0:
            notes = (f"stopped after {meter.seconds:.1f} s, as the budget says",)
            break
    settings = {
        "budget": budget if isinstance(budget, int | str) else str(limit),
        "grid": list(grid),
        "keep": keep,
    }
    errors = saliency.errors()[:, 0] if saliency.count > 1 else None
    scores = saliency.map()[:, 0]
    return record(
        game, scores, meter, "d_rise", settings=settings, seed=seed, errors=errors, notes=notes
    )


def _shares(bound: BoundPhoto, parts: int) -> Float[Tensor, "parts pixels"]:
    """Sparse: what each pixel of the picture brings to the mean of its part."""
    owner = bound.region.flatten().cpu()
    inside = (owner < parts).nonzero()[:, 0]
    size = torch.bincount(owner, minlength=parts).clamp(min=1)
    index = torch.stack([owner[inside], inside])
    share = 1 / size[owner[inside]].float()
    return torch.sparse_coo_tensor(index, share, (parts, len(owner)), check_invariants=False)


def _means(
    drawn: Float[Tensor, "rows height width"], shares: Float[Tensor, "parts pixels"]
) -> Float[Tensor, "rows 1 parts"]:
    """The mean of each mask over each part."""
    return torch.sparse.mm(shares, drawn.flatten(1).T).T[:, None]
