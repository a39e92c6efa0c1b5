"""The benchmark as one picture: a panel a test, a dot and its interval a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightline.picture import FOR, NEUTRAL, draw_sketch, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightline.benchmark.findings import Findings, Test
    from sightline.benchmark.planted import Planted

BEST, REST, FAILED = "#222222", "#8A8A8A", FOR


def findings_figure(findings: Findings) -> Figure:
    """Methods down, tests across; black cannot be told from the best, vermilion fails a check."""
    from matplotlib.figure import Figure

    tests, methods = findings.tests, findings.methods
    fig = Figure(figsize=(1.6 + 1.75 * len(tests), 1.3 + 0.26 * len(methods)), layout="constrained")
    panels = fig.subplots(1, len(tests), sharey=True, squeeze=False)[0]
    for axes, test in zip(panels, tests, strict=True):
        _draw_test(axes, findings, test)
    panels[0].set_yticks(range(len(methods)), methods, fontsize=8)
    panels[0].invert_yaxis()
    return fig


def planted_figure(examples: Sequence[Planted], *, columns: int = 5) -> Figure:
    """Drawings with their planted stroke in colour, and where it is from."""
    from matplotlib.figure import Figure

    rows = -(-len(examples) // columns)
    fig = Figure(figsize=(1.7 * columns, 1.9 * rows), layout="constrained")
    panels = fig.subplots(rows, columns, squeeze=False).flat
    for axes in panels:
        axes.axis("off")
    for axes, planted in zip(fig.axes, examples, strict=False):
        sketch = planted.sketch
        draw_sketch(axes, sketch.strokes)
        draw_sketch(axes, sketch.strokes[planted.index : planted.index + 1], colour=FOR)
        frame(axes, sketch.points)
        title = f"{sketch.label} ← {planted.donor}"
        axes.set_title(title, fontsize=8, color="#444444", parse_math=False)
    return fig


def _draw_test(axes: Axes, findings: Findings, test: Test) -> None:
    for row, method in enumerate(findings.methods):
        interval = findings.interval(test.name, method)
        if interval is None:
            continue
        colour = _colour(findings, test, method)
        axes.plot([interval.low, interval.high], [row, row], color=colour, lw=1.6)
        axes.plot(interval.estimate, row, "o", color=colour, ms=4.5)
    arrow = "→" if test.better == "higher" else "←"
    axes.set_title(f"{test.title} {arrow}", fontsize=8.5)
    axes.grid(axis="y", color=NEUTRAL, lw=0.3, alpha=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)


def _colour(findings: Findings, test: Test, method: str) -> str:
    if not test.contest:
        return FAILED if findings.fails(test, method) else REST
    return BEST if method in findings.leaders[test.name] else REST
