"""The small SSD: its candidates, what it leaves as found, its files."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from sightline.errors import ModelError
from sightline.image.boxes import iou
from sightline.image.photo import Photo
from sightline.models.anchors import encode
from sightline.models.as_found import as_found
from sightline.models.detector import DenseDetector
from sightline.models.scene_ssd import SceneSSD, load_scene_ssd, save_scene_ssd
from sightline.scenes.scene import LABELS, draw_scene

SHIPPED = Path(str(files("sightline") / "weights" / "scene-ssd"))


@pytest.fixture(scope="module")
def shipped() -> SceneSSD:
    return load_scene_ssd()


@pytest.fixture
def small() -> SceneSSD:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SceneSSD(("background", "cup", "key"), widths=(4, 4, 8, 8, 8)).eval()


def pictures(model: SceneSSD, *seeds: int) -> torch.Tensor:
    photos = [draw_scene(seed).photo for seed in seeds]
    return torch.stack([model.frame(*photo.size).pixels(photo) for photo in photos])


# --- by hand --------------------------------------------------------------------------------------


def test_anchors_stand_on_three_grids(small):
    counts = small.level.bincount().tolist()
    assert counts == [16 * 20 * 6, 8 * 10 * 6, 4 * 5 * 6]
    centres = (small.anchors[:, :2] + small.anchors[:, 2:]) / 2
    assert centres[0].tolist() == pytest.approx([4, 4])
    assert centres[6].tolist() == pytest.approx([12, 4])
    assert centres[1920].tolist() == pytest.approx([8, 8])
    assert centres[-1].tolist() == pytest.approx([144, 112])
    first = small.anchors[0, 2:] - small.anchors[0, :2]
    assert float(first[0] / first[1]) == pytest.approx(1.0)  # ratio 0.8 of a picture of 5 : 4


def test_a_head_that_says_one_thing_is_heard_at_its_anchor(small):
    """All weights of the heads 0: every score the bias's, every box its anchor's."""
    for head in (*small.classes, *small.offsets):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    for head in small.classes:
        head.bias.data.view(6, 3)[4, 2] = 5.0  # the fifth shape says "key"
    candidates = small.dense(pictures(small, 0))
    assert (candidates.boxes[0] - small.anchors).abs().max() < 1e-4
    fifth = torch.arange(2520) % 6 == 4
    said = torch.tensor([0.0, 0.0, 5.0]).softmax(0)
    assert (candidates.scores[0, fifth] - said).abs().max() < 1e-6
    assert (candidates.scores[0, ~fifth] - 1 / 3).abs().max() < 1e-6
    found = small.detect([draw_scene(0).photo], threshold=0.9)[0]
    assert set(found.names) == {"key"}
    assert set((found.candidates % 6).tolist()) == {4}


def test_offsets_are_those_of_encode(small):
    """Said to every anchor of the middle map: go to this box."""
    for head in (*small.classes, *small.offsets):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    wanted = torch.tensor([[0.5, -1.0, 0.7, 0.2]])
    small.offsets[1].bias.data.view(6, 4)[0] = wanted[0]
    boxes = small.dense(pictures(small, 0)).boxes[0]
    moved = (small.level == 1) & (torch.arange(2520) % 6 == 0)
    back = encode(boxes[moved], small.anchors[moved])
    assert (back - wanted).abs().max() < 1e-3
    assert (boxes[~moved] - small.anchors[~moved]).abs().max() < 1e-4


# --- laws -----------------------------------------------------------------------------------------


def test_it_is_a_dense_detector(shipped):
    assert isinstance(shipped, DenseDetector)
    assert shipped.labels == LABELS
    candidates = shipped.dense(pictures(shipped, 1, 2))
    assert tuple(candidates.boxes.shape) == (2, 2520, 4)
    assert (candidates.scores - candidates.logits.softmax(-1)).abs().max() == 0
    assert (candidates.scores.sum(-1) - 1).abs().max() < 1e-5
    assert [tuple(f.shape[2:]) for f in candidates.features] == [(16, 20), (8, 10), (4, 5)]


def test_a_candidate_reads_only_the_map_of_its_level(shipped):
    with as_found(shipped):
        candidates = shipped.dense(pictures(shipped, 3))
        for level in range(3):
            index = int((shipped.level == level).nonzero()[5])
            asked = torch.autograd.grad(
                candidates.logits[0, index, 2],
                candidates.features,
                retain_graph=True,
                allow_unused=True,
            )
            used = [g is not None and bool(g.abs().sum() > 0) for g in asked]
            assert used == [i == level for i in range(3)]


def test_pictures_are_differentiable(shipped):
    shown = pictures(shipped, 3).requires_grad_()
    with as_found(shipped):
        (slope,) = torch.autograd.grad(shipped.dense(shown).logits[0, :, 1].max(), shown)
    assert slope.abs().sum() > 0


def test_one_picture_alone_is_as_among_others(shipped):
    shown = pictures(shipped, 1, 2, 3, 4)
    with torch.no_grad():
        together = shipped.dense(shown)
        for i in range(4):
            alone = shipped.dense(shown[i : i + 1])
            assert (alone.scores[0] - together.scores[i]).abs().max() < 1e-5
            assert (alone.boxes[0] - together.boxes[i]).abs().max() < 1e-3


def test_a_wide_photo_gets_boxes_in_its_own_pixels(shipped):
    """The same scene on twice the width and half the height."""
    scene = draw_scene(6, objects=3)
    wide = Photo(scene.photo.pixels[::2].repeat(2, axis=1))
    plain, stretched = shipped.detect([scene.photo, wide])
    assert len(plain) >= 2
    assert stretched.names == plain.names
    back = stretched.boxes * torch.tensor([0.5, 2.0, 0.5, 2.0])
    assert iou(plain.boxes, back).diagonal().min() > 0.8


def test_it_is_left_as_found(small, monkeypatch):
    """Also after a failure."""
    small.train()
    small.stem.eval()
    small.sides[0].weight.requires_grad_(False)
    small.sides[1].weight.grad = torch.ones_like(small.sides[1].weight)
    before = {name: value.clone() for name, value in small.state_dict().items()}
    state = torch.random.get_rng_state()
    small.detect([draw_scene(0).photo])

    def fail(_):
        raise RuntimeError("out of paper")

    monkeypatch.setattr(small.coarse, "forward", fail)
    with pytest.raises(RuntimeError, match="out of paper"):
        small.detect([draw_scene(0).photo])
    assert small.training
    assert not small.stem.training
    assert not small.sides[0].weight.requires_grad
    assert small.sides[1].weight.requires_grad
    assert small.sides[1].weight.grad.sum() == small.sides[1].weight.numel()
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert not any(module._forward_hooks for module in small.modules())


def test_float64_weights_answer_in_float64(small):
    shown = pictures(small, 1)
    plain, exact = small.dense(shown), small.double().dense(shown)
    assert exact.logits.dtype == torch.float64
    assert (exact.logits - plain.logits).abs().max() < 1e-4


# --- files ----------------------------------------------------------------------------------------


def test_what_is_saved_is_loaded(small, tmp_path):
    save_scene_ssd(small, tmp_path, card={"note": "three labels"})
    again = load_scene_ssd(tmp_path)
    assert again.labels == small.labels
    assert not again.training
    assert json.loads((tmp_path / "config.json").read_text())["card"] == {"note": "three labels"}
    shown = pictures(small, 1)
    # halves know three digits
    assert (again.dense(shown).scores - small.dense(shown).scores).abs().max() < 0.01
    for name, value in again.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, small.state_dict()[name].half().float())


def test_the_shipped_files_are_small_and_say_what_they_are():
    assert {path.name for path in SHIPPED.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 3e6
    test = json.loads((SHIPPED / "config.json").read_text())["card"]["test"]
    card = (SHIPPED / "README.md").read_text()
    said = re.search(r"AP50 ([\d.]+) \(95 % interval ([\d.]+) to ([\d.]+)\)", card)
    measured = [test["ap50"][name] for name in ("estimate", "low", "high")]
    assert [float(s) for s in said.groups()] == pytest.approx(measured, abs=5e-5)


def test_the_shipped_one_finds_what_is_there(shipped):
    scenes = [draw_scene(seed) for seed in range(8)]
    hits, truth, answers = 0, 0, 0
    for scene, found in zip(scenes, shipped.detect([s.photo for s in scenes]), strict=True):
        near = iou(scene.boxes, found.boxes) > 0.5
        same = scene.labels[:, None] == found.labels
        hits, truth = hits + int((near & same).any(1).sum()), truth + len(scene)
        answers += len(found)
    assert hits >= 0.9 * truth
    assert answers <= 1.2 * truth


def test_bare_ground_holds_nothing(shipped):
    for seed in range(6):
        assert len(shipped.detect([draw_scene(seed, objects=0).photo])[0]) <= 1
    assert not len(shipped.detect([Photo(np.full((64, 64, 3), 128, np.uint8))])[0])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "config.json does not exist; a SceneSSD is a folder with it"),
        ("{", "config.json is not JSON"),
        ('{"kind": "sketch-cnn"}', "does not describe a scene-ssd"),
        ('{"kind": "scene-ssd", "labels": ["a"], "widths": [1]}', "has 1 widths; expected 5"),
        ('{"kind": "scene-ssd", "labels": ["a"], "widths": [4, 4, 8, 8, 8]}', "does not fit"),
    ],
)
def test_broken_folders_are_told(small, tmp_path, config, says):
    save_scene_ssd(small, tmp_path, card={})
    (tmp_path / "config.json").unlink()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelError, match=says):
        load_scene_ssd(tmp_path)


def test_weights_that_are_none_are_told(small, tmp_path):
    save_scene_ssd(small, tmp_path, card={})
    (tmp_path / "model.safetensors").write_bytes(b"cos\nsystem\n(S'echo no'\ntR.")
    with pytest.raises(ModelError, match=r"as weights .* nothing in it was executed"):
        load_scene_ssd(tmp_path)


def test_a_picture_of_another_size_is_refused(small):
    with pytest.raises(ModelError, match=r"reads \[pictures, 3, 128, 160\]: model.frame"):
        small.dense(torch.zeros(1, 3, 300, 300))
