"""Batches of like length: every drawing once, at random, from a seed."""

from dataclasses import replace

import pytest
import torch

from figures import LABELS, drawings
from sightline.training.examples import Labelled
from sightline.training.order import CHUNK, batches_of, bucketed
from sightline.training.recipe import Recipe

RECIPE = Recipe(batch=7)


@pytest.fixture(scope="module")
def examples() -> Labelled:
    return Labelled.from_sketches(drawings(101, 2), LABELS, lambda sketch: sketch.normalise())


def luck(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lengths(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return (torch.randint(1, high, (count,), generator=luck(high)) for high in (20, 90))


@pytest.mark.parametrize("count", [1, 6, 7, 8, 7 * CHUNK, 7 * CHUNK + 1, 1000])
def test_every_drawing_is_in_one_batch(count):
    strokes, longest = lengths(count)
    cut = bucketed(torch.arange(count), strokes, longest, 7, luck(0))
    assert sorted(torch.cat(cut).tolist()) == list(range(count))
    assert sum(len(batch) < 7 for batch in cut) <= 1
    assert max(len(batch) for batch in cut) <= 7


@pytest.mark.parametrize("buckets", [False, True])
def test_the_order_is_the_seeds(examples, buckets):
    recipe = replace(RECIPE, buckets=buckets)

    def of(seed):
        return [batch.tolist() for batch in batches_of(examples, recipe, luck(seed))]

    first, again = of(1), of(1)
    assert first == again
    assert of(1) != of(2)
    mates = [{frozenset(batch) for batch in of(seed)} for seed in (1, 2)]
    assert mates[0] != mates[1], "the same drawings meet again"


def test_without_buckets_the_order_is_plain_luck(examples):
    cut = batches_of(examples, replace(RECIPE, buckets=False), luck(3))
    assert torch.equal(torch.cat(cut), torch.randperm(101, generator=luck(3)))


def test_batches_are_of_like_length_and_come_in_any_order():
    strokes, longest = lengths(3500)
    order = torch.randperm(3500, generator=luck(1))
    cut = bucketed(order, strokes, longest, 7, luck(0))

    def waste(sizes, batches):
        """Slots of a padded block for each one that is filled."""
        return sum(len(b) * int(sizes[b].max()) for b in batches) / int(sizes.sum())

    for sizes in (strokes, longest):
        assert waste(sizes, cut) < 1.35
        assert waste(sizes, order.split(7)) > 1.6
    first = [float(strokes[batch].double().mean()) for batch in cut[:250]]
    last = [float(strokes[batch].double().mean()) for batch in cut[250:]]
    assert sum(first) / 250 == pytest.approx(sum(last) / 250, rel=0.15)
