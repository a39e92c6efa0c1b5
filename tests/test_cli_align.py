"""``sightline align train``, ``measure`` and ``convert``, as a user calls them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import figures
from guided import SCENES, scene_folders
from sightline.alignment.formats.folder import write_labels
from sightline.alignment.formats.read import read_labels
from sightline.alignment.labels import AttentionLabel
from sightline.alignment.queue import Queue, read_candidates
from sightline.alignment.verdicts import Verdict, Verdicts, read_verdicts, write_verdicts
from sightline.cli import main
from sightline.cli.align import GUIDE_NAMES, MEASURES
from sightline.models.load_classifier import load_classifier
from sightline.sketch.formats.quickdraw import write_ndjson

COUNTS = {"train": 4, "valid": 4, "test": 2}
QUICK = ("--epochs", "1", "--batch", "8", "--no-augmentation")


def run(*arguments, code: int = 0):
    result = CliRunner().invoke(main, ["align", *(str(a) for a in arguments)])
    if result.exit_code != code:
        raise AssertionError(result.output) from result.exception
    return result


def refused(*arguments) -> str:
    """The one line that says what to mend."""
    result = run(*arguments, code=1)
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert result.stderr.endswith(lines[0] + "\n"), "the message is the last line, and one line"
    return lines[0].removeprefix("Error: ")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photos in class folders, labels of all of them, and a model of phase 1."""
    home = tmp_path_factory.mktemp("align")
    labels = scene_folders(home / "photos", COUNTS)
    write_labels(home / "marks", list(labels.values()))
    out = home / "first"
    spoken = run("train", home / "photos", "--out", out, "--size", 16, *QUICK)
    return home, labels, spoken


@pytest.fixture
def home(made):
    return made[0]


@pytest.fixture
def labels(made):
    return made[1]


def second(home, out, *more):
    return ("train", home / "photos", "--out", out, "--model", home / "first" / "model",
            *QUICK, *more)  # fmt: skip


# --- both phases ----------------------------------------------------------------------------------


def test_phase_1(made, home):
    spoken = made[2].output
    assert "8 train, 8 valid, 4 test items of 2 classes" in spoken
    assert "| accuracy |" in spoken
    model = load_classifier(home / "first" / "model")
    assert (model.labels, model.size) == (SCENES, (16, 16))
    told = json.loads((home / "first" / MEASURES).read_text())
    assert told["items"] == 4
    assert told["settings"]["maps"]["name"] == "grad-cam"
    assert told["measures"]["energy"]["count"] == 0, "nobody said where to look"
    assert len((home / "first" / "metrics.jsonl").read_text().splitlines()) == 1


def test_phase_2_keeps_the_size_and_the_classes_of_phase_1(home, tmp_path):
    spoken = run(*second(home, tmp_path, "--labels", home / "marks")).output
    assert "20 labelled items; " in spoken
    assert load_classifier(tmp_path / "model").size == (16, 16)
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert row["train_attention"] > 0
    assert {"valid_top1", "valid_attention", "valid_score"} <= set(row)
    told = json.loads((tmp_path / MEASURES).read_text())
    assert told["measures"]["energy"]["count"] == 4


def test_the_test_split_is_measured_once(home, tmp_path):
    call = second(home, tmp_path, "--labels", home / "marks")
    first = run(*call)
    assert "| energy |" in first.output
    (tmp_path / MEASURES).write_text("as it was")
    again = run(*call)
    assert f"the test split was measured before: {tmp_path / MEASURES}" in again.output
    assert (tmp_path / MEASURES).read_text() == "as it was"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_the_test_split_is_left_for_another_day(home, tmp_path):
    photos = tmp_path / "photos"
    shutil.copytree(home / "photos", photos)
    for path in (photos / "test").rglob("*.png"):
        path.write_bytes(b"unreadable")
    marks = tmp_path / "marks"
    write_labels(marks, [x for x in read_labels(home / "marks") if "test" not in x.item])
    out = tmp_path / "out"
    run("train", photos, "--out", out, "--model", home / "first" / "model", *QUICK,
        "--labels", marks, "--no-test")  # fmt: skip
    assert not (out / MEASURES).exists()
    assert (out / "model").is_dir()


