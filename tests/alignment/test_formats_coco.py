"""COCO's segmentations as labels: every kind of mask, unions, and the way back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from sightline.alignment.formats.coco import read_coco_labels, run_text, write_coco_labels
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError, PhotoError
from sightline.image.masks import Runs

SIZE = (4, 6)
LEFT = [0, 0, 2, 0, 2, 4, 0, 4]
"""A polygon around the two left columns."""


def coco(tmp_path, *things: tuple[str, object], photos: int = 2) -> str:
    """A file with things (category, segmentation) in photo 0, and photos without any."""
    names = ["cat", "dog", "tree"]
    annotations = [
        {"id": i + 1, "image_id": 0, "category_id": names.index(name), "bbox": [0, 0, 6, 4]}
        | ({} if mask is None else {"segmentation": mask})
        for i, (name, mask) in enumerate(things)
    ]
    images = [
        {"id": i, "file_name": f"{i}.jpg", "height": SIZE[0], "width": SIZE[1]}
        for i in range(photos)
    ]
    path = tmp_path / "instances.json"
    tables = {"images": images, "annotations": annotations}
    path.write_text(
        json.dumps(tables | {"categories": [{"id": i, "name": n} for i, n in enumerate(names)]})
    )
    return str(path)


def columns(*which: int) -> list:
    return [[float(x in which) for x in range(SIZE[1])]] * SIZE[0]


def runs(mask: object) -> dict:
    return {"counts": run_text(np.array(mask, bool)), "size": list(SIZE)}


def by_hand(lengths: list[int]) -> str:
    """cocoapi's text, by bits as text: groups of five from the lowest, two's complement."""
    text = ""
    for i, length in enumerate(lengths):
        number = length - (lengths[i - 2] if i > 2 else 0)
        groups = 1
        while not -(1 << 5 * groups - 1) <= number < 1 << 5 * groups - 1:
            groups += 1
        bits = f"{number % (1 << 5 * groups):0{5 * groups}b}"
        for group in range(groups):
            five = int(bits[len(bits) - 5 * group - 5 : len(bits) - 5 * group], 2)
            text += chr(48 + five + (32 if group + 1 < groups else 0))
    return text


def test_run_text_by_hand():
    mask = np.zeros((4, 6), bool)
    mask[:, 5] = True  # 20 background, 4 mask: 20 = 0b10100, which needs a second character
    assert run_text(mask) == "d04"
    assert run_text(~mask) == "0d04"  # no background first
    assert run_text(np.zeros((2, 2), bool)) == "4"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 1), (13, 17), (200, 300)])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_run_text_comes_back_and_is_cocos(size, share):
    mask = np.random.default_rng(1).random(size) < share
    mask[: size[0] // 2, : size[1] // 2] ^= True  # long runs beside short ones
    text = run_text(mask)
    assert (Runs(text, size).decode(size).numpy() == mask).all()
    flat, lengths, now = mask.T.ravel().tolist(), [0], False
    for pixel in flat:
        if pixel != now:
            lengths.append(0)
            now = pixel
        lengths[-1] += 1
    assert text == by_hand(lengths)


def test_a_label_is_the_union_of_polygons_and_run_lengths(tmp_path):
    path = coco(
        tmp_path,
        ("cat", [LEFT]),
        ("cat", runs(columns(5))),
        ("dog", runs(columns(3))),
        ("tree", {"counts": [0, 4, 20], "size": [4, 6]}),
    )
    labels = read_coco_labels(path, category=["cat", "dog"], must_not_category="tree", author="ada")
    (label,) = labels
    assert (label.item, label.author, label.weight) == ("0.jpg", "ada", 1.0)
    assert label.must.tolist() == columns(0, 1, 3, 5)
    assert label.must_not.tolist() == columns(0)
    assert label.contradictions == 4
    assert labels.notes == ("1 of 2 photos have no cat, dog, tree: no label",)


def test_must_not_alone(tmp_path):
    path = coco(tmp_path, ("tree", [LEFT]), photos=1)
    (label,) = read_coco_labels(path, category=(), must_not_category="tree")
    assert label.must is None
    assert label.must_not.tolist() == columns(0, 1)


def test_things_without_a_mask_or_with_an_empty_one_are_counted(tmp_path):
    sliver = [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]]
    path = coco(tmp_path, ("cat", None), ("cat", sliver), photos=1)
    labels = read_coco_labels(path, category="cat")
    assert len(labels) == 0
    assert labels.notes == (
        "1 annotation(s) without a mask left out",
        "1 annotation(s) with an empty mask left out",
        "1 of 1 photos have no cat: no label",
    )


def test_panoptic(tmp_path):
    numbers = np.zeros((4, 6, 3), np.uint8)
    numbers[:, :2, 0], numbers[:, 2, 1] = 7, 1  # segments 7 and 256
    Image.fromarray(numbers).save(tmp_path / "0.png")
    segments = [
        {"id": number, "category_id": category, "bbox": [0, 0, 6, 4]}
        for number, category in ((7, 1), (256, 2))
    ]
    tables = {
        "images": [{"id": 3, "file_name": "0.jpg", "height": 4, "width": 6}],
        "annotations": [{"image_id": 3, "file_name": "0.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "sky"}],
    }
    path = tmp_path / "panoptic.json"
    path.write_text(json.dumps(tables))
    (label,) = read_coco_labels(
        path, category="person", panoptic_folder=tmp_path, must_not_category="sky"
    )
    assert label.must.tolist() == columns(0, 1)
    assert label.must_not.tolist() == columns(2)


def test_people_of_real_photos(data):
    folder = data / "coco_open_mini"
    labels = read_coco_labels(
        folder / "panoptic.json", category="person", panoptic_folder=folder / "panoptic"
    )
    assert len(labels) == 30
    assert labels.notes[-1] == "23 of 53 photos have no person: no label"
    assert all(0 < label.must.mean() < 1 for label in labels)


def test_written_labels_come_back(tmp_path):
    luck = np.random.default_rng(2)
    masks = [luck.random((9, 7)) < 0.4 for _ in range(4)]
    rows = [
        AttentionLabel("b.jpg", masks[0], masks[1], 0.25, "ada", "2026-05-01T10:00:00Z"),
        AttentionLabel("a.jpg", masks[2], author="ada"),
        AttentionLabel("b.jpg", None, masks[3], author="bob"),
        AttentionLabel("a.jpg", masks[0], author="ada"),  # the same person again
    ]
    path = tmp_path / "labels.json"
    sizes = {"a.jpg": (9, 7), "b.jpg": (9, 7), "c.jpg": (3, 3)}
    assert write_coco_labels(path, AttentionLabels.from_rows(rows), sizes) == ()
    back = read_coco_labels(path, category="must", must_not_category="must not", author="nobody")
    for old, new in zip(rows, back, strict=True):
        assert (new.item, new.weight, new.author, new.time) == (
            old.item, old.weight, old.author, old.time,
        )  # fmt: skip
        for side in ("must", "must_not"):
            assert (getattr(new, side) is None) == (getattr(old, side) is None)
            np.testing.assert_array_equal(new.either(side), old.either(side))


def test_boxes_and_areas_of_written_masks(tmp_path):
    mask = np.zeros((6, 8))
    mask[2:4, 3:8] = 1
    path = tmp_path / "labels.json"
    write_coco_labels(path, AttentionLabels.from_rows([AttentionLabel("a.jpg", mask)]),
                      {"a.jpg": (6, 8)})  # fmt: skip
    (row,) = json.loads(path.read_text())["annotations"]
    assert (row["bbox"], row["area"]) == ([3, 2, 5, 2], 10)


def test_soft_masks_are_cut_where_the_caller_says(tmp_path):
    rows = [
        AttentionLabel("a.jpg", [[0.2, 0.5, 0.9]], [[0.1, 0, 0]]),
        AttentionLabel("b.jpg", [[1, 0, 0]]),
    ]
    labels, sizes = AttentionLabels.from_rows(rows), {"a.jpg": (1, 3), "b.jpg": (1, 3)}
    path = tmp_path / "labels.json"
    with pytest.raises(AlignmentError, match=r"must mask of 'a.jpg' is soft.* threshold=0\.5"):
        write_coco_labels(path, labels, sizes)
    assert not path.exists()
    notes = write_coco_labels(path, labels, sizes, threshold=0.5)
    assert notes == (
        "2 soft mask(s) cut at 0.5",
        "1 mask(s) left out: nothing reaches 0.5",
    )
    assert json.loads(path.read_text())["info"]["notes"] == list(notes)
    back = read_coco_labels(path, category="must", must_not_category="must not")
    assert [label.must.tolist() for label in back] == [[[0, 1, 1]], [[1, 0, 0]]]
    assert back.rows[0].must_not is None


def test_unknown_and_contradictory_categories(tmp_path):
    path = coco(tmp_path, ("cat", [LEFT]))
    with pytest.raises(AlignmentError, match=r"instances\.json: unknown category 'kat'; .*'cat'"):
        read_coco_labels(path, category="kat")
    with pytest.raises(AlignmentError, match=r"\['cat'\] are to be looked at and to be left alone"):
        read_coco_labels(path, category="cat", must_not_category="cat")
    with pytest.raises(AlignmentError, match="no category"):
        read_coco_labels(path, category=())


def test_broken_files_are_told(tmp_path):
    path = coco(tmp_path, ("cat", {"counts": "d0", "size": [4, 6]}))
    with pytest.raises(PhotoError, match=r"annotation 0 of instances\.json .* sum to 20"):
        read_coco_labels(path, category="cat")
    tables = json.loads((tmp_path / "instances.json").read_text())
    for name, value, message in (
        ("weight", "much", "weight of annotation 1 of 0.jpg"),
        ("author", 7, "author 7"),
    ):
        tables["annotations"][0] |= {"segmentation": [LEFT], "weight": 1.0, name: value}
        (tmp_path / "instances.json").write_text(json.dumps(tables))
        with pytest.raises((AlignmentError, PhotoError), match=message):
            read_coco_labels(path, category="cat")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (AttentionLabel("a.jpg", [[1, 0]]), r"is \(1, 2\) .* its photo \(2, 2\)"),
        (AttentionLabel("z.jpg", [[1, 0]]), "'z.jpg' is of a photo that sizes does not list"),
        (AttentionLabel("a.jpg", [1, 0]), "one of strokes"),
    ],
)
def test_labels_that_cannot_be_written(tmp_path, label, message):
    with pytest.raises(AlignmentError, match=message):
        write_coco_labels(
            tmp_path / "x.json", AttentionLabels.from_rows([label]), {"a.jpg": (2, 2)}
        )
    with pytest.raises(AlignmentError, match="threshold is 0"):
        write_coco_labels(tmp_path / "x.json", AttentionLabels(()), {}, threshold=0.0)
