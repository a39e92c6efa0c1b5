"""What in a picture came from each stroke: by hand, by slow oracles, and by the laws."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from sightline import methods
from sightline.errors import GameError, ModelError, TaskError
from sightline.game import Game
from sightline.methods import sla
from sightline.models.generator import RasterGenerator
from sightline.parts import Strokes
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.targets import Region
from sightline.tasks.generation.stroke_maps import METHODS, StrokeMaps, stroke_maps
from toys import unchecked

CROSS = Sketch.from_strokes([[(0, 0), (9, 9)], [(0, 9), (9, 0)], [(0, 4), (9, 4)]])
APART = Sketch.from_strokes([[(0, 0), (9, 0)], [(0, 4.5), (9, 4.5)], [(0, 9), (9, 9)]])
RASTER = Rasteriser(size=16, line_width=0.2)
GRADIENTS = ("sla", "integrated_gradients")


def painter(module, **settings) -> RasterGenerator:
    return RasterGenerator(module, rasteriser=RASTER, **settings)


class Crooked(nn.Module):
    """A smooth generator in which every stroke meets every other."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(1, 4, 5, padding=2)
            self.norm = nn.BatchNorm2d(4)
            self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        seen = torch.tanh(2 * self.norm(self.first(ink)))
        seen = seen + seen.mean((2, 3), keepdim=True)
        return self.last(nn.functional.avg_pool2d(seen, 2)).sigmoid()


class _Doubled(torch.autograd.Function):
    """An operation as libraries write them: a backward pass, no forward mode."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return 2 * x * upstream


class _DoubledOnce(_Doubled):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return 2 * x * upstream


def double(seed: int = 0) -> RasterGenerator:
    return painter(Crooked(seed)).double().eval()


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_generator_that_paints_ink_gives_each_stroke_its_own(method):
    """G = 1 - ink / 2, strokes that do not touch: each darkens its own pixels, and no others."""
    paper = painter(lambda ink: 1 - 0.5 * ink.expand(-1, 3, -1, -1))
    found = stroke_maps(paper, APART, method=method)
    layers = RASTER.layers(_batch(APART)).double()
    assert found.maps.shape == (3, 16, 16)
    assert (found.maps + 0.5 * layers).abs().max() < 1e-6
    assert found.gap < 1e-6
    share = layers.square().sum((1, 2)) / layers.square().sum()
    assert torch.allclose(found.content.sum((1, 2)), share, atol=1e-6)


def test_what_two_strokes_make_together_is_shared_as_each_method_says():
    """G = (product of the ink of two strokes' places): 1 with both, 0 with less."""

    class Both(nn.Module):
        def forward(self, ink):
            top, middle = (RASTER.layers(_batch(APART))[i] for i in (0, 1))
            seen = [
                (ink[:, 0] * layer).sum((1, 2)) / layer.square().sum() for layer in (top, middle)
            ]
            return (seen[0] * seen[1])[:, None, None, None].expand(-1, 1, 4, 4)

    generator = painter(Both())
    shares = {m: stroke_maps(generator, APART, method=m).maps[:, 0, 0].tolist() for m in METHODS}
    assert shares["occlusion"] == pytest.approx([1, 1, 0], abs=1e-6)
    assert shares["sla"] == pytest.approx([1, 1, 0], abs=1e-6)
    assert shares["shapley"] == pytest.approx([0.5, 0.5, 0], abs=1e-6)
    assert shares["integrated_gradients"] == pytest.approx([0.5, 0.5, 0], abs=1e-6)


def test_clipped_ink_passes_sla_straight_through_and_no_other_method():
    """Two strokes in one place: the ink is 1 with either."""
    twice = Sketch.from_strokes([[(0, 0), (9, 0)], [(0, 0), (9, 0)], [(0, 9), (9, 9)]])
    wide = Rasteriser(size=16, line_width=0.4)
    paper = RasterGenerator(lambda ink: ink.expand(-1, 3, -1, -1), rasteriser=wide)
    ink = wide.layers(_batch(twice))[0]
    at = divmod(int(ink.argmax()), 16)
    assert ink[at] == 1
    found = {m: stroke_maps(paper, twice, method=m).maps[:, at[0], at[1]] for m in METHODS}
    assert found["sla"].tolist() == pytest.approx([1, 1, 0])
    assert found["occlusion"].tolist() == pytest.approx([0, 0, 0])
    assert found["shapley"].tolist() == pytest.approx([0.5, 0.5, 0])
    assert found["integrated_gradients"].tolist() == pytest.approx([0.5, 0.5, 0], abs=0.02)


# --- oracles --------------------------------------------------------------------------------------


def pictures_of(generator: RasterGenerator, sketch: Sketch, presence: torch.Tensor):
    """Plain: layers, weighted, clipped, shown."""
    layers = RASTER.layers(_batch(generator.prepare(sketch), torch.float64))
    ink = torch.einsum("rs,shw->rhw", presence.double(), layers).clamp(max=1)
    with torch.no_grad():
        return generator.eval().see(ink)


def test_the_forward_derivative_is_that_of_finite_differences():
    generator, step = double(), 1e-6
    found = stroke_maps(generator, APART, method="sla")
    ahead = pictures_of(generator, APART, 1 - step * torch.eye(3, dtype=torch.float64))
    whole = pictures_of(generator, APART, torch.ones(1, 3, dtype=torch.float64))
    further = pictures_of(generator, APART, 1 - 2 * step * torch.eye(3, dtype=torch.float64))
    slope = (3 * whole - 4 * ahead + further) / (2 * step)  # one-sided: 1 is the end
    assert (found.changes - slope).abs().max() < 1e-8
    assert slope.abs().max() > 1e-3


def test_shapley_maps_are_means_over_all_orders_of_arrival():
    generator = double(1)
    gains = torch.zeros(3, 3, 8, 8, dtype=torch.float64)
    for order in permutations(range(3)):
        there = torch.zeros(1, 3, dtype=torch.float64)
        before = pictures_of(generator, CROSS, there)
        for stroke in order:
            there[0, stroke] = 1
            after = pictures_of(generator, CROSS, there)
            gains[stroke] += (after - before)[0] / 6
            before = after
    found = stroke_maps(generator, CROSS, method="shapley")
    assert (found.changes - gains).abs().max() < 1e-12


def test_twice_backward_is_forward_mode(monkeypatch):
    """A layer without forward mode goes the other way, to the same numbers."""

    class Squared(Crooked):
        def __init__(self, square) -> None:
            super().__init__()
            self.square = square

        def forward(self, ink):
            return super().forward(self.square(ink))

    plain = painter(Squared(lambda x: x * x)).double()
    custom = painter(Squared(_Doubled.apply)).double()
    for method in GRADIENTS:
        one = stroke_maps(plain, CROSS, method=method)
        other = stroke_maps(custom, CROSS, method=method)
        assert (one.changes - other.changes).abs().max() < 1e-12
        assert one.changes.abs().max() > 1e-3
    with pytest.raises(GameError, match=r"cannot be differentiated twice.*occlusion, shapley"):
        stroke_maps(painter(Squared(_DoubledOnce.apply)).double(), CROSS, method="sla")


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_mean_of_an_sla_map_over_a_region_is_the_regions_sla_score(dtype, near):
    generator = painter(Crooked()).to(dtype)
    masks = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.4
    why = sla(Game(generator, Strokes(CROSS), Region(masks, asked="brightness")))
    maps = stroke_maps(generator, CROSS, method="sla").maps
    own = torch.stack([maps[:, mask].mean(1) for mask in masks])
    assert np.abs(own.numpy() - why.scores).max() < near
    assert np.abs(why.scores).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_content_over_a_region_is_the_regions_score(method):
    """`Region` divides by what the region holds; `content` by what the whole picture holds."""
    from sightline import methods

    generator = double()
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :5, 2:6] = True
    why = getattr(methods, method)(Game(generator, Strokes(APART), Region(mask)))
    found = stroke_maps(generator, APART, method=method)
    drawn = (found.picture - found.blank).square().sum(0)
    of_region = found.content[:, mask[0]].sum(1) / (drawn[mask[0]].sum() / drawn.sum())
    assert np.abs(of_region.numpy() - why.scores[0]).max() < 1e-5


