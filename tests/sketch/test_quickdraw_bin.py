"""QuickDraw's binary files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from generated import lines, records
from sightline.errors import DrawingError
from sightline.sketch.collection import read_collection
from sightline.sketch.formats import quickdraw_bin
from sightline.sketch.formats.quickdraw import Skipped
from sightline.sketch.formats.quickdraw_bin import iter_bin, iter_bin_columns, label_of
from sightline.sketch.importing import import_drawings
from sightline.sketch.read import read_sketch, write_sketch
from sightline.sketch.sketch import Sketch


def packed(record: dict) -> bytes:
    """A record as the data set's description has it."""
    data = struct.pack(
        "<Q2sbIH", int(record["key_id"]), b"CH", record["recognized"], 0, len(record["drawing"])
    )
    for xs, ys in record["drawing"]:
        data += struct.pack(f"<H{len(xs)}B{len(ys)}B", len(xs), *xs, *ys)
    return data


@pytest.fixture
def told() -> list[dict]:
    return [r | {"word": "hot dog"} for r in records(300)]


@pytest.fixture
def path(tmp_path, told) -> Path:
    path = tmp_path / "full_binary_hot dog.bin"
    path.write_bytes(b"".join(map(packed, told)))
    return path


def test_bytes_by_hand(tmp_path):
    path = tmp_path / "cat.bin"
    path.write_bytes(
        bytes([7, 0, 0, 0, 0, 0, 0, 0x40])  # key
        + b"DE\x01"
        + bytes(4)
        + bytes([2, 0])  # strokes
        + bytes([3, 0, 1, 2, 3, 4, 5, 255])
        + bytes([2, 0, 9, 8, 7, 6])
    )
    (sketch,) = iter_bin(path)
    assert sketch.name == str(2**62 + 7)
    assert sketch.label == "cat"
    assert [s.tolist() for s in sketch.strokes] == [[[1, 4], [2, 5], [3, 255]], [[9, 7], [8, 6]]]


def test_the_same_drawings_as_in_ndjson(path, told, tmp_path, monkeypatch):
    monkeypatch.setattr(quickdraw_bin, "BLOCK", 1_000)  # records across the ends of blocks
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "hot dog.ndjson").write_bytes(lines(told))
    ours, theirs = read_collection(path), read_collection(tmp_path / "b")
    assert len(ours) == 300
    for sketch, other in zip(ours, theirs, strict=True):
        assert (sketch.name, sketch.label) == (other.name, other.label)
        np.testing.assert_array_equal(sketch.points, other.points)
    assert repr(read_sketch(path, index=7)) == repr(theirs[7])
    stores = [
        import_drawings([p], tmp_path / f"out{i}", recognised_only=True)
        for i, p in enumerate((path, tmp_path / "b"))
    ]
    names = ["train-00000.arrow", "valid-00000.arrow", "test-00000.arrow"]
    bytes_of = [[(store.path / name).read_bytes() for name in names] for store in stores]
    assert bytes_of[0] == bytes_of[1]
    assert stores[0].dropped == stores[1].dropped == {"not recognised": 300 - len(stores[0])}


def test_reading_goes_on_from_any_block(path, monkeypatch):
    monkeypatch.setattr(quickdraw_bin, "BLOCK", 2_000)
    pieces = list(iter_bin_columns(path))
    assert len(pieces) > 5
    keys = [key for columns, _ in pieces for key in columns.keys]
    done = len(pieces[0][0].keys) + len(pieces[1][0].keys)
    rest = [key for columns, _ in iter_bin_columns(path, pieces[1][1]) for key in columns.keys]
    assert rest == keys[done:]


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_truncated_file_names_the_byte(path, told, tmp_path, cut):
    data = path.read_bytes()
    start = len(data) - len(packed(told[-1]))
    path.write_bytes(data[: start + min(cut, len(packed(told[-1])) - 1)])
    match = rf"full_binary_hot dog.bin ends inside the drawing that starts at byte {start}: trunc"
    with pytest.raises(DrawingError, match=match):
        list(iter_bin(path))
    skipped = Skipped()
    assert len(list(iter_bin(path, on_error="skip", skipped=skipped))) == 299
    assert skipped.count == 1
    store = import_drawings([path], tmp_path / "out")
    assert len(store) == 299
    assert store.dropped == {"not readable": 1}


def test_a_drawing_that_is_none_is_told_or_counted(tmp_path):
    path = tmp_path / "cat.bin"
    empty = {"key_id": 5, "recognized": True, "drawing": []}
    good = {"key_id": 6, "recognized": True, "drawing": [([1, 2], [3, 4])]}
    path.write_bytes(packed(empty) + packed(good))
    with pytest.raises(DrawingError, match="is empty"):
        list(iter_bin(path))
    skipped = Skipped()
    assert [s.name for s in iter_bin(path, on_error="skip", skipped=skipped)] == ["6"]
    assert skipped.count == 1


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cat.bin", "cat"),
        ("full_binary_hot dog.bin", "hot dog"),
        ("binary_cat.bin", "cat"),
        ("alarm%20clock.bin", "alarm clock"),
    ],
)
def test_the_name_is_the_label(name, label):
    assert label_of(Path(name)) == label


def test_bin_is_not_written(tmp_path):
    with pytest.raises(DrawingError, match=r"cat.bin: .bin files are only read; write .ndjson"):
        write_sketch(tmp_path / "cat.bin", Sketch.from_strokes([[(0, 0), (1, 1)]]))
    assert list(tmp_path.iterdir()) == []
