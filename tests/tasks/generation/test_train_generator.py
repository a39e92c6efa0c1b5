"""Painted pictures, their loss, and a generator that learns them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from sightline.errors import TaskError
from sightline.image.photo import Photo
from sightline.models.generator import RasterGenerator
from sightline.models.small_generator import small_generator
from sightline.scenes.pairs import Pair, draw_pair
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.tasks.generation.generation_objective import (
    Drawn,
    Paint,
    Wanted,
    differences,
    mean_picture,
)
from sightline.tasks.generation.painted import PALETTE, PAPER, colour_of, paint
from sightline.tasks.generation.train_generator import (
    TEST,
    TRAINING,
    VALIDATION,
    against_mean,
    painted_pairs,
    train_generator,
)
from sightline.training.processes import ALONE
from sightline.training.recipe import Recipe

CROSS = Sketch.from_strokes([[(0, 0), (9, 9)], [(0, 9), (9, 0)]], parts=("body", "lid"))


def a_pair(light: list[list[int]]) -> Pair:
    grey = np.repeat(np.array(light, np.uint8)[..., None], 3, 2)
    body = np.array([[1, 1, 0, 0]] * 4, bool)
    lid = np.array([[0, 0, 1, 0]] * 4, bool)
    return Pair("x", "pot", Photo(grey), CROSS, {"body": body, "lid": lid})


# --- pictures -------------------------------------------------------------------------------------


def test_parts_are_painted_in_their_colours_and_the_rest_is_paper():
    made = paint(a_pair([[90, 90, 200, 7]] * 4), 4)
    wanted = [PALETTE["body"], PALETTE["body"], PALETTE["lid"], PAPER]
    assert made.shape == (3, 4, 4)
    for column, colour in enumerate(wanted):
        assert made[:, 2, column].tolist() == pytest.approx([c / 255 for c in colour])


def test_light_and_shade_stay_within_bounds():
    """Rows of 50 %, 100 %, 100 % and 300 % of the part's middle light."""
    made = paint(a_pair([[50] * 4, [100] * 4, [100] * 4, [255] * 4]), 4)
    body = torch.tensor(PALETTE["body"]) / 255
    assert torch.allclose(made[:, 0, 0], 0.6 * body)
    assert torch.allclose(made[:, 1, 0], body)
    assert torch.allclose(made[:, 3, 0], 1.25 * body)


def test_a_larger_photo_is_averaged():
    pair = a_pair([[90] * 4] * 4)
    small = paint(pair, 2)
    assert torch.allclose(small[:, 0, 0], paint(pair, 4)[:, 0, 0])
    half = (torch.tensor(PALETTE["lid"]) + torch.tensor(PAPER)) / 2 / 255
    assert torch.allclose(small[:, 0, 1], half)


def test_one_kind_of_part_has_one_colour():
    assert colour_of("left front leg") == colour_of("leg") == PALETTE["leg"]
    assert colour_of("periscope") == colour_of("second periscope") != colour_of("rudder")


def test_no_two_pairs_of_two_splits_are_the_same():
    assert TRAINING + 1_000_000 <= VALIDATION
    assert VALIDATION + 1_000_000 <= TEST


def test_painted_pairs_are_those_of_their_seeds():
    (sketch, picture), again = (next(painted_pairs([s], size=32)) for s in (5, 5))
    assert torch.equal(picture, again[1])
    assert sketch.name == draw_pair(5).sketch.name
    assert picture.shape == (3, 32, 32)
    drawn = (picture - torch.tensor(PAPER)[:, None, None] / 255).abs().amax(0) > 0.05
    assert 0.05 < float(drawn.float().mean()) < 0.8


# --- the loss -------------------------------------------------------------------------------------


class Constant(nn.Module):
    """One picture, whatever is drawn."""

    def __init__(self, picture: torch.Tensor) -> None:
        super().__init__()
        self.picture = nn.Parameter(picture)

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        return self.picture.expand(len(ink), -1, -1, -1)


def constant(picture: torch.Tensor) -> RasterGenerator:
    return RasterGenerator(Constant(picture), rasteriser=Rasteriser(size=8))


def test_the_loss_by_hand():
    """Made: a step of 1 between two columns; wanted: black."""
    made = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(1, 2, 2)
    wanted = Wanted(torch.zeros(3, 8, 8), torch.zeros(3, 1, 2, 2))
    terms = Paint(edges=2.0).losses(constant(made), wanted, torch.zeros(3, dtype=torch.int64))
    assert terms["pixels"].tolist() == [0.5] * 3
    # rows do not differ, columns by 1
    assert terms["edges"].tolist() == [2.0 * (0 + 1) / 2] * 3
    alone = Paint(edges=0.0).losses(constant(made), wanted, torch.zeros(3, dtype=torch.int64))
    assert set(alone) == {"pixels"}


def test_validation_by_hand():
    made = torch.full((1, 2, 2), 0.5)
    data = Drawn(torch.zeros(2, 8, 8).byte(), torch.zeros(2, 1, 2, 2).byte())
    found = Paint().validate(constant(made), data, ALONE)
    assert found["valid_l1"] == 0.5
    assert found["valid_mse"] == 0.25
    assert found["valid_psnr"] == pytest.approx(10 * math.log10(4))
    absolute, squared = differences(constant(made), data)
    assert (absolute.tolist(), squared.tolist()) == ([0.5, 0.5], [0.25, 0.25])


def test_the_mean_picture_is_what_knows_nothing():
    pictures = torch.tensor([0, 255]).view(2, 1, 1, 1).expand(2, 1, 2, 2).byte()
    data = Drawn(torch.zeros(2, 8, 8).byte(), pictures)
    assert mean_picture(data).unique().tolist() == [0.5]
    found = against_mean(constant(torch.zeros(1, 2, 2)), data, mean_picture(data))
    assert found["mean picture"].estimate == pytest.approx(0.25)
    assert found["generator"].estimate == 0.5
    assert found["gain"].estimate == pytest.approx(-0.25)


# --- training -------------------------------------------------------------------------------------


def drawn(generator: RasterGenerator, seeds: range) -> Drawn:
    return Drawn.of(painted_pairs(seeds), generator)


def test_a_generator_learns_and_goes_on_where_it_was(tmp_path):
    pytest.importorskip("lightning_fabric")
    recipe = Recipe(
        epochs=2, batch=4, lr=3e-3, warmup=0.1, augmentation=None, precision="32-true", ema=0.5
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = small_generator(width=4)
    training = drawn(generator, range(TRAINING, TRAINING + 24))
    validation = drawn(generator, range(VALIDATION, VALIDATION + 4))
    before = float(differences(generator, validation)[1].mean())
    history = train_generator(generator, training, validation, tmp_path, recipe=recipe)
    assert [row["epoch"] for row in history] == [1, 2]
    after = float(differences(generator, validation)[1].mean())
    assert after < 0.7 * before
    assert after == pytest.approx(min(row["valid_mse"] for row in history), rel=1e-6)
    assert not generator.training
    again = small_generator(width=4)
    assert train_generator(again, training, validation, tmp_path, recipe=recipe) == history
    for one, other in zip(generator.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_does_not_fit_is_told(tmp_path):
    generator = small_generator(width=4)
    with pytest.raises(TaskError, match="no pairs"):
        Drawn.of([], generator)
    small = Drawn.of(painted_pairs([TRAINING], size=32), generator)
    with pytest.raises(TaskError, match=r"pictures of \[3, 64, 64\], the pairs have \[3, 32, 32\]"):
        train_generator(generator, small, small, tmp_path)
