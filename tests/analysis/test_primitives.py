import numpy as np
import pytest

from sightline.analysis.primitives import DENSE, OUTLINES, PRIMITIVES, _walk, fit_primitives
from sightline.errors import DrawingError
from sightline.sketch.simplify import prepare
from sightline.sketch.sketch import Sketch
from toys import scribble, unchecked


def turned(points, degrees, stretch=(1.0, 1.0), shift=(0.0, 0.0)):
    turn = np.radians(degrees)
    spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (np.asarray(points) * stretch) @ spin.T + shift


def farthest_apart(first, second):
    """Hausdorff distance of two point sets."""
    away = np.linalg.norm(first[:, None] - second, axis=2)
    return max(away.min(0).max(), away.min(1).max())


def test_there_are_seven():
    assert PRIMITIVES == ("line", "corner", "half circle", "U", "triangle", "square", "circle")


@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.parametrize("degrees", [0, 37, 200])
def test_each_primitive_is_recognised_wherever_and_however_large(name, degrees):
    stroke = turned(OUTLINES[name], degrees, (0.4, 0.4), (0.2, -0.5))
    fitted = fit_primitives([stroke], epsilon=None)
    kind = PRIMITIVES.index(name)
    assert fitted.best(1e-6) == [kind]
    assert fitted.error[0, kind] < 1e-6
    drawn = fitted.outline(0, kind)
    assert farthest_apart(drawn, _walk(stroke, DENSE)) < 1e-6
    assert drawn[0] == pytest.approx(stroke[0], abs=1e-6)


@pytest.mark.parametrize("name", ["corner", "half circle", "U", "square", "circle"])
def test_stretched_ones_too(name):
    stroke = turned(OUTLINES[name], 20, (0.8, 0.2))
    kind = PRIMITIVES.index(name)
    assert fit_primitives([stroke]).best(1e-6) == [kind]


@pytest.mark.parametrize("name", ["triangle", "square", "circle"])
def test_closed_ones_may_begin_anywhere_and_go_either_way(name):
    around = _walk(OUTLINES[name], DENSE)[:-1]
    rolled = np.roll(around, 19, axis=0)[::-1]  # begins at step 76, a multiple of 4
    stroke = np.concatenate([rolled, rolled[:1]])
    kind = PRIMITIVES.index(name)
    fitted = fit_primitives([stroke])
    assert fitted.best(1e-6) == [kind]
    assert fitted.outline(0, kind)[0] == pytest.approx(stroke[0], abs=1e-6)


def test_the_fit_is_the_least_squares_of_every_variant():
    """Against lstsq on [x, y, 1], one variant after the other."""
    from sightline.analysis.primitives import STEPS, _variants

    strokes = list(scribble(4, 3).strokes)
    fitted = fit_primitives(strokes, epsilon=None)
    variants = _variants()
    for index, stroke in enumerate(strokes):
        walked = _walk(stroke, STEPS)
        least = np.full(7, np.inf)
        for points, kind in zip(variants.walked, variants.primitive, strict=True):
            plane = np.c_[points, np.ones(len(points))]
            mapped = plane @ np.linalg.lstsq(plane, walked, rcond=1e-9)[0]
            error = np.sqrt(np.square(mapped - walked).sum(1).mean())
            least[kind] = min(least[kind], error)
        assert fitted.error[index] == pytest.approx(least, abs=1e-9)
        for kind in range(7):
            drawn = fitted.outline(index, kind)[:: DENSE // STEPS]
            far = np.sqrt(np.square(drawn - walked).sum(1).mean())
            assert far == pytest.approx(least[kind], abs=1e-9)


def test_the_simplest_within_the_tolerance_wins():
    bent = np.array([[0.0, 0.0], [0.5, 0.01], [1.0, 0.0]])
    fitted = fit_primitives([bent])
    assert PRIMITIVES[fitted.best()[0]] == "corner"
    assert PRIMITIVES[fitted.best(0.02)[0]] == "line"


def test_outlines_are_thinned_as_the_model_reads_them():
    ring = turned(OUTLINES["circle"], 0, (0.7, 0.7))
    assert len(fit_primitives([ring], epsilon=None).outline(0, 6)) == DENSE + 1
    drawn = prepare(Sketch((_walk(ring, 1000) * 0.74 / 0.7,)), 2.0).strokes[0]
    thinned = fit_primitives([ring * 0.74 / 0.7]).outline(0, 6)
    assert len(thinned) == pytest.approx(len(drawn), abs=2)
    assert farthest_apart(thinned, drawn) < 0.06
    square = fit_primitives([OUTLINES["square"]]).outline(0, 5)
    assert square == pytest.approx(OUTLINES["square"], abs=1e-9)


def test_the_fit_moves_and_turns_with_the_stroke():
    stroke = scribble(2).strokes[1]
    other = turned(stroke, 0, (2, 2), (0.3, -0.1))
    fitted = fit_primitives([stroke, other], epsilon=None)
    assert fitted.error[1] == pytest.approx(2 * fitted.error[0])
    for kind in range(7):
        assert fitted.outline(1, kind) == pytest.approx(
            2 * fitted.outline(0, kind) + (0.3, -0.1), abs=1e-9
        )


def test_a_stroke_is_fitted_alike_alone_and_among_others(monkeypatch):
    strokes = list(scribble(3, 5).strokes)
    together = fit_primitives(strokes)
    monkeypatch.setattr("sightline.analysis.primitives.ROWS", 2)
    apart = fit_primitives(strokes)
    assert apart.error == pytest.approx(together.error, abs=1e-12)
    assert apart.outline(4, 3) == pytest.approx(together.outline(4, 3), abs=1e-12)


def test_a_stroke_without_length_is_a_line_there():
    dot = np.full((3, 2), 0.25)
    fitted = fit_primitives([dot])
    assert fitted.best(1e-9) == [0]
    assert fitted.outline(0, 0) == pytest.approx(np.full((2, 2), 0.25))


def test_no_strokes_are_refused():
    with unchecked(), pytest.raises(DrawingError, match="no strokes to lay primitives on"):
        fit_primitives([])
