"""`sightline benchmark`: a table, a verdict, files; the same numbers for every batch."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import sightline as sl
from sightline.cli import main
from sightline.models.recognise import recognise
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.sketch import Sketch
from toys import scribble

LABELS = ("house", "tree", "boat")


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A model, and scribbles that it recognises, all in the test split."""
    folder = tmp_path_factory.mktemp("collection")
    model = sl.sketchxainet("nano", LABELS, layers=1)
    sl.save(model, folder / "model")
    model = sl.load(folder / "model")
    drawings = []
    for seed in range(12):
        sketch = scribble(seed, 4)
        label = recognise(model, sketch)[0].label if seed < 9 else LABELS[seed % 3]
        drawings.append(Sketch(sketch.strokes, label=label, name=str(seed)))
    (folder / "drawings").mkdir()
    write_ndjson(folder / "drawings/all.ndjson", drawings)
    names = {"all": {"test": [d.name for d in drawings]}}
    (folder / "drawings/splits.json").write_text(json.dumps(names))
    return folder


def run(*arguments):
    done = CliRunner().invoke(main, ["benchmark", *(str(a) for a in arguments)])
    assert done.exit_code == 0, done.output
    return done


def strokes(collection, *arguments):
    few = ["--drawings", 3, "--checked", 1, "--method", "shapley", "--method", "sla"]
    given = [collection / "drawings", "--model", collection / "model", *few, *arguments]
    return run("strokes", *given)


def test_strokes_prints_a_table_and_a_verdict_and_writes_them(collection, tmp_path):
    done = strokes(collection, "--out", tmp_path / "found")
    assert "SketchXAINet: 3 drawings, 1 of them in the sanity checks" in done.stdout
    assert "planted AUC ↑" in done.stdout
    assert "Ranking a planted stroke last: " in done.stdout
    table = (tmp_path / "found/table.md").read_text()
    assert "| shapley | " in table
    assert "- Ranking a planted stroke last: " in table
    assert (tmp_path / "found/findings.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "found/planted.png").read_bytes().startswith(b"\x89PNG")
    numbers = json.loads((tmp_path / "found/findings.json").read_text())
    assert numbers["tests"]["agreement"]["shapley"]["mean"] == 1


def test_numbers_are_one_for_a_seed_and_every_batch(collection):
    def numbers(*arguments):
        found = json.loads(strokes(collection, "--json", *arguments).stdout)
        del found["seconds"]
        return found

    assert numbers() == numbers("--batch", 3)
    assert numbers() != numbers("--seed", 1)


def test_inversion_prints_both_directions(collection):
    given = [collection / "drawings", "--model", collection / "model"]
    few = ["--drawings", 4, "--restarts", 2, "--steps", 3]
    done = run("inversion", *given, *few)
    assert "4 drawings, 2 restarts, 3 steps; 0 drawings of one stroke left out" in done.stdout
    assert "recovery" in done.stdout
    assert "transfer" in done.stdout
    found = json.loads(run("inversion", *given, *few, "--json").stdout)
    assert found["recovery"]["drawings"] == 4
    assert 0 <= found["transfer"]["flipped"]["low"] <= found["transfer"]["flipped"]["high"] <= 1


def test_a_collection_that_does_not_fit(collection):
    given = [collection / "drawings", "--model", "sketchxainet-tiny"]
    done = CliRunner().invoke(main, ["benchmark", "strokes", *(str(a) for a in given)])
    assert done.exit_code == 1
    assert "a label of the model" in done.output
