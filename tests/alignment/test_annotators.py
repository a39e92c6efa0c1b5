import itertools
import math

import numpy as np
import pytest

from sightline.alignment.annotators import (
    answers,
    cohen_kappa,
    krippendorff_alpha,
    mask_agreement,
    verdict_agreement,
)
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.alignment.verdicts import Verdict, Verdicts
from sightline.errors import AlignmentError

# --- Cohen ----------------------------------------------------------------------------------------


def answers_of(table):
    """Two lists of answers with this table of counts."""
    a, b = [], []
    for row, column in itertools.product(range(len(table)), repeat=2):
        a += [row] * table[row][column]
        b += [column] * table[row][column]
    return a, b


COHEN = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]


def test_cohens_own_example():
    # Cohen 1960: 200 cases, agreement 0.70, by luck 0.41, kappa 0.492
    assert round(cohen_kappa(*answers_of(COHEN)).estimate, 3) == 0.492


def test_the_interval_is_as_wide_as_the_large_sample_error_says():
    """Fleiss, Cohen and Everitt 1969, equation 13."""
    p = np.array(COHEN) / 200
    rows, columns = p.sum(1), p.sum(0)
    luck = rows @ columns
    kappa = (np.trace(p) - luck) / (1 - luck)
    hits = sum(p[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(3))
    misses = sum(
        p[i, j] * (columns[i] + rows[j]) ** 2 for i, j in itertools.permutations(range(3), 2)
    )
    spread = hits + (1 - kappa) ** 2 * misses - (kappa - luck * (1 - kappa)) ** 2
    error = math.sqrt(spread / 200) / (1 - luck)
    found = cohen_kappa(*answers_of(COHEN), draws=20_000)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(error, rel=0.05)


def test_kappa_by_hand():
    # agreement 0.7; by luck 0.5 x 0.6 + 0.5 x 0.4 = 0.5
    assert cohen_kappa(*answers_of([[20, 5], [10, 15]])).estimate == pytest.approx(0.4)
    assert cohen_kappa("yynn", "yynn").estimate == 1
    assert cohen_kappa("yynn", "nnyy").estimate == -1
    assert cohen_kappa([True, False], [True, False]).estimate == 1


def slow_kappa(a, b, miss):
    seen = np.mean([miss(x, y) for x, y in zip(a, b, strict=True)])
    by_luck = np.mean([miss(x, y) for x in a for y in b])
    return 1 - seen / by_luck


@pytest.mark.parametrize(
    ("weights", "miss"),
    [
        (None, lambda x, y: x != y),
        ("linear", lambda x, y: abs(x - y)),
        ("quadratic", lambda x, y: (x - y) ** 2),
    ],
)
def test_kappa_against_the_definition(weights, miss):
    luck = np.random.default_rng(1)
    a = luck.choice([1, 2, 4, 5], 60).tolist()  # nobody says 3: 2 and 4 are still two apart
    b = [int(np.clip(x + luck.integers(-1, 2), 1, 5)) for x in a]
    assert cohen_kappa(a, b, weights=weights).estimate == pytest.approx(slow_kappa(a, b, miss))


def test_kappa_of_one_and_the_same_answer_is_not_known():
    kappa = cohen_kappa([1, 1, 1], [1, 1, 1])
    assert math.isnan(kappa.estimate)
    assert math.isnan(kappa.low)


def test_the_interval_resamples_items_by_the_seed():
    a, b = answers_of([[20, 5], [10, 15]])
    by_seed = [cohen_kappa(a, b, seed=seed) for seed in (1, 2, 1)]
    assert by_seed[0] == by_seed[2]
    assert by_seed[0] != by_seed[1]
    four = cohen_kappa(a * 4, b * 4)
    once = cohen_kappa(a, b)
    assert once.low < once.estimate < once.high
    assert (once.high - once.low) / (four.high - four.low) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(
    ("a", "b", "options", "match"),
    [
        ([1], [1, 2], {}, "1 and 2 answers"),
        ([], [], {}, "0 and 0 answers"),
        (["y"], ["n"], {"weights": "linear"}, "weights need numbers"),
    ],
)
def test_kappas_that_cannot_be(a, b, options, match):
    with pytest.raises(AlignmentError, match=match):
        cohen_kappa(a, b, **options)


# --- Krippendorff ---------------------------------------------------------------------------------

X = np.nan
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, X, X, X],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, X, 3],
    [X, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, X],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, X],
]


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_krippendorffs_own_example(level, published):
    alpha = krippendorff_alpha(KRIPPENDORFF, level=level)
    assert round(alpha.estimate, 3) == published
    assert alpha.low < alpha.estimate < alpha.high


