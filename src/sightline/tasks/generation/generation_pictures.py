"""Pictures of generated pictures: which strokes made a region, and what a stroke made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from sightline.errors import TaskError
from sightline.explanation import Explanation
from sightline.picture import colour_map
from sightline.sketch.sketch import Sketch
from sightline.targets.region import Region, covering
from sightline.tasks.generation.stroke_maps import StrokeMaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CANVAS = (-1.0, 1.0, 1.0, -1.0)
"""Left, right, bottom and top of the canvas that pictures and normalised drawings share."""
COLUMNS = 6
PANEL = 1.75
PALE, INSIDE = 0.3, 0.75
"""Strength of a picture's colours around a region, and of what is laid over them inside."""
FAINT = 0.02
"""Of the largest change: where a picture differs less from the empty sheet's, nothing is shown."""
INK, QUIET = "#222222", "#BDBDBD"


def generation_figure(
    why: Explanation,
    region: Region,
    maps: StrokeMaps,
    *,
    regions: Sequence[int] | None = None,
    strokes: Sequence[int] | None = None,
    columns: int = COLUMNS,
) -> Figure:
    """The drawing and its picture; each region with the strokes that made it; what strokes made.

    Args:
        why: of a game with ``region``.
        region: what was asked.
        maps: of the same drawing.
        regions: rows of ``why`` to show; by default all.
        strokes: to show the maps of; by default those that put most into the picture,
            in the order of drawing.
        columns: panels side by side.

    Raises:
        TaskError: an explanation of other regions, or maps of another drawing.
    """
    from matplotlib.figure import Figure

    _check(why, region, maps)
    shown = list(range(len(region.names)) if regions is None else regions)
    made = _most_made(maps, columns) if strokes is None else list(strokes)
    above, below = -(-(2 + len(shown)) // columns), -(-len(made) // columns)
    fig = Figure(figsize=(PANEL * columns, (PANEL + 0.22) * (above + below)), layout="constrained")
    panels = list(fig.subplots(above + below, columns, squeeze=False).flat)
    for axes in panels:
        axes.axis("off")
    drawing = maps.sketch.normalise()
    upper, lower = panels[: above * columns], panels[above * columns :]
    draw_drawing(upper[0], drawing)
    _title(upper[0], "the drawing")
    draw_picture(upper[1], maps.picture)
    _title(upper[1], "the picture made of it")
    for axes, row in zip(upper[2:], shown, strict=False):
        draw_region(axes, maps.picture, region.masks[row], drawing, why.scores[row])
        _title(axes, f"what made “{why.targets[row]}”")
    for axes, stroke in zip(lower, made, strict=False):
        draw_made(axes, maps, stroke)
        _title(axes, _stroke_name(maps.sketch, stroke))
    return fig


def draw_drawing(axes: Axes, drawing: Sketch, *, colour: str = INK, width: float = 1.4) -> None:
    """A normalised drawing on its canvas."""
    for line in drawing.strokes:
        axes.plot(*line.T, color=colour, lw=width, solid_capstyle="round")
    _canvas(axes)


def draw_picture(
    axes: Axes, picture: Float[Tensor, "colours height width"], *, pale: float = 1.0
) -> None:
    """A generated picture, its colours mixed with white if pale."""
    axes.imshow(1 - pale * (1 - _rgb(picture)), extent=CANVAS, interpolation="antialiased")
    _canvas(axes)


def draw_region(
    axes: Axes,
    picture: Float[Tensor, "colours height width"],
    mask: Bool[Tensor, "rows columns"],
    drawing: Sketch,
    scores: Float[np.ndarray, " strokes"],
) -> None:
    """A region outlined on the pale picture; strokes in the colours of their scores."""
    draw_picture(axes, picture, pale=PALE)
    covered = covering(mask[None].float(), picture)[0]
    over = np.concatenate([_rgb(picture), INSIDE * covered.numpy()[..., None]], 2)
    axes.imshow(over, extent=CANVAS, interpolation="nearest")
    smooth = F.interpolate(mask[None, None].float(), scale_factor=4.0, mode="bilinear")[0, 0]
    y, x = ((np.arange(count) + 0.5) * 2 / count - 1 for count in smooth.shape)
    axes.contour(x, y, smooth.numpy(), levels=[0.5], colors=INK, linewidths=0.9, linestyles="--")
    limit = float(np.abs(scores).max()) or 1.0
    shades = colour_map()(0.5 + scores / limit / 2)
    for index in np.argsort(np.abs(scores)):  # the strongest on top
        width = 1.3 + 2.0 * abs(scores[index]) / limit
        axes.plot(*drawing.strokes[index].T, color="white", lw=width + 1.2, solid_capstyle="round")
        axes.plot(*drawing.strokes[index].T, color=shades[index], lw=width, solid_capstyle="round")
    _canvas(axes)


def draw_made(axes: Axes, maps: StrokeMaps, stroke: int) -> None:
    """What a stroke made: the picture as far as it is this stroke's, the stroke in black.

    At each pixel the picture's colour is as strong as the stroke's share of what stands there.
    """
    share = shares(maps)[stroke].clamp(0, 1).numpy()
    over = np.concatenate([_rgb(maps.picture), share[..., None]], 2)
    axes.imshow(np.ones((1, 1, 3)), extent=CANVAS)
    drawing = maps.sketch.normalise()
    draw_drawing(axes, drawing, colour=QUIET, width=0.7)
    axes.imshow(over, extent=CANVAS, interpolation="nearest", zorder=2)
    axes.plot(*drawing.strokes[stroke].T, color=INK, lw=1.6, solid_capstyle="round", zorder=3)
    _canvas(axes)


def shares(maps: StrokeMaps) -> Float[Tensor, "strokes height width"]:
    """Each stroke's share of what stands at a pixel; 0 where hardly anything does."""
    drawn = maps.picture - maps.blank
    here = drawn.square().sum(0)
    most = here.amax()
    own = (maps.changes * drawn).sum(1)
    return torch.where(here > FAINT * most, own / here.clamp_min(1e-12), 0.0)


def _most_made(maps: StrokeMaps, count: int) -> list[int]:
    """The strokes that put most into the picture, in the order of drawing."""
    most = maps.content.clamp(min=0).sum((1, 2)).argsort(descending=True, stable=True)
    return sorted(most[:count].tolist())


def _rgb(picture: Tensor) -> Float[np.ndarray, "height width 3"]:
    """Grey pictures in three channels; of other numbers of colours their mean."""
    shown = picture if len(picture) == 3 else picture.mean(0, keepdim=True).expand(3, -1, -1)
    return np.asarray(shown.clamp(0, 1).permute(1, 2, 0).numpy())


def _canvas(axes: Axes) -> None:
    axes.set_xlim(-0.9, 0.9)
    axes.set_ylim(0.9, -0.9)
    axes.set_aspect("equal")


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=8, color=INK, pad=2, parse_math=False)


def _stroke_name(sketch: Sketch, stroke: int) -> str:
    part = sketch.parts[stroke] if sketch.parts else ""
    return f"made by {stroke}: {part}" if part else f"made by stroke {stroke}"


def _check(why: Explanation, region: Region, maps: StrokeMaps) -> None:
    if why.targets != region.names:
        raise TaskError(
            f"the explanation is of {', '.join(why.targets)}, the region of "
            f"{', '.join(region.names)}; give the Region that the game was asked about"
        )
    if len(why.parts) != len(maps):
        raise TaskError(
            f"an explanation of {len(why.parts)} strokes, maps of {len(maps)}; make both of one "
            "drawing"
        )
