"""Imports: what is kept, dropped and split; and what a kill cannot do."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from generated import lines, records, write
from sightline.cli import main
from sightline.errors import DrawingError
from sightline.sketch.collection import read_collection, split_collection
from sightline.sketch.formats.stroke3 import read_npz, write_npz
from sightline.sketch.importing import import_drawings
from sightline.sketch.simplify import simplify
from sightline.sketch.sketch import Sketch
from sightline.sketch.store import SketchStore

SPLITS = ("train", "valid", "test")


def everything(store: SketchStore) -> dict[str, list[Sketch]]:
    return {s: [store.split(s).sketch(i) for i in range(len(store.split(s)))] for s in SPLITS}


def plain(sketch: Sketch) -> tuple:
    return sketch.name, sketch.label, [stroke.tolist() for stroke in sketch.strokes]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def record(drawing: list, key: str, **fields) -> bytes:
    told = {"word": "cat", "key_id": key, "recognized": True, "drawing": drawing} | fields
    return json.dumps({k: v for k, v in told.items() if v is not None}).encode() + b"\n"


LINE = [[[0, 5], [0, 7]]]


# --- what is kept ---------------------------------------------------------------------------------


def test_every_reason_is_counted(tmp_path):
    text = [
        record(LINE, "1"),
        record([], "2"),
        record([[[], []], *LINE], "3"),
        record([[[3, 3], [4, 4]]], "4"),
        record(LINE, "5", recognized=False),
        record(LINE, "6", word=None),
        record([[[1], [1]]], "7"),
        record([[[1], [1]], *LINE], "8"),  # a dot beside a stroke: the stroke is kept
        record([[[0, 2e6], [0, 1]]], "9"),
        record([[[0, 1e-5], [0, 0]]], "10"),
        record([[[0, 1], [0, 0]]] * 2001, "11"),
        b"no drawing\n",
        record(LINE, "12"),
    ]
    (tmp_path / "a.ndjson").write_bytes(b"".join(text))
    store = import_drawings([tmp_path / "a.ndjson"], tmp_path / "out", recognised_only=True)
    assert store.dropped == {
        "a coordinate beyond 1e+06": 1,
        "a stroke without points": 1,
        "no extent": 2,
        "no label": 1,
        "no strokes": 2,
        "not readable": 2,
        "not recognised": 1,
    }
    kept = [sketch for chosen in everything(store).values() for sketch in chosen]
    assert {s.name for s in kept} == {"1", "8", "12"}
    assert all([stroke.tolist() for stroke in s.strokes] == [[[0, 0], [5, 7]]] for s in kept)
    refused = json.loads((tmp_path / "out" / "collection.json").read_text())["refused"]
    assert "a.ndjson line 11 has 2001 strokes" in refused[0]
    assert "a.ndjson line 12 is not JSON" in refused[1]


def test_all_is_kept_unless_only_the_recognised_are_asked_for(tmp_path):
    path = write(tmp_path / "a.ndjson", 200)
    known = sum(r["recognized"] for r in records(200))
    assert len(import_drawings([path], tmp_path / "all")) == 200
    assert len(import_drawings([path], tmp_path / "known", recognised_only=True)) == known < 200


def test_real_drawings_come_as_the_other_reader_gives_them(data, tmp_path):
    path = data / "quickdraw_30_mini" / "simplified.ndjson.gz"
    theirs = split_collection(read_collection(path), seed=5)
    store = import_drawings([path], tmp_path / "out", seed=5, shard=64)
    ours = everything(store)
    for split in SPLITS:
        assert list(map(plain, ours[split])) == list(map(plain, theirs[split]))
    assert store.labels == tuple(sorted({s.label for s in read_collection(path)}))


def test_spg_is_split_as_its_table_says(data, tmp_path):
    folder = data / "spg_quickdraw_parts"
    store = import_drawings([folder], tmp_path / "out")
    assert [len(store.split(split)) for split in SPLITS] == [13_000, 1_000, 1_500]
    assert store.dropped == {}
    apples = read_collection(folder / "apple.ndjson.gz")
    table = json.loads((folder / "splits.json").read_text())
    place = {name: split for splits in table.values() for split in splits for name in splits[split]}
    index = store.labels.index("apple")
    for split in SPLITS:
        ours = store.split(split)
        rows = torch.arange(len(ours))
        chosen = rows[ours.targets(rows) == index]
        assert ours.keys(chosen) == [s.name for s in apples if place[s.name] == split]


def test_sketch_rnn_files_keep_their_splits(data, tmp_path):
    path = data / "stroke3_npz" / "short_kanji.npz"
    store = import_drawings([path], tmp_path / "out", shard=3_000)
    assert [len(store.split(split)) for split in SPLITS] == [10_000, 600, 500]
    for index, theirs in enumerate(read_npz(path, "test")):
        assert plain(store.split("test").sketch(index))[::2] == plain(theirs)[::2]
    assert store.labels == ("short_kanji",)
    assert sum(store.dropped.values()) == 0


def test_sketch_rnn_files_can_be_split_by_hash(tmp_path):
    sketch = Sketch.from_strokes([[(0, 0), (3, 4)]])
    write_npz(tmp_path / "sketchrnn_hot dog.full.npz", {"train": [sketch] * 300})
    store = import_drawings([tmp_path], tmp_path / "out", splits="hash")
    assert store.labels == ("hot dog",)
    assert all(len(store.split(split)) > 10 for split in SPLITS)
    with pytest.raises(DrawingError, match="splits are by 'source' or by 'hash'; got 'luck'"):
        import_drawings([tmp_path], tmp_path / "other", splits="luck")


def test_raw_drawings_are_kept_or_simplified_as_quickdraw_does(data, tmp_path):
    raw = gzip.decompress((data / "quickdraw_30_mini" / "raw.ndjson.gz").read_bytes())
    (tmp_path / "raw.ndjson").write_bytes(b"\n".join(raw.split(b"\n")[:60]) + b"\n")
    sketches = {s.name: s for s in read_collection(tmp_path / "raw.ndjson")}
    kept = everything(import_drawings([tmp_path / "raw.ndjson"], tmp_path / "kept"))
    done = everything(
        import_drawings([tmp_path / "raw.ndjson"], tmp_path / "done", simplify=2.0, shard=7)
    )
    for split in SPLITS:
        for as_it_is, simple in zip(kept[split], done[split], strict=True):
            theirs = sketches[as_it_is.name]
            np.testing.assert_allclose(as_it_is.points, theirs.points, atol=1e-3)
            assert plain(simple) == plain(simplify(theirs))


def test_what_is_simplified_already_is_left_alone(tmp_path):
    path = write(tmp_path / "a.ndjson", 50)
    plainly, again = (import_drawings([path], tmp_path / str(e), simplify=e) for e in (None, 2.0))
    assert contents(plainly.path)["train-00000.arrow"] == contents(again.path)["train-00000.arrow"]


def test_so_many_of_a_label_and_no_more(tmp_path):
    path = write(tmp_path / "a.ndjson", 6_000)  # more than one block
    store = import_drawings([path], tmp_path / "out", most=40)
    kept = [s for chosen in everything(store).values() for s in chosen]
    assert Counter(s.label for s in kept) == {"apple": 40, "hot dog": 40, "pear": 40}
    assert store.dropped == {"over the most of a label": 5_880}
    first = [r["key_id"] for r in records(6_000) if r["word"] == "pear"][:40]
    assert {s.name for s in kept if s.label == "pear"} == set(first)


def test_labels_are_sorted_whatever_came_first(tmp_path):
    told = records(300)
    (tmp_path / "a.ndjson").write_bytes(lines(told))
    store = import_drawings([tmp_path / "a.ndjson"], tmp_path / "out", shard=20)
    assert store.labels == ("apple", "hot dog", "pear")
    words = {r["key_id"]: r["word"] for r in told}
    for sketches in everything(store).values():
        assert all(s.label == words[s.name] for s in sketches)


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_neither_processes_nor_files_change_what_is_stored(tmp_path, processes):
    path = write(tmp_path / "a.ndjson", 3_000)
    zipped = tmp_path / "b.ndjson.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    one = everything(import_drawings([path], tmp_path / "one", processes=0))
    other = everything(
        import_drawings([zipped], tmp_path / "other", processes=processes, shard=100)
    )
    assert {s: list(map(plain, c)) for s, c in one.items()} == {
        s: list(map(plain, c)) for s, c in other.items()
    }


# --- what is bad ----------------------------------------------------------------------------------


def test_a_bad_line_stops_if_asked_to(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(lines(records(3_000)) + b"oh\n" + lines(records(5)))
    with pytest.raises(DrawingError, match=r"a.ndjson line 3001 is not JSON: b'oh"):
        import_drawings([tmp_path / "a.ndjson"], tmp_path / "out", raise_bad=True)
    store = import_drawings([tmp_path / "a.ndjson"], tmp_path / "out")
    assert len(store) == 3_005
    assert store.dropped == {"not readable": 1}


@pytest.mark.parametrize("processes", [0, 2])
def test_a_file_that_ends_early_gives_what_was_before(tmp_path, processes):
    whole = gzip.compress(lines(records(4_000)))
    (tmp_path / "a.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    write(tmp_path / "b.ndjson", 10, first=9_000)
    store = import_drawings([tmp_path], tmp_path / "out", processes=processes)
    assert 1_500 < len(store) < 2_500
    assert store.dropped == {"not readable": 1}
    with pytest.raises(DrawingError, match=r"a.ndjson.gz is truncated or damaged after line \d{4}"):
        import_drawings([tmp_path], tmp_path / "other", processes=processes, raise_bad=True)


def test_code_in_an_npz_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "boom"),)

    rows = np.empty(1, dtype=object)
    rows[0] = Bomb()
    np.savez(tmp_path / "a.npz", train=rows)
    store = import_drawings([tmp_path / "a.npz"], tmp_path / "out")
    assert len(store) == 0
    assert store.dropped == {"not readable": 1}
    assert not (tmp_path / "boom").exists()
    with pytest.raises(DrawingError, match="carries code"):
        import_drawings([tmp_path / "a.npz"], tmp_path / "other", raise_bad=True)


def test_wrong_sources_are_told(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DrawingError, match="nowhere does not exist; give a file"):
        import_drawings([tmp_path / "nowhere"], out)
    with pytest.raises(DrawingError, match="nothing to import"):
        import_drawings([], out)
    with pytest.raises(DrawingError, match=r"holds no file to import \(.ndjson, .ndjson.gz, .bin"):
        import_drawings([tmp_path], out)
    (tmp_path / "a.svg").touch()
    with pytest.raises(DrawingError, match=r"a.svg cannot be imported; known are .ndjson"):
        import_drawings([tmp_path / "a.svg"], out)
    path = write(tmp_path / "a.ndjson", 3)
    with pytest.raises(DrawingError, match="given twice"):
        import_drawings([path, tmp_path], out)
    with pytest.raises(DrawingError, match="shard must be more than 0; got 0"):
        import_drawings([path], out, shard=0)
    assert not out.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    path = write(tmp_path / "a.ndjson", 3)
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").touch()
    with pytest.raises(DrawingError, match="out holds other files; give a folder of its own"):
        import_drawings([path], out)
    assert list(contents(out)) == ["thesis.tex"]


def test_without_pyarrow_the_cure_is_told(tmp_path, monkeypatch):
    path = write(tmp_path / "a.ndjson", 3)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DrawingError, match=r"pip install 'sightline\[data\]'"):
        import_drawings([path], tmp_path / "out")


# --- kills ----------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import sightline.sketch.importing as importing
import sightline.sketch.files as files

left, late = int(sys.argv[3]), sys.argv[4] == "late"
replace = os.replace

def dying(*paths):
    global left
    left -= 1
    if left == 0 and not late:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*paths)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

files.os.replace = dying
importing.import_drawings(sys.argv[1].split(":"), sys.argv[2], shard=150, most=1000)
"""


