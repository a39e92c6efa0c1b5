"""Leave one part out, and the baseline that knows nothing."""

from __future__ import annotations

import torch

from sightline.explanation import Explanation
from sightline.game import Game, Meter
from sightline.methods.record import record


def occlusion(game: Game) -> Explanation:
    """What each target loses when one part is left out: value - v(all but i).

    n evaluations. Parts that stand in for each other all get little.

    Source:
        Zeiler and Fergus, 2014.
    """
    meter = Meter(game)
    without = 1 - torch.eye(len(game.parts))
    return record(game, (game.value - game(without)).T, meter, "occlusion")


def random(game: Game, *, seed: int = 0) -> Explanation:
    """Standard normal scores: what any method must beat. No evaluation."""
    meter = Meter(game)
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(len(game.targets), len(game.parts), generator=generator)
    return record(game, scores, meter, "random", seed=seed)
