"""Localisation: by hand, against plain loops, and against the known wrong versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from oracles import localisation as oracle
from sightline.errors import PhotoError
from sightline.metrics.localisation import Localisation, Overlap, localise, read_map

NAMES = ("area", "inside", "energy", "per_area", "coverage", "iou")


def numbers(overlap):
    return {name: getattr(overlap, name) for name in NAMES}


# --- by hand --------------------------------------------------------------------------------------


def test_a_small_map_by_hand():
    scores = np.array(
        [
            [0.0, 1.0, 4.0, 0.0],
            [-9.0, 0.0, 3.0, 2.0],
        ]
    )
    # the box is the two pixels in the third column; above half of 4: the 4 and the 3
    found = localise(scores, (2, 0, 3, 2)).box
    assert found == Overlap(
        area=0.25, inside=1.0, energy=0.7, per_area=2.8, coverage=1.0, iou=1.0, pointing=1.0
    )
    # above a fifth of 4: all but the zeros and the negative one
    found = localise(scores, (2, 0, 3, 2), threshold=0.2).box
    assert (found.inside, found.coverage, found.iou) == (0.5, 1.0, 0.5)


def test_a_box_covers_a_share_of_a_pixel():
    scores = np.array([[1.0, 1.0], [1.0, 1.0]])
    found = localise(scores, (0.5, 0.0, 1.25, 1.0)).box
    assert found.area == 0.75 / 4
    assert found.energy == pytest.approx(0.75 / 4)
    assert found.coverage == 1.0
    assert found.iou == pytest.approx(0.75 / 4)


def test_what_lies_outside_the_photo_is_cut_off():
    scores = np.arange(12.0).reshape(3, 4)
    assert localise(scores, (-5, 1, 2, 90)).box == localise(scores, (0, 1, 2, 3)).box


def test_a_mask_stands_beside_the_box():
    scores = np.array([[2.0, 1.0], [1.0, 0.0]])
    mask = np.array([[True, False], [True, False]])
    found = localise(scores, (0, 0, 2, 1), mask=mask)
    assert found.box.energy == 0.75
    assert found.mask is not None
    assert found.mask.energy == 0.75
    assert found.mask.coverage == 0.5
    flat = found.numbers()
    assert flat["mask_coverage"] == 0.5
    assert flat["pointing"] == flat["mask_pointing"] == 1.0
    assert flat["discrimination"] is None
    assert len(flat) == 15


def test_ties_of_the_highest_pixel_share_the_hit():
    scores = np.array([[5.0, 5.0, 0.0, 5.0]])
    assert localise(scores, (0, 0, 1, 1)).box.pointing == pytest.approx(1 / 3)
    assert localise(scores, (0, 0, 4, 1)).box.pointing == 1.0


def test_tolerance_reaches_from_the_pixel_s_centre_to_the_object():
    scores = np.zeros((40, 40))
    scores[20, 30] = 1.0  # its centre is at x 30.5
    mask = np.zeros((40, 40), dtype=bool)
    mask[20:22, 10:15] = True  # ends at x 15
    box = (10, 20, 15, 22)
    for tolerance, hit in ((0, 0.0), (15, 0.0), (15.49, 0.0), (15.5, 1.0), (40, 1.0)):
        found = localise(scores, box, mask=mask, tolerance=tolerance)
        assert found.mask is not None
        assert (found.box.pointing, found.mask.pointing) == (hit, hit)


def test_tolerance_is_a_circle():
    scores = np.zeros((9, 9))
    scores[3, 3] = 1.0
    mask = np.zeros((9, 9), dtype=bool)
    mask[6, 7] = True  # begins 2.5 pixels below and 3.5 right of the centre
    for tolerance, hit in ((math.hypot(2.5, 3.5) - 1e-9, 0.0), (math.hypot(2.5, 3.5) + 1e-9, 1.0)):
        found = localise(scores, (7, 6, 8, 7), mask=mask, tolerance=tolerance)
        assert found.mask is not None
        assert (found.box.pointing, found.mask.pointing) == (hit, hit)


def test_other_objects():
    scores = np.array([[4.0, 2.0, 1.0, 1.0]])
    own, near, far = (0, 0, 1, 1), (1, 0, 2, 1), (3, 0, 4, 1)
    assert localise(scores, own, others=[near]).discrimination == pytest.approx(2 / 6)
    assert localise(scores, own, others=[near, far]).discrimination == pytest.approx(3 / 7)
    # others count once where they overlap, and never where the own object is
    assert localise(scores, own, others=[near, near]).discrimination == pytest.approx(2 / 6)
    assert localise(scores, own, others=[(0, 0, 2, 1)]).discrimination == pytest.approx(2 / 6)
    assert localise(scores, own, others=[own]).discrimination == 0.0
    assert localise(scores, own, others=[(90, 0, 95, 1)]).discrimination == 0.0
    mask = np.array([[False, True, False, True]])
    assert localise(scores, own, others=[mask]).discrimination == pytest.approx(3 / 7)
    # where a mask of the own object is given, it is the own object
    found = localise(scores, own, mask=np.array([[True, True, False, False]]), others=[near, far])
    assert found.discrimination == pytest.approx(1 / 7)


def test_others_may_be_the_rows_of_an_array():
    scores = np.array([[4.0, 2.0, 1.0, 1.0]])
    boxes = torch.tensor([[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 4.0, 1.0]])
    found = localise(scores, torch.tensor([0.0, 0.0, 1.0, 1.0]), others=boxes)
    assert found.discrimination == pytest.approx(3 / 7)


# --- blank maps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, -1.0])
def test_a_blank_map_has_no_numbers_and_a_reason(level):
    mask = np.array([[True, False, False]])
    found = localise(np.full((1, 3), level), (0, 0, 1, 1), mask=mask, others=[(1, 0, 2, 1)])
    share = 1 / 3
    assert found == Localisation(
        Overlap(share), Overlap(share), None, "blank map: no positive score"
    )
    assert found.blank
    assert [k for k, v in found.numbers().items() if v is not None] == ["area", "mask_area"]


def test_no_energy_on_any_object_is_no_discrimination():
    found = localise(np.array([[0.0, 0.0, 1.0]]), (0, 0, 1, 1), others=[(1, 0, 2, 1)])
    assert (found.discrimination, found.blank) == (None, False)
    assert found.reason == "no positive score on any annotated object"
    assert found.box.energy == 0.0
    assert localise(np.array([[1.0, 0.0]]), (0, 0, 1, 1)).reason == ""


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1e308])
def test_no_scale_makes_nan(scale):
    scores = np.array([[1.0, 1.0], [0.0, 1.0]]) * scale
    found = localise(scores, (0, 0, 2, 1), others=[(0, 1, 2, 2)])
    assert found.box.energy == pytest.approx(2 / 3)
    assert all(v is None or math.isfinite(v) for v in found.numbers().values())


# --- an independent oracle, and laws --------------------------------------------------------------


def draw(seed):
    luck = np.random.default_rng(seed)
    size = tuple(luck.integers(3, 12, 2))
    scores = luck.normal(size=size).round(1)
    x0, y0 = luck.uniform(-1, size[1] - 1), luck.uniform(-1, size[0] - 1)
    x1, y1 = luck.uniform(max(x0, 0), size[1] + 1), luck.uniform(max(y0, 0), size[0] + 1)
    return luck, scores, (x0, y0, x1, y1)


@pytest.mark.parametrize("seed", range(12))
def test_plain_loops_agree(seed):
    luck, scores, box = draw(seed)
    mask = luck.random(scores.shape) < 0.4
    other = luck.random(scores.shape) < 0.3
    threshold = float(luck.choice([0.0, 0.25, 0.5, 0.9]))
    tolerance = float(luck.uniform(0, 4))
    found = localise(
        scores, box, mask=mask, others=[other], threshold=threshold, tolerance=tolerance
    )
    assert found.mask is not None
    weights = oracle.weights_of(box, scores.shape)
    assert numbers(found.box) == pytest.approx(oracle.overlap(scores, weights, threshold))
    assert numbers(found.mask) == pytest.approx(oracle.overlap(scores, mask * 1.0, threshold))
    expected = oracle.discrimination(scores, mask * 1.0, [other * 1.0])
    assert found.discrimination == pytest.approx(expected)
    highest = np.argwhere(scores == scores.max())
    hits = [oracle.nearest(mask, *place) <= tolerance for place in highest]
    assert found.mask.pointing == pytest.approx(np.mean(hits))
    by_boxes = localise(scores, box, others=[(0.3, 0.2, 2.6, 2.9), (1.1, 1.0, 3.0, 2.0)])
    others = [oracle.weights_of(b, scores.shape) for b in ((0.3, 0.2, 2.6, 2.9), (1.1, 1, 3, 2))]
    expected = oracle.discrimination(scores, weights, others)
    assert by_boxes.discrimination == pytest.approx(expected)


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.5])
def test_a_box_of_whole_pixels_is_its_mask(tolerance):
    luck = np.random.default_rng(3)
    for _ in range(40):
        scores = luck.integers(-3, 4, (7, 9)).astype(float)
        scores[luck.integers(7), luck.integers(9)] = 4
        (x0, x1), (y0, y1) = (np.sort(luck.choice(n, 2, False)) for n in (10, 8))
        mask = np.zeros(scores.shape, dtype=bool)
        mask[y0:y1, x0:x1] = True
        box = np.array([x0, y0, x1, y1])
        found = localise(scores, box, mask=mask, tolerance=tolerance)
        assert found.box == found.mask


def test_an_even_map_is_worth_its_area():
    for box in ((0.2, 0.3, 4.9, 2.2), (0, 0, 6, 5), (5.5, 4.5, 9, 9)):
        found = localise(np.full((5, 6), 0.1), box).box
        assert found.per_area == pytest.approx(1.0)
        assert found.energy == found.inside == pytest.approx(found.area)
        assert found.coverage == pytest.approx(1.0)


def test_the_whole_photo_holds_everything():
    scores = np.random.default_rng(0).normal(size=(5, 6))
    found = localise(scores, (0, 0, 6, 5)).box
    assert (found.area, found.inside, found.pointing) == (1.0, 1.0, 1.0)
    assert found.energy == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_unit_and_negative_scores_do_not_matter(seed):
    _, scores, box = draw(seed)
    before = localise(scores, box)
    other = np.where(scores > 0, scores * 8, scores * 100)
    assert localise(other, box).numbers() == pytest.approx(before.numbers())


@pytest.mark.parametrize("seed", range(4))
def test_it_turns_with_the_photo(seed):
    """Transposed map and box: the same numbers. A swap of x and y cannot hide."""
    _, scores, (x0, y0, x1, y1) = draw(seed)
    before = localise(scores, (x0, y0, x1, y1)).numbers()
    assert localise(scores.T, (y0, x0, y1, x1)).numbers() == pytest.approx(before)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_are_as_good_as_arrays(kind):
    scores = torch.tensor([[0.5, 2.0], [-1.0, 1.0]], dtype=kind, requires_grad=True)
    box, mask = torch.tensor([1.0, 0.0, 2.0, 1.0]), torch.tensor([[False, True], [True, False]])
    found = localise(scores, box, mask=mask, others=[~mask])
    plain = localise(
        scores.detach().double().numpy(), box.numpy(), mask=mask.numpy(), others=[~mask.numpy()]
    )
    assert found == plain
    assert found.discrimination == pytest.approx(1.5 / 3.5)


def test_nothing_given_is_changed():
    scores, mask = np.array([[0.5, -2.0]]), np.array([[True, False]])
    kept = scores.copy(), mask.copy()
    localise(scores, (0, 0, 2, 1), mask=mask, others=[mask], tolerance=2)
    assert np.array_equal(scores, kept[0])
    assert np.array_equal(mask, kept[1])


# --- the known wrong versions must fail -----------------------------------------------------------

# a high blob beside a wide, flat box, and a weak rest all over; no symmetry to hide behind
BLOB = np.full((12, 20), 0.04)
BLOB[2:5, 3:14] = 0.2
BLOB[3, 5:9] = 0.32
WIDE = (2, 1, 12, 6)


def ours(scores, box, threshold=0.5):
    found = localise(scores, box, threshold=threshold).box
    return {"inside": found.inside, "coverage": found.coverage, "iou": found.iou}


def check(version):
    """By hand: the region is 3 x 11 pixels, 3 x 9 of them in the box of 10 x 5."""
    for scale in (1.0, 10.0):
        found = version(scale * BLOB, WIDE)
        assert found["inside"] == pytest.approx(27 / 33)
        assert found["coverage"] == pytest.approx(27 / 50)
        assert found["iou"] == pytest.approx(27 / 56)


def test_the_check_holds():
    check(ours)
    check(oracle.right)


@pytest.mark.parametrize(
    "wrong",
    [
        oracle.swapped,
        oracle.channels_counted,
        oracle.two_thresholds,
        oracle.absolute_threshold,
    ],
)
def test_a_known_fault_fails_the_check(wrong):
    with pytest.raises(AssertionError):
        check(wrong)


# --- errors ---------------------------------------------------------------------------------------

SCORES = np.eye(3)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((2, 0, 1, 1), "the box is .*inside out; expected x0 <= x1"),
        ((0, 0, 1), "expected four finite numbers, xyxy"),
        ((0, 0, 1, math.nan), "expected four finite numbers, xyxy"),
        ((1, 1, 1, 2), "the box covers nothing of the photo; drop it"),
        ((3, 0, 9, 2), "the box covers nothing of the photo; drop it"),
    ],
)
def test_a_broken_box(box, message):
    with pytest.raises(PhotoError, match=message):
        localise(SCORES, box)
    if "nothing" not in message:
        with pytest.raises(PhotoError, match="other object 1 is"):
            localise(SCORES, (0, 0, 1, 1), others=[(0, 0, 1, 1), box])


def test_a_broken_mask():
    with pytest.raises(PhotoError, match=r"the mask is bool of shape \[2, 3\].*\[3, 3\]"):
        localise(SCORES, (0, 0, 1, 1), mask=np.ones((2, 3), dtype=bool))
    with pytest.raises(PhotoError, match="the mask covers nothing of the photo"):
        localise(SCORES, (0, 0, 1, 1), mask=np.zeros((3, 3), dtype=bool))
    with pytest.raises(PhotoError, match="other object 0 is uint8"):
        localise(SCORES, (0, 0, 1, 1), others=[np.ones((3, 3), dtype=np.uint8)])


def test_a_broken_map():
    with pytest.raises(PhotoError, match=r"shape \[3, 3, 3\]; expected one score a pixel"):
        localise(np.ones((3, 3, 3)), (0, 0, 1, 1))
    with pytest.raises(PhotoError, match=r"shape \[0, 3\]"):
        read_map(np.ones((0, 3)))
    with pytest.raises(PhotoError, match="2 scores of the map are not finite"):
        localise(np.array([[math.nan, math.inf, 1.0]]), (0, 0, 1, 1))


@pytest.mark.parametrize(
    ("threshold", "tolerance"), [(1.0, 0), (-0.1, 0), (math.nan, 0), (0.5, -1), (0.5, math.inf)]
)
def test_settings_within_bounds(threshold, tolerance):
    with pytest.raises(PhotoError, match=r"share of the highest score in \[0, 1\)"):
        localise(SCORES, (0, 0, 1, 1), threshold=threshold, tolerance=tolerance)
