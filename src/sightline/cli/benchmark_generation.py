"""``sightline benchmark generation``: strokes to regions and back, where the truth is known."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sightline.cli.options import AS_JSON, tell_findings


@click.command("generation")
@click.option(
    "--model",
    default="pairs-generator",
    show_default=True,
    help="A shipped generator, or a folder of one.",
)
@click.option("--drawings", type=click.IntRange(2), default=150, show_default=True)
@click.option(
    "--most-strokes",
    type=click.IntRange(2),
    default=10,
    show_default=True,
    help="Drawings of more are passed over; beyond 10, exact Shapley values are left out.",
)
@click.option(
    "--first",
    type=click.IntRange(0),
    help="Seed of the first drawing; default: one that no training used.",
)
@click.option("--seed", default=0, show_default=True, help="Of samples and intervals.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for table and numbers; a second start goes on.",
)
@AS_JSON
def generation(
    *,
    model: str,
    drawings: int,
    most_strokes: int,
    first: int | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say which explanation of a generated picture is right.

    Of generated drawings it is known which strokes draw which part. Every method must name a
    part's strokes for the part's region of the picture, and put what a stroke made into its part;
    rankings that only look where the lines are stand in the same tables.
    """
    from sightline.allocator import keep_freed_memory
    from sightline.benchmark.generation import benchmark_generation
    from sightline.benchmark.generation_findings import GenerationSettings
    from sightline.models.load_generator import load_generator
    from sightline.scenes.pairs import TEST

    settings = GenerationSettings(
        drawings=drawings,
        first=TEST if first is None else first,
        most_strokes=most_strokes,
        seed=seed,
    )
    keep_freed_memory()
    found = benchmark_generation(load_generator(model), settings, out=out, progress=_tell)
    tell_findings(out, "generation", found.markdown(), found.as_dict(), as_json=as_json)


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rdrawings: {done}/{total}", nl=done == total, err=True)
