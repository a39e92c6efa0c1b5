"""The rasteriser against cases worked by hand, a dense oracle, finite differences and its laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oracles.raster import ink as dense_ink
from sightline.errors import DrawingError
from sightline.sketch import raster
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import FAINTEST_INK, PROFILES, Rasteriser
from sightline.sketch.sketch import Sketch

CANVAS = 8
PIXEL = 2 / CANVAS


def centre(index: float) -> float:
    """Canvas coordinate of a pixel's centre in a picture of 8 pixels."""
    return -1 + (index + 0.5) * PIXEL


def batch_of(*sketches: list, dtype: torch.dtype = torch.float64) -> SketchBatch:
    return SketchBatch.from_sketches([Sketch.from_strokes(s) for s in sketches], dtype=dtype)


def scribbles(count: int, seed: int, reach: float = 0.9) -> list[list[np.ndarray]]:
    """Random drawings: long and short segments, dots, some points outside the canvas."""
    rng = np.random.default_rng(seed)
    drawings = []
    for _ in range(count):
        strokes = [rng.uniform(-reach, reach, (rng.integers(2, 6), 2)) for _ in range(4)]
        strokes.append(rng.uniform(-0.8, 0.8, 2) + rng.normal(0, 0.02, (12, 2)).cumsum(0))
        strokes.append(np.tile(rng.uniform(-0.8, 0.8, 2), (2, 1)))
        strokes.append(rng.uniform(-2, 2, (3, 2)))
        drawings.append(strokes)
    return drawings


def oracle(drawings: list, rasteriser: Rasteriser) -> torch.Tensor:
    r = rasteriser
    pictures = [dense_ink(d, r.size, r.line_width, r.profile, r.beta) for d in drawings]
    return torch.from_numpy(np.stack(pictures))


def with_gradient(batch: SketchBatch) -> SketchBatch:
    return batch.with_points(batch.points.clone().requires_grad_())


def test_a_line_through_pixel_centres():
    # Row 3 from column 2 to 5, two pixels wide: full ink to 0.5 pixel, none from 1.5 pixels on.
    batch = batch_of([[(centre(2), centre(3)), (centre(5), centre(3))]])
    picture = Rasteriser(CANVAS, 2 * PIXEL)(batch)[0]
    diagonal = 1.5 - 2**0.5  # beyond the ends, one row aside
    side = [0, diagonal, 0.5, 0.5, 0.5, 0.5, diagonal, 0]
    expected = torch.zeros(CANVAS, CANVAS, dtype=torch.float64)
    expected[2:5] = torch.tensor([side, [0, 0.5, 1, 1, 1, 1, 0.5, 0], side])
    torch.testing.assert_close(picture, expected, atol=1e-7, rtol=0)


def test_y_points_down_and_rows_come_first():
    batch = batch_of([[(centre(1), centre(4)), (centre(1), centre(6))]])
    picture = Rasteriser(CANVAS, 0.4 * PIXEL, "hard")(batch)[0]
    assert picture.nonzero().tolist() == [[4, 1], [5, 1], [6, 1]]


def test_the_sigmoid_at_known_distances():
    batch = batch_of([[(centre(-2), centre(2)), (centre(9), centre(2))]])
    column = Rasteriser(CANVAS, PIXEL, "sigmoid", beta=2.0)(batch)[0, :, 4]
    expected = [1 / (1 + np.exp(2 * (abs(row - 2) - 0.5))) for row in range(CANVAS)]
    torch.testing.assert_close(column, torch.tensor(expected, dtype=torch.float64))


