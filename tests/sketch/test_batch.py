"""Ragged batches: what is done to many equals what is done to each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


def drawings(seed: int = 0, count: int = 5) -> list[Sketch]:
    luck = np.random.default_rng(seed)
    return [
        Sketch.from_strokes(
            [luck.normal(0, 9, (luck.integers(2, 7), 2)) for _ in range(luck.integers(1, 6))]
        )
        for _ in range(count)
    ]


def batch_of(sketches: list[Sketch]) -> SketchBatch:
    return SketchBatch.from_sketches(sketches, dtype=torch.float64)


def assert_same(one: Sketch, other: Sketch, atol: float = 0.0) -> None:
    assert [len(s) for s in one.strokes] == [len(s) for s in other.strokes]
    np.testing.assert_allclose(one.points, other.points, rtol=0, atol=atol)


def test_two_small_drawings_by_hand():
    corner = Sketch.from_strokes([[(0, 0), (1, 0), (1, 1)], [(5, 5), (6, 6)]])
    dash = Sketch.from_strokes([[(2, 3), (4, 3)]])
    batch = SketchBatch.from_sketches([corner, dash])
    assert len(batch) == 2
    assert batch.points.dtype == torch.float32
    assert batch.stroke_offsets.tolist() == [0, 3, 5, 7]
    assert batch.sketch_offsets.tolist() == [0, 2, 3]
    assert batch.points_per_stroke.tolist() == [3, 2, 2]
    assert batch.strokes_per_sketch.tolist() == [2, 1]
    assert batch.stroke_of_point.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert batch.sketch_of_stroke.tolist() == [0, 0, 1]
    assert batch.sketch_of_point.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert batch.order.tolist() == [0, 1, 0]
    assert batch.first_points.tolist() == [[0, 0], [5, 5], [2, 3]]


def test_drawings_come_back():
    sketches = drawings()
    batch = batch_of(sketches)
    for index, sketch in enumerate(sketches):
        assert_same(batch.sketch(index), sketch)


@pytest.mark.parametrize("chosen", [[0], [4, 1], [2, 2, 0], [0, 1, 2, 3, 4], []])
def test_select_is_choosing_from_a_list(chosen):
    sketches = drawings(1)
    taken = batch_of(sketches).select(torch.tensor(chosen, dtype=torch.int64))
    assert len(taken) == len(chosen)
    for place, index in enumerate(chosen):
        assert_same(taken.sketch(place), sketches[index])


@pytest.mark.parametrize("seed", range(4))
def test_select_strokes_is_select_on_each(seed):
    sketches = drawings(seed)
    batch = batch_of(sketches)
    luck = np.random.default_rng(seed + 100)
    keep = [np.flatnonzero(luck.random(len(s)) < 0.6) for s in sketches]
    keep = [k if len(k) else np.array([0]) for k in keep]
    first = np.cumsum([0] + [len(s) for s in sketches[:-1]])
    flat = torch.tensor(np.concatenate([k + f for k, f in zip(keep, first, strict=True)]))
    taken = batch.select_strokes(flat)
    for index, (sketch, kept) in enumerate(zip(sketches, keep, strict=True)):
        assert_same(taken.sketch(index), sketch.select(kept.tolist()))


@pytest.mark.parametrize("left", [0, 1])
def test_a_sketch_may_lose_all_its_strokes(left):
    batch = batch_of(drawings(2, count=2))
    kept = batch.sketch_of_stroke.eq(left).nonzero()[:, 0]
    taken = batch.select_strokes(kept)
    assert taken.strokes_per_sketch.tolist() == ([0, len(kept)] if left else [len(kept), 0])
    assert torch.isfinite(taken.normalise().points).all()


def test_normalise_is_normalise_on_each_and_a_batch_of_one_is_one_of_a_batch():
    sketches = drawings(3)
    together = batch_of(sketches).normalise()
    for index, sketch in enumerate(sketches):
        alone = batch_of([sketch]).normalise()
        assert torch.equal(alone.points, together.select(torch.tensor([index])).points)
        assert_same(together.sketch(index), sketch.normalise(), atol=1e-12)


def test_normalise_leaves_a_dot_in_the_middle():
    dot = Sketch.from_strokes([[(3, 3), (3, 3)]])
    assert batch_of([dot]).normalise().points.tolist() == [[0, 0], [0, 0]]


def test_to_changes_floats_and_nothing_else():
    batch = batch_of(drawings(4)).to(dtype=torch.float32)
    assert batch.points.dtype == torch.float32
    assert batch.stroke_offsets.dtype == torch.int64
    assert batch.to().points.dtype == torch.float32


def test_offsets_that_do_not_fit_are_refused():
    points, strokes = torch.zeros(4, 2), torch.tensor([0, 2, 4])
    with pytest.raises(ValueError, match="stroke_offsets must start at 0 and end at 4"):
        SketchBatch(points, torch.tensor([0, 2, 3]), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="sketch_offsets must start at 0 and end at 2"):
        SketchBatch(points, strokes, torch.tensor([1, 2]))
