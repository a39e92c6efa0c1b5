"""The shapes of an SVG file as plain strings, scanned before anything interprets them.

The scan keeps tags, attributes and nesting, and holds the file to limits, so that what reads the
shapes afterwards needs to fear neither entities nor depth. Nothing beside the file is opened: the
DTD that a DOCTYPE names is not fetched, and references are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from sightline.errors import DrawingError

LARGEST_FILE = 32 * 2**20
"""Bytes of an SVG file."""

DEEPEST = 256
"""Elements within elements."""

MOST_ELEMENTS = 100_000

SHAPES = ("path", "line", "polyline", "polygon", "circle", "ellipse", "rect")
GROUPS = ("svg", "g", "a", "switch")

_NAMESPACE = "http://www.w3.org/2000/svg"
_CHUNK = 2**16


@dataclass(frozen=True, eq=False)
class Group:
    """An element around shapes, for the coordinate system it makes.

    Args:
        tag: svg, g, a or switch.
        attributes: as written.
        line: where it starts in the file.
        parent: the group around it; None for the outermost svg.
    """

    tag: str
    attributes: dict[str, str]
    line: int
    parent: Group | None


@dataclass(frozen=True, eq=False)
class Shape:
    """An element that draws: its tag, its attributes as written, its line, its group."""

    tag: str
    attributes: dict[str, str]
    line: int
    group: Group


def scan_svg(path: Path) -> list[Shape]:
    """The drawn shapes of an SVG file, in document order.

    Left out, with all that is inside: elements with ``display: none`` (attribute or ``style``;
    style sheets are not read), and elements that are neither shape nor group, such as ``defs``,
    ``symbol``, ``clipPath``, ``text`` and ``image``.

    Raises:
        DrawingError: not well-formed, not SVG, an entity declaration, a ``use`` that would be
            drawn, or beyond the limits of size, depth and number; with file, line and cure.
    """
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise DrawingError(
            f"{path.name} has {size} bytes, more than {LARGEST_FILE}; a drawing has some thousand: "
            "take out embedded images or split it"
        )
    scanner = _Scanner(path.name)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(_CHUNK), b""):
            scanner.feed(chunk)
    scanner.feed(b"", last=True)
    return scanner.shapes


class _Scanner:
    def __init__(self, name: str) -> None:
        self.shapes: list[Shape] = []
        self._name = name
        self._depth = 0
        self._count = 0
        self._hidden_at: int | None = None  # depth of the outermost element that is not drawn
        self._groups: list[Group] = []
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity

    def feed(self, data: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise DrawingError(
                f"{self._name} line {error.lineno} is not well-formed XML "
                f"({expat.ErrorString(error.code)}); export it anew as plain SVG"
            ) from None

    def _refuse(self, what: str) -> NoReturn:
        raise DrawingError(f"{self._name} line {self._parser.CurrentLineNumber} {what}")

    def _entity(self, name: str, *_: object) -> None:
        self._refuse(
            f"declares the entity {name[:40]!r}: refused, since entities can blow a file up; "
            "export it as plain SVG"
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > DEEPEST:
            self._refuse(f"is nested deeper than {DEEPEST} elements; ungroup the drawing")
        if self._count > MOST_ELEMENTS:
            self._refuse(f"is past element {MOST_ELEMENTS}; split or simplify the drawing")
        namespace, _, tag = name.rpartition(" ")
        if self._depth == 1 and (tag != "svg" or namespace not in ("", _NAMESPACE)):
            self._refuse(f"starts with <{tag[:40]}>; expected <svg>")
        if self._hidden_at is None:
            self._draw(tag if namespace in ("", _NAMESPACE) else "", attributes)

    def _draw(self, tag: str, attributes: dict[str, str]) -> None:
        group = self._groups[-1] if self._groups else None
        line = self._parser.CurrentLineNumber
        if _not_displayed(attributes) or tag not in (*SHAPES, *GROUPS, "use"):
            self._hidden_at = self._depth
        elif tag == "use":
            self._refuse("draws by <use>, which is not followed; unlink the clone and save again")
        elif tag in GROUPS:
            self._groups.append(Group(tag, attributes, line, group))
        elif group is not None:
            self.shapes.append(Shape(tag, attributes, line, group))
            self._hidden_at = self._depth  # what is inside a shape (title, animate) draws nothing

    def _end(self, name: str) -> None:
        if self._hidden_at == self._depth:
            self._hidden_at = None
        elif self._hidden_at is None:
            self._groups.pop()
        self._depth -= 1


def _not_displayed(attributes: dict[str, str]) -> bool:
    declared = dict(_declarations(attributes.get("style", "")))
    return declared.get("display", attributes.get("display", "").strip()) == "none"


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style.split(";"):
        name, _, value = declaration.partition(":")
        yield name.strip().lower(), value.replace("!important", "").strip().lower()
