"""Anchors: by hand, against all sets one by one, and the promises of the search."""

from __future__ import annotations

import math
import re
from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sightline import ClassScore, Game, GameError, Points, Strokes, anchors
from sightline.methods import anchor_search
from sightline.methods.anchor_search import kl_bounds
from sightline.parts import GridCells
from toys import Toy, picture_net, scribble, tangled

LABELS = ("yes", "no", "maybe")


def question(said, parts: int, target="yes", *, labels=LABELS, **settings) -> Game:
    """A game whose model answers ``said(presence)``, an index of its labels a row."""

    def function(there):
        return torch.nn.functional.one_hot(said(there).long(), len(labels)).double()

    model = Toy(function, parts, labels=labels)
    return Game(model, Strokes(scribble(1, parts)), ClassScore(target), **settings)


def all_of(*parts: int):
    """Yes where all of these parts are there, else no."""
    return lambda z: 1 - z[:, list(parts)].prod(1)


def two_of_three(z):
    return z[:, :3].sum(1) < 2


def wavering(parts: int, seed: int = 0):
    """Answers of a tangled game: yes where its value is high."""
    value = tangled(parts, seed)
    whole = value(torch.ones(1, parts, dtype=torch.float64))
    return lambda z: value(z) < whole - 1


def precision_of(said, parts: int, anchor, wanted: int = 0) -> float:
    """The share of coalitions that hold the anchor and are answered so, one by one."""
    rows = product([0.0, 1.0], repeat=parts)
    holding = [there for there in rows if all(there[i] for i in anchor)]
    answers = said(torch.tensor(holding, dtype=torch.float64))
    return sum(int(answer) == wanted for answer in answers) / len(holding)


def held(why, target: int = 0) -> list[int]:
    return np.flatnonzero(why.scores[target]).tolist()


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "parts", "scores", "rule"),
    [
        (
            all_of(2),
            4,
            [0, 0, 0.5, 0],
            "anchor: stroke 2: yes in 100 % of all 2^3 coalitions; coverage 50 %",
        ),
        (
            all_of(0, 3),  # from 1 / 4 to 1 / 2 to 1
            4,
            [0.25, 0, 0, 0.5],
            "anchor: stroke 0, stroke 3: yes in 100 % of all 2^2 coalitions; coverage 25 %",
        ),
        (
            two_of_three,  # from 1 / 2 to 3 / 4 to 1
            4,
            [0.25, 0.25, 0, 0],
            "anchor: stroke 0, stroke 1: yes in 100 % of all 2^2 coalitions; coverage 25 %",
        ),
        (
            lambda z: 0 * z[:, 0],
            3,
            [0, 0, 0],
            "no part is needed: yes in 100 % of all 2^3 coalitions",
        ),
        (
            all_of(0),
            1,
            [0.5],
            "anchor: stroke 0: yes in 100 % of all 2^0 coalitions; coverage 50 %",
        ),
    ],
)
def test_by_hand(said, parts, scores, rule):
    why = anchors(question(said, parts))
    np.testing.assert_allclose(why.scores, [scores], atol=1e-12)
    assert why.made.notes == (rule,)
    assert why.unit == "precision"
    assert why.made.evaluations == 2**parts
    assert why.errors is None


def test_the_precision_asked_for_decides():
    """Two of five parts are enough for three quarters."""
    game = question(two_of_three, 5)
    assert held(anchors(game, precision=0.5)) == []
    assert anchors(game, precision=0.75).made.notes[0].startswith("anchor: stroke 0: yes in 75 %")
    assert held(anchors(game, precision=0.76)) == [0, 1]


def test_a_part_that_added_nothing_still_comes_before_those_outside():
    """Yes with both or neither: one part alone is worth nothing, as long as the other may go."""
    why = anchors(question(lambda z: z[:, 1] != z[:, 2], 4))
    np.testing.assert_allclose(why.scores, [[0, 1e-6, 0.5, 0]])
    assert why.ranking()[:2] == [2, 1]


