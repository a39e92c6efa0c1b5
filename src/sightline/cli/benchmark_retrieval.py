"""``sightline benchmark retrieval``: how well matches are found, and how truly explained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.options import (
    AS_JSON,
    SKIP_BAD,
    STUDY_OUT,
    read_splits,
    set_up_study,
    tell_findings,
    tell_line,
)

if TYPE_CHECKING:
    from sightline.benchmark.retrieval import RetrievalSettings, Studied
    from sightline.sketch.sketch import Sketch

RECOGNISERS = ("sketchxainet-tiny", "sketch-cnn")


@click.command("retrieval")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@STUDY_OUT
@click.option(
    "--encoder",
    default="pairs-encoder",
    show_default=True,
    help="Of drawings and photos, for generated pairs: a shipped name or a folder.",
)
@click.option(
    "--of-drawings",
    "recognisers",
    multiple=True,
    help="Encoders of drawings, for DATA; may be repeated; default: both shipped recognisers.",
)
@click.option("--gallery", type=click.IntRange(2), default=500, show_default=True)
@click.option("--queries", type=click.IntRange(2), default=200, show_default=True)
@click.option("--photos", type=click.IntRange(0), default=100, show_default=True)
@click.option("--most-strokes", type=click.IntRange(3, 12), default=10, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the choice and of all luck.")
@SKIP_BAD
@AS_JSON
def retrieval(
    *,
    data: Path | None,
    out: Path,
    encoder: str,
    recognisers: tuple[str, ...],
    most_strokes: int,
    skip_bad: bool,
    as_json: bool,
    **numbers: Any,
) -> None:
    """Find photos of generated pairs, and drawings of DATA, and measure the explanations.

    Stroke methods are compared by how soon the right one falls as strokes are taken away; the
    photo's side by whether it lies on the object; and early strokes are asked whether they matter
    most. Without DATA, a collection of drawings with splits, only pairs are searched.
    """
    from sightline.benchmark.retrieval import RetrievalSettings, study_pairs
    from sightline.benchmark.retrieval_tables import study_numbers, study_text
    from sightline.models.load_encoder import load_encoder

    set_up_study()
    settings = RetrievalSettings(strokes=(3, most_strokes), **numbers)
    studied = [study_pairs(load_encoder(encoder), out, settings, tell=tell_line)]
    if data is not None:
        splits = read_splits(data, settings.seed, skip_bad)
        studied += _categories(splits, recognisers or RECOGNISERS, out, settings)
    text = "\n\n".join(study_text(one) for one in studied)
    told = {one.name: study_numbers(one) for one in studied}
    tell_findings(out, "retrieval", text, told, as_json=as_json)


def _categories(
    splits: dict[str, list[Sketch]], names: tuple[str, ...], out: Path, settings: RetrievalSettings
) -> list[Studied]:
    from sightline.benchmark.retrieval import study_categories
    from sightline.models.load_encoder import load_encoder

    found = []
    for name in names:
        encoder = load_encoder(name)
        encoder.name = encoder.name or Path(name).name
        found.append(study_categories(encoder, splits, out, settings, tell=tell_line))
    return found
