"""Labels of strokes, by part, number and place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sightline import sketchxainet
from sightline.alignment.stroke_labels import label_index, label_parts, label_region, share_inside
from sightline.errors import AlignmentError
from sightline.models.raster import sketch_cnn
from sightline.sketch.collection import read_collection
from sightline.sketch.sketch import Sketch
from toys import scribble, unchecked

RAILS = Sketch.from_strokes(
    [[(0, 0), (8, 0)], [(0, 2), (8, 2)], [(0, 4), (4, 4), (4, 8)]],
    name="rails",
    parts=("top", "middle", "top"),
)
ARROW = [(0, 0), (10, 5), (0, 10), (3, 5)]
"""A lasso with a notch: it is not convex."""


# --- by hand --------------------------------------------------------------------------------------


def test_by_part():
    label = label_parts(RAILS, must=["top"], must_not=["middle"], author="ada", weight=2.0)
    assert label.item == "rails"
    assert label.must.tolist() == [1, 0, 1]
    assert label.must_not.tolist() == [0, 1, 0]
    assert (label.author, label.weight, label.of_strokes) == ("ada", 2.0, True)
    assert label_parts(RAILS, must=["middle"]).must_not is None


def test_by_number():
    label = label_index(RAILS, must=[0, 2], must_not=[1])
    assert label.must.tolist() == [1, 0, 1]
    assert label.must_not.tolist() == [0, 1, 0]
    assert label_index(RAILS, must_not=[1]).must is None


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ([-1, -1, 9, 1], [1, 0, 0]),
        ([2, -1, 4, 3], [0.25, 0.25, 0]),
        ([-1, 3, 5, 6], [0, 0, 0.75]),
        ([(1, -1), (5, -1), (5, 9), (1, 9)], [0.5, 0.5, 7 / 8]),
        ([(5, 9), (5, -1), (1, -1), (1, 9)], [0.5, 0.5, 7 / 8]),  # the other way round
        ([(0, -1), (8, -1), (0, 7)], [7 / 8, 5 / 8, 3 / 8]),  # x + y < 7
    ],
)
def test_share_of_length_in_a_box_or_a_lasso(region, expected):
    assert_allclose(share_inside(RAILS, np.array(region, float)), expected, atol=1e-12)


def test_share_of_length_in_a_painted_mask():
    mask = np.zeros((6, 9), dtype=bool)
    mask[0, 2:4], mask[2], mask[4, :5] = True, True, True
    assert_allclose(
        share_inside(RAILS, mask), [0.25, 1, 0.625]
    )  # y from 5 on is below the mask's ink
    assert label_region(RAILS, must=mask).must.tolist() == [0.25, 1, 0.625]


def test_small_shares_can_be_left_out():
    label = label_region(RAILS, must=[2, -1, 4, 5], must_not=[-1, 1, 9, 3], least=0.5)
    assert label.must is None  # 0.25, 0.25 and 0.25
    assert label.must_not.tolist() == [0, 1, 0]


def test_a_dot_is_in_or_out():
    dots = Sketch.from_strokes([[(1, 1), (1, 1)], [(7, 7), (7, 7)]], name="dots")
    assert share_inside(dots, [0, 0, 3, 3]).tolist() == [1, 0]
    mask = np.zeros((8, 8), dtype=bool)
    mask[7, 7] = True
    assert share_inside(dots, mask).tolist() == [0, 1]


# --- oracle and laws ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_lasso_against_many_points(seed):
    """Points strewn along the line, each tested by matplotlib's own path."""
    from matplotlib.path import Path

    drawing = scribble(seed, 5).transform(5, (5, 5))
    told = share_inside(drawing, ARROW)
    for share, stroke in zip(told, drawing.strokes, strict=True):
        lengths = np.linalg.norm(np.diff(stroke, axis=0), axis=1)
        ends = np.concatenate([[0], lengths.cumsum()])
        along = (np.arange(20_000) + 0.5) / 20_000 * ends[-1]
        points = np.stack([np.interp(along, ends, stroke[:, k]) for k in (0, 1)], 1)
        assert share == pytest.approx(Path(ARROW).contains_points(points).mean(), abs=2e-3)
    assert 0 < told.mean() < 1


def test_a_box_is_a_lasso_and_a_mask():
    drawing = scribble(3, 6).transform(10, (12, 12))
    box = [6, 7, 15, 17]
    mask = np.zeros((30, 30), dtype=bool)
    mask[7:17, 6:15] = True
    lasso = [(6, 7), (6, 17), (15, 17), (15, 7)]
    assert_allclose(share_inside(drawing, box), share_inside(drawing, lasso), atol=1e-12)
    assert_allclose(share_inside(drawing, box), share_inside(drawing, mask), atol=0.05)


def test_shares_of_two_halves_add_up():
    drawing = scribble(1, 6)
    left, right = share_inside(drawing, [-2, -2, 0.1, 2]), share_inside(drawing, [0.1, -2, 2, 2])
    assert_allclose(left + right, 1, atol=1e-9)


@pytest.mark.parametrize("recogniser", [lambda n: sketchxainet("nano", n), sketch_cnn])
def test_a_model_reads_the_strokes_that_were_labelled(data, recogniser):
    """Preparing simplifies and scales; numbers, order and parts of strokes stay."""
    model = recogniser(("duck", "pig"))
    for drawing in read_collection(data / "spg_quickdraw_parts" / "pig.ndjson.gz")[:20]:
        seen = model.prepare(drawing)
        assert len(seen) == len(drawing)
        assert seen.parts == drawing.parts
        scale = 1.48 / max(drawing.size)
        middle = (drawing.box[:2] + drawing.box[2:]) / 2
        for stroke, kept in zip(drawing.strokes, seen.strokes, strict=True):
            assert_allclose(kept[0], (stroke[0] - middle) * scale, atol=0.02)


# --- what is refused ------------------------------------------------------------------------------


def test_refusals():
    bare = scribble(1, 3)
    nameless = Sketch(bare.strokes)
    with pytest.raises(AlignmentError, match="does not say which part"):
        label_parts(bare, must=["body"])
    with pytest.raises(AlignmentError, match="rails: unknown part 'tip'; did you mean 'top'"):
        label_parts(RAILS, must=["tip"])
    with pytest.raises(AlignmentError, match="rails has no stroke 3: it has 3, from 0"):
        label_index(RAILS, must=[3])
    with pytest.raises(AlignmentError, match="no stroke -1"):
        label_index(RAILS, must_not=[-1])
    with pytest.raises(AlignmentError, match="has no name"):
        label_index(nameless, must=[0])
    with pytest.raises(AlignmentError, match="no stroke of rails is labelled"):
        label_region(RAILS, must=[100, 100, 101, 101])
    with pytest.raises(AlignmentError, match="no stroke of rails is labelled"):
        label_index(RAILS)
    for wrong in ([1, 2, 3], [[0, 0], [1, 1]], np.zeros((4, 5))):
        with unchecked(), pytest.raises(AlignmentError, match="a region of shape"):
            share_inside(RAILS, wrong)
    with pytest.raises(AlignmentError, match="no finite number"):
        share_inside(RAILS, [0, 0, np.nan, 1])
