"""Deletion measured in rank: how soon does a photo lose its place as strokes are taken away?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import Tensor

from sightline.errors import TaskError
from sightline.explanation import Explanation, Provenance
from sightline.game import Game
from sightline.metrics.flipping import RANDOM_ORDERS, areas, deletion
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired
from sightline.models.encoder import Encoder
from sightline.parts import LARGEST_BATCH, Strokes, drawing
from sightline.sketch.lengths import stroke_lengths
from sightline.targets import Rank

Vectors = Float[Tensor, "gallery dimension"]
CELLS = 2**24
"""Similarities that are held at once."""


@dataclass(frozen=True, eq=False)
class RankDeletion:
    """The place of the right photo as strokes are taken away, the most important first.

    Args:
        places: with 0, 1, ..., n strokes gone; 1 is the first.
        random: the same for random orders, one a row.
        gallery: how many photos there are.
    """

    places: Float[np.ndarray, " steps"]
    random: Float[np.ndarray, "orders steps"]
    gallery: int

    @property
    def strokes(self) -> int:
        """How many there are to take away."""
        return len(self.places) - 1

    @cached_property
    def area(self) -> float:
        """Mean share of the gallery that stands before the photo, over the strokes taken away.

        In [0, 1]; higher is better: the place was lost sooner.
        """
        return float(self._areas(self.places[None])[0])

    @cached_property
    def random_area(self) -> float:
        """The mean of the same over random orders."""
        return float(self._areas(self.random).mean())

    @property
    def gain(self) -> float:
        """How much better than random orders; positive is better."""
        return self.area - self.random_area

    @property
    def first(self) -> bool:
        """Whether the photo stands first with every stroke there."""
        return bool(self.places[0] == 1)

    @cached_property
    def to_lose(self) -> int:
        """Strokes to take away until another photo stands first; n + 1 where none ever does."""
        return int(_to_lose(self.places[None])[0])

    @cached_property
    def random_to_lose(self) -> float:
        """The mean of the same over random orders."""
        return float(_to_lose(self.random).mean())

    def _areas(self, places: Float[np.ndarray, "orders steps"]) -> Float[np.ndarray, " orders"]:
        return areas((places - 1) / max(1, self.gallery - 1))


def rank_deletion(
    encoder: Encoder,
    why: Explanation,
    gallery: Vectors,
    index: int,
    *,
    target: str | int = 0,
    orders: int = RANDOM_ORDERS,
    seed: int = 0,
) -> RankDeletion:
    """Take strokes away, the most important first, and follow the photo's place in the gallery.

    Args:
        encoder: that made the gallery's vectors.
        why: explains strokes (or points) of the drawing: `Match.query`, or `by_length`, `by_order`.
        gallery: all vectors.
        index: row of the photo that should be found.
        target: which of the explained targets.
        orders: random orders to compare with.
        seed: of these.

    Raises:
        TaskError: an explanation of a photo.
        GameError: an index outside the gallery, or vectors of another length.

    Example:
        >>> from torch import nn
        >>> from sightline.sketch.sketch import Sketch
        >>> from sightline.tasks.retrieval.explain_match import explain_match
        >>> encoder = Encoder(sketch=nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten()))
        >>> plus = Sketch.from_strokes([[[0, 3], [6, 3]], [[3, 1], [3, 5]]])
        >>> gallery = encoder.encode([plus.select([0]), plus.select([1])])
        >>> match = explain_match(encoder, plus, plus.select([0]))
        >>> rank_deletion(encoder, match.query, gallery, 0).places.tolist()
        [1.0, 2.0, 1.0]
    """
    (curve,) = rank_deletions(
        encoder, [why], gallery, index, target=target, orders=orders, seed=seed
    )
    return curve


def rank_deletions(
    encoder: Encoder,
    whys: Sequence[Explanation],
    gallery: Vectors,
    index: int,
    *,
    target: str | int = 0,
    orders: int = RANDOM_ORDERS,
    seed: int = 0,
) -> list[RankDeletion]:
    """`rank_deletion` of several explanations of one drawing.

    They share the random orders, and each set of strokes is shown to the encoder once.

    Raises:
        TaskError: none, one of a photo, or explanations of different drawings.
    """
    ranked = [_of_strokes(why) for why in whys]
    if not ranked or len({len(why.parts) for why in ranked}) > 1:
        raise TaskError("give explanations of the strokes of one drawing, at least one")
    name = ranked[0].targets[ranked[0].target(target)]
    asked = Rank(gallery.float().cpu(), (index,), (name,), encoder.measure)
    rows = max(1, min(LARGEST_BATCH, CELLS // len(gallery)))
    game = Game(encoder, ranked[0].parts, asked, batch=rows, remember=len(ranked) > 1)
    curves = (deletion(game, why, target=name, orders=orders, seed=seed) for why in ranked)
    return [RankDeletion(1 - curve.values, 1 - curve.random, len(gallery)) for curve in curves]


def _of_strokes(why: Explanation) -> Explanation:
    if why.parts.kind not in ("strokes", "points"):
        raise TaskError(
            f"rank deletion takes strokes away, and this explains {why.parts.kind}; give the side "
            "of the drawing: match.query"
        )
    return why if why.parts.kind == "strokes" else why.on(Strokes(drawing(why.parts)))


def by_length(why: Explanation) -> Explanation:
    """The same strokes ranked by their length alone, as a rival that never looked at the model."""
    return _ranked(why, "by length", stroke_lengths(drawing(why.parts)))


def by_order(why: Explanation) -> Explanation:
    """The same strokes ranked as they were drawn, the first highest."""
    return _ranked(why, "by order", -np.arange(len(why.parts), dtype=np.float64))


@dataclass(frozen=True)
class RankRow:
    """How soon one method's order loses the right photo its place, over a set of drawings.

    Args:
        method: its name.
        drawings: how many; ``first`` of them with the photo in the first place at the start.
        area: mean share of the gallery before the photo; higher is better.
        gain: the same less that of random orders, drawing by drawing.
        to_lose: mean number of strokes to lose the first place, over those that had it (n + 1
            where it was never lost); fewer is better. None where none had it.
        share_to_lose: the same as a share of the drawing's strokes.
    """

    method: str
    drawings: int
    first: int
    area: Interval
    gain: Comparison
    to_lose: Interval | None
    share_to_lose: Interval | None


def rank_table(curves: Mapping[str, Sequence[RankDeletion]], *, seed: int = 0) -> list[RankRow]:
    """Methods side by side, each on the same drawings, with intervals over drawings.

    The random orders make a row of their own, ``random orders``.

    Raises:
        TaskError: no methods, or not the same number of drawings each.
    """
    counts = {name: len(some) for name, some in curves.items()}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        raise TaskError(f"methods cannot be compared on different drawings: {counts or 'none'}")
    rows = [
        _row(name, some, [c.area for c in some], [float(c.to_lose) for c in some], seed)
        for name, some in curves.items()
    ]
    some = next(iter(curves.values()))
    luck = ([c.random_area for c in some], [c.random_to_lose for c in some])
    return [*rows, _row("random orders", some, *luck, seed)]


def compare_areas(
    one: Sequence[RankDeletion], other: Sequence[RankDeletion], *, seed: int = 0
) -> Comparison:
    """One method's areas less another's, drawing by drawing; positive: the one is better."""
    return paired([c.area for c in one], [c.area for c in other], seed=seed)


def _row(
    name: str,
    some: Sequence[RankDeletion],
    area: Sequence[float],
    lost: Sequence[float],
    seed: int,
) -> RankRow:
    held = [i for i, curve in enumerate(some) if curve.first]
    counts = [lost[i] for i in held]
    shares = [lost[i] / some[i].strokes for i in held]
    return RankRow(
        method=name,
        drawings=len(some),
        first=len(held),
        area=bootstrap_mean(area, seed=seed),
        gain=paired(area, [c.random_area for c in some], seed=seed),
        to_lose=bootstrap_mean(counts, seed=seed) if held else None,
        share_to_lose=bootstrap_mean(shares, seed=seed) if held else None,
    )


def _to_lose(places: Float[np.ndarray, "orders steps"]) -> Float[np.ndarray, " orders"]:
    """Index of the first step at another place than the first; the number of steps where none."""
    lost = places > 1
    return np.where(lost.any(1), lost.argmax(1), places.shape[1]).astype(np.float64)


def _ranked(why: Explanation, method: str, scores: Float[np.ndarray, " strokes"]) -> Explanation:
    made = Provenance(method, why.made.model, why.made.fingerprint, evaluations=0, seconds=0.0)
    rows = np.tile(scores, (len(why.targets), 1))
    return replace(why, scores=rows, errors=None, made=made)
