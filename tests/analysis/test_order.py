import numpy as np
import pytest
import torch

import sightline as sl
from sightline.analysis import order as o
from sightline.errors import ModelError, SightlineError
from toys import picture_net, scribble, stroke_net


def marks(count):
    """A drawing whose stroke i stands at x = i."""
    return sl.Sketch.from_strokes([[(i, 0), (i, 1)] for i in range(count)])


def places(sketch):
    return [int(stroke[0, 0]) for stroke in sketch.strokes]


def test_similarity_worked_by_hand():
    net = stroke_net()
    with torch.no_grad():
        net.order.weight.zero_()
        net.order.weight[0, 0], net.order.weight[1, 0], net.order.weight[2, 1] = 2.0, -3.0, 5.0
        net.order.weight[3, :2] = 1.0
    half = 0.5**0.5
    expected = [[1, -1, 0, half], [-1, 1, 0, -half], [0, 0, 1, half], [half, -half, half, 1]]
    assert o.order_similarity(net, rows=4) == pytest.approx(np.array(expected), abs=1e-9)


def test_similarity_is_symmetric_with_ones_on_the_diagonal():
    matrix = o.order_similarity(stroke_net())
    assert matrix == pytest.approx(matrix.T, abs=1e-15)
    assert np.diag(matrix) == pytest.approx(np.ones(20), abs=1e-12)
    assert np.abs(matrix).max() <= 1


def test_use_counts_drawings_that_are_long_enough():
    assert o.order_use([marks(1), marks(3), marks(3)], rows=5).tolist() == [3, 2, 2, 0, 0]


def test_models_without_order_are_refused():
    with pytest.raises(ModelError, match="RasterModel has no order embedding; give a SketchXAINet"):
        o.order_similarity(picture_net())
    with pytest.raises(ModelError, match=r"trained without order \(use_order=False\)"):
        o.order_similarity(stroke_net(use_order=False))
    with pytest.raises(SightlineError, match="25 rows of an order table of 24"):
        o.order_similarity(stroke_net(), rows=25)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (o.reversed_order, [3, 2, 1, 0]),
        (o.first(1), [0]),
        (o.first(3), [0, 1, 2]),
        (o.last(3), [1, 2, 3]),
        (o.last(9), [0, 1, 2, 3]),
        (o.first(9), [0, 1, 2, 3]),
        (o.first_share(0.25), [0]),
        (o.first_share(0.5), [0, 1]),
        (o.first_share(0.51), [0, 1, 2]),
        (o.last_share(0.75), [1, 2, 3]),
        (o.last_share(0.01), [3]),
        (o.first_share(1.0), [0, 1, 2, 3]),
    ],
)
def test_what_is_kept_and_in_which_order(change, expected):
    assert places(change([marks(4)])[0]) == expected


def test_a_share_is_not_spoilt_by_rounding():
    assert 0.28 * 25 > 7
    assert len(o.first_share(0.28)([marks(25)])[0]) == 7


def test_shuffles_keep_every_stroke_and_differ_by_seed():
    many = [marks(8) for _ in range(50)]
    shuffled = [places(s) for s in o.shuffled(0)(many)]
    assert all(sorted(p) == list(range(8)) for p in shuffled)
    assert shuffled == [places(s) for s in o.shuffled(0)(many)]
    assert shuffled != [places(s) for s in o.shuffled(1)(many)]
    # each stroke comes first about as often: 400 / 8 = 50 of 400
    firsts = np.bincount([places(s)[0] for s in o.shuffled(2)([marks(8)] * 400)], minlength=8)
    assert firsts.min() > 25
    assert firsts.max() < 80


def test_strokes_at_random_keep_their_order():
    kept = [places(s) for s in o.at_random(0.5, 0)([marks(6)] * 20)]
    assert all(len(p) == 3 and p == sorted(p) for p in kept)
    assert len({tuple(p) for p in kept}) > 5


def test_a_shuffle_keeps_parts_with_their_strokes():
    sketch = sl.Sketch(marks(3).strokes, parts=("0", "1", "2"))
    turned = o.shuffled(4)([sketch])[0]
    assert list(turned.parts) == [str(p) for p in places(turned)]


def test_reframed_drawings_fill_the_frame():
    alone = o.reframed(o.first(1))([scribble(3)])[0]
    assert max(alone.size) == pytest.approx(1.48)
    dot = sl.Sketch.from_strokes([[(0.1, 0.1), (0.1, 0.1)], [(0, 0), (1, 1)]])
    assert o.reframed(o.first(1))([dot])[0].strokes[0].tolist() == [[0.1, 0.1], [0.1, 0.1]]


@pytest.mark.parametrize(
    ("change", "value", "words"),
    [
        (o.first, 0, "0 strokes make no drawing"),
        (o.last, -1, "-1 strokes make no drawing"),
        (o.first_share, 0.0, "a share of 0.0 of the strokes: give one above 0"),
        (o.last_share, 1.5, "a share of 1.5"),
    ],
)
def test_impossible_cuts_are_refused(change, value, words):
    with pytest.raises(SightlineError, match=words):
        change(value)
