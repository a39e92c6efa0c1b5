"""A hand draws an object: its visible outlines, in a person's order, with a person's slips."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from sightline.scenes.pair_shapes import Luck, Part
from sightline.sketch.simplify import simplify
from sightline.sketch.sketch import Sketch

Points = Float[np.ndarray, "_ 2"]
GRID = 384  # pixels on which it is decided which lines are hidden
SPACING = 0.01  # of the points along a line, before simplification; sides of the photo
SHORTEST = 0.03  # a visible piece of an outline that is shorter is not drawn


@dataclass(frozen=True)
class Hand:
    """One person's habits. Lengths in sides of the photo, shares from 0 to 1.

    Args:
        wobble: standard deviation of a line from where it should be, in slow waves.
        drift: standard deviation of a stroke's place.
        stretch: standard deviation of a stroke's size, over its size.
        rounding: over which length corners are rounded.
        gap: how far a closed stroke ends before, or after, its beginning.
        broken: share of closed outlines drawn in two strokes.
        clockwise: share of closed outlines drawn clockwise.
        leaves_out: share of details that are not drawn.
        whim: how much luck there is in the order of the parts.
        downwards: how much the upper parts come first.
    """

    wobble: float
    drift: float
    stretch: float
    rounding: float
    gap: float
    broken: float
    clockwise: float
    leaves_out: float
    whim: float
    downwards: float


def any_hand(luck: Luck) -> Hand:
    """A hand from luck: careful or quick, tidy or forgetful."""
    quick = luck.uniform(0.4, 1.4)
    return Hand(
        wobble=0.0050 * quick,
        drift=0.0045 * quick,
        stretch=0.016 * quick,
        rounding=luck.uniform(0.004, 0.016),
        gap=0.022 * quick,
        broken=luck.uniform(0, 0.45),
        clockwise=0.15 if luck.random() < 0.8 else 0.85,  # most right hands go the other way
        leaves_out=luck.uniform(0, 0.3),
        whim=luck.uniform(0.03, 0.3),
        downwards=luck.uniform(0, 0.35),
    )


def draw_by_hand(parts: Sequence[Part], luck: Luck) -> tuple[list[Points], list[str]]:
    """Strokes of an object in the unit square, in the order of drawing, and whose they are.

    The drawing is simplified as QuickDraw's are, and framed as a normalised drawing is: its box
    centred in the square, the longest side 0.74.
    """
    hand = any_hand(luck)
    pieces = _visible_pieces(parts)
    strokes: list[Points] = []
    names: list[str] = []
    for index in _order(parts, pieces, hand, luck):
        part = parts[index]
        for piece in _chosen(pieces[index], part, hand, luck):
            for stroke in _strokes(piece, hand, luck):
                strokes.append(stroke)
                names.append(part.name)
    drawn = simplify(Sketch.from_strokes(strokes)).normalise()
    return [(stroke + 1) / 2 for stroke in drawn.strokes], names


@dataclass(frozen=True, eq=False)
class _Piece:
    points: Points
    closed: bool


def _visible_pieces(parts: Sequence[Part]) -> list[list[_Piece]]:
    """Of each part, what of its lines no later part hides."""
    front = _front(parts)
    pieces = []
    for index, part in enumerate(parts):
        closed = part.lines is None
        lines = part.outlines if part.lines is None else part.lines
        mine = []
        for line in lines:
            dense = evenly(np.concatenate([line, line[:1]]) if closed else line, SPACING)
            at = np.clip((dense * GRID).astype(int), 0, GRID - 1)
            seen = front[at[:, 1], at[:, 0]] <= index + 1
            mine += list(_runs(dense, seen, closed))
        pieces.append(mine)
    return pieces


def _front(parts: Sequence[Part]) -> np.ndarray:
    """The number, from 1, of the frontmost part at each place; printed ones hide nothing."""
    from PIL import Image, ImageDraw

    sheet = Image.new("L", (GRID, GRID))
    draw = ImageDraw.Draw(sheet)
    for index, part in enumerate(parts):
        if not part.printed:
            for outline in part.outlines:
                draw.polygon((outline * GRID - 0.5).ravel().tolist(), fill=index + 1)
    return np.asarray(sheet)


def _runs(points: Points, seen: Bool[np.ndarray, " _"], closed: bool) -> Iterator[_Piece]:
    """The stretches of a line that are seen; a closed line without a hidden place stays closed."""
    if seen.all():
        yield _Piece(points, closed)
        return
    if closed:  # begin behind a hidden place, so that no stretch is cut in two
        first = int(np.flatnonzero(~seen)[0])
        points, seen = np.roll(points[:-1], -first, 0), np.roll(seen[:-1], -first)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if (end - begin) * SPACING > SHORTEST:
            yield _Piece(points[begin:end], closed=False)


def _order(
    parts: Sequence[Part], pieces: Sequence[Sequence[_Piece]], hand: Hand, luck: Luck
) -> list[int]:
    """Large parts first, details last, and some luck: numbers of the parts that are drawn."""
    late = []
    for part, mine in zip(parts, pieces, strict=True):
        chance = luck.normal(0, hand.whim)
        if not mine:
            late.append(math.inf)
            continue
        points = np.concatenate([piece.points for piece in mine])
        size = float(np.ptp(points, axis=0).sum())
        height = float(points[:, 1].mean())
        late.append(part.detail - size + hand.downwards * height + chance)
    return [int(i) for i in np.argsort(late, kind="stable") if pieces[int(i)]]


def _chosen(pieces: Sequence[_Piece], part: Part, hand: Hand, luck: Luck) -> Sequence[_Piece]:
    """All, unless the part is a detail: then perhaps none, or some of many."""
    if not part.detail:
        return pieces
    if luck.random() < hand.leaves_out:
        return []
    return [piece for piece in pieces if luck.random() > hand.leaves_out / 2]


def _strokes(piece: _Piece, hand: Hand, luck: Luck) -> Iterator[Points]:
    """One piece of a line as one stroke or two."""
    points = _softened(piece.points, hand.rounding / SPACING, piece.closed)
    if not piece.closed:
        if points[0, 1] + 0.5 * points[0, 0] > points[-1, 1] + 0.5 * points[-1, 0]:
            points = points[::-1]  # from the upper left
        yield _slipped(_longer(points, hand, luck), hand, luck)
        return
    ring = points[:-1]
    top = int(ring[:, 1].argmin()) + round(luck.normal(0, 0.04) * len(ring))
    ring = np.roll(ring, -top, 0)
    if (_area(ring) > 0) != (luck.random() < hand.clockwise):
        ring = ring[::-1]
    if len(ring) > 24 and luck.random() < hand.broken:
        cut = round(len(ring) * luck.uniform(0.35, 0.65))
        halves = [ring[: cut + 1], np.concatenate([ring[cut:], ring[:1]])]
        if luck.random() < 0.6:  # both from the top
            halves[1] = halves[1][::-1]
        for half in halves:
            yield _slipped(_longer(half, hand, luck), hand, luck)
        return
    yield _slipped(_nearly_closed(ring, hand, luck), hand, luck)


def _nearly_closed(ring: Points, hand: Hand, luck: Luck) -> Points:
    beyond = round(luck.normal(0, hand.gap) / SPACING)
    most = len(ring) // 5
    if beyond < 0:
        return ring[: len(ring) + 1 + max(beyond, -most)]
    return np.concatenate([ring, ring[: 1 + min(beyond, most)]])


def _longer(points: Points, hand: Hand, luck: Luck) -> Points:
    """An open line that ends a little early or goes a little too far, at either end."""
    for _ in range(2):
        points = points[::-1]
        far = luck.normal(0, hand.gap / 3)
        if far < 0:
            points = points[: max(len(points) - round(-far / SPACING), 2)]
        elif len(points) > 3:
            step = points[-1] - points[-4]
            length = math.sqrt(float(step @ step)) or 1.0
            points = np.concatenate([points, points[-1:] + step * (far / length)])
    return points


def _slipped(points: Points, hand: Hand, luck: Luck) -> Points:
    """Wobble along the line, and the stroke as a whole a little off in place and size."""
    along = np.arange(len(points)) * SPACING
    waves = luck.uniform(0.2, 0.8, (2, 3, 1))
    phase = luck.uniform(0, 2 * math.pi, (2, 3, 1))
    heights = luck.normal(0, hand.wobble * math.sqrt(2 / 3), (2, 3, 1))
    wobble = (heights * np.sin(2 * math.pi * along / waves + phase)).sum(1).T
    middle = (points.min(0) + points.max(0)) / 2
    scale = 1 + luck.normal(0, hand.stretch, 2)
    return middle + (points - middle) * scale + wobble + luck.normal(0, hand.drift, 2)


def _softened(points: Points, width: float, closed: bool) -> Points:
    """Corners rounded: a running mean over ``width`` points, its ends where they were."""
    reach = round(width / 2)
    if reach < 1 or len(points) < 4 * reach + 2:
        return points
    kernel = np.full(2 * reach + 1, 1 / (2 * reach + 1))
    if closed:
        ring = points[:-1]
        wide = np.concatenate([ring[-reach:], ring, ring[:reach]])
        soft = np.stack([np.convolve(wide[:, i], kernel, "valid") for i in (0, 1)], 1)
        return np.concatenate([soft, soft[:1]])
    soft = np.stack([np.convolve(points[:, i], kernel, "valid") for i in (0, 1)], 1)
    return np.concatenate([points[:1], soft, points[-1:]])


def _area(ring: Points) -> float:
    """Twice the signed area; positive is clockwise as seen, since y points down."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def evenly(points: Points, spacing: float) -> Points:
    """Points at equal distances, about ``spacing``, along a polyline; both ends stay.

    Example:
        >>> evenly(np.array([[0.0, 0.0], [2.0, 0.0]]), 0.9).tolist()
        [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    """
    step = np.sqrt((np.diff(points, axis=0) ** 2).sum(1))
    along = np.concatenate([[0.0], step.cumsum()])
    wanted = np.linspace(0, along[-1], max(2, 1 + round(along[-1] / spacing)))
    return np.stack([np.interp(wanted, along, points[:, i]) for i in (0, 1)], 1)
