"""``sightline invert``: where would the strokes have to stand for another answer?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import AS_JSON, INDEX, MODEL
from sightline.cli.stems import beside, stem_in
from sightline.version import __version__

if TYPE_CHECKING:
    import numpy as np

    from sightline.inversion import Trajectory
    from sightline.models.recognise import Answer


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", metavar="LABEL", help="Walk from where the strokes are drawn to LABEL.")
@click.option("--recover", is_flag=True, help="Scatter the strokes, walk to the drawing's label.")
@INDEX
@MODEL
@click.option("--restarts", type=click.IntRange(1), default=1, show_default=True, help="Starts.")
@click.option("--steps", type=click.IntRange(1), default=100, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the starts.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write, without suffix; default: FILE's name + '-inverted', here.",
)
@click.option(
    "--animate",
    "formats",
    type=click.Choice(["gif", "mp4", "webm"]),
    multiple=True,
    help="Also as a moving picture; may be given again. Video needs sightline[video].",
)
@AS_JSON
def invert(
    *,
    file: Path,
    target: str | None,
    recover: bool,
    index: int,
    model: str,
    restarts: int,
    steps: int,
    seed: int,
    out: Path | None,
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Move the strokes of a drawing, each as a whole, until the model answers a label.

    FILE is .svg, .ndjson[.gz] (QuickDraw) or .npz (sketch-rnn). Give either --target or --recover;
    a drawing without a label is recovered to the model's answer. Writes the drawing at chosen
    steps, with several starts the ways of the strokes, and all numbers as .json.
    """
    if (target is None) == (not recover):
        raise click.UsageError("give either --target LABEL or --recover")
    import sightline as sl
    from sightline import inversion
    from sightline.inversion.animation import check_animation
    from sightline.models.recognise import recognise

    stem = stem_in(out, f"{file.name.split('.')[0]}-inverted")
    films = [beside(stem, f".{suffix}") for suffix in dict.fromkeys(formats)]
    for film in films:
        check_animation(film, restarts)
    sketch = sl.read_sketch(file, index=index)
    network = sl.load(model)
    answers = recognise(network, sketch)
    descent = replace(inversion.Descent.of(network), steps=steps)
    settings: dict[str, Any] = {"restarts": restarts, "seed": seed, "descent": descent}
    with _progress(f"walking {steps} steps from {restarts} start{'s' * (restarts > 1)}") as step:
        if target is None:
            ways = inversion.recover(network, [sketch], progress=step, **settings)
        else:
            ways = inversion.transfer(network, [sketch], target, progress=step, **settings)
    made = {"file": file.name, "index": index, "model": model, "seed": seed}
    written = _write(ways, stem, films, made)
    if as_json:
        click.echo(json.dumps(_as_record(ways, answers) | {"written": [str(p) for p in written]}))
    else:
        _print(ways, answers)
        click.echo(f"\nwrote {', '.join(str(path) for path in written)}")


@contextmanager
def _progress(words: str) -> Iterator[Callable[[int, int], None]]:
    """A count that moves on a terminal, one line elsewhere; beside the answer, not in it."""
    moves = sys.stderr.isatty()
    if not moves:
        click.echo(words, err=True)

    def told(done: int, total: int) -> None:
        if moves:
            click.echo(f"\r{words}: {done / total:4.0%}", nl=False, err=True)

    yield told
    if moves:
        click.echo(err=True)


# --- what is written ------------------------------------------------------------------------------


def _write(
    ways: Sequence[Trajectory], stem: Path, films: Sequence[Path], made: dict[str, Any]
) -> list[Path]:
    from sightline.inversion.animation import animate
    from sightline.inversion.pictures import paths_figure, snapshots_figure
    from sightline.picture import write_figure
    from sightline.sketch.files import replace_file

    written = [beside(stem, ".png")]
    write_figure(snapshots_figure(ways), written[0])
    if len(ways) > 1:
        written.append(beside(stem, "-paths.png"))
        write_figure(paths_figure(ways), written[-1])
    for film in films:
        with _progress(f"drawing {film.name}") as drawn:
            animate(ways, film, progress=drawn)
        written.append(film)
    written.append(beside(stem, ".json"))
    with replace_file(written[-1]) as stream:
        stream.write(json.dumps(_all_numbers(ways, made)).encode())
    return written


