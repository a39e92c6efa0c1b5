"""``sightline align``: teach a model where to look, from what people said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.align_look import convert, look, measure
from sightline.cli.align_matrix import agreement, matrix, queue
from sightline.cli.align_study import study
from sightline.cli.align_task import VERDICTS, Asked, about_a_task
from sightline.cli.options import RUN, tell_progress, voice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sightline.alignment.items import Items
    from sightline.alignment.looking import MapSource
    from sightline.alignment.phases import Lesson
    from sightline.training.recipe import Recipe

GUIDE_NAMES = (
    "gradia",
    "gradia-as-programmed",
    "res",
    "res-learnt",
    "haics",
    "rrr",
    "rrr-grad-cam",
    "hint",
)
MEASURES = "measures.json"


@click.group()
def align() -> None:
    """Say where a model should look, and teach it to."""


for command in (look, measure, matrix, queue, agreement, convert, study):
    align.add_command(command)


@align.command("train")
@click.argument("data", type=click.Path(path_type=Path))
@RUN
@click.option("--phase", type=click.Choice(["1", "2"]), help="By default 2 where there are labels.")
@click.option(
    "--model",
    help="Phase 1: small-resnet, transformers:NAME, timm:NAME; of drawings nano, tiny, base, cnn. "
    "Phase 2: the folder of phase 1's model, or any of those.",
)
@VERDICTS
@click.option("--guide", "guide_name", type=click.Choice(GUIDE_NAMES), default="gradia",
              show_default=True, help="The loss on attention.")  # fmt: skip
@click.option(
    "--strength", type=click.FloatRange(0), help="Of that loss; by default the guide's own."
)
@click.option(
    "--cell-weight",
    "cell_weights",
    multiple=True,
    metavar="CELL=TASK,ATTENTION",
    help="May be repeated; default: UI=1,1 UA=0.4,1.6 RI=0.8,0.2 RA=1,0.",
)
@click.option(
    "--kept",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Share of labelled validation items that are not learnt from.",
)
@click.option("--epochs", type=click.IntRange(1), help="Default: 20 in phase 1, 10 in phase 2.")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True)
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Default: 1e-3, then 1e-4.")
@click.option(
    "--precision",
    type=click.Choice(["32-true", "bf16-mixed", "16-mixed"]),
    default="32-true",
    show_default=True,
    help="Lightning Fabric's name.",
)
@click.option("--no-augmentation", is_flag=True, help="Show items as they are.")
@click.option("--no-test", is_flag=True, help="Leave the test split for another day.")
@about_a_task
def align_train(
    *,
    asked: Asked,
    data: Path,
    out: Path,
    phase: str | None,
    model: str | None,
    verdicts: Path | None,
    guide_name: str,
    strength: float | None,
    cell_weights: tuple[str, ...],
    kept: float,
    epochs: int | None,
    batch: int,
    lr: float | None,
    precision: str,
    no_augmentation: bool,
    no_test: bool,
) -> None:
    """Train a classifier for its task (phase 1), and for where it looks (phase 2).

    DATA is a folder of class folders with photos (or train, valid and test folders of those), a
    .csv that lists photos beside it (file, label, split), or drawings as ``sightline train
    sketch`` reads them. OUT/model is the epoch that was best on the validation split; the test
    split is measured once, at the end, and OUT/measures.json keeps it. A killed run goes on where
    it stopped. Under ``torchrun`` several processes train together.
    """
    from sightline.alignment.phases import PHASE_1, PHASE_2, learn_task, learn_where
    from sightline.allocator import keep_freed_memory
    from sightline.training.processes import joined

    keep_freed_memory()
    phase = phase or ("2" if asked.label_files else "1")
    if phase == "2" and not asked.label_files:
        raise click.UsageError("phase 2 learns from labels: give --labels")
    if phase == "2" and model is None:
        raise click.UsageError("phase 2 goes on from a model: give --model, phase 1's OUT/model")
    with joined() as processes:
        say = voice(processes)
        items = asked.items(data)
        chosen = model or ("tiny" if items.are_drawings else "small-resnet")
        network = asked.model(chosen, items)
        recipe = _recipe(
            PHASE_1 if phase == "1" else PHASE_2,
            items,
            {
                "epochs": epochs,
                "lr": lr,
                "batch": batch,
                "precision": precision,
                "seed": asked.seed,
            },
            no_augmentation,
        )
        options: dict[str, Any] = {
            "folder": out,
            "recipe": recipe,
            "progress": tell_progress if processes.first else None,
            "processes": processes,
        }
        counts = ", ".join(f"{len(own)} {split}" for split, own in items.splits.items())
        say(f"{counts} items of {len(items.labels)} classes")
        for note in items.notes:
            say(note, err=True)
        if phase == "1":
            lesson = asked.lesson(items, data)
            learn_task(network, items, **options)
        else:
            lesson = asked.lesson(
                items,
                data,
                cells=asked.cells(verdicts, items),
                weights=_weights(cell_weights),
                kept=kept,
            )
            moved = len(lesson.moved(items))
            say(f"{len(lesson.labels)} labelled items; {moved} of validation are learnt from")
            guide = asked.guide(guide_name, items, strength)
            learn_where(network, items, lesson, guide, **options)
        if processes.first:
            _save(network, out / "model")
            say(f"model in {out / 'model'}")
            if not no_test:
                say(_test_once(network, items, lesson, asked.source(items), out))
        processes.leave()


def _save(model: Any, folder: Path) -> None:
    import sightline as sl
    from sightline.models.photo_classifier import PictureClassifier

    if isinstance(model, PictureClassifier):
        sl.save_classifier(model, folder)
    else:
        sl.save(model, folder)


def _recipe(default: Recipe, items: Items, given: dict[str, Any], no_augmentation: bool) -> Recipe:
    from sightline.image.augment import PhotoAugmentation
    from sightline.sketch.augment import Augmentation

    varied = Augmentation() if items.are_drawings else PhotoAugmentation()
    known = {name: value for name, value in given.items() if value is not None}
    return replace(default, augmentation=None if no_augmentation else varied, **known)


def _weights(given: tuple[str, ...]) -> Mapping[str, tuple[float, float]]:
    from sightline.alignment.examples import CELL_WEIGHTS

    weights = dict(CELL_WEIGHTS)
    for text in given:
        try:
            cell, pair = text.split("=")
            task, attention = (float(x) for x in pair.split(","))
        except ValueError:
            raise click.BadParameter(f"{text!r}: expected CELL=TASK,ATTENTION") from None
        if cell not in weights:
            raise click.BadParameter(f"{cell!r} is no cell; known: {', '.join(weights)}")
        weights[cell] = (task, attention)
    return weights


def _test_once(model: Any, items: Items, lesson: Lesson, source: MapSource, out: Path) -> str:
    """The table of the test split, measured now or, in a run that was finished before, then."""
    from sightline.alignment.phases import measure_split
    from sightline.sketch.files import replace_file

    told = out / MEASURES
    if told.is_file():
        return f"the test split was measured before: {told}"
    if not items.splits["test"]:
        return "no test split to measure"
    found = measure_split(model, items, lesson, "test", source)
    with replace_file(told) as stream:
        stream.write(json.dumps(found.as_dict(), indent=1).encode())
    return found.markdown()
