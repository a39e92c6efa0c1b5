"""Training of the scene detector: its loss, its measure, a small run, and the shipped numbers."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import numpy as np
import pytest
import torch

from oracles.average_precision import ap50
from sightline.errors import SightlineError
from sightline.image.boxes import iou
from sightline.models.detector import Detections
from sightline.models.scene_ssd import SceneSSD, load_scene_ssd
from sightline.scenes.scene import draw_scene
from sightline.training.average_precision import average_precision
from sightline.training.detection_loss import detection_loss
from sightline.training.scenes import (
    TEST,
    TRAINING,
    VALIDATION,
    SceneRecipe,
    draw_pool,
    main,
    scene_precision,
    train_scene_ssd,
)

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 50, 10]])
BOX = torch.tensor([[0.0, 0, 10, 10]])
KEY = torch.tensor([2])
TWO_KEYS = torch.tensor([[0.0, 0, 10, 10], [20.0, 0, 30, 10]])


def answers(boxes, scores, names) -> Detections:
    labels = torch.tensor([ord(n[0]) for n in names], dtype=torch.int64)
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores),
        labels,
        tuple(names),
    )


def learners(count):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SceneSSD(widths=(8, 8, 16, 16, 16))
    scenes = [draw_scene(TRAINING + i) for i in range(4)]
    return model, draw_pool(model, range(TRAINING, TRAINING + count)), scenes


# --- the loss, by hand ----------------------------------------------------------------------------


def test_a_loss_of_even_scores_is_the_logarithm_of_the_labels():
    """One anchor of an object, two of the background, no offset wrong: three times log 3."""
    loss = detection_loss(torch.zeros(1, 3, 3), torch.zeros(1, 3, 4), ANCHORS, [BOX], [KEY])
    assert float(loss) == pytest.approx(3 * math.log(3))


def test_places_are_asked_of_the_anchors_of_objects_alone():
    sure = torch.tensor([[0.0, 0, 40], [40, 0, 0], [40, 0, 0]])[None]
    offsets = torch.zeros(1, 3, 4)
    offsets[0, 1] = 7.0  # of the background: nobody asks
    assert float(detection_loss(sure, offsets, ANCHORS, [BOX], [KEY])) == pytest.approx(0, abs=1e-6)
    offsets[0, 0, 2] = 3.0  # smooth L1: 3 - 1/2
    assert float(detection_loss(sure, offsets, ANCHORS, [BOX], [KEY])) == pytest.approx(2.5)


def test_only_the_hardest_of_the_background_count(monkeypatch):
    monkeypatch.setattr("sightline.training.detection_loss.LEAST_NEGATIVES", 0)
    logits = torch.tensor([[0.0, 0, 40], [40, 0, 0], [0, 3, 0]])[None]
    for negatives, told in ((1.0, 1), (2.0, 1), (0.0, 0)):
        loss = detection_loss(
            logits, torch.zeros(1, 3, 4), ANCHORS, [BOX], [KEY], negatives=negatives
        )
        mistake = math.log(2 + math.exp(3))
        assert float(loss) == pytest.approx(told * mistake, abs=1e-5)


def test_a_picture_without_objects_teaches_too():
    nothing, none = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    loss = detection_loss(torch.zeros(1, 3, 3), torch.zeros(1, 3, 4), ANCHORS, [nothing], [none])
    assert float(loss) == pytest.approx(3 * math.log(3))


# --- average precision ----------------------------------------------------------------------------


def test_average_precision_by_hand():
    """Two keys, found first and third, a miss between: (51 x 1 + 50 x 2/3) / 101."""
    boxes = [[0, 0, 10, 10], [50, 0, 60, 10], [20, 0, 30, 10]]
    found = answers(boxes, [0.9, 0.8, 0.7], ["key"] * 3)
    got = average_precision([found], [TWO_KEYS], [("key", "key")], overlaps=(0.5,), draws=0)[0.5]
    assert got.estimate == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_box_is_found_once():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]]
    found = answers(boxes, [0.9, 0.8, 0.7], ["key"] * 3)
    got = average_precision([found], [TWO_KEYS], [("key", "key")], overlaps=(0.5,), draws=0)[0.5]
    assert got.estimate == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_overlaps_are_asked_one_by_one():
    """IoU 0.7: found at 0.5, not at 0.75."""
    found = [answers([[0, 0, 10, 7]], [0.9], ["key"])]
    got = average_precision(found, [BOX], [("key",)], overlaps=(0.5, 0.75), draws=0)
    assert [got[o].estimate for o in (0.5, 0.75)] == pytest.approx([1.0, 0.0])


def test_average_precision_is_that_of_a_plain_program():
    luck = np.random.default_rng(0)
    found, boxes, names = [], [], []
    for _ in range(12):
        corners = luck.uniform(0, 60, (4, 2))
        truth = np.hstack([corners, corners + luck.uniform(10, 30, (4, 2))])
        called = luck.choice(["cup", "key"], 4).tolist()
        guesses = truth[luck.integers(0, 4, 7)] + luck.normal(0, 3, (7, 4))
        told = luck.choice(["cup", "key"], 7).tolist()
        boxes.append(torch.tensor(truth, dtype=torch.float32))
        names.append(called)
        found.append(answers(guesses.tolist(), luck.random(7).round(6).tolist(), told))
    got = average_precision(found, boxes, names, overlaps=(0.5,), draws=300)[0.5]
    by_label = [
        ap50(
            [
                (i, float(s), b.tolist())
                for i, f in enumerate(found)
                for b, s, n in zip(f.boxes, f.scores, f.names, strict=True)
                if n == name
            ],
            {
                i: [b.tolist() for b, n in zip(boxes[i], names[i], strict=True) if n == name]
                for i in range(12)
            },
        )
        for name in ("cup", "key")
    ]
    assert got.estimate == pytest.approx(np.mean(by_label), abs=1e-9)
    assert 0.1 < got.estimate < 0.9
    assert got.low < got.estimate < got.high


def test_average_precision_needs_a_truth():
    with pytest.raises(SightlineError, match="answers for 1 photos, true boxes of 0, names of 0"):
        average_precision([answers([], [], [])], [], [])


# --- a small run ----------------------------------------------------------------------------------


def test_a_pool_holds_what_the_network_reads():
    model, pool, scenes = learners(4)
    for i, scene in enumerate(scenes):
        frame = model.frame(*scene.photo.size)
        assert (pool.pictures[i] / 255 - frame.pixels(scene.photo)).abs().max() < 1 / 255
        assert torch.equal(pool.boxes[i], frame.boxes(scene.boxes))
        assert [model.labels[n] for n in pool.labels[i]] == list(scene.names)


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights():
    recipe = SceneRecipe(scenes=16, epochs=3, batch=4, ema=0.5, half=False)
    runs = []
    for _ in range(2):
        model, pool, scenes = learners(16)
        history = train_scene_ssd(model, pool, scenes, recipe)
        runs.append((model, [row["loss"] for row in history]))
    (one, losses), (other, again) = runs
    assert losses == again
    assert losses[-1] < 0.8 * losses[0]
    assert not one.training
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_mirrored_scenes_keep_their_boxes_on_their_objects():
    """Boxes move as a mask does."""
    from sightline.training.scenes import _mirrored

    model, pool, scenes = learners(4)
    chosen, mirror = torch.tensor([2, 0]), torch.tensor([True, False])
    pictures, boxes = _mirrored(pool, chosen, mirror)
    assert torch.equal(pictures[1], pool.pictures[0] / 255)
    assert torch.equal(pictures[0], (pool.pictures[2] / 255).flip(-1))
    assert torch.equal(boxes[1], pool.boxes[0])
    frame = model.frame(*scenes[2].photo.size)
    for box, mask in zip(boxes[0], frame.masks(scenes[2].masks).flip(-1), strict=True):
        y, x = mask.nonzero().unbind(1)
        around = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
        assert float(iou(box[None], around[None])) > 0.85


def test_the_rate_rises_then_falls_to_nothing():
    recipe = SceneRecipe(scenes=320, epochs=10, batch=16, lr=1.0)
    rates = [recipe.rate(step) for step in range(recipe.steps)]
    assert recipe.steps == 200
    assert rates[:2] == pytest.approx([0.1, 0.2])
    assert max(rates) == rates[9] == 1.0
    assert rates[-1] < 1e-3
    assert sorted(rates[10:], reverse=True) == rates[10:]


def test_a_recipe_without_scenes_is_refused():
    with pytest.raises(SightlineError, match="scenes is 0; it must be at least 1"):
        SceneRecipe(scenes=0)


def test_seeds_of_training_and_test_never_meet():
    card = json.loads((files("sightline") / "weights/scene-ssd/config.json").read_text())["card"]
    assert card["seeds"] == {"training": TRAINING, "validation": VALIDATION, "test": TEST}
    assert TRAINING + card["recipe"]["scenes"] <= VALIDATION < VALIDATION + 10_000 <= TEST


@pytest.mark.slow
def test_a_run_writes_a_detector_with_its_card(tmp_path, capsys):
    main([str(tmp_path), "--scenes", "64", "--epochs", "1", "--validation", "8", "--test", "8"])
    assert "epoch 1: loss" in capsys.readouterr().out
    card = json.loads((tmp_path / "config.json").read_text())["card"]
    assert card["recipe"]["steps"] == 2
    assert card["test"]["scenes"] == 8
    assert load_scene_ssd(tmp_path).labels == SceneSSD().labels


# --- what is shipped ------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_shipped_detector_does_as_well_on_fresh_scenes_as_its_card_says():
    card = json.loads((files("sightline") / "weights/scene-ssd/config.json").read_text())["card"]
    said = card["test"]["ap50"]
    scenes = [draw_scene(TEST + 5000 + i) for i in range(200)]
    got = scene_precision(load_scene_ssd(), scenes, overlaps=(0.5,), draws=500)[0.5]
    # two samples: their intervals must meet
    assert got.low <= said["high"]
    assert got.high >= said["low"]
    assert got.estimate > 0.9


@pytest.mark.slow
def test_the_number_of_the_card_is_that_of_the_shipped_weights():
    card = json.loads((files("sightline") / "weights/scene-ssd/config.json").read_text())["card"]
    scenes = [draw_scene(TEST + i) for i in range(card["test"]["scenes"])]
    got = scene_precision(load_scene_ssd(), scenes, overlaps=(0.5,))[0.5]
    assert got.estimate == pytest.approx(card["test"]["ap50"]["estimate"], abs=0.002)
