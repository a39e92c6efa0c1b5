"""``sightline data``: what is in a collection, and collections on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import AS_JSON, SKIP_BAD, read_drawings

if TYPE_CHECKING:
    from sightline.sketch.store import SketchStore


@click.group()
def data() -> None:
    """Look at collections of drawings, and make them."""


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@SKIP_BAD
@AS_JSON
def stats(path: Path, skip_bad: bool, as_json: bool) -> None:
    """Count drawings, labels, strokes and points of a file, a folder or a collection on disk."""
    from sightline.sketch.formats.quickdraw import Skipped
    from sightline.sketch.statistics import collection_statistics, store_statistics
    from sightline.sketch.store import MANIFEST, SketchStore

    if (path / MANIFEST).is_file():
        store = SketchStore.open(path, on_error="skip" if skip_bad else "raise")
        skipped, numbers = Skipped(), store_statistics(store)
        for file, reason in store.damaged:
            click.echo(f"left out {file}: {reason}", err=True)
    else:
        sketches, skipped = read_drawings(path, skip_bad)
        numbers = collection_statistics(sketches)
    numbers["skipped"] = skipped.count
    if as_json:
        click.echo(json.dumps(numbers))
        return
    click.echo(f"{numbers['drawings']} drawings, {len(numbers['labels'])} labels")
    for name in ("strokes", "points", "points_per_stroke"):
        row = numbers[name]
        click.echo(
            f"{name.replace('_', ' '):18s} mean {row['mean']:.2f}  median {row['median']:g}  "
            f"90 % {row['p90']:g}  most {row['max']:g}"
        )
    click.echo(f"at most 10 strokes: {numbers['at_most_10_strokes']:.2%}")
    for label, count in numbers["labels"].items():
        click.echo(f"{count:8d}  {label}")
    if skipped.count:
        click.echo(str(skipped))


@data.command("import")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
@click.option(
    "--simplify",
    type=float,
    metavar="EPSILON",
    help="Simplify raw drawings as QuickDraw does (its own: 2); else they are stored as they are.",
)
@click.option(
    "--splits",
    type=click.Choice(["source", "hash"]),
    default="source",
    show_default=True,
    help="As the source says, and by hash where it says nothing; or always by hash of the key.",
)
@click.option("--seed", default=0, show_default=True, help="Of the hash.")
@click.option("--shard", default=65_536, show_default=True, help="Drawings of a file.")
@click.option("--most", type=int, help="Drawings of a label, the first ones.")
@click.option("--recognised-only", is_flag=True, help="Leave out what the game did not recognise.")
@click.option(
    "--on-bad",
    type=click.Choice(["drop", "raise"]),
    default="drop",
    show_default=True,
    help="Count what cannot be read and go on, or stop there.",
)
@AS_JSON
def import_(sources: tuple[Path, ...], out: Path, on_bad: str, as_json: bool, **plan: Any) -> None:
    """Make a collection on disk of QuickDraw's files.

    SOURCES are files or folders: .ndjson and .ndjson.gz, raw or simplified, the official .bin,
    sketch-rnn's .npz, or a folder of SketchXAI's HDF5 files. Killed? Give the same command again:
    it goes on where it stopped.
    """
    from sightline.sketch.importing import import_drawings

    store = import_drawings(sources, out, raise_bad=on_bad == "raise", progress=_progress(), **plan)
    _tell(store, out, as_json)


def _progress() -> Callable[[int, float], None]:
    """A line on stderr, at most twice a second."""
    started = told = time.monotonic()
    first: tuple[int, float] | None = None

    def tell(drawings: int, share: float) -> None:
        nonlocal told, first
        first = first or (drawings, share)  # of an import that goes on, the rest is timed
        now = time.monotonic()
        if now - told < 0.5:
            return
        told = now
        rate = (drawings - first[0]) / (now - started)
        speed = max(share - first[1], 1e-9) / (now - started)
        left = time.strftime("%H:%M:%S", time.gmtime((1 - share) / speed))
        click.echo(f"{drawings:,} drawings, {rate:,.0f} a second, {left} left", err=True)

    return tell


def _tell(store: SketchStore, out: Path, as_json: bool) -> None:
    from sightline.sketch.store import read_manifest

    manifest = read_manifest(out)
    sizes = {split: sum(counts.values()) for split, counts in manifest["drawings"].items()}
    if as_json:
        told = {"labels": list(store.labels), "refused": manifest["refused"]}
        click.echo(json.dumps({"drawings": sizes, "dropped": store.dropped, **told}))
        return
    click.echo(f"{out}: {store!r}")
    for reason, count in store.dropped.items():
        click.echo(f"{count:10,} dropped: {reason}")
    for message in manifest["refused"]:
        click.echo(f"           {message}")
