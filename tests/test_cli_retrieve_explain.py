import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sightline.cli.retrieve import retrieve
from sightline.cli.retrieve_explain import explain
from sightline.models.load_encoder import load_encoder, save_encoder
from sightline.models.two_branch import two_branch
from sightline.scenes.pairs import pair_set
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.read import read_sketch, write_sketch
from sightline.tasks.retrieval.explain_match import explain_match
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.gallery_files import Root
from sightline.tasks.retrieval.match import Match
from sightline.tasks.retrieval.rank_deletion import rank_deletion


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A gallery of twelve photos, their encoder and two drawings."""
    folder = tmp_path_factory.mktemp("made")
    pairs = list(pair_set(12, seed=70))
    (folder / "photos").mkdir()
    for pair in pairs:
        Image.fromarray(pair.photo.pixels).save(folder / "photos" / f"{pair.name}.png")
    save_encoder(two_branch(dimension=8, width=4, seed=3), folder / "encoder")
    encoder = load_encoder(folder / "encoder")
    Gallery.of(encoder, folder / "photos").save(folder / "gallery")
    short = min(pairs, key=lambda pair: len(pair.sketch))
    write_sketch(folder / "drawing.svg", short.sketch)
    return folder, short


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    shutil.copytree(made[0], tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    shutil.rmtree("photos")
    shutil.copytree(made[0] / "photos", "photos")

    def call(*arguments: object):
        # as a command of its own: the group that holds it has tests of its own
        given = ["gallery", "drawing.svg", "--encoder", "encoder", *map(str, arguments)]
        return CliRunner().invoke(explain, given, catch_exceptions=True)

    return call


def test_it_is_a_command_of_retrieve():
    done = CliRunner().invoke(retrieve, ["explain", "--help"])
    assert done.exit_code == 0
    assert "Say why DRAWING finds a photo" in done.output


def test_it_explains_the_first_place_and_writes_everything(run, made, tmp_path):
    done = run("--photo-method", "sla", "--method", "sla", "--out", "out/why", "--seed", 3)
    assert done.exit_code == 0, (done.output, done.exception)
    assert {p.name for p in (tmp_path / "here" / "out").iterdir()} == {
        "why.png",
        "why.html",
        "why.json",
        "why-query.safetensors",
        "why-found.safetensors",
    }
    match = Match.load("out/why.json")
    encoder, gallery = load_encoder("encoder"), Gallery.open("gallery")
    sketch = match.query.parts.sketch
    first = int(gallery.search(encoder.encode([sketch]), 1).indices[0, 0])
    assert match.names[1] == gallery.names[first]
    assert match.place == 1
    assert done.stdout.startswith(match.title)
    again = explain_match(encoder, sketch, gallery.read(first), method="sla", photo_method="sla")
    np.testing.assert_allclose(match.query.scores, again.query.scores, atol=1e-6)
    told = re.findall(r"^ +\d+  ([+-]\d\.\d+)  stroke", done.stdout, re.MULTILINE)
    ranked = match.query.scores[0][match.query.ranking()]
    np.testing.assert_allclose([float(x) for x in told], ranked, atol=6e-5)
    fall = rank_deletion(encoder, match.query, gallery.vectors, first, seed=3)
    places = " ".join(f"{place:.0f}" for place in fall.places)
    assert f"the most important first: {places}" in done.stdout
    page = (tmp_path / "here" / "out" / "why.html").read_text()
    assert "The first 10 that" in page


def test_json_a_named_photo_and_others_below(run, made):
    name = made[1].name
    other, third = sorted(p for p in (f"{q.name}" for q in pair_set(12, seed=70)) if p != name)[:2]
    done = run(
        "--photo", name, "--over", other, "--over", third, "--budget", 64, "--method",
        "kernel_shap", "--superpixels", 9, "--absent", "blur", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads(done.stdout)
    assert told["found"] == name
    assert told["over"] == [other, third]
    assert [t["target"] for t in told["targets"]] == [f"{name} above {o}" for o in (other, third)]
    for target in told["targets"]:
        given = sum(target["strokes"].values())
        assert given == pytest.approx(target["value"] - target["base"], abs=1e-6)
    assert told["written"][0] == "drawing-match.png"
    assert len(told["fall"]["places"]) == len(made[1].sketch) + 1
    assert told["fall"]["places"][0] == told["place"]
    assert Match.load("drawing-match.json").found.parts.absent == "blur"


def test_one_missing_photo_costs_the_sheet_only(run, made):
    """All is computed, and written, without the photo of another place."""
    encoder, gallery = load_encoder("encoder"), Gallery.open("gallery")
    found = gallery.search(encoder.encode([read_sketch("drawing.svg")]), 3).indices[0].tolist()
    name = gallery.names[found[2]]
    Path(f"photos/{name}.png").unlink()
    replace(gallery, roots=(Root("photos", Path("photos").resolve()),)).save("gallery")
    done = run("--method", "sla", "--photo-method", "sla", "--index", 0)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "no contact sheet: " in done.stderr
    assert f"{name}.png" in done.stderr
    assert "The first 10 that" not in Path("drawing-match.html").read_text()


def test_another_drawing_of_the_file_has_files_of_its_own(run, made):
    write_ndjson("many.ndjson", [made[1].sketch] * 2)
    given = ["gallery", "many.ndjson", "--encoder", "encoder", "--method", "sla", "--photo-method"]
    for index, name in (("0", "many-match.png"), ("1", "many-1-match.png")):
        done = CliRunner().invoke(explain, [*given, "sla", "--index", index, "--json"])
        assert json.loads(done.stdout)["written"][0] == name


def test_a_budget_that_is_too_small_names_what_helps(run):
    done = run("--method", "sla", "--budget", 20, "--superpixels", 60)
    words = str(done.exception)
    assert "needs at least" in words
    assert (
        "raise it, ask for fewer --superpixels, or take another --method or --photo-method" in words
    )


def test_a_folder_gets_the_default_name(run, tmp_path):
    done = run("--method", "sla", "--photo-method", "sla", "--out", tmp_path)
    assert done.exit_code == 0, (done.output, done.exception)
    assert [path.name for path in tmp_path.glob("*-match.png")]


def test_a_place_further_down(run):
    done = run("--place", 12, "--method", "sla", "--photo-method", "sla", "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    assert json.loads(done.stdout)["place"] == 12


def test_what_does_not_fit_is_told(run, tmp_path):
    for given, message in (
        (["--photo", "lamp-00007x"], "near are"),
        (["--over", "nobody"], "no items of the gallery are called 'nobody'"),
        (["--place", "13"], "no place 13 in a gallery of 12"),
        (["--place", "1", "--photo", "x"], "are both given"),
    ):
        done = run(*given)
        assert message in str(done.exception)
    save_encoder(two_branch(dimension=8, width=4, seed=4), "other")
    done = run("--encoder", "other")
    assert "vectors of two encoders cannot be compared" in str(done.exception)
    photo = next((tmp_path / "here" / "photos").iterdir())
    done = CliRunner().invoke(explain, ["gallery", str(photo), "--encoder", "encoder"])
    assert "is a photo; what is explained are the strokes" in str(done.exception)


def test_a_gallery_without_its_photos_names_their_place(run, made, tmp_path):
    gallery = Gallery.open("gallery", root=tmp_path / "gone")
    gallery.save("moved")
    done = CliRunner().invoke(explain, ["moved", "drawing.svg", "--encoder", "encoder"])
    assert str(tmp_path / "gone") in str(done.exception)
    assert not (tmp_path / "here" / "drawing-match.png").exists()
