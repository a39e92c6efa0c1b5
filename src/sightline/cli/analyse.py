"""``sightline analyse``: strokes, shapes, order and ablations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import AS_JSON, MODEL, SKIP_BAD, read_splits, read_told

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sightline.analysis.accuracy import Change, Outcome
    from sightline.analysis.shapes import ShapeClusters
    from sightline.sketch.sketch import Sketch

DATA = click.argument("data", type=click.Path(path_type=Path))
OUT = click.option("--out", type=click.Path(path_type=Path), help="Folder for the pictures.")
SEED = click.option("--seed", default=0, show_default=True, help="Of everything drawn at random.")
LIMIT = click.option(
    "--limit", type=click.IntRange(1), help="Measure on so many test drawings, spread evenly."
)


@click.group()
def analyse() -> None:
    """Look into the strokes of a collection, and what a model makes of them.

    DATA is an ndjson file or a folder of them; splits.json in the folder says what is for training,
    validation and test, otherwise 80, 10 and 10 % by name.
    """


@analyse.command()
@DATA
@OUT
@SKIP_BAD
@AS_JSON
def strokes(data: Path, out: Path | None, skip_bad: bool, as_json: bool) -> None:
    """Strokes a drawing; points, length and time a stroke; by label."""
    from sightline.metrics.intervals import wilson
    from sightline.sketch.statistics import statistics_by_label, stroke_statistics

    sketches = read_told(data, skip_bad)
    whole, by_label = stroke_statistics(sketches), statistics_by_label(sketches)
    short = wilson(sum(len(s) <= 10 for s in sketches), len(sketches))
    record = whole.as_dict() | {
        "at_most_10_strokes": vars(short),
        "labels": {label: numbers.as_dict() for label, numbers in by_label.items()},
    }
    if out is not None:
        from sightline.analysis.pictures import statistics_figure

        _write(out, {"shape-strokes.png": statistics_figure(whole, by_label)}, as_json)
    if as_json:
        click.echo(json.dumps(record))
        return
    click.echo(f"{whole.drawings} drawings, {len(by_label)} labels")
    for name in ("strokes", "points_per_stroke", "length_per_stroke", "seconds_per_stroke"):
        if record[name] is not None:
            click.echo(_quantiles(name.replace("_per_", " a "), record[name]))
    click.echo(f"at most 10 strokes  {short}\n")
    for label, numbers in by_label.items():
        click.echo(_quantiles(f"{label}, strokes", numbers.strokes.as_dict()))


@analyse.command()
@DATA
@MODEL
@click.option("--clusters", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Strokes of the training split to cluster.",
)
@LIMIT
@SEED
@OUT
@SKIP_BAD
@AS_JSON
def shapes(
    *,
    data: Path,
    model: str,
    clusters: int,
    sample: int,
    limit: int | None,
    seed: int,
    out: Path | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Clusters of stroke shapes; accuracy with strokes replaced by prototypes and primitives."""
    import sightline as sl
    from sightline.analysis.accuracy import accuracy_under
    from sightline.analysis.primitives import PRIMITIVES, fit_primitives
    from sightline.analysis.replacement import chosen_primitives, replacements
    from sightline.analysis.shapes import shape_clusters, shape_model, stroke_shapes

    network = sl.load(model)
    shape_model(network)
    train, test = _train_and_test(data, seed, skip_bad, limit)
    found = shape_clusters(network, train, count=clusters, strokes=sample, seed=seed)
    prepared = [network.prepare(s) for s in test]
    held_out = found.explained(*stroke_shapes(network, prepared), seed=seed)
    fitted = fit_primitives([stroke for s in prepared for stroke in s.strokes])
    chosen = chosen_primitives(network, prepared, fitted)
    changes = replacements(network, found, fitted, chosen, seed)
    outcomes = accuracy_under(network, test, changes, seed=seed)
    shares = {name: chosen.count(i) / len(chosen) for i, name in enumerate(PRIMITIVES)}
    record = {
        "clusters": len(found),
        "strokes": len(found.strokes),
        "clustered_drawings": int(found.drawing[-1]) + 1,
        "explained": found.clusters.explained,
        "explained_on_test": vars(held_out),
        "drawings": len(test),
        "outcomes": [o.as_dict() for o in outcomes],
        "primitives": shares,
    }
    if out is not None:
        _write(out, _shape_pictures(network, found, test, outcomes), as_json)
    if as_json:
        click.echo(json.dumps(record))
        return
    click.echo(
        f"{len(found)} clusters of {len(found.strokes)} strokes "
        f"of {record['clustered_drawings']} drawings: "
        f"{found.clusters.explained:.2%} of their inertia explained,\n"
        f"{_percent(held_out)} of that of {len(test)} test drawings\n"
    )
    _print(outcomes)
    click.echo("\nnearest primitive in shape (all test strokes)")
    for name, share in shares.items():
        click.echo(f"{name:34s} {share:7.2%}")


