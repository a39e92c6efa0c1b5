"""Suggestions: what the explanation speaks against, and what the score says without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from sightline.errors import TaskError, unknown_name
from sightline.game import Game
from sightline.methods import METHODS, explain, p_sla
from sightline.parts import Points, Strokes
from sightline.parts.bound import prepared
from sightline.sketch.luck import seed_of
from sightline.sketch.sketch import Sketch
from sightline.tasks.healing.pieces import Piece, Pieces, drawn, length_of, whole, without
from sightline.tasks.healing.record import Healing, begin
from sightline.tasks.healing.scores import asked_of, row_of, scores_of
from sightline.tasks.healing.stretches import sensitivities, stretches_of

PartsToRemove = Literal["strokes", "stretches", "both"]
PARTS: tuple[PartsToRemove, ...] = ("strokes", "stretches", "both")
Order = Callable[[Sketch], Float[np.ndarray, " strokes"]]
"""Of a drawing a number a stroke, without a model; the lowest is tried first."""

KEEP = 0.25
MOST_EXACT = 10
"""Strokes up to which Shapley values are exact by default; beyond, Kernel SHAP estimates them."""

KERNEL_BUDGET = 1024
MOST_STRETCHES = 48
NO_SIGN = frozenset({"random"})
"""Methods whose sign means nothing; nor does that of a function's numbers."""

DIGITS = 5
"""Gains are compared to so many digits after the point: below is rounding."""


TOO_LITTLE = "too little of the drawing would be left"
NO_CUTS = "no stroke has points to cut at"


@dataclass(frozen=True)
class Suggestion:
    """Something that might go.

    Args:
        piece: what.
        name: in words.
        gain: by how much the score rises without it; below 0 it falls.
        score: without it.
        explained: what the explanation says of it: of a stroke, how much it speaks for the
            target; of a stretch, how far the target moves as its points do.
        method: which explanation.
    """

    piece: Piece
    name: str
    gain: float
    score: float
    explained: float
    method: str


@dataclass(frozen=True)
class SuggestionSettings:
    """Where suggestions come from.

    Args:
        parts: ``"strokes"``, ``"stretches"`` of them, or ``"both"``.
        method: explains strokes: a name in `sightline.METHODS`, or a function from a drawing to
            a number a stroke. The lowest is tried first. By default Shapley values, exact up to
            10 strokes. Stretches are always found by P-SLA, or with ``"random"`` by luck.
        tried: how many strokes and how many stretches are scored anew; None for all.
        keep: share of the drawing's line that must stay.
        seed: of methods that sample.
        budget: of methods that take one.

    Raises:
        TaskError: an unknown name, or a number out of its range.
    """

    parts: PartsToRemove = "strokes"
    method: str | Order | None = None
    tried: tuple[int | None, int | None] = (None, None)
    keep: float = KEEP
    seed: int = 0
    budget: int | str | None = None

    def __post_init__(self) -> None:
        if self.parts not in PARTS:
            raise TaskError(unknown_name("kind of parts", self.parts, PARTS))
        if isinstance(self.method, str) and self.method not in METHODS:
            raise TaskError(unknown_name("method", self.method, METHODS))
        if self.method == "p_sla" and self.parts != "stretches":
            raise TaskError(
                "p_sla says how far the score moves with points, not whether a stroke is for or "
                "against it: ask it about parts='stretches', or give 'both' another method"
            )
        for tried in self.tried:
            if tried is not None and tried < 1:
                raise TaskError(f"tried is {tried}; give at least 1")
        if not 0 <= self.keep < 1:
            raise TaskError(f"keep is {self.keep}; it is a share of the line, from 0 to below 1")

    @property
    def signed(self) -> bool:
        """Whether a score below 0 says that a stroke is against the target."""
        return self.method is None or (isinstance(self.method, str) and self.method not in NO_SIGN)

    def method_for(self, strokes: int) -> str:
        """The method that explains so many strokes, by name."""
        if self.method is None or self.method == "p_sla":  # which explains stretches, not strokes
            return "shapley" if strokes <= MOST_EXACT else "kernel_shap"
        return self.method if isinstance(self.method, str) else self.method.__name__


def suggest(
    start: Sketch | Healing,
    game: Game,
    *,
    target: str | int = 0,
    parts: PartsToRemove = "strokes",
    method: str | Order | None = None,
    tried: int | None = None,
    keep: float = KEEP,
    guide: Game | None = None,
    seed: int = 0,
    budget: int | str | None = None,
) -> tuple[Suggestion, ...]:
    """What a drawing may be better without, the most gainful first. Nothing is removed.

    Of stretches that lie over each other the most gainful is suggested, so that any of the
    suggestions can go together; but what they gain together is known only when it is scored.

    An explanation says where to look, and each candidate is then taken away and what remains is
    scored as a drawing of its own: read, framed and counted anew.

    Args:
        start: a drawing, or a healing that is under way.
        game: whose model and target say what is better, such as ``Game(model, Strokes(sketch),
            ClassScore("cat"))``.
        target: which of its targets; of a healing it is the healing's.
        parts: ``"strokes"``, ``"stretches"`` of them, or ``"both"``.
        method: explains the strokes: a name in `sightline.METHODS`, or a function from a drawing
            to a number a stroke; by default Shapley values. Stretches are found by P-SLA.
        tried: how many of each kind are scored; by default all strokes and 48 stretches.
        keep: share of the drawing's line that must stay.
        guide: another game of the same drawing to be explained, where the target that is scored
            has no gradient (a `Rank`, with a `Similarity` to guide).
        seed: of methods that sample.
        budget: of methods that take one.

    Returns:
        Suggestions by falling gain; empty where nothing may go.

    Raises:
        TaskError: an unknown name, a game of a photo, or a healing of another game.
    """
    most = (tried, tried) if tried is not None else (None, MOST_STRETCHES)
    settings = SuggestionSettings(parts, method, most, keep, seed, budget)
    offers = score_candidates(begin(start, game, target=target), game, settings, guide)
    apart: list[Suggestion] = []
    for each in offers:
        if not any(each.piece.meets(better.piece) for better in apart):
            apart.append(each)
    return tuple(apart)


