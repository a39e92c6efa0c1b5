"""``sightline benchmark attack``: how robust recognisers are, over a collection of drawings."""

from __future__ import annotations

from pathlib import Path

import click

from sightline.cli.options import (
    AS_JSON,
    LUCK,
    SKIP_BAD,
    SPLIT,
    STUDY_OUT,
    read_splits,
    set_up_study,
    tell_findings,
    tell_line,
)


@click.command("attack")
@click.argument("data", type=click.Path(path_type=Path))
@STUDY_OUT
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
@SPLIT
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
@LUCK
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
    folder holds all rounds, table (attack.md), numbers (attack.json) and curves (attack.png).
    """
    from dataclasses import asdict

    import sightline as sl
    from sightline.benchmark.attack import attack_study
    from sightline.benchmark.attack_rounds import AttackStudy
    from sightline.benchmark.attack_summary import attack_curves, attack_tables, cells
    from sightline.picture import write_figure

    set_up_study()
    rows = attack_study(
        {name: sl.load(name) for name in models},
        read_splits(data, seed, skip_bad)[split],
        out,
        AttackStudy(drawings, min(inserted, drawings), seed=seed),
        only=only,
        progress=tell_line,
    )
    write_figure(attack_curves(rows), out / "attack.png")
    numbers = [asdict(cell) for cell in cells(rows)]
    tell_findings(out, "attack", attack_tables(rows), numbers, as_json=as_json)
