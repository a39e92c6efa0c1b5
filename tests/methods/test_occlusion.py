"""Leaving one part out, and the baseline that knows nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from detectors import confetti
from sightline import (
    METHODS,
    ClassScore,
    Game,
    GameError,
    GridCells,
    PictureClassifier,
    Points,
    Strokes,
    explain,
    occlusion,
)
from sightline import random as random_scores
from sightline.methods import SAMPLED
from toys import (
    LABELS,
    additive,
    batch_of,
    exclusive_or,
    gloves,
    picture_net,
    scribble,
    stroke_net,
    toy_game,
)


@pytest.mark.parametrize(
    ("value", "parts", "expected"),
    [
        (additive([2.0, -1.0, 3.0], base=50), 3, [2, -1, 3]),
        (exclusive_or, 2, [-1, -1]),
        (gloves, 3, [1, 0, 0]),  # the right gloves stand in for each other
        (lambda z: z.prod(1) * 12, 3, [12, 12, 12]),
        (additive([4.0]), 1, [4]),
    ],
)
def test_by_hand(value, parts, expected):
    assert occlusion(toy_game(value, parts)).scores.tolist() == [expected]


def test_it_is_the_drawing_without_the_stroke():
    model = picture_net().double()
    sketch = model.prepare(scribble(1, 4))
    whole = model(batch_of(sketch, dtype=torch.float64))[0]
    scores = occlusion(Game(model, Strokes(sketch), ClassScore(list(LABELS)))).scores
    for part in range(4):
        left = batch_of(sketch.select([i for i in range(4) if i != part]), dtype=torch.float64)
        np.testing.assert_allclose(scores[:, part], (whole - model(left)[0]).detach(), atol=1e-12)


def test_it_is_the_line_without_the_point():
    model = stroke_net().double()
    sketch = scribble(1, 2)
    whole = model(batch_of(sketch, dtype=torch.float64))[0, 0].item()
    scores = occlusion(Game(model, Points(sketch), ClassScore(0))).scores[0]
    first, second = sketch.strokes
    shorter = sketch.with_points([first, second[:-1]])
    left = model(batch_of(shorter, dtype=torch.float64))[0, 0].item()
    assert scores[-1] == pytest.approx(whole - left, abs=1e-12)


def test_it_asks_once_for_each_part():
    game = toy_game(additive([1.0] * 7), 7)
    game.model.asked.clear()
    assert occlusion(game).made.evaluations == 7
    assert torch.equal(torch.cat(game.model.asked), 1 - torch.eye(7, dtype=torch.float64))


def test_luck_asks_nothing_and_is_the_same_for_the_same_seed():
    game = toy_game(additive([1.0] * 200), 200)
    why = random_scores(game, seed=3)
    assert (why.made.evaluations, why.made.seed) == (0, 3)
    np.testing.assert_array_equal(why.scores, random_scores(game, seed=3).scores)
    assert np.abs(why.scores - random_scores(game, seed=4).scores).max() > 0.1
    assert abs(why.scores.mean()) < 0.3
    assert 0.8 < why.scores.std() < 1.2


# --- methods by their names -----------------------------------------------------------------------


def fitting(name: str) -> tuple[object, Points | Strokes | GridCells]:
    """A model and parts that a method can be asked about."""
    if name == "d_rise":
        pooled = nn.Sequential(nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten(), nn.Linear(6, 4))
        return PictureClassifier(pooled, labels=LABELS, size=(8, 8)), GridCells(confetti(), 2, 2)
    sketch = scribble(1, 3)
    parts = Points(sketch) if name == "p_sla" else Strokes(sketch)
    reads_pictures = "cam" in name or name in ("full_grad", "odam")
    return picture_net() if reads_pictures else stroke_net(), parts


@pytest.mark.parametrize("name", METHODS)
def test_explain_runs_every_method_and_records_it(name):
    model, parts = fitting(name)
    game = Game(model, parts, ClassScore([0, 2]))
    why = explain(game, name, budget=64, seed=11)
    assert why.made.method == name
    assert why.scores.shape == (2, len(parts))
    assert why.parts is parts
    assert why.targets == ("alpha", "gamma")
    np.testing.assert_array_equal(why.value, game.value)
    np.testing.assert_array_equal(why.base, game.base)
    assert why.made.seed == (11 if name in SAMPLED else None)
    assert why.made.fingerprint == game.fingerprint
    assert why.made.seconds > 0


def test_an_unknown_method_lists_the_known():
    game = toy_game(additive([1.0]), 1)
    with pytest.raises(GameError, match=r"'shapely'; did you mean 'shapley'\? Known: shapley, ker"):
        explain(game, "shapely")
