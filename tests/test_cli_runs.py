"""``sightline measure``, ``show`` and ``convert``: what they print and write."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import toy_runs
from sightline.cli.runs import convert, measure, show
from sightline.errors import SightlineError
from sightline.runs.run import Run


@pytest.fixture
def run(tmp_path) -> Path:
    toy_runs.run(tmp_path / "run")
    return tmp_path / "run"


def call(command: click.Command, *arguments: object, code: int = 0):
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def test_measure_prints_the_table_and_writes_the_page(run):
    done = call(measure, run)
    head, first, *_ = done.stdout.splitlines()
    assert head.split()[:3] == ["method", "boxes", "deletion"]
    assert first.startswith("kernel_shap")
    assert "18 of 20 photos explained, 2 failed" in done.stdout
    assert "failed: 000000000003.png: PhotoError: 000000000003.png is broken" in done.stderr
    assert f"wrote {run / 'report.html'}" in done.stderr
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert toy_runs.run(run).explained == 0  # the page is no obstacle to going on


def test_measure_as_json(run, tmp_path):
    done = call(measure, run, "--json", "--out", tmp_path / "page.html", "--examples", 2)
    told = json.loads(done.stdout)
    assert list(told["methods"]) == list(toy_runs.METHODS)
    assert told["methods"]["kernel_shap"]["measures"]["deletion"]["boxes"] > 5
    assert not (run / "report.html").exists()
    assert (tmp_path / "page.html").exists()
    call(measure, run, "--no-page")
    assert not (run / "report.html").exists()


def test_show_lists_prints_and_draws(run, tmp_path):
    names = call(show, run).stdout.splitlines()
    assert names == list(Run.open(run).items())
    done = call(show, run, names[0], "--out", tmp_path / "a.png")
    assert done.stdout == call(show, run, 0, "--out", tmp_path / "b.png").stdout.replace(
        "b.p", "a.p"
    )
    assert f"{names[0]}: apple (score 0.900) in [2.0, 3.0, 20.5, 18.2], by toy" in done.stdout
    assert "explained: probability of apple, in probability" in done.stdout
    assert "value 0.9000, with nothing there 0.0500" in done.stdout
    assert "100 evaluations, 0.00 s, seed 7" in done.stdout
    row = Run.open(run).item(0).row
    top = abs(row.scores).argmax()
    middle = f"({8 * (top % 4) + 3.5:.0f}, {8 * (top // 4) + 3.5:.0f})"
    lines = done.stdout.splitlines()
    first = lines[lines.index("strongest of 12 parts (cells):") + 1]
    assert first.split()[:2] == [str(top), f"{row.scores[top]:+.4f}"]
    assert first.endswith(f"around {middle}, 64 pixels")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_not_known_is_said(run):
    names = call(show, run).stdout.splitlines()
    told = call(show, run, next(n for n in names if n.endswith("1/x_grad_cam"))).stdout
    assert "with nothing there not known" in told
    assert "note: a note" in told


def test_show_of_what_is_not_there(run, tmp_path):
    with pytest.raises(SightlineError, match="has no explanation 'cat'"):
        call(show, run, "cat")
    with pytest.raises(SightlineError, match=r"is no run \(it has no run.json\)"):
        call(show, tmp_path)


@pytest.mark.parametrize("kind", ["coco", "parquet", "arrow", "csv"])
def test_convert_to_a_file(run, tmp_path, kind):
    out = tmp_path / f"a.{'json' if kind == 'coco' else kind}"
    count = len(Run.open(run)) // (3 if kind == "coco" else 1)
    assert call(convert, run, out, "--to", kind).stdout.startswith(f"wrote {count} ")
    assert out.stat().st_size > 100


def test_convert_to_detex_and_back(run, tmp_path):
    assert "kernel_shap.hdf5" in call(convert, run, tmp_path / "out", "--to", "detex").stdout
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == 3
    told = call(convert, *files, tmp_path / "back").stdout
    assert told.startswith("Run(detex: ")
    assert len(Run.open(tmp_path / "back")) == len(Run.open(run))


def test_convert_asks_for_what_it_needs(run, tmp_path):
    assert "give --to detex|coco|" in call(convert, run, tmp_path / "a", code=2).stderr
    assert "ends in .csv; got a" in call(convert, run, tmp_path / "a", "--to", "csv", code=2).stderr
    wrong = call(convert, run, run, tmp_path / "a.csv", "--to", "csv", code=2)
    assert "takes one run; got 2" in wrong.stderr
