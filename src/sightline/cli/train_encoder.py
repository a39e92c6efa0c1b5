"""``sightline train encoder``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sightline.cli.options import RUN, Say, tell_progress, voice

if TYPE_CHECKING:
    from torch import Tensor

    from sightline.models.encoder import Encoder
    from sightline.tasks.retrieval.pair_examples import PairExamples
    from sightline.tasks.retrieval.triplet import Contrastive, TripletLoss

GENERATED = "generated:"
HELD_OUT = 500
"""Generated instances for validation, and as many for the test, at most."""


@click.command("encoder")
@click.argument("pairs")
@RUN
@click.option(
    "--layout",
    type=click.Choice(["sketchy", "shoev2", "generated"]),
    help="Of the folder; found out where not given.",
)
@click.option("--transform", help="The tx_... folder of Sketchy to read, where there are several.")
@click.option(
    "--drawers", type=click.IntRange(1), help="Drawings of a generated pair.  [default: 2]"
)
@click.option(
    "--loss",
    type=click.Choice(["contrastive", "triplet"]),
    default="contrastive",
    show_default=True,
)
@click.option("--margin", type=float, help="Of the triplet loss.  [default: 0.2]")
@click.option(
    "--mining",
    type=click.Choice(["hard", "semi-hard", "all"]),
    help="Negatives of the triplet loss.  [default: semi-hard]",
)
@click.option("--temperature", type=float, help="Of the contrastive loss.  [default: 0.07]")
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True)
@click.option("--batch", type=click.IntRange(2), default=128, show_default=True)
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=2e-3,
    show_default=True,
    help="Peak learning rate.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--dimension", type=click.IntRange(1), default=64, show_default=True, help="Of the vectors."
)
@click.option(
    "--size", type=click.IntRange(32), default=64, show_default=True, help="Pixels of a side."
)
@click.option(
    "--width",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Channels of a branch's first stage.",
)
@click.option(
    "--precision",
    default="32-true",
    show_default=True,
    help="Lightning Fabric's name; bf16-mixed is no faster for so small a network on a CPU.",
)
@click.option("--no-augmentation", is_flag=True, help="Show pairs as they are.")
@click.option("--skip-missing", is_flag=True, help="Leave drawings without photos out; count them.")
def encoder(
    *,
    pairs: str,
    out: Path,
    layout: str | None,
    transform: str | None,
    drawers: int | None,
    loss: str,
    margin: float | None,
    mining: str | None,
    temperature: float | None,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    dimension: int,
    size: int,
    width: int,
    precision: str,
    no_augmentation: bool,
    skip_missing: bool,
) -> None:
    """Train an encoder of drawings and photos on pairs of them.

    PAIRS is a folder in the layout of Sketchy or of ShoeV2/ChairV2, or ``generated:4000``: so
    many instances drawn by sightline itself, and a quarter as many, 500 at most, for validation
    and for the test. The epoch with the best accuracy at 1 on the validation pairs is kept in
    OUT/model; accuracy on the test pairs goes to OUT/test.json. A killed run goes on where it
    stopped. Under ``torchrun`` several processes train together; each finds negatives in its own
    share of a batch.
    """
    from sightline.allocator import keep_freed_memory
    from sightline.models.load_encoder import save_encoder
    from sightline.models.two_branch import two_branch
    from sightline.tasks.retrieval.pair_examples import PairAugmentation
    from sightline.tasks.retrieval.triplet import match_places
    from sightline.training.loop import train
    from sightline.training.processes import joined
    from sightline.training.recipe import Recipe

    objective = _objective(loss, margin, mining, temperature)
    recipe = Recipe(
        epochs=epochs,
        batch=batch,
        lr=lr,
        seed=seed,
        precision=precision,
        smoothing=0.0,
        augmentation=None if no_augmentation else PairAugmentation(),
    )
    keep_freed_memory()
    with joined() as processes:
        say = voice(processes)
        network = two_branch(dimension=dimension, size=size, width=width, seed=seed)
        given = {"transform": transform, "seed": seed, "skip_missing": skip_missing}
        data = _data(pairs, layout, drawers, network, size=size, say=say, **given)
        say(
            f"{len(data.train)} drawings of {len(data.train.photos)} photos to learn from, "
            f"{len(data.valid)} of {len(data.valid.photos)} to choose by"
        )
        train(
            network,
            data.train,
            data.valid,
            recipe,
            out,
            objective=objective,
            origin=f"{data.origin}/{dimension}/{size}/{width}",
            progress=tell_progress if processes.first else None,
            processes=processes,
        )
        places = match_places(network, data.test, processes=processes)
        if processes.first:
            save_encoder(network, out / "model")
            _tell(places, data.test, pairs, out, say=say)
        processes.leave()


class _Data(NamedTuple):
    train: PairExamples
    valid: PairExamples
    test: PairExamples
    origin: str


def _objective(
    loss: str, margin: float | None, mining: Any, temperature: float | None
) -> TripletLoss | Contrastive:
    from sightline.tasks.retrieval.triplet import Contrastive, TripletLoss

    if loss == "triplet":
        if temperature is not None:
            raise click.UsageError("--temperature belongs to --loss contrastive")
        return TripletLoss(margin=0.2 if margin is None else margin, mining=mining or "semi-hard")
    if margin is not None or mining is not None:
        raise click.UsageError("--margin and --mining belong to --loss triplet")
    return Contrastive(0.07 if temperature is None else temperature)


def _is_generated(pairs: str, layout: str | None) -> bool:
    drawn = pairs.startswith(GENERATED)
    if drawn and (layout not in (None, "generated") or not pairs[len(GENERATED) :].isdigit()):
        raise click.UsageError(
            f"{pairs}: expected generated:COUNT, such as generated:4000, without another --layout"
        )
    if layout == "generated" and not drawn:
        raise click.UsageError(f"--layout generated needs generated:COUNT, not {pairs}")
    return drawn


def _data(
    pairs: str,
    layout: Any,
    drawers: int | None,
    network: Encoder,
    *,
    size: int,
    say: Say,
    **given: Any,
) -> _Data:
    if _is_generated(pairs, layout):
        return _generated(pairs, drawers or 2, size, network)
    if drawers is not None:
        raise click.UsageError("--drawers belongs to generated pairs")
    return _from_files(Path(pairs), layout, network, say, **given)


def _generated(pairs: str, drawers: int, size: int, network: Encoder) -> _Data:
    from sightline.errors import TaskError
    from sightline.scenes.pairs import TEST, TRAINING, VALIDATION, pair_set
    from sightline.tasks.retrieval.pair_examples import PairExamples

    count = int(pairs[len(GENERATED) :])
    if not 16 <= count <= VALIDATION - TRAINING:
        raise TaskError(f"{pairs}: expected from 16 to {VALIDATION - TRAINING:,} instances")
    held = min(HELD_OUT, count // 4)
    # one drawing an instance to choose and to report by: intervals want independent drawings
    train, valid, test = (
        PairExamples.from_pairs(pair_set(instances, seed=first, size=size, drawers=hands), network)
        for first, instances, hands in (
            (TRAINING, count, drawers),
            (VALIDATION, held, 1),
            (TEST, held, 1),
        )
    )
    return _Data(train, valid, test, f"{pairs}/{drawers}")


def _from_files(
    folder: Path,
    layout: Any,
    network: Encoder,
    say: Say,
    *,
    transform: str | None,
    seed: int,
    skip_missing: bool,
) -> _Data:
    from sightline.sketch.formats.stroke3 import SPLITS
    from sightline.tasks.retrieval.pair_examples import PairExamples
    from sightline.tasks.retrieval.pair_folders import read_pair_folder

    missing: Any = "skip" if skip_missing else "raise"
    found = read_pair_folder(folder, layout, transform=transform, seed=seed, on_missing=missing)
    if found.left_out:
        say(f"left out {len(found.left_out)}, the first: {found.left_out[0]}", err=True)
    train, valid, test = (PairExamples.from_folder(found.split(n), network) for n in SPLITS)
    return _Data(train, valid, test, found.digest)


def _tell(places: Tensor, data: PairExamples, pairs: str, out: Path, *, say: Say) -> None:
    """Print the accuracy on the test pairs, and write it down."""
    from sightline.sketch.files import replace_file
    from sightline.tasks.retrieval.scores import share_of_groups

    groups = data.target.tolist()
    found = {f"top{k}": share_of_groups((places <= k).numpy(), groups) for k in (1, 5, 10)}
    instances = len(set(groups))
    record = {
        "pairs": pairs,
        "split": "test",
        "drawings": len(data),
        "instances": instances,
        "gallery": len(data.photos),
        **{name: vars(share) for name, share in found.items()},
        "mean_place": float(places.double().mean()),
        "chance": 1 / len(data.photos),
    }
    with replace_file(out / "test.json") as stream:
        stream.write(json.dumps(record, indent=2).encode() + b"\n")
    how = "Wilson intervals"
    if instances < len(data):
        how = f"intervals over {instances} instances"
    say(f"{len(data)} test drawings, {len(data.photos)} photos, 95 % {how}")
    for name, share in found.items():
        say(f"accuracy@{name.removeprefix('top'):2s} {share}")
    say(f"mean place {record['mean_place']:.1f}, chance {record['chance']:.4f} at 1")
    say(f"model in {out / 'model'}, numbers in {out / 'test.json'}")
