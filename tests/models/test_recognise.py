"""What a model takes a drawing for."""

from __future__ import annotations

import pytest
import torch

from sightline.models.recognise import recognise
from toys import LABELS, batch_of, picture_net, scribble, stroke_net

SKETCH = scribble(1)


@pytest.mark.parametrize("make", [stroke_net, picture_net])
def test_labels_come_with_their_probability_best_first(make):
    model = make()
    with torch.no_grad():
        expected = dict(zip(LABELS, model(batch_of(SKETCH))[0].double().softmax(0), strict=True))
    answers = recognise(model, SKETCH)
    assert {a.label for a in answers} == set(LABELS)
    assert [a.probability for a in answers] == sorted(a.probability for a in answers)[::-1]
    for answer in answers:
        assert answer.probability == pytest.approx(expected[answer.label].item())
    assert recognise(model, SKETCH, top=2) == answers[:2]


def test_a_model_in_training_is_asked_in_evaluation_and_put_back():
    model = picture_net()
    expected = recognise(model, SKETCH)
    model.train()
    assert recognise(model, SKETCH) == expected
    assert all(module.training for module in model.modules())


def test_without_labels_classes_are_numbered():
    assert recognise(picture_net(labels=()), SKETCH, top=1)[0].label in ("0", "1", "2", "3")
