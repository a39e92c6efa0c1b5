"""One name, one encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sightline as sl
from sightline.errors import ModelError
from sightline.image.photo import Photo
from sightline.models import load_encoder as room
from sightline.models.encoder import Encoder
from sightline.models.load import save
from sightline.models.load_classifier import save_classifier
from sightline.models.load_encoder import load_encoder, save_encoder
from sightline.models.raster import RasterModel, sketch_cnn
from sightline.models.small_resnet import small_resnet
from sightline.models.two_branch import two_branch
from sightline.sketch.raster import Rasteriser
from sightline.targets.vectors import Similarity
from toys import LABELS, scribble, stroke_net, unchecked


def photo() -> Photo:
    return Photo(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))


@pytest.fixture
def encoder() -> Encoder:
    return two_branch(dimension=6, width=4, size=32, measure="distance", seed=1).train()


@pytest.fixture
def home(encoder, tmp_path) -> Path:
    save_encoder(encoder, tmp_path / "pairs")
    return tmp_path / "pairs"


# --- folders of two branches ----------------------------------------------------------------------


def test_a_saved_encoder_comes_back(encoder, home):
    back = load_encoder(home)
    assert back.fingerprint == encoder.fingerprint
    assert (back.measure, back.name) == ("distance", str(home))
    assert not any(module.training for module in back.modules())
    assert torch.equal(back.encode([scribble()]), encoder.encode([scribble()]))
    assert torch.equal(back.encode([photo()]), encoder.encode([photo()]))


def test_what_the_config_tells(encoder, home):
    told = json.loads((home / "config.json").read_text())
    wanted = {"kind": "two-branch", "dimension": 6, "size": 32, "width": 4, "measure": "distance"}
    assert wanted.items() <= told.items()
    save_encoder(encoder, home, card={"pairs": 7})
    assert json.loads((home / "config.json").read_text())["card"] == {"pairs": 7}
    assert load_encoder(home).fingerprint == encoder.fingerprint


def test_how_it_looks_is_kept(encoder, tmp_path):
    encoder.sketch.rasteriser = Rasteriser(size=32, line_width=0.1, profile="sigmoid")
    encoder.sketch.ink, encoder.sketch.epsilon = "black", None
    encoder.photo.mean, encoder.photo.resampling = (0.1, 0.2, 0.3), "bilinear"
    save_encoder(encoder, tmp_path)
    assert load_encoder(tmp_path).fingerprint == encoder.fingerprint


def test_half_of_the_bytes(encoder, home, tmp_path):
    save_encoder(encoder, tmp_path / "half", half=True)
    whole, half = (f / "model.safetensors" for f in (home, tmp_path / "half"))
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    back = load_encoder(tmp_path / "half")
    assert {p.dtype for p in back.parameters()} == {torch.float32}
    near = encoder.encode([scribble()])
    torch.testing.assert_close(back.encode([scribble()]), near, rtol=0, atol=2e-3)


def test_torch_is_left_as_it_was(home):
    before = torch.random.get_rng_state()
    load_encoder(home)
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_measure(home):
    other = load_encoder(home, measure="cosine")
    assert other.measure == "cosine"
    assert other.fingerprint != load_encoder(home).fingerprint
    with unchecked(), pytest.raises(ModelError, match="unknown measure 'cos'"):
        load_encoder(home, measure="cos")


def test_it_explains_a_match(home):
    """The whole way: a folder, a photo, the strokes that make the match."""
    encoder = load_encoder(home)
    near = Similarity(encoder.encode([photo()]), measure=encoder.measure)
    assert sl.sla(sl.Game(encoder, sl.Strokes(scribble(1, 3)), near)).scores.shape == (1, 3)


# --- recognisers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "width"), [("sketchxainet-tiny", 192), ("sketch-cnn", 96)])
def test_shipped_recognisers_without_their_heads(name, width):
    encoder = load_encoder(name)
    assert encoder.encode([scribble()]).shape == (1, width)
    assert (encoder.sketch.labels, encoder.photo, encoder.name) == ((), None, name)
    assert not any(module.training for module in encoder.modules())
    with pytest.raises(ModelError, match="reads drawings only"):
        encoder.encode([photo()])


def test_folders_of_recognisers(tmp_path):
    save(stroke_net(), tmp_path / "strokes")
    save(sketch_cnn(LABELS, width=4), tmp_path / "ink")
    assert load_encoder(tmp_path / "strokes").encode([scribble()]).shape == (1, 16)
    assert load_encoder(tmp_path / "ink").encode([scribble()]).shape == (1, 16)


def test_published_checkpoints_say_nothing_of_their_kind(tmp_path):
    save(stroke_net(hidden=64, heads=1), tmp_path)
    (tmp_path / "config.json").unlink()
    encoder = load_encoder(tmp_path, measure="distance")
    assert encoder.encode([scribble()]).shape == (1, 64)
    assert encoder.measure == "distance"


def test_folders_of_classifiers_of_photos(tmp_path):
    save_classifier(small_resnet(LABELS, (32, 32), widths=(4, 8)), tmp_path)
    encoder = load_encoder(tmp_path)
    assert encoder.encode([photo()]).shape == (1, 8)
    assert encoder.sketch is None


# --- errors ---------------------------------------------------------------------------------------


def test_every_name_is_told():
    with pytest.raises(ModelError) as told:
        load_encoder("pairs")
    assert all(name in str(told.value) for name in room.KNOWN)
    with pytest.raises(ModelError, match="did you mean 'sketch-cnn'"):
        load_encoder("sketch-cn")
    with pytest.raises(ModelError, match="unknown encoder 'clip:'"):
        load_encoder("clip:")


def test_a_missing_shipped_one(monkeypatch, tmp_path):
    monkeypatch.setattr(room, "files", lambda _: tmp_path)
    with pytest.raises(ModelError, match=r"pairs-encoder does not exist: the installation is inc"):
        load_encoder("pairs-encoder")


def test_folders_that_are_no_encoders(tmp_path):
    with pytest.raises(ModelError, match=r"an encoder is a folder with config.json and model.safe"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json is not JSON; write it with save_encoder"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"kind": "two-brunch"}')
    with pytest.raises(ModelError, match=r"config.json: unknown kind of encoder 'two-brunch'"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match=r"is no recogniser .* is named clip:"):
        load_encoder(tmp_path)


def change(home: Path, **fields) -> None:
    told = json.loads((home / "config.json").read_text()) | fields
    kept = {name: value for name, value in told.items() if value != "gone"}
    (home / "config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    "damage",
    [
        {"width": "gone"},
        {"width": "wide"},
        {"dimension": 0},
        {"size": 32.5},
        {"measure": "near"},
        {"measure": "gone"},
        {"sketch": {}},
        {"photo": "gone"},
        {"photo": {"mean": [0], "std": [1, 1, 1], "resampling": "bilinear"}},
        {"dimension": 10**15},
    ],
    ids=str,
)
def test_damaged_configs(home, damage):
    change(home, **damage)
    told = r"config.json does not describe an encoder .*; write it with save_encoder"
    with unchecked(), pytest.raises(ModelError, match=told):
        load_encoder(home)


def test_weights_of_another_encoder(home):
    change(home, dimension=7)
    told = (
        r"model.safetensors does not fit .*config.json: 4 weights differ, the first is "
        r"photo.module.head.bias, expected \[7\], came \[6\]; .*Write both with save_encoder"
    )
    with pytest.raises(ModelError, match=told):
        load_encoder(home)


def test_weights_that_are_none(home):
    (home / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read as weights"):
        load_encoder(home)
    (home / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model.safetensors does not exist"):
        load_encoder(home)


@pytest.mark.parametrize("size", [(64, 96), (16, 16)], ids=str)
def test_photos_that_would_come_back_in_another_size_are_not_saved(encoder, tmp_path, size):
    encoder.photo.size = size
    told = f"reads photos of {size[0]} x {size[1]} pixels: load_encoder makes them square, of 32"
    with pytest.raises(ModelError, match=told):
        save_encoder(encoder, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_other_encoders_are_not_saved(encoder, tmp_path):
    for other, told in (
        (Encoder(sketch=stroke_net()), "an encoder of SketchXAINet and nothing"),
        (Encoder(sketch=encoder.sketch), "an encoder of Branch and nothing"),
        (Encoder(sketch=RasterModel(nn.Flatten())), "an encoder of Flatten and nothing"),
        (
            Encoder(sketch=encoder.sketch, photo=two_branch(width=2).photo),
            "an encoder of Branch and Branch",
        ),
    ):
        with pytest.raises(ModelError, match=f"cannot save {told}.*keep encoder.state_dict"):
            save_encoder(other, tmp_path / "none")
    assert not (tmp_path / "none").exists()
