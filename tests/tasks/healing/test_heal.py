import numpy as np
import pytest
import torch

import sightline as sl
from sightline.errors import GameError, TaskError
from sightline.models.encoder import Encoder
from sightline.models.generator import RasterGenerator
from sightline.sketch.raster import Rasteriser
from sightline.targets import Rank, Region, Similarity
from sightline.tasks.healing import Healing, Piece, heal, suggest
from sightline.tasks.healing.scores import asked_of, scores_of
from toys import picture_net, scribble, stroke_net, unchecked

BAD = Piece(1, 0, 2)


def ends(suggestions):
    return [(each.piece.stroke, round(each.gain, 6)) for each in suggestions]


def test_suggestions_by_hand(drawing, game_of):
    game = game_of(drawing, p2=1.0, p3=-2.0, p4=4.0, p5=-0.5)
    listed = suggest(drawing, game, method="sla", keep=0.0)
    assert ends(listed) == [(1, 2.0), (3, 0.5), (0, -1.0), (2, -4.0)]
    assert [each.score for each in listed] == [4.5, 3.0, 1.5, -1.5]
    assert [each.explained for each in listed] == [-2.0, -0.5, 1.0, 4.0]  # SLA is the worth itself
    assert {each.method for each in listed} == {"sla"}
    assert listed[0].piece == BAD
    assert listed[0].name == "stroke 1"


def test_only_the_worst_explained_are_scored(drawing, game_of):
    game = game_of(drawing, p2=1.0, p3=-2.0, p4=4.0, p5=-0.5)
    assert ends(suggest(drawing, game, tried=2)) == [(1, 2.0), (3, 0.5)]


def test_the_walk_by_hand(drawing, game_of):
    game = game_of(drawing, p2=1.0, p3=-2.0, p4=4.0, p5=-0.5)
    healing = heal(drawing, game)
    assert [(s.piece.stroke, s.score, s.explained) for s in healing.steps] == [
        (1, 4.5, -2.0),
        (3, 5.0, -0.5),
    ]
    assert healing.notes == ("no removal gains anything",)
    assert [len(stroke) for stroke in healing.sketch.strokes] == [2, 4]


def test_the_least_gain_stops_it(drawing, game_of):
    game = game_of(drawing, p2=1.0, p3=-2.0, p4=4.0, p5=-0.5)
    assert len(heal(drawing, game, least_gain=0.5).steps) == 1  # more than, not as much as
    assert len(heal(drawing, game, least_gain=0.49).steps) == 2
    none = heal(drawing, game, least_gain=2.0)
    assert none.steps == ()
    assert none.notes == ("no removal gains more than 2 logit",)


def test_rounding_is_no_gain(drawing, game_of):
    game = game_of(drawing, p3=-1e-6)
    assert suggest(drawing, game)[0].gain != 0
    assert heal(drawing, game).steps == ()


def test_both_must_agree(enough):
    # one stroke is enough, and each costs a tenth: without any one of three the score rises by a
    # tenth, but its Shapley value is 1/3 - 1/10
    three = sl.Sketch.from_strokes([[(0, i), (9, i)] for i in range(3)])
    game = enough(three)
    listed = suggest(three, game)
    assert [each.gain for each in listed] == pytest.approx([0.1] * 3)
    assert [each.explained for each in listed] == pytest.approx([1 / 3 - 0.1] * 3)
    agreed = heal(three, game)
    assert agreed.steps == ()
    assert agreed.notes == ("the explanation speaks against nothing that gains",)
    assert len(heal(three, game, against=False, keep=0.0).steps) == 2
    assert len(heal(three, game, method="random", keep=0.0).steps) == 2  # has no sign
    by_hand = heal(three, game, method=lambda sketch: np.ones(len(sketch)), keep=0.0)
    assert len(by_hand.steps) == 2
    assert by_hand.steps[0].method == "<lambda>"


def test_a_tail_is_cut_off(hook, level):
    game = level(hook)
    healing = heal(hook, game, parts="stretches", keep=0.1)
    unit = 1.48 / 8
    assert healing.removed == (Piece(0, 8, 12),)
    assert healing.value == pytest.approx((8 + 8 - 2) * unit, abs=1e-6)
    assert healing.score == pytest.approx((8 + 8) * unit, abs=1e-6)
    assert healing.steps[0].method == "p_sla"
    assert [len(stroke) for stroke in healing.sketch.strokes] == [9, 2]
    # of the whole drawing no stroke should go; of both kinds the stretch does
    assert heal(hook, game).steps == ()
    assert heal(hook, game, parts="both", keep=0.1).removed == healing.removed


