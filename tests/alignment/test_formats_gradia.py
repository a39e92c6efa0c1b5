"""GRADIA's files of masks and of verdicts, and the door that takes any layout."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.alignment.formats.folder import write_labels
from sightline.alignment.formats.gradia import (
    CELLS,
    read_gradia,
    read_reasonability,
    write_gradia_attention,
    write_gradia_reasonability,
)
from sightline.alignment.formats.read import LAYOUTS, photo_names, read_labels
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError

BLOT = [[0, 1, 0], [0, 1, 1]]


def written(folder: Path, name: str, told) -> Path:
    (folder / name).write_text(told if isinstance(told, str) else json.dumps(told))
    return folder / name


def entry(img: str, attention=None) -> dict:
    return {"img": img, "attention": BLOT if attention is None else attention}


# --- masks ----------------------------------------------------------------------------------------


def test_masks_by_hand(tmp_path):
    told = [entry("gender_data/val/men/a.jpg"), entry("C:\\data\\b.jpg", [[0.25, 0], [0, 1]])]
    labels = read_gradia(written(tmp_path, "att.json", told))
    assert labels.items == ("a.jpg", "b.jpg")
    assert labels.rows[0].must.tolist() == BLOT
    assert labels.rows[0].must_not is None
    assert labels.rows[1].must.tolist() == [[0.25, 0], [0, 1]]
    assert labels.notes == ()


def test_bytes_are_divided_mask_by_mask(tmp_path):
    told = [entry("a.jpg", [[0, 51, 255]]), entry("b.jpg", [[0, 1, 0]]), entry("c.jpg", [[2, 0]])]
    a, b, c = read_gradia(written(tmp_path, "att.json", told))
    assert a.must.tolist() == np.float32([[0, 0.2, 1]]).tolist()
    assert b.must.tolist() == [[0, 1, 0]]
    assert c.must.tolist() == np.float32([[2 / 255, 0]]).tolist()


def test_true_and_false_are_1_and_0(tmp_path):
    (label,) = read_gradia(written(tmp_path, "att.json", [entry("a.jpg", [[True, False]])]))
    assert label.must.tolist() == [[1, 0]]


def test_the_chain_of_files(tmp_path):
    """As the program does it: all, then what was changed, then what is taken away."""
    first = written(tmp_path, "val.json", [entry(f"val/{x}.jpg") for x in "abc"])
    update = written(tmp_path, "update.json", [entry("u/b.jpg", [[1, 0]]), entry("u/d.jpg")])
    again = written(tmp_path, "again.json", [entry("b.jpg", [[0, 1]])])
    remove = written(tmp_path, "remove.json", [{"img": "x/c.jpg"}, entry("x/a.jpg")])
    labels = read_gradia(first, updates=[update, again], removals=[remove])
    assert labels.items == ("b.jpg", "d.jpg")
    assert labels.rows[0].must.tolist() == [[0, 1]]


def test_a_removal_of_what_is_not_there(tmp_path):
    first = written(tmp_path, "val.json", [entry("a.jpg"), entry("bb.jpg")])
    remove = written(tmp_path, "remove.json", [{"img": "a.jpg"}, {"img": "b.jpg"}])
    with pytest.raises(AlignmentError, match=r"entry 1 of .*remove.json removes .*'bb.jpg'"):
        read_gradia(first, removals=[remove])


def test_the_later_of_two_counts(tmp_path):
    told = [entry("x/a.jpg"), entry("b.jpg"), entry("y/a.jpg", [[1, 0]])]
    labels = read_gradia(written(tmp_path, "att.json", told))
    assert labels.items == ("a.jpg", "b.jpg")
    assert labels.rows[0].must.tolist() == [[1, 0]]
    assert labels.notes[0].endswith("1 masks are of photos listed twice: the last of each counts")


def test_empty_masks(tmp_path):
    path = written(tmp_path, "att.json", [entry("a.jpg"), entry("x/b.jpg", [[0, 0]])])
    with pytest.raises(AlignmentError, match=r"attention of entry 1 .*\(b.jpg\) is empty"):
        read_gradia(path)
    labels = read_gradia(path, on_empty="skip")
    assert labels.items == ("a.jpg",)
    assert labels.notes[0].endswith("left out 1 empty masks, first of 'b.jpg'")
    emptied = written(tmp_path, "update.json", [entry("a.jpg", [[0, 0]])])
    assert read_gradia(path, updates=[emptied], on_empty="skip").items == ()


def test_masks_of_stretched_photos_go_back(tmp_path):
    mask = np.zeros((224, 224), int)
    mask[:112, 112:] = 1
    path = written(tmp_path, "att.json", [entry("a.jpg", mask.tolist()), entry("b.jpg")])
    a, b = read_gradia(path, sizes={"a.jpg": (100, 300)})
    assert a.size == (100, 300)
    assert a.must[:50, 150:].all()
    assert a.must.sum() == 50 * 150
    assert b.size == (2, 3)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({}, "is an object; expected a list"),
        ([3], r"entry 0 of .*att.json has no 'img' \(a number\)"),
        ([entry("a.jpg"), {"img": "b.jpg", "mask": 1}], r"entry 1 .*no 'attention' \(keys img, m"),
        ([{"attention": BLOT}], "entry 0 .*no 'img'"),
        ([entry("a/")], "entry 0 .* has img 'a/'; expected the path of a photo"),
        ([entry("")], "expected the path of a photo"),
        ([{"img": 3, "attention": BLOT}], "has img 3"),
        ([entry("a.jpg", [[1, 0], [1]])], r"entry 0 .*\(a.jpg\) is no table of numbers"),
        ([entry("a.jpg", [1, 0])], "is no table of numbers"),
        ([entry("a.jpg", "white")], "is no table of numbers"),
        ([entry("a.jpg", [])], "is no table of numbers"),
        ([entry("a.jpg", [[10**400]])], "is no table of numbers"),
        (
            [entry("a.jpg", [[256, 0]])],
            r"numbers from 0.0 to 256.0; expected \[0, 1\] or \[0, 255\]",
        ),
        ([entry("a.jpg", [[-1, 0]])], "numbers from -1.0"),
        ([entry("a.jpg", [[float("nan"), 0]])], "numbers from nan"),
    ],
)
def test_broken_masks(tmp_path, told, message):
    with pytest.raises(AlignmentError, match=message):
        read_gradia(written(tmp_path, "att.json", told))


@pytest.mark.parametrize("cut", [3, 40, 60, -2])
def test_masks_written_half(tmp_path, cut):
    text = json.dumps([entry("a.jpg"), entry("b.jpg")])
    path = written(tmp_path, "att.json", text[:cut])
    with pytest.raises(
        AlignmentError, match=r"att.json is broken JSON at line 1, column (\d+)"
    ) as e:
        read_gradia(path)
    assert "ends too early: it was written half" in str(e.value)


def test_masks_there_and_back(tmp_path):
    labels = [AttentionLabel("a.jpg", BLOT), AttentionLabel("b.jpg", [[0.5, 0.1]])]
    write_gradia_attention(tmp_path / "att.json", labels, size=None)
    back = read_gradia(tmp_path / "att.json")
    for label, other in zip(labels, back, strict=True):
        assert label.item == other.item
        assert np.array_equal(label.must, other.must)
    assert json.loads((tmp_path / "att.json").read_text())[0] == entry("a.jpg")


def test_masks_are_written_as_the_program_wants_them(tmp_path):
    label = AttentionLabel("a.jpg", BLOT)
    write_gradia_attention(tmp_path / "att.json", [label])
    (told,) = json.loads((tmp_path / "att.json").read_text())
    mask = np.array(told["attention"])
    assert mask.shape == (224, 224)
    assert mask.dtype.kind == "i"
    assert np.array_equal(read_gradia(tmp_path / "att.json").rows[0].resized((2, 3)).must, BLOT)


def test_no_labels_there_and_back(tmp_path):
    write_gradia_attention(tmp_path / "att.json", [])
    assert len(read_gradia(tmp_path / "att.json")) == 0


def test_labels_that_the_layout_cannot_hold(tmp_path):
    path, both = tmp_path / "att.json", AttentionLabel("a.jpg", BLOT, [[1, 0, 0], [0, 0, 0]])
    with pytest.raises(AlignmentError, match=r"'a.jpg' says what to leave alone.*leave_out"):
        write_gradia_attention(path, [AttentionLabel("b.jpg", BLOT), both])
    assert list(tmp_path.iterdir()) == []  # not even half
    with pytest.raises(AlignmentError, match=r"'b.jpg' has several labels; .*combined\(labels\)"):
        write_gradia_attention(path, [AttentionLabel("b.jpg", BLOT)] * 2)
    with pytest.raises(AlignmentError, match="'5718' is a drawing"):
        write_gradia_attention(path, [AttentionLabel("5718", [0, 1])], size=None)
    only_not = AttentionLabel("c.jpg", must_not=BLOT)
    write_gradia_attention(path, [only_not, both], on_must_not="leave_out")
    assert read_gradia(path).items == ("a.jpg",)


# --- verdicts -------------------------------------------------------------------------------------


def released(luck: np.random.Generator) -> dict[str, str]:
    """Of the same layout and counts as the table that GRADIA's authors released."""
    counts = {
        "Reasonable Accurate": 402,
        "Unreasonable Accurate": 212,
        "Reasonable Inaccurate": 71,
        "Unreasonable Inaccurate": 65,
    }
    texts = [text for text, count in counts.items() for _ in range(count)]
    order = luck.permutation(len(texts))
    return {f"pond_{i:012d}.jpg": texts[place] for i, place in enumerate(order)}