def test_no_test_split(home, tmp_path):
    photos = tmp_path / "photos"
    for split in ("train", "valid"):
        shutil.copytree(home / "photos" / split, photos / split)
    spoken = run("train", photos, "--out", tmp_path / "out", "--size", 16, *QUICK).output
    assert "no test split to measure" in spoken


@pytest.mark.parametrize("name", ["res-learnt", "rrr"])
def test_other_guides_and_another_one_in_the_same_folder(name, home, tmp_path):
    call = second(home, tmp_path, "--labels", home / "marks", "--no-test")
    run(*call, "--guide", name)
    assert "holds a run of another recipe, guide or labels" in refused(*call, "--guide", "hint")
    said = refused(*call, "--guide", name, "--strength", 3)
    assert str(tmp_path) in said
    assert "give another --out" in said


def test_guides_of_the_command_are_those_of_the_library():
    from sightline.alignment.guides import GUIDES

    assert GUIDE_NAMES == GUIDES


def test_input_gradients_are_measured_as_well(home, tmp_path):
    call = second(home, tmp_path, "--labels", home / "marks")
    run(*call, "--guide", "rrr", "--maps", "input-gradients")
    told = json.loads((tmp_path / MEASURES).read_text())
    assert told["settings"]["maps"]["name"] == "input-gradients"


def test_phase_2_needs_labels_and_a_model(home, tmp_path):
    said = run("train", home / "photos", "--out", tmp_path, "--phase", 2, code=2).output
    assert "give --labels" in said
    said = run("train", home / "photos", "--out", tmp_path, "--labels", home / "m", code=2).output
    assert "give --model" in said


def test_the_seed_is_of_the_weights_too(home, tmp_path):
    found = []
    for seed in (0, 1):
        out = tmp_path / str(seed)
        run("train", home / "photos", "--out", out, "--size", 16, "--seed", seed, *QUICK,
            "--lr", "1e-12", "--no-test")  # fmt: skip
        found.append(load_classifier(out / "model").module.head.weight)
    assert not np.allclose(*(weight.detach().numpy() for weight in found), atol=1e-3)


# --- verdicts -------------------------------------------------------------------------------------


def verdicts(path, *rows: Verdict):
    write_verdicts(path, Verdicts.from_rows(rows))
    return path


def test_verdicts_and_cell_weights_set_the_loss(home, tmp_path):
    """All are UA, in which the task weighs nothing and attention 2; in validation, too."""
    names = [f"{split}/{kind}/{i}.png" for split in ("train", "valid")
             for kind in SCENES for i in range(4)]  # fmt: skip
    told = [Verdict(f"photos/{name}", True, outright=False, author="ada") for name in names]
    path = verdicts(tmp_path / "verdicts.csv", *told)
    call = ("--labels", home / "marks", "--no-test", "--lr", "1e-12")
    run(*second(home, tmp_path / "plain", *call))
    run(*second(home, tmp_path / "told", *call, "--verdicts", path, "--cell-weight", "UA=0,2"))
    plain, weighed = (
        json.loads((tmp_path / out / "metrics.jsonl").read_text()) for out in ("plain", "told")
    )
    assert weighed["train_task"] == 0
    assert weighed["train_attention"] == pytest.approx(2 * plain["train_attention"], rel=1e-3)
    assert weighed["valid_attention"] == pytest.approx(2 * plain["valid_attention"], rel=1e-5)
    assert weighed["valid_score"] == pytest.approx(-2 * plain["valid_attention"], rel=1e-5)
    assert plain["valid_score"] < -plain["valid_attention"]


