"""Collections: files and folders in, splits out; and the one door for a single drawing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sightline.errors import DrawingError
from sightline.sketch.collection import labels_of, read_collection, split_collection
from sightline.sketch.formats.quickdraw import Skipped, write_ndjson
from sightline.sketch.formats.stroke3 import write_npz
from sightline.sketch.formats.svg import write_svg
from sightline.sketch.read import read_sketch, write_sketch
from sightline.sketch.sketch import Sketch


def named(*names: str, label: str | None = "toy") -> list[Sketch]:
    """Drawings that can be told apart by their first point as well as by their name."""
    return [
        Sketch.from_strokes([[(i, 0), (i, 5)], [(9, 9), (0, i)]], name=name, label=label)
        for i, name in enumerate(names)
    ]


@pytest.fixture
def folder(tmp_path):
    write_ndjson(tmp_path / "b.ndjson.gz", named("b0", "b1"))
    write_ndjson(tmp_path / "d.ndjson", named("d0"))
    write_svg(tmp_path / "a.svg", named("whatever")[0])
    write_npz(tmp_path / "c.npz", {"train": named("x"), "test": named("y", "z")})
    (tmp_path / "notes.txt").write_text("not a drawing")
    (tmp_path / "inner.svg").mkdir()
    return tmp_path


# Collections


def test_a_folder_is_read_in_name_order(folder):
    names = [sketch.name for sketch in read_collection(folder)]
    npz = ["c.npz train row 0", "c.npz test row 0", "c.npz test row 1"]
    assert names == ["a", "b0", "b1", *npz, "d0"]


@pytest.mark.parametrize(
    ("name", "count"), [("a.svg", 1), ("b.ndjson.gz", 2), ("c.npz", 3), ("d.ndjson", 1)]
)
def test_a_file_is_read_by_its_suffix(folder, name, count):
    assert len(read_collection(folder / name)) == count


def test_bad_drawings_stop_or_are_counted(folder):
    (folder / "aa.svg").write_text("<svg><path d='L 1 1'/></svg>")
    (folder / "e.ndjson").write_text('{"drawing": []}\n')
    with pytest.raises(DrawingError, match=r"aa.svg line 1: path data must start with M or m"):
        read_collection(folder)
    skipped = Skipped()
    assert len(read_collection(folder, on_error="skip", skipped=skipped)) == 7
    assert skipped.count == 2
    assert "e.ndjson line 1 is empty" in str(skipped)
    assert len(read_collection(folder, on_error="skip")) == 7


def test_paths_that_hold_no_drawings_are_told(tmp_path):
    with pytest.raises(DrawingError, match=r"does not exist; give a file .*\.svg, \.ndjson, "):
        read_collection(tmp_path / "nowhere")
    with pytest.raises(DrawingError, match="holds no file of drawings"):
        read_collection(tmp_path)
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    with pytest.raises(
        DrawingError, match=r"photo.png has no suffix of a known format; known: .svg"
    ):
        read_collection(tmp_path / "photo.png")


def test_hashed_splits_are_80_10_10_and_stable():
    sketches = named(*map(str, range(3000)))
    splits = split_collection(sketches, seed=1)
    sizes = [len(splits[split]) for split in ("train", "valid", "test")]
    np.testing.assert_allclose(np.array(sizes) / 3000, [0.8, 0.1, 0.1], atol=0.02)
    assert sum(sizes) == 3000
    place = {s.name: split for split, chosen in splits.items() for s in chosen}
    for split, chosen in split_collection(sketches[500:1000], seed=1).items():
        assert all(place[s.name] == split for s in chosen)
    other = split_collection(sketches, seed=2)
    assert {s.name for s in other["test"]} != {s.name for s in splits["test"]}


def test_a_table_of_splits_is_followed(tmp_path):
    table = {"cat": {"train": ["b", "a"], "test": ["c"], "mine": ["d"]}, "dog": {"valid": ["e"]}}
    (tmp_path / "splits.json").write_text(json.dumps(table))
    splits = split_collection(named("a", "b", "c", "d", "e", "unknown"), tmp_path)
    assert {k: [s.name for s in v] for k, v in splits.items()} == {
        "train": ["a", "b"],
        "valid": ["e"],
        "test": ["c"],
    }


@pytest.mark.parametrize("text", ["[1]", "{", '{"cat": 3}', '{"cat": {"train": 5}}'])
def test_a_broken_table_is_told(tmp_path, text):
    (tmp_path / "splits.json").write_text(text)
    with pytest.raises(DrawingError, match=r"splits.json is not a table of splits: expected"):
        split_collection(named("a"), tmp_path)


def test_spgs_own_splits(data):
    folder = data / "spg_quickdraw_parts"
    splits = split_collection(read_collection(folder / "apple.ndjson.gz"), folder)
    assert [len(splits[split]) for split in ("train", "valid", "test")] == [650, 50, 75]


def test_labels_are_sorted_and_needed():
    assert labels_of([*named("a", label="dog"), *named("b", "c", label="cat")]) == ("cat", "dog")
    with pytest.raises(DrawingError, match=r"b has no label \('word'\): cannot learn"):
        labels_of([*named("a"), *named("b", label=None)])


# One drawing


@pytest.mark.parametrize("name", ["a.svg", "a.ndjson", "a.ndjson.gz", "a.npz", "A.SVG"])
def test_a_drawing_comes_back_in_every_format(tmp_path, name):
    (sketch,) = named("a")
    write_sketch(tmp_path / name, sketch)
    back = read_sketch(tmp_path / name)
    assert [s.tolist() for s in back.strokes] == [s.tolist() for s in sketch.strokes]


@pytest.mark.parametrize("suffix", [".ndjson", ".npz"])
def test_the_index_chooses(tmp_path, suffix):
    path = tmp_path / f"many{suffix}"
    sketches = named(*"abcde")
    if suffix == ".npz":
        write_npz(path, {"test": sketches[3:], "train": sketches[:3]})
    else:
        write_ndjson(path, sketches)
    for index in range(5):
        assert read_sketch(path, index=index).points[0, 0] == index
    with pytest.raises(DrawingError, match=rf"many{suffix} has no drawing 5: it holds 5, counted"):
        read_sketch(path, index=5)


def test_options_reach_the_reader(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"train": named("a", "b"), "test": named("c")})
    assert read_sketch(path, split="test").name == "a.npz test row 0"
    (tmp_path / "a.svg").write_text('<svg><circle r="50"/></svg>')
    rough, fine = (read_sketch(tmp_path / "a.svg", tolerance=t) for t in (5.0, 0.05))
    assert len(rough.points) < len(fine.points)


def test_wrong_paths_are_told(tmp_path):
    with pytest.raises(DrawingError, match=r"a.svg does not exist; check the path \(here is /"):
        read_sketch(tmp_path / "a.svg")
    with pytest.raises(DrawingError, match="is a folder; read_collection reads all drawings in it"):
        read_sketch(tmp_path)
    with pytest.raises(DrawingError, match="index counts drawings from 0; got -1"):
        read_sketch(tmp_path / "a.svg", index=-1)
    known = r"a.jpg has no suffix of a known format; known: .svg, .ndjson, .ndjson.gz, .npz"
    (tmp_path / "a.jpg").touch()
    with pytest.raises(DrawingError, match=known):
        read_sketch(tmp_path / "a.jpg")
    with pytest.raises(DrawingError, match=known):
        write_sketch(tmp_path / "a.jpg", named("a")[0])


# --- names of parts -------------------------------------------------------------------------------


def numbered(folder, *, parts):
    drawing = {"word": "bird", "key_id": "1", "drawing": [[[0, 1], [0, 1]]] * len(parts)}
    (folder / "bird.ndjson").write_text(json.dumps(drawing | {"part": parts}) + "\n")
    return folder / "bird.ndjson"


def test_parts_are_named_where_a_table_names_them(tmp_path):
    file = numbered(tmp_path, parts=[1, 0, 7])
    assert read_collection(tmp_path)[0].parts == ("1", "0", "7")
    (tmp_path / "parts.json").write_text('{"bird": ["body", "wing"], "cat": ["tail"]}')
    assert read_collection(tmp_path)[0].parts == ("wing", "body", "7")
    assert read_collection(file)[0].parts == ("wing", "body", "7")


@pytest.mark.parametrize("text", ["[1]", "{", '{"bird": 3}'])
def test_a_broken_table_of_parts_is_named(tmp_path, text):
    numbered(tmp_path, parts=[0])
    (tmp_path / "parts.json").write_text(text)
    with pytest.raises(DrawingError, match=r"parts\.json is not a table of parts"):
        read_collection(tmp_path)


def test_the_parts_of_the_real_collection_have_names(data):
    ice = read_collection(data / "spg_quickdraw_parts" / "ice_cream.ndjson.gz")
    names = {part for sketch in ice for part in sketch.parts or ()}
    assert names
    assert not any(name.isdigit() for name in names)
