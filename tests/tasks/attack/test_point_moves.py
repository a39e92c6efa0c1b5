"""Movement of points: steps by hand, slopes by finite differences, the budget, and the mates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from sightline.errors import TaskError
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch
from sightline.tasks.attack.point_moves import (
    LOSSES,
    Moves,
    answers_by_points,
    directions,
    distances,
    margins,
    move_points,
    moved_points,
    moves_by_luck,
    within,
)
from toys import batch_of, behind, picture_net, scribble, stroke_net, unchecked


def drawings(count=4, dtype=torch.float32):
    return batch_of(*[scribble(i, 3 + i % 3) for i in range(count)], dtype=dtype)


def answer(net, batch):
    with torch.no_grad():
        return net(batch.normalise())


def linear(slopes):
    """Two labels; the logit of the second falls by ``slopes`` as each point moves."""
    slopes = torch.tensor(slopes)
    return lambda points: torch.stack([points.sum() * 0, (points * slopes).sum()])[
        None
    ]  # one drawing


# --- by hand --------------------------------------------------------------------------------------


def test_one_step_moves_each_point_by_the_whole_budget_along_its_own_gradient():
    answers = linear([[3.0, 4.0], [0.0, -1e-6], [0.0, 0.0]])
    points, owner, label = torch.ones(3, 2), torch.zeros(3, dtype=torch.int64), torch.tensor([0])
    moved = moved_points(answers, points, owner, label, Moves(0.5))
    torch.testing.assert_close(moved - points, torch.tensor([[0.3, 0.4], [0.0, -0.5], [0.0, 0.0]]))
    towards = moved_points(answers, points, owner, label, Moves(0.5, targeted=True))
    torch.testing.assert_close(towards - points, points - moved)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_lead_the_same_way_between_two_labels(loss):
    answers = linear([[3.0, 4.0]])
    moved = moved_points(
        answers, torch.zeros(1, 2), torch.tensor([0]), torch.tensor([0]), Moves(1.0, loss=loss)
    )
    torch.testing.assert_close(moved, torch.tensor([[0.6, 0.8]]))


def test_several_steps_are_brought_back_and_slide_along_the_edge():
    def answers(points):  # a hill at (0, 1), seen from (0, 0) after a start at (0.3, 0)
        far = ((points - torch.tensor([0.0, 1.0])) ** 2).sum(1)
        return torch.stack([far * 0, -far], 1)

    moves = Moves(0.5, steps=40, step=0.05)
    moved = moved_points(
        answers,
        torch.zeros(1, 2),
        torch.tensor([0]),
        torch.tensor([0]),
        moves,
        start=torch.tensor([[0.5, 0.0]]),
    )
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0.5]]), atol=2e-3, rtol=0)


def test_the_best_of_all_steps_is_kept_for_each_drawing():
    def answers(points):  # drawing 0 is best at x = 0.15, drawing 1 as far as it comes
        x = points[:, 0]
        height = torch.stack([-(x[0] - 0.15).abs(), x[1]])
        return torch.stack([height * 0, height], 1)

    moves = Moves(1.0, steps=2, step=0.2)  # drawing 0 comes to 0.2, and back to 0
    owner = torch.tensor([0, 1])
    label = torch.zeros(2, dtype=torch.int64)
    moved = moved_points(answers, torch.zeros(2, 2), owner, label, moves)
    torch.testing.assert_close(moved, torch.tensor([[0.2, 0.0], [0.4, 0.0]]))


def test_margins_are_above_zero_exactly_where_the_answer_is_changed():
    logits = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(200) % 5
    away, reached = margins(logits, labels, False), margins(logits, labels, True)
    assert torch.equal(away > 0, logits.argmax(1) != labels)
    assert torch.equal(reached > 0, logits.argmax(1) == labels)


def test_a_point_within_the_disc_stays_and_one_outside_comes_to_its_edge():
    origin = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    place = torch.tensor([[1.1, 1.0], [1.0, 3.0], [-2.0, -3.0]])
    expected = torch.tensor([[1.1, 1.0], [1.0, 2.0], [0.4, 0.2]])
    torch.testing.assert_close(within(place, origin, 1.0), expected)
    assert torch.equal(within(place, origin, 0.0), origin)


def test_a_slope_of_nothing_leads_nowhere():
    assert directions(torch.zeros(2, 2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_step_is_as_long_as_said():
    assert Moves(0.2).length == 0.2
    assert Moves(0.2, steps=10).length == pytest.approx(0.05)
    assert Moves(0.2, steps=10, step=0.01).length == 0.01


# --- slopes ---------------------------------------------------------------------------------------


def sigmoid_net():
    """A picture model whose own ink is the soft one, so that its slope is a true one."""
    net = picture_net(3).double()
    net.rasteriser = Rasteriser(size=16, line_width=0.15, profile="sigmoid", beta=2.0)
    return net


@pytest.mark.parametrize("net", [stroke_net(2).double(), sigmoid_net()], ids=["strokes", "picture"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_way_is_the_slope_by_finite_differences(net, targeted, loss):
    # one stroke, so that its layers are its picture; no two points on one side of its box
    batch = batch_of(scribble(4, 1, longest=9), dtype=torch.float64)
    label = answer(net, batch).argmax(1) + targeted
    label %= 4

    def height(points):
        logits = net(batch.with_points(points).normalise())
        if loss == "margin":
            return margins(logits, label, targeted).item()
        far = nn.functional.cross_entropy(logits, label).item()
        return -far if targeted else far

    slope = torch.zeros_like(batch.points)
    with torch.no_grad():
        for i, j in np.ndindex(*slope.shape):
            nudge = torch.zeros_like(slope)
            nudge[i, j] = 1e-6
            slope[i, j] = (height(batch.points + nudge) - height(batch.points - nudge)) / 2e-6
    moves = Moves(1e-3, targeted=targeted, loss=loss)
    moved = move_points(net, batch, label, moves, sharpness=2.0)
    # a point that no answer depends on has no way; rounding decides there
    told = slope.norm(dim=1) > 1e-4 * slope.norm(dim=1).max()
    assert told.sum() >= 4
    torch.testing.assert_close(
        (moved.points - batch.points)[told], 1e-3 * directions(slope)[told], atol=2e-6, rtol=0
    )


def test_a_picture_model_is_shown_its_own_picture():
    net = picture_net(1)
    batch = drawings()
    seen = answers_by_points(net, batch)(batch.points.clone().requires_grad_())
    torch.testing.assert_close(seen.detach(), answer(net, batch))


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [stroke_net(1), picture_net(1)], ids=["strokes", "picture"])
@pytest.mark.parametrize("steps", [1, 5])
def test_no_point_goes_farther_than_the_budget_and_more_steps_go_higher(net, steps):
    batch = drawings(6)
    label = answer(net, batch).argmax(1)
    before = margins(answer(net, batch), label, False)
    moved = move_points(net, batch, label, Moves(0.05, steps))
    far = (moved.points - batch.points).norm(dim=1)
    assert distances(moved.points, batch.points).max() <= 0.05
    assert far.max() > 0.049
    if steps == 5:
        one = move_points(net, batch, label, Moves(0.05, 1))
        after, single = (margins(answer(net, b), label, False) for b in (moved, one))
        assert (after > before).all()
        assert after.mean() > single.mean()


def test_a_target_is_reached_that_lies_near():
    net, batch = stroke_net(1), drawings(8)
    near = answer(net, batch).topk(2).indices[:, 1]
    moved = move_points(net, batch, near, Moves(0.3, 20, targeted=True))
    assert (answer(net, moved).argmax(1) == near).float().mean() > 0.6
    by_luck = batch.with_points(batch.points + moves_by_luck(batch, 0.3))
    assert (answer(net, by_luck).argmax(1) == near).float().mean() < 0.4


def test_a_budget_of_nothing_moves_nothing():
    net, batch = stroke_net(1), drawings()
    label = answer(net, batch).argmax(1)
    assert torch.equal(move_points(net, batch, label, Moves(0.0, 3)).points, batch.points)


@pytest.mark.parametrize("net", [stroke_net(1), picture_net(1)], ids=["strokes", "picture"])
@pytest.mark.parametrize("steps", [4, 10])
def test_together_is_one_by_one(net, steps):
    net, batch = net.double(), drawings(5, torch.float64)  # float32 pictures: see move_points
    label = answer(net, batch).argmax(1)
    start = moves_by_luck(batch, 0.05, seed=3, full=False)
    together = move_points(net, batch, label, Moves(0.05, steps), start=start)
    for index in range(5):
        chosen = torch.tensor([index])
        mine = batch.select(chosen)
        own = moves_by_luck(mine, 0.05, seed=3, full=False)
        alone = move_points(net, mine, label[chosen], Moves(0.05, steps), start=own)
        torch.testing.assert_close(together.select(chosen).points, alone.points, atol=1e-9, rtol=0)


def test_normalised_anew_the_place_and_size_of_the_drawing_do_not_matter():
    net, batch = stroke_net(1).double(), drawings(3, torch.float64)
    label = answer(net, batch).argmax(1)
    moved = move_points(net, batch, label, Moves(0.02, 3))
    away = batch.with_points(2 * batch.points + 0.5)
    torch.testing.assert_close(
        move_points(net, away, label, Moves(0.04, 3)).points, 2 * moved.points + 0.5
    )
    as_it_stands = move_points(net, batch, label, Moves(0.02, 3), normalise=False)
    assert (as_it_stands.points - moved.points).abs().max() > 1e-3


def test_luck_is_each_drawing_s_own_and_as_long_as_said():
    batch = drawings(5)
    full = moves_by_luck(batch, 0.1, seed=1)
    torch.testing.assert_close(full.norm(dim=1), torch.full((len(full),), 0.1))
    chosen = torch.tensor([3])
    alone = moves_by_luck(batch.select(chosen), 0.1, seed=1)
    assert torch.equal(alone, full[batch.sketch_of_point == 3])
    assert not torch.allclose(moves_by_luck(batch, 0.1, seed=2), full)


def test_luck_in_the_disc_is_uniform():
    line = Sketch.from_strokes([np.linspace((0, 0), (1, 1), 4000)]).normalise()
    far = moves_by_luck(batch_of(line), 1.0, full=False)
    assert (far.norm(dim=1) < math.sqrt(0.5)).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert far.mean(0).abs().max() < 0.03
    assert moves_by_luck(batch_of(line).select(torch.zeros(0, dtype=torch.int64)), 1.0).shape == (
        0,
        2,
    )


def test_the_surest_answer_still_has_a_way_by_its_margin():
    """In float32 cross entropy is flat where the model is sure; the margin is not."""
    answers = linear([[300.0, 0.0]])
    points, owner, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.tensor([1])
    by = {
        loss: moved_points(answers, points, owner, label, Moves(0.1, loss=loss)) for loss in LOSSES
    }
    torch.testing.assert_close(by["margin"], torch.tensor([[0.9, 0.0]]))
    assert torch.equal(by["cross_entropy"], points)


# --- the model and the caller ---------------------------------------------------------------------


def test_the_model_is_left_as_it_came_also_after_a_failure():
    net, batch = picture_net(1).train(), drawings()
    net.module[0].weight.grad = torch.ones_like(net.module[0].weight)
    state = {k: v.clone() for k, v in net.state_dict().items()}
    label = torch.zeros(4, dtype=torch.int64)
    move_points(net, batch, label, Moves(0.05, 2))
    with pytest.raises(RuntimeError):
        move_points(net, batch, label + 99, Moves(0.05, 2))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert (net.module[0].weight.grad == 1).all()
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())


def test_the_plain_form_neither_switches_modes_nor_touches_weights():
    net, batch = stroke_net(1).train(), drawings()
    answers = answers_by_points(net, batch)
    moved = moved_points(
        answers, batch.points, batch.sketch_of_point, torch.zeros(4, dtype=torch.int64), Moves(0.05)
    )
    assert net.training
    assert not moved.requires_grad
    assert all(p.grad is None for p in net.parameters())
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_caller_s_gradient_mode_does_not_matter(mode):
    net, batch = stroke_net(1), drawings()
    label = answer(net, batch).argmax(1)
    expected = move_points(net, batch, label, Moves(0.05, 2)).points
    with mode():
        mine = SketchBatch(
            batch.points.clone(), batch.stroke_offsets.clone(), batch.sketch_offsets.clone()
        )
        torch.testing.assert_close(
            move_points(net, mine, label.clone(), Moves(0.05, 2)).points, expected
        )


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"budget": -1.0}, "budget is -1.0; give a length of 0 or more"),
        ({"budget": math.nan}, "budget is nan"),
        ({"budget": 0.1, "steps": 0}, "steps is 0; it must be at least 1"),
        ({"budget": 0.1, "step": 0.0}, "step is 0.0; give a length above 0"),
        ({"budget": 0.1, "loss": "margins"}, "unknown loss 'margins'; did you mean 'margin'"),
    ],
)
def test_moves_that_mean_nothing_are_refused(wrong, told):
    with unchecked(), pytest.raises(TaskError, match=told):
        Moves(**wrong)


def test_labels_are_one_a_drawing():
    with unchecked(), pytest.raises(TaskError, match=r"shape \[3\]; give one a drawing, \[4\]"):
        move_points(stroke_net(), drawings(), torch.zeros(3, dtype=torch.int64), Moves(0.1))


class _Blind(nn.Module):
    def forward(self, pictures):
        return torch.stack([(pictures > 0.5).float().mean((1, 2, 3))] * 4, 1)


def test_a_model_without_gradient_says_so():
    net = behind(_Blind())
    with pytest.raises(TaskError, match="carries none by their places; attack it by removal"):
        move_points(net, drawings(), torch.zeros(4, dtype=torch.int64), Moves(0.1))