def test_the_sigmoid_ends_where_it_is_faint():
    batch = batch_of([[(centre(-2), centre(0)), (centre(9), centre(0))]])
    column = Rasteriser(CANVAS, PIXEL, "sigmoid", beta=4.0)(batch)[0, :, 4]
    assert column[4] > FAINTEST_INK  # sigmoid(4 (0.5 - 4)) = 8e-7
    assert column[5:].tolist() == [0, 0, 0]  # sigmoid(4 (0.5 - 5)) = 2e-8


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 3.0])
def test_linear_ink_across_a_line_sums_to_its_width(width):
    for offset in (0.0, 0.2, 0.5):
        batch = batch_of([[(-2, centre(4 + offset)), (2, centre(4 + offset))]])
        total = Rasteriser(CANVAS, width * PIXEL)(batch)[0, :, 4].sum()
        assert float(total) == pytest.approx(width)


def test_a_dot_is_round():
    batch = batch_of([[(centre(4), centre(4))] * 2])
    for b in (batch, with_gradient(batch)):
        picture = Rasteriser(CANVAS, 2 * PIXEL)(b)[0].detach()
        expected = torch.tensor([[1.5 - 2**0.5, 0.5], [0.5, 1]], dtype=torch.float64)
        torch.testing.assert_close(picture[3:5, 3:5], expected)
        torch.testing.assert_close(picture[3:6, 3:6], picture[3:6, 3:6].flip(0).T)


def test_a_stroke_of_one_point_is_a_dot():
    twice = batch_of([[(0.1, 0.2), (0.1, 0.2)], [(-0.5, 0), (-0.5, 0.5)]])
    offsets = torch.tensor([0, 1, 3])
    once = SketchBatch(twice.points[1:], offsets, torch.tensor([0, 2]))
    assert torch.equal(Rasteriser(16).layers(once), Rasteriser(16).layers(twice))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", [1, 2, 7, 28, 65])
