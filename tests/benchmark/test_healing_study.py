import json
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

import sightline as sl
from sightline.benchmark import healing as study_of
from sightline.benchmark.healing import (
    KINDS,
    HealingStudy,
    healing_study,
    longest_first,
    shortest_first,
)
from sightline.benchmark.healing_tables import healing_tables, numbers_of
from sightline.cli import benchmark_healing
from sightline.errors import SightlineError, TaskError
from sightline.tasks.healing.pieces import Piece, common, gone_of
from toys import picture_net, scribble


def run_of(name: str, kind: str = "slash", planted=1.0, lowers=1.0, before=0.0, **own):
    """A run; ``shapley`` and ``random`` are given as (removed, hit, right, line), or 0."""
    removers = {}
    for remover in ("shapley", "random"):
        numbers = own.get(remover, ()) + (0.0,) * 4
        removers[remover] = dict(zip(("removed", "hit", "right", "line"), numbers, strict=False))
    return {
        "drawing": name,
        "kind": kind,
        "model": "net",
        "planted": planted,
        "lowers": lowers,
        "right before": before,
        "right clean": 1.0,
        "removers": removers,
    }


ROWS = [
    run_of("a", shapley=(2.0, 1.0, 1.0, 0.5)),
    run_of("b", shapley=(1.0, 1.0, 1.0)),
    run_of("c", random=(3.0,), lowers=0.0),
    run_of("d", planted=3.0, shapley=(1.0, 1.0), before=1.0),
]


def test_numbers_by_hand():
    found = numbers_of(ROWS, "shapley")
    assert found.precision.estimate == 3 / 4
    assert found.recall.estimate == 3 / 6
    assert found.recall_of_harm.estimate == 3 / 5
    assert found.right.estimate == 2 / 4
    assert found.gained.estimate == 1 / 4  # two more, one less, of four
    assert (found.removed, found.line) == (1.0, 0.125)
    assert numbers_of(ROWS, "random").precision is None  # all of one drawing: no interval


def test_tails_are_shares_of_the_line():
    rows = [
        run_of("a", "overshoot", planted=0.2, shapley=(0.4, 0.1)),
        run_of("b", "overshoot", planted=0.1, shapley=(0.1, 0.1)),
        run_of("c", "overshoot", planted=0.1),
    ]
    found = numbers_of(rows, "shapley")
    assert found.precision.estimate == pytest.approx((1 / 4 + 1) / 2)
    assert found.recall.estimate == pytest.approx((1 / 2 + 1 + 0) / 3)


def test_tables_say_what_they_hold():
    text, numbers = healing_tables(
        [*ROWS, {"drawing": "e", "kind": "slash", "model": "net", "planted": None}]
    )
    assert numbers["net"]["drawings"] == 4
    assert "4 runs of 4 drawings; right before 25.0" in text
    assert "| shapley | 75.0 [" in text
    assert "| random | –" in text
    paired = next(line for line in text.splitlines() if line.startswith("| random | 50.0"))
    # planted less own strokes: 0 of a, 1 of b, 3 of c (whose random took 3 own), 1 of d
    assert "1.2500 [" in paired
    json.dumps(numbers)


def test_what_is_gone_and_what_of_it_was_planted():
    sketch = sl.Sketch.from_strokes([[(i, 0) for i in range(10)], [(0, 1), (9, 1)]])
    left = (Piece(0, 2, 4), Piece(0, 6, 9))
    gone = gone_of(sketch, left)
    assert gone == [Piece(0, 0, 2), Piece(0, 4, 6), Piece(1, 0, 1)]
    assert common(gone, [Piece(0, 5, 9), Piece(1, 0, 1)]) == [Piece(0, 5, 6), Piece(1, 0, 1)]


def test_length_orders():
    sketch = sl.Sketch.from_strokes([[(0, 0), (3, 4)], [(0, 0), (1, 0)]])
    assert shortest_first(sketch).tolist() == [5.0, 1.0]
    assert longest_first(sketch).tolist() == [-5.0, -1.0]


@pytest.fixture(scope="module")
def given():
    net = picture_net()
    sketches = [
        replace(
            scribble(seed, strokes=3, longest=9), label=net.labels[seed % 2], name=f"walk {seed}"
        )
        for seed in range(6)
    ]
    return {"net": net}, sketches


def test_a_study_goes_on_and_is_the_same_again(given, tmp_path):
    models, sketches = given
    study = HealingStudy(drawings=2, kinds=("slash", "overshoot", "clean"), each=2)
    once = healing_study(models, sketches, tmp_path / "once", study)
    assert len(once) == 5
    told = []
    part = replace(study, kinds=("slash",), each=1)
    healing_study(models, sketches, tmp_path / "parts", part)
    again = healing_study(models, sketches, tmp_path / "parts", study, progress=told.append)
    assert len(told) == 3  # the two with a slash were there
    assert healing_tables(again) == healing_tables(once)
    for one, other in zip(once, again, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


def test_a_killed_study_goes_on(given, tmp_path):
    models, sketches = given
    study = HealingStudy(drawings=2, kinds=("slash", "ticks"), each=1)
    once = healing_study(models, sketches, tmp_path / "once", study)
    healing_study(models, sketches, tmp_path / "killed", study)
    file = tmp_path / "killed" / "healing.jsonl"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:2]) + whole[2][:30])
    told = []
    again = healing_study(models, sketches, tmp_path / "killed", study, progress=told.append)
    assert told == ["healing.jsonl: 2 of 2"]
    assert [row["removers"] for row in again] == [row["removers"] for row in once]


