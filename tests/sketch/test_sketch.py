"""The drawing itself: validated once, frozen, and where its points stand."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.errors import DrawingError
from sightline.sketch.sketch import Sketch

HOUSE = [[(0, 4), (0, 8), (6, 8), (6, 4)], [(0, 4), (3, 0), (6, 4)]]


def timed_house() -> Sketch:
    return Sketch.from_strokes(
        HOUSE, times=[[0, 10, 20, 30], [50, 60, 75]], parts=("wall", "roof"), label="house"
    )


def walks(seed: int, strokes: int = 4) -> Sketch:
    luck = np.random.default_rng(seed)
    return Sketch.from_strokes(
        [luck.normal(0, 50, (luck.integers(2, 9), 2)) for _ in range(strokes)]
    )


def test_a_house_by_hand():
    house = Sketch.from_strokes(HOUSE, label="house")
    assert len(house) == 2
    assert house.size == (6.0, 8.0)
    assert house.box.tolist() == [0, 0, 6, 8]
    assert house.points.tolist() == [list(point) for stroke in HOUSE for point in stroke]
    assert repr(house) == "Sketch(house: 2 strokes, 7 points, 6 x 8)"


def test_points_are_copied_and_cannot_be_written():
    mine = np.array(HOUSE[0], dtype=float)
    house = Sketch.from_strokes([mine])
    mine[0] = 99
    assert house.strokes[0][0].tolist() == [0, 4]
    with pytest.raises(ValueError, match="read-only"):
        house.strokes[0][0] = 1.0


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([], "toy is empty: a drawing needs at least 1 stroke"),
        ([[(0, 0)]], "stroke 0 of toy has 1; drop it with on_short='drop'"),
        (
            [[(0, 0), (1, np.nan)]],
            r"point 1 of stroke 0 of toy is \[1.0, nan\]; coordinates must be",
        ),
        ([[(0, 0), (None, 1)]], r"point 1 of stroke 0 of toy is \[nan, 1.0\]"),
        (
            [HOUSE[0], [(0, 0), (0, -2e6)]],
            r"point 1 of stroke 1 of toy .* beyond 1e\+06 are refused",
        ),
        ([[(0, 0), (10**400, 0)]], "stroke 0 of toy is not a list of points"),
        ([[(0, 0, 0), (1, 1, 1)]], r"stroke 0 of toy has shape \[2, 3\]; expected \[points, 2\]"),
        (
            [[(0, 0), (1,)]],
            r"stroke 0 of toy is not a list of points: expected numbers \[points, 2\]",
        ),
        ([["ab", "cd"]], "stroke 0 of toy is not a list of points"),
        ([7], r"stroke 0 of toy has shape \[\]"),
    ],
)
@pytest.mark.parametrize("door", ["from_strokes", "with_points"])
def test_bad_points_are_refused(strokes, message, door):
    with pytest.raises(DrawingError, match=message):
        if door == "from_strokes":
            Sketch.from_strokes(strokes, name="toy")
        else:
            Sketch.from_strokes(HOUSE, name="toy").with_points(strokes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"parts": ("wall",)}, "has 2 strokes but 1 part names; give one name a stroke"),
        ({"times": [[0, 1, 2, 3]]}, "has 2 strokes but 1 lists of times"),
        ({"times": [[0, 1, 2, 3], [4, 5]]}, "stroke 1 of the drawing has 3 points but 2 times"),
        ({"times": [[0, 1, 2, np.inf], [4, 5, 6]]}, "a time in stroke 0 .* is no finite number"),
    ],
)
def test_lists_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(DrawingError, match=message):
        Sketch.from_strokes(HOUSE, **fields)


def test_short_strokes_go_with_their_times_and_parts():
    sketch = Sketch.from_strokes(
        [[(5, 5)], HOUSE[1], []],
        on_short="drop",
        times=[[0], [1, 2, 3], []],
        parts=("dot", "roof", "air"),
    )
    assert len(sketch) == 1
    assert sketch.parts == ("roof",)
    assert [t.tolist() for t in sketch.times] == [[1, 2, 3]]
    with pytest.raises(DrawingError, match="is empty"):
        Sketch.from_strokes([[(5, 5)]], on_short="drop")


def test_dropping_short_strokes_does_not_hide_broken_ones():
    with pytest.raises(DrawingError, match="stroke 1 of the drawing is not a list of points"):
        Sketch.from_strokes([[(5, 5)], [(0, 0), (1,)]], on_short="drop")


def test_select_takes_times_and_parts_along():
    chosen = timed_house().select([1, 0])
    assert chosen.parts == ("roof", "wall")
    assert chosen.label == "house"
    assert chosen.times[0].tolist() == [50, 60, 75]
    assert chosen.strokes[0].tolist() == [list(point) for point in HOUSE[1]]


def test_moving_keeps_times_and_new_points_do_not():
    house = timed_house()
    moved = house.transform(2.0, (1, -1))
    assert moved.strokes[1].tolist() == [[1, 7], [7, -1], [13, 7]]
    assert moved.times[1].tolist() == [50, 60, 75]
    assert house.with_points(HOUSE).times is None
    assert house.with_points(HOUSE).parts == ("wall", "roof")


@pytest.mark.parametrize("seed", range(5))
def test_normalise_is_what_the_paper_does(seed):
    sketch = walks(seed)
    points = np.concatenate([np.asarray(stroke) for stroke in sketch.strokes])
    lowest, highest = points.min(0), points.max(0)
    plain = (points - (lowest + highest) / 2) / (highest - lowest).max() * 1.48
    np.testing.assert_allclose(sketch.normalise().points, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_normalise_forgets_place_and_size(seed):
    sketch = walks(seed)
    expected = sketch.normalise().points
    np.testing.assert_allclose(sketch.normalise().normalise().points, expected, atol=1e-12)
    moved = sketch.transform(3.7, (-20, 99))
    np.testing.assert_allclose(moved.normalise().points, expected, atol=1e-12)


def test_normalise_refuses_a_drawing_without_size():
    dot = Sketch.from_strokes([[(3, 3), (3, 3)]], name="dot")
    with pytest.raises(DrawingError, match="dot has no size: all its points are in one place"):
        dot.normalise()
