"""Planted strokes are foreign, and nothing but what they show gives them away."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.benchmark.planted import LARGEST_OVERLAP, plant
from sightline.errors import SightlineError
from sightline.sketch.lengths import line_length
from sightline.sketch.sketch import Sketch
from toys import scribble


def labelled(seed, label, strokes=4):
    return Sketch(scribble(seed, strokes).strokes, label=label)


DONORS = [labelled(100 + i, "ring" if i % 2 else "cross") for i in range(12)]


@pytest.mark.parametrize("seed", range(8))
def test_a_planted_stroke(seed):
    host = labelled(seed, "ring")
    planted = plant(host, DONORS, seed=seed)
    stroke = planted.sketch.strokes[planted.index]
    rest = [s for i, s in enumerate(planted.sketch.strokes) if i != planted.index]
    for own, kept in zip(host.normalise().strokes, rest, strict=True):
        np.testing.assert_array_equal(own, kept)
    assert planted.donor == "cross"
    assert planted.overlap <= LARGEST_OVERLAP
    lengths = [line_length(s) for s in host.normalise().strokes]
    assert min(abs(line_length(stroke) - n) for n in lengths) < 1e-9
    shape = stroke - stroke[0]
    scales = {
        round(float(np.linalg.norm(shape) / np.linalg.norm(s - s[0])), 9)
        for d in DONORS
        if d.label == "cross"
        for s in d.strokes
        if len(s) == len(stroke)
        and np.allclose(shape * np.linalg.norm(s - s[0]), (s - s[0]) * np.linalg.norm(shape))
    }
    assert len(scales) == 1  # one donor's stroke, scaled and moved


def test_the_others_stay_where_the_model_sees_them():
    host = labelled(3, "ring")
    planted = plant(host, DONORS)
    again = planted.sketch.normalise()
    np.testing.assert_allclose(again.points, planted.sketch.points, atol=1e-12)


def test_luck_is_the_drawing_s_own():
    host = labelled(1, "ring")
    one, two = plant(host, DONORS, seed=4), plant(host, DONORS, seed=4)
    assert (one.sketch.points == two.sketch.points).all()
    other = plant(host, DONORS, seed=5)
    assert other.sketch.points.shape != one.sketch.points.shape or not np.allclose(
        other.sketch.points, one.sketch.points
    )


def test_place_in_the_order_and_length_give_nothing_away():
    planted = [plant(labelled(i, "ring"), DONORS, seed=1) for i in range(60)]
    found = [p for p in planted if p is not None]
    places = np.bincount([p.index for p in found], minlength=5)
    assert (places > 2).all()
    ranks = [
        sorted(line_length(s) for s in p.sketch.strokes).index(
            line_length(p.sketch.strokes[p.index])
        )
        for p in found
    ]
    assert 1.2 < np.mean(ranks) < 2.8  # of 0 to 4


def test_no_room():
    full = Sketch.from_strokes([[(x / 40, y) for y in (0, 1)] for x in range(41)], label="ring")
    long = [Sketch.from_strokes([[(0, 0), (1, 0.4)]], label="cross")]
    assert plant(full, long) is None


def test_nothing_foreign():
    with pytest.raises(SightlineError, match="another label than 'ring'"):
        plant(labelled(0, "ring"), [labelled(1, "ring")])
