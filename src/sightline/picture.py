"""Pictures of explanations: parts coloured by signed score, with a scale in the target's unit."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from sightline.errors import SightlineError
from sightline.image.photo import Photo
from sightline.overlay import draw_box, draw_overlay, draw_photo
from sightline.parts import GridCells, Strokes, drawing
from sightline.sketch.sketch import NORMAL_SIDE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightline.explanation import Explanation

AGAINST, NEUTRAL, FOR = "#0072B2", "#B9B9B9", "#D55E00"
"""Blue speaks against the target, vermilion for it (Okabe and Ito's palette for all eyes)."""

SUFFIXES = (".png", ".pdf", ".svg")
DPI = 150
MOST_BARS = 20
UNSETTLED = 0.3
"""Share of its colour that a part of a photo keeps whose score may be 0."""

MOST_NUMBERS = 12
"""Ranks written on the drawing; more would hide it, and the bars name them all."""


def plot(why: Explanation, path: str | os.PathLike[str], *, target: int = 0) -> None:
    """Write the picture of one target; the suffix chooses the format."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise SightlineError(f"cannot draw {path.name!r}: use one of {', '.join(SUFFIXES)}")
    write_figure(figure(why, target=target), path)


def as_svg(why: Explanation, *, target: int = 0) -> str:
    """The picture as an SVG element, to stand inside a page."""
    return figure_svg(figure(why, target=target))


def figure(why: Explanation, *, target: int = 0) -> Figure:
    """The drawing with its scale, and the parts ranked as bars; of a photo `boxes_figure`."""
    from matplotlib.figure import Figure

    if isinstance(why.parts.subject, Photo):
        return boxes_figure(why, targets=[target])
    fig = Figure(figsize=(8.4, 4.2), layout="constrained")
    drawing, bars = fig.subplots(1, 2, width_ratios=(1.15, 1))
    scores = why.scores[target]
    limit = float(np.abs(scores).max()) or 1.0
    draw_scores(drawing, why, target, limit)
    _draw_bars(bars, why, target, limit)
    name = why.targets[target]
    title = f"What speaks for “{name}”  ({why.made.method})"
    fig.suptitle(title, fontsize=12, **PLAIN)
    add_scale(fig, drawing, limit, why.unit)
    reason = why.blank(target)
    if reason:
        fig.supxlabel(reason, fontsize=9, color="#555555")
    return fig


def plot_together(
    whys: Sequence[Explanation], path: str | os.PathLike[str], *, target: int = 0
) -> None:
    """Write explanations side by side, of drawings and photos alike, each with its own scale."""
    write_figure(methods_figure(whys, target=target, columns=len(whys), width=3.4), Path(path))


def methods_figure(
    whys: Sequence[Explanation], *, target: int = 0, columns: int = 5, width: float = 2.1
) -> Figure:
    """One panel a method, each with its own scale, since methods differ in their units.

    ``width`` of a panel is in inches.
    """
    from matplotlib.figure import Figure

    rows = -(-len(whys) // columns)
    fig = Figure(figsize=(width * columns, (width + 0.25) * rows), layout="constrained")
    panels = list(fig.subplots(rows, columns, squeeze=False).flat)
    for axes, why in zip(panels, whys, strict=False):
        limit = float(np.abs(why.scores[target]).max()) or 1.0
        draw_scores(axes, why, target, limit)
        what = f": {why.targets[target]}" if isinstance(why.parts.subject, Photo) else ""
        axes.set_title(why.made.method + what, fontsize=9, color="#222222", **PLAIN)
    for axes in panels[len(whys) :]:
        axes.axis("off")
    return fig


def boxes_figure(
    why: Explanation, *, targets: Sequence[int] | None = None, columns: int = 4
) -> Figure:
    """The photo with its boxes, and a panel a target, each with its own scale.

    Where there are error bars, parts whose score may be 0 are pale.
    """
    from matplotlib.figure import Figure

    photo = why.parts.subject
    assert isinstance(photo, Photo)  # noqa: S101, `figure` sends nothing else here
    shown = list(range(len(why.targets)) if targets is None else targets)
    columns = min(columns, len(shown) + 1)
    rows = -(-(len(shown) + 1) // columns)
    tall = photo.size[0] / photo.size[1]
    width = 3.3 if columns > 2 else 4.2
    fig = Figure(figsize=(width * columns, (width * tall + 0.85) * rows), layout="constrained")
    fig.get_layout_engine().set(h_pad=0.1)  # type: ignore[union-attr, call-arg]
    panels = list(fig.subplots(rows, columns, squeeze=False).flat)
    draw_photo(panels[0], photo)
    for row in shown if why.boxes is not None else []:
        assert why.boxes is not None  # noqa: S101, said in the line above
        draw_box(panels[0], why.boxes[row], name=why.targets[row])
    panels[0].set_title(photo.name or "photo", fontsize=9, color="#222222", **PLAIN)
    for axes, row in zip(panels[1:], shown, strict=False):
        limit = float(np.abs(why.scores[row]).max()) or 1.0
        draw_scores(axes, why, row, limit)
        axes.set_title(f"{why.targets[row]}  ({why.value[row]:.2f})", fontsize=9, **PLAIN)
        add_scale(fig, axes, limit, why.unit)
        if reason := why.blank(row):
            axes.text(0.5, 0.02, reason, transform=axes.transAxes, ha="center", fontsize=7)
    for axes in panels[len(shown) + 1 :]:
        axes.axis("off")
    return fig


def draw_scores(axes: Axes, why: Explanation, target: int, limit: float) -> None:
    """The parts on ``axes``, each in the colour of its score; full colour at ``limit``."""
    if isinstance(why.parts.subject, Photo):
        settled = why.settled(target)
        shown = replace(why, scores=np.where(settled, why.scores, UNSETTLED * why.scores))
        draw_overlay(axes, why.parts.subject, shown.heat(target), limit, colour_map())
        if why.boxes is not None:
            draw_box(axes, why.boxes[target])
        return
    sketch = drawing(why.parts)
    scores = why.scores[target] / limit
    colours = colour_map()(0.5 + scores / 2)
    if isinstance(why.parts, Strokes):
        for index in np.argsort(np.abs(scores)):  # the strongest on top
            stroke = sketch.strokes[index]
            axes.plot(*stroke.T, color=colours[index], lw=1.6 + 2.4 * abs(scores[index]), **ROUND)
        _number_strokes(axes, sketch.strokes, why.ranking(target))
    elif isinstance(why.parts, GridCells):
        _draw_cells(axes, why.parts, colours)
        return
    else:
        draw_sketch(axes, sketch.strokes, colour="#CFCFCF")
        x, y = sketch.points.T
        axes.scatter(x, y, c=colours, s=6 + 50 * np.abs(scores), zorder=3, linewidths=0)
    frame(axes, sketch.points)


def draw_sketch(
    axes: Axes, strokes: Sequence[Float[np.ndarray, "_ 2"]], *, colour: str = "#222222"
) -> None:
    """Plain strokes in one colour."""
    for stroke in strokes:
        axes.plot(*stroke.T, color=colour, lw=1.6, **ROUND)


def frame(axes: Axes, points: Float[np.ndarray, "points 2"]) -> None:
    """Equal scales, y down, room around, no axes."""
    lo, hi = points.min(0), points.max(0)
    side = float((hi - lo).max()) or 1.0
    centre, half = (lo + hi) / 2, 0.57 * side
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] + half, centre[1] - half)
    axes.set_aspect("equal")
    axes.axis("off")


def colour_map() -> Any:
    """From against (blue) over nothing (grey) to for (vermilion)."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("sightline", [AGAINST, NEUTRAL, FOR])


def write_figure(fig: Figure, path: Path) -> None:
    """Write a figure so that it appears whole or not at all."""
    from sightline.sketch.files import replace_file

    buffer = io.BytesIO()
    fig.savefig(buffer, format=path.suffix.lower()[1:], dpi=DPI)
    with replace_file(path) as stream:
        stream.write(buffer.getvalue())


def figure_svg(fig: Figure) -> str:
    """A figure as an SVG element without its XML preamble."""
    buffer = io.StringIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


ROUND: dict[str, Any] = {"solid_capstyle": "round", "solid_joinstyle": "round"}
_ERROR_BAR: dict[str, Any] = {"ecolor": "#555555", "elinewidth": 1, "capsize": 2}
PLAIN: dict[str, Any] = {"parse_math": False}
"""For the user's own words: a label may hold dollar signs."""


def _draw_cells(axes: Axes, cells: GridCells, colours: Float[np.ndarray, "cells 4"]) -> None:
    """The model's canvas in the colours of its cells, the drawing over it."""
    sketch = drawing(cells)
    lo, hi = sketch.box[:2], sketch.box[2:]
    half = float((hi - lo).max()) / NORMAL_SIDE  # of the canvas [-1, 1], in the drawing's units
    (left, top), (right, bottom) = (lo + hi) / 2 - half, (lo + hi) / 2 + half
    picture = colours.reshape(cells.rows, cells.columns, 4)
    axes.imshow(picture, extent=(left, right, bottom, top), interpolation="nearest")
    draw_sketch(axes, sketch.strokes)
    frame(axes, np.array([(left, top), (right, bottom)]))


def _number_strokes(axes: Axes, strokes: Sequence[np.ndarray], ranking: list[int]) -> None:
    for place, index in enumerate(ranking[:MOST_NUMBERS], start=1):
        middle = strokes[index][len(strokes[index]) // 2]
        axes.annotate(
            str(place),
            middle,
            fontsize=8,
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": "#888888", "lw": 0.6},
            zorder=5,
        )


def _draw_bars(axes: Axes, why: Explanation, target: int, limit: float) -> None:
    ranking = why.ranking(target)
    shown = ranking if len(ranking) <= MOST_BARS else _strongest(why, target)
    scores = why.scores[target][shown]
    errors = None if why.errors is None else 1.96 * why.errors[target][shown]
    places = np.arange(len(shown))
    axes.barh(
        places,
        scores,
        xerr=errors,
        error_kw=_ERROR_BAR,
        color=colour_map()(0.5 + scores / limit / 2),
    )
    names = [f"{ranking.index(i) + 1}  {why.parts.names[i]}" for i in shown]
    axes.set_yticks(places, names, fontsize=8, **PLAIN)
    axes.invert_yaxis()
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_xlabel(why.unit)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if len(shown) < len(ranking):
        axes.set_title(f"the strongest {len(shown)} of {len(ranking)}", fontsize=8, color="#555555")


def _strongest(why: Explanation, target: int) -> list[int]:
    strongest = set(np.argsort(-np.abs(why.scores[target]))[:MOST_BARS].tolist())
    return [i for i in why.ranking(target) if i in strongest]


def add_scale(fig: Figure, axes: Axes, limit: float, unit: str) -> None:
    """What the colours mean, under ``axes``: full colour at ``limit`` of the unit."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(Normalize(-limit, limit), colour_map())
    bar = fig.colorbar(scale, ax=axes, location="bottom", shrink=0.8, aspect=30, pad=0.02)
    bar.set_label(f"against  ←  {unit}  →  for", fontsize=9)
    bar.ax.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}".replace("-", "−"))
    bar.outline.set_visible(False)


def curves_figure(
    curves: Mapping[str, tuple[Float[np.ndarray, " steps"], Float[np.ndarray, "orders steps"]]],
    unit: str,
) -> Figure:
    """One panel a curve: the value along the explained order, over that of random orders."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(3.1 * len(curves), 2.5), layout="constrained")
    panels = fig.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (name, (values, random)) in zip(panels, curves.items(), strict=True):
        share = np.linspace(0, 1, len(values))
        low, middle, high = np.percentile(random, [10, 50, 90], axis=0)
        axes.fill_between(share, low, high, color="#DDDDDD", label="random, 80 %", lw=0)
        axes.plot(share, middle, color="#999999", lw=1)
        axes.plot(share, values, color=FOR, lw=2, label="as explained")
        axes.set_title(name, fontsize=10, **PLAIN)
        axes.set_xlabel("share of strokes", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(unit, fontsize=9)
    panels[0].legend(frameon=False, fontsize=8)
    return fig


def confusion_figure(confusion: Int[np.ndarray, "labels labels"], labels: Sequence[str]) -> Figure:
    """True labels down, answers across; shade is the share of the row, hits are left white.

    Only the misses are coloured, since in a good model they are what one looks for.
    """
    from matplotlib.figure import Figure

    count = len(labels)
    side = max(4.0, 0.32 * count + 2)
    fig = Figure(figsize=(side, side), layout="constrained")
    axes = fig.subplots()
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    wrong = np.where(np.eye(count, dtype=bool), 0.0, share)
    most = max(float(wrong.max()), 0.01)
    axes.imshow(np.where(wrong > 0, wrong, np.nan), cmap="Oranges", vmin=0, vmax=1.5 * most)
    for row, column in zip(*confusion.nonzero(), strict=True):
        colour = "#999999" if row == column else "#222222"
        count_here = str(confusion[row, column])
        axes.text(column, row, count_here, ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(count), labels, rotation=90, fontsize=8, **PLAIN)
    axes.set_yticks(range(count), labels, fontsize=8, **PLAIN)
    axes.set_xlabel("answer")
    axes.set_ylabel("drawn")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return fig
