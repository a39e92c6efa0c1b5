from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.transform import resize

from oracles import d_rise as paper
from sightline.errors import GameError
from sightline.methods.d_rise_masks import Saliency, masks, stream_masks

SIZES = [((30, 40), (4, 5)), ((31, 17), (16, 16)), ((7, 9), (3, 2)), ((5, 5), (8, 8))]


def luck(seed: int = 16) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(size, grid, keep, seed):
    """The coins and the offset of the first mask, from the same luck."""
    places = grid[0] * grid[1]
    numbers = torch.rand(places + 2, generator=luck(seed), dtype=torch.float64).numpy()
    cell = [-(-s // g) for s, g in zip(size, grid, strict=True)]
    coins = (numbers[:places] < keep).astype(float).reshape(grid)
    return coins, tuple(int(u * c) for u, c in zip(numbers[places:], cell, strict=True))


# --- masks ----------------------------------------------------------------------------------------


def test_one_coin_is_a_mask_of_one_value():
    whole = masks(40, (3, 4), grid=(1, 1), generator=luck())
    values = whole.flatten(1)
    assert bool((values == values[:, :1]).all())
    assert set(values[:, 0].tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("size", "grid"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_masks_are_those_of_a_plain_loop(size, grid, seed):
    ours = masks(1, size, grid=grid, keep=0.4, generator=luck(seed))[0]
    coins, offset = drawn(size, grid, 0.4, seed)
    assert np.abs(ours.numpy() - paper.mask(coins, offset, size)).max() < 1e-6


@pytest.mark.parametrize(("size", "grid"), SIZES[:3])
def test_masks_are_those_of_the_published_program(size, grid):
    """It resizes with scikit-image, where the border reflects; here, and in this call, it holds."""
    ours = masks(1, size, grid=grid, generator=luck(5))[0].numpy()
    coins, (top, left) = drawn(size, grid, 0.5, 5)
    large = [(g + 1) * -(-s // g) for s, g in zip(size, grid, strict=True)]
    enlarged = resize(coins, large, order=1, mode="edge", anti_aliasing=False)
    assert np.abs(ours - enlarged[top : top + size[0], left : left + size[1]]).max() < 1e-6
    reflected = resize(coins, large, order=1, mode="reflect", anti_aliasing=False)
    rows, columns = (np.arange(s) + o + 0.5 for s, o in zip(size, (top, left), strict=True))
    inner = [
        (at >= n / (2 * g)) & (at < n - n / (2 * g))
        for at, n, g in zip((rows, columns), large, grid, strict=True)
    ]
    theirs = reflected[top : top + size[0], left : left + size[1]]
    apart = np.abs(ours - theirs)[np.ix_(*inner)]
    assert apart.size > ours.size / 2
    assert apart.max() < 1e-6, "only half a cell at the border differs"


def test_every_pixel_is_there_with_the_chance_asked_for():
    many = masks(3000, (12, 12), grid=(3, 3), keep=0.3, generator=luck())
    assert float(many.min()) >= 0
    assert float(many.max()) <= 1
    # a standard error is below sqrt(0.21 / 3000) = 0.0084
    assert float((many.mean(0) - 0.3).abs().max()) < 4.5 * 0.0084


def test_values_are_between_nothing_and_everything():
    many = masks(200, (45, 61), grid=(7, 5), generator=luck(3))
    assert float(many.min()) == 0
    assert float(many.max()) == 1
    assert many.dtype == torch.float32


def test_offsets_reach_every_place_of_a_cell():
    """The edge of one coin's blob stands at any of the cell's pixels."""
    offsets = {
        tuple(m.flatten().tolist()) for m in masks(400, (8, 1), grid=(2, 1), generator=luck())
    }
    # coins 0 1 and 1 0 at four offsets, and the two flat masks
    assert len(offsets) == 2 * 4 + 2


@pytest.mark.parametrize("chunk", [1, 3, 7, 64])
def test_chunks_change_nothing(chunk):
    whole = masks(20, (30, 41), generator=luck())
    streamed = list(stream_masks(20, (30, 41), generator=luck(), chunk=chunk))
    assert torch.equal(torch.cat(streamed), whole)
    assert max(len(some) for some in streamed) == min(chunk, 20)


def test_the_stream_is_drawn_as_it_is_asked_for():
    generator = luck()
    stream = stream_masks(10**9, (30, 30), generator=generator, chunk=2)
    first = next(stream)
    assert first.shape == (2, 30, 30)
    assert torch.equal(torch.cat([first, next(stream)]), masks(4, (30, 30), generator=luck()))


def test_the_global_luck_is_left_alone():
    before = torch.random.get_rng_state()
    masks(3, (9, 9), generator=luck())
    assert torch.equal(torch.random.get_rng_state(), before)


# --- saliency -------------------------------------------------------------------------------------


def test_two_masks_by_hand():
    saliency = Saliency(keep=0.5)
    saliency.add(torch.tensor([[0.5], [0.1]]), torch.tensor([[[1.0, 0.0]], [[0.5, 1.0]]]))
    # products 0.5, 0.05 and 0, 0.1; means 0.275 and 0.05; over the chance 0.5
    assert saliency.map().flatten().tolist() == pytest.approx([0.55, 0.1])
    # half the difference, over the chance
    assert saliency.errors().flatten().tolist() == pytest.approx([0.45, 0.1])


def test_map_and_errors_are_those_of_all_products_at_once():
    values = torch.rand(50, 3, generator=luck(1))
    some = masks(50, (11, 13), grid=(3, 4), keep=0.4, generator=luck(2))
    saliency = Saliency(keep=0.4)
    saliency.add(values, some)
    for target in range(3):
        mean, error = paper.saliency(values[:, target].double().numpy(), some.double().numpy(), 0.4)
        assert np.abs(saliency.map()[target].numpy() - mean).max() < 1e-12
        assert np.abs(saliency.errors()[target].numpy() - error).max() < 1e-12
    assert saliency.count == 50
    assert saliency.map().dtype == torch.float64


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_chunks_change_no_map(chunk):
    values = torch.rand(50, 2, generator=luck(1))
    whole, pieces = Saliency(), Saliency()
    whole.add(values, masks(50, (11, 13), generator=luck(2)))
    stream = stream_masks(50, (11, 13), generator=luck(2), chunk=chunk)
    for some, said in zip(stream, values.split(chunk), strict=True):
        pieces.add(said, some)
    assert torch.allclose(whole.map(), pieces.map(), rtol=1e-12, atol=0)
    assert torch.allclose(whole.errors(), pieces.errors(), rtol=1e-12, atol=0)


def test_a_value_that_never_changes_has_a_flat_map_within_its_errors():
    """And the errors are honest: of many places 95 % lie within 2 of them."""
    saliency = Saliency(keep=0.5)
    for some in stream_masks(2000, (48, 48), grid=(8, 8), generator=luck(4)):
        saliency.add(torch.full((len(some), 1), 0.7), some)
    away = (saliency.map() - 0.7).abs() / saliency.errors()
    assert float((away < 2).double().mean()) > 0.85
    assert float(away.max()) < 5


def test_the_pixel_that_matters_is_found():
    """The model looks at one place; the map is highest there."""
    saliency = Saliency()
    for some in stream_masks(800, (40, 60), grid=(8, 8), generator=luck(6)):
        saliency.add(some[:, 12, 47][:, None], some)
    row, column = divmod(int(saliency.map()[0].argmax()), 60)
    assert abs(row - 12) <= 3
    assert abs(column - 47) <= 4


# --- errors ---------------------------------------------------------------------------------------


def test_impossible_masks_are_refused():
    with pytest.raises(GameError, match=r"keep is 1\.0; it is a chance between 0 and 1"):
        masks(1, (8, 8), keep=1.0, generator=luck())
    with pytest.raises(GameError, match="0 masks; draw at least 1"):
        masks(0, (8, 8), generator=luck())
    with pytest.raises(GameError, match="masks of 0 x 8 pixels from a grid of 16 x 16; both need"):
        masks(1, (0, 8), generator=luck())
    with pytest.raises(GameError, match="from a grid of 0 x 4; both need at least one row"):
        masks(1, (8, 8), grid=(0, 4), generator=luck())
    with pytest.raises(GameError, match="chunk is 0; it must be at least 1"):
        next(stream_masks(3, (8, 8), generator=luck(), chunk=0))
    with pytest.raises(GameError, match="keep is 0; it is a chance"):
        Saliency(keep=0)


def test_impossible_sums_are_refused():
    saliency = Saliency()
    with pytest.raises(GameError, match="a map needs a mask and 0 came; call add first"):
        saliency.map()
    saliency.add(torch.ones(1, 2), torch.ones(1, 3, 4))
    with pytest.raises(GameError, match="error bars need two masks and 1 came"):
        saliency.errors()
    with pytest.raises(GameError, match=r"of shape \[1, 3, 4\] .* after \[2, 3, 4\]; a map takes"):
        saliency.add(torch.ones(1, 1), torch.ones(1, 3, 4))
    with pytest.raises(GameError, match="the value under mask 2 is no finite number"):
        saliency.add(torch.tensor([[1.0, 1.0], [1.0, np.nan]]), torch.ones(2, 3, 4))
