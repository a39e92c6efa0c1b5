"""Runs for other programs: COCO results, CSV, Arrow, Parquet."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import toy_runs
from sightline.errors import SightlineError
from sightline.runs.export import image_ids, write_coco, write_table
from sightline.runs.manifest import PhotoFile
from sightline.runs.run import Run
from toy_runs import LABELS, METHODS, names

CATEGORIES = {"apple": 53, "bird": 16, "cat": 17}


def run(folder, count=20, **fields):
    photos = names(count)
    told = toy_runs.manifest(photos, **fields)
    toy_runs.explain_photos(toy_runs.work(photos), toy_runs.explain, told, folder)
    return Run.open(folder)


def test_coco_by_hand(tmp_path):
    opened = run(tmp_path / "run", categories=CATEGORIES)
    count = write_coco(opened, tmp_path / "coco.json")
    told = json.loads((tmp_path / "coco.json").read_text())
    assert len(told) == count == len(opened) // len(METHODS)
    photo = next(opened.photos())
    first = told[0]
    assert first["image_id"] == int(photo.name.removesuffix(".png"))
    assert first["category_id"] == 53
    assert first["bbox"] == [2.0, 3.0, 18.5, 15.25]
    assert first["score"] == 0.9
    ours = first["sightline"]
    assert list(ours["methods"]) == list(METHODS)
    row = photo.explanations[1]
    assert ours["methods"][row.method]["scores"] == row.scores.tolist()
    assert sum(ours["parts"]["lengths"]) == toy_runs.HEIGHT * toy_runs.WIDTH


def test_coco_s_tools_would_take_it(tmp_path):
    """What pycocotools' loadRes asks for: known images, boxes with a width, a score each."""
    opened = run(tmp_path / "run", categories=CATEGORIES)
    write_coco(opened, tmp_path / "coco.json")
    images = set(image_ids(opened).values())
    for entry in json.loads((tmp_path / "coco.json").read_text()):
        assert {entry["image_id"]} & images
        assert isinstance(entry["category_id"], int)
        assert len(entry["bbox"]) == 4
        assert min(entry["bbox"][2:]) > 0
        assert 0 <= entry["score"] <= 1


def test_an_empty_run_is_an_empty_list(tmp_path):
    assert write_coco(run(tmp_path / "run", 0), tmp_path / "coco.json") == 0
    assert json.loads((tmp_path / "coco.json").read_text()) == []


def test_a_label_without_a_category(tmp_path):
    opened = run(tmp_path / "run", categories={"zebra": 24})
    with pytest.raises(SightlineError, match=r"label 'apple' is no category .* zebra, ...; run"):
        write_coco(opened, tmp_path / "coco.json")
    assert not (tmp_path / "coco.json").exists()


def test_without_annotations_the_column_is_the_category(tmp_path):
    write_coco(run(tmp_path / "run"), tmp_path / "coco.json")
    for entry in json.loads((tmp_path / "coco.json").read_text()):
        assert LABELS[entry["category_id"]] == entry["sightline"]["label"]


@pytest.mark.parametrize(
    ("photos", "ids"),
    [
        ([("a.png", 7), ("b.png", 3)], [7, 3]),
        ([("000000000139.jpg", None), ("285.jpg", None)], [139, 285]),
        ([("a/12.jpg", None), ("b/12.jpg", None)], [0, 1]),
        ([("cat.jpg", None), ("12.jpg", None)], [0, 1]),
    ],
)
def test_image_ids(tmp_path, photos, ids):
    files = tuple(PhotoFile(name, image_id=number) for name, number in photos)
    replace(toy_runs.manifest([]), photos=files).write(tmp_path)
    assert list(image_ids(Run.open(tmp_path)).values()) == ids


def test_half_annotated_photos_have_no_ids(tmp_path):
    files = (PhotoFile("a", image_id=1), PhotoFile("b"))
    replace(toy_runs.manifest([]), photos=files).write(tmp_path)
    with pytest.raises(SightlineError, match="some photos of the run have an image id and some no"):
        image_ids(Run.open(tmp_path))


def test_tables_hold_every_row(tmp_path):
    opened = run(tmp_path / "run")
    whole = opened.table()
    for suffix in ("parquet", "arrow", "csv"):
        assert write_table(opened, tmp_path / f"a.{suffix}") == len(whole) > 20
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == whole.to_pylist()
    with pa.ipc.open_file(tmp_path / "a.arrow") as reader:
        assert reader.read_all().to_pylist() == whole.to_pylist()
    with open(tmp_path / "a.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["item"] for row in rows] == whole["item"].to_pylist()
    first = whole.to_pylist(maps_as_pydicts="strict")[0]
    assert json.loads(rows[0]["scores"]) == first["scores"]
    assert json.loads(rows[0]["measures"]) == first["measures"]
    assert float(rows[0]["value"]) == first["value"]


def test_another_suffix(tmp_path):
    with pytest.raises(SightlineError, match=r"cannot write 'a.xlsx': use one of .parquet, .arrow"):
        write_table(run(tmp_path / "run", 2), tmp_path / "a.xlsx")