def test_verdicts_of_nobody_on_nothing_or_of_several(home, tmp_path):
    call = (*second(home, tmp_path, "--labels", home / "marks"), "--verdicts")
    item = "train/fish/0.png"
    proposed = verdicts(tmp_path / "p.csv", Verdict(item, True, outright=True, proposed=True))
    said = refused(*call, proposed)
    assert "p.csv: no verdict of a person" in said
    elsewhere = verdicts(tmp_path / "e.csv", Verdict("fish/9.png", True, outright=True))
    said = refused(*call, elsewhere)
    assert "e.csv: 1 of 1 verdicts are on items that are not there" in said
    assert "'fish/9.png'" in said
    both = [Verdict(item, True, outright=True, author=name) for name in ("ada", "bob")]
    said = refused(*call, verdicts(tmp_path / "b.csv", *both))
    assert "b.csv: 'train/fish/0.png' has verdicts of several authors (ada, bob)" in said
    unclear = verdicts(tmp_path / "u.csv", Verdict("0.png", True, outright=True))
    assert "u.csv: '0.png' can be any of" in refused(*call, unclear)
    run(*call, elsewhere, "--skip-unknown", "--no-test")


@pytest.mark.parametrize("given", ["UA", "UA=1", "UA=1,2,3", "UA=a,b", "=1,1", "XX=1,1", "UA=1;1"])
def test_cell_weights_of_wrong_form(given, home, tmp_path):
    call = second(home, tmp_path, "--labels", home / "marks", "--cell-weight", given)
    result = run(*call, code=2)
    assert "expected CELL=TASK,ATTENTION" in result.output or "is no cell; known" in result.output


@pytest.mark.parametrize("given", ["UA=-1,1", "UA=1,nan", "UA=inf,1"])
def test_cell_weights_that_are_none(given, home, tmp_path):
    call = second(home, tmp_path, "--labels", home / "marks", "--cell-weight", given)
    assert "the weights of UA are" in refused(*call)


# --- bad input ------------------------------------------------------------------------------------


def marks(tmp_path, *rows: AttentionLabel):
    write_labels(tmp_path / "bad", rows)
    return tmp_path / "bad"


def test_a_label_for_an_unknown_image(home, labels, tmp_path):
    first = labels["train/fish/0.png"]
    bad = marks(tmp_path, first, replace(first, item="train/fish/77.png"))
    call = second(home, tmp_path / "out", "--labels", bad)
    said = refused(*call)
    assert said.startswith(f"{bad}: 1 of 2 labels are of items that are not there")
    assert "'train/fish/77.png'; did you mean 'train/fish/" in said
    assert "mend the names" in said
    kept = run(*call, "--skip-unknown", "--no-test")
    assert f"{bad}: left out 1 of 2 labels" in kept.stderr


def test_the_file_at_fault_is_named_among_several(home, labels, tmp_path):
    bad = marks(tmp_path, replace(labels["train/fish/0.png"], item="77.png"))
    call = second(home, tmp_path / "out", "--labels", home / "marks", "--labels", bad)
    assert refused(*call).startswith(f"{bad}: 1 of 1 labels")


def test_a_plain_mask_of_no_image(home, labels, tmp_path):
    bad = tmp_path / "plain" / "train" / "fish"
    bad.mkdir(parents=True)
    for name in ("0.png", "77.png"):
        mask = labels["train/fish/0.png"].must
        Image.fromarray((mask * 255).astype(np.uint8)).save(bad / name)
    call = second(home, tmp_path / "out", "--labels", tmp_path / "plain", "--no-test")
    said = refused(*call)
    assert f"{bad / '77.png'} is a mask of no item" in said
    kept = run(*call, "--skip-unknown")
    assert "left out 1 masks of no item, first train/fish/77.png" in kept.stderr


def test_a_mask_of_another_aspect(home, tmp_path):
    bad = marks(tmp_path, AttentionLabel("train/fish/0.png", np.ones((80, 64)), author="ada"))
    said = refused(*second(home, tmp_path / "out", "--labels", bad))
    assert said.startswith(f"{bad}: the label of 'train/fish/0.png' by ada has a mask of 80 x 64")
    assert "the photo is 64 x 80, of another aspect: mask the whole photo" in said


