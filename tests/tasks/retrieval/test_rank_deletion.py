import math
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from match_toys import WEIGHTS, half_red, halves, number_line, three
from sightline.errors import GameError, TaskError
from sightline.models.encoder import Encoder
from sightline.sketch.lengths import stroke_lengths
from sightline.tasks.retrieval.explain_match import explain_match
from sightline.tasks.retrieval.rank_deletion import (
    RankDeletion,
    by_length,
    by_order,
    compare_areas,
    rank_deletion,
    rank_table,
)
from toys import scribble, stroke_net

GALLERY = torch.tensor([[6.0], [3.0], [0.0]])


def query(**settings):
    photo = half_red()
    return explain_match(number_line(), three(), photo, superpixels=halves(photo), **settings).query


# --- by hand --------------------------------------------------------------------------------------


def test_the_place_falls_as_strokes_are_taken_away():
    # strokes of 3, 2 and 1 go in this order: the drawing stands at 6, 3, 1, 0
    curve = rank_deletion(number_line(), query(), GALLERY, 0)
    np.testing.assert_array_equal(curve.places, [1, 2, 3, 3])
    assert curve.area == pytest.approx((0.25 + 0.75 + 1) / 3)
    assert (curve.first, curve.to_lose, curve.strokes) == (True, 1, 3)


def test_random_orders_are_the_mean_over_all_orders():
    curve = rank_deletion(number_line(), query(), GALLERY, 0, orders=3000)
    areas, lost = [], []
    for order in permutations(range(3)):
        stands = [6 - sum(WEIGHTS[i] for i in order[:gone]) for gone in range(4)]
        before = [sum(abs(s - g) < abs(s - 6) for g in (6, 3, 0)) for s in stands]
        areas.append(sum((a + b) / 4 for a, b in pairwise(before)) / 3)
        lost.append(next(step for step, place in enumerate(before) if place))
    assert curve.random_area == pytest.approx(np.mean(areas), abs=0.01)
    assert curve.random_to_lose == pytest.approx(np.mean(lost), abs=0.03)
    assert curve.gain == pytest.approx(curve.area - curve.random_area)


def test_rivals_rank_by_length_and_by_order():
    why = query()
    lengths = stroke_lengths(why.parts.sketch)
    assert by_length(why).ranking() == np.argsort(-lengths).tolist()
    assert by_order(why).ranking() == [0, 1, 2]
    assert (by_length(why).made.method, by_length(why).made.evaluations) == ("by length", 0)
    np.testing.assert_array_equal(
        rank_deletion(number_line(), by_order(why), GALLERY, 0).places, [1, 2, 3, 3]
    )


def test_a_photo_that_never_falls_is_lost_after_more_strokes_than_there_are():
    curve = rank_deletion(number_line(), query(), torch.tensor([[0.0], [50.0]]), 0)
    np.testing.assert_array_equal(curve.places, 1)
    assert curve.to_lose == 4
    assert curve.area == 0


def test_a_photo_that_was_never_first_is_lost_at_once():
    curve = rank_deletion(number_line(), query(), GALLERY, 2)
    assert not curve.first
    assert curve.to_lose == 0


def test_a_gallery_of_one_has_an_area_of_nothing():
    assert rank_deletion(number_line(), query(), torch.ones(1, 1), 0).area == 0


def test_of_several_targets_one_is_followed():
    why = query(over=torch.tensor([[-1.0], [20.0]]), over_names=("wall", "sky"))
    above_wall = rank_deletion(number_line(), why, GALLERY, 0, target="flag above wall")
    np.testing.assert_array_equal(above_wall.places, [1, 2, 3, 3])


def test_points_are_carried_to_their_strokes():
    encoder = Encoder(sketch=stroke_net())
    drawn, others = scribble(1), [scribble(i) for i in range(1, 9)]
    why = explain_match(encoder, drawn, others[0], method="p_sla").query
    curve = rank_deletion(encoder, why, encoder.encode(others), 0)
    assert why.parts.kind == "points"
    assert curve.strokes == len(drawn)
    assert curve.places[0] == 1


