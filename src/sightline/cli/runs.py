"""``sightline measure``, ``sightline show`` and ``sightline convert``: what a run found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.options import AS_JSON

if TYPE_CHECKING:
    from sightline.runs.run import Item, Run

MOST_PARTS = 5
FORMATS = ("detex", "coco", "parquet", "arrow", "csv")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="The page; by default RUN/report.html."
)
@click.option("--no-page", is_flag=True, help="Print the table only.")
@click.option("--examples", default=12, show_default=True, help="Boxes shown on the page.")
@click.option("--seed", default=0, show_default=True, help="Of the intervals.")
@AS_JSON
def measure(
    *, run: Path, out: Path | None, no_page: bool, examples: int, seed: int, as_json: bool
) -> None:
    """Print the table of a run, and write one HTML page with curves and pictures."""
    from sightline.runs.run import Run
    from sightline.runs.summary import summary, text_table

    opened = Run.open(run)
    told = summary(opened, seed=seed)
    click.echo(json.dumps(told.as_record()) if as_json else text_table(told))
    if not as_json:
        _tell_failures(opened)
    if no_page:
        return
    from sightline.runs.page import write_page

    path = out or run / "report.html"
    write_page(opened, path, told=told, examples=examples)
    click.echo(f"wrote {path}", err=True)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("item", required=False)
@click.option("--out", type=click.Path(path_type=Path), help="The picture: .png, .jpg or .webp.")
def show(*, run: Path, item: str | None, out: Path | None) -> None:
    """Print one explanation of a run, and draw it over its photo.

    ITEM is photo/box/method or a number from 0; without it the names of all are printed.
    """
    from sightline.runs.run import Run

    opened = Run.open(run)
    if item is None:
        for name in opened.items():
            click.echo(name)
        return
    found = opened.item(int(item) if item.isascii() and item.isdigit() else item)
    _print_item(opened, found)
    if out is not None:
        from sightline.runs.overlay import write_overlay

        write_overlay(opened, found, out)
        click.echo(f"wrote {out}")


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "kind",
    type=click.Choice(FORMATS),
    help="Of a run: what to write. detex makes a folder, the others a file.",
)
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    help="Of files of detex: the folder of their photos, counted by name.",
)
def convert(*, sources: tuple[Path, ...], out: Path, kind: str | None, photos: Path | None) -> None:
    """Carry a run to another format, or files of detex to a run.

    SOURCES is the folder of a run, with --to; or HDF5 files in the layout of detex, of which a run
    is made in OUT.
    """
    if kind is None:
        _from_detex(sources, out, photos)
    elif len(sources) == 1:
        _to(sources[0], out, kind)
    else:
        raise click.UsageError(f"--to {kind} takes one run; got {len(sources)}")


def _to(source: Path, out: Path, kind: str) -> None:
    from sightline.runs.run import Run

    run = Run.open(source)
    if kind == "detex":
        from sightline.runs.detex import write_detex

        files = write_detex(run, out)
        click.echo(f"wrote {', '.join(map(str, files))}")
        return
    from sightline.runs.export import write_coco, write_table

    if kind == "coco":
        click.echo(f"wrote {write_coco(run, out)} boxes to {out}")
        return
    if out.suffix.lower() != f".{kind}":
        raise click.UsageError(f"--to {kind} writes a file that ends in .{kind}; got {out.name}")
    click.echo(f"wrote {write_table(run, out)} explanations to {out}")


def _from_detex(sources: tuple[Path, ...], out: Path, photos: Path | None) -> None:
    from sightline.image.read import photo_files
    from sightline.runs.detex_read import SUFFIXES, read_detex
    from sightline.runs.run import Run

    if any(source.is_dir() or source.suffix.lower() not in SUFFIXES for source in sources):
        raise click.UsageError(f"give --to {'|'.join(FORMATS)} for a run, or .hdf5 files of detex")
    names = None if photos is None else [path.name for path in photo_files(photos)]
    outcome = read_detex(sources, out, photos=names, photos_folder=str(photos or ""))
    for failure in outcome.failures:
        click.echo(f"left out {failure}", err=True)
    click.echo(f"{Run.open(out)!r} in {out}")


def _tell_failures(run: Run) -> None:
    for failure in run.errors():
        click.echo(f"failed: {failure}", err=True)


def _print_item(run: Run, item: Item) -> None:
    import numpy as np

    row = item.row
    box = ", ".join(f"{side:.1f}" for side in row.box)
    reported = "no score" if row.detector_score is None else f"score {row.detector_score:.3f}"
    seed = "" if row.seed is None else f", seed {row.seed}"
    click.echo(f"{item.name}: {row.label} ({reported}) in [{box}], by {run.manifest.detector}")
    click.echo(f"explained: {row.target}, in {row.unit or 'no unit'}")
    click.echo(f"value {_number(row.value)}, with nothing there {_number(row.base)}")
    click.echo(f"{row.evaluations:,} evaluations, {row.seconds:.2f} s{seed}")
    for name, value in row.measures.items():
        click.echo(f"{name:24s} {_number(value)}")
    click.echo(f"strongest of {len(row.scores)} parts ({item.photo.parts_kind}):")
    for part in np.argsort(-np.abs(row.scores), kind="stable")[:MOST_PARTS].tolist():
        error = "" if row.errors is None else f" ± {1.96 * row.errors[part]:.4f}"
        click.echo(f"{part:8d}  {row.scores[part]:+.4f}{error}  {_where(item, part)}")
    for note in [*row.notes, *([row.blank] if row.blank else [])]:
        click.echo(f"note: {note}")


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def _where(item: Item, part: int) -> str:
    """The part's middle and size."""
    rows, columns = (item.photo.labels == part).nonzero()
    if not len(rows):
        return "nowhere in the photo"
    return f"around ({columns.mean():.0f}, {rows.mean():.0f}), {len(rows):,} pixels"