def test_an_empty_mask(home, labels, tmp_path):
    bad = marks(tmp_path, replace(labels["train/fish/0.png"], must_not=None))
    (picture,) = (bad / "masks").iterdir()
    Image.fromarray(np.zeros((64, 80), np.uint8)).save(picture)
    said = refused(*second(home, tmp_path / "out", "--labels", bad))
    assert f"label 0 of {bad / 'labels.json'}: the label of 'train/fish/0.png'" in said
    assert "is empty" in said
    assert "mark one, or leave the label out" in said
    plain = tmp_path / "plain"
    plain.mkdir()
    Image.fromarray(np.zeros((64, 80), np.uint8)).save(plain / "train_fish.png")
    shutil.copytree(home / "photos", tmp_path / "photos")
    shutil.copy(home / "photos/train/fish/0.png", tmp_path / "photos/train/fish/train_fish.png")
    said = refused("train", tmp_path / "photos", "--out", tmp_path / "out", "--labels", plain,
                   "--model", home / "first" / "model")  # fmt: skip
    assert f"{plain / 'train_fish.png'} is all black" in said


def test_contradictory_pixels_are_counted_and_refused_or_weighed(home, labels, tmp_path):
    own = labels["train/fish/0.png"]
    both = replace(own, must_not=own.must * 0.5, author="ada")
    bad = marks(tmp_path, both)
    call = second(home, tmp_path / "out", "--labels", bad, "--no-test")
    said = refused(*call)
    assert said.startswith(f"{bad}: {int(own.must.sum())} of 5120 pixels of 'train/fish/0.png'")
    assert "(says ada)" in said
    assert "on_contradiction=" in said
    run(*call, "--on-contradiction", "weigh")


def test_a_class_folder_with_no_image(home, tmp_path):
    shutil.copytree(home / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "train" / "boat").mkdir()
    said = refused("train", tmp_path / "photos", "--out", tmp_path / "out")
    assert "the class 'boat' is empty" in said
    assert str(tmp_path / "photos" / "train" / "boat") in said
    assert "remove the folder" in said
    assert not (tmp_path / "out").exists()


def test_a_label_file_written_half(home, tmp_path):
    shutil.copytree(home / "marks", tmp_path / "marks")
    path = tmp_path / "marks" / "labels.json"
    path.write_bytes(path.read_bytes()[:700])
    said = refused(*second(home, tmp_path / "out", "--labels", tmp_path / "marks"))
    assert str(path) in said
    assert "line" in said
    assert "column" in said


def test_classes_that_the_model_does_not_know(home, tmp_path):
    """As many classes as the model has, but others: they are not renamed."""
    for split in COUNTS:
        for kind, name in zip(SCENES, ("boat", "cup"), strict=True):
            shutil.copytree(home / "photos" / split / kind, tmp_path / "photos" / split / name)
    call = ("train", tmp_path / "photos", "--out", tmp_path / "out", *QUICK)
    said = refused(*call, "--model", home / "first" / "model")
    assert "the model knows no class boat, cup; it knows fish, star" in said


def test_another_start_does_not_continue_a_run(home, tmp_path):
    """Weights of another phase 1, or of another seed, are not what the folder's run began with."""
    said = "holds a run that began with another model or other items; give another --out"
    call = ("train", home / "photos", "--size", 16, *QUICK, "--no-test")
    run(*call, "--out", tmp_path / "other", "--lr", "0.01")
    run(*call, "--out", tmp_path / "other", "--lr", "0.01")  # the same start goes on
    assert len((tmp_path / "other" / "metrics.jsonl").read_text().splitlines()) == 1
    refit = ("--out", tmp_path / "other", "--lr", "0.01", "--model", home / "first" / "model")
    assert said in refused(*call, *refit)
    shutil.copytree(home / "photos", tmp_path / "photos")
    (tmp_path / "photos" / "train" / "fish" / "0.png").unlink()
    fewer = ("train", tmp_path / "photos", *call[2:], "--out", tmp_path / "other", "--lr", "0.01")
    assert f"{tmp_path / 'other'} {said}" in refused(*fewer)

    own = second(home, tmp_path / "second", "--labels", home / "marks", "--no-test")
    run(*own)
    run(*own)
    swapped = [tmp_path / "other" / "model" if x == home / "first" / "model" else x for x in own]
    assert swapped != list(own)
    assert f"{tmp_path / 'second'} {said}" in refused(*swapped)


