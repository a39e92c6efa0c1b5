"""A split at a glance: files that stay in their folder, and a queue that tells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import figures
from guided import SCENES, scene_folders, stroke_net
from sightline.alignment.formats.folder import write_labels
from sightline.alignment.items import Item, Items
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.overview import map_names, overview
from sightline.alignment.phases import Lesson
from sightline.alignment.queue import Queue, read_candidates
from sightline.alignment.stroke_occlusion import StrokeOcclusion
from sightline.alignment.stroke_sources import StrokeAttention, StrokeScores
from sightline.alignment.verdicts import Verdict, Verdicts, write_verdicts
from sightline.cli import main
from sightline.errors import AlignmentError, PhotoError
from sightline.models.load_classifier import save_classifier
from sightline.models.raster import sketch_cnn
from sightline.models.small_resnet import small_resnet
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.sketch import Sketch

DASH = Sketch.from_strokes([[(0.0, 0.0), (1.0, 0.0)]])
ESCAPING = ("../../../escaped", "/etc/escaped", "..", "C:\\escaped", "a/../../escaped")
LINES = tuple(f"n.ndjson line {i}" for i in range(1, 5))


def drawn(*names: str) -> list[Item]:
    return [Item(name, "dash", DASH) for name in names]


def photos(tmp_path, *names: str) -> list[Item]:
    return [Item(name, "cat", tmp_path / name) for name in names]


def run(*arguments, code: int = 0):
    result = CliRunner().invoke(main, ["align", *(str(a) for a in arguments)])
    if result.exit_code != code:
        raise AssertionError(result.output) from result.exception
    return result


# --- names of files -------------------------------------------------------------------------------


def test_no_name_of_a_drawing_leaves_the_folder(tmp_path):
    for name, file in map_names(drawn(*ESCAPING)).items():
        assert "/" not in file
        assert "\\" not in file
        assert (tmp_path / file).resolve().parent == tmp_path.resolve(), name


def test_lines_of_a_file_have_a_file_each():
    found = map_names(drawn(*LINES))
    assert sorted(found.values()) == [f"n_ndjson_line_{i}.png" for i in range(1, 5)]


def test_no_two_share_a_file(tmp_path):
    rows = photos(tmp_path, "cat/a.jpg", "cat/a.png", "cat/a-1.jpg", "dog/a.jpg", "Cat/A.JPG")
    found = map_names(rows)
    assert found["cat/a.jpg"] == "cat/a.png"
    assert found["dog/a.jpg"] == "dog/a.png"
    assert len({file.lower() for file in found.values()}) == 5, "nor on disks without case"
    assert all(file.startswith(name[:4]) for name, file in found.items())
    names = ("a b", "a_b", "a/b", "A B", "***", "...", "é", "e")
    found = map_names(drawn(*names))
    assert len({file.lower() for file in found.values()}) == len(names)


def test_long_names_are_files_too(tmp_path):
    names = ["日" * 300 + str(i) for i in range(3)]
    found = map_names(drawn(*names))
    assert len(set(found.values())) == 3
    for file in found.values():
        (tmp_path / file).touch()


def test_a_photo_outside_is_refused(tmp_path):
    with pytest.raises(PhotoError, match="leaves its folder"):
        map_names(photos(tmp_path, "../a.jpg"))


def test_drawings_of_any_name_through_the_command(tmp_path):
    names = (*LINES, *ESCAPING)
    sketches = [
        replace(sketch, name=name)
        for sketch, name in zip(figures.drawings(len(names), 0), names, strict=True)
    ]
    home = tmp_path / "deep" / "er" / "still"
    home.mkdir(parents=True)
    write_ndjson(home / "n.ndjson", sketches)
    items = Items.read(home / "n.ndjson")
    count = len(items.splits["train"])
    assert {i.name for i in items.splits["train"]} & set(ESCAPING)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    out = home / "out"
    run("look", "cnn", home / "n.ndjson", "--out", out, "--split", "train")
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(out) for path in made)
    maps = list((out / "maps").rglob("*"))
    assert len(maps) == count
    assert {path.parent for path in maps} == {out / "maps"}
    for path in maps:
        with Image.open(path) as shown:
            assert np.asarray(shown.convert("RGB")).std() > 0


def test_a_lone_drawing_without_a_name_has_its_line(tmp_path):
    """As files without key_id come: the reader calls each by file and line."""
    path = tmp_path / "n.ndjson"
    write_ndjson(path, [replace(s, name=None) for s in figures.drawings(12, 0)])
    run("look", "cnn", path, "--out", tmp_path / "out", "--split", "train")
    count = len(Items.read(path).splits["train"])
    assert count > 4
    assert len(list((tmp_path / "out" / "maps").iterdir())) == count


# --- the queue ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photos, their labels and a model that has learnt nothing."""
    home = tmp_path_factory.mktemp("look")
    labels = scene_folders(home / "photos", {"train": 1, "valid": 4, "test": 1})
    write_labels(home / "marks", list(labels.values()))
    model = small_resnet(SCENES, (16, 16), widths=(8, 8), stem_stride=1).eval()
    save_classifier(model, home / "model")
    return home, labels, model, Items.read(home / "photos")