def test_a_table_as_it_was_released(tmp_path):
    table = released(np.random.default_rng(2022))
    cells = read_reasonability(written(tmp_path, "reasonablity_val.json", table))
    counts = Counter(cells.values())
    assert [counts[cell] for cell in ("RA", "UA", "RI", "UI")] == [402, 212, 71, 65]
    assert list(cells) == list(table)
    assert all(CELLS[cells[name]] == text for name, text in table.items())


def test_verdicts_there_and_back(tmp_path):
    cells = {"a.jpg": "RA", "b.jpg": "UA", "c.jpg": "RI", "dé.jpg": "UI"}
    write_gradia_reasonability(tmp_path / "v.json", cells)
    assert read_reasonability(tmp_path / "v.json") == cells
    told = json.loads((tmp_path / "v.json").read_text())
    assert told["dé.jpg"] == "Unreasonable Inaccurate"
    assert told["b.jpg"] == "Unreasonable Accurate"


LIST = [
    {"img": "att/a.jpg", "label": "reasonable"},
    {"img": "att/b.jpg", "label": "unreasonable"},
    {"img": "att/c.jpg", "label": "reasonable"},
    {"img": "att/d.jpg", "label": "unreasonable"},
    {"img": "", "label": "unreasonable"},
    {"img": "att/", "label": "reasonable"},
]


