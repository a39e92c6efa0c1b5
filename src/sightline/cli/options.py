"""Options that several commands share, and what they do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import click

if TYPE_CHECKING:
    from sightline.sketch.formats.quickdraw import Skipped
    from sightline.sketch.sketch import Sketch
    from sightline.training.processes import Processes

MODEL = click.option(
    "--model",
    default="sketchxainet-tiny",
    show_default=True,
    help="A shipped name, folder, weights file or org/name.",
)
RUN = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the run; a run found there goes on.",
)
STUDY_OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the results; a second start goes on.",
)
INDEX = click.option(
    "--index", default=0, show_default=True, help="Which drawing of a file of many."
)
SPLIT = click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    default="test",
    show_default=True,
)
LUCK = click.option("--seed", default=0, show_default=True, help="Of all luck.")
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


@runtime_checkable
class Say(Protocol):
    """Prints a line."""

    def __call__(self, text: str, *, err: bool = False) -> None:
        """To the standard output, or that for errors."""


def voice(processes: Processes) -> Say:
    """One process speaks."""

    def say(text: str, *, err: bool = False) -> None:
        if processes.first:
            click.echo(text, err=err)

    return say


def tell_progress(text: str) -> None:
    """A bar on a terminal; elsewhere only whole lines."""
    if text.endswith("\n") or sys.stderr.isatty():
        click.echo(text if sys.stderr.isatty() else text.strip("\r"), nl=False, err=True)


def tell_line(text: str) -> None:
    """A line of progress, to stderr."""
    click.echo(text.rstrip("\n"), err=True)


def set_up_study() -> None:
    """One thread: on networks this small more cost more than they bring."""
    import torch

    from sightline.allocator import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)


def tell_findings(
    out: Path | None, name: str, text: str, numbers: object, *, as_json: bool
) -> None:
    """What a study found: written as ``name.md`` and ``name.json``, and one of the two printed."""
    from sightline.benchmark.records import write_findings

    if out is not None:
        write_findings(out, name, text, numbers)
    click.echo(json.dumps(numbers, allow_nan=False) if as_json else text.rstrip("\n"))
