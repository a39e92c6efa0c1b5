"""Gradients by presence and by coordinates: against finite differences and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sightline import (
    ClassScore,
    Game,
    GameError,
    Points,
    Rasteriser,
    Sketch,
    Strokes,
    gradient_x_input,
    integrated_gradients,
    occlusion,
    p_sla,
    shapley,
    sla,
    smooth_grad,
)
from sightline.parts import GridCells
from toys import (
    LABELS,
    additive,
    batch_of,
    gloves,
    linear_net,
    picture_net,
    rails,
    scribble,
    stroke_net,
    tangled,
    toy_game,
)

KINDS = {"strokes": stroke_net, "pictures": picture_net}
ALL = ClassScore(list(LABELS))


def crossing(strokes: int = 4) -> Sketch:
    """Strokes whose ink meets: the sum of their pictures is clipped."""
    return scribble(3, strokes, longest=20)


def differences_at_one(game: Game, step: float = 1e-4) -> np.ndarray:
    """Slopes at presence 1 from presence below it (which is all there is), of second order."""
    parts = len(game.parts)
    rows = [torch.ones(parts, dtype=torch.float64)]
    for part in range(parts):
        for times in (1, 2):
            row = torch.ones(parts, dtype=torch.float64)
            row[part] -= times * step
            rows.append(row)
    values = game(torch.stack(rows))
    at, once, twice = values[0], values[1::2], values[2::2]
    return ((3 * at - 4 * once + twice) / (2 * step)).T.numpy()


# --- by presence ----------------------------------------------------------------------------------


def test_by_hand():
    game = toy_game(lambda z: 3 * z[:, 0] ** 2 - 5 * z[:, 0] * z[:, 1] + 2 * z[:, 2], 3)
    for method in (sla, gradient_x_input, smooth_grad):  # this model has no embeddings to disturb
        np.testing.assert_allclose(method(game).scores, [[6 - 5, -5, 2]], atol=1e-12)
    # along (t, t, t): integral of 6 t - 5 t, of -5 t, of 2
    np.testing.assert_allclose(integrated_gradients(game).scores, [[0.5, -2.5, 2]], atol=1e-7)


@pytest.mark.parametrize("padding", ["none", "attended", "zeroed"])
def test_sla_is_the_slope_of_the_game_for_models_of_strokes(padding):
    game = Game(stroke_net(padding=padding).double(), Strokes(scribble(1, 5)), ALL)
    np.testing.assert_allclose(sla(game).scores, differences_at_one(game), atol=1e-6)


def test_sla_is_the_slope_of_the_game_for_models_of_pictures():
    """Where no ink is clipped; there the straight-through rule changes nothing."""
    game = Game(picture_net().double(), Strokes(rails(4)), ALL)
    np.testing.assert_allclose(sla(game).scores, differences_at_one(game), atol=1e-6)
    assert np.abs(sla(game).scores).min() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_games_gradient_is_its_slope_anywhere(kind):
    game = Game(KINDS[kind]().double(), Strokes(crossing(4)), ALL)
    place = torch.tensor([[0.6, 0.3, 0.8, 0.45]], dtype=torch.float64)
    step = 1e-5
    both = torch.cat([place + step * torch.eye(4), place - step * torch.eye(4)])
    up, down = game(both).chunk(2)
    np.testing.assert_allclose(game.gradient(place)[0], ((up - down) / (2 * step)).T, atol=1e-6)


def test_sla_of_a_picture_is_the_inner_product_with_each_strokes_ink():
    """a_i = <dy/dX, S_i>, written out from the paper."""
    model = picture_net().double()
    sketch = crossing()
    ink = model.rasteriser.layers(batch_of(sketch, dtype=torch.float64))
    assert (ink.sum(0) > 1).any()
    picture = ink.sum(0, keepdim=True).clamp(max=1).requires_grad_()
    logits = model.see(picture)[0]
    slopes = [torch.autograd.grad(y, picture, retain_graph=True)[0] for y in logits]
    expected = torch.stack([(ink * slope).sum((1, 2)) for slope in slopes])
    found = sla(Game(model, Strokes(sketch), ALL)).scores
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_where_ink_is_clipped_the_straight_way_differs_from_the_slope():
    """Else the test above would not tell one rule from the other."""
    game = Game(picture_net().double(), Strokes(crossing()), ALL)
    blocked = game.gradient(torch.ones(1, 4))[0].numpy()
    assert np.abs(sla(game).scores - blocked).max() > 1e-3


def test_a_linear_game_has_one_answer():
    """Without interactions the gradient, leaving out and Shapley agree."""
    game = toy_game(additive([3.0, -1.0, 0.5, 0.0]), 4)
    expected = [[3.0, -1.0, 0.5, 0.0]]
    for method in (sla, gradient_x_input, smooth_grad, integrated_gradients, occlusion, shapley):
        np.testing.assert_allclose(method(game).scores, expected, atol=1e-7)


def test_a_linear_model_of_pictures_has_one_answer():
    game = Game(linear_net().double(), Strokes(rails(4)), ALL)
    expected = shapley(game).scores
    assert np.abs(expected).min() > 1e-3
    for method in (sla, occlusion):
        np.testing.assert_allclose(method(game).scores, expected, atol=1e-10)
    np.testing.assert_allclose(integrated_gradients(game).scores, expected, atol=1e-6)


def test_sla_costs_one_evaluation():
    assert sla(Game(stroke_net(), Strokes(scribble(1, 6)), ALL)).made.evaluations == 1


def test_targets_are_explained_together_as_alone():
    model, strokes = stroke_net().double(), Strokes(scribble(1))
    together = sla(Game(model, strokes, ALL)).scores
    for row, label in zip(together, LABELS, strict=True):
        alone = sla(Game(model, strokes, ClassScore(label))).scores
        np.testing.assert_allclose(alone, row[None], atol=1e-12)


def test_the_drawing_may_stand_anywhere():
    for kind in KINDS.values():
        model = kind().double()
        here, there = (
            sla(Game(model, Strokes(s), ALL)).scores
            for s in (crossing(), crossing().transform(0.01, (30, -7)))
        )
        np.testing.assert_allclose(here, there, atol=1e-9)


# --- gradient x input -----------------------------------------------------------------------------


def picture_of(model, sketch: Sketch) -> torch.Tensor:
    return model.picture(batch_of(sketch, dtype=torch.float64)).detach()


def test_over_pixels_it_is_captums_input_times_gradient():
    """Pixels as parts: each presence scales its own pixel."""
    from captum.attr import InputXGradient

    model = picture_net().double()
    sketch = crossing()
    game = Game(model, GridCells(sketch, 16, 16), ALL)
    found = gradient_x_input(game).scores
    for target in range(4):
        picture = picture_of(model, sketch).requires_grad_()
        theirs = InputXGradient(model.see).attribute(picture, target=target)
        np.testing.assert_allclose(found[target], theirs.flatten().detach(), atol=1e-12)
    assert np.abs(found).max() > 1e-2


def test_strokes_that_do_not_meet_get_the_sum_over_their_pixels():
    from captum.attr import InputXGradient

    model = picture_net().double()
    ink = model.rasteriser.layers(batch_of(rails(4).normalise(), dtype=torch.float64))
    assert int((ink > 0).sum(0).max()) == 1
    picture = ink.sum(0, keepdim=True).requires_grad_()
    theirs = InputXGradient(model.see).attribute(picture, target=2)
    expected = ((ink > 0) * theirs).sum((1, 2)).detach()
    found = gradient_x_input(Game(model, Strokes(rails(4)), ClassScore(2))).scores[0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_gradient_x_input_is_the_slope_and_sla_goes_straight_through_clipped_ink():
    game = Game(picture_net().double(), Strokes(crossing()), ALL)
    why = gradient_x_input(game)
    np.testing.assert_allclose(why.scores, game.gradient(torch.ones(1, 4))[0], atol=1e-12)
    np.testing.assert_allclose(why.scores, differences_at_one(game), atol=1e-5)
    assert np.abs(why.scores - sla(game).scores).max() > 1e-3
    assert (why.made.evaluations, why.made.settings) == (1, {})
    apart = Game(picture_net().double(), Strokes(rails(4)), ALL)
    np.testing.assert_allclose(gradient_x_input(apart).scores, sla(apart).scores, atol=1e-12)


# --- under noise ----------------------------------------------------------------------------------


def noise_of(seed: int, draws: int, *shape: int) -> torch.Tensor:
    """The standard normal numbers of `smooth_grad`: a seed a draw, from the seed given."""
    seeds = torch.randint(2**62, (draws,), generator=torch.Generator().manual_seed(seed))
    each = [torch.randn(shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    return torch.stack(each).double()


@pytest.mark.parametrize("kind", KINDS)
def test_without_noise_smooth_grad_is_gradient_x_input(kind):
    game = Game(KINDS[kind]().double(), Strokes(crossing()), ALL)
    why = smooth_grad(game, noise=0.0, budget=3)
    np.testing.assert_allclose(why.scores, gradient_x_input(game).scores, atol=1e-12)
    np.testing.assert_allclose(why.errors, 0, atol=1e-12)
    moved = smooth_grad(game, noise=0.3, budget=3)
    assert np.abs(moved.scores - why.scores).max() > 1e-2


def test_noise_is_on_the_pixels_of_a_picture():
    """mean_k <dy/dX at X + 0.2 (max X - min X) e_k, dX/dw_i>, draw by draw."""
    model, sketch = picture_net().double(), crossing()
    ink = model.rasteriser.layers(batch_of(sketch, dtype=torch.float64))
    picture = ink.sum(0).clamp(max=1)
    open_ink = ink * (ink.sum(0) <= 1)  # where it is clipped, strokes change nothing
    level = 0.2 * (picture.max() - picture.min())
    slopes = []
    for e in noise_of(7, 5, 16, 16):
        seen = (picture + level * e)[None].requires_grad_()
        by_pixel = torch.autograd.grad(model.see(seen)[0, 2], seen)[0]
        slopes.append((open_ink * by_pixel).sum((1, 2)))
    why = smooth_grad(Game(model, Strokes(sketch), ClassScore(2)), noise=0.2, budget=5, seed=7)
    expected = torch.stack(slopes)
    np.testing.assert_allclose(why.scores[0], expected.mean(0), atol=1e-12)
    np.testing.assert_allclose(why.errors[0], expected.numpy().std(0, ddof=1) / 5**0.5, atol=1e-12)


@pytest.mark.parametrize("padding", ["none", "attended"])
def test_noise_is_on_the_summed_embeddings_of_strokes(padding):
    net, sketch = stroke_net(padding=padding).double(), scribble(1, 4)
    tokens = net.embed(batch_of(sketch, dtype=torch.float64))
    summed = tokens.shape + net.location(tokens.location) + net.order(tokens.order)
    level = 0.1 * (summed.max() - summed.min()).item()
    slopes = []
    for e in noise_of(3, 4, 4, 16):
        there = torch.ones(4, dtype=torch.float64, requires_grad=True)
        noisy = replace(tokens, shape=tokens.shape + level * e)
        answer = net.classify(noisy, presence=there)[0, 1]
        slopes.append(torch.autograd.grad(answer, there)[0])
    why = smooth_grad(Game(net, Strokes(sketch), ClassScore(1)), noise=0.1, budget=4, seed=3)
    np.testing.assert_allclose(why.scores[0], torch.stack(slopes).mean(0).detach(), atol=1e-10)


def test_captums_noise_tunnel_gives_the_same_from_the_same_noise(monkeypatch):
    """Its mean of gradients at noisy pictures, times the ink that presence scales."""
    from captum.attr import NoiseTunnel, Saliency

    model, sketch = picture_net().double(), crossing()
    drawn = noise_of(0, 6, 16, 16)
    monkeypatch.setattr(
        NoiseTunnel, "_add_noise_to_input", staticmethod(lambda x, level, _: x + level * drawn)
    )
    picture = picture_of(model, sketch)
    level = 0.15 * float(picture.max() - picture.min())
    tunnel = NoiseTunnel(Saliency(model.see))
    slope = tunnel.attribute(picture, nt_samples=6, stdevs=level, target=3, abs=False)
    why = smooth_grad(Game(model, GridCells(sketch, 16, 16), ClassScore(3)), budget=6)
    np.testing.assert_allclose(why.scores[0], (picture * slope).flatten().detach(), atol=1e-12)
    # captum's tunnel around input x gradient would scale the noise by the gradient as well
    wrong = ((picture + level * drawn) * slope).mean(0).flatten().detach()
    assert np.abs(why.scores[0] - wrong.numpy()).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_noise_belongs_to_its_draw_whatever_the_batch(kind):
    model = KINDS[kind]().double()
    found = [
        smooth_grad(Game(model, Strokes(crossing()), ALL, batch=batch), budget=9, seed=5)
        for batch in (1, 4, 512)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.scores, found[0].scores, atol=1e-11)
        np.testing.assert_allclose(other.errors, found[0].errors, atol=1e-11)
    again = smooth_grad(Game(model, Strokes(crossing()), ALL, batch=4), budget=9, seed=5)
    np.testing.assert_array_equal(again.scores, found[1].scores)
    other_seed = smooth_grad(Game(model, Strokes(crossing()), ALL), budget=9, seed=6)
    assert np.abs(other_seed.scores - found[0].scores).max() > 1e-3


def test_errors_are_those_of_the_mean():
    game = Game(picture_net().double(), Strokes(crossing()), ClassScore(0))
    runs = [smooth_grad(game, budget=16, seed=seed) for seed in range(100)]
    told = np.mean([why.errors[0] ** 2 for why in runs]) ** 0.5
    spread = np.stack([why.scores[0] for why in runs]).std(0, ddof=1)
    assert 0.85 < told / (spread**2).mean() ** 0.5 < 1.15


def test_a_linear_model_is_the_same_under_any_noise_and_that_is_said():
    game = Game(linear_net().double(), Strokes(rails(4)), ALL)
    why = smooth_grad(game, noise=0.5)
    np.testing.assert_allclose(why.scores, shapley(game).scores, atol=1e-10)
    assert why.made.notes == ("the gradient is the same with and without noise",)


def test_noise_draws_and_seed_are_told():
    game = Game(stroke_net(), Strokes(scribble(1)))
    made = smooth_grad(game, noise=0.05, budget="7", seed=4).made
    assert (made.settings, made.seed) == ({"noise": 0.05, "budget": 7}, 4)
    assert (made.evaluations, made.notes) == (7, ())
    assert smooth_grad(game).made.evaluations == 32
    one = smooth_grad(game, budget=1)
    assert one.errors is None
    assert one.made.notes == ("one draw has no error bars: they need 2",)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_noise_is_a_share(noise):
    with pytest.raises(GameError, match="it is a share of the input's range, such as"):
        smooth_grad(Game(stroke_net(), Strokes(scribble(1))), noise=noise)


# --- along a path ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_integral_is_complete_and_more_so_with_more_steps(kind):
    game = Game(KINDS[kind]().double(), Strokes(rails(5)), ALL)
    gaps = [np.abs(integrated_gradients(game, budget=steps).gap).max() for steps in (1, 3, 16)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3 * (game.value - game.base).abs().max()


def test_clipped_ink_is_integrated_as_it_is_clipped():
    """With the straight way the integral would not be complete."""
    game = Game(picture_net().double(), Strokes(crossing()), ALL)
    total = (game.value - game.base).abs().max()
    assert np.abs(integrated_gradients(game, budget=128).gap).max() < 0.02 * total
    along = torch.linspace(0.5 / 128, 1 - 0.5 / 128, 128)[:, None].expand(-1, 4)
    straight = game.gradient(along, straight_through=True).mean(0)
    assert (straight.sum(1) - (game.value - game.base)).abs().max() > 0.05 * total


def test_a_polynomial_is_integrated_exactly():
    """Gauss-Legendre with n nodes: up to degree 2 n - 1."""
    game = toy_game(lambda z: z[:, 0] ** 6 + z[:, 0] * z[:, 1] ** 3, 2)
    # d/dz0 = 6 t^5 + t^3, d/dz1 = 3 t^3
    np.testing.assert_allclose(
        integrated_gradients(game, budget=3).scores, [[1.25, 0.75]], atol=1e-6
    )
    assert abs(integrated_gradients(game, budget=2).scores[0, 0] - 1.25) > 1e-2


def test_steps_gap_and_cost_are_told():
    game = Game(stroke_net(), Strokes(scribble(1)))
    why = integrated_gradients(game, budget=9)
    assert why.made.settings == {"budget": 9}
    assert why.made.evaluations == 9
    assert why.made.notes == (f"completeness gap {abs(why.gap[0]):.2g} logit",)
    assert integrated_gradients(game).made.evaluations == 32


def test_gloves_by_hand():
    """d/dleft = 1 - (1 - t)^2, d/dright = t (1 - t): integrals 2/3, 1/6, 1/6, as Shapley's here."""
    np.testing.assert_allclose(
        integrated_gradients(toy_game(gloves, 3)).scores, [[2 / 3, 1 / 6, 1 / 6]], atol=1e-6
    )


