"""``sightline explain`` of photos and of folders of photos, as a user types it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sightline import Explanation, draw_scene
from sightline.cli import main

SEED = 16


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two scenes, an empty paper, and their COCO annotations."""
    folder = tmp_path_factory.mktemp("photos")
    images, annotations = [], []
    for number, seed in enumerate((SEED, SEED + 1)):
        scene = draw_scene(seed, objects=2)
        name = f"scene {number}.png"
        Image.fromarray(scene.photo.pixels).save(folder / name)
        height, width = scene.photo.size
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for box, label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
            left, top, right, bottom = box
            annotations.append(
                {
                    "image_id": number,
                    "category_id": label,
                    "bbox": [left, top, right - left, bottom - top],
                }
            )
    Image.fromarray(np.full((40, 50, 3), 255, np.uint8)).save(folder / "z paper.png")
    images.append({"id": 9, "file_name": "z paper.png", "height": 40, "width": 50})
    from sightline.scenes.scene import LABELS

    categories = [{"id": i, "name": name} for i, name in enumerate(LABELS) if i]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(told))
    return folder


def sightline(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == code, done.output
    return done.output


# --- one photo ------------------------------------------------------------------------------------


def test_the_boxes_of_a_photo_are_explained(photos, tmp_path):
    out = tmp_path / "why"
    told = sightline("explain", photos / "scene 0.png", "--method", "x_grad_cam", "--out", out)
    assert "1 evaluations for all of them" in told
    with Image.open(out.with_suffix(".png")) as picture:
        assert picture.size[0] > 500
    why = Explanation.load(out.with_suffix(".safetensors"))
    assert len(why.targets) == len(draw_scene(SEED, objects=2))
    assert all(name in told for name in why.targets)


def test_one_edge_is_explained_in_pixels(photos, tmp_path):
    told = sightline(
        "explain", photos / "scene 0.png", "--method", "x_grad_cam", "--edge", "left", "--json",
        "--out", tmp_path / "edge",
    )  # fmt: skip
    first = json.loads(told)["targets"][0]
    assert first["unit"] == "pixels"
    assert first["target"].endswith("left edge")
    assert first["value"] == pytest.approx(first["box"][0], abs=1.0)  # but for the cut at the photo


def test_a_missed_box_is_explained(photos, tmp_path):
    told = sightline(
        "explain", photos / "z paper.png", "--method", "x_grad_cam", "--missed",
        "5,5,45,35,star", "--out", tmp_path / "missed",
    )  # fmt: skip
    assert "missed star at 5,5 to 45,35" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["z paper.png"], r"no detection of at least 0.5 in z paper.png: the best is"),
        (["z paper.png", "--missed", "5,5,500,35,star"], "lies outside z paper.png of 50 x 40"),
        (["z paper.png", "--missed", "5,5,star"], "expected left,top,right,bottom,label"),
        (["z paper.png", "--missed", "5,5,45,35,stra"], "did you mean 'star'"),
        (["absent.png"], "absent.png"),
        (["scene 0.png", "--detector", "scene-sdd"], "did you mean 'scene-ssd'"),
    ],
)
def test_what_cannot_be_explained_says_why(photos, arguments, message):
    file, *options = arguments
    told = sightline("explain", photos / file, *options, code=1)
    assert message in " ".join(told.split())


def test_every_file_that_reads_as_a_photo_is_explained_as_one(tmp_path):
    Image.fromarray(np.full((40, 50), 255, np.uint8)).save(tmp_path / "grey.pgm")
    told = sightline("explain", tmp_path / "grey.pgm", code=1)
    assert "no detection of at least 0.5 in grey.pgm" in " ".join(told.split())


# --- a folder -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    told = sightline(
        "explain", photos, "--annotations", photos / "instances.json", "--methods",
        "x_grad_cam,random", "--no-flips", "--out", out,
    )  # fmt: skip
    return out, told


def test_a_photo_without_boxes_is_recorded_and_the_run_goes_on(run):
    _, told = run
    assert "2 photos explained, 1 failed" in told
    assert "z paper.png" in told
    assert "the best is" in told


def test_a_run_is_gone_on_with(photos, run):
    out, _ = run
    told = sightline(
        "explain", photos, "--annotations", photos / "instances.json", "--methods",
        "x_grad_cam,random", "--no-flips", "--out", out,
    )  # fmt: skip
    assert "2 photos explained, 1 failed" in told


def test_other_settings_are_refused(photos, run):
    out, _ = run
    told = sightline("explain", photos, "--methods", "random", "--out", out, code=1)
    assert "holds a run of other settings" in told


def test_the_table_names_every_method_and_its_sanity(run, tmp_path):
    out, _ = run
    told = sightline("measure", out, "--out", tmp_path / "page.html")
    assert "x_grad_cam" in told
    page = (tmp_path / "page.html").read_text()
    assert "sanity of x_grad_cam" in page
    assert "sanity of random: the maps of a random model keep a rank correlation of 1.00" in page


def test_an_item_is_shown(run, tmp_path):
    out, _ = run
    told = sightline("show", out, "scene 0.png/0/x_grad_cam", "--out", tmp_path / "box.png")
    assert "x_grad_cam" in told
    assert (tmp_path / "box.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "give --out RUN"),
        (["--out", "run", "--missed", "1,2,3,4,cup"], 2, "are of one photo"),
        (["--out", "run", "--budget", "20s"], 2, "is a number of evaluations"),
        (["--out", "run", "--methods", "shap"], 1, "unknown method 'shap'"),
        (["--out", "run", "--panoptic", "p.json"], 1, "give annotations too"),
    ],
)
def test_a_run_that_cannot_be_says_why(photos, tmp_path, monkeypatch, options, code, message):
    monkeypatch.chdir(tmp_path)
    assert message in sightline("explain", photos, *options, code=code)
    assert not (tmp_path / "run").exists()
