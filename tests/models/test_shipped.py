"""The models that come with the package keep what their cards say."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

import sightline as sl
from sightline.models import load_encoder, load_generator
from sightline.models.load import SHIPPED
from sightline.training.evaluate import evaluate
from sightline.training.examples import Labelled

MOST_BYTES = {
    "sketchxainet-tiny": 12e6,
    "sketch-cnn": 2e6,
    "pairs-encoder": 2e6,
    "pairs-generator": 2e6,
}


def folder(name: str) -> Path:
    return Path(str(files("sightline") / "weights" / name))


def test_every_shipped_model_is_listed():
    there = {path.name for path in folder("x").parent.iterdir()}
    # a detector (tests/models/test_scene_ssd.py), encoders and generators have loaders of their own
    assert there == {*SHIPPED, "scene-ssd", *load_encoder.SHIPPED, *load_generator.SHIPPED}
    assert set(MOST_BYTES) == there - {"scene-ssd"}


@pytest.mark.parametrize("name", MOST_BYTES)
def test_weights_are_small(name):
    assert (folder(name) / "model.safetensors").stat().st_size <= MOST_BYTES[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_own_drawings_are_recognised(name):
    model = sl.load(name)
    for path in (folder("x").parents[1] / "demo").glob("*.svg"):
        game = sl.Game(model, sl.Strokes(sl.read_sketch(path)))
        assert game.targets == (path.stem,)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_accuracy_is_that_of_the_card(data, name):
    collection = data / "spg_quickdraw_parts"
    test = sl.split_collection(sl.read_collection(collection), collection)["test"]
    model = sl.load(name)
    top1 = evaluate(
        model, Labelled.from_sketches(test, model.labels, model.prepare), model.labels
    ).top1.estimate
    said = re.search(r"Test accuracy \| top-1 ([\d.]+) %", (folder(name) / "README.md").read_text())
    assert 100 * top1 == pytest.approx(float(said[1]), abs=0.1)  # one drawing is 0.07
    assert top1 >= 0.93