def test_a_stretch_must_be_spoken_against_too(enough):
    long = sl.Sketch.from_strokes([[(i, i % 2) for i in range(9)], [(0, 3), (8, 3)]])
    game = enough(long)
    listed = suggest(long, game, parts="stretches", tried=None)
    assert listed[0].gain > 0
    assert heal(long, game, parts="stretches", least_gain=0.0).steps == ()
    assert heal(long, game, parts="stretches", least_gain=0.0, against=False).steps


def test_suggested_stretches_do_not_lie_over_each_other(hook, level):
    listed = suggest(hook, level(hook), parts="both")
    pieces = [each.piece for each in listed]
    assert len(pieces) > 2
    assert not any(a.meets(b) for i, a in enumerate(pieces) for b in pieces[:i])
    assert pieces[0] == Piece(0, 8, 12)
    gains = [each.gain for each in listed]
    assert gains == sorted(gains, reverse=True)


def test_random_stretches(hook, level):
    game = level(hook)
    listed = suggest(hook, game, parts="stretches", method="random", tried=2, seed=1)
    assert {each.method for each in listed} == {"random"}
    others = suggest(hook, game, parts="stretches", method="random", tried=2, seed=2)
    assert [each.piece for each in listed] != [each.piece for each in others]


def test_so_many_steps_and_then_on(drawing, game_of):
    game = game_of(drawing, p2=1.0, p3=-2.0, p4=4.0, p5=-0.5)
    once = heal(drawing, game, steps=1)
    assert once.notes == ("stopped after 1 steps, as asked",)
    assert len(once.steps) == 1
    assert heal(once, game).steps == heal(drawing, game).steps
    assert heal(drawing, game, steps=0).steps == ()


def test_what_heals_to_nothing_is_stopped_before(drawing, game_of):
    game = game_of(drawing, p2=-4.0, p3=-3.0, p4=-2.0, p5=-1.0)
    healing = heal(drawing, game, keep=0.0)
    assert [piece.stroke for piece in healing.removed] == [0, 1, 2]
    assert healing.notes == ("stopped before nothing is left: one stroke remains, and it stays",)
    # lengths 1, 2, 3, 4: without the first two 7 tenths stay, without three 4
    half = heal(drawing, game, keep=0.5)
    assert [piece.stroke for piece in half.removed] == [0, 1]
    assert half.notes == ("stopped before nothing is left: at least 50% of the line stays",)


def test_a_drawing_of_one_stroke_stays(game_of):
    one = sl.Sketch.from_strokes([[(0, 0), (1, 1), (2, 0)]])
    game = game_of(one, p3=-1.0)
    assert suggest(one, game) == ()
    healing = heal(one, game)
    assert healing.steps == ()
    assert "one stroke remains" in healing.notes[0]


def test_what_has_no_points_to_cut_at_says_so(game_of):
    lines = sl.Sketch.from_strokes([[(0, i), (9, i)] for i in range(4)])
    healing = heal(lines, game_of(lines, p2=-1.0), parts="stretches")
    assert healing.notes == ("no stroke has points to cut at",)
    one = sl.Sketch.from_strokes([[(i, i % 2) for i in range(9)]])
    kept = heal(one, game_of(one, p9=-1.0), parts="stretches", keep=0.99)
    assert kept.notes == ("stopped before nothing is left: at least 99% of the line stays",)


def test_ties_go_to_what_the_explanation_likes_least_then_to_the_first(game_of):
    same = sl.Sketch.from_strokes([[(0, i), (9, i)] for i in range(4)])
    game = game_of(same, p2=-1.0)
    listed = suggest(same, game)
    assert [each.piece.stroke for each in listed] == [0, 1, 2, 3]
    last_first = suggest(same, game, method=lambda sketch: -np.arange(4.0))
    assert [each.piece.stroke for each in last_first] == [3, 2, 1, 0]