def test_the_fall_begins_at_the_place_of_the_title():
    encoder = Encoder(sketch=stroke_net(2))
    drawn, others = scribble(5), [scribble(i) for i in range(20)]
    items = [*others, others[7], others[9]]
    gallery = encoder.encode(items)
    places = []
    for index in (5, 7, 9, 20, 21):
        match = explain_match(
            encoder, drawn, items[index], gallery=gallery, index=index, method="sla"
        )
        fall = rank_deletion(encoder, match.query, gallery, index, orders=1)
        assert match.place == fall.places[0]
        places.append(match.place)
    assert places[0] == 1
    assert places[1:3] == places[3:]  # copies share the better place


# --- an oracle ------------------------------------------------------------------------------------


def test_places_are_those_of_drawings_without_the_strokes():
    encoder = Encoder(sketch=stroke_net(2))
    drawn, others = scribble(5), [scribble(i) for i in range(40)]
    gallery = encoder.encode(others)
    why = explain_match(encoder, drawn, others[5]).query
    curve = rank_deletion(encoder, why, gallery, 5)
    order, unit = why.ranking(), gallery / gallery.norm(dim=1, keepdim=True)
    assert max(curve.places) > 1
    # the last strokes stay with their number in the order: read through the model's own tokens
    from sightline.sketch.batch import SketchBatch

    for gone in range(len(order)):
        left = sorted(set(range(len(order))) - set(order[:gone]))
        batch = SketchBatch.from_sketches([encoder.sketch.prepare(drawn)])
        with torch.no_grad():
            tokens = encoder.sketch.embed(batch)
            there = torch.zeros(len(order))
            there[left] = 1.0
            vector = encoder.sketch.classify(tokens, presence=there)[0]
        alike = (unit @ (vector / vector.norm())).double()
        assert curve.places[gone] == 1 + int((alike > alike[5] + 1e-9).sum())


# --- over a set -----------------------------------------------------------------------------------


def curve(places, random=None) -> RankDeletion:
    random = [places] if random is None else random
    return RankDeletion(np.array(places, float), np.array(random, float), 11)


def test_a_table_has_a_row_a_method_and_one_of_luck():
    good = [curve([1, 6, 11], [[1, 1, 1], [1, 11, 11]]), curve([2, 11, 11], [[2, 2, 2]])]
    poor = [curve([1, 1, 1], [[1, 1, 1], [1, 11, 11]]), curve([2, 2, 2], [[2, 2, 2]])]
    rows = {row.method: row for row in rank_table({"good": good, "poor": poor})}
    assert list(rows) == ["good", "poor", "random orders"]
    assert rows["good"].area.estimate == pytest.approx(((0.25 + 0.75) / 2 + (0.55 + 1) / 2) / 2)
    assert rows["good"].gain.difference.estimate == pytest.approx(
        rows["good"].area.estimate - rows["random orders"].area.estimate
    )
    assert (rows["good"].drawings, rows["good"].first) == (2, 1)
    assert rows["good"].to_lose.estimate == 1
    assert rows["poor"].to_lose.estimate == 3
    assert rows["poor"].share_to_lose.estimate == 1.5
    assert rows["random orders"].to_lose.estimate == 2  # of 3 and 1
    assert compare_areas(good, poor).difference.estimate > 0


def test_where_none_stood_first_there_is_nothing_to_lose():
    (row, _) = rank_table({"good": [curve([2, 3]), curve([4, 5])]})
    assert row.to_lose is row.share_to_lose is None
    assert row.first == 0


def test_different_drawings_are_not_compared():
    with pytest.raises(TaskError, match=r"different drawings: {'a': 1, 'b': 2}"):
        rank_table({"a": [curve([1, 1])], "b": [curve([1, 1])] * 2})
    with pytest.raises(TaskError, match="none"):
        rank_table({})


def test_what_does_not_fit_is_told():
    photo = half_red()
    match = explain_match(number_line(), three(), photo, superpixels=halves(photo))
    with pytest.raises(TaskError, match="explains superpixels"):
        rank_deletion(number_line(), match.found, GALLERY, 0)
    with pytest.raises(GameError, match=r"no photo \[3\] in a gallery of 3"):
        rank_deletion(number_line(), match.query, GALLERY, 3)
    with pytest.raises(GameError, match="encode both with the same encoder"):
        rank_deletion(number_line(), match.query, torch.ones(3, 2), 0)
    assert math.isfinite(rank_deletion(number_line(), match.query, GALLERY, 1).area)
