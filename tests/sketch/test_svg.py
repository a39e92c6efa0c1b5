"""SVG: curves within the tolerance, shapes and transforms by hand, round trips."""

from __future__ import annotations

import math
import re
import socket

import numpy as np
import pytest

from sightline.errors import DrawingError
from sightline.sketch.formats import curves
from sightline.sketch.formats.svg import read_svg, write_svg
from sightline.sketch.sketch import Sketch


def points_of(sketch: Sketch) -> list[list[list[float]]]:
    return [np.round(stroke, 9).tolist() for stroke in sketch.strokes]


def farthest(points: np.ndarray, polyline: np.ndarray) -> float:
    """Largest distance of any point from a polyline, segment by segment."""
    starts, steps = polyline[:-1], np.diff(polyline, axis=0)
    squared = np.maximum((steps**2).sum(1), 1e-300)
    away = points[:, None] - starts[None]
    share = ((away * steps).sum(2) / squared).clip(0, 1)
    return float(np.linalg.norm(away - share[:, :, None] * steps, axis=2).min(1).max())


def bezier(control: np.ndarray, count: int = 400) -> np.ndarray:
    """Points of a Bezier curve by its Bernstein polynomials."""
    degree, t = len(control) - 1, np.linspace(0, 1, count)[:, None]
    terms = [math.comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(degree + 1)]
    return sum(term * point for term, point in zip(terms, control, strict=True))


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


# Curves


@pytest.mark.parametrize("letter", ["Q", "C"])
@pytest.mark.parametrize("tolerance", [5.0, 0.5, 0.01])
@pytest.mark.parametrize("seed", range(5))
def test_bezier_curves_stay_within_the_tolerance(page, letter, tolerance, seed):
    control = np.random.default_rng(seed).uniform(0, 100, (3 if letter == "Q" else 4, 2)).round(3)
    rest = " ".join(f"{x} {y}" for x, y in control[1:].tolist())
    path = f'<path d="M {control[0, 0]} {control[0, 1]} {letter} {rest}"/>'
    (stroke,) = page(path, tolerance=tolerance).strokes
    assert farthest(bezier(control), stroke) <= tolerance
    assert farthest(stroke, bezier(control, 20_000)) < 1e-3  # its points lie on the curve
    assert stroke[[0, -1]].tolist() == control[[0, -1]].tolist()


@pytest.mark.parametrize("degree", [2, 3])
def test_fewer_pieces_would_leave_the_tolerance(monkeypatch, degree):
    """The known wrong version: half the pieces. Else the bound would be no bound but a guess."""
    control = np.array([[0.0, 0.0], [50.0, 100.0], [100.0, 0.0]])
    if degree == 3:  # the same parabola, as a cubic
        control = np.array([control[0], *(control[:-1] + 2 * control[1:]) / 3, control[2]])
        control[1] = (control[0] + 2 * np.array([50.0, 100.0])) / 3
        control[2] = (control[3] + 2 * np.array([50.0, 100.0])) / 3
    enough = curves.flatten_bezier(control, 0.5)
    assert 0.4 < farthest(bezier(control), enough) <= 0.5
    right = curves._pieces
    monkeypatch.setattr(curves, "_pieces", lambda *a: math.ceil(right(*a) / 2))
    assert farthest(bezier(control), curves.flatten_bezier(control, 0.5)) > 0.5


@pytest.mark.parametrize(
    ("flags", "center"),
    [("0 0", (50, 0)), ("0 1", (0, 50)), ("1 0", (0, 50)), ("1 1", (50, 0))],
)
@pytest.mark.parametrize("tolerance", [2.0, 0.05])
def test_the_four_arcs_between_two_points(page, flags, center, tolerance):
    """From (0, 0) to (50, 50) on a circle of radius 50; y points down."""
    (stroke,) = page(f'<path d="M0 0A50 50 0 {flags} 50 50"/>', tolerance=tolerance).strokes
    assert stroke[[0, -1]].tolist() == [[0, 0], [50, 50]]
    from_center = stroke - center
    np.testing.assert_allclose(np.hypot(*from_center.T), 50, atol=1e-9)
    turn = np.diff(np.unwrap(np.arctan2(*from_center.T[::-1])))
    quarter = math.pi / 2 if flags[0] == "0" else 3 * math.pi / 2
    assert turn.sum() == pytest.approx(quarter if flags[2] == "1" else -quarter)
    assert (50 * (1 - np.cos(turn / 2))).max() <= tolerance  # the sagitta of each piece


