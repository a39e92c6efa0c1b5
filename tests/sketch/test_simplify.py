"""QuickDraw's simplification, against plain recursion and against QuickDraw's own files."""

from __future__ import annotations

import gzip
import json
import math
from itertools import pairwise

import numpy as np
import pytest

from sightline.sketch.simplify import rdp_keep, resample, simplify
from sightline.sketch.sketch import Sketch


def plain_rdp(points: list[tuple[float, float]], epsilon: float) -> list[tuple[float, float]]:
    """Ramer-Douglas-Peucker as the textbook has it: recursion on lists."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    long = math.dist(points[0], points[-1])
    best, where = 0.0, 0
    for index, (x, y) in enumerate(points[1:-1], 1):
        away = abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / long if long else 0.0
        away = away if long else math.dist((x, y), points[0])
        if away > best:
            best, where = away, index
    if best <= epsilon:
        return [points[0], points[-1]]
    return plain_rdp(points[: where + 1], epsilon)[:-1] + plain_rdp(points[where:], epsilon)


def plain_walk(points: list[tuple[float, float]], spacing: float) -> list[tuple[float, float]]:
    """Walk along the line and drop a point at every multiple of the spacing."""
    placed, walked, due = [points[0]], 0.0, spacing
    for start, end in pairwise(points):
        length = math.dist(start, end)
        while due < walked + length:
            share = (due - walked) / length
            placed.append(tuple(s + share * (e - s) for s, e in zip(start, end, strict=True)))
            due += spacing
        walked += length
    return [*placed, points[-1]]


def scrawl(seed: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 6, (count, 2)).cumsum(0)


def test_three_points_by_hand():
    bend = np.array([[0.0, 0.0], [1.0, 0.5], [2.0, 0.0]])
    assert rdp_keep(bend, 0.4).tolist() == [True, True, True]
    assert rdp_keep(bend, 0.5).tolist() == [True, False, True]  # at the tolerance is not beyond it


def test_distance_is_to_the_infinite_line():
    """Point 1 lies on the line through the ends, beyond them: the line is 0 away, the segment 5."""
    hook = np.array([[0.0, 0.0], [-5.0, 0.0], [2.0, 0.0]])
    assert rdp_keep(hook, 2.0).tolist() == [True, False, True]


def test_a_closed_stroke_is_measured_from_its_start():
    loop = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0], [0.0, 0.0]])
    assert rdp_keep(loop, 1.0).tolist() == [True] * 5
    assert rdp_keep(loop, 5.0).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("epsilon", [0.5, 2.0, 20.0])
def test_iteration_is_recursion(seed, epsilon):
    points = scrawl(seed)
    assert points[rdp_keep(points, epsilon)].tolist() == [
        list(p) for p in plain_rdp(list(map(tuple, points.tolist())), epsilon)
    ]


def test_a_stroke_of_any_length_is_safe():
    zigzag = np.stack([np.arange(20_000.0), np.arange(20_000) % 2 * 10.0], 1)
    assert rdp_keep(zigzag[:3000], 1.0).all()
    assert rdp_keep(zigzag * [1, 0], 1.0).sum() == 2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spacing", [0.3, 1.0, 7.5])
def test_resampling_is_walking(seed, spacing):
    points = scrawl(seed, 12)
    walked = plain_walk(list(map(tuple, points.tolist())), spacing)
    np.testing.assert_allclose(resample(points, spacing), walked, rtol=0, atol=1e-9)


def test_resampling_by_hand():
    corner = np.array([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0], [2.0, 1.5]])
    assert resample(corner, 1.0).tolist() == [[0, 0], [1, 0], [2, 0], [2, 1], [2, 1.5]]
    dot = np.array([[4.0, 4.0], [4.0, 4.0], [4.0, 4.0]])
    assert resample(dot, 1.0).tolist() == [[4, 4], [4, 4]]


def test_simplified_drawings_stand_at_the_corner():
    sketch = Sketch.from_strokes(
        [scrawl(1) + 300, scrawl(2) - 50], label="scrawl", parts=("a", "b")
    )
    thin = simplify(sketch)
    assert thin.box[:2].tolist() == [0, 0]
    assert thin.box[2:].max() == 255
    assert (thin.points == np.rint(thin.points)).all()
    assert (thin.label, thin.parts, thin.times) == ("scrawl", ("a", "b"), None)


def test_a_dot_stays_a_dot():
    thin = simplify(Sketch.from_strokes([[(7, 9), (7, 9), (7, 9)]]))
    assert thin.points.tolist() == [[0, 0], [0, 0]]


@pytest.fixture(scope="module")
def pairs(data) -> list[tuple[Sketch, list]]:
    """QuickDraw's drawings, raw and as QuickDraw simplified them.

    QuickDraw keeps a dot as two equal points; a `Sketch` has no stroke of one point, so the dots
    of the raw drawings are doubled here (readers drop them).
    """
    tables = []
    for kind in ("raw", "simplified"):
        with gzip.open(data / "quickdraw_30_mini" / f"{kind}.ndjson.gz") as stream:
            tables.append({r["key_id"]: r["drawing"] for r in map(json.loads, stream)})
    raw, simplified = tables
    both = [key for key in raw if key in simplified]
    doubled = {k: [[c * 2 if len(c) == 1 else c for c in s[:2]] for s in raw[k]] for k in both}
    return [
        (Sketch.from_strokes([np.transpose(s) for s in doubled[k]], name=k), simplified[k])
        for k in both
    ]


def as_integers(sketch: Sketch) -> list[list[list[int]]]:
    return [stroke.T.astype(int).tolist() for stroke in sketch.strokes]


def test_every_drawing_comes_out_as_in_quickdraws_files(pairs):
    assert len(pairs) == 736
    agreed = sum(as_integers(simplify(raw)) == thin for raw, thin in pairs)
    assert agreed == 736  # all of them, each integer of each stroke


def test_the_agreement_can_fail(pairs):
    """A known wrong version: the same steps, but the scale is worked out before it is applied."""

    def wrong(raw: Sketch) -> Sketch:
        scale = 255 / max(raw.size)
        corner = [(stroke - raw.box[:2]) * scale for stroke in raw.strokes]
        dense = [resample(stroke, 1.0) for stroke in corner]
        return raw.with_points([np.rint(d[rdp_keep(d, 2.0)]) for d in dense])

    some = pairs[:400]
    assert 0 < sum(as_integers(wrong(raw)) == thin for raw, thin in some) < len(some)


def test_quickdraws_files_agree_with_plain_lists(pairs):
    """The whole pipeline again, on lists: the same but where points tie and rounding decides."""
    agreed, strokes = 0, 0
    for raw, thin in pairs[:60]:
        (left, top), side = raw.box[:2].tolist(), max(raw.size)
        for stroke, expected in zip(raw.strokes, thin, strict=True):
            corner = [((x - left) * 255 / side, (y - top) * 255 / side) for x, y in stroke.tolist()]
            plain = plain_rdp(plain_walk(corner, 1.0), 2.0)
            agreed += [list(map(round, axis)) for axis in zip(*plain, strict=True)] == expected
            strokes += 1
    assert agreed / strokes > 0.95
