"""Pictures of the analysis: statistics, clusters, replacements, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from sightline.analysis.accuracy import Outcome
from sightline.analysis.shapes import ShapeClusters
from sightline.picture import AGAINST, FOR, NEUTRAL, colour_map, draw_sketch, frame
from sightline.sketch.sketch import Sketch
from sightline.sketch.statistics import Distribution, StrokeStatistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#222222"
QUIET = "#555555"
_PLAIN: dict[str, Any] = {"parse_math": False}
_ROUND: dict[str, Any] = {"solid_capstyle": "round", "solid_joinstyle": "round"}


# --- statistics -----------------------------------------------------------------------------------


def statistics_figure(
    whole: StrokeStatistics, by_label: Mapping[str, StrokeStatistics] | None = None
) -> Figure:
    """Histograms of strokes, points, length and time; with several labels, strokes of each.

    The last bar of a histogram holds the largest hundredth.
    """
    from matplotlib.figure import Figure

    panels: list[tuple[str, Distribution, float]] = [
        ("strokes a drawing", whole.strokes, 1),
        ("points a stroke", whole.points, 1),
        ("length of a stroke\n(drawing's longest side = 1)", whole.length, 0.1),
    ]
    if whole.seconds is not None:
        panels.append(("seconds a stroke", whole.seconds, 0.1))
    labels = by_label if by_label is not None and len(by_label) > 1 else {}
    height = max(2.6, 0.17 * len(labels) + 1.1) if labels else 2.6
    fig = Figure(figsize=(2.7 * len(panels), 2.6 + (height if labels else 0)), layout="constrained")
    top: Any = fig
    bottom: Any = None
    if labels:
        halves: Any = fig.subfigures(2, 1, height_ratios=(2.6, height))
        top, bottom = halves
    for axes, (title, values, step) in zip(top.subplots(1, len(panels)), panels, strict=True):
        _histogram(axes, title, values, step)
    if bottom is not None:
        _strokes_by_label(bottom.subplots(), labels)
    return fig


def _histogram(axes: Axes, title: str, values: Distribution, step: float) -> None:
    from matplotlib.ticker import MaxNLocator

    end = max(values.quantile(0.99), values.values[0] + 4 * step)
    width = step * max(1, round((end - values.values[0]) / step / 40))
    start = values.values[0] - width / 2 if step == 1 else 0.0
    edges = np.arange(start, end + width, width)
    axes.stairs(values.histogram(edges) / len(values), edges, fill=True, color=NEUTRAL)
    middle = values.quantile(0.5)
    axes.axvline(middle, color=FOR, lw=1.4)
    axes.annotate(
        f"median {middle:.2g}" if middle < 10 else f"median {middle:.0f}",
        (middle, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -2),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color=FOR,
    )
    axes.set_xlabel(title, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.margins(y=0.16)
    _bare(axes)


def _strokes_by_label(axes: Axes, labels: Mapping[str, StrokeStatistics]) -> None:
    from matplotlib.ticker import MaxNLocator

    ordered = sorted(labels, key=lambda name: labels[name].strokes.mean)
    for place, name in enumerate(ordered):
        strokes = labels[name].strokes
        low, q1, q3, high = (strokes.quantile(q) for q in (0.05, 0.25, 0.75, 0.95))
        axes.plot([low, high], [place, place], color=NEUTRAL, lw=2, **_ROUND)
        axes.plot([q1, q3], [place, place], color=AGAINST, lw=5, **_ROUND)
        axes.plot(strokes.mean, place, "o", color="white", mec=INK, ms=4.5, mew=1, zorder=3)
    axes.set_yticks(range(len(ordered)), ordered, fontsize=8, **_PLAIN)
    axes.set_xlabel("strokes a drawing: mean, middle half (blue), middle 90 % (grey)", fontsize=9)
    axes.set_xlim(0, None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(-0.7, len(ordered) - 0.3)
    _bare(axes, "left")
    axes.tick_params(axis="y", length=0)


# --- shapes ---------------------------------------------------------------------------------------


def clusters_figure(found: ShapeClusters, *, shown: int = 20, members: int = 8) -> Figure:
    """Rows of strokes that the model takes for one shape, the prototype first.

    Clusters are shown at equal steps of their rank by size. Members go from the nearest to the
    centre, by equal steps of rank, to the one that 90 % of them are nearer than. Strokes of one
    row share one scale.
    """
    from matplotlib.figure import Figure

    sizes = found.clusters.sizes
    ranked = [c for c in found.by_size if sizes[c] > 1] or found.by_size
    ranks = np.unique(np.linspace(0, len(ranked) - 1, min(shown, len(ranked))).round().astype(int))
    half = (len(ranks) + 1) // 2
    columns = 2 * (members + 2) + 1
    fig = Figure(figsize=(0.5 * columns + 2.1, 0.6 * half + 0.7), layout=None)
    widths = ([1.0] * (members + 1) + [3.1]) * 2
    grid = fig.add_gridspec(
        half,
        2 * (members + 2),
        width_ratios=widths,
        left=0.01,
        right=0.99,
        top=0.93,
        bottom=0.01,
        wspace=0.08,
        hspace=0.12,
    )
    for place, rank in enumerate(ranks):
        row, side = place % half, place // half
        axes = [fig.add_subplot(grid[row, side * (members + 2) + i]) for i in range(members + 2)]
        _cluster_row(axes, found, ranked[rank])
    fig.suptitle(
        y=0.985,
        t=f"Strokes that share a cluster: {len(ranks)} of {len(found)}, the prototype in colour",
        fontsize=11,
    )
    return fig


def _cluster_row(axes: Sequence[Axes], found: ShapeClusters, cluster: int) -> None:
    *cells, text = axes
    own = int(found.prototypes[cluster])
    others = [i for i in found.members(cluster) if i != own]
    steps = np.unique(np.linspace(0, 0.9 * (len(others) - 1), len(cells) - 1).round().astype(int))
    drawn = [own, *(others[i] for i in steps if others)]
    reach = max(float(np.ptp(found.strokes[i], axis=0).max()) for i in drawn) or 1.0
    for cell in cells:
        cell.axis("off")
    for cell, index in zip(cells, drawn, strict=False):
        _own_frame(cell, found.strokes[index], reach, FOR if index == own else INK)
    text.axis("off")
    name, share = found.most_common(cluster)
    part = found.clusters.sizes[cluster] / found.clusters.sizes.sum()
    text.text(0.06, 0.68, f"{part:.1%} of strokes", fontsize=7.5, color=INK, va="center")
    text.text(
        0.06, 0.28, f"{share:.0%} {_short(name)}", fontsize=7, color=QUIET, va="center", **_PLAIN
    )
    text.set(xlim=(0, 1), ylim=(0, 1))


def _own_frame(axes: Axes, stroke: np.ndarray, reach: float, colour: str) -> None:
    axes.plot(*stroke.T, color=colour, lw=1.5 if colour == FOR else 1.1, **_ROUND)
    centre = (stroke.min(0) + stroke.max(0)) / 2
    axes.set_xlim(centre[0] - 0.6 * reach, centre[0] + 0.6 * reach)
    axes.set_ylim(centre[1] + 0.6 * reach, centre[1] - 0.6 * reach)
    axes.set_aspect("equal")


def _short(text: str, longest: int = 21) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


@dataclass(frozen=True, eq=False)
class Redrawn:
    """A drawing with what the model says to it.

    Args:
        title: how its strokes were made.
        sketches: one a row.
        answers: the label and its probability.
        right: whether that is what was drawn.
    """

    title: str
    sketches: Sequence[Sketch]
    answers: Sequence[tuple[str, float]]
    right: Sequence[bool]


def replaced_figure(columns: Sequence[Redrawn]) -> Figure:
    """Drawings down, ways to replace their strokes across, the model's answer under each."""
    from matplotlib.figure import Figure

    rows = len(columns[0].sketches)
    fig = Figure(figsize=(1.75 * rows, 1.9 * len(columns)), layout="constrained")
    cells = fig.subplots(len(columns), rows, squeeze=False)
    for line, column in zip(cells, columns, strict=True):
        for axes, sketch, (label, probability), right in zip(
            line, column.sketches, column.answers, column.right, strict=True
        ):
            draw_sketch(axes, sketch.strokes)
            frame(axes, sketch.points)
            axes.set_title(
                f"{label} {probability:.0%}",
                fontsize=8,
                color=QUIET if right else FOR,
                y=-0.13,
                **_PLAIN,
            )
        line[0].text(
            -0.06,
            0.5,
            column.title,
            transform=line[0].transAxes,
            rotation=90,
            ha="right",
            va="center",
            fontsize=9,
            color=INK,
        )
    return fig


