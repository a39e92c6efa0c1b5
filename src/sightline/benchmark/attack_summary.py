"""What the study of attacks found: success against what may change, as tables and as curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.benchmark.attack_rounds import POINTS, PUT_IN, REMOVED, UNTOUCHED, Row
from sightline.benchmark.markdown import markdown_table, percent
from sightline.errors import TaskError
from sightline.metrics.intervals import Interval, wilson
from sightline.picture import AGAINST, FOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = dict(zip(POINTS, ("#8A8A8A", "#E69F00", FOR, AGAINST), strict=True)) | {
    "removed by luck": "#8A8A8A",
    "removed by SLA": "#009E73",
    "removed": "#009E73",
    "inserted by luck": "#8A8A8A",
    "inserted": FOR,
}
"""By kind; luck is grey."""

DASHED = ("removed by SLA", "inserted by luck")
AGAIN = "dotted: read from the start"

TITLES = ("moved points", "removed and inserted strokes")


@dataclass(frozen=True)
class Cell:
    """All drawings under one kind of attack at one level.

    Args:
        model, kind, level: which.
        drawings: how many.
        success, again: shares with Wilson intervals: of the attacked drawing as it stands, and
            when it is read from the start.
        other: share that the other model is wrong about too, of those it was right about.
        ink, mean, largest: the mean change.
    """

    model: str
    kind: str
    level: float
    drawings: int
    success: Interval
    again: Interval
    other: Interval | None
    ink: float
    mean: float
    largest: float

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Cell:
        """Count."""
        seen = [row.other for row in rows if row.other is not None]
        first, count = rows[0], len(rows)
        return cls(
            first.model,
            first.kind,
            first.level,
            count,
            wilson(sum(row.success for row in rows), count),
            wilson(sum(row.again for row in rows), count),
            wilson(sum(seen), len(seen)) if seen else None,
            *(float(np.mean([getattr(row, name) for row in rows])) for name in CHANGES),
        )


CHANGES = ("ink", "mean", "largest")


def cells(rows: Sequence[Row]) -> list[Cell]:
    """One cell for each model, kind and level, in the order of the rows.

    Raises:
        TaskError: no rows.
    """
    if not rows:
        raise TaskError("no attacks to sum up")
    found: dict[tuple[str, str, float], list[Row]] = {}
    for row in rows:
        found.setdefault((row.model, row.kind, row.level), []).append(row)
    return [Cell.of(some) for some in found.values()]


def attack_tables(rows: Sequence[Row]) -> str:
    """Markdown: for each model success by level, and then all that was counted and measured."""
    found = cells(rows)
    parts = []
    for model in dict.fromkeys(cell.model for cell in found):
        own = [cell for cell in found if cell.model == model]
        parts.append(f"**{model}**, {max(cell.drawings for cell in own)} drawings")
        groups = ((POINTS, "budget"), (REMOVED, "share of ink"), (PUT_IN, "share of ink"))
        parts += [_grid(own, kinds, level) for kinds, level in groups]
        parts += [_table(own, kinds, level) for kinds, level in _with_untouched(groups)]
    return "\n\n".join(part for part in parts if part)


def _with_untouched(groups: Sequence[tuple[tuple[str, ...], str]]) -> list[tuple[Any, str]]:
    (kinds, level), *others = groups
    return [((UNTOUCHED, *kinds), level), *others]


def _grid(own: Sequence[Cell], kinds: Sequence[str], level: str) -> str:
    """Kinds down, levels across: successes in percent with their intervals."""
    chosen = {(cell.kind, cell.level): cell for cell in own if cell.kind in kinds}
    if not chosen:
        return ""
    levels = sorted({at for _, at in chosen})
    count = max(cell.drawings for cell in chosen.values())
    head = [f"successes of {count}, %; {level}", *(f"{at:g}" for at in levels)]
    told = [[kind, *(_whole(chosen.get((kind, at))) for at in levels)] for kind in kinds]
    return markdown_table(head, told)


def _whole(cell: Cell | None) -> str:
    return percent(None if cell is None else cell.success, 0)


def _table(own: Sequence[Cell], kinds: Sequence[str], level: str) -> str:
    chosen = [cell for kind in kinds for cell in own if cell.kind == kind]
    if not chosen:
        return ""
    shares = ("success, %", "read again, %", "other model, %")
    head = ["attack", level, "drawings", *shares, "ink", "mean", "largest"]
    return markdown_table(head, [_told(cell) for cell in chosen])


def _told(cell: Cell) -> list[str]:
    shares = (percent(share) for share in (cell.success, cell.again, cell.other))
    changes = f"{cell.ink:.1%}", f"{cell.mean:.2%}", f"{cell.largest:.1%}"
    return [cell.kind, f"{cell.level:g}", str(cell.drawings), *shares, *changes]


def attack_curves(rows: Sequence[Row]) -> Figure:
    """Success against the budget (left) and against the share of ink (right), a row a model.

    Lines have Wilson intervals. Dotted lines are the same attacks when the attacked drawing is
    read from the start.
    """
    from matplotlib.figure import Figure

    found = cells(rows)
    models = list(dict.fromkeys(cell.model for cell in found))
    fig = Figure(figsize=(9.2, 0.6 + 2.75 * len(models)), layout="constrained")
    panels = fig.subplots(len(models), 2, squeeze=False, sharey=True, sharex="col")
    for row, model in zip(panels, models, strict=True):
        own = [cell for cell in found if cell.model == model]
        for kind in POINTS:
            _curve(row[0], [cell for cell in own if cell.kind == kind], dotted=True)
        row[0].plot([], [], color="#666666", lw=1.1, ls=":", label=AGAIN)
        for kind in (*REMOVED, *PUT_IN):
            _curve(row[1], [cell for cell in own if cell.kind == kind], dotted=False)
        row[0].set_ylabel(f"{model}\n\nattacks that succeed, %", fontsize=9)
    _finish(panels)
    return fig


def _curve(axes: Axes, own: Sequence[Cell], *, dotted: bool) -> None:
    if not own:
        return
    own = sorted(own, key=lambda cell: cell.level)
    kind, levels = own[0].kind, [cell.level for cell in own]
    colour, thin = COLOURS[kind], kind in DASHED
    low, middle, high = (
        [100 * getattr(cell.success, end) for cell in own] for end in ("low", "estimate", "high")
    )
    axes.fill_between(levels, low, high, color=colour, alpha=0.05 if thin else 0.13, lw=0)
    style: dict[str, Any] = {"color": colour, "lw": 1.2 if thin else 1.9}
    style |= {"ls": (0, (4, 3))} if thin else {"marker": "o", "ms": 3.6}
    axes.plot(levels, middle, label=kind, **style)
    if dotted:
        again = [100 * cell.again.estimate for cell in own]
        axes.plot(levels, again, color=colour, lw=1.1, ls=":")


def _finish(panels: Any) -> None:
    """Scales and words that all panels share."""
    for column, title in enumerate(TITLES):
        top, bottom = panels[0][column], panels[-1][column]
        top.set_title(title, fontsize=11)
        bottom.set_xlabel(
            ("farthest a point may move; the drawing is 1.48 long", "share of the ink")[column],
            fontsize=9,
        )
        top.legend(frameon=False, fontsize=8, loc="upper left")
        for axes in panels[:, column]:
            axes.set_xscale("log")
            ticks = sorted({float(x) for line in axes.get_lines() for x in line.get_xdata()})
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
            axes.minorticks_off()
            axes.set_ylim(-3, 103)
            axes.grid(axis="y", color="#DDDDDD", lw=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
