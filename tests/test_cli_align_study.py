"""``sightline align study``: from photos and maps to a summary."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from guided import SCENES, scene_folders
from sightline.alignment.study import RatingStudy
from sightline.cli import main
from sightline.cli.align_study import study as commands
from sightline.errors import SightlineError
from sightline.models.load_classifier import save_classifier
from sightline.models.small_resnet import small_resnet

MODELS = ("plain-resnet", "gradia-model")


@pytest.fixture
def folders(tmp_path):
    for name in ("photos", *MODELS):
        (tmp_path / name).mkdir()
        for item in ("duck", "owl"):
            suffix = "jpg" if name == "photos" else "png"
            Image.new("RGB", (6, 5), (len(name), 9, 9)).save(tmp_path / name / f"{item}.{suffix}")
    return tmp_path


def run(*words, fails=False):
    done = CliRunner().invoke(commands, [str(word) for word in words])
    if not fails:
        assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture
def made(folders):
    maps = [word for model in MODELS for word in ("--maps", f"{model}={folders / model}")]
    out = folders / "study"
    done = run("create", out, "--photos", folders / "photos", *maps, "--task", "duck or owl?")
    assert "2 items, 2 models" in done.output
    return out


def test_from_the_first_sheet_to_the_summary(made):
    shown = []
    for stars in (5, 3):
        printed = run("next", made, "--rater", "ada").output
        shown.append(printed)
        sheet = json.loads(run("next", made, "--rater", "ada", "--json").output)
        assert sheet["sheet"] in printed
        assert [row["answer"] for row in sheet["maps"]] == [None, None]
        for letter in "AB":
            words = ["--necessary", "yes", "--nothing-unnecessary", "no", "--rating", stars]
            run("rate", made, sheet["sheet"], letter, *words)
    told = "".join(shown)
    assert "duck or owl?" in told
    assert "not rated" in told
    assert "duck.jpg" in told
    assert not any(model in told for model in MODELS)
    assert "ada has rated all 2 items" in run("next", made, "--rater", "ada").output
    assert "null" in run("next", made, "--rater", "ada", "--json").output
    assert "ada: 2 of 2 sheets, 4 maps" in run("progress", made).output
    found = json.loads(run("summary", made, "--json").output)
    assert {row["model"] for row in found["models"]} == set(MODELS)
    assert found["models"][0]["means"]["rating"]["estimate"] == 4.0
    assert found["models"][0]["means"]["nothing_unnecessary"]["estimate"] == 0.0
    for suffix in ("csv", "parquet"):
        table = made.parent / f"ratings.{suffix}"
        assert "4 ratings" in run("export", made, table).output
        assert json.loads(run("summary", table, "--json").output) == found


def test_corrections_and_history(made):
    sheet = json.loads(run("next", made, "--rater", "ada", "--json").output)["sheet"]
    for stars in (1, 2):
        words = ["--necessary", "no", "--nothing-unnecessary", "no", "--rating", stars]
        run("rate", made, sheet, "A", *words)
    assert "  rated" in run("next", made, "--rater", "ada").output
    assert "1 ratings" in run("export", made, made.parent / "a.csv").output
    assert "2 ratings" in run("export", made, made.parent / "b.csv", "--history").output
    progress = json.loads(run("progress", made, "--json").output)
    assert progress[0]["maps"] == 1


@pytest.mark.parametrize("left_out", ["--necessary", "--nothing-unnecessary", "--rating"])
def test_no_answer_is_preselected(made, left_out):
    sheet = json.loads(run("next", made, "--rater", "ada", "--json").output)["sheet"]
    words = {"--necessary": "yes", "--nothing-unnecessary": "yes", "--rating": "5"}
    words.pop(left_out)
    done = run("rate", made, sheet, "A", *(w for pair in words.items() for w in pair), fails=True)
    assert done.exit_code == 2
    assert f"Missing option '{left_out}'" in done.output


def test_a_torn_line_is_told_on_stderr(made):
    run("next", made, "--rater", "ada")
    path = next((made / "ratings").iterdir())
    path.write_bytes(path.read_bytes() + b'{"kind": "ans')
    assert "line 2 was written half and is lost" in run("progress", made).stderr
    assert (
        "line 2 was written half and is lost" in run("export", made, made.parent / "a.csv").stderr
    )


def test_nobody_has_begun(made):
    assert "nobody has begun" in run("progress", made).output


def test_a_file_of_gradia(tmp_path):
    path = tmp_path / "results.csv"
    head = ",img_idx,a_1,a_2,a_3,a_4,b_1,b_2,b_3,b_4,c_1,c_2,c_3,c_4,rnd_order\n"
    row = "{i},demo_{i}" + ",True" * 8 + ',5,4,3,2,"[0, 4, 2, 1, 3]"\n'
    path.write_text(head + row.format(i=1) + row.format(i=2))
    told = run("summary", path, "--gradia").output
    assert "| 1 | 2 |" in told
    assert "2 of 8 maps have the answers that GRADIA's page fills in" in told


def test_what_does_not_fit_is_told(folders):
    photos = folders / "photos"
    wrong = run("create", folders / "s", "--photos", photos, "--maps", "plain", fails=True)
    assert wrong.exit_code == 2
    assert "expected MODEL=FOLDER" in wrong.output
    (folders / "plain-resnet" / "owl.png").unlink()
    both = [word for model in MODELS for word in ("--maps", f"{model}={folders / model}")]
    missing = run("create", folders / "s", "--photos", photos, *both, fails=True)
    assert isinstance(missing.exception, SightlineError)
    assert "1 of 2 photos have no map of 'plain-resnet' (owl.jpg)" in str(missing.exception)
    assert "a study shows every model on every photo" in str(missing.exception)
    assert not (folders / "s").exists()
    Image.new("RGB", (6, 5)).save(photos / "duck.png")
    twice = run("create", folders / "s", "--photos", photos, *both, fails=True)
    assert "another picture of that name" in str(twice.exception)


def test_maps_that_belong_to_no_photo(folders):
    (folders / "deep" / "valid").mkdir(parents=True)
    (folders / "plain-resnet").rename(folders / "deep" / "valid" / "cat")
    maps = ("--maps", f"plain={folders / 'deep'}")
    call = ("create", folders / "s", "--photos", folders / "photos")
    done = run(*call, *maps, fails=True)
    assert isinstance(done.exception, SightlineError)
    assert f"no map has the path of a photo in {folders / 'photos'}" in str(done.exception)
    assert "as 'sightline align look' writes them" in str(done.exception)
    assert not (folders / "s").exists()
    empty = folders / "empty"
    empty.mkdir()
    done = run(*call, "--maps", f"plain={empty}", fails=True)
    assert f"{empty} has no photo" in str(done.exception)


def test_from_two_looks_to_a_summary(tmp_path):
    """Photos in class folders of a split, maps as ``align look`` writes them; the rest stays."""
    labels = scene_folders(tmp_path / "photos", {"train": 2, "valid": 2, "test": 1})
    for seed, name in enumerate(("look", "look2")):
        model = small_resnet(SCENES, (16, 16), widths=(8, 8), stem_stride=1, seed=seed).eval()
        save_classifier(model, tmp_path / f"model {name}")
        words = ["look", str(tmp_path / f"model {name}"), str(tmp_path / "photos")]
        done = CliRunner().invoke(main, ["align", *words, "--out", str(tmp_path / name)])
        assert done.exit_code == 0, (done.output, done.exception)
    made = tmp_path / "study"
    maps = [f"first={tmp_path / 'look/maps'}", f"second={tmp_path / 'look2/maps'}"]
    done = run("create", made, "--photos", tmp_path / "photos", "--maps", maps[0], "--maps",
               maps[1])  # fmt: skip
    assert "4 items, 2 models" in done.output
    assert "6 photos without maps are left out" in done.stderr
    valid = {item for item in labels if item.startswith("valid/")}
    assert set(RatingStudy.open(made).items) == valid
    seen = []
    while (sheet := json.loads(run("next", made, "--rater", "ada", "--json").output)) is not None:
        seen.append(sheet["item"])
        for row in sheet["maps"]:
            words = ["--necessary", "yes", "--nothing-unnecessary", "no", "--rating", 4]
            run("rate", made, sheet["sheet"], row["letter"], *words)
    assert sorted(seen) == sorted(valid)
    found = json.loads(run("summary", made, "--json").output)
    assert {row["model"] for row in found["models"]} == {"first", "second"}
    assert {row["means"]["rating"]["estimate"] for row in found["models"]} == {4.0}
    # each item's pictures are its own: a map lies over the photo that it is of
    for item in valid:
        row = next(r for r in RatingStudy.open(made).manifest["items"] if r["item"] == item)
        assert pixels(made / row["photo"]) == pixels(tmp_path / "photos" / item)
        shown = {
            ("first", "second")[told["model"]]: pixels(made / told["file"])
            for told in row["maps"].values()
        }
        for model, name in (("first", "look"), ("second", "look2")):
            assert shown[model] == pixels(tmp_path / name / "maps" / item)

    (tmp_path / "look2/maps/valid/fish/0.png").unlink()
    lacks = run("create", tmp_path / "s", "--photos", tmp_path / "photos", "--maps", maps[0],
                "--maps", maps[1], fails=True)  # fmt: skip
    assert isinstance(lacks.exception, SightlineError)
    assert "1 of 4 photos have no map of 'second' (valid/fish/0.png)" in str(lacks.exception)


def pixels(path) -> bytes:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).tobytes()
