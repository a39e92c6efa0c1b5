import itertools

import numpy as np
import pytest

from sightline.alignment.disagreement import disagreement
from sightline.alignment.queue import STRATEGIES, Candidate, Queue, order, read_candidates
from sightline.alignment.queue_gain import simulate
from sightline.errors import AlignmentError

POOL = [
    Candidate("sure and fine", "RA", 0.99, 0.1),
    Candidate("sure, wrong reason", "UA", 0.95, 0.1),
    Candidate("sure, wrong, wrong reason", "UI", 0.9, 0.2),
    Candidate("unsure, wrong reason", "UA", 0.4, 0.1),
    Candidate("methods quarrel", "RA", 0.8, 0.8),
    Candidate("done", "UA", 1.0, 1.0, labelled=True),
]


def many(count=60):
    luck = np.random.default_rng(3)
    return [
        Candidate(
            f"item {i}",
            str(luck.choice(["RA", "UA", "RI", "UI"])),
            round(float(luck.random()), 2),
            round(float(luck.random()), 2),
            labelled=bool(luck.random() < 0.1),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # 0.95 + 0.05, 0.9 + 0.1: a tie broken by luck; then 0.45, 0.4, 0.05
        (
            "unreasonable-first",
            [
                {"sure, wrong reason", "sure, wrong, wrong reason"},
                {"unsure, wrong reason"},
                {"methods quarrel"},
                {"sure and fine"},
            ],
        ),
        ("disagreement", [{"methods quarrel"}, {"sure, wrong, wrong reason"}]),
        ("uncertain", [{"unsure, wrong reason"}, {"methods quarrel"}]),
    ],
)
def test_order_by_hand(strategy, expected):
    items = iter(order(POOL, strategy).items)
    for group in expected:
        assert set(itertools.islice(items, len(group))) == group


def test_scores_by_hand():
    scores = {row.item: row.score for row in order(POOL)}
    assert scores["sure, wrong reason"] == pytest.approx(0.95 + 0.5 * 0.1)
    assert scores["methods quarrel"] == pytest.approx(0.4)
    assert scores["done"] == 0


def test_reasons_in_words():
    reasons = {row.item: row.reasons for row in order(POOL, wanted={"UA": 3})}
    assert reasons["sure, wrong reason"] == (
        "confident (0.95), right, and the map unreasonable (UA)",
        "methods disagree (0.10)",
        "2 more labels of UA wanted",
    )
    assert reasons["sure, wrong, wrong reason"][0] == (
        "confident (0.90), wrong, and the map unreasonable (UI)"
    )
    assert reasons["unsure, wrong reason"][0].startswith("not sure (0.40), right")
    assert reasons["unsure, wrong reason"][-1] == "1 more labels of UA wanted"
    assert reasons["done"] == ("labelled already",)
    assert order([Candidate("a")], "random").rows[0].reasons == (
        "by luck: nothing else speaks for it",
    )


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_item_once_and_labelled_ones_last(strategy):
    items = many()
    queue = order(items, strategy, wanted={"UA": 10, "UI": 5})
    assert sorted(queue.items) == sorted(item.item for item in items)
    labelled = {item.item for item in items if item.labelled}
    assert labelled
    assert set(queue.items[-len(labelled) :]) == labelled


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_order_does_not_depend_on_how_items_come(strategy):
    items, wanted = many(), {"UA": 10, "RI": 4}
    mixed = [items[i] for i in np.random.default_rng(1).permutation(len(items))]
    assert order(items, strategy, wanted=wanted) == order(mixed, strategy, wanted=wanted)


def test_luck_is_of_the_seed_and_the_name_alone():
    items = [Candidate(f"item {i}") for i in range(40)]
    first, other = order(items, "random", seed=1).items, order(items, "random", seed=2).items
    assert first == order(items, "random", seed=1).items
    assert first != other
    fewer = order(items[::2], "random", seed=1).items
    assert fewer == tuple(name for name in first if name in fewer)


