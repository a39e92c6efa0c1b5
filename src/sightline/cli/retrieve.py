"""``sightline retrieve``: galleries of photos or drawings, searched by drawings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.galleries import (
    DRAWN,
    ENCODER,
    GALLERY,
    MOVED,
    encode_drawn,
    encoder_of,
    findable,
    is_picture,
    read_query,
    stem_of,
)
from sightline.cli.options import AS_JSON, INDEX, SKIP_BAD, tell_progress
from sightline.cli.retrieve_explain import explain

if TYPE_CHECKING:
    from torch import Tensor

    from sightline.models.encoder import Encoder, Item
    from sightline.tasks.retrieval.gallery import Gallery
    from sightline.tasks.retrieval.gallery_files import Root
    from sightline.tasks.retrieval.gallery_sources import Entry
    from sightline.tasks.retrieval.measured import Query
    from sightline.tasks.retrieval.search import Found

MOST_SHOWN = 50
"""Places on a contact sheet."""

_OTHERWISE = "; --drawn reads it as a drawing"

DEFAULTS = {"photos": "pairs-encoder", "drawings": "sketchxainet-tiny"}


@click.group()
def retrieve() -> None:
    """Find photos or drawings by drawings: make a gallery, search it, measure and explain."""


retrieve.add_command(explain)


@retrieve.command()
@click.argument("photos", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Gallery to write.")
@click.option(
    "--encoder",
    help="A shipped name, folder or clip:ORG/NAME; default: pairs-encoder for photos, "
    "sketchxainet-tiny for drawings.",
)
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="At once.")
@click.option("--skip-bad", is_flag=True, help="Leave out what cannot be read, and count it.")
@click.option("--add", is_flag=True, help="Add to the gallery what is not in it yet.")
@AS_JSON
def index(
    *,
    photos: Path,
    out: Path,
    encoder: str | None,
    batch: int,
    skip_bad: bool,
    add: bool,
    as_json: bool,
) -> None:
    """Encode PHOTOS into a gallery.

    PHOTOS is a folder of photos, or of folders of them, one a category; or a file or folder of
    drawings, which then are what is found.
    """
    from sightline.allocator import keep_freed_memory
    from sightline.sketch.formats.quickdraw import Skipped
    from sightline.tasks.retrieval.gallery import Gallery
    from sightline.tasks.retrieval.gallery_sources import kind_of

    keep_freed_memory()
    _refuse_folder(out, add)
    kind, skipped = kind_of(photos), Skipped()
    known = Gallery.open(out) if add else None
    make = Gallery.of if known is None else known.add
    made = make(
        _new_encoder(encoder or DEFAULTS[kind]) if known is None else encoder_of(known, encoder),
        photos,
        batch=batch,
        on_error="skip" if skip_bad else "raise",
        skipped=skipped,
        tell=lambda done, of: tell_progress(f"\r{done} of {of} {kind}" + "\n" * (done == of)),
    )
    if made is not known:
        made.save(out)
    if skipped.count:
        click.echo(str(skipped), err=True)
    added = len(made) - len(known or ())
    told: dict[str, Any] = {"items": len(made), "added": added, "skipped": skipped.count}
    told |= {name: getattr(made, name) for name in ("encoder", "fingerprint", "measure")}
    told |= {"written": [str(out)] if added else []}
    wrote = f"wrote {out}" if added else f"nothing new: {out} stays as it is"
    words = f"{added} {kind} indexed, {len(made)} in the gallery; {wrote}"
    click.echo(json.dumps(told) if as_json else words)


@retrieve.command()
@GALLERY
@click.argument("drawing", type=click.Path(path_type=Path))
@INDEX
@click.option("-k", "count", default=10, show_default=True, type=click.IntRange(1))
@DRAWN
@ENCODER
@MOVED
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Contact sheet: .png, .pdf or .svg (DRAWING's name + '-found.png', here).",
)
@AS_JSON
def query(
    *,
    gallery: Path,
    drawing: Path,
    index: int,
    count: int,
    drawn: bool,
    encoder: str | None,
    root: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find what is most like DRAWING in a GALLERY: place, name, score; and a sheet of pictures.

    DRAWING is a file of one or of many drawings, or a photo; with --drawn a picture of a drawing.
    """
    from sightline.allocator import keep_freed_memory
    from sightline.tasks.retrieval.gallery import Gallery

    keep_freed_memory()
    path = out or Path(f"{stem_of(drawing, index)}-found.png")
    _refuse_suffix(path)
    opened = Gallery.open(gallery, root=root)
    network = encoder_of(opened, encoder)
    asked = read_query(drawing, index)
    ink = drawn and is_picture(drawing)
    vectors = encode_drawn(network, [drawing]) if ink else network.encode([asked])
    found = opened.search(vectors, count)
    rows = _rows(opened, found)
    reason = _write_sheet(opened, asked, found, path)
    read_as = "photo" if is_picture(drawing) and not drawn else "drawing"
    if as_json:
        told = {"query": drawing.name, "read_as": read_as}
        told |= {"encoder": opened.encoder, "measure": opened.measure}
        click.echo(json.dumps({**told, "found": rows, "written": [str(path)] * (not reason)}))
    else:
        if is_picture(drawing):
            click.echo(f"{drawing.name} is read as a {read_as}{_OTHERWISE * (not drawn)}", err=True)
        click.echo(_table(rows, "cosine" if opened.measure == "cosine" else "minus distance"))
        shown = f" (the first {MOST_SHOWN} of {len(rows)})" if len(rows) > MOST_SHOWN else ""
        told_of = f"no picture: {reason}" if reason else f"wrote {path}{shown}"
        click.echo(f"\n{told_of}", err=bool(reason))


