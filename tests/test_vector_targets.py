"""What is asked of an encoder: similarity, margins, rank."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import sightline as sl
from sightline.errors import GameError
from sightline.game import Game
from sightline.models.encoder import Encoder
from sightline.models.generator import RasterGenerator
from sightline.parts import Strokes
from sightline.targets import ClassScore
from sightline.targets.vectors import Rank, RankMargin, Similarity, TripletMargin
from toys import Toy, linear_net, picture_net, scribble, stroke_net, unchecked

PLANE = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 1.0]])
"""East, north, west, north-east."""


def toward(there: Tensor) -> Tensor:
    """The first stroke walks 4 east, the second 3 north, the third 1 west."""
    return there @ torch.tensor([[4.0, 0.0], [0.0, 3.0], [-1.0, 0.0]], dtype=torch.float64)


def game_of(target, function=toward, strokes: int = 3) -> Game:
    return Game(Encoder(sketch=Toy(function, strokes)), Strokes(scribble(1, strokes)), target)


def presence(*rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def smooth_encoder(*, measure="cosine") -> Encoder:
    return Encoder(sketch=picture_net(size=16).double(), measure=measure)


def vectors(count: int, width: int = 4) -> Tensor:
    luck = torch.Generator().manual_seed(3)
    return torch.randn(count, width, generator=luck, dtype=torch.float64)


# --- by hand --------------------------------------------------------------------------------------


def test_cosine_in_the_plane():
    game = game_of(Similarity(PLANE))
    root = math.sqrt(0.5)
    wanted = [[1, 0, -1, root], [0, 1, 0, root], [-1, 0, 1, -root], [0, 0, 0, 0]]
    found = game(presence([1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]))
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))
    assert game.value.tolist() == pytest.approx([root, root, -root, 1.0])
    assert (game.unit, game.targets[1]) == ("cosine", "photo 1")


def test_distance_in_the_plane():
    game = game_of(Similarity(PLANE, measure="distance"))
    wanted = [[-1, -math.sqrt(20), -5, -math.sqrt(10)], [-3, -2, -1, -math.sqrt(2)]]
    found = game(presence([1, 0, 0], [0, 0, 0]))
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))
    assert game.unit == "minus distance"


def test_triplet_margin_in_the_plane():
    """At (4, 0) the right one (3, 0) is 1 away and the wrong one (-1, 0) 5: wider by 4."""
    rows = presence([1, 0, 0], [0, 0, 1], [0, 0, 0])
    found = game_of(TripletMargin(PLANE[0], PLANE[2]))(rows)
    assert found[:, 0].tolist() == pytest.approx([4, -4, -2])
    satisfied = game_of(TripletMargin(PLANE[0], PLANE[2], margin=0.5))
    assert satisfied(rows)[:, 0].tolist() == pytest.approx([0.5, -4, -2])
    assert (satisfied.targets, satisfied.unit) == (("triplet margin",), "minus distance")
    cosine = game_of(TripletMargin(PLANE[0], PLANE[2], measure="cosine", name="boot"))
    assert cosine(rows)[:, 0].tolist() == pytest.approx([2, -2, 0])
    assert (cosine.targets, cosine.unit) == (("boot",), "cosine")


def test_rank_margin_in_the_plane():
    margin = RankMargin(PLANE[0], PLANE[1:3], name="boot", names=("clog", "sock"))
    game = game_of(margin)
    assert game(presence([1, 0, 0], [0, 1, 0])).tolist() == [[1, 2], [-1, 0]]
    assert game.targets == ("boot above clog", "boot above sock")
    far = game_of(RankMargin(PLANE[0], PLANE[2:3], measure="distance"))
    assert far(presence([1, 0, 0])).tolist() == [[4]]
    assert far.targets == ("this above that 0",)


def test_rank_in_the_plane():
    """At (4, 0): east, north-east, north, west; at (3, 3) north-east comes first."""
    game = game_of(Rank(PLANE, of=(0, 3, 1, 2)))
    assert game(presence([1, 0, 0])).tolist() == [[0, -1, -2, -3]]
    assert game.value.tolist() == [-1, 0, -1, -3]
    assert (game.unit, game.targets[0]) == ("places", "photo 0")


def test_ties_share_the_better_place():
    twice = torch.tensor([[2.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    near = game_of(Rank(twice, of=(0, 1, 2, 3, 4)))
    assert near(presence([1, 0, 0])).tolist() == [[0, 0, 0, -3, -3]]
    far = game_of(Rank(twice, of=(0, 1, 2, 3), measure="distance"))
    assert far(presence([1, 0, 0])).tolist() == [[0, -1, -1, -3]]


def test_copies_encoded_apart_tie():
    gallery = torch.randn(50, 64, generator=torch.Generator().manual_seed(3))
    asked = gallery[:1] + 0.3
    # another batch rounds the same photo's vector otherwise: 7e-7 apart was measured
    gallery[9] = gallery[0] * (1 + 7e-7)
    gallery[9, 0] += 7e-7
    for measure in ("cosine", "distance"):
        read = Rank(gallery, of=(0, 9), measure=measure).bind(None, (), asked, scribble()).read
        places = read(asked)[0].tolist()
        assert places[0] == places[1], measure
    apart = gallery[0].clone()
    apart[0] += 1e-3  # another photo
    read = Rank(torch.stack([gallery[0], apart]), of=(0, 1)).bind(None, (), asked, scribble()).read
    assert sorted(read(asked)[0].tolist()) == [-1.0, 0.0]


def test_copies_tie_wherever_they_stand():
    """Also in float32 and among many, where sums may be rounded differently."""
    luck = torch.Generator().manual_seed(0)
    gallery = torch.randn(211, 67, generator=luck)
    copies = (3, 50, 128, 210)
    gallery[list(copies)] = gallery[7].clone()
    query = torch.randn(1, 67, generator=luck)
    for measure in ("cosine", "distance"):
        for rows in (1, 2, 9):
            target = Rank(gallery, of=(7, *copies), measure=measure)
            reply = query.expand(rows, -1)
            places = target.bind(None, (), reply, scribble()).read(reply)
            assert len(set(places.flatten().tolist())) == 1


# --- against plain loops --------------------------------------------------------------------------


def alike(x, y, measure: str) -> float:
    if measure == "distance":
        return -math.dist(x, y)
    return float(np.dot(x, y) / math.hypot(*x) / math.hypot(*y))


@pytest.mark.parametrize("measure", ["cosine", "distance"])
def test_every_target_against_plain_loops(measure):
    others, reply = vectors(6), torch.tanh(vectors(9)[6:])
    x, o = reply.numpy(), others.numpy()
    table = np.array([[alike(a, b, measure) for b in o] for a in x])
    places = [[-sum(row[j] > row[i] for j in range(6)) for i in (1, 4)] for row in table]
    asked = {
        Similarity(others, measure=measure): table,
        TripletMargin(others[0], others[1], measure=measure): table[:, [0]] - table[:, [1]],
        RankMargin(others[0], others[1:], measure=measure): table[:, [0]] - table[:, 1:],
        Rank(others, of=(1, 4), measure=measure): np.array(places),
    }
    for target, wanted in asked.items():
        found = target.bind(None, (), reply, scribble()).read(reply)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12)


def shapley(value, parts: int) -> list[float]:
    """Over all orders."""
    found = [0.0] * parts
    orders = list(itertools.permutations(range(parts)))
    for order in orders:
        there = [0.0] * parts
        for part in order:
            before = value(there)
            there[part] = 1.0
            found[part] += (value(there) - before) / len(orders)
    return found


@pytest.mark.parametrize(
    "target",
    [
        Similarity(PLANE[:1]),
        Similarity(PLANE[3:], measure="distance"),
        TripletMargin(PLANE[0], PLANE[2], margin=1.0),
        RankMargin(PLANE[0], PLANE[1:2]),
        Rank(PLANE, of=(1,)),
    ],
    ids=lambda target: type(target).__name__,
)
def test_exact_shapley_values(target):
    game = game_of(target)

    def value(there) -> float:
        reply = toward(torch.tensor([there], dtype=torch.float64))
        return float(target.bind(None, (), reply, scribble()).read(reply))

    why = sl.shapley(game)
    assert why.scores[0].tolist() == pytest.approx(shapley(value, 3), abs=1e-9)
    assert why.scores.sum() == pytest.approx(float(game.value[0] - game.base[0]), abs=1e-9)


SMOOTH = [
    lambda measure: Similarity(vectors(3), measure=measure),
    lambda measure: TripletMargin(vectors(3)[0], vectors(3)[1], measure=measure),
    lambda measure: RankMargin(vectors(3)[0], vectors(3)[1:], measure=measure),
]


@pytest.mark.parametrize("measure", ["cosine", "distance"])
@pytest.mark.parametrize("make", SMOOTH, ids=["similarity", "triplet", "rank margin"])
def test_gradients_by_differences(make, measure):
    game = Game(smooth_encoder(measure=measure), Strokes(scribble(1, 3)), make(measure))
    here, step = torch.full((1, 3), 0.4, dtype=torch.float64), 1e-6
    slopes = game.gradient(here)[0]
    for part in range(3):
        moved = step * torch.eye(3, dtype=torch.float64)[part]
        wanted = (game(here + moved) - game(here - moved))[0] / (2 * step)
        torch.testing.assert_close(slopes[:, part], wanted, rtol=1e-5, atol=1e-7)


def test_sla_of_a_similarity():
    """The encoder is linear, so that the slope of the cosine can be written down."""
    model = linear_net()
    sketch, to = scribble(1, 3), vectors(1).float()
    game = Game(Encoder(sketch=model), Strokes(sketch), Similarity(to))
    batch = sl.SketchBatch.from_sketches([model.prepare(sketch)])
    layers = model.rasteriser.layers(batch).double()
    weight, bias = (p.detach().double() for p in model.module[1].parameters())
    x = layers.sum(0).clamp(max=1).flatten() @ weight.T + bias
    unit, y = x / x.norm(), to[0].double() / to.norm().double()
    slope = (y - (y @ unit) * unit) / x.norm()  # of the cosine, by the vector
    wanted = layers.flatten(1) @ weight.T @ slope
    torch.testing.assert_close(
        torch.from_numpy(sl.sla(game).scores[0]), wanted, rtol=1e-4, atol=1e-6
    )


def test_a_satisfied_margin_has_no_slope():
    game = game_of(TripletMargin(PLANE[0], PLANE[2], margin=0.5))
    assert not game.gradient(presence([1, 0, 0])).any()
    assert game.gradient(presence([0, 0, 1])).any()


def test_rank_has_no_gradient_but_can_be_asked():
    net = stroke_net()
    encoder = Encoder(sketch=net)
    gallery = encoder.encode([scribble(seed) for seed in range(6)])
    game = Game(encoder, Strokes(scribble(2)), Rank(gallery, of=(2,)))
    assert game.value.tolist() == [0]
    for method in (sl.sla, sl.integrated_gradients, sl.smooth_grad):
        with pytest.raises(GameError, match="carries no gradient"):
            method(game)
    why = sl.shapley(game)
    assert why.scores.sum() == pytest.approx(float(game.value[0] - game.base[0]))


def test_deletion_measured_in_places():
    """What the similarity found first is what costs the most places."""
    gallery = torch.tensor([[1.0, 0.1], [1.0, 0.6], [0.5, 1.0], [0.1, 1.0]])
    why = sl.shapley(game_of(Similarity(gallery[:1])))
    assert why.scores[0].argmax() == 0  # 4 east
    game = game_of(Rank(gallery, of=(0,)))
    order = np.argsort(-why.scores[0])
    there = torch.ones(1, 3)
    places = [game(there).item()]
    for part in order:
        there[0, part] = 0
        places.append(game(there).item())
    assert places == [-2, -3, -3, 0]  # without ink all are alike


# --- models in any type ---------------------------------------------------------------------------


def test_vectors_follow_the_reply():
    """float32 vectors are asked of an encoder in float64, and the other way round."""
    for net, given in ((stroke_net().double(), torch.float32), (stroke_net(), torch.float64)):
        to = vectors(2).to(given)
        game = Game(Encoder(sketch=net), Strokes(scribble(1, 3)), Similarity(to))
        assert game.gradient(torch.ones(1, 3)).shape == (1, 2, 3)


# --- methods that look inside ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "eigen_cam", "full_grad"])
def test_maps_of_an_encoder(method):
    encoder = Encoder(sketch=picture_net())
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(vectors(2).float()))
    assert getattr(sl, method)(game).scores.any()
    with pytest.raises(GameError, match="reads no pictures; use shapley"):
        other = Encoder(sketch=stroke_net())
        getattr(sl, method)(Game(other, Strokes(scribble(1, 3)), Similarity(vectors(2).float())))


def test_attention_of_an_encoder():
    encoder = Encoder(sketch=stroke_net())
    game = Game(encoder, Strokes(scribble(1, 3)), Similarity(vectors(2).float()))
    assert sl.attention(game).scores.shape == (2, 3)
    ink = Encoder(sketch=picture_net())
    with pytest.raises(GameError, match="RasterModel attends to no strokes"):
        sl.attention(Game(ink, Strokes(scribble(1, 3)), Similarity(vectors(2).float())))


def test_anchors_ask_for_classes():
    with pytest.raises(GameError, match="'photo 0' is asked in cosine, and is no class"):
        sl.anchors(game_of(Similarity(PLANE)))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [None, ClassScore(), ClassScore(3), ClassScore("cat")], ids=str)
def test_an_encoder_has_no_classes(target):
    with pytest.raises(GameError, match=r"no classes: ask\s+sl.Similarity\(encoder.encode"):
        Game(Encoder(sketch=stroke_net()), Strokes(scribble()), target)


def test_one_target_does_not_ask_one_thing_twice():
    with pytest.raises(GameError, match="both named 'boot'"):
        game_of(Similarity(PLANE[:2], names=("boot", "boot")))


def test_names():
    assert Similarity(PLANE, names=("a", "b", "c", "d")).names == ("a", "b", "c", "d")
    assert Rank(PLANE, of=(3, 1)).names == ("photo 3", "photo 1")
    for make in (
        lambda: Similarity(PLANE, names=("a",)),
        lambda: RankMargin(PLANE[0], PLANE, names=("a",)),
        lambda: Rank(PLANE, of=(0, 1, 2, 3), names=("a",)),
    ):
        with pytest.raises(GameError, match="4 vectors, but 1 names; give one each"):
            make()


@pytest.mark.parametrize("of", [(4,), (-1,), (0, 9)], ids=str)
def test_photos_outside_the_gallery(of):
    with pytest.raises(
        GameError, match=r"no photo \[-?\d\] in a gallery of 4; give indices from 0"
    ):
        Rank(PLANE, of=of)


def test_no_photos():
    with pytest.raises(GameError, match="no photo is named in a gallery of 4"):
        Rank(PLANE, of=())
    with pytest.raises(GameError, match=r"shapes \[\[0, 2\]\]; expected \[vectors, dimension\]"):
        Similarity(torch.zeros(0, 2))
    with unchecked(), pytest.raises(GameError, match=r"shapes \[\[2\]\]; expected"):
        Similarity(torch.zeros(2))


def test_vectors_of_two_lengths():
    told = r"vectors of \[2, 3\] numbers cannot be compared; encode all with the same encoder"
    with unchecked(), pytest.raises(GameError, match=told):
        RankMargin(torch.ones(3), PLANE)
    with unchecked(), pytest.raises(GameError, match=told):
        TripletMargin(torch.ones(3), PLANE[0])


@pytest.mark.parametrize(
    "target",
    [
        Similarity(torch.ones(1, 5)),
        TripletMargin(torch.ones(5), torch.zeros(5)),
        RankMargin(torch.ones(5), torch.zeros(1, 5)),
        Rank(torch.ones(2, 5), of=(0,)),
    ],
    ids=lambda target: type(target).__name__,
)
def test_vectors_of_another_encoder(target):
    with pytest.raises(GameError, match="vectors have 2 numbers, those compared with 5; encode bo"):
        game_of(target)


def test_what_answers_no_vectors():
    generator = RasterGenerator(torch.nn.Identity())
    with pytest.raises(GameError, match=r"the model answers no vectors: .*sl.Encoder\(sketch="):
        Game(generator, Strokes(scribble()), Similarity(PLANE))


def test_unknown_measures():
    for make in (
        lambda: Similarity(PLANE, measure="l2"),
        lambda: TripletMargin(PLANE[0], PLANE[1], measure="l2"),
        lambda: RankMargin(PLANE[0], PLANE, measure="l2"),
        lambda: Rank(PLANE, of=(0,), measure="l2"),
    ):
        with (
            unchecked(),
            pytest.raises(GameError, match="unknown measure 'l2'; Known: cosine, dis"),
        ):
            make()


@pytest.mark.parametrize("margin", [-0.1, float("nan")])
def test_margins_below_zero(margin):
    with pytest.raises(GameError, match="must be at least 0, or None"):
        TripletMargin(PLANE[0], PLANE[1], margin=margin)


def test_units_are_not_mixed():
    with pytest.raises(GameError, match="unit"):
        game_of([Similarity(PLANE), Similarity(PLANE, measure="distance")])