def slow_alpha(table, level):
    """Krippendorff's definition: pairs within items against pairs of all answers."""
    units = [column[~np.isnan(column)] for column in np.array(table, float).T]
    units = [unit for unit in units if len(unit) >= 2]
    everything = np.concatenate(units)
    values, counts = np.unique(everything, return_counts=True)
    often = dict(zip(values, counts, strict=True))

    def apart(x, y):
        if level == "nominal":
            return float(x != y)
        if level == "interval":
            return (x - y) ** 2
        low, high = min(x, y), max(x, y)
        between = sum(n for value, n in often.items() if low <= value <= high)
        return (between - (often[x] + often[y]) / 2) ** 2 if x != y else 0.0

    within = sum(
        sum(apart(x, y) for x, y in itertools.permutations(unit, 2)) / (len(unit) - 1)
        for unit in units
    )
    across = sum(apart(x, y) for x, y in itertools.permutations(everything, 2))
    return 1 - within / (across / (len(everything) - 1))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_against_the_definition(level):
    luck = np.random.default_rng(2)
    truth = luck.integers(1, 6, 20)
    table = np.clip(truth + luck.integers(-1, 2, (4, 20)), 1, 5).astype(float)
    table[luck.random((4, 20)) < 0.3] = np.nan
    found = krippendorff_alpha(table, level=level).estimate
    assert found == pytest.approx(slow_alpha(table, level), abs=1e-12)
    assert slow_alpha(KRIPPENDORFF, level) == pytest.approx(
        krippendorff_alpha(KRIPPENDORFF, level=level).estimate
    )


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_laws_of_alpha(level):
    luck = np.random.default_rng(3)
    table = luck.integers(1, 6, (3, 400)).astype(float)
    by_luck = krippendorff_alpha(table, level=level)
    assert by_luck.low < 0 < by_luck.high
    assert krippendorff_alpha(np.stack([table[0]] * 2), level=level).estimate == 1
    swapped = krippendorff_alpha(table[[2, 0, 1]], level=level).estimate
    assert swapped == pytest.approx(by_luck.estimate)
    alone = np.concatenate([table, [[5.0], [X], [X]]], axis=1)
    assert krippendorff_alpha(alone, level=level).estimate == pytest.approx(by_luck.estimate)


def test_interval_alpha_knows_no_origin():
    table = np.array(KRIPPENDORFF)
    moved = krippendorff_alpha(table + 1e7, level="interval")
    assert moved.estimate == pytest.approx(krippendorff_alpha(table, level="interval").estimate)
    assert math.isnan(krippendorff_alpha(np.full((2, 3), 1e7 + 0.1), level="interval").estimate)


def test_alpha_of_one_answer_is_not_known():
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]).estimate)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ([[1, X], [X, 1]], "no item has answers of two people"),
        ([1, 2, 3], r"shape \[3\]"),
        ([[1, math.inf], [1, 2]], "finite numbers or nan"),
    ],
)
def test_tables_that_tell_nothing(table, match):
    with pytest.raises(AlignmentError, match=match):
        krippendorff_alpha(table)


# --- masks ----------------------------------------------------------------------------------------


def drawn(masks):
    return AttentionLabels(
        tuple(
            AttentionLabel(item, must=mask, author=author)
            for item, own in masks.items()
            for author, mask in own.items()
        )
    )


def test_masks_by_hand():
    found = mask_agreement(
        drawn(
            {
                "a": {"ada": [[1, 1, 0, 0]], "bob": [[1, 0, 0, 0]]},
                "b": {"ada": [[0, 0.8]], "bob": [[0, 0.4]]},
                "alone": {"ada": [[1.0, 0]]},
            }
        )
    )
    assert (found.items, found.pairs) == (2, 2)
    assert found.iou.estimate == pytest.approx(0.5)
    pixels = [[1, 1, 0, 0, 0, 0.8], [1, 0, 0, 0, 0, 0.4]]
    assert found.alpha.estimate == pytest.approx(slow_alpha(pixels, "interval"), abs=1e-6)


