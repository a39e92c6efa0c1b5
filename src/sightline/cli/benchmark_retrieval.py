"""``sightline benchmark retrieval``: how well matches are found, and how truly explained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sightline.benchmark.retrieval import Studied

RECOGNISERS = ("sketchxainet-tiny", "sketch-cnn")


@click.command("retrieval")
@click.argument("data", type=click.Path(path_type=Path), required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the results; a second start goes on.",
)
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
def retrieval(
    *,
    data: Path | None,
    out: Path,
    encoder: str,
    recognisers: tuple[str, ...],
    most_strokes: int,
    **numbers: Any,
) -> None:
    """Find photos of generated pairs, and drawings of DATA, and measure the explanations.

    Stroke methods are compared by how soon the right one falls as strokes are taken away; the
    photo's side by whether it lies on the object; and early strokes are asked whether they matter
    most. Without DATA, a collection of drawings with splits, only pairs are searched.
    """
    import torch

    from sightline.allocator import keep_freed_memory
    from sightline.benchmark.retrieval import RetrievalSettings, study_pairs
    from sightline.benchmark.retrieval_tables import study_text
    from sightline.models.load_encoder import load_encoder
    from sightline.sketch.files import replace_file

    keep_freed_memory()
    torch.set_num_threads(1)
    settings = RetrievalSettings(strokes=(3, most_strokes), **numbers)
    studied = [study_pairs(load_encoder(encoder), out, settings, tell=_say)]
    if data is not None:
        studied += _categories(data, recognisers or RECOGNISERS, out, settings)
    text = "\n\n".join(study_text(one) for one in studied) + "\n"
    with replace_file(out / "retrieval.md") as stream:
        stream.write(text.encode())
    click.echo(text)


def _categories(data: Path, names: tuple[str, ...], out: Path, settings: Any) -> list[Studied]:
    from sightline.benchmark.retrieval import study_categories
    from sightline.models.load_encoder import load_encoder
    from sightline.sketch.collection import read_collection, split_collection

    splits = split_collection(read_collection(data), data)
    found = []
    for name in names:
        encoder = load_encoder(name)
        encoder.name = encoder.name or Path(name).name
        found.append(study_categories(encoder, splits, out, settings, tell=_say))
    return found


def _say(line: str) -> None:
    click.echo(line, err=True)
