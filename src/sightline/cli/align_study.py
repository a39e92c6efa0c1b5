"""``sightline align study``: people rate maps without knowing whose they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.options import AS_JSON

if TYPE_CHECKING:
    from sightline.alignment.ratings import Ratings
    from sightline.alignment.sheets import Sheet

STUDY = click.argument("study", type=click.Path(path_type=Path))
RATER = click.option("--rater", required=True, help="Who is asked; any name, always the same.")
YES_NO = click.Choice(["yes", "no"])


@click.group()
def study() -> None:
    """Let people rate the maps of several models without knowing whose they are.

    STUDY is a folder. Answers are kept as they are given, so that a rater may stop at any time.
    """


@study.command()
@STUDY
@click.option(
    "--photos",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the original photos, also in folders of it; those with maps are the items.",
)
@click.option(
    "--maps",
    "maps",
    multiple=True,
    required=True,
    metavar="MODEL=FOLDER",
    help="Pictures of a model's maps, at the paths of the photos. Once a model.",
)
@click.option("--task", default="", help="What the models decide, as raters are told.")
@click.option("--author", default="", help="Of the study.")
@click.option("--seed", default=0, show_default=True, help="Of every order.")
def create(
    *, study: Path, photos: Path, maps: tuple[str, ...], task: str, author: str, seed: int
) -> None:
    """Make a study of photos and of pictures of maps over them."""
    from sightline.alignment.study import RatingStudy

    found = {model: _by_path(folder) for model, folder in _folders(maps).items()}
    files = _with_maps(photos, found)
    made = RatingStudy.create(
        study,
        list(files),
        list(found),
        photo=lambda item: files[item],
        map_of=lambda item, model: found[model][_stem(item)],
        seed=seed,
        author=author,
        task=task,
    )
    click.echo(f"{study}: {len(made.items)} items, {len(made.models)} models")


@study.command(name="next")
@STUDY
@RATER
@AS_JSON
def next_sheet(*, study: Path, rater: str, as_json: bool) -> None:
    """Print the next sheet of a rater: the photo, and the maps by letter."""
    from sightline.alignment.study import RatingStudy

    opened = RatingStudy.open(study)
    sheet = opened.next(rater)
    if as_json:
        click.echo(json.dumps(None if sheet is None else _record(sheet)))
        return
    if sheet is None:
        click.echo(f"{rater} has rated all {len(opened.items)} items; thank you")
        return
    click.echo(f"sheet {sheet.id}  ({sheet.number} of {sheet.of})  {sheet.item}")
    if opened.task:
        click.echo(f"the models decide: {opened.task}")
    click.echo(f"photo  {sheet.photo}")
    for shown in sheet.maps:
        state = "not rated" if shown.answer is None else "rated"
        click.echo(f"{shown.letter}      {shown.file}  {state}")
    click.echo("Q1 necessary: does the map cover what is necessary?")
    click.echo("Q2 nothing unnecessary: does it cover nothing unnecessary?")
    click.echo("rating: 1 (very poor) to 5 (excellent)")


@study.command()
@STUDY
@click.argument("sheet")
@click.argument("letter")
@click.option("--necessary", type=YES_NO, required=True, help="Question 1.")
@click.option("--nothing-unnecessary", type=YES_NO, required=True, help="Question 2.")
@click.option("--rating", type=click.IntRange(1, 5), required=True, help="1 to 5.")
def rate(
    *, study: Path, sheet: str, letter: str, necessary: str, nothing_unnecessary: str, rating: int
) -> None:
    """Answer the questions about the map LETTER of a SHEET; again to correct the answers."""
    from sightline.alignment.study import RatingStudy

    RatingStudy.open(study).rate(
        sheet,
        letter,
        necessary=necessary == "yes",
        nothing_unnecessary=nothing_unnecessary == "yes",
        rating=rating,
    )
    click.echo(f"{sheet} {letter}: written down")


@study.command()
@STUDY
@AS_JSON
def progress(*, study: Path, as_json: bool) -> None:
    """Print how far every rater is."""
    from dataclasses import asdict

    from sightline.alignment.study import RatingStudy

    opened = RatingStudy.open(study)
    found = [opened.progress(rater) for rater in opened.raters]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found]))
        return
    for row in found or ():
        click.echo(f"{row.rater}: {row.sheets} of {row.of} sheets, {row.maps} maps")
        for note in row.notes:
            click.echo(note, err=True)
    if not found:
        click.echo("nobody has begun")


@study.command()
@STUDY
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--history", is_flag=True, help="Corrected answers too.")
def export(*, study: Path, out: Path, history: bool) -> None:
    """Write all answers, with the names of the models, to OUT: .csv, .jsonl or .parquet."""
    from sightline.alignment.study import RatingStudy

    found = RatingStudy.open(study).ratings(history=history)
    _tell(found)
    found.write(out)
    click.echo(f"{out}: {len(found)} ratings")


@study.command()
@STUDY
@click.option("--gradia", is_flag=True, help="STUDY is a results file of GRADIA's page.")
@click.option("--seed", default=0, show_default=True, help="Of the intervals.")
@AS_JSON
def summary(*, study: Path, gradia: bool, seed: int, as_json: bool) -> None:
    """Print what a study found. STUDY is a folder, or a file that 'export' wrote."""
    from sightline.alignment.study_summary import summary as sum_up

    found = _ratings(study, gradia)
    told = sum_up(found, seed=seed, notes=found.notes)
    click.echo(json.dumps(told.as_dict()) if as_json else told.markdown())


def _ratings(path: Path, gradia: bool) -> Ratings:
    from sightline.alignment.ratings import read_gradia_study, read_ratings
    from sightline.alignment.study import RatingStudy

    if gradia:
        return read_gradia_study(path)
    return RatingStudy.open(path).ratings() if path.is_dir() else read_ratings(path)


def _folders(maps: tuple[str, ...]) -> dict[str, Path]:
    folders: dict[str, Path] = {}
    for given in maps:
        model, sign, folder = given.partition("=")
        if not (model and sign and folder) or model in folders:
            raise click.BadParameter(
                f"{given!r}; expected MODEL=FOLDER, each model once", param_hint="'--maps'"
            )
        folders[model] = Path(folder)
    return folders


def _stem(item: str) -> str:
    """A path without its suffix, by which photos and maps are paired."""
    return Path(item).with_suffix("").as_posix()


def _by_path(folder: Path) -> dict[str, Path]:
    from sightline.alignment.formats.read import photo_names
    from sightline.errors import AlignmentError

    found: dict[str, Path] = {}
    for name in photo_names(folder):
        if _stem(name) in found:
            raise AlignmentError(f"{folder} has {name} and another picture of that name; keep one")
        found[_stem(name)] = folder / name
    return found


def _with_maps(photos: Path, found: dict[str, dict[str, Path]]) -> dict[str, Path]:
    """The photos of which every model has a map, by their paths; a study shows all on each."""
    from sightline.errors import AlignmentError

    shown = {path.relative_to(photos).as_posix(): path for path in _by_path(photos).values()}
    some = {name for name in shown if any(_stem(name) in maps for maps in found.values())}
    for model, maps in found.items():
        missing = sorted(name for name in some if _stem(name) not in maps)
        if missing:
            raise AlignmentError(
                f"{len(missing)} of {len(some)} photos have no map of {model!r} "
                f"({', '.join(missing[:3])}); a study shows every model on every photo"
            )
    if not some:
        raise AlignmentError(
            f"no map has the path of a photo in {photos}: maps lie in their folder as the photos "
            "in theirs, as 'sightline align look' writes them"
        )
    if len(some) < len(shown):
        click.echo(f"{len(shown) - len(some)} photos without maps are left out", err=True)
    return {name: path for name, path in shown.items() if name in some}


def _record(sheet: Sheet) -> dict[str, object]:
    return {
        "sheet": sheet.id,
        "item": sheet.item,
        "number": sheet.number,
        "of": sheet.of,
        "photo": str(sheet.photo),
        "maps": [
            {
                "letter": shown.letter,
                "file": str(shown.file),
                "answer": None if shown.answer is None else vars(shown.answer),
            }
            for shown in sheet.maps
        ],
    }


def _tell(found: Ratings) -> None:
    for note in found.notes:
        click.echo(note, err=True)
