"""``sightline train sketch`` and ``sightline evaluate sketch``."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import AS_JSON, MODEL, SKIP_BAD, read_drawings

if TYPE_CHECKING:
    from sightline.training.evaluate import Evaluation


@click.group()
def train() -> None:
    """Train a model."""


@click.group()
def evaluate() -> None:
    """Measure a model."""


@train.command("sketch")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the run; a run found there goes on.",
)
@click.option(
    "--size",
    type=click.Choice(["nano", "tiny", "base", "cnn"]),
    default="tiny",
    show_default=True,
    help="SketchXAINet, or a small raster CNN.",
)
@click.option("--epochs", type=click.IntRange(1), default=60, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=6e-4,
    show_default=True,
    help="Peak learning rate.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--precision",
    default="bf16-mixed",
    show_default=True,
    help="Lightning Fabric's name; 32-true for exact float32.",
)
@click.option("--no-augmentation", is_flag=True, help="Show drawings as they are.")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(["shape", "location", "order"]),
    help="Ablation of SketchXAINet; may be repeated.",
)
@SKIP_BAD
def train_sketch(
    *,
    data: Path,
    out: Path,
    size: str,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    precision: str,
    no_augmentation: bool,
    without: tuple[str, ...],
    skip_bad: bool,
) -> None:
    """Train a recogniser on a collection of labelled drawings.

    DATA is an ndjson file or a folder of them; splits.json in the folder says what is for
    training, validation and test, otherwise 80, 10 and 10 % by name. The best epoch on the
    validation split is kept in OUT/model. A killed run goes on where it stopped.
    """
    import sightline as sl
    from sightline.sketch.augment import Augmentation
    from sightline.training.loop import Labelled, train
    from sightline.training.recipe import Recipe

    splits, labels = _splits(data, seed, skip_bad)
    model = _new_model(size, labels, seed, without)
    recipe = Recipe(
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        precision=precision,
        augmentation=None if no_augmentation else Augmentation(),
    )
    sets = {
        name: Labelled.from_sketches(splits[name], labels, model.prepare)
        for name in ("train", "valid")
    }
    click.echo(f"{len(sets['train'])} drawings to learn from, {len(sets['valid'])} to choose by")
    history = train(model, sets["train"], sets["valid"], recipe, out, progress=_progress)
    sl.save(model, out / "model")
    best = max(row["valid_top1"] for row in history)
    click.echo(f"best validation top-1 {best:.2%}; model in {out / 'model'}")


@evaluate.command("sketch")
@click.argument("data", type=click.Path(path_type=Path))
@MODEL
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test", "all"]),
    default="test",
    show_default=True,
)
@click.option(
    "--seed", default=0, show_default=True, help="Of the split, where the folder names none."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for per_class.csv and confusion.png."
)
@SKIP_BAD
@AS_JSON
def evaluate_sketch(
    *,
    data: Path,
    model: str,
    split: str,
    seed: int,
    out: Path | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Measure a recogniser: top-1 and top-5 with intervals, per class, confusion."""
    import sightline as sl
    from sightline.training.evaluate import evaluate
    from sightline.training.loop import Labelled

    splits, _ = _splits(data, seed, skip_bad)
    chosen = [s for part in splits.values() for s in part] if split == "all" else splits[split]
    network = sl.load(model)
    result = evaluate(
        network, Labelled.from_sketches(chosen, network.labels, network.prepare), network.labels
    )
    if out is not None:
        _write(result, out)
    if as_json:
        click.echo(json.dumps(_as_record(result, split, len(chosen))))
    else:
        _print(result, split, len(chosen), out)


def _splits(data: Path, seed: int, skip_bad: bool) -> tuple[dict[str, list[Any]], tuple[str, ...]]:
    from sightline.sketch.collection import labels_of, split_collection

    sketches, skipped = read_drawings(data, skip_bad)
    if skipped.count:
        click.echo(str(skipped), err=True)
    return split_collection(sketches, data, seed=seed), labels_of(sketches)


def _new_model(size: str, labels: tuple[str, ...], seed: int, without: tuple[str, ...]) -> Any:
    import torch

    import sightline as sl

    if size == "cnn" and without:
        raise click.UsageError("--without belongs to SketchXAINet, not to the raster CNN")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if size == "cnn":
            return sl.sketch_cnn(labels)
        switches = {f"use_{name}": False for name in without}
        return sl.sketchxainet(size, labels, **switches)


def _progress(text: str) -> None:
    if text.endswith("\n") or sys.stderr.isatty():
        click.echo(text if sys.stderr.isatty() else text.strip("\r"), nl=False, err=True)


def _as_record(result: Evaluation, split: str, count: int) -> dict[str, Any]:
    return {
        "split": split,
        "drawings": count,
        "top1": vars(result.top1),
        "top5": vars(result.top5),
        "per_class": result.per_class(),
    }


def _print(result: Evaluation, split: str, count: int, out: Path | None) -> None:
    click.echo(f"{count} drawings ({split}), 95 % Wilson intervals")
    click.echo(f"top-1  {result.top1}\ntop-5  {result.top5}\n")
    for row in result.per_class():
        wrong = f"  most often taken for {row['taken_for']}" if row["taken_for"] else ""
        click.echo(
            f"{row['label']:16s} {row['correct']:5d} / {row['count']:<5d} {row['accuracy']:7.2%} "
            f"[{row['low']:.2%}, {row['high']:.2%}]{wrong}"
        )
    if out is not None:
        click.echo(f"\nwrote {out / 'per_class.csv'} and {out / 'confusion.png'}")


def _write(result: Evaluation, out: Path) -> None:
    from sightline.picture import confusion_figure, write_figure
    from sightline.sketch.files import replace_file

    rows = result.per_class()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    with replace_file(out / "per_class.csv") as stream:
        stream.write(text.getvalue().encode())
    write_figure(confusion_figure(result.confusion, result.labels), out / "confusion.png")
