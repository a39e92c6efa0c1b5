"""Records of what people said: checked where they are made, and against the items."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.alignment.labels import AttentionLabel, AttentionLabels, nearest_names, same_aspect
from sightline.errors import AlignmentError

BLOT = np.float32([[0, 1, 0], [0, 0.5, 0]])


def of(item: str, shape: tuple[int, ...] = (2, 3), **fields) -> AttentionLabel:
    return AttentionLabel(item, np.ones(shape, np.float32), **fields)


# --- one label ------------------------------------------------------------------------------------


def test_a_label_by_hand():
    label = AttentionLabel("duck.jpg", BLOT, [[1, 1, 0], [0, 0, 0]], 2.0, "ada", "2024-05-01")
    assert label.size == (2, 3)
    assert not label.of_strokes
    assert label.must.dtype == np.float32
    assert label.must_not.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert label.contradictions == 1
    assert (label.weight, label.author, label.time) == (2.0, "ada", "2024-05-01")


def test_of_a_drawing():
    label = AttentionLabel("5718", must_not=[0, 0.25, 1])
    assert label.of_strokes
    assert label.size == (3,)
    assert label.contradictions == 0
    assert label.either("must").tolist() == [0, 0, 0]
    assert label.either("must_not").tolist() == [0, 0.25, 1]


@pytest.mark.parametrize("given", [BLOT > 0, BLOT.astype(np.float64), (BLOT > 0).tolist()])
def test_masks_of_any_kind_of_number(given):
    label = AttentionLabel("duck.jpg", given)
    assert label.must.dtype == np.float32
    assert label.must[0, 1] == 1


def test_masks_are_copied_and_cannot_be_written():
    own = BLOT.copy()
    label = AttentionLabel("duck.jpg", own)
    own[0, 0] = 1
    assert label.must[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        label.must[0, 0] = 1


def test_soft_contradictions_count():
    label = AttentionLabel("duck.jpg", [[0.1, 0.9, 0]], [[0.2, 0, 1]])
    assert label.contradictions == 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "duck.jpg' by nobody is empty: no place"),
        ({"must": [[0, 0]], "author": "ada"}, "duck.jpg' by ada is empty"),
        ({"must": [[0, 0]], "must_not": [[0, 0]]}, "is empty"),
        ({"must": [[1, 0]], "must_not": [[1], [0]]}, r"must mask of \(1, 2\) .* \(2, 1\)"),
        ({"must": [[1, 0], [1]]}, "must of 'duck.jpg' is no table of numbers"),
        ({"must_not": [["a"]]}, "must_not of 'duck.jpg' is no table of numbers"),
        ({"must": [[[1.0]]]}, r"shape \[1, 1, 1\]; expected \[height, width\], or \[strokes\]"),
        ({"must": np.zeros((0, 3))}, r"shape \[0, 3\]"),
        ({"must": [[255, 0]]}, r"outside \[0, 1\]; divide by the largest"),
        ({"must": [[-0.1, 0]]}, "outside"),
        ({"must": [[float("nan"), 1]]}, "outside"),
        ({"must": [[1]], "weight": -1.0}, "weight -1.0; at least 0"),
        ({"must": [[1]], "weight": float("nan")}, "weight nan"),
        ({"must": [[1]], "weight": float("inf")}, "weight inf"),
        ({"item": "", "must": [[1]]}, "no item; give the name"),
    ],
)
def test_bad_labels(fields, told):
    with pytest.raises(AlignmentError, match=told):
        AttentionLabel(**{"item": "duck.jpg", **fields})


# --- another size ---------------------------------------------------------------------------------


def test_growing_takes_the_nearest():
    label = AttentionLabel("duck.jpg", [[0, 1]], [[0.5, 0]]).resized((1, 5))
    assert label.must.tolist() == [[0, 0, 1, 1, 1]]  # centres 0.2, 0.6, 1.0, 1.4, 1.8
    assert label.must_not.tolist() == [[0.5, 0.5, 0, 0, 0]]


def test_shrinking_loses_no_mark():
    mask = np.zeros((50, 70), np.float32)
    mask[33, 41] = 0.75
    small = AttentionLabel("duck.jpg", mask).resized((7, 7)).must
    assert small.shape == (7, 7)
    assert small.max() == 0.75
    assert (small > 0).sum() == 1


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (1, 9), (9, 1), (224, 224)])
def test_hard_masks_stay_hard_and_whole_factors_come_back(size):
    label = AttentionLabel("duck.jpg", BLOT > 0)
    there = label.resized(size)
    assert there.size == size
    assert set(np.unique(there.must)) <= {0, 1}
    if size[0] % 2 == 0 and size[1] % 3 == 0:
        assert np.array_equal(there.resized((2, 3)).must, label.must)


def test_strokes_have_no_size():
    with pytest.raises(AlignmentError, match="is a drawing; its 2 strokes stay"):
        AttentionLabel("5718", [0, 1]).resized((2, 2))


# --- many -----------------------------------------------------------------------------------------


def test_groups():
    rows = [of("a.jpg", author="ada"), of("b.jpg"), of("a.jpg", author="bob")]
    labels = AttentionLabels.from_rows(iter(rows))
    assert len(labels) == 3
    assert list(labels) == rows
    assert labels.items == ("a.jpg", "b.jpg")
    assert [row.author for row in labels.of("a.jpg")] == ["ada", "bob"]
    assert labels.of("c.jpg") == ()
    assert "b.jpg" in labels
    assert "c.jpg" not in labels
    assert labels.only(["b.jpg", "z.jpg"]).items == ("b.jpg",)


def test_renamed():
    labels = AttentionLabels((of("a.jpg", author="ada"),), ("a note",)).renamed("train/{}".format)
    assert labels.items == ("train/a.jpg",)
    assert labels.rows[0].author == "ada"
    assert labels.notes == ("a note",)


# --- against the items ----------------------------------------------------------------------------

SIZES = {"duck.jpg": (20, 30), "goose.jpg": (480, 640), "5718": (3,)}


def test_what_fits_passes_as_it_is():
    labels = AttentionLabels.from_rows([of("duck.jpg"), of("goose.jpg", (3, 4)), of("5718", (3,))])
    assert labels.check(SIZES) is labels


def test_unknown_items_are_told_with_the_nearest():
    labels = AttentionLabels.from_rows([of("duck.jpg"), of("gose.jpg"), of("x")])
    told = r"2 of 3 labels .* first: unknown item 'gose.jpg'; did you mean 'goose.jpg'\?.*of 3 in"
    with pytest.raises(AlignmentError, match=told):
        labels.check(SIZES)


def test_unknown_items_can_be_left_out():
    labels = AttentionLabels((of("duck.jpg"), of("gose.jpg")), ("earlier",))
    left = labels.check(SIZES, on_unknown="skip")
    assert left.items == ("duck.jpg",)
    assert left.notes[0] == "earlier"
    assert left.notes[1].startswith("left out 1 of 2 labels")
    assert "'gose.jpg'" in left.notes[1]
    assert labels.items == ("duck.jpg", "gose.jpg")


def test_long_lists_of_names_are_not_printed_whole():
    told = nearest_names("photo_9999x.jpg", [f"photo_{i}.jpg" for i in range(2000)])
    assert len(told) < 250
    assert "(of 2000 in all)" in told


def test_another_choice():
    with pytest.raises(AlignmentError, match="unknown on_unknown 'drop'"):
        AttentionLabels.check.__wrapped__(AttentionLabels(()), {}, on_unknown="drop")


@pytest.mark.parametrize(
    ("mask", "fits"),
    [
        ((480, 640), True),
        ((240, 320), True),
        ((224, 298), True),  # 0.2 % off
        ((300, 404), True),  # 300 * 640 = 192,000 and 404 * 480 = 193,920: just 1 %
        ((300, 405), False),
        ((300, 397), True),
        ((300, 396), False),
        ((224, 224), False),
        ((640, 480), False),
    ],
)
def test_aspects(mask, fits):
    labels = AttentionLabels.from_rows([of("goose.jpg", mask, author="ada")])
    assert same_aspect(mask, (480, 640)) == fits
    if fits:
        assert len(labels.check(SIZES)) == 1
        return
    told = rf"'goose.jpg' by ada has a mask of {mask[0]} x {mask[1]} .* is 480 x 640, of another"
    with pytest.raises(AlignmentError, match=told):
        labels.check(SIZES)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        (of("5718", (4,)), "is of 4 strokes; the drawing has 3"),
        (of("5718", (3, 3)), r"masks of a photo, of \[3, 3\]; the item is a drawing, of \[3\]"),
        (of("duck.jpg", (20,)), r"masks of a drawing, of \[20\]; the item is a photo"),
    ],
)
def test_drawings_and_photos(label, told):
    with pytest.raises(AlignmentError, match=told):
        AttentionLabels.from_rows([label]).check(SIZES)
