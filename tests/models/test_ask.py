"""One question for recognisers of drawings, classifiers of photos, and any other module."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from guided import guided_drawings, picture_net, squares, stroke_net
from sightline.errors import ModelError
from sightline.image.batch import PictureBatch
from sightline.models.ask import logits_of, look_at, read_logits

BATCH = PictureBatch(torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


def test_a_classifier_of_photos_looks_and_normalises():
    net, (pictures, _) = picture_net(), squares(3, 0)
    batch = pictures.batch(torch.arange(3))
    assert torch.equal(logits_of(net, batch), net.look(batch.pixels))
    raw = net.module(batch.pixels)
    assert not torch.allclose(logits_of(net, batch), raw), "its own normalisation is part of it"


def test_any_other_module_is_called():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    assert torch.equal(logits_of(net, BATCH), net(BATCH.pixels))
    assert torch.equal(look_at(net, BATCH.pixels), net(BATCH.pixels))
    assert logits_of(net, BATCH).requires_grad


def test_an_answer_with_logits_in_it():
    table = torch.rand(3, 4)
    assert logits_of(lambda _: SimpleNamespace(logits=table), BATCH) is table


def test_drawings_are_given_as_they_are():
    net = stroke_net(dropout=0.0)
    batch = guided_drawings(4, []).data.batch(torch.arange(4))
    assert torch.equal(logits_of(net, batch), net(batch))


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (torch.zeros(3), r"answered \[3\]"),
        (torch.zeros(2, 4), r"answered \[2, 4\]"),
        (torch.zeros(3, 4, 1), r"answered \[3, 4, 1\]"),
        ((torch.zeros(3, 4),), "answered tuple"),
        ({"logits": torch.zeros(3, 4)}, "answered dict"),
    ],
)
def test_what_is_no_table_of_logits(answer, came):
    with pytest.raises(ModelError, match=came + r"; expected logits \[3, classes\]"):
        read_logits(nn.Identity(), answer, 3)
