"""``sightline heal``: what is a drawing better without?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sightline.cli.explain import METHOD_NAMES
from sightline.cli.options import AS_JSON, INDEX, MODEL
from sightline.cli.stems import beside, stem_in

if TYPE_CHECKING:
    from sightline.game import Game
    from sightline.tasks.healing import Healing, Suggestion

LISTED = 10


def _numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    """Numbers of suggestions, as in 1,3."""
    if value is None:
        return None
    numbers = [each.strip() for each in value.split(",")]
    if not all(each.isdecimal() and int(each) for each in numbers):
        raise click.BadParameter(f"{value!r}: expected numbers of the list, as in 1,3")
    return tuple(dict.fromkeys(int(each) for each in numbers))


def _no_loss(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """A gain of 0 or more, and no NaN."""
    if value is not None and not value >= 0:
        raise click.BadParameter(f"{value}: expected 0 or more")
    return value


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@INDEX
@MODEL
@click.option(
    "--target", metavar="LABEL", help="What it is meant to be; default: its label, or the answer."
)
@click.option(
    "--scale",
    type=click.Choice(["logit", "log-probability", "probability"]),
    default="logit",
    show_default=True,
    help="Of the score.",
)
@click.option(
    "--method",
    type=click.Choice(METHOD_NAMES),
    help="Explains strokes; default: shapley up to 10, else kernel_shap.",
)
@click.option(
    "--parts",
    type=click.Choice(["strokes", "stretches", "both"]),
    default="strokes",
    show_default=True,
    help="What may go.",
)
@click.option("--tried", type=click.IntRange(1), help="Candidates scored at each step.")
@click.option("--remove", callback=_numbers, metavar="1,3", help="Take these suggestions out.")
@click.option("--all", "every", is_flag=True, help="Take out what helps, until nothing does.")
@click.option("--steps", type=click.IntRange(0), help="With --all: at most so many.")
@click.option(
    "--least-gain",
    type=float,
    callback=_no_loss,
    help="With --all: each must gain more than this; default: 0.",
)
@click.option("--undo", type=click.IntRange(1), help="Take back so many steps of FILE, a healing.")
@click.option("--seed", default=0, show_default=True, help="Of methods that sample.")
@click.option("--budget", help="Evaluations (2000) or time (20s) for methods that take one.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write: a folder, or a path without suffix; default: FILE's name + '-healed'.",
)
@AS_JSON
@click.pass_context
def heal(
    ctx: click.Context,
    *,
    file: Path,
    index: int,
    model: str,
    target: str | None,
    scale: Any,
    method: str | None,
    parts: Any,
    tried: int | None,
    remove: tuple[int, ...] | None,
    every: bool,
    steps: int | None,
    least_gain: float | None,
    undo: int | None,
    seed: int,
    budget: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say which strokes, or stretches of strokes, a drawing is better without; take them out.

    FILE is .svg, .ndjson[.gz] (QuickDraw) or .npz (sketch-rnn), or a healing that this command
    wrote (.json), to go on with. Suggestions are printed and nothing is removed, unless --remove
    names some of them or --all takes what helps, step by step. Writes what is left on the same
    canvas, a picture, a page, and every step as .json.
    """
    if sum((remove is not None, every, undo is not None)) > 1:
        raise click.UsageError("give one of --remove, --all and --undo")
    if not every and (steps is not None or least_gain is not None):
        raise click.UsageError("--steps and --least-gain go with --all")
    if _is_healing(file):
        _refuse_what_a_healing_has(ctx)
    stem = stem_in(out, f"{file.name.split('.')[0].removesuffix('-healed')}-healed")
    import sightline as sl
    from sightline.tasks import healing as healings
    from sightline.tasks.healing.suggestions import why_nothing_may_go

    search: dict[str, Any] = {"parts": parts, "method": method, "seed": seed, "budget": budget}
    started, game, aim = _begin(sl.load(model), file, index, target, scale)
    done = started
    if undo is not None:
        for _ in range(undo):
            done = done.undo()
    elif every:
        chosen = {} if tried is None else {"tried": tried}
        walk: dict[str, Any] = {"steps": steps, "least_gain": least_gain or 0.0} | chosen | search
        done = healings.heal(started, game, **walk)
    elif remove is not None:
        listed = healings.suggest(started, game, tried=tried, **search)
        done = started.remove([each.piece for each in _chosen(listed, remove)], game)
    offers = healings.suggest(done, game, tried=tried, **search)
    why_none = why_nothing_may_go(done, parts)
    kind = _suffix_of_drawing(file) if done.steps != started.steps else None
    written = _write(done, offers, stem, kind, why_none)
    if as_json:
        told = _as_record(done, offers) | {"target_from": aim, "written": [str(p) for p in written]}
        click.echo(json.dumps(told))
    else:
        _print(done, offers, aim, why_none)
        click.echo(f"\nwrote {', '.join(str(path) for path in written)}")