@pytest.fixture(scope="module")
def sketched():
    sketches = figures.drawings(6, 0)
    return Items.from_sketches({"train": [], "valid": sketches, "test": []}, figures.LABELS)


def test_those_that_people_judged_come_last(made):
    _, labels, model, items = made
    names = [item.name for item in items.splits["valid"]]
    judged = {names[0]: "RI", names[5]: "UA"}
    for told in (Lesson({}), Lesson(labels)):
        found = overview(model, items, told, "valid", GradCamMaps(), judged=judged)
        assert set(found.queue.items[-2:]) == set(judged)
        assert {c.item for c in found.candidates if c.labelled} == set(judged)
        cells = {c.item: c.cell for c in found.candidates}
        assert {name: cells[name] for name in judged} == judged, "and not what was proposed"
        proposed = found.verdicts.cells if found.verdicts is not None else {}
        rest = set(names) - set(judged)
        assert {n: cells[n] for n in rest} == {n: proposed.get(n) for n in rest}


def test_labels_alone_move_nothing_to_the_end(made):
    """They are what verdicts are proposed from: a queue without them would be empty."""
    _, labels, model, items = made
    found = overview(model, items, Lesson(labels), "valid", GradCamMaps())
    assert not any(c.labelled for c in found.candidates)
    assert all(c.cell for c in found.candidates)
    assert not any("labelled already" in row.reasons for row in found.queue)


def test_the_default_falls_to_uncertain_where_nothing_else_is_known(sketched):
    """A network of drawings on paper has one way to look."""
    model = sketch_cnn(figures.LABELS)
    found = overview(model, sketched, Lesson({}), "valid", StrokeScores())
    assert all(c.disagreement is None and c.cell is None for c in found.candidates)
    sure = {c.item: c.confidence for c in found.candidates}
    order = [sure[name] for name in found.queue.items]
    assert order == sorted(order)
    assert [row.score for row in found.queue] == pytest.approx([1 - c for c in order])
    with pytest.raises(AlignmentError, match="rests on cell or disagreement"):
        overview(
            model, sketched, Lesson({}), "valid", StrokeScores(), strategy="unreasonable-first"
        )
    judged = {sketched.splits["valid"][0].name: "UA"}  # it tells nothing of the others
    found = overview(model, sketched, Lesson({}), "valid", StrokeScores(), judged=judged)
    assert found.queue.rows[0].score > 0
    assert found.queue.items[-1] in judged


def test_the_default_is_of_what_is_known(made):
    _, _, model, items = made
    first = overview(model, items, Lesson({}), "valid", GradCamMaps())
    named = overview(
        model, items, Lesson({}), "valid", GradCamMaps(), strategy="unreasonable-first"
    )
    assert first.queue == named.queue
    scores = {c.item: 0.5 * c.disagreement for c in first.candidates}
    assert [row.score for row in first.queue] == pytest.approx(
        sorted(scores.values(), reverse=True)
    )


