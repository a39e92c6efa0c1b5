"""The package from outside: quick to import, every public name there, floors in order."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sightline

SOURCE = Path(sightline.__file__).parent

FLOORS = [
    {"errors", "version", "allocator"},
    {"budget"},
    {"sketch"},
    {"image"},
    {"scenes"},
    {"models"},
    {"parts"},
    {"similarity"},
    {"targets"},
    {"memory"},
    {"game"},
    {"carry"},
    {"explanation"},
    {"overlay"},
    {"picture"},
    {"page"},
    {"methods"},
    {"metrics"},
    {"inversion"},
    {"analysis"},
    {"training"},
    {"alignment"},
    {"tasks"},
    {"benchmark"},
    {"runs"},
    {"report"},
    {"cli"},
    {"__main__"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
UPSTAIRS = {("explanation", "picture")}
"""The one exception, and only inside functions: an explanation draws itself."""


# --- quick ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["-c", "import sightline"], ["-m", "sightline", "--help"], ["-m", "sightline", "--version"]],
    ids=" ".join,
)
def test_starting_takes_less_than_the_blink_of_an_eye(arguments):
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.4


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_importing_brings_no_heavy_library():
    heavy = "{'torch', 'matplotlib', 'numpy', 'safetensors', 'huggingface_hub', 'click'}"
    code = f"import sys, sightline; dir(sightline); print({heavy} & set(sys.modules))"
    assert python(code) == "set()"


def test_drawings_need_neither_models_nor_pictures():
    """And an explanation is loaded without matplotlib."""
    code = (
        "import sys, sightline; sightline.Sketch; sightline.Explanation;"
        "print({'matplotlib', 'huggingface_hub', 'lightning_fabric'} & set(sys.modules))"
    )
    assert python(code) == "set()"


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sightline.__all__)
def test_every_public_name_is_there_and_told(name):
    value = getattr(sightline, name)
    assert name in dir(sightline)
    if callable(value):
        assert value.__doc__
        assert value.__module__.startswith("sightline.")


def test_the_list_has_no_doubles():
    assert len(sightline.__all__) == len(set(sightline.__all__))


def test_the_list_for_type_checkers_is_the_same():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    told = [alias.asname for n in block.body for alias in n.names]
    assert sorted(told) == sorted(set(sightline.__all__) - {"__version__"})
    homes = {alias.asname: n.module for n in block.body for alias in n.names}
    assert homes == {name: f"sightline.{home}" for name, home in sightline._HOME.items()}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sightline' has no attribute 'shaply'"):
        sightline.shaply  # noqa: B018


# --- floors ---------------------------------------------------------------------------------------


def imports(tree: ast.AST, *, inside: bool = False) -> list[tuple[str, bool]]:
    """Rooms of sightline that a module imports, and whether inside a function."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "sightline":
            found += [
                (sightline._HOME.get(a.name, a.name).split(".")[0], inside) for a in node.names
            ]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sightline."):
            found.append((node.module.split(".")[1], inside))
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
            found += [(n[1], inside) for n in names if n[0] == "sightline" and len(n) > 1]
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        found += imports(node, inside=inside or function)
    return found


def climbs(room: str, source: str) -> list[str]:
    """Imports of a file that stands in ``room`` from its own floor's neighbours or above."""
    return [
        other
        for other, inside in imports(ast.parse(source))
        if other != room
        and LEVEL[other] >= LEVEL[room]
        and not (inside and (room, other) in UPSTAIRS)
    ]


FILES = sorted(p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", [f for f in FILES if f != "__init__.py"])
def test_a_file_imports_only_from_the_floors_below(file):
    room = file.removesuffix(".py").split("/")[0]
    assert room in LEVEL, f"{room} stands on no floor: give it one"
    assert climbs(room, (SOURCE / file).read_text()) == []


def test_climbing_is_seen():
    assert climbs("sketch", "from sightline.game import Game") == ["game"]
    assert climbs("sketch", "import sightline.models.load") == ["models"]
    assert climbs("game", "from sightline import shapley, Sketch") == ["methods"]
    assert climbs("targets", "def f():\n    from sightline.game import Game") == ["game"]
    assert climbs("explanation", "from sightline.picture import plot") == ["picture"]
    assert climbs("explanation", "def f():\n    from sightline.picture import plot") == []
    assert climbs("methods", "from sightline.methods.record import record") == []
    assert climbs("errors", "from sightline.version import __version__") == ["version"]


def test_no_import_is_relative():
    """So that the rule above sees them all."""
    for file in FILES:
        for node in ast.walk(ast.parse((SOURCE / file).read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), file
