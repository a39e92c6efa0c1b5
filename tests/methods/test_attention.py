"""Attention and its rollout: by hand, against an encoder in plain numpy, by their laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oracles import attention as oracle
from sightline import ClassScore, Game, GameError, GridCells, Points, Strokes
from sightline.methods import attention, attention_rollout
from toys import LABELS, Toy, batch_of, picture_net, scribble, stroke_net

ALL = ClassScore(list(LABELS))
SKETCH = scribble(1, 5)
BOTH = [attention, attention_rollout]
PADDINGS = ["none", "attended", "zeroed"]


def tokens_by_hand(model, sketch) -> np.ndarray:
    """Class token, strokes, and empty slots as the padding says."""
    state = {n: v.numpy() for n, v in model.state_dict().items()}
    with torch.no_grad():
        shape = model.shape(batch_of(sketch, dtype=torch.float64)).numpy()
    first = np.array([stroke[0] for stroke in sketch.strokes])
    order = state["order.weight"]
    located = first @ state["location.weight"].T + state["location.bias"]
    strokes = shape + located + order[: len(sketch)]
    empty = {
        "none": np.zeros((0, shape.shape[1])),
        "attended": state["location.bias"] + order[len(sketch) :],
        "zeroed": 0 * order[len(sketch) :],
    }
    return np.concatenate([state["class_token"][None], strokes, empty[model.config.padding]])


def by_hand(model, sketch):
    state = {n: v.numpy() for n, v in model.state_dict().items()}
    return oracle.encoder(state, tokens_by_hand(model, sketch), model.config.heads)


# --- by hand, and written out ---------------------------------------------------------------------


class Looking(Toy):
    """Three strokes, and attention that somebody wrote down: two layers of one head."""

    def attention(self, tokens):
        first = [[0.4, 0.6, 0, 0], [0, 1, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1.0]]
        last = [[0.2, 0, 0.8, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]
        return [torch.tensor(layer)[None, None] for layer in (first, last)]


def test_by_hand():
    game = Game(Looking(lambda z: z.sum(1, keepdim=True), 3), Strokes(scribble(1, 3)))
    np.testing.assert_allclose(attention(game).scores, [[0, 0.8, 0]], atol=1e-6)
    np.testing.assert_allclose(attention(game, layer=0).scores, [[0.6, 0, 0]], atol=1e-6)
    # the class token keeps (1 + 0.2) / 2 of what it had, and takes 0.4 of stroke 1; of these it
    # had 0.3 of stroke 0, stroke 1 had 0.25 of stroke 0 and 0.75 of itself
    expected = [[0.6 * 0.3 + 0.4 * 0.25, 0.4 * 0.75, 0]]
    np.testing.assert_allclose(attention_rollout(game).scores, expected, atol=1e-6)
    assert "the class token itself holds 0.42" in attention_rollout(game).made.notes


@pytest.mark.parametrize("padding", PADDINGS)
def test_both_are_the_encoder_written_out(padding):
    model = stroke_net(padding=padding).double()
    shares, logits = by_hand(model, SKETCH)
    game = Game(model, Strokes(SKETCH), ALL)
    np.testing.assert_allclose(logits, game.value, atol=1e-9)  # else the oracle is another model
    for layer in (0, 1, -1):
        expected = shares[layer].mean(0)[0, 1:6]
        for row in attention(game, layer=layer).scores:
            np.testing.assert_allclose(row, expected, atol=1e-12)
    rolled = oracle.rollout(shares)
    np.testing.assert_allclose(attention_rollout(game).scores[0], rolled[1:6], atol=1e-12)
    assert np.ptp(rolled[1:6]) > 1e-3


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("padding", PADDINGS)
def test_all_shares_make_one(method, padding):
    why = method(Game(stroke_net(padding=padding), Strokes(SKETCH)))
    told = [float(note.rsplit(" ", 1)[1]) for note in why.made.notes[1:]]
    assert len(told) == (1 if padding == "none" else 2)
    assert why.scores.sum() + sum(told) == pytest.approx(1, abs=2e-3)  # notes: three digits
    assert why.scores.min() > 0


@pytest.mark.parametrize("method", BOTH)
def test_every_target_has_the_same_scores_and_a_note_says_so(method):
    why = method(Game(stroke_net(), Strokes(SKETCH), ALL))
    assert (why.scores == why.scores[0]).all()
    assert why.made.notes[0].startswith("attention does not know the target")
    assert why.unit == "share of attention"


def test_the_layer_is_told():
    assert attention(Game(stroke_net(), Strokes(SKETCH))).made.settings == {"layer": -1}


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_drawing_attends_as_it_does_alone(padding):
    model = stroke_net(padding=padding).double()
    drawings = [scribble(1, 5), scribble(2, 2), scribble(4, 3)]
    with torch.no_grad():
        together = model.attention(model.embed(batch_of(*drawings, dtype=torch.float64)))
        for row, drawing in enumerate(drawings):
            alone = model.attention(model.embed(batch_of(drawing, dtype=torch.float64)))
            tokens = alone[0].shape[-1]
            for many, one in zip(together, alone, strict=True):
                torch.testing.assert_close(
                    many[row, :, :tokens, :tokens], one[0], atol=1e-12, rtol=0
                )
                assert not many[row, :, :tokens, tokens:].any()


@pytest.mark.parametrize("method", BOTH)
def test_points_share_what_their_stroke_has(method):
    model = stroke_net().double()
    strokes = method(Game(model, Strokes(SKETCH))).scores
    why = method(Game(model, Points(SKETCH)))
    lengths = [len(stroke) for stroke in SKETCH.strokes]
    np.testing.assert_allclose(why.scores, np.repeat(strokes / lengths, lengths, axis=1))
    assert why.made.notes[-1] == "carried from strokes to points"


@pytest.mark.parametrize("method", BOTH)
def test_both_cost_one_evaluation(method):
    game = Game(stroke_net(), Strokes(SKETCH), ALL)
    assert method(game).made.evaluations == 1
    assert game.evaluations == 3


# --- refusals, and the model as it was ------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("parts", [Strokes(SKETCH), Points(SKETCH), GridCells(SKETCH, 2, 2)])
def test_a_model_of_pictures_has_no_attention_over_strokes(method, parts):
    message = rf"{method.__name__} reads where .* RasterModel attends to no .*; use shapley, kernel"
    with pytest.raises(GameError, match=message):
        method(Game(picture_net(), parts))


@pytest.mark.parametrize("layer", [2, -3])
def test_a_layer_that_is_not_there(layer):
    with pytest.raises(GameError, match=rf"no layer {layer} in a model with 2: give 0 to 1"):
        attention(Game(stroke_net(), Strokes(SKETCH)), layer=layer)


@pytest.mark.parametrize("method", BOTH)
def test_the_model_is_as_it_was(method):
    model = stroke_net(dropout=0.5).train()
    game = Game(model, Strokes(SKETCH))
    before = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    first, again = method(game).scores, method(game).scores
    np.testing.assert_array_equal(first, again)  # no dropout inside
    after = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    assert after == before
    model.layers[1].out = None  # breaks the second layer
    with pytest.raises(TypeError):
        method(game)
    assert all(module.training for module in model.modules())


# --- a known wrong version must fail --------------------------------------------------------------


def test_rolling_the_other_way_is_another_answer():
    model = stroke_net().double()
    shares, _ = by_hand(model, SKETCH)
    right = attention_rollout(Game(model, Strokes(SKETCH))).scores[0]
    assert np.abs(oracle.rollout(shares[::-1])[1:] - right).max() > 1e-3
