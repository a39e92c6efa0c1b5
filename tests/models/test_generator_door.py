"""The door for networks that make a picture of a drawing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline.errors import GameError, ModelError
from sightline.game import Game
from sightline.models.generator import Generator, RasterGenerator
from sightline.models.raster import RasterModel
from sightline.parts import GridCells, Points, Strokes
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.targets.region import Region
from toys import batch_of, picture_net, rails, scribble, unchecked

INK = Rasteriser(size=16, line_width=0.15)
HALVES = torch.zeros(2, 16, 16, dtype=torch.bool)
HALVES[0, :, :8], HALVES[1, :8] = True, True


class Net(nn.Module):
    """Down, up, three colours; piecewise linear, with dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        self.up = nn.Upsample(scale_factor=2)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, pictures: Tensor) -> Tensor:
        deep = self.relu(self.norm(self.down(pictures)))
        return self.out(self.dropout(self.up(deep)))


def net(**settings) -> RasterGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return RasterGenerator(Net(), rasteriser=INK, **settings).eval()


def game_of(generator, *, asked="content", parts=None) -> Game:
    return Game(generator, parts or Strokes(rails(3)), Region(HALVES, asked=asked))


# --- what it answers ------------------------------------------------------------------------------


def test_what_the_module_is_shown():
    """Black ink on white, three channels, shifted and stretched, as of any raster model."""
    shown: list[Tensor] = []

    def keep(pictures: Tensor) -> Tensor:
        shown.append(pictures)
        return pictures

    settings = {"rasteriser": INK, "channels": 3, "ink": "black", "mean": 0.25, "std": 0.5}
    generator = RasterGenerator(keep, **settings)
    batch = batch_of(generator.prepare(scribble()))
    generator(batch)
    ink = RasterModel(nn.Identity(), rasteriser=INK).picture(batch)
    torch.testing.assert_close(shown[0], ((1 - ink - 0.25) / 0.5)[:, None].expand(-1, 3, -1, -1))


def test_the_range_becomes_black_and_white():
    """From -1 to 1 to 0 to 1, as of a network that ends in tanh."""
    levels = torch.tensor([-1.0, 0.0, 1.0, 3.0]).view(1, 1, 2, 2)
    generator = RasterGenerator(lambda ink: levels.expand(len(ink), -1, -1, -1), low=-1, high=1)
    assert generator.generate(scribble()).flatten().tolist() == [0, 0.5, 1, 2]
    bytes_ = RasterGenerator(lambda ink: 255 * ink, rasteriser=INK, high=255)
    batch = batch_of(bytes_.prepare(scribble()))
    torch.testing.assert_close(bytes_(batch)[:, 0], bytes_.raster.picture(batch))


def test_a_function_is_a_generator():
    generator = RasterGenerator(lambda ink: ink.expand(-1, 3, -1, -1), rasteriser=INK)
    assert generator.generate(scribble()).shape == (3, 16, 16)
    assert sl.sla(game_of(generator)).scores.any()


def test_it_is_told_apart():
    assert isinstance(net(), Generator)
    assert not isinstance(picture_net(), Generator)
    assert (net().labels, net().rasteriser) == ((), INK)
    assert net(epsilon=3.0).raster.epsilon == 3.0


