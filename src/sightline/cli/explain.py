"""``sightline explain``: a drawing, a photo, or a folder of photos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import AS_JSON, INDEX, MODEL
from sightline.cli.photos import BOXES, explain_folder, explain_photo
from sightline.cli.stems import beside, stem_in

if TYPE_CHECKING:
    from sightline.explanation import Explanation
    from sightline.models.recognise import Answer

# the registry itself would import torch; a test holds the two lists equal
METHOD_NAMES = (
    "shapley",
    "kernel_shap",
    "lime",
    "rise",
    "d_rise",
    "anchors",
    "sla",
    "gradient_x_input",
    "smooth_grad",
    "integrated_gradients",
    "p_sla",
    "grad_cam",
    "grad_cam_pp",
    "x_grad_cam",
    "hires_cam",
    "odam",
    "ssgrad_cam",
    "eigen_cam",
    "ablation_cam",
    "full_grad",
    "attention",
    "attention_rollout",
    "occlusion",
    "random",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@INDEX
@MODEL
@click.option(
    "--method",
    type=click.Choice(METHOD_NAMES),
    help="Default: shapley up to 12 strokes, else kernel_shap.",
)
@click.option("--target", help="A label of drawings; default: the recognised one.")
@click.option(
    "--scale",
    type=click.Choice(["logit", "log-probability", "probability"]),
    help="Unit of the scores; default: logit of drawings, probability of boxes.",
)
@click.option("--budget", help="Evaluations (2000) or time (20s) for methods that take one.")
@click.option("--seed", default=0, show_default=True, help="Of methods that sample.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write, without suffix (FILE's name + '-why', here); of a run its folder.",
)
@AS_JSON
@BOXES
def explain(
    *,
    file: Path,
    index: int,
    model: str,
    method: str | None,
    target: str | None,
    scale: Any,
    budget: str | None,
    seed: int,
    out: Path | None,
    as_json: bool,
    **boxes: Any,
) -> None:
    """Say what was seen in a drawing, a photo or a folder of photos, and what did it.

    FILE is a drawing (.svg, .ndjson[.gz] of QuickDraw, .npz of sketch-rnn), whose strokes are
    explained; a photo (.jpg, .png ...), whose boxes are; or a folder of photos, of which a run is
    made in --out: to be measured (sightline measure) and looked at (sightline show), and to be gone
    on with after it was stopped.
    """
    shared: dict[str, Any] = {
        "method": method,
        "scale": scale or "probability",
        "budget": budget,
        "seed": seed,
    }
    if file.is_dir():
        explain_folder(file, out, **shared, **boxes)
        return
    from sightline.image.read import SUFFIXES

    if file.suffix.lower() in SUFFIXES:
        explain_photo(file, out, **shared, as_json=as_json, **boxes)
        return
    import sightline as sl
    from sightline.methods import parts_for
    from sightline.models.recognise import recognise

    sketch = sl.read_sketch(file, index=index)
    network = sl.load(model)
    answers = recognise(network, sketch)
    chosen = method or ("shapley" if len(sketch) <= 12 else "kernel_shap")
    game = sl.Game(
        network, parts_for(chosen, network, sketch), sl.ClassScore(target, scale=scale or "logit")
    )
    why = sl.explain(game, chosen, budget=budget, seed=seed)
    stem = stem_in(out, f"{file.name.split('.')[0]}-why")
    picture, saved = beside(stem, ".png"), beside(stem, ".safetensors")
    why.plot(picture)
    why.save(saved)
    if as_json:
        click.echo(
            json.dumps(
                _as_record(why, answers) | {"picture": str(picture), "explanation": str(saved)}
            )
        )
    else:
        _print(why, answers)
        click.echo(f"\nwrote {picture} and {saved}")


def _as_record(why: Explanation, answers: list[Answer]) -> dict[str, Any]:
    ranking = why.ranking()
    errors = why.errors
    return {
        "recognised": answers[0].label,
        "probability": answers[0].probability,
        "top": [{"label": a.label, "probability": a.probability} for a in answers],
        "target": why.targets[0],
        "unit": why.unit,
        "value": float(why.value[0]),
        "base": float(why.base[0]),
        "method": why.made.method,
        "evaluations": why.made.evaluations,
        "seconds": why.made.seconds,
        "notes": list(why.made.notes),
        why.parts.kind: [
            {
                "part": why.parts.names[i],
                "rank": rank,
                "score": float(why.scores[0, i]),
                "standard_error": None if errors is None else float(errors[0, i]),
            }
            for rank, i in enumerate(ranking, start=1)
        ],
    }


def _print(why: Explanation, answers: list[Answer], *, most: int = 20) -> None:
    first, *others = answers
    click.echo(f"recognised as {first.label} ({first.probability:.1%})")
    click.echo("then " + ", ".join(f"{a.label} {a.probability:.1%}" for a in others))
    click.echo(
        f"\nwhat speaks for {why.targets[0]}, {why.unit}; everything {why.value[0]:.3f}, "
        f"nothing {why.base[0]:.3f} ({why.made.method}, {why.made.evaluations} evaluations, "
        f"{why.made.seconds:.2f} s)"
    )
    for rank, index in enumerate(why.ranking()[:most], start=1):
        error = "" if why.errors is None else f" ± {1.96 * why.errors[0, index]:.3f}"
        click.echo(f"{rank:3d}  {why.scores[0, index]:+8.3f}{error}  {why.parts.names[index]}")
    if len(why.parts) > most:
        click.echo(f"     … and {len(why.parts) - most} more")
    for note in [*why.made.notes, why.blank()]:
        if note:
            click.echo(f"note: {note}")