def many_strokes(seed: int) -> Sketch:
    """Of one stroke, a map is flat, and agrees with none."""
    luck = np.random.default_rng(seed)
    strokes = [luck.normal(0, 50, (4, 2)) for _ in range(7)]
    label = figures.LABELS[seed % 3]
    return Sketch.from_strokes(strokes, label=label, name=f"tangle {seed}")


def test_the_second_way_to_look_is_another(made):
    """A method never disagrees with itself, and all would be 0."""
    _, _, model, items = made
    for source in (GradCamMaps(), InputGradients()):
        found = overview(model, items, Lesson({}), "valid", source)
        assert all(c.disagreement > 0.01 for c in found.candidates), source
    tangles = [many_strokes(seed) for seed in range(6)]
    sketched = Items.from_sketches({"train": [], "valid": tangles, "test": []}, figures.LABELS)
    net, apart = stroke_net().eval(), {}
    for source in (StrokeScores(), StrokeAttention(), StrokeOcclusion()):
        found = overview(net, sketched, Lesson({}), "valid", source)
        apart[type(source)] = {c.item: c.disagreement for c in found.candidates}
        assert max(apart[type(source)].values()) > 0.01, source
    assert apart[StrokeScores] == pytest.approx(apart[StrokeAttention]), "the same two"


def test_cells_wanted_through_the_command(made, tmp_path):
    home, _, _, items = made
    call = ("look", home / "model", home / "photos", "--labels", home / "marks")
    run(*call, "--out", tmp_path / "plain")
    cells = {c.item: c.cell for c in read_candidates(tmp_path / "plain" / "candidates.csv")}
    valid = [item.name for item in items.splits["valid"]]
    assert set(cells) == set(valid)
    cell = cells[valid[0]]
    own = {name for name in valid if cells[name] == cell}
    wanted = len(own) + 1
    cell_first = ("--strategy", "cells", "--want", f"{cell}={wanted}")
    run(*call, *cell_first, "--out", tmp_path / "want")
    queue = Queue.read(tmp_path / "want" / "queue.csv")
    assert set(queue.items[: len(own)]) == own
    assert queue.rows[0].reasons[-1] == f"{wanted} more labels of {cell} wanted"

    said = Verdict(valid[0], cell[1] == "A", outright=cell[0] == "R", author="ada")
    write_verdicts(tmp_path / "v.csv", Verdicts.of_people([said]))
    run(*call, *cell_first, "--verdicts", tmp_path / "v.csv", "--out", tmp_path / "given")
    queue = Queue.read(tmp_path / "given" / "queue.csv")
    assert queue.items[-1] == valid[0]
    assert queue.rows[-1].reasons == ("labelled already",)
    if len(own) > 1:
        assert queue.rows[0].reasons[-1] == f"{wanted - 1} more labels of {cell} wanted"
    one = ("--strategy", "cells", "--want", f"{cell}=1", "--verdicts", tmp_path / "v.csv")
    run(*call, *one, "--out", tmp_path / "one")
    queue = Queue.read(tmp_path / "one" / "queue.csv")
    told = [reason for row in queue for reason in row.reasons]
    assert told
    assert not any("wanted" in reason for reason in told), "the one that was wanted is there"
    refused = run(*call, "--strategy", "cells", "--out", tmp_path / "none", code=1)
    assert "'cells' needs 'wanted'" in refused.stderr
    refused = run(*call, "--want", "AU=3", "--out", tmp_path / "none", code=1)
    assert "unknown cell 'AU'" in refused.stderr


def test_a_drawing_network_without_labels_through_the_command(tmp_path):
    write_ndjson(tmp_path / "n.ndjson", figures.drawings(12, 0))
    spoken = run("look", "cnn", tmp_path / "n.ndjson", "--out", tmp_path / "out", "--split",
                 "train").output  # fmt: skip
    queue = Queue.read(tmp_path / "out" / "queue.csv")
    assert queue.rows[0].reasons[0].startswith("unsure of its answer")
    assert queue.items[0] in spoken.splitlines()[0]
    assert not (tmp_path / "out" / "verdicts.csv").exists()