@retrieve.command()
@GALLERY
@click.argument("queries", type=click.Path(path_type=Path))
@ENCODER
@click.option(
    "--by",
    type=click.Choice(["auto", "label", "instance"]),
    default="auto",
    show_default=True,
    help="What is relevant: the same label, or the same instance (lamp-17-2 finds lamp-17).",
)
@click.option(
    "--split",
    type=click.Choice(["all", "train", "valid", "test"]),
    default="all",
    show_default=True,
    help="Which of the queries, by splits.json or by the hash of their names.",
)
@click.option("--seed", default=0, show_default=True, help="Of the intervals and of the split.")
@DRAWN
@SKIP_BAD
@AS_JSON
def measure(
    *,
    gallery: Path,
    queries: Path,
    encoder: str | None,
    by: Any,
    split: str,
    seed: int,
    drawn: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Measure how well QUERIES, drawings or photos, find what they are of in a GALLERY.

    A query that stands in the gallery itself does not find itself. With --drawn QUERIES are
    pictures of drawings, as in Sketchy and ShoeV2.
    """
    from sightline.allocator import keep_freed_memory
    from sightline.tasks.retrieval.gallery import Gallery
    from sightline.tasks.retrieval.measured import measure_vectors

    keep_freed_memory()
    opened = Gallery.open(gallery)
    network = encoder_of(opened, encoder)
    root, entries = _queries(queries, split, seed, skip_bad)
    seen = root.kind == "photos"
    read_as = "photos" if seen and not drawn else "drawings"
    if seen and not as_json:
        otherwise = _OTHERWISE.replace("it as a drawing", "them as drawings") * (not drawn)
        click.echo(f"the queries are read as {read_as}{otherwise}", err=True)
    vectors = _vectors(network, root, entries, ink=seen and drawn)
    asked = _asked(root, entries, drawn=read_as == "drawings")
    scores = measure_vectors(opened, vectors, asked, by=by, seed=seed)
    words = f"{scores}\nencoder {scores.encoder}, 95 % intervals: Wilson, else bootstrap"
    told = scores.as_dict() | {"read_as": read_as}
    click.echo(json.dumps(told) if as_json else words)


def _vectors(encoder: Encoder, root: Root, entries: list[Entry], *, ink: bool) -> Tensor:
    if ink:
        one = root.path.is_file()
        paths = [root.path if one else root.path / str(entry.item.source) for entry in entries]
        return encode_drawn(encoder, paths)
    return encoder.encode([entry.read() for entry in entries])


def _asked(root: Root, entries: list[Entry], *, drawn: bool) -> list[Query]:
    from sightline.tasks.retrieval.gallery_sources import files_of
    from sightline.tasks.retrieval.measured import Query

    items = [entry.item for entry in entries]
    files = files_of([root], items)
    return [
        Query(item.name, item.label, drawn, file) for item, file in zip(items, files, strict=True)
    ]


def _new_encoder(named: str) -> Encoder:
    from sightline.models.load_encoder import load_encoder

    return load_encoder(findable(named))


def _refuse_folder(out: Path, add: bool) -> None:
    from sightline.errors import TaskError
    from sightline.tasks.retrieval.gallery_files import MANIFEST

    if not add and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        there = (out / MANIFEST).exists()
        cure = "--add adds to it; or name another" if there else "name another folder"
        raise TaskError(f"{out} is there already{', a gallery' if there else ''}; {cure}")


def _refuse_suffix(path: Path) -> None:
    from sightline.errors import TaskError
    from sightline.picture import SUFFIXES

    if path.suffix.lower() not in SUFFIXES:
        raise TaskError(f"cannot draw {path.name!r}: use one of {', '.join(SUFFIXES)}")


def _queries(path: Path, split: str, seed: int, skip_bad: bool) -> tuple[Root, list[Entry]]:
    from sightline.sketch.formats.quickdraw import Skipped
    from sightline.tasks.retrieval.gallery_files import Root
    from sightline.tasks.retrieval.gallery_sources import entries_of, kind_of

    skipped = Skipped()
    on_error: Any = "skip" if skip_bad else "raise"
    root = Root(kind_of(path), path)
    entries = entries_of(root, 0, on_error=on_error, skipped=skipped)
    if skipped.count:
        click.echo(str(skipped), err=True)
    return root, entries if split == "all" else _of_split(entries, path, split, seed)


def _of_split(entries: list[Entry], path: Path, split: str, seed: int) -> list[Entry]:
    from sightline.errors import TaskError
    from sightline.sketch.collection import hashed_splits, named_splits
    from sightline.sketch.formats.stroke3 import SPLITS

    names = [entry.item.name for entry in entries]
    told = named_splits(path / "splits.json")
    hashed = [SPLITS[place] for place in hashed_splits(names, seed)]
    of = [told.get(name) for name in names] if told else hashed
    chosen = [entry for entry, own in zip(entries, of, strict=True) if own == split]
    if not chosen:
        raise TaskError(f"{path} has no queries in its {split} split, of {len(entries)}")
    return chosen


def _rows(gallery: Gallery, found: Found) -> list[dict[str, Any]]:
    rows = []
    pairs = zip(found.indices[0].tolist(), found.scores[0].tolist(), strict=True)
    for place, (item, score) in enumerate(pairs, start=1):
        known = gallery.items[item]
        row = {"place": place, "index": item, "name": known.name, "label": known.label}
        rows.append({**row, "score": score})
    return rows


def _table(rows: list[dict[str, Any]], unit: str) -> str:
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'place':>5s}  {'name':{width}s}  {unit}"]
    lines += [f"{row['place']:5d}  {row['name']:{width}s}  {row['score']:.4f}" for row in rows]
    labels = ["  " + row["label"] if row["label"] else "" for row in rows]
    return "\n".join(line + label for line, label in zip(lines, ["", *labels], strict=True))


def _write_sheet(gallery: Gallery, asked: Item, found: Found, path: Path) -> str:
    """Write the contact sheet; why not, where the pictures are gone."""
    from sightline.errors import SightlineError
    from sightline.picture import write_figure
    from sightline.tasks.retrieval.company import Company
    from sightline.tasks.retrieval.contact_sheet import contact_sheet
    from sightline.tasks.retrieval.search import Found

    try:
        first = Found(found.indices[:, :MOST_SHOWN], found.scores[:, :MOST_SHOWN])
        company = Company.of(gallery, first)
    except SightlineError as error:
        return str(error)
    write_figure(contact_sheet(asked, company), path)
    return ""