def _all_numbers(ways: Sequence[Trajectory], made: dict[str, Any]) -> dict[str, Any]:
    """Everything needed to draw the walks again; coordinates are the model's, [-1, 1], y down."""
    first = ways[0]
    return {
        "sightline": __version__,
        **made,
        "label": first.sketch.label,
        "labels": first.labels,
        "strokes": [_plain(stroke) for stroke in first.sketch.strokes],
        "trajectories": [
            _summary(way)
            | {
                "locations": _plain(way.locations),
                "target_probability": _plain(way.target_probability),
                "original_probability": _plain(way.original_probability),
                "answers": [way.labels[answer] for answer in way.answers],
                "answer_probability": _plain(way.answer_probability),
            }
            for way in ways
        ],
    }


def _plain(numbers: np.ndarray) -> Any:
    """As lists, in seven digits: the model counts in float32."""
    if numbers.ndim > 1:
        return [_plain(row) for row in numbers]
    return [float(f"{number:.7g}") for number in numbers]


def _summary(way: Trajectory) -> dict[str, Any]:
    return {
        "original": way.original,
        "target": way.target,
        "restart": way.restart,
        "steps": way.steps,
        "flipped_at": way.flipped_at,
        "flipped": way.flipped,
        "distance_at_start": way.distance(0),
        "distance": way.distance(),
        "note": way.note,
    }


# --- what is printed ------------------------------------------------------------------------------


def _as_record(ways: Sequence[Trajectory], answers: Sequence[Answer]) -> dict[str, Any]:
    return {
        "recognised": answers[0].label,
        "probability": answers[0].probability,
        "trajectories": [
            _summary(way)
            | {
                "answer": way.labels[way.answers[-1]],
                "probability": float(way.answer_probability[-1]),
                "target_probability": float(way.target_probability[-1]),
                "original_probability": float(way.original_probability[-1]),
            }
            for way in ways
        ],
    }


def _print(ways: Sequence[Trajectory], answers: Sequence[Answer]) -> None:
    click.echo(f"recognised as {answers[0].label} ({answers[0].probability:.1%})")
    for way in ways:
        click.echo()
        if len(ways) > 1:
            click.echo(f"start {way.restart + 1}")
        _print_steps(way)
        click.echo(f"{_told(way)}; {_distance(way)}")
    for note in dict.fromkeys(way.note for way in ways if way.note):
        click.echo(f"note: {note}")


def _told(way: Trajectory) -> str:
    if way.flipped_at is None:
        return f"{way.target} is never the answer"
    last = "" if way.flipped else ", but not in the end"
    return f"{way.target} is first the answer at step {way.flipped_at}{last}"


def _distance(way: Trajectory) -> str:
    return f"distance {way.distance(0):.3f} at the start, {way.distance():.3f} in the end"


def _print_steps(way: Trajectory) -> None:
    from sightline.inversion.panels import percent, probabilities
    from sightline.inversion.pictures import step_name
    from sightline.inversion.trajectory import PUBLISHED_STEPS

    told = probabilities(way)
    wide = max(len(label) for label in ("answer", *(way.labels[a] for a in way.answers)))
    heads = [(label, max(len(label), 7)) for label, _, _ in told]
    click.echo(
        f" step  {'answer':{wide}s}         " + "".join(f"  {label:>{w}s}" for label, w in heads)
    )
    for step in sorted({min(step, way.steps) for step in PUBLISHED_STEPS}):
        values = [
            f"  {percent(values[step]):>{w}s}"
            for (_, values, _), (_, w) in zip(told, heads, strict=True)
        ]
        answer, share = way.labels[way.answers[step]], percent(way.answer_probability[step])
        click.echo(f"{step_name(step):>5s}  {answer:{wide}s}  {share:>7s}" + "".join(values))
