"""Records as JSON: written whole or not at all, and every fault told with the file's name."""

import json

import pytest

from sightline.errors import DrawingError, TaskError
from sightline.tasks.records import read_record, write_record

FORMAT = "sightline walk 1"


def read(path, use=lambda told: told):
    with read_record(path, FORMAT, "a walk") as told:
        return use(told)


def test_what_was_written_is_read(tmp_path):
    told = {"format": FORMAT, "steps": [0.1, 1 / 3, None], "name": "Straße"}
    write_record(tmp_path / "new" / "walk.json", told)
    assert read(str(tmp_path / "new" / "walk.json")) == told
    assert (tmp_path / "new" / "walk.json").read_bytes().endswith(b"}\n")


def test_a_number_that_json_does_not_know_leaves_what_was_there(tmp_path):
    path = tmp_path / "walk.json"
    write_record(path, {"format": FORMAT})
    with pytest.raises(TaskError, match=r"walk.json is not written"):
        write_record(path, {"format": FORMAT, "steps": float("nan")})
    assert read(path) == {"format": FORMAT}
    assert [each.name for each in tmp_path.iterdir()] == ["walk.json"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{", "is not a walk, or damaged: not JSON"),
        ("[" * 100_000, "is not a walk, or damaged: not JSON"),
        ("\xff", "is not a walk, or damaged: not JSON"),
        ("[]", "is not a walk, or damaged: expected one JSON object"),
        ("{}", "is not a walk, or damaged: 'format' is missing"),
        (
            '{"format": "sightline walk 2"}',
            "not a walk of this version.*'sightline walk 2'.*walk 1",
        ),
    ],
)
def test_what_is_no_record(tmp_path, written, message):
    path = tmp_path / "walk.json"
    path.write_text(written, encoding="latin-1")
    with pytest.raises(TaskError, match=message) as caught:
        read(path)
    assert str(caught.value).count("walk.json") == 1


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(
        TaskError, match=r"none.json does not exist; give the .json to which a walk"
    ):
        read(tmp_path / "none.json")
    with pytest.raises(TaskError, match="cannot be read"):
        read(tmp_path)


def refuse(told):
    raise DrawingError("stroke 0 has 1 point")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda told: told["stops"], "'stops' is missing"),
        (lambda told: told["steps"][9], "list index out of range"),
        (lambda told: float(told["name"]), "could not convert"),
        (lambda told: int(told["far"]), "cannot convert float infinity"),
        (lambda told: told["steps"].items(), "no attribute 'items'"),
        (lambda told: len(told["far"]), "has no len"),
        (refuse, "stroke 0 has 1 point"),
    ],
)
def test_what_goes_wrong_while_it_is_used_is_told_of_the_file(tmp_path, use, message):
    path = tmp_path / "walk.json"
    told = {"format": FORMAT, "steps": [], "name": "home", "far": float("inf")}
    path.write_text(json.dumps(told))
    with pytest.raises(TaskError, match=f"walk.json is not a walk, or damaged: .*{message}"):
        read(path, use)


def test_other_mistakes_go_through(tmp_path):
    write_record(tmp_path / "walk.json", {"format": FORMAT})
    with pytest.raises(ZeroDivisionError):
        read(tmp_path / "walk.json", lambda told: 1 / 0)
