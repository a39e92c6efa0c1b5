"""``sightline align``: the matrix of verdicts, the queue of items, agreement between people."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sightline.cli.options import AS_JSON

if TYPE_CHECKING:
    from sightline.alignment.annotators import VerdictAgreement
    from sightline.alignment.matrix import Matrix
    from sightline.alignment.moves import Moves
    from sightline.alignment.verdicts import Verdicts

FILE = click.Path(path_type=Path)
ONLY = click.option(
    "--only",
    type=click.Choice(["people", "proposed"]),
    help="Of a file that holds verdicts of both.",
)
AUTHOR = click.option("--author", help="Only this person's verdicts.")
STRATEGY_NAMES = ("unreasonable-first", "disagreement", "uncertain", "cells", "random")


class Wanted(click.ParamType[tuple[str, int]]):
    """``UA=20``: so many labels of a cell."""

    name = "CELL=COUNT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        """The cell and the count."""
        cell, _, count = str(value).partition("=")
        if not count.isdecimal():
            self.fail(f"{value!r} is no cell and count; write UA=20", param, ctx)
        return cell, int(count)


WANT = click.option(
    "--want",
    type=Wanted(),
    multiple=True,
    help="Labels wanted of a cell of the matrix, as UA=20; may be repeated.",
)


@click.command()
@click.argument("verdicts", type=FILE)
@click.option("--against", type=FILE, help="Later verdicts on the same items: what changed.")
@ONLY
@AUTHOR
@click.option("--out", type=FILE, help="Folder for matrix.md and matrix.png.")
@AS_JSON
def matrix(
    *,
    verdicts: Path,
    against: Path | None,
    only: Literal["people", "proposed"] | None,
    author: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Cross accurate with reasonable: the table of VERDICTS, with shares and intervals.

    VERDICTS is a .csv or .jsonl of ours, or GRADIA's reasonability .json. Proposed verdicts are
    never counted with people's; their table says what they are.
    """
    made = _matrix(verdicts, only, author)
    later = None if against is None else _matrix(against, only, author)
    moves = None if later is None else made.against(later)
    if out is not None:
        _write(out, made, moves)
    if as_json:
        click.echo(json.dumps(made.as_dict() | ({"moves": moves.as_dict()} if moves else {})))
        return
    click.echo(made.text() + (f"\n\n{moves.text()}" if moves else ""))
    if out is not None:
        click.echo(f"\nwrote matrix.md and matrix.png in {out}")


@click.command()
@click.argument("candidates", type=FILE)
@click.option("--strategy", type=click.Choice(STRATEGY_NAMES), default=STRATEGY_NAMES[0])
@click.option("--first", type=click.IntRange(1), default=20, show_default=True, help="To print.")
@WANT
@click.option("--seed", default=0, show_default=True, help="Of the luck that breaks ties.")
@click.option("--out", type=FILE, help="The whole queue, as .csv or .jsonl.")
@AS_JSON
def queue(
    *,
    candidates: Path,
    strategy: str,
    first: int,
    want: tuple[tuple[str, int], ...],
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Say which items deserve a person's minute first, and why.

    CANDIDATES is a .csv or .jsonl with a column item, and what is known of each: cell (proposed:
    RA, UA, RI, UI), confidence, disagreement (between methods), labelled.
    """
    from sightline.alignment.queue import order, read_candidates

    whole = order(read_candidates(candidates), strategy, wanted=dict(want), seed=seed)
    if out is not None:
        whole.write(out)
    shown = whole.first(first)
    if as_json:
        click.echo(json.dumps([vars(row) for row in shown]))
        return
    wide = max((len(row.item) for row in shown), default=0)
    for place, row in enumerate(shown, start=1):
        click.echo(f"{place:4d}  {row.item.ljust(wide)}  {row.score:.3f}  {'; '.join(row.reasons)}")
    if len(shown) < len(whole):
        click.echo(f"the first {len(shown)} of {len(whole)}")
    if out is not None:
        click.echo(f"wrote {out}")


@click.command()
@click.argument("verdicts", type=FILE, nargs=-1, required=True)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap over items.")
@AS_JSON
def agreement(*, verdicts: tuple[Path, ...], seed: int, as_json: bool) -> None:
    """Say how well people agree: Krippendorff's alpha, and Cohen's kappa of each two.

    VERDICTS are one file with several authors, or a file each: then an author without a name is
    called after the file.
    """
    from sightline.alignment.annotators import verdict_agreement
    from sightline.alignment.verdicts import Verdicts

    rows = [row for path in verdicts for row in _named(path)]
    found = verdict_agreement(Verdicts.from_rows(rows), seed=seed)
    if as_json:
        click.echo(json.dumps([_plain(own) for own in found]))
        return
    click.echo("95 % bootstrap intervals, items resampled\n")
    for own in found:
        click.echo(f"{own.question}, {own.items} items")
        click.echo(f"  {'Krippendorff’s alpha':34s} {own.alpha}")
        for (a, b), kappa in own.kappas.items():
            click.echo(f"  {f'Cohen’s kappa, {a} and {b}':34s} {kappa}")


def _matrix(path: Path, only: Literal["people", "proposed"] | None, author: str | None) -> Matrix:
    from sightline.alignment.matrix import Matrix
    from sightline.alignment.verdicts import read_verdicts

    given = read_verdicts(path, only=only)
    return Matrix.from_verdicts(given if author is None else given.by(author))


def _named(path: Path) -> Verdicts:
    from dataclasses import replace

    from sightline.alignment.verdicts import Verdicts, read_verdicts

    return Verdicts(tuple(replace(r, author=r.author or path.stem) for r in read_verdicts(path)))


def _write(out: Path, made: Matrix, moves: Moves | None) -> None:
    from sightline.alignment.pictures import matrix_figure
    from sightline.picture import write_figure
    from sightline.sketch.files import replace_file

    text = made.markdown() + (f"\n\n{moves.markdown()}" if moves else "")
    with replace_file(out / "matrix.md") as stream:
        stream.write(f"{text}\n".encode())
    write_figure(matrix_figure(made), out / "matrix.png")


def _plain(found: VerdictAgreement) -> dict[str, Any]:
    return {
        "question": found.question,
        "items": found.items,
        "alpha": _interval(found.alpha),
        "kappas": [{"authors": list(pair), **_interval(k)} for pair, k in found.kappas.items()],
    }


def _interval(interval: Any) -> dict[str, float | None]:
    """JSON knows no nan: what cannot be told is null."""
    return {name: None if isnan(value) else value for name, value in vars(interval).items()}
