"""The hand: what it draws of an object, in which order, and how far from where it should be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightline.scenes import pair_hand
from sightline.scenes.pair_hand import Hand, any_hand, draw_by_hand, evenly
from sightline.scenes.pair_shapes import Lathe, Part, arc, box, curve, disc, rounded, tube, turned
from sightline.scenes.pairs import FAMILIES, draw_pair

STEADY = Hand(
    wobble=0.0, drift=0.0, stretch=0.0, rounding=0.0, gap=0.0, broken=0.0, clockwise=0.0,
    leaves_out=0.0, whim=0.0, downwards=0.0,
)  # fmt: skip
BOARD = Part("board", (box(0.13, 0.3, 0.87, 0.7),), (9, 9, 9))
BACK = Part("back", (box(0.13, 0.3, 0.87, 0.8),), (9, 9, 9))
FRONT = Part("front", (box(0.4, 0.2, 0.6, 0.5),), (9, 9, 9))
SPOT = Part("spot", (disc((0.3, 0.6), (0.05, 0.05)),), (9, 9, 9), detail=True, printed=True)


def drawing(parts, monkeypatch, **habits):
    hand = dataclasses.replace(STEADY, **habits)
    monkeypatch.setattr(pair_hand, "any_hand", lambda luck: hand)
    strokes, names = draw_by_hand(parts, np.random.default_rng(0))
    return dict(zip(names, strokes, strict=True)), names


# --- by hand --------------------------------------------------------------------------------------


def test_a_steady_hand_draws_the_outline(monkeypatch):
    """A box of 0.74 x 0.4: the drawing's frame, so each corner is where it was."""
    strokes, _ = drawing([BOARD], monkeypatch)
    stroke = strokes["board"]
    corners = np.abs(stroke[:, None] - BOARD.outlines[0]).max(-1).min(0)
    assert corners.max() < 0.012  # every corner is drawn,
    edges = np.abs(stroke[:, [0, 0, 1, 1]] - (0.13, 0.87, 0.3, 0.7)).min(1)
    assert edges.max() < 0.006  # along the edges,
    assert len(stroke) <= 10  # of which only the ends are left
    np.testing.assert_allclose(stroke[0], stroke[-1], atol=0.012)


def test_what_is_hidden_is_not_drawn(monkeypatch):
    """The upper edge of the back is cut where the front covers it: one open stroke around."""
    strokes, names = drawing([BACK, FRONT], monkeypatch)
    assert sorted(names) == ["back", "front"]
    ends = strokes["back"][[0, -1]]
    assert sorted(ends[:, 0].round(1).tolist()) == [0.4, 0.6]
    np.testing.assert_allclose(ends[:, 1], 0.3, atol=0.012)
    dense = evenly(strokes["back"], 0.005)
    assert not ((dense[:, 0] > 0.42) & (dense[:, 0] < 0.58) & (dense[:, 1] < 0.4)).any()


def test_a_printed_part_hides_nothing(monkeypatch):
    label = dataclasses.replace(FRONT, printed=True, outlines=(box(0.4, 0.3, 0.6, 0.5),))
    strokes, _ = drawing([BOARD, label], monkeypatch)
    np.testing.assert_allclose(strokes["board"][0], strokes["board"][-1], atol=0.012)


def test_large_parts_come_first_and_details_last(monkeypatch):
    _, names = drawing([SPOT, FRONT, BACK], monkeypatch)
    assert names == ["back", "front"]  # now the spot is hidden, and the front but for its top
    _, names = drawing([BACK, SPOT, FRONT], monkeypatch)
    assert names == ["back", "front", "spot"]


def test_a_forgetful_hand_leaves_details_out_and_nothing_else(monkeypatch):
    _, names = drawing([BACK, FRONT, SPOT], monkeypatch, leaves_out=1.0)
    assert names == ["back", "front"]


def test_an_outline_is_broken_in_two_if_the_hand_does_so(monkeypatch):
    _, names = drawing([BACK], monkeypatch, broken=1.0)
    assert names == ["back", "back"]


@pytest.mark.parametrize("clockwise", [0.0, 1.0])
def test_the_way_around_is_a_habit_and_the_start_is_at_the_top(monkeypatch, clockwise):
    ring = Part("ring", (disc((0.5, 0.5), (0.37, 0.37)),), (9, 9, 9))
    strokes, _ = drawing([ring], monkeypatch, clockwise=clockwise)
    x, y = strokes["ring"].T
    area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
    assert (area > 0) == bool(clockwise)  # y points down
    assert y[0] < 0.2