# --- by coordinates -------------------------------------------------------------------------------


def slopes_by_differences(model, batch, column: int, step: float) -> torch.Tensor:
    """Central differences of one logit by every coordinate, [points, 2]."""
    points = batch.points
    slopes = torch.zeros_like(points)
    for point in range(len(points)):
        for axis in range(2):
            moved = []
            for sign in (1, -1):
                there = points.clone()
                there[point, axis] += sign * step
                with torch.no_grad():
                    moved.append(model(batch.with_points(there))[0, column])
            slopes[point, axis] = (moved[0] - moved[1]) / (2 * step)
    return slopes


@pytest.mark.parametrize("settings", [{}, {"cell": "gru"}, {"padding": "attended"}])
def test_p_sla_is_the_length_of_the_slope_by_coordinates(settings):
    model = stroke_net(**settings).double()
    sketch = scribble(1, 4)
    game = Game(model, Points(sketch), ALL)
    found = game.coordinate_gradient()
    assert found.shape == (4, len(sketch.points), 2)
    batch = batch_of(sketch, dtype=torch.float64)
    why = p_sla(game)
    for column in range(4):
        expected = slopes_by_differences(model, batch, column, 1e-6)
        torch.testing.assert_close(found[column], expected, atol=1e-7, rtol=1e-6)
        np.testing.assert_allclose(why.scores[column], expected.norm(dim=1), atol=1e-7)
    assert why.scores.min() >= 0


