"""Scores of location inversion, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.errors import GameError
from sightline.inversion import Descent, Trajectory, inversion_scores, score_inversion
from sightline.inversion.scores import other_label
from sightline.sketch.sketch import Sketch
from toys import LABELS, scribble, stroke_net

SHORT = Descent(steps=5)


def way(sketch, answers, end, *, restart=0):
    """A walk of two strokes whose answers are given and whose second stroke ends at ``end``."""
    drawn = np.array([stroke[0] for stroke in sketch.strokes])
    places = np.repeat(drawn[None], len(answers), 0)
    places[-1, -1] = end
    odds = np.linspace(0.1, 0.9, len(answers))
    hit = [LABELS.index(name) for name in answers]
    return Trajectory(
        sketch, LABELS, "beta", "alpha", 0.9, restart, places, odds, 1 - odds, np.array(hit), odds
    )


def two(x):
    return Sketch.from_strokes([[(0, 0), (1, 0)], [(x, 0), (x, 1)]])


def test_scores_by_hand():
    a, b, dot = two(2), two(4), Sketch.from_strokes([[(0, 0), (1, 0)]])
    ways = [
        way(a, ["alpha", "beta", "beta"], (2, 2)),
        way(a, ["alpha", "alpha", "beta"], (2, -2), restart=1),
        way(b, ["beta", "alpha", "alpha"], (4, 0)),
        way(b, ["alpha", "alpha", "alpha"], (4, 0), restart=1),
        way(dot, ["beta", "beta", "beta"], (0, 0)),
        way(dot, ["beta", "beta", "beta"], (0, 0), restart=1),
    ]
    scores = inversion_scores(ways)
    assert (scores.drawings, scores.one_stroke, scores.restarts) == (2, 1, 2)
    assert scores.flipped.estimate == (1 + 0.5) / 2
    assert scores.kept.estimate == 0.5
    assert scores.at_start.estimate == 0.25
    # a: 1 and 2 steps, the lower median 1; b: never, for the walk that does not start there
    assert scores.steps_to_flip.estimate == 1
    assert scores.steps_to_flip.high == np.inf
    assert scores.distance.estimate == pytest.approx((1 + 0) / 2)  # half the way each, squared
    assert scores.spread.estimate == pytest.approx((2 + 0) / 2)
    assert scores.start_distance.estimate == 0


def test_a_single_restart_has_no_spread():
    assert inversion_scores([way(two(2), ["alpha", "beta"], (2, 0))]).spread is None


def test_nothing_to_arrange():
    dot = Sketch.from_strokes([[(0, 0), (1, 0)]])
    with pytest.raises(GameError, match="two strokes or more"):
        inversion_scores([way(dot, ["beta"], (0, 0))])


@pytest.mark.parametrize("kind", ["recovery", "transfer"])
def test_scoring_does_not_depend_on_the_order_of_the_drawings(kind):
    net = stroke_net(2).double()
    drawings = [Sketch(scribble(i, 3).strokes, label="alpha") for i in range(6)]
    one = score_inversion(net, drawings, kind, restarts=2, descent=SHORT)
    two = score_inversion(net, drawings[::-1], kind, restarts=2, descent=SHORT)
    assert one.drawings == two.drawings == 6
    assert one.distance.estimate == pytest.approx(two.distance.estimate)
    assert one.probability.estimate == pytest.approx(two.probability.estimate)
    with pytest.raises(GameError, match="neither recovery nor transfer"):
        score_inversion(net, drawings, "recover")


def test_the_other_label_is_never_the_drawing_s_own():
    drawings = [Sketch(scribble(i).strokes, label="gamma") for i in range(40)]
    others = {other_label(sketch, LABELS, 0) for sketch in drawings}
    assert others == {"alpha", "beta", "delta"}
