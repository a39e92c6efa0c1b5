"""One page about one match: both sides, its company in the gallery, its fall as strokes go."""

from __future__ import annotations

import html
import os

from sightline.explanation import Explanation
from sightline.page import quiet, section, table, write_page
from sightline.picture import figure_svg
from sightline.tasks.retrieval.company import Company
from sightline.tasks.retrieval.contact_sheet import MARK, contact_sheet
from sightline.tasks.retrieval.match import Match
from sightline.tasks.retrieval.match_pictures import fall_figure, match_figure
from sightline.tasks.retrieval.rank_deletion import RankDeletion

MOST_ROWS = 20


def write_match_page(
    path: str | os.PathLike[str],
    match: Match,
    *,
    company: Company | None = None,
    fall: RankDeletion | None = None,
) -> None:
    """Write a self-contained HTML page about a match; it appears whole or not at all.

    Args:
        path: the file.
        match: what `explain_match` returned.
        company: the first places of the gallery, for a contact sheet.
        fall: what became of the place as strokes were taken away.
    """
    sections = [_sides(match, target) for target in range(len(match.query.targets))]
    if company is not None:
        sections.append(_company(match, company))
    if fall is not None:
        sections.append(_fall(fall))
    sections.append(_made(match))
    write_page(path, match.title, sections, about=quiet(_about(match)))


def _about(match: Match) -> str:
    query, found = match.names
    unit, why = match.query.unit, match.query
    asked = "the similarity"
    if match.over:
        asked = f"the margin of {' and of '.join(match.query.targets)}"
    return (
        f"On the left what each stroke of {query} brings to {asked}, on the right what each of "
        f"the {match.found.parts.kind} of {found} brings to the similarity, both in {unit}. "
        f"With every stroke there it is {_signed(why.value[0])}, with none {_signed(why.base[0])}."
    )


def _sides(match: Match, target: int) -> str:
    why = match.query
    heading = why.targets[target] if match.over else "Both sides"
    return section(
        heading,
        figure_svg(match_figure(match, target=target)),
        _details("strokes in numbers", why, target),
        _details(f"{match.found.parts.kind} in numbers", match.found, 0),
    )


def _details(title: str, why: Explanation, target: int) -> str:
    ranking = why.ranking(target)[:MOST_ROWS]
    columns = ["part", "place", f"score, {why.unit}"]
    if why.errors is not None:
        columns.append("± (95 %)")
    rows = []
    for place, index in enumerate(ranking, start=1):
        row = [why.parts.names[index], str(place), f"{why.scores[target, index]:+.4f}"]
        if why.errors is not None:
            row.append(f"{1.96 * why.errors[target, index]:.4f}")
        rows.append(row)
    left = len(why.parts) - len(rows)
    more = quiet(f"and {left} more") if left else ""
    summary = f"<summary>{html.escape(title)}</summary>"
    return f"<details>{summary}{table(columns, rows)}{more}</details>"


def _company(match: Match, company: Company) -> str:
    sheet = contact_sheet(match.query.parts.subject, company)
    where = f"{MARK} marks the match."
    if company.chosen is None:
        place = f"place {match.place} of {match.among}" if match.place else "not among these"
        where = f"The match stands further down: {place}."
    heading = f"The first {len(company.items)} that {match.names[0]} finds"
    return section(heading, figure_svg(sheet), quiet(where))


def _fall(fall: RankDeletion) -> str:
    if not fall.first:
        lost = f"The photo stands at place {fall.places[0]:.0f} with every stroke there."
    elif fall.to_lose > fall.strokes:
        lost = "The photo keeps the first place whatever is taken away."
    else:
        lost = f"The first place is lost when {_count(fall.to_lose)} gone"
        lost += f" (random orders: {fall.random_to_lose:.1f} on average)."
    words = (
        f"{lost} Over all steps {fall.area:.1%} of the gallery stand before the photo; with "
        f"random orders {fall.random_area:.1%}. The faster the fall, the truer the scores."
    )
    return section(
        "Strokes taken away, the most important first", figure_svg(fall_figure(fall)), quiet(words)
    )


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _count(strokes: int) -> str:
    return "one stroke is" if strokes == 1 else f"{strokes} strokes are"


def _made(match: Match) -> str:
    rows = []
    for side, why in zip(match.names, (match.query, match.found), strict=True):
        made = why.made
        asked = f"{made.evaluations} evaluations, {made.seconds:.2f} s"
        notes = "; ".join(made.notes)
        rows.append((side, made.method, str(len(why.parts)), asked, notes))
    columns = ["side", "method", "parts", "cost", "notes"]
    return section("How it was made", table(columns, rows), quiet(f"Encoder {match.encoder}."))
