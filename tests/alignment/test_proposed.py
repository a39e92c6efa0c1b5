import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from sightline.alignment.labels import AttentionLabel, AttentionLabels
from sightline.alignment.placing import grown
from sightline.alignment.proposed import measure, propose
from sightline.errors import AlignmentError
from sightline.scenes.scene import draw_scene

MUST = np.array([[1.0, 1.0, 0.0, 0.0]])


def labels(must=None, must_not=None, item="duck"):
    return AttentionLabels((AttentionLabel(item, must=must, must_not=must_not),))


def proposed(heat, own, accurate=True, **limits):
    (row,) = propose({"duck": heat}, own, {"duck": accurate}, **limits).rows
    return row


def test_shares_by_hand():
    found = measure([[0.8, 0.2, 0.5, -3.0]], labels(MUST).of("duck"), threshold=0.3)
    assert found.covered == 0.5  # 0.2 is below 0.3 x 0.8
    assert found.inside == pytest.approx(1.0 / 1.5)
    assert found.total == pytest.approx(-1.5)


def test_a_must_not_mask_answers_the_second_question():
    own = labels(MUST, [[0, 0, 0, 1.0]])
    found = measure([[1.0, 1.0, 2.0, 1.0]], own.of("duck"))
    assert found.inside == pytest.approx(4 / 5)  # the third place is open
    assert found.covered == 1


def test_soft_masks_weigh():
    found = measure([1.0, 0.0, 1.0], labels([1.0, 0.5, 0.5]).of("duck"), threshold=0.5)
    assert found.covered == pytest.approx(1.5 / 2)
    # the mask as a map has (1 + 1/4 + 1/4) / 2 = 3/4 inside; this one (1 + 1/2) / 2 = 3/4
    assert found.inside == pytest.approx(1)


@pytest.mark.parametrize(
    ("heat", "necessary", "nothing_unnecessary", "cell"),
    [
        ([[1.0, 1.0, 0.0, 0.0]], True, True, "RA"),
        ([[1.0, 1.0, 2.0, 2.0]], True, False, "UA"),
        ([[0.0, 0.0, 1.0, 0.0]], False, False, "UA"),
        ([[1.0, 1.0, -9.0, -9.0]], True, True, "RA"),  # evidence against is not evidence
    ],
)
def test_the_two_questions_by_hand(heat, necessary, nothing_unnecessary, cell):
    row = proposed(heat, labels(MUST))
    assert (row.necessary, row.nothing_unnecessary) == (necessary, nothing_unnecessary)
    assert row.cell == cell
    assert row.proposed
    assert "of what must be looked at" in row.reason


def test_the_accuracy_is_the_callers():
    assert proposed(MUST, labels(MUST), accurate=False).cell == "RI"


def test_a_blank_map_is_unreasonable_with_its_reason():
    for heat, said in ((np.zeros((2, 2)), "sum 0"), ([[-1.0, -2.2], [0, 0]], "sum -3.2")):
        row = proposed(heat, labels([[1, 0], [0, 0]]))
        assert not row.reasonable
        assert row.nothing_unnecessary is None
        assert "blank: no positive evidence" in row.reason
        assert said in row.reason


@pytest.fixture(scope="module")
def scenes():
    drawn = [draw_scene(seed, objects=1, size=(96, 120), clutter=0) for seed in range(40)]
    return [(s, s.masks[0].numpy().astype(np.float64)) for s in drawn if len(s)]


def box_of(scene, mask):
    left, top, right, bottom = scene.boxes[0].int().tolist()
    box = np.zeros_like(mask)
    box[top:bottom, left:right] = 1
    return box


def cells_of(_, mask):
    return adaptive_avg_pool2d(torch.from_numpy(mask)[None, None], (7, 7))[0, 0].numpy()


def quarter_of(_, mask):
    columns = mask.nonzero()[1]
    return mask * (np.arange(mask.shape[1]) < np.quantile(columns, 0.25))


