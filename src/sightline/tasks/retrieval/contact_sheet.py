"""What a query finds, on one sheet: the query, then the first places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightline.models.encoder import Item
from sightline.picture import PLAIN
from sightline.tasks.retrieval.company import Company
from sightline.tasks.retrieval.match_pictures import draw_item

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
LONGEST = 22
"""Letters of a name on the sheet; of a longer one the beginning and the end."""
MARK = "▸"
"""Before the name of the one that a match is about."""


def contact_sheet(query: Item, company: Company) -> Figure:
    """The query at the left, larger; beside it what it found, five in a row, the first first.

    Args:
        query: the drawing or photo that was asked.
        company: what stands at the first places; one that is chosen gets a mark.
    """
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(company.items))
    rows = -(-len(company.items) // columns)
    figure = Figure(figsize=(1.7 * columns + 2.9, max(2.0 * rows, 2.8)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.09)  # type: ignore[union-attr, call-arg]
    sides: Any = figure.subfigures(1, 2, width_ratios=(2.9, 1.7 * columns))
    large = sides[0].subplots()
    draw_item(large, query)
    large.set_title(query.name or "the query", fontsize=11, color="#222222", **PLAIN)
    panels = list(sides[1].subplots(rows, columns, squeeze=False).flat)
    rest = zip(company.items, company.names, company.scores, strict=True)
    for place, (item, name, score) in enumerate(rest):
        draw_item(panels[place], item)
        words = _short(f"{MARK} {name}" if place == company.chosen else name)
        _draw_words(panels[place], f"{place + 1}   {words}", f"{score:.3f}")
    for axes in panels[len(company.items) :]:
        axes.axis("off")
    return figure


def _draw_words(axes: Axes, name: str, score: str) -> None:
    axes.set_title(name, fontsize=8, color="#222222", pad=13, **PLAIN)
    beside: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center"}
    axes.annotate(
        score, (0.5, 1), xycoords="axes fraction", fontsize=7.5, color="#777777", **beside
    )


def _short(name: str) -> str:
    """The end tells instances apart, the beginning categories."""
    return name if len(name) <= LONGEST else f"{name[:10]}…{name[-11:]}"
