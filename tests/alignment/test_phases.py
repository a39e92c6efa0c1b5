"""Two phases on generated scenes: what is learnt from, what is left alone, and that it works."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from guided import SCENES, scene_folders
from sightline.alignment.augmentation import GuidedAugmentation
from sightline.alignment.guides import guide
from sightline.alignment.items import Items, examples_of
from sightline.alignment.labels import AttentionLabel
from sightline.alignment.objective import Guided
from sightline.alignment.phases import (
    PHASE_1,
    PHASE_2,
    Lesson,
    chooses_by,
    labels_of_model,
    learn_task,
    learn_where,
    measure_split,
    propose_verdicts,
    share_of,
)
from sightline.errors import AlignmentError, SightlineError
from sightline.image.augment import PhotoAugmentation
from sightline.models.small_resnet import small_resnet
from sightline.training.loop import CHECKPOINT

FAST_1 = replace(PHASE_1, epochs=6, batch=8, lr=5e-3, augmentation=None, ema=0.5)
FAST_2 = replace(PHASE_2, epochs=6, batch=8, lr=5e-3, augmentation=PhotoAugmentation(), ema=0.5)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    return root, scene_folders(root, {"train": 16, "valid": 8, "test": 8})


@pytest.fixture(scope="module")
def items(scenes):
    return Items.read(scenes[0])


@pytest.fixture(scope="module")
def lesson(scenes):
    return Lesson(scenes[1])


def net(labels=SCENES):
    return small_resnet(labels, (32, 32), widths=(8, 16), stem_stride=1)


@pytest.fixture(scope="module")
def first(items, tmp_path_factory):
    """A model of phase 1: on biased scenes it looks at the ground."""
    model = net()
    history = learn_task(model, items, folder=tmp_path_factory.mktemp("one"), recipe=FAST_1)
    assert history[-1]["valid_top1"] == 1.0
    return model


def weights_of(folder, prefix):
    """Weights of a run's checkpoint."""
    tensors = load_file(folder / CHECKPOINT)
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def again(model):
    other = net()
    other.load_state_dict(model.state_dict())
    return other


# --- it works -------------------------------------------------------------------------------------


def test_phase_2_turns_the_model_to_the_objects(first, items, lesson, tmp_path):
    """Held-out scenes: the share of the map inside the object grows manifold."""
    source, second = guide("gradia").source, again(first)
    learn_where(second, items, lesson, guide("gradia"), folder=tmp_path, recipe=FAST_2)
    before, after = (measure_split(m, items, lesson, "test", source) for m in (first, second))
    energy = [m.means["energy"].interval.estimate for m in (before, after)]
    assert energy[0] < 0.1
    assert energy[1] > energy[0] + 0.15
    assert after.means["energy"].interval.low > before.means["energy"].interval.high
    assert {group.name for group in after.groups} == set(SCENES)
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    scores = [json.loads(row)["valid_score"] for row in rows]
    assert scores[-1] > scores[0]


def test_proposed_verdicts_are_of_the_labelled_items(first, items, lesson):
    few = Lesson({name: lesson.labels[name] for name in list(lesson.labels) if "fish" in name})
    found = propose_verdicts(first, items, few, "valid", guide("gradia").source)
    assert found.are_proposed
    assert sorted(found.items) == [f"valid/fish/{i}.png" for i in range(8)]
    assert set(found.cells.values()) == {"UA"}, "right on biased scenes, by the ground"


# --- what is learnt from --------------------------------------------------------------------------


def test_the_kept_share_is_by_name_alone(items, lesson):
    names = [item.name for item in items.splits["valid"]]
    moved = lesson.moved(items)
    assert moved == [name for name in names if share_of(name) >= 0.25]
    assert 0 < len(moved) < len(names)
    fewer = Lesson({name: lesson.labels[name] for name in names[:5]})
    assert fewer.moved(items) == [name for name in names[:5] if name in moved]
    assert replace(lesson, kept=0.0).moved(items) == names
    assert replace(lesson, kept=1.0).moved(items) == []


def test_shares_are_even():
    shares = np.array([share_of(f"photo {i}.jpg") for i in range(2000)])
    assert 0 <= shares.min() < shares.max() < 1
    assert abs(shares.mean() - 0.5) < 3 * math.sqrt(1 / 12 / 2000)


def test_items_whose_label_does_not_count_stay_in_validation(items, lesson):
    names = [i.name for i in items.splits["valid"]]
    light = replace(lesson.labels[names[0]], weight=0.0)
    told = replace(
        lesson,
        labels={**lesson.labels, names[0]: light},
        cells={names[1]: "RA", names[2]: "UA"},
        kept=0.0,
    )
    assert told.moved(items) == names[2:]
    assert not told.counts("train/fish/99.png")