@pytest.mark.parametrize("transform", ["", "skewX(40)", "matrix(2 1 -3 .5 7 9)", "scale(-1 3)"])
def test_arcs_under_transforms_are_arcs_of_the_mapped_ellipse(page, transform):
    d = "M80 50 A30 10 25 1 1 20 50"
    attribute = f'transform="{transform}"' if transform else ""
    (stroke,) = page(f'<path d="{d}" {attribute}/>', tolerance=0.1).strokes
    (plain,) = page(f'<path d="{d}"/>', tolerance=1e-4).strokes
    matrix = {
        "": np.eye(3),
        "skewX(40)": [[1, math.tan(math.radians(40)), 0], [0, 1, 0], [0, 0, 1]],
        "matrix(2 1 -3 .5 7 9)": [[2, -3, 7], [1, 0.5, 9], [0, 0, 1]],
        "scale(-1 3)": [[-1, 0, 0], [0, 3, 0], [0, 0, 1]],
    }[transform]
    moved = np.column_stack([plain, np.ones(len(plain))]) @ np.array(matrix).T[:, :2]
    assert farthest(moved, stroke) <= 0.1
    assert farthest(stroke, moved) < 1e-2


def _turn(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, s], [-s, c]])


def test_a_rotated_ellipse_fulfils_its_equation(page):
    """Half an ellipse of radii 30 and 10, turned by 25 degrees about (50, 50)."""
    end = np.array([30.0, 0.0]) @ _turn(25)
    (x0, y0), (x1, y1) = (50 - end).tolist(), (50 + end).tolist()
    (stroke,) = page(f'<path d="M{x0!r} {y0!r} A30 10 25 0 1 {x1!r} {y1!r}"/>').strokes
    along, across = ((stroke - 50) @ _turn(-25)).T
    np.testing.assert_allclose((along / 30) ** 2 + (across / 10) ** 2, 1, atol=1e-9)


def test_an_arc_without_radius_is_a_line_and_radii_too_small_grow(page):
    assert points_of(page('<path d="M0 0 A0 5 0 0 1 8 8"/>')) == [[[0, 0], [8, 8]]]
    (grown,) = page('<path d="M0 0 A1 1 0 0 1 60 0"/>').strokes
    np.testing.assert_allclose(np.hypot(*(grown - (30, 0)).T), 30, atol=1e-9)


# Shapes by hand


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ('<line x1="1" y1="2" x2="3"/>', [[[1, 2], [3, 0]]]),
        ('<polyline points="0,0 5-5,10 .5"/>', [[[0, 0], [5, -5], [10, 0.5]]]),
        ('<polygon points="0 0 9 0 9 9"/>', [[[0, 0], [9, 0], [9, 9], [0, 0]]]),
        ('<rect x="1" y="2" width="3" height="4"/>', [[[1, 2], [4, 2], [4, 6], [1, 6], [1, 2]]]),
        ('<rect x="10%" width="50%" height="1"/>', [[[10, 0], [60, 0], [60, 1], [10, 1], [10, 0]]]),
        ('<path d="M1 1h2v3H0V9"/>', [[[1, 1], [3, 1], [3, 4], [0, 4], [0, 9]]]),
        ('<path d="m1 1 2 0 0 2z l5 5"/>', [[[1, 1], [3, 1], [3, 3], [1, 1]], [[1, 1], [6, 6]]]),
        ('<path d="M0 0L9 0L0 0Z"/>', [[[0, 0], [9, 0], [0, 0]]]),
        (
            '<path d="M1 1L2 2M5 5L6 6m1 1 1 1"/>',
            [[[1, 1], [2, 2]], [[5, 5], [6, 6]], [[7, 7], [8, 8]]],
        ),
        ('<path d="M1. 2.L3.e0,4.5.5 6"/>', [[[1, 2], [3, 4.5], [0.5, 6]]]),
        ('<path d="M5 5"/><path d="M0 0L1 1M9 9"/>', [[[0, 0], [1, 1]]]),
    ],
)
def test_shapes_by_hand(page, inside, expected):
    assert points_of(page(inside)) == expected


