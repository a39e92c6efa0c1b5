"""Collections on disk: any drawing at any time, and files that were damaged."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch

from generated import write
from sightline.errors import DrawingError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.importing import import_drawings
from sightline.sketch.store import MANIFEST, SketchStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """2,000 drawings in files of 50."""
    base = tmp_path_factory.mktemp("store")
    sources = [
        write(base / "a.ndjson", 1_000),
        write(base / "b.ndjson", 600, seed=1, top=2_000, first=1_000),
    ]
    (base / "c.ndjson").write_bytes(
        b"".join(
            b'{"word":"apple","key_id":"c%d","drawing":[[[0.5,%d],[0,1.25]]]}\n' % (i, i + 1)
            for i in range(400)
        )
    )
    import_drawings([*sources, base / "c.ndjson"], base / "out", shard=50)
    return base / "out"


@pytest.fixture
def store(folder) -> SketchStore:
    return SketchStore.open(folder)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """The same folder, to be damaged."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_what_it_says_of_itself(store):
    assert len(store) == 2_000
    train, valid, test = (store.split(name) for name in ("train", "valid", "test"))
    assert repr(store) == (
        f"SketchStore(2000 drawings, 3 labels: train {len(train)}, valid {len(valid)}, "
        f"test {len(test)})"
    )
    assert repr(test) == f"StoredSplit(test: {len(test)} drawings, 3 labels)"
    assert store.labels == train.labels == ("apple", "hot dog", "pear")
    assert store.damaged == ()
    assert len(train) + len(valid) + len(test) == 2_000
    counts = [split.label_counts() for split in (train, valid, test)]
    told = json.loads((store.path / MANIFEST).read_text())["drawings"]
    assert counts == [told[name] for name in ("train", "valid", "test")]


def test_a_batch_is_its_drawings_laid_end_to_end(store):
    """From files of uint8, int16 and float32, in any order, some of them twice."""
    split = store.split("train")
    assert {shard.points.dtype.name for shard in split._shards} == {"uint8", "int16", "float32"}
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(7))
    index = torch.cat([order[:300], order[:5]])
    ours = split.batch(index)
    theirs = SketchBatch.from_sketches([split.sketch(i) for i in index.tolist()])
    assert ours.points.dtype == torch.float32
    assert torch.equal(ours.points, theirs.points)
    assert torch.equal(ours.stroke_offsets, theirs.stroke_offsets)
    assert torch.equal(ours.sketch_offsets, theirs.sketch_offsets)
    labels = [split.labels[t] for t in split.targets(index).tolist()]
    assert labels == [split.sketch(i).label for i in index.tolist()]
    assert split.keys(index) == [split.sketch(i).name for i in index.tolist()]


def test_a_batch_can_be_written_to_and_the_store_stays(store):
    split = store.split("test")
    index = torch.tensor([3])
    before = split.batch(index).points.clone()
    split.batch(index).points.zero_()
    assert torch.equal(split.batch(index).points, before)


def test_a_batch_of_nothing(store):
    empty = torch.zeros(0, dtype=torch.int64)
    split = store.split("valid")
    assert len(split.batch(empty)) == 0
    assert split.targets(empty).tolist() == []
    assert split.keys(empty) == []


def test_lengths_of_all_drawings(store):
    split = store.split("valid")
    sketches = [split.sketch(i) for i in range(len(split))]
    assert split.strokes_per_sketch().tolist() == [len(s) for s in sketches]
    assert split.points_per_sketch().tolist() == [len(s.points) for s in sketches]
    assert split.longest_stroke().tolist() == [max(map(len, s.strokes)) for s in sketches]


@pytest.mark.parametrize("wrong", [-1, 10_000])
def test_an_index_that_is_not_there(store, wrong):
    split = store.split("test")
    for ask in (split.batch, split.targets, split.keys):
        with pytest.raises(DrawingError, match=rf"counted from 0; there is no {wrong}"):
            ask(torch.tensor([0, wrong]))
    with pytest.raises(DrawingError, match=rf"there is no {wrong}"):
        split.sketch(wrong)


def test_an_unknown_split(store):
    with pytest.raises(DrawingError, match=r"unknown split 'trian'; did you mean 'train'\? Known"):
        store.split("trian")


def test_a_store_goes_to_another_process(store):
    split = pickle.loads(pickle.dumps(store.split("train")))  # noqa: S301
    index = torch.tensor([5, 900])
    assert torch.equal(split.batch(index).points, store.split("train").batch(index).points)


def test_files_are_not_held_open(folder):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    store = SketchStore.open(folder)
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    assert sum(len(shards) for shards in store._shards.values()) > 35
    assert after - before < 3


# --- damage ---------------------------------------------------------------------------------------


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


DAMAGE = {
    "checksum differs": lambda path: flipped(path, path.stat().st_size // 2),
    "its checksum": lambda path: flipped(path, 3),
    "bytes of the": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "is not there": Path.unlink,
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_file_is_named_and_the_rest_reads(copy, store, reason):
    DAMAGE[reason](copy / "train-00003.arrow")
    with pytest.raises(DrawingError, match=rf"train-00003.arrow: .*{reason}.*on_error='skip'"):
        SketchStore.open(copy)
    rest = SketchStore.open(copy, on_error="skip")
    ((file, why),) = rest.damaged
    assert file == "train-00003.arrow"
    assert reason in why
    assert len(rest) == 1_950
    assert "1 files damaged" in repr(rest)
    ours, theirs = rest.split("train"), store.split("train")
    there = torch.cat([torch.arange(150), torch.arange(200, len(theirs))])
    assert ours.keys(torch.arange(len(ours))) == theirs.keys(there)
    assert torch.equal(ours.batch(torch.arange(len(ours))).points, theirs.batch(there).points)


def test_all_damaged_files_are_named(copy):
    for name in ("test-00001.arrow", "train-00007.arrow"):
        (copy / name).unlink()
    with pytest.raises(DrawingError, match=r"train-00007.arrow: is not there; test-00001.arrow"):
        SketchStore.open(copy)


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_without_the_check_damage_is_an_error_or_other_numbers(copy, place):
    """Never a crash: Arrow looks at its own structure, numpy keeps within the file."""
    path = copy / "train-00003.arrow"
    flipped(path, path.stat().st_size * place // 100)
    store = SketchStore.open(copy, on_error="skip", check=False)
    split = store.split("train")
    try:
        split.batch(torch.arange(len(split)))
        split.targets(torch.arange(len(split)))
    except (DrawingError, ValueError):
        pass
    assert len(store) in (1_950, 2_000)


def test_no_collection_is_told(tmp_path, copy):
    with pytest.raises(DrawingError, match=r"is no collection .* sightline data import"):
        SketchStore.open(tmp_path / "nowhere")
    told = json.loads((copy / MANIFEST).read_text())
    (copy / MANIFEST).write_text(json.dumps(told | {"format": "sightline collection 2"}))
    with pytest.raises(DrawingError, match="'sightline collection 2'; this program reads"):
        SketchStore.open(copy)
    (copy / MANIFEST).write_text("{")
    with pytest.raises(DrawingError, match=r"collection.json is damaged; import anew"):
        SketchStore.open(copy)
    del told["shards"]
    (copy / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(DrawingError, match=r"collection.json is damaged; import anew"):
        SketchStore.open(copy)
