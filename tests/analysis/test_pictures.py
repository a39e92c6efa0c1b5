"""Pictures hold what they should; how they look is for eyes."""

from dataclasses import replace

import numpy as np
import pytest

from figures import drawings
from sightline.analysis import pictures as p
from sightline.analysis.accuracy import Outcome
from sightline.analysis.order import order_similarity, order_use
from sightline.analysis.shapes import shape_clusters
from sightline.metrics.intervals import wilson
from sightline.picture import figure_svg
from sightline.sketch.statistics import statistics_by_label, stroke_statistics
from toys import scribble, stroke_net


def outcome(name, hit):
    return Outcome(name, np.repeat([1.0, 0.0], [hit, 10 - hit]), wilson(hit, 10))


def test_statistics_show_a_panel_for_each_kind_and_a_row_for_each_label():
    sketches = drawings(30, 0)
    whole, labels = stroke_statistics(sketches), statistics_by_label(sketches)
    fig = p.statistics_figure(whole, labels)
    assert len(fig.get_axes()) == 4
    assert [t.get_text() for t in fig.get_axes()[-1].get_yticklabels()] == [
        "ring",
        "zigzag",
        "cross",
    ]
    assert len(p.statistics_figure(whole).get_axes()) == 3
    timed = [replace(s, times=tuple(np.arange(float(len(k))) for k in s.strokes)) for s in sketches]
    assert len(p.statistics_figure(stroke_statistics(timed)).get_axes()) == 4


def test_clusters_show_the_prototype_first_and_in_colour():
    found = shape_clusters(stroke_net(epsilon=2.0), drawings(60, 3), count=6)
    fig = p.clusters_figure(found, shown=4, members=3)
    axes = fig.get_axes()
    assert len(axes) == 4 * 5
    for row in range(4):
        cluster = found.by_size[round(row * 5 / 3)]
        line = axes[5 * row].lines[0]
        assert line.get_color() == p.FOR
        assert line.get_xydata() == pytest.approx(found.prototype(cluster))
        drawn = [a.lines[0] for a in axes[5 * row + 1 : 5 * row + 4] if a.lines]
        members = [found.strokes[i] for i in found.members(cluster)]
        for other in drawn:
            assert other.get_color() == p.INK
            assert any(np.array_equal(other.get_xydata(), m) for m in members)
        assert f"{found.clusters.sizes[cluster] / len(found.strokes):.1%}" in (
            axes[5 * row + 4].texts[0].get_text()
        )


def test_replaced_drawings_say_what_the_model_answers():
    sketches = [scribble(0), scribble(1)]
    columns = [
        p.Redrawn("as drawn", sketches, [("$cat$", 0.91), ("dog", 0.5)], [True, False]),
        p.Redrawn("lines", sketches, [("cat", 0.2), ("dog", 0.6)], [True, True]),
    ]
    fig = p.replaced_figure(columns)
    titles = [axes.get_title() for axes in fig.get_axes()]
    assert titles == ["$cat$ 91%", "dog 50%", "cat 20%", "dog 60%"]
    assert fig.get_axes()[1].title.get_color() == p.FOR
    assert figure_svg(fig).startswith("<svg")


def test_outcomes_are_bars_with_intervals():
    outcomes = [outcome("as drawn", 9), outcome("shuffled", 4)]
    axes = p.outcomes_figure(outcomes, {"shuffled": 0.3}).get_axes()[0]
    assert [bar.get_width() for bar in axes.patches] == [0.9, 0.4]
    ends = [line.get_xdata() for line in axes.lines[:2]]
    assert ends[0] == pytest.approx([outcomes[0].share.low, outcomes[0].share.high])


def test_similarity_is_shown_beside_its_use():
    net = stroke_net()
    used = order_use([scribble(0)], rows=8)
    fig = p.similarity_figure(order_similarity(net, rows=8), used)
    shown = np.asarray(fig.get_axes()[0].images[0].get_array())
    assert shown == pytest.approx(order_similarity(net, rows=8))
    assert len(fig.get_axes()) == 3
    assert len(p.similarity_figure(order_similarity(net, rows=8)).get_axes()) == 2


def test_curves_are_drawn_with_their_bands():
    curve = p.Curve("first", [1, 2, 3], [outcome(str(k), 3 * k) for k in (1, 2, 3)])
    axes = p.truncation_figure([curve], outcome("as drawn", 10)).get_axes()[0]
    drawn = next(line for line in axes.lines if line.get_label() == "first")
    assert drawn.get_ydata() == pytest.approx([0.3, 0.6, 0.9])
    assert len(axes.collections) == 1
