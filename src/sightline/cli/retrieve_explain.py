"""``sightline retrieve explain``: why a drawing finds what it finds, from both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.explain import METHOD_NAMES
from sightline.cli.galleries import ENCODER, GALLERY, MOVED, encoder_of, read_query, stem_of
from sightline.cli.options import AS_JSON, INDEX
from sightline.cli.stems import beside, stem_in

if TYPE_CHECKING:
    from torch import Tensor

    from sightline.models.encoder import Item
    from sightline.parts import Superpixels
    from sightline.sketch.sketch import Sketch
    from sightline.tasks.retrieval.company import Company
    from sightline.tasks.retrieval.gallery import Gallery
    from sightline.tasks.retrieval.match import Match
    from sightline.tasks.retrieval.rank_deletion import RankDeletion
    from sightline.tasks.retrieval.search import Found

SHOWN = 10
"""Places on the contact sheet."""


@click.command()
@GALLERY
@click.argument("drawing", type=click.Path(path_type=Path))
@INDEX
@click.option("--photo", help="Which of the gallery, by its name or path.")
@click.option("--place", type=click.IntRange(1), help="Or by its place; default: the first.")
@click.option("--over", multiple=True, help="Ask why it stands above this one; may be repeated.")
@click.option(
    "--method",
    type=click.Choice(METHOD_NAMES),
    help="For strokes; default: shapley up to 12 strokes, else kernel_shap.",
)
@click.option(
    "--photo-method",
    type=click.Choice(METHOD_NAMES),
    help="For the photo; default: kernel_shap.",
)
@click.option("--superpixels", type=click.IntRange(2), default=64, show_default=True)
@click.option(
    "--absent",
    type=click.Choice(["grey", "mean", "blur"]),
    default="mean",
    show_default=True,
    help="What stands in for an absent superpixel.",
)
@click.option("--budget", help="Evaluations (2000) or time (20s) of a side.")
@click.option("--seed", default=0, show_default=True, help="Of methods that sample.")
@ENCODER
@MOVED
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write, without suffix (DRAWING's name + '-match', here).",
)
@AS_JSON
def explain(
    *,
    gallery: Path,
    drawing: Path,
    index: int,
    photo: str | None,
    place: int | None,
    over: tuple[str, ...],
    superpixels: int,
    absent: Any,
    encoder: str | None,
    root: Path | None,
    out: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Say why DRAWING finds a photo of a GALLERY: its strokes, and regions of the photo.

    Writes a picture of both sides (.png), a page with the first ten places and the fall of the
    photo as strokes are taken away (.html), and the explanations (.safetensors and .json).
    """
    from sightline.allocator import keep_freed_memory
    from sightline.tasks.retrieval.explain_match import explain_match
    from sightline.tasks.retrieval.gallery import Gallery
    from sightline.tasks.retrieval.rank_deletion import rank_deletion

    keep_freed_memory()
    stem = stem_in(out, f"{stem_of(drawing, index)}-match")
    opened = Gallery.open(gallery, root=root)
    network = encoder_of(opened, encoder)
    sketch = _read_drawing(drawing, index)
    vectors = network.encode([sketch])
    row = _row(opened, vectors, photo, place)
    others = [opened.index_of(name) for name in over]
    found = opened.read(row)
    company = _company(opened, opened.search(vectors, SHOWN), row)
    with _with_cure(settings["budget"]):
        match = explain_match(
            network,
            sketch,
            found,
            over=opened.vectors[others] if others else None,
            over_names=[opened.names[i] for i in others],
            gallery=opened.vectors,
            index=row,
            superpixels=_cut(found, superpixels, absent),
            **settings,
        )
    fall = rank_deletion(network, match.query, opened.vectors, row, seed=settings["seed"])
    written = _write(match, company, fall, stem)
    if as_json:
        told = _as_record(match, fall) | {"written": [str(path) for path in written]}
        click.echo(json.dumps(told))
    else:
        _print(match, fall)
        click.echo(f"\nwrote {', '.join(map(str, written))}")


