import numpy as np
import pytest

from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.benchmark.label_noise import LARGEST_OVERLAP, overlap, with_wrong_labels
from sightline.errors import AlignmentError


def corner_labels(count, *, both=True, size=8):
    """Blocks that walk around the picture."""
    rows = []
    for i in range(count):
        must = np.zeros((size, size), np.float32)
        y, x = divmod((7 * i) % 16, 4)
        must[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = 1
        rows.append(AttentionLabel(f"{i}.png", must, 1 - must if both else None, author="ada"))
    return AttentionLabels.from_rows(rows)


@pytest.mark.parametrize("kind", ["another", "mirrored", "swapped"])
@pytest.mark.parametrize(("count", "share", "wrong"), [(40, 0.25, 10), (10, 0.25, 3), (7, 1, 7)])
@pytest.mark.parametrize("both", [True, False])
def test_exactly_the_share_is_wrong_and_really_wrong(kind, count, share, wrong, both):
    labels = corner_labels(count, both=both)
    noisy = with_wrong_labels(labels, share, kind=kind, seed=5)
    assert len(noisy.wrong) == wrong
    assert noisy.labels.items == labels.items
    for index, (was, now) in enumerate(zip(labels, noisy.labels, strict=True)):
        union = ((was.must > 0) | (now.must > 0)).sum()
        iou = ((was.must > 0) & (now.must > 0)).sum() / union  # by hand, not by the module
        if index in noisy.wrong:
            assert iou <= LARGEST_OVERLAP
            assert now.author == "wrong on purpose"
            assert (now.must_not is not None) == both
        else:
            assert now is was


def test_each_kind_by_hand():
    must = np.zeros((2, 4), np.float32)
    must[0, 0] = 1
    label = AttentionLabel("a.png", must, 1 - must)
    one = AttentionLabels.from_rows([label])
    mirrored = with_wrong_labels(one, 1.0, kind="mirrored").labels.rows[0]
    assert mirrored.must.sum() == 1
    assert mirrored.must[0, 0] == 0
    assert np.array_equal(mirrored.must_not, 1 - mirrored.must)
    swapped = with_wrong_labels(one, 1.0, kind="swapped").labels.rows[0]
    assert np.array_equal(swapped.must, label.must_not)
    assert np.array_equal(swapped.must_not, label.must)
    alone = AttentionLabels.from_rows([AttentionLabel("b.png", must_not=must)])
    assert np.array_equal(
        with_wrong_labels(alone, 1.0, kind="swapped").labels.rows[0].must_not, 1 - must
    )


def test_another_is_the_whole_label_of_another_item():
    labels = corner_labels(12)
    noisy = with_wrong_labels(labels, 0.5, kind="another", seed=1)
    pairs = {(row.must.tobytes(), row.must_not.tobytes()) for row in labels}
    assert all((row.must.tobytes(), row.must_not.tobytes()) in pairs for row in noisy.labels)


def test_wrong_ones_depend_on_the_seed_and_the_note_tells():
    labels = corner_labels(40)
    one, same, other = (with_wrong_labels(labels, 0.25, seed=s) for s in (2, 2, 3))
    assert one.wrong == same.wrong != other.wrong
    for a, b in zip(one.labels, same.labels, strict=True):
        assert np.array_equal(a.must, b.must)
    assert one.labels.notes == ("10 of 40 labels are wrong on purpose (another, seed 2)",)
    assert with_wrong_labels(labels, 0.0).wrong == ()


def test_overlap_by_hand():
    a = AttentionLabel("a", must=np.array([[1.0, 1.0, 0.0]]))
    b = AttentionLabel("b", must=np.array([[0.0, 0.5, 1.0]]))
    assert overlap(a, b) == pytest.approx(1 / 3)
    c = AttentionLabel("c", must_not=np.array([[0.0, 0.5, 1.0]]))
    d = AttentionLabel("d", must_not=np.array([[0.0, 0.0, 1.0]]))
    assert overlap(c, d) == pytest.approx(1 / 2)


def test_what_cannot_be_made_wrong_is_said():
    middle = np.zeros((4, 4))
    middle[1:3, 1:3] = 1
    labels = AttentionLabels.from_rows([AttentionLabel(f"{i}", must=middle) for i in range(4)])
    for kind in ("mirrored", "another"):
        with pytest.raises(AlignmentError, match=f"only 0 of 2 .* as '{kind}'"):
            with_wrong_labels(labels, 0.5, kind=kind)
    with pytest.raises(AlignmentError, match="unknown kind of wrong label 'mirored'; did you mean"):
        with_wrong_labels(labels, 0.5, kind="mirored")
    with pytest.raises(AlignmentError, match=r"share is 1\.5"):
        with_wrong_labels(labels, 1.5)
    strokes = AttentionLabels.from_rows([AttentionLabel("duck", must=[1, 0, 0])])
    with pytest.raises(AlignmentError, match="'duck' is of strokes"):
        with_wrong_labels(strokes, 0.5)
