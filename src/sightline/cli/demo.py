"""``sightline demo``: the whole way from drawings to one page."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.options import MODEL

if TYPE_CHECKING:
    from sightline.sketch.sketch import Sketch


@click.command()
@click.argument("drawings", nargs=-1, type=click.Path(path_type=Path))
@MODEL
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("sightline-demo"),
    show_default=True,
    help="Folder for the page and the pictures.",
)
@click.option("--seed", default=0, show_default=True)
def demo(drawings: tuple[Path, ...], model: str, out: Path, seed: int) -> None:
    """Explain the drawings that come with sightline, and DRAWINGS if given.

    Writes one page, report.html, that needs no other file, and one picture a drawing.
    """
    import sightline as sl
    from sightline.report import examine, verdict, write_report

    network = sl.load(model)
    cases = []
    for sketch in [*_own_drawings(), *(sl.read_sketch(file) for file in drawings)]:
        case = examine(network, sketch, seed=seed)
        case.main.why.plot(out / f"{sketch.name}.png")
        click.echo(f"{sketch.name}: {verdict(case)}")
        cases.append(case)
    write_report(out / "report.html", cases, title="What the model saw in these drawings")
    click.echo(f"\nwrote {out / 'report.html'} and {len(cases)} pictures")


def _own_drawings() -> list[Sketch]:
    import sightline as sl

    with as_file(files("sightline") / "demo") as folder:
        return [sl.read_sketch(file) for file in sorted(folder.glob("*.svg"))]
