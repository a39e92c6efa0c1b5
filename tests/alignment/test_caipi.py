"""Counterexamples: only the region changes, and only of what has a label."""

from __future__ import annotations

import pytest
import torch

from sightline.alignment.caipi import FILLS, counterexamples, with_counterexamples
from sightline.alignment.wanted import GuidedBatch, Wanted, stroke_places
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.sketch.batch import SketchBatch
from toys import batch_of, scribble, unchecked


def luck(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos() -> GuidedBatch:
    """0: must not; 1: no label; 2: must only; 3: all may be looked at; 4: a label that is off."""
    must, must_not = torch.zeros(2, 5, 4, 6)
    must_not[0, :2, :3] = 1
    must_not[0, 2, 2] = 0.4  # less than half
    must[2, 1:3, 1:5] = 1
    must[3] = 1
    must_not[4] = 1
    weight = torch.tensor([1.0, 0, 0.5, 1, 0])
    pixels = torch.rand(5, 3, 4, 6, generator=luck(9))
    return GuidedBatch(PictureBatch(pixels), Wanted(must, must_not, weight), torch.arange(5.0))


def regions() -> torch.Tensor:
    batch = photos()
    region = torch.zeros(2, 4, 6, dtype=torch.bool)
    region[0, :2, :3] = True
    region[1] = batch.wanted.must[2] == 0
    return region


def drawings() -> GuidedBatch:
    """0: two of four strokes wrong; 1: all wrong; 2: two of three must be looked at."""
    batch = batch_of(scribble(1, 4), scribble(2, 2), scribble(3, 3))
    must = torch.tensor([[0.7, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0]])
    must_not = torch.tensor([[0.0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]])
    wanted = Wanted(must, must_not, torch.ones(3), stroke_places(batch))
    return GuidedBatch(batch, wanted, torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("fill", FILLS)
def test_only_the_region_changes(fill):
    batch = photos()
    before = batch.inputs.pixels.clone()
    found, rows = counterexamples(batch, copies=2, fill=fill, generator=luck())
    assert rows.tolist() == [0, 0, 2, 2]
    assert torch.equal(batch.inputs.pixels, before)
    region = regions().repeat_interleave(2, 0)[:, None].expand(-1, 3, -1, -1)
    changed = found.inputs.pixels != before[rows]
    assert not changed[~region].any()
    assert changed[region].all()
    assert found.inputs.pixels.min() >= 0
    assert found.inputs.pixels.max() <= 1
    assert found.task_weight.tolist() == [0, 0, 2, 2]
    assert torch.equal(found.wanted.must, batch.wanted.must[rows])


def test_fills():
    batch, region = photos(), regions()
    pixels = batch.inputs.pixels
    noise = counterexamples(batch, copies=2, generator=luck())[0].inputs.pixels
    assert not torch.equal(noise[0], noise[1])
    mean = counterexamples(batch, fill="mean", generator=luck())[0].inputs.pixels
    for channel in range(3):
        left = pixels[0, channel][~region[0]].mean()
        assert mean[0, channel][region[0]].tolist() == pytest.approx([left.item()] * 6)
    other = counterexamples(batch, copies=8, fill="other", generator=luck())[0].inputs.pixels
    came = [
        [o for o in range(5) if torch.equal(copy[:, region[0]], pixels[o][:, region[0]])]
        for copy in other[:8]
    ]
    assert all(len(of) == 1 and of != [0] for of in came)
    assert len({of[0] for of in came}) > 1


def test_drawings_lose_their_wrong_strokes_and_the_labels_with_them():
    batch = drawings()
    found, rows = counterexamples(batch, copies=1, generator=luck())
    assert rows.tolist() == [0, 2]
    assert isinstance(found.inputs, SketchBatch)
    assert found.inputs.strokes_per_sketch.tolist() == [2, 2]
    expected = [batch.inputs.sketch(0).strokes[i] for i in (0, 2)]
    expected += [batch.inputs.sketch(2).strokes[i] for i in (1, 2)]
    strokes = [s for n in (0, 1) for s in found.inputs.sketch(n).strokes]
    assert all((a == b).all() for a, b in zip(strokes, expected, strict=True))
    assert found.wanted.must.tolist() == [[pytest.approx(0.7), 0], [1, 1]]
    assert not found.wanted.must_not.any()
    assert found.wanted.there.all()


@pytest.mark.parametrize("build", [photos, drawings])
def test_behind_their_batch(build):
    batch, target = build(), torch.arange(10, 10 + len(build()))
    joined, classes = with_counterexamples(batch, target, copies=2, generator=luck())
    alone, rows = counterexamples(batch, copies=2, generator=luck())
    assert classes.tolist() == [*target.tolist(), *target[rows].tolist()]
    assert len(joined) == len(batch) + len(rows)
    assert joined.task_weight.tolist() == [
        *batch.task_weight.tolist(),
        *alone.task_weight.tolist(),
    ]
    if isinstance(joined.inputs, PictureBatch):
        parts = [batch.inputs.pixels, alone.inputs.pixels]
        assert torch.equal(joined.inputs.pixels, torch.cat(parts))
        return
    for n in range(len(joined)):
        n_of, part = (n, batch) if n < len(batch) else (n - len(batch), alone)
        ours, theirs = joined.inputs.sketch(n), part.inputs.sketch(n_of)
        assert len(ours.strokes) == len(theirs.strokes)
        assert all((a == b).all() for a, b in zip(ours.strokes, theirs.strokes, strict=True))
        width = len(ours.strokes)
        assert torch.equal(joined.wanted.must[n, :width], part.wanted.must[n_of, :width])
        assert int(joined.wanted.there[n].sum()) == width


def test_the_same_seed_gives_the_same_and_leaves_the_global_state():
    state = torch.random.get_rng_state()
    one, two, three = (
        counterexamples(photos(), generator=luck(seed))[0].inputs.pixels for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_labels_there_is_nothing():
    batch = photos()
    nothing = GuidedBatch(batch.inputs, Wanted.nothing(batch.inputs), batch.task_weight)
    found, rows = counterexamples(nothing, generator=luck())
    assert len(found) == len(rows) == 0


def test_errors():
    with pytest.raises(AlignmentError, match="0 copies; expected at least 1"):
        counterexamples(photos(), copies=0, generator=luck())
    with (
        unchecked(),
        pytest.raises(AlignmentError, match="unknown fill 'others'; did you mean"),
    ):
        counterexamples(photos(), fill="others", generator=luck())
    with pytest.raises(AlignmentError, match="wants another item in the batch; this one has 1"):
        counterexamples(photos().select(torch.tensor([0])), fill="other", generator=luck())
