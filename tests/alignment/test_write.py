"""Labels into each layout, and what is told of what it cannot hold."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.alignment.formats.read import read_labels
from sightline.alignment.formats.write import LAYOUTS, write_labels_as
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError

HARD = np.zeros((6, 8), np.float32)
HARD[1:3, 2:5] = 1


def labels(*rows: AttentionLabel) -> AttentionLabels:
    return AttentionLabels.from_rows(rows)


PLAIN = labels(
    AttentionLabel("a/duck.png", HARD, author="ada", time="2024-01-02T03:04:05+00:00", weight=0.5),
    AttentionLabel("a/duck.png", 1 - HARD, HARD, author="bob", time="2024-01-03T00:00:00+00:00"),
    AttentionLabel("b/cup.png", must_not=HARD, author="ada", time="2024-01-02T00:00:00+00:00"),
)


def same(a: AttentionLabels, b: AttentionLabels, tolerance: float = 0.0) -> None:
    assert len(a) == len(b)
    for mine, other in zip(a, b, strict=True):
        assert (mine.item, mine.author, mine.time, mine.weight) == (
            other.item,
            other.author,
            other.time,
            other.weight,
        )
        for side in ("must", "must_not"):
            np.testing.assert_allclose(mine.either(side), other.either(side), atol=tolerance)


@pytest.mark.parametrize("layout", ["folder", "coco", "label-studio"])
def test_hard_masks_come_back_with_everything(layout, tmp_path):
    assert write_labels_as(layout, tmp_path / "out", PLAIN) == ()
    same(read_labels(tmp_path / "out"), PLAIN)


@pytest.mark.parametrize(
    ("layout", "tolerance"), [("folder", 1 / 131070), ("label-studio", 0.5 / 255 + 1e-6)]
)
def test_soft_masks(layout, tolerance, tmp_path):
    soft = np.random.default_rng(0).random((6, 8)).astype(np.float32)
    given = labels(AttentionLabel("duck.png", soft, time="2024-01-02T03:04:05+00:00"))
    assert write_labels_as(layout, tmp_path / "out", given) == ()
    same(read_labels(tmp_path / "out"), given, tolerance)


def test_coco_cuts_soft_masks_at_a_half_and_tells(tmp_path):
    soft = np.array([[0.2, 0.5, 0.9]], np.float32)
    notes = write_labels_as("coco", tmp_path / "c.json", labels(AttentionLabel("d.png", soft)))
    assert notes == ("1 soft mask(s) cut at 0.5",)
    (back,) = read_labels(tmp_path / "c.json")
    assert back.must.tolist() == [[0, 1, 1]]


def test_gradia_tells_what_it_leaves_out(tmp_path):
    given = labels(
        AttentionLabel("a/duck.png", HARD, 1 - HARD, author="ada", weight=0.5),
        AttentionLabel("b/cup.png", must_not=HARD),
    )
    notes = write_labels_as("gradia", tmp_path / "g.json", given)
    assert notes == (
        "2 must-not masks were left out: GRADIA's layout has none",
        "1 labels were left out: they say nowhere to look",
        "author, time and weight of 1 labels were left out: GRADIA's layout has none",
    )
    (back,) = read_labels(tmp_path / "g.json")
    assert (back.item, back.size) == ("duck.png", (224, 224))
    assert np.array_equal(back.resized((6, 8)).must, HARD)
    assert write_labels_as("gradia", tmp_path / "h.json", labels(AttentionLabel("d", HARD))) == ()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_of_drawings(layout, tmp_path):
    given = labels(AttentionLabel("duck", must=[1, 0, 0.25]))
    if layout == "folder":
        assert write_labels_as(layout, tmp_path / "out", given) == ()
        same(read_labels(tmp_path / "out"), given)
        return
    with pytest.raises(AlignmentError, match=r"strokes|drawing"):
        write_labels_as(layout, tmp_path / "out", given)
    assert not (tmp_path / "out").exists()


def test_two_sizes_of_one_photo_are_refused_by_coco(tmp_path):
    given = labels(AttentionLabel("d.png", HARD), AttentionLabel("d.png", HARD[:3, :4]))
    with pytest.raises(AlignmentError, match=r"'d\.png' is \(6, 8\).*\(3, 4\)"):
        write_labels_as("coco", tmp_path / "c.json", given)


def test_an_unknown_layout(tmp_path):
    with pytest.raises(AlignmentError, match="unknown layout 'cocoa'; did you mean 'coco'"):
        write_labels_as("cocoa", tmp_path / "x", PLAIN)
