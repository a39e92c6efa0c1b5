import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sightline.cli import main
from sightline.cli.retrieve import retrieve
from sightline.models.load_encoder import load_encoder, save_encoder
from sightline.models.two_branch import two_branch
from sightline.scenes.pairs import draw_pair
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.measured import measure_retrieval

COUNT = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photos and drawings of pairs, and two encoders with random weights."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "photos").mkdir()
    pairs = [draw_pair(seed) for seed in range(COUNT)]
    for pair in pairs:
        Image.fromarray(pair.photo.pixels).save(folder / "photos" / f"{pair.name}.png")
    write_ndjson(folder / "drawings.ndjson", [pair.sketch for pair in pairs])
    for name, seed in (("encoder", 3), ("another", 4)):
        save_encoder(two_branch(dimension=8, width=4, seed=seed), folder / name)
    return folder, pairs


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    shutil.copytree(made[0], tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    program = type(main)(commands={"retrieve": retrieve})

    def call(*arguments: object):
        return CliRunner().invoke(program, ["retrieve", *map(str, arguments)])

    return call


@pytest.fixture
def gallery(run):
    done = run("index", "photos", "--encoder", "encoder", "--out", "gallery")
    assert done.exit_code == 0, done.output
    return done


def test_index_writes_a_gallery(gallery, made):
    assert f"{COUNT} photos indexed, {COUNT} in the gallery; wrote gallery" in gallery.stdout
    assert f"{COUNT} of {COUNT} photos" in gallery.stderr
    opened = Gallery.open("gallery", check=True)
    assert sorted(opened.names) == sorted(pair.name for pair in made[1])
    assert opened.encoder == str(Path("encoder").resolve())
    opened.check(load_encoder("encoder"))


@pytest.mark.usefixtures("gallery")
def test_query_prints_what_the_library_finds(run, made):
    done = run("query", "gallery", "drawings.ndjson", "--index", 2, "-k", 4)
    assert done.exit_code == 0, done.output
    opened, sketch = Gallery.open("gallery"), made[1][2].sketch
    found = opened.find(load_encoder("encoder"), [sketch], 4)
    rows = re.findall(r"^ +(\d+)  (\S+) +(-?[\d.]+)$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[1] for row in rows] == [opened.names[i] for i in found.indices[0]]
    np.testing.assert_allclose([float(row[2]) for row in rows], found.scores[0], atol=5.1e-5)
    assert "wrote drawings-found.png" in done.stdout
    with Image.open("drawings-found.png") as sheet:
        assert sheet.width > sheet.height
        assert len(sheet.convert("RGB").getcolors(maxcolors=2**24)) > 99


@pytest.mark.usefixtures("gallery")
def test_query_as_json(run, made):
    done = run("query", "gallery", "drawings.ndjson", "--json", "--out", "out/sheet.pdf")
    told = json.loads(done.stdout)
    assert [row["place"] for row in told["found"]] == list(range(1, COUNT + 1))
    assert told["found"][0].keys() == {"place", "index", "name", "label", "score"}
    assert told["written"] == ["out/sheet.pdf"]
    assert Path("out/sheet.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("gallery")
def test_a_photo_finds_itself(run, made):
    name = made[1][0].name
    done = run("query", "gallery", f"photos/{name}.png", "--json", "-k", 1)
    assert json.loads(done.stdout)["found"][0]["name"] == name
    assert json.loads(done.stdout)["found"][0]["score"] == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("gallery")
def test_without_its_photos_a_gallery_still_answers(run):
    Path("photos").rename("elsewhere")
    done = run("query", "gallery", "drawings.ndjson")
    assert done.exit_code == 0
    assert len(re.findall(r"^ +\d+  ", done.stdout, re.MULTILINE)) == COUNT
    assert "no picture: " in done.stderr
    assert "is gone" in done.stderr
    assert not Path("drawings-found.png").exists()
    done = run("query", "gallery", "drawings.ndjson", "--root", "elsewhere")
    assert "wrote drawings-found.png" in done.stdout


@pytest.mark.usefixtures("gallery")
def test_measure_as_the_library_does(run, made):
    done = run("measure", "gallery", "drawings.ndjson", "--seed", 5)
    assert done.exit_code == 0, done.output
    drawn = [pair.sketch for pair in made[1]]
    scores = measure_retrieval(Gallery.open("gallery"), load_encoder("encoder"), drawn, seed=5)
    assert scores.by == "instance"
    assert done.stdout.startswith(str(scores))
    told = json.loads(run("measure", "gallery", "drawings.ndjson", "--seed", 5, "--json").stdout)
    assert told == json.loads(json.dumps(scores.as_dict()))


def test_drawings_as_gallery_and_queries_by_split(run, made):
    lines = [
        Sketch.from_strokes(
            [[(0, 0), (i, 40 - i)]], label="post" if i < 20 else "beam", name=f"n{i}"
        )
        for i in range(40)
    ]
    write_ndjson("lines.ndjson", lines)
    done = run("index", "lines.ndjson", "--encoder", "encoder", "--out", "lines", "--json")
    told = json.loads(done.stdout)
    assert (told["items"], told["added"], told["skipped"]) == (40, 40, 0)
    done = run("measure", "lines", "lines.ndjson", "--split", "test", "--json")
    told = json.loads(done.stdout)
    assert told["by"] == "label"
    assert 0 < told["queries"] < 12
    sheet = run("query", "lines", "lines.ndjson", "--json")
    assert json.loads(sheet.stdout)["found"][0]["name"] == "n0"
    assert Path("lines-found.png").exists()


def test_bad_photos_are_left_out_and_counted(run):
    Path("photos/aaa.png").write_text("no photo")
    done = run("index", "photos", "--encoder", "encoder", "--out", "gallery")
    assert done.exit_code == 1
    assert "aaa.png" in done.output
    assert not Path("gallery").exists()
    done = run("index", "photos", "--encoder", "encoder", "--out", "gallery", "--skip-bad")
    assert done.exit_code == 0
    assert "1 skipped (" in done.stderr
    assert len(Gallery.open("gallery")) == COUNT


@pytest.mark.usefixtures("gallery")
def test_add_adds_what_is_new(run):
    Image.new("RGB", (64, 64), "navy").save("photos/zzz.png")
    done = run("index", "photos", "--out", "gallery", "--add")
    assert f"1 photos indexed, {COUNT + 1} in the gallery" in done.stdout
    assert Gallery.open("gallery").names[-1] == "zzz"


@pytest.mark.usefixtures("gallery")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "photos", "--out", "gallery"], "gallery is there already, a gallery; --add"),
        (["index", "photos", "--out", "photos"], "photos is there already; name another folder"),
        (["index", "nowhere", "--out", "new"], "nowhere does not exist"),
        (["index", "photos", "--out", "new", "--encoder", "encodr"], "unknown encoder 'encodr'"),
        (
            ["index", "photos", "--out", "gallery", "--add", "--encoder", "another"],
            "cannot be compared",
        ),
        (["query", "photos", "drawings.ndjson"], "photos is no gallery: it has no gallery.json"),
        (["query", "gallery", "drawings.ndjson", "--index", "99"], "has no drawing 99"),
        (["query", "gallery", "drawings.ndjson", "--out", "a.bmp"], "cannot draw 'a.bmp'"),
        (["query", "gallery", "drawings.ndjson", "--encoder", "another"], "index again"),
        (["measure", "gallery", "drawings.ndjson", "--encoder", "another"], "index again"),
        (["measure", "gallery", "drawings.ndjson", "--by", "label"], "none of 7 queries"),
    ],
)
def test_refusals_write_nothing(run, arguments, words):
    before = {path.name for path in Path().iterdir()}
    done = run(*arguments)
    assert done.exit_code == 1, done.output
    assert words in done.output
    assert {path.name for path in Path().iterdir()} == before


@pytest.mark.usefixtures("gallery")
def test_a_gallery_names_no_encoder_to_be_fetched(run):
    """What a file says is not downloaded."""
    opened = Gallery.open("gallery")
    replace(opened, encoder="clip:somebody/something").save("gallery")
    done = run("query", "gallery", "drawings.ndjson")
    assert done.exit_code == 1
    assert "'clip:somebody/something', which is not here; give --encoder" in done.output
    assert run("query", "gallery", "drawings.ndjson", "--encoder", "encoder").exit_code == 0
