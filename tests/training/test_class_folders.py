"""Photos of classes in folders and lists: which split, which name, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sightline.errors import PhotoError
from sightline.sketch.collection import hashed_splits
from sightline.training.class_folders import read_class_folders
from sightline.training.item_names import Names
from sightline.training.labelled_list import read_labelled_list


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def items(photos, split: str) -> list[str]:
    return [photo.item for photo in photos.splits[split]]


# --- folders of splits ----------------------------------------------------------------------------


def test_splits_by_hand(tmp_path):
    names = ("train/goose/b.jpg", "train/duck/a.PNG", "val/duck/a.PNG", "test/goose/c.webp")
    photos = read_class_folders(touched(tmp_path, *names, "train/duck/notes.txt", "readme.md"))
    assert photos.labels == ("duck", "goose")
    assert list(photos.splits) == ["train", "valid", "test"]
    assert items(photos, "train") == ["train/duck/a.PNG", "train/goose/b.jpg"]
    path, label, item = photos.splits["valid"][0]
    assert (path, label, item) == (tmp_path / "val/duck/a.PNG", "duck", "val/duck/a.PNG")
    assert len(photos) == 4
    assert len(set(photos.items)) == 4
    assert photos.notes == ("no photo in valid of: goose", "no photo in test of: duck")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_names_of_the_validation_folder(tmp_path, name):
    touched(tmp_path, "train/duck/a.jpg", f"{name}/duck/b.jpg")
    assert items(read_class_folders(tmp_path), "valid") == [f"{name}/duck/b.jpg"]


def test_two_validation_folders(tmp_path):
    touched(tmp_path, "train/duck/a.jpg", "val/duck/b.jpg", "valid/duck/c.jpg")
    with pytest.raises(PhotoError, match="has both val and valid; keep one"):
        read_class_folders(tmp_path)


def test_other_folders_beside_splits_are_told(tmp_path):
    touched(tmp_path, "train/duck/a.jpg", "p2_train/duck/a.jpg", ".cache/x/y.jpg")
    photos = read_class_folders(tmp_path)
    assert photos.items == ("train/duck/a.jpg",)
    assert photos.notes == ("passed over the folders beside the splits: p2_train",)
    assert photos.splits["test"] == ()


def test_an_empty_split_is_an_error(tmp_path):
    (touched(tmp_path, "val/duck/a.jpg") / "train").mkdir()
    with pytest.raises(PhotoError, match="train has no folder; expected one for each class"):
        read_class_folders(tmp_path)


# --- folders of classes ---------------------------------------------------------------------------

BIRDS = sorted(f"{label}/{i}.jpg" for label in ("duck", "goose", "swan") for i in range(40))


def test_a_class_can_be_called_train(tmp_path):
    names = [f"{label}/{i}.jpg" for label in ("train", "bus") for i in range(3)]
    photos = read_class_folders(touched(tmp_path, *names))
    assert photos.labels == ("bus", "train")
    assert sorted(photos.items) == sorted(names)


def test_splits_by_hash_are_the_house_way(tmp_path):
    photos = read_class_folders(touched(tmp_path, *BIRDS), seed=3)
    expected = dict(zip(BIRDS, hashed_splits(BIRDS, 3).tolist(), strict=True))
    for number, split in enumerate(("train", "valid", "test")):
        assert items(photos, split) == [name for name in BIRDS if expected[name] == number]
    assert 80 < len(photos.splits["train"]) < 110
    assert len(photos) == 120
    other = read_class_folders(tmp_path, seed=4)
    assert items(other, "test") != items(photos, "test")
    assert sorted(other.items) == sorted(photos.items)


def test_a_photo_keeps_its_split_when_others_come(tmp_path):
    before = read_class_folders(touched(tmp_path, *BIRDS))
    after = read_class_folders(touched(tmp_path, *(f"owl/{i}.jpg" for i in range(20))))
    for split in before.splits:
        assert set(items(before, split)) <= set(items(after, split))


def told(root: Path, table) -> Path:
    text = table if isinstance(table, str) else json.dumps(table)
    (root / "splits.json").write_text(text)
    return root


FEW = ("duck/1.jpg", "duck/2.jpg", "goose/1.jpg", "goose/3.jpg")


def test_splits_as_the_file_tells(tmp_path):
    table = {"train": ["duck/1.jpg", "2.jpg"], "val": ["goose/1.jpg"]}
    photos = read_class_folders(told(touched(tmp_path, *FEW), table))
    assert items(photos, "train") == ["duck/1.jpg", "duck/2.jpg"]
    assert items(photos, "valid") == ["goose/1.jpg"]
    assert items(photos, "test") == []
    assert photos.notes[0] == "left out 1 of 4 photos that splits.json does not name"
    assert photos.labels == ("duck", "goose")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"train": ["1.jpg"]}, "'1.jpg' can be any of 2 photos, duck/1.jpg, goose/1.jpg"),
        ({"train": ["duck/9.jpg"]}, "names 'duck/9.jpg' in 'train', which is not in the folder"),
        ({"train": ["goose/2.jpg"]}, "names 'goose/2.jpg'"),
        ({"train": ["2.jpg"], "test": ["duck/2.jpg"]}, "has 'duck/2.jpg' in 'train' and in 'test'"),
        ({"trian": []}, "unknown split 'trian'; did you mean 'train'"),
        ({"train": "1.jpg"}, r"expected \{split: \[names\]\}"),
        ([], "is not a table of splits"),
        ('{"train": ["duck/1.jp', "broken JSON at line 1, column 12"),
        ({"train": []}, "no class has a photo"),
    ],
)
def test_broken_splits(tmp_path, table, message):
    with pytest.raises(PhotoError, match=message):
        read_class_folders(told(touched(tmp_path, *FEW), table))


def test_a_class_without_a_photo(tmp_path):
    (touched(tmp_path, *FEW, "heron/notes.txt") / "ibis").mkdir()
    with pytest.raises(PhotoError, match=r"the class 'heron' is empty: .*on_empty='skip'"):
        read_class_folders(tmp_path)
    photos = read_class_folders(tmp_path, on_empty="skip")
    assert photos.labels == ("duck", "goose")
    assert [note for note in photos.notes if "left out" in note] == [
        "left out the class folder heron: no photo in it",
        "left out the class folder ibis: no photo in it",
    ]


def test_no_class_at_all(tmp_path):
    with pytest.raises(PhotoError, match="is no folder; give one with a folder for each class"):
        read_class_folders(tmp_path / "gone")
    with pytest.raises(PhotoError, match="has no folder; expected one for each class"):
        read_class_folders(touched(tmp_path, "duck.jpg"))
    (tmp_path / "ibis").mkdir()
    with pytest.raises(PhotoError, match="no class has a photo"):
        read_class_folders(tmp_path, on_empty="skip")
    with pytest.raises(PhotoError, match="unknown on_empty 'drop'"):
        read_class_folders.__wrapped__(tmp_path, on_empty="drop")


# --- names ----------------------------------------------------------------------------------------


def test_items_by_the_end_of_their_names(tmp_path):
    names = ("train/duck/1.jpg", "train/goose/2.jpg", "val/duck/1.jpg", "val/goose/3.jpg")
    photos = read_class_folders(touched(tmp_path, *names))
    assert photos.item_for("3.jpg") == "val/goose/3.jpg"
    assert photos.item_for("goose/2.jpg") == "train/goose/2.jpg"
    assert photos.item_for("val/duck/1.jpg") == "val/duck/1.jpg"
    assert photos.item_for(str(tmp_path / "train/duck/1.jpg")) == "train/duck/1.jpg"
    with pytest.raises(
        PhotoError, match=r"'duck/1.jpg' can be any of 2 photos, train/duck/1.jpg, v"
    ):
        photos.item_for("duck/1.jpg")
    with pytest.raises(PhotoError, match=r"unknown photo '4.jpg'; .*\(of 4 in all\)"):
        photos.item_for("4.jpg")
    with pytest.raises(PhotoError, match=r"unknown photo 'duck/2.jpg'"):
        photos.item_for("duck/2.jpg")


def test_whole_names_of_folders_are_compared():
    names = Names(["wild duck/1.jpg", "1.jpg"])
    assert names.find("1.jpg") == "1.jpg"
    assert names.find("wild duck/1.jpg") == "wild duck/1.jpg"
    assert Names(["wild duck/1.jpg"]).find("duck/1.jpg") is None
    assert Names([]).find("") is None


# --- lists ----------------------------------------------------------------------------------------


def listed(root: Path, text: str) -> Path:
    (root / "list.csv").write_text(text, encoding="utf-8-sig")
    return root / "list.csv"


def test_a_list_by_hand(tmp_path):
    touched(tmp_path / "photos", "a.jpg", "b/c, d.jpg", "e.png")
    text = 'file,label,split\na.jpg,duck,train\n"b/c, d.jpg", goose ,val\n\ne.png,duck,test\n'
    photos = read_labelled_list(listed(tmp_path, text), tmp_path / "photos")
    assert photos.labels == ("duck", "goose")
    assert [items(photos, split) for split in photos.splits] == [
        ["a.jpg"],
        ["b/c, d.jpg"],
        ["e.png"],
    ]
    assert photos.splits["valid"][0].path == tmp_path / "photos" / "b" / "c, d.jpg"
    assert photos.item_for("c, d.jpg") == "b/c, d.jpg"


def test_columns_in_any_order_and_no_split(tmp_path):
    touched(tmp_path, *BIRDS)
    text = "label,width,file\n" + "".join(f"{n.split('/')[0]},640,{n}\n" for n in BIRDS)
    listing = read_labelled_list(listed(tmp_path, text), tmp_path, seed=3)
    folders = read_class_folders(tmp_path, seed=3)
    assert listing.splits == folders.splits
    assert listing.labels == folders.labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none; expected file, label and split: file, label is missing"),
        ("file,split\na.jpg,train\n", "label is missing"),
        ("file,label,split\n", "lists no photo"),
        ("file,label,split\na.jpg,duck\n", "line 2 has 2 fields; expected 3: file, label, split"),
        ("file,label,split\na.jpg,duck,train\na.jpg,duck,test\n", "line 3: 'a.jpg' is on line 2"),
        ("file,label,split\na.jpg,duck,train\n./a.jpg,duck,test\n", "line 3: 'a.jpg' is on line 2"),
        ("file,label,split\na.jpg,duck,dev\n", "line 2 has unknown split 'dev'"),
        ("file,label,split\na.jpg,duck,\n", "line 2 has unknown split ''"),
        ("file,label,split\na.jpg, ,train\n", "line 2 has no label"),
        ("file,label,split\nz.jpg,duck,train\n", "line 2: .*z.jpg does not exist, or is no photo"),
        (
            "file,label,split\nlist.csv,duck,train\n",
            r"list.csv does not exist, or is no photo \(.j",
        ),
        ("file,label,split\n../a.jpg,duck,train\n", "line 2 has .*leaves its folder; refused"),
        ("file,label,split\n/a.jpg,duck,train\n", "leaves its folder; refused"),
        ("file,label,split\n,duck,train\n", "line 2 has file_name ''"),
    ],
)
def test_broken_lists(tmp_path, text, message):
    touched(tmp_path, "a.jpg")
    with pytest.raises(PhotoError, match=message):
        read_labelled_list(listed(tmp_path, text), tmp_path)


def test_no_list(tmp_path):
    with pytest.raises(PhotoError, match=r"gone.csv does not exist"):
        read_labelled_list(tmp_path / "gone.csv", tmp_path)
    (tmp_path / "x.csv").write_bytes(b"file,label\n\xff\xfe,duck\n")
    with pytest.raises(PhotoError, match=r"x.csv is no CSV file: 'utf-8'"):
        read_labelled_list(tmp_path / "x.csv", tmp_path)