def test_what_is_left_is_read_anew(level):
    # a slash of 45 degrees out of the box of a level line makes the line's share of it smaller
    sketch = sl.Sketch.from_strokes([[(0, 0), (4, 0)], [(2, 0), (2, 8)], [(0, 8), (4, 8)]])
    game = level(sketch)
    healing = heal(sketch, game, method="occlusion", keep=0.0, steps=1)
    # before: 8 high, scaled by 1.48 / 8, across 8, up 8; in the old frame the two level lines
    # would be worth 8 x 1.48 / 8; alone a line is 1.48 wide, and of both the height is still 8
    assert healing.removed == (Piece(1, 0, 1),)
    assert healing.value == pytest.approx(0.0, abs=1e-6)
    assert healing.score == pytest.approx(1.48, abs=1e-6)
    alone = healing.remove(Piece(2, 0, 1), game)
    assert alone.score == pytest.approx(1.48, abs=1e-6)  # 4 units, now the longest side
    by_presence = game(torch.tensor([[1.0, 0.0, 0.0]]))[0, 0]
    assert by_presence.item() == pytest.approx(0.74, abs=1e-6)


def test_the_predicted_class_stays_the_one_that_was_predicted(game_of):
    sketch = sl.Sketch.from_strokes([[(0, 0), (9, 0)], [(0, 1), (9, 1), (9, 9)], [(0, 5), (5, 5)]])
    game = game_of(sketch, target=None, p2=-1.0, p3=3.0)
    assert game.targets == ("worth",)
    left = scores_of(game, [sketch.select([0, 2]), sketch])
    assert left.tolist() == [-2.0, 1.0]  # the answer is "nothing" now, and not what is scored
    again = asked_of(game, sl.Strokes(sketch.select([0])))
    assert again.targets == ("worth",)
    assert again.fingerprint == game.fingerprint


def test_of_several_targets_one_is_healed(drawing, game_of):
    game = game_of(drawing, target=["nothing", "worth"], p3=-2.0)
    assert heal(drawing, game, target="worth").removed == (BAD,)
    assert heal(drawing, game, target=1).target == "worth"
    assert heal(drawing, game).steps == ()
    with pytest.raises(TaskError, match="no target 'wort' in this game; it asks nothing, worth"):
        heal(drawing, game, target="wort")


@pytest.mark.parametrize("method", ["sla", "shapley", "kernel_shap", "occlusion", "lime"])
@pytest.mark.parametrize("scale", ["logit", "log-probability", "probability"])
def test_any_method_and_scale(drawing, game_of, method, scale):
    model = game_of(drawing, p2=0.5, p3=-2.0, p4=1.0, p5=0.25).model
    game = sl.Game(model, sl.Strokes(drawing), sl.ClassScore("worth", scale=scale))
    assert heal(drawing, game, method=method, tried=1).removed == (BAD,)


@pytest.mark.parametrize("net", [picture_net, stroke_net])
def test_real_networks_rise_and_are_left_as_they_came(net):
    model = net().train()
    sketch = scribble(5, strokes=6)
    game = sl.Game(model, sl.Strokes(sketch), sl.ClassScore(model.labels[0]))
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    healing = heal(sketch, game, least_gain=0.0)
    rises = np.diff(healing.scores)
    assert len(rises)
    assert (rises > 0).all()
    np.testing.assert_allclose(healing.scores[-1], plain_score(model, healing.sketch), atol=1e-5)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def plain_score(model, sketch) -> float:
    training = model.training
    with torch.no_grad():
        batch = sl.SketchBatch.from_sketches([model.prepare(sketch)])
        score = float(model.eval()(batch)[0, 0])
    model.train(training)
    return score


def test_greedy_with_all_tried_is_the_plain_loop():
    model, sketch = picture_net(), scribble(7, strokes=6)
    game = sl.Game(model, sl.Strokes(sketch), sl.ClassScore(model.labels[0]))
    healing = heal(sketch, game, tried=None, least_gain=0.0, keep=0.0)
    left, removed, score = list(range(6)), [], plain_score(model, sketch)
    while len(left) > 1:
        rest = {i: plain_score(model, sketch.select([j for j in left if j != i])) for i in left}
        best = max(rest, key=rest.get)
        if rest[best] <= score:
            break
        left.remove(best)
        removed.append(best)
        score = rest[best]
    assert removed
    assert [piece.stroke for piece in healing.removed] == removed
    assert healing.score == pytest.approx(score, abs=1e-5)


def test_batches_do_not_matter():
    model, sketch = picture_net(), scribble(7, strokes=6)
    asked = sl.ClassScore(model.labels[0])
    whole, single = (
        heal(sketch, sl.Game(model, sl.Strokes(sketch), asked, batch=batch), parts="both")
        for batch in (512, 1)
    )
    assert whole.removed == single.removed
    np.testing.assert_allclose(whole.scores, single.scores, atol=1e-5)


