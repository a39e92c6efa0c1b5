"""One self-contained HTML page of a run: the table, the curves, boxes as examples, failures."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline import page
from sightline.picture import AGAINST, FOR, NEUTRAL, figure_svg
from sightline.runs.overlay import as_data, overlay, photo_of
from sightline.runs.rows import Failure, PhotoResult, Row
from sightline.runs.run import Run
from sightline.runs.summary import MethodSummary, Summary, footnotes, summary, table_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 12
MOST_FAILURES = 200
COLOURS = (FOR, AGAINST, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666", "#222222")
"""Of the curves; Okabe and Ito's palette again."""


def write_page(
    run: Run,
    path: str | os.PathLike[str],
    *,
    told: Summary | None = None,
    examples: int = EXAMPLES,
) -> None:
    """Write the page; it needs no other file and no network.

    Args:
        run: what is told.
        path: the file.
        told: its table, where it is known already.
        examples: boxes that are shown, spread over the photos.
    """
    told = told or summary(run)
    sections = [_table(told), _curves(told), _examples(run, examples), _failures(run.errors())]
    detector = Path(run.manifest.detector).name  # of a folder its last name
    title = f"{detector}: {len(told.methods)} methods, {told.photos} photos"
    shown = [section for section in sections if section]
    page.write_page(path, title, shown, about=_about(run), style=_STYLE)


# --- what it is -----------------------------------------------------------------------------------


def _about(run: Run) -> str:
    of = run.manifest
    lines = [
        f"<p class='quiet'>Begun {html.escape(of.started)}; {run.done} of {len(of.photos)} photos, "
        f"{len(run)} explanations, {len(run.errors())} failures.</p>"
    ]
    if of.sanity:
        lines.append(f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in of.sanity)}</ul>")
    settings = {
        "detector": of.detector,
        "fingerprint": of.fingerprint,
        "methods": of.methods,
        "settings": of.settings,
        "seeds": of.seeds,
        "versions": of.versions,
        "environment": of.environment,
    }
    told = html.escape(json.dumps(settings, indent=1))
    lines.append(f"<details><summary>How it was made</summary><pre>{told}</pre></details>")
    return "\n".join(lines)


def _table(told: Summary) -> str:
    head, *rows = (
        "<tr>" + "".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in row) + "</tr>"
        for row, kind in zip(table_rows(told), chain(["th"], repeat("td")), strict=False)
    )
    body = "\n".join(rows)
    notes = "<br>".join(html.escape(line) for line in footnotes(told))
    return (
        f"<section><h2>Measures</h2><div class='wide'><table>{head}\n{body}</table></div>"
        f"<p class='quiet'>{notes}</p></section>"
    )