def slow_order(items, weights, wanted):
    """The definition, item after item: score all that are left, take the best."""
    left, got, found = [i for i in items if not i.labelled], {}, []
    for item in items:
        if item.labelled:
            got[item.cell] = got.get(item.cell, 0) + 1

    def score(item):
        need = max(0, wanted.get(item.cell, 0) - got.get(item.cell, 0))
        base = sum(weights.get(name, 0) * value for name, value in item.grounds.items())
        return base + weights.get("wanted", 0) * (need / wanted[item.cell] if need else 0)

    while left:
        best = max(left, key=score)
        found.append(score(best))
        left.remove(best)
        got[best.cell] = got.get(best.cell, 0) + 1
    return found


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_scores_against_the_definition(strategy):
    items, wanted = many(), {"UA": 6, "UI": 9, "RA": 1}
    queue = order(items, strategy, wanted=wanted)
    open_ones = sum(not item.labelled for item in items)
    expected = slow_order(items, STRATEGIES[strategy], wanted)
    assert [row.score for row in queue][:open_ones] == pytest.approx(expected)


def test_cells_are_filled_evenly_and_labels_given_count():
    items = [Candidate(f"{cell} {i}", cell) for cell in ("RA", "UA", "UI") for i in range(10)]
    items.append(Candidate("given", "UA", labelled=True))
    queue = order(items, "cells", wanted={"UA": 3, "UI": 2})
    cells = [name[:2] for name in queue.items[:4]]
    assert sorted(cells) == ["UA", "UA", "UI", "UI"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_files_give_back_the_queue(tmp_path, suffix):
    path = tmp_path / f"queue.{suffix}"
    queue = order(many(), wanted={"UA": 5})
    queue.write(path)
    assert Queue.read(path) == queue


def test_candidates_from_files(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("item,cell,confidence,labelled\na,UA,0.5,\nb,,,yes\n")
    assert read_candidates(path) == [Candidate("a", "UA", 0.5), Candidate("b", labelled=True)]
    path = tmp_path / "c.jsonl"
    path.write_text('{"item": "a", "disagreement": 0.25}\n\n{"item": "b"}\n')
    assert read_candidates(path) == [Candidate("a", disagreement=0.25), Candidate("b")]


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("a,XX,0.5", r"c.csv, line 2: unknown cell of 'a' 'XX'"),
        ("a,UA,1.5", r"line 2: confidence of 'a' is 1.5"),
        ("a,UA,much", r"line 2: confidence is 'much'; expected a number"),
        ("a,UA,inf", r"line 2: confidence is 'inf'"),
        (",UA,0.5", r"line 2 has no 'item'"),
    ],
)
def test_broken_candidates_name_their_place(tmp_path, row, match):
    path = tmp_path / "c.csv"
    path.write_text(f"item,cell,confidence\n{row}\n")
    with pytest.raises(AlignmentError, match=match):
        read_candidates(path)


@pytest.mark.parametrize(
    ("items", "options", "match"),
    [
        (POOL, {"strategy": "unresonable-first"}, "did you mean 'unreasonable-first'"),
        ([Candidate("a"), Candidate("a")], {"strategy": "random"}, "'a' is a candidate twice"),
        (POOL, {"wanted": {"AU": 3}}, "unknown cell 'AU'"),
        (POOL, {"wanted": {"UA": -3}}, "-3 labels of UA"),
        ([Candidate("a")], {"strategy": "uncertain"}, "rests on confidence, which no candidate"),
        ([Candidate("a")], {}, "rests on cell or disagreement"),
        (POOL, {"strategy": "cells"}, "'cells' needs 'wanted'"),
    ],
)
def test_orders_that_mean_nothing(items, options, match):
    with pytest.raises(AlignmentError, match=match):
        order(items, **options)


def test_an_empty_pool_is_an_empty_queue():
    assert len(order([])) == 0


# --- disagreement ---------------------------------------------------------------------------------


