"""``sightline demo``: the whole way from drawings to one page."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.options import MODEL

if TYPE_CHECKING:
    from sightline.image.photo import Photo
    from sightline.sketch.sketch import Sketch

SCENE = 2018


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
    """Explain drawings and a scene that come with sightline, and DRAWINGS if given.

    Writes one page, report.html, that needs no other file, and one picture a drawing.
    """
    import sightline as sl
    from sightline.allocator import keep_freed_memory
    from sightline.picture import boxes_figure, write_figure
    from sightline.report import boxes_verdict, examine, examine_boxes, verdict, write_report

    keep_freed_memory()
    network = sl.load(model)
    cases = []
    for sketch in [*_own_drawings(), *(sl.read_sketch(file) for file in drawings)]:
        case = examine(network, sketch, seed=seed)
        case.main.why.plot(out / f"{sketch.name}.png")
        click.echo(f"{sketch.name}: {verdict(case)}")
        cases.append(case)
    scene = examine_boxes(sl.load_detector("scene-ssd"), _own_scene(), seed=seed)
    write_figure(boxes_figure(scene.whys[0], columns=3), out / "scene.png")
    click.echo(f"scene: {boxes_verdict(scene)}")
    title = "What the models saw in these pictures"
    write_report(out / "report.html", cases, photos=[scene], title=title)
    click.echo(f"\nwrote {out / 'report.html'} and {len(cases) + 1} pictures")


def _own_scene() -> Photo:
    import sightline as sl

    return sl.draw_scene(SCENE, objects=4).photo


def _own_drawings() -> list[Sketch]:
    import sightline as sl

    with as_file(files("sightline") / "demo") as folder:
        return [sl.read_sketch(file) for file in sorted(folder.glob("*.svg"))]
