"""Pictures of location inversion: the drawing at chosen steps, and the ways its strokes went."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.errors import GameError
from sightline.inversion.panels import (
    DIM,
    FAINT,
    INK,
    QUIET,
    Limits,
    Sheet,
    common_frame,
    draw_layout,
    fitting,
    frame_of,
    percent,
    probabilities,
    several,
    stroke_colours,
    title,
    way_name,
)
from sightline.inversion.trajectory import PUBLISHED_STEPS, Trajectory
from sightline.picture import PLAIN, ROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL, LEFT, HEAD, WORDS, CURVES = 1.18, 0.34, 0.62, 0.5, 2.5  # inches


# --- snapshots ------------------------------------------------------------------------------------


def snapshots_figure(
    trajectories: Trajectory | Sequence[Trajectory], steps: Sequence[int] = PUBLISHED_STEPS
) -> Figure:
    """The drawing as drawn and after chosen steps, with the answers; the probabilities beside.

    Convention:
        A row a trajectory. All cells of a row show the same part of the plane: the model's canvas,
        outlined, and whatever left it. A stroke keeps its colour. The answer is bold where it is
        the target. The dot on the curve is the first step at which it was.

    Args:
        trajectories: one or several.
        steps: columns after the first; 0 is the start. Those beyond the walk show its end, once.

    Raises:
        GameError: a step below 0.
        SightlineError: nothing to draw.
    """
    ways = several(trajectories)
    if min(steps, default=0) < 0:
        raise GameError(f"steps are {list(steps)}; they are counted from 0, the start")
    chosen = sorted({min(step, max(way.steps for way in ways)) for step in steps})
    width = LEFT + CELL * (1 + len(chosen)) + CURVES
    row, notes = CELL + WORDS, _notes(ways, width)
    sheet = Sheet.of(width, HEAD + row * len(ways) + 0.05 + 0.14 * len(notes))
    sheet.write(LEFT, 0.2, title(ways), fontsize=12)
    for number, way in enumerate(ways):
        top = HEAD + number * row
        _snapshot_row(sheet, way, chosen, top, head=number == 0)
        if len(ways) > 1:
            middle, name = top + (CELL - 0.06) / 2, way_name(way, ways)
            sheet.write(0.17, middle, name, fontsize=8, rotation=90, ha="center", color=DIM)
    _write_notes(sheet, notes, LEFT)
    return sheet.figure


def _snapshot_row(
    sheet: Sheet, way: Trajectory, steps: Sequence[int], top: float, *, head: bool
) -> None:
    shown = sorted({min(step, way.steps) for step in steps})
    layouts = [way.drawn, *(way.locations[step] for step in shown)]
    limits = frame_of(way, layouts)
    for column, layout in enumerate(layouts):
        axes = sheet.axes(LEFT + column * CELL + 0.03, top, CELL - 0.06, CELL - 0.06)
        draw_layout(axes, way, layout, limits)
        step = shown[column - 1] if column else None
        if head or (column and step != steps[column - 1]):
            axes.set_title(step_name(step), fontsize=9, color=QUIET, pad=4)
        _write_answer(axes, way, step)
    left = LEFT + CELL * (1 + len(steps)) + 0.55
    _draw_curves(sheet.axes(left, top + 0.14, CURVES - 0.7, CELL - 0.12), way)


def step_name(step: int | None) -> str:
    """The head of a column; None is the drawing itself."""
    if step is None:
        return "original"
    return "start" if step == 0 else str(step)


def _write_answer(axes: Axes, way: Trajectory, step: int | None) -> None:
    """The answer below a cell, its probability, and that of the target where it is another."""
    label = way.original if step is None else way.labels[way.answers[step]]
    hit = label == way.target
    probability = way.drawn_probability if step is None else way.answer_probability[step]
    size = fitting(len(label), 0.9 * CELL, 8)
    _below(axes, 3, label, fontsize=size, weight=_weight(hit), color=INK if hit else DIM)
    _below(axes, 13, percent(probability), fontsize=8, color=INK)
    if step is not None and not hit:
        told = f"target {percent(way.target_probability[step])}"
        _below(axes, 23, told, fontsize=7, color=QUIET)


def _below(axes: Axes, points: float, words: str, **style: Any) -> None:
    """Words in the middle under a cell, so many points down."""
    axes.annotate(
        words,
        (0.5, 0),
        (0, -points),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="top",
        annotation_clip=False,
        **PLAIN,
        **style,
    )


def _weight(hit: bool) -> str:
    return "bold" if hit else "normal"


def _draw_curves(axes: Axes, way: Trajectory) -> None:
    """Both labels' probability over steps; the first steps take as much room as the last."""
    entries = np.arange(way.steps + 1)
    for label, values, colour in probabilities(way):
        axes.plot(entries, values, label=label, lw=1.5, color=colour, clip_on=False)
    if way.flipped_at:
        height = way.target_probability[way.flipped_at]
        axes.plot(way.flipped_at, height, "o", color=INK, ms=4, clip_on=False)
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xlim(0, way.steps)
    axes.set_ylim(0, 1)
    ticks = [0, *(t for t in (1, 10, 100, 1000, 10_000) if t <= way.steps)]
    if way.steps > 2 * ticks[-1]:
        ticks.append(way.steps)
    axes.set_xticks(ticks, [step_name(t) for t in ticks], fontsize=7)
    axes.set_xticks([], minor=True)
    axes.set_yticks([0, 0.5, 1], ["0", "50", "100 %"], fontsize=7)
    axes.set_xlabel("steps", fontsize=7, labelpad=1, color=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=2, pad=2)
    _name_curves(axes)


