"""``sightline benchmark healing``: does healing take out what was planted?"""

from __future__ import annotations

from pathlib import Path

import click

from sightline.cli.options import SKIP_BAD, read_splits

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
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    default="test",
    show_default=True,
)
@click.option("--seed", default=0, show_default=True, help="Of all luck.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the results; a second start goes on.",
)
@SKIP_BAD
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
) -> None:
    """Plant noise on drawings of DATA, heal them by several removers, and count what went.

    Precision and recall of the removal, and the share of right answers before and after, with
    intervals; beside removers by luck and by length, and on clean drawings, where nothing should
    go.
    """
    import torch

    import sightline as sl
    from sightline.allocator import keep_freed_memory
    from sightline.benchmark.healing import HealingStudy, healing_study

    keep_freed_memory()
    torch.set_num_threads(1)  # on networks this small more threads cost more than they bring
    study = HealingStudy(drawings=drawings, each=each, kinds=kinds or KINDS, seed=seed)
    given = read_splits(data, seed, skip_bad)[split]
    named = {name: sl.load(name) for name in models or ("sketchxainet-tiny", "sketch-cnn")}
    healing_study(named, given, out, study, progress=_say)
    click.echo((out / "healing.md").read_text())


def _say(line: str) -> None:
    click.echo(line, err=True)
