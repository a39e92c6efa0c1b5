import json

import pytest
from click.testing import CliRunner

from sightline.cli import align_matrix
from sightline.cli.align_matrix import STRATEGY_NAMES

COUNTS = {
    "Reasonable Accurate": 402,
    "Unreasonable Accurate": 212,
    "Reasonable Inaccurate": 71,
    "Unreasonable Inaccurate": 65,
}


def run(command, *arguments, fails=False):
    result = CliRunner().invoke(getattr(align_matrix, command), [str(a) for a in arguments])
    if not fails and result.exception is not None and result.exit_code != 0:
        raise AssertionError(result.output) from result.exception
    return result


@pytest.fixture
def published(tmp_path):
    """As many verdicts of each cell as GRADIA released, in its layout."""
    path = tmp_path / "reasonability.json"
    names = [cell for cell, count in COUNTS.items() for _ in range(count)]
    path.write_text(json.dumps({f"{i:06d}.jpg": cell for i, cell in enumerate(names)}))
    return path


@pytest.fixture
def verdicts(tmp_path):
    path = tmp_path / "verdicts.csv"
    path.write_text(
        "item,accurate,necessary,nothing_unnecessary,rating,author,proposed\n"
        "a,yes,yes,no,2,ada,\nb,yes,yes,yes,5,ada,\n"
        "a,yes,yes,yes,4,bob,\nb,yes,yes,yes,5,bob,\n"
        "a,yes,no,,,sightline,yes\nb,no,no,,,sightline,yes\n"
    )
    return path


def test_the_published_numbers(published, tmp_path):
    out = tmp_path / "out"
    result = run("matrix", published, "--out", out)
    assert "750 verdicts" in result.output
    assert "accurate 81.9 % [78.9, 84.5]; reasonable 63.1 % [59.6, 66.4]" in result.output
    assert "wrote matrix.md and matrix.png" in result.output
    assert "| unreasonable | 212: 28.3 %" in (out / "matrix.md").read_text()
    assert (out / "matrix.png").stat().st_size > 10_000


def test_json_is_one_object(published):
    record = json.loads(run("matrix", published, "--json").output)
    assert record["counts"] == {"RA": 402, "UA": 212, "RI": 71, "UI": 65}
    assert round(record["accurate"]["estimate"], 3) == 0.819


def test_people_and_proposed_are_chosen_between(verdicts):
    refused = run("matrix", verdicts, fails=True)
    assert "4 verdicts of people and 2 proposed" in str(refused.exception)
    several = run("matrix", verdicts, "--only", "people", fails=True)
    assert "several authors" in str(several.exception)
    assert "2 verdicts;" in run("matrix", verdicts, "--only", "people", "--author", "ada").output
    said = run("matrix", verdicts, "--only", "proposed").output
    assert "proposed by the program, not said by people" in said


def test_moves(tmp_path):
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps({"a": "Unreasonable Accurate", "b": "Reasonable Accurate"}))
    after.write_text(json.dumps({"a": "Reasonable Accurate", "b": "Reasonable Accurate"}))
    assert "reasonable: 1 gained, 0 lost" in run("matrix", before, "--against", after).output
    record = json.loads(run("matrix", before, "--against", after, "--json").output)
    assert record["moves"]["moves"]["UA -> RA"] == 1
    run("matrix", before, "--against", after, "--out", tmp_path)
    assert "| UA | 1 |" in (tmp_path / "matrix.md").read_text()


@pytest.fixture
def candidates(tmp_path):
    path = tmp_path / "candidates.csv"
    path.write_text(
        "item,cell,confidence,disagreement,labelled\n"
        "fine.jpg,RA,0.99,0.1,\ndecoy.jpg,UA,0.98,0.3,\ndone.jpg,UA,0.9,0.9,yes\n"
    )
    return path


def test_the_queue_with_its_reasons(candidates, tmp_path):
    out = tmp_path / "queue.csv"
    result = run("queue", candidates, "--first", 2, "--want", "UA=5", "--out", out)
    first, second, rest, wrote = result.output.splitlines()
    assert first.split()[:2] == ["1", "decoy.jpg"]
    assert "confident (0.98), right, and the map unreasonable (UA)" in first
    assert "4 more labels of UA wanted" in first
    assert "fine.jpg" in second
    assert rest == "the first 2 of 3"
    assert wrote == f"wrote {out}"
    assert out.read_text().count("\n") == 4


def test_the_queue_as_json(candidates):
    rows = json.loads(run("queue", candidates, "--strategy", "uncertain", "--json").output)
    assert [row["item"] for row in rows] == ["decoy.jpg", "fine.jpg", "done.jpg"]


def test_the_command_knows_every_strategy():
    from sightline.alignment.queue import STRATEGIES

    assert set(STRATEGY_NAMES) == set(STRATEGIES)


@pytest.mark.parametrize("want", ["UA", "UA=", "UA=many", "UA=-3"])
def test_wanted_is_a_cell_and_a_count(candidates, want):
    result = run("queue", candidates, "--want", want, fails=True)
    assert result.exit_code == 2
    assert "write UA=20" in result.output


def test_agreement_of_one_file_of_several_authors(verdicts, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("".join(verdicts.read_text().splitlines(keepends=True)[:5]))
    result = run("agreement", people)
    assert "necessary, 2 items" in result.output
    assert "Cohen’s kappa, ada and bob" in result.output
    rows = json.loads(run("agreement", people, "--json").output)
    accurate = next(row for row in rows if row["question"] == "accurate")
    assert accurate["alpha"]["estimate"] is None  # all say the same: JSON has no nan


def test_agreement_of_a_file_each(tmp_path):
    for name, cell in (("ada", "Reasonable Accurate"), ("bob", "Unreasonable Accurate")):
        told = {"a": cell, "b": "Reasonable Accurate", "c": "Unreasonable Inaccurate"}
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    result = run("agreement", tmp_path / "ada.json", tmp_path / "bob.json")
    assert "reasonable, 3 items" in result.output
    assert "Cohen’s kappa, ada and bob" in result.output
    assert "necessary" not in result.output  # nobody answered it
