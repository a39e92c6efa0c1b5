"""What `sightline explain` does with a photo, and with a folder of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sightline.cli.stems import beside, stem_in
from sightline.errors import SightlineError

if TYPE_CHECKING:
    from sightline.explanation import Explanation
    from sightline.models.detector import Detections, Detector
    from sightline.targets import Target

DEFAULT_RUN = "kernel_shap,x_grad_cam,grad_cam_pp,random"
EDGES = ("left", "top", "right", "bottom")

Command = TypeVar("Command", bound=Callable[..., Any])


def BOXES(command: Command) -> Command:
    """The options of photos, on top of those of drawings."""
    options = [
        click.option(
            "--detector",
            default="scene-ssd",
            show_default=True,
            help="Of photos: torchvision:NAME, transformers:ORG/NAME, onnx:FILE, a folder ...",
        ),
        click.option("--threshold", default=0.5, show_default=True, help="Lowest score of a box."),
        click.option("--most", type=int, help="Explain the best so many boxes of a photo."),
        click.option(
            "--parts", "superpixels", default=256, show_default=True, help="Superpixels of a photo."
        ),
        click.option(
            "--absent",
            type=click.Choice(["grey", "mean", "blur"]),
            default="grey",
            show_default=True,
            help="What stands in for absent regions of a photo.",
        ),
        click.option(
            "--edge", type=click.Choice(EDGES), help="Explain where this edge of each box is."
        ),
        click.option("--rival", help="Explain each box's label against this one."),
        click.option(
            "--missed",
            multiple=True,
            metavar="L,T,R,B,LABEL",
            help="Explain a box that was missed, in pixels of the photo; may be repeated.",
        ),
        click.option(
            "--methods", default=DEFAULT_RUN, show_default=True, help="Of a run, with commas."
        ),
        click.option(
            "--annotations",
            type=click.Path(path_type=Path),
            help="Of a run: COCO instances; only the photos that they list.",
        ),
        click.option(
            "--panoptic",
            type=click.Path(path_type=Path),
            help="Of a run: COCO panoptic JSON beside a folder of its name, for human masks.",
        ),
        click.option("--first", type=int, help="Of a run: the first so many photos."),
        click.option("--no-flips", is_flag=True, help="Of a run: no deletion and insertion."),
        click.option("--batch", type=int, help="Of photos: pictures of one forward pass."),
        click.option("--retry-failed", is_flag=True, help="Of a run: photos that failed before."),
        click.option(
            "--labels",
            type=click.Path(path_type=Path),
            help="Names of a detector's columns, a line each, where its weights do not say.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def explain_photo(
    file: Path,
    out: Path | None,
    *,
    method: str | None,
    scale: Any,
    budget: str | None,
    seed: int,
    as_json: bool,
    detector: str,
    threshold: float,
    most: int | None,
    superpixels: int,
    absent: Any,
    edge: Any,
    rival: str | None,
    missed: Sequence[str],
    batch: int | None,
    labels: Path | None,
    **_of_runs: Any,
) -> None:
    """Explain the boxes of one photo; write a picture and the explanation."""
    import sightline as sl
    from sightline.allocator import keep_freed_memory
    from sightline.picture import boxes_figure, write_figure

    keep_freed_memory()
    photo = sl.read_photo(file)
    finder = _opened(detector, labels)
    targets: list[Target] = [_missed(told, scale) for told in missed]
    if not targets:
        found = sl.boxes_in(finder, photo, threshold=threshold, most=most)
        targets = [_asked(found, scale, edge, rival)]
    parts = sl.Superpixels(photo, superpixels, absent)
    game = sl.Game(finder, parts, targets, batch=batch)
    why = sl.explain(game, method or "kernel_shap", budget=budget, seed=seed)
    stem = stem_in(out, f"{file.stem}-why")
    picture, saved = beside(stem, ".png"), beside(stem, ".safetensors")
    write_figure(boxes_figure(why), picture)
    why.save(saved)
    if as_json:
        told = {"picture": str(picture), "explanation": str(saved), "targets": _as_records(why)}
        click.echo(json.dumps(told))
        return
    _print(why)
    click.echo(f"\nwrote {picture} and {saved}")


def explain_folder(
    folder: Path,
    out: Path | None,
    *,
    method: str | None,
    methods: str,
    scale: Any,
    budget: str | None,
    seed: int,
    detector: str,
    threshold: float,
    most: int | None,
    superpixels: int,
    absent: Any,
    annotations: Path | None,
    panoptic: Path | None,
    first: int | None,
    no_flips: bool,
    batch: int | None,
    retry_failed: bool,
    labels: Path | None,
    edge: str | None,
    rival: str | None,
    missed: Sequence[str],
) -> None:
    """Explain the photos of a folder into a run, or go on with one."""
    from sightline.allocator import keep_freed_memory
    from sightline.runs.folder import explain_all
    from sightline.runs.progress import tell_seldom
    from sightline.runs.settings import PhotoSettings

    if out is None:
        raise click.UsageError("a folder of photos is explained into a run: give --out RUN")
    if edge or rival or missed:
        raise click.UsageError("--edge, --rival and --missed are of one photo; give a photo")
    keep_freed_memory()
    names = tuple((method or methods).split(","))
    settings = PhotoSettings(
        methods=names,
        threshold=threshold,
        most=most,
        superpixels=superpixels,
        absent=absent,
        budgets=_budgets(budget, names),
        scale=scale,
        flips=not no_flips,
        seed=seed,
    )
    outcome = explain_all(
        _opened(detector, labels),
        detector,
        folder,
        out,
        settings,
        annotations=annotations,
        panoptic=panoptic,
        first=first,
        batch=batch,
        retry_failed=retry_failed,
        progress=tell_seldom(lambda line: click.echo(line, err=True)),
    )
    for note in outcome.notes:
        click.echo(f"note: {note}", err=True)
    for failure in outcome.failures:
        click.echo(f"left out: {failure}", err=True)
    click.echo(
        f"{outcome.photos} photos explained, {len(outcome.failures)} failed, in {out}; "
        f"next: sightline measure {out}"
    )


def _opened(detector: str, labels: Path | None) -> Detector:
    import sightline as sl

    if labels is None:
        return sl.load_detector(detector)
    return sl.load_detector(detector, labels=labels.read_text().split("\n"))


def _asked(found: Detections, scale: Any, edge: Any, rival: str | None) -> Target:
    import sightline as sl
    from sightline.targets import scores_of

    if edge and rival:
        raise click.UsageError("give --edge or --rival, not both: they have different units")
    if edge:
        return sl.BoxEdge(found, edge)
    if rival:
        return sl.BoxRival(found, rival)
    return scores_of(found, scale)


def _missed(told: str, scale: Any) -> Target:
    import sightline as sl

    *corners, label = told.split(",")
    try:
        left, top, right, bottom = (float(corner) for corner in corners)
    except ValueError:
        raise SightlineError(
            f"--missed {told!r}: expected left,top,right,bottom,label in pixels of the photo, such "
            "as 10,20,110,90,cup"
        ) from None
    return sl.MissedBox((left, top, right, bottom), label.strip(), scale)


def _budgets(budget: str | None, methods: Sequence[str]) -> dict[str, int]:
    from sightline.methods import BUDGETED

    if budget is None:
        return {}
    if budget.isdigit():
        return {method: int(budget) for method in methods if method in BUDGETED}
    told = dict(each.partition("=")[::2] for each in budget.split(","))
    for method, count in told.items():
        if method not in BUDGETED or method not in methods or not count.isdigit():
            raise click.UsageError(
                "the budget of a run is a number of evaluations, such as 2000, or one for each "
                "method that takes one: kernel_shap=2000,d_rise=500"
            )
    return {method: int(count) for method, count in told.items()}


def _print(why: Explanation) -> None:
    made = why.made
    click.echo(
        f"{len(why.targets)} targets, {made.method}, {made.evaluations} evaluations for all of "
        f"them, {made.seconds:.2f} s\n"
    )
    for row, name in enumerate(why.targets):
        place = ""
        if why.boxes is not None:
            left, top, right, bottom = why.boxes[row]
            place = f" at {left:.0f},{top:.0f} to {right:.0f},{bottom:.0f}"
        click.echo(f"{name}{place}: {why.value[row]:.3f} {why.unit}, nothing {why.base[row]:.3f}")
        if reason := why.blank(row):
            click.echo(f"  {reason}")
    for note in made.notes:
        click.echo(f"note: {note}")


def _as_records(why: Explanation) -> list[dict[str, Any]]:
    return [
        {
            "target": name,
            "box": None if why.boxes is None else why.boxes[row].tolist(),
            "unit": why.unit,
            "value": float(why.value[row]),
            "base": float(why.base[row]),
            "method": why.made.method,
            "evaluations": why.made.evaluations,
            "seconds": why.made.seconds,
            "scores": why.scores[row].tolist(),
            "standard_errors": None if why.errors is None else why.errors[row].tolist(),
            "blank": why.blank(row),
            "notes": list(why.made.notes),
        }
        for row, name in enumerate(why.targets)
    ]