def test_round_shapes_lie_on_their_outlines(page):
    circle, ellipse = page(
        '<circle cx="50" cy="40" r="30"/><ellipse cx="1" cy="2" rx="30" ry="4"/>', tolerance=0.1
    ).strokes
    np.testing.assert_allclose(np.hypot(*(circle - (50, 40)).T), 30, atol=1e-9)
    np.testing.assert_allclose(np.hypot(*((ellipse - (1, 2)) / (30, 4)).T), 1, atol=1e-9)
    for outline in (circle, ellipse):
        np.testing.assert_allclose(outline[0], outline[-1], atol=1e-9)
    assert np.hypot(*np.diff(circle, axis=0).T).sum() == pytest.approx(2 * math.pi * 30, rel=1e-2)


def test_a_rounded_rectangle(page):
    (stroke,) = page('<rect width="40" height="20" rx="5"/>', tolerance=0.01).strokes
    assert stroke[[0, -1]].round(9).tolist() == [[5, 0], [5, 0]]
    assert stroke.min(0).round(9).tolist() == [0, 0]
    assert stroke.max(0).round(9).tolist() == [40, 20]
    corner = np.hypot(*(stroke[(stroke < 5).all(1)] - 5).T)
    np.testing.assert_allclose(corner, 5, atol=1e-9)


def test_sizes_that_are_not_given_draw_nothing(page):
    with pytest.raises(DrawingError, match=r"page.svg is empty: a drawing needs at least 1 stroke"):
        page('<rect width="5"/><circle cx="3"/><ellipse/><polyline/><path/>')


def test_transforms_nest(page):
    inside = (
        '<g transform="translate(10 20)"><g transform="scale(2)">'
        '<path transform="rotate(90)" d="M0 0L5 0"/></g><line x2="1"/></g><line x2="1"/>'
    )
    assert points_of(page(inside)) == [[[10, 20], [10, 30]], [[10, 20], [11, 20]], [[0, 0], [1, 0]]]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ('viewBox="-5 -5 100 100"', [[1, 2], [3, 4]]),
        ("", [[1, 2], [3, 4]]),
        ('width="200" height="200" viewBox="0 0 100 100"', [[2, 4], [6, 8]]),
        ('width="1in" height="96" viewBox="0 0 48 48"', [[2, 4], [6, 8]]),
        ('width="200" height="100" viewBox="0 0 100 100"', [[51, 2], [53, 4]]),
        (
            'width="200" height="100" viewBox="-1 0 100 100" preserveAspectRatio="none"',
            [[4, 2], [8, 4]],
        ),
        ('width="100%" height="100%" viewBox="0 0 50 50"', [[1, 2], [3, 4]]),
        ('width="20" viewBox="0 0 50 50"', [[1, 2], [3, 4]]),
    ],
)
def test_the_outermost_viewbox(page, root, expected):
    assert points_of(page('<path d="M1 2L3 4"/>', root=root)) == [expected]


def test_an_inner_svg_is_placed(page):
    inside = (
        '<svg x="10" y="20" width="50%" height="50" viewBox="0 0 5 5"><path d="M0 0L5 5"/></svg>'
    )
    assert points_of(page(inside)) == [[[10, 20], [60, 70]]]


