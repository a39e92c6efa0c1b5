"""Options that several commands share, and what they do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sightline.sketch.formats.quickdraw import Skipped
    from sightline.sketch.sketch import Sketch

MODEL = click.option(
    "--model",
    default="sketchxainet-tiny",
    show_default=True,
    help="A shipped name, folder, weights file or org/name.",
)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
SKIP_BAD = click.option("--skip-bad", is_flag=True, help="Leave bad drawings out and count them.")


def read_drawings(path: Path, skip_bad: bool) -> tuple[list[Sketch], Skipped]:
    """A collection as ``--skip-bad`` says, and what was left out."""
    from sightline.sketch.collection import read_collection
    from sightline.sketch.formats.quickdraw import Skipped

    skipped = Skipped()
    sketches = read_collection(path, on_error="skip" if skip_bad else "raise", skipped=skipped)
    return sketches, skipped


def read_told(path: Path, skip_bad: bool) -> list[Sketch]:
    """The drawings of a collection; what was left out is said on stderr."""
    sketches, skipped = read_drawings(path, skip_bad)
    if skipped.count:
        click.echo(str(skipped), err=True)
    return sketches


def read_splits(path: Path, seed: int, skip_bad: bool) -> dict[str, list[Sketch]]:
    """The splits of a collection; what was left out is said on stderr."""
    from sightline.sketch.collection import split_collection

    return split_collection(read_told(path, skip_bad), path, seed=seed)
