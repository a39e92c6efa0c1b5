"""Stroke location inversion: the authors' trajectories, a plain walk, and what must not matter."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from sightline.errors import GameError
from sightline.inversion import Descent, invert, recover, transfer
from sightline.inversion.descent import movable
from sightline.models.load import load
from sightline.models.protocol import PictureModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from toys import LABELS, batch_of, behind, picture_net, scribble, stroke_net, unchecked

SHORT = Descent(steps=6)


def locations(ways):
    return [way.locations for way in ways]


# --- the original program's numbers ---------------------------------------------------------------


@pytest.fixture(scope="module")
def original(reference):
    folder = reference / "sketchxai"
    expected = load_file(folder / "expected.safetensors")
    about = json.loads((folder / "meta.json").read_text())["sli"]
    net = load(folder / f"{about['case']}.safetensors", padding="attended", heads=2)
    drawings = []
    for index in about["sketches"]:
        rows = expected[f"points3.{index}"]
        ends = (rows[:, 2].nonzero()[:, 0] + 1).tolist()
        strokes = np.split(rows[:, :2].double().numpy(), ends[:-1])
        drawings.append(Sketch.from_strokes(strokes))
    return net, drawings, expected, net.labels[about["target"]]


def test_the_two_trajectories_of_the_original_are_reproduced_step_by_step(original):
    net, drawings, expected, target = original
    starts = [expected[f"sli.{i}.locations"][0].double().numpy() for i in (0, 1)]
    for index, way in enumerate(invert(net, drawings, target, start=starts)):
        theirs = expected[f"sli.{index}.locations"].double().numpy()
        np.testing.assert_allclose(way.locations, theirs, atol=1e-5, rtol=0)
        theirs = expected[f"sli.{index}.target_probability"].double().numpy()
        np.testing.assert_allclose(way.target_probability[:-1], theirs, atol=1e-6, rtol=0)


def test_without_the_clip_the_comparison_fails(original):
    net, drawings, expected, target = original
    start = [expected["sli.1.locations"][0].double().numpy()]
    free = Descent(longest_step=1e9)
    (way,) = invert(net, drawings[1:], target, start=start, descent=free)
    away = np.abs(way.locations - expected["sli.1.locations"].double().numpy()).max()
    assert away > 1e-2


# --- by hand, and by a plain program --------------------------------------------------------------


def test_a_step_is_never_longer_than_it_may_be_and_the_rate_falls_along_a_cosine():
    descent = Descent(steps=100)
    assert descent.rate_at(0) == 10
    assert descent.rate_at(50) == pytest.approx((10 + 1e-5) / 2)
    assert descent.rate_at(100) == pytest.approx(1e-5)
    slope = torch.tensor([[30.0, 0.0], [0.0, 40.0], [0.003, 0.0]])  # the first two are one drawing
    moves = descent.moves(slope, torch.tensor([0, 0, 1]), 0)
    torch.testing.assert_close(moves[:2], torch.tensor([[0.3, 0.0], [0.0, 0.4]]))
    torch.testing.assert_close(moves[2:], torch.tensor([[0.03, 0.0]]))  # short: as it is


def test_the_walk_is_that_of_torch_s_own_optimiser_one_drawing_at_a_time():
    net = stroke_net(3).double()
    drawings = [scribble(1, 4), scribble(2, 2), scribble(3, 7)]
    ways = transfer(net, drawings, "gamma", descent=Descent(steps=20))
    for way, drawing in zip(ways, drawings, strict=True):
        location, odds = _plain(net, drawing, LABELS.index("gamma"), steps=20)
        np.testing.assert_allclose(way.locations, location, atol=1e-9)
        np.testing.assert_allclose(way.target_probability, odds, atol=1e-9)


def _plain(net, drawing, target, *, steps):
    """The authors' recipe with torch's parts: SGD, cosine schedule, clipped norm."""
    batch = batch_of(drawing, dtype=torch.float64)
    place = nn.Parameter(batch.first_points.clone())
    optimiser = torch.optim.SGD([place], lr=10)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 1e-5)
    trace, odds = [], []
    for step in range(steps + 1):
        shift = (place - batch.first_points)[batch.stroke_of_point]
        moved = batch.with_points(batch.points + shift)  # every stroke moves as a whole
        logits = net(moved)
        trace.append(place.detach().clone())
        odds.append(logits.softmax(1)[0, target].item())
        if step == steps:
            break
        optimiser.zero_grad()
        F.cross_entropy(logits, torch.tensor([target])).backward()
        rate = optimiser.param_groups[0]["lr"]
        torch.nn.utils.clip_grad_norm_([place], 0.5 / (rate + 1e-8))
        optimiser.step()
        schedule.step()
    return torch.stack(trace).numpy(), odds


def test_any_model_of_drawings_can_be_walked_and_agrees_with_the_short_way():
    """A model that reads whole drawings embeds the moved points anew: the same numbers."""
    net = stroke_net(4).double()

    class Whole(nn.Module):
        labels = LABELS

        def __init__(self):
            super().__init__()
            self.net = net

        def prepare(self, sketch):
            return sketch.normalise()

        def forward(self, batch):
            return net(batch)

    drawings = [scribble(5, 3), scribble(6, 5)]
    short = transfer(net, drawings, "beta", descent=SHORT)
    long = transfer(Whole(), drawings, "beta", descent=SHORT)
    for a, b in zip(short, long, strict=True):
        np.testing.assert_allclose(a.locations, b.locations, atol=1e-10)


# --- pictures -------------------------------------------------------------------------------------


def test_a_picture_keeps_its_own_ink_and_takes_the_softer_picture_s_gradient():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, len(LABELS))).double()
    model = behind(module, size=16)
    assert isinstance(model, PictureModel)
    batch = batch_of(scribble(7, 3), dtype=torch.float64)
    answer = movable(model, batch, Descent(sharpness=1.5))
    place = batch.first_points.clone().requires_grad_()
    torch.testing.assert_close(answer(place).detach(), model(batch))
    slope = torch.autograd.grad(answer(place)[0, 1], place)[0]

    soft = model.rasteriser.__class__(
        size=16, line_width=model.rasteriser.line_width, profile="sigmoid", beta=1.5
    )

    def smooth(moved):
        shift = (moved - batch.first_points)[batch.stroke_of_point]
        return model.see(soft(batch.with_points(batch.points + shift)))[0, 1].item()

    for stroke in range(3):
        for axis in range(2):
            step = torch.zeros_like(batch.first_points)
            step[stroke, axis] = 1e-6
            rise = (smooth(place.detach() + step) - smooth(place.detach() - step)) / 2e-6
            assert slope[stroke, axis].item() == pytest.approx(rise, rel=1e-4, abs=1e-7)


def test_a_picture_model_walks_in_smaller_steps():
    net = picture_net(1)
    (way,) = transfer(net, [scribble(8, 4)], "delta", descent=Descent.of(net))
    lengths = np.sqrt((np.diff(way.locations, axis=0) ** 2).sum((1, 2)))
    assert 0 < lengths.max() <= 0.1 + 1e-6
    assert Descent.of(stroke_net()) == Descent()


def test_walking_raises_the_probability():
    net = picture_net(2)
    ways = transfer(net, [scribble(i, 5) for i in range(4)], "alpha", descent=Descent.of(net))
    gains = [way.target_probability[-1] - way.target_probability[0] for way in ways]
    assert min(gains) > 0


# --- what must not matter -------------------------------------------------------------------------


def test_batches_do_not_change_a_walk():
    net = stroke_net(9).double()
    drawings = [scribble(i, 2 + i) for i in range(5)]
    every = recover(net, drawings, restarts=2, descent=SHORT)
    small = invert(net, drawings, None, start="scattered", restarts=2, descent=SHORT, batch=3)
    for a, b in zip(every, small, strict=True):
        np.testing.assert_allclose(a.locations, b.locations, atol=1e-10)
    alone = recover(net, drawings[3:4], restarts=2, descent=SHORT)
    np.testing.assert_allclose(alone[1].locations, every[7].locations, atol=1e-10)


def test_starts():
    net = stroke_net(max_strokes=64)
    drawings = [scribble(0, 40), scribble(1, 3)]
    first = recover(net, drawings, restarts=3, seed=1, descent=SHORT)
    again = recover(net, drawings, restarts=3, seed=1, descent=SHORT)
    other = recover(net, drawings, restarts=3, seed=2, descent=SHORT)
    starts = [way.locations[0] for way in first]
    assert all((a == b).all() for a, b in zip(locations(first), locations(again), strict=True))
    assert not any((a == w.locations[0]).any() for a, w in zip(starts, other, strict=True))
    assert not (starts[0] == starts[1]).any()
    twins = recover(net, [scribble(2, 3), scribble(3, 3)], seed=1, descent=SHORT)
    assert not (twins[0].locations[0] == twins[1].locations[0]).any()
    assert np.concatenate(starts[:3]).std() == pytest.approx(0.1, rel=0.2)
    assert [way.restart for way in first] == [0, 1, 2] * 2
    drawn = transfer(net, drawings, "beta", restarts=2, descent=SHORT)
    np.testing.assert_allclose(drawn[0].locations[0], drawn[0].drawn, atol=1e-6)
    away = drawn[1].locations[0] - drawn[1].drawn
    assert away.std() == pytest.approx(0.1, rel=0.3)


def test_targets():
    net = stroke_net()
    labelled = Sketch(scribble(0).strokes, label="gamma")
    (own,) = recover(net, [labelled], descent=SHORT)
    assert own.target == "gamma"
    (answer,) = recover(net, [scribble(0)], descent=SHORT)  # "scribble" is no label of the model
    assert answer.target == answer.original
    both = transfer(net, [labelled, scribble(1)], ["alpha", "beta"], descent=SHORT)
    assert [way.target for way in both] == ["alpha", "beta"] * 2


def test_progress_counts_every_step_of_every_walk():
    told = []
    recover(
        stroke_net(),
        [scribble(0), scribble(1)],
        restarts=2,
        descent=SHORT,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (24, 24)
    assert all(a < b for (a, _), (b, _) in pairwise(told))


# --- the user's model, and the user's mistakes ----------------------------------------------------


def test_the_model_is_as_it_was(monkeypatch):
    net = stroke_net().train()
    weight = net.head.weight
    weight.grad = torch.ones_like(weight)
    before = torch.get_rng_state()
    recover(net, [scribble()], descent=SHORT)
    monkeypatch.setattr(type(net), "classify", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        recover(net, [scribble()], descent=SHORT)
    assert net.training
    assert weight.requires_grad
    assert (weight.grad == 1).all()
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": "gama"}, r"gama.*gamma"),
        ({"start": "drawm"}, r"start.*drawn"),
        ({"restarts": 0}, "at least 1 of each"),
        ({"sketches": []}, "0 sketches"),
        ({"start": [np.zeros((2, 2))]}, r"layouts of \[2\] strokes, the sketches have \[5\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes(arguments, message):
    given = {"sketches": [scribble()], "labels": "beta", "start": "drawn"} | arguments
    with unchecked(), pytest.raises(GameError, match=message):
        invert(stroke_net(), given.pop("sketches"), given.pop("labels"), **given)


@pytest.mark.parametrize("setting", [{"steps": 0}, {"rate": 0.0}, {"longest_step": math.inf}])
def test_settings_that_cannot_walk(setting):
    with pytest.raises(GameError, match=next(iter(setting))):
        Descent(**setting)


def test_a_model_without_a_gradient_names_what_needs_none():
    class Detached(nn.Module):
        labels = LABELS

        def __init__(self):
            super().__init__()
            self.net = stroke_net()

        def prepare(self, sketch):
            return sketch.normalise()

        def forward(self, batch: SketchBatch):
            return self.net(batch).detach()

    with pytest.raises(GameError, match="needs no gradient: shapley, kernel_shap"):
        transfer(Detached(), [scribble()], "beta")


def test_one_stroke_says_so():
    (way,) = recover(stroke_net(), [scribble(0, 1)], descent=SHORT)
    assert "one stroke" in way.note
    (way,) = recover(stroke_net(), [scribble(0, 2)], descent=SHORT)
    assert way.note is None


# --- the trajectory -------------------------------------------------------------------------------


def test_strokes_move_as_wholes():
    (way,) = transfer(stroke_net(), [scribble(2)], "beta", descent=SHORT)
    moved = way.at(4)
    for stroke, drawn, place in zip(
        moved.strokes, way.sketch.strokes, way.locations[4], strict=True
    ):
        np.testing.assert_allclose(stroke[0], place)
        np.testing.assert_allclose(np.diff(stroke, axis=0), np.diff(drawn, axis=0), atol=1e-12)
    with pytest.raises(GameError, match="steps 0 to 6"):
        way.at(7)


def test_distance_forgets_a_common_translation():
    (way,) = transfer(stroke_net(), [scribble(2)], "beta", descent=SHORT)
    assert way.distance(0) == pytest.approx(0, abs=1e-6)
    gap = way.locations[-1] + 3 - way.drawn
    best = min(
        np.sqrt(((gap - 3 - np.array([x, y])) ** 2).sum(1).mean())
        for x in np.linspace(-1, 1, 201)
        for y in np.linspace(-1, 1, 201)
    )
    assert way.distance() == pytest.approx(best, abs=1e-3)
    assert way.distance() <= best


def test_a_trajectory_draws_itself(tmp_path):
    (way,) = transfer(stroke_net(), [scribble(2)], "beta", descent=SHORT)
    way.plot(tmp_path / "way.png", steps=(0, 2))
    way.animate(tmp_path / "way.gif")
    assert (tmp_path / "way.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "way.gif").read_bytes().startswith(b"GIF89a")
