"""Image encoders of transformers, small and with random weights."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sightline as sl
from sightline.errors import ModelError
from sightline.game import Game
from sightline.image.photo import Photo
from sightline.models.clip_encoder import CLIP_MEAN, CLIP_STD, VisionTower, clip_encoder
from sightline.models.encoder import Encoder
from sightline.models.load_encoder import load_encoder
from sightline.models.transformers_sight import IMAGENET_MEAN, IMAGENET_STD
from sightline.parts import GridCells, Strokes
from sightline.sketch.raster import Rasteriser
from sightline.targets.vectors import Similarity
from toys import batch_of, scribble

transformers = pytest.importorskip("transformers")

TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = TOWER | {"vocab_size": 9, "max_position_embeddings": 5, "bos_token_id": 0, "eos_token_id": 1}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
HALVES = ((0.5,) * 3, (0.5,) * 3)
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)


def made(kind: str) -> nn.Module:
    t = transformers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "clip":
            text = {k: v for k, v in TEXT.items() if k not in ("image_size", "patch_size")}
            config = t.CLIPConfig(text_config=text, vision_config=TOWER, projection_dim=12)
            return t.CLIPModel(config).eval()
        if kind == "siglip":
            text = {k: v for k, v in TEXT.items() if k not in ("image_size", "patch_size")}
            config = t.SiglipConfig(text_config=text, vision_config=TOWER)
            return t.SiglipModel(config).eval()
        if kind == "clip vision":
            config = t.CLIPVisionConfig(**TOWER, projection_dim=12)
            return t.CLIPVisionModelWithProjection(config).eval()
        if kind == "vit":
            return t.ViTModel(t.ViTConfig(**TOWER)).eval()
        if kind == "dinov2":
            return t.Dinov2Model(t.Dinov2Config(**TOWER)).eval()
        return t.ResNetModel(t.ResNetConfig(**RESNET)).eval()


KINDS = {
    "clip": (12, 32, (CLIP_MEAN, CLIP_STD)),
    "siglip": (16, 32, HALVES),
    "clip vision": (12, 32, (CLIP_MEAN, CLIP_STD)),
    "vit": (16, 32, HALVES),
    "dinov2": (16, 32, IMAGENET),
    "resnet": (16, 224, IMAGENET),
}


def photo() -> Photo:
    return Photo(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))


def plainly(module, pictures: Tensor) -> Tensor:
    """As the manual of transformers has it."""
    if hasattr(module, "get_image_features"):
        answer = module.get_image_features(pixel_values=pictures)
        return answer if isinstance(answer, Tensor) else answer.pooler_output
    answer = module(pixel_values=pictures)
    found = answer.image_embeds if "image_embeds" in answer else answer.pooler_output
    return found.reshape(len(pictures), -1)


def normalised(pictures: Tensor, mean, std) -> Tensor:
    return torch.stack([(pictures[:, c] - mean[c]) / std[c] for c in range(3)], 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_s_own_vectors(kind):
    """Photos, and drawings as black ink on white, normalised colour by colour."""
    module, (width, side, (mean, std)) = made(kind), KINDS[kind]
    encoder = clip_encoder(module)
    assert (encoder.sketch.rasteriser, encoder.photo.size) == (Rasteriser(size=side), (side, side))
    pixels = encoder.photo.frame(32, 32).pixels(photo())[None]
    drawing = batch_of(encoder.sketch.prepare(scribble()))
    paper = (1 - encoder.sketch.picture(drawing))[:, None].expand(-1, 3, -1, -1)
    with torch.no_grad():
        seen = plainly(module, normalised(pixels, mean, std))
        drawn = plainly(module, normalised(paper, mean, std))
    assert seen.shape == drawn.shape == (1, width)
    torch.testing.assert_close(encoder.encode([photo()]), seen, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.encode([scribble()]), drawn, rtol=1e-5, atol=1e-5)


def test_one_network_reads_both():
    module = made("clip vision")
    encoder = clip_encoder(module)
    assert encoder.sketch.module.tower is encoder.photo.module
    assert encoder.photo.module.module is module
    assert {id(p) for p in encoder.parameters()} == {id(p) for p in module.parameters()}
    assert encoder.photo.labels == encoder.sketch.labels == ()


def test_plain_tensors_of_older_versions():
    class Older(nn.Module):
        config = SimpleNamespace(model_type="clip", image_size=8)

        def get_image_features(self, pixel_values):
            return pixel_values.mean((2, 3))

    encoder = clip_encoder(Older(), mean=(0.0,) * 3, std=(1.0,) * 3)
    white = Photo(np.full((8, 8, 3), 255, np.uint8))
    torch.testing.assert_close(encoder.encode([white]), torch.ones(1, 3))


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2", "resnet"])
def test_gradients_reach_strokes_and_pixels(kind):
    encoder = clip_encoder(made(kind), rasteriser=Rasteriser(size=KINDS[kind][1], line_width=0.1))
    luck = torch.Generator().manual_seed(0)
    to = torch.randn(2, KINDS[kind][0], generator=luck)
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(to))
    assert sl.sla(game).scores.all()
    photos = Game(encoder, GridCells(photo(), 2, 2), Similarity(to))
    assert sl.sla(photos).scores.all()


def test_gradients_are_those_of_differences():
    encoder = clip_encoder(made("clip").double(), rasteriser=Rasteriser(size=32, line_width=0.1))
    to = torch.randn(1, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(to))
    here, step = torch.full((1, 3), 0.5, dtype=torch.float64), 1e-5
    slopes = game.gradient(here)[0, 0]
    for part in range(3):
        moved = torch.eye(3, dtype=torch.float64)[part] * step
        wanted = (game(here + moved) - game(here - moved))[0, 0] / (2 * step)
        assert float(slopes[part]) == pytest.approx(float(wanted), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("kind", ["clip", "vit", "resnet"])
@pytest.mark.parametrize("method", ["grad_cam", "eigen_cam", "full_grad"])
def test_maps_of_what_it_saw(kind, method):
    encoder = clip_encoder(made(kind))
    to = torch.randn(2, KINDS[kind][0], generator=torch.Generator().manual_seed(0))
    scores = getattr(sl, method)(Game(encoder, Strokes(scribble(1, 3)), Similarity(to))).scores
    assert scores.shape == (2, 3)
    assert scores.any()


def test_full_grad_with_the_layer_norm_of_convnext():
    """Its norm is over channels that come first, where another's come last."""
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
    encoder = clip_encoder(transformers.ConvNextModel(config).eval(), size=64)
    to = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(to))
    assert sl.full_grad(game).scores.shape == (1, 3)


