"""The frames of a walk's animation: what stands still is drawn once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from sightline.inversion.panels import (
    DIM,
    FAINTEST,
    LETTER,
    QUIET,
    Limits,
    Sheet,
    common_frame,
    draw_canvas,
    fitting,
    frame_of,
    percent,
    probabilities,
    stroke_colours,
    title,
    way_name,
)
from sightline.inversion.trajectory import Trajectory
from sightline.picture import PLAIN

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Picture = UInt8[np.ndarray, "height width 3"]

DOTS = 100  # an inch
HEAD, NAME, ANSWER, BAR, FOOT, GAP = 0.42, 0.2, 0.25, 0.22, 0.45, 0.14  # inches
MOST_COLUMNS = 4


def frames(ways: Sequence[Trajectory], steps: Sequence[int]) -> Iterator[Picture]:
    """A picture a step, height and width even; where a walk is shorter, its end stands.

    What moves is drawn over a copy of what does not: a tenth of the work.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    film = _Film.of(ways)
    figure = film.sheet.figure
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # without the artists that are animated
    still = canvas.copy_from_bbox(figure.bbox)
    for step in steps:
        canvas.restore_region(still)
        for artist in film.at(step):
            figure.draw_artist(artist)
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


@dataclass(frozen=True, eq=False)
class _Film:
    """All panels, the number of the step and the line that grows with it."""

    sheet: Sheet
    panels: list[_Panel]
    line: Any
    words: Any
    last: int

    @classmethod
    def of(cls, ways: Sequence[Trajectory]) -> _Film:
        columns = min(MOST_COLUMNS, len(ways))
        side, name = (3.6, 0.0) if len(ways) == 1 else (2.6, NAME)
        bars = max(len(probabilities(way)) for way in ways)
        tall = name + side + ANSWER + bars * BAR + 0.06
        width = _even(side * columns + GAP)
        height = _even(HEAD + tall * -(-len(ways) // columns) + FOOT)
        sheet = Sheet.of(width, height, dpi=DOTS, facecolor="white")
        head = title(ways)
        big = fitting(len(head), 0.95 * width, 11)
        sheet.write(width / 2, 0.21, head, fontsize=big, ha="center")
        limits = common_frame(frame_of(way, [way.drawn, *way.locations]) for way in ways)
        panels = []
        for number, way in enumerate(ways):
            row, column = divmod(number, columns)
            left, top = GAP / 2 + column * side, HEAD + row * tall
            if name:
                told = way_name(way, ways)
                sheet.write(left + side / 2, top + 0.08, told, fontsize=8, ha="center", color=DIM)
            panels.append(_panel(sheet, way, (left, top + name, side), limits, bars))
        line, words = _foot(sheet, width, height)
        return cls(sheet, panels, line, words, max(way.steps for way in ways))

    def at(self, step: int) -> Iterator[Artist]:
        """The moving artists as they stand after ``step`` steps."""
        self.line.set_xdata([0, step / self.last])
        self.words.set_text(f"step {step} of {self.last}" if step else "start")
        for panel in self.panels:
            yield from panel.at(min(step, panel.way.steps))
        yield from (self.line, self.words)


@dataclass(frozen=True, eq=False)
class _Panel:
    """One trajectory: the drawing, the answer, and bars with their numbers and values."""

    way: Trajectory
    strokes: Any
    answer: Any
    bars: list[tuple[Any, Any, Float[np.ndarray, " entries"]]]

    def at(self, step: int) -> Iterator[Artist]:
        way, label = self.way, self.way.labels[self.way.answers[step]]
        moves = way.locations[step] - way.drawn
        moved = [s + move for s, move in zip(way.sketch.strokes, moves, strict=True)]
        self.strokes.set_segments(moved)
        self.answer.set_text(f"{label}  {percent(way.answer_probability[step])}")
        self.answer.set_weight("bold" if label == way.target else "normal")
        yield from (self.strokes, self.answer)
        for bar, number, values in self.bars:
            bar.set_width(values[step])
            number.set_text(percent(values[step]))
            yield from (bar, number)


def _panel(
    sheet: Sheet, way: Trajectory, box: tuple[float, float, float], limits: Limits, rows: int
) -> _Panel:
    left, top, side = box
    axes = sheet.axes(left + 0.05, top, side - 0.1, side - 0.1)
    strokes = _moving_strokes(axes, way, limits)
    longest = max(len(label) for label in way.labels)
    size = fitting(longest + 8, 0.86 * side, 10)
    answer = sheet.write(
        left + side / 2, top + side + 0.05, "", fontsize=size, ha="center", animated=True
    )
    below = sheet.axes(left + 0.1, top + side + ANSWER - 0.03, side - 0.2, rows * BAR)
    return _Panel(way, strokes, answer, _bars(below, way, side, rows))


def _moving_strokes(axes: Axes, way: Trajectory, limits: Limits) -> Any:
    from matplotlib.collections import LineCollection

    draw_canvas(axes, limits)
    ends: dict[str, Any] = {"capstyle": "round", "joinstyle": "round"}
    axes.add_collection(LineCollection(way.sketch.strokes, colors=FAINTEST, lw=1.6, **ends))
    colours = stroke_colours(len(way.sketch))
    moving = LineCollection(
        way.sketch.strokes, colors=colours, lw=2.2, animated=True, zorder=3, **ends
    )
    axes.add_collection(moving)
    return moving


def _bars(
    axes: Axes, way: Trajectory, side: float, rows: int
) -> list[tuple[Any, Any, Float[np.ndarray, " entries"]]]:
    """A bar for the target, another for the original answer where that is a different label."""
    told = probabilities(way)
    width, longest = side - 0.2, max(len(label) for label, _, _ in told)
    size = fitting(longest, 0.5 * width, 8)
    before = LETTER * size * longest + 0.08
    full = width - before - 0.55  # inches, with the number behind it
    axes.set_xlim(-before / full, 1 + 0.55 / full)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    made = []
    for row, (label, values, colour) in enumerate(told):
        axes.text(-0.06 / full, row + 0.5, label, fontsize=size, ha="right", va="center", **PLAIN)
        axes.barh(row + 0.5, 1, height=0.5, color="#F0F0F0")
        (bar,) = axes.barh(row + 0.5, 0, height=0.5, animated=True, color=colour)
        number = axes.text(
            1 + 0.54 / full, row + 0.5, "", fontsize=8, ha="right", va="center", animated=True
        )
        made.append((bar, number, values))
    return made


def _foot(sheet: Sheet, width: float, height: float) -> tuple[Any, Any]:
    axes = sheet.axes(0.15, height - 0.17, width - 0.3, 0.1)
    axes.set_xlim(0, 1)
    axes.axis("off")
    flat: dict[str, Any] = {"lw": 3, "solid_capstyle": "butt"}
    axes.plot([0, 1], [0, 0], color=FAINTEST, **flat)
    (line,) = axes.plot([0, 0], [0, 0], color=QUIET, animated=True, **flat)
    words = sheet.write(
        width / 2, height - 0.27, "", fontsize=8, ha="center", color=DIM, animated=True
    )
    return line, words


def _even(inches: float) -> float:
    """A length of an even number of dots, which video asks for."""
    return 2 * round(inches * DOTS / 2) / DOTS
