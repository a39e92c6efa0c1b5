"""``sightline train sketch`` and ``sightline evaluate sketch``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sightline.cli.options import (
    AS_JSON,
    MODEL,
    RUN,
    SKIP_BAD,
    Say,
    read_drawings,
    tell_progress,
    voice,
)

if TYPE_CHECKING:
    from sightline.sketch.sketch import Sketch
    from sightline.sketch.store import SketchStore
    from sightline.tasks.attack.point_moves import Moves
    from sightline.tasks.attack.training import TrainedOnAttacks
    from sightline.training.evaluate import Evaluation
    from sightline.training.examples import Examples, StrokeExamples


ATTACK_STEPS = click.option(
    "--attack-steps",
    type=click.IntRange(1),
    help="Of --attacked, along the gradient; default: 1.",
)


@click.group()
def train() -> None:
    """Train a model."""


@click.group()
def evaluate() -> None:
    """Measure a model."""


@train.command("sketch")
@click.argument("data", type=click.Path(path_type=Path))
@RUN
@click.option(
    "--size",
    type=click.Choice(["nano", "tiny", "base", "cnn"]),
    default="tiny",
    show_default=True,
    help="SketchXAINet, or a small raster CNN.",
)
@click.option("--start", help="Go on from a model, as --model names them, instead of a new one.")
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
@click.option("--buckets", is_flag=True, help="Batches of drawings of like length.")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(["shape", "location", "order"]),
    help="Ablation of SketchXAINet; may be repeated.",
)
@click.option(
    "--attacked",
    type=click.FloatRange(0, min_open=True),
    metavar="BUDGET",
    help="Learn from attacked drawings too: every point moved by up to this, of 1.48 a side.",
)
@ATTACK_STEPS
@SKIP_BAD
def train_sketch(
    *,
    data: Path,
    out: Path,
    size: str,
    start: str | None,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    precision: str,
    no_augmentation: bool,
    buckets: bool,
    without: tuple[str, ...],
    attacked: float | None,
    attack_steps: int | None,
    skip_bad: bool,
) -> None:
    """Train a recogniser on a collection of labelled drawings.

    DATA is a file of drawings, a folder of such files, or a collection written by ``sightline
    data import``. A collection has its splits; in a folder, splits.json says what is for
    training, validation and test; otherwise it is 80, 10 and 10 % by name. The best epoch on the
    validation split is kept in OUT/model. A killed run goes on where it stopped. Under
    ``torchrun`` several processes train together.
    """
    import sightline as sl
    from sightline.models.fingerprint import fingerprint_of
    from sightline.sketch.augment import Augmentation
    from sightline.training.loop import train
    from sightline.training.processes import joined
    from sightline.training.recipe import Recipe

    recipe = Recipe(
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        precision=precision,
        augmentation=None if no_augmentation else Augmentation(),
        buckets=buckets,
    )
    moves = _moves(attacked, attack_steps, loss="cross_entropy")
    with joined() as processes:
        say = voice(processes)
        found = _open(data, seed, skip_bad, say)
        model = _started(start, without) if start else _new_model(size, found.labels, seed, without)
        training, validation = (found.examples(s, model) for s in ("train", "valid"))
        say(f"{len(training)} drawings to learn from, {len(validation)} to choose by")
        history = train(
            model,
            training,
            validation,
            recipe,
            out,
            objective=_on_attacks(moves, recipe.smoothing),
            origin=fingerprint_of(model) if start else "",
            progress=tell_progress if processes.first else None,
            processes=processes,
        )
        if processes.first:
            sl.save(model, out / "model")
        say(f"{_best(history)}; model in {out / 'model'}")
        processes.leave()


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
@click.option(
    "--attacked",
    type=click.FloatRange(0, min_open=True),
    metavar="BUDGET",
    help="Show attacked drawings: every point moved by up to this, of 1.48 a side.",
)
@ATTACK_STEPS
@SKIP_BAD
@AS_JSON
def evaluate_sketch(
    *,
    data: Path,
    model: str,
    split: str,
    seed: int,
    out: Path | None,
    attacked: float | None,
    attack_steps: int | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Measure a recogniser: top-1 and top-5 with intervals, per class, confusion.

    Under ``torchrun`` several processes share the work; the numbers are those of one.
    """
    import sightline as sl
    from sightline.training.evaluate import evaluate
    from sightline.training.processes import joined

    moves = _moves(attacked, attack_steps)
    with joined() as processes:
        network = sl.load(model)
        plain = _open(data, seed, skip_bad, voice(processes)).examples(split, network)
        examples: Examples = plain
        if moves is not None:
            examples = _attacked(plain, network, moves)
        result = evaluate(network, examples, network.labels, processes=processes)
        if processes.first:
            if out is not None:
                _write(result, out)
            if as_json:
                click.echo(json.dumps(_as_record(result, split, len(examples), moves)))
            else:
                _print(result, split, len(examples), moves, out)
        processes.leave()


