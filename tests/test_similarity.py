from __future__ import annotations

import numpy as np
import pytest
import torch

from oracles.d_rise import similarities
from sightline.errors import GameError
from sightline.models.detector import Candidates, Detections
from sightline.similarity import one_hot, similarity
from toys import unchecked

SQUARE = torch.tensor([[0.0, 0.0, 4.0, 4.0]])


def found(boxes, scores, labels, distributions=None) -> Detections:
    spread = None if distributions is None else torch.tensor(distributions).reshape(len(boxes), -1)
    return Detections(
        torch.tensor(boxes).reshape(-1, 4).float(),
        torch.tensor(scores).float(),
        torch.tensor(labels).long(),
        distributions=spread,
    )


def dense(boxes: torch.Tensor, scores: torch.Tensor) -> Candidates:
    return Candidates(boxes, scores, scores.logit())


def random_scene(seed: int, *, rows: int = 3, count: int = 7, labels: int = 5, targets: int = 4):
    """Pictures with boxes that overlap, and targets among them."""
    luck = torch.Generator().manual_seed(seed)

    def boxes(*shape: int) -> torch.Tensor:
        corner = 2 * torch.rand(*shape, 2, generator=luck, dtype=torch.float64)
        extent = 2 + 6 * torch.rand(*shape, 2, generator=luck, dtype=torch.float64)
        return torch.cat([corner, corner + extent], -1)

    def scores(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, labels, generator=luck, dtype=torch.float64)

    return boxes(rows, count), scores(rows, count), boxes(targets), scores(targets)


# --- by hand --------------------------------------------------------------------------------------


def test_the_same_box_with_the_same_labels_has_its_objectness():
    cat = found([[0, 0, 4, 4]], [0.8], [1], [[0.1, 0.8, 0.0]])
    asked = torch.tensor([[0.1, 0.8, 0.0]])
    assert similarity([cat], SQUARE, asked).item() == pytest.approx(0.8, abs=1e-7)
    alone = similarity([cat], SQUARE, asked, objectness="omitted")
    assert alone.item() == pytest.approx(1, abs=1e-7)


def test_half_the_place_and_a_quarter_of_the_score():
    cat = found([[0, 0, 4, 8]], [0.25], [0])
    assert similarity([cat], SQUARE, one_hot(torch.tensor([0]), 2)).item() == 0.125


def test_the_angle_between_distributions_counts():
    """(3, 4) and (1, 0): cosine 0.6."""
    both = found([[0, 0, 4, 4]], [0.4], [1], [[0.3, 0.4]])
    value = similarity([both], SQUARE, torch.tensor([[1.0, 0.0]]), objectness="omitted")
    assert value.item() == pytest.approx(0.6, abs=1e-7)


def test_another_label_elsewhere_or_nothing_is_nothing():
    dog = found([[0, 0, 4, 4]], [0.9], [1])
    away = found([[5, 5, 9, 9]], [0.9], [0])
    nothing = found([], [], [])
    asked = one_hot(torch.tensor([0]), 2)
    assert similarity([dog, away, nothing], SQUARE, asked).tolist() == [[0.0], [0.0], [0.0]]
    assert similarity([nothing], SQUARE, asked).tolist() == [[0.0]]
    assert similarity([], SQUARE, asked).shape == (0, 1)


def test_the_best_box_counts_not_their_sum():
    two = found([[0, 0, 4, 4], [0, 0, 4, 8]], [0.3, 0.9], [0, 0])
    asked = one_hot(torch.tensor([0]), 1)
    assert similarity([two], SQUARE, asked).item() == pytest.approx(0.45, abs=1e-7)


def test_each_picture_keeps_its_own_boxes():
    cat, none = found([[0, 0, 4, 4]], [0.5], [0]), found([], [], [])
    value = similarity([none, cat, none, cat], SQUARE, one_hot(torch.tensor([0]), 1))
    assert value[:, 0].tolist() == [0.0, 0.5, 0.0, 0.5]


def test_one_label_a_box_is_a_one_hot_distribution_times_its_score():
    """So a box counts the same whether its detector said so or said nothing."""
    silent = found([[0, 0, 4, 6]], [0.7], [2])
    told = found([[0, 0, 4, 6]], [0.7], [2], [[0.0, 0.0, 0.7]])
    asked = torch.tensor([[0.2, 0.1, 0.6]])
    one, other = similarity([silent, told], SQUARE, asked)[:, 0]
    assert one.item() == pytest.approx(other.item(), rel=1e-7)
    assert one.item() > 0.3


def test_background_is_left_out():
    """A candidate that is mostly background points at the cat all the same."""
    unsure = torch.tensor([[[0.9, 0.1, 0.0]]])
    asked = torch.tensor([[0.0, 1.0, 0.0]])
    with_it = similarity(dense(SQUARE[None], unsure), SQUARE, asked, objectness="omitted")
    without = similarity(
        dense(SQUARE[None], unsure), SQUARE, asked, objectness="omitted", without=(0,)
    )
    scored = similarity(dense(SQUARE[None], unsure), SQUARE, asked, without=(0,))
    assert with_it.item() == pytest.approx(0.1 / np.hypot(0.9, 0.1), rel=1e-6)
    assert without.item() == pytest.approx(1)
    assert scored.item() == pytest.approx(0.1), "objectness is the best label, background is none"


# --- the paper written out ------------------------------------------------------------------------


