import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

import sightline.cli.retrieve as retrieve_module
import sightline.models.load_encoder as load_module
import sightline.tasks.retrieval.contact_sheet as sheet_module
from sightline.cli import main
from sightline.cli.galleries import encoder_of, findable
from sightline.cli.retrieve import retrieve
from sightline.errors import TaskError
from sightline.image.read import read_photo
from sightline.models.load_encoder import load_encoder, save_encoder
from sightline.models.two_branch import two_branch
from sightline.scenes.pairs import draw_pair
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.gallery import Gallery
from sightline.tasks.retrieval.measured import Query, measure_retrieval, measure_vectors
from sightline.tasks.retrieval.pair_drawings import read_ink

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
    assert "wrote drawings-2-found.png" in done.stdout
    with Image.open("drawings-2-found.png") as sheet:
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
    assert told.pop("read_as") == "drawings"
    assert told == json.loads(json.dumps(scores.as_dict()))


@pytest.fixture
def inked(run, made) -> Path:
    """Drawings as pictures, as Sketchy and ShoeV2 have them: two of each photo."""
    Path("ink").mkdir()
    for pair in made[1]:
        for drawer in (1, 2):
            with Image.new("RGB", (200, 200), "white") as page:
                low, size = pair.sketch.points.min(0), np.ptp(pair.sketch.points, axis=0).max()
                for stroke in pair.sketch.strokes:
                    points = [tuple(p) for p in (20 + 160 * (stroke - low) / size).tolist()]
                    ImageDraw.Draw(page).line(points, fill="black", width=1 + drawer)
                page.save(f"ink/{pair.name}-{drawer}.png")
    return Path("ink")


@pytest.mark.usefixtures("gallery")
def test_a_picture_of_a_drawing_is_read_as_its_ink(run, made, inked):
    encoder, opened = load_encoder("encoder"), Gallery.open("gallery")
    picture = inked / f"{made[1][3].name}-1.png"
    ink = encoder.encode_ink(read_ink(picture, 64)[None])
    for given, vectors, words in (
        (["--drawn"], ink, "is read as a drawing"),
        ([], encoder.encode([read_photo(picture)]), "is read as a photo; --drawn reads it as a dr"),
    ):
        told = json.loads(run("query", "gallery", picture, "--json", *given).stdout)
        found = opened.search(vectors, 10)
        assert [row["index"] for row in told["found"]] == found.indices[0].tolist()
        scores = [row["score"] for row in told["found"]]
        np.testing.assert_allclose(scores, found.scores[0], atol=1e-6)
        assert told["read_as"] == ("drawing" if given else "photo")
        assert words in run("query", "gallery", picture, *given).stderr


@pytest.mark.usefixtures("gallery")
def test_measure_of_pictures_of_drawings(run, inked):
    done = run("measure", "gallery", inked, "--drawn")
    assert "the queries are read as drawings" in done.stderr
    assert f"{2 * COUNT} queries of {COUNT} instances" in done.stdout
    told = json.loads(run("measure", "gallery", inked, "--drawn", "--json").stdout)
    encoder, opened = load_encoder("encoder"), Gallery.open("gallery")
    paths = sorted(inked.iterdir())
    vectors = torch.cat([encoder.encode_ink(read_ink(path, 64)[None]) for path in paths])
    asked = [Query(path.stem, None, True) for path in paths]
    plain = json.loads(json.dumps(measure_vectors(opened, vectors, asked).as_dict()))
    assert told == plain | {"read_as": "drawings"}
    done = run("measure", "gallery", inked)
    assert "read as photos; --drawn reads them as drawings" in done.stderr


@pytest.mark.usefixtures("gallery")
def test_measure_knows_a_query_by_its_file(run):
    """Read again, and from a folder above: no photo finds itself, so nothing is relevant."""
    done = run("measure", "gallery", "photos", "--by", "instance")
    assert done.exit_code == 1
    assert f"none of {COUNT} queries has the instance" in done.output


def test_a_gallery_of_distances_is_searched_by_its_own_measure(run):
    encoder = load_encoder("encoder", measure="distance")
    Gallery.of(encoder, Path("photos")).save("far")
    done = run("query", "far", "drawings.ndjson", "--encoder", "encoder")
    assert done.exit_code == 0, done.output
    assert "minus distance" in done.stdout


def test_a_folder_of_clip_is_found_from_anywhere_and_the_hub_is_not_asked(run, monkeypatch):
    asked = []
    monkeypatch.setattr(load_module, "load_encoder", lambda name, **_: asked.append(name) or found)
    found = load_encoder("encoder")
    here = str(Path("encoder").resolve())
    assert findable("clip:encoder") == f"clip:{here}"
    assert [findable(name) for name in ("encoder", "clip:a/b", "clip:", "sketch-cnn")] == [
        here, "clip:a/b", "clip:", "sketch-cnn",
    ]  # fmt: skip
    gallery = Gallery.of(found, Path("photos"))
    assert encoder_of(replace(gallery, encoder=f"clip:{here}"), None) is found
    assert asked == [f"clip:{here}"]
    with pytest.raises(TaskError, match="not be fetched unasked: give --encoder clip:a/b"):
        encoder_of(replace(gallery, encoder="clip:a/b"), None)
    with pytest.raises(TaskError, match=r"which is not here; give --encoder$"):
        encoder_of(replace(gallery, encoder="elsewhere"), None)


@pytest.mark.usefixtures("gallery")
def test_a_sheet_shows_fifty_at_most(run, made, monkeypatch):
    monkeypatch.setattr(retrieve_module, "MOST_SHOWN", 3)
    shown = []
    monkeypatch.setattr(
        sheet_module, "contact_sheet", lambda _, company: shown.append(company.names) or Figure()
    )
    done = run("query", "gallery", "drawings.ndjson")
    assert len(re.findall(r"^ +\d+  ", done.stdout, re.MULTILINE)) == COUNT
    assert f"wrote drawings-found.png (the first 3 of {COUNT})" in done.stdout
    assert [len(names) for names in shown] == [3]


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
    files = {path.name: path.stat().st_mtime_ns for path in Path("gallery").iterdir()}
    done = run("index", "photos", "--out", "gallery", "--add")
    assert done.exit_code == 0
    assert "0 photos indexed, 8 in the gallery; nothing new: gallery stays as it is" in done.stdout
    told = json.loads(run("index", "photos", "--out", "gallery", "--add", "--json").stdout)
    assert (told["added"], told["written"]) == (0, [])
    assert {p.name: p.stat().st_mtime_ns for p in Path("gallery").iterdir()} == files


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
    assert "'clip:somebody/something', which is not here; it will not be fetched" in done.output
    assert run("query", "gallery", "drawings.ndjson", "--encoder", "encoder").exit_code == 0
