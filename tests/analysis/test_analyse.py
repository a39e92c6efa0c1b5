"""The command line of the analysis."""

import json

import pytest
import torch
from click.testing import CliRunner

import sightline as sl
from figures import LABELS, drawings
from sightline.cli import main
from sightline.sketch.formats.quickdraw import write_ndjson


@pytest.fixture
def run():
    def call(*arguments):
        return CliRunner().invoke(main, ["analyse", *(str(a) for a in arguments)])

    return call


@pytest.fixture
def collection(tmp_path):
    path = tmp_path / "drawings.ndjson"
    write_ndjson(path, drawings(120, 9))
    return path


def net(path, **switches):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sl.save(sl.sketchxainet("nano", LABELS, layers=1, **switches), path)
    return path


@pytest.fixture
def model(tmp_path):
    return net(tmp_path / "model")


def test_strokes_are_counted_and_drawn(run, collection, tmp_path):
    done = run("strokes", collection, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "120 drawings, 3 labels" in done.output
    assert "at most 10 strokes  1.0000" in done.output
    assert (tmp_path / "out" / "shape-strokes.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(run("strokes", collection, "--json").output)
    assert told["strokes"]["mean"] == pytest.approx(4 / 3)
    assert told["labels"]["cross"]["strokes"]["q50"] == 2
    assert told["at_most_10_strokes"]["estimate"] == 1


def test_shapes_are_clustered_and_replaced(run, collection, model, tmp_path):
    given = ("shapes", collection, "--model", model, "--clusters", 4, "--json")
    done = run(*given, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["clusters"] == 4
    assert 0 < told["explained"] <= 1
    assert sum(told["primitives"].values()) == pytest.approx(1)
    names = [row["name"] for row in told["outcomes"]]
    assert names[0] == "as drawn"
    assert {"nearest prototype", "nearest primitive in shape", "random prototype"} <= set(names)
    assert all("difference" in row for row in told["outcomes"][1:])
    pictures = {path.name for path in (tmp_path / "out").iterdir()}
    assert pictures == {
        "shape-clusters.png",
        "shape-replaced.png",
        "shape-replaced-accuracy.png",
    }
    assert json.loads(run(*given).output) == told, "the same seed, the same numbers"
    assert "nearest prototype" in run(*given[:-1], "--limit", 3).output


def test_order_is_measured(run, collection, model, tmp_path):
    done = run(
        "order", collection, "--model", model, "--rows", 3, "--json", "--out", tmp_path / "o"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    names = [row["name"] for row in told["outcomes"]]
    assert {"shuffled", "reversed", "first 1", "last 10", "first 25%"} <= set(names)
    assert len(told["similarity"]) == 3
    assert told["rows_used"][2] == 0
    assert {p.name for p in (tmp_path / "o").iterdir()} == {
        "shape-order-accuracy.png",
        "shape-order-similarity.png",
    }


def test_order_of_a_model_of_pictures(run, collection, tmp_path):
    sl.save(sl.sketch_cnn(LABELS), tmp_path / "cnn")
    given = ("order", collection, "--model", tmp_path / "cnn", "--limit", 4, "--shuffles", 1)
    told = json.loads(run(*given, "--json").output)
    assert "similarity" not in told
    rows = {row["name"]: row for row in told["outcomes"]}
    assert rows["reversed"]["difference"] == {"estimate": 0, "low": 0, "high": 0}
    assert "no order embedding in use" in run(*given).output


def test_ablations_side_by_side(run, collection, model, tmp_path):
    others = [net(tmp_path / n, **{f"use_{n}": False}) for n in ("shape", "location", "order")]
    done = run("ablation", collection, model, *others, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert any(line.startswith("without shape") and "31.04%" in line for line in lines)
    assert (tmp_path / "out" / "shape-ablation.png").exists()
    told = json.loads(run("ablation", collection, model, *others, "--json").output)
    assert [row["published"] for row in told["outcomes"]] == [0.861, 0.3104, 0.8141, 0.8366]
    wrong = run("ablation", collection, *others)
    assert wrong.exit_code == 1
    assert "give the full one first" in wrong.output


def test_wrong_models_are_told_the_cure(run, collection, tmp_path):
    sl.save(sl.sketch_cnn(LABELS), tmp_path / "cnn")
    done = run("shapes", collection, "--model", tmp_path / "cnn")
    assert done.exit_code == 1
    assert "embeds no shapes of strokes; give a model that reads strokes" in done.output
    done = run("shapes", collection, "--model", net(tmp_path / "s", use_shape=False))
    assert done.exit_code == 1
    assert "trained without shape" in done.output
