"""``sightline train encoder`` on generated pairs, and on generated folders in published layouts."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pair_layouts import few_pairs, write_shoev2, write_sketchy, write_train_test
from sightline.cli.train_encoder import encoder
from sightline.errors import SightlineError, TaskError
from sightline.metrics.intervals import wilson
from sightline.models.load_encoder import load_encoder
from sightline.scenes.pairs import TEST, draw_pair
from sightline.tasks.retrieval.pair_examples import PairExamples
from sightline.tasks.retrieval.pair_folders import read_pair_folder
from sightline.tasks.retrieval.triplet import match_places

QUICK = ("--epochs", 2, "--batch", 8, "--dimension", 8, "--size", 32, "--width", 4)


def run(*arguments: object):
    return CliRunner().invoke(encoder, [str(a) for a in (*arguments, *QUICK)])


@pytest.fixture(scope="module")
def pairs():
    return few_pairs(30, drawers=1)


def test_generated_pairs(tmp_path):
    out = tmp_path / "run"
    done = run("generated:16", "--out", out, "--precision", "32-true")
    assert done.exit_code == 0, done.output
    assert "32 drawings of 16 photos to learn from, 4 of 4 to choose by" in done.output
    told = json.loads((out / "test.json").read_text())
    assert told["drawings"] == told["gallery"] == 4
    assert told["chance"] == 0.25
    assert told["top5"]["estimate"] == 1
    assert 0 <= told["top1"]["low"] <= told["top1"]["estimate"] <= told["top1"]["high"] <= 1
    assert f"accuracy@1  {told['top1']['estimate']:.4f}" in done.output
    assert "accuracy@10 1.0000" in done.output
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert {"valid_top1", "valid_top10", "valid_place"} <= set(rows[0])
    model = load_encoder(out / "model")
    assert model.encode([few_pairs(1)[0].sketch]).shape == (1, 8)
    again = run("generated:16", "--out", out, "--precision", "32-true")
    assert again.exit_code == 0, again.output
    assert json.loads((out / "test.json").read_text()) == told
    assert [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()] == rows
    other = run("generated:16", "--out", out, "--precision", "32-true", "--drawers", 1)
    assert isinstance(other.exception, SightlineError)
    assert "other items" in str(other.exception)


@pytest.mark.parametrize(
    ("writer", "suffix", "layout"),
    [
        (write_sketchy, ".svg", None),
        (write_sketchy, ".png", "sketchy"),
        (write_shoev2, ".png", None),
        (write_shoev2, ".svg", "shoev2"),
    ],
)
def test_folders(tmp_path, pairs, writer, suffix, layout):
    folder, out = writer(tmp_path / "set", pairs, suffix=suffix), tmp_path / "run"
    asked = () if layout is None else ("--layout", layout)
    done = run(folder, "--out", out, "--loss", "triplet", "--margin", 0.3, *asked)
    assert done.exit_code == 0, done.output
    test = read_pair_folder(folder).split("test")
    told = json.loads((out / "test.json").read_text())
    assert told["gallery"] == len(test.photos)
    model = load_encoder(out / "model")
    ranks = match_places(model, PairExamples.from_folder(test, model))
    assert told["mean_place"] == pytest.approx(float(ranks.double().mean()))


def test_folders_of_splits(tmp_path, pairs):
    folder = write_train_test(tmp_path / "set", pairs[:24], pairs[24:], suffix=".svg")
    done = run(folder, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "6 test drawings, 6 photos, 95 % Wilson intervals" in done.output


def test_a_run_on_other_pairs_is_not_continued(tmp_path, pairs):
    """Also where their folder has the same name, and where one file of it was exchanged."""
    one = write_shoev2(tmp_path / "one/set", pairs[:24], suffix=".svg")
    other = write_shoev2(tmp_path / "other/set", pairs[6:], suffix=".svg")
    out = tmp_path / "run"
    assert run(one, "--out", out).exit_code == 0
    told = (out / "test.json").read_text()
    assert run(one, "--out", out).exit_code == 0
    path = next((one / "sketch").iterdir())
    path.write_text(path.read_text() + "<!-- changed -->")
    for folder in (other, one):
        done = run(folder, "--out", out)
        assert isinstance(done.exception, SightlineError)
        assert "other items" in str(done.exception)
    assert (out / "test.json").read_text() == told


def test_drawings_of_one_instance_are_no_strangers(tmp_path, pairs):
    """Each drawing five times under other names: no surer than once."""
    folder = write_train_test(tmp_path / "set", pairs[:16], pairs[16:], suffix=".svg")
    for path in list((folder / "testA").iterdir()):
        for k in range(5, 9):
            path.with_name(f"{path.stem[:-1]}{k}.svg").write_bytes(path.read_bytes())
    done = run(folder, "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert "70 test drawings, 14 photos, 95 % intervals over 14 instances" in done.output
    told = json.loads((tmp_path / "run/test.json").read_text())
    assert (told["drawings"], told["instances"], told["gallery"]) == (70, 14, 14)
    share = told["top5"]["estimate"]
    assert 0 < share < 1
    assert told["top5"] == pytest.approx(vars(wilson(round(share * 14), 14)))


def test_drawings_without_photos(tmp_path, pairs):
    folder = write_shoev2(tmp_path / "set", pairs, suffix=".svg")
    (folder / "sketch/lost_1.svg").write_text("")
    done = run(folder, "--out", tmp_path / "run")
    assert isinstance(done.exception, TaskError)
    assert "1 files have no photo: sketch/lost_1.svg" in str(done.exception)
    assert "--skip-missing" in str(done.exception)
    assert not (tmp_path / "run").exists()
    done = run(folder, "--out", tmp_path / "run", "--skip-missing")
    assert done.exit_code == 0, done.output
    assert "left out 1, the first: sketch/lost_1.svg: has no photo" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generated:x"], "expected generated:COUNT"),
        (["generated:40", "--layout", "shoev2"], "without another --layout"),
        (["folder", "--layout", "generated"], "needs generated:COUNT, not folder"),
        (["folder", "--drawers", 2], "--drawers belongs to generated pairs"),
        (["generated:40", "--margin", 0.2], "--margin and --mining belong to --loss triplet"),
        (["generated:40", "--loss", "triplet", "--temperature", 1], "belongs to --loss contr"),
    ],
)
def test_wrong_command_lines(tmp_path, arguments, message):
    done = run(*arguments, "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert message in done.output


def test_what_cannot_be_trained_on(tmp_path):
    for pairs, message in (
        ("generated:3", "expected from 16 to"),
        (tmp_path / "nowhere", "is no folder"),
    ):
        done = run(pairs, "--out", tmp_path / "run")
        assert isinstance(done.exception, TaskError)
        assert message in str(done.exception)
    done = run("generated:40", "--loss", "triplet", "--margin", -1, "--out", tmp_path / "run")
    assert "the margin is -1.0" in str(done.exception)


@pytest.mark.slow
def test_two_processes_train_one_encoder(tmp_path):
    """Each finds negatives in its share of a batch; they end with one model and its ranks."""
    script, out = tmp_path / "train.py", tmp_path / "run"
    script.write_text("from sightline.cli.train_encoder import encoder\nencoder()\n")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    options = ["generated:16", "--out", out, "--precision", "32-true", *QUICK]
    done = subprocess.run(
        [sys.executable, *map(str, [*launch, *options])],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 test drawings, 4 photos") == 1
    told, model = json.loads((out / "test.json").read_text()), load_encoder(out / "model")
    data = PairExamples.from_pairs([draw_pair(TEST + i, size=32) for i in range(4)], model)
    assert told["mean_place"] == float(match_places(model, data).double().mean())
