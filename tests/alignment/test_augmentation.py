"""Labels move with what the model reads: photos with their masks, strokes with their numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from sightline.alignment.augmentation import GuidedAugmentation
from sightline.alignment.wanted import GuidedBatch, Wanted, padded, stroke_places
from sightline.errors import AlignmentError
from sightline.image.augment import PhotoAugmentation
from sightline.image.batch import PictureBatch
from sightline.sketch.augment import (
    Augmentation,
    StrokeOrigins,
    drop_strokes,
    join_strokes,
    reverse_strokes,
    split_strokes,
)
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch

STILL = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.0))
TURNING = PhotoAugmentation(brightness=0.0, contrast=0.0, saturation=0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bright_squares(count: int = 10) -> GuidedBatch:
    """Red squares to look at, blue ones to leave alone; the labels are made of the pixels."""
    pixels = torch.zeros(count, 3, 40, 50)
    for i in range(count):
        pixels[i, 0, 10 + i : 16 + i, 12:20] = 1
        pixels[i, 2, 12:18, 30 - i : 36 - i] = 1
    masks = (pixels > 0.5).float()
    wanted = Wanted(masks[:, 0], masks[:, 2], torch.linspace(0.5, 1, count))
    return GuidedBatch(PictureBatch(pixels), wanted, torch.arange(count).float())


def drawings(seed: int = 0, count: int = 12) -> GuidedBatch:
    """Drawings whose strokes have a label each, 0 among them."""
    luck = np.random.default_rng(seed)
    sketches = [
        Sketch.from_strokes(
            [luck.normal(0, 1, (luck.integers(2, 9), 2)) for _ in range(luck.integers(1, 7))]
        )
        for _ in range(count)
    ]
    inputs = SketchBatch.from_sketches(sketches, dtype=torch.float64).normalise()
    there = stroke_places(inputs)
    strokes = len(inputs.order)
    must = padded(torch.rand(strokes, generator=seeded(seed)).round(decimals=3), there)
    must_not = padded((torch.rand(strokes, generator=seeded(seed + 1)) > 0.5).float(), there)
    wanted = Wanted(must, must_not, torch.ones(count), there)
    return GuidedBatch(inputs, wanted, torch.ones(count))


def labels_of(batch: GuidedBatch) -> list[list[float]]:
    return [
        row[there].tolist()
        for row, there in zip(batch.wanted.must, batch.wanted.there, strict=True)
    ]


def one_drawing(lengths: list[int], labels: list[float]) -> GuidedBatch:
    strokes = [[(float(x), float(y)) for x in range(n)] for y, n in enumerate(lengths)]
    inputs = SketchBatch.from_sketches([Sketch.from_strokes(strokes)]).normalise()
    must = torch.tensor([labels])
    wanted = Wanted(must, torch.zeros_like(must), torch.ones(1), stroke_places(inputs))
    return GuidedBatch(inputs, wanted, torch.ones(1))


@pytest.mark.parametrize("inner", [PhotoAugmentation.off(flip=0.5), TURNING])
def test_labels_coincide_with_the_pixels_they_are_made_of(inner):
    batch = bright_squares()
    moved = GuidedAugmentation(inner)(batch, seeded(2))
    assert not torch.equal(moved.inputs.pixels, batch.inputs.pixels)
    torch.testing.assert_close(moved.inputs.pixels[:, 0], moved.wanted.must)
    torch.testing.assert_close(moved.inputs.pixels[:, 2], moved.wanted.must_not)
    assert torch.equal(moved.wanted.weight, batch.wanted.weight)
    assert torch.equal(moved.task_weight, batch.task_weight)


def test_that_check_fails_for_a_photo_flipped_without_its_mask():
    """GRADIA's fault: only what the model reads is varied."""
    batch = bright_squares()
    wrong = batch.with_inputs(PhotoAugmentation.off(flip=1.0)(batch.inputs, seeded()), batch.wanted)
    assert not torch.allclose(wrong.inputs.pixels[:, 0], wrong.wanted.must)