def test_the_list_and_what_was_classified_wrongly(tmp_path):
    path = written(tmp_path, "v.json", LIST)
    expected = {"a.jpg": "RA", "b.jpg": "UA", "c.jpg": "RI", "d.jpg": "UI"}
    assert read_reasonability(path, misclassified=["test/c.jpg", "d.jpg", "z.jpg"]) == expected
    wrong = written(tmp_path, "misclassified.json", ["c.jpg", "d.jpg"])
    assert read_reasonability(path, misclassified=wrong) == expected
    assert read_reasonability(path, misclassified=str(wrong)) == expected


def test_the_later_of_two_verdicts_counts(tmp_path):
    path = written(tmp_path, "v.json", [*LIST[:1], {"img": "x/a.jpg", "label": "unreasonable"}])
    assert read_reasonability(path, misclassified=[]) == {"a.jpg": "UA"}


@pytest.mark.parametrize(
    ("told", "wrong", "message"),
    [
        ({"a.jpg": "Resonable Accurate"}, None, "'a.jpg' of .*did you mean 'Reasonable Accurate'"),
        ({"a.jpg": 3}, None, "unknown verdict '3'"),
        ({"a.jpg": "Reasonable Accurate"}, ["a.jpg"], "says itself what is accurate"),
        ({"x/": "Reasonable Accurate"}, None, "a key of .* has img 'x/'"),
        (LIST, None, "give misclassified=, the photos that the model got wrong"),
        ([{"img": "a.jpg", "label": "fine"}], [], "entry 0 of .*unknown label 'fine'"),
        ([{"img": "a.jpg"}], [], "entry 0 of .* has no 'label'"),
        ([{"label": "reasonable"}], [], "entry 0 of .* has no 'img'"),
        ("3", None, "is a number; expected"),
        ('{"a.jpg": "Reas', None, "line 1, column 11: Unterminated .* written half"),
    ],
)
def test_broken_verdicts(tmp_path, told, wrong, message):
    path = written(tmp_path, "v.json", told)
    with pytest.raises(AlignmentError, match=message):
        read_reasonability(path, misclassified=wrong)