def killed(sources: list[Path], out: Path, writes: int, when: str) -> int:
    """Import in another process, which is killed at one of its writes: before or after it."""
    given = [":".join(map(str, sources)), str(out), str(writes), when]
    return subprocess.run([sys.executable, "-c", KILLED, *given], check=False).returncode


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    """Of every format, with bad lines, more than one block, and a repeated label."""
    folder = tmp_path_factory.mktemp("sources")
    told = lines(records(2_500)).splitlines(keepends=True)
    told[1_234] = b"oh\n"
    (folder / "a.ndjson").write_bytes(b"".join(told))
    (folder / "b.ndjson.gz").write_bytes(gzip.compress(lines(records(2_000, seed=1, first=7_000))))
    sketch = Sketch.from_strokes([[(0, 0), (3, 4)]])
    write_npz(folder / "c.npz", {"train": [sketch] * 200, "test": [sketch] * 40})
    return [folder / name for name in ("a.ndjson", "b.ndjson.gz", "c.npz")]


@pytest.fixture(scope="module")
def whole(sources, tmp_path_factory) -> dict[str, bytes]:
    """The folder of an import that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    store = import_drawings(sources, out, shard=150, most=1000)
    assert len(store) == 3 * 1000 + 240
    return contents(out)


@pytest.mark.parametrize(
    ("writes", "when"),
    [(1, "early"), (1, "late"), (2, "late"), (3, "late"), (16, "early"), (33, "late")],
)
def test_a_killed_import_goes_on_to_the_same_bytes(sources, whole, tmp_path, writes, when):
    out = tmp_path / "out"
    assert killed(sources, out, writes, when) == -signal.SIGKILL
    assert contents(out) != whole
    if (out / "collection.json").exists():
        with pytest.raises(DrawingError, match="was not finished; give the same command again"):
            SketchStore.open(out)
    import_drawings(sources, out, shard=150, most=1000)
    assert contents(out) == whole


@pytest.mark.slow
def test_killed_again_and_again(sources, whole, tmp_path):
    out = tmp_path / "out"
    rounds = 1
    while killed(sources, out, 9, "early") != 0:
        rounds += 1
        assert rounds < 30
    assert rounds > 4
    assert contents(out) == whole


def test_what_was_done_is_not_done_again(sources, whole, tmp_path):
    out = tmp_path / "out"
    killed(sources, out, 30, "late")
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.arrow")}
    import_drawings(sources, out, shard=150, most=1000)
    again = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    rewritten = [name for name, time in done.items() if again[name] != time]
    assert len(rewritten) <= 1  # in its place when the kill came, but not yet told
    assert len(done) > 10
    import_drawings(sources, out, shard=150, most=1000)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == again


def test_another_import_into_the_same_folder_is_refused(tmp_path):
    path = write(tmp_path / "a.ndjson", 30)
    out = tmp_path / "out"
    import_drawings([path], out, seed=1)
    before = contents(out)
    with pytest.raises(DrawingError, match="of other arguments: seed was 1, now 2; give the same"):
        import_drawings([path], out, seed=2)
    with pytest.raises(DrawingError, match="of other sources: a file was added"):
        import_drawings([path, write(tmp_path / "b.ndjson", 3)], out, seed=1)
    write(path, 31)
    with pytest.raises(DrawingError, match=r"of other sources: .* or changed"):
        import_drawings([path], out, seed=1)
    assert contents(out) == before


# --- memory ---------------------------------------------------------------------------------------

MEASURED = """
import sys
from sightline.sketch.importing import import_drawings
import sightline.sketch.readers as readers

