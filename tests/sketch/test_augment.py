"""Random changes: what they keep, and that chance comes from the generator alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sightline.sketch.augment import (
    Augmentation,
    drop_strokes,
    join_strokes,
    reverse_strokes,
    split_strokes,
)
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch

STILL = Augmentation(**dict.fromkeys(Augmentation.__dataclass_fields__, 0.0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crowd(seed: int = 0, count: int = 30, most: int = 8) -> SketchBatch:
    luck = np.random.default_rng(seed)
    sketches = [
        Sketch.from_strokes(
            [
                luck.normal(0, 1, (luck.integers(2, 12), 2))
                for _ in range(luck.integers(1, most + 1))
            ]
        )
        for _ in range(count)
    ]
    return SketchBatch.from_sketches(sketches, dtype=torch.float64).normalise()


def ink(batch: SketchBatch) -> torch.Tensor:
    """Length of all lines of each sketch, by plain loops."""
    return torch.tensor(
        [
            sum(float(np.hypot(*np.diff(s, axis=0).T).sum()) for s in batch.sketch(i).strokes)
            for i in range(len(batch))
        ],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_seed_decides_everything(seed):
    batch = crowd()
    state = torch.get_rng_state()
    once, again = (Augmentation()(batch, seeded(seed)) for _ in range(2))
    other = Augmentation()(batch, seeded(seed + 1))
    assert torch.equal(once.points, again.points)
    assert torch.equal(once.stroke_offsets, again.stroke_offsets)
    assert once.points.shape != other.points.shape or not torch.equal(once.points, other.points)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("seed", range(3))
def test_results_are_normalised_and_whole(seed):
    varied = Augmentation()(crowd(seed), seeded(seed))
    assert varied.strokes_per_sketch.min() >= 1
    assert varied.points_per_stroke.min() >= 2
    for index in range(len(varied)):
        sketch = varied.sketch(index)
        assert max(sketch.size) == pytest.approx(1.48)
        np.testing.assert_allclose(sketch.box[:2] + sketch.box[2:], 0, atol=1e-9)


def test_without_strength_nothing_changes():
    batch = crowd(1)
    same = STILL(batch, seeded())
    assert torch.equal(same.stroke_offsets, batch.stroke_offsets)
    torch.testing.assert_close(same.points, batch.points)


def test_flip_alone_mirrors_left_and_right():
    batch = crowd(2)
    flipped = replace(STILL, flip=1.0)(batch, seeded())
    torch.testing.assert_close(flipped.points, batch.points * torch.tensor([-1.0, 1.0]))


def test_rotation_alone_keeps_distances_in_proportion():
    batch = crowd(3, count=4)
    turned = replace(STILL, rotation=1.0)(batch, seeded())
    for index in range(len(batch)):
        before, after = (torch.pdist(torch.tensor(b.sketch(index).points)) for b in (batch, turned))
        ratio = after / before
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
    assert not torch.allclose(batch.points, turned.points, atol=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_dropping_leaves_each_sketch_a_stroke(seed):
    batch = crowd(seed, count=200, most=3)
    left = drop_strokes(batch, 1.0, seeded(seed))
    assert left.strokes_per_sketch.min() == 1
    assert len(left.order) < len(batch.order)
    kept = {tuple(p) for p in left.first_points.tolist()}
    assert kept <= {tuple(p) for p in batch.first_points.tolist()}


def test_dropping_without_its_guard_would_empty_sketches():
    """The known wrong version: chance alone, at the rates and sizes of the test above."""
    batch = crowd(0, count=200, most=3)
    generator = seeded(0)
    rate = torch.rand(len(batch), generator=generator)
    luck = torch.rand(len(batch.order), generator=generator)
    kept = (luck >= rate[batch.sketch_of_stroke]).nonzero()[:, 0]
    assert batch.select_strokes(kept).strokes_per_sketch.min() == 0


def test_half_of_the_largest_rate_is_dropped_on_average():
    luck = np.random.default_rng(0)
    many = [Sketch.from_strokes(luck.normal(0, 1, (50, 2, 2))) for _ in range(200)]
    batch = SketchBatch.from_sketches(many)
    left = drop_strokes(batch, 0.4, seeded(7))
    assert 1 - len(left.order) / len(batch.order) == pytest.approx(0.2, abs=0.02)


def test_reversing_turns_each_stroke_about():
    batch = crowd(4, count=5)
    turned = reverse_strokes(batch, 1.0, seeded())
    for index in range(len(batch)):
        pairs = zip(turned.sketch(index).strokes, batch.sketch(index).strokes, strict=True)
        assert all((after == before[::-1]).all() for after, before in pairs)


@pytest.mark.parametrize("change", [reverse_strokes, split_strokes])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_reversing_and_splitting_keep_the_ink(change, rate):
    batch = crowd(5)
    torch.testing.assert_close(ink(change(batch, rate, seeded(1))), ink(batch))


def test_splitting_by_hand():
    stroke = Sketch.from_strokes([[(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)]])
    halves = split_strokes(SketchBatch.from_sketches([stroke]), 1.0, seeded(0)).sketch(0).strokes
    assert len(halves) == 2
    assert halves[0][-1].tolist() == halves[1][0].tolist()
    whole = np.concatenate([halves[0], halves[1][1:]])
    assert whole.tolist() == stroke.points.tolist()


def test_splitting_spares_short_strokes_and_cuts_every_inner_point():
    three = Sketch.from_strokes([[(0, 0), (1, 0), (2, 0)]])
    assert len(split_strokes(SketchBatch.from_sketches([three]), 1.0, seeded()).order) == 1
    five = Sketch.from_strokes([[(float(x), 0.0) for x in range(5)]])
    many = split_strokes(SketchBatch.from_sketches([five] * 200), 1.0, seeded(3))
    assert set(many.points_per_stroke[::2].tolist()) == {2, 3, 4}
    assert many.strokes_per_sketch.tolist() == [2] * 200


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_joining_keeps_points_and_draws_the_gaps(rate):
    batch = crowd(6)
    joined = join_strokes(batch, rate, seeded(2))
    assert torch.equal(joined.points, batch.points)
    assert joined.strokes_per_sketch.min() >= 1
    assert set(joined.stroke_offsets.tolist()) >= set(
        batch.stroke_offsets[batch.sketch_offsets].tolist()
    )
    gone = sorted(set(batch.stroke_offsets.tolist()) - set(joined.stroke_offsets.tolist()))
    gaps = (batch.points[gone] - batch.points[[g - 1 for g in gone]]).norm(dim=1).sum()
    torch.testing.assert_close(ink(joined).sum(), ink(batch).sum() + gaps)
    if rate == 1.0:
        assert joined.strokes_per_sketch.tolist() == [1] * len(batch)
    if rate == 0.0:
        assert torch.equal(joined.stroke_offsets, batch.stroke_offsets)
