"""Explanations of photos: their heat, on other parts, on disk, as pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from detectors import SIDE, LinearDetector, confetti, plain
from sightline import (
    BoxScores,
    Explanation,
    Game,
    GameError,
    GridCells,
    SightlineError,
    Strokes,
    Superpixels,
    hires_cam,
    occlusion,
)
from sightline.overlay import FAINTEST, STRONGEST, draw_overlay
from sightline.picture import boxes_figure, colour_map, figure
from toys import picture_net, scribble, unchecked

MODEL = LinearDetector(3)
PHOTO = confetti(0)
FOUND = MODEL.detect([PHOTO])[0][[0, 4, 8]]
HALVES = torch.arange(SIDE).ge(10).long().expand(SIDE, SIDE)
PARTS = {
    "cells": GridCells(PHOTO, 4, 3, "mean"),
    "superpixels": Superpixels(PHOTO, 2, "blur", HALVES),
    "another photo": Superpixels(PHOTO, 2, confetti(3, (5, 6)), HALVES),
    "cells, another photo": GridCells(PHOTO, 2, 2, plain(9)),
}


def told(kind: str = "cells") -> Explanation:
    return occlusion(Game(MODEL, PARTS[kind], BoxScores(FOUND)))


# --- heat and other parts -------------------------------------------------------------------------


def test_heat_is_of_one_target():
    why = told("superpixels")
    for row in range(3):
        np.testing.assert_array_equal(why.heat(row), why.scores[row][HALVES.numpy()])
    np.testing.assert_array_equal(why.heat("duck 1"), why.heat(2))
    assert why.heat().shape == PHOTO.size
    drawn = occlusion(Game(picture_net(), Strokes(scribble())))
    with pytest.raises(GameError, match="a heat map over pixels is of a photo"):
        drawn.heat()


def test_on_other_parts_sums_stay_and_a_note_says_so():
    why = told("cells")
    on = why.on(PARTS["superpixels"])
    assert on.parts is PARTS["superpixels"]
    np.testing.assert_allclose(on.scores.sum(1), why.scores.sum(1), atol=1e-12)
    assert on.made.notes == ("carried from 4 x 3 grid cells to superpixels",)
    assert on.errors is None
    np.testing.assert_array_equal(on.boxes, why.boxes)
    back = on.on(GridCells(PHOTO, 2, 2))
    np.testing.assert_allclose(back.scores.sum(1), why.scores.sum(1), atol=1e-12)
    assert back.made.notes[-1] == "carried from superpixels to 2 x 2 grid cells"


def test_on_the_same_parts_nothing_changes():
    why = told("superpixels")
    same = why.on(Superpixels(PHOTO, of_pixels=HALVES.clone()))
    np.testing.assert_array_equal(same.scores, why.scores)
    assert same.made == why.made


def test_where_every_score_is_0_the_parts_are_still_the_ones_asked_for():
    why = replace(told("superpixels"), scores=np.zeros((3, 2)))
    other = Superpixels(PHOTO, of_pixels=HALVES.T.contiguous())
    assert why.on(other).parts is other


def test_another_photo_is_refused():
    with pytest.raises(GameError, match="of another photo, or of a drawing"):
        told().on(GridCells(confetti(1), 4, 3))
    with pytest.raises(GameError, match="of another photo, or of a drawing"):
        told().on(Strokes(scribble()))


# --- on disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PARTS)
def test_what_is_saved_is_loaded(kind, tmp_path):
    why = told(kind)
    why = replace(why, errors=np.abs(why.scores) / 7)
    path = tmp_path / "why.safetensors"
    why.save(path)
    found = Explanation.load(path)
    for name in ("scores", "value", "base", "errors", "boxes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(why, name))
    assert found.targets == ("kite 1", "kite 2", "duck 1")
    assert (found.unit, found.made) == (why.unit, why.made)
    assert type(found.parts) is type(why.parts)
    assert found.parts.subject.name == "confetti"
    np.testing.assert_array_equal(found.parts.subject.pixels, PHOTO.pixels)
    for row in range(3):
        np.testing.assert_array_equal(found.heat(row), why.heat(row))
    # and asks the same question again, with the same absence
    again = occlusion(Game(MODEL, found.parts, BoxScores(FOUND)))
    np.testing.assert_array_equal(again.scores, why.scores)


def test_files_from_before_absences_were_told_are_read_as_grey(tmp_path):
    import json

    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = tmp_path / "why.safetensors"
    told("cells").save(path)
    with safe_open(path, "numpy") as file:
        manifest = json.loads(file.metadata()["manifest"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del manifest["photo"]["absent"]
    save_file(arrays, path, {"manifest": json.dumps(manifest)})
    assert Explanation.load(path).parts.absent == "grey"


def damaged(path, **changes) -> None:
    """Rewrite a file with other arrays; None leaves one out."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    save_file(arrays, path, metadata)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": None}, "is no explanation, or damaged"),
        ({"of_pixels": None}, "is no explanation, or damaged"),
        ({"of_pixels": np.zeros((3, 4), np.int32)}, "do not fit a photo of"),
        ({"of_pixels": np.full((SIDE, SIDE), -1, np.int32)}, "numbered from -1"),
        ({"of_pixels": np.zeros((SIDE, SIDE), np.int32)}, "scores have shape"),
        ({"boxes": np.zeros((2, 4))}, r"boxes have shape \[2, 4\]; expected \[3, 4\]"),
        ({"scores": np.full((3, 2), np.nan)}, "gave scores that are not finite"),
    ],
)
def test_a_damaged_file_is_named(changes, message, tmp_path):
    path = tmp_path / "why.safetensors"
    told("superpixels").save(path)
    damaged(path, **changes)
    with unchecked(), pytest.raises(SightlineError, match=message):
        Explanation.load(path)


