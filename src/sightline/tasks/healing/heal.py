"""The walk: take out what helps most, score, and look again, until nothing helps."""

from __future__ import annotations

from dataclasses import replace

from sightline.errors import TaskError
from sightline.game import Game
from sightline.sketch.sketch import Sketch
from sightline.tasks.healing.pieces import Piece, cut_out, drawn
from sightline.tasks.healing.record import Healing, Step, begin
from sightline.tasks.healing.suggestions import (
    DIGITS,
    KEEP,
    NO_CUTS,
    Order,
    PartsToRemove,
    Suggestion,
    SuggestionSettings,
    explain_strokes,
    score_candidates,
    why_nothing_may_go,
)

TRIED = (3, 24)
"""Strokes and stretches that are scored at each step."""

CUT_OUT = 3
"""Stretches that are cut out and explained at each step, at most."""


def heal(
    start: Sketch | Healing,
    game: Game,
    *,
    target: str | int = 0,
    parts: PartsToRemove = "strokes",
    method: str | Order | None = None,
    tried: int | None = None,
    least_gain: float = 0.0,
    against: bool = True,
    steps: int | None = None,
    keep: float = KEEP,
    guide: Game | None = None,
    seed: int = 0,
    budget: int | str | None = None,
) -> Healing:
    """Take out of a drawing what lowers its score, one piece at a time, until nothing does.

    At each step what is left is explained anew, the worst candidates are each taken
    away and scored, and of those that the explanation speaks against, the removal that gains most
    is kept if it gains enough. Nothing is lost: the healing holds every step, and `Healing.undo`
    takes one back.

    Both must agree, explanation and score, since either alone is often wrong: a sure model gains a
    little without many a stroke that belongs to the drawing (docs/healing.md has the numbers).

    Args:
        start: a drawing, or a healing to go on with.
        game: whose model and target say what is better. Name the class that the drawing is meant
            to be: with the predicted class healing can only make the model surer of its answer.
        target: which of the game's targets; of a healing it is the healing's.
        parts: ``"strokes"``, ``"stretches"`` of them, or ``"both"``.
        method: explains the strokes: a name in `sightline.METHODS`, or a function from a drawing
            to a number a stroke; by default Shapley values. Stretches are found by P-SLA.
        tried: candidates of each kind that are scored at each step; by default 3 strokes and 24
            stretches.
        least_gain: the score must rise by more than this, in the target's unit; 0 or
            more.
        against: only what the explanation speaks against may go. A stretch is first cut out and
            explained as a stroke of its own. Random scores and a function's numbers have no sign,
            so with them the score alone decides.
        steps: at most so many further removals.
        keep: share of the drawing's line that must stay.
        guide: explained in place of ``game`` where its target has no gradient, as in `suggest`.
        seed: of methods that sample.
        budget: of methods that take one.

    Returns:
        The healing, with a note why it stopped. The last stroke is never taken as a
        whole.

    Raises:
        TaskError: an unknown name, a least gain below 0, a game of a photo, or a healing of
            another game.

    Example:
        >>> from sightline.models.raster import sketch_cnn
        >>> from sightline.parts import Strokes
        >>> from sightline.targets import ClassScore
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> game = Game(sketch_cnn(("cross", "ring")), Strokes(cross), ClassScore("cross"))
        >>> heal(cross, game, least_gain=100.0).notes
        ('no removal gains more than 100 logit',)

    Source:
        Qu et al., CVPR 2024 (SLA, P-SLA: assisted drawing). That each candidate is scored before
        it goes, and how stretches are cut, is ours.
    """
    most = TRIED if tried is None else (tried, tried)
    settings = SuggestionSettings(parts, method, most, keep, seed, budget)
    if steps is not None and steps < 0:
        raise TaskError(f"steps is {steps}; give 0 or more, or None for as many as help")
    if not least_gain >= 0:  # nor NaN
        raise TaskError(f"least_gain is {least_gain}; give 0 or more, in the target's unit")
    healing = begin(start, game, target=target)
    taken = 0
    while steps is None or taken < steps:
        offers = score_candidates(healing, game, settings, guide)
        if not offers:
            return _stopped(healing, _nothing_may_go(healing, settings))
        gainful = [offer for offer in offers if round(offer.gain, DIGITS) > least_gain]
        if not gainful:
            least = (
                f"gains more than {least_gain:g} {game.unit}" if least_gain else "gains anything"
            )
            return _stopped(healing, f"no removal {least}")
        checked = against and settings.signed
        best = _spoken_against(healing, gainful, guide or game, settings) if checked else gainful[0]
        if best is None:
            return _stopped(healing, "the explanation speaks against nothing that gains")
        step = Step(best.piece, best.score, best.explained, best.method)
        healing, taken = healing.then([step]), taken + 1
    return _stopped(healing, f"stopped after {taken} steps, as asked")


def _spoken_against(
    healing: Healing, gainful: list[Suggestion], guide: Game, settings: SuggestionSettings
) -> Suggestion | None:
    """The most gainful one that the explanation of strokes speaks against, of the first few."""
    asked = 0
    for offer in gainful:
        if offer.piece in healing.pieces and settings.parts != "stretches":
            said = offer.explained
        elif asked == CUT_OUT:
            continue
        else:
            asked += 1
            said = _said_of(healing, offer.piece, guide, settings)
        if said < 0:
            return offer
    return None


def _said_of(healing: Healing, piece: Piece, guide: Game, settings: SuggestionSettings) -> float:
    """What the explanation says of a piece as a stroke of its own."""
    cut = cut_out(healing.pieces, piece)
    scores = explain_strokes(drawn(healing.drawing, cut), healing.target, guide, settings)
    return float(scores[cut.index(piece)])


def _stopped(healing: Healing, why: str) -> Healing:
    return replace(healing, notes=(why,))


def _nothing_may_go(healing: Healing, settings: SuggestionSettings) -> str:
    why = why_nothing_may_go(healing, settings.parts)
    if why == NO_CUTS:
        return why
    if len(healing.pieces) == 1 and settings.parts == "strokes":
        return "stopped before nothing is left: one stroke remains, and it stays"
    return f"stopped before nothing is left: at least {settings.keep:.0%} of the line stays"
