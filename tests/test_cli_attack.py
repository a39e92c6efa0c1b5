import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sightline as sl
from sightline.cli.attack import attack
from sightline.tasks.attack import Attack, attack_points, insert_stroke, remove_small_stroke

PAGE = Path(__file__).parents[1] / "docs" / "attack.md"
DEMO = Path(sl.__path__[0]) / "demo"
NET = "sketch-cnn"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO / "ice_cream.svg", tmp_path / "ice.svg")

    def call(*arguments: object):
        return CliRunner().invoke(attack, ["ice.svg", "--model", NET, *map(str, arguments)])

    return call


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"ice.svg"}


def ice():
    return sl.read_sketch(DEMO / "ice_cream.svg")


def test_points_are_moved_and_everything_is_written(run, tmp_path):
    done = run("--budget", 0.1, "--steps", 3)
    assert done.exit_code == 0, done.output
    assert written(tmp_path) == {f"ice-attacked.{end}" for end in ("png", "html", "svg", "json")}
    expected = attack_points(sl.load(NET), ice(), budget=0.1, steps=3)
    read = Attack.load(tmp_path / "ice-attacked.json")
    assert np.array_equal(read.attacked.points, expected.attacked.points)
    assert f"before                            {expected.before.label} (" in done.output
    assert "lines apart, mean (Chamfer)" in done.output
    assert "wrote ice-attacked.png, ice-attacked.html" in done.output
    drawn = sl.read_sketch(tmp_path / "ice-attacked.svg")
    np.testing.assert_allclose(drawn.points, read.attacked.points)
    page = (tmp_path / "ice-attacked.html").read_text()
    assert "Attack on ice.svg (sketch-cnn)" in page
    assert "<svg" in page
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--kind", "remove", "--share", "0.3"], lambda n, s: remove_small_stroke(n, s, share=0.3)),
        (
            ["--kind", "remove", "--guide", "sla"],
            lambda n, s: remove_small_stroke(n, s, guide="sla"),
        ),
        (["--kind", "insert", "--steps", "1"], lambda n, s: insert_stroke(n, s, steps=1)),
    ],
)
def test_strokes_are_removed_and_inserted(run, tmp_path, arguments, expected):
    done = run(*arguments, "--out", "here/x", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    wanted = expected(sl.load(NET), ice())
    assert told["attacked"]["strokes"] == [s.tolist() for s in wanted.attacked.strokes]
    assert (told["stroke"], told["success"]) == (wanted.stroke, wanted.success)
    assert told["model"] == NET
    assert all(Path(path).exists() for path in told["written"])
    assert Attack.load(tmp_path / "here" / "x.json").stroke == wanted.stroke


def test_the_same_seed_writes_the_same(run, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run("--kind", "insert", "--steps", 1, "--seed", seed, "--out", name).exit_code == 0
    told = [json.loads((tmp_path / f"{name}.json").read_text())["attacked"] for name in "abc"]
    assert told[0] == told[1] != told[2]


def test_a_folder_gets_the_usual_names(run, tmp_path):
    done = run("--kind", "remove", "--out", ".")
    assert done.exit_code == 0, done.output
    assert written(tmp_path) == {f"ice-attacked.{end}" for end in ("png", "html", "svg", "json")}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "duk"], "unknown label 'duk'; did you mean 'duck'?"),
        (["--target", "ice_cream"], "'ice_cream' is the answer already"),
        (["--guide", "sla"], "give it with --kind remove"),
        (["--share", "1"], "share"),
        (["--budget", "-1"], "budget"),
        (["--index", "3"], "ice.svg"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(run, tmp_path, arguments, words):
    done = run(*arguments)
    assert done.exit_code != 0
    assert words in (done.output + str(done.exception))
    assert written(tmp_path) == set()


def test_the_page_shows_what_is_printed(run):
    shutil.copy(DEMO / "face.svg", "face.svg")
    done = CliRunner().invoke(attack, ["face.svg", "--model", NET, "--budget", "0.07"])
    printed = done.output.split("\n\nwrote")[0].splitlines()
    block = PAGE.read_text().split("```text\n")[1].split("\n```")[0].splitlines()
    names = [[line.split("  ")[0] for line in lines] for lines in (printed, block)]
    assert names[0] == names[1]
    # the last digits are the machine's
    assert printed[:2] == block[:2]
    assert "alarm_clock" in printed[2]
    assert "success" in printed[2]


def test_the_page_names_no_option_that_is_not_there():
    known = {option for param in attack.params for option in param.opts}
    lines = [
        line for line in PAGE.read_text().splitlines() if line.startswith("$ sightline attack")
    ]
    assert len(lines) == 4
    for line in lines:
        assert {word for word in line.split() if word.startswith("--")} <= known
