"""Change of ink and shape: by hand, against a plain program, and its laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sightline.errors import DrawingError, TaskError
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.change import (
    Change,
    change_between,
    ink_length,
    lines_apart,
)
from toys import scribble

SQUARE = [(0, 0), (8, 0), (8, 8), (0, 8), (0, 0)]


def test_a_line_moved_aside_is_that_far_apart():
    before = Sketch.from_strokes([[(0, 0), (100, 0)]])
    after = Sketch.from_strokes([[(0, 3), (100, 3)]])
    change = change_between(before, after)
    assert change.mean_distance == pytest.approx(3)
    assert change.largest_distance == pytest.approx(3)
    assert change.mean_share == pytest.approx(0.03)
    assert (change.length_before, change.length_after, change.length_share) == (100, 100, 0)


def test_a_stroke_more_is_as_far_as_its_farthest_point_and_longer_by_its_length():
    before = Sketch.from_strokes([[(0, 0), (10, 0)]])
    after = Sketch.from_strokes([[(0, 0), (10, 0)], [(5, 0), (5, 4)]])
    change = change_between(before, after)
    assert change.largest_distance == pytest.approx(4)
    assert change.length_share == pytest.approx(0.4)
    assert change_between(after, before).length_share == pytest.approx(-4 / 14)
    # one way there is nothing; the other way 10 parts at 0 and 4 parts at 0 to 4, 2 in the mean
    assert change.mean_distance == pytest.approx(0.5 * (4 * 2 / 14), rel=0.05)


def test_ink_is_none_of_the_same_and_all_of_what_is_elsewhere():
    before = Sketch.from_strokes([[(0, 0), (10, 0)], [(0, 10), (10, 10)]])
    assert change_between(before, before).ink == 0
    elsewhere = Sketch.from_strokes([[(0, 4), (10, 4)], [(0, 6), (10, 6)]])
    assert change_between(before, elsewhere).ink == 1
    half = Sketch.from_strokes([[(0, 0), (10, 0)]])
    assert change_between(before, half).ink == pytest.approx(0.5)


def test_it_is_as_many_points_one_by_one_say():
    before, after = scribble(1, 4), scribble(2, 3)

    def nearest(point, sketch):  # many points on each line, one by one
        return min(
            np.linalg.norm(np.linspace(a, b, 2000) - point, axis=1).min()
            for stroke in sketch.strokes
            for a, b in pairwise(stroke)
        )

    ends = [end for stroke in before.strokes for end in stroke[[0, -1]]]
    found = lines_apart(before, after, 1e9)  # so far apart that only the ends of strokes are left
    np.testing.assert_allclose(found, [nearest(end, after) for end in ends], atol=2e-3)
    # as close as they are in use, every bend of a line is next to a sample
    bends = max(nearest(point, after) for point in before.points)
    assert lines_apart(before, after, max(before.size)).max() >= bends - 1.48 / 128


def test_the_canvas_and_the_order_do_not_matter():
    before, after = scribble(3, 4), scribble(4, 4)
    change = change_between(before, after)
    moved = [sketch.transform(30, (7, -9)) for sketch in (before, after)]
    other = change_between(*moved)
    assert other.mean_share == pytest.approx(change.mean_share)
    assert other.largest_share == pytest.approx(change.largest_share)
    assert other.ink == pytest.approx(change.ink, abs=1e-9)
    turned = before.select([3, 1, 0, 2])
    assert change_between(turned, after).mean_distance == pytest.approx(change.mean_distance)
    back = change_between(after, before)
    assert back.mean_distance == pytest.approx(change.mean_distance, rel=0.02)
    assert back.largest_distance == pytest.approx(change.largest_distance, rel=0.02)


def test_lengths_are_of_lines():
    sketch = Sketch.from_strokes([SQUARE, [(0, 0), (3, 4)]])
    assert stroke_lengths(sketch).tolist() == [32, 5]
    assert ink_length(sketch) == 37


def test_a_change_is_told_and_read():
    change = change_between(scribble(1), scribble(2))
    assert Change.from_dict(change.as_dict()) == change
    assert "of the ink differs at 64 pixels" in str(change)
    with pytest.raises(TaskError, match="no change of a drawing"):
        Change.from_dict({"side": 1})
    with pytest.raises(TaskError, match="ink of a change is -1"):
        Change(1.0, 1.0, 1.0, -1.0, 0.0, 0.0)


def test_a_drawing_without_size_is_refused():
    dot = Sketch.from_strokes([[(1, 1), (1, 1)]])
    with pytest.raises(DrawingError, match="no size"):
        change_between(dot, scribble())