@pytest.mark.parametrize("asked", ["content", "brightness"])
@pytest.mark.parametrize("method", METHODS)
def test_scores_read_from_maps_are_those_of_a_game(method, asked):
    generator = double()
    masks = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(5)) < 0.3
    region = Region(masks, asked=asked)  # twice the picture's size, so that they are scaled
    why = getattr(methods, method)(Game(generator, Strokes(CROSS), region))
    read = stroke_maps(generator, CROSS, method=method).scores(region)
    assert read.shape == (3, 3)
    assert np.abs(read - why.scores).max() < 1e-5 * np.abs(why.scores).max()


@pytest.mark.parametrize(
    ("method", "sketch", "near"),
    [
        ("shapley", CROSS, 1e-12),
        (
            "integrated_gradients",
            APART,
            1e-9,
        ),  # no clip on the way, so the rule is as good as exact
        ("integrated_gradients", CROSS, 5e-3),  # 32 nodes across three kinks
    ],
)
def test_changes_add_up_to_the_picture(method, sketch, near):
    found = stroke_maps(double(), sketch, method=method)
    assert (found.changes.sum(0) - (found.picture - found.blank)).abs().max() < near
    assert found.gap < near
    assert float(found.content.sum()) == pytest.approx(1, abs=10 * near)
    assert (found.picture - found.blank).abs().max() > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_is_one_of_a_batch(method):
    generator = double()
    one, many = (stroke_maps(generator, CROSS, method=method, batch=b, steps=4) for b in (1, 64))
    assert (one.changes - many.changes).abs().max() < 1e-12
    assert one.evaluations == many.evaluations > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_generator_is_left_as_it_came_also_after_a_failure(method):
    generator = painter(Crooked()).train()
    generator.raster.module.first.weight.grad = torch.ones(4, 1, 5, 5)
    generator.raster.module.last.weight.requires_grad_(False)
    before = _state(generator)
    luck = torch.get_rng_state()
    stroke_maps(generator, CROSS, method=method)
    assert _state(generator) == before
    fails = iter([0, 0, 1])
    whole = generator.raster.module.forward

    def breaks(ink):
        if next(fails, 1):
            raise RuntimeError("the brush broke")
        return whole(ink)

    generator.raster.module.forward = breaks
    with pytest.raises((RuntimeError, GameError)):
        for _ in range(3):
            stroke_maps(generator, CROSS, method=method)
    del generator.raster.module.forward
    assert _state(generator) == before
    assert torch.equal(luck, torch.get_rng_state())


