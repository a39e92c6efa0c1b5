"""Files of a study: what is there is not made again, and what does not fit is refused by name."""

from __future__ import annotations

import json
import math

import pytest

from sightline.benchmark.markdown import markdown_table, number, percent
from sightline.benchmark.records import (
    Records,
    append_line,
    collection_digest,
    read_lines,
    write_findings,
)
from sightline.errors import SightlineError, TaskError
from sightline.metrics.intervals import Interval
from toys import scribble

PLAN = [{"item": name, "round": number} for name in "ab" for number in range(2)]


def made(step):
    return {"told": f"{step['item']}{step['round']}"}


def test_a_plan_is_made_once_and_comes_back_in_its_order(tmp_path):
    records = Records(tmp_path / "deep" / "study.jsonl", {"seed": 0})
    told = []
    part = records.complete(PLAN[2:3], made, told.append)
    assert part == [{"item": "b", "round": 0, "told": "b0"}]
    found = records.complete(PLAN, made, told.append)
    assert [record["told"] for record in found] == ["a0", "a1", "b0", "b1"]
    assert told == [f"study.jsonl: {n}" for n in ("1 of 1", "1 of 4", "2 of 4", "4 of 4")]
    assert records.complete(PLAN, lambda _: pytest.fail("made again")) == found
    assert records.complete(PLAN[:1], made) == found[:1]
    assert records.complete([], made) == []


@pytest.mark.parametrize("kept", range(5))
def test_a_kill_at_any_line_is_gone_on_from(tmp_path, kept):
    records = Records(tmp_path / "study.jsonl", {"seed": 0})
    found = records.complete(PLAN, made)
    whole = records.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    records.path.write_bytes(b"".join(lines[:kept]) + lines[kept][:7])
    again = []
    assert records.complete(PLAN, lambda step: again.append(step) or made(step)) == found
    assert again == PLAN[max(0, kept - 1) :]
    assert records.path.read_bytes() == whole


def test_other_settings_are_refused_by_name(tmp_path):
    records = Records(tmp_path / "study.jsonl", {"seed": 0, "shares": (0.1, 0.2), "old": 1})
    records.append({"item": "a"})
    assert records.read() == [{"item": "a"}]
    other = Records(records.path, {"seed": 1, "shares": (0.1, 0.2), "new": "x"})
    told = r"study\.jsonl is of another study: seed was 0 and is 1; old was 1 and is None; new was "
    with pytest.raises(TaskError, match=f"{told}None and is 'x'. Give another folder"):
        other.complete(PLAN, made)


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "study.jsonl"
    append_line(path, {"seed": 0})
    path.write_bytes(path.read_bytes() + b"{]\n")
    with pytest.raises(SightlineError, match=r"study\.jsonl, line 2 is no record of a study .*rem"):
        Records(path, {"seed": 0}).read()
    path.write_bytes(b"[1]\n")
    with pytest.raises(SightlineError, match="line 1 is no record of a study"):
        Records(path, {"seed": 0}).read()
    path.write_bytes(b'{"a": 1}\n{"a"')
    assert read_lines(path, lambda told: told["a"], "number") == ([1], True)
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_line(path, {"a": math.nan})
    assert path.read_bytes() == b'{"a": 1}\n{"a"'  # nothing was touched


def test_a_collection_is_known_in_any_order_by_points_and_labels():
    some = [scribble(seed) for seed in range(3)]
    assert collection_digest(some) == collection_digest(some[::-1])
    assert collection_digest(some) != collection_digest(some[1:])


def test_findings_are_two_files(tmp_path):
    write_findings(tmp_path / "out", "study", "| a |\n\n", [{"a": 1.5}])
    assert (tmp_path / "out" / "study.md").read_text() == "| a |\n"
    assert json.loads((tmp_path / "out" / "study.json").read_text()) == [{"a": 1.5}]


def test_numbers_in_markdown():
    share = Interval(0.5, 0.094, 0.906)
    assert (percent(share), percent(share, 0)) == ("50.0 [9.4, 90.6]", "50 [9, 91]")
    assert number(Interval(-0.5, -1, 2), 3) == "-0.500 [-1.000, 2.000]"
    assert percent(None) == number(None) == "–"
    assert percent(Interval(0.25, -math.inf, math.inf)) == "25.0"  # one seed: no width is known
    assert markdown_table(["a"], []) == "| a |\n| --- |"