def _is_healing(file: Path) -> bool:
    return file.suffix.lower() == ".json"


def _refuse_what_a_healing_has(ctx: click.Context) -> None:
    for name in ("target", "scale", "index"):
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"a healing has its target and scale, and its drawing: leave --{name} out"
            )


def _suffix_of_drawing(file: Path) -> str:
    """That of FILE, or of what was written beside a healing; .svg for what is only read."""
    from sightline.sketch.read import suffix_of

    if _is_healing(file):
        beside = file.with_suffix(".ndjson").exists() and not file.with_suffix(".svg").exists()
        return ".ndjson" if beside else ".svg"
    return ".ndjson" if suffix_of(file).startswith(".ndjson") else ".svg"


def _begin(
    network: Any, file: Path, index: int, target: str | None, scale: Any
) -> tuple[Healing, Game, str]:
    """A drawing, or a healing that was saved; its game; and where its target is from."""
    import sightline as sl
    from sightline.models.door import as_model
    from sightline.tasks.healing import Healing
    from sightline.tasks.healing.record import begin

    if _is_healing(file):
        healing = Healing.load(file)
        asked = sl.ClassScore(healing.target, scale=healing.unit)  # type: ignore[arg-type]
        game = sl.Game(network, sl.Strokes(healing.drawing), asked)
        return begin(healing, game), game, "the healing"
    sketch = sl.read_sketch(file, index=index)
    known = sketch.label if sketch.label in as_model(network).labels else None
    aim = "--target" if target else "the drawing's label" if known else "the model's answer"
    game = sl.Game(network, sl.Strokes(sketch), sl.ClassScore(target or known, scale=scale))
    return begin(sketch, game), game, aim


def _chosen(listed: tuple[Suggestion, ...], numbers: tuple[int, ...]) -> list[Suggestion]:
    beyond = [number for number in numbers if number > len(listed)]
    if beyond:
        raise click.BadParameter(
            f"there is no suggestion {beyond[0]}, there are {len(listed)}", param_hint="--remove"
        )
    return [listed[number - 1] for number in numbers]


def _write(
    done: Healing, offers: tuple[Suggestion, ...], stem: Path, kind: str | None, why_none: str
) -> list[Path]:
    """A picture and a page; of what changed also the drawing, of this kind, and every step."""
    from sightline.picture import write_figure
    from sightline.sketch.read import write_sketch
    from sightline.tasks.healing.healing_pictures import healing_figure, suggestions_figure
    from sightline.tasks.healing.page import write_healing_page

    drawn = healing_figure(done) if kind else suggestions_figure(done, offers)
    write_figure(drawn, beside(stem, ".png"))
    write_healing_page(beside(stem, ".html"), done, offers, why_none=why_none)
    written = [beside(stem, ".png"), beside(stem, ".html")]
    if kind:
        drawing = beside(stem, kind)
        write_sketch(drawing, done.sketch)
        done.save(beside(stem, ".json"))
        written = [drawing, *written, beside(stem, ".json")]
    return written


def _as_record(done: Healing, offers: tuple[Suggestion, ...]) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "target": done.target,
        "unit": done.unit,
        "before": done.value,
        "after": done.score,
        "strokes_left": len(done.pieces),
        "share_removed": done.share_removed,
        "steps": [asdict(step) | {"name": done.name(step.piece)} for step in done.steps],
        "notes": list(done.notes),
        "suggestions": [asdict(each) for each in offers],
    }


def _print(done: Healing, offers: tuple[Suggestion, ...], aim: str, why_none: str) -> None:
    from sightline.tasks.healing.page import steps_table, suggestions_table

    click.echo(f"{done.target} (from {aim}): {done.value:.3f} {done.unit}")
    if aim == "the model's answer":
        click.echo("note: healing towards the answer can only make the model surer of it")
    if done.steps:
        click.echo("\nremoved, step by step:")
        for step, name, said, score, gain in steps_table(done)[1:]:
            click.echo(f"{step:>3}  {gain:>8}  -> {score:>8}  {name}" + (said and f"  [{said}]"))
        click.echo(f"{done.share_removed:.0%} of the line is gone")
    for note in done.notes:
        click.echo(f"note: {note}")
    if not offers:
        click.echo(f"\nnothing may go: {why_none}")
        return
    click.echo("\nwithout it the score is" + (", from here" if done.steps else "") + ":")
    for number, name, said, gain, score in suggestions_table(offers[:LISTED]):
        click.echo(f"{number:>3}  {gain:>8}  -> {score:>8}  {name}  [{said}]")
    if len(offers) > LISTED:
        click.echo(f"     … and {len(offers) - LISTED} more; --tried shortens the list")
