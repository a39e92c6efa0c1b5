"""Losses on attention: by hand, against loops, at their edges; of photos and of drawings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from oracles import alignment as oracle
from sightline.alignment.looking import AttentionLoss
from sightline.alignment.losses import (
    GradiaLoss,
    HaicsLoss,
    HintLoss,
    ResLoss,
    RrrLoss,
    best_threshold,
    signs,
    where_not_to_look,
    where_to_look,
)
from sightline.alignment.wanted import Wanted
from sightline.errors import AlignmentError
from toys import unchecked

LOSSES = {
    "gradia": GradiaLoss(),
    "gradia, sharp": GradiaLoss(blur=False),
    "res": ResLoss(),
    "res, alone": ResLoss("none"),
    "res, other numbers": ResLoss(slack=0.3, alpha=0.4),
    "haics": HaicsLoss(),
    "rrr": RrrLoss(),
    "hint": HintLoss(),
}
PAPER = {
    "gradia": oracle.gradia,
    "gradia, sharp": lambda *of: oracle.gradia(*of, blur=False),
    "res": oracle.res,
    "res, alone": lambda *of: oracle.res(*of, impute=False),
    "res, other numbers": lambda *of: oracle.res(*of, slack=0.3, alpha=0.4),
    "haics": oracle.haics,
    "rrr": oracle.rrr,
    "hint": oracle.hint,
}
EVERY = [*LOSSES.values(), ResLoss("learnt")]
ONE = torch.ones(1)


def wanted_of(must=None, must_not=None) -> Wanted:
    """One photo of the masks that are given."""
    given = torch.tensor(must if must is not None else must_not)[None]
    masks = [
        torch.zeros_like(given) if m is None else torch.tensor(m)[None] for m in (must, must_not)
    ]
    return Wanted(masks[0], masks[1], ONE)


def photos(seed: int = 0, items: int = 6, size: int = 12) -> Wanted:
    """Boxes; of the items some have one mask only, some both, some soft ones."""
    luck = np.random.default_rng(seed)
    masks = np.zeros((2, items, size, size), np.float32)
    for which, item in np.ndindex(2, items):
        (top, bottom), (left, right) = np.sort(luck.choice(size + 1, (2, 2), replace=False), 1)
        masks[which, item, top:bottom, left:right] = 1 if item % 2 else luck.uniform(0.2, 1)
    masks[1, 0] = masks[0, 1] = 0
    return Wanted(*map(torch.from_numpy, masks), torch.ones(items)).to(dtype=torch.float64)


def drawings() -> Wanted:
    """Of 5, 3 and 1 strokes."""
    must = torch.tensor([[1.0, 0.5, 0.2, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    must_not = torch.tensor([[0.0, 0, 0, 1, 0.4], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
    there = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]
    return Wanted(must, must_not, torch.ones(3), there).to(dtype=torch.float64)


# --- by hand --------------------------------------------------------------------------------------

MAP = torch.tensor([[[-1.0, 3.0], [1.0, 1.0]]])  # min-max: 0, 1, 1/2, 1/2
BOTH = wanted_of([[0.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 0.0]])


def test_by_hand():
    assert GradiaLoss(blur=False)(MAP, BOTH).tolist() == [0.25]
    # at 2 x 2 cells the mirrored border makes every Gaussian the mean of all four
    assert GradiaLoss()(MAP, BOTH).tolist() == [0.5]
    assert RrrLoss()(MAP, BOTH).tolist() == [1.0]
    assert RrrLoss()(MAP[:, None].expand(-1, 3, -1, -1), BOTH).tolist() == [3.0]
    assert HintLoss()(MAP, BOTH).tolist() == [0.5]
    assert HaicsLoss()(MAP, BOTH).item() == pytest.approx(-math.log(0.99))
    # a = 1e-4 would do, and is the first; then tanh(5 (1 - a)) and tanh(-5 a)
    a = 1e-4
    off = (1 - math.tanh(5 * (1 - a)) + 1 + math.tanh(-5 * a)) / 2
    assert ResLoss("none")(MAP, BOTH).item() == pytest.approx(off - 0.1, rel=1e-5)
    assert ResLoss(alpha=2)(MAP, BOTH).item() == pytest.approx(off - 0.1 + 2 * 0.5, rel=1e-5)


def test_a_map_that_is_its_label_costs_nothing():
    perfect = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    label = wanted_of([[0.0, 1.0], [0.0, 0.0]])
    for loss in (GradiaLoss(blur=False), HintLoss(), RrrLoss()):
        assert loss(perfect, label).tolist() == [0.0]
    assert GradiaLoss(blur=False)(1 - perfect, label).tolist() == [1.0]


def test_strokes_by_hand():
    maps = torch.tensor([[0.0, 2, 1, 9, 9], [4, 0, 2, 9, 9]])
    there = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]], dtype=torch.bool)
    must = torch.tensor([[0.0, 0.5, 0, 0, 0], [0, 0, 0, 0, 0]])
    must_not = torch.tensor([[0.0, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
    wanted = Wanted(must, must_not, torch.ones(2), there)
    # maps are 0, 1, 1/2 and 1, 0, 1/2; A is 0, 1, 0 (divided by its maximum) and 0, 1, 1
    np.testing.assert_allclose(GradiaLoss()(maps, wanted), [0.5 / 3, 2.5 / 3])
    np.testing.assert_allclose(RrrLoss()(maps, wanted), [1 + 1, 16])  # A: 1, 1/2, 1 and 1, 0, 0
    np.testing.assert_allclose(HintLoss()(maps, wanted), [0.25 + 0.25, 1 + 1 + 0.25])
    np.testing.assert_allclose(
        HaicsLoss()(maps, wanted), [-math.log(0.99), -math.log(0.01)], rtol=1e-5
    )


@pytest.mark.parametrize("places", [0, 1])
def test_what_only_pads_counts_nowhere(places):
    """Whatever stands in a pad, and however many pads there are."""
    wanted = drawings()
    torch.manual_seed(0)
    maps = torch.randn(3, 5, dtype=torch.float64) * wanted.there
    other = maps + 7.0 * ~wanted.there
    more = [torch.cat([t, t.new_zeros(3, places)], 1) for t in (wanted.must, wanted.must_not)]
    there = torch.cat([wanted.there, torch.zeros(3, places, dtype=torch.bool)], 1)
    padded = Wanted(*more, wanted.weight, there)
    for loss in EVERY:
        expected = loss(maps, wanted)
        assert torch.equal(loss(other, padded), expected)
        for item, strokes in enumerate((5, 3, 1)):
            alone = wanted.select(torch.tensor([item]))  # keeps its padding; the map has none
            found = loss(maps[[item], :strokes], alone)
            assert found.item() == pytest.approx(expected[item].item(), rel=1e-12, abs=1e-15)


# --- what is missing ------------------------------------------------------------------------------


def test_the_complement_stands_in_for_what_is_missing():
    must, must_not = [[0.0, 1.0], [0.25, 0.0]], [[1.0, 0.0], [0.0, 0.0]]
    both, look, avoid = wanted_of(must, must_not), wanted_of(must), wanted_of(None, must_not)
    assert where_to_look(both).tolist() == [must] == where_to_look(look).tolist()
    assert where_to_look(avoid).tolist() == [[[0.0, 1.0], [1.0, 1.0]]]
    assert where_not_to_look(both).tolist() == [must_not]
    assert where_not_to_look(look).tolist() == [[[1.0, 0.0], [0.75, 1.0]]]


def test_the_complement_of_strokes_has_no_pads():
    wanted = drawings()
    assert where_to_look(wanted)[2].tolist() == [0, 0, 0, 0, 0]
    assert where_not_to_look(wanted)[1].tolist() == [1, 0, 1, 0, 0]


def test_res_fills_in_nothing_without_a_must_mask():
    avoid = wanted_of(None, [[1.0, 0.0], [0.0, 0.0]])
    assert ResLoss()(MAP, avoid).item() == ResLoss("none")(MAP, avoid).item()
    assert ResLoss("learnt")(MAP, avoid).item() == ResLoss("none")(MAP, avoid).item()


def test_signs():
    wanted = photos()
    maps = torch.zeros(6, 4, 4, dtype=torch.float64)
    for item, found in enumerate(signs(maps, wanted).tolist()):
        masks = (wanted.must[item].numpy(), wanted.must_not[item].numpy())
        assert found == oracle.signs(*masks, (4, 4))
    assert {*signs(maps, wanted).flatten().tolist()} == {-1, 0, 1}


# --- the threshold of RES -------------------------------------------------------------------------


def test_threshold_agrees_with_the_programs_search():
    luck = np.random.default_rng(0)
    for _ in range(40):
        looked, said = luck.random((1, 9)), luck.integers(-1, 2, (1, 9)).astype(float)
        found = best_threshold(torch.from_numpy(looked), torch.from_numpy(said)).item()
        expected = oracle.threshold(looked[0], said[0])
        assert found == pytest.approx(expected, abs=1e-12)


def test_threshold_parts_what_can_be_parted():
    looked = torch.tensor([[0.1, 0.3, 0.6, 0.7, 1.0]])
    said = torch.tensor([[-1.0, -1.0, 0.0, 1.0, 1.0]])
    a = best_threshold(looked, said).item()
    assert 0.3 < a <= 0.7
    nothing = best_threshold(looked, torch.zeros(1, 5))
    assert nothing.tolist() == [0]


# --- from the papers ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(3, 4), (5, 5), (12, 12)])
@pytest.mark.parametrize("name", LOSSES)
def test_each_is_its_paper_written_out(name, size):
    wanted = photos()
    maps = torch.randn(6, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = LOSSES[name](maps, wanted)
    expected = [
        PAPER[name](m.numpy(), must.numpy(), must_not.numpy())
        for m, must, must_not in zip(maps, wanted.must, wanted.must_not, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len({round(x, 6) for x in expected}) > 3


@pytest.mark.parametrize("name", LOSSES)
def test_of_drawings_too(name):
    wanted = drawings()
    maps = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = LOSSES[name](maps, wanted)
    for item, strokes in enumerate((5, 3, 1)):
        masks = (wanted.must[item, :strokes].numpy(), wanted.must_not[item, :strokes].numpy())
        seen = maps[item, :strokes].numpy()
        if name == "rrr":
            want = oracle.asked(masks[1], masks[0])
            expected = float(((want * seen) ** 2).sum())
        else:
            expected = PAPER[name](seen, *masks)
        assert found[item].item() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_rrr_sums_channels():
    wanted = photos()
    maps = torch.randn(6, 3, 12, 12, dtype=torch.float64)
    expected = [
        oracle.rrr(m.numpy(), must.numpy(), must_not.numpy())
        for m, must, must_not in zip(maps, wanted.must, wanted.must_not, strict=True)
    ]
    np.testing.assert_allclose(RrrLoss()(maps, wanted), expected, rtol=1e-9)


# --- what is learnt -------------------------------------------------------------------------------


def test_learnt_imputation_begins_as_the_gaussian_and_learns():
    wanted = photos()
    maps = torch.randn(6, 4, 4, dtype=torch.float64)
    loss = ResLoss("learnt")
    assert [name for name, _ in loss.named_parameters()] == ["kernel"]
    looked = torch.from_numpy(np.array([oracle.unit(m.ravel()) for m in maps.numpy()]))
    filled = [
        oracle.unit(oracle.blurred(oracle.area(must, 4, 4)).ravel()) for must in wanted.must.numpy()
    ]
    far = (looked - torch.tensor(filled)).abs().mean(1) * wanted.must.flatten(1).any(1)
    np.testing.assert_allclose(
        loss(maps, wanted).detach(), ResLoss("none")(maps, wanted) + far, rtol=1e-6
    )
    loss(maps, wanted).sum().backward()
    assert loss.kernel.grad.abs().max() > 1e-4


def test_only_the_learnt_one_has_weights():
    assert not list(ResLoss().parameters())
    assert not list(ResLoss("none").parameters())


# --- edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 1.0, -3e5, 1e-30])
@pytest.mark.parametrize("loss", EVERY)
def test_constant_maps_give_finite_numbers_and_gradients(loss, level, dtype):
    wanted = photos().to(dtype=dtype)
    maps = torch.full((6, 5, 5), level, dtype=dtype, requires_grad=True)
    found = loss(maps, wanted)
    found.sum().backward()
    assert found.isfinite().all()
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize(("level", "step"), [(100.0, 8e-6), (0.0, 1e-24)])
def test_rounding_noise_on_a_constant_map_is_no_shape(level, step):
    maps = (level + step * torch.tensor([[[0.0, 1.0], [2.0, 4.0]]])).requires_grad_()
    assert maps.unique().numel() > 2
    loss = GradiaLoss(blur=False)(maps, BOTH)
    assert loss.tolist() == [0.25]
    loss.backward()
    assert not maps.grad.any()


@pytest.mark.parametrize(("level", "step"), [(100.0, 1e-2), (0.0, 1e-15)])
def test_a_faint_map_has_a_shape(level, step):
    maps = (level + step * torch.tensor([[[0.0, 1.0], [2.0, 4.0]]])).requires_grad_()
    GradiaLoss(blur=False)(maps, BOTH).backward()
    assert maps.grad.any()
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize("loss", EVERY)
def test_losses_fit_the_protocol_and_say_what_they_are(loss):
    assert isinstance(loss, AttentionLoss)
    assert loss.settings["name"] in {"gradia", "res", "haics", "rrr", "hint"}
    found = loss(torch.randn(6, 5, 5), photos().to(dtype=torch.float32))
    assert found.shape == (6,)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("loss", EVERY)
def test_an_items_loss_does_not_depend_on_its_neighbours(loss):
    wanted = photos()
    maps = torch.randn(6, 5, 5, dtype=torch.float64)
    together = loss(maps, wanted)
    for item in range(6):
        alone = loss(maps[[item]], wanted.select(torch.tensor([item])))
        assert alone.item() == pytest.approx(together[item].item(), rel=1e-12)


def test_under_autocast():
    wanted = photos().to(dtype=torch.float32)
    maps = torch.randn(6, 5, 5)
    for loss in EVERY:
        expected = loss(maps, wanted)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(loss(maps, wanted), expected)


def test_settings():
    assert GradiaLoss().settings == {"name": "gradia", "blur": True}
    assert ResLoss("none", slack=0.2, alpha=3).settings == {
        "name": "res",
        "imputation": "none",
        "slack": 0.2,
        "alpha": 3,
    }


def test_errors():
    wanted = photos().to(dtype=torch.float32)
    with unchecked(), pytest.raises(AlignmentError, match="'gausian'; did you mean 'gaussian'"):
        ResLoss("gausian")
    with pytest.raises(AlignmentError, match=r"slack -1\.0, alpha 1\.0; expected at least 0"):
        ResLoss(slack=-1.0)
    with pytest.raises(AlignmentError, match=r"margin 0\.5; expected above 0 and below"):
        HaicsLoss(margin=0.5)
    with pytest.raises(AlignmentError, match=r"5 maps for 6 items"):
        GradiaLoss()(torch.zeros(5, 4, 4), wanted)
    with pytest.raises(AlignmentError, match=r"maps are \[6, 3, 4, 4\]; expected \[items, height"):
        GradiaLoss()(torch.zeros(6, 3, 4, 4), wanted)
    with pytest.raises(AlignmentError, match=r"maps are \[6, 4\]; expected .* or \[items, chann"):
        RrrLoss()(torch.zeros(6, 4), wanted)
    strokes = drawings().to(dtype=torch.float32)
    with pytest.raises(AlignmentError, match=r"labels are of strokes.*take the maps of StrokeSc"):
        GradiaLoss()(torch.zeros(3, 4, 4), strokes)
    with pytest.raises(AlignmentError, match=r"strokes, \[3, 5\], but maps are \[3, 4\]"):
        GradiaLoss()(torch.zeros(3, 4), strokes)
