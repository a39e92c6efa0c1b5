"""The table of a run: means, pairs, intervals over photos; and as text and a page."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

import toy_runs
from sightline.metrics.clustered import clustered_mean, clustered_paired
from sightline.runs.page import curves_figure, write_page
from sightline.runs.rows import PhotoResult
from sightline.runs.run import Run
from sightline.runs.summary import summary, text_table
from toy_runs import manifest, names, work

VALUES = {  # photo -> box -> method -> deletion
    "a.png": [{"one": 0.7, "two": 0.5}, {"one": 0.9, "two": 0.7}],
    "b.png": [{"one": 0.2, "two": None}],
    "c.png": [{"one": 0.6, "two": 0.9}, {"one": None, "two": 0.9}],
}


def told_of(name: str) -> PhotoResult:
    given = toy_runs.result(name, 1)
    rows = [
        replace(
            given.explanations[0],
            number=number,
            method=method,
            measures={"deletion": value},
            evaluations=100 * (number + 1),
            seconds=2.0 + number,
            curve=(1.0, value or 0.0),
        )
        for number, box in enumerate(VALUES[name])
        for method, value in box.items()
    ]
    return replace(given, explanations=tuple(rows))


@pytest.fixture
def by_hand(tmp_path):
    photos = list(VALUES)
    methods = {"one": {}, "two": {}}
    toy_runs.explain_photos(
        work(photos), lambda item: told_of(item.name), manifest(photos, methods=methods), tmp_path
    )
    return Run.open(tmp_path)


def test_means_and_pairs_by_hand(by_hand):
    told = summary(by_hand)
    one, two = told.methods
    assert told.measures == ("deletion",)
    assert (one.method, one.boxes, one.photos, two.boxes) == ("one", 5, 3, 5)
    assert one.measures["deletion"].estimate == pytest.approx(0.6)  # the missing one left out
    assert two.measures["deletion"].estimate == pytest.approx(0.75)
    assert (one.counted["deletion"], two.counted["deletion"]) == (4, 4)
    assert one.against == {}
    gain = two.against["deletion"].difference.estimate
    assert gain == pytest.approx((-0.2 - 0.2 + 0.3) / 3)  # on the boxes that both have
    assert (one.evaluations, one.seconds) == (100.0, 2.0)


def test_intervals_resample_photos(by_hand):
    told = summary(by_hand, seed=3).methods
    photos = ["a", "a", "b", "c"]
    assert told[0].measures["deletion"] == clustered_mean([0.7, 0.9, 0.2, 0.6], photos, seed=3)
    pair = clustered_paired([0.5, 0.7, 0.9], [0.7, 0.9, 0.6], ["a", "a", "c"], seed=3)
    assert told[1].against["deletion"] == pair
    step = clustered_mean([0.7, 0.9, 0.2, 0.6, 0.0], [*photos, "c"], seed=3)
    assert vars(told[0].curve[1]) == pytest.approx(vars(step), rel=1e-12)
    assert len(told[0].curve) == 2


def test_the_text_by_hand(by_hand):
    lines = text_table(summary(by_hand)).splitlines()
    assert lines[0].split() == ["method", "boxes", "deletion", "evaluations", "seconds"]
    assert re.fullmatch(r"one +5 +0\.6000 \[\S+, \S+\] \(4\) +100 +2\.00", lines[1])
    assert re.fullmatch(r"two +5 +0\.7500 \[\S+, \S+\] \(4\) +100 +2\.00", lines[2])
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[4:] == [
        "3 of 3 photos explained, 0 failed",
        "mean over boxes [95 % interval, whole photos resampled]; median evaluations and seconds a "
        "box",
        "* differs from one on the same boxes (p < 0.05)",
    ]


def test_a_wide_table_lies_down(tmp_path):
    def much(item):
        given = toy_runs.result(item.name, 1)
        measures = {f"measure_{number}": 0.125 for number in range(9)}
        rows = [replace(row, measures=measures) for row in given.explanations]
        return replace(given, explanations=tuple(rows))

    toy_runs.run(tmp_path, 4, much)
    lines = text_table(summary(Run.open(tmp_path))).splitlines()
    assert lines[0].split() == ["method", *toy_runs.METHODS]
    assert lines[1].split() == ["boxes", "4", "4", "4"]
    assert lines[2].split()[:2] == ["measure_0", "0.1250"]
    assert max(map(len, lines[:13])) <= 100
    write_page(Run.open(tmp_path), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    heads = re.findall("<th>(.*?)</th>", page)
    assert heads == ["method", *toy_runs.METHODS]
    assert page.count("<tr><td>measure_") == 9


def test_a_star_where_a_difference_is_sure(tmp_path):
    def far(item):
        given = toy_runs.result(item.name, 1)
        rows = [
            replace(row, measures={"auc": 0.1 + 0.5 * (row.method != "kernel_shap")})
            for row in given.explanations
        ]
        return replace(given, explanations=tuple(rows))

    toy_runs.run(tmp_path, 12, far)
    lines = text_table(summary(Run.open(tmp_path))).splitlines()
    assert ["]*" in line for line in lines[1:4]] == [False, True, True]


def test_one_photo_has_a_mean_and_no_interval(tmp_path):
    toy_runs.run(tmp_path, 1, lambda item: toy_runs.result(item.name, 2))
    told = summary(Run.open(tmp_path))
    mean = told.methods[0].measures["deletion"]
    assert math.isnan(mean.low)
    assert told.methods[1].against == {}
    assert math.isnan(told.methods[0].curve[2].high)
    assert "(one photo)" in text_table(told)
    assert told.as_record()["methods"]["kernel_shap"]["measures"]["deletion"]["low"] is None


def test_a_run_under_way_says_so(tmp_path):
    def stop(item):
        if item.name == names(9)[7]:
            raise KeyboardInterrupt
        return toy_runs.explain(item)

    with pytest.raises(KeyboardInterrupt):
        toy_runs.run(tmp_path, 9, stop)
    text = text_table(summary(Run.open(tmp_path)))
    assert "6 of 9 photos explained, 1 failed\nthe run is not finished" in text


def test_a_run_without_rows_is_told(tmp_path):
    toy_runs.run(tmp_path, 2, lambda item: toy_runs.result(item.name, 0))
    told = summary(Run.open(tmp_path))
    assert told.methods == ()
    assert "2 of 2 photos explained" in text_table(told)
    write_page(Run.open(tmp_path), tmp_path / "page.html")


# --- the page -------------------------------------------------------------------------------------


def test_the_page_needs_no_other_file_and_runs_no_script(tmp_path):
    evil = "<script>alert(1)</script>"

    def marked(item):
        if item.name.endswith("4.png"):
            raise ValueError(evil)
        given = toy_runs.result(item.name, 2)
        rows = [replace(r, label=evil, unit=evil, blank=evil) for r in given.explanations]
        return replace(given, explanations=tuple(rows))

    photos = names(6)
    toy_runs.photos_on_disk(tmp_path / "photos", photos)
    told = manifest(
        photos, tmp_path / "photos", detector=evil, sanity=(evil, "sane"), settings={evil: evil}
    )
    toy_runs.explain_photos(work(photos), marked, told, tmp_path / "run")
    write_page(Run.open(tmp_path / "run"), tmp_path / "page.html", examples=4)
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") > 10
    addresses = re.findall(r"(?:src|href)=['\"]([^'\"]{0,30})", page)
    assert all(a.startswith(("data:image/jpeg;base64,", "#")) for a in addresses)
    assert page.count("<img") == 4 * 3
    assert "<li>sane</li>" in page
    assert "000000000004.png: ValueError" in page
    assert "no longer there" not in page


def test_a_photo_that_is_gone_is_said(tmp_path):
    toy_runs.run(tmp_path / "run", 4)
    write_page(Run.open(tmp_path / "run"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("the photo is no longer there") == page.count("<h3>") > 2


def test_curves_are_drawn_with_their_bands(by_hand):
    methods = summary(by_hand).methods
    (axes,) = curves_figure(methods).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [
        [interval.estimate for interval in method.curve] for method in methods
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    (band, _) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert {methods[0].curve[1].low, methods[0].curve[1].high} <= set(heights)


def test_examples_are_spread_over_the_run(tmp_path):
    toy_runs.run(tmp_path / "run", 31, lambda item: toy_runs.result(item.name, 1))
    write_page(Run.open(tmp_path / "run"), tmp_path / "page.html", examples=3)
    shown = re.findall(r"<h3>.* of (\d+).png", (tmp_path / "page.html").read_text())
    assert [int(name) for name in shown] == [0, 15, 30]
