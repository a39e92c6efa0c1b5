"""Files in the layout of detex: there, back, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import toy_runs
from sightline.errors import SightlineError
from sightline.runs.detex import write_detex
from sightline.runs.detex_maps import FROM_COLOURS
from sightline.runs.detex_read import read_detex, regions_of
from sightline.runs.run import Run
from toy_runs import METHODS

h5py = pytest.importorskip("h5py")


def store(path: Path, data: np.ndarray, at: str = "7/88/21", **attributes) -> Path:
    """One map, as detex itself stores it."""
    told = {
        "box_num": 0,
        "box": np.array([1.0, 2.0, 3.0, 3.5], np.float32),
        "label": 17,
        "score": 0.75,
        "explainer_engine": "kSHAP",
    } | attributes
    group, column = at.rsplit("/", 1)
    with h5py.File(path, "a") as file:
        inside = file.require_group(group)
        inside.attrs.update({name: value for name, value in told.items() if value is not None})
        inside.create_dataset(column, data=data)
    return path


def smallest(values: list[list[float]], channels: int = 1) -> np.ndarray:
    heat = np.array(values, np.float32)
    return np.repeat(heat[None, :, :, None], channels, -1)


MAP = [[0.5, 0.5, -1.0], [0.5, 0.0, -1.0]]


# --- there and back -------------------------------------------------------------------------------


def test_the_layout_by_hand(tmp_path):
    toy_runs.run(tmp_path / "run", 3)
    (photo, *_) = Run.open(tmp_path / "run").photos()
    row = next(r for r in photo.explanations if r.method == "x_grad_cam")
    place = toy_runs.names(3).index(photo.name)
    files = write_detex(Run.open(tmp_path / "run"), tmp_path / "out")
    assert [path.name for path in files] == [f"{method}.hdf5" for method in METHODS]
    with h5py.File(tmp_path / "out" / "x_grad_cam.hdf5") as file:
        group = file[f"{place}/{row.candidate}"]
        assert group.attrs["box_num"] == 0
        assert group.attrs["box"].tolist() == list(row.box)
        assert (group.attrs["label"], group.attrs["score"]) == (1, row.detector_score)
        assert group.attrs["explainer_engine"] == "XGrad-CAM"
        assert list(group) == ["5"]  # 4 corners, then the label
        assert group["5"].shape == (1, toy_runs.HEIGHT, toy_runs.WIDTH, 1)
        assert group["5"][0, 9, 17, 0] == row.scores[6]


def test_detex_itself_would_read_it(tmp_path):
    """Its reader in a few lines: every leaf has three names, and is three channels in the end."""
    toy_runs.run(tmp_path / "run", 6)
    write_detex(Run.open(tmp_path / "run"), tmp_path / "out")
    leaves: list[str] = []
    with h5py.File(tmp_path / "out" / "kernel_shap.hdf5") as file:
        file.visititems(lambda n, at: leaves.append(n) if isinstance(at, h5py.Dataset) else None)
        for name in leaves:
            _image, _box, column = map(int, name.split("/"))
            attributes = dict(file[name].parent.attrs)
            assert column == 4 + attributes["label"]
            assert attributes["explainer_engine"] == "kSHAP"
            assert np.repeat(np.array(file[name]), 3, axis=-1).shape[-1] == 3
    assert len(leaves) == len(Run.open(tmp_path / "run")) // 3 > 2


def test_there_and_back_nothing_is_lost_but_errors_and_the_names_of_parts(tmp_path):
    toy_runs.run(tmp_path / "run")
    files = write_detex(Run.open(tmp_path / "run"), tmp_path / "out")
    outcome = read_detex(files, tmp_path / "back")
    assert outcome.failures == ()
    given = {item.name: item for item in Run.open(tmp_path / "run").rows()}
    back = {item.name: item for item in Run.open(tmp_path / "back").rows()}
    assert back.keys() == given.keys()
    assert len(given) > 20
    for name, item in given.items():
        there = back[name]
        assert (there.photo.heat(there.row) == item.photo.heat(item.row)).all()
        assert len(there.row.scores) == toy_runs.PARTS
        one, other = vars(item.row) | {}, vars(there.row) | {}
        for field in ("scores", "errors"):
            one.pop(field), other.pop(field)
        assert one == other


def test_a_file_of_detex_by_hand(tmp_path):
    path = store(tmp_path / "a.hdf5", smallest(MAP))
    read_detex([path], tmp_path / "run", labels={17: "cat"})
    run = Run.open(tmp_path / "run")
    item = run.item("7/0/kernel_shap")
    assert item.photo.labels.tolist() == [[0, 0, 1], [0, 2, 1]]
    assert item.row.scores.tolist() == [0.5, -1.0, 0.0]
    assert (item.row.label, item.row.label_index, item.row.candidate) == ("cat", 17, 88)
    assert (item.row.detector_score, item.row.box) == (0.75, (1.0, 2.0, 3.0, 3.5))
    assert item.row.value is None
    assert item.photo.parts_kind == "regions of equal score"


def test_three_equal_channels_and_a_corner(tmp_path):
    path = store(tmp_path / "a.hdf5", smallest(MAP, 3), at="0/5/2")
    read_detex([path], tmp_path / "run", photos=["night.jpg"])
    item = Run.open(tmp_path / "run").item(0)
    assert item.name == "night.jpg/0/kernel_shap (x2)"
    assert item.row.target == "x2"


def test_maps_are_read_back_from_their_colours(tmp_path):
    """detex keeps Grad-CAM as the colours of the squared map; from deep blue to deep red."""
    from matplotlib import colormaps

    heat = np.linspace(0, 1, 40, dtype=np.float32).reshape(5, 8)
    colours = (255 * colormaps["jet"](heat**2)[:, :, :3]).astype(np.uint8)[None]
    path = store(tmp_path / "a.hdf5", colours, explainer_engine="XGrad-CAM")
    blue = (colours[:, :1, :1] * [0, 0, 1])[..., 2:].astype(np.uint8)  # blue alone is kept as one
    store(path, blue, at="8/1/21", explainer_engine="XGrad-CAM")
    read_detex([path], tmp_path / "run")
    item, alone = Run.open(tmp_path / "run").rows()
    assert item.row.method == "x_grad_cam"
    assert item.row.notes == (FROM_COLOURS,)
    error = np.abs(item.photo.heat(item.row) ** 2 - heat**2)
    pure_blue = (heat**2 >= 29 / 256) & (heat**2 < 33 / 256)  # four steps of one colour
    assert error[~pure_blue].max() <= 0.5 / 256 + 1e-6
    assert 0.5 / 256 < error[pure_blue].max() <= 2 / 256
    assert alone.row.scores.tolist() == [np.sqrt(0.5 / 256)]


def test_regions_touch_by_edges_and_by_all_maps():
    one = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert regions_of([one])[0].tolist() == [[0, 1], [2, 3]]
    other = np.array([[5.0, 5.0], [5.0, 5.0]])
    assert regions_of([other])[0].tolist() == [[0, 0], [0, 0]]
    assert regions_of([other, one])[0].tolist() == [[0, 1], [2, 3]]


def test_two_labels_at_one_place(tmp_path):
    """The group tells of the likelier; our own attribute of each."""
    photos = toy_runs.names(1)

    def twins(item):
        given = toy_runs.result(item.name, 2)
        rows = [replace(row, candidate=9) for row in given.explanations]
        return replace(given, explanations=tuple(rows))

    toy_runs.explain_photos(
        toy_runs.work(photos), twins, toy_runs.manifest(photos), tmp_path / "run"
    )
    files = write_detex(Run.open(tmp_path / "run"), tmp_path / "out")
    with h5py.File(files[0]) as file:
        assert list(file["0/9"]) == ["5", "6"]
        assert file["0/9"].attrs["label"] == 1
    read_detex(files, tmp_path / "back")
    assert [i.row.label for i in Run.open(tmp_path / "back").rows()][::3] == ["apple", "bird"]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "data", "attributes", "told"),
    [
        ("a/5/4", smallest(MAP), {}, r"/a/5/4: 'a' is no number; expected /image/box/column"),
        ("1/5/4/2", smallest(MAP), {}, "/1/5/4 is no data set of this file"),
        ("1/5/4", np.zeros((2, 3)), {}, r"/1/5/4 holds float64 \[2, 3\]; expected numbers \[1, he"),
        ("1/5/4", np.zeros((1, 2, 2, 2)), {}, r"\[1, 2, 2, 2\]; expected"),
        ("1/5/4", smallest(MAP).astype("S3"), {}, r"holds \|S3 .*; expected numbers"),
        ("1/5/4", smallest(MAP), {"box": None, "label": None}, "group lacks box, label; expected"),
        ("1/5/4", smallest(MAP), {"box": [1, 2]}, "group is wrong .*reshape"),
        ("1/5/4", smallest(MAP), {"score": np.nan}, "group is wrong .numbers out of range"),
        ("1/5/4", smallest(MAP), {"box_num": -1}, "group is wrong"),
        ("9/5/4", smallest(MAP), {}, "there is no photo 9 among 2; give the list"),
    ],
)
def test_another_layout_is_refused_by_name(tmp_path, at, data, attributes, told):
    path = store(tmp_path / "a.hdf5", data, at, **attributes)
    with pytest.raises(SightlineError, match=f"a.hdf5 .*{told}"):
        read_detex([path], tmp_path / "run", photos=["a.png", "b.png"])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("data", "engine", "told"),
    [
        (smallest([[np.nan]]), "kSHAP", "numbers that are not finite"),
        (smallest(MAP) * [1, 2, 3], "kSHAP", "three channels that differ"),
        (np.full((1, 2, 2, 3), 77, np.uint8), "Grad-CAM++", "in other colours than detex's"),
    ],
)
def test_maps_that_are_none_are_failures(tmp_path, data, engine, told):
    path = store(tmp_path / "a.hdf5", data, explainer_engine=engine)
    store(path, smallest(MAP), at="8/1/21")
    (failure,) = read_detex([path], tmp_path / "run").failures
    assert failure.photo == "7"
    assert re.search(rf"a.hdf5 /7/88/21 .*{told}", failure.message)
    assert len(Run.open(tmp_path / "run")) == 1


def test_links_lead_nowhere(tmp_path):
    secret = store(tmp_path / "secret.hdf5", smallest(MAP))
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["1"] = h5py.ExternalLink(str(secret), "/7")
    with pytest.raises(SightlineError, match="/1 is a link elsewhere; copy the data"):
        read_detex([tmp_path / "a.hdf5"], tmp_path / "run")
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file.create_group("1/2").attrs.update({"box_num": 0, "box": [0.0] * 4})
        file["1/2"].create_dataset("3", (1, 2, 2, 1), "f8", external=[(str(secret), 0, 32)])
    with pytest.raises(SightlineError, match="/1/2/3 is no data set of this file"):
        read_detex([tmp_path / "b.hdf5"], tmp_path / "run")


def test_no_hdf5_file(tmp_path):
    with pytest.raises(SightlineError, match=r"a.h5 does not exist; give a file"):
        read_detex([tmp_path / "a.h5"], tmp_path / "run")
    (tmp_path / "a.h5").write_bytes(b"no")
    with pytest.raises(SightlineError, match=r"a.h5 is truncated or no HDF5 file"):
        read_detex([tmp_path / "a.h5"], tmp_path / "run")
    with h5py.File(tmp_path / "b.h5", "w"):
        pass
    with pytest.raises(SightlineError, match=r"b.h5 hold no /image/box/column data set"):
        read_detex([tmp_path / "b.h5"], tmp_path / "run")


@pytest.mark.parametrize(
    ("field", "value"),
    [("notes", [1]), ("curve", ["x"]), ("method", 3), ("box", [1]), ("measures", {"a": "b"})],
)
def test_a_damaged_word_of_our_own(tmp_path, field, value):
    toy_runs.run(tmp_path / "run", 3)
    path = write_detex(Run.open(tmp_path / "run"), tmp_path / "out")[0]
    with h5py.File(path, "a") as file:
        image = next(iter(file.values()))
        data = next(iter(next(iter(image.values())).values()))
        told = json.loads(data.attrs["sightline"]) | {field: value}
        data.attrs["sightline"] = json.dumps(told)
    with pytest.raises(SightlineError, match=r"hdf5 /\d+/\d+/\d+: the attribute 'sightline' is da"):
        read_detex([path], tmp_path / "back")


def test_a_photo_does_not_leave_its_folder(tmp_path):
    path = store(tmp_path / "a.hdf5", smallest(MAP), at="0/5/2")
    with pytest.raises(SightlineError, match=r"'../secret.png' does not stay in its folder"):
        read_detex([path], tmp_path / "run", photos=["../secret.png"])


def test_two_explanations_in_one_place(tmp_path):
    photos = toy_runs.names(1)

    def twins(item):
        given = toy_runs.result(item.name, 2)
        rows = [replace(r, candidate=9, label_index=1) for r in given.explanations]
        return replace(given, explanations=tuple(rows))

    toy_runs.explain_photos(
        toy_runs.work(photos), twins, toy_runs.manifest(photos), tmp_path / "run"
    )
    with pytest.raises(SightlineError, match=r"png/1/kernel_shap would lie at /0/9/5, where anoth"):
        write_detex(Run.open(tmp_path / "run"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_h5py_the_cure_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SightlineError, match=r"needs h5py; .*pip install 'sightline\[data\]'"):
        read_detex([tmp_path / "a.h5"], tmp_path / "run")


@pytest.mark.parametrize(
    ("engine", "method"),
    [
        (None, "kshap_100i"),
        ("Grad-CAM++", "grad_cam_pp"),
        (b"kSHAP", "kernel_shap"),
        ("a/b", "a-b"),
    ],
)
def test_the_method_is_the_engine_or_the_file_s_name(tmp_path, engine, method):
    engine = np.bytes_(engine) if isinstance(engine, bytes) else engine
    path = store(tmp_path / "kshap_100i.hdf5", smallest(MAP), explainer_engine=engine)
    read_detex([path], tmp_path / "run")
    assert Run.open(tmp_path / "run").item(0).row.method == method
