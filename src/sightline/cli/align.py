"""``sightline align``: teach a model where to look, from what people said."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.align_matrix import agreement, matrix, queue
from sightline.cli.align_study import study
from sightline.cli.options import AS_JSON
from sightline.cli.recognisers import _progress, _voice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sightline.alignment.items import Items
    from sightline.alignment.labels import AttentionLabel, OnUnknown
    from sightline.alignment.looking import Guide, MapSource
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
SKETCH_SIZES = ("nano", "tiny", "base", "cnn")
MEASURES = "measures.json"

LABELS = click.option(
    "--labels",
    "label_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Labels of attention: a folder of masks, or GRADIA's, COCO's or Label Studio's JSON.",
)
CATEGORY = click.option("--category", help="Of a COCO file: what must be looked at.")
ON_UNKNOWN = click.option(
    "--skip-unknown", is_flag=True, help="Leave out labels for items that are not there."
)
ON_CONTRADICTION = click.option(
    "--on-contradiction",
    type=click.Choice(["raise", "weigh", "must", "must_not"]),
    default="raise",
    show_default=True,
    help="Places that must be looked at and must not.",
)
LAYER = click.option("--layer", help="Module whose map is read; by default the last map.")
MAPS = click.option(
    "--maps",
    type=click.Choice(["grad-cam", "input-gradients", "strokes", "attention", "occlusion"]),
    help="Where the model looks; by default the guide's own, for drawings scores of strokes.",
)
SEED = click.option("--seed", default=0, show_default=True, help="Of all luck.")


@click.group()
def align() -> None:
    """Say where a model should look, and teach it to."""


for command in (matrix, queue, agreement, study):
    align.add_command(command)


@align.command("train")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the run; a run found there goes on.",
)
@click.option("--phase", type=click.Choice(["1", "2"]), help="By default 2 where there are labels.")
@click.option(
    "--model",
    help="Phase 1: small-resnet, transformers:NAME, timm:NAME; of drawings nano, tiny, base, cnn. "
    "Phase 2: the folder of phase 1's model, or any of those.",
)
@LABELS
@CATEGORY
@click.option(
    "--verdicts",
    type=click.Path(path_type=Path),
    help="Of people, on the maps of phase 1's model: the cell of an item sets its weights.",
)
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
@LAYER
@MAPS
@ON_UNKNOWN
@ON_CONTRADICTION
@click.option(
    "--size",
    type=click.IntRange(16),
    help="Side of the pictures. Default: the model's own; 64 for small-resnet.",
)
@click.option("--epochs", type=click.IntRange(1), help="Default: 20 in phase 1, 10 in phase 2.")
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True)
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Default: 1e-3, then 1e-4.")
@click.option("--precision", default="32-true", show_default=True, help="Lightning Fabric's name.")
@click.option("--no-augmentation", is_flag=True, help="Show items as they are.")
@click.option("--no-test", is_flag=True, help="Leave the test split for another day.")
@SEED
def align_train(
    *,
    data: Path,
    out: Path,
    phase: str | None,
    model: str | None,
    label_files: tuple[Path, ...],
    category: str | None,
    verdicts: Path | None,
    guide_name: str,
    strength: float | None,
    cell_weights: tuple[str, ...],
    kept: float,
    layer: str | None,
    maps: str | None,
    skip_unknown: bool,
    on_contradiction: Any,
    size: int | None,
    epochs: int | None,
    batch: int,
    lr: float | None,
    precision: str,
    no_augmentation: bool,
    no_test: bool,
    seed: int,
) -> None:
    """Train a classifier for its task (phase 1), and for where it looks (phase 2).

    DATA is a folder of class folders with photos (or train, valid and test folders of those), or
    drawings as ``sightline train sketch`` reads them. OUT/model is the epoch that was best on the
    validation split; the test split is measured once, at the end, and OUT/measures.json keeps it.
    A killed run goes on where it stopped. Under ``torchrun`` several processes train together.
    """
    from sightline.alignment.items import Items
    from sightline.alignment.phases import PHASE_1, PHASE_2, learn_task, learn_where
    from sightline.allocator import keep_freed_memory
    from sightline.training.processes import joined

    keep_freed_memory()
    phase = phase or ("2" if label_files else "1")
    if phase == "2" and not label_files:
        raise click.UsageError("phase 2 learns from labels: give --labels")
    if phase == "2" and model is None:
        raise click.UsageError("phase 2 goes on from a model: give --model, phase 1's OUT/model")
    with joined() as processes:
        say = _voice(processes)
        items = Items.read(data, seed=seed)
        chosen = model or ("tiny" if items.are_drawings else "small-resnet")
        network = _open_model(chosen, items, size, seed)
        recipe = _recipe(
            PHASE_1 if phase == "1" else PHASE_2,
            items,
            {"epochs": epochs, "lr": lr, "batch": batch, "precision": precision, "seed": seed},
            no_augmentation,
        )
        options: dict[str, Any] = {
            "folder": out,
            "recipe": recipe,
            "progress": _progress if processes.first else None,
            "processes": processes,
        }
        counts = ", ".join(f"{len(own)} {split}" for split, own in items.splits.items())
        say(f"{counts} items of {len(items.labels)} classes")
        for note in items.notes:
            say(note, err=True)
        asked: dict[str, Any] = {
            "category": category,
            "skip_unknown": skip_unknown,
            "on_contradiction": on_contradiction,
        }
        if phase == "1":
            lesson = _lesson(items, data, label_files, **asked)
            learn_task(network, items, **options)
        else:
            lesson = _lesson(
                items,
                data,
                label_files,
                **asked,
                cells=_cells(verdicts, items, skip_unknown),
                weights=_weights(cell_weights),
                kept=kept,
            )
            moved = len(lesson.moved(items))
            say(f"{len(lesson.labels)} labelled items; {moved} of validation are learnt from")
            guide = _guide(guide_name, strength, layer, maps, items)
            learn_where(network, items, lesson, guide, **options)
        if processes.first:
            _save(network, out / "model")
            say(f"model in {out / 'model'}")
            if not no_test:
                say(_test_once(network, items, lesson, _source(layer, maps, items), out))
        processes.leave()


@align.command("measure")
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@LABELS
@CATEGORY
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="valid", show_default=True
)
@click.option("--against", help="Another model: before and after, item by item.")
@click.option(
    "--propose",
    type=click.Path(path_type=Path),
    help="Write proposed verdicts (.csv, .jsonl), made from the masks; a person decides.",
)
@click.option("--size", type=click.IntRange(16), hidden=True)
@LAYER
@MAPS
@ON_UNKNOWN
@ON_CONTRADICTION
@SEED
@AS_JSON
def align_measure(
    *,
    model: str,
    data: Path,
    label_files: tuple[Path, ...],
    category: str | None,
    split: str,
    against: str | None,
    propose: Path | None,
    size: int | None,
    layer: str | None,
    maps: str | None,
    skip_unknown: bool,
    on_contradiction: Any,
    seed: int,
    as_json: bool,
) -> None:
    """Measure where a model looks: accuracy, worst group, IoU, energy, wrong reason, cells.

    MODEL is a folder of a phase; DATA as for ``align train``. The default split is validation: a
    test split should be measured once.
    """
    from sightline.alignment.before_after import compare
    from sightline.alignment.items import Items
    from sightline.alignment.phases import measure_split, propose_verdicts
    from sightline.alignment.verdicts import write_verdicts
    from sightline.allocator import keep_freed_memory

    keep_freed_memory()
    items = Items.read(data, seed=seed)
    asked: dict[str, Any] = {
        "category": category,
        "skip_unknown": skip_unknown,
        "on_contradiction": on_contradiction,
    }
    lesson = _lesson(items, data, label_files, **asked)
    if propose is not None and not any(item.name in lesson.labels for item in items.splits[split]):
        raise click.UsageError(f"verdicts are proposed from labels, and {split} has none: --labels")
    network, source = _open_model(model, items, size, seed), _source(layer, maps, items)
    found = measure_split(network, items, lesson, split, source)
    if propose is not None:
        write_verdicts(propose, propose_verdicts(network, items, lesson, split, source))
        click.echo(f"wrote proposed verdicts to {propose}: a person decides", err=True)
    if against is not None:
        other = _open_model(against, items, size, seed)
        change = compare(found, measure_split(other, items, lesson, split, source))
        click.echo(json.dumps(change.as_dict()) if as_json else change.markdown())
    else:
        click.echo(json.dumps(found.as_dict()) if as_json else found.markdown())


@align.command("look")
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of all of it.")
@LABELS
@CATEGORY
@click.option(
    "--split", type=click.Choice(["train", "valid", "test"]), default="valid", show_default=True
)
@click.option(
    "--strategy",
    type=click.Choice(["unreasonable-first", "disagreement", "uncertain", "cells", "random"]),
    default="unreasonable-first",
    show_default=True,
    help="Of the queue.",
)
@click.option("--size", type=click.IntRange(16), hidden=True)
@LAYER
@MAPS
@ON_UNKNOWN
@ON_CONTRADICTION
@SEED
def align_look(
    *,
    model: str,
    data: Path,
    out: Path,
    label_files: tuple[Path, ...],
    category: str | None,
    split: str,
    strategy: str,
    size: int | None,
    layer: str | None,
    maps: str | None,
    skip_unknown: bool,
    on_contradiction: Any,
    seed: int,
) -> None:
    """See where a model looks, and which items deserve a person's minute first.

    Writes the queue with its reasons and a picture of every item under its map; where there are
    labels, also proposed verdicts, their matrix and examples of each cell.
    """
    from sightline.alignment.items import Items
    from sightline.alignment.overview import overview
    from sightline.allocator import keep_freed_memory

    keep_freed_memory()
    items = Items.read(data, seed=seed)
    lesson = _lesson(
        items,
        data,
        label_files,
        category=category,
        skip_unknown=skip_unknown,
        on_contradiction=on_contradiction,
    )
    found = overview(
        _open_model(model, items, size, seed),
        items,
        lesson,
        split,
        _source(layer, maps, items),
        strategy=strategy,
        seed=seed,
    )
    found.write(out)
    for row in found.queue.first(10):
        click.echo(f"{row.score:.2f}  {row.item}  {'; '.join(row.reasons)}")
    click.echo(f"wrote {out}")


@align.command("convert")
@click.argument("labels", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "layout",
    type=click.Choice(["folder", "gradia", "coco", "label-studio"]),
    default="folder",
    show_default=True,
    help="A folder keeps everything; the others what they can.",
)
@CATEGORY
@click.option(
    "--photos", type=click.Path(path_type=Path), help="Folder of the photos, where masks need it."
)
def align_convert(
    *, labels: Path, out: Path, layout: str, category: str | None, photos: Path | None
) -> None:
    """Bring labels of attention from one layout to another, and say what could not be kept."""
    from sightline.alignment.formats.read import read_labels
    from sightline.alignment.formats.write import write_labels_as

    found = read_labels(labels, photos=photos, category=category)
    notes = write_labels_as(layout, out, found)
    people = len({label.author for label in found})
    click.echo(f"{len(found)} labels of {len(found.items)} items by {people} people -> {out}")
    for note in (*found.notes, *notes):
        click.echo(note, err=True)


def _open_model(name: str, items: Items, size: int | None, seed: int) -> Any:
    import torch

    import sightline as sl

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not items.are_drawings:
            # a saved model knows its classes; others in their place would only rename them
            labels = None if Path(name).is_dir() else items.labels
            sides = None if size is None else (size, size)
            return sl.load_classifier(name, labels=labels, size=sides, seed=seed)
        if name == "cnn":
            return sl.sketch_cnn(items.labels)
        return sl.sketchxainet(name, items.labels) if name in SKETCH_SIZES else sl.load(name)


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


def _lesson(
    items: Items,
    data: Path,
    files: tuple[Path, ...],
    *,
    category: str | None,
    skip_unknown: bool,
    on_contradiction: Any,
    **settings: Any,
) -> Lesson:
    from sightline.alignment.formats.read import read_labels
    from sightline.alignment.items import checked_labels, labels_for
    from sightline.alignment.labels import AttentionLabels
    from sightline.alignment.phases import Lesson

    photos = None if items.are_drawings else data
    unknown: OnUnknown = "skip" if skip_unknown else "raise"
    rows: list[AttentionLabel] = []
    for file in files:
        with _naming(file):
            given = read_labels(
                file, items=items.names, photos=photos, category=category, on_unknown=unknown
            )
            found = checked_labels(items, given, on_unknown=unknown)
        for note in found.notes:
            click.echo(f"{file}: {note}", err=True)
        rows += found.rows
    with _naming(*files):
        own = labels_for(items, AttentionLabels(tuple(rows)), on_contradiction=on_contradiction)
    return Lesson(own, **settings)


@contextmanager
def _naming(*files: Path) -> Iterator[None]:
    """What is wrong with labels, with the files that have it."""
    from sightline.errors import AlignmentError

    try:
        yield
    except AlignmentError as error:
        named = all(str(file) in str(error) for file in files)
        told = ", ".join(str(file) for file in files)
        raise AlignmentError(str(error) if named else f"{told}: {error}") from error


def _cells(verdicts: Path | None, items: Items, skip_unknown: bool) -> dict[str, str]:
    from sightline.alignment.labels import nearest_names
    from sightline.alignment.verdicts import read_verdicts
    from sightline.errors import AlignmentError

    if verdicts is None:
        return {}
    with _naming(verdicts):
        told = read_verdicts(verdicts, only="people").cells
        if not told:
            raise AlignmentError("no verdict of a person; proposed ones are for a person to judge")
        names = {given: items.find(given) for given in told}
        lost = [given for given, name in names.items() if name is None]
        if lost and not skip_unknown:
            raise AlignmentError(
                f"{len(lost)} of {len(told)} verdicts are on items that are not there; first: "
                f"{nearest_names(lost[0], items.names)}; mend the names, or --skip-unknown"
            )
    return {name: told[given] for given, name in names.items() if name is not None}


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


def _guide(
    name: str, strength: float | None, layer: str | None, maps: str | None, items: Items
) -> Guide:
    from sightline.alignment.guides import guide

    source = maps or ("strokes" if items.are_drawings and layer is None else None)
    return guide(name, strength=strength, layer=layer, source=source)


def _source(layer: str | None, maps: str | None, items: Items) -> MapSource:
    # any guide of such maps: the source is what is wanted of it
    name = "rrr" if maps == "input-gradients" else "gradia"
    return _guide(name, None, layer, maps, items).source


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