def _name_curves(axes: Axes) -> None:
    """Above the curves, side by side where there is room."""
    letters = [len(str(label)) for label in axes.get_legend_handles_labels()[1]]
    legend = axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.02),
        ncols=2 if sum(letters) < 24 else 1,
        fontsize=fitting(max(letters), 1.55, 7),
        labelspacing=0.2,
        frameon=False,
        handlelength=1.3,
        columnspacing=1.0,
        borderpad=0,
        borderaxespad=0.1,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


# --- the ways of the strokes ----------------------------------------------------------------------


def paths_figure(trajectories: Trajectory | Sequence[Trajectory], *, columns: int = 4) -> Figure:
    """The way of every stroke from its start to its end, a panel a trajectory.

    Convention:
        Grey: as drawn. In colour: the drawing in the end, and from the ring to the dot the way of
        each stroke's first point. The distance is that of `Trajectory.distance`.

    Raises:
        SightlineError: nothing to draw.
    """
    ways = several(trajectories)
    columns = min(columns, len(ways))
    side, words, top = 2.5, 0.45, 0.5
    width, rows = max(side * columns, 3.6), -(-len(ways) // columns)
    notes = _notes(ways, width)
    sheet = Sheet.of(width, top + (side + words) * rows + 0.05 + 0.14 * len(notes))
    head = title(ways)
    size = fitting(len(head), 0.95 * width, 12)
    sheet.write(width / 2, 0.24, head, fontsize=size, ha="center")
    limits = common_frame(frame_of(way, [way.drawn, *way.locations]) for way in ways)
    for number, way in enumerate(ways):
        row, column = divmod(number, columns)
        left = (width - side * columns) / 2 + column * side + 0.06
        axes = sheet.axes(left, top + row * (side + words), side - 0.12, side - 0.12)
        _draw_ways(axes, way, limits)
        _write_end(axes, way, way_name(way, ways))
    _write_notes(sheet, notes, 0.12)
    return sheet.figure


def _draw_ways(axes: Axes, way: Trajectory, limits: Limits) -> None:
    for stroke in way.sketch.strokes:
        axes.plot(*stroke.T, color=FAINT, lw=1.6, zorder=1, **ROUND)
    draw_layout(axes, way, way.locations[-1], limits, weight=1.8)
    for index, colour in enumerate(stroke_colours(len(way.sketch))):
        walked = way.locations[:, index]
        axes.plot(*walked.T, color=colour, lw=0.8, alpha=0.75, zorder=4, **ROUND)
        axes.plot(*walked[0], "o", ms=4, mfc="white", mec=colour, mew=1, zorder=5)
        axes.plot(*walked[-1], "o", ms=4.5, color=colour, mec="white", mew=0.6, zorder=6)


def _write_end(axes: Axes, way: Trajectory, name: str) -> None:
    answer = f"{way.labels[way.answers[-1]]} {percent(way.answer_probability[-1])}"
    size = fitting(len(answer), 2.1, 9)
    _below(axes, 5, answer, fontsize=size, weight=_weight(way.flipped), color=INK)
    told = f"{name}, distance {way.distance():.2f}"
    _below(axes, 18, told, fontsize=fitting(len(told), 2.3, 8), color=DIM)


# --- notes ----------------------------------------------------------------------------------------


def _notes(ways: Sequence[Trajectory], width: float) -> list[str]:
    """What keeps a result from meaning much, in lines that fit a width in inches."""
    told = dict.fromkeys(way.note for way in ways if way.note)
    return [line for note in told for line in textwrap.wrap(note, int(15 * width))]


def _write_notes(sheet: Sheet, lines: Sequence[str], left: float) -> None:
    height = float(sheet.figure.get_figheight())
    for number, line in enumerate(reversed(lines)):
        sheet.write(left, height - 0.11 - 0.14 * number, line, fontsize=7.5, color=DIM)