# --- all sets, one by one -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("precision", [0.8, 0.95, 1.0])
def test_within_the_budget_no_smaller_set_is_an_anchor_and_none_of_the_size_is_better(
    seed, precision
):
    parts, said = 5, wavering(5, seed)
    why = anchors(question(said, parts), precision=precision)
    sets = [s for size in range(parts + 1) for s in combinations(range(parts), size)]
    reaching = [s for s in sets if precision_of(said, parts, s) >= precision]
    found = held(why)
    assert len(found) == len(reaching[0])
    best = max(precision_of(said, parts, s) for s in reaching if len(s) == len(found))
    assert precision_of(said, parts, found) == pytest.approx(best)
    if why.scores.min(initial=1, where=why.scores > 0) > 1e-6:  # no loss on the way was hidden
        gained = best - precision_of(said, parts, ())
        assert why.scores.sum() == pytest.approx(gained)


def test_within_the_budget_no_beam_narrows_the_search():
    """Yes with 0 and 1, or with three of the other five, each of which looks better alone."""
    game = question(lambda z: 1 - ((z[:, :2].prod(1) > 0) | (z[:, 2:].sum(1) >= 3)).double(), 7)
    assert held(anchors(game, beam=1)) == [0, 1]
    assert held(anchors(game, beam=1, budget=127)) != [0, 1]  # sampled, it is led astray


def test_real_models_are_asked_for_their_answers():
    model = picture_net()
    game = Game(model, Strokes(scribble(3, 5)))
    with torch.no_grad():
        answers = {
            there: game.answers(torch.tensor([there])).item()
            for there in product([0.0, 1.0], repeat=5)
        }
    why = anchors(game, precision=0.9)

    def said(z):
        return torch.tensor([answers[tuple(row)] for row in z.tolist()])

    found = held(why)
    assert precision_of(said, 5, found, wanted=game.classes[0]) >= 0.9
    for smaller in combinations(range(5), max(0, len(found) - 1)):
        assert not found or precision_of(said, 5, smaller, wanted=game.classes[0]) < 0.9