@pytest.mark.parametrize("line_width", [0.004, 0.05, 0.3, 3.0])
def test_equals_the_dense_oracle(profile, size, line_width):
    rasteriser = Rasteriser(size, line_width, profile)
    drawings = scribbles(3, seed=size)
    batch = batch_of(*drawings)
    expected = oracle(drawings, rasteriser)
    torch.testing.assert_close(rasteriser(batch), expected, atol=1e-12, rtol=0)
    sloped = rasteriser(with_gradient(batch))
    assert sloped.requires_grad
    torch.testing.assert_close(sloped.detach(), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("profile", PROFILES)
def test_layers_equal_the_dense_oracle_and_their_maximum_is_the_whole(profile):
    rasteriser = Rasteriser(30, 0.1, profile)
    drawings = scribbles(2, seed=1)
    batch = batch_of(*drawings)
    layers = rasteriser.layers(batch)
    expected = oracle([[stroke] for drawing in drawings for stroke in drawing], rasteriser)
    torch.testing.assert_close(layers, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(rasteriser.layers(with_gradient(batch)).detach(), layers)
    whole = torch.stack([part.amax(0) for part in layers.split(batch.strokes_per_sketch.tolist())])
    assert torch.equal(whole, rasteriser(batch))


@pytest.mark.parametrize("profile", PROFILES)
def test_work_in_many_parts_gives_the_same(profile, monkeypatch):
    batch = batch_of(*scribbles(5, seed=2))
    rasteriser = Rasteriser(24, 0.1, profile)
    whole, leaf = rasteriser(batch), with_gradient(batch)
    (slope,) = torch.autograd.grad(rasteriser(leaf).square().sum(), leaf.points)
    monkeypatch.setitem(raster.AT_ONCE, "cpu", 100)
    assert torch.equal(rasteriser(batch), whole)
    (slope_in_parts,) = torch.autograd.grad(rasteriser(leaf).square().sum(), leaf.points)
    torch.testing.assert_close(slope_in_parts, slope)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_of_one_equals_one_of_a_batch(profile, dtype, monkeypatch):
    rasteriser = Rasteriser(33, 0.07, profile)
    batch = batch_of(*scribbles(6, seed=3), dtype=dtype)
    together = rasteriser(batch)
    monkeypatch.setitem(raster.AT_ONCE, "cpu", 100)  # every pixel elsewhere in memory
    alone = [rasteriser(batch.select(torch.tensor([n])))[0] for n in range(6)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("profile", PROFILES)
def test_moves_with_the_drawing(profile):
    rasteriser = Rasteriser(32, 0.1, profile)
    pixel = 2 / 32
    batch = batch_of([s / 2 for s in scribbles(1, seed=4)[0][:6]])
    moved = batch.with_points(batch.points + torch.tensor([3 * pixel, -2 * pixel]))
    expected = rasteriser(batch)[0].roll((-2, 3), (0, 1))
    torch.testing.assert_close(rasteriser(moved)[0], expected, atol=1e-10, rtol=0)


def test_proportions_stay_at_another_size():
    batch = batch_of(*scribbles(2, seed=5))
    small, large = (Rasteriser(size, 0.2)(batch).mean() for size in (40, 160))
    assert float(large) == pytest.approx(float(small), rel=0.02)


@pytest.mark.parametrize("profile", PROFILES)
def test_float32_is_close_to_float64(profile):
    drawings = scribbles(4, seed=6, reach=0.74)
    rasteriser = Rasteriser(224, 0.03, profile)
    single = rasteriser(batch_of(*drawings, dtype=torch.float32))
    double = rasteriser(batch_of(*drawings))
    assert single.dtype == torch.float32
    apart = (single - double).abs()
    if profile == "hard":  # a pixel on the very edge may fall to either side
        assert apart.sum() <= 2
    else:
        assert apart.max() < 2e-4


@pytest.mark.parametrize("profile", PROFILES)
def test_no_strokes_are_a_blank_picture(profile):
    dash = [[(0, 0), (0.5, 0)]]
    batch = batch_of(dash, dash, dash).select_strokes(torch.tensor([0, 2]))
    none = batch.select_strokes(torch.tensor([], dtype=torch.int64))
    rasteriser = Rasteriser(9, 0.1, profile)
    for make in (lambda b: b, with_gradient):
        picture = rasteriser(make(batch)).detach()
        assert picture[1].count_nonzero() == 0
        assert torch.equal(picture[0], picture[2])
        assert picture[0].any()
        assert torch.equal(rasteriser(make(none)).detach(), torch.zeros(3, 9, 9).double())
        assert rasteriser.layers(make(none)).shape == (0, 9, 9)


def test_what_is_outside_the_canvas_is_cut_off():
    outside = batch_of([[(1.5, -3), (1.5, 3)]], [[(-900, 2.2), (900, 1.9)]])
    assert Rasteriser(16, 0.2)(outside).count_nonzero() == 0


@pytest.mark.parametrize("profile", ["linear", "sigmoid"])
@pytest.mark.parametrize("line_width", [0.05, 0.3])
def test_gradient_equals_finite_differences(profile, line_width):
    strokes = scribbles(1, seed=7)[0]
    batch = batch_of([strokes[0], strokes[1][:2]], [strokes[2][:3], strokes[4][:3]])
    rasteriser = Rasteriser(12, line_width, profile)
    weight = torch.randn(2, 12, 12, generator=torch.Generator().manual_seed(0)).double()

    def value(points: torch.Tensor) -> torch.Tensor:
        return (weight * rasteriser(batch.with_points(points))).sum()

    points = with_gradient(batch).points
    assert torch.autograd.gradcheck(value, points, eps=1e-7, atol=1e-5)
    (slope,) = torch.autograd.grad(value(points), points)
    assert slope.count_nonzero() > 0.8 * slope.numel()


def test_the_gradient_goes_to_the_two_ends_of_the_nearest_segment():
    # One pixel, right of a vertical line at three quarters of its way, far from the other line.
    strokes = [[(0.1, -0.75), (0.1, 0.25)], [(-5, 0), (-5, 1)]]
    batch = with_gradient(batch_of(strokes))
    picture = Rasteriser(1, 0.5, "sigmoid")(batch)
    (slope,) = torch.autograd.grad(picture.sum(), batch.points)
    ink = float(picture.detach())
    push = -4 * ink * (1 - ink) * 0.5  # beta X (1 - X), half a pixel a canvas unit
    expected = torch.tensor([[push * 0.25, 0], [push * 0.75, 0], [0, 0], [0, 0]]).double()
    torch.testing.assert_close(slope, expected, atol=1e-7, rtol=1e-6)


def test_hard_ink_has_the_gradient_of_the_sigmoid():
    batch = with_gradient(batch_of(*scribbles(2, seed=8)))
    slopes = []
    for profile in ("hard", "sigmoid"):
        picture = Rasteriser(20, 0.2, profile)(batch)
        (slope,) = torch.autograd.grad(picture[..., :7].sum(), batch.points)
        slopes.append(slope)
        assert (profile == "hard") == (picture.unique().tolist() == [0, 1])
    assert torch.equal(*slopes)
    assert slopes[0].any()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("rise", [0, 5 / 3])  # on the slant, rounding decides what is 0
def test_a_pixel_on_the_line_has_a_finite_gradient(profile, rise):
    line = [(centre(0), centre(0)), (centre(5), centre(rise))]
    dot = [(centre(6), centre(6))] * 2
    batch = with_gradient(batch_of([line, dot], dtype=torch.float32))
    Rasteriser(CANVAS, 0.3 * PIXEL, profile)(batch).square().sum().backward()
    assert batch.points.grad.isfinite().all()


def test_no_grad_is_respected_and_the_points_stay_as_they_are():
    batch = with_gradient(batch_of(*scribbles(1, seed=9)))
    before = batch.points.detach().clone()
    with torch.no_grad():
        assert not Rasteriser(16)(batch).requires_grad
    assert not Rasteriser(16)(batch.with_points(batch.points.detach())).requires_grad
    Rasteriser(16)(batch)
    assert torch.equal(batch.points.detach(), before)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="at least 1 pixel, not 0"):
        Rasteriser(0)
    for width in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="line_width must be a finite number above 0"):
            Rasteriser(64, width)
    with pytest.raises(ValueError, match="beta must be a finite number above 0, not 0"):
        Rasteriser(64, beta=0.0)
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        Rasteriser(64, profile="liner")
    with pytest.raises(ValueError, match="Known: linear, sigmoid, hard"):
        Rasteriser(64, profile="gaussian")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -2e6])
