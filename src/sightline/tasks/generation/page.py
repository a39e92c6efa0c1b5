"""One HTML page of generated pictures: regions and their strokes, strokes and what they made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.errors import TaskError
from sightline.explanation import Explanation
from sightline.page import quiet, section, table, write_page
from sightline.picture import figure_svg
from sightline.targets.region import Region
from sightline.tasks.generation.generation_pictures import generation_figure
from sightline.tasks.generation.stroke_maps import StrokeMaps

HOW_TO_READ = (
    "In the upper row a region is outlined on the picture, and the strokes wear the colours of "
    "their scores: vermilion made it, blue worked against it, grey did neither. In the lower row "
    "only what a stroke made of the picture is shown; the stroke is black."
)


@dataclass(frozen=True, eq=False)
class Shown:
    """One drawing of a page.

    Args:
        why: of a game with ``region``.
        region: what was asked.
        maps: of the same drawing.
    """

    why: Explanation
    region: Region
    maps: StrokeMaps


def write_generation_page(
    path: str | os.PathLike[str],
    drawings: Sequence[Shown],
    *,
    title: str = "Which strokes made this region?",
) -> None:
    """Write a page that needs no other file and no network; it appears whole or not at all.

    Args:
        path: the file.
        drawings: one section each.
        title: as plain text.

    Raises:
        TaskError: no drawings, or explanations and maps that are not of one drawing.
    """
    if not drawings:
        raise TaskError("a page needs at least one drawing: give [Shown(why, region, maps)]")
    sections = [_section(each, number) for number, each in enumerate(drawings, 1)]
    write_page(path, title, sections, about=quiet(HOW_TO_READ))


def _section(shown: Shown, number: int) -> str:
    why, maps = shown.why, shown.maps
    figure = figure_svg(generation_figure(why, shown.region, maps))
    heading = maps.sketch.name or maps.sketch.label or f"drawing {number}"
    made = f"{why.made.method} for regions ({why.unit}), {maps.method} for strokes"
    rows = [
        [name, *(f"{score:.3f}" for score in column), f"{share:.1%}"]
        for name, column, share in zip(why.parts.names, why.scores.T, _whole(maps), strict=True)
    ]
    scores = table(["stroke", *why.targets, "of the whole picture"], rows)
    return section(
        heading, figure, quiet(made), f"<details><summary>scores</summary>{scores}</details>"
    )


def _whole(maps: StrokeMaps) -> list[float]:
    """Each stroke's share of the whole picture."""
    return np.asarray(maps.content.sum((1, 2))).tolist()
