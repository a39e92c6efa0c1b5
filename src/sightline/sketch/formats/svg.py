"""SVG: every subpath of every drawn shape is a stroke; curves become polylines."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.files import replace_file
from sightline.sketch.formats.quickdraw import MOST_STROKES, refuse_crowd
from sightline.sketch.formats.svg_elements import Shape, scan_svg
from sightline.sketch.formats.svg_shapes import Frames, subpaths
from sightline.sketch.sketch import OnShort, Sketch

MOST_POINTS = 1_000_000
"""Points of one drawing after its curves became polylines."""


def read_svg(
    path: str | os.PathLike[str],
    *,
    tolerance: float = 0.5,
    on_short: OnShort = "drop",
    max_strokes: int = MOST_STROKES,
) -> Sketch:
    """Read a drawing from an SVG file: each subpath of each drawn shape is a stroke.

    Paths, lines, polylines, polygons, circles, ellipses and rectangles are read under their
    transforms, whatever they are painted with. Quadratic, cubic and elliptic curves are replaced
    by points on them, so many that no point of a curve is farther than ``tolerance`` from the
    polyline. ``defs``, ``symbol``, ``display: none``, ``text`` and ``image`` draw no strokes;
    clip paths and masks are passed over, so a clipped stroke is read whole; a ``use`` that would
    be drawn is refused rather than missed.

    Convention:
        Canvas units are the file's own user units, y down, origin where the file has it. Only a
        file whose outermost ``svg`` gives width and height as lengths beside a viewBox is scaled
        to them, as a browser would, at 96 pixels an inch. Strokes come in document order.

    Args:
        path: the file. Nothing else is opened, on disk or in the network.
        tolerance: canvas units.
        on_short: what to do with subpaths of one point.
        max_strokes: a drawing of more is refused.

    Returns:
        The drawing, named by the file's stem, without a label.

    Raises:
        DrawingError: a broken or unsafe file (entities, deep nesting, too many elements, too
            large), broken path data, no strokes; the message names file and line.
    """
    path = Path(path)
    if not 0 < tolerance < math.inf:
        raise DrawingError(f"tolerance must be above 0 canvas units; got {tolerance}")
    strokes: list[np.ndarray] = []
    points = 0
    frames = Frames()
    for shape in scan_svg(path):
        drawn = _drawn(shape, frames, tolerance, path.name)
        strokes += drawn
        points += sum(map(len, drawn))
        refuse_crowd(len(strokes), path.name, max_strokes)
        if points > MOST_POINTS:
            raise DrawingError(f"{path.name} has more than {MOST_POINTS} points; raise tolerance")
    return replace(Sketch.from_strokes(strokes, on_short=on_short, name=path.name), name=path.stem)


def write_svg(path: str | os.PathLike[str], sketch: Sketch, *, width: float | None = None) -> None:
    """Write a drawing as SVG: one black polyline a stroke, coordinates as they are.

    `read_svg` gives the same points back. Label, times and parts have no place in this format.
    The file appears complete or not at all.

    Args:
        path: the file.
        sketch: the drawing.
        width: of the pen, in canvas units; by default a hundredth of the longest side.
    """
    pen = (max(sketch.size) / 100 or 1.0) if width is None else float(width)
    if not 0 < pen < math.inf:
        raise DrawingError(f"the pen's width must be above 0 canvas units; got {width}")
    corner, extent = sketch.box[:2] - pen, np.array(sketch.size) + 2 * pen
    lines = [
        # No width and height: they would make pixels of a page the canvas units.
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{_numbers(corner)} {_numbers(extent)}">',
        f'<g fill="none" stroke="black" stroke-width="{pen!r}" '
        'stroke-linecap="round" stroke-linejoin="round">',
        *(f'<polyline points="{_numbers(stroke)}"/>' for stroke in sketch.strokes),
        "</g>",
        "</svg>",
    ]
    with replace_file(path) as stream:
        stream.write("\n".join(lines).encode() + b"\n")


def _drawn(shape: Shape, frames: Frames, tolerance: float, name: str) -> list[np.ndarray]:
    where = f"{name} line {shape.line}"
    try:
        return list(subpaths(shape, frames, tolerance))
    except DrawingError as error:
        raise DrawingError(f"{where}: {error}") from None
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError):
        # What svgelements raises on text that it cannot read has no message worth passing on.
        raise DrawingError(
            f"{where}: the numbers of <{shape.tag}> or of a transform around it are broken; "
            "mend or delete the element"
        ) from None


def _numbers(values: np.ndarray) -> str:
    """Numbers that read back as the same floats, the shortest way."""
    return " ".join(repr(value).removesuffix(".0") for value in values.ravel().tolist())