def _company(gallery: Gallery, found: Found, row: int) -> Company | None:
    """For the contact sheet; None, which is said, where a picture is missing."""
    from sightline.errors import SightlineError
    from sightline.tasks.retrieval.company import Company

    try:
        return Company.of(gallery, found, row)
    except SightlineError as error:
        click.echo(f"no contact sheet: {error}", err=True)
        return None


@contextmanager
def _with_cure(budget: str | None) -> Iterator[None]:
    """What this command can do about a method that is given too little, or needs too much."""
    from sightline.errors import GameError

    try:
        yield
    except GameError as error:
        if budget is None or "evaluations" not in str(error):
            raise
        raise GameError(
            f"{error}; --budget {budget} is for each side: raise it, ask for fewer --superpixels, "
            "or take another --method or --photo-method"
        ) from error


def _read_drawing(path: Path, index: int) -> Sketch:
    from sightline.errors import TaskError
    from sightline.sketch.sketch import Sketch

    found = read_query(path, index)
    if not isinstance(found, Sketch):
        raise TaskError(f"{path} is a photo; what is explained are the strokes of a drawing")
    return found


def _row(gallery: Gallery, vectors: Tensor, name: str | None, place: int | None) -> int:
    """Which item is meant."""
    from sightline.errors import TaskError

    if name is not None and place is not None:
        raise TaskError(f"--photo {name} and --place {place} are both given; give one of them")
    if name is not None:
        return gallery.index_of(name)
    place = place or 1
    if place > len(gallery):
        raise TaskError(f"there is no place {place} in a gallery of {len(gallery)}")
    return int(gallery.search(vectors, place).indices[0, place - 1])


def _cut(found: Item, count: int, absent: Any) -> int | Superpixels:
    from sightline.image.photo import Photo
    from sightline.parts import Superpixels

    return Superpixels(found, count, absent) if isinstance(found, Photo) else count


def _write(match: Match, company: Company | None, fall: RankDeletion, stem: Path) -> list[Path]:
    from sightline.tasks.retrieval.match_page import write_match_page

    picture, page = (beside(stem, suffix) for suffix in (".png", ".html"))
    match.plot(picture)
    write_match_page(page, match, company=company, fall=fall)
    return [picture, page, match.save(stem)]


def _as_record(match: Match, fall: RankDeletion) -> dict[str, Any]:
    why = match.query
    return match.as_dict() | {
        "unit": why.unit,
        "method": why.made.method,
        "photo_method": match.found.made.method,
        "evaluations": why.made.evaluations + match.found.made.evaluations,
        "targets": [
            {
                "target": target,
                "value": float(why.value[i]),
                "base": float(why.base[i]),
                why.parts.kind: dict(zip(why.parts.names, why.scores[i].tolist(), strict=True)),
            }
            for i, target in enumerate(why.targets)
        ],
        "fall": {
            "places": fall.places.astype(int).tolist(),
            "area": fall.area,
            "random_area": fall.random_area,
            "strokes_to_lose_the_first_place": fall.to_lose if fall.first else None,
        },
    }


def _print(match: Match, fall: RankDeletion) -> None:
    why = match.query
    click.echo(match.title)
    for row, target in enumerate(why.targets):
        click.echo(
            f"\nwhat speaks for {target}, {why.unit}; every stroke {why.value[row]:.3f}, none "
            f"{why.base[row]:.3f} ({why.made.method}, {why.made.evaluations} evaluations)"
        )
        for place, i in enumerate(why.ranking(row)[:20], start=1):
            click.echo(f"{place:3d}  {why.scores[row, i]:+.4f}  {why.parts.names[i]}")
    places = " ".join(f"{place:.0f}" for place in fall.places)
    click.echo(f"\nits place as strokes go, the most important first: {places}")
    click.echo(
        f"{fall.area:.1%} of the gallery before it on the way; in random orders "
        f"{fall.random_area:.1%}"
    )
