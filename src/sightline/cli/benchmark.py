"""``sightline benchmark``: methods against a known truth, and location inversion in numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.benchmark_alignment import (
    biased_scenes,
    decoy_mnist,
    decoy_strokes,
    exact_gradient,
    people,
)
from sightline.cli.benchmark_attack import benchmark_attack
from sightline.cli.benchmark_generation import generation
from sightline.cli.benchmark_healing import healing
from sightline.cli.benchmark_retrieval import retrieval
from sightline.cli.explain import METHOD_NAMES
from sightline.cli.options import AS_JSON, LUCK, MODEL, SKIP_BAD, SPLIT, read_splits

if TYPE_CHECKING:
    from sightline.benchmark.findings import Findings
    from sightline.inversion.scores import InversionScores
    from sightline.metrics.intervals import Interval
    from sightline.sketch.sketch import Sketch


@click.group()
def benchmark() -> None:
    """Measure methods, and ways to teach, against known truths."""


for command in (
    decoy_mnist,
    biased_scenes,
    exact_gradient,
    decoy_strokes,
    people,
    retrieval,
    generation,
    healing,
    benchmark_attack,
):
    benchmark.add_command(command)


@benchmark.command("strokes")
@click.argument("data", type=click.Path(path_type=Path))
@MODEL
@SPLIT
@click.option("--drawings", type=click.IntRange(2), default=100, show_default=True)
@click.option(
    "--checked",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Of them, through the sanity checks and timed.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(METHOD_NAMES),
    help="May be repeated; default: all.",
)
@click.option(
    "--scale",
    type=click.Choice(["logit", "log-probability", "probability"]),
    default="probability",
    show_default=True,
    help="Of the score that is explained.",
)
@click.option(
    "--budget",
    type=click.IntRange(4),
    default=256,
    show_default=True,
    help="Evaluations of methods that sample coalitions.",
)
@LUCK
@click.option("--batch", type=click.IntRange(1), default=512, hidden=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for table, numbers, picture.")
@SKIP_BAD
@AS_JSON
def strokes(
    *,
    data: Path,
    model: str,
    split: str,
    drawings: int,
    checked: int,
    methods: tuple[str, ...],
    scale: Any,
    budget: int,
    seed: int,
    batch: int,
    out: Path | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Say which explanation of strokes is right.

    Every method explains the same drawings of DATA: it must rank a planted stroke of another
    category last, agree with exact Shapley values, rank parts alike over a category, find the
    parts that the answer needs, and notice when the model is not the model.
    """
    import sightline as sl
    from sightline.benchmark import BenchmarkSettings, benchmark_strokes

    settings = BenchmarkSettings(
        drawings=drawings,
        checked=checked,
        budget=budget,
        scale=scale,
        methods=methods or None,
        seed=seed,
    )
    given = read_splits(data, seed, skip_bad)[split]
    found = benchmark_strokes(
        sl.load(model), given, settings, batch=batch, progress=_progress("drawings")
    )
    if out is not None:
        _write(found, out)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    else:
        _print(found, out)


@benchmark.command("inversion")
@click.argument("data", type=click.Path(path_type=Path))
@MODEL
@SPLIT
@click.option("--drawings", type=click.IntRange(2), help="By luck; default: all of the split.")
@click.option("--restarts", type=click.IntRange(1), default=5, show_default=True)
@click.option("--steps", type=click.IntRange(1), help="Default: 100.")
@LUCK
@SKIP_BAD
@AS_JSON
def inversion(
    *,
    data: Path,
    model: str,
    split: str,
    drawings: int | None,
    restarts: int,
    steps: int | None,
    seed: int,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Score stroke location inversion over a collection: recovery and transfer.

    Recovery scatters the strokes of each drawing of DATA and walks back to its label; transfer
    starts from the drawing and walks to another label, chosen by luck.
    """
    from dataclasses import replace

    import sightline as sl
    from sightline.inversion import Descent, score_inversion

    network = sl.load(model)
    given = _some(read_splits(data, seed, skip_bad)[split], drawings, seed)
    walk = Descent.of(network)
    walk = walk if steps is None else replace(walk, steps=steps)
    scores = {
        kind: score_inversion(
            network,
            given,
            kind,
            restarts=restarts,
            seed=seed,
            descent=walk,
            progress=_progress(kind),
        )
        for kind in ("recovery", "transfer")
    }
    if as_json:
        click.echo(json.dumps({kind: s.as_dict() for kind, s in scores.items()}))
    else:
        _print_inversion(scores, walk.steps)


def _some(sketches: list[Sketch], count: int | None, seed: int) -> list[Sketch]:
    from sightline.benchmark.strokes import shuffled

    return shuffled(sketches, seed)[:count]


def _progress(what: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{what}: {done}/{total}", nl=done == total, err=True)

    return tell


def _print(found: Findings, out: Path | None) -> None:
    rows = [found.columns, *found.rows()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(found.columns))]
    click.echo(
        f"{found.model}: {found.drawings} drawings, {found.checked} of them in the sanity checks, "
        f"{found.unplanted} without room for a planted stroke; 95 % bootstrap intervals\n"
    )
    for row in rows:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    click.echo("\n* best, or not distinguishable from it   ! fails the check\n")
    for sentence in found.verdict():
        click.echo(sentence)
    for note in found.notes:
        click.echo(f"note: {note}")
    for method, reason in found.refused.items():
        click.echo(f"{method} was not run: {reason}", err=True)
    if out is not None:
        click.echo(f"\nwrote table.md, findings.json, findings.png and planted.png in {out}")


def _write(found: Findings, out: Path) -> None:
    from sightline.benchmark.pictures import findings_figure, planted_figure
    from sightline.picture import write_figure
    from sightline.sketch.files import replace_file

    verdict = "\n".join(f"- {sentence}" for sentence in found.verdict())
    with replace_file(out / "table.md") as stream:
        stream.write(f"{found.markdown()}\n\n{verdict}\n".encode())
    with replace_file(out / "findings.json") as stream:
        stream.write(json.dumps(found.as_dict(), indent=1).encode())
    write_figure(findings_figure(found), out / "findings.png")
    if found.examples:
        write_figure(planted_figure(found.examples), out / "planted.png")


def _print_inversion(scores: dict[str, InversionScores], steps: int) -> None:
    first = next(iter(scores.values()))
    click.echo(
        f"{first.drawings} drawings, {first.restarts} restarts, {steps} steps; "
        f"{first.one_stroke} drawings of one stroke left out; 95 % bootstrap intervals\n"
    )
    click.echo(f"{'':34s}" + "".join(f"{kind:26s}" for kind in scores))
    for name, words in _SCORES.items():
        cells = [_shown(getattr(s, name)) for s in scores.values()]
        click.echo(f"{words:34s}" + "".join(f"{cell:26s}" for cell in cells).rstrip())


_SCORES = {
    "at_start": "the start is the target's already",
    "flipped": "reaches the target",
    "kept": "ends with the target",
    "steps_to_flip": "steps to it, median",
    "probability": "probability in the end",
    "start_distance": "distance of the start",
    "distance": "distance in the end",
    "spread": "spread over restarts",
}


def _shown(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    digits = 0 if float(interval.estimate).is_integer() and interval.estimate > 1 else 3
    low, mid, high = (f"{x:.{digits}f}" for x in (interval.low, interval.estimate, interval.high))
    return f"{mid} [{low}, {high}]"