def score_candidates(
    healing: Healing, game: Game, settings: SuggestionSettings, guide: Game | None = None
) -> tuple[Suggestion, ...]:
    """All that was scored, as `suggest` has it, also what lies over each other."""
    listed = [
        (piece, said, method)
        for piece, said, method in _candidates(healing, guide or game, settings)
        if _may_go(healing, piece, settings.keep)
    ]
    if not listed:
        return ()
    left = [drawn(healing.drawing, without(healing.pieces, piece)) for piece, _, _ in listed]
    scores = scores_of(game, left, target=healing.target).tolist()
    suggestions = [
        Suggestion(piece, healing.name(piece), score - healing.score, score, said, method)
        for (piece, said, method), score in zip(listed, scores, strict=True)
    ]
    # of equals the one that was tried first: sorting is stable
    return tuple(sorted(suggestions, key=lambda each: -round(each.gain, DIGITS)))


def why_nothing_may_go(healing: Healing, parts: PartsToRemove) -> str:
    """Why `suggest` found nothing that may go, in words.

    Example:
        >>> cross = Sketch.from_strokes([[(0, 0), (9, 9)], [(0, 9), (9, 0)]])
        >>> healing = Healing(cross, "slash", "logit", 0.5, "Toy", "0" * 16)
        >>> why_nothing_may_go(healing, "stretches")
        'no stroke has points to cut at'
    """
    if parts == "stretches" and not stretches_of(healing.drawing, healing.pieces):
        return NO_CUTS
    return TOO_LITTLE


def _candidates(
    healing: Healing, guide: Game, settings: SuggestionSettings
) -> list[tuple[Piece, float, str]]:
    """Pieces, what is said of each, and by whom; of each kind those to try first."""
    listed = []
    if settings.parts != "stretches":
        listed += _strokes(healing, guide, settings)
    if settings.parts != "strokes":
        listed += _stretches(healing, guide, settings)
    return listed


def _strokes(
    healing: Healing, guide: Game, settings: SuggestionSettings
) -> list[tuple[Piece, float, str]]:
    """Strokes from the one that speaks most against the target."""
    allowed = [_may_go(healing, piece, settings.keep) for piece in healing.pieces]
    if not any(allowed):
        return []
    scores = explain_strokes(healing.sketch, healing.target, guide, settings)
    order = [i for i in np.argsort(scores, kind="stable").tolist() if allowed[i]]
    method = settings.method_for(len(scores))
    return [(healing.pieces[i], float(scores[i]), method) for i in order[: settings.tried[0]]]


def explain_strokes(
    sketch: Sketch, target: str, guide: Game, settings: SuggestionSettings
) -> Float[np.ndarray, " strokes"]:
    """What the method of these settings says of each stroke of what is left."""
    method = settings.method_for(len(sketch))
    if callable(settings.method):
        scores = np.asarray(settings.method(sketch), dtype=np.float64)
        if scores.shape != (len(sketch),) or np.isnan(scores).any():
            raise TaskError(
                f"{method} gave {scores.tolist()} for {len(sketch)} strokes; expected a number each"
            )
        return scores
    by_default = settings.method != method and method == "kernel_shap"
    budget = KERNEL_BUDGET if by_default and settings.budget is None else settings.budget
    asked = asked_of(guide, Strokes(sketch))
    why = explain(asked, method, budget=budget, seed=_seed(sketch, settings.seed))
    return why.scores[_guiding_row(guide, target)]


def _stretches(
    healing: Healing, guide: Game, settings: SuggestionSettings
) -> list[tuple[Piece, float, str]]:
    """Stretches from the one with which the score moves most."""
    runs = stretches_of(healing.drawing, healing.pieces)
    runs = [run for run in runs if _may_go(healing, run, settings.keep)]
    if not runs:
        return []
    if settings.method == "random":
        luck = np.random.default_rng(_seed(healing.sketch, settings.seed))
        sizes, method = luck.random(len(runs)), "random"
    else:
        read = prepared(guide.model, healing.sketch)
        why = p_sla(asked_of(guide, Points(read)))
        told = why.scores[_guiding_row(guide, healing.target)]
        sizes, method = sensitivities(healing.drawing, runs, healing.pieces, read, told), "p_sla"
    order = np.argsort(-sizes, kind="stable")[: settings.tried[1]].tolist()
    return [(runs[i], float(sizes[i]), method) for i in order]


def _guiding_row(guide: Game, target: str) -> int:
    """Of a guide's targets the healing's, or its first."""
    return row_of(guide, target) if target in guide.targets else 0


def _may_go(healing: Healing, piece: Piece, keep: float) -> bool:
    """Whether something, with a size and enough of the line, would be left."""
    left: Pieces = without(healing.pieces, piece)
    if not left or not drawn(healing.drawing, left).has_size:
        return False
    total = length_of(healing.drawing, whole(healing.drawing))
    return length_of(healing.drawing, left) >= keep * total


def _seed(sketch: Sketch, seed: int) -> int:
    """Luck of a drawing's own, so that every step has another."""
    return seed_of(sketch, f"{seed}/healing", size=6)