def test_phase_2_learns_from_moved_items_and_reads_no_test_photo(
    first, lesson, scenes, tmp_path, monkeypatch
):
    root, labels = tmp_path / "photos", scenes[1]
    scene_folders(root, {"train": 2, "valid": 8, "test": 2})
    items = Items.read(root)
    for path in (root / "test").rglob("*.png"):
        path.unlink()
    seen = {}

    def train(model, training, validation, recipe, folder, *, objective, **_):
        seen.update(training=training, validation=validation, recipe=recipe, objective=objective)
        return []

    monkeypatch.setattr("sightline.alignment.phases.train", train)
    told = Lesson({n: labels[n] for n in items.names}, {"train/fish/0.png": "RI"})
    learn_where(again(first), items, told, guide("gradia"), folder=tmp_path / "r", recipe=FAST_2)
    training, validation = seen["training"], seen["validation"]
    moved = told.moved(items)
    assert training.data.names[4:] == tuple(moved)
    assert len(training) == len(training.labelled) == 4 + len(moved)
    assert len(validation) == len(validation.labelled) == 16 - len(moved)
    assert not set(training.data.names) & set(validation.data.names)
    assert training.task_weight == {0: 0.8}
    assert training.attention_weight[0] == pytest.approx(0.2)
    assert seen["recipe"].augmentation == GuidedAugmentation(PhotoAugmentation())
    assert seen["objective"].taught == told.fingerprint
    monkeypatch.undo()
    quick = replace(FAST_2, epochs=1)
    history = learn_where(
        again(first), items, told, guide("gradia"), folder=tmp_path / "s", recipe=quick
    )
    assert len(history) == 1
    assert not list((root / "test").rglob("*.png"))


# --- what is not ----------------------------------------------------------------------------------


def test_no_label_that_counts(first, items, lesson, tmp_path):
    only_test = Lesson({n: label for n, label in lesson.labels.items() if n.startswith("test")})
    reasonable = replace(lesson, cells=dict.fromkeys(items.names, "RA"))
    for told in (only_test, reasonable, Lesson({})):
        with pytest.raises(AlignmentError, match=f"none of the {len(told.labels)} labels counts"):
            learn_where(again(first), items, told, guide("gradia"), folder=tmp_path, recipe=FAST_2)
    assert not list(tmp_path.iterdir())


def test_a_validation_split_that_would_be_emptied(first, items, lesson, tmp_path):
    with pytest.raises(AlignmentError, match=r"all 16 items of the validation split .* kept above"):
        learn_where(
            again(first), items, replace(lesson, kept=0.0), guide("gradia"), folder=tmp_path
        )


def test_a_split_without_items_is_named(items, lesson, tmp_path):
    bare = replace(items, splits={**items.splits, "valid": ()})
    said = r"the valid split has no items \(32 train, 0 valid, 16 test\); put some there"
    with pytest.raises(AlignmentError, match=said):
        learn_task(net(), bare, folder=tmp_path)
    with pytest.raises(AlignmentError, match=said):
        learn_where(net(), bare, lesson, guide("gradia"), folder=tmp_path)
    with pytest.raises(AlignmentError, match=said):
        measure_split(net(), bare, lesson, "valid", guide("gradia").source)


def test_a_class_that_the_model_does_not_know(items, lesson, tmp_path):
    other = net(("cup", "fish"))
    said = "the model knows no class star; it knows cup, fish"
    with pytest.raises(AlignmentError, match=said):
        labels_of_model(other, items)
    with pytest.raises(AlignmentError, match=said):
        learn_task(other, items, folder=tmp_path)
    with pytest.raises(AlignmentError, match=said):
        learn_where(other, items, lesson, guide("gradia"), folder=tmp_path)
    assert labels_of_model(net(("cup", "star", "fish")), items) == ("cup", "star", "fish")


def test_bad_lessons(lesson):
    with pytest.raises(AlignmentError, match=r"kept is a share, in \[0, 1\]; got 1.5"):
        replace(lesson, kept=1.5)
    with pytest.raises(AlignmentError, match="'a' is in cell 'AU'; known: UI, UA, RI, RA"):
        replace(lesson, cells={"a": "AU"})
    for pair in ((-1.0, 1.0), (1.0, math.nan), (math.inf, 1.0)):
        with pytest.raises(AlignmentError, match=r"the weights of UA are .*; expected numbers fr"):
            replace(lesson, weights={**lesson.weights, "UA": pair})


def test_photos_are_varied_by_the_recipes_of_the_library(items, lesson, tmp_path):
    """Neither has an augmentation of drawings, which no photo could be varied by."""
    model = net()
    assert PHASE_1.augmentation is None
    assert PHASE_2.augmentation is None
    one, two = (replace(recipe, epochs=1) for recipe in (PHASE_1, PHASE_2))
    assert learn_task(model, items, folder=tmp_path / "1", recipe=one)[0]["train_loss"] > 0
    (row,) = learn_where(model, items, lesson, guide("gradia"), folder=tmp_path / "2", recipe=two)
    assert row["train_attention"] > 0