@analyse.command()
@DATA
@MODEL
@click.option(
    "--shuffles",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Random orders averaged.",
)
@click.option(
    "--rows", type=click.IntRange(1), default=24, show_default=True, help="Rows of the order table."
)
@LIMIT
@SEED
@OUT
@SKIP_BAD
@AS_JSON
def order(
    *,
    data: Path,
    model: str,
    shuffles: int,
    rows: int,
    limit: int | None,
    seed: int,
    out: Path | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Similarity of order embeddings; accuracy under other orders and with strokes cut off."""
    import sightline as sl
    from sightline.analysis.accuracy import accuracy_under
    from sightline.analysis.order import order_similarity, order_use, orders
    from sightline.models.sketchxainet import SketchXAINet

    network = sl.load(model)
    train, test = _train_and_test(data, seed, skip_bad, limit)
    outcomes = accuracy_under(network, test, orders(shuffles, seed), seed=seed)
    used = order_use(train, rows=rows)
    record: dict[str, Any] = {
        "drawings": len(test),
        "outcomes": [o.as_dict() for o in outcomes],
        "rows_used": used.tolist(),
    }
    pictures = {"shape-order-accuracy.png": _truncation(outcomes)}
    if isinstance(network, SketchXAINet) and network.config.use_order:
        from sightline.analysis.pictures import similarity_figure

        similarity = order_similarity(network, rows=rows)
        record["similarity"] = similarity.tolist()
        pictures["shape-order-similarity.png"] = similarity_figure(similarity, used)
    if out is not None:
        _write(out, pictures, as_json)
    if as_json:
        click.echo(json.dumps(record))
        return
    click.echo(f"{len(test)} test drawings, 95 % intervals")
    _print(outcomes)
    if "similarity" not in record:
        click.echo(f"\n{model} has no order embedding in use: no similarity to show")


@analyse.command()
@DATA
@click.argument("models", nargs=-1, required=True)
@LIMIT
@SEED
@OUT
@SKIP_BAD
@AS_JSON
def ablation(
    *,
    data: Path,
    models: tuple[str, ...],
    limit: int | None,
    seed: int,
    out: Path | None,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Accuracy of MODELS trained without shape, location or order, against the full one.

    The full model comes first. Train them with 'sightline train sketch DATA --without shape' and
    the same other settings.
    """
    import sightline as sl
    from sightline.analysis.ablation import PUBLISHED
    from sightline.analysis.ablation import ablation as measure

    _, test = _train_and_test(data, seed, skip_bad, limit)
    outcomes = measure([sl.load(name) for name in models], test, seed=seed)
    if out is not None:
        from sightline.analysis.pictures import outcomes_figure

        _write(out, {"shape-ablation.png": outcomes_figure(outcomes, PUBLISHED)}, as_json)
    if as_json:
        rows = [o.as_dict() | {"published": PUBLISHED.get(o.name)} for o in outcomes]
        click.echo(json.dumps({"drawings": len(test), "outcomes": rows}))
        return
    click.echo(f"{len(test)} test drawings, 95 % intervals")
    _print(outcomes, PUBLISHED)
    click.echo(
        "\npublished: Tiny, 345 categories of QuickDraw: other data, compare which loss is larger"
    )


# --- pictures -------------------------------------------------------------------------------------


def _shape_pictures(
    network: Any, found: ShapeClusters, test: Sequence[Sketch], outcomes: Sequence[Outcome]
) -> dict[str, Figure]:
    from sightline.analysis.pictures import clusters_figure, outcomes_figure, replaced_figure

    return {
        "shape-clusters.png": clusters_figure(found),
        "shape-replaced.png": replaced_figure(_redrawn(network, found, test)),
        "shape-replaced-accuracy.png": outcomes_figure(outcomes),
    }


def _redrawn(network: Any, found: ShapeClusters, test: Sequence[Sketch]) -> list[Any]:
    """The first drawing of up to seven labels, redrawn in every way."""
    from sightline.analysis import replacement as r
    from sightline.analysis.accuracy import probabilities
    from sightline.analysis.pictures import Redrawn

    several = [s for s in test if len(s) >= 3] or test
    one = {s.label: network.prepare(s) for s in reversed(several)}
    labels = sorted(str(label) for label in one)
    shown = [one[label] for label in labels[:: max(1, len(labels) // 7)][:7]]
    ways: dict[str, Change] = {
        "as drawn": list,
        "nearest\nprototype": r.by_prototypes(network, found),
        "nearest\nprimitive": r.by_primitives(network),
        "straight\nlines": r.by_lines,
        "random\nprototype": r.by_random_prototypes(found, 0),
    }
    columns = []
    for title, change in ways.items():
        drawings = change(shown)
        chances = probabilities(network, drawings)
        answers = [(network.labels[int(row.argmax())], float(row.max())) for row in chances]
        right = [a[0] == s.label for a, s in zip(answers, shown, strict=True)]
        columns.append(Redrawn(title, drawings, answers, right))
    return columns


def _truncation(outcomes: Sequence[Outcome]) -> Figure:
    from sightline.analysis.pictures import Curve, truncation_figure

    named = {o.name: o for o in outcomes}
    counts = list(range(1, 11))
    curves = [
        Curve(
            f"{end} strokes{how and ', ' + how}",
            counts,
            [named[f"{end} {k}{tail}"] for k in counts],
        )
        for how, tail in (("", ""), ("drawn alone", ", reframed"))
        for end in ("first", "last")
    ]
    return truncation_figure(curves, outcomes[0])


def _write(out: Path, pictures: Mapping[str, Figure], quiet: bool) -> None:
    from sightline.picture import write_figure

    for name, figure in pictures.items():
        write_figure(figure, out / name)
    if not quiet:
        click.echo(f"wrote {', '.join(pictures)} in {out}\n")


# --- text and data --------------------------------------------------------------------------------


def _print(outcomes: Sequence[Outcome], published: Mapping[str, float] | None = None) -> None:
    for outcome in outcomes:
        line = f"{outcome.name:28s} {_percent(outcome.share)}"
        if outcome.change is not None:
            line += f"   difference {_percent(outcome.change.difference, sign='+')}"
        if published is not None and outcome.name in published:
            line += f"   published {published[outcome.name]:.2%}"
        click.echo(line)


def _percent(interval: Any, sign: str = "") -> str:
    low, middle, high = (
        f"{100 * value:{sign}.2f}" for value in (interval.low, interval.estimate, interval.high)
    )
    return f"{middle} % [{low}, {high}]"


def _quantiles(name: str, row: Mapping[str, float]) -> str:
    return (
        f"{name:24s} mean {row['mean']:.2f}  5 % {row['q05']:.2g}  25 % {row['q25']:.3g}  "
        f"median {row['q50']:.3g}  75 % {row['q75']:.3g}  95 % {row['q95']:.3g}  "
        f"most {row['max']:.4g}"
    )


def _train_and_test(
    data: Path, seed: int, skip_bad: bool, limit: int | None
) -> tuple[list[Sketch], list[Sketch]]:
    splits = read_splits(data, seed, skip_bad)
    test = splits["test"]
    if limit is not None and limit < len(test):
        test = [test[i * len(test) // limit] for i in range(limit)]
    return splits["train"], test
