"""COCO's files: what is read, what is refused, and which box has which human mask."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sightline.errors import PhotoError
from sightline.image.annotations import (
    Annotation,
    Annotations,
    check_files,
    mask_for,
    read_instances,
    read_panoptic,
    with_masks,
)
from sightline.image.boxes import iou
from sightline.image.masks import Runs

POND = {"id": 7, "file_name": "pond.jpg", "height": 4, "width": 6}
LAKE = {"id": 9, "file_name": "val/lake.jpg", "height": 40, "width": 60}
CATEGORIES = [{"id": 16, "name": "bird"}, {"id": 1, "name": "person"}]
DUCK = {"id": 3, "image_id": 7, "category_id": 16, "bbox": [1, 0, 2, 3], "iscrowd": 0}


def file_of(folder: Path, *rows: object, **changes: object) -> Path:
    tables = {"images": [POND, LAKE], "annotations": list(rows), "categories": CATEGORIES}
    (folder / "marks.json").write_text(json.dumps(tables | changes))
    return folder / "marks.json"


# By hand


def test_boxes_by_hand(tmp_path):
    crowd = {"image_id": 9, "category_id": 1, "bbox": [0.5, 1.25, 10, 20], "iscrowd": 1}
    marks = read_instances(file_of(tmp_path, crowd, DUCK))
    assert marks.files == ("pond.jpg", "val/lake.jpg")
    assert marks.categories == {16: "bird", 1: "person"}
    assert marks.sizes == {"pond.jpg": (4, 6), "val/lake.jpg": (40, 60)}
    assert marks.notes == ()
    assert len(marks) == 2
    assert marks.of("pond.jpg") == (
        Annotation("pond.jpg", "bird", (1.0, 0.0, 3.0, 3.0), (4, 6), 16, 7, 3),
    )
    (people,) = marks.of("val/lake.jpg")
    assert people.box == (0.5, 1.25, 10.5, 21.25)
    assert people.crowd
    assert mask_for(people) is None


def test_a_photo_without_marks_is_listed(tmp_path):
    marks = read_instances(file_of(tmp_path, DUCK))
    assert marks.of("val/lake.jpg") == ()


def test_masks_of_all_three_kinds(tmp_path):
    # columns 1 and 2, rows 0 to 2: down the columns 4 off, 3 on, 1 off, 3 on, the rest off
    kinds = [
        [[1, 0, 3, 0, 3, 3, 1, 3]],
        {"size": [4, 6], "counts": [4, 3, 1, 3, 13]},
        {"size": [4, 6], "counts": "4310<"},
    ]
    for told in kinds:
        (duck,) = read_instances(file_of(tmp_path, DUCK | {"segmentation": told})).rows
        mask = mask_for(duck)
        assert mask is not None
        assert mask.shape == (4, 6)
        assert mask.nonzero().tolist() == [[y, x] for y in range(3) for x in (1, 2)]


@pytest.mark.parametrize("told", [None, []])
def test_no_mask_is_no_mask(tmp_path, told):
    (duck,) = read_instances(file_of(tmp_path, DUCK | {"segmentation": told})).rows
    assert mask_for(duck) is None


def segments_in(folder: Path, numbers: np.ndarray, *infos: dict, name: str = "pond.png") -> Path:
    Image.fromarray(np.stack([numbers, numbers * 0, numbers * 0], -1).astype(np.uint8)).save(
        folder / name
    )
    row = {"image_id": 7, "file_name": name, "segments_info": list(infos)}
    return file_of(folder, row)


def test_segments_by_hand(tmp_path):
    numbers = np.array([[0, 5, 5, 0, 9, 9], [0, 5, 0, 0, 9, 9], [0] * 6, [0] * 6])
    path = segments_in(
        tmp_path,
        numbers,
        {"id": 5, "category_id": 16, "bbox": [1, 0, 2, 2], "iscrowd": 0},
        {"id": 9, "category_id": 1, "bbox": [4, 0, 2, 2], "iscrowd": 1},
    )
    bird, people = read_panoptic(path, tmp_path).of("pond.jpg")
    assert (bird.label, bird.box, bird.number, bird.crowd) == ("bird", (1, 0, 3, 2), 5, False)
    assert (people.label, people.crowd) == ("person", True)
    for one, number in ((bird, 5), (people, 9)):
        mask = mask_for(one)
        assert mask is not None
        assert mask.tolist() == (numbers == number).tolist()


def marks_of(*rows: Annotation) -> Annotations:
    return Annotations(rows, {"p.jpg": (20, 20)}, {})


def mark(label: str, *box: float, mask: int = 0, crowd: bool = False) -> Annotation:
    """With a mask of ``mask`` pixels, so that masks can be told apart."""
    source = Runs((0, mask, 400 - mask), (20, 20)) if mask else None
    return Annotation("p.jpg", label, tuple(map(float, box)), (20, 20), crowd=crowd, mask=source)


def matched(instances: Annotations, segments: Annotations, **settings: float) -> list[int]:
    masks = [mask_for(row) for row in with_masks(instances, segments, **settings).rows]
    return [0 if mask is None else int(mask.sum()) for mask in masks]


def test_matching_by_hand():
    boxes = marks_of(
        mark("bird", 0, 0, 10, 10),
        mark("bird", 0, 0, 10, 9),  # 0.9 of the first segment, but that has a nearer box
        mark("person", 0, 0, 10, 10),  # another label
        mark("bird", 10, 10, 20, 20, crowd=True),  # a crowd is not one of its birds
        mark("bird", 12, 0, 20, 8),
    )
    segments = marks_of(
        mark("bird", 0, 0, 10, 10, mask=1),
        mark("bird", 0, 0, 10, 7, mask=2),  # 0.7 of the first box, 7/9 of the second
        mark("bird", 10, 10, 20, 20, mask=3),
        mark("bird", 12, 0, 20, 4, mask=4),  # exactly half
    )
    assert matched(boxes, segments) == [1, 2, 0, 0, 4]
    assert matched(boxes, segments, overlap=0.51) == [1, 2, 0, 0, 0]
    assert matched(boxes, segments, overlap=0.8) == [1, 0, 0, 0, 0]


def test_a_segment_goes_to_one_box_and_ties_to_the_first():
    twins = marks_of(mark("bird", 0, 0, 10, 10), mark("bird", 0, 0, 10, 10))
    assert matched(twins, marks_of(mark("bird", 0, 0, 10, 10, mask=6))) == [6, 0]


def test_a_box_keeps_the_mask_it_has():
    boxes = marks_of(mark("bird", 0, 0, 10, 10, mask=7), mark("bird", 0, 0, 10, 10))
    assert matched(boxes, marks_of(mark("bird", 0, 0, 10, 10, mask=8))) == [7, 8]


def test_matching_leaves_photos_that_only_one_file_has():
    boxes = marks_of(mark("bird", 0, 0, 10, 10))
    assert matched(boxes, Annotations((), {"q.jpg": (5, 5)}, {})) == [0]
    other = Annotations((), {"p.jpg": (21, 20)}, {})
    with pytest.raises(PhotoError, match=r"'p\.jpg' is \(20, 20\) .* \(21, 20\) in the other"):
        with_masks(boxes, other)
    with pytest.raises(PhotoError, match=r"overlap is an IoU, in \[0, 1\]; got 50"):
        with_masks(boxes, other, overlap=50)


# Outside


def test_boxes_outside_their_photo(tmp_path):
    path = file_of(
        tmp_path,
        DUCK | {"bbox": [1, 0, 5.04, 4]},  # rounding: cut without a word
        DUCK | {"id": 4, "bbox": [4, 1, 3, 2]},
        DUCK | {"id": 5, "bbox": [-9, 1, 3, 2]},
        DUCK | {"id": 6, "bbox": [1, 1, 0, 2]},
    )
    message = (
        r"3 of 4 boxes of marks\.json are outside their photo \(2 with no area in it\), first that "
        r"of annotation 4 in pond\.jpg: \[4, 1, 7, 3\] in 6 x 4 \(width x height\)"
    )
    with pytest.raises(PhotoError, match=message + r"; mend the file.*on_outside='clip'"):
        read_instances(path)
    marks = read_instances(path, on_outside="clip")
    assert [row.box for row in marks.rows] == [(1, 0, 6, 4), (4, 1, 6, 3)]
    (note,) = marks.notes
    assert note.startswith("3 of 4 boxes")
    assert "left out where nothing remained" in note


def test_a_box_turned_inside_out_is_no_rounding(tmp_path):
    for choice in ("raise", "clip"):
        with pytest.raises(
            PhotoError, match=r"has width -2\.0 and height 3\.0; expected x, y, width"
        ):
            read_instances(file_of(tmp_path, DUCK | {"bbox": [3, 0, -2, 3]}), on_outside=choice)


# Other layouts


def without(row: dict, key: str) -> dict:
    return {k: v for k, v in row.items() if k != key}


HUGE = 10**400


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (without(DUCK, "bbox"), r"has no 'bbox' \(keys: id, image_id, category_id, iscrowd\)"),
        (without(DUCK, "image_id"), r"annotation 0 of marks\.json has no 'image_id' \(keys: id, c"),
        (without(DUCK, "category_id"), "has no 'category_id'"),
        (
            DUCK | {"category_id": 2},
            r"category_id 2, which 'categories' .*\(it has 2, from 1 to 16",
        ),
        (DUCK | {"image_id": 8}, "image_id 8, which is not among the 2 of 'images'"),
        (DUCK | {"image_id": "7"}, "image_id '7'; expected a whole number"),
        (DUCK | {"image_id": True}, "image_id True; expected a whole number"),
        (DUCK | {"image_id": [7]}, r"image_id \[7\]; expected a whole number"),
        (DUCK | {"bbox": [1, 2, 3]}, r"bbox of annotation 0 .* is \[1, 2, 3\]; .* 4 numbers"),
        (DUCK | {"bbox": {"x": 1}}, "expected a list of 4 numbers"),
        (DUCK | {"bbox": [1, 2, 3, "4"]}, "expected a list of 4 numbers"),
        (DUCK | {"bbox": [1, 2, 3, float("nan")]}, "expected a list of 4 numbers"),
        (DUCK | {"bbox": [1, 2, 3, HUGE]}, "expected a list of 4 numbers"),
        (DUCK | {"segments_info": [], "bbox": None}, "bbox of annotation 0"),
        ({"segments_info": [], "image_id": 7}, "read it with read_panoptic"),
        (DUCK | {"segmentation": [[1, 2, 3]]}, "a polygon of 3 numbers"),
        (DUCK | {"segmentation": [3]}, "a polygon of annotation 0 .* is 3; expected a list"),
        (DUCK | {"segmentation": "xyz"}, "segmentation of .* is a text; expected an object"),
        (DUCK | {"segmentation": {"size": [4, 6]}}, r"has no 'counts' \(keys: size\)"),
        (DUCK | {"segmentation": {"counts": [24]}}, r"has no 'size' \(keys: counts\)"),
        (DUCK | {"segmentation": {"counts": None, "size": [4, 6]}}, "counts of annotation 0"),
        (7, r"annotation 0 of marks\.json is a number; expected an object"),
    ],
)
def test_broken_rows_are_refused(tmp_path, row, message):
    with pytest.raises(PhotoError, match=message):
        read_instances(file_of(tmp_path, row))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {}}, r"marks\.json: .* list 'images', but it is an object \(keys: images, ann"),
        ({"categories": None}, "list 'categories', but it is null"),
        ({"images": [POND, POND]}, r"image 1 of marks\.json has an id or file_name twice: 7, pond"),
        ({"images": [POND, POND | {"id": 8}]}, "twice: 8, pond.jpg"),
        ({"images": [without(POND, "width")]}, "image 0 of marks.json has no 'width'"),
        ({"images": [POND | {"width": 0}]}, "height 4 and width 0; expected from 1"),
        ({"images": ["pond.jpg"]}, "image 0 of marks.json is a text; expected an object"),
        ({"categories": [{"id": 1}]}, r"category 0 of marks\.json has no 'name' \(keys: id\)"),
        ({"categories": CATEGORIES * 2}, "category 2 .* id 16 and name 'bird'; expected each id"),
        ({"categories": [{"id": 1, "name": 5}]}, "id 1 and name 5; expected each id once, with a"),
        ({"categories": []}, "category_id 16, but 'categories' is empty"),
    ],
)
def test_other_layouts_are_refused(tmp_path, changes, message):
    with pytest.raises(PhotoError, match=message):
        read_instances(file_of(tmp_path, DUCK, **changes))


def test_a_missing_table_is_named_beside_those_there_are(tmp_path):
    (tmp_path / "m.json").write_text('{"info": 1, "images": [], "annotations": []}')
    with pytest.raises(
        PhotoError, match=r"'categories', but it is missing \(keys: info, images, a"
    ):
        read_instances(tmp_path / "m.json")
    (tmp_path / "m.json").write_text('[{"image_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]')
    with pytest.raises(PhotoError, match=r"an object with images, annotations.*; got a list"):
        read_instances(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"images": [],\n "annotations": [}', r"m\.json is broken JSON at line 2, column 18"),
        (b"", "broken JSON at line 1, column 1"),
        (b"\xff\xfe\xfa", r"m\.json is (no|broken) JSON"),
        (b"[" * 200_000, r"m\.json is no JSON"),
    ],
)
def test_broken_json_is_placed(tmp_path, text, message):
    (tmp_path / "m.json").write_bytes(text)
    with pytest.raises(PhotoError, match=message):
        read_instances(tmp_path / "m.json")


def test_an_absent_file(tmp_path):
    with pytest.raises(PhotoError, match=r"gone\.json does not exist"):
        read_instances(tmp_path / "gone.json")


def test_a_wrong_choice(tmp_path):
    """The shape checks of the tests speak first; without them the reader does."""
    path = file_of(tmp_path, DUCK)
    for read in (read_instances, read_panoptic):
        extra = () if read is read_instances else (tmp_path,)
        with pytest.raises(PhotoError, match=r"unknown on_outside 'drop'; Known: raise, clip"):
            read.__wrapped__(path, *extra, on_outside="drop")


ESCAPES = [
    "../x.jpg",
    "a/../../x.jpg",
    "/etc/x.jpg",
    "..\\x.jpg",
    "C:\\x.jpg",
    "C:x.jpg",
    "\\\\host\\x.jpg",
    "..",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_leave_their_folder_are_refused(tmp_path, name):
    with pytest.raises(PhotoError, match=r"image 0 of marks\.json has file_name .*leaves its fold"):
        read_instances(file_of(tmp_path, images=[POND | {"file_name": name}]))
    segments = {"image_id": 7, "file_name": name, "segments_info": []}
    with pytest.raises(PhotoError, match=r"annotation 0 .* leaves its folder; refused"):
        read_panoptic(file_of(tmp_path, segments), tmp_path)


@pytest.mark.parametrize("name", ["", None, 5, "a\0.jpg"])
def test_names_that_are_none_are_refused(tmp_path, name):
    with pytest.raises(PhotoError, match="expected the name of a file"):
        read_instances(file_of(tmp_path, images=[POND | {"file_name": name}]))


def test_the_two_kinds_of_files_point_to_each_other(tmp_path):
    with pytest.raises(PhotoError, match="has no 'segments_info': read it with read_instances"):
        read_panoptic(file_of(tmp_path, DUCK), tmp_path)
    with pytest.raises(PhotoError, match=r"annotation 0 .* has no 'file_name' \(keys: image_id\)"):
        read_panoptic(file_of(tmp_path, {"image_id": 7}), tmp_path)
    row = {"image_id": 7, "file_name": "x.png", "segments_info": 3}
    with pytest.raises(PhotoError, match="segments_info that is no list"):
        read_panoptic(file_of(tmp_path, row), tmp_path)
    row["segments_info"] = [{"id": 5, "category_id": 16}]
    with pytest.raises(PhotoError, match=r"segment 0 of annotation 0 of marks\.json has no 'bbox'"):
        read_panoptic(file_of(tmp_path, row), tmp_path)


def test_broken_masks_say_whose_they_are(tmp_path):
    told = {"size": [4, 6], "counts": [5]}
    (duck,) = read_instances(file_of(tmp_path, DUCK | {"segmentation": told})).rows
    with pytest.raises(PhotoError, match=r"annotation 0 of marks\.json has run lengths that sum"):
        mask_for(duck)


def test_masks_of_impossible_photos_are_not_made(tmp_path):
    side = 10**6
    told = {"size": [side, side], "counts": [side * side]}
    vast = POND | {"height": side, "width": side}
    path = file_of(tmp_path, DUCK | {"segmentation": told}, images=[vast])
    with pytest.raises(PhotoError, match=r"1000000 x 1000000 pixels; masks are decoded up to"):
        mask_for(read_instances(path).rows[0])


# Files


def test_an_unknown_photo_is_told_with_the_nearest(tmp_path):
    marks = read_instances(file_of(tmp_path, DUCK))
    with pytest.raises(PhotoError, match=r"photo 'pnd\.jpg'; did you mean 'pond\.jpg'.*2 in all"):
        marks.of("pnd.jpg")


def test_absent_photos_are_told_not_raised(tmp_path):
    marks = read_instances(file_of(tmp_path, DUCK))
    assert check_files(marks, tmp_path) == ["pond.jpg", "val/lake.jpg"]
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "lake.jpg").write_bytes(b"x")
    assert check_files(marks, tmp_path) == ["pond.jpg"]


# The real files


@pytest.fixture(scope="module")
def real(data) -> tuple[Annotations, Annotations]:
    folder = data / "coco_open_mini"
    return (
        read_instances(folder / "instances_boxes.json"),
        read_panoptic(folder / "panoptic.json", folder / "panoptic"),
    )


def test_real_files(real, data):
    instances, segments = real
    assert (len(instances.files), len(instances), len(segments)) == (53, 354, 548)
    assert len({row.label for row in instances.rows}) == 61
    assert sum(any(r.label == "person" for r in instances.of(f)) for f in instances.files) == 30
    assert check_files(instances, data / "coco_open_mini" / "images") == []
    assert not instances.notes
    assert segments.files == instances.files


def test_real_boxes_get_their_human_masks(real):
    """351 of 354, at any threshold from 0.3 to 0.7; the other three have no segment near them."""
    instances, segments = real
    counts = {
        overlap: sum(
            row.mask is not None for row in with_masks(instances, segments, overlap=o).rows
        )
        for overlap, o in (("0.3", 0.3), ("0.5", 0.5), ("0.7", 0.7), ("0.9", 0.9))
    }
    assert counts == {"0.3": 351, "0.5": 351, "0.7": 351, "0.9": 319}
    bare = [row for row in with_masks(instances, segments).rows if row.mask is None]
    assert sorted(row.label for row in bare) == ["car", "handbag", "truck"]


def test_real_masks_fill_their_boxes(real, data):
    instances, segments = real
    told = json.loads((data / "coco_open_mini" / "panoptic.json").read_text())["annotations"]
    areas = {(r["image_id"], s["id"]): s["area"] for r in told for s in r["segments_info"]}
    taken = set()
    for row in with_masks(instances, segments).rows:
        mask = mask_for(row)
        if mask is None:
            continue
        key = (row.image, row.mask.number)
        assert int(mask.sum()) == areas[key]
        assert key not in taken  # one box, one segment
        taken.add(key)
        ys, xs = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        around = torch.tensor([[xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]]).double()
        assert float(iou(torch.tensor([row.box], dtype=torch.float64), around)) > 0.5
    assert len(taken) == 351