def test_without_a_recipe_both_phases_take_their_own(items, lesson, tmp_path, monkeypatch):
    seen = []

    def train(model, training, validation, recipe, folder, **_):
        seen.append(recipe)
        return []

    monkeypatch.setattr("sightline.alignment.phases.train", train)
    learn_task(net(), items, folder=tmp_path)
    learn_where(net(), items, lesson, guide("gradia"), folder=tmp_path)
    assert seen == [PHASE_1, PHASE_2]


@pytest.mark.parametrize("left", [False, True])
def test_where_no_label_is_left_the_last_epoch_is_chosen(
    left, first, items, lesson, tmp_path, monkeypatch
):
    """Accuracy alone is blind. Here each epoch scores worse than the one before."""
    own = {n: lab for n, lab in lesson.labels.items() if left or n.startswith("train")}
    falling = iter((3.0, 2.0, 1.0))
    monkeypatch.setattr(
        Guided, "validate", lambda *_: {"valid_top1": 1.0, "valid_score": next(falling)}
    )
    model, recipe = again(first), replace(FAST_2, epochs=3)
    told = replace(lesson, labels=own)
    learn_where(model, items, told, guide("gradia"), folder=tmp_path, recipe=recipe)
    last = weights_of(tmp_path, "mean/")
    state = model.state_dict()
    assert all(torch.equal(state[name], last[name]) for name in state) == (not left)


def test_what_chooses(items, lesson):
    def examples(told):
        classes = labels_of_model(net(), items)
        data = examples_of(items.splits["valid"], classes, net())
        return told.guided(items, "valid", data)

    assert chooses_by(examples(lesson)) == "valid_score"
    assert chooses_by(examples(Lesson({}))) == "epoch"
    reasonable = replace(lesson, cells=dict.fromkeys(items.names, "RA"))
    assert chooses_by(examples(reasonable)) == "epoch"


def test_items_of_every_cell_are_measured(first, items, lesson):
    """Cells weigh what is learnt. An item in RA has an energy like any other."""
    source = guide("gradia").source
    told = replace(lesson, cells={item.name: "RA" for item in items.splits["valid"]})
    found, plain = (measure_split(first, items, x, "valid", source) for x in (told, lesson))
    assert found.means["energy"].interval.estimate == plain.means["energy"].interval.estimate
    assert found.means["energy"].count == 16
    assert [row.energy for row in found.rows] == [row.energy for row in plain.rows]


def test_another_start_or_other_items_do_not_continue_a_run(first, items, lesson, tmp_path):
    said = "holds a run that began with another model or other items; give another --out"
    one, two = (replace(recipe, epochs=1) for recipe in (FAST_1, FAST_2))

    def task(model, items=items):
        return learn_task(model, items, folder=tmp_path / "1", recipe=one)

    def where(model, items=items):
        return learn_where(model, items, lesson, guide("gradia"), folder=tmp_path / "2", recipe=two)

    other = again(first)
    other.module.head.bias.data[0] += 0.125
    train = items.splits["train"]
    fewer = replace(items, splits={**items.splits, "train": train[1:]})
    called = train[0]._replace(label=SCENES[train[0].label == SCENES[0]])
    renamed = replace(items, splits={**items.splits, "train": (called, *train[1:])})
    for go in (task, where):
        row, finished = go(again(first)), again(first)
        assert go(finished) == row
        for start, own in ((other, items), (first, fewer), (first, renamed)):
            untouched = again(start)
            with pytest.raises(SightlineError, match=said):
                go(untouched, own)
            before, after = start.state_dict(), untouched.state_dict()
            assert all(torch.equal(before[name], after[name]) for name in before)


def test_other_labels_do_not_continue_a_run(first, items, lesson, tmp_path):
    quick = replace(FAST_2, epochs=1)

    def go(told):
        model = again(first)
        return learn_where(model, items, told, guide("gradia"), folder=tmp_path, recipe=quick)

    row = go(lesson)
    assert go(lesson) == row
    name = "train/fish/0.png"
    mask = np.zeros((64, 80), np.float32)
    mask[0] = 1
    others = [
        replace(lesson, labels={**lesson.labels, name: AttentionLabel(name, mask)}),
        replace(lesson, labels={n: lab for n, lab in lesson.labels.items() if n != name}),
        replace(lesson, cells={name: "UA"}),
        replace(lesson, kept=0.5),
        replace(lesson, weights={**lesson.weights, "UA": (0.5, 1.5)}),
    ]
    assert len({told.fingerprint for told in (lesson, *others)}) == 6
    for told in others:
        with pytest.raises(SightlineError, match="another recipe, guide or labels"):
            go(told)
    same = replace(lesson, labels=dict(reversed(lesson.labels.items())))
    assert same.fingerprint == lesson.fingerprint
    torch.testing.assert_close(go(same)[0]["train_loss"], row[0]["train_loss"])
