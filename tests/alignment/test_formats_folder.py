"""Our own folder of labels, and plain folders of masks: exact, whole or not at all, kept inside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.alignment.formats import folder as folder_file
from sightline.alignment.formats.folder import read_labels_folder, write_labels
from sightline.alignment.formats.json_file import read_json
from sightline.alignment.formats.masks_png import grey_of, read_mask
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError

HARD = np.float32([[0, 1, 0], [0, 1, 1]])
EIGHT = (np.arange(6).reshape(2, 3) * 50 / 255).astype(np.float32)
FINE = np.float32([[0, 1e-9, 0.1], [0.3333, 0.5, 1]])


def same(a: AttentionLabel, b: AttentionLabel) -> bool:
    texts = [(x.item, x.weight, x.author, x.time) for x in (a, b)]
    masks = [(a.must, b.must), (a.must_not, b.must_not)]
    alike = all(
        (m is None) == (n is None) and (m is None or np.array_equal(m, n)) for m, n in masks
    )
    return alike and texts[0] == texts[1]


def paint(path: Path, values, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).convert(mode).save(path)
    return path


# --- there and back -------------------------------------------------------------------------------


def test_everything_comes_back(tmp_path):
    labels = [
        AttentionLabel("train/duck.jpg", HARD, 1 - HARD, 0.1, "Ada Lövelace", "2024-05-01T10:00Z"),
        AttentionLabel("train/duck.jpg", None, EIGHT, author="bob"),
        AttentionLabel("weird: ../ name?.jpg", HARD),
        AttentionLabel("5718", np.float32([0.1, 0, 1 / 3]), np.float32([0, 1, 0])),
    ]
    write_labels(tmp_path / "new" / "labels", labels)
    back = read_labels_folder(tmp_path / "new" / "labels")
    assert back.notes == ()
    assert [same(a, b) for a, b in zip(labels, back, strict=True)] == [True] * 4


def test_no_label_is_a_file_too(tmp_path):
    write_labels(tmp_path, [])
    assert len(read_labels_folder(tmp_path)) == 0


def test_the_layout_by_hand(tmp_path):
    write_labels(tmp_path, AttentionLabels((AttentionLabel("a/duck.jpg", HARD, author="ada"),)))
    told = json.loads((tmp_path / "labels.json").read_text())
    (row,) = told["labels"]
    assert told["version"] == 1
    assert row | {"must": ""} == {
        "item": "a/duck.jpg",
        "weight": 1.0,
        "author": "ada",
        "time": "",
        "must": "",
    }
    assert row["must"].startswith("masks/duck-must-")
    with Image.open(tmp_path / row["must"]) as picture:
        assert picture.mode == "L"
        assert np.asarray(picture).tolist() == [[0, 255, 0], [0, 255, 255]]


@pytest.mark.parametrize("mask", [HARD, EIGHT])
def test_eight_bits_are_exact(tmp_path, mask):
    assert grey_of(mask).dtype == np.uint8
    write_labels(tmp_path, [AttentionLabel("duck.jpg", mask)])
    assert np.array_equal(read_labels_folder(tmp_path).rows[0].must, mask)


def test_all_256_greys_are_exact(tmp_path):
    mask = (np.arange(256) / 255).astype(np.float32)[None]
    assert grey_of(mask).tolist() == [list(range(256))]


def test_sixteen_bits_are_near_and_keep_what_is_above_0(tmp_path):
    assert grey_of(FINE).dtype == np.uint16
    write_labels(tmp_path, [AttentionLabel("duck.jpg", FINE)])
    back = read_labels_folder(tmp_path).rows[0].must
    assert np.abs(back - FINE).max() <= 1 / 65535
    assert np.abs(back - FINE)[FINE > 1e-4].max() <= 0.5 / 65535 + 1e-7
    assert np.array_equal(back > 0, FINE > 0)
    write_labels(tmp_path, [AttentionLabel("duck.jpg", back)])
    assert np.array_equal(read_labels_folder(tmp_path).rows[0].must, back)


def test_the_same_mask_is_one_picture(tmp_path):
    write_labels(tmp_path, [AttentionLabel("duck.jpg", HARD), AttentionLabel("duck.jpg", HARD)])
    assert len(list((tmp_path / "masks").iterdir())) == 1
    assert len(read_labels_folder(tmp_path)) == 2


# --- whole or not at all --------------------------------------------------------------------------


def test_writing_again_leaves_no_old_picture_of_ours(tmp_path):
    write_labels(tmp_path, [AttentionLabel("duck.jpg", HARD)])
    own = paint(tmp_path / "masks" / "my own.png", [[255]])
    write_labels(tmp_path, [AttentionLabel("duck.jpg", EIGHT)])
    assert len(list((tmp_path / "masks").iterdir())) == 2
    assert own.exists()
    assert np.array_equal(read_labels_folder(tmp_path).rows[0].must, EIGHT)


@pytest.mark.parametrize("fails", ["png_of", "write_json"])
def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch, fails):
    write_labels(tmp_path, [AttentionLabel("duck.jpg", HARD)])
    before = sorted(tmp_path.rglob("*"))
    right, calls = getattr(folder_file, fails), []

    def full(*args, **kwargs):
        calls.append(1)
        if fails == "png_of" and len(calls) < 2:
            return right(*args, **kwargs)
        raise OSError("no space left")

    monkeypatch.setattr(folder_file, fails, full)
    with pytest.raises(OSError, match="no space left"):
        write_labels(tmp_path, [AttentionLabel("a.jpg", EIGHT), AttentionLabel("b.jpg", 1 - EIGHT)])
    assert sorted(tmp_path.rglob("*")) == before
    assert np.array_equal(read_labels_folder(tmp_path).rows[0].must, HARD)


# --- broken and hostile ---------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_file_written_half_is_told_with_its_place(tmp_path, share):
    write_labels(tmp_path, [AttentionLabel(f"duck {i}.jpg", HARD) for i in range(5)])
    path = tmp_path / "labels.json"
    text = path.read_text().rstrip()
    path.write_text(text[: int(len(text) * share)])
    last = path.read_text().count("\n") + 1
    with pytest.raises(
        AlignmentError, match=r"labels.json is broken JSON at line .*, column \d+"
    ) as e:
        read_labels_folder(tmp_path)
    assert "it was written half" in str(e.value)
    assert abs(int(str(e.value).split(" at line ")[1].split(",")[0]) - last) <= 1


def test_a_slip_in_the_middle_is_not_called_half(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('{"version": 1,\n "labels": [}]}')
    with pytest.raises(AlignmentError, match=r"line 2, column 13: Expecting value$"):
        read_labels_folder(tmp_path)


def test_no_text_at_all(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"version": "\xff\xfe"}')
    with pytest.raises(AlignmentError, match="is no JSON: 'utf-8' codec can't decode"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(AlignmentError, match=r"is no JSON|broken JSON"):
        read_json(path)


ROW = {"item": "duck.jpg", "must": [0, 1]}


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ([], "is a list; expected an object with a list 'labels'"),
        ({"version": 1}, "expected an object with a list 'labels'"),
        ({"version": 2, "labels": []}, "has version 2; this sightline reads 1"),
        ({"labels": []}, "has version None"),
        ({"version": 1, "labels": [ROW, 3]}, "label 1 of .* is a number; expected an object"),
        ({"version": 1, "labels": [{"must": [1]}]}, "label 0 of .* item, author, time"),
        ({"version": 1, "labels": [ROW | {"author": 3}]}, "expected texts"),
        ({"version": 1, "labels": [ROW | {"weight": "much"}]}, "weight of label 0"),
        ({"version": 1, "labels": [ROW | {"weight": 10**400}]}, "weight of label 0"),
        ({"version": 1, "labels": [ROW | {"weight": -1}]}, "label 0 of .*: .*weight -1.0"),
        ({"version": 1, "labels": [ROW | {"must": ["1"]}]}, "must of label 0 .*list of numbers"),
        ({"version": 1, "labels": [ROW | {"must": [2]}]}, "outside"),
        ({"version": 1, "labels": [ROW | {"must": [0]}]}, "label 0 of .*: .*is empty"),
        ({"version": 1, "labels": [{"item": "duck.jpg"}]}, "is empty"),
        ({"version": 1, "labels": [ROW | {"must": 3}]}, "must of label 0"),
        ({"version": 1, "labels": [ROW | {"must": "gone.png"}]}, "gone.png does not exist"),
        ({"version": 1, "labels": [ROW | {"must": "/etc/x.png"}]}, "leaves its folder; refused"),
        ({"version": 1, "labels": [ROW | {"must": "../x.png"}]}, "leaves its folder; refused"),
        ({"version": 1, "labels": [ROW | {"must": "C:\\x.png"}]}, "leaves its folder; refused"),
        ({"version": 1, "labels": [ROW | {"must": "a/../../x.png"}]}, "leaves its folder"),
    ],
)
def test_broken_records(tmp_path, table, told):
    inside = tmp_path / "labels"
    inside.mkdir()
    paint(tmp_path / "x.png", [[255]])
    (inside / "labels.json").write_text(json.dumps(table))
    with pytest.raises(AlignmentError, match=told):
        read_labels_folder(inside)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    inside = tmp_path / "labels"
    inside.mkdir()
    (inside / "x.png").symlink_to(paint(tmp_path / "x.png", [[255]]))
    table = {"version": 1, "labels": [ROW | {"must": "x.png"}]}
    (inside / "labels.json").write_text(json.dumps(table))
    with pytest.raises(AlignmentError, match=r"'x.png', which leaves its folder"):
        read_labels_folder(inside)


# --- plain masks ----------------------------------------------------------------------------------


def test_plain_masks_by_hand(tmp_path):
    paint(tmp_path / "duck.png", [[0, 255], [51, 0]])
    paint(tmp_path / "duck_not.PNG", [[255, 0], [0, 0]])
    paint(tmp_path / "goose_not.png", [[255]])
    paint(tmp_path / ".hidden.png", [[255]])
    (tmp_path / "notes.txt").write_text("x")
    labels = read_labels_folder(tmp_path, items=["goose.jpeg", "duck.jpg", "swan.jpg"])
    assert labels.items == ("duck.jpg", "goose.jpeg")
    duck, goose = labels
    assert duck.must.tolist() == np.float32([[0, 1], [0.2, 0]]).tolist()
    assert duck.must_not.tolist() == [[1, 0], [0, 0]]
    assert goose.must is None
    assert labels.notes == ()


def test_masks_in_folders_as_their_photos(tmp_path):
    paint(tmp_path / "cat" / "1.png", [[255]])
    paint(tmp_path / "dog" / "1_not.png", [[255]])
    labels = read_labels_folder(tmp_path, items=["dog/1.jpg", "cat/1.jpg"])
    assert labels.items == ("cat/1.jpg", "dog/1.jpg")
    assert labels.of("dog/1.jpg")[0].must is None


def test_the_stem_alone_will_do_where_it_is_one(tmp_path):
    paint(tmp_path / "1.png", [[255]])
    assert read_labels_folder(tmp_path, items=["dog/1.jpg", "dog/2.jpg"]).items == ("dog/1.jpg",)
    told = "1.png can be of 2 items, 'dog/1.jpg' and 'cat/1.jpg'; put masks in folders"
    with pytest.raises(AlignmentError, match=told):
        read_labels_folder(tmp_path, items=["dog/1.jpg", "cat/1.jpg"])
    assert read_labels_folder(tmp_path, items=["1.jpg", "cat/1.jpg"]).items == ("1.jpg",)


def test_a_name_that_ends_in_not(tmp_path):
    paint(tmp_path / "forget_me_not.png", [[255]])
    (label,) = read_labels_folder(tmp_path, items=["forget_me_not.jpg"])
    assert label.must is not None
    with pytest.raises(AlignmentError, match="can be of 2 items"):
        read_labels_folder(tmp_path, items=["forget_me_not.jpg", "forget_me.jpg"])


def test_masks_of_greys_0_and_1_were_meant_as_black_and_white(tmp_path):
    paint(tmp_path / "duck.png", [[0, 1]])
    labels = read_labels_folder(tmp_path, items=["duck.jpg"])
    assert labels.rows[0].must.tolist() == [[0, 1]]
    assert labels.notes == ("read 1 masks of greys 0 and 1 as black and white: duck.png ...",)


def test_masks_of_no_photo(tmp_path):
    paint(tmp_path / "duk.png", [[255]])
    paint(tmp_path / "goose.png", [[255]])
    with pytest.raises(AlignmentError, match=r"duk.png is a mask of no item: .*'duck.jpg'"):
        read_labels_folder(tmp_path, items=["duck.jpg", "goose.jpg"])
    labels = read_labels_folder(tmp_path, items=["duck.jpg", "goose.jpg"], on_unknown="skip")
    assert labels.items == ("goose.jpg",)
    assert labels.notes == ("left out 1 masks of no item, first duk.png",)


def test_bad_plain_folders(tmp_path):
    with pytest.raises(AlignmentError, match=r"is no folder; give one with labels.json"):
        read_labels_folder(tmp_path / "gone")
    with pytest.raises(AlignmentError, match=r"neither labels.json nor a PNG mask"):
        read_labels_folder(tmp_path, items=["duck.jpg"])
    paint(tmp_path / "duck.png", [[0, 0]])
    with pytest.raises(AlignmentError, match=r"1 PNG masks and no labels.json: give items="):
        read_labels_folder(tmp_path)
    with pytest.raises(AlignmentError, match=r"duck.png is all black: nothing in 'duck.jpg'"):
        read_labels_folder(tmp_path, items=["duck.jpg"])
    paint(tmp_path / "duck.PNG", [[255, 0]])
    with pytest.raises(AlignmentError, match=r"are both the must mask of 'duck.jpg'; keep one"):
        read_labels_folder(tmp_path, items=["duck.jpg"])


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA"])
def test_kinds_of_grey(tmp_path, mode):
    path = paint(tmp_path / "m.png", [[0, 255], [255, 0]], mode)
    assert read_mask(path).tolist() == [[0, 1], [1, 0]]


def test_what_is_transparent_is_not_marked(tmp_path):
    brush = np.zeros((1, 3, 4), np.uint8)
    brush[0] = [[255, 255, 255, 255], [255, 255, 255, 51], [9, 200, 30, 0]]
    Image.fromarray(brush).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").tolist() == np.float32([[1, 0.2, 0]]).tolist()


def test_pictures_that_are_no_masks(tmp_path):
    coloured = np.zeros((1, 2, 3), np.uint8)
    coloured[0, 0] = (255, 0, 0)
    Image.fromarray(coloured).save(tmp_path / "m.png")
    with pytest.raises(AlignmentError, match=r"m.png has colours; expected a grey mask"):
        read_mask(tmp_path / "m.png")
    Image.fromarray(coloured).save(tmp_path / "m.jpg")
    (tmp_path / "m.jpg").rename(tmp_path / "m.png")
    with pytest.raises(AlignmentError, match=r"m.png cannot be read as a PNG mask"):
        read_mask(tmp_path / "m.png")


def test_a_picture_written_half(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (90, 90), np.uint8)
    path = paint(tmp_path / "m.png", noise)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(AlignmentError, match=r"m.png cannot be read as a PNG mask: .*write it"):
        read_mask(path)