def test_the_strongest_stroke_and_its_share_of_a_region():
    paper = painter(lambda ink: ink.expand(-1, 3, -1, -1))
    found = stroke_maps(paper, APART)
    rows = found.strongest()
    assert set(rows.unique().tolist()) == {-1, 0, 1, 2}
    upper = torch.zeros(16, 16, dtype=torch.bool)
    upper[:6] = True
    assert found.inside(upper).tolist() == pytest.approx([1, 0, 0])
    smaller = torch.zeros(8, 8, dtype=torch.bool)
    smaller[:3] = True
    assert found.inside(smaller).tolist() == pytest.approx([1, 0, 0])
    nothing = StrokeMaps(
        found.changes.clone().index_fill_(0, torch.tensor([1]), 0.0),
        found.picture, found.blank, APART, "occlusion",
    )  # fmt: skip
    assert np.isnan(nothing.inside(upper)).tolist() == [False, True, False]


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.parametrize(
    "module",
    [
        lambda ink: ink.detach().expand(-1, 3, -1, -1),
        lambda ink: torch.from_numpy(ink.detach().numpy()).expand(-1, 3, -1, -1),
        lambda ink: torch.full((len(ink), 3, 4, 4), 0.5, requires_grad=True) + 0,
    ],
)
def test_generators_without_gradient_are_refused_with_what_works(module, method):
    with pytest.raises(GameError, match=r"carries no gradient.*occlusion, shapley"):
        stroke_maps(painter(module), CROSS, method=method)
    assert stroke_maps(painter(module), CROSS, method="occlusion").changes.isfinite().all()


def test_drawings_that_come_whole_are_asked_without_gradient():
    class Black:
        """Reads the drawing itself, not a picture of it."""

        labels, generates = (), True

        def prepare(self, sketch):
            return sketch.normalise()

        def __call__(self, batch):
            lengths = batch.strokes_per_sketch.float()
            return lengths[:, None, None, None].expand(-1, 1, 2, 2) / 4

    found = stroke_maps(Black(), CROSS, method="shapley").maps[:, 0, 0]
    assert found.tolist() == pytest.approx([0.25] * 3)
    with pytest.raises(GameError, match=r"strokes whole or not at all.*occlusion, shapley"):
        stroke_maps(Black(), CROSS, method="sla")


def test_mistakes_are_told():
    paper = painter(lambda ink: ink)
    with unchecked(), pytest.raises(TaskError, match="did you mean 'occlusion'"):
        stroke_maps(paper, CROSS, method="oclusion")
    many = Sketch.from_strokes([[(0, i), (9, i)] for i in range(11)])
    with pytest.raises(TaskError, match=r"11 strokes need 2\^11 pictures.*'occlusion'"):
        stroke_maps(paper, many, method="shapley")
    with pytest.raises(TaskError, match="at least 1"):
        stroke_maps(paper, CROSS, method="integrated_gradients", steps=0)
    with pytest.raises(GameError, match="makes no pictures"):
        stroke_maps(nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), CROSS)
    with pytest.raises(ModelError, match="expected pictures"):
        stroke_maps(painter(lambda ink: ink.mean((2, 3))), CROSS)
    blank = stroke_maps(painter(lambda ink: 0 * ink), CROSS)
    with pytest.raises(TaskError, match="changes nothing"):
        _ = blank.content
    with pytest.raises(TaskError, match="puts nothing into 'roof'"):
        blank.scores(Region(torch.ones(1, 4, 4, dtype=torch.bool), ("roof",)))
    with pytest.raises(TaskError, match="strokes by picture"):
        StrokeMaps(blank.changes[:2], blank.picture, blank.blank, CROSS, "occlusion")


def _state(generator: nn.Module) -> object:
    weights = [(p.requires_grad, None if p.grad is None else p.grad.tolist(), p.tolist())
               for p in generator.parameters()]  # fmt: skip
    hooks = [
        (m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in generator.modules()
    ]
    return weights, [b.tolist() for b in generator.buffers()], hooks


def _batch(sketch: Sketch, dtype=torch.float32):
    from sightline.sketch.batch import SketchBatch

    return SketchBatch.from_sketches([sketch.normalise()], dtype=dtype)
