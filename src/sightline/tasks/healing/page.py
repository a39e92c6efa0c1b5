"""One self-contained page of a healing: every step, what is left, and what else might go."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence

from sightline.page import quiet, section, table, write_page
from sightline.picture import figure_svg
from sightline.tasks.healing.healing_pictures import healing_figure, suggestions_figure
from sightline.tasks.healing.record import Healing
from sightline.tasks.healing.suggestions import TOO_LITTLE, Suggestion


def write_healing_page(
    path: str | os.PathLike[str],
    healing: Healing,
    suggestions: Sequence[Suggestion] = (),
    *,
    why_none: str = TOO_LITTLE,
) -> None:
    """Write the page; it appears whole or not at all, and needs no other file.

    Args:
        path: the file.
        healing: shown step by step.
        suggestions: what else might go from what is left.
        why_none: why nothing may, where there are no suggestions: `why_nothing_may_go`.
    """
    sections = [_steps(healing)] if healing.steps else []
    if suggestions or not healing.steps:
        sections.append(_suggestions(healing, suggestions, why_none))
    of = html.escape(healing.drawing.name or "a drawing")
    told = (healing.target, healing.unit, healing.model, healing.fingerprint)
    target, unit, model, fingerprint = map(html.escape, told)
    about = (
        f"<p>{of}, scored for <b>{target}</b> in {unit} by "
        f"{model} <code>{fingerprint}</code>. After every removal "
        "what is left is read and scored as a drawing of its own.</p>"
    )
    write_page(path, f"Healing a drawing: {healing.target}", sections, about=about)


def steps_table(healing: Healing) -> list[list[str]]:
    """Every step: its number, what went, what the explanation said, the score, the gain."""
    rows = [["before", "", "", f"{healing.value:.3f}", ""]]
    before = healing.value
    for number, step in enumerate(healing.steps, 1):
        said = "" if step.explained is None else f"{step.explained:+.3f} ({step.method})"
        gain = f"{step.score - before:+.3f}"
        rows.append([str(number), healing.name(step.piece), said, f"{step.score:.3f}", gain])
        before = step.score
    return rows


def suggestions_table(suggestions: Sequence[Suggestion]) -> list[list[str]]:
    """Every suggestion: its number, what, what the explanation says, the gain, the score."""
    return [
        [
            str(number),
            each.name,
            f"{each.explained:+.3f} ({each.method})",
            f"{each.gain:+.3f}",
            f"{each.score:.3f}",
        ]
        for number, each in enumerate(suggestions, 1)
    ]


def _steps(healing: Healing) -> str:
    share = f"{healing.share_removed:.0%} of the line is gone."
    columns = ["step", "removed", "explanation", f"score ({healing.unit})", "gain"]
    notes = [quiet(note) for note in (share, *healing.notes)]
    picture = figure_svg(healing_figure(healing))
    return section("What went, step by step", picture, table(columns, steps_table(healing)), *notes)


def _suggestions(healing: Healing, suggestions: Sequence[Suggestion], why_none: str) -> str:
    heading = "What else might go" if healing.steps else "What might go"
    if not suggestions:
        return section(heading, quiet(f"Nothing: {why_none}."))
    columns = ["", "piece", "explanation", "gain without it", "score without it"]
    told = quiet("Blue lowers the score; the drawing needs what is vermilion. Nothing is removed.")
    picture = figure_svg(suggestions_figure(healing, suggestions))
    return section(heading, picture, table(columns, suggestions_table(suggestions)), told)