def test_what_is_not_drawn(page):
    line = '<line x2="1"/>'
    inside = f"""
        <defs>{line}<use href="#a"/></defs><symbol>{line}</symbol><clipPath id="c">{line}</clipPath>
        <g display="none">{line}<g display="inline">{line}</g></g>
        <g style="stroke: red; DISPLAY : none !important">{line}</g>
        <text>words</text><image href="http://example.org/a.png"/><style>line {{}}</style>
        <g xmlns="http://example.org/">{line}</g><foreign>{line}</foreign>
        <a clip-path="url(#c)"><switch><path d="M0 0L7 7"><title>{line}</title></path></switch></a>
        """
    assert points_of(page(inside)) == [[[0, 0], [7, 7]]]


def test_strokes_come_in_document_order(page):
    inside = '<path d="M1 1L2 2"/><g><line x1="3" x2="4"/></g><polyline points="5 5 6 6"/>'
    assert [s[0, 0] for s in page(inside).strokes] == [1, 3, 5]


def test_name_and_label(page):
    sketch = page('<line x2="1"/>')
    assert (sketch.name, sketch.label) == ("page", None)


# TU-Berlin's files


def tuberlin_oracle(text: str) -> list[np.ndarray]:
    """Dense points of each path of TU-Berlin's files: M, C and L in two groups, nothing else."""
    matrix = np.eye(3)
    for kind, inside in re.findall(
        r"(translate|scale)\(([^)]*)\)", text.split("<path", maxsplit=1)[0]
    ):
        first, *second = numbers(inside)
        step = np.diag([first, first, 1.0]) if kind == "scale" else np.eye(3)
        if kind == "translate":
            step[:2, 2] = first, *second
        matrix = matrix @ step
    strokes = []
    for d in re.findall(r' d="([^"]*)"', text):
        pen, dense = np.zeros(2), []
        for letter, inside in re.findall(r"([MCL])([^MCL]*)", d):
            target = np.array(numbers(inside)).reshape(-1, 2)
            for k in range(0, len(target), 3 if letter == "C" else 1):
                control = target[k : k + 3] if letter == "C" else target[k : k + 1]
                dense.append(control if letter == "M" else bezier(np.array([pen, *control]), 60))
                pen = control[-1]
        points = np.concatenate(dense)
        strokes.append(points @ matrix[:2, :2].T + matrix[:2, 2])
    return strokes


def test_tuberlins_files_agree_with_dense_sampling(data, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)  # their DTD is on the network: leave it there
    files = sorted((data / "tuberlin_svg_sample").glob("*.svg"))
    assert len(files) == 12
    for file in files:
        sketch, expected = read_svg(file), tuberlin_oracle(file.read_text())
        assert len(sketch) == len(expected) > 3
        for stroke, dense in zip(sketch.strokes, expected, strict=True):
            assert farthest(dense, stroke) <= 0.5
            assert farthest(stroke, dense) <= 0.05
        assert sketch.box[:2].min() > 0
        assert sketch.box[2:].max() < 800


# Round trips


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_written_drawings_come_back_exactly(tmp_path, scale):
    luck = np.random.default_rng(0)
    strokes = [luck.normal(3, scale, (luck.integers(2, 9), 2)) for _ in range(5)]
    sketch = Sketch.from_strokes([*strokes, [(1, 2), (3, 2)]])
    write_svg(tmp_path / "a.svg", sketch)
    back = read_svg(tmp_path / "a.svg")
    assert [s.tolist() for s in back.strokes] == [s.tolist() for s in sketch.strokes]


def test_a_written_file_is_shown_whole(tmp_path):
    write_svg(tmp_path / "a.svg", Sketch.from_strokes([[(10, 20), (30, 60)]]), width=2)
    text = (tmp_path / "a.svg").read_text()
    assert 'viewBox="8 18 24 44"' in text
    assert 'stroke-width="2.0"' in text
    write_svg(tmp_path / "dot.svg", Sketch.from_strokes([[(1, 1), (1, 1)]]))
    assert 'viewBox="0 0 2 2"' in (tmp_path / "dot.svg").read_text()
    with pytest.raises(DrawingError, match="the pen's width must be above 0 canvas units; got 0"):
        write_svg(tmp_path / "b.svg", Sketch.from_strokes([[(1, 1), (1, 2)]]), width=0)
