"""The reasonability matrix as pictures: shares of the four cells, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from sightline.alignment.labels import AttentionLabel
from sightline.alignment.matrix import PROPOSED, Matrix, odds_words
from sightline.alignment.placing import grown
from sightline.alignment.verdicts import CELLS
from sightline.errors import AlignmentError, unknown_name
from sightline.image.photo import Photo
from sightline.overlay import draw_overlay
from sightline.picture import AGAINST, FOR, NEUTRAL, colour_map, frame
from sightline.sketch.sketch import Sketch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    from sightline.metrics.intervals import Interval

COLOURS = {"RA": AGAINST, "UA": FOR, "RI": "#56B4E9", "UI": "#E69F00"}
"""Blue looks where it should, red and orange do not; the strong ones are right (Okabe and Ito)."""

DARK, QUIET = "#222222", "#666666"
GAP = 0.03
LARGEST = 0.61
"""Side of the square of a share of 1, in that of its tile: the words beside it stay free."""

OUTLINE = "#111111"
_PLACES = {"RA": (0, 1), "RI": (1, 1), "UA": (0, 0), "UI": (1, 0)}


def matrix_figure(matrix: Matrix) -> Figure:
    """The four cells, a square in each whose area is its share, with counts and intervals.

    The bars below are the shares of accurate answers and of reasonable maps; the whiskers are
    Wilson's 95 % intervals.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(6.0, 6.5), layout="constrained")
    axes = fig.subplots()
    for cell, (column, row) in _PLACES.items():
        _draw_cell(axes, matrix, cell, column, row)
    _draw_margins(axes, matrix)
    axes.set_xlim(-0.36, 2.02)
    axes.set_ylim(-0.32, 2.12)
    axes.set_aspect("equal")
    axes.axis("off")
    fig.suptitle(f"Reasonability, {matrix.total} verdicts", fontsize=12, color=DARK)
    if matrix.proposed:
        axes.set_title(PROPOSED, fontsize=10, color=FOR, fontweight="bold")
    found = matrix.association
    if found is not None:
        said = f"reasonable with accurate: {odds_words(found.odds_ratio)}"
        fig.supxlabel(said, fontsize=9, color=QUIET)
    return fig


@dataclass(frozen=True, eq=False)
class CellExample:
    """An item to show in its cell.

    Args:
        cell: RA, UA, RI or UI.
        subject: the photo or drawing.
        heat: the map, signed, ``[height, width]`` of any size, or ``[strokes]``.
        label: where it should be looked at; None where nobody said so.
        title: below it; by default its name.

    Raises:
        AlignmentError: an unknown cell; a map that does not fit.
    """

    cell: str
    subject: Photo | Sketch
    heat: ArrayLike
    label: AttentionLabel | None = None
    title: str = ""

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise AlignmentError(unknown_name("cell", self.cell, CELLS))
        shown = np.array(self.heat, np.float64)
        fits = shown.ndim == 2
        if isinstance(self.subject, Sketch):
            fits = shown.shape == (len(self.subject),)
        if not fits or not np.isfinite(shown).all():
            raise AlignmentError(
                f"the map of {self.subject.name!r} has shape {list(shown.shape)}; expected finite "
                "[height, width] of a photo, or one number a stroke"
            )
        if isinstance(self.subject, Sketch) and self.label and self.label.size != shown.shape:
            raise AlignmentError(
                f"{self.subject.name!r} has {len(self.subject)} strokes, and a label of "
                f"{self.label.size[0]} strokes; give the label of this drawing"
            )
        object.__setattr__(self, "heat", shown)


def cells_figure(
    examples: Sequence[CellExample], *, each: int = 3, proposed: bool = False
) -> Figure:
    """A few items of each cell: the photo under its map, what must be looked at outlined.

    Args:
        examples: shown in their order; those beyond ``each`` of a cell are left out.
        each: most items of a cell.
        proposed: the cells are of proposed verdicts; the picture says so.

    Raises:
        AlignmentError: no examples.
    """
    from matplotlib.figure import Figure

    if not examples:
        raise AlignmentError("no examples to show; give one at least")
    groups = {c: [e for e in examples if e.cell == c][:each] for c in CELLS}
    wide = max(len(group) for group in groups.values())
    fig = Figure(figsize=(2 * (1.9 * wide + 0.5), 2 * 2.15 + 0.6), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.09, h_pad=0.07)  # type: ignore[union-attr, call-arg]
    quarters = np.asarray(fig.subfigures(2, 2, wspace=0.03, hspace=0.03))
    for cell, (column, row) in _PLACES.items():
        _draw_examples(quarters[1 - row, column], cell, groups[cell], wide)
    said = "outlined: what must be looked at"
    if any(isinstance(example.subject, Sketch) for example in examples):
        said += " (of drawings: underlaid)"
    fig.supxlabel(said + (f"; {PROPOSED}" if proposed else ""), fontsize=9, color=QUIET)
    return fig


def _draw_cell(axes: Axes, matrix: Matrix, cell: str, column: int, row: int) -> None:
    """A pale tile; from the corner at the cross, a square of the cell's share of its area."""
    side = 1 - 2 * GAP
    left, bottom = column + GAP, row + GAP
    axes.add_patch(_tile(left, bottom, side, COLOURS[cell], 0.13))
    share = matrix.share(cell)
    own = LARGEST * side * share.estimate**0.5
    if own > 0:
        corner = (column + 1 - GAP - own if column == 0 else left, bottom if row else 1 - GAP - own)
        axes.add_patch(_tile(*corner, own, COLOURS[cell], 0.55))
    # the words stand in the outer corner, where the square comes last
    x, align = (left + 0.05, "left") if column == 0 else (left + side - 0.05, "right")
    lines = [
        (f"{100 * share.estimate:.1f} %", 19, "bold"),
        (f"{matrix.counts[cell]} of {matrix.total}", 9.5, "normal"),
        (f"{100 * share.low:.1f} to {100 * share.high:.1f} %", 9.5, "normal"),
    ]
    top = bottom + side - 0.05 if row else bottom + 0.36
    for (text, size, weight), down in zip(lines, (0, 0.15, 0.235), strict=True):
        axes.text(
            x, top - down, text, ha=align, va="top", fontsize=size, fontweight=weight, color=DARK
        )


