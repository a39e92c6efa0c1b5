"""Items joined with labels: by name, at the size of the picture, weighed by their cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import figures
from guided import guided_drawings, guided_squares, stroke_net
from sightline.alignment.examples import CELL_WEIGHTS, GuidedExamples
from sightline.alignment.labels import AttentionLabel
from sightline.errors import AlignmentError
from sightline.training.examples import Labelled
from sightline.training.pictures import Pictures

NAMES = tuple(f"{i}.png" for i in range(5))


def pictures(size: tuple[int, int] = (4, 6), photos=()) -> Pictures:
    luck = torch.Generator().manual_seed(0)
    return Pictures(torch.rand(5, 3, *size, generator=luck), torch.arange(5) % 2, NAMES, photos)


def marked(item: str, size: tuple[int, int] = (4, 6), **about) -> AttentionLabel:
    mask = np.zeros(size, np.float32)
    mask[: size[0] // 2] = 1
    return AttentionLabel(item, must=mask, **about)


def joined(labels, data=None, names=NAMES, **settings) -> GuidedExamples:
    return GuidedExamples.from_labels(data or pictures(), names, labels, **settings)


# --- by hand --------------------------------------------------------------------------------------


def test_published_weights():
    assert CELL_WEIGHTS == {"UI": (1, 1), "UA": (0.4, 1.6), "RI": (0.8, 0.2), "RA": (1, 0)}


def test_a_batch_by_hand():
    """Two of three labels count; the weights are scaled by 4 / 2."""
    labels = [marked("0.png", weight=0.5), marked("2.png"), marked("3.png")]
    data = joined(labels, cells={"0.png": "UA", "3.png": "RA", "4.png": "UA"})
    batch = data.batch(torch.tensor([3, 0, 1, 2]))
    assert batch.wanted.weight.tolist() == pytest.approx([0, 2 * 0.5 * 1.6, 0, 2 * 1.0])
    assert batch.task_weight.tolist() == pytest.approx([1, 0.4, 1, 1])
    assert data.labelled.tolist() == [0, 2]
    assert torch.equal(batch.inputs.pixels, data.data.pixels[[3, 0, 1, 2]])
    assert torch.equal(batch.wanted.must[1], torch.from_numpy(labels[0].must.copy()))
    assert not batch.wanted.must[2].any()
    assert not batch.wanted.must_not.any()
    assert data.targets(torch.tensor([3, 0])).tolist() == [1, 0]
    assert len(data) == 5


def test_an_item_with_a_verdict_and_no_label_counts_plain():
    """As in GRADIA's program: without a mask a verdict changes nothing."""
    batch = joined([], cells={"0.png": "UA"}).batch(torch.arange(5))
    assert batch.task_weight.tolist() == [1] * 5
    assert batch.wanted.weight.tolist() == [0] * 5


def test_own_cell_weights():
    data = joined([marked("0.png")], cells={"0.png": "UA"}, weights={"UA": (0.25, 3.0)})
    batch = data.batch(torch.tensor([0, 1]))
    assert (batch.task_weight.tolist(), batch.wanted.weight.tolist()) == ([0.25, 1], [6, 0])


@pytest.mark.parametrize("chosen", [[0], [1], [0, 1], [4, 3, 2, 1, 0]])
def test_the_mean_over_a_batch_is_that_over_its_labels(chosen):
    data = joined([marked("0.png"), marked("3.png", weight=3.0)])
    weight = data.batch(torch.tensor(chosen)).wanted.weight
    given = [{0: 1.0, 3: 3.0}.get(i, 0.0) for i in chosen]
    labels = sum(w > 0 for w in given)
    assert weight.mean().item() == pytest.approx(sum(given) / labels if labels else 0)


def test_without_labels():
    data = GuidedExamples(pictures(), {})
    batch = data.batch(torch.tensor([1, 2]))
    assert not batch.wanted.weight.any()
    assert data.labelled.tolist() == []


# --- places ---------------------------------------------------------------------------------------


def test_masks_come_to_the_size_of_the_picture_by_area_mean():
    mask = np.zeros((8, 12), np.float32)
    mask[0, :3] = 1  # of the cells of 2 x 2: two of four, one of four
    label = AttentionLabel("1.png", must=mask, must_not=1 - mask)
    data = joined([label])
    wanted = data.batch(torch.tensor([1])).wanted
    assert wanted.must[0, 0].tolist() == pytest.approx([0.5, 0.25, 0, 0, 0, 0])
    torch.testing.assert_close(wanted.must_not, 1 - wanted.must)
    small = joined([AttentionLabel("1.png", must=[[1, 0, 0], [0, 0, 0]])]).masks[1][0]
    assert small[:2, :2].tolist() == [[1, 1], [1, 1]]
    assert small.sum() == 4