def _failures(failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    lines = "".join(f"<li>{html.escape(str(failure))}</li>" for failure in failures[:MOST_FAILURES])
    more = len(failures) - MOST_FAILURES
    rest = f"<p class='quiet'>and {more} more</p>" if more > 0 else ""
    return f"<section><h2>Photos that failed</h2><ul>{lines}</ul>{rest}</section>"


# --- curves ---------------------------------------------------------------------------------------


def _curves(told: Summary) -> str:
    drawn = [method for method in told.methods if method.curve]
    if not drawn:
        return ""
    return (
        "<section><h2>Flipping</h2><p class='quiet'>The value as parts vanish, most important "
        "first: the lower, the better the order. Mean over boxes, with its 95 % band over photos."
        f"</p>{figure_svg(curves_figure(drawn))}</section>"
    )


def curves_figure(methods: Sequence[MethodSummary]) -> Figure:
    """The mean flipping curve of each method with its 95 % band."""
    from matplotlib.figure import Figure

    fig = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = fig.subplots()
    for number, method in enumerate(methods):
        values = np.array([(i.estimate, i.low, i.high) for i in method.curve or ()])
        share, colour = np.linspace(0, 1, len(values)), COLOURS[number % len(COLOURS)]
        axes.fill_between(share, values[:, 1], values[:, 2], color=colour, alpha=0.18, lw=0)
        name = method.method.replace("_", " ")  # a leading _ would hide it
        axes.plot(share, values[:, 0], color=colour, lw=1.8, label=name)
    axes.set_xlabel("share of parts gone", fontsize=9)
    axes.set_ylabel("value", fontsize=9)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.spines[["top", "right"]].set_visible(False)
    for text in axes.legend(frameon=False, fontsize=8).get_texts():
        text.set_parse_math(False)
    return fig


# --- examples -------------------------------------------------------------------------------------


def _examples(run: Run, most: int) -> str:
    boxes = "\n".join(_example(run, photo, number) for photo, number in _chosen(run, most))
    if not boxes:
        return ""
    return f"<section><h2>Boxes</h2>{_LEGEND}{boxes}</section>"


def _chosen(run: Run, most: int) -> Iterator[tuple[PhotoResult, int]]:
    """Boxes at equal steps through the run, so that all its parts are seen."""
    keys = [
        (row["photo_index"], row["number"])
        for table in run.tables(["photo_index", "number"])
        for row in table.to_pylist()
    ]
    every = list(dict.fromkeys(keys))
    steps = np.linspace(0, len(every) - 1, min(most, len(every))).round().astype(int)
    wanted = {every[step] for step in steps}
    places = {photo.name: index for index, photo in enumerate(run.manifest.photos)}
    names = {run.manifest.photos[index].name for index, _ in wanted}
    for photo in run.photos_named(names):
        for number in dict.fromkeys(row.number for row in photo.explanations):
            if (places[photo.name], number) in wanted:
                yield photo, number


def _example(run: Run, photo: PhotoResult, number: int) -> str:
    rows = [row for row in photo.explanations if row.number == number]
    shown = photo_of(run, photo)
    first = rows[0]
    score = "not reported" if first.detector_score is None else f"{first.detector_score:.2f}"
    lost = "" if shown else " (the photo is no longer there, or is another)"
    title = f"{first.label} {score}, box {number} of {photo.name}{lost}"
    figures = "".join(_figure(photo, row, overlay(photo, row, shown)) for row in rows)
    return f"<h3>{html.escape(title)}</h3><div class='grid'>{figures}</div>"


def _figure(photo: PhotoResult, row: Row, pixels: Any) -> str:
    told = row.blank or ", ".join(
        f"{name.replace('_', ' ')} {row.measures[name]:.2f}"
        for name in SHOWN
        if row.measures.get(name) is not None
    )
    limit = float(np.abs(row.scores).max(initial=0.0))
    words = f"{row.method}: full colour {limit:.3g} {row.unit}. {told}"
    item = html.escape(photo.item(row), quote=True)
    return (
        f"<figure><img alt='{item}' title='{item}' src='{as_data(pixels)}'>"
        f"<figcaption>{html.escape(words)}</figcaption></figure>"
    )


SHOWN = ("energy", "pointing", "deletion_normalised", "insertion_normalised")
"""Measures under each picture; the table has all."""

_LEGEND = (
    "<p class='quiet'>Vermilion parts speak for the box, blue ones against it; each picture has "
    "its own scale.</p><div class='scale'><span>against</span><i></i><span>for</span></div>"
)

_STYLE = f"""
main{{max-width:1100px}}
h3{{font-weight:500;font-size:15px;margin:1.2rem 0 .3rem}}
.wide{{overflow-x:auto}} .wide td,.wide th{{white-space:nowrap}}
pre{{font-size:12px;overflow-x:auto}}
.grid{{display:grid;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));gap:.8rem}}
figure{{margin:0}} img{{width:100%;border-radius:4px;margin:0}}
figcaption{{font-size:12px;color:#555;margin-top:.2rem}}
.scale{{display:flex;gap:.5rem;align-items:center;font-size:12px;color:#555}}
.scale i{{width:160px;height:10px;background:linear-gradient(90deg,{AGAINST},{NEUTRAL},{FOR})}}
"""
