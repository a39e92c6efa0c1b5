"""``sightline align measure``, ``look``, ``convert``: where a model looks, what people said."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sightline.cli.align_matrix import WANT
from sightline.cli.align_task import CATEGORY, SPLIT, VERDICTS, Asked, about_a_task
from sightline.cli.options import AS_JSON


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@SPLIT
@click.option("--against", help="Another model: before and after, item by item.")
@VERDICTS
@click.option(
    "--propose",
    type=click.Path(path_type=Path),
    help="Write proposed verdicts (.csv, .jsonl), made from the masks; a person decides.",
)
@AS_JSON
@about_a_task
def measure(
    *,
    asked: Asked,
    model: str,
    data: Path,
    split: str,
    against: str | None,
    verdicts: Path | None,
    propose: Path | None,
    as_json: bool,
) -> None:
    """Measure where a model looks: accuracy, worst group, IoU, energy, wrong reason, cells.

    MODEL is a folder of a phase; DATA as for ``align train``. The default split is validation: a
    test split should be measured once.
    """
    from sightline.alignment.before_after import compare
    from sightline.alignment.phases import measure_split, propose_verdicts
    from sightline.alignment.verdicts import Verdicts, write_verdicts
    from sightline.allocator import keep_freed_memory

    keep_freed_memory()
    items = asked.items(data)
    lesson = asked.lesson(items, data)
    if propose is not None and not any(item.name in lesson.labels for item in items.splits[split]):
        raise click.UsageError(f"verdicts are proposed from labels, and {split} has none: --labels")
    cells = asked.cells(verdicts, items)
    people = Verdicts.from_cells(cells) if cells else None
    network, source = asked.model(model, items), asked.source(items)
    found = measure_split(network, items, lesson, split, source, verdicts=people)
    if propose is not None:
        write_verdicts(propose, propose_verdicts(network, items, lesson, split, source))
        click.echo(f"wrote proposed verdicts to {propose}: a person decides", err=True)
    if against is not None:
        other = asked.model(against, items)
        # what people said of the first model's maps says nothing of this one's
        change = compare(found, measure_split(other, items, lesson, split, source))
        click.echo(json.dumps(change.as_dict()) if as_json else change.markdown())
    else:
        click.echo(json.dumps(found.as_dict()) if as_json else found.markdown())


@click.command()
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of all of it.")
@SPLIT
@VERDICTS
@click.option(
    "--strategy",
    type=click.Choice(["unreasonable-first", "disagreement", "uncertain", "cells", "random"]),
    help="Of the queue. Default: unreasonable-first, or uncertain where nothing else is known.",
)
@WANT
@about_a_task
def look(
    *,
    asked: Asked,
    model: str,
    data: Path,
    out: Path,
    split: str,
    verdicts: Path | None,
    strategy: str | None,
    want: tuple[tuple[str, int], ...],
) -> None:
    """See where a model looks, and which items deserve a person's minute first.

    Writes the queue with its reasons and a picture of every item under its map; where there are
    labels, also proposed verdicts, their matrix and examples of each cell. Items that people
    judged already (--verdicts) come last.
    """
    from sightline.alignment.overview import overview
    from sightline.allocator import keep_freed_memory

    keep_freed_memory()
    items = asked.items(data)
    found = overview(
        asked.model(model, items),
        items,
        asked.lesson(items, data),
        split,
        asked.source(items),
        judged=asked.cells(verdicts, items),
        strategy=strategy,
        wanted=dict(want),
        seed=asked.seed,
    )
    found.write(out)
    for row in found.queue.first(10):
        click.echo(f"{row.score:.2f}  {row.item}  {'; '.join(row.reasons)}")
    click.echo(f"wrote {out}")


@click.command()
@click.argument("labels", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "layout",
    type=click.Choice(["folder", "gradia", "coco", "label-studio"]),
    default="folder",
    show_default=True,
    help="A folder keeps everything; the others what they can.",
)
@CATEGORY
@click.option(
    "--photos", type=click.Path(path_type=Path), help="Folder of the photos, where masks need it."
)
def convert(
    *, labels: Path, out: Path, layout: str, category: str | None, photos: Path | None
) -> None:
    """Bring labels of attention from one layout to another, and say what could not be kept."""
    from sightline.alignment.formats.read import read_labels
    from sightline.alignment.formats.write import write_labels_as

    found = read_labels(labels, photos=photos, category=category)
    notes = write_labels_as(layout, out, found)
    people = len({label.author for label in found})
    click.echo(f"{len(found)} labels of {len(found.items)} items by {people} people -> {out}")
    for note in (*found.notes, *notes):
        click.echo(note, err=True)
