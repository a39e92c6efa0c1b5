import itertools
import math

import pytest

from sightline.alignment.matrix import Matrix, fisher_exact, odds_ratio
from sightline.alignment.moves import mcnemar_exact
from sightline.alignment.verdicts import Verdict, Verdicts
from sightline.errors import AlignmentError
from sightline.metrics.intervals import wilson

PUBLISHED = Matrix.from_counts(ra=402, ua=212, ri=71, ui=65)


def of(cells, proposed=False):
    rows = [
        Verdict(item, cell[1] == "A", outright=cell[0] == "R", proposed=proposed)
        for item, cell in cells.items()
    ]
    return Matrix.from_verdicts(Verdicts.from_rows(rows))


def test_gradias_published_numbers():
    assert PUBLISHED.total == 750
    assert round(100 * PUBLISHED.accuracy.estimate, 1) == 81.9
    assert round(100 * PUBLISHED.reasonable.estimate, 1) == 63.1
    assert PUBLISHED.share("UA") == wilson(212, 750)
    assert PUBLISHED.reasonable_where(accurate=True) == wilson(402, 614)
    assert PUBLISHED.reasonable_where(accurate=False) == wilson(71, 136)


def test_association_of_the_published_numbers_by_hand():
    found = PUBLISHED.association
    ratio = 402 * 65 / (212 * 71)
    spread = math.exp(1.959964 * math.sqrt(1 / 402 + 1 / 212 + 1 / 71 + 1 / 65))
    assert found.odds_ratio.estimate == pytest.approx(ratio)
    assert found.odds_ratio.low == pytest.approx(ratio / spread, rel=1e-6)
    assert found.odds_ratio.high == pytest.approx(ratio * spread, rel=1e-6)
    assert found.p_value == pytest.approx(exact_fisher(402, 212, 71, 65), rel=1e-9)


def exact_fisher(a, b, c, d):
    """Whole numbers only."""
    row, column, total = a + b, a + c, a + b + c + d
    ways = {
        x: math.comb(row, x) * math.comb(total - row, column - x)
        for x in range(max(0, row + column - total), min(row, column) + 1)
    }
    return sum(w for w in ways.values() if w <= ways[a]) / math.comb(total, column)


def test_fishers_test_against_whole_numbers():
    for counts in itertools.product(range(5), repeat=4):
        if sum(counts):
            assert fisher_exact(*counts) == pytest.approx(exact_fisher(*counts), rel=1e-10)
    assert fisher_exact(3, 1, 1, 3) == pytest.approx(34 / 70)


def test_fishers_test_is_of_the_table_not_of_its_orientation():
    assert fisher_exact(12, 3, 5, 9) == pytest.approx(fisher_exact(12, 5, 3, 9))
    assert fisher_exact(12, 3, 5, 9) == pytest.approx(fisher_exact(9, 5, 3, 12))


def test_fishers_test_of_large_counts_does_not_overflow():
    p = fisher_exact(4020, 2120, 710, 650)
    assert 0 < p < 1e-12


def test_an_empty_cell_adds_half_an_item_to_each():
    assert odds_ratio(4, 0, 2, 3).estimate == pytest.approx(4.5 * 3.5 / (0.5 * 2.5))


def test_no_association_where_one_never_varies():
    assert Matrix.from_counts(ra=3, ua=5, ri=0, ui=0).association is None
    assert Matrix.from_counts(ra=3, ua=0, ri=2, ui=0).association is None
    only = Matrix.from_counts(ra=3, ua=5, ri=0, ui=0)
    assert only.reasonable_where(accurate=False) is None
    assert "cannot be told" in only.text()
    assert only.as_dict()["fisher_p"] is None


def test_independent_counts_have_odds_of_one():
    found = Matrix.from_counts(ra=20, ua=10, ri=40, ui=20).association
    assert found.odds_ratio.estimate == pytest.approx(1)
    assert found.p_value == pytest.approx(1)
    assert "independent" in Matrix.from_counts(ra=20, ua=10, ri=40, ui=20).text()


def test_those_that_exclude_each_other_do_not_go_together():
    """The odds of reasonable are a tenth where the answer is right; Fisher's test is sure."""
    matrix = Matrix.from_counts(ra=10, ua=40, ri=50, ui=20)
    assert matrix.association.p_value < 0.05
    assert matrix.association.odds_ratio.estimate == pytest.approx(10 * 20 / (40 * 50))
    said = matrix.text()
    assert "reasonable and accurate seldom go together: odds ratio 0.1 [" in said
    assert "accurate go together" not in said
    few = Matrix.from_counts(ra=1, ua=2, ri=2, ui=1).text()
    assert "cannot be told from independent" in few
    assert "go together" not in few