def test_three_people_make_three_pairs():
    masks = {"ada": [1.0, 0, 0], "bob": [1.0, 1, 0], "cyd": [1.0, 1, 1]}
    found = mask_agreement(drawn({"a": masks, "b": {"ada": [1.0, 0], "bob": [1.0, 0]}}))
    assert found.pairs == 4
    assert found.iou.estimate == pytest.approx(((1 / 2 + 1 / 3 + 2 / 3) / 3 + 1) / 2)
    table = np.array([[1, 0, 0, 1, 0], [1, 1, 0, 1, 0], [1, 1, 1, X, X]])
    assert found.alpha.estimate == pytest.approx(slow_alpha(table, "interval"))


def test_items_are_resampled_not_pixels():
    luck = np.random.default_rng(0)
    masks = {}
    for item in range(12):
        one = (luck.random((20, 20)) < 0.5).astype(float)
        other = one if item % 2 else (luck.random((20, 20)) < 0.5).astype(float)
        masks[f"item {item}"] = {"ada": one, "bob": other}
    found = mask_agreement(drawn(masks))
    # half of the items agree wholly, half by luck: with 12 items that is anything from 1/4 to 3/4
    assert found.alpha.estimate == pytest.approx(0.5, abs=0.05)
    assert found.alpha.high - found.alpha.low > 0.4


def test_masks_that_cannot_be_compared():
    with pytest.raises(AlignmentError, match="no item has a must_not mask of two people"):
        mask_agreement(drawn({"a": {"ada": [1.0], "bob": [1.0]}}), mask="must_not")
    with pytest.raises(AlignmentError, match=r"masks of 'a' have sizes \[\(1, 2\), \(2, 1\)\]"):
        mask_agreement(drawn({"a": {"ada": [[1, 0]], "bob": [[1], [0]]}}))


# --- verdicts -------------------------------------------------------------------------------------


def said(author, cells, ratings):
    return [
        Verdict(f"item {i}", True, bool(cell), True, rating=rating, author=author)
        for i, (cell, rating) in enumerate(zip(cells, ratings, strict=True))
    ]


def test_questions_of_verdicts():
    rows = said("ada", [1, 1, 0, 0], [5, 4, 2, 1]) + said("bob", [1, 0, 0, 0], [5, 3, 2, 2])
    rows += [Verdict("item 9", True, outright=True, author="cyd")]
    found = {own.question: own for own in verdict_agreement(Verdicts.from_rows(rows), draws=100)}
    assert set(found) == {"accurate", "necessary", "nothing_unnecessary", "reasonable", "rating"}
    assert found["necessary"].items == 4
    kappa = found["necessary"].kappas["ada", "bob"].estimate
    assert kappa == pytest.approx(slow_kappa([1, 1, 0, 0], [1, 0, 0, 0], lambda x, y: x != y))
    rated = found["rating"].kappas["ada", "bob"].estimate
    assert rated == pytest.approx(slow_kappa([5, 4, 2, 1], [5, 3, 2, 2], lambda x, y: (x - y) ** 2))
    ordinal = slow_alpha([[5, 4, 2, 1], [5, 3, 2, 2]], "ordinal")
    assert found["rating"].alpha.estimate == pytest.approx(ordinal)
    assert math.isnan(found["accurate"].alpha.estimate)  # all say the same
    assert list(found["rating"].kappas) == [("ada", "bob")]  # cyd has no item in common


def test_answers_are_a_table_with_gaps():
    rows = [
        Verdict("a", True, outright=True, author="ada"),
        Verdict("b", False, True, True, author="bob"),
    ]
    table = answers(Verdicts.from_rows(rows), "necessary")
    np.testing.assert_array_equal(table, [[X, X], [X, 1]])
    np.testing.assert_array_equal(answers(Verdicts.from_rows(rows), "accurate"), [[1, X], [X, 0]])
    with pytest.raises(AlignmentError, match="unknown question"):
        answers(Verdicts.from_rows(rows), "beautiful")


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([Verdict("a", True, outright=True, author="ada")], "1 author"),
        ([Verdict("a", True, outright=True, proposed=True)], "agreement is between people"),
        (
            [Verdict(n, True, outright=True, author=n) for n in ("ada", "bob")],
            "ada and bob have no item in common",
        ),
    ],
)
def test_verdicts_without_agreement(rows, match):
    with pytest.raises(AlignmentError, match=match):
        verdict_agreement(Verdicts.from_rows(rows))