def _tile(left: float, bottom: float, side: float, colour: str, alpha: float) -> FancyBboxPatch:
    from matplotlib.patches import FancyBboxPatch

    radius = min(0.025, side / 2)
    inner = side - 2 * radius
    return FancyBboxPatch(
        (left + radius, bottom + radius),
        inner,
        inner,
        boxstyle=f"round,pad={radius},rounding_size={radius}",
        fc=colour,
        ec="none",
        alpha=alpha,
    )


def _draw_margins(axes: Axes, matrix: Matrix) -> None:
    words: dict[str, Any] = {"fontsize": 10.5, "color": DARK}
    for column, name in enumerate(("accurate", "inaccurate")):
        axes.text(column + 0.5, 2.02, name, ha="center", va="bottom", **words)
    for row, name in enumerate(("unreasonable", "reasonable")):
        axes.text(-0.06, row + 0.5, name, ha="right", va="center", rotation=90, **words)
    _draw_bar(axes, matrix.accuracy, "accurate", -0.1, AGAINST)
    _draw_bar(axes, matrix.reasonable, "reasonable", -0.24, AGAINST)


def _draw_bar(axes: Axes, share: Interval, name: str, y: float, colour: str) -> None:
    """A share of the matrix's width, with its whisker."""
    left, width = GAP, 1.46
    axes.plot([left, left + width], [y, y], color=NEUTRAL, lw=5, alpha=0.45, solid_capstyle="butt")
    reach = left + width * share.estimate
    axes.plot([left, reach], [y, y], color=colour, lw=5, alpha=0.75, solid_capstyle="butt")
    ends = [left + width * share.low, left + width * share.high]
    axes.plot(ends, [y, y], color=DARK, lw=1.2)
    axes.plot(ends, [y, y], "|", color=DARK, ms=6)
    axes.text(left - 0.05, y, name, ha="right", va="center", fontsize=9, color=QUIET)
    said = f"{100 * share.estimate:.1f} %"
    axes.text(left + width + 0.06, y, said, ha="left", va="center", fontsize=9, color=DARK)


def _draw_examples(fig: Any, cell: str, examples: Sequence[CellExample], wide: int) -> None:
    fig.set_facecolor((*_rgb(COLOURS[cell]), 0.1))
    fig.suptitle(f"{cell}   {CELLS[cell]}", fontsize=10.5, color=DARK)
    panels = fig.subplots(1, wide, squeeze=False)[0]
    for axes in panels:
        axes.axis("off")
    for axes, example in zip(panels, examples, strict=False):
        draw_map(axes, example.subject, example.heat, example.label)
        title = example.title or example.subject.name or ""
        axes.annotate(
            title,
            (0.5, 0),
            xytext=(0, -4),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7.5,
            color=QUIET,
            parse_math=False,
        )
    if not examples:
        fig.text(0.5, 0.45, "no example", ha="center", fontsize=9, color=QUIET)


def draw_map(
    axes: Axes, subject: Photo | Sketch, heat: ArrayLike, label: AttentionLabel | None = None
) -> None:
    """An item under its map; with a label, what must be looked at is outlined or underlaid."""
    heat = np.asarray(heat)
    limit = float(np.abs(heat).max()) or 1.0
    must = None if label is None else label.must
    must = must if must is not None and must.any() else None
    if isinstance(subject, Photo):
        draw_overlay(axes, subject, _at(heat, subject.size), limit, colour_map())
        if must is not None:
            _outline(axes, must, subject.size)
        return
    strokes = subject.strokes
    if must is not None:
        for stroke, wanted in zip(strokes, must, strict=True):
            axes.plot(*stroke.T, color="#F2D24B", lw=9, alpha=0.8 * float(wanted), zorder=0)
    for index in np.argsort(np.abs(heat)):  # the strongest on top
        share = heat[index] / limit
        own = {"color": colour_map()(0.5 + share / 2), "lw": 1.6 + 2.4 * abs(share)}
        axes.plot(*strokes[index].T, solid_capstyle="round", solid_joinstyle="round", **own)
    frame(axes, subject.points)


def _at(heat: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "height width"]:
    return heat if heat.shape == size else grown(heat, size)


def _outline(axes: Axes, must: Float[np.ndarray, "h w"], size: tuple[int, int]) -> None:
    """Where the must mask reaches half of its maximum, white under black: seen on any ground."""
    # a rim of zeros closes the outline of what reaches the border
    rows, columns = (np.arange(-1, n + 1) + 0.5 for n in must.shape)
    scale = size[1] / must.shape[1], size[0] / must.shape[0]
    level = [float(must.max()) / 2 or 0.5]
    for colour, width in (("white", 2.6), (OUTLINE, 1.1)):
        axes.contour(
            (columns * scale[0]).clip(0, size[1]),
            (rows * scale[1]).clip(0, size[0]),
            np.pad(must, 1),
            levels=level,
            colors=colour,
            linewidths=width,
        )


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