@pytest.mark.parametrize("habit", ["wobble", "drift"])
def test_a_clumsy_hand_misses_by_about_its_habit(monkeypatch, habit):
    """Many dashes on a board: their middles are off by the habit, one standard deviation."""
    dashes = [
        Part(f"dash {i}", (FRONT.outlines[0],), (9, 9, 9), lines=(np.array([[0.2, y], [0.8, y]]),),
             printed=True)
        for i, y in enumerate(np.linspace(0.35, 0.65, 200))
    ]  # fmt: skip
    strokes, _ = drawing([BOARD, *dashes], monkeypatch, **{habit: 0.01})
    steady, _ = drawing([BOARD, *dashes], monkeypatch)
    off = [
        evenly(strokes[f"dash {i}"], 0.01)[30, 1] - evenly(steady[f"dash {i}"], 0.01)[30, 1]
        for i in range(200)
    ]
    assert 0.007 < np.std(off) < 0.013


# --- the shapes -----------------------------------------------------------------------------------


def test_points_stand_at_equal_distances():
    path = evenly(np.array([[0.0, 0.0], [0.0, 1.0], [3.0, 1.0]]), 0.5)
    assert len(path) == 9
    assert path[[0, 2, 8]].tolist() == [[0, 0], [0, 1], [3, 1]]


def test_a_tube_is_as_wide_as_asked():
    band = tube(np.array([[0.0, 0.0], [4.0, 0.0]]), (2.0, 1.0))
    assert band.tolist() == [[0, 1], [4, 0.5], [4, -0.5], [0, -1]]


def test_a_curve_passes_through_its_points():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    assert curve(points, steps=4)[::4].tolist() == points.tolist()


def test_an_arc_begins_at_the_right_and_turns_clockwise_as_seen():
    path = arc((1.0, 1.0), (2.0, 1.0), 0, np.pi, steps=3)
    np.testing.assert_allclose(path, [[3, 1], [1, 2], [-1, 1]], atol=1e-12)


def test_rounding_cuts_corners_and_keeps_the_box():
    soft = rounded(box(0, 0, 4, 2), 0.5)
    assert [*soft.min(0), *soft.max(0)] == [0, 0, 4, 2]
    assert np.abs(soft - np.array([0, 0])).sum(1).min() > 0.2


def test_a_turned_body_is_as_wide_as_its_profile():
    jar = Lathe(np.array([[1.0, 0.0], [2.0, 1.0], [1.0, 2.0]]), 0.25)
    assert jar.half(0.5) == 1.5
    outline = jar.outline()
    assert outline[:, 0].max() == -outline[:, 0].min() == 2.0
    assert outline[:, 1].min() == pytest.approx(-0.25, abs=0.01)  # the far rim
    assert outline[:, 1].max() == pytest.approx(2.25, abs=0.01)  # the near foot
    assert jar.at(0.0, 1.0) == (0.0, 1.5)
    ring = jar.ring(0.5, 1.5)
    assert np.abs(ring[:, 0]).max() == 2.0  # its widest place is between the two heights
    assert turned([(1, 0), (2, 1)], 0.1, smooth=False).half(0.5) == 1.5


# --- laws -----------------------------------------------------------------------------------------


def test_hands_differ_in_their_habits():
    hands = [any_hand(np.random.default_rng(seed)) for seed in range(50)]
    for field in dataclasses.fields(Hand):
        values = [getattr(hand, field.name) for hand in hands]
        assert max(values) > 1.5 * min(values) >= 0, field.name


def test_drawings_are_simplified_and_of_human_length():
    sketches = [draw_pair(seed).sketch for seed in range(36)]
    strokes, points = ([f(s) for s in sketches] for f in (len, lambda s: len(s.points)))
    assert 5 < np.mean(strokes) < 20
    assert 30 < np.mean(points) < 120
    for sketch in sketches:  # on QuickDraw's grid, of which the longest side may miss the last line
        share = (sketch.points - sketch.box[:2]) / max(sketch.size)
        off = [np.abs(share * side - np.rint(share * side)).max() for side in range(240, 256)]
        assert min(off) < 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_early_strokes_are_longer_than_late_ones(family):
    """On average over drawings: outlines before details."""
    early, late = [], []
    for seed in range(30):
        reach = [
            float(np.ptp(s, axis=0).sum()) for s in draw_pair(seed, family=family).sketch.strokes
        ]
        early.append(np.mean(reach[: (len(reach) + 1) // 2]))
        late.append(np.mean(reach[len(reach) // 2 :]))
    assert np.mean(early) > 1.1 * np.mean(late)