@pytest.mark.parametrize("objectness", ["score", "omitted"])
@pytest.mark.parametrize("without", [(), (0,), (1, 4)])
def test_candidates_as_the_paper_has_them(objectness, without):
    boxes, scores, where, what = random_scene(21)
    kept = [i for i in range(5) if i not in without]
    pictures = [
        [
            (box, spread[kept], max(spread[kept]) if objectness == "score" else 1.0)
            for box, spread in zip(b, s, strict=True)
        ]
        for b, s in zip(boxes.numpy(), scores.numpy(), strict=True)
    ]
    targets = list(zip(where.numpy(), what.numpy()[:, kept], strict=True))
    ours = similarity(
        dense(boxes, scores), where, what, objectness=objectness, without=without
    ).numpy()
    assert np.abs(ours - similarities(pictures, targets)).max() < 1e-14
    assert ours.max() > 0.2


@pytest.mark.parametrize("objectness", ["score", "omitted"])
@pytest.mark.parametrize("without", [(), (0,), (1, 4)])
def test_detections_as_the_paper_has_them(objectness, without):
    """Pictures of 7, 0, 3 and 5 boxes; the third detector says one label a box."""
    boxes, scores, where, what = random_scene(22, rows=4)
    kept = [i for i in range(5) if i not in without]
    each, pictures = [], []
    for row, count in enumerate([7, 0, 3, 5]):
        b, s = boxes[row, :count].float(), scores[row, :count].float()
        best, label = s.max(1)
        spread = None if row == 2 else s
        each.append(Detections(b, best, label, distributions=spread))
        told = one_hot(label, 5) if row == 2 else s
        sure = best if objectness == "score" else torch.ones(count)
        pictures.append(list(zip(b.tolist(), told[:, kept].tolist(), sure.tolist(), strict=True)))
    asked = (where.float(), what.float())
    ours = similarity(each, *asked, objectness=objectness, without=without).numpy()
    targets = list(zip(asked[0].tolist(), asked[1][:, kept].tolist(), strict=True))
    assert ours.dtype == np.float64
    assert np.abs(ours - similarities(pictures, targets)).max() < 1e-14


def test_detections_and_candidates_agree():
    boxes, scores, where, what = (x.float() for x in random_scene(23))
    best, label = scores.max(-1)
    each = [
        Detections(b, s, i, distributions=d)
        for b, s, i, d in zip(boxes, best, label, scores, strict=True)
    ]
    black, white = similarity(each, where, what), similarity(dense(boxes, scores), where, what)
    assert torch.allclose(black, white.double(), atol=1e-6)
    assert white.dtype == torch.float32


# --- laws -----------------------------------------------------------------------------------------


def test_a_picture_alone_is_a_picture_among_others():
    boxes, scores, where, what = (x.float() for x in random_scene(24))
    best, label = scores.max(-1)
    each = [
        Detections(b, s, i, distributions=d)
        for b, s, i, d in zip(boxes, best, label, scores, strict=True)
    ]
    together = similarity(each, where, what)
    alone = torch.cat([similarity([one], where, what) for one in each])
    assert torch.allclose(together, alone, rtol=0, atol=1e-15)
    shuffled = similarity([each[0][torch.arange(6, -1, -1)]], where, what)
    assert torch.allclose(together[:1], shuffled, rtol=0, atol=1e-15)


def test_the_gradient_is_that_of_finite_differences():
    boxes, scores, where, what = random_scene(25, rows=2, count=4)

    def value(b: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return similarity(Candidates(b, s, s), where, what, without=(0,))

    given = (boxes.requires_grad_(), scores.requires_grad_())
    assert torch.autograd.gradcheck(value, given)
    slopes = torch.autograd.grad(value(*given).sum(), given)
    assert all(slope.abs().max() > 0.01 for slope in slopes)


def test_candidates_that_say_nothing_have_a_gradient_without_nans():
    scores = torch.zeros(1, 1, 3, requires_grad=True)
    value = similarity(Candidates(SQUARE[None], scores, scores), SQUARE, torch.eye(3)[:1])
    value.sum().backward()
    assert value.item() == 0
    assert scores.grad.isfinite().all()


def test_no_candidates_are_no_similarity():
    none = Candidates(torch.zeros(2, 0, 4), torch.zeros(2, 0, 3), torch.zeros(2, 0, 3))
    for objectness in ("score", "omitted"):
        value = similarity(none, SQUARE, torch.eye(3)[:1], objectness=objectness)
        assert value.tolist() == [[0.0], [0.0]]


def test_no_targets_are_no_columns():
    cat = found([[0, 0, 4, 4]], [0.5], [0])
    assert similarity([cat], torch.zeros(0, 4), torch.zeros(0, 3)).shape == (1, 0)


# --- errors ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_told():
    cat = found([[0, 0, 4, 4]], [0.5], [2], [[0.0, 0.1, 0.5]])
    with pytest.raises(GameError, match="1 boxes and 2 distributions; a target is one of each"):
        similarity([cat], SQUARE, torch.eye(2))
    with pytest.raises(GameError, match="have 2 labels, those of the detections 3; give the"):
        similarity([cat], SQUARE, torch.eye(2)[:1])
    with pytest.raises(GameError, match="have 2 labels, those of the candidates 3; give the"):
        similarity(dense(SQUARE[None], torch.rand(1, 1, 3)), SQUARE, torch.eye(2)[:1])
    with pytest.raises(GameError, match="label 2 is out of range: there are 2, 0 to 1"):
        similarity([found([[0, 0, 4, 4]], [0.5], [2])], SQUARE, torch.eye(2)[:1])
    with pytest.raises(GameError, match="no column is left"):
        similarity([cat], SQUARE, torch.eye(3)[:1], without=(0, 1, 2))


def test_an_unknown_objectness_is_told():
    cat = found([[0, 0, 4, 4]], [0.5], [0])
    told = pytest.raises(GameError, match="unknown objectness 'scores'; did you mean 'score'")
    with unchecked(), told:
        similarity([cat], SQUARE, torch.eye(1), objectness="scores")
