"""Localisation: 1 for a perfect painter, 0 for one that fills the wrong parts, by hand between."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline import methods
from sightline.errors import TaskError
from sightline.game import Game
from sightline.parts import Strokes
from sightline.sketch.sketch import Sketch
from sightline.tasks.generation.part_regions import PartRegions, ink_inside, widened
from sightline.tasks.generation.part_scores import (
    average_precision,
    evenly,
    nearest,
    own_share,
    pixels_named,
    pointing,
)
from sightline.tasks.generation.stroke_maps import METHODS, StrokeMaps, stroke_maps
from tasks.generation.painters import painter, totem
from toys import unchecked

FORWARD = (
    "shapley", "kernel_shap", "integrated_gradients", "sla", "gradient_x_input", "occlusion",
)  # fmt: skip


# --- the truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FORWARD)
def test_every_method_finds_the_strokes_of_a_perfect_painter(method):
    sketch, masks = totem()
    parts = PartRegions.of(sketch, masks)
    game = Game(painter(sketch, masks), Strokes(sketch), parts.region())
    scores = getattr(methods, method)(game).scores
    assert pointing(scores, parts.own).tolist() == [1, 1, 1]
    assert average_precision(scores, parts.own).tolist() == [1, 1, 1]


@pytest.mark.parametrize("method", METHODS)
def test_every_map_of_a_perfect_painter_lies_in_its_part(method):
    sketch, masks = totem()
    parts = PartRegions.of(sketch, masks)
    found = stroke_maps(painter(sketch, masks), sketch, method=method)
    inside, area = own_share(found, parts)
    assert inside == pytest.approx(np.ones(4))
    assert (area < 0.3).all()
    assert pixels_named(found, parts) == 1


def test_a_painter_that_fills_the_wrong_parts_is_not_taken_for_a_right_one():
    """A round of three: each part's strokes fill the next. Geometry notices nothing."""
    sketch, masks = totem()
    parts = PartRegions.of(sketch, masks)
    wrong = painter(sketch, masks, {"head": "belly", "belly": "feet", "feet": "head"})
    scores = methods.shapley(Game(wrong, Strokes(sketch), parts.region())).scores
    assert pointing(scores, parts.own).tolist() == [0, 0, 0]
    assert (average_precision(scores, parts.own) < 0.6).all()
    found = stroke_maps(wrong, sketch)
    assert own_share(found, parts)[0].max() < 0.05
    assert pixels_named(found, parts) == 0
    ink = ink_inside(sketch, parts)
    assert pointing(ink, parts.own).tolist() == [1, 1, 1]
    assert pixels_named(nearest(found, sketch.normalise()), parts) > 0.9


# --- by hand --------------------------------------------------------------------------------------


def test_average_precision_by_hand():
    own = np.array([[True, False, True, False]])
    # first and third place: (1/1 + 2/3) / 2; the second and last: (1/2 + 2/4) / 2
    assert average_precision(np.array([[4.0, 3.0, 2.0, 1.0]]), own)[0] == pytest.approx(5 / 6)
    assert average_precision(np.array([[3.0, 4.0, 1.0, 2.0]]), own)[0] == pytest.approx(1 / 2)
    # all tied: each sees 2 of 4
    assert average_precision(np.zeros((1, 4)), own)[0] == pytest.approx(1 / 2)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_sorted_lists(seed):
    luck = np.random.default_rng(seed)
    scores, own = luck.normal(size=(1, 9)), luck.random((1, 9)) < 0.4
    own[0, 0] = True
    order = np.argsort(-scores[0])
    hits = own[0][order]
    precisions = [hits[: place + 1].mean() for place in np.flatnonzero(hits)]
    assert average_precision(scores, own)[0] == pytest.approx(np.mean(precisions))


def test_no_order_of_drawing_decides_a_tie():
    own = np.array([[True, False, False]])
    for last in (own, own[:, ::-1]):
        assert pointing(np.array([[1.0, 1.0, 1.0]]), last)[0] == pytest.approx(1 / 3)
        assert average_precision(np.array([[0.0, 0.0, 0.0]]), last)[0] == pytest.approx(1 / 3)
    assert pointing(np.array([[1.0 - 1e-12, 1.0, 0.0]]), own)[0] == 0.5


def test_random_scores_point_right_as_often_as_there_are_right_strokes():
    luck = np.random.default_rng(7)
    own = np.tile([True, False, False, False], (4000, 1))
    found = pointing(luck.normal(size=own.shape), own)
    assert abs(found.mean() - 0.25) < 0.02


def made(changes: torch.Tensor, sketch: Sketch) -> StrokeMaps:
    blank = torch.zeros_like(changes[0])
    return StrokeMaps(changes.double(), blank.double() + 1, blank.double(), sketch, "by hand")


