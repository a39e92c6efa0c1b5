"""Pictures and pages of attacks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sightline.errors import TaskError
from sightline.picture import AGAINST, FOR, write_figure
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.attack_pictures import attack_figure, series_figure
from sightline.tasks.attack.move_attack import attack_points, move_by_luck
from sightline.tasks.attack.page import attack_rows, write_attack_page
from sightline.tasks.attack.stroke_insertion import insert_stroke
from sightline.tasks.attack.stroke_removal import remove_small_stroke
from toys import scribble, stroke_net

NET = stroke_net(1)
SKETCH = scribble(0, 6).transform(100)


@pytest.fixture(scope="module")
def attacks():
    return [
        attack_points(NET, SKETCH, budget=0.4, steps=5),
        remove_small_stroke(NET, SKETCH, share=0.3),
        insert_stroke(NET, SKETCH, tries=4, steps=1),
    ]


def panels(attacks):
    axes = attack_figure(attacks).axes
    return [axes[i : i + 3] for i in range(0, len(axes), 3)]


def colours(axes):
    return Counter(line.get_color() for line in axes.get_lines())


def test_a_row_an_attack_with_what_was_changed_in_colour(attacks):
    moved, removed, inserted = panels(attacks)
    arrows = moved[1].collections[0]
    far = np.linalg.norm(attacks[0].attacked.points - attacks[0].sketch.points, axis=1)
    assert len(arrows.U) == (far > 0.002 * attacks[0].change.side).sum()
    assert np.hypot(arrows.U, arrows.V).max() == pytest.approx(far.max())
    assert colours(removed[1])[AGAINST] == 1
    assert len(removed[2].get_lines()) == 5
    assert colours(inserted[1])[FOR] == 1
    assert len(inserted[2].get_lines()) == 7
    gone = next(line for line in removed[1].get_lines() if line.get_color() == AGAINST)
    assert np.array_equal(gone.get_xydata(), SKETCH.strokes[attacks[1].stroke])


def test_before_and_after_stand_on_the_same_canvas(attacks):
    for row in panels(attacks):
        assert len({axes.get_xlim() for axes in row}) == 1
        assert len({axes.get_ylim() for axes in row}) == 1


def test_what_is_said_is_what_was_found(attacks):
    row = panels(attacks[0])[0]
    done = attacks[0]
    assert row[0].get_title() == f"{done.before.label}  {done.before.probability:.0%}"
    assert row[2].get_title() == f"{done.after.label}  {done.after.probability:.0%}"
    assert done.success
    assert row[2].texts[0].get_text() == "also when saved and read again"
    failed = attack_points(NET, SKETCH, budget=1e-4)
    assert panels(failed)[0][2].texts[0].get_text() == "the attack fails"


def test_a_removal_of_nothing_is_drawn_and_told():
    even = Sketch.from_strokes([[(0, 0), (5, 5)], [(0, 5), (5, 0)]])
    done = remove_small_stroke(NET, even)
    row = panels(done)[0]
    assert row[1].texts[0].get_text() == "none is small enough"
    assert dict(attack_rows(done))["allowed"] == "10% of the ink; used 0.0%"


def test_the_page_stands_alone_and_names_what_it_shows(attacks, tmp_path):
    write_attack_page(tmp_path / "page.html", attacks, title="a < b")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3
    assert "<h1>a &lt; b</h1>" in page
    for name, words in attack_rows(attacks[1]):
        assert f"<td>{name}</td><td>{words}</td>" in page
    assert "<script" not in page


def test_a_name_of_the_user_s_is_text(tmp_path):
    named = Sketch(SKETCH.strokes, name="<b>$x$</b>")
    done = insert_stroke(NET, named, tries=1, steps=0)
    write_attack_page(tmp_path / "page.html", done)
    assert "<b>$x$" not in (tmp_path / "page.html").read_text()


def test_pictures_are_written_and_nothing_is_refused(attacks, tmp_path):
    write_figure(attack_figure(attacks), tmp_path / "attacks.png")
    assert (tmp_path / "attacks.png").stat().st_size > 10_000
    for draw in (attack_figure, lambda given: write_attack_page(tmp_path / "no.html", given)):
        with pytest.raises(TaskError, match="no attack"):
            draw([])
    assert not (tmp_path / "no.html").exists()


def test_a_series_shows_each_budget_and_marks_other_answers(attacks):
    budgets = (0.01, 0.4)
    rows = {
        "10 steps": [attack_points(NET, SKETCH, budget=b, steps=5) for b in budgets],
        "by luck": [move_by_luck(NET, SKETCH, budget=b) for b in budgets],
    }
    axes = series_figure(rows).axes
    assert [panel.texts[0].get_text() for panel in axes[:3]] == ["10 steps", "0.01", "0.4"]
    shown = [axes[1], axes[2], axes[4], axes[5]]
    for panel, done in zip(shown, [*rows["10 steps"], *rows["by luck"]], strict=True):
        assert panel.get_title() == f"{done.after.label}  {done.after.probability:.0%}"
        assert (panel.title.get_color() == FOR) == done.success
    assert axes[2].title.get_color() == FOR
    with pytest.raises(TaskError, match="rows of"):
        series_figure({"a": attacks, "b": []})
    with pytest.raises(TaskError, match="rows of"):
        series_figure({})
