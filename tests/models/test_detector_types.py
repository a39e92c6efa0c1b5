"""Detections, candidates, and which candidate is behind a detection."""

import pytest
import torch

from sightline.errors import ModelError
from sightline.image.frame import Frame
from sightline.models.detector import (
    Candidates,
    DenseDetector,
    Detections,
    Detector,
    candidates_behind,
    watch,
)
from sightline.models.ssd_mobilenet import SSDMobileNet


def _three(**fields):
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 9, 9], [2, 2, 30, 40]])
    return Detections(boxes, torch.tensor([0.9, 0.6, 0.3]), torch.tensor([2, 1, 2]), **fields)


def test_names_default_to_numbers():
    assert _three().names == ("2", "1", "2")
    assert len(_three()) == 3


def test_fields_of_different_lengths_are_refused():
    with pytest.raises(ModelError, match=r"detections have \[3, 3, 3, 2\]"):
        _three(names=("cat", "dog"))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([2, 0], [2, 0]),
        (torch.tensor([1]), [1]),
        (torch.tensor([True, False, True]), [0, 2]),
        ([True, False, False], [0]),
        (slice(1, None), [1, 2]),
        (slice(None, None, 2), [0, 2]),
        ([], []),
        (torch.tensor([-1]), [2]),
    ],
)
def test_some_of_them(chosen, expected):
    names = ("cat", "dog", "fox")
    whole = _three(names=names, candidates=torch.tensor([7, 8, 9]), distributions=torch.eye(3))
    some = whole[chosen]
    assert some.names == tuple(names[i] for i in expected)
    assert some.candidates.tolist() == [7 + i for i in expected]
    assert torch.equal(some.boxes, whole.boxes[expected])
    assert torch.equal(some.scores, whole.scores[expected])
    assert torch.equal(some.labels, whole.labels[expected])
    assert torch.equal(some.distributions, torch.eye(3)[expected])


def test_what_is_unknown_stays_unknown():
    some = _three()[[0]]
    assert some.candidates is None
    assert some.distributions is None


def test_none_of_none():
    none = _three()[[]]
    assert len(none[[]]) == len(none[torch.zeros(0, dtype=torch.bool)]) == 0


def test_above_keeps_the_threshold_itself():
    assert _three().above(0.6).labels.tolist() == [2, 1]  # 0.6 as float32 is above 0.6
    assert len(_three().above(0.95)) == 0


def test_candidates_move_to_the_photo():
    candidates = _candidates([[10.0, 20, 30, 40]], [[0.0, 1.0]])
    moved = candidates.in_photo(Frame.stretched((600, 150), (300, 300)))
    assert moved.boxes.tolist() == [[[5, 40, 15, 80]]]
    assert moved.scores is candidates.scores
    assert len(moved) == 1


def _candidates(boxes, scores):
    scores = torch.tensor(scores)[None]
    return Candidates(torch.tensor(boxes)[None], scores, scores.logit())


SQUARES = [[0.0, 0, 10, 10], [0, 0, 10, 10.2], [50, 50, 60, 60], [-40, 80, 70, 120]]


def _found(boxes, scores, labels):
    return Detections(torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels))


def test_the_candidate_behind_by_score_then_place():
    candidates = _candidates(SQUARES, [[0.1, 0.7], [0.1, 0.6], [0.7, 0.7], [0.2, 0.4]])
    detections = _found([SQUARES[1], SQUARES[2], SQUARES[0]], [0.6, 0.7, 0.7], [1, 1, 1])
    assert candidates_behind(detections, candidates).tolist() == [1, 2, 0]


def test_a_tie_of_scores_goes_to_the_nearer_box():
    candidates = _candidates(SQUARES[:2], [[0.1, 0.7], [0.1, 0.7]])
    detections = _found([[0.0, 0, 10, 10.15], [0, 0, 10, 10.02]], [0.7, 0.7], [1, 1])
    assert candidates_behind(detections, candidates).tolist() == [1, 0]


def test_a_clipped_box_is_found():
    candidates = _candidates(SQUARES, [[0.0, 0.7], [0.0, 0.6], [0.0, 0.7], [0.0, 0.4]])
    # the picture is 60 x 100, so little is left of candidate 3
    assert candidates_behind(_found([[0.0, 80, 60, 100]], [0.4], [1]), candidates).tolist() == [3]


@pytest.mark.parametrize(
    ("box", "score", "label"),
    [(SQUARES[2], 0.65, 1), (SQUARES[2], 0.7, 0), ([55.0, 0, 65, 10], 0.7, 1)],
)
def test_a_detection_of_no_candidate_is_told(box, score, label):
    candidates = _candidates(SQUARES, [[0.0, 0.7], [0.0, 0.6], [0.0, 0.7], [0.0, 0.4]])
    with pytest.raises(ModelError, match=r"detection 1 \(\d 0\.\d+\) is behind no dense candidate"):
        candidates_behind(_found([SQUARES[0], box], [0.7, score], [1, label]), candidates)


def test_no_detection_has_no_candidate():
    none = _found([SQUARES[0]], [0.7], [1])[[]]
    assert candidates_behind(none, _candidates(SQUARES[:1], [[0.0, 0.7]])).tolist() == []


def test_watch_begins_a_gradient_only_where_none_is():
    plain = torch.ones(2)
    watched = watch(plain)
    assert watched.requires_grad
    assert watched.is_leaf
    assert not plain.requires_grad
    below = torch.ones(2, requires_grad=True) * 2
    assert watch(below) is below
    with torch.no_grad():
        assert watch(plain) is plain


def test_our_detectors_are_dense():
    model = SSDMobileNet(("nothing", "cat"), depth=0.125)
    assert isinstance(model, DenseDetector)
    assert isinstance(model, Detector)
