"""Scenes: the truth that comes with them is true, and they come from their seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline.errors import SightlineError
from sightline.scenes.grounds import GROUNDS
from sightline.scenes.objects import KINDS
from sightline.scenes.painting import tight_boxes, visible_masks
from sightline.scenes.pen import Sticker
from sightline.scenes.scene import LABELS, draw_scene

SEEDS = range(8)


def square(row: int, column: int, side: int = 4) -> Sticker:
    return Sticker(
        np.ones((side, side, 3), np.float32), np.ones((side, side), np.float32), (row, column)
    )


# --- by hand --------------------------------------------------------------------------------------


def test_what_lies_in_front_hides_what_lies_behind():
    behind, front = visible_masks([square(0, 0), square(2, 2)], (8, 8))
    assert front.sum() == 16
    assert front[2:6, 2:6].all()
    assert behind.sum() == 16 - 4
    assert not behind[2, 2]


def test_boxes_are_tight_and_cut_at_the_edge():
    masks = visible_masks([square(-1, 5), square(3, 1)], (8, 8))
    assert tight_boxes(masks).tolist() == [[5.0, 0.0, 8.0, 3.0], [1.0, 3.0, 5.0, 7.0]]


def test_half_a_pixel_is_none():
    half = Sticker(np.zeros((1, 2, 3), np.float32), np.array([[0.5, 0.51]], np.float32), (0, 0))
    assert visible_masks([half], (1, 2)).tolist() == [[[False, True]]]


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_each_box_is_the_smallest_around_its_mask(seed):
    scene = draw_scene(seed)
    assert len(scene) == len(scene.boxes) == len(scene.labels) == len(scene.masks) > 0
    for box, mask in zip(scene.boxes.tolist(), scene.masks, strict=True):
        y, x = mask.nonzero().unbind(1)
        assert box == [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
    assert scene.masks.sum(0).max() <= 1
    assert tuple(LABELS[i] for i in scene.labels) == scene.names
    assert scene.photo.size == tuple(scene.masks.shape[1:]) == (192, 240)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_object_is_where_its_mask_says(seed):
    """Without it the photo changes in the mask, and nowhere far from it but for its shadow."""
    whole = draw_scene(seed)
    for number in range(len(whole)):
        less = draw_scene(seed, without=[number])
        kept = [i for i in range(len(whole)) if i != number]
        assert less.names == tuple(whole.names[i] for i in kept)
        assert less.ground == whole.ground
        changed = torch.from_numpy((whole.photo.pixels != less.photo.pixels).any(-1))
        assert changed[whole.masks[number]].float().mean() > 0.9
        grown = torch.nn.functional.max_pool2d(
            whole.masks[number][None].float(), 61, stride=1, padding=30
        )[0]
        assert not changed[grown == 0].any()


def test_what_it_hid_comes_to_light():
    """Masks of what lies behind only grow, and only into the mask that is gone."""
    grew = 0
    for seed in range(24):
        whole = draw_scene(seed, objects=6)
        front = len(whole) - 1
        less = draw_scene(seed, objects=6, without=[front])
        for before, after in zip(whole.masks[:front], less.masks, strict=True):
            assert after[before].all()
            assert whole.masks[front][after & ~before].all()
            grew += int((after & ~before).sum() > 0)
    assert grew >= 3


def test_scenes_come_from_their_seed_alone():
    for seed in (0, 10**9):
        torch.manual_seed(seed)
        np.random.seed(seed % 7)  # noqa: NPY002  the global state must not matter
        one = draw_scene(5)
        assert np.array_equal(one.photo.pixels, draw_scene(5).photo.pixels)
        assert torch.equal(one.masks, draw_scene(5).masks)
    assert not np.array_equal(draw_scene(5).photo.pixels, draw_scene(6).photo.pixels)


def test_a_larger_scene_is_the_same_one():
    small, large = draw_scene(11), draw_scene(11, size=(384, 480))
    assert large.names == small.names
    assert (large.boxes / 2 - small.boxes).abs().max() < 2.5


def test_what_is_hardly_seen_is_left_out():
    """Then it is not painted either."""
    for seed in SEEDS:
        scene, strict = draw_scene(seed), draw_scene(seed, least_visible=0.9)
        assert set(strict.names) <= set(scene.names)
        assert len(draw_scene(seed, least_visible=0.0)) >= len(scene) >= len(strict)
    counts = [
        len(draw_scene(s, objects=6, least_visible=share)) for share in (0, 1.0) for s in SEEDS
    ]
    assert sum(counts[:8]) > sum(counts[8:]) + 8


def test_objects_differ_in_size_and_every_kind_and_ground_comes():
    scenes = [draw_scene(seed, size=(96, 120)) for seed in range(80)]
    assert {name for scene in scenes for name in scene.names} == set(KINDS)
    assert {scene.ground for scene in scenes} == set(GROUNDS)
    share = torch.cat([scene.masks.flatten(1).float().mean(1) for scene in scenes])
    assert share.max() > 12 * share.min()


# --- what may be asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_drawn_alone_and_fills_its_place(kind):
    scene = draw_scene(3, objects=1, kinds=[kind], clutter=0, ground="gradient")
    assert scene.names == (kind,)
    x0, y0, x1, y1 = (int(edge) for edge in scene.boxes[0])
    assert 0.15 < scene.masks[0][y0:y1, x0:x1].float().mean() <= 1
    colours = {tuple(p // 32) for p in scene.photo.pixels[scene.masks[0].numpy()]}
    assert len(colours) >= 4  # several parts, lit


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_ground_is_a_picture_of_any_size(ground):
    for size in ((192, 240), (40, 33)):
        picture = GROUNDS[ground](np.random.default_rng(0), size)
        assert picture.shape == (*size, 3)
        assert -0.01 <= picture.min() < picture.max() <= 1.01
        assert picture.std() > 0.005
    assert draw_scene(0, ground=ground).ground == ground


def test_a_scene_without_objects():
    scene = draw_scene(0, objects=0)
    assert (len(scene), scene.names) == (0, ())
    assert tuple(scene.boxes.shape) == (0, 4)
    assert tuple(scene.masks.shape) == (0, 192, 240)


def test_the_frontmost_kind_can_choose_the_ground():
    tied = {"fish": "water", "leaf": "grass", "key": None}
    grounds = set()
    for seed in range(40):
        scene = draw_scene(seed, kinds=["fish", "leaf", "key"], ground_of=tied, size=(96, 120))
        if scene.names[-1] == "key":
            grounds.add(scene.ground)
        else:
            assert scene.ground == tied[scene.names[-1]]
    assert len(grounds) > 3
    assert draw_scene(0, kinds=["fish"], ground_of=tied, ground="sand").ground == "sand"


def test_the_choice_of_a_ground_moves_nothing():
    one, other = (draw_scene(4, ground=ground) for ground in ("sand", "wood"))
    assert torch.equal(one.masks, other.masks)
    assert one.names == other.names


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kinds": ["fsh"]}, "unknown kind of object 'fsh'; did you mean 'fish'"),
        ({"kinds": []}, "no kinds to draw; give some of cup, fish"),
        ({"ground": "gras"}, "unknown ground 'gras'; did you mean 'grass'"),
        ({"ground_of": {"cup": "wod"}}, "unknown ground 'wod'; did you mean 'wood'"),
        ({"ground_of": {"cop": None}}, "unknown kind of object 'cop'; did you mean 'cup'"),
        ({"objects": (3, 1)}, r"objects=\(3, 1\); give a number, or the fewest and the most"),
        ({"clutter": -1}, "clutter=-1; give a number"),
        ({"size": (20, 200)}, "needs at least 32 x 32"),
        ({"objects": 1, "without": [1]}, "without=1; this scene has 1 object.s., numbered from 0"),
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked, says):
    with pytest.raises(SightlineError, match=says):
        draw_scene(**{"seed": 0} | asked)
