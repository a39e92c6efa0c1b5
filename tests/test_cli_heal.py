import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sightline as sl
from sightline.cli.heal import heal as command
from sightline.cli.stems import stem_in
from sightline.models.recognise import recognise
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.sketch import Sketch
from sightline.tasks.healing import Healing, heal

PAGE = Path(__file__).parents[1] / "docs" / "healing.md"
DEMO = Path(sl.__path__[0]) / "demo"
SCRATCH = [
    (35, 100),
    (160, 105),
    (40, 120),
    (158, 125),
    (42, 140),
    (156, 145),
    (46, 160),
    (152, 165),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command in a folder with a scratched cup, as .svg and with its label as .ndjson."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO / "coffee_cup.svg", tmp_path / "cup.svg")
    cup = sl.read_sketch(tmp_path / "cup.svg")
    strokes = [stroke.tolist() for stroke in cup.strokes]
    scratched = Sketch.from_strokes([*strokes, SCRATCH], label="coffee_cup", name="scratched")
    write_ndjson(tmp_path / "cups.ndjson", [replace(cup, label="coffee_cup"), scratched])

    def call(*arguments: object):
        words = [*map(str, arguments), "--model", "sketch-cnn"]
        return CliRunner().invoke(command, words)

    return call


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"cup.svg", "cups.ndjson"}


def test_suggestions_only_by_default(run, tmp_path):
    done = run("cup.svg")
    assert done.exit_code == 0, done.output
    assert written(tmp_path) == {"cup-healed.png", "cup-healed.html"}
    assert "note: healing towards the answer can only make the model surer of it" in done.stdout
    cup, model = sl.read_sketch("cup.svg"), sl.load("sketch-cnn")
    game = sl.Game(model, sl.Strokes(cup), sl.ClassScore())
    from sightline.tasks.healing import suggest

    for number, each in enumerate(suggest(cup, game), 1):
        line = f"{number:>3}  {each.gain:>+8.3f}  -> {each.score:>8.3f}  {each.name}"
        assert line in done.stdout
    assert "removed, step by step" not in done.stdout