# --- beyond the budget for all --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_search_finds_what_is_there(seed):
    why = anchors(question(all_of(1, 5, 11), 14), budget=2000, seed=seed)
    assert held(why) == [1, 5, 11]
    assert why.made.evaluations <= 2000
    rule = re.fullmatch(
        r"anchor: stroke \d+, stroke \d+, stroke \d+: yes in 100 % \[(\d+), 100\] of 2\^11 "
        r"coalitions; coverage 12 %",
        why.made.notes[0],
    )
    assert int(rule[1]) >= 90
    assert why.scores.sum() == pytest.approx(1 - 1 / 8, abs=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_what_it_finds_is_as_precise_as_it_says(seed):
    parts, said = 12, wavering(12, seed)
    why = anchors(question(said, parts), budget=1500, seed=seed)
    found = held(why)
    true = precision_of(said, parts, found)
    note = why.made.notes[0]
    assert note.startswith("anchor: " if found else "no part is needed: ")
    assert true >= 0.95 - 0.05  # what the lower bound promises
    interval = re.search(r"\[(\d+), (\d+)\]", note)
    if interval:
        assert int(interval[1]) - 1 <= 100 * true <= int(interval[2]) + 1
    else:
        told = float(re.search(r"in ([\d.]+) % of all", note)[1])
        assert told == pytest.approx(100 * true, abs=0.1)


def test_no_coalition_is_asked_twice():
    game = question(wavering(12), 12)
    game.model.asked.clear()
    why = anchors(game, budget=1500)
    rows = torch.cat(game.model.asked)
    assert len(rows) == len(rows.unique(dim=0)) == why.made.evaluations <= 1500
    assert len(game.model.asked) < 60, "asked in large pieces"


def test_a_set_with_few_coalitions_is_asked_about_all_of_them():
    """All of 12 parts but two are needed: the anchor leaves four coalitions."""
    why = anchors(question(all_of(*range(10)), 12), budget=3000)
    assert held(why) == list(range(10))
    assert "yes in 100 % of all 2^2 coalitions; coverage 0.098 %" in why.made.notes[0]


def test_a_budget_that_ends_before_an_anchor_is_found_gives_the_best_set_and_says_so():
    why = anchors(question(all_of(*range(12)), 14), budget=300)
    assert why.made.evaluations <= 300
    assert why.scores.tolist() == [[0] * 14]
    assert why.made.notes == (
        "no anchor was found for yes within the budget: it was never the answer to a draw",
    )
    why = anchors(question(wavering(14, 3), 14), budget=300)
    assert re.match("no anchor reaches 95 % within the budget; best found: str", why.made.notes[0])
    assert held(why)


def test_fewer_looks_when_the_beam_is_narrow():
    spent = [
        anchors(question(wavering(13, 3), 13), budget=4000, beam=beam).made.evaluations
        for beam in (1, 4)
    ]
    assert spent[0] < spent[1]


# --- other targets --------------------------------------------------------------------------------


def test_a_target_that_is_not_the_answer_is_asked_about_all_the_same():
    """No where part 1 is away: the more is there, the less."""
    why = anchors(question(all_of(1), 3, "no"))
    assert why.scores.tolist() == [[0, 0, 0]]
    assert why.made.notes == (
        "no anchor reaches 95 % (with everything there the answer is yes); best found: no part: "
        "no in 50 % of all 2^3 coalitions",
    )


def test_a_target_that_is_never_the_answer():
    why = anchors(question(all_of(1), 3, "maybe"))
    assert why.scores.tolist() == [[0, 0, 0]]
    assert why.made.notes == (
        "no anchor was found for maybe (with everything there the answer is yes): it was never "
        "the answer to a draw",
    )
    assert "0" in why.blank()


def test_the_best_set_is_given_where_none_reaches_the_precision():
    """No where part 0 is there without part 2; yes with everything."""
    why = anchors(question(lambda z: (z[:, 0] == 1) & (z[:, 2] == 0), 3, "no"))
    np.testing.assert_allclose(why.scores, [[0.25, 0, 0]])
    assert "best found: stroke 0: no in 50 % of all 2^2 coalitions" in why.made.notes[0]


def test_targets_are_explained_together_as_alone():
    said, names = wavering(6, 3), ["yes", "no", "maybe"]
    together = anchors(question(said, 6, names))
    assert together.made.evaluations == 64  # each answer serves all targets
    for row, name in enumerate(names):
        alone = anchors(question(said, 6, name))
        np.testing.assert_array_equal(together.scores[row], alone.scores[0])
        assert together.made.notes[row] == alone.made.notes[0]


def test_targets_share_a_budget():
    why = anchors(question(wavering(14), 14, ["yes", "no", "maybe"]), budget=900)
    assert why.scores.shape == (3, 14)
    assert len(why.made.notes) == 3
    assert why.made.evaluations <= 900


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "rows"), [(0.0, 10), (0.3, 50), (0.95, 200), (1.0, 7)])
def test_bounds_are_where_the_divergence_is_the_level(mean, rows):
    beta = 2.5
    low, high = kl_bounds(mean, rows, beta)
    assert low <= mean <= high

    def divergence(q):
        terms = [(mean, q), (1 - mean, 1 - q)]
        return sum(p * math.log(p / c) for p, c in terms if p)

    for q in (low, high):
        if q not in (mean, 0.0, 1.0) and 1e-9 < q < 1 - 1e-9:
            assert rows * divergence(q) == pytest.approx(beta, rel=1e-6)
    if mean in (0.0, 1.0):
        edge = (low, high)[mean == 0.0]
        assert rows * -math.log(1 - edge if mean == 0.0 else edge) == pytest.approx(beta)
    assert kl_bounds(mean, 0, beta) == (0.0, 1.0)