def test_a_list_of_photos(home, labels, tmp_path):
    """A .csv beside the photos: file, label and split; labels name the files as it does."""
    shutil.copytree(home / "photos", tmp_path / "photos")
    rows = ["file,label,split"]
    for item in labels:
        split, kind, _ = item.split("/")
        rows.append(f"{item},a {kind},{split}")
    listed = tmp_path / "photos" / "list.csv"
    listed.write_text("\n".join(rows) + "\n")
    out = tmp_path / "first"
    spoken = run("train", listed, "--out", out, "--size", 16, *QUICK).output
    assert "8 train, 8 valid, 4 test items of 2 classes" in spoken
    model = load_classifier(out / "model")
    assert model.labels == ("a fish", "a star")
    call = ("train", listed, "--out", tmp_path / "second", "--model", out / "model", *QUICK)
    spoken = run(*call, "--labels", home / "marks").output
    assert "20 labelled items; " in spoken
    told = json.loads((tmp_path / "second" / MEASURES).read_text())
    assert told["measures"]["energy"]["count"] == 4
    run("look", out / "model", listed, "--out", tmp_path / "look")
    assert (tmp_path / "look" / "maps" / "valid" / "fish" / "0.png").is_file()
    listed.write_text("\n".join([*rows, "../outside.png,a fish,train"]) + "\n")
    said = refused("train", listed, "--out", tmp_path / "third", *QUICK)
    assert "leaves its folder" in said
    assert "list.csv, line 22" in said


def test_no_label_that_counts(home, labels, tmp_path):
    bad = marks(tmp_path, labels["test/fish/0.png"])
    said = refused(*second(home, tmp_path / "out", "--labels", bad))
    assert "none of the 1 labels counts in training" in said


# --- drawings -------------------------------------------------------------------------------------


def test_drawings_with_labels_of_strokes(tmp_path):
    sketches = figures.drawings(60, 0)
    write_ndjson(tmp_path / "figures.ndjson", sketches)
    rows = [AttentionLabel(s.name, must=[float(i == 0) for i in range(len(s))]) for s in sketches]
    write_labels(tmp_path / "marks", rows)
    data, first, out = tmp_path / "figures.ndjson", tmp_path / "first", tmp_path / "second"
    quick = ("--epochs", 1, "--batch", 16)
    assert (
        "items of 3 classes" in run("train", data, "--out", first, "--model", "nano", *quick).output
    )
    call = ("train", data, "--out", out, "--model", first / "model", *quick)
    spoken = run(*call, "--labels", tmp_path / "marks").output
    assert "60 labelled items" in spoken
    told = json.loads((out / MEASURES).read_text())
    assert told["settings"]["maps"]["name"] == "strokes"
    assert told["measures"]["energy"]["count"] > 0
    found = run("measure", out / "model", data, "--labels", tmp_path / "marks", "--maps",
                "attention", "--json")  # fmt: skip
    assert json.loads(found.output)["settings"]["maps"]["name"] == "attention"
    wrong = marks(tmp_path, AttentionLabel(sketches[0].name, must=[1, 0, 0]))
    said = refused(*call, "--labels", wrong)
    assert said.startswith(f"{wrong}: the label of {sketches[0].name!r}")
    assert "is of 3 strokes; the drawing has 2" in said


# --- measure --------------------------------------------------------------------------------------


