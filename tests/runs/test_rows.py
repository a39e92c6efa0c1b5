"""Rows and manifests: what is no row, no photo, no run."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import toy_runs
from sightline.errors import PhotoError, SightlineError
from sightline.image.superpixels import encode_labels
from sightline.runs.manifest import Manifest, PhotoFile, hash_file
from sightline.runs.rows import as_table, results_of
from sightline.runs.run import Run
from sightline.runs.shards import shard_files

ROW = toy_runs.result("a", 1).explanations[0]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"number": -1}, "box -1 by kernel_shap: expected a number from 0"),
        ({"method": "a/b"}, "without a '/'"),
        ({"box": (0.0, 0.0, float("inf"), 1.0)}, "is not finite; expected xyxy in pixels"),
        ({"scores": np.full(12, np.nan)}, "scores are not finite; say why in blank"),
        ({"errors": np.zeros(3)}, "3 errors for 12 scores; give one each"),
    ],
)
def test_what_is_no_row(fields, told):
    with pytest.raises(SightlineError, match=told):
        replace(ROW, **fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"height": 25}, r"a: parts cover 768 pixels of a map \[24, 32\]; the photo is \[25, 32\]"),
        (
            {"explanations": (replace(ROW, scores=np.zeros(11), errors=None),)},
            "a: part 11 has no score in box 0 by kernel_shap, which has 11",
        ),
        ({"explanations": (ROW, ROW)}, "explained twice: a/0/kernel_shap; give each box a number"),
    ],
)
def test_what_is_no_photo(fields, told):
    with pytest.raises(PhotoError, match=told):
        replace(toy_runs.result("a", 1), **fields)


def test_runs_are_those_of_superpixels():
    import torch

    told = encode_labels(torch.from_numpy(toy_runs.grid()))
    assert told.keys() == toy_runs.runs_of_grid().keys()
    for name, array in toy_runs.runs_of_grid().items():
        assert (told[name] == array).all()
        assert told[name].dtype == np.int32


def test_heat_is_each_part_s_score():
    import torch

    labels = torch.tensor([[0, 1], [-1, 0]])
    row = replace(ROW, scores=np.array([5.0, -2.0]), errors=None)
    photo = replace(
        toy_runs.result("a", 0),
        height=2,
        width=2,
        parts=encode_labels(labels),
        explanations=(row,),
    )
    assert photo.heat(row).tolist() == [[5.0, -2.0], [0.0, 5.0]]
    (back,) = results_of(as_table(photo, 0))
    assert back.heat(back.explanations[0]).tolist() == [[5.0, -2.0], [0.0, 5.0]]


def test_not_a_number_is_kept_as_none():
    row = replace(ROW, base=float("nan"), measures={"inside": float("nan"), "auc": 0.5})
    photo = replace(toy_runs.result("a", 1), explanations=(row,))
    (back,) = results_of(as_table(photo, 0))
    assert back.explanations[0].base is None
    assert back.explanations[0].measures == {"inside": None, "auc": 0.5}


# --- manifests ------------------------------------------------------------------------------------


def test_a_manifest_comes_back(tmp_path):
    told = toy_runs.manifest(
        ["a.png", "b/c.png"], settings={"a": [1, {"b": None}]}, sanity=("sane",)
    )
    told.write(tmp_path)
    assert Manifest.read(tmp_path) == told
    assert json.loads((tmp_path / "run.json").read_text())["format"] == "sightline run 1"


@pytest.mark.parametrize("name", ["", "../a.png", "a/../../b.png", "/etc/a.png"])
def test_photos_stay_in_their_folder(name):
    with pytest.raises(SightlineError, match="does not stay in its folder"):
        PhotoFile(name)


def test_what_is_no_manifest(tmp_path):
    with pytest.raises(SightlineError, match=r"is no run \(it has no run.json\); make one with"):
        Run.open(tmp_path)
    with pytest.raises(SightlineError, match="photo a is listed twice"):
        toy_runs.manifest(["a", "a"])
    with pytest.raises(SightlineError, match="at least one method"):
        toy_runs.manifest(["a"], methods={})
    toy_runs.manifest(["a"]).write(tmp_path)
    whole = json.loads((tmp_path / "run.json").read_text())
    for text, told in [
        ("{", "run.json is damaged; run anew"),
        ("[]", "is damaged"),
        ('{"format": "sightline run 9"}', "is 'sightline run 9'; this program reads"),
        ('{"format": "sightline run 1", "photos": []}', r"is damaged \('detector'\)"),
        (whole | {"x": 1}, r"is damaged \(.*'x'"),
        (whole | {"seeds": [], "photos": 3}, r"is damaged \(seeds, photos of another kind\)"),
        (whole | {"photos": [{"name": "../a"}]}, "does not stay in its folder"),
    ]:
        written = text if isinstance(text, str) else json.dumps(text)
        (tmp_path / "run.json").write_text(written)
        with pytest.raises(SightlineError, match=told):
            Run.open(tmp_path)


def test_versions_are_told():
    versions = toy_runs.manifest(["a"]).versions
    assert {"sightline", "python", "torch", "numpy"} <= versions.keys()
    assert versions["numpy"] == np.__version__


def test_a_file_s_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    told = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert hash_file(tmp_path / "a") == told
    assert PhotoFile.of(tmp_path, "a", image_id=3) == PhotoFile("a", 3, told, 3)


# --- finding --------------------------------------------------------------------------------------


def test_items_by_name_and_by_place(tmp_path):
    toy_runs.run(tmp_path, photos_a_file=3)
    run = Run.open(tmp_path)
    every = list(run.items())
    assert [item.name for item in run.rows()] == every == run.table(["item"])["item"].to_pylist()
    for place in (0, 5, len(every) - 1):
        assert run.item(place).name == run.item(every[place]).name == every[place]
    with pytest.raises(SightlineError, match=rf"has {len(every)} expl.*; there is no {len(every)}"):
        run.item(len(every))
    with pytest.raises(SightlineError, match="there is no -1"):
        run.item(-1)
    wrong = every[0].replace("kernel_shap", "kernal_shap")
    with pytest.raises(SightlineError, match=rf"no explanation '{wrong}'; nearest: {every[0]}"):
        run.item(wrong)


def test_an_empty_run_has_an_empty_table(tmp_path):
    toy_runs.run(tmp_path, 0)
    assert Run.open(tmp_path).table().num_rows == 0
    assert Run.open(tmp_path).table(["item", "box"]).column_names == ["item", "box"]
    assert repr(Run.open(tmp_path)) == "Run(toy: 0 of 0 photos, 0 explanations, 0 failures)"


def test_a_file_of_another_run_is_refused(tmp_path):
    toy_runs.run(tmp_path / "a", 3)
    toy_runs.run(tmp_path / "b", 9)
    (stray,) = shard_files(tmp_path / "b")[-1:]
    stray.rename(tmp_path / "a" / "shard-00007.parquet")
    with pytest.raises(SightlineError, match=r"00007.parquet holds photo \S+ (a second|that is)"):
        Run.open(tmp_path / "a")


def test_a_page_of_pandas_needs_pandas(tmp_path, monkeypatch):
    import sys

    toy_runs.run(tmp_path, 3)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SightlineError, match="pip install pandas"):
        Run.open(tmp_path).to_pandas()
