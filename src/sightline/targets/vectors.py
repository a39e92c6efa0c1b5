"""How near the vector of an encoder is to others: similarity, margins, rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.image.photo import Photo
from sightline.models.detector import Reply
from sightline.models.encoder import MEASURES, Measure, similarities
from sightline.sketch.sketch import Sketch
from sightline.targets.target import BoundTargets

ROUNDING = 1e-6
"""Of float64 numbers that differ by less than this share it is not said which is more."""

Vectors = Float[Tensor, "vectors dimension"]


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike the item and some others are.

    Args:
        to: their vectors, as `Encoder.encode` gives them.
        names: of the others, one each; numbered where not given.
        measure: ``"cosine"``, or ``"distance"``: minus the Euclidean distance.

    Raises:
        GameError: no vectors, or another number of names.

    Example:
        >>> Similarity(torch.eye(2), names=("left shoe", "right shoe")).names
        ('left shoe', 'right shoe')
    """

    to: Vectors
    names: tuple[str, ...] = ()
    measure: Measure = "cosine"

    def __post_init__(self) -> None:
        _check(self.measure, self.to)
        object.__setattr__(self, "names", _named(self.names, len(self.to), "photo"))

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """One target a vector."""
        (to,) = _beside(reply, self.to)
        return _bound(self.names, self.measure, lambda x: similarities(x, to(x), self.measure))


@dataclass(frozen=True, eq=False)
class TripletMargin:
    """By how much the right one is nearer than the wrong one: what a triplet loss widens.

    Args:
        positive: vector of the right one; negative: of the wrong one.
        margin: where the loss is satisfied: the value stays there, and its gradient is 0. None
            lets it grow on.
        name: of the target.
        measure: ``"distance"`` as the loss has it, or ``"cosine"``.

    Raises:
        GameError: vectors of different lengths, or a margin below 0.

    Source:
        Schroff et al., 2015: the loss is max(0, d(positive) - d(negative) + margin); this is the
        margin less that loss, so more is better.
    """

    positive: Float[Tensor, " dimension"]
    negative: Float[Tensor, " dimension"]
    margin: float | None = None
    name: str = "triplet margin"
    measure: Measure = "distance"

    def __post_init__(self) -> None:
        _check(self.measure, self.positive[None], self.negative[None])
        if self.margin is not None and not self.margin >= 0:
            raise GameError(f"margin is {self.margin}; it must be at least 0, or None for none")

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """One target."""
        positive, negative = _beside(reply, self.positive[None], self.negative[None])

        def read(x: Tensor) -> Tensor:
            wide = similarities(x, positive(x), self.measure)
            wide = wide - similarities(x, negative(x), self.measure)
            return wide if self.margin is None else wide.clamp(max=self.margin)

        return _bound((self.name,), self.measure, read)