def test_a_file_that_is_cut_off_is_named(tmp_path):
    path = tmp_path / "why.safetensors"
    told("superpixels").save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SightlineError, match=r"why.safetensors is no explanation, or damaged"):
        Explanation.load(path)


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cells", "superpixels"])
def test_a_picture_is_written(kind, tmp_path):
    path = tmp_path / "why.png"
    told(kind).plot(path, target="duck 1")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5000


def panels(fig) -> list:
    return [axes for axes in fig.axes if axes.get_title()]


def test_a_figure_has_a_panel_a_box_and_the_photo():
    why = told("cells")
    named = panels(boxes_figure(why))
    titles = [axes.get_title() for axes in named]
    names = [f"{name}  ({v:.2f})" for name, v in zip(why.targets, why.value, strict=True)]
    assert titles == ["confetti", *names]
    # each box twice, white below and dark above: all in the first panel, its own in the others
    assert [len(axes.patches) for axes in named] == [6, 2, 2, 2]
    for axes, box in zip(named[1:], why.boxes, strict=True):
        corner = axes.patches[0]
        np.testing.assert_allclose(
            [*corner.get_xy(), corner.get_width(), corner.get_height()],
            [*box[:2], *(box[2:] - box[:2])],
        )
        assert axes.images[0].get_extent() == [0, SIDE, SIDE, 0]
    assert [axes.get_title() for axes in panels(figure(why, target=2))] == ["confetti", names[2]]


def test_a_row_of_panels_goes_on_below():
    fig = boxes_figure(told(), columns=2)
    tops = sorted({round(axes.get_subplotspec().rowspan.start) for axes in panels(fig)})
    assert tops == [0, 1]


def test_an_explanation_without_boxes_has_none_drawn():
    why = replace(told(), boxes=None)
    assert [len(axes.patches) for axes in panels(boxes_figure(why))] == [0] * 4


def test_a_blank_map_says_why_in_its_panel():
    why = told()
    why = replace(why, scores=np.stack([why.scores[0], np.zeros(12), -np.ones(12)]))
    texts = [
        " ".join(text.get_text() for text in axes.texts) for axes in panels(boxes_figure(why))[1:]
    ]
    assert texts[0] == ""
    assert texts[1].startswith("every score is 0")
    assert texts[2].startswith("no evidence for the target")


def test_over_the_photo_lies_nothing_where_nothing_speaks():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    heat = np.zeros((SIDE, SIDE))
    heat[3, 5], heat[4, 5], heat[5, 5] = 2.0, -2.0, 2.0 * FAINTEST / 2
    draw_overlay(axes, PHOTO, heat, 2.0, colour_map())
    over = axes.images[1].get_array()
    assert over[3, 5, 3] == over[4, 5, 3] == STRONGEST
    assert over[5, 5, 3] == over[0, 0, 3] == 0
    assert over[3, 5, 0] > over[3, 5, 2]  # vermilion for
    assert over[4, 5, 2] > over[4, 5, 0]  # blue against


def test_a_notebook_shows_an_svg():
    assert hires_cam(Game(MODEL, PARTS["cells"], BoxScores(FOUND)))._repr_html_().startswith("<svg")
