import numpy as np
import pytest

import sightline as sl
from sightline.errors import TaskError
from sightline.tasks.healing.pieces import (
    Piece,
    drawn,
    length_of,
    name_of,
    whole,
    without,
)

TEN = [(i, 0) for i in range(10)]


def test_a_drawing_is_its_strokes_from_end_to_end(drawing):
    assert whole(drawing) == (Piece(0, 0, 1), Piece(1, 0, 2), Piece(2, 0, 3), Piece(3, 0, 4))
    assert [s.tolist() for s in drawn(drawing, whole(drawing)).strokes] == [
        s.tolist() for s in drawing.strokes
    ]


def test_out_of_the_middle_two_are_left_and_they_keep_the_points_of_the_cut():
    left = without((Piece(0, 0, 9),), Piece(0, 3, 5))
    assert left == (Piece(0, 0, 3), Piece(0, 5, 9))


def test_at_an_end_one_is_left():
    assert without((Piece(0, 0, 9),), Piece(0, 0, 4)) == (Piece(0, 4, 9),)
    assert without((Piece(0, 0, 9),), Piece(0, 4, 9)) == (Piece(0, 0, 4),)


def test_a_whole_piece_leaves_nothing_of_itself():
    assert without((Piece(0, 0, 9), Piece(1, 2, 3)), Piece(0, 0, 9)) == (Piece(1, 2, 3),)


def test_order_of_drawing_stays():
    pieces = (Piece(0, 0, 9), Piece(1, 0, 9), Piece(2, 0, 9))
    left = without(pieces, Piece(1, 4, 5))
    assert left == (Piece(0, 0, 9), Piece(1, 0, 4), Piece(1, 5, 9), Piece(2, 0, 9))


def test_line_is_conserved():
    sketch = sl.Sketch.from_strokes([TEN, [(0, 5), (3, 9)]])
    luck = np.random.default_rng(0)
    pieces, gone = whole(sketch), []
    for _ in range(8):
        cuttable = [p for p in pieces if p.stroke == 0]
        if not cuttable:
            break
        among = cuttable[luck.integers(len(cuttable))]
        first, last = sorted(luck.choice(np.arange(among.first, among.last + 1), 2, replace=False))
        gone.append(Piece(0, int(first), int(last)))
        pieces = without(pieces, gone[-1])
    total = length_of(sketch, whole(sketch))
    assert length_of(sketch, pieces) + length_of(sketch, gone) == pytest.approx(total, abs=1e-12)
    assert len(gone) > 2


def test_times_and_part_names_go_along():
    sketch = sl.Sketch.from_strokes(
        [TEN, [(0, 5), (3, 9)]],
        times=[list(range(10)), [20, 30]],
        parts=("rail", "post"),
        label="fence",
    )
    left = drawn(sketch, without(whole(sketch), Piece(0, 3, 7)))
    assert left.parts == ("rail", "rail", "post")
    assert [t.tolist() for t in left.times] == [[0, 1, 2, 3], [7, 8, 9], [20, 30]]
    assert left.label == "fence"
    assert left.strokes[1].tolist() == [[7, 0], [8, 0], [9, 0]]


def test_pieces_that_touch_at_a_point_do_not_meet():
    assert not Piece(0, 0, 4).meets(Piece(0, 4, 8))
    assert Piece(0, 0, 5).meets(Piece(0, 4, 8))
    assert not Piece(1, 0, 5).meets(Piece(0, 4, 8))


def test_names():
    sketch = sl.Sketch.from_strokes([TEN], parts=("rail",))
    assert name_of(sketch, Piece(0, 0, 9)) == "stroke 0 (rail)"
    assert name_of(sketch, Piece(0, 0, 8)) == "stroke 0 (rail), points 0 to 8"


@pytest.mark.parametrize("place", [(0, 3, 3), (0, 4, 3), (-1, 0, 3), (0, -1, 3)])
def test_a_piece_has_two_points(place):
    with pytest.raises(TaskError, match="it needs at least two points, counted from 0"):
        Piece(*place)


def test_what_is_gone_cannot_go_again():
    left = without((Piece(0, 0, 9),), Piece(0, 3, 5))
    with pytest.raises(TaskError, match="points 4 to 7 of stroke 0 are not all there"):
        without(left, Piece(0, 4, 7))


def test_a_drawing_of_nothing_or_of_what_it_does_not_have(drawing):
    with pytest.raises(TaskError, match="nothing would be left"):
        drawn(drawing, [])
    with pytest.raises(TaskError, match="has no stroke 7"):
        drawn(drawing, [Piece(7, 0, 1)])
    with pytest.raises(TaskError, match="has no stroke 0, points 0 to 2"):
        drawn(drawing, [Piece(0, 0, 2)])
