import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import sightline as sl
from sightline.cli import main
from sightline.inversion import recover, transfer

PAGE = Path(__file__).parents[1] / "docs" / "inversion.md"
DEMO = Path(sl.__path__[0]) / "demo"
STONE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1 L8 2 L4 8"/></svg>'


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("face", "duck"):
        shutil.copy(DEMO / f"{name}.svg", tmp_path)
    (tmp_path / "stone.svg").write_text(STONE)

    def call(*arguments: object):
        return CliRunner().invoke(main, ["invert", *map(str, arguments)])

    return call


def written(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"face.svg", "duck.svg", "stone.svg"}


def test_transfer_prints_the_steps_and_writes_pictures(run, tmp_path):
    done = run("face.svg", "--target", "alarm_clock", "--steps", 12, "--animate", "gif")
    assert done.exit_code == 0, done.output
    assert written(tmp_path) == {f"face-inverted.{s}" for s in ("png", "gif", "json")}
    rows = re.findall(r"^ *(start|\d+)  (\w+) +([\d.]+) %", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["start", "1", "2", "3", "4", "5", "10", "12"]
    (way,) = transfer(
        sl.load("sketchxainet-tiny"), [sl.read_sketch("face.svg")], "alarm_clock", descent=_of(12)
    )
    shown = [0, 1, 2, 3, 4, 5, 10, 12]
    assert [row[1] for row in rows] == [way.labels[way.answers[step]] for step in shown]
    told = [float(row[2]) for row in rows]
    np.testing.assert_allclose(told, 100 * way.answer_probability[shown], atol=0.051)
    assert "alarm_clock is first the answer at step 3; distance 0.000 at the start" in done.stdout
    with Image.open("face-inverted.gif") as film:
        assert film.n_frames == 13


def _of(steps: int):
    from sightline.inversion import Descent

    return Descent(steps=steps)


def test_recovery_from_two_starts_has_a_picture_of_the_ways(run, tmp_path):
    done = run("duck.svg", "--recover", "--restarts", 2, "--steps", 2, "--out", "out/duck")
    assert done.exit_code == 0, done.output
    assert written(tmp_path / "out") == {"duck.png", "duck-paths.png", "duck.json"}
    assert "start 1\n" in done.stdout
    assert "start 2\n" in done.stdout


def test_the_json_file_holds_what_was_drawn(run, tmp_path):
    done = run("duck.svg", "--recover", "--restarts", 2, "--steps", 3, "--seed", 5, "--json")
    summary = json.loads(done.stdout)
    numbers = json.loads((tmp_path / "duck-inverted.json").read_text())
    ways = recover(
        sl.load("sketchxainet-tiny"),
        [sl.read_sketch("duck.svg")],
        restarts=2,
        seed=5,
        descent=_of(3),
    )
    assert summary["recognised"] == "duck"
    assert summary["written"][-1] == "duck-inverted.json"
    for way, short, full in zip(
        ways, summary["trajectories"], numbers["trajectories"], strict=True
    ):
        assert short["distance"] == pytest.approx(way.distance(), abs=1e-6)
        assert short["flipped_at"] == full["flipped_at"] == way.flipped_at
        np.testing.assert_allclose(full["locations"], way.locations, atol=1e-6)
        np.testing.assert_allclose(full["target_probability"], way.target_probability, atol=1e-6)
        assert full["answers"] == [way.labels[a] for a in way.answers]
    for stroke, drawn in zip(numbers["strokes"], ways[0].sketch.strokes, strict=True):
        np.testing.assert_allclose(stroke, drawn, atol=1e-6)
    assert (numbers["seed"], numbers["model"], numbers["file"]) == (
        5,
        "sketchxainet-tiny",
        "duck.svg",
    )


def test_a_picture_model_walks_in_its_own_smaller_steps(run, tmp_path):
    done = run("duck.svg", "--target", "face", "--model", "sketch-cnn", "--steps", 2, "--json")
    assert done.exit_code == 0, done.output
    places = np.array(
        json.loads(Path("duck-inverted.json").read_text())["trajectories"][0]["locations"]
    )
    longest = np.sqrt(((places[1:] - places[:-1]) ** 2).sum((1, 2))).max()
    assert 0 < longest < 0.101, "the authors' steps are 0.5 long"


def test_one_stroke_is_walked_and_said_to_mean_little(run):
    done = run("stone.svg", "--target", "duck", "--steps", 2)
    assert done.exit_code == 0, done.output
    assert "note: one stroke: nothing can be arranged" in done.stdout
    again = json.loads(run("stone.svg", "--target", "duck", "--steps", 2, "--json").stdout)
    assert again["trajectories"][0]["note"].startswith("one stroke")


def test_elsewhere_than_on_a_terminal_progress_is_one_line(run):
    done = run("duck.svg", "--recover", "--restarts", 2, "--steps", 2)
    assert done.stderr == "walking 2 steps from 2 starts\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give either --target LABEL or --recover"),
        (["--target", "face", "--recover"], 2, "give either --target LABEL or --recover"),
        (["--target", "fase"], 1, "unknown label 'fase'; did you mean 'face'? Known: airplane,"),
        (["--recover", "--steps", 0], 2, "0 is not in the range"),
        (["--recover", "--restarts", 17, "--animate", "gif"], 1, "17 trajectories do not fit"),
        (["--recover", "--animate", "avi"], 2, "'avi' is not one of 'gif', 'mp4', 'webm'"),
        (["--recover", "--model", "sketch-cn"], 1, "did you mean 'sketch-cnn'"),
    ],
)
def test_refusals_write_nothing(run, tmp_path, arguments, code, words):
    done = run("duck.svg", *arguments)
    assert done.exit_code == code
    assert words in done.output
    assert written(tmp_path) == set()


# --- the page -------------------------------------------------------------------------------------


def test_the_page_shows_what_the_command_prints(run):
    shown = re.search(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    done = run("face.svg", "--target", "alarm_clock")
    told = done.stdout.split("\n\nwrote")[0] + "\n"
    numbers = re.compile(r"\d+\.\d+")
    assert numbers.sub("#", told).split() == numbers.sub("#", shown).split()
    np.testing.assert_allclose(
        [float(n) for n in numbers.findall(told)],
        [float(n) for n in numbers.findall(shown)],
        atol=0.3,  # per cent: another machine adds in another order
    )


@pytest.mark.slow
def test_the_pages_code_runs(run, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile("\n".join(blocks), "inversion.md", "exec"), {})  # noqa: S102, our own words
    told = capsys.readouterr().out.splitlines()
    assert f"print(way)  # {told[0]}\n" in blocks[0]
    for name in ("face.png", "ways.png", "face.gif"):
        assert Path(name).stat().st_size > 10_000


def test_the_pages_pictures_are_there_and_its_commands_make_them():
    text = PAGE.read_text()
    pictures = re.findall(r"\]\((pictures/[^)]+)\)", text)
    stems = re.findall(r"--out docs/(pictures/[\w-]+)", text)
    assert len(pictures) == 3
    for picture in pictures:
        assert (PAGE.parent / picture).exists(), picture
        assert any(picture.startswith(stem) for stem in stems), picture
