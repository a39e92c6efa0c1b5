"""What is left of a drawing, and what may go: runs of consecutive points of its strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from sightline.errors import TaskError
from sightline.sketch.lengths import line_length
from sightline.sketch.sketch import Sketch


@dataclass(frozen=True, order=True)
class Piece:
    """The line of one stroke from one of its points to a later one.

    Everything is counted in the drawing as it was before anything went, so that a piece means the
    same however much was removed in the meantime.

    Args:
        stroke: index in the drawing.
        first: index of the point where the line begins.
        last: index of the point where it ends.

    Raises:
        TaskError: fewer than two points.

    Example:
        >>> Piece(stroke=2, first=0, last=5)
        Piece(stroke=2, first=0, last=5)
    """

    stroke: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if min(self.stroke, self.first) < 0 or self.first >= self.last:
            raise TaskError(
                f"a piece of stroke {self.stroke} from point {self.first} to point {self.last}; "
                "it needs at least two points, counted from 0"
            )

    def holds(self, other: Piece) -> bool:
        """Whether all of the other is part of this one."""
        return self.stroke == other.stroke and self.first <= other.first <= other.last <= self.last

    def meets(self, other: Piece) -> bool:
        """Whether the two have some line in common, more than a point."""
        return self.stroke == other.stroke and max(self.first, other.first) < min(
            self.last, other.last
        )


Pieces = tuple[Piece, ...]


def whole(sketch: Sketch) -> Pieces:
    """Every stroke from end to end.

    Example:
        >>> whole(Sketch.from_strokes([[(0, 0), (1, 0), (1, 1)]]))
        (Piece(stroke=0, first=0, last=2),)
    """
    return tuple(Piece(i, 0, len(stroke) - 1) for i, stroke in enumerate(sketch.strokes))


def without(pieces: Pieces, gone: Piece) -> Pieces:
    """What is left once a piece went: out of the middle of a line it leaves two.

    The points where it is cut stay, as ends of what is left.

    Raises:
        TaskError: it is not there, or no longer whole.

    Example:
        >>> without((Piece(0, 0, 9),), Piece(0, 4, 6))
        (Piece(stroke=0, first=0, last=4), Piece(stroke=0, first=6, last=9))
    """
    found = next((piece for piece in pieces if piece.holds(gone)), None)
    if found is None:
        left = ", ".join(f"{p.stroke} from {p.first} to {p.last}" for p in pieces)
        raise TaskError(
            f"points {gone.first} to {gone.last} of stroke {gone.stroke} are not all there; left "
            f"are strokes {left}: take a suggestion made for this state of the drawing"
        )
    ends = ((found.first, gone.first), (gone.last, found.last))
    rest = tuple(Piece(found.stroke, a, b) for a, b in ends if a < b)
    at = pieces.index(found)
    return (*pieces[:at], *rest, *pieces[at + 1 :])


def cut_out(pieces: Pieces, part: Piece) -> Pieces:
    """The same line with one part of it as a piece of its own.

    Raises:
        TaskError: it is not all there.

    Example:
        >>> cut_out((Piece(0, 0, 9),), Piece(0, 4, 9))
        (Piece(stroke=0, first=0, last=4), Piece(stroke=0, first=4, last=9))
    """
    return tuple(sorted((*without(pieces, part), part)))


def drawn(sketch: Sketch, pieces: Sequence[Piece]) -> Sketch:
    """The pieces as a drawing, where they were on its canvas, in the order of drawing.

    Times and names of parts go along.

    Raises:
        TaskError: none, or one that the drawing does not have.
    """
    known = whole(sketch)
    for piece in pieces:
        if piece.stroke >= len(known) or not known[piece.stroke].holds(piece):
            raise TaskError(f"{sketch!r} has no {name_of(sketch, piece)}")
    if not pieces:
        raise TaskError("nothing would be left of the drawing; keep at least one stroke")
    runs = [slice(piece.first, piece.last + 1) for piece in pieces]
    both = list(zip(pieces, runs, strict=True))
    times, parts = sketch.times, sketch.parts
    return replace(
        sketch,
        strokes=tuple(sketch.strokes[p.stroke][run] for p, run in both),
        times=None if times is None else tuple(times[p.stroke][run] for p, run in both),
        parts=None if parts is None else tuple(parts[p.stroke] for p in pieces),
    )


def gone_of(sketch: Sketch, left: Sequence[Piece]) -> list[Piece]:
    """What is not left of a drawing, stroke by stroke.

    Example:
        >>> step = Sketch.from_strokes([[(0, 0), (1, 0), (1, 1), (2, 1)]])
        >>> gone_of(step, [Piece(0, 1, 2)])
        [Piece(stroke=0, first=0, last=1), Piece(stroke=0, first=2, last=3)]
    """
    gone = []
    for stroke in whole(sketch):
        place = stroke.first
        for piece in sorted(p for p in left if p.stroke == stroke.stroke):
            if place < piece.first:
                gone.append(Piece(stroke.stroke, place, piece.first))
            place = piece.last
        if place < stroke.last:
            gone.append(Piece(stroke.stroke, place, stroke.last))
    return gone


def common(some: Sequence[Piece], others: Sequence[Piece]) -> list[Piece]:
    """The line that belongs to both.

    Example:
        >>> common([Piece(0, 0, 5)], [Piece(0, 3, 9)])
        [Piece(stroke=0, first=3, last=5)]
    """
    return [
        Piece(a.stroke, max(a.first, b.first), min(a.last, b.last))
        for a in some
        for b in others
        if a.meets(b)
    ]


def line_of(sketch: Sketch, piece: Piece) -> Float[np.ndarray, "points 2"]:
    """The points of a piece, canvas units."""
    return sketch.strokes[piece.stroke][piece.first : piece.last + 1]


def length_of(sketch: Sketch, pieces: Sequence[Piece]) -> float:
    """Length of all lines, canvas units.

    Example:
        >>> step = Sketch.from_strokes([[(0, 0), (3, 4), (3, 5)]])
        >>> length_of(step, whole(step))
        6.0
    """
    return float(sum(line_length(line_of(sketch, piece)) for piece in pieces))


def name_of(sketch: Sketch, piece: Piece) -> str:
    """A piece in words: a whole stroke, or which of its points.

    Example:
        >>> name_of(Sketch.from_strokes([[(0, 0), (1, 0), (1, 1)]]), Piece(0, 1, 2))
        'stroke 0, points 1 to 2'
    """
    named = sketch.parts is not None and piece.stroke < len(sketch.parts)
    part = f" ({sketch.parts[piece.stroke]})" if named and sketch.parts else ""
    known = piece.stroke < len(sketch)
    if known and (piece.first, piece.last) == (0, len(sketch.strokes[piece.stroke]) - 1):
        return f"stroke {piece.stroke}{part}"
    return f"stroke {piece.stroke}{part}, points {piece.first} to {piece.last}"
