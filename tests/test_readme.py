"""What the README shows is what happens."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import sightline
from sightline.cli import main

README = Path(__file__).parents[1] / "README.md"
CLOCK = Path(sightline.__file__).parent / "demo" / "alarm_clock.svg"


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copy(CLOCK, tmp_path / "clock.svg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_lines_of_code_run(here, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102, our own words
    auc, random_auc = map(float, capsys.readouterr().out.split())
    assert auc < random_auc, "the README says that it is lower than random"
    assert (here / "why.png").stat().st_size > 10_000


def test_the_first_command_answers_as_shown(here):
    shown = re.search(r"\$ sightline explain clock.svg\n(.*)\n", README.read_text())[1]
    assert CliRunner().invoke(main, ["explain", "clock.svg"]).output.startswith(shown)


def test_every_command_shown_exists():
    words = set(re.findall(r"^\$ sightline (\w+)", README.read_text(), re.MULTILINE))
    assert words == set(main.commands)


def test_links_and_pictures_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_every_method_is_in_the_table():
    rows = set(re.findall(r"^\| `(\w+)` \|", README.read_text(), re.MULTILINE))
    assert rows >= set(sightline.METHODS)
