import re

import numpy as np
import pytest
from matplotlib.colors import to_hex

from sightline.picture import AGAINST
from sightline.tasks.healing import heal, suggest
from sightline.tasks.healing.healing_pictures import (
    GONE,
    INK,
    healing_figure,
    suggestions_figure,
)
from sightline.tasks.healing.page import steps_table, suggestions_table, write_healing_page
from sightline.tasks.healing.record import begin

WORTH = {"p2": 1.0, "p3": -2.0, "p4": 4.0, "p5": -0.5}


@pytest.fixture
def game(drawing, game_of):
    return game_of(drawing, **WORTH)


def lines_of(axes, colour: str) -> list[int]:
    """Number of points of each line in a colour."""
    return [len(line.get_xdata()) for line in axes.lines if to_hex(line.get_color()) == colour]


def test_every_step_has_a_panel(drawing, game):
    healing = heal(drawing, game)  # the stroke of 3 points goes, then that of 5
    axes = healing_figure(healing).axes
    assert len(axes) == 2 + 2 + 1
    ink, blue, gone = (c.lower() for c in (INK, AGAINST, GONE))
    assert lines_of(axes[0], ink) == [2, 3, 4, 5]
    assert (lines_of(axes[1], ink), lines_of(axes[1], blue)) == ([2, 4, 5], [3])
    assert (lines_of(axes[2], ink), lines_of(axes[2], blue)) == ([2, 4], [5])
    assert lines_of(axes[2], gone) == [3]
    assert lines_of(axes[3], ink) == [2, 4]
    assert axes[0].get_title() == "before: 2.50"
    assert axes[1].get_title() == "1: +2.00\nstroke 1"
    assert axes[3].get_title() == "after: 5.00"
    np.testing.assert_allclose(axes[4].lines[0].get_ydata(), [2.5, 4.5, 5.0])


def test_panels_share_one_frame(drawing, game):
    axes = healing_figure(heal(drawing, game)).axes[:-1]
    assert len({(a.get_xlim(), a.get_ylim()) for a in axes}) == 1


def test_what_lowers_the_score_is_blue(drawing, game):
    healing = begin(drawing, game)
    listed = suggest(drawing, game)
    axes, bars = suggestions_figure(healing, listed).axes
    widths = [bar.get_width() for bar in bars.patches]
    assert widths == [each.gain for each in listed]
    coloured = {len(line.get_xdata()): to_hex(line.get_color()) for line in axes.lines[4:]}
    red = {points: int(colour[1:3], 16) for points, colour in coloured.items()}
    blue = {points: int(colour[5:7], 16) for points, colour in coloured.items()}
    assert blue[3] > red[3]
    assert red[4] > blue[4]
    assert [text.get_text() for text in axes.texts] == ["4", "3", "2", "1"][: len(listed)]


def test_tables(drawing, game):
    healing = heal(drawing, game, method="sla")
    assert steps_table(healing) == [
        ["before", "", "", "2.500", ""],
        ["1", "stroke 1", "-2.000 (sla)", "4.500", "+2.000"],
        ["2", "stroke 3", "-0.500 (sla)", "5.000", "+0.500"],
    ]
    listed = suggest(drawing, game, method="sla", tried=1)
    assert suggestions_table(listed) == [["1", "stroke 1", "-2.000 (sla)", "+2.000", "4.500"]]


def test_the_page_tells_all_and_needs_no_other_file(drawing, game, tmp_path):
    from dataclasses import replace

    odd = replace(drawing, name="<four>")
    healing = heal(odd, game)
    listed = suggest(healing, game)
    foreign = replace(healing, unit="<script>", fingerprint="<script>", model="<script>")
    write_healing_page(tmp_path / "page.html", foreign)
    assert "<script>" not in (tmp_path / "page.html").read_text()
    write_healing_page(tmp_path / "page.html", healing, listed)
    text = (tmp_path / "page.html").read_text()
    assert "&lt;four&gt;" in text
    assert "<four>" not in text
    for said in ("What went, step by step", "What else might go", "stroke 3", *healing.notes):
        assert said in text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    write_healing_page(tmp_path / "first.html", begin(odd, game), suggest(odd, game))
    first = (tmp_path / "first.html").read_text()
    assert "What might go" in first
    assert "step by step" not in first


def test_a_page_of_nothing_that_may_go(game_of, tmp_path):
    import sightline as sl

    one = sl.Sketch.from_strokes([[(0, 0), (1, 1), (2, 0)]])
    healing = begin(one, game_of(one))
    write_healing_page(tmp_path / "page.html", healing)
    assert "too little of the drawing would be left" in (tmp_path / "page.html").read_text()
    assert len(suggestions_figure(healing, ()).axes) == 2
