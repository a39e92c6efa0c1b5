import itertools

import numpy as np
import pytest

import sightline as sl
from sightline.tasks.healing.pieces import Piece, length_of, whole
from sightline.tasks.healing.stretches import cuts, sensitivities, stretches_of

STRAIGHT = np.array([(float(i), 0.0) for i in range(17)])


def test_a_corner_is_a_cut():
    line = np.array([(0, 0), (1, 0), (2, 0), (2, 1), (2, 2.0)])
    assert cuts(line, side=17.0).tolist() == [0, 2, 4]


def test_a_wobble_is_no_corner():
    line = np.array([(0, 0), (1, 0.1), (2, 0), (3, 0.1), (4, 0.0)])
    assert cuts(line, side=40.0).tolist() == [0, 4]


def test_a_gentle_bend_is_no_corner():
    def bent(x, y):
        return np.array([(i, 0) for i in range(7)] + [(6 + i * x, i * y) for i in range(1, 13)])

    assert cuts(bent(0.8, 0.6), side=80.0).tolist() == [0, 9, 18]  # 37 degrees: cut in the middle
    assert cuts(bent(0.6, 0.8), side=80.0).tolist() == [0, 6, 18]  # 53 degrees


def test_a_long_line_is_cut_every_eighth_of_the_longest_side():
    assert cuts(STRAIGHT, side=16.0).tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert cuts(STRAIGHT, side=32.0).tolist() == [0, 4, 8, 12, 16]


def test_a_stroke_has_twelve_bits_at_most_where_it_has_no_corners():
    line = np.array([(float(i), 0.0) for i in range(121)])
    assert cuts(line, side=10.0).tolist() == list(range(0, 121, 10))


def test_two_points_have_no_cut_between():
    assert cuts(np.array([(0, 0), (99, 0.0)]), side=9.0).tolist() == [0, 1]


def test_points_in_one_place():
    assert cuts(np.ones((4, 2)), side=9.0).tolist() == [0, 3]


def test_stretches_are_all_runs_but_the_whole():
    sketch = sl.Sketch.from_strokes([STRAIGHT, [(0, 16), (16, 16)]])
    found = stretches_of(sketch, (Piece(0, 0, 8), Piece(0, 10, 12), Piece(1, 0, 1)))
    assert len(found) == 4 * 5 // 2 - 1  # of 4 bits; the two others have 1 bit each
    assert Piece(0, 2, 6) in found
    assert Piece(0, 0, 8) not in found
    assert {piece.stroke for piece in found} == {0}


def test_sensitivity_is_the_sum_over_the_points_in_the_stretch():
    sketch = sl.Sketch.from_strokes([STRAIGHT, [(0, 16), (16, 16)]])
    sizes = np.arange(19.0)
    runs = [Piece(0, 0, 2), Piece(0, 2, 6), Piece(1, 0, 1)]
    told = sensitivities(sketch, runs, whole(sketch), sketch, sizes)
    assert told.tolist() == [0 + 1 + 2, 2 + 3 + 4 + 5 + 6, 17 + 18]


def test_points_that_a_model_reads_stand_where_their_share_of_the_line_is():
    sketch = sl.Sketch.from_strokes([STRAIGHT])
    read = sl.Sketch.from_strokes([[(-0.74, 0), (0.0, 0), (0.37, 0), (0.74, 0)]])
    runs = [Piece(0, 0, 7), Piece(0, 7, 9), Piece(0, 10, 16)]
    told = sensitivities(sketch, runs, whole(sketch), read, np.array([1.0, 10.0, 100.0, 1000.0]))
    assert told.tolist() == [1.0, 10.0, 1100.0]


def test_lengths_of_bits_add_up():
    luck = np.random.default_rng(3)
    sketch = sl.Sketch.from_strokes([luck.random((40, 2)).cumsum(0)])
    places = cuts(sketch.strokes[0], max(sketch.size)).tolist()
    bits = [Piece(0, a, b) for a, b in itertools.pairwise(places)]
    assert length_of(sketch, bits) == pytest.approx(length_of(sketch, whole(sketch)))
    assert len(bits) > 3