def test_p_sla_of_a_picture_is_the_slope_of_the_soft_picture():
    """Backward the sigmoid's picture, forward the model's own: chained by hand."""
    model = picture_net().double()
    sketch = scribble(1, 3)
    batch = batch_of(sketch, dtype=torch.float64)
    own = model.picture(batch).detach().requires_grad_()
    by_picture = torch.autograd.grad(model.see(own)[0, 1], own)[0]
    soft = Rasteriser(size=16, line_width=0.15, profile="sigmoid", beta=3.0)
    points = batch.points.clone().requires_grad_()
    picture = soft(batch.with_points(points))
    expected = torch.autograd.grad((picture * by_picture).sum(), points)[0].norm(dim=1)
    why = p_sla(Game(model, Points(sketch), ClassScore(1)), sharpness=3.0)
    np.testing.assert_allclose(why.scores[0], expected, atol=1e-12)
    assert why.made.settings == {"sharpness": 3.0}
    assert why.scores.max() > 1e-2


def test_p_sla_says_what_its_numbers_are():
    why = p_sla(Game(stroke_net(), Points(scribble(1))))
    assert why.unit == "logit per canvas unit"
    assert why.made.settings == {}
    assert why.made.evaluations == 1


def test_p_sla_wants_points():
    with pytest.raises(GameError, match=r"needs points, not strokes: use sl\.Points\(model\.prep"):
        p_sla(Game(stroke_net(), Strokes(scribble(1))))


@pytest.mark.parametrize("method", [sla, gradient_x_input, smooth_grad, integrated_gradients])
def test_by_presence_points_are_refused(method):
    with pytest.raises(GameError, match=r"points come and go whole, .*p_sla .*lime, rise"):
        method(Game(stroke_net(), Points(scribble(1))))


# --- a known wrong version must fail --------------------------------------------------------------


def test_the_gradient_at_another_place_is_not_sla():
    game = toy_game(tangled(5), 5)
    right = sla(game).scores
    for wrong in (torch.zeros(1, 5), torch.full((1, 5), 0.9)):
        assert np.abs(game.gradient(wrong)[0].numpy() - right).max() > 0.05