def test_an_unknown_cell_is_not_written(tmp_path):
    with pytest.raises(AlignmentError, match=r"'a.jpg' has unknown cell 'AR'"):
        write_gradia_reasonability(tmp_path / "v.json", {"a.jpg": "AR"})
    assert list(tmp_path.iterdir()) == []


# --- any layout -----------------------------------------------------------------------------------


def test_the_door_to_gradia(tmp_path):
    (tmp_path / "photos" / "val").mkdir(parents=True)
    Image.new("RGB", (6, 8)).save(tmp_path / "photos" / "val" / "a.png")
    path = written(
        tmp_path, "anything.json", [entry("x/a.png", np.eye(4).tolist()), entry("b.jpg")]
    )
    assert [label.size for label in read_labels(path)] == [(4, 4), (2, 3)]
    labels = read_labels(path, photos=tmp_path / "photos")
    assert labels.items == ("val/a.png", "b.jpg")
    assert [label.size for label in labels] == [(8, 6), (2, 3)]


def test_the_door_to_our_folder(tmp_path):
    write_labels(tmp_path, [AttentionLabel("duck.jpg", BLOT)])
    assert read_labels(tmp_path).items == ("duck.jpg",)
    assert read_labels(tmp_path / "labels.json").items == ("duck.jpg",)
    (tmp_path / "labels.json").rename(tmp_path / "mine.json")
    assert read_labels(tmp_path / "mine.json", items=["a/duck.jpg"]).items == ("a/duck.jpg",)


def test_the_door_to_plain_masks(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "photos").mkdir()
    Image.new("L", (3, 2), 255).save(tmp_path / "masks" / "duck.png")
    Image.new("RGB", (3, 2)).save(tmp_path / "photos" / "duck.jpg")
    assert read_labels(tmp_path / "masks", photos=tmp_path / "photos").items == ("duck.jpg",)
    assert read_labels(tmp_path / "masks", items=["x/duck.bmp"]).items == ("x/duck.bmp",)


COCO = {
    "images": [{"id": 1, "file_name": "duck.jpg", "height": 4, "width": 6}],
    "categories": [{"id": 16, "name": "bird"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 16,
            "bbox": [0, 0, 3, 4],
            "segmentation": [[0, 0, 3, 0, 3, 4, 0, 4]],
        }
    ],
}


