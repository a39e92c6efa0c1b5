"""From candidates to reported boxes, by hand and against a plain loop."""

import pytest
import torch

from sightline.image.frame import Frame
from sightline.models.detector import Candidates
from sightline.models.suppress import report

LABELS = ("nothing", "cat", "dog")
SAME = Frame.unchanged((100, 100))


def _report(boxes, scores, *, frame=SAME, labels=LABELS, **settings):
    scores = torch.tensor(scores)[None]
    candidates = Candidates(torch.tensor(boxes)[None], scores, scores.logit())
    (found,) = report(candidates, [frame], labels, **settings)
    return found


APART = [[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
NEAR = [[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 4]]  # IoU 0.8, 0.4; second with third 0.5


def test_threshold_order_and_background():
    found = _report(APART, [[0.9, 0.1, 0.5], [0.2, 0.7, 0.4], [0.9, 0.0, 0.3]])
    assert found.names == ("cat", "dog")
    assert found.candidates.tolist() == [1, 0]
    assert found.labels.tolist() == [1, 2]
    assert found.boxes.tolist() == [APART[1], APART[0]]
    torch.testing.assert_close(found.scores, torch.tensor([0.7, 0.5]))
    torch.testing.assert_close(
        found.distributions, torch.tensor([[0.2, 0.7, 0.4], [0.9, 0.1, 0.5]])
    )


def test_one_candidate_may_be_two_things():
    found = _report(APART[:1], [[0.0, 0.6, 0.7]])
    assert found.names == ("dog", "cat")
    assert found.candidates.tolist() == [0, 0]


def test_suppression_is_within_a_label():
    # cat: the second goes (0.8 > 0.5), the third stays (0.4); dog: nothing overlaps a dog
    found = _report(NEAR, [[0.0, 0.9, 0.1], [0.0, 0.8, 0.6], [0.0, 0.7, 0.1]], threshold=0.5)
    assert list(zip(found.names, found.candidates.tolist(), strict=True)) == [
        ("cat", 0),
        ("cat", 2),
        ("dog", 1),
    ]


def test_an_overlap_of_the_limit_itself_stays():
    scores = [[0.0, 0.1], [0.0, 0.9], [0.0, 0.8]]  # the second and third: IoU exactly 0.5
    kept = _report(NEAR, scores, labels=LABELS[:2], overlap=0.5)
    assert kept.candidates.tolist() == [1, 2]
    gone = _report(NEAR, scores, labels=LABELS[:2], overlap=0.49)
    assert gone.candidates.tolist() == [1]


def test_what_was_suppressed_suppresses_nothing():
    # 0 removes 1; 1 would remove 2 (IoU 0.5 > 0.45), but is gone; 0 with 2 is 0.4
    found = _report(NEAR, [[0.0, 0.9], [0.0, 0.8], [0.0, 0.7]], labels=LABELS[:2], overlap=0.45)
    assert found.candidates.tolist() == [0, 2]


def test_ties_go_by_label_then_candidate():
    found = _report(APART, [[0.0, 0.5, 0.5]] * 3)
    assert found.labels.tolist() == [1, 1, 1, 2, 2, 2]
    assert found.candidates.tolist() == [0, 1, 2, 0, 1, 2]
    assert _report(NEAR[:2], [[0.0, 0.6]] * 2, labels=LABELS[:2]).candidates.tolist() == [0]


def test_the_limits_of_a_label_and_of_a_photo():
    scores = [[0.0, 0.9, 0.6], [0.0, 0.8, 0.0], [0.0, 0.7, 0.0]]
    assert _report(APART, scores, most=2).candidates.tolist() == [0, 1]
    of_label = _report(APART, scores, most_a_label=1)
    assert list(zip(of_label.names, of_label.candidates.tolist(), strict=True)) == [
        ("cat", 0),
        ("dog", 0),
    ]
    # a suppressed box has used up its place among those that are looked at
    near = _report(NEAR, scores, most_a_label=2)
    assert near.candidates.tolist() == [0, 0]


def test_other_columns_may_be_no_objects():
    scores = [[0.9, 0.8, 0.7]]
    assert _report(APART[:1], scores, without=()).names == ("nothing", "cat", "dog")
    assert _report(APART[:1], scores, without=(0, 1)).names == ("dog",)


def test_boxes_are_in_the_photo_and_clipped_before_suppression():
    frame = Frame.stretched((50, 200), (100, 100))  # x twice, y half
    outside = [[-50.0, 0, 10, 100], [0, 0, 10, 100]]  # one and the same, once clipped
    found = _report(outside, [[0.0, 0.6], [0.0, 0.9]], frame=frame, labels=LABELS[:2])
    assert found.boxes.tolist() == [[0, 0, 20, 50]]
    assert found.candidates.tolist() == [1]


def test_nothing_found_is_empty():
    found = _report(APART, [[0.9, 0.1, 0.1]] * 3)
    assert len(found) == 0
    assert found.names == ()
    assert found.boxes.shape == (0, 4)
    assert found.distributions.shape == (0, 3)


def test_gradients_are_cut():
    scores = torch.tensor([[[0.0, 0.9]]], requires_grad=True)
    candidates = Candidates(torch.tensor(APART[:1])[None], scores, scores)
    (found,) = report(candidates, [SAME], LABELS[:2])
    assert not found.scores.requires_grad
    assert not found.boxes.requires_grad


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.5, 0.9])
def test_report_equals_a_plain_loop(threshold):
    generator = torch.Generator().manual_seed(11)
    corner = torch.rand(2, 60, 2, generator=generator) * 80 - 10
    sides = 5 + 30 * torch.rand(2, 60, 2, generator=generator)
    boxes = torch.cat([corner, corner + sides], -1)
    # few different scores, so that many are equal
    scores = (torch.rand(2, 60, 4, generator=generator) ** 2 * 20).round() / 20
    labels = ("nothing", "cat", "dog", "fox")
    frames = [Frame.stretched((50, 120), (80, 80)), Frame.unchanged((80, 80))]
    settings = {"overlap": 0.3, "most": 25, "most_a_label": 20}
    found = report(
        Candidates(boxes, scores, scores), frames, labels, threshold=threshold, **settings
    )
    for picture in range(2):
        moved = frames[picture].back_boxes(boxes[picture])
        expected = _plainly(
            moved.tolist(), scores[picture].tolist(), frames[picture].photo, threshold, settings
        )
        kept = list(
            zip(found[picture].labels.tolist(), found[picture].candidates.tolist(), strict=True)
        )
        assert kept == expected
        assert len(kept) == (25 if threshold < 0.5 else len(kept))


def _plainly(boxes, scores, photo, threshold, settings):
    clipped = [[min(max(v, 0), photo[1 - i % 2]) for i, v in enumerate(box)] for box in boxes]
    kept = []
    for label in range(1, len(scores[0])):
        ranked = sorted(range(len(boxes)), key=lambda i: (-scores[i][label], i))
        ranked = [i for i in ranked if scores[i][label] >= threshold - 1e-6]
        mine = []
        for i in ranked[: settings["most_a_label"]]:
            if all(_iou(clipped[i], clipped[j]) <= settings["overlap"] for j in mine):
                mine.append(i)
        kept += [(label, i) for i in mine]
    kept.sort(key=lambda pair: (-scores[pair[1]][pair[0]], pair[0]))
    return kept[: settings["most"]]


def _iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (area - both) if area > both else 0.0
