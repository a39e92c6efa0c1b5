from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from sightline.errors import GameError, SightlineError
from sightline.inversion.panels import (
    Sheet,
    common_frame,
    frame_of,
    percent,
    probabilities,
    stroke_colours,
    title,
    way_name,
)
from sightline.inversion.pictures import paths_figure, snapshots_figure
from sightline.picture import write_figure
from walks import house_walk, stone

# --- what a figure says ---------------------------------------------------------------------------


def cells(figure) -> list:
    """Axes with the canvas in them, in reading order."""
    return [axes for axes in figure.axes if axes.patches]


def lines(axes) -> list[np.ndarray]:
    return [line.get_xydata() for line in axes.lines]


def words(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def heads(figure) -> list[str]:
    return [axes.get_title() for axes in cells(figure)]


# --- frames ---------------------------------------------------------------------------------------


def test_a_drawing_on_the_canvas_is_framed_by_the_canvas():
    way = house_walk(far=0.2)
    assert frame_of(way, [way.drawn, *way.locations]) == pytest.approx((0, 0, 1.04))


def test_a_stroke_that_leaves_widens_the_frame():
    """The ground stroke spans x from -0.5 to 0.5 and has walked 3 to the right: up to 3.5."""
    way = house_walk(far=3.0)
    x, y, half = frame_of(way, [way.drawn, way.locations[-1]])
    assert (x, y) == pytest.approx((1.25, 0))
    assert half == pytest.approx(0.52 * 4.5)
    assert frame_of(way, [way.drawn]) == pytest.approx((0, 0, 1.04)), "only what is shown counts"


def test_a_common_frame_holds_each():
    assert common_frame([(0.0, 0.0, 1.0), (2.0, 1.0, 0.5)]) == pytest.approx((0.75, 0.25, 1.75))


# --- colours and words ----------------------------------------------------------------------------


def test_fourteen_strokes_have_fourteen_colours_and_the_first_are_always_the_same():
    assert len(set(stroke_colours(14))) == 14
    assert stroke_colours(3) == stroke_colours(20)[:3]
    assert stroke_colours(15)[14] == stroke_colours(15)[0]


def test_no_probability_has_a_strokes_colour():
    told = probabilities(house_walk())
    assert {to_hex(colour) for _, _, colour in told}.isdisjoint(stroke_colours(14))


def test_recovery_has_one_probability_transfer_two():
    assert [label for label, _, _ in probabilities(house_walk())] == ["tree", "house"]
    assert [label for label, _, _ in probabilities(house_walk(target="house"))] == ["house"]


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.9994, "99.9 %"),
        (0.99951, ">99.9 %"),
        (1.0, "100 %"),
        (0.0004, "<0.1 %"),
        (0.0006, "0.1 %"),
    ],
)
def test_no_probability_is_rounded_to_a_certainty(share, told):
    assert percent(share) == told


def test_a_walk_is_named_by_what_tells_it_from_the_others():
    one, two, tree = house_walk(), house_walk(restart=1), house_walk(target="house")
    assert way_name(two, [one, two]) == "start 2"
    assert way_name(tree, [one, tree]) == "to house"
    assert way_name(stone(), [one, stone()]) == "stone"
    assert title([one, two]) == "From “house” to “tree”"
    assert title([tree]) == "Recovery of “house”"
    assert title([one, tree]) == "Strokes that walk to another answer"


# --- snapshots ------------------------------------------------------------------------------------


FIRST = ["original", "start", "1", "2", "3", "4", "5"]


def test_the_columns_are_the_published_ones():
    assert heads(snapshots_figure(house_walk(steps=100))) == [*FIRST, "10", "50", "100"]


def test_a_shorter_walk_ends_with_its_end():
    assert heads(snapshots_figure(house_walk(steps=7))) == [*FIRST, "7"]
    assert heads(snapshots_figure(house_walk(steps=4), steps=(0, 2))) == [*FIRST[:2], "2"]


def test_in_a_row_that_ends_early_the_step_is_told():
    figure = snapshots_figure([house_walk(steps=10), house_walk(steps=7)], steps=(0, 10))
    assert heads(figure) == ["original", "start", "10", "", "", "7"]


def test_each_cell_shows_the_strokes_where_they_stood_in_their_colours():
    way = house_walk(steps=4)
    original, *moved = cells(snapshots_figure(way, steps=(0, 1, 3)))
    for stroke, line in zip(way.sketch.strokes, lines(original), strict=True):
        np.testing.assert_allclose(line, stroke)
    for axes, step in zip(moved, (0, 1, 3), strict=True):
        assert [line.get_color() for line in axes.lines] == stroke_colours(2)
        for stroke, line in zip(way.at(step).strokes, lines(axes), strict=True):
            np.testing.assert_allclose(line, stroke, atol=1e-12)


def test_all_cells_of_a_row_show_the_same_part_of_the_plane_y_down():
    row = cells(snapshots_figure(house_walk(steps=4, far=3.0), steps=(0, 4)))
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in row}) == 1
    left, right = row[0].get_xlim()
    bottom, top = row[0].get_ylim()
    assert right - left == pytest.approx(0.52 * 2 * 4.5)
    assert bottom > top


