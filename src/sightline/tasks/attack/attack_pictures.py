"""Pictures of attacks: before and after side by side, with what was changed in colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from sightline.errors import TaskError
from sightline.models.recognise import Answer
from sightline.picture import AGAINST, FOR, PLAIN, ROUND, draw_sketch, frame
from sightline.tasks.attack.attack import Attack

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, DIM = "#222222", "#D9D9D9", "#666666"
CELL = 2.6
"""Inches of one drawing."""

LEAST_ARROW = 0.002
"""Moves shorter than this share of the side have no arrow."""

WORDS = {
    "points": "points moved",
    "remove": "one stroke removed",
    "insert": "one stroke inserted",
}


def attack_figure(attacks: Attack | Sequence[Attack]) -> Figure:
    """A row an attack: before, what was changed, and after.

    Moved points are small arrows in vermilion from where they were drawn, over the drawing before
    in grey. A removed stroke is blue, an inserted one vermilion.

    Raises:
        TaskError: no attack.
    """
    from matplotlib.figure import Figure

    shown = [attacks] if isinstance(attacks, Attack) else list(attacks)
    if not shown:
        raise TaskError("no attack to draw")
    height = (CELL + 0.62) * len(shown)
    fig = Figure(figsize=(3 * CELL + 0.4, height), layout="constrained")
    for row, attack in zip(fig.subplots(len(shown), 3, squeeze=False), shown, strict=True):
        _draw_row(row, attack)
    return fig


def series_figure(rows: Mapping[str, Sequence[Attack]]) -> Figure:
    """The drawing before, and what came of it at each budget: a named row a kind of attack.

    Answers that are not the one before are vermilion.

    Raises:
        TaskError: no attacks, or rows of unequal length.
    """
    from matplotlib.figure import Figure

    lengths = {len(row) for row in rows.values()}
    if len(lengths) != 1 or not min(lengths):
        raise TaskError(f"rows of {sorted(lengths)} attacks; give rows of one length, 1 or more")
    columns, side = 1 + lengths.pop(), 1.55
    fig = Figure(figsize=(side * columns + 0.3, (side + 0.42) * len(rows)), layout="constrained")
    panels = fig.subplots(len(rows), columns, squeeze=False)
    for axes, (name, attacks) in zip(panels, rows.items(), strict=True):
        first = attacks[0]
        shown = [first.sketch, *(attack.attacked for attack in attacks)]
        answers = [first.before, *(attack.after for attack in attacks)]
        unders = [name, *(f"{attack.budget:g}" for attack in attacks)]
        for panel, sketch, answer, under in zip(axes, shown, answers, unders, strict=True):
            draw_sketch(panel, sketch.strokes, colour=INK)
            frame(panel, np.concatenate([sketch.points for sketch in shown]))
            _write(panel, _told(answer), under, good=answer.label != first.label, size=8.5)
    return fig


def _draw_row(row: Sequence[Axes], attack: Attack) -> None:
    before, changed, after = row
    draw_sketch(before, attack.sketch.strokes, colour=INK)
    _draw_change(changed, attack)
    draw_sketch(after, attack.attacked.strokes, colour=INK)
    both = np.concatenate([attack.sketch.points, attack.attacked.points])
    for axes in row:
        frame(axes, both)
    _write(before, _told(attack.before), "before", good=None)
    _write(changed, WORDS[attack.kind], _amount(attack), good=None)
    _write(after, _told(attack.after), _ending(attack), good=attack.success)


def _write(axes: Axes, title: str, under: str, *, good: bool | None, size: float = 10.5) -> None:
    axes.set_title(title, fontsize=size, color=FOR if good else INK, **PLAIN)
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, -0.01, under, fontsize=8, color=DIM, **place, **PLAIN)


def _told(answer: Answer) -> str:
    return f"{answer.label}  {answer.probability:.0%}"


def _amount(attack: Attack) -> str:
    change = attack.change
    if attack.kind == "points":
        return f"each by at most {attack.budget:g}: {change.mean_share:.1%} of the side in the mean"
    if attack.stroke is None:
        return "none is small enough"
    return f"{attack.used:.1%} of the ink"


def _ending(attack: Attack) -> str:
    if not attack.success:
        return "the attack fails"
    if attack.survives:
        return "also when saved and read again"
    again = "cannot be read" if attack.again is None else f"is {attack.again.label}"
    return f"saved and read again it {again}"


def _draw_change(axes: Axes, attack: Attack) -> None:
    if attack.kind == "points":
        draw_sketch(axes, attack.sketch.strokes, colour=FAINT)
        _draw_arrows(axes, attack.sketch.points, attack.attacked.points, attack.change.side)
        return
    draw_sketch(axes, attack.sketch.strokes, colour="#A8A8A8")
    if attack.stroke is None:
        return
    whole = attack.sketch if attack.kind == "remove" else attack.attacked
    colour = AGAINST if attack.kind == "remove" else FOR
    axes.plot(*whole.strokes[attack.stroke].T, color=colour, lw=3, **ROUND)


def _draw_arrows(
    axes: Axes,
    start: Float[np.ndarray, "points 2"],
    end: Float[np.ndarray, "points 2"],
    side: float,
) -> None:
    moved = np.linalg.norm(end - start, axis=1) > LEAST_ARROW * side
    x, y = start[moved].T
    dx, dy = (end - start)[moved].T
    axes.quiver(
        x,
        y,
        dx,
        dy,
        color=FOR,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.007,
        headwidth=3.4,
        headlength=3.6,
        headaxislength=3.2,
        zorder=3,
    )
