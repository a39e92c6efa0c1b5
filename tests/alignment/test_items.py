"""Photos and drawings of a task, by split; labels under the items' own names."""

from __future__ import annotations

import json

import numpy as np
import pytest

import figures
from guided import SCENES, scene_folders, stroke_net
from sightline.alignment.items import Item, Items, checked_labels, examples_of, labels_for
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError, PhotoError
from sightline.models.small_resnet import small_resnet
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.training.examples import Labelled
from sightline.training.pictures import Pictures


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    return root, scene_folders(root, {"train": 3, "valid": 2, "test": 1})


@pytest.fixture
def items(scenes):
    return Items.read(scenes[0])


def rows(*labels: AttentionLabel) -> AttentionLabels:
    return AttentionLabels.from_rows(labels)


# --- reading --------------------------------------------------------------------------------------


def test_class_folders(items, scenes):
    assert items.labels == SCENES
    assert {split: len(own) for split, own in items.splits.items()} == {
        "train": 6,
        "valid": 4,
        "test": 2,
    }
    item = items.splits["valid"][3]
    assert (item.name, item.label) == ("valid/star/1.png", "star")
    assert item.source == scenes[0] / item.name
    assert len(items.names) == len(items.by_name) == 12
    assert not items.are_drawings
    assert items.find("valid/star/1.png") == "valid/star/1.png"
    assert items.find("photos/valid/star/1.png") == "valid/star/1.png"
    assert items.find("9.png") is None
    with pytest.raises(AlignmentError, match=r"'1\.png' can be any of 4 photos"):
        items.find("1.png")


def test_what_was_left_out_is_told(scenes, tmp_path):
    root, _ = scenes
    (tmp_path / "fish").symlink_to(root / "train" / "fish")
    (tmp_path / "star").symlink_to(root / "train" / "star")
    (tmp_path / "splits.json").write_text(json.dumps({"train": ["fish/0.png", "star/0.png"]}))
    found = Items.read(tmp_path)
    assert len(found.names) == 2
    assert found.notes == ("left out 4 of 6 photos that splits.json does not name",)


def test_a_class_without_a_photo_is_named(tmp_path):
    (tmp_path / "fish").mkdir()
    with pytest.raises(PhotoError, match="the class 'fish' is empty"):
        Items.read(tmp_path)


def test_drawings_of_a_folder(tmp_path):
    sketches = figures.drawings(30, 0)
    write_ndjson(tmp_path / "figures.ndjson", sketches)
    (tmp_path / ".notes").mkdir()  # as version control and notebooks leave them
    items = Items.read(tmp_path)
    assert items.labels == figures.LABELS
    assert items.are_drawings
    assert sorted(items.names) == sorted(sketch.name for sketch in sketches)
    assert sum(len(own) for own in items.splits.values()) == 30
    assert Items.read(tmp_path, seed=1).splits != items.splits


def test_drawings_without_a_name_are_called_by_their_place():
    bare = [figures.Sketch.from_strokes(s.strokes, label=s.label) for s in figures.drawings(2, 0)]
    items = Items.from_sketches({"train": bare, "valid": [], "test": bare[:1]}, figures.LABELS)
    assert items.names == ("train 0", "train 1", "test 0")


def test_moved_items_keep_their_order(items):
    moved = items.with_learnt(["valid/star/0.png", "valid/fish/1.png"])
    assert [i.name for i in moved.splits["train"]][-2:] == ["valid/fish/1.png", "valid/star/0.png"]
    assert [i.name for i in moved.splits["valid"]] == ["valid/fish/0.png", "valid/star/1.png"]
    assert moved.splits["test"] == items.splits["test"]
    assert moved.labels == items.labels


# --- as a model reads them ------------------------------------------------------------------------


def test_examples_have_the_models_places(items):
    net = small_resnet(["star", "cup", "fish"], (16, 16), widths=(4,))
    data = examples_of(items.splits["valid"], net.labels, net)
    assert isinstance(data, Pictures)
    assert data.target.tolist() == [2, 2, 0, 0]
    assert data.names == tuple(item.name for item in items.splits["valid"])
    assert set(data.photos) == {(64, 80)}
    sketches = figures.drawings(4, 0)
    own = [Item(sketch.name, sketch.label, sketch) for sketch in sketches]
    drawn = examples_of(own, figures.LABELS, stroke_net())
    assert isinstance(drawn, Labelled)
    assert drawn.target.tolist() == [0, 1, 2, 0]