def test_a_folder_of_another_study_is_refused(given, tmp_path):
    models, sketches = given
    study = HealingStudy(drawings=2, kinds=("slash",), each=1)
    healing_study(models, sketches, tmp_path, study)
    with pytest.raises(TaskError, match=r"healing\.jsonl is of another study: seed was 0 and is 1"):
        healing_study(models, sketches, tmp_path, replace(study, seed=1))
    with pytest.raises(TaskError, match="another study: collection was"):
        healing_study(models, sketches[1:], tmp_path, study)
    other = {"net": picture_net(5)}  # other weights by the same name: run anew, not mixed
    told = []
    again = healing_study(other, sketches, tmp_path, study, progress=told.append)
    assert len(told) == len(again) == 2


def test_measures_of_a_run_fit_together(given, tmp_path):
    models, sketches = given
    study = HealingStudy(drawings=2, kinds=("ticks", "clean"))
    for row in healing_study(models, sketches, tmp_path, study):
        removers = row["removers"]
        assert set(study_of.STROKE_REMOVERS) | set(study_of.BLIND) < set(removers)
        assert row["planted"] == (3.0 if row["kind"] == "ticks" else 0.0)
        for name, seen in removers.items():
            assert 0 <= seen["hit"] <= min(row["planted"], seen["removed"])
            assert 0 <= seen["line"] <= 0.75 + 1e-9 or name in study_of.BLIND
        for name in study_of.BLIND:
            assert removers[name]["removed"] == removers["shapley"]["removed"]
        assert min(removers[name]["gain"] for name in study_of.STROKE_REMOVERS) >= 0


def test_drawings_are_chosen_by_luck_of_their_own(given):
    _, sketches = given
    few, more = (HealingStudy(drawings=n).chosen(sketches) for n in (2, 4))
    assert more[:2] == few
    assert HealingStudy(drawings=4, seed=1).chosen(sketches) != more
    assert HealingStudy(drawings=4).chosen(sketches[::-1]) == more


def test_kinds_take_turns():
    study = HealingStudy(each=2)
    every = [study.kinds_of(place) for place in range(12)]
    assert every[0] == ("foreign", "ticks", "clean")
    assert every[1] == ("scribble", "copy")
    counts = {kind: sum(kind in kinds for kinds in every) for kind in KINDS}
    assert counts == dict.fromkeys(KINDS[:-1], 4) | {"clean": 6}
    assert HealingStudy(kinds=("clean",)).kinds_of(1) == ("clean",)
    assert HealingStudy(kinds=("slash",), each=2).kinds_of(1) == ("slash",)


def test_wrong_plans(given, tmp_path):
    models, sketches = given
    with pytest.raises(SightlineError, match="unknown kind of noise 'tick'"):
        HealingStudy(kinds=("tick",))
    with pytest.raises(SightlineError, match="give at least 2"):
        HealingStudy(drawings=1)
    with pytest.raises(SightlineError, match="0 kinds each; give at least 2 and 1"):
        HealingStudy(each=0)
    nameless = [replace(sketch, name=None) for sketch in sketches]
    with pytest.raises(SightlineError, match="need names, each its own"):
        healing_study(models, nameless, tmp_path, HealingStudy(drawings=2))


def test_the_command_knows_the_same_kinds():
    assert benchmark_healing.KINDS == KINDS


def test_the_command(given, tmp_path, monkeypatch):
    models, sketches = given
    monkeypatch.setattr(sl, "load", models.__getitem__)
    data = tmp_path / "data"
    data.mkdir()
    from sightline.sketch.formats.quickdraw import write_ndjson

    write_ndjson(data / "walks.ndjson", sketches)
    names = {}
    for label in {s.label for s in sketches}:
        names[label] = {"test": [s.name for s in sketches if s.label == label]}
    (data / "splits.json").write_text(json.dumps(names))
    out = tmp_path / "out"
    given = [data, "--model", "net", "--drawings", 2, "--kind", "slash", "--out", out]
    threads = torch.get_num_threads()
    try:
        done, again = (
            CliRunner().invoke(benchmark_healing.healing, [*map(str, given), *more])
            for more in ([], ["--json"])
        )
    finally:
        torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    assert "### noise strokes" in done.stdout
    assert (out / "healing.md").read_text() == done.stdout
    assert again.exit_code == 0, again.output
    assert "healing.jsonl" not in again.stderr  # nothing was run again
    told = json.loads(again.stdout)
    assert told == json.loads((out / "healing.json").read_text())
    assert told["net"]["drawings"] == 2
