"""An attack, or several, as one HTML page."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sightline.errors import TaskError
from sightline.models.recognise import Answer
from sightline.page import quiet, section, table, write_page
from sightline.picture import figure_svg
from sightline.tasks.attack.attack import Attack
from sightline.tasks.attack.attack_pictures import WORDS, attack_figure


def write_attack_page(
    path: str | os.PathLike[str], attacks: Attack | Sequence[Attack], *, title: str = "Attack"
) -> None:
    """Write a page that needs no other file: each attack with its picture and its numbers.

    Raises:
        TaskError: no attack.
    """
    shown = [attacks] if isinstance(attacks, Attack) else list(attacks)
    if not shown:
        raise TaskError("no attack to show")
    about = quiet(
        "Budgets of moved points are in units of the normalised frame, in which the longest side "
        "of a drawing is 1.48; shares are of the length of all lines."
    )
    write_page(path, title, [_section(attack) for attack in shown], about=about)


def attack_rows(attack: Attack) -> list[tuple[str, str]]:
    """An attack in words: what is said of it, and how it is told."""
    change = attack.change
    wanted = f"become {attack.target}" if attack.target else f"be no {attack.label} any more"
    budget = f"{attack.budget:g}" if attack.kind == "points" else f"{attack.budget:.0%} of the ink"
    used = f"{attack.used:.3g}" if attack.kind == "points" else f"{attack.used:.1%}"
    return [
        ("wanted", f"the answer should {wanted}"),
        ("before", _told(attack.before)),
        ("after", f"{_told(attack.after)}: {'success' if attack.success else 'no success'}"),
        ("saved and read again", _again(attack)),
        ("allowed", f"{budget}; used {used}"),
        ("evaluations", str(attack.evaluations)),
        ("ink that differs, 64 pixels", f"{change.ink:.1%}"),
        ("length of all lines", f"{change.length_share:+.1%}"),
        ("lines apart, mean (Chamfer)", f"{change.mean_share:.2%} of the side"),
        ("lines apart, largest (Hausdorff)", f"{change.largest_share:.1%} of the side"),
    ]


def _section(attack: Attack) -> str:
    name = attack.sketch.name or "drawing"
    notes = [quiet(note) for note in attack.notes]
    rows = table(["", ""], attack_rows(attack))
    picture = figure_svg(attack_figure(attack))
    return section(f"{name}: {WORDS[attack.kind]}", picture, rows, *notes)


def _told(answer: Answer) -> str:
    return f"{answer.label} ({answer.probability:.1%})"


def _again(attack: Attack) -> str:
    if attack.again is None:
        return "cannot be read"
    return f"{_told(attack.again)}: {'success' if attack.survives else 'no success'}"
