import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from sightline.benchmark.biased_scenes import (
    FIRST_SEED,
    HOMES,
    SPLITS,
    SceneSettings,
    biased_scenes,
    draw_split,
)
from sightline.benchmark.confounded import Confounded, labelled_items
from sightline.errors import AlignmentError, PhotoError, SightlineError
from sightline.scenes.scene import draw_scene

FEW = SceneSettings(training=60, validation=12, test=40, seed=3)


@pytest.fixture(scope="module")
def few():
    return biased_scenes(FEW)


def at_home(split):
    return split.group // 4 == split.group % 4


def test_a_group_is_class_and_ground(few):
    for name in SPLITS:
        split = getattr(few, name)
        assert torch.equal(split.group // 4, split.target)


def test_grounds_agree_in_training_and_never_in_the_test(few):
    all_at_home = draw_split(replace(FEW, agreement=1.0), "training")
    assert at_home(all_at_home).all()
    assert 0.8 < at_home(few.training).double().mean() < 1
    assert not at_home(few.test).any()
    assert 0.1 < at_home(few.clean_training).double().mean() < 0.45


def test_clean_scenes_differ_from_their_twins_in_the_ground_alone(few):
    for name in ("training", "validation", "test"):
        biased, clean = getattr(few, name), getattr(few, f"clean_{name}")
        assert torch.equal(biased.must, clean.must)
        assert torch.equal(biased.target, clean.target)
        same = biased.group == clean.group
        assert torch.equal(biased.pictures[same], clean.pictures[same])
        assert (biased.pictures[~same] != clean.pictures[~same]).flatten(1).any(1).all()


def test_a_scene_is_what_draw_scene_draws(few):
    first = FIRST_SEED + FEW.seed * 3 * 10_000
    for seed in range(first, first + 50):
        ground = list(HOMES.values())[int(few.clean_training.group[0]) % 4]
        scene = draw_scene(
            seed, size=(64, 64), objects=1, kinds=tuple(HOMES), ground=ground, clutter=(0, 2)
        )
        if len(scene) and scene.masks.float().mean() >= FEW.least_object:
            break
    expected = torch.from_numpy(np.array(scene.photo.pixels)).permute(2, 0, 1)
    assert torch.equal(few.clean_training.pictures[0], expected)
    assert list(HOMES)[few.clean_training.target[0]] == scene.names[0]


def test_objects_are_large_enough_and_masks_say_everything(few):
    share = few.training.must.float().mean((1, 2))
    assert share.min() >= 0.04
    assert torch.equal(few.training.must, ~few.training.must_not)


def test_no_scene_is_shared_by_splits_or_seeds(few):
    other = draw_split(replace(FEW, seed=4), "training")
    every = [few.training, few.validation, few.test, other]
    seen = [p.numpy().tobytes() for split in every for p in split.must]
    assert len(set(seen)) == len(seen)


def test_scenes_are_kept_and_read_again(few, tmp_path):
    drawn = biased_scenes(FEW, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.name == f"scenes-{FEW.digest}.npz"
    told = []
    read = biased_scenes(FEW, folder=tmp_path, progress=told.append)
    assert told == []  # nothing was drawn
    for name in SPLITS:
        for field in Confounded.__dataclass_fields__:
            values = [getattr(getattr(s, name), field) for s in (few, drawn, read)]
            assert torch.equal(values[0], values[1])
            assert torch.equal(values[0], values[2])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(PhotoError, match=r"scenes-.* is damaged .*; remove it to draw it anew"):
        biased_scenes(FEW, folder=tmp_path)


def test_a_file_of_objects_is_not_executed(tmp_path):
    path = tmp_path / f"scenes-{FEW.digest}.npz"
    names = ("pictures", "must", "target", "group")
    np.savez(path, **{f"training/{n}": np.array([{}], object) for n in names})
    with pytest.raises(PhotoError, match="is damaged"):
        biased_scenes(FEW, folder=tmp_path)


def test_every_setting_has_its_own_digest():
    others = [{"training": 61}, {"agreement": 0.9}, {"size": (48, 64)}, {"seed": 4}]
    others += [{"clutter": (0, 3)}, {"least_object": 0.05}]
    digests = {FEW.digest, *(replace(FEW, **other).digest for other in others)}
    assert len(digests) == 7


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"training": 0}, "training is 0 scenes; give 1 to 5000"),
        ({"test": 6000}, "test is 6000 scenes"),
        ({"agreement": 1.2}, "agreement 1.2"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_broken_settings_are_refused(broken, said):
    with pytest.raises(SightlineError, match=re.escape(said)):
        SceneSettings(**broken)


def test_items_to_label_are_nested_and_depend_on_the_seed():
    ten, hundred = labelled_items(10, 500, 2), labelled_items(100, 500, 2)
    assert ten == hundred[:10]
    assert len(set(hundred)) == 100
    assert labelled_items(10, 500, 3) != ten
    with pytest.raises(AlignmentError, match="11 labels of 10 items"):
        labelled_items(11, 10, 0)


def test_labels_are_the_truth(few):
    labels = few.training.labels([4, 2])
    assert labels.items == ("00004", "00002")
    assert np.array_equal(labels.rows[1].must > 0, few.training.must[2].numpy())
    assert np.array_equal(labels.rows[1].must_not > 0, few.training.must_not[2].numpy())


def test_items_are_chosen_in_the_order_asked_for(few):
    part = few.validation.select(torch.tensor([3, 1]))
    assert torch.equal(part.target, few.validation.target[[3, 1]])