def test_drawings_do_not_depend_on_the_batch():
    generator = net()
    batch = [generator.prepare(scribble(seed, 2 + seed)) for seed in range(4)]
    with torch.no_grad():
        together = generator(SketchBatch.from_sketches(batch))
    alone = torch.stack([generator.generate(scribble(seed, 2 + seed)) for seed in range(4)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_the_model_is_left_as_it_came():
    generator = net().train()
    generator.raster.module.norm.eval()
    next(generator.parameters()).requires_grad_(False)
    modes = [m.training for m in generator.modules()]
    state = {name: value.clone() for name, value in generator.state_dict().items()}
    luck = torch.random.get_rng_state()
    first, again = (generator.generate(scribble()) for _ in range(2))
    assert torch.equal(first, again)
    sl.sla(game_of(generator))
    assert [m.training for m in generator.modules()] == modes
    assert all(torch.equal(v, state[n]) for n, v in generator.state_dict().items())
    assert [p.requires_grad for p in generator.parameters()][:2] == [False, True]
    assert all(p.grad is None for p in generator.parameters())
    assert torch.equal(luck, torch.random.get_rng_state())


# --- methods --------------------------------------------------------------------------------------


def black_box() -> RasterGenerator:
    def paint(ink: Tensor) -> Tensor:
        return torch.from_numpy(ink.detach().numpy().repeat(3, 1))

    return RasterGenerator(paint, rasteriser=INK)


@pytest.mark.parametrize(
    "method", ["sla", "integrated_gradients", "smooth_grad", "gradient_x_input", "full_grad"]
)
def test_a_black_box_has_no_gradient(method):
    with pytest.raises(
        GameError, match=r"carries no gradient .* use a method that needs none: sha"
    ):
        getattr(sl, method)(game_of(black_box()))


@pytest.mark.parametrize("method", ["shapley", "kernel_shap", "lime", "rise", "occlusion"])
def test_a_black_box_is_asked_without(method):
    """It paints the ink itself, so it is explained as the function that torch can follow."""
    clear = RasterGenerator(lambda ink: ink.expand(-1, 3, -1, -1), rasteriser=INK)
    found = getattr(sl, method)(game_of(black_box())).scores
    assert found == pytest.approx(getattr(sl, method)(game_of(clear)).scores, abs=1e-6)
    assert found.any()


def test_points_move():
    generator = net()
    parts = Points(generator.prepare(rails(3)))
    assert sl.p_sla(game_of(generator, parts=parts)).scores.any()


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "ablation_cam", "eigen_cam"])
def test_the_last_map_is_the_picture_itself(method):
    """It would show where the region is; an inner layer is asked for by name."""
    told = r"last feature map is its picture, .* give layer=..., one of: down, norm, relu, up"
    with pytest.raises(GameError, match=told):
        getattr(sl, method)(game_of(net()))
    assert getattr(sl, method)(game_of(net()), layer="relu").scores.any()
    with pytest.raises(GameError, match="one of: none; or use shapley"):
        getattr(sl, method)(game_of(black_box()))


def test_full_grad_of_a_generator_is_complete():
    """Every layer is linear in pieces: the maps and biases sum to the brightness itself."""
    generator = net(low=0.0, high=2.0)
    cells = GridCells(rails(3), 16, 16)
    game = game_of(generator, asked="brightness", parts=cells)
    why = sl.full_grad(game)
    assert why.scores.sum(1) == pytest.approx(game.value.numpy(), abs=1e-6)


@pytest.mark.parametrize("method", ["attention", "attention_rollout"])
def test_attention_is_refused(method):
    with pytest.raises(GameError, match="RasterGenerator attends to no strokes; use shapley"):
        getattr(sl, method)(game_of(net()))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, 0.0), (0.0, float("nan"))], ids=str)
def test_ranges_without_extent(low, high):
    with pytest.raises(ModelError, match="have no range; give low below high"):
        RasterGenerator(nn.Identity(), low=low, high=high)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (torch.zeros(1, 4), r"answered \[1, 4\]; expected pictures \[1, colours, height, width\]"),
        (torch.zeros(2, 3, 4, 4), r"answered \[2, 3, 4, 4\]; expected pictures \[1,"),
        ([torch.zeros(1, 3, 4, 4)], "answered list"),
    ],
    ids=["vector", "rows", "list"],
)
def test_what_is_no_picture(answer, told):
    generator = RasterGenerator(lambda _: answer, rasteriser=INK)
    with unchecked(), pytest.raises(ModelError, match=told):
        generator.generate(scribble())


def test_numbers_that_are_none():
    generator = RasterGenerator(lambda ink: ink[:, :1] * torch.nan, rasteriser=INK)
    with pytest.raises(GameError, match="NaN or infinity"):
        game_of(generator)


def test_an_unknown_ink():
    with unchecked(), pytest.raises(ModelError, match="unknown ink 'blue'"):
        RasterGenerator(nn.Identity(), ink="blue")
