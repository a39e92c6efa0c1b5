"""``sightline attack``: how little has to change for the answer to change?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import AS_JSON, INDEX, MODEL
from sightline.cli.stems import beside, stem_in

if TYPE_CHECKING:
    from sightline.sketch.sketch import Sketch
    from sightline.tasks.attack import Attack


@click.command()
@click.argument("drawing", type=click.Path(path_type=Path))
@INDEX
@MODEL
@click.option(
    "--kind",
    type=click.Choice(["points", "remove", "insert"]),
    default="points",
    show_default=True,
    help="Move points, remove one small stroke, or insert one.",
)
@click.option(
    "--budget",
    type=click.FloatRange(0),
    default=0.04,
    show_default=True,
    help="Of points: the farthest that one may move; the drawing is 1.48 long.",
)
@click.option(
    "--steps", type=click.IntRange(1), default=10, show_default=True, help="Gradient steps."
)
@click.option(
    "--starts",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Of points: beginnings, all but the first by luck.",
)
@click.option("--target", metavar="LABEL", help="Reach LABEL; default: leave the answer.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Of the stroke: its largest share of the ink.",
)
@click.option("--guide", metavar="METHOD", help="Of remove: try only the stroke it ranks first.")
@click.option("--seed", default=0, show_default=True, help="Of all luck.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write: a folder, or a path without suffix; default: DRAWING's + '-attacked'.",
)
@AS_JSON
def attack(
    *,
    drawing: Path,
    index: int,
    model: str,
    kind: str,
    budget: float,
    steps: int,
    starts: int,
    target: str | None,
    share: float,
    guide: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Look for a small change of a drawing that changes the model's answer.

    DRAWING is .svg, .ndjson[.gz] (QuickDraw) or .npz (sketch-rnn). Writes the drawing before and
    after as a picture (.png) and a page (.html), the attacked drawing (.svg), and everything as
    .json. Finding nothing is an answer too, and no failure.
    """
    import sightline as sl

    stem = stem_in(out, f"{drawing.name.split('.')[0]}-attacked")
    if guide is not None and kind != "remove":
        raise click.UsageError("--guide ranks strokes to remove: give it with --kind remove")
    sketch = sl.read_sketch(drawing, index=index)
    own: dict[str, dict[str, Any]] = {
        "points": {"budget": budget, "steps": steps, "starts": starts, "seed": seed},
        "remove": {"share": share, "guide": guide},
        "insert": {"share": share, "steps": steps, "seed": seed},
    }
    settings = {"target": target} | own[kind]
    done = _attacked(kind, sl.load(model), sketch, settings)
    made = {"file": drawing.name, "index": index, "model": model, "settings": settings}
    written = _write(done, stem, made)
    if as_json:
        told = made | done.as_dict() | {"written": [str(path) for path in written]}
        click.echo(json.dumps(told))
    else:
        _print(done)
        click.echo(f"\nwrote {', '.join(str(path) for path in written)}")


def _attacked(kind: str, model: object, sketch: Sketch, settings: dict[str, Any]) -> Attack:
    from sightline.tasks.attack import attack_points, insert_stroke, remove_small_stroke

    kinds: dict[str, Callable[..., Attack]] = {
        "points": attack_points,
        "remove": remove_small_stroke,
        "insert": insert_stroke,
    }
    return kinds[kind](model, sketch, **settings)


def _write(done: Attack, stem: Path, made: dict[str, Any]) -> list[Path]:
    from sightline.picture import write_figure
    from sightline.sketch.formats.svg import write_svg
    from sightline.tasks.attack.attack_pictures import attack_figure
    from sightline.tasks.attack.page import write_attack_page
    from sightline.tasks.records import write_record

    picture, page, drawing, numbers = (
        beside(stem, ending) for ending in (".png", ".html", ".svg", ".json")
    )
    write_figure(attack_figure(done), picture)
    write_attack_page(page, done, title=f"Attack on {made['file']} ({made['model']})")
    write_svg(drawing, done.attacked)
    write_record(numbers, made | done.as_dict())
    return [picture, page, drawing, numbers]


def _print(done: Attack) -> None:
    from sightline.tasks.attack.page import attack_rows

    rows = attack_rows(done)
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        click.echo(f"{name:{width}s}  {words}")
    for note in done.notes:
        click.echo(f"note: {note}")
