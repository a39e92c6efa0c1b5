"""``sightline data``: what is in a collection."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sightline.cli.options import AS_JSON, SKIP_BAD, read_drawings


@click.group()
def data() -> None:
    """Look at collections of drawings."""


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@SKIP_BAD
@AS_JSON
def stats(path: Path, skip_bad: bool, as_json: bool) -> None:
    """Count drawings, labels, strokes and points of a file or folder."""
    from sightline.sketch.statistics import collection_statistics

    sketches, skipped = read_drawings(path, skip_bad)
    numbers = collection_statistics(sketches) | {"skipped": skipped.count}
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
