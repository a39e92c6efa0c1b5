"""Do the maps of a run know the model at all? Its layers are shuffled, and the maps must go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from sightline.errors import SightlineError
from sightline.game import Game
from sightline.image.photo import Photo
from sightline.methods import BUDGETED, explain
from sightline.metrics.intervals import bootstrap_mean
from sightline.metrics.sanity import ALIKE, randomised_cascade
from sightline.models.detector import Detector
from sightline.parts import Superpixels
from sightline.runs.settings import PhotoSettings
from sightline.targets import BoxScores, boxes_in

STEPS = 3
BUDGET = 600
"""Evaluations of methods that sample: a rank correlation needs no more."""


def sanity_of(detector: Detector, photos: Sequence[Photo], settings: PhotoSettings) -> list[str]:
    """What is left of each method's maps once the model knows nothing, a sentence a method.

    The best box of each photo is explained, layers are randomised from the head down, and the map
    of the wholly random model is compared with the model's own by rank.

    Source:
        Adebayo et al., 2018, section 3.
    """
    if not isinstance(detector, nn.Module):
        return ["sanity: not asked of a black box, whose layers cannot be randomised"]
    told = []
    for method in settings.methods:
        left = [_left(detector, photo, method, settings) for photo in photos]
        known = [each for each in left if each is not None]
        told.append(f"sanity of {method}: {_verdict(known)}")
    return told


def _left(detector: nn.Module, photo: Photo, method: str, settings: PhotoSettings) -> float | None:
    """Rank correlation of the random model's map with the model's own; None if there is none."""
    assert isinstance(detector, Detector)  # noqa: S101, said by the caller
    try:
        found = boxes_in(detector, photo, threshold=settings.threshold, most=1)
        parts = Superpixels(photo, settings.superpixels, settings.absent)

        def scores(_: nn.Module) -> np.ndarray:
            game = Game(detector, parts, BoxScores(found, "logit"))
            budget = BUDGET if method in BUDGETED else None
            return explain(game, method, budget=budget, seed=settings.seed).scores[0]

        steps = randomised_cascade(detector, scores, seed=settings.seed, groups=STEPS).steps
    except SightlineError:
        return None
    return steps[-1].spearman or 0.0  # a map without contrast has nothing left of the first


def _verdict(left: Sequence[float]) -> str:
    if not left:
        return "no map could be compared"
    mean = bootstrap_mean(left)
    over = f"{len(left)} photo{'s' if len(left) > 1 else ''}"
    spread = f" [{mean.low:.2f}, {mean.high:.2f}]" if len(left) > 1 else ""
    if mean.low > ALIKE or mean.high < -ALIKE:
        verdict = "fails: the maps show more than what the model learnt"
    else:
        passes = abs(mean.estimate) < ALIKE
        verdict = "passes" if passes else f"not settled by {over}: try more (sanity=...)"
    return (
        f"the maps of a random model keep a rank correlation of {mean.estimate:.2f}{spread} with "
        f"the model's own ({over}); {verdict}"
    )
