"""Pictures of a healing: what might go, what went, and how the score rose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.picture import AGAINST, NEUTRAL, ROUND, colour_map, draw_sketch, frame
from sightline.tasks.healing.pieces import Piece, line_of
from sightline.tasks.healing.record import Healing
from sightline.tasks.healing.suggestions import Suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GONE = "#DDDDDD"
INK = "#222222"
MOST_STEPS = 5
"""Steps with a panel of their own; of more, the first ones and the last."""

MOST_SUGGESTIONS = 12

_PLAIN: dict[str, Any] = {"parse_math": False, "color": INK}


def healing_figure(healing: Healing) -> Figure:
    """Before, what went at each step (blue), after; and the score along the way."""
    from matplotlib.figure import Figure

    shown = steps_with_panels(len(healing.steps))
    panels = len(shown) + 2
    fig = Figure(figsize=(2.3 * panels, 4.3), layout="constrained")
    grid = fig.add_gridspec(2, panels, height_ratios=(2.3, 1.2))
    axes = [fig.add_subplot(grid[0, column]) for column in range(panels)]
    _draw_before(axes[0], healing)
    for panel, step in zip(axes[1:-1], shown, strict=True):
        _draw_step(panel, healing, step)
    draw_sketch(axes[-1], healing.sketch.strokes, colour=INK)
    axes[-1].set_title(f"after: {_number(healing.score)}", fontsize=10, **_PLAIN)
    for panel in axes:
        frame(panel, healing.drawing.points)
    _draw_scores(fig.add_subplot(grid[1, :]), healing)
    fig.suptitle(f"Healing “{healing.target}”", fontsize=12, **_PLAIN)
    return fig


def suggestions_figure(healing: Healing, suggestions: Sequence[Suggestion]) -> Figure:
    """The drawing with what might go, and what the score says without each.

    Blue lowers the score; the drawing needs what is vermilion.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(8.4, 4.2), layout="constrained")
    drawing, bars = fig.subplots(1, 2, width_ratios=(1.15, 1))
    listed = suggestions[:MOST_SUGGESTIONS]
    draw_sketch(drawing, healing.sketch.strokes, colour=NEUTRAL)
    limit = max((abs(each.gain) for each in listed), default=0.0) or 1.0
    colours = [colour_map()(0.5 - each.gain / limit / 2) for each in listed]
    for number in range(len(listed), 0, -1):  # the first on top
        each = listed[number - 1]
        width = 2.0 + 2.4 * abs(each.gain) / limit
        _draw_piece(drawing, healing, each.piece, colours[number - 1], width)
        _draw_number(drawing, healing, each.piece, number)
    frame(drawing, healing.drawing.points)
    _draw_gains(bars, listed, colours, healing.unit)
    fig.suptitle(f"What “{healing.target}” may be better without", fontsize=12, **_PLAIN)
    if not listed:
        fig.supxlabel("nothing may go", fontsize=9, color="#555555")
    return fig


def steps_with_panels(count: int) -> list[int]:
    """Which steps have a panel.

    Example:
        >>> steps_with_panels(3), steps_with_panels(9)
        ([0, 1, 2], [0, 1, 2, 3, 8])
    """
    if count <= MOST_STEPS:
        return list(range(count))
    return [*range(MOST_STEPS - 1), count - 1]


def _draw_before(axes: Axes, healing: Healing) -> None:
    draw_sketch(axes, healing.drawing.strokes, colour=INK)
    axes.set_title(f"before: {_number(healing.value)}", fontsize=10, **_PLAIN)


def _draw_step(axes: Axes, healing: Healing, step: int) -> None:
    """What is left, what had gone before (pale) and what goes now (blue)."""
    for piece in healing.removed[:step]:
        _draw_piece(axes, healing, piece, GONE, 1.2)
    draw_sketch(axes, healing.at(step + 1).strokes, colour=INK)
    _draw_piece(axes, healing, healing.removed[step], AGAINST, 3.2)
    gain = healing.scores[step + 1] - healing.scores[step]
    name = healing.name(healing.removed[step]).replace(", ", ",\n", 1)
    title = f"{step + 1}: {_number(gain, signed=True)}\n{name}"
    axes.set_title(title, fontsize=8.5, **_PLAIN)


def _draw_piece(axes: Axes, healing: Healing, piece: Piece, colour: Any, width: float) -> None:
    axes.plot(*line_of(healing.drawing, piece).T, color=colour, lw=width, zorder=3, **ROUND)


def _draw_number(axes: Axes, healing: Healing, piece: Piece, number: int) -> None:
    line = line_of(healing.drawing, piece)
    box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "#888888", "lw": 0.6}
    middle = line[len(line) // 2]
    axes.annotate(str(number), middle, fontsize=8, ha="center", va="center", bbox=box, zorder=5)


def _draw_scores(axes: Axes, healing: Healing) -> None:
    """The score before, and after each step: each under its panel, where all have one."""
    scores = np.array(healing.scores)
    steps, last = np.arange(len(scores)), len(scores)
    axes.plot(steps, scores, "-", color=NEUTRAL, lw=1.5, zorder=1)
    axes.plot([last - 1, last], scores[[-1, -1]], ":", color=NEUTRAL, lw=1.5, zorder=1)
    axes.scatter(steps[1:], scores[1:], color=AGAINST, s=28, zorder=2)
    axes.scatter([0, last], scores[[0, -1]], color=INK, s=28, zorder=3)
    axes.set_xticks([*steps, last], ["before", *map(str, steps[1:]), "after"], fontsize=8)
    axes.set_xlim(-0.5, last + 0.5)
    axes.margins(y=0.25)
    axes.set_ylabel(f"{healing.target}\n{healing.unit}", fontsize=8.5, **_PLAIN)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_gains(
    axes: Axes, listed: Sequence[Suggestion], colours: Sequence[Any], unit: str
) -> None:
    places = np.arange(len(listed))
    axes.barh(places, [each.gain for each in listed], color=list(colours))
    names = [f"{place}  {each.name}" for place, each in enumerate(listed, 1)]
    axes.set_yticks(places, names, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_xlabel(f"{unit} gained without it", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _number(value: float, *, signed: bool = False) -> str:
    return f"{value:{'+' if signed else ''}.2f}".replace("-", "−")
