"""Pictures of a match: both sides of it, and its fall as strokes are taken away."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.errors import TaskError
from sightline.image.photo import Photo
from sightline.overlay import draw_photo
from sightline.picture import (
    FOR,
    PLAIN,
    SUFFIXES,
    add_scale,
    draw_scores,
    draw_sketch,
    frame,
    write_figure,
)
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.match import Match
from sightline.tasks.retrieval.rank_deletion import RankDeletion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightline.explanation import Explanation

_SUBTITLE: dict[str, Any] = {"fontsize": 10, "color": "#555555", "pad": 8}


def plot_match(match: Match, path: str | os.PathLike[str], *, target: int = 0) -> None:
    """Write the picture of a match; the suffix chooses the format.

    Raises:
        TaskError: a suffix that is none of .png, .pdf, .svg.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise TaskError(f"cannot draw {path.name!r}: use one of {', '.join(SUFFIXES)}")
    write_figure(match_figure(match, target=target), path)


def match_figure(match: Match, *, target: int = 0) -> Figure:
    """The drawing with scored strokes, what it found, and that with scored parts.

    Each side has its own scale, in the same unit.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(10.4, 5.0), layout="constrained")
    fig.get_layout_engine().set(h_pad=0.08)  # type: ignore[union-attr, call-arg]
    left, middle, right = fig.subplots(1, 3, width_ratios=(1, 0.55, 1))
    _draw_side(fig, left, match.query, target, "strokes of the drawing")
    draw_item(middle, match.found.parts.subject)
    middle.set_title(match.names[1], **_SUBTITLE, **PLAIN)
    _draw_side(fig, right, match.found, 0, f"{match.found.parts.kind} of what it found")
    words = f"{match.query.targets[target]}   ({match.title})" if match.over else match.title
    fig.suptitle(words, fontsize=13, **PLAIN)
    return fig


def _draw_side(fig: Figure, axes: Axes, why: Explanation, target: int, what: str) -> None:
    limit = float(np.abs(why.scores[target]).max()) or 1.0
    draw_scores(axes, why, target, limit)
    axes.set_title(f"{what}  ({why.made.method})", **_SUBTITLE, **PLAIN)
    add_scale(fig, axes, limit, why.unit)
    if reason := why.blank(target):
        axes.text(0.5, 0.02, reason, transform=axes.transAxes, ha="center", fontsize=8)


def draw_item(axes: Axes, item: object) -> None:
    """A photo, in a thin edge that shows where a white one ends; or a drawing as it is."""
    from matplotlib.patches import Rectangle

    if isinstance(item, Photo):
        draw_photo(axes, item)
        edge: dict[str, Any] = {"fill": False, "ec": "#CCCCCC", "lw": 0.8, "clip_on": False}
        axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, **edge))
    elif isinstance(item, Sketch):
        draw_sketch(axes, item.strokes)
        frame(axes, item.points)


def fall_figure(curve: RankDeletion) -> Figure:
    """The photo's place as strokes go, the most important first, over that of random orders."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(5.6, 3.1), layout="constrained")
    axes = fig.subplots()
    gone = np.arange(curve.strokes + 1)
    low, middle, high = np.percentile(curve.random, [10, 50, 90], axis=0)
    axes.fill_between(gone, low, high, color="#DDDDDD", lw=0, label="random orders, 80 %")
    axes.plot(gone, middle, color="#999999", lw=1)
    axes.plot(gone, curve.places, color=FOR, lw=2, marker="o", ms=4, label="as explained")
    axes.set_yscale("log")
    axes.set_ylim(curve.gallery * 1.15, 0.87)
    ticks = [place for place in (1, 10, 100, 1000, 10_000) if place <= curve.gallery]
    axes.set_yticks(ticks, [str(place) for place in ticks])
    axes.minorticks_off()
    axes.set_xticks(gone if len(gone) <= 16 else gone[:: -(-len(gone) // 12)])
    axes.set_xlabel("strokes taken away", fontsize=9)
    axes.set_ylabel(f"place among {curve.gallery}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    fig.legend(frameon=False, fontsize=8, ncols=2, loc="outside upper right")
    return fig