def test_broken_points_are_refused(bad):
    batch = batch_of([[(0, 0), (1, 1), (0, 1)]])
    points = batch.points.clone()
    points[1, 0] = bad
    for leaf in (points, points.clone().requires_grad_()):
        with pytest.raises(DrawingError, match=r"point 1 of the batch is at .* finite and within"):
            Rasteriser(8)(batch.with_points(leaf))


def infinite_lines(points, start, end, pixel, size):
    """A known wrong version: distance to the line through a segment, not to the segment."""
    centres = torch.stack([pixel % size, pixel // size % size], 1).to(points)
    along, offset = points[end] - points[start], centres - points[start]
    cross = along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0]
    return cross**2 / (along**2).sum(1)


def test_infinite_lines_would_fail(monkeypatch):
    drawings = [[np.array([(-0.5, -0.4), (0.5, 0.3)])]]
    rasteriser = Rasteriser(20, 0.3)
    batch = with_gradient(batch_of(*drawings))
    expected = oracle(drawings, rasteriser)
    torch.testing.assert_close(rasteriser(batch).detach(), expected)
    monkeypatch.setattr(raster, "_squared_distance", infinite_lines)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(rasteriser(batch).detach(), expected)


def test_a_window_without_the_factor_for_slanted_lines_would_fail(monkeypatch):
    drawings = [[np.array([(-0.7, -0.7), (0.7, 0.68)])]]
    rasteriser = Rasteriser(20, 0.5)
    torch.testing.assert_close(rasteriser(batch_of(*drawings)), oracle(drawings, rasteriser))
    monkeypatch.setattr(raster.math, "sqrt", lambda _: 1.0)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(rasteriser(batch_of(*drawings)), oracle(drawings, rasteriser))