def test_measure_before_and_after_and_propose(home, tmp_path):
    before = home / "first" / "model"
    run(*second(home, tmp_path / "after", "--labels", home / "marks", "--lr", "0.01", "--no-test"))
    call = ("measure", before, home / "photos", "--labels", home / "marks")
    table = run(*call).output
    assert "| accuracy |" in table
    assert "| energy |" in table
    told = json.loads(run(*call, "--json").output)
    assert told["items"] == 8
    assert told["measures"]["iou"]["count"] + told["measures"]["iou"]["missing"] == 8
    change = json.loads(run(*call, "--against", tmp_path / "after" / "model", "--json").output)
    assert change["whole"]["accuracy"]["count"] == 8
    text = run(*call, "--against", tmp_path / "after" / "model", "--split", "test").output
    assert "energy" in text
    none = json.loads(run(*call, "--against", before, "--json").output)
    assert none["whole"]["accuracy"]["change"]["difference"]["estimate"] == 0

    proposed = run(*call, "--propose", tmp_path / "proposed.csv")
    assert "a person decides" in proposed.stderr
    found = read_verdicts(tmp_path / "proposed.csv")
    assert found.are_proposed
    assert len(found) == 8
    said = run("measure", before, home / "photos", "--propose", tmp_path / "p.csv", code=2).output
    assert "valid has none: --labels" in said
    assert not (tmp_path / "p.csv").exists()


def test_what_people_said_of_one_model_is_not_said_of_another(home, labels, tmp_path):
    """Their verdicts are on the first model's maps: the second has none, and no item moved."""
    valid = sorted(item for item in labels if item.startswith("valid/"))
    said = [Verdict(item, accurate=True, outright=i > 3, author="ada")
            for i, item in enumerate(valid)]  # fmt: skip
    write_verdicts(tmp_path / "v.csv", Verdicts.of_people(said))
    after = tmp_path / "after"
    run(*second(home, after, "--labels", home / "marks", "--lr", "0.01", "--no-test"))
    call = ("measure", home / "first" / "model", home / "photos", "--labels", home / "marks",
            "--verdicts", tmp_path / "v.csv", "--against", after / "model")  # fmt: skip
    told = json.loads(run(*call, "--json").output)
    assert told["moves"] is None
    assert sum(rows["accuracy"]["count"] for rows in told["cells"].values()) == len(valid)
    table = run(*call).output
    assert "UA before" in table or "UI before" in table
    for word in ("became", "reasonable before", "reasonable after", "McNemar"):
        assert word not in table


def test_measure_with_input_gradients(home):
    call = ("measure", home / "first" / "model", home / "photos", "--labels", home / "marks")
    told = json.loads(run(*call, "--maps", "input-gradients", "--json").output)
    assert told["settings"]["maps"]["name"] == "input-gradients"


def test_measure_without_a_model(home, tmp_path):
    said = refused("measure", tmp_path / "none", home / "photos")
    assert "unknown classifier" in said
    (tmp_path / "empty").mkdir()
    said = refused("measure", tmp_path / "empty", home / "photos")
    assert f"{tmp_path / 'empty' / 'config.json'} does not exist" in said


# --- convert --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["coco", "label-studio"])
def test_there_and_back(layout, home, tmp_path):
    other, back = tmp_path / "labels.json", tmp_path / "back"
    spoken = run("convert", home / "marks", other, "--to", layout)
    assert f"20 labels of 20 items by 1 people -> {other}" in spoken.output
    assert not spoken.stderr
    run("convert", other, back)
    for mine, given in zip(read_labels(back), read_labels(home / "marks"), strict=True):
        assert (mine.item, mine.weight) == (given.item, given.weight)
        assert np.array_equal(mine.must, given.must)
        assert np.array_equal(mine.must_not, given.must_not)