def test_a_mask_is_of_the_photo_whatever_the_aspect_of_the_picture():
    """Pictures of 4 x 6 made of photos of 40 x 20; the mask has its own size."""
    photos = ((40, 20),) * 5
    wanted = joined([marked("0.png", (20, 10))], pictures(photos=photos)).batch(torch.tensor([0]))
    assert wanted.wanted.must[0, :, 0].tolist() == [1, 1, 0, 0]
    with pytest.raises(AlignmentError, match=r"mask of 4 x 6 .*photo is 40 x 20, of another"):
        joined([marked("0.png")], pictures(photos=photos))


def test_strokes_are_padded_to_the_batch():
    data = guided_drawings(6, [0, 2, 4], 5)
    lengths = data.data.strokes_per_sketch().tolist()
    batch = data.batch(torch.tensor([4, 1, 2, 0]))
    rows = [4, 1, 2, 0]
    assert batch.wanted.of_strokes
    assert batch.wanted.must.shape == (4, max(lengths[i] for i in rows))
    for row, item in enumerate(rows):
        there = batch.wanted.there[row]
        assert there.sum() == lengths[item]
        want = [1.0] + [0.0] * (lengths[item] - 1) if item != 1 else [0.0] * lengths[item]
        assert batch.wanted.must[row][there].tolist() == want
    assert batch.wanted.weight.tolist() == pytest.approx([4 / 3, 0, 4 / 3, 4 / 3])
    assert not batch.wanted.must[~batch.wanted.there].any()
    unlabelled = GuidedExamples(data.data, {}).batch(torch.tensor([0, 1])).wanted
    assert unlabelled.of_strokes
    assert not unlabelled.must.any()


def test_shares_of_a_batch_keep_the_weights_of_the_whole():
    batch = guided_squares(8, [0, 2, 3]).batch(torch.arange(8))
    odd = batch.select(torch.tensor([1, 3, 5, 7]))
    assert odd.wanted.weight.tolist() == pytest.approx([0, 8 / 3, 0, 0])


# --- errors ---------------------------------------------------------------------------------------


def test_an_unknown_item_is_told_with_the_nearest_names():
    names = ["duck.jpg", "duke.jpg", "goose.jpg", "cup.jpg", "cap.jpg"]
    with pytest.raises(AlignmentError, match=r"'duk\.jpg'.*duck\.jpg.*\(of 5 in all\); mend"):
        joined([marked("duk.jpg")], names=names)


def test_a_mask_of_another_aspect_is_told_with_both_sizes():
    with pytest.raises(
        AlignmentError, match=r"mask of 6 x 4 \(height x width\); the photo is 4 x 6, of another"
    ):
        joined([marked("2.png", (6, 4))])


def test_two_labels_of_one_item():
    with pytest.raises(AlignmentError, match=r"'1\.png' has two labels; combine them first"):
        joined([marked("1.png", author="ada"), marked("1.png", author="bob")])


def test_a_name_of_two_items():
    names = ("0.png", "1.png", "1.png", "3.png", "4.png")
    with pytest.raises(AlignmentError, match=r"'1\.png', which is the name of 2 items"):
        joined([marked("1.png")], names=names)
    assert joined([marked("0.png")], names=names).labelled.tolist() == [0], "others do not matter"
    with pytest.raises(AlignmentError, match="5 items have 2 names; give one each"):
        joined([], names=("a", "b"))


def test_other_numbers_of_strokes_and_other_kinds():
    sketches = figures.drawings(3, 0)
    names = [sketch.name for sketch in sketches]
    data = Labelled.from_sketches(sketches, figures.LABELS, stroke_net().prepare)
    with pytest.raises(AlignmentError, match=r"is of 3 strokes; the drawing has 2"):
        joined([AttentionLabel(names[0], must=[1, 0, 0])], data, names)
    with pytest.raises(AlignmentError, match=r"is one of a photo, \[4, 6\]; the item is a drawing"):
        joined([marked(names[0])], data, names)
    with pytest.raises(AlignmentError, match=r"is one of a drawing, \[2\]; the item is a photo"):
        joined([AttentionLabel("0.png", must=[1, 0])])


def test_indices_cells_and_weights():
    data = pictures()
    blank = (torch.zeros(4, 6), torch.zeros(4, 6))
    with pytest.raises(AlignmentError, match="a label for item 5 of 5"):
        GuidedExamples(data, {5: blank})
    with pytest.raises(AlignmentError, match="a label for item -1 of 5"):
        GuidedExamples(data, {}, task_weight={-1: 1.0})
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(AlignmentError, match=r"a weight of .*; expected a number from 0"):
            GuidedExamples(data, {0: blank}, attention_weight={0: bad})
    with pytest.raises(AlignmentError, match="unknown cell 'AU'"):
        joined([marked("0.png")], cells={"0.png": "AU"})