def test_bounds_hold_more_often_than_they_promise():
    """Chernoff: each side fails with a chance below exp(-beta)."""
    luck = np.random.default_rng(0)
    beta, true = math.log(1 / 0.05), 0.9
    intervals = [kl_bounds(luck.binomial(60, true) / 60, 60, beta) for _ in range(400)]
    inside = np.mean([low <= true <= high for low, high in intervals])
    assert 0.93 < inside < 1.0


def test_a_search_without_bounds_is_seen(monkeypatch):
    """Trusting every mean, a set is taken for an anchor too soon."""
    parts, said = 14, wavering(14, 1)
    monkeypatch.setattr(anchor_search, "kl_bounds", lambda mean, *_: (mean, mean))
    monkeypatch.setattr(anchor_search, "FIRST_LOOK", 8)
    monkeypatch.setattr(anchor_search, "ONE_LOOK", 4)
    game = question(said, parts)
    found = [held(anchors(game, seed=seed)) for seed in range(8)]
    assert min(precision_of(said, parts, anchor) for anchor in found) < 0.9


# --- repeatable -----------------------------------------------------------------------------------


def test_numbers_do_not_depend_on_the_batch_and_seeds_repeat():
    def run(batch, seed=2):
        return anchors(question(wavering(13), 13, batch=batch), budget=900, seed=seed)

    first = run(512)
    for batch in (1, 7, 512):
        np.testing.assert_array_equal(run(batch).scores, first.scores)
        assert run(batch).made.notes == first.made.notes
    assert any(run(512, seed).made.notes != first.made.notes for seed in range(3, 6))


@pytest.mark.parametrize("parts", [Points(scribble(1, 3)), GridCells(scribble(1, 3), 4, 5)])
def test_points_and_grid_cells_may_be_asked_about(parts):
    game = Game(picture_net(), parts, ClassScore(0))
    assert anchors(game, budget=100).scores.shape == (1, len(parts))


def test_a_budget_in_time_is_kept(monkeypatch):
    """On a clock of our own, where an evaluation takes 10 ms."""
    clock, said = SimpleNamespace(now=0.0), all_of(*range(6))

    def slow(there):
        clock.now += 0.01 * len(there)
        return said(there)

    monkeypatch.setattr("sightline.game.time", SimpleNamespace(monotonic=lambda: clock.now))
    why = anchors(question(slow, 24), budget="20s")
    assert 5 < why.made.seconds < 20.1
    assert why.made.settings["budget"] == "20s"
    small = anchors(question(slow, 6), budget="20s")
    assert small.made.evaluations == 64


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "settings", "message"),
    [
        (3, {"precision": 0.0}, r"precision is 0\.0; it is a share such as 0\.95"),
        (3, {"precision": 1.1}, r"precision is 1\.1"),
        (3, {"precision": float("nan")}, "precision is nan"),
        (3, {"beam": 0}, "beam is 0; it must be at least 1"),
        (17, {"budget": None}, r"2\^17 coalitions are too many .* give anchors a budget"),
        (9, {"budget": 63}, "anchors of 9 strokes needs at least 64 evaluations, .* allows 63"),
        (3, {"budget": 7}, "needs at least 8 evaluations"),
    ],
)
def test_bad_arguments_are_named(parts, settings, message):
    with pytest.raises(GameError, match=message):
        anchors(question(all_of(0), parts), **settings)


def test_how_it_was_made_is_recorded():
    made = anchors(question(all_of(0), 5), seed=3, beam=4).made
    assert (made.method, made.seed) == ("anchors", 3)
    assert made.settings == {"budget": 2000, "precision": 0.95, "beam": 4}


def test_classes_without_names_are_numbered():
    nameless = Toy(lambda z: torch.stack([z[:, 0], 1 - z[:, 0]], 1), 2, labels=())
    why = anchors(Game(nameless, Strokes(scribble(1, 2)), ClassScore(1)))
    assert "(with everything there the answer is 0); best found: no part: 1 in" in why.made.notes[0]
