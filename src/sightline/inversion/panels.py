"""What pictures and animations of a walk are made of: sheets, colours, frames, words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from sightline.errors import SightlineError
from sightline.inversion.trajectory import Trajectory
from sightline.picture import PLAIN, ROUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
"""Okabe and Ito's for all eyes, without yellow, which paper swallows."""

INK, DIM, QUIET = "#222222", "#555555", "#8A8A8A"
FAINT, FAINTEST = "#CFCFCF", "#E4E4E4"

LETTER = 0.0086
"""Inches that a letter is wide, for each point of its size."""

Limits = tuple[float, float, float]
"""Centre x, centre y and half a side of a square."""


@dataclass(frozen=True)
class Sheet:
    """A figure on which things stand in inches from the top left corner."""

    figure: Figure

    @classmethod
    def of(cls, width: float, height: float, **settings: Any) -> Sheet:
        """An empty one of so many inches."""
        from matplotlib.figure import Figure

        return cls(Figure(figsize=(width, height), **settings))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes in a box."""
        across, down = self.figure.get_size_inches()
        box = (left / across, 1 - (top + height) / down, width / across, height / down)
        return self.figure.add_axes(box)

    def write(self, x: float, y: float, words: str, **style: Any) -> Text:
        """Text, its middle at a height; labels are taken as they are."""
        across, down = self.figure.get_size_inches()
        style = {"va": "center", "color": INK, **PLAIN, **style}
        return self.figure.text(x / across, 1 - y / down, words, **style)


def fitting(letters: int, width: float, most: float) -> float:
    """The size of type, at most ``most``, at which so many letters fit in a width of inches."""
    return min(most, width / (LETTER * letters))


def stroke_colours(count: int) -> list[str]:
    """One colour a stroke, the same in every picture; dark shades from the eighth on.

    Example:
        >>> stroke_colours(8)[0], stroke_colours(8)[7]
        ('#0072B2', '#00446b')
    """
    from matplotlib.colors import to_hex, to_rgb

    rgb = [to_rgb(colour) for colour in PALETTE]
    both = [*PALETTE, *(to_hex((0.6 * r, 0.6 * g, 0.6 * b)) for r, g, b in rgb)]
    return [both[i % len(both)] for i in range(count)]


def several(trajectories: Trajectory | Sequence[Trajectory]) -> list[Trajectory]:
    """One trajectory or a sequence of them, as a list that is not empty."""
    ways = [trajectories] if isinstance(trajectories, Trajectory) else list(trajectories)
    if not ways:
        raise SightlineError("no trajectory to draw: give at least one")
    return ways


def frame_of(way: Trajectory, layouts: Sequence[Float[np.ndarray, "strokes 2"]]) -> Limits:
    """The square that holds the canvas and the drawing in all of these layouts."""
    low, high = np.full(2, -1.0), np.full(2, 1.0)
    places = np.array(layouts)
    for index, stroke in enumerate(way.sketch.strokes):
        moves = places[:, index] - stroke[0]
        low = np.minimum(low, moves.min(0) + stroke.min(0))
        high = np.maximum(high, moves.max(0) + stroke.max(0))
    return _square(low, high)


def _square(low: Float[np.ndarray, " 2"], high: Float[np.ndarray, " 2"]) -> Limits:
    x, y = ((low + high) / 2).tolist()
    return x, y, 0.52 * float((high - low).max())


def common_frame(limits: Iterable[Limits]) -> Limits:
    """The smallest square around these squares."""
    boxes = np.array(list(limits))
    low, high = boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + boxes[:, 2:]
    x, y = ((low.min(0) + high.max(0)) / 2).tolist()
    return x, y, float((high.max(0) - low.min(0)).max()) / 2


def draw_layout(
    axes: Axes,
    way: Trajectory,
    layout: Float[np.ndarray, "strokes 2"],
    limits: Limits,
    *,
    weight: float = 1.5,
) -> None:
    """The drawing with its strokes at ``layout``, and the canvas around it."""
    draw_canvas(axes, limits)
    colours = stroke_colours(len(way.sketch))
    for stroke, place, colour in zip(way.sketch.strokes, layout, colours, strict=True):
        axes.plot(*(stroke - stroke[0] + place).T, color=colour, lw=weight, zorder=3, **ROUND)


def draw_canvas(axes: Axes, limits: Limits) -> None:
    """The model's canvas [-1, 1] as a thin square, y down, no axes."""
    from matplotlib.patches import Rectangle

    x, y, half = limits
    axes.add_patch(Rectangle((-1, -1), 2, 2, fill=False, ec=FAINT, lw=0.7, zorder=0))
    axes.set_xlim(x - half, x + half)
    axes.set_ylim(y + half, y - half)
    axes.set_aspect("equal")
    axes.axis("off")


def probabilities(way: Trajectory) -> list[tuple[str, Float[np.ndarray, " entries"], str]]:
    """Label, probability at each entry, colour: of the target, and of another original answer.

    Neither takes a colour that a stroke has.
    """
    told = [(way.target, way.target_probability, INK)]
    if way.original != way.target:
        told.append((way.original, way.original_probability, "#A0A0A0"))
    return told


def percent(share: float) -> str:
    """A probability in per cent, never rounded to a certainty.

    Example:
        >>> percent(0.126), percent(0.99999), percent(1e-7), percent(0.0)
        ('12.6 %', '>99.9 %', '<0.1 %', '0 %')
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.0005:
        return "<0.1 %"
    return ">99.9 %" if share >= 0.9995 else f"{100 * share:.1f} %"


def way_name(way: Trajectory, ways: Sequence[Trajectory]) -> str:
    """What tells this trajectory from its neighbours: drawing, target or start."""
    words = []
    if len({other.sketch.points.tobytes() for other in ways}) > 1:
        words.append(way.sketch.name or way.original)
    if len({other.target for other in ways}) > 1:
        words.append(f"to {way.target}")
    if len({other.restart for other in ways}) > 1 or not words:
        words.append(f"start {way.restart + 1}")
    return ", ".join(words)


def title(ways: Sequence[Trajectory]) -> str:
    """What all these walks were after."""
    told = {(way.original, way.target) for way in ways}
    if len(told) > 1:
        return "Strokes that walk to another answer"
    original, target = told.pop()
    return f"Recovery of “{target}”" if original == target else f"From “{original}” to “{target}”"