class _Drawings(NamedTuple):
    """Files of drawings, read and split."""

    splits: dict[str, list[Sketch]]
    labels: tuple[str, ...]

    def examples(self, split: str, model: Any) -> StrokeExamples:
        from sightline.training.examples import Labelled

        every = [sketch for part in self.splits.values() for sketch in part]
        chosen = every if split == "all" else self.splits[split]
        return Labelled.from_sketches(chosen, model.labels, model.prepare)


class _Collection(NamedTuple):
    """A collection on disk, which stays there."""

    store: SketchStore
    labels: tuple[str, ...]

    def examples(self, split: str, model: Any) -> StrokeExamples:
        from sightline.training.examples import Stored

        if split == "all":
            raise click.UsageError("a collection is measured by split: train, valid or test")
        return Stored(self.store.split(split), model.labels)


def _open(data: Path, seed: int, skip_bad: bool, say: Say) -> _Drawings | _Collection:
    from sightline.sketch.collection import labels_of, split_collection
    from sightline.sketch.store import MANIFEST, SketchStore

    if (data / MANIFEST).is_file():
        store = SketchStore.open(data, on_error="skip" if skip_bad else "raise")
        for file, reason in store.damaged:
            say(f"left out {file}: {reason}", err=True)
        return _Collection(store, store.labels)
    sketches, skipped = read_drawings(data, skip_bad)
    if skipped.count:
        say(str(skipped), err=True)
    return _Drawings(split_collection(sketches, data, seed=seed), labels_of(sketches))


def _started(name: str, without: tuple[str, ...]) -> Any:
    import sightline as sl

    if without:
        raise click.UsageError("--without is of a new model; leave it out beside --start")
    return sl.load(name)


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


def _moves(budget: float | None, steps: int | None, **settings: Any) -> Moves | None:
    """What ``--attacked`` and ``--attack-steps`` ask for; None without them."""
    if budget is None:
        if steps is not None:
            raise click.UsageError("--attack-steps are of --attacked BUDGET; give both, or neither")
        return None
    from sightline.tasks.attack.point_moves import Moves

    return Moves(budget, steps=steps or 1, **settings)


def _on_attacks(moves: Moves | None, smoothing: float) -> TrainedOnAttacks | None:
    """None without moves: the plain task."""
    if moves is None:
        return None
    from sightline.tasks.attack.training import TrainedOnAttacks

    return TrainedOnAttacks(moves, smoothing)


def _attacked(examples: StrokeExamples, model: Any, moves: Moves) -> Examples:
    from sightline.allocator import keep_freed_memory
    from sightline.tasks.attack.training import AttackedExamples

    keep_freed_memory()
    return AttackedExamples(examples, model, moves)


def _best(history: list[dict[str, Any]]) -> str:
    if "valid_mean" not in history[0]:
        return f"best validation top-1 {max(row['valid_top1'] for row in history):.2%}"
    best = max(history, key=lambda row: row["valid_mean"])
    return f"best validation top-1 {best['valid_top1']:.2%}, attacked {best['valid_attacked']:.2%}"


def _as_record(result: Evaluation, split: str, count: int, moves: Moves | None) -> dict[str, Any]:
    return {
        "split": split,
        "drawings": count,
        "attacked": None if moves is None else {"budget": moves.budget, "steps": moves.steps},
        "top1": vars(result.top1),
        "top5": vars(result.top5),
        "per_class": result.per_class(),
    }


def _print(
    result: Evaluation, split: str, count: int, moves: Moves | None, out: Path | None
) -> None:
    how = "" if moves is None else f", attacked: points moved by up to {moves.budget:g}"
    how += "" if moves is None else f", {moves.steps} step{'s' * (moves.steps > 1)}"
    click.echo(f"{count} drawings ({split}){how}, 95 % Wilson intervals")
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