def test_disagreement_by_hand():
    up, down = [1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]
    assert disagreement([up, up]) == 0
    assert disagreement([up, down]) == 1
    # correlations 1, -1, -1
    assert disagreement([up, up, down]) == pytest.approx((1 + 1 / 3) / 2)
    assert disagreement([up, [2.0, 2, 2, 2]]) == 0.5  # a flat map agrees with none
    assert disagreement([up, down], by="regions", top=0.5) == 1
    assert disagreement([up, up, down], by="regions", top=0.5) == pytest.approx(2 / 3)
    # the highest two of each: {2, 3} and {1, 3}
    other = [1.0, 3.0, 2.0, 4.0]
    assert disagreement([up, other], by="regions", top=0.5) == pytest.approx(1 - 1 / 3)
    assert disagreement([up, [2.0, 1.0, 3.0, 4.0]], by="regions", top=0.25) == 0
    assert disagreement([up, [2.0, 1.0, 3.0, 4.0]], by="regions", top=0.5) == 0
    assert disagreement([up, [1.0, 2.0, 4.0, 3.0]], by="regions", top=0.25) == 1


def test_disagreement_of_maps_of_two_sizes():
    small = np.array([[0.0, 1.0], [0.0, 0.5]])
    large = np.kron(small, np.ones((3, 3)))
    assert disagreement([small, large]) < 0.15
    assert disagreement([small, -large]) > 0.85


@pytest.mark.parametrize(
    ("maps", "match"),
    [
        ([[1.0, 2.0]], "1 map: disagreement needs two"),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], "one number a stroke"),
        ([[1.0, 2.0], [[1.0, 2.0]]], r"shapes \[\[2\], \[1, 2\]\]"),
    ],
)
def test_maps_that_cannot_disagree(maps, match):
    with pytest.raises(AlignmentError, match=match):
        disagreement(maps)


# --- gain -----------------------------------------------------------------------------------------


def teaching(items):
    """A truth that tells what each label teaches: 1 for a wrong reason, 0.1 otherwise."""
    worth = {item.item: 1.0 if item.cell[0] == "U" else 0.1 for item in items}
    return lambda names, seed: 0.01 * seed + sum(worth[name] for name in names)


def test_gain_by_hand():
    pool = [Candidate(f"bad {i}", "UA", 0.9) for i in range(3)]
    pool += [Candidate(f"good {i}", "RA", 0.9) for i in range(7)]
    curve = simulate(pool, "unreasonable-first", teaching(pool), budgets=(3, 5, 10), seeds=(0, 1))
    assert curve.start == pytest.approx([0, 0.01])
    assert curve.scores["unreasonable-first"][0] == pytest.approx([3, 3.2, 3.7])
    assert curve.gain_per_label("unreasonable-first", 3).estimate == pytest.approx(1)
    assert curve.gain_per_label("unreasonable-first", 5).estimate == pytest.approx(0.64)
    # all labels given: the order no longer matters
    assert curve.over_random("unreasonable-first", 10).difference.estimate == pytest.approx(0)
    assert set(curve.scores) == {"unreasonable-first", "random"}


def linear_pool():
    """Unreasonable items show feature 0 apart from feature 1; the others always both alike."""
    luck = np.random.default_rng(0)
    inputs, items = {}, []
    for i in range(120):
        cell = "UA" if i % 5 == 0 else "RA"
        both = luck.normal(size=2) if cell == "UA" else np.full(2, luck.normal())
        inputs[f"item {i}"] = both
        items.append(Candidate(f"item {i}", cell, 0.9))
    return items, inputs


def ridge(inputs):
    def learn(names, seed):
        """Right where the weights are (1, 0); items that show both alike cannot tell them apart."""
        if not names:
            return -1.0
        luck = np.random.default_rng([seed, len(names)])
        x = np.stack([inputs[name] for name in names])
        y = x[:, 0] + luck.normal(0, 0.3, len(x))
        weights = np.linalg.solve(x.T @ x + 0.1 * np.eye(2), x.T @ y)
        return -float(((weights - [1, 0]) ** 2).sum())

    return learn


