"""Drawings in memory and drawings on disk are the same examples."""

import json

import pytest
import torch
from click.testing import CliRunner

from figures import LABELS, drawings
from sightline.cli import main
from sightline.errors import SightlineError
from sightline.models.load import save
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
from sightline.sketch.batch import SketchBatch
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.importing import import_drawings
from sightline.sketch.sketch import Sketch
from sightline.sketch.store import SketchStore
from sightline.training.evaluate import evaluate
from sightline.training.examples import Labelled, Stored
from sightline.training.loop import train
from sightline.training.recipe import Recipe


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> SketchStore:
    folder = tmp_path_factory.mktemp("collection")
    write_ndjson(folder / "figures.ndjson", drawings(150, 5))
    return import_drawings([folder / "figures.ndjson"], folder / "store")


def prepared(sketch: Sketch) -> Sketch:
    return sketch.normalise()


def in_memory(store: SketchStore, split: str, labels=LABELS) -> Labelled:
    part = store.split(split)
    by_name = {sketch.name: sketch for sketch in drawings(150, 5)}
    chosen = [by_name[name] for name in part.keys(torch.arange(len(part)))]
    return Labelled.from_sketches(chosen, labels, prepared)


def same(one: SketchBatch, other: SketchBatch) -> None:
    assert torch.equal(one.stroke_offsets, other.stroke_offsets)
    assert torch.equal(one.sketch_offsets, other.sketch_offsets)
    torch.testing.assert_close(one.points, other.points, atol=1e-6, rtol=0)


def test_a_collection_on_disk_reads_as_the_same_drawings_in_memory(store):
    disk, memory = Stored(store.split("train"), LABELS), in_memory(store, "train")
    assert len(disk) == len(memory) > 100
    chosen = torch.tensor([7, 0, 99, 7])
    same(disk.batch(chosen), memory.batch(chosen))
    assert torch.equal(disk.targets(chosen), memory.targets(chosen))
    assert disk.strokes_per_sketch().tolist() == memory.strokes_per_sketch().tolist()
    assert disk.longest_stroke().tolist() == memory.longest_stroke().tolist()


def test_labels_are_the_models_whatever_the_order_of_the_collection(store):
    turned = ("zigzag", "other", "ring", "cross")
    disk, memory = Stored(store.split("train"), turned), in_memory(store, "train", turned)
    everything = torch.arange(len(disk))
    assert torch.equal(disk.targets(everything), memory.targets(everything))
    assert set(disk.targets(everything).tolist()) == {0, 2, 3}


def test_the_longest_stroke_by_hand():
    sketches = [
        Sketch.from_strokes([[(0, 0), (1, 1)], [(0, 0), (1, 0), (1, 1)]], label="ring"),
        Sketch.from_strokes([[(0, 0), (1, 1), (2, 1), (4, 4)]], label="ring"),
    ]
    examples = Labelled.from_sketches(sketches, LABELS, prepared)
    assert examples.longest_stroke().tolist() == [3, 4]
    assert examples.strokes_per_sketch().tolist() == [2, 1]


def test_unknown_labels_and_empty_splits_are_named(store, tmp_path):
    with pytest.raises(SightlineError, match="labels star are not among the model's: cross, ring"):
        star = Sketch.from_strokes([[(0, 0), (1, 1)]], label="star")
        Labelled.from_sketches([star], LABELS, prepared)
    with pytest.raises(SightlineError, match="labels zigzag are not among the model's: cross"):
        Stored(store.split("train"), ("cross", "ring"))
    with pytest.raises(SightlineError, match="the split is empty"):
        Labelled.from_sketches([], LABELS, prepared)
    write_ndjson(tmp_path / "one.ndjson", drawings(1, 5))
    single = import_drawings([tmp_path / "one.ndjson"], tmp_path / "one")
    empty = next(s for s in ("train", "valid", "test") if not len(single.split(s)))
    with pytest.raises(SightlineError, match="the split is empty"):
        Stored(single.split(empty), LABELS)


def test_training_reads_a_collection_on_disk(store, tmp_path):
    sets = [Stored(store.split(name), LABELS) for name in ("train", "valid")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SketchXAINet(SketchXAINetConfig(LABELS, hidden=16, layers=2, heads=2, mlp=32))
    recipe = Recipe(epochs=8, batch=8, lr=5e-3, warmup=1, precision="32-true", ema=0.9)
    history = train(net, *sets, recipe, tmp_path)
    assert max(row["valid_top1"] for row in history) > 0.6
    assert evaluate(net, sets[0], LABELS).confusion.sum() == len(sets[0])


def test_the_command_line_reads_a_collection_on_disk(store, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SketchXAINet(SketchXAINetConfig(LABELS, hidden=16, layers=1, heads=2, mlp=32))
    save(net, tmp_path / "model")
    command = ["evaluate", "sketch", str(store.path), "--model", str(tmp_path / "model")]
    done = CliRunner().invoke(main, [*command, "--split", "valid", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    counted = evaluate(net, Stored(store.split("valid"), LABELS), LABELS)
    assert told["drawings"] == len(store.split("valid"))
    assert told["top1"]["estimate"] == counted.top1.estimate
    refused = CliRunner().invoke(main, [*command, "--split", "all"])
    assert refused.exit_code == 2
    assert "measured by split: train, valid or test" in refused.output