def test_settings_of_a_processor():
    told = {
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        "resample": 3,
    }
    encoder = clip_encoder(made("clip"), processor=told)
    assert encoder.photo.size == (32, 32)
    assert (encoder.photo.mean, encoder.photo.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (encoder.sketch.module.mean, encoder.sketch.module.std) == (
        encoder.photo.mean,
        encoder.photo.std,
    )
    other = clip_encoder(made("clip"), processor=told, mean=HALVES[0], std=HALVES[1])
    assert (other.photo.mean, other.sketch.module.std) == HALVES
    assert other.fingerprint != encoder.fingerprint


def test_the_model_is_left_as_it_came():
    module = made("clip").train()
    module.vision_model.eval()
    modes = [m.training for m in module.modules()]
    encoder = clip_encoder(module)
    encoder.encode([scribble()])
    assert [m.training for m in module.modules()] == modes
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


# --- names ----------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path):
    made("clip").save_pretrained(tmp_path)
    return tmp_path


def test_a_folder(home):
    own = clip_encoder(made("clip"))
    encoder = load_encoder(f"clip:{home}", measure="distance")
    assert isinstance(encoder, Encoder)
    assert (encoder.measure, encoder.name) == ("distance", f"clip:{home}")
    torch.testing.assert_close(encoder.encode([scribble()]), own.encode([scribble()]))
    assert not any(module.training for module in encoder.modules())


@pytest.mark.parametrize("says", ["its class", "nothing"])
def test_a_folder_keeps_its_projection(tmp_path, says):
    """AutoModel reads the backbone alone, whose vectors are of another space."""
    module = made("clip vision")
    module.save_pretrained(tmp_path)
    if says == "nothing":
        told = json.loads((tmp_path / "config.json").read_text())
        del told["architectures"]
        (tmp_path / "config.json").write_text(json.dumps(told))
    encoder = load_encoder(f"clip:{tmp_path}")
    assert type(encoder.photo.module.module) is type(module)
    for item in (photo(), scribble()):
        assert encoder.encode([item]).shape == (1, 12)
        torch.testing.assert_close(encoder.encode([item]), clip_encoder(module).encode([item]))


def test_a_backbone_without_a_projection_stays_one(tmp_path):
    config = transformers.CLIPVisionConfig(**TOWER)
    transformers.CLIPVisionModel(config).save_pretrained(tmp_path)
    encoder = clip_encoder(str(tmp_path))
    assert encoder.encode([photo()]).shape == (1, 16)


def test_a_projection_that_was_promised_but_is_not_there(tmp_path):
    transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**TOWER)).save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    told["architectures"] = ["CLIPVisionModelWithProjection"]
    (tmp_path / "config.json").write_text(json.dumps(told))
    lost = r"does not hold all weights of CLIPVisionModelWithProjection: .*visual_projection.weight"
    with pytest.raises(ModelError, match=lost):
        clip_encoder(str(tmp_path))


