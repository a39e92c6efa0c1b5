"""``sightline benchmark attack``: how robust recognisers are, over a collection of drawings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.options import AS_JSON, SKIP_BAD, read_splits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightline.benchmark.attack_rounds import Row


@click.command("attack")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the results; a second start goes on.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("sketchxainet-tiny", "sketch-cnn"),
    show_default=True,
    help="Two or more: each is shown what came of the attacks on the one before.",
)
@click.option(
    "--only", metavar="MODEL", help="Attack this one; another process may attack another."
)
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    default="test",
    show_default=True,
)
@click.option(
    "--drawings",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Of each label. More may be added later.",
)
@click.option(
    "--inserted",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Of them, how many also have a stroke put in.",
)
@click.option("--seed", default=0, show_default=True, help="Of all luck.")
@SKIP_BAD
@AS_JSON
def benchmark_attack(
    *,
    data: Path,
    out: Path,
    models: tuple[str, ...],
    only: str | None,
    split: str,
    drawings: int,
    inserted: int,
    seed: int,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Attack drawings of every label of DATA: success against what may change.

    Points are moved by one gradient step, by ten, towards a target, and by luck; single small
    strokes are removed and inserted. Only drawings that a model answers rightly are attacked. The
    folder holds each round, table (attack.md), numbers (attack.json) and curves (attack.png).
    """
    import torch

    import sightline as sl
    from sightline.allocator import keep_freed_memory
    from sightline.benchmark.attack import attack_study
    from sightline.benchmark.attack_rounds import AttackStudy

    keep_freed_memory()
    torch.set_num_threads(1)
    rows = attack_study(
        {name: sl.load(name) for name in models},
        read_splits(data, seed, skip_bad)[split],
        out,
        AttackStudy(drawings, min(inserted, drawings), seed=seed),
        only=only,
        progress=lambda line: click.echo(line, err=True),
    )
    tables = write_study(rows, out)
    click.echo(numbers(rows) if as_json else tables)


def numbers(rows: Sequence[Row]) -> str:
    """The cells of the tables as JSON."""
    from dataclasses import asdict

    from sightline.benchmark.attack_summary import cells

    return json.dumps([asdict(cell) for cell in cells(rows)], allow_nan=False)


def write_study(rows: Sequence[Row], out: Path) -> str:
    """Write table, numbers and curves; the table is given back."""
    from sightline.benchmark.attack_summary import attack_curves, attack_tables
    from sightline.picture import write_figure
    from sightline.sketch.files import replace_file

    tables = attack_tables(rows)
    for name, text in (("attack.md", tables), ("attack.json", numbers(rows))):
        with replace_file(out / name) as stream:
            stream.write(text.encode() + b"\n")
    write_figure(attack_curves(rows), out / "attack.png")
    return tables
