"""The geometry of SVG's shapes: from attributes to polylines in canvas units.

svgelements reads path data, lengths and transforms; it passes silently over text that it cannot
read, so the text is checked first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from sightline.errors import DrawingError
from sightline.sketch.formats.curves import flatten_arc, flatten_bezier
from sightline.sketch.formats.svg_elements import Group, Shape

PIXELS_PER_INCH = 96.0

_LARGEST_NUMBER = 1e12  # far beyond any canvas, far below overflow
_SPACE = " ,\t\r\n\f"
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_NUMBERS = re.compile(_NUMBER)
_PATH_DATA = re.compile(rf"(?:[{_SPACE}]+|[MmZzLlHhVvCcSsQqTtAa]|{_NUMBER})*")
_BARE_EXPONENT = re.compile(r"([0-9])\.(?=[eE])")
_BARE_POINT = re.compile(r"([0-9])\.(?![0-9])")
_TRANSFORM = re.compile(r"(?:matrix|translate|scale|rotate|skewX|skewY)\s*\([^()]*\)")
_GEOMETRY = {
    "rect": ("x", "y", "width", "height", "rx", "ry"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "line": ("x1", "y1", "x2", "y2"),
}


class Frames:
    """Where groups stand on the canvas: one 3 x 3 matrix a group, acting on column vectors."""

    def __init__(self) -> None:
        self._known: dict[Group, np.ndarray] = {}

    def matrix(self, group: Group) -> np.ndarray:
        """From the group's own coordinates to canvas units; each group is worked out once."""
        unknown: list[Group] = []
        known: Group | None = group
        while known is not None and known not in self._known:
            unknown.append(known)
            known = known.parent
        matrix = np.eye(3) if known is None else self._known[known]
        for inner in reversed(unknown):
            matrix = self._known[inner] = _sound(matrix @ _own_matrix(inner))
        return matrix


def subpaths(shape: Shape, frames: Frames, tolerance: float) -> Iterator[np.ndarray]:
    """The shape's subpaths as polylines, each ``[points, 2]`` in canvas units.

    Raises:
        DrawingError: broken numbers, without file and line. What svgelements raises passes.
    """
    matrix = _sound(frames.matrix(shape.group) @ _matrix(shape.attributes.get("transform", "")))
    if shape.tag not in ("polyline", "polygon"):
        yield from _polylines(_segments(shape), matrix, tolerance)
        return
    points = _sound(_pairs(shape.attributes.get("points", "")))
    if shape.tag == "polygon":
        points = np.append(points, points[:1], axis=0)
    if len(points):
        yield _moved(points, matrix)


def _own_matrix(group: Group) -> np.ndarray:
    matrix = _matrix(group.attributes.get("transform", ""))
    return matrix @ _viewport(group) if group.tag == "svg" else matrix


def _matrix(text: str) -> np.ndarray:
    from svgelements import Matrix

    if _TRANSFORM.sub("", text).strip(_SPACE):
        raise DrawingError(f"transform cannot be read: {text[:40]!r}")
    m = Matrix(text, ppi=PIXELS_PER_INCH)
    if not all(isinstance(shift, (int, float)) for shift in (m.e, m.f)):
        raise DrawingError(f"transform uses relative lengths: {text[:40]!r}; give numbers")
    return _sound(np.array([[m.a, m.c, m.e], [m.b, m.d, m.f], [0.0, 0.0, 1.0]]))


def _viewport(group: Group) -> np.ndarray:
    """What an svg element does to its inside: its viewBox is fitted into its place."""
    from svgelements import Viewbox

    box = _viewbox(group)
    outer = (None, None) if group.parent is None else _extent(group.parent)
    width = _length(group.attributes.get("width", "100%"), outer[0])
    height = _length(group.attributes.get("height", "100%"), outer[1])
    x, y = 0.0, 0.0
    if group.parent is not None:
        x = _length(group.attributes.get("x", "0"), outer[0]) or 0.0
        y = _length(group.attributes.get("y", "0"), outer[1]) or 0.0
    if box is None or width is None or height is None:
        return _matrix(f"translate({x!r} {y!r})")
    aspect = group.attributes.get("preserveAspectRatio")
    return _matrix(Viewbox.viewbox_transform(x, y, width, height, *box, aspect))


def _viewbox(group: Group) -> list[float] | None:
    text = group.attributes.get("viewBox")
    if text is None:
        return None
    box = [float(number) for number in _NUMBERS.findall(text)]
    if len(box) != 4 or min(box[2:]) <= 0:
        raise DrawingError(f"viewBox must be x, y, width, height; got {text[:40]!r}")
    return box


def _extent(group: Group | None) -> tuple[float | None, float | None]:
    """Width and height that percentages refer to: those of the nearest svg around."""
    while group is not None and group.tag != "svg":
        group = group.parent
    if group is None:
        return None, None
    box = _viewbox(group)
    if box is not None:
        return box[2], box[3]
    sizes = (group.attributes.get(name, "100%") for name in ("width", "height"))
    width, height = (_length(size, None) for size in sizes)
    return width, height