def test_an_item_of_whose_label_nothing_remains_counts_no_more():
    pixels = torch.rand(30, 3, 20, 20, generator=seeded())
    must = torch.zeros(30, 20, 20)
    must[:, :2, :2] = 1
    batch = GuidedBatch(
        PictureBatch(pixels), Wanted(must, torch.zeros_like(must), torch.ones(30)), torch.ones(30)
    )
    moved = GuidedAugmentation(PhotoAugmentation.off(crop=0.5))(batch, seeded())
    left = moved.wanted.must.flatten(1).any(1)
    assert left.any()
    assert not left.all()
    assert torch.equal(moved.wanted.weight, left.float() * (30 / int(left.sum())))


def test_an_item_that_loses_one_of_two_masks_counts_no_more():
    """The other mask alone would claim more than was said: look here, or merely not there."""
    count = 40
    must, must_not = torch.zeros(2, count, 20, 20)
    must[:, :2, :2] = 1  # a corner, which a crop can cut away
    must_not[::2, 8:12, 8:12] = 1  # the middle, which none does; of every other item
    must_not[1::4, -2:, -2:] = 1  # another corner
    given = torch.linspace(0.5, 1.5, count) * (torch.arange(count) % 5 > 0)  # some have no label
    batch = GuidedBatch(
        PictureBatch(torch.rand(count, 3, 20, 20, generator=seeded())),
        Wanted(must, must_not, given),
        torch.ones(count),
    )
    wanted = GuidedAugmentation(PhotoAugmentation.off(crop=0.5))(batch, seeded()).wanted
    whole, only_one, expected = 0, 0, []
    for i in range(count):
        pairs = ((must[i], wanted.must[i]), (must_not[i], wanted.must_not[i]))
        lost = [bool(before.any()) and not bool(now.any()) for before, now in pairs]
        only_one += any(lost) and bool(wanted.must[i].any() or wanted.must_not[i].any())
        expected.append(0.0 if any(lost) else float(given[i]))
        whole += expected[-1] > 0
    assert only_one > 3
    assert whole < int((given > 0).sum())
    # GRADIA's sum is over the labelled items of the batch, divided by their number
    scale = int((given > 0).sum()) / whole
    assert wanted.weight.tolist() == pytest.approx([scale * weight for weight in expected])


def test_a_mask_that_an_item_never_had_is_not_lost():
    batch = bright_squares()
    only = replace(batch.wanted, must_not=torch.zeros_like(batch.wanted.must_not))
    moved = GuidedAugmentation(TURNING)(batch.with_inputs(batch.inputs, only), seeded())
    assert torch.equal(moved.wanted.weight, batch.wanted.weight)


def test_nothing_that_remains_is_no_division_by_zero():
    batch = one_drawing([3] * 12, [1.0] + [0.0] * 11)
    lost = [
        GuidedAugmentation(replace(STILL, drop=1.0))(batch, seeded(seed)).wanted
        for seed in range(20)
    ]
    assert {float(wanted.weight) for wanted in lost if not wanted.must.any()} == {0.0}


def test_places_of_a_photo_move_too():
    batch = bright_squares()
    there = batch.wanted.must > 0
    marked = batch.with_inputs(batch.inputs, replace(batch.wanted, there=there))
    moved = GuidedAugmentation(PhotoAugmentation.off(flip=0.5))(marked, seeded())
    assert torch.equal(moved.wanted.there, moved.wanted.must > 0)


def test_without_changes_drawings_and_labels_stay():
    batch = drawings()
    same = GuidedAugmentation(STILL)(batch, seeded())
    torch.testing.assert_close(same.inputs.points, batch.inputs.points)
    for name in ("must", "must_not", "there", "weight"):
        assert torch.equal(getattr(same.wanted, name), getattr(batch.wanted, name))


def test_halves_of_a_split_stroke_inherit():
    batch = one_drawing([5, 2, 6], [0.3, 1.0, 0.7])  # two points cannot be cut
    halves = GuidedAugmentation(replace(STILL, split=1.0))(batch, seeded())
    assert labels_of(halves) == [pytest.approx([0.3, 0.3, 1.0, 0.7, 0.7])]


def test_joined_strokes_take_the_larger_label():
    batch = one_drawing([3, 3, 3], [0.3, 0.9, 0.0])
    joined = GuidedAugmentation(replace(STILL, join=1.0))(batch, seeded())
    assert labels_of(joined) == [pytest.approx([0.9])]
    assert joined.wanted.there.tolist() == [[True]]


