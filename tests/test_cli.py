import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import sightline as sl
from figures import drawings
from sightline.cli import main
from sightline.cli.explain import METHOD_NAMES
from sightline.sketch.formats.quickdraw import write_ndjson

HOUSE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">
<path d="M20 90 L20 50 L80 50 L80 90 Z"/><path d="M15 50 L50 15 L85 50"/>
<circle cx="50" cy="70" r="8"/></svg>"""

OF_PICTURES = {
    *("grad_cam", "grad_cam_pp", "x_grad_cam", "hires_cam", "odam", "ssgrad_cam", "eigen_cam"),
    *("ablation_cam", "full_grad"),
}
OF_DRAWINGS = [name for name in METHOD_NAMES if name != "d_rise"]


@pytest.fixture
def run():
    def call(*arguments: object):
        return CliRunner().invoke(main, [str(a) for a in arguments])

    return call


@pytest.fixture
def model(tmp_path) -> Path:
    """An untrained net of the smallest size, saved as a user would have one."""
    sl.save(sl.sketchxainet("nano", ("house", "tree", "boat"), layers=1), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def house(tmp_path) -> Path:
    path = tmp_path / "house.svg"
    path.write_text(HOUSE)
    return path


def test_the_list_of_methods_is_the_registry():
    assert set(METHOD_NAMES) == set(sl.METHODS)


@pytest.mark.parametrize("method", OF_DRAWINGS)
def test_explain_writes_a_picture_and_the_explanation(run, model, house, tmp_path, method):
    model = "sketch-cnn" if method in OF_PICTURES else model
    done = run("explain", house, "--model", model, "--method", method, "--out", tmp_path / "why")
    assert done.exit_code == 0, done.output
    assert "recognised as" in done.output
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    why = sl.Explanation.load(tmp_path / "why.safetensors")
    assert why.made.method == method
    assert why.parts.kind == ("points" if method == "p_sla" else "strokes")


def test_explain_says_which_methods_fit_the_model(run, model, house):
    done = run("explain", house, "--model", model, "--method", "grad_cam")
    assert done.exit_code == 1
    assert "SketchXAINet reads no pictures; use shapley, kernel_shap" in done.output


def test_compare_draws_every_method_that_fits(run, model, house, tmp_path):
    done = run("compare", house, "--model", model, "--out", tmp_path / "all.png")
    assert done.exit_code == 0, done.output
    assert f"{len(OF_DRAWINGS) - len(OF_PICTURES)} methods on " in done.stdout
    assert "grad_cam is left out: " in done.stderr
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    done = run("compare", house, "--model", model, "--target", "hous")
    assert done.exit_code == 1
    assert "did you mean 'house'" in done.output


def test_explain_speaks_json(run, model, house, tmp_path):
    done = run("explain", house, "--model", model, "--json", "--out", tmp_path / "why")
    answer = json.loads(done.output)
    assert answer["recognised"] in ("house", "tree", "boat")
    assert answer["target"] == answer["recognised"]
    assert [row["rank"] for row in answer["strokes"]] == [1, 2, 3]
    scores = [row["score"] for row in answer["strokes"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(answer["value"] - answer["base"], abs=1e-5)
    assert Path(answer["picture"]).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "hous"], 1, "unknown label 'hous'; did you mean 'house'? Known: house, tree"),
        (["--model", "sketchxainet-tinny"], 1, "did you mean 'sketchxainet-tiny'"),
        (["--method", "guess"], 2, "'guess' is not one of 'shapley', 'kernel_shap'"),
        (["--budget", "soon"], 1, "budget 'soon' is not understood"),
        (["--budget", "4"], 1, "need 8 evaluations, the budget allows 4"),
    ],
)
def test_wrong_words_list_the_known_ones(run, model, house, arguments, code, words):
    given = arguments if "--model" in arguments else ["--model", model, *arguments]
    done = run("explain", house, *given)
    assert done.exit_code == code
    assert words in done.output


def test_a_broken_drawing_is_named(run, model, tmp_path):
    path = tmp_path / "torn.ndjson"
    path.write_text('{"word": "cat", "drawing": [[[0, 1], [0')
    done = run("explain", path, "--model", model)
    assert done.exit_code == 1
    assert "torn.ndjson line 1 is not JSON" in done.output
    assert not list(tmp_path.glob("*-why*")), "nothing is written on failure"


def test_a_missing_file_is_named(run, model, tmp_path):
    done = run("explain", tmp_path / "gone.svg", "--model", model)
    assert done.exit_code == 1
    assert "gone.svg" in done.output


@pytest.fixture
def collection(tmp_path) -> Path:
    path = tmp_path / "drawings.ndjson.gz"
    write_ndjson(path, drawings(120, 9))
    return path


def test_data_stats_counts(run, collection):
    numbers = json.loads(run("data", "stats", collection, "--json").output)
    assert numbers["drawings"] == 120
    assert numbers["labels"] == {"cross": 40, "ring": 40, "zigzag": 40}
    assert numbers["strokes"]["mean"] == pytest.approx(4 / 3)
    assert numbers["at_most_10_strokes"] == 1.0
    assert "120 drawings, 3 labels" in run("data", "stats", collection).output


def test_data_stats_skips_and_counts_bad_lines(run, tmp_path):
    path = tmp_path / "half.ndjson"
    path.write_text('{"word": "dash", "drawing": [[[0, 1], [0, 1]]]}\nnot json\n')
    assert run("data", "stats", path).exit_code == 1
    done = run("data", "stats", path, "--skip-bad")
    assert done.exit_code == 0
    assert "1 skipped (half.ndjson line 2 is not JSON" in done.output


@pytest.mark.slow
def test_train_from_a_model_on_attacked_drawings(run, collection, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    plain = ("train", "sketch", collection, "--epochs", 2, "--lr", 5e-3, "--size", "nano")
    assert run(*plain, "--out", first).exit_code == 0
    settings = ("--epochs", 1, "--start", first / "model", "--attacked", 0.05, "--out", second)
    done = run("train", "sketch", collection, *settings)
    assert done.exit_code == 0, done.output
    assert "attacked" in done.output.splitlines()[-1]
    row = json.loads((second / "metrics.jsonl").read_text())
    assert row["train_loss"] == pytest.approx(row["train_task"] + row["train_attacked"])
    assert row["valid_mean"] == (row["valid_top1"] + row["valid_attacked"]) / 2
    shares = {}
    for name, attack in (("plain", ()), ("attacked", ("--attacked", 0.6, "--attack-steps", 3))):
        asked = ("--model", second / "model", "--split", "train", "--json", *attack)
        told = run("evaluate", "sketch", collection, *asked)
        shares[name] = json.loads(told.output)["top1"]["estimate"]
        attacked = {"budget": 0.6, "steps": 3} if attack else None
        assert json.loads(told.output)["attacked"] == attacked
    assert shares["attacked"] < shares["plain"]
    # the run tells what it began with, and another beginning does not go on with it
    anew = run("train", "sketch", collection, *settings[:2], *settings[4:])
    assert anew.exit_code == 1
    assert "began with another model" in anew.output


def test_steps_are_of_an_attack(run, collection):
    done = run("evaluate", "sketch", collection, "--attack-steps", 2)
    assert done.exit_code == 2
    assert "--attack-steps are of --attacked BUDGET" in done.output
    done = run("train", "sketch", collection, "--attack-steps", 2, "--out", "nowhere")
    assert done.exit_code == 2


def test_ablation_is_of_a_new_model(run, collection, tmp_path):
    wrong = ("--start", "sketch-cnn", "--without", "order", "--out", tmp_path)
    done = run("train", "sketch", collection, *wrong)
    assert done.exit_code == 2
    assert "--without is of a new model" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("size", ["nano", "cnn"])
def test_train_then_evaluate_then_explain(run, collection, house, tmp_path, size):
    out = tmp_path / "run"
    trained = run("train", "sketch", collection, "--size", size, "--epochs", 2, "--out", out)
    assert trained.exit_code == 0, trained.output
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    measured = run(
        "evaluate",
        "sketch",
        collection,
        "--model",
        out / "model",
        "--json",
        "--out",
        tmp_path / "e",
    )
    numbers = json.loads(measured.output)
    low, share, high = (numbers["top1"][k] for k in ("low", "estimate", "high"))
    assert 0 <= low <= share <= high <= 1
    with (tmp_path / "e" / "per_class.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert sum(int(r["count"]) for r in rows) == numbers["drawings"]
    assert (tmp_path / "e" / "confusion.png").stat().st_size > 1000
    done = run("explain", house, "--model", out / "model", "--out", tmp_path / "why")
    assert done.exit_code == 0, done.output


def test_ablations_belong_to_sketchxainet(run, collection, tmp_path):
    done = run(
        "train",
        "sketch",
        collection,
        "--size",
        "cnn",
        "--without",
        "shape",
        "--out",
        tmp_path / "r",
    )
    assert done.exit_code == 2
    assert "--without belongs to SketchXAINet" in done.output


@pytest.mark.slow
def test_demo_makes_one_page_that_needs_nothing_else(run, house, tmp_path):
    done = run("demo", house, "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("<section>") == 8  # six drawings of ours, the house, a scene
    assert page.count("Where its strokes would have to stand") == 7
    assert "house" in page
    assert "masked pictures explain all of them (kernel_shap)" in page
    for outside in ("<script src", "<link", 'src="http', "url(http", "@import"):
        assert outside not in page
    assert len(list((tmp_path / "demo").glob("*.png"))) == 8