def test_the_queue_pays_where_the_truth_says_that_it_does():
    items, inputs = linear_pool()
    curve = simulate(
        items,
        ["unreasonable-first", "random"],
        ridge(inputs),
        budgets=(5, 20),
        seeds=range(12),
    )
    better = curve.over_random("unreasonable-first", 5)
    assert better.difference.low > 0
    assert better.distinguishable
    gains = [curve.gain_per_label("unreasonable-first", n) for n in curve.budgets]
    assert gains[0].low > gains[1].high  # later labels teach less


def test_a_strategy_that_tells_nothing_gains_nothing_over_random():
    items, inputs = linear_pool()
    told = [Candidate(item.item, "RA", 0.9) for item in items]
    curve = simulate(told, "unreasonable-first", ridge(inputs), budgets=(10,), seeds=range(6))
    assert curve.over_random("unreasonable-first", 10).difference.estimate == 0


def test_each_seed_pairs_the_same_start_and_the_table_has_them_all():
    pool = many()
    calls = []

    def learn(names, seed):
        calls.append((len(names), seed))
        return len(names) + seed / 10

    curve = simulate(pool, ["disagreement"], learn, budgets=(2, 4), seeds=(5, 7))
    assert sorted(set(calls)) == [(n, s) for n in (0, 2, 4) for s in (5, 7)]
    assert curve.as_dict()["scores"]["random"] == [[2.5, 4.5], [2.7, 4.7]]
    table = curve.markdown()
    assert "2 seeds" in table
    # Student's t of one degree of freedom: 12.7062 standard errors of 0.1
    assert "Student's t" in table
    assert "| random | 4 | 4.6000 [3.3294, 5.8706] | 1 [1, 1] | – |" in table


def test_intervals_of_gains_are_students():
    """Five seeds: 2.776 standard errors, where a bootstrap has about 1.8."""
    pool, scores = many(), {5: 0.1, 6: 0.4, 7: 0.2, 8: 0.9, 9: 0.6}
    curve = simulate(
        pool,
        ["uncertain"],
        lambda names, seed: len(names) * scores[seed] if len(names) else 0.0,
        budgets=(4,),
        seeds=tuple(scores),
    )
    gains = np.array(list(scores.values()))
    spread = 2.7764451 * gains.std(ddof=1) / 5**0.5
    gain = curve.gain_per_label("uncertain", 4)
    assert (gain.low, gain.high) == pytest.approx((0.44 - spread, 0.44 + spread), rel=1e-6)

    def luckier(names, seed):
        """The better for how many of the even items are among the first."""
        return scores[seed] * sum(int(name.split()[1]) % 2 == 0 for name in names)

    curve = simulate(pool, ["uncertain"], luckier, budgets=(6,), seeds=tuple(scores))
    apart = np.subtract(*(np.array(curve.scores[name])[:, 0] for name in ("uncertain", "random")))
    assert apart.std() > 0
    over = curve.over_random("uncertain", 6)
    spread = 2.7764451 * apart.std(ddof=1) / 5**0.5
    assert over.difference.low == pytest.approx(apart.mean() - spread, rel=1e-6)
    assert over.difference.high == pytest.approx(apart.mean() + spread, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"budgets": (61,)}, "from 1 to the"),
        ({"budgets": ()}, "from 1 to the"),
        ({"seeds": (1,)}, "needs two different ones"),
        ({"seeds": (1, 1)}, "needs two different ones"),
        ({"learn": lambda *_: float("nan")}, r"score after 0 labels is nan \(seed 0\)"),
    ],
)
def test_simulations_that_mean_nothing(options, match):
    given = {"learn": lambda names, _: float(len(names)), "budgets": (2,)} | options
    with pytest.raises(AlignmentError, match=match):
        simulate(many(), "uncertain", given.pop("learn"), **given)


def test_what_was_not_simulated_is_not_known():
    curve = simulate(many(), "uncertain", lambda n, _: float(len(n)), budgets=(2,))
    with pytest.raises(AlignmentError, match="unknown strategy 'cells'"):
        curve.gain_per_label("cells", 2)
    with pytest.raises(AlignmentError, match="3 labels were not tried"):
        curve.gain_per_label("uncertain", 3)
