import numpy as np
import pytest

import sightline as sl
from sightline.benchmark.drawn_noise import NOISES, add_noise
from sightline.errors import SightlineError
from sightline.tasks.healing.pieces import drawn, length_of, whole, without
from toys import scribble


def host(seed: int = 0) -> sl.Sketch:
    """Random walks with a label: of each seed another."""
    from dataclasses import replace

    return replace(scribble(seed, strokes=4, longest=9), label=f"label {seed % 2}")


DONORS = [host(seed) for seed in range(20, 30)]


@pytest.mark.parametrize("kind", NOISES)
def test_without_what_was_planted_it_is_the_clean_drawing(kind):
    found = 0
    for seed in range(8):
        noisy = add_noise(host(seed), kind, donors=DONORS)
        if noisy is None:
            continue
        found += 1
        pieces = whole(noisy.sketch)
        for piece in noisy.planted:
            pieces = without(pieces, piece)
        left = drawn(noisy.sketch, pieces)
        assert [len(s) for s in left.strokes] == [len(s) for s in noisy.clean.strokes]
        np.testing.assert_allclose(left.points, noisy.clean.points, rtol=0, atol=1e-12)
        assert len(noisy.planted) == (3 if kind == "ticks" else 1)
        assert length_of(noisy.sketch, noisy.planted) > 0
    assert found > 4


@pytest.mark.parametrize("kind", NOISES)
def test_the_box_stays_so_that_nothing_else_moves(kind):
    for seed in range(8):
        noisy = add_noise(host(seed), kind, donors=DONORS)
        if noisy is not None:
            np.testing.assert_allclose(noisy.sketch.box, noisy.clean.box, atol=1e-12)


@pytest.mark.parametrize("kind", NOISES)
def test_luck_is_the_drawing_s_own(kind):
    first = add_noise(host(1), kind, donors=DONORS, seed=4)
    again = add_noise(host(1), kind, donors=DONORS, seed=4)
    other = add_noise(host(1), kind, donors=DONORS, seed=5)
    assert first.sketch.points.tobytes() == again.sketch.points.tobytes()
    assert first.sketch.points.tobytes() != other.sketch.points.tobytes()


def test_a_tail_hangs_on_the_end_of_a_stroke():
    noisy = add_noise(host(2), "overshoot")
    (tail,) = noisy.planted
    own = noisy.clean.strokes[tail.stroke]
    assert (tail.first, tail.last) == (len(own) - 1, len(noisy.sketch.strokes[tail.stroke]) - 1)
    side = max(noisy.clean.size)
    assert 0.19 * side < length_of(noisy.sketch, [tail]) < 0.51 * side


def test_a_copy_is_one_of_its_own_strokes_beside_itself():
    noisy = add_noise(host(3), "copy")
    moved = noisy.sketch.strokes[noisy.planted[0].stroke]
    shifts = [moved - own for own in noisy.clean.strokes if own.shape == moved.shape]
    far = [np.linalg.norm(s[0]) for s in shifts if np.allclose(s, s[0])]
    side = max(noisy.clean.size)
    assert [1 / 8 <= f / side <= 1 / 4 for f in far] == [True]


def test_a_slash_goes_from_side_to_side():
    noisy = add_noise(host(4), "slash")
    line = noisy.sketch.strokes[noisy.planted[0].stroke]
    spans = np.ptp(line, axis=0) / np.array(noisy.clean.size)
    assert spans.max() == pytest.approx(1.0)


def test_ticks_are_short():
    noisy = add_noise(host(5), "ticks")
    side = max(noisy.clean.size)
    for piece in noisy.planted:
        assert 0.04 < length_of(noisy.sketch, [piece]) / side <= 0.1


def test_a_drawing_without_height_can_have_noise_too():
    flat = sl.Sketch.from_strokes([[(0, 0), (9, 0)], [(3, 0), (4, 0)]])
    for kind in ("scribble", "slash", "ticks"):
        noisy = add_noise(flat, kind)
        np.testing.assert_allclose(noisy.sketch.box, noisy.clean.box, atol=1e-12)


def test_no_room_for_a_copy():
    assert add_noise(sl.Sketch.from_strokes([[(0, 0), (9, 9)]]), "copy") is None


def test_unknown_kind():
    with pytest.raises(SightlineError, match="unknown kind of noise 'tick'; did you mean 'ticks'"):
        add_noise(host(), "tick")