def test_the_door_to_coco(tmp_path):
    path = written(tmp_path, "labels.json", COCO)  # some tools call theirs as we call ours
    for place in (path, tmp_path):
        (label,) = read_labels(place, category="bird")
        assert label.must.tolist() == [[1, 1, 1, 0, 0, 0]] * 4
    with pytest.raises(AlignmentError, match=r"is COCO's: give category=.* it has bird"):
        read_labels(path)


def test_the_door_to_panoptic_masks(tmp_path):
    """The pictures of numbers lie in a folder that is named as the file."""
    numbers = np.zeros((4, 6, 3), np.uint8)
    numbers[:2, :, 0] = 7
    (tmp_path / "panoptic").mkdir()
    Image.fromarray(numbers).save(tmp_path / "panoptic" / "duck.png")
    segment = {"id": 7, "category_id": 16, "bbox": [0, 0, 6, 2], "iscrowd": 0}
    row = {"image_id": 1, "file_name": "duck.png", "segments_info": [segment]}
    path = written(tmp_path, "panoptic.json", COCO | {"annotations": [row]})
    (label,) = read_labels(path, category=["bird"])
    assert label.must.tolist() == [[1] * 6] * 2 + [[0] * 6] * 2


def test_the_door_to_what_coco_writes(tmp_path):
    from sightline.alignment.formats.coco import write_coco_labels

    label = AttentionLabel("duck.jpg", BLOT, [[1, 0, 0], [0, 0, 0]])
    labels = AttentionLabels.from_rows([label])
    write_coco_labels(tmp_path / "x.json", labels, {"duck.jpg": (2, 3)})
    (back,) = read_labels(tmp_path / "x.json")
    assert np.array_equal(back.must, label.must)
    assert np.array_equal(back.must_not, label.must_not)


def test_the_door_to_label_studio(tmp_path):
    from sightline.alignment.formats.label_studio import write_label_studio

    labels = AttentionLabels.from_rows([AttentionLabel("duck.jpg", BLOT)])
    write_label_studio(tmp_path / "x.json", labels)
    (back,) = read_labels(tmp_path / "x.json", items=["train/duck.jpg"])
    assert back.item == "train/duck.jpg"
    assert back.must.tolist() == BLOT


def test_a_name_that_can_mean_several(tmp_path):
    path = written(tmp_path, "x.json", [entry("1.jpg")])
    with pytest.raises(AlignmentError, match=r"'1.jpg' can be any of 2 photos, a/1.jpg, b/1.jpg"):
        read_labels(path, items=["a/1.jpg", "b/1.jpg"])


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ([{"file": "a.jpg", "boxes": []}], "a list of objects with file, boxes"),
        ({"a": 1, "b": 2}, "an object with a, b"),
        ([], "a list of 0"),
        ({"a.jpg": "Reasonable Accurate"}, r"GRADIA's verdicts, not labels \(read_reasonability"),
        (7, "a number"),
    ],
)
def test_other_layouts_are_told(tmp_path, told, found):
    path = written(tmp_path, "x.json", told)
    with pytest.raises(AlignmentError, match=rf"x.json has {found}") as caught:
        read_labels(path)
    assert all(layout in str(caught.value) for layout in LAYOUTS)


def test_other_places_are_told(tmp_path):
    written(tmp_path, "att.json", [entry("a.jpg")])
    with pytest.raises(AlignmentError, match=r"has no labels \(files: 1 of .json\); expected") as e:
        read_labels(tmp_path)
    assert all(layout in str(e.value) for layout in LAYOUTS)
    with pytest.raises(AlignmentError, match="gone does not exist; expected a folder with"):
        read_labels(tmp_path / "gone")
    with pytest.raises(AlignmentError, match="is no folder; give the one that holds the photos"):
        photo_names(tmp_path / "gone")
    with pytest.raises(AlignmentError, match=r"has no photo \(.jpg"):
        photo_names(tmp_path)