def test_shares_and_pixels_by_hand():
    """Two strokes on 1 x 4 pixels; the left half is the first one's part, the right the other's."""
    sketch = Sketch.from_strokes([[(0, 0), (1, 0)], [(2, 0), (3, 0)]], parts=("a", "b"))
    masks = {"a": np.array([[1, 1, 0, 0]], bool), "b": np.array([[0, 0, 1, 1]], bool)}
    parts = PartRegions.of(sketch, masks)
    changes = torch.tensor([[3.0, 1.0, 1.0, -9.0], [0.0, 2.0, 0.0, 0.0]])[:, None, None]
    found = made(changes, sketch)
    inside, area = own_share(found, parts)
    assert inside.tolist() == pytest.approx([4 / 5, 0])  # what it takes away does not count
    assert area.tolist() == [0.5, 0.5]
    assert found.strongest().tolist() == [[0, 1, 0, -1]]
    assert pixels_named(found, parts) == 1 / 4
    # equally strong everywhere: half of the strokes are right, whichever was drawn first
    most = {"a": np.array([[1, 1, 1, 0]], bool), "b": np.array([[0, 0, 0, 1]], bool)}
    alike = made(torch.ones(2, 1, 1, 4), sketch)
    assert pixels_named(alike, PartRegions.of(sketch, most)) == 1 / 2
    silent = made(changes * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), sketch)
    assert own_share(silent, parts)[0].tolist() == pytest.approx([4 / 5, 0.5])


def test_geometry_by_hand():
    sketch, masks = totem()
    parts = PartRegions.of(sketch, masks)
    ink = ink_inside(sketch, parts, reach=0)
    assert parts.names == ("head", "belly", "feet")
    assert (ink[parts.own] > 0).all()
    found = stroke_maps(painter(sketch, masks), sketch)
    even, near = evenly(found), nearest(found, sketch.normalise())
    assert torch.allclose(even.changes.sum(0), found.picture - found.blank)
    assert torch.allclose(near.changes.sum(0), found.picture - found.blank)
    assert even.changes.std(0).max() == 0
    y = torch.arange(32) + 0.5
    top = near.strongest()[y < 9]  # the head ends at 9.6, the belly begins at 11.6
    assert set(top.unique().tolist()) <= {-1, 0}
    assert {0} < set(near.strongest().unique().tolist())


def test_what_lies_just_beside_a_part_is_still_in_it():
    """One pixel of 32 beside the head counts as the head's; three pixels do not."""
    sketch, masks = totem()
    parts = PartRegions.of(sketch, masks)
    top = int(np.flatnonzero(masks["head"].any(1))[0])
    found = []
    for beside in (1, 3):
        changes = torch.zeros(4, 1, 32, 32)
        changes[0, 0, top - beside, 16] = 1
        found.append(own_share(made(changes, sketch), parts)[0][0])
    assert found == [1, 0]


def test_masks_grow_by_pixels():
    dot = torch.zeros(1, 5, 5, dtype=torch.bool)
    dot[0, 2, 2] = True
    assert widened(dot, 0).sum() == 1
    assert widened(dot, 1).sum() == 9
    assert widened(dot, 9).all()


# --- which parts are asked about ------------------------------------------------------------------


def test_parts_without_pixels_or_strokes_are_not_asked_about():
    sketch, masks = totem()
    masks = masks | {"hidden": np.zeros((32, 32), bool), "undrawn": masks["head"]}
    masks["feet"] = np.zeros((32, 32), bool)
    masks["feet"][30, 1] = True  # one pixel
    assert PartRegions.of(sketch, masks).names == ("head", "belly")
    assert PartRegions.of(sketch, masks, least=0).names == ("head", "belly", "feet")
    alone = sketch.select([1, 2])
    with pytest.raises(TaskError, match="no part of totem shows"):
        PartRegions.of(alone, masks)
    nameless = Sketch.from_strokes(sketch.strokes, name="blob")
    with pytest.raises(TaskError, match="strokes of blob do not say which part"):
        PartRegions.of(nameless, masks)


def test_parts_that_the_picture_does_not_show_are_left_out():
    sketch, masks = totem()
    parts = PartRegions.of(sketch, masks)
    drawn = torch.zeros(3, 32, 32)
    drawn[:, torch.from_numpy(masks["belly"])] = 0.5
    assert parts.showing(drawn).names == ("belly",)
    assert parts.showing(drawn[:, ::2, ::2]).own.tolist() == [[False, True, True, False]]
    with pytest.raises(TaskError, match="shows nothing"):
        parts.showing(0 * drawn)


def test_what_does_not_fit_is_told():
    with (
        unchecked(),
        pytest.raises(TaskError, match=r"scores have shape \[1, 2\], the truth \[1, 3\]"),
    ):
        pointing(np.zeros((1, 2)), np.ones((1, 3), bool))
    with pytest.raises(TaskError, match="no right answer"):
        average_precision(np.zeros((1, 2)), np.zeros((1, 2), bool))
    sketch, masks = totem()
    found = stroke_maps(painter(sketch, masks), sketch)
    small = PartRegions.of(sketch, {name: mask[::2, ::2] for name, mask in masks.items()})
    with pytest.raises(TaskError, match="give both in one size"):
        pixels_named(found, small)
