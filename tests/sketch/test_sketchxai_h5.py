"""The original's HDF5 files, and a pickle of which nothing is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from generated import records
from sightline.errors import DrawingError
from sightline.sketch.formats.sketchxai_h5 import read_categories
from sightline.sketch.importing import import_drawings
from sightline.sketch.sketch import Sketch

NAMES = ["cat", "hot dog", "The Eiffel Tower"]
SPLITS = {"train": 40, "valid": 6, "test": 5}


def sketches(split: str, category: int, count: int) -> list[Sketch]:
    seed = 100 * category + len(split)
    made = [
        Sketch.from_strokes([np.array(s).T for s in r["drawing"]])
        for r in records(count, seed=seed)
    ]
    return [sketch.normalise() for sketch in made]


def rows(sketch: Sketch) -> np.ndarray:
    """x, y, pen up."""
    up = np.concatenate([np.arange(len(s)) == len(s) - 1 for s in sketch.strokes])
    return np.column_stack([sketch.points, up]).astype(np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A collection in the original's layout."""
    folder = tmp_path / "Category3"
    folder.mkdir()
    indices = []
    for split, count in SPLITS.items():
        with h5py.File(folder / f"quickdraw_{split}.hdf5", "w", libver="latest") as file:
            for category in range(len(NAMES)):
                group = file.create_group(f"/sketch/{category}")
                for number, sketch in enumerate(sketches(split, category, count)):
                    group.create_dataset(str(number), data=rows(sketch))
                group.attrs["num_sketches"] = count
        indices.append([(c, n) for c in range(len(NAMES)) for n in range(count)])
    told = {"categories": NAMES, "indices": indices}
    (folder / "categories.pkl").write_bytes(pickle.dumps(told, pickle.HIGHEST_PROTOCOL))
    return folder


def test_drawings_splits_and_labels_are_the_originals(folder, tmp_path):
    store = import_drawings([folder], tmp_path / "out")
    assert store.labels == ("The Eiffel Tower", "cat", "hot dog")
    assert store.dropped == {}
    for split, count in SPLITS.items():
        ours = store.split(split)
        assert len(ours) == 3 * count
        for category, name in enumerate(NAMES):
            for number, theirs in enumerate(sketches(split, category, count)):
                sketch = ours.sketch(category * count + number)
                assert (sketch.label, sketch.name) == (name, f"{split}/{category}/{number}")
                assert [len(s) for s in sketch.strokes] == [len(s) for s in theirs.strokes]
                np.testing.assert_array_equal(sketch.points, theirs.points.astype(np.float32))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_names_of_every_protocol(tmp_path, protocol):
    path = tmp_path / "categories.pkl"
    for names in (["cat"], NAMES, [f"thing {i} é" for i in range(2_500)]):
        path.write_bytes(pickle.dumps({"categories": names, "indices": [[(0, 1)]]}, protocol))
        assert read_categories(path) == tuple(names)


class Bomb:
    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_the_pickle_is_not_run(folder, tmp_path, protocol):
    boom = tmp_path / "boom"
    bomb, path = Bomb(str(boom)), folder / "categories.pkl"
    for told in (bomb, {"x": bomb, "categories": NAMES}, {"categories": [bomb, *NAMES]},
                 {"categories": bomb}):  # fmt: skip
        path.write_bytes(pickle.dumps(told, protocol))
        with pytest.raises(DrawingError, match="carries code"):
            read_categories(path)
        assert len(import_drawings([folder], tmp_path / f"out{len(list(tmp_path.iterdir()))}")) == 0
    path.write_bytes(pickle.dumps({"categories": NAMES, "indices": bomb}, protocol))
    assert read_categories(path) == tuple(NAMES)  # what comes behind the names is not looked at
    assert not boom.exists()
    pickle.loads(path.read_bytes())  # noqa: S301
    assert boom.exists()  # the bomb is real


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"indices": []}, "no list 'categories'|was expected"),
        ({"categories": []}, "no list 'categories'|no categories"),
        ({"categories": ["a", "b", "a"]}, "one of them twice|was expected"),
        ({"categories": [1, 2]}, "was expected"),
        ([], "no list 'categories'|was expected"),
    ],
)
def test_other_pickles_are_told(tmp_path, told, match):
    path = tmp_path / "categories.pkl"
    path.write_bytes(pickle.dumps(told))
    with pytest.raises(DrawingError, match=match):
        read_categories(path)


@pytest.mark.parametrize("cut", [0, 3, 20])
def test_a_damaged_pickle_is_told(folder, cut):
    path = folder / "categories.pkl"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DrawingError, match=r"categories.pkl "):
        read_categories(path)


def test_bad_data_sets_are_counted_and_links_not_followed(folder, tmp_path):
    secret = tmp_path / "secret.hdf5"
    with h5py.File(secret, "w") as file:
        file["rows"] = np.array([[0, 0, 0], [5, 5, 1]], np.float32)
    with h5py.File(folder / "quickdraw_test.hdf5", "a") as file:
        group = file["/sketch/0"]
        for number in range(4):
            del group[str(number)]
        group["0"] = 57  # the published converter, as it is, writes numbers of points
        group["1"] = np.zeros((4, 2), np.float32)
        group["2"] = h5py.ExternalLink(str(secret), "rows")
        group["3"] = np.array([[0, 0, 0], [1, 1, 7]], np.float32)
    store = import_drawings([folder], tmp_path / "out")
    assert store.dropped == {"not readable": 4}
    assert len(store.split("test")) == 3 * SPLITS["test"] - 4
    with pytest.raises(DrawingError, match=r"hdf5 /sketch/0/0 has shape \[\]; expected \[points"):
        import_drawings([folder], tmp_path / "other", raise_bad=True)


def test_a_file_that_is_no_hdf5_is_named(folder, tmp_path):
    (folder / "quickdraw_valid.hdf5").write_bytes(b"nonsense" * 100)
    with pytest.raises(DrawingError, match=r"quickdraw_valid.hdf5 is truncated or no HDF5 file"):
        import_drawings([folder], tmp_path / "other", raise_bad=True)
