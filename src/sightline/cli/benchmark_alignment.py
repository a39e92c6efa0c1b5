"""``sightline benchmark``: can a model that looks at the wrong thing be taught? Known truths."""

from __future__ import annotations

from pathlib import Path

import click

from sightline.cli.options import STUDY_OUT, set_up_study, tell_line

SEEDS = click.option(
    "--seeds", type=click.IntRange(1), default=5, show_default=True, help="From 0."
)
SHARE = click.option(
    "--share",
    default="0/1",
    show_default=True,
    metavar="PART/OF",
    help="0/2 and 1/2 are the two halves of the plan, for two processes.",
)


@click.command("decoy-mnist")
@click.argument("data", type=click.Path(path_type=Path))
@STUDY_OUT
@SEEDS
@SHARE
def decoy_mnist(*, data: Path, out: Path, seeds: int, share: str) -> None:
    """Digits with a grey patch that gives the class away; labels say: not the patch.

    DATA is a folder with MNIST's test set (t10k-*-ubyte.gz), 10,000 digits that are split into
    training, validation and test.
    """
    _run("decoy-mnist", out, seeds, share, data)


@click.command("biased-scenes")
@STUDY_OUT
@SEEDS
@SHARE
def biased_scenes(*, out: Path, seeds: int, share: str) -> None:
    """Generated scenes whose ground gives the object away in training, and lies in the test."""
    _run("biased-scenes", out, seeds, share, None)


@click.command("exact-gradient")
@click.argument("data", type=click.Path(path_type=Path))
@STUDY_OUT
@SEEDS
@SHARE
def exact_gradient(*, data: Path, out: Path, seeds: int, share: str) -> None:
    """What differentiating Grad-CAM in full changes, against programs that hold its weights.

    DATA as for decoy-mnist; with the same --out it takes the runs that are there.
    """
    _run("exact-gradient", out, seeds, share, data)


@click.command("decoy-strokes")
@click.argument("data", type=click.Path(path_type=Path))
@STUDY_OUT
@SEEDS
@click.option(
    "--labels",
    "labelled",
    type=click.IntRange(1),
    multiple=True,
    help="Labelled drawings; may be repeated; default: 30, 100 and 300.",
)
@click.option(
    "--network",
    "networks",
    multiple=True,
    type=click.Choice(["sketchxainet", "sketch-cnn"]),
    help="May be repeated; default: both.",
)
def decoy_strokes(
    *, data: Path, out: Path, seeds: int, labelled: tuple[int, ...], networks: tuple[str, ...]
) -> None:
    """Drawings with a stroke that gives the class away; labels of strokes say: not that one.

    DATA is a collection of drawings with splits.
    """
    from sightline.benchmark import decoy_strokes_study as study

    set_up_study()
    rows = study.decoy_strokes(
        data,
        out,
        seeds=range(seeds),
        labelled=labelled or study.LABELS,
        networks=networks or tuple(study.NETWORKS),
        progress=tell_line,
    )
    click.echo(study.decoy_stroke_tables(rows))


@click.command("people")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--detector",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of an SSD-MobileNetV1, whose backbone is fine-tuned.",
)
@STUDY_OUT
@click.option("--seed", default=0, show_default=True, help="Of the folds and all luck.")
def people(*, data: Path, detector: Path, out: Path, seed: int) -> None:
    """Person or no person on real photos with masks: both phases, five folds, both matrices.

    DATA has instances_boxes.json, panoptic.json, panoptic/ and images/.
    """
    from sightline.benchmark.people import people as run
    from sightline.sketch.files import replace_file

    set_up_study()
    text = run(data, detector, out, seed=seed, progress=tell_line).markdown()
    with replace_file(out / "people.md") as stream:
        stream.write(text.encode())
    click.echo(text)


def _run(plan: str, out: Path, seeds: int, share: str, data: Path | None) -> None:
    from sightline.benchmark.experiments import run_plan

    set_up_study()
    part, _, of = share.partition("/")
    if not (part.isdigit() and of.isdigit() and int(part) < int(of)):
        raise click.BadParameter(
            f"{share!r}: expected two numbers, as in 0/2", param_hint="--share"
        )
    told = (int(part), int(of))
    click.echo(run_plan(plan, out, data=data, seeds=range(seeds), share=told, progress=tell_line))
