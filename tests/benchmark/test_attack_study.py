"""The study of attacks: what a round counts, that it goes on, and what the tables say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import sightline as sl
from sightline.benchmark.attack import attack_study, chosen_rounds
from sightline.benchmark.attack_rounds import (
    POINTS,
    PUT_IN,
    REMOVED,
    UNTOUCHED,
    AttackStudy,
    Row,
)
from sightline.benchmark.attack_summary import AGAIN, attack_curves, attack_tables, cells
from sightline.cli.benchmark_attack import benchmark_attack
from sightline.errors import SightlineError, TaskError
from sightline.metrics.intervals import wilson
from sightline.models.recognise import recognise
from sightline.sketch.formats.quickdraw import write_ndjson
from sightline.tasks.attack import remove_small_stroke
from toys import LABELS, picture_net, scribble, stroke_net

SMALL = AttackStudy(
    drawings=2, inserted=1, budgets=(0.02, 0.3), shares=(0.2,), inserted_shares=(0.1,), steps=3,
    tries=3,
)  # fmt: skip
MODELS = {"strokes": stroke_net(1), "picture": picture_net(1)}


def answered(model, count=12):
    """Drawings that bear the answer of a model: it is right about each."""
    drawn = [scribble(seed, 6) for seed in range(count)]
    return [replace(sketch, label=recognise(model, sketch)[0].label) for sketch in drawn]


def replace_labels(model):
    model.labels = ()
    return model


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sketches = answered(MODELS["strokes"])
    return attack_study(MODELS, sketches, folder, SMALL), sketches, folder


def test_every_kind_is_tried_at_every_level_on_what_is_answered_rightly(done):
    rows, sketches, _ = done
    own = [row for row in rows if row.model == "strokes"]
    drawings = [sketch for some in chosen_rounds(sketches, SMALL) for sketch in some]
    count = len(drawings)
    levels = {
        **dict.fromkeys(POINTS, 2),
        **dict.fromkeys(REMOVED, 1),
        UNTOUCHED: 1,
    }
    for kind, number in levels.items():
        assert sum(row.kind == kind for row in own) == number * count, kind
    first = len(chosen_rounds(sketches, SMALL)[0])
    assert sum(row.kind in PUT_IN for row in own) == 2 * first
    right = [s for s in drawings if recognise(MODELS["picture"], s)[0].label == s.label]
    named = {row.drawing for row in rows if row.model == "picture"}
    assert named == {sketch.name for sketch in right}


def test_the_untouched_drawing_is_no_attack(done):
    rows, _, _ = done
    for row in rows:
        if row.kind == UNTOUCHED:
            assert (row.success, row.again, row.ink) == (False, False, 0.0)
            assert row.mean < 1e-12  # a sample on a line is not on it to the last bit
            assert row.other in (False, None)


def test_a_larger_budget_changes_more_and_a_gradient_beats_luck(done):
    rows, _, _ = done
    by = {(cell.kind, cell.level): cell for cell in cells(rows) if cell.model == "strokes"}
    for kind in POINTS:
        assert by[kind, 0.02].mean < by[kind, 0.3].mean
    assert by[POINTS[2], 0.3].success.estimate > by[POINTS[0], 0.3].success.estimate
    # no point of a line moves farther than the budget, in shares of the side 1.48
    moved = [row for row in rows if row.kind in POINTS]
    assert all(row.largest <= row.level / 1.48 + 1e-5 for row in moved)


def test_removal_is_what_the_library_says_one_by_one(done):
    rows, sketches, _ = done
    net = MODELS["strokes"]
    for sketch in sketches:
        for row in rows:
            if (row.model, row.kind, row.drawing) == ("strokes", "removed", sketch.name):
                alone = remove_small_stroke(net, sketch, share=row.level)
                assert (row.success, row.again) == (alone.success, alone.survives)
                assert row.ink == pytest.approx(alone.change.ink)
    hits = {kind: sum(row.success for row in rows if row.kind == kind) for kind in REMOVED}
    assert hits["removed"] >= max(hits.values())


def test_a_second_start_reads_and_a_finished_round_is_not_done_again(done, monkeypatch):
    rows, sketches, folder = done
    monkeypatch.setattr(
        "sightline.benchmark.attack.attacked_round", lambda *_, **__: pytest.fail("done again")
    )
    assert attack_study(MODELS, sketches, folder, SMALL) == rows


def test_shares_of_two_processes_are_the_whole(done, tmp_path):
    rows, sketches, _ = done
    study = replace(SMALL, drawings=1)
    for name in MODELS:
        part = attack_study(MODELS, sketches, tmp_path, study, only=name)
        assert {row.model for row in part} == {name}
    whole = attack_study(MODELS, sketches, tmp_path, study)
    named = {row.drawing for row in whole}
    assert whole == [
        row for name in MODELS for row in rows if row.model == name and row.drawing in named
    ]


def test_another_study_s_folder_and_too_few_models_are_refused(done, tmp_path):
    _, sketches, folder = done
    file = "rounds-0-strokes.jsonl"
    with pytest.raises(TaskError, match=f"{file} is of another study: seed was 0 and is 1"):
        attack_study(MODELS, sketches, folder, replace(SMALL, seed=1))
    with pytest.raises(TaskError, match="is of another study: collection was"):
        attack_study(MODELS, sketches[1:], folder, SMALL)
    with pytest.raises(TaskError, match="is of another study: models was"):
        attack_study({**MODELS, "picture": picture_net(2)}, sketches, folder, SMALL)
    with pytest.raises(TaskError, match="two models or more"):
        attack_study({"one": MODELS["strokes"]}, sketches, tmp_path)
    with pytest.raises(TaskError, match="unknown model 'stroke'"):
        attack_study(MODELS, sketches, folder, SMALL, only="stroke")
    with pytest.raises(TaskError, match="no drawings to attack"):
        attack_study(MODELS, [], tmp_path)
    nameless = replace_labels(picture_net(1))
    with pytest.raises(TaskError, match="RasterModel names no labels"):
        attack_study({"a": nameless, "b": nameless}, sketches, tmp_path)
    with pytest.raises(TaskError, match="0 drawings of each label"):
        AttackStudy(0, 0)
    shutil.copy(folder / file, tmp_path)
    with open(tmp_path / file, "a") as stream:
        stream.write("[[1, 2]]\n")
    with pytest.raises(SightlineError, match=f"{file}, line 4 is no record of a study"):
        attack_study(MODELS, sketches, tmp_path, SMALL)


def test_a_killed_study_goes_on_and_ends_the_same(done, tmp_path):
    rows, sketches, folder = done
    for file in folder.glob("rounds-*.jsonl"):
        shutil.copy(file, tmp_path)
    file = tmp_path / "rounds-1-picture.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:-1]) + whole[-1][:50])
    told = []
    assert attack_study(MODELS, sketches, tmp_path, SMALL, progress=told.append) == rows
    assert told == ["rounds-1-picture.jsonl: 2 of 2"]


def test_rounds_hold_one_drawing_of_each_label():
    drawn = [replace(scribble(i), label=LABELS[i % 3]) for i in range(9)] + [
        replace(scribble(50), label="delta")
    ]
    rounds = chosen_rounds(drawn, AttackStudy(2, 0))
    assert [[s.label for s in some] for some in rounds] == [
        ["alpha", "beta", "delta", "gamma"],
        ["alpha", "beta", "gamma"],
    ]
    again = chosen_rounds(drawn[::-1], AttackStudy(2, 0))
    assert [[s.name for s in some] for some in again] == [[s.name for s in some] for some in rounds]


# --- tables ---------------------------------------------------------------------------------------


def row(success, other, kind="one step", level=0.02, model="net"):
    return Row(model, "d", kind, level, success, success, other, 0.5, 0.01, 0.1)


def test_cells_count_and_give_intervals():
    (cell,) = cells([row(True, None), row(False, True), row(True, False), row(True, False)])
    assert (cell.drawings, cell.success, cell.other) == (4, wilson(3, 4), wilson(1, 3))
    assert (cell.ink, cell.mean, cell.largest) == pytest.approx((0.5, 0.01, 0.1))
    assert cells([row(True, None)])[0].other is None
    with pytest.raises(TaskError, match="no attacks to sum up"):
        cells([])


def test_tables_say_it():
    table = attack_tables([row(True, None), row(False, True), row(True, True, "removed", 0.1)])
    assert "**net**, 2 drawings" in table
    assert "| successes of 2, %; budget | 0.02 |" in table
    assert "| one step | 50 [9, 91] |" in table
    assert "| one step | 0.02 | 2 | 50.0 [9.5, 90.5] | 50.0 [9.5, 90.5] | 100.0 [" in table
    assert "| removed | 0.1 | 1 | 100.0 [" in table


def test_curves_show_each_kind_with_its_levels(done):
    rows, _, _ = done
    figure = attack_curves(rows)
    moved, strokes = figure.axes[:2]
    assert [text.get_text() for text in moved.get_legend().get_texts()] == [*POINTS, AGAIN]
    own = [cell for cell in cells(rows) if cell.model == "strokes" and cell.kind == POINTS[2]]
    line = next(line for line in moved.get_lines() if line.get_label() == POINTS[2])
    np.testing.assert_allclose(line.get_ydata(), [100 * cell.success.estimate for cell in own])
    assert {line.get_label() for line in strokes.get_lines()} == {*REMOVED, *PUT_IN}


def test_the_command_writes_the_study_and_prints_the_numbers(done, tmp_path, monkeypatch):
    rows, sketches, _ = done
    monkeypatch.setattr(sl, "load", MODELS.__getitem__)
    monkeypatch.setattr("sightline.benchmark.attack.attack_study", lambda *_, **__: rows)
    data = tmp_path / "data"
    data.mkdir()
    write_ndjson(data / "walks.ndjson", sketches)
    given = [str(data), "--out", str(tmp_path), "--model", "strokes", "--model", "picture"]
    threads = torch.get_num_threads()
    try:
        text, numbers = (
            CliRunner().invoke(benchmark_attack, [*given, *more]) for more in ([], ["--json"])
        )
    finally:
        torch.set_num_threads(threads)
    assert text.exit_code == 0, text.output
    assert text.stdout == attack_tables(rows) + "\n" == (tmp_path / "attack.md").read_text()
    told = json.loads(numbers.stdout)
    assert told == json.loads((tmp_path / "attack.json").read_text())
    assert len(told) == len(cells(rows))
    assert told[0]["success"].keys() == {"estimate", "low", "high"}
    assert (tmp_path / "attack.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_command_attacks_the_shipped_models(data, tmp_path):
    sources = [data / "spg_quickdraw_parts", "--out", tmp_path / "out"]
    asked = [*sources, "--drawings", 1, "--inserted", 0, "--only", "sketch-cnn"]
    run = CliRunner().invoke(benchmark_attack, [str(word) for word in asked])
    assert run.exit_code == 0, run.output
    assert "**sketch-cnn**, 20 drawings" in run.output
    assert (tmp_path / "out" / "attack.png").exists()