def test_the_walk_and_the_way_back(run, tmp_path):
    done = run("cups.ndjson", "--index", 1, "--all", "--out", "mended", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["target_from"] == "the drawing's label"
    suffixes = (".ndjson", ".png", ".html", ".json")
    assert written(tmp_path) == {f"mended{suffix}" for suffix in suffixes}
    scratched = sl.read_sketch("cups.ndjson", index=1)
    game = sl.Game(
        sl.load("sketch-cnn"), sl.Strokes(scratched), sl.ClassScore("coffee_cup", scale="logit")
    )
    healing = heal(scratched, game)
    assert [step["piece"]["stroke"] for step in told["steps"]] == [
        piece.stroke for piece in healing.removed
    ]
    assert healing.steps
    left = sl.read_sketch("mended.ndjson")
    assert left.points.tolist() == healing.sketch.points.tolist()  # on the canvas it was drawn on
    assert left.label == "coffee_cup"

    back = run("mended.json", "--undo", len(healing.steps), "--out", "back")
    assert back.exit_code == 0, back.output
    again = Healing.load("back.json")
    assert again.steps == ()
    assert again.sketch.points.tolist() == scratched.points.tolist()
    assert len(again.undone) == len(healing.steps)
    # the healing goes on in the format that the drawing came in
    assert sl.read_sketch("back.ndjson").label == "coffee_cup"
    assert not Path("back.svg").exists()


def test_removal_by_choice(run):
    offered = json.loads(run("cup.svg", "--target", "coffee_cup", "--json").stdout)["suggestions"]
    done = run("cup.svg", "--target", "coffee_cup", "--remove", "3,1", "--out", "less")
    assert done.exit_code == 0, done.output
    removed = [step.piece.stroke for step in Healing.load("less.json").steps]
    assert removed == [offered[2]["piece"]["stroke"], offered[0]["piece"]["stroke"]]
    cup, left = sl.read_sketch("cup.svg"), sl.read_sketch("less.svg")
    kept = [i for i in range(len(cup)) if i not in removed]
    assert [s.tolist() for s in left.strokes] == [cup.strokes[i].tolist() for i in kept]
    assert "removed, step by step:" in done.stdout
    assert "without it the score is, from here:" in done.stdout


def test_stretches(run):
    done = run("cup.svg", "--parts", "stretches", "--tried", 4, "--json")
    assert done.exit_code == 0, done.output
    listed = json.loads(done.stdout)["suggestions"]
    assert 1 <= len(listed) <= 4
    assert {each["method"] for each in listed} == {"p_sla"}
    assert all(", points " in each["name"] for each in listed)


def test_steps_and_least_gain_go_with_all(run):
    done = run("cups.ndjson", "--index", 1, "--all", "--steps", 1, "--least-gain", 0.01, "--json")
    told = json.loads(done.stdout)
    assert len(told["steps"]) == 1
    assert told["notes"] == ["stopped after 1 steps, as asked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cup.svg", "--all", "--remove", "1"], "give one of --remove, --all and --undo"),
        (["cup.svg", "--steps", "1"], "--steps and --least-gain go with --all"),
        (["cup.svg", "--remove", "one"], "expected numbers of the list, as in 1,3"),
        (["cup.svg", "--remove", "0"], "expected numbers of the list, as in 1,3"),
        (["cup.svg", "--remove", "²"], "expected numbers of the list, as in 1,3"),
        (["cup.svg", "--all", "--least-gain", "-1"], "-1.0: expected 0 or more"),
        (["cup.svg", "--all", "--least-gain", "nan"], "nan: expected 0 or more"),
        (["no.json", "--target", "face"], "a healing has its target and scale"),
        (["no.json", "--scale", "logit"], "leave --scale out"),
        (["no.json", "--index", "0"], "leave --index out"),
        (["cup.svg", "--remove", "77"], "there is no suggestion 77, there are 5"),
    ],
)
def test_wrong_command_lines(run, arguments, message):
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.svg"], "no.svg does not exist"),
        (["cup.svg", "--target", "coffee"], "unknown label 'coffee'; did you mean"),
        (["no.json"], "no.json does not exist"),
    ],
)
def test_wrong_input_is_told(run, arguments, message):
    done = run(*arguments)
    assert isinstance(done.exception, sl.SightlineError | FileNotFoundError | SystemExit)
    assert message in str(done.exception) + done.output


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """The page's Python, run; its drawing as a file; and the page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src" / "sightline" / "demo").mkdir(parents=True)
    shutil.copy(DEMO / "face.svg", tmp_path / "src" / "sightline" / "demo")
    page = PAGE.read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:2])
    names: dict[str, object] = {}
    exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102, our own words
    return names, page


def test_the_page_s_python_does_what_it_says(shown):
    names, page = shown
    assert Healing.load("face-healed.json").steps == names["healing"].steps
    assert {piece.stroke for piece in names["healing"].removed} == {5, 6, 7}
    assert names["healing"].score == pytest.approx(4.18, abs=0.02)
    walked = heal(names["scratched"], names["game"])
    assert [piece.stroke for piece in walked.removed] == [6, 7]
    assert walked.score == pytest.approx(4.46, abs=0.02)
    assert "(4.46 and 4.18)" in page
    model = sl.load("sketch-cnn")
    (before,), (after,) = (
        recognise(model, sketch, top=1) for sketch in (names["scratched"], names["healing"].sketch)
    )
    assert (before.label, round(before.probability, 2)) == ("pineapple", 0.24)
    assert (after.label, round(after.probability, 2)) == ("face", 0.90)
    assert "pineapple (24 %)" in page
    assert "face (90 %)" in page


def test_the_page_s_commands_answer_as_shown(shown):
    _, page = shown
    lines = re.findall(r"^\$ sightline heal (.*)$", page, re.MULTILINE)
    assert len(lines) == 4
    answers = [CliRunner().invoke(command, line.split()) for line in lines]
    assert [answer.exit_code for answer in answers] == [0, 0, 0, 0]
    told = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    number = re.compile(r"[+-]?\d+\.\d+")
    said = answers[0].stdout.partition("\nwrote")[0]
    assert number.sub("", said) == number.sub("", told)
    came, wanted = (np.array(number.findall(text), float) for text in (said, told))
    np.testing.assert_allclose(came, wanted, atol=0.01)


def test_the_page_s_options_are_there():
    known = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.read_text()))
    assert named - known <= {"--drawings", "--kind"}  # of the benchmark


def test_a_drawing_of_one_stroke(run, tmp_path):
    (tmp_path / "line.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><path d="M1 1 L8 2 L4 8"/></svg>'
    )
    done = run("line.svg", "--all", "--out", "one")
    assert done.exit_code == 0, done.output
    assert "note: stopped before nothing is left: one stroke remains, and it stays" in done.stdout
    assert "nothing may go: too little of the drawing would be left" in done.stdout


def test_a_folder_gets_the_usual_names(run, tmp_path):
    (tmp_path / "mended").mkdir()
    for out in (".", "mended"):
        done = run("cup.svg", "--out", out)
        assert done.exit_code == 0, done.output
    assert written(tmp_path) == {"cup-healed.png", "cup-healed.html", "mended"}
    assert written(tmp_path / "mended") == {"cup-healed.png", "cup-healed.html"}
    assert stem_in(Path("/"), "cup-healed") == Path("/cup-healed")


def test_strokes_without_points_to_cut_at(run, tmp_path):
    lines = "".join(f"M0 {i} L9 {i + 1} " for i in range(4))
    (tmp_path / "lines.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg"><path d="{lines}"/></svg>'
    )
    done = run("lines.svg", "--parts", "stretches")
    assert done.exit_code == 0, done.output
    assert "nothing may go: no stroke has points to cut at" in done.stdout
    page = (tmp_path / "lines-healed.html").read_text()
    assert "Nothing: no stroke has points to cut at." in page


def test_a_healing_of_another_model_is_refused(run):
    assert run("cup.svg", "--remove", "1", "--out", "less").exit_code == 0
    done = CliRunner().invoke(command, ["less.json", "--model", "sketchxainet-tiny"])
    assert "scores of two models or units cannot be compared" in str(done.exception)
