"""Grid cells as parts, and explanations carried among strokes, points and cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline import (
    ClassScore,
    Explanation,
    Game,
    GameError,
    GridCells,
    Points,
    Provenance,
    Rasteriser,
    SightlineError,
    Sketch,
    Strokes,
    occlusion,
    shapley,
    sla,
)
from sightline.carry import resized
from sightline.picture import figure
from toys import LABELS, Toy, batch_of, linear_net, picture_net, scribble, stroke_net

ALL = ClassScore(list(LABELS))
SKETCH = scribble(3, 4, longest=20)
RAILS = Sketch.from_strokes([[(0, 0), (8, 0)], [(0, 8), (8, 8)]])
"""Two level lines, at the top and at the bottom: y is -0.74 and 0.74 on the canvas."""


def told(scores, parts) -> Explanation:
    scores = np.array(scores, dtype=float)
    zero = np.zeros(len(scores))
    made = Provenance("by hand", "Carpenter", "0", 1, 0.0)
    names = ("house", "boat")[: len(scores)]
    return Explanation(scores, parts, names, "logit", zero, zero, made)


# --- grid cells -----------------------------------------------------------------------------------


def test_cells_are_counted_row_by_row_from_the_top_left():
    cells = GridCells(RAILS, 2, 3)
    assert len(cells) == 6
    assert cells.names == tuple(f"row {r} column {c}" for r in (1, 2) for c in (1, 2, 3))
    assert cells.of_pixels(4, 6).tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2


def test_a_pixel_belongs_to_the_cell_that_holds_its_centre():
    # 5 pixels, 3 cells: centres at 0.3, 0.9, 1.5, 2.1, 2.7 cells
    assert GridCells(RAILS, 1, 3).of_pixels(1, 5).tolist() == [[0, 0, 1, 2, 2]]
    assert GridCells(RAILS, 3, 1).of_pixels(5, 1).T.tolist() == [[0, 0, 1, 2, 2]]
    # 3 pixels, 2 cells: the middle pixel's centre lies on the border
    assert GridCells(RAILS, 1, 2).of_pixels(1, 3).tolist() == [[0, 1, 1]]


def test_absent_cells_are_blank_paper():
    model = picture_net().double()
    game = Game(model, GridCells(SKETCH, 4, 2), ALL)
    ink = game.bound.picture()
    presence = torch.rand(3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pictures = ink * presence.unflatten(1, (4, 2)).repeat_interleave(4, 1).repeat_interleave(8, 2)
    with torch.no_grad():
        expected = model.see(pictures)
        whole = model(batch_of(model.prepare(SKETCH), dtype=torch.float64))
    torch.testing.assert_close(game(presence), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(game.value, whole[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(
        game.base, Game(model, Strokes(SKETCH), ALL).base, atol=1e-12, rtol=0
    )


def test_as_many_cells_as_pixels_are_pixels():
    model = linear_net().double()
    game = Game(model, GridCells(SKETCH, 16, 16), ALL)
    weight = model.module[1].weight.detach()
    by_hand = weight * game.bound.picture().flatten()
    np.testing.assert_allclose(sla(game).scores, by_hand, atol=1e-12)
    np.testing.assert_allclose(occlusion(game).scores, by_hand, atol=1e-12)


def test_the_gradient_is_the_games_slope():
    game = Game(picture_net().double(), GridCells(SKETCH, 2, 3), ALL)
    place = torch.full((1, 6), 0.6, dtype=torch.float64)
    step = 1e-5 * torch.eye(6, dtype=torch.float64)
    up, down = game(torch.cat([place + step, place - step])).chunk(2)
    np.testing.assert_allclose(game.gradient(place)[0], ((up - down) / 2e-5).T, atol=1e-6)


def test_shapley_values_of_cells_share_out_everything():
    why = shapley(Game(picture_net().double(), GridCells(SKETCH, 2, 3), ALL))
    np.testing.assert_allclose(why.gap, 0, atol=1e-12)
    assert np.abs(why.scores).min(0).max() > 1e-3


def test_a_cell_without_ink_has_no_score():
    why = shapley(Game(picture_net().double(), GridCells(RAILS, 3, 1), ALL))
    assert np.abs(why.scores[:, [0, 2]]).min() > 1e-3
    np.testing.assert_allclose(why.scores[:, 1], 0, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(0, 2), (2, -1)])
def test_a_grid_has_cells(rows, columns):
    with pytest.raises(GameError, match=rf"a grid of {rows} x {columns} cells: give at least 1"):
        GridCells(RAILS, rows, columns)


def test_no_cell_is_smaller_than_a_pixel():
    with pytest.raises(
        GameError, match=r"32 x 8 grid cells on pictures of 16 x 16 pixels: .*most 16"
    ):
        Game(picture_net(), GridCells(RAILS, 32, 8))


@pytest.mark.parametrize("model", [stroke_net(), Toy(lambda z: z[:, :1], 2)])
def test_models_of_strokes_have_no_cells(model):
    message = (
        rf"{type(model).__name__} cannot be asked about grid cells: it reads strokes, .*sl\.St"
    )
    with pytest.raises(GameError, match=message):
        Game(model, GridCells(RAILS, 2, 2))


# --- among grids ----------------------------------------------------------------------------------


def test_to_more_cells_bilinear_by_hand():
    line = told([[8.0, 0.0]], GridCells(RAILS, 1, 2)).on(GridCells(RAILS, 1, 4))
    np.testing.assert_allclose(line.scores, [[4, 3, 1, 0]])
    assert line.made.notes == ("carried from 1 x 2 grid cells to 1 x 4 grid cells",)


def test_to_fewer_cells_by_overlap_by_hand():
    cells = told([[3.0, 3.0, 6.0]], GridCells(RAILS, 1, 3)).on(GridCells(RAILS, 1, 2))
    np.testing.assert_allclose(cells.scores, [[4.5, 7.5]])


def test_rows_and_columns_stay_what_they_are():
    up = told([[1.0, 0, 0, 0, 0, 0]], GridCells(RAILS, 2, 3)).on(GridCells(RAILS, 4, 3))
    assert (up.scores.reshape(4, 3) > 0).tolist() == [[True, False, False]] * 3 + [[False] * 3]


@pytest.mark.parametrize(("old", "new"), [((4, 4), (64, 64)), ((5, 3), (7, 2)), ((7, 9), (3, 3))])
def test_every_cells_score_stays(old, new):
    for cell in torch.eye(old[0] * old[1], dtype=torch.float64).unflatten(1, old):
        there = resized(cell, new)
        assert there.shape == new
        assert there.sum().item() == pytest.approx(1, abs=1e-12)
        assert there.min() >= 0


def test_bilinear_is_torchs_where_cells_divide():
    maps = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    smooth = torch.nn.functional.interpolate(maps[None], (12, 15), mode="bilinear")[0]
    torch.testing.assert_close(resized(maps, (12, 15)), smooth / 9, atol=1e-12, rtol=0)


def test_there_and_back_by_whole_cells_is_the_same_sum():
    fine = told([np.arange(16.0)], GridCells(RAILS, 4, 4)).on(GridCells(RAILS, 2, 2))
    np.testing.assert_allclose(fine.scores, [[0 + 1 + 4 + 5, 2 + 3 + 6 + 7, 42, 50]])


# --- between cells and strokes --------------------------------------------------------------------


def test_cells_go_to_the_strokes_whose_ink_is_in_them():
    why = told([[5.0, 7.0]], GridCells(RAILS, 2, 1)).on(Strokes(RAILS))
    np.testing.assert_allclose(why.scores, [[5, 7]])
    assert why.made.notes == ("carried from 2 x 1 grid cells to strokes",)


def test_a_cells_score_is_shared_as_ink_is():
    """One cell for all: each stroke gets its share of the ink of strokes drawn alone."""
    ink = Rasteriser(size=64).layers(batch_of(SKETCH.normalise(), dtype=torch.float64)).sum((1, 2))
    why = told([[3.0]], GridCells(SKETCH, 1, 1)).on(Strokes(SKETCH))
    np.testing.assert_allclose(why.scores[0], 3 * ink / ink.sum(), atol=1e-12)


def test_what_lies_in_cells_without_ink_is_told():
    scores = [[1.0, 2, 4], [0, -9, 0]]
    why = told(scores, GridCells(RAILS, 3, 1)).on(Strokes(RAILS))
    np.testing.assert_allclose(why.scores, [[1, 4], [0, 0]])
    assert why.made.notes[1] == "cells without ink hold -9 logit (boat), which nothing gets"


def test_pixels_go_to_strokes_as_sla_reads_them():
    """Slope times ink, shared by whose ink it is: <dy/dX, S_i>, where no strokes cross."""
    model = picture_net(size=64).double()
    model.rasteriser = Rasteriser(size=64)
    pixels = sla(Game(model, GridCells(RAILS, 64, 64), ALL)).on(Strokes(RAILS))
    np.testing.assert_allclose(
        pixels.scores, sla(Game(model, Strokes(RAILS), ALL)).scores, atol=1e-9
    )


def test_strokes_are_spread_over_their_ink():
    why = told([[6.0, 2.0]], Strokes(RAILS)).on(GridCells(RAILS, 2, 2))
    np.testing.assert_allclose(why.scores, [[3, 3, 1, 1]], atol=1e-9)


def test_points_go_through_their_strokes():
    points = told([[1.0, 2, 3, 4]], Points(RAILS))
    cells = points.on(GridCells(RAILS, 2, 1))
    np.testing.assert_allclose(cells.scores, [[3, 7]], atol=1e-9)
    np.testing.assert_allclose(cells.on(Points(RAILS)).scores, [[1.5, 1.5, 3.5, 3.5]], atol=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (16, 16), (100, 7)])
def test_strokes_to_cells_keep_their_sum(rows, columns):
    scores = np.random.default_rng(0).normal(size=(2, 4))
    why = told(scores, Strokes(SKETCH)).on(GridCells(SKETCH, rows, columns))
    np.testing.assert_allclose(why.scores.sum(1), scores.sum(1), atol=1e-12)


def test_the_drawing_may_stand_anywhere():
    cells = np.random.default_rng(0).normal(size=(1, 12))
    moved = SKETCH.transform(40, (3, -900))
    here, there = (told(cells, GridCells(s, 3, 4)).on(Strokes(s)).scores for s in (SKETCH, moved))
    np.testing.assert_allclose(here, there, atol=1e-9)


@pytest.mark.parametrize("parts", [Strokes(SKETCH), Points(SKETCH), GridCells(SKETCH, 2, 2)])
def test_cells_of_another_drawing_are_refused(parts):
    with pytest.raises(GameError, match="parts are of another drawing"):
        told([[1.0, 2]], GridCells(RAILS, 1, 2)).on(parts)


@pytest.mark.parametrize("parts", [Strokes(RAILS), Points(RAILS), GridCells(RAILS, 2, 2)])
def test_on_its_own_parts_it_is_itself(parts):
    why = told([np.arange(len(parts))], parts)
    assert why.on(parts) is why


# --- saved and drawn ------------------------------------------------------------------------------


def test_saved_and_loaded_on_cells(tmp_path):
    why = told([np.arange(6.0), -np.arange(6.0)], GridCells(RAILS, 2, 3))
    why.save(tmp_path / "why.safetensors")
    again = Explanation.load(tmp_path / "why.safetensors")
    assert (again.parts.rows, again.parts.columns) == (2, 3)
    np.testing.assert_array_equal(again.scores, why.scores)
    np.testing.assert_array_equal(again.parts.subject.points, RAILS.points)


@pytest.mark.parametrize("grid", [[2], [2, 4], ["two", 3], [0, 6], None])
def test_a_damaged_grid_is_refused(tmp_path, grid):
    import json

    from safetensors import safe_open
    from safetensors.numpy import save_file

    told([np.arange(6.0)], GridCells(RAILS, 2, 3)).save(tmp_path / "why.safetensors")
    with safe_open(tmp_path / "why.safetensors", "numpy") as file:
        manifest = json.loads(file.metadata()["manifest"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no dict
    manifest["grid"] = grid
    save_file(arrays, tmp_path / "broken.safetensors", {"manifest": json.dumps(manifest)})
    with pytest.raises(SightlineError):
        Explanation.load(tmp_path / "broken.safetensors")


def test_cells_are_drawn_where_the_model_saw_them():
    far = RAILS.transform(10, (100, 200))  # 80 wide: the canvas is 80 / 0.74 = 108.1 wide
    fig = figure(told([[4.0, 0, 0, -4]], GridCells(far, 2, 2)))
    axes = fig.axes[0]
    (image,) = axes.images
    left, right, bottom, top = image.get_extent()
    half = 40 / 0.74
    np.testing.assert_allclose([left, right], [140 - half, 140 + half])
    np.testing.assert_allclose([top, bottom], [240 - half, 240 + half])
    colours = np.asarray(image.get_array())
    assert colours.shape == (2, 2, 4)
    assert colours[0, 0, 0] > colours[0, 0, 2], "for is vermilion"
    assert colours[1, 1, 0] < colours[1, 1, 2], "against is blue"
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), far.strokes[0])
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "y down"
