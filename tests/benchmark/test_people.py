"""Person or no person: the whole path on a few generated photos in COCO's layout."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sightline.benchmark import people as module
from sightline.benchmark.people import CLASSES, FOLDS, MobileNetClassifier, people
from sightline.errors import SightlineError
from sightline.models.ssd_mobilenet import SSDMobileNet

COUNT = 20


def write_set(folder, *, every_has_one: bool = False) -> None:
    """Noise; in every second photo a bright square, which is the person."""
    (folder / "images").mkdir(parents=True)
    (folder / "panoptic").mkdir()
    luck = np.random.default_rng(0)
    images, boxes, segments = [], [], []
    for number in range(COUNT):
        name, person = f"{number}.jpg", every_has_one or number % 2 == 0
        pixels = luck.integers(0, 120, (48, 64, 3), np.uint8)
        numbers = np.zeros((48, 64, 3), np.uint8)
        images.append({"id": number, "file_name": name, "height": 48, "width": 64})
        shared = {"category_id": 1 if person else 2, "bbox": [8, 8, 10, 10]}
        if person:
            pixels[8:18, 8:18] = 250
        numbers[8:18, 8:18, 0] = 1
        Image.fromarray(pixels).save(folder / "images" / name)
        Image.fromarray(numbers).save(folder / "panoptic" / f"{number}.png")
        boxes.append({"id": number + 1, "image_id": number, **shared})
        segment = {"id": 1, "iscrowd": 0, "area": 100, **shared}
        row = {"image_id": number, "file_name": f"{number}.png", "segments_info": [segment]}
        segments.append(row)
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "cup"}]
    for file, rows in (("instances_boxes.json", boxes), ("panoptic.json", segments)):
        told = {"images": images, "annotations": rows, "categories": categories}
        (folder / file).write_text(json.dumps(told))


@pytest.fixture
def small(monkeypatch):
    """A thin backbone and small pictures."""

    def load(_folder):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return SSDMobileNet(depth=0.25)

    monkeypatch.setattr(module, "load_ssd_mobilenet", load)
    monkeypatch.setattr(module, "SIDE", 64)


def test_every_photo_is_tested_once_by_a_model_that_had_not_learnt_from_it(small, tmp_path):
    write_set(tmp_path / "data")
    told: list[str] = []
    found = people(
        tmp_path / "data", tmp_path, tmp_path / "out", epochs=(1, 1), progress=told.append
    )
    names = {f"{n}.jpg" for n in range(COUNT)}
    for side in (found.before, found.after):
        assert len(side.rows) == COUNT
        assert {row.item for row in side.rows} == names
        assert sum(row.labelled for row in side.rows) == COUNT // 2, "masks of people only"
        assert {row.truth for row in side.rows} == set(CLASSES)
    assert [matrix.total for matrix in found.matrices] == [COUNT // 2] * 2
    assert all(matrix.proposed for matrix in found.matrices)
    assert len(told) == 2 * FOLDS
    text = found.markdown()
    assert text.endswith(f"{COUNT} photos: too few for a claim.\n")
    assert text.count("proposed by the program") == 2
    written = json.loads((tmp_path / "out" / "people.json").read_text())
    assert set(written) == {"before", "after"}


def test_both_kinds_are_in_every_share(tmp_path):
    write_set(tmp_path)
    rows = module._photos(tmp_path)
    tested = []
    for fold in range(FOLDS):
        items = module._fold(rows, fold, 0)
        shares = {split: {i.name for i in own} for split, own in items.splits.items()}
        assert not shares["train"] & shares["test"]
        assert not shares["valid"] & (shares["train"] | shares["test"])
        assert sum(map(len, shares.values())) == COUNT
        for own in items.splits.values():
            assert {item.label for item in own} == set(CLASSES)
        tested += shares["test"]
    assert sorted(tested) == sorted(item.name for item in rows)


def test_one_kind_of_photo_is_no_task(tmp_path):
    write_set(tmp_path, every_has_one=True)
    with pytest.raises(SightlineError, match="photos of one kind only"):
        people(tmp_path, tmp_path, tmp_path / "out")


def test_the_head_starts_at_nothing_and_the_backbone_is_the_detectors():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        detector = SSDMobileNet(depth=0.25)
    net = MobileNetClassifier(detector, classes=2)
    with torch.no_grad():
        detector.pointwise[-1].weight.mul_(1e6)  # so that ReLU6 has something to cut
    pictures = torch.rand(2, 3, 96, 96)
    assert not net(pictures).any()
    # the deepest map that feeds the detector's heads from the backbone itself
    expected = list(detector._maps(pictures))[1]
    assert expected.max() == 6
    assert torch.allclose(net.features(pictures), expected, atol=1e-6)