of_readers, end = [], readers._end

def most(pid):  # getrusage would tell the most of the process that started this one
    return int(open(f"/proc/{pid}/status").read().split("VmHWM:")[1].split()[0])

def ending(process):
    of_readers.append(most(process.pid))
    end(process)

readers._end = ending
import_drawings([sys.argv[1]], sys.argv[2], shard=5000, processes=2)
assert len(of_readers) == 2
print((most("self") + sum(of_readers)) // 1024)
"""


def peak(path: Path, out: Path) -> int:
    """Megabytes of a process that imports a file, and of its two readers."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(path), str(out)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    small, large = tmp_path / "small.ndjson", tmp_path / "large.ndjson"
    text = lines(records(20_000))
    small.write_bytes(text)
    large.write_bytes(text * 8)
    before, after = peak(small, tmp_path / "a"), peak(large, tmp_path / "b")
    assert after < 1_000
    assert after - before < 25 < 7 * len(text) / 2**20


# --- the command ----------------------------------------------------------------------------------


def test_the_command(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(lines(records(50)) + b"oh\n")
    given = ["data", "import", str(tmp_path / "a.ndjson"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    assert "SketchStore(50 drawings, 3 labels: train" in done.output
    assert "1 dropped: not readable" in done.output
    assert "a.ndjson line 51 is not JSON" in done.output
    told = json.loads(CliRunner().invoke(main, [*given, "--json"]).output)
    assert sum(told["drawings"].values()) == 50
    assert told["dropped"] == {"not readable": 1}
    given[-1] += "2"
    done = CliRunner().invoke(main, [*given, "--on-bad", "raise"])
    assert done.exit_code == 1
    assert "Error: a.ndjson line 51 is not JSON" in done.output
    done = CliRunner().invoke(main, [*given, "--shard", "-1"])
    assert "shard must be more than 0; got -1" in done.output