def test_the_answers_stand_below_bold_where_they_are_the_target():
    way = house_walk(steps=4)  # tree is the answer from step 2 on; it starts where it was drawn
    row = cells(snapshots_figure(way, steps=(0, 4)))
    assert [words(axes) for axes in row] == [
        ["house", "95.0 %"],
        ["house", "90.0 %", "target 10.0 %"],
        ["tree", "90.0 %"],
    ]
    assert [axes.texts[0].get_weight() for axes in row] == ["normal", "normal", "bold"]


def test_the_original_shows_the_drawing_as_drawn_wherever_the_walk_began():
    (original, _) = cells(snapshots_figure(house_walk(scattered=True), steps=(0,)))
    assert words(original) == ["house", "95.0 %"]


def test_the_curves_are_the_probabilities_and_the_dot_the_flip():
    way = house_walk(steps=4)
    curves = snapshots_figure(way).axes[-1]
    target, original, flip = curves.lines
    np.testing.assert_array_equal(target.get_ydata(), way.target_probability)
    np.testing.assert_array_equal(original.get_ydata(), way.original_probability)
    assert flip.get_xdata() == [2]
    assert [text.get_text() for text in curves.get_legend().get_texts()] == ["tree", "house"]


def test_a_single_stroke_is_said_to_mean_little():
    for draw in (snapshots_figure, paths_figure):
        told = " ".join(text.get_text() for text in draw([stone(), stone()]).texts)
        assert told.count("one stroke: nothing can be arranged") == 1
        assert "one stroke" not in " ".join(t.get_text() for t in draw(house_walk()).texts)


def test_no_words_overlap_or_leave_the_sheet():
    """The longest of QuickDraw's 345 labels, twice."""
    way = house_walk(steps=100, labels=("The Great Wall of China", "The Great Wall of China?"))
    for figure in (snapshots_figure([way, way]), paths_figure([way, way])):
        figure.draw_without_rendering()
        legends = [a.get_legend() for a in figure.axes if a.get_legend()]
        texts = [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]
        texts += [t for legend in legends for t in legend.get_texts()]
        texts += [axes.title for axes in figure.axes]
        boxes = [t.get_window_extent() for t in texts if t.get_text()]
        assert len(boxes) > 4
        for number, box in enumerate(boxes):
            assert box.count_overlaps(boxes[number + 1 :]) == 0, texts[number]
            assert figure.bbox.containsx(box.x0), texts[number]
            assert figure.bbox.containsx(box.x1), texts[number]
            assert figure.bbox.containsy(box.y0), texts[number]


def test_dollar_signs_are_the_users_own(tmp_path):
    way = house_walk(steps=4, labels=("$house", "tr$ee_{"))
    write_figure(snapshots_figure([way, way]), tmp_path / "way.png")
    write_figure(paths_figure([way, way]), tmp_path / "ways.png")
    assert Path(tmp_path / "way.png").stat().st_size > 10_000


# --- paths ----------------------------------------------------------------------------------------


def test_a_path_runs_from_a_ring_to_a_dot():
    way = house_walk(steps=4)
    (axes,) = cells(paths_figure(way))
    drawn, ended, walked = lines(axes)[:2], lines(axes)[2:4], lines(axes)[4:]
    for stroke, line in zip(way.sketch.strokes, drawn, strict=True):
        np.testing.assert_array_equal(line, stroke)
    for stroke, line in zip(way.at(4).strokes, ended, strict=True):
        np.testing.assert_allclose(line, stroke)
    for index in range(2):
        path, ring, dot = walked[3 * index : 3 * index + 3]
        np.testing.assert_array_equal(path, way.locations[:, index])
        np.testing.assert_array_equal(ring, way.locations[:1, index])
        np.testing.assert_array_equal(dot, way.locations[-1:, index])


def test_a_panel_a_start_with_its_answer_and_distance():
    ways = [house_walk(restart=0), house_walk(restart=1, far=0.0)]
    panels = cells(paths_figure(ways))
    assert [words(axes) for axes in panels] == [
        ["tree 90.0 %", f"start 1, distance {ways[0].distance():.2f}"],
        ["tree 90.0 %", "start 2, distance 0.00"],
    ]
    assert panels[0].get_xlim() == panels[1].get_xlim()


def test_many_starts_take_several_lines():
    figure = paths_figure([house_walk(restart=i) for i in range(6)], columns=4)
    tops = {round(axes.get_position().y1, 3) for axes in cells(figure)}
    assert len(cells(figure)) == 6
    assert len(tops) == 2


# --- refusals -------------------------------------------------------------------------------------


def test_refusals():
    with pytest.raises(SightlineError, match="no trajectory to draw"):
        snapshots_figure([])
    with pytest.raises(SightlineError, match="no trajectory to draw"):
        paths_figure([])
    with pytest.raises(GameError, match=r"steps are \[-1, 2\]; they are counted from 0"):
        snapshots_figure(house_walk(), steps=(-1, 2))


def test_a_sheet_counts_inches_from_the_top_left():
    sheet = Sheet.of(4, 2)
    box = sheet.axes(1, 0.5, 2, 1).get_position()
    assert (box.x0, box.x1, box.y0, box.y1) == pytest.approx((0.25, 0.75, 0.25, 0.75))
    assert sheet.write(1, 0.5, "here").get_position() == pytest.approx((0.25, 0.75))