def outcomes_figure(
    outcomes: Sequence[Outcome], published: Mapping[str, float] | None = None
) -> Figure:
    """One bar a change, with its interval; a line where the untouched drawings stand."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(6.4, 0.36 * len(outcomes) + 0.9), layout="constrained")
    axes = fig.subplots()
    for place, outcome in enumerate(outcomes):
        share = outcome.share
        axes.barh(place, share.estimate, color=AGAINST if place == 0 else NEUTRAL, height=0.62)
        axes.plot([share.low, share.high], [place, place], color=INK, lw=1.4)
        axes.text(1.02, place, f"{share.estimate:.1%}", va="center", fontsize=8)
        if published and outcome.name in published:
            axes.plot(published[outcome.name], place, "D", color=FOR, ms=5, zorder=4)
    axes.axvline(outcomes[0].share.estimate, color=AGAINST, lw=0.9, ls=(0, (2, 2)), zorder=0)
    if published:
        axes.plot([], [], "D", color=FOR, ms=5, label="published, on other data")
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.45, 1.2))
    axes.set_yticks(range(len(outcomes)), [o.name for o in outcomes], fontsize=8.5, **_PLAIN)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("drawings recognised, 95 % intervals", fontsize=9)
    _bare(axes, "left")
    axes.tick_params(axis="y", length=0)
    return fig


# --- order ----------------------------------------------------------------------------------------


def similarity_figure(
    similarity: Float[np.ndarray, "rows rows"], used: Int[np.ndarray, " rows"] | None = None
) -> Figure:
    """Cosine similarities of order embeddings; beside them how many drawings used each row."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(5.4 if used is not None else 4.4, 4.5), layout="constrained")
    ratios = (1, 0.32) if used is not None else (1,)
    panels = fig.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
    rows = np.arange(len(similarity))
    image = panels[0].imshow(similarity, cmap=colour_map(), vmin=-1, vmax=1)
    ticks = rows[:: max(1, len(rows) // 10)]
    panels[0].set_xticks(ticks, [str(t + 1) for t in ticks], fontsize=8)
    panels[0].set_yticks(ticks, [str(t + 1) for t in ticks], fontsize=8)
    panels[0].set_xlabel("place in the order of drawing", fontsize=9)
    panels[0].set_ylabel("place in the order of drawing", fontsize=9)
    panels[0].spines[:].set_visible(False)
    panels[0].tick_params(length=0)
    bar = fig.colorbar(image, ax=panels[0], location="top", shrink=0.7, aspect=30, pad=0.02)
    bar.set_label("cosine similarity of order embeddings", fontsize=9)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if used is not None:
        panels[1].barh(rows, np.maximum(used, 0.7), color=NEUTRAL, height=0.8)
        panels[1].set_xscale("log")
        panels[1].set_ylim(len(rows) - 0.5, -0.5)
        panels[1].set_yticks([])
        panels[1].set_xlabel("training drawings\nthat long", fontsize=9)
        _bare(panels[1], "left")
    return fig


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy along a growing number of strokes.

    Args:
        name: of the line.
        kept: strokes kept, one a point.
        outcomes: of these points.
    """

    name: str
    kept: Sequence[float]
    outcomes: Sequence[Outcome]


def truncation_figure(
    curves: Sequence[Curve], whole: Outcome, *, xlabel: str = "strokes kept"
) -> Figure:
    """Accuracy against the strokes that are left, with bands for the intervals."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = fig.subplots()
    axes.axhspan(whole.share.low, whole.share.high, color=NEUTRAL, alpha=0.45, lw=0)
    axes.axhline(whole.share.estimate, color=QUIET, lw=0.9)
    axes.text(
        curves[0].kept[0],
        whole.share.high + 0.012,
        "all strokes",
        fontsize=8,
        color=QUIET,
        va="bottom",
    )
    styles = [(FOR, "-"), (AGAINST, "-"), (FOR, (0, (3, 2))), (AGAINST, (0, (3, 2)))]
    for curve, (colour, dash) in zip(curves, styles, strict=False):
        low, middle, high = (
            [getattr(o.share, end) for o in curve.outcomes] for end in ("low", "estimate", "high")
        )
        axes.fill_between(curve.kept, low, high, color=colour, alpha=0.13, lw=0)
        axes.plot(
            curve.kept, middle, color=colour, ls=dash, lw=1.8, marker="o", ms=3, label=curve.name
        )
    axes.set_xticks(curves[0].kept)
    axes.set_ylim(0, 1.09)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel(xlabel, fontsize=9)
    axes.set_ylabel("drawings recognised", fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _bare(axes)
    return fig


def _bare(axes: Axes, *also: str) -> None:
    axes.spines[["top", "right", *also]].set_visible(False)
    axes.tick_params(labelsize=8)