def test_random_depends_on_drawing_and_seed_only(drawing, game_of):
    game = game_of(drawing)
    torch.manual_seed(1)
    first = suggest(drawing, game, method="random", tried=1, seed=3)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert suggest(drawing, game, method="random", tried=1, seed=3) == first
    assert torch.equal(state, torch.random.get_rng_state())
    others = {suggest(drawing, game, method="random", tried=1, seed=s)[0].piece for s in range(20)}
    assert len(others) > 1


def test_a_similarity_guides_a_rank():
    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    encoder = Encoder(sketch=pooled)
    luck = np.random.default_rng(0)
    clean = scribble(3, strokes=3)
    others = [scribble(seed, strokes=3) for seed in range(10, 30)]
    low, high = clean.points.min(0), clean.points.max(0)
    noise = [low + luck.random((12, 2)) * (high - low) for _ in range(3)]
    noisy = sl.Sketch.from_strokes([*clean.strokes, *noise])
    gallery = encoder.encode([clean, *others])
    rank = sl.Game(encoder, sl.Strokes(noisy), Rank(gallery, of=(0,)))
    near = sl.Game(encoder, sl.Strokes(noisy), Similarity(gallery[:1]))
    assert rank.value.item() < 0
    healing = heal(noisy, rank, guide=near, method="sla")
    assert healing.unit == "places"
    assert healing.score > healing.value
    assert (np.diff(healing.scores) >= 1).all()  # places are whole: it stops when none is gained
    assert {step.method for step in healing.steps} == {"sla"}
    with pytest.raises(GameError, match="carries no gradient"):
        heal(noisy, rank, method="sla")
    assert heal(noisy, rank, method="occlusion").score >= healing.value


def test_a_region_of_a_generated_picture():
    # a generator of black ink on white paper: every stroke that goes makes the picture brighter
    small = Rasteriser(size=16, line_width=0.1)
    generator = RasterGenerator(lambda ink: 1 - ink.expand(-1, 3, -1, -1), rasteriser=small)
    sketch = scribble(2, strokes=4)
    page = Region(torch.ones(1, 16, 16, dtype=torch.bool), names=("page",), asked="brightness")
    game = sl.Game(generator, sl.Strokes(sketch), page)
    healing = heal(sketch, game, method="sla", keep=0.4)
    assert healing.target == "page"
    assert healing.steps
    assert (np.diff(healing.scores) > 0).all()
    assert "at least 40% of the line stays" in healing.notes[0]


def test_a_model_that_answers_nan_is_refused(drawing, game_of):
    game = game_of(drawing, p3=-1.0)
    game.model.worth[2] = float("nan")
    with pytest.raises(GameError, match="NaN or infinity"):
        heal(drawing, game)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "slaa"}, "unknown method 'slaa'; did you mean 'sla'"),
        ({"parts": "stroke"}, "unknown kind of parts 'stroke'; did you mean 'strokes'"),
        ({"method": "p_sla"}, "ask it about parts='stretches'"),
        ({"method": "p_sla", "parts": "both"}, "ask it about parts='stretches'"),
        ({"tried": 0}, "tried is 0; give at least 1"),
        ({"keep": 1.0}, "keep is 1.0"),
        ({"keep": -0.1}, "keep is -0.1"),
        ({"steps": -1}, "steps is -1"),
        ({"least_gain": -0.5}, "least_gain is -0.5; give 0 or more"),
        ({"least_gain": float("nan")}, "least_gain is nan"),
        ({"method": lambda sketch: np.zeros(1)}, "expected a number each"),
    ],
)
def test_wrong_settings(drawing, game_of, settings, message):
    with unchecked(), pytest.raises(TaskError, match=message):
        heal(drawing, game_of(drawing), **settings)


def test_a_game_of_a_photo_is_refused(drawing):
    photo = sl.Photo(np.zeros((32, 32, 3), np.uint8))
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    game = sl.Game(net, sl.GridCells(photo, 2, 2), sl.ClassScore(0))
    with pytest.raises(TaskError, match="a drawing is healed by a game of drawings"):
        heal(drawing, game)


def test_a_healing_of_another_game_is_refused(drawing, game_of):
    healing = heal(drawing, game_of(drawing, p3=-1.0))
    assert isinstance(healing, Healing)
    chances = sl.Game(
        game_of(drawing).model, sl.Strokes(drawing), sl.ClassScore("worth", scale="probability")
    )
    with pytest.raises(TaskError, match="cannot be compared"):
        heal(healing, chances)
