"""Shapes are checked in every test; data that is not part of the package is found or skipped."""

from __future__ import annotations

import os
from pathlib import Path

import jaxtyping
import pytest

# Before anything imports sightline: every annotated call in the tests checks its shapes.
# The tower: an int is a float, as PEP 484 has it and every caller expects.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
jaxtyping.install_import_hook("sightline", CHECKER)

BESIDE = Path(__file__).resolve().parents[2] / "shared"


def _folder(variable: str, name: str) -> Path:
    given = os.environ.get(variable)
    folder = Path(given) if given else BESIDE / name
    if not folder.is_dir():
        pytest.skip(f"no {name} folder: set ${variable}, or put it in {BESIDE / name}")
    return folder


@pytest.fixture(scope="session")
def data() -> Path:
    """Drawings, photos and weights of a development checkout."""
    return _folder("SIGHTLINE_DATA", "data")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Outputs of other programs, computed once."""
    return _folder("SIGHTLINE_REFERENCE", "reference")
