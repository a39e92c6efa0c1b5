"""A game that remembers gives the same numbers and asks the model once."""

from __future__ import annotations

import numpy as np
import torch

import sightline as sl
from sightline.game import Game
from sightline.memory import Remembered
from sightline.parts import Strokes
from sightline.targets import ClassScore
from toys import Toy, picture_net, scribble, tangled


def games(strokes=5):
    model = Toy(lambda there: tangled(strokes)(there)[:, None], strokes)
    parts, target = Strokes(scribble(1, strokes)), ClassScore("value")
    return model, Game(model, parts, target), Game(model, parts, target, remember=True)


def test_whole_coalitions_are_computed_once_and_counted_each_time():
    model, plain, keeping = games()
    exact = sl.shapley(plain)
    asked = len(model.asked)
    first = sl.shapley(keeping)
    fresh = sum(len(rows) for rows in model.asked[asked:])
    assert fresh == 2**5 - 2  # everything and nothing were asked when the game was made
    before = len(model.asked)
    again = sl.occlusion(keeping)
    assert len(model.asked) == before
    np.testing.assert_allclose(first.scores, exact.scores, rtol=1e-12)
    np.testing.assert_allclose(again.scores, sl.occlusion(plain).scores, rtol=1e-12)
    assert again.made.evaluations == 5


def test_what_lies_between_goes_to_the_model():
    net = picture_net()
    plain, keeping = (
        Game(net, Strokes(scribble()), ClassScore("beta"), remember=r) for r in (False, True)
    )
    half = torch.full((1, 5), 0.5)
    torch.testing.assert_close(keeping(half), plain(half), rtol=0, atol=0)
    assert (sl.sla(keeping).scores == sl.sla(plain).scores).all()
    noisy = [sl.smooth_grad(game, budget=4).scores for game in (plain, keeping)]
    assert (noisy[0] == noisy[1]).all()


def test_sixty_parts_are_told_apart():
    model = Toy(lambda there: (there @ torch.arange(60.0).double())[:, None], 60)
    game = Game(model, Strokes(scribble(2, 60)), ClassScore("value"), remember=True)
    without = 1 - torch.eye(60)
    torch.testing.assert_close(
        game.value - game(without)[:, 0], torch.arange(60.0).double(), atol=1e-9, rtol=0
    )


def test_more_parts_than_bits_are_not_remembered():
    model = Toy(lambda there: there.sum(1, keepdim=True), 70)
    game = Game(model, Strokes(scribble(2, 70)), ClassScore("value"), remember=True)
    assert not isinstance(game.bound, Remembered)