def _length(text: str, whole: float | None) -> float | None:
    """A length in user units; None where it is relative to something unknown."""
    from svgelements import Length

    if not _NUMBERS.match(text.strip()):
        raise DrawingError(f"{text[:40]!r} is no length")
    value = Length(text.strip()).value(ppi=PIXELS_PER_INCH, relative_length=whole)
    return float(value) if isinstance(value, (int, float)) else None


def _pairs(text: str) -> np.ndarray:
    numbers = [float(number) for number in _NUMBERS.findall(text)]
    if len(numbers) % 2 or _NUMBERS.sub("", text).strip(_SPACE):
        raise DrawingError(f"points are not pairs of numbers: {text[:40]!r}")
    return np.array(numbers).reshape(-1, 2)


def _segments(shape: Shape) -> list[Any]:
    """The pieces of a shape in its own coordinates, as svgelements names them."""
    import svgelements as svg

    if shape.tag == "path":
        return list(svg.Path(_path_data(shape.attributes.get("d", ""))))
    kinds = {"rect": svg.Rect, "circle": svg.Circle, "ellipse": svg.Ellipse, "line": svg.SimpleLine}
    element = kinds[shape.tag](_sizes(shape))
    width, height = _extent(shape.group)
    element.render(ppi=PIXELS_PER_INCH, width=width, height=height)
    return list(element.segments(transformed=False))


def _sizes(shape: Shape) -> dict[str, str]:
    """The lengths of a shape. One that is not given is 0 (svgelements says 1 of some)."""
    names = _GEOMETRY[shape.tag]
    given = {name: shape.attributes[name] for name in names if name in shape.attributes}
    if shape.tag == "ellipse":  # a radius that is not given is the other one
        return {"rx": given.get("ry", "0"), "ry": given.get("rx", "0"), **given}
    return {name: "0" for name in names if name not in ("rx", "ry")} | given


def _path_data(text: str) -> str:
    matched = _PATH_DATA.match(text)
    end = matched.end() if matched else 0
    if end < len(text):
        raise DrawingError(f"path data cannot be read from {text[end : end + 20]!r} on")
    if text.strip(_SPACE)[:1] not in ("", "M", "m"):
        raise DrawingError(f"path data must start with M or m; it starts with {text[:20]!r}")
    # "1." and "1.e5", which svgelements does not know, become "1 " and "1e5".
    return _BARE_POINT.sub(r"\1 ", _BARE_EXPONENT.sub(r"\1", text))


def _polylines(segments: list[Any], matrix: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """One polyline from each move to the next; after a close the pen stands at the start."""
    from svgelements import Close, Move

    pieces: list[np.ndarray] = []
    for segment in segments:
        end = _moved(_xy(segment.end), matrix)
        if isinstance(segment, Move):
            if pieces:
                yield np.concatenate(pieces)
            pieces = [end]
        elif isinstance(segment, Close):
            closed = len(pieces) > 1 and bool((pieces[-1][-1] == end[0]).all())
            yield np.concatenate(pieces if closed else [*pieces, end])
            pieces = []
        else:
            pieces = pieces or [_moved(_xy(segment.start), matrix)]
            pieces.append(_piece(segment, matrix, tolerance))
    if pieces:
        yield np.concatenate(pieces)


def _piece(segment: Any, matrix: np.ndarray, tolerance: float) -> np.ndarray:
    """A segment as points, without its first."""
    from svgelements import Arc, CubicBezier, QuadraticBezier

    if isinstance(segment, Arc) and segment.sweep:
        return _arc(segment, matrix, tolerance)
    if isinstance(segment, QuadraticBezier):
        control = _xy(segment.start, segment.control, segment.end)
    elif isinstance(segment, CubicBezier):
        control = _xy(segment.start, segment.control1, segment.control2, segment.end)
    else:  # a line, or an arc without radius, which is drawn as one
        return _moved(_xy(segment.end), matrix)
    return flatten_bezier(_moved(control, matrix), tolerance)[1:]


def _arc(segment: Any, matrix: np.ndarray, tolerance: float) -> np.ndarray:
    start, end, center, first, second = _xy(
        segment.start, segment.end, segment.center, segment.prx, segment.pry
    )
    axes = np.stack([first - center, second - center])
    cosine, sine = axes @ (start - center) / (axes**2).sum(1)
    angles = math.atan2(sine, cosine), float(segment.sweep)
    moved_center, moved_end = _moved(np.stack([center, end]), matrix)
    points = flatten_arc(moved_center, axes @ matrix[:2, :2].T, angles, tolerance)
    points[-1] = moved_end
    return points[1:]


def _xy(*points: Any) -> np.ndarray:
    return _sound(np.array([(point.x, point.y) for point in points], dtype=np.float64))


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points under an affine map; by columns, so that a point's image is the same in any batch."""
    return points[:, :1] * matrix[:2, 0] + points[:, 1:] * matrix[:2, 1] + matrix[:2, 2]


def _sound(numbers: np.ndarray) -> np.ndarray:
    """The numbers as floats, once they are seen to be sane."""
    numbers = numbers.astype(np.float64)
    if not (np.abs(numbers) <= _LARGEST_NUMBER).all():
        raise DrawingError(f"numbers must be finite and within {_LARGEST_NUMBER:.0e}")
    return numbers
