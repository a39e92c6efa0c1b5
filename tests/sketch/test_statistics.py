import json

import numpy as np
import pytest
from click.testing import CliRunner

import sightline as sl
from sightline.cli import main
from sightline.errors import DrawingError
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.sketch.importing import import_drawings
from sightline.sketch.statistics import (
    Distribution,
    collection_statistics,
    statistics_by_label,
    store_statistics,
    stroke_statistics,
)
from toys import scribble, unchecked


def two_drawings():
    timed = sl.Sketch(
        (np.array([[0.0, 0], [4, 0], [4, 3]]), np.array([[0.0, 0], [0, 2]])),
        times=(np.array([0.0, 100, 500]), np.array([900.0, 2900])),
        label="hook",
    )
    plain = sl.Sketch.from_strokes([[(0, 0), (10, 0)]], label="dash")
    return [timed, plain]


def test_worked_by_hand():
    told = stroke_statistics(two_drawings())
    assert told.drawings == 2
    assert told.strokes.values.tolist() == [1, 2]
    assert told.points.values.tolist() == [2, 2, 3]
    assert told.length.values.tolist() == [0.5, 1, 7 / 4]
    assert told.seconds.values.tolist() == [0.5, 2.0]
    assert told.as_dict()["at_most_10_strokes"] == 1


def test_without_times_there_are_no_seconds():
    assert stroke_statistics([scribble(0)]).seconds is None
    assert stroke_statistics([scribble(0)]).as_dict()["seconds_per_stroke"] is None


def test_lengths_do_not_change_as_a_drawing_grows():
    small, large = scribble(1), scribble(1).transform(7.0, (3, 4))
    assert stroke_statistics([large]).length.values == pytest.approx(
        stroke_statistics([small]).length.values
    )


def test_a_drawing_without_size_has_strokes_without_length():
    dot = sl.Sketch.from_strokes([[(1, 1), (1, 1)]])
    assert stroke_statistics([dot]).length.values.tolist() == [0]


def test_by_label_is_each_labels_own():
    told = statistics_by_label([*two_drawings(), scribble(0)])
    assert list(told) == ["dash", "hook", "scribble"]
    assert told["hook"].strokes.values.tolist() == [2]
    assert list(statistics_by_label([sl.Sketch.from_strokes([[(0, 0), (1, 1)]])])) == ["(no label)"]


def test_quantiles_and_histogram():
    values = Distribution.of([5, 1, 3, 2, 4])
    assert (values.quantile(0.5), values.quantile(0.25), values.mean) == (3, 2, 3)
    assert values.share_at_most(2) == 0.4
    assert values.histogram([0.5, 1.5, 2.5]).tolist() == [1, 4], "the last bin takes what is beyond"
    row = values.as_dict()
    assert list(row) == ["mean", "min", "q05", "q25", "q50", "q75", "q95", "max"]
    assert (row["min"], row["max"]) == (1, 5)


def test_histograms_lose_nothing():
    luck = np.random.default_rng(0).exponential(size=500)
    assert Distribution.of(luck).histogram(np.linspace(0, 1, 9)).sum() == 500


def test_nothing_has_no_statistics():
    with unchecked():
        with pytest.raises(DrawingError, match="the collection is empty"):
            stroke_statistics([])
        with pytest.raises(DrawingError, match="no values"):
            Distribution.of([])


def test_a_collection_on_disk_counts_like_the_drawings_it_was_made_of(tmp_path):
    drawings = [
        sl.Sketch(scribble(seed, 2 + seed % 12).strokes, label="ab"[seed % 2], name=str(seed))
        for seed in range(40)
    ]
    write_ndjson(tmp_path / "all.ndjson", drawings)
    store = import_drawings([tmp_path / "all.ndjson"], tmp_path / "store", shard=7)
    assert store_statistics(store) == collection_statistics(drawings)
    done = CliRunner().invoke(main, ["data", "stats", str(tmp_path / "store"), "--json"])
    assert json.loads(done.output) == collection_statistics(drawings) | {"skipped": 0}
    torn = tmp_path / "store/train-00001.arrow"
    torn.write_bytes(torn.read_bytes()[:-9])
    done = CliRunner().invoke(main, ["data", "stats", str(tmp_path / "store"), "--skip-bad"])
    assert done.exit_code == 0
    assert "left out train-00001.arrow" in done.stderr
