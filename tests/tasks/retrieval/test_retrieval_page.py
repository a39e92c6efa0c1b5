"""What docs/retrieval.md shows is what happens."""

import re
from pathlib import Path

import pytest

import sightline as sl
from sightline.cli.benchmark_retrieval import retrieval as study
from sightline.cli.retrieve import retrieve
from sightline.cli.train_encoder import encoder as train

PAGE = Path(__file__).parents[3] / "docs" / "retrieval.md"


@pytest.mark.slow
def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(code, PAGE.name, "exec"), {})  # noqa: S102, our own words
    title, places, *_, numbers = capsys.readouterr().out.splitlines()
    assert f"print(match.title)  # {title}\n" in code
    assert places.startswith("[")
    area, random_area, _ = map(float, numbers.split())
    assert area > random_area
    assert sl.Match.load("match.json").title == title
    assert (tmp_path / "match.png").stat().st_size > 10_000


def test_the_commands_of_the_page_are_there():
    commands = {
        "retrieve": retrieve.commands,
        "train": {"encoder": train},
        "benchmark": {"retrieval": study},
    }
    told = re.findall(r"^\$ sightline (\w+) (\w+)(.*?)(?: #.*)?$", PAGE.read_text(), re.MULTILINE)
    assert len(told) >= 7
    for group, name, rest in told:
        known = {option for each in commands[group][name].params for option in each.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known