def test_classes_that_the_model_does_not_know(items):
    net = small_resnet(["star", "cup"], (16, 16), widths=(4,))
    with pytest.raises(AlignmentError, match="classes fish are not among the model's: star, cup"):
        examples_of(items.splits["valid"], net.labels, net)
    with pytest.raises(AlignmentError, match="no items: the split is empty"):
        examples_of([], net.labels, net)


# --- labels ---------------------------------------------------------------------------------------


def test_labels_come_under_the_items_names(items, scenes):
    given = scenes[1]["valid/star/1.png"]
    for name in ("star/1.png", "valid/star/1.png", "home/ada/valid/star/1.png"):
        if name == "star/1.png":
            with pytest.raises(AlignmentError, match="can be any of 2 photos"):
                labels_for(items, rows(AttentionLabel(name, given.must)))
            continue
        found = labels_for(items, rows(AttentionLabel(name, given.must)))
        assert list(found) == ["valid/star/1.png"]
        assert np.array_equal(found["valid/star/1.png"].must, given.must)


def test_several_peoples_labels_become_one(items):
    a, b = np.zeros((2, 64, 80), np.float32)
    a[:32], b[16:] = 1, 1
    labels = rows(
        AttentionLabel("valid/star/1.png", a, author="ada"),
        AttentionLabel("valid/star/1.png", b, author="bob"),
    )
    assert len(checked_labels(items, labels)) == 2
    (found,) = labels_for(items, labels).values()
    assert found.author == "ada, bob"
    assert found.must[:, 0].tolist() == [0.5] * 16 + [1] * 16 + [0.5] * 32


def test_bad_labels(items):
    whole = np.ones((64, 80), np.float32)
    with pytest.raises(AlignmentError, match=r"1 of 1 labels .*'valid/star/9\.png'; did you mean"):
        labels_for(items, rows(AttentionLabel("valid/star/9.png", whole)))
    assert labels_for(items, rows(AttentionLabel("x.png", whole)), on_unknown="skip") == {}
    notes = checked_labels(items, rows(AttentionLabel("x.png", whole)), on_unknown="skip").notes
    assert notes == ("left out 1 of 1 labels: their items are not there, first 'x.png'",)
    with pytest.raises(AlignmentError, match=r"mask of 80 x 64 .*; the photo is 64 x 80, of anoth"):
        labels_for(items, rows(AttentionLabel("valid/star/1.png", whole.T)))
    both = rows(AttentionLabel("valid/star/1.png", whole, whole * 0.5, author="ada"))
    with pytest.raises(AlignmentError, match=r"5120 of 5120 pixels of 'valid/star/1\.png'.*ada"):
        labels_for(items, both)
    (weighed,) = labels_for(items, both, on_contradiction="weigh").values()
    assert weighed.must.min() == weighed.must.max() == 0.5
    assert not weighed.must_not.any()


def test_drawings_have_as_many_strokes_as_their_labels():
    sketches = figures.drawings(3, 0)
    items = Items.from_sketches({"train": sketches, "valid": [], "test": []}, figures.LABELS)
    name = sketches[0].name
    assert list(labels_for(items, rows(AttentionLabel(name, must=[1, 0])))) == [name]
    with pytest.raises(AlignmentError, match="is of 3 strokes; the drawing has 2"):
        labels_for(items, rows(AttentionLabel(name, must=[1, 0, 0])))
    with pytest.raises(AlignmentError, match="masks of a photo"):
        labels_for(items, rows(AttentionLabel(name, must=[[1, 0]])))


def test_a_name_that_two_drawings_have():
    sketches = figures.drawings(2, 0)
    items = Items.from_sketches(
        {"train": sketches, "valid": sketches[:1], "test": []}, figures.LABELS
    )
    with pytest.raises(AlignmentError, match="which is the name of 2 items; give each its own"):
        labels_for(items, rows(AttentionLabel(sketches[0].name, must=[1, 0])))
    assert len(labels_for(items, rows(AttentionLabel(sketches[1].name, must=[1])))) == 1
