"""One label of several people's, by hand, against a plain count of votes, and by its laws."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.alignment.combine import combined, contradictions_of
from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.errors import AlignmentError


def duck(must=None, must_not=None, author="", **fields) -> AttentionLabel:
    return AttentionLabel("duck.jpg", must, must_not, author=author, **fields)


# --- agreeing -------------------------------------------------------------------------------------


def test_the_mean_by_weight():
    ada = duck([[1, 1, 0]], author="ada", weight=3.0, time="2024-05-01")
    bob = duck([[0, 1, 0]], author="bob", weight=1.0, time="2024-06-01")
    both = combined([ada, bob])
    assert both.must.tolist() == [[0.75, 1, 0]]
    assert both.must_not is None
    assert (both.item, both.weight, both.author) == ("duck.jpg", 2.0, "ada, bob")
    assert both.time == "2024-06-01"


def test_silence_is_no_vote():
    both = combined([duck([[1, 0]]), duck(must_not=[[0, 1]])])
    assert both.must.tolist() == [[1, 0]]
    assert both.must_not.tolist() == [[0, 1]]


def test_a_weight_of_0_does_not_count():
    both = combined([duck([[1, 0]], author="ada"), duck([[0, 1]], author="bot", weight=0.0)])
    assert both.must.tolist() == [[1, 0]]
    assert both.author == "ada"
    assert both.weight == 1


def test_unless_all_have_it():
    both = combined([duck([[1, 0]], weight=0.0), duck([[1, 1]], weight=0.0)])
    assert both.must.tolist() == [[1, 0.5]]
    assert both.weight == 0


def test_one_label_stays():
    one = duck([[0.2, 0.7]], [[0, 0]], author="ada", weight=0.3, time="2024")
    same = combined([one])
    assert np.array_equal(same.must, one.must)
    assert np.array_equal(same.must_not, one.must_not)
    assert (same.weight, same.author, same.time) == (0.3, "ada", "2024")


def test_strokes():
    both = combined([AttentionLabel("5718", [1, 0, 0]), AttentionLabel("5718", [1, 0, 1])])
    assert both.must.tolist() == [1, 0, 0.5]


def test_two_sizes_of_one_aspect():
    both = combined([duck([[1, 0]]), duck([[1, 0, 0, 0], [1, 0, 0, 0]])])
    assert both.must.tolist() == [[1, 0.5, 0, 0]] * 2


# --- contradicting --------------------------------------------------------------------------------

ADA = duck([[1, 1, 1, 0]], author="ada")
BOB = duck([[0, 1, 1, 0]], author="bob")
CY = duck(must_not=[[0, 0, 1, 1]], author="cy")


def test_refused_with_number_and_names():
    told = (
        r"1 of 4 pixels of 'duck.jpg' have to be looked at \(says ada, bob\) and left alone "
        r"\(says cy\), both; .*on_contradiction='weigh'"
    )
    with pytest.raises(AlignmentError, match=told):
        combined([ADA, BOB, CY])


def test_only_those_who_say_so_are_named():
    with pytest.raises(AlignmentError, match=r"2 of 4 pixels .*says ada\) and left alone \(says n"):
        combined([ADA, duck([[0, 0, 0, 1]], author="dee"), duck(must_not=[[1, 1, 0, 0]])])


def test_weighed_by_hand():
    """Two of three say must: half of their mark is left."""
    three = combined([ADA, BOB, CY], on_contradiction="weigh")
    assert three.must.tolist() == [[0.5, 1, 0.5, 0]]
    assert three.must_not.tolist() == [[0, 0, 0, 1]]
    assert three.contradictions == 0


def test_equal_votes_leave_the_place_open():
    two = combined([ADA, CY], on_contradiction="weigh")
    assert two.must.tolist() == [[1, 1, 0, 0]]
    assert two.must_not.tolist() == [[0, 0, 0, 1]]


def test_the_weight_of_a_person_counts():
    heavy = duck(must_not=[[0, 0, 1, 1]], weight=4.0)
    two = combined([ADA, heavy], on_contradiction="weigh")
    assert two.must.tolist() == [[1, 1, 0, 0]]
    assert two.must_not.tolist() == [[0, 0, 0.75, 1]]


def test_one_side_wins():
    won = combined([ADA, CY], on_contradiction="must")
    assert won.must.tolist() == [[1, 1, 1, 0]]
    assert won.must_not.tolist() == [[0, 0, 0, 1]]
    won = combined([ADA, CY], on_contradiction="must_not")
    assert won.must.tolist() == [[1, 1, 0, 0]]
    assert won.must_not.tolist() == [[0, 0, 1, 1]]


def test_a_label_that_contradicts_itself_becomes_the_difference():
    label = duck([[0.8, 0.25, 1.0, 0]], [[0.2, 0.75, 0, 1.0]])
    with pytest.raises(AlignmentError, match="2 of 4 pixels"):
        combined([label])
    mended = combined([label], on_contradiction="weigh")
    assert mended.must == pytest.approx(np.float32([[0.6, 0, 1, 0]]))
    assert mended.must_not == pytest.approx(np.float32([[0, 0.5, 0, 1]]))


def test_nothing_left():
    with pytest.raises(AlignmentError, match=r"nothing is left of the labels of 'duck.jpg'"):
        combined([duck([[1, 0]]), duck(must_not=[[1, 0]])], on_contradiction="weigh")


def votes(labels: list[AttentionLabel], place: tuple[int, int]) -> tuple[float, float]:
    """The oracle: a place at a time, in float64."""
    pros = [(lab.weight, float(lab.must[place])) for lab in labels if lab.must is not None]
    cons = [(lab.weight, float(lab.must_not[place])) for lab in labels if lab.must_not is not None]
    pro, con = sum(w * m for w, m in pros), sum(w * m for w, m in cons)
    must = pro / sum(w for w, _ in pros)
    must_not = con / sum(w for w, _ in cons)
    if pro > 0 and con > 0:
        return must * max(0.0, 1 - con / pro), must_not * max(0.0, 1 - pro / con)
    return must, must_not


@pytest.fixture
def crowd() -> list[AttentionLabel]:
    luck = np.random.default_rng(5)

    def mask():
        return luck.random((4, 5)).astype(np.float32) * (luck.random((4, 5)) < 0.5)

    sides = [(mask(), None), (mask(), mask()), (None, mask()), (mask(), mask())]
    return [duck(a, b, str(i), weight=float(luck.random()) + 0.1) for i, (a, b) in enumerate(sides)]


def test_against_a_plain_count(crowd):
    found = combined(crowd, on_contradiction="weigh")
    for place in np.ndindex(4, 5):
        expected = votes(crowd, place)
        assert (found.must[place], found.must_not[place]) == pytest.approx(expected, abs=1e-6)


def test_laws(crowd):
    found = combined(crowd, on_contradiction="weigh")
    assert found.contradictions == 0
    turned = combined(crowd[::-1], on_contradiction="weigh")
    assert turned.must == pytest.approx(found.must, abs=1e-6)
    for way in ("must", "must_not"):
        assert combined(crowd, on_contradiction=way).contradictions == 0
    swapped = [duck(lab.must_not, lab.must, weight=lab.weight) for lab in crowd]
    mirror = combined(swapped, on_contradiction="weigh")
    assert mirror.must == pytest.approx(found.must_not, abs=1e-6)


def test_twice_the_same_is_the_same(crowd):
    once = combined(crowd[:1])
    twice = combined([crowd[0], crowd[0]])
    assert twice.must == pytest.approx(once.must, abs=1e-7)
    assert twice.weight == once.weight


# --- counts and errors ----------------------------------------------------------------------------


def test_counts_by_item():
    goose = AttentionLabel("goose.jpg", [[1, 1]], [[1, 1]])
    swan = AttentionLabel("swan.jpg", [[1, 0]])
    assert contradictions_of([ADA, goose, CY, swan]) == {"duck.jpg": 1, "goose.jpg": 2}
    assert contradictions_of(AttentionLabels((swan,))) == {}


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([], "no label to combine"),
        ([ADA, AttentionLabel("goose.jpg", [[1]])], "2 items, first 'duck.jpg' and 'goose.jpg'"),
        ([duck([[1, 0]]), duck([[1], [0]])], r"labels of \[1, 2\] and of \[2, 1\]"),
        ([AttentionLabel("5", [1, 0]), AttentionLabel("5", [1])], r"of \[1\] and of \[2\]"),
    ],
)
def test_what_cannot_be_combined(labels, told):
    with pytest.raises(AlignmentError, match=told):
        combined(labels)