def test_gradias_masks_are_stretched_back_to_the_photos(home, labels, tmp_path):
    valid = [label for label in labels.values() if label.item.startswith("valid/fish")]
    write_labels(tmp_path / "valid", valid)
    spoken = run("convert", tmp_path / "valid", tmp_path / "gradia.json", "--to", "gradia")
    assert "4 must-not masks were left out" in spoken.stderr
    photos = home / "photos" / "valid"
    run("convert", tmp_path / "gradia.json", tmp_path / "back", "--photos", photos / "fish")
    for mine, given in zip(read_labels(tmp_path / "back"), valid, strict=True):
        assert given.item.endswith(mine.item)
        assert mine.size == (64, 80)
        assert (mine.must != given.must).mean() < 0.02, "edges move by a pixel"
        assert mine.must_not is None


def test_convert_says_what_it_cannot_read(home, tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert "x.json has an object with a" in refused("convert", tmp_path / "x.json", tmp_path / "y")
    assert "does not exist" in refused("convert", tmp_path / "none", tmp_path / "y")


# --- look -----------------------------------------------------------------------------------------


def test_look_writes_queue_maps_and_matrix(home, labels, tmp_path):
    model = home / "first" / "model"
    spoken = run("look", model, home / "photos", "--labels", home / "marks", "--out", tmp_path)
    valid = sorted(item for item in labels if item.startswith("valid/"))
    queue = Queue.read(tmp_path / "queue.csv")
    assert sorted(queue.items) == valid
    assert queue.items[0] in spoken.output.splitlines()[0]
    assert not any(c.labelled for c in read_candidates(tmp_path / "candidates.csv")), (
        "labels are what verdicts are proposed from, and no verdicts of people"
    )
    for item in valid:
        with Image.open(home / "photos" / item) as photo:
            size = photo.size
        with Image.open(tmp_path / "maps" / item) as shown:
            assert shown.size == size
            assert np.asarray(shown.convert("RGB")).std() > 0
    verdicts = read_verdicts(tmp_path / "verdicts.csv", only="proposed")
    assert sorted(verdicts.items) == valid
    assert "proposed by the program" in (tmp_path / "matrix.md").read_text()
    assert (tmp_path / "matrix.png").stat().st_size > 1000
    assert (tmp_path / "cells.png").stat().st_size > 1000


def test_look_puts_what_people_judged_last(home, labels, tmp_path):
    judged = ["valid/fish/1.png", "valid/star/2.png"]
    said = [Verdict(item, accurate=True, outright=True, author="ada") for item in judged]
    write_verdicts(tmp_path / "v.csv", Verdicts.of_people(said))
    run("look", home / "first" / "model", home / "photos", "--labels", home / "marks",
        "--verdicts", tmp_path / "v.csv", "--out", tmp_path)  # fmt: skip
    assert set(Queue.read(tmp_path / "queue.csv").items[-2:]) == set(judged)
    found = read_candidates(tmp_path / "candidates.csv")
    assert {c.item for c in found if c.labelled} == set(judged)


def test_look_without_labels_tells_what_it_can(home, tmp_path):
    run("look", home / "first" / "model", home / "photos", "--out", tmp_path, "--split", "test")
    assert len(Queue.read(tmp_path / "queue.csv")) == 4
    assert not (tmp_path / "verdicts.csv").exists()
    found = read_candidates(tmp_path / "candidates.csv")
    assert not any(c.labelled or c.cell for c in found)
    assert all(0 <= c.disagreement <= 1 and c.confidence >= 0.5 for c in found)


def test_cells_of_people_stand_in_the_measures(home, labels, tmp_path):
    valid = sorted(item for item in labels if item.startswith("valid/"))
    said = [
        Verdict(item, accurate=True, necessary=True, nothing_unnecessary=i > 2, author="ada")
        for i, item in enumerate(valid)
    ]
    write_verdicts(tmp_path / "v.csv", Verdicts.of_people(said))
    asked = ("measure", home / "first" / "model", home / "photos", "--labels", home / "marks")
    told = json.loads(run(*asked, "--verdicts", tmp_path / "v.csv", "--json").output)
    assert sum(cell["count"] for cell in told["cells"].values()) == len(valid)
    assert not json.loads(run(*asked, "--json").output)["cells"]