@pytest.mark.parametrize(
    ("look", "least", "most"),
    [
        (lambda _, mask: mask, 1.0, 1.0),
        (cells_of, 1.0, 1.0),
        (box_of, 0.75, 1.0),
        (lambda _, mask: 1 - mask, 0.0, 0.0),
        (lambda _, mask: np.ones_like(mask), 0.0, 0.0),
        (lambda _, mask: np.zeros_like(mask), 0.0, 0.0),
        (lambda _, mask: np.roll(mask, (40, 50), (0, 1)), 0.0, 0.05),
        (lambda _, mask: np.random.default_rng(0).random(mask.shape), 0.0, 0.0),
        (quarter_of, 0.0, 0.0),
    ],
    ids=["mask", "7 x 7", "box", "background", "even", "blank", "elsewhere", "noise", "quarter"],
)
def test_defaults_on_generated_scenes(scenes, look, least, most):
    verdicts = [proposed(look(scene, mask), labels(mask)) for scene, mask in scenes]
    assert len(verdicts) > 30
    assert least <= np.mean([row.reasonable for row in verdicts]) <= most


def test_a_larger_map_meets_the_mask_at_its_own_size():
    heat = np.zeros((4, 8))
    heat[:2, :4] = 1
    found = measure(heat, labels([[1, 0], [0, 0]]).of("duck"))
    assert (found.covered, found.inside) == (1, pytest.approx(1))


def test_a_map_is_measured_by_what_its_cells_can_show():
    mask = np.zeros((28, 28))
    mask[3:9, 3:9] = 1  # crosses cells of 4
    heat = cells_of(None, mask)
    raw = grown(heat, (28, 28))
    assert (raw * mask).sum() / raw.sum() < 0.7
    assert measure(heat, labels(mask).of("duck")).inside == pytest.approx(1)


def test_growing_keeps_what_is_even_and_where_it_is():
    assert grown(np.full((2, 3), 0.25), (6, 9)) == pytest.approx(np.full((6, 9), 0.25))
    wide = grown(np.array([[0.0, 1.0]]), (1, 4))
    assert wide[0] == pytest.approx([0, 0.25, 0.75, 1])


def test_masks_of_two_people_are_averaged():
    two = AttentionLabels(
        (
            AttentionLabel("duck", must=[1.0, 0.0, 0.0], author="ada"),
            AttentionLabel("duck", must=[1.0, 1.0, 0.0], author="bob"),
        )
    )
    assert measure([1.0, 0.0, 0.0], two.of("duck")).covered == pytest.approx(1 / 1.5)


def test_items_that_cannot_be_judged_are_left_out_and_said():
    own = labels(must_not=[[1.0, 0.0]])
    found = propose({"duck": [[1.0, 0.0]], "hen": [[1.0, 0.0]]}, own, {"duck": True, "hen": True})
    assert len(found) == 0
    assert found.notes == (
        "'duck' left out: its labels do not say what must be looked at",
        "'hen' left out: no label",
    )


def test_strokes():
    row = proposed([0.9, 0.1, -0.4], labels([1.0, 0.0, 0.0]))
    assert row.cell == "RA"


@pytest.mark.parametrize(
    ("heat", "match"),
    [
        ([[1.0, np.nan]], "1 numbers that are not finite"),
        ([1.0, 2.0], r"has shape \[2\], its label \[1, 4\]"),
        (np.ones((2, 2, 2)), r"shape \[2, 2, 2\]"),
        ([["a", "b"]], "no table of numbers"),
        ([[1.0], [1.0, 2.0]], "no table of numbers"),
    ],
)
def test_maps_that_are_none(heat, match):
    with pytest.raises(AlignmentError, match=match):
        proposed(heat, labels(MUST))


def test_other_strokes_than_the_label():
    with pytest.raises(AlignmentError, match="one number a stroke"):
        proposed([1.0, 2.0], labels([1.0, 0.0, 0.0]))


def test_what_the_caller_forgot():
    with pytest.raises(AlignmentError, match="whether the answer on 'duck' is right"):
        propose({"duck": MUST}, labels(MUST), {})
    with pytest.raises(AlignmentError, match="inside is 0"):
        proposed(MUST, labels(MUST), inside=0)