def test_a_projection_without_a_class_is_told(tmp_path):
    module = transformers.ViTModel(transformers.ViTConfig(**TOWER))
    module.visual_projection = nn.Linear(16, 8)
    module.save_pretrained(tmp_path)
    told = r"visual_projection.\w+ has no place in transformers, which has no ViTModelWithProj"
    with pytest.raises(ModelError, match=told):
        clip_encoder(str(tmp_path))


def test_half_precision_is_read_as_float32(tmp_path):
    made("clip").half().save_pretrained(tmp_path)
    encoder = clip_encoder(str(tmp_path))
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


def test_pickles_are_not_opened(home):
    module = made("clip")
    (home / "model.safetensors").unlink()
    torch.save(module.state_dict(), home / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"cannot be loaded .*; check the name and the network"):
        clip_encoder(str(home))


def test_code_of_a_repository_is_not_run(home):
    (home / "bad.py").write_text("raise SystemExit('run')")
    config = '{"model_type": "own", "auto_map": {"AutoConfig": "bad.C", "AutoModel": "bad.M"}}'
    (home / "config.json").write_text(config)
    with pytest.raises(ModelError, match="cannot be loaded as a model of transformers"):
        clip_encoder(str(home))


def test_no_network(monkeypatch):
    def offline(*_, **asked):
        assert asked["trust_remote_code"] is False
        raise OSError("We couldn't connect to the hub\nmore")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", offline)
    told = r"org/name cannot be loaded .* \(We couldn't connect to the hub\); check the name and th"
    with pytest.raises(ModelError, match=told):
        load_encoder("clip:org/name")


def test_random_weights_are_no_surprise(tmp_path):
    """A classifier has no pooler; transformers would draw one."""
    config = transformers.ViTConfig(**TOWER)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"does not hold all weights of ViTModel: 2 are .*pooler"):
        clip_encoder(str(tmp_path))


# --- errors ---------------------------------------------------------------------------------------


def test_no_model_of_transformers():
    with pytest.raises(ModelError, match="Linear is no model of transformers"):
        clip_encoder(nn.Linear(2, 2))


def test_no_pooled_vector():
    module = transformers.ViTModel(transformers.ViTConfig(**TOWER), add_pooling_layer=False)
    with pytest.raises(ModelError, match="without a pooled vector"):
        clip_encoder(module.eval())


def test_a_size_that_it_cannot_read():
    with pytest.raises(ModelError, match=r"pictures of 48 x 48 pixels .* its config says 32 x 32"):
        clip_encoder(made("clip"), size=48)


def test_the_tower_alone():
    with torch.no_grad():
        assert VisionTower(made("resnet"))(torch.zeros(2, 3, 64, 64)).shape == (2, 16)


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match="this needs transformers: pip install"):
        clip_encoder("org/name")
