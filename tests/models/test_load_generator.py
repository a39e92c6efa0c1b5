"""Generators on disk: what is written is read, and what is broken is told."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from sightline.errors import ModelError
from sightline.models.generator import RasterGenerator
from sightline.models.load_generator import load_generator, save_generator
from sightline.models.small_generator import small_generator
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.tasks.generation.generation_objective import Drawn, differences, mean_picture
from sightline.tasks.generation.train_generator import TEST, painted_pairs

HOUSE = Sketch.from_strokes([[(0, 4), (0, 8), (6, 8), (6, 4)], [(0, 4), (3, 0), (6, 4)]])


@pytest.fixture
def generator() -> RasterGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = small_generator(width=4)
        made.raster.module.stem[1].running_mean.normal_()
    return made.train()


def test_what_is_written_is_read(generator, tmp_path):
    save_generator(generator, tmp_path / "net", card={"seed": 3})
    again = load_generator(tmp_path / "net")
    assert not again.training
    assert torch.equal(again.generate(HOUSE), generator.generate(HOUSE))
    assert json.loads((tmp_path / "net" / "config.json").read_text())["card"] == {"seed": 3}


def test_half_the_bytes_give_nearly_the_same_picture(generator, tmp_path):
    save_generator(generator, tmp_path / "half", half=True)
    save_generator(generator, tmp_path / "whole")
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]
    again = load_generator(tmp_path / "half")
    assert next(again.parameters()).dtype == torch.float32
    assert (again.generate(HOUSE) - generator.generate(HOUSE)).abs().max() < 5e-3


def test_how_drawings_are_seen_comes_back(tmp_path):
    module = small_generator(width=4).raster.module
    odd = RasterGenerator(
        module, rasteriser=Rasteriser(size=32, line_width=0.1), ink="black", mean=0.5, std=0.25,
        low=-1.0, high=2.0, epsilon=1.5,
    )  # fmt: skip
    save_generator(odd, tmp_path)
    again = load_generator(tmp_path)
    assert again.rasteriser == odd.rasteriser
    assert (again.low, again.high) == (-1, 2)
    assert (again.raster.ink, again.raster.mean, again.raster.std) == ("black", 0.5, 0.25)
    assert again.raster.epsilon == 1.5
    assert torch.equal(again.generate(HOUSE), odd.generate(HOUSE))


def test_the_shipped_one_is_small_and_says_what_it_is():
    home = Path(str(files("sightline") / "weights" / "pairs-generator"))
    assert sum(file.stat().st_size for file in home.iterdir()) < 2e6
    card = json.loads((home / "config.json").read_text())["card"]
    assert card["data"]["pairs"] == 6000
    assert card["test mean squared difference"]["generator"] == "0.0032 [0.0030, 0.0034]"
    assert (home / "README.md").read_text().count("0.0032 (95 % interval 0.0030 to 0.0034)") == 1
    generator = load_generator("pairs-generator")
    assert not generator.training
    assert generator.generate(HOUSE).shape == (3, 64, 64)


def test_the_shipped_one_paints_unseen_drawings():
    """Each far nearer to what is wanted than the mean of all; as the card says, in the mean."""
    generator = load_generator("pairs-generator")
    data = Drawn.of(painted_pairs(range(TEST, TEST + 18)), generator)
    own = differences(generator, data)[1]
    bare = (data.pictures.double() / 255 - mean_picture(data)).square().mean((1, 2, 3))
    assert (own < bare).all()
    assert 0.002 < float(own.mean()) < 0.005


def test_a_module_that_could_not_be_read_back_is_not_written(tmp_path):
    with pytest.raises(ModelError, match="cannot save a RasterGenerator of Conv2d"):
        save_generator(RasterGenerator(torch.nn.Conv2d(1, 3, 3)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_broken_is_told(generator, tmp_path):
    with pytest.raises(ModelError, match="did you mean 'pairs-generator'"):
        load_generator("pair-generator")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"config\.json does not exist; a generator is a folder"):
        load_generator(tmp_path / "empty")
    home = tmp_path / "net"
    save_generator(generator, home)
    told = json.loads((home / "config.json").read_text())

    def with_config(text: str) -> None:
        (home / "config.json").write_text(text)

    with_config("{")
    with pytest.raises(ModelError, match=r"config\.json is not JSON"):
        load_generator(home)
    with_config(json.dumps(told | {"kind": "sketch-cnn"}))
    with pytest.raises(ModelError, match="does not describe a small-generator"):
        load_generator(home)
    with_config(json.dumps({k: v for k, v in told.items() if k != "rasteriser"}))
    with pytest.raises(ModelError, match=r"does not describe a generator \(KeyError: 'rasteriser'"):
        load_generator(home)
    with_config(json.dumps(told | {"width": 5}))
    with pytest.raises(ModelError, match=r"model\.safetensors does not fit"):
        load_generator(home)
    with_config(json.dumps(told))
    (home / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_generator(home)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"std": 0}, "std 0; expected finite numbers, std above 0"),
        ({"mean": float("nan")}, "mean is nan"),
        ({"high": float("inf")}, "have no range"),
        ({"epsilon": -1}, "epsilon is -1; expected a tolerance"),
        ({"epsilon": "a"}, "does not describe a generator"),
        ({"width": 10**9}, "does not describe a generator"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_settings_that_cannot_be_are_told_of(tmp_path, wrong, says):
    save_generator(small_generator(width=2), tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | wrong))
    with pytest.raises(ModelError, match=says):
        load_generator(tmp_path)


def test_endless_nesting_is_no_config(tmp_path):
    save_generator(small_generator(width=2), tmp_path)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match="is not JSON; write it with save_generator"):
        load_generator(tmp_path)
