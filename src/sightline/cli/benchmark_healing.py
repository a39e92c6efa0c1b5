"""``sightline benchmark healing``: does healing take out what was planted?"""

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

KINDS = ("foreign", "scribble", "slash", "ticks", "copy", "overshoot", "clean")
"""The study itself would import torch; a test holds the two lists equal."""


@click.command("healing")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    help="May be repeated; default: sketchxainet-tiny and sketch-cnn.",
)
@click.option("--drawings", type=click.IntRange(2), default=60, show_default=True)
@click.option(
    "--each",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Kinds of noise a drawing has, in turn; every second drawing is healed clean too.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(KINDS),
    help="Of noise; may be repeated; default: all, and clean drawings.",
)
@SPLIT
@LUCK
@STUDY_OUT
@SKIP_BAD
@AS_JSON
def healing(
    *,
    data: Path,
    models: tuple[str, ...],
    drawings: int,
    each: int,
    kinds: tuple[str, ...],
    split: str,
    seed: int,
    out: Path,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Plant noise on drawings of DATA, heal them by several removers, and count what went.

    Precision and recall of the removal, and the share of right answers before and after, with
    intervals; beside removers by luck and by length, and on clean drawings, where nothing should
    go.
    """
    import sightline as sl
    from sightline.benchmark.healing import HealingStudy, healing_study
    from sightline.benchmark.healing_tables import healing_tables

    set_up_study()
    study = HealingStudy(drawings=drawings, each=each, kinds=kinds or KINDS, seed=seed)
    given = read_splits(data, seed, skip_bad)[split]
    named = {name: sl.load(name) for name in models or ("sketchxainet-tiny", "sketch-cnn")}
    text, numbers = healing_tables(healing_study(named, given, out, study, progress=tell_line))
    tell_findings(out, "healing", text, numbers, as_json=as_json)