@dataclass(frozen=True, eq=False)
class RankMargin:
    """Why this photo above that one: how much more alike the one is than each of the others.

    Args:
        above: vector of the one.
        below: vectors of the others.
        name: of the one.
        names: of the others.
        measure: as in `Similarity`.

    Raises:
        GameError: vectors of different lengths, or another number of names.

    Example:
        >>> margin = RankMargin(torch.ones(2), torch.eye(2)[:1], name="boot", names=("clog",))
        >>> margin.targets
        ('boot above clog',)
    """

    above: Float[Tensor, " dimension"]
    below: Vectors
    name: str = "this"
    names: tuple[str, ...] = ()
    measure: Measure = "cosine"

    def __post_init__(self) -> None:
        _check(self.measure, self.above[None], self.below)
        object.__setattr__(self, "names", _named(self.names, len(self.below), "that"))

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets: one a photo below."""
        return tuple(f"{self.name} above {other}" for other in self.names)

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """One target a photo below."""
        above, below = _beside(reply, self.above[None], self.below)

        def read(x: Tensor) -> Tensor:
            return similarities(x, above(x), self.measure) - similarities(x, below(x), self.measure)

        return _bound(self.targets, self.measure, read)


@dataclass(frozen=True, eq=False)
class Rank:
    """Where in a gallery photos stand, seen from the item: minus how many stand before each.

    0 is the first place, -1 the second. Equally alike photos share the better place. It is a
    whole number, so it has no gradient: ask methods that need none, or measure with it what was
    explained by `Similarity`.

    Args:
        gallery: all vectors.
        of: indices of the photos asked about.
        names: of these.
        measure: as in `Similarity`.

    Raises:
        GameError: an index outside the gallery.

    Example:
        >>> Rank(torch.eye(3), of=(2,)).names
        ('photo 2',)
    """

    gallery: Vectors
    of: tuple[int, ...]
    names: tuple[str, ...] = ()
    measure: Measure = "cosine"

    def __post_init__(self) -> None:
        _check(self.measure, self.gallery)
        outside = [i for i in self.of if not 0 <= i < len(self.gallery)]
        if outside or not self.of:
            raise GameError(
                f"no photo {outside or 'is named'} in a gallery of {len(self.gallery)}; give "
                f"indices from 0 to {len(self.gallery) - 1}"
            )
        named = self.names or tuple(f"photo {i}" for i in self.of)
        object.__setattr__(self, "names", _named(named, len(self.of), "photo"))

    def bind(
        self, model: object, known: tuple[str, ...], reply: Reply, subject: Sketch | Photo
    ) -> BoundTargets:
        """One target a photo asked about."""
        (gallery,) = _beside(reply, self.gallery)
        chosen = list(self.of)

        def read(x: Tensor) -> Tensor:
            # in float64: a copy of a photo must tie with it, wherever sums are rounded
            exact = x.double()
            alike = similarities(exact, gallery(exact), self.measure)  # [rows, gallery]
            own = alike[:, chosen] + ROUNDING * (1 + alike[:, chosen].abs())
            before = torch.stack([(alike > mine[:, None]).sum(1) for mine in own.unbind(1)], 1)
            return -before.to(x.dtype)

        return BoundTargets(self.names, "places", lambda reply: read(_vectors(reply)))


def _bound(
    names: tuple[str, ...], measure: Measure, read: Callable[[Tensor], Tensor]
) -> BoundTargets:
    unit = "cosine" if measure == "cosine" else "minus distance"
    return BoundTargets(names, unit, lambda reply: read(_vectors(reply)))


def _vectors(reply: Reply) -> Tensor:
    assert isinstance(reply, Tensor)  # noqa: S101, `_beside` has made sure
    return reply


def _beside(reply: Reply, *others: Tensor) -> list[Callable[[Tensor], Tensor]]:
    """Vectors to compare with, each where and in the type that a later reply has."""
    if not isinstance(reply, Tensor) or reply.ndim != 2:
        raise GameError(
            "the model answers no vectors: similarity is asked of an encoder, "
            "sl.Encoder(sketch=..., photo=...)"
        )
    for vectors in others:
        if vectors.shape[1] != reply.shape[1]:
            raise GameError(
                f"the encoder's vectors have {reply.shape[1]} numbers, those compared with "
                f"{vectors.shape[1]}; encode both with the same encoder"
            )
    return [vectors.to for vectors in others]


def _check(measure: str, *several: Tensor) -> None:
    if measure not in MEASURES:
        raise GameError(unknown_name("measure", measure, MEASURES))
    if any(vectors.ndim != 2 or not len(vectors) for vectors in several):
        shapes = [list(vectors.shape) for vectors in several]
        raise GameError(
            f"vectors have shapes {shapes}; expected [vectors, dimension], at least one, as "
            "encoder.encode(...) gives them"
        )
    if len({vectors.shape[1] for vectors in several}) > 1:
        raise GameError(
            f"vectors of {sorted({v.shape[1] for v in several})} numbers cannot be compared; "
            "encode all with the same encoder"
        )


def _named(names: Sequence[str], count: int, word: str) -> tuple[str, ...]:
    if names and len(names) != count:
        raise GameError(f"{count} vectors, but {len(names)} names; give one each")
    return tuple(names) or tuple(f"{word} {i}" for i in range(count))