def test_reversed_strokes_keep_theirs():
    batch = drawings()
    turned = GuidedAugmentation(replace(STILL, reverse=1.0))(batch, seeded())
    assert not torch.allclose(turned.inputs.points, batch.inputs.points)
    assert torch.equal(turned.wanted.must, batch.wanted.must)


def test_a_dropped_label_is_gone():
    batch = one_drawing([3] * 12, [1.0] + [0.0] * 11)
    drop = GuidedAugmentation(replace(STILL, drop=1.0))
    weights = {}
    for seed in range(20):
        varied = drop(batch, seeded(seed))
        weights[bool(varied.wanted.must.any())] = float(varied.wanted.weight)
    assert weights == {True: 1.0, False: 0.0}


@pytest.mark.parametrize("seed", range(4))
def test_kept_strokes_have_the_labels_of_their_points(seed):
    """The law for all operations: points, which no operation changes, tell the old stroke."""
    batch = drawings(seed, count=30)
    inner = replace(STILL, drop=0.8, reverse=0.3, split=0.5, join=0.4)
    varied = GuidedAugmentation(inner)(batch, seeded(seed))
    old = batch.inputs
    label_at = {
        tuple(point): label
        for point, label in zip(
            old.points.tolist(),
            batch.wanted.must[batch.wanted.there][old.stroke_of_point].tolist(),
            strict=True,
        )
    }
    new, generator = old, seeded(seed)
    for change, rate in ((drop_strokes, 0.8), (reverse_strokes, 0.3), (split_strokes, 0.5),
                         (join_strokes, 0.4)):  # fmt: skip
        new = change(new, rate, generator)
    torch.testing.assert_close(new.normalise().points, varied.inputs.points)
    ends = new.stroke_offsets.tolist()
    expected = [
        max(label_at[tuple(point)] for point in new.points[a:b].tolist()) for a, b in pairwise(ends)
    ]
    assert varied.wanted.must[varied.wanted.there].tolist() == expected
    assert torch.equal(varied.wanted.there, stroke_places(varied.inputs))
    assert float(varied.wanted.must[~varied.wanted.there].abs().sum()) == 0
    assert len(new.order) != len(old.order)


def test_labels_take_no_luck_from_the_drawings():
    batch = drawings()
    varied = GuidedAugmentation(Augmentation())(batch, seeded(3))
    assert torch.equal(varied.inputs.points, Augmentation()(batch.inputs, seeded(3)).points)


def test_places_left_out_are_found_in_the_drawings():
    batch = drawings()
    bare = batch.with_inputs(batch.inputs, replace(batch.wanted, there=None))
    vary = GuidedAugmentation(Augmentation())
    assert torch.equal(vary(bare, seeded()).wanted.must, vary(batch, seeded()).wanted.must)


def test_a_number_may_be_below_zero():
    origins = StrokeOrigins(torch.tensor([1, 0]), torch.tensor([0, 1]))
    assert origins.carry(torch.tensor([-1.0, -2.0])).tolist() == [-2.0, -1.0]


def test_an_augmentation_of_the_other_kind_is_refused():
    with pytest.raises(AlignmentError, match="PhotoAugmentation cannot vary drawings; give"):
        GuidedAugmentation(PhotoAugmentation())(drawings(), seeded())
    with pytest.raises(AlignmentError, match="Augmentation cannot vary photos"):
        GuidedAugmentation(Augmentation())(bright_squares(), seeded())


def test_labels_of_another_size_are_refused():
    batch = bright_squares()
    small = torch.zeros(10, 20, 25)
    wanted = Wanted(small, small, torch.ones(10))
    with pytest.raises(AlignmentError, match=r"labels of \[20, 25\] cannot move with pictures"):
        GuidedAugmentation(TURNING)(batch.with_inputs(batch.inputs, wanted), seeded())
    few = drawings()
    there = few.wanted.there.clone()
    there[0] = False
    with pytest.raises(AlignmentError, match="cannot follow drawings of"):
        GuidedAugmentation(STILL)(
            few.with_inputs(few.inputs, replace(few.wanted, there=there)), seeded()
        )
