"""QuickDraw's ndjson: round trips, and every broken file told by file, line and cure."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from sightline.errors import DrawingError
from sightline.sketch.formats.quickdraw import Skipped, iter_ndjson, read_ndjson, write_ndjson
from sightline.sketch.sketch import Sketch

GOOD = {"word": "cat", "key_id": "1", "drawing": [[[0, 5, 9], [0, 0, 4]], [[1, 2], [3, 4]]]}


def drawing(*strokes, **fields) -> dict:
    return {**GOOD, "drawing": list(strokes), **fields}


def write_lines(path, *records) -> None:
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    path.write_text("\n".join(lines) + "\n")


def assert_same(one: Sketch, other: Sketch) -> None:
    for field in ("label", "name", "parts"):
        assert getattr(one, field) == getattr(other, field)
    for mine, theirs in ((one.strokes, other.strokes), (one.times or (), other.times or ())):
        assert len(mine) == len(theirs)
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


SKETCHES = [
    Sketch.from_strokes([[(0, 0), (3, 4)], [(1, 1), (2, 2), (0, 5)]], label="whole", name="7"),
    Sketch.from_strokes([[(0.1, -2.5), (1e-7, 1 / 3)]], label="floats, é and 猫"),
    Sketch.from_strokes([[(0, 0), (1, 1)]], times=[[0, 16.5]], parts=("tail",), name="timed"),
    Sketch.from_strokes([[(0, 0), (1, 1)], [(2, 2), (3, 3)]], times=[[0, 1], [5, 9]]),
]


@pytest.mark.parametrize("name", ["some.ndjson", "some.ndjson.gz"])
def test_drawings_come_back(tmp_path, name):
    path = tmp_path / "new folder" / name
    assert write_ndjson(path, SKETCHES) == len(SKETCHES)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith("gz")
    for index, (read, sketch) in enumerate(zip(read_ndjson(path), SKETCHES, strict=True)):
        named = sketch if sketch.name else replace(sketch, name=read.name)
        assert_same(read, named)
        assert sketch.name or read.name == f"{name} line {index + 1}"


def test_whole_numbers_are_written_as_such(tmp_path):
    write_ndjson(tmp_path / "a.ndjson", SKETCHES[:1])
    assert json.loads((tmp_path / "a.ndjson").read_text())["drawing"][0] == [[0, 3], [0, 4]]
    assert "." not in (tmp_path / "a.ndjson").read_text()


def test_the_same_drawings_make_the_same_file(tmp_path):
    for name in ("a.ndjson.gz", "b.ndjson.gz"):
        write_ndjson(tmp_path / name, SKETCHES)
    first, second = (tmp_path / name for name in ("a.ndjson.gz", "b.ndjson.gz"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == bytes(4)  # gzip's own time stamp


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.ndjson"
    write_ndjson(path, SKETCHES)
    before = path.read_bytes()

    def broken():
        yield SKETCHES[0]
        raise RuntimeError("the source ran dry")

    with pytest.raises(RuntimeError, match="ran dry"):
        write_ndjson(path, broken())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_fields_that_are_missing_or_odd(tmp_path):
    path = tmp_path / "a.ndjson"
    write_lines(path, {"drawing": GOOD["drawing"]}, drawing([[0, 1], [0, 1]], key_id=None, word=7))
    first, second = read_ndjson(path)
    assert (first.label, first.name) == (None, "a.ndjson line 1")
    assert (second.label, second.name) == ("7", "a.ndjson line 2")


def test_dots_are_dropped_unless_asked_for(tmp_path):
    path = tmp_path / "a.ndjson"
    write_lines(path, drawing([[1], [1], [0]], [[0, 1], [0, 1], [5, 9]], part=["eye", "tail"]))
    (sketch,) = read_ndjson(path)
    assert (len(sketch), sketch.parts, sketch.times[0].tolist()) == (1, ("tail",), [5, 9])
    with pytest.raises(DrawingError, match=r"stroke 0 of a.ndjson line 1 has 1; drop it"):
        read_ndjson(path, on_short="raise")


BROKEN = [
    ('{"drawing": [[[0, 1], [0,', "a.ndjson line 2 is not JSON"),
    ("[" * 100_000, "a.ndjson line 2 is not JSON"),
    ("[1, 2]", "line 2 has no list 'drawing'; expected a QuickDraw record"),
    ({"word": "cat"}, "line 2 has no list 'drawing'"),
    (drawing(), "line 2 is empty: a drawing needs at least 1 stroke"),
    (drawing([[3], [4]]), "line 2 is empty: a drawing needs at least 1 stroke"),
    (
        drawing([[0, 1], [0, 1, 2]]),
        r"stroke 0 of a.ndjson line 2 has lists of unequal length \[2, 3\]",
    ),
    (drawing([[0, 1], [0, 1], [5]]), r"unequal length \[2, 2, 1\]: x, y \(and times\) need one"),
    (drawing([[0, 1]]), r"stroke 0 of a.ndjson line 2 is not \[xs, ys\] or \[xs, ys, times\]"),
    (drawing("no"), r"stroke 0 of a.ndjson line 2 is not \[xs, ys\]"),
    (drawing([[0, "a"], [0, 1]]), "stroke 0 of a.ndjson line 2 holds values that are no numbers"),
    (
        drawing([[0, float("nan")], [0, 1]]),
        r"point 1 of stroke 0 of a.ndjson line 2 is \[nan, 1.0\]",
    ),
    (drawing([[0, None], [0, 1]]), "coordinates must be finite numbers"),
    (drawing([[0, 3e7], [0, 1]]), r"beyond 1e\+06 are refused: rescale the drawing or mend"),
    (drawing([[0, 10**400], [0, 1]]), "line 2 holds a number too large for a coordinate"),
    (
        drawing(*[[[0, 1], [0, 1]]] * 5000),
        "line 2 has 5000 strokes, more than 2000; split or simplify",
    ),
    (drawing([[0, 1], [0, 1]], part=["a", "b"]), "has 1 strokes but 2 part names"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN, ids=[m[:30] for _, m in BROKEN])
def test_a_broken_line_is_told_or_skipped_and_counted(tmp_path, line, message):
    path = tmp_path / "a.ndjson"
    write_lines(path, GOOD, line, "", GOOD)
    with pytest.raises(DrawingError, match=message):
        read_ndjson(path)
    skipped = Skipped()
    assert len(read_ndjson(path, on_error="skip", skipped=skipped)) == 2
    assert skipped.count == 1
    with pytest.raises(DrawingError, match=message):
        raise DrawingError(skipped.reasons[0])


def test_a_truncated_gzip_file_is_told_and_never_skipped(tmp_path):
    lines = [json.dumps(drawing([[i, 1], [0, 9]])) + "\n" for i in range(999)]
    whole = gzip.compress("".join(lines).encode())
    (tmp_path / "cut.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[-6] ^= 0xFF  # the checksum
    (tmp_path / "flip.ndjson.gz").write_bytes(flipped)
    for name in ("cut", "flip"):
        with pytest.raises(
            DrawingError, match=rf"{name}.ndjson.gz is truncated or damaged after line"
        ):
            read_ndjson(tmp_path / f"{name}.ndjson.gz", on_error="skip")


def test_a_truncated_plain_file_says_so(tmp_path):
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD)[:30])
    with pytest.raises(DrawingError, match=r"line 2 is not JSON: .*; the file may be truncated"):
        read_ndjson(path)


def test_one_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sightline.sketch.formats.quickdraw.LONGEST_LINE", 100)
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps([GOOD] * 5))
    with pytest.raises(
        DrawingError, match=r"line 1 is longer than 100 bytes: expected one drawing"
    ):
        read_ndjson(path)


def test_drawings_come_one_at_a_time(tmp_path):
    path = tmp_path / "a.ndjson"
    write_lines(path, GOOD, "broken")
    drawings = iter_ndjson(path)
    assert next(drawings).label == "cat"
    with pytest.raises(DrawingError, match="line 2"):
        next(drawings)


def test_what_was_skipped_reads_well():
    skipped = Skipped(reasons=2)
    assert str(skipped) == "0 skipped"
    for reason in ("one", "two", "three"):
        skipped.add(reason)
    assert str(skipped) == "3 skipped (one; two, and 1 more)"


@pytest.mark.parametrize(("kind", "count"), [("raw", 888), ("simplified", 750)])
def test_quickdraws_own_files(data, kind, count):
    path = data / "quickdraw_30_mini" / f"{kind}.ndjson.gz"
    sketches = {s.name: s for s in read_ndjson(path)}
    assert len(sketches) == count
    with gzip.open(path) as stream:
        records = [json.loads(line) for line in stream]
    for record in records[::50]:
        sketch = sketches[record["key_id"]]
        strokes = [s for s in record["drawing"] if len(s[0]) > 1]
        assert sketch.label == record["word"]
        assert [s.T.tolist() for s in sketch.strokes] == [s[:2] for s in strokes]
        if kind == "raw":
            assert [t.tolist() for t in sketch.times] == [s[2] for s in strokes]


def test_raw_drawings_come_back_with_their_times(data, tmp_path):
    raw = read_ndjson(data / "quickdraw_30_mini" / "raw.ndjson.gz")[:40]
    write_ndjson(tmp_path / "again.ndjson.gz", raw)
    for before, after in zip(raw, read_ndjson(tmp_path / "again.ndjson.gz"), strict=True):
        assert after.times is not None
        assert_same(before, after)


def test_part_names_are_read(data):
    faces = read_ndjson(data / "spg_quickdraw_parts" / "face.ndjson.gz")
    assert len(faces) == 775
    assert all(sketch.parts is not None and len(sketch.parts) == len(sketch) for sketch in faces)