def test_from_verdicts_counts_cells():
    matrix = of({"a": "RA", "b": "UA", "c": "UA", "d": "UI"})
    assert dict(matrix.counts) == {"RA": 1, "UA": 2, "RI": 0, "UI": 1}
    assert not matrix.proposed


def test_shares_and_marginals_add_up():
    shares = [PUBLISHED.share(cell).estimate for cell in PUBLISHED.counts]
    assert sum(shares) == pytest.approx(1)
    assert PUBLISHED.accuracy.estimate == pytest.approx(shares[0] + shares[1])
    assert PUBLISHED.reasonable.estimate == pytest.approx(shares[0] + shares[2])


def test_text_and_markdown_have_counts_and_intervals():
    text, table = PUBLISHED.text(), PUBLISHED.markdown()
    assert "81.9 % [78.9, 84.5]" in text
    assert "reasonable and accurate go together: odds ratio 1.74 [1.19, 2.53]" in text
    assert "| reasonable | 402: 53.6 % [50.0, 57.1] | 71: 9.5 % [7.6, 11.8] |" in table
    assert "| unreasonable | 212: 28.3 %" in table
    assert "proposed" not in text + table


def test_a_matrix_of_proposed_verdicts_says_so():
    matrix = of({"a": "RA", "b": "UI"}, proposed=True)
    for said in (matrix.title, matrix.text(), matrix.markdown()):
        assert "proposed by the program, not said by people" in said
    assert matrix.as_dict()["proposed"] is True


def test_no_verdicts_make_no_matrix():
    with pytest.raises(AlignmentError, match="no verdict"):
        Matrix.from_verdicts(Verdicts(()))
    with pytest.raises(AlignmentError, match="give RA, UA, RI, UI, from 0"):
        Matrix.from_counts(ra=-1, ua=2, ri=0, ui=0)


def test_moves_item_by_item_by_hand():
    before = of({"a": "UA", "b": "UA", "c": "RA", "d": "UI", "gone": "RA"})
    after = of({"d": "RI", "a": "RA", "b": "RA", "c": "RI", "new": "UA"})
    moves = before.against(after)
    assert moves.total == 4
    assert moves.left_out == 2
    assert {k: v for k, v in moves.counts.items() if v} == {
        ("UA", "RA"): 2,
        ("RA", "RI"): 1,
        ("UI", "RI"): 1,
    }
    assert (moves.accurate.gained, moves.accurate.lost) == (0, 1)
    assert (moves.reasonable.gained, moves.reasonable.lost) == (3, 0)
    assert moves.reasonable.p_value == pytest.approx(2 / 8)
    assert moves.accurate.p_value == 1
    assert moves.as_dict()["moves"]["UA -> RA"] == 2
    assert "| UA | 2 | 0 | 0 | 0 |" in moves.markdown()
    assert "2 items are in one of the two only" in moves.text()


def test_back_again_gains_what_was_lost():
    before, after = of({"a": "UA", "b": "RI"}), of({"a": "RA", "b": "RA"})
    there, back = before.against(after), after.against(before)
    assert (there.accurate.gained, there.accurate.lost) == (1, 0)
    assert (back.accurate.gained, back.accurate.lost) == (0, 1)
    assert there.accurate.p_value == back.accurate.p_value


def test_mcnemars_exact_test_by_enumeration():
    for gained, lost in itertools.product(range(7), repeat=2):
        changed = gained + lost
        tail = sum(
            sum(flips) <= min(gained, lost) for flips in itertools.product((0, 1), repeat=changed)
        )
        assert mcnemar_exact(gained, lost) == pytest.approx(min(1, 2 * tail / 2**changed))
    assert mcnemar_exact(0, 0) == 1
    assert 0 < mcnemar_exact(100, 900) < 1e-100


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        (PUBLISHED, of({"a": "RA"}), "first matrix knows only its counts"),
        (of({"a": "RA"}), PUBLISHED, "second matrix knows only its counts"),
        (of({"a": "RA"}), of({"a": "RA"}, proposed=True), "one of judges"),
        (of({"a": "RA"}), of({"b": "RA"}), "no item is in both matrices: 'a'"),
    ],
)
def test_matrices_that_cannot_be_compared(before, after, match):
    with pytest.raises(AlignmentError, match=match):
        before.against(after)
