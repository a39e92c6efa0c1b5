"""Guides by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sightline.alignment.guides import GUIDES, RRR_STRENGTH, SOURCES, guide
from sightline.alignment.looking import AttentionLoss, MapSource
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.wanted import Wanted, stroke_places
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from toys import batch_of, scribble, stroke_net


def test_names():
    assert GUIDES == (
        "gradia",
        "gradia-as-programmed",
        "res",
        "res-learnt",
        "haics",
        "rrr",
        "rrr-grad-cam",
        "hint",
    )


@pytest.mark.parametrize("name", GUIDES)
def test_each_teaches_a_classifier_of_photos(name):
    chosen = guide(name)
    assert chosen.name == name == chosen.settings["name"]
    assert isinstance(chosen.source, MapSource)
    assert isinstance(chosen.loss, AttentionLoss)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))
    must, must_not = torch.zeros(2, 2, 8, 8)
    must[:, 1:5, 1:6], must_not[:, 6:] = 1, 1
    looked = chosen.source.look(net, PictureBatch(torch.rand(2, 3, 8, 8)))
    loss = chosen.loss(looked.maps(torch.tensor([0, 2])), Wanted(must, must_not, torch.ones(2)))
    (chosen.strength * loss.sum()).backward()
    assert net[0].weight.grad.any()
    assert (net[3].weight.grad is None) == (name == "gradia-as-programmed")


@pytest.mark.parametrize("source", ["strokes", "attention"])
@pytest.mark.parametrize("name", [name for name in GUIDES if name != "gradia-as-programmed"])
def test_each_teaches_a_recogniser_of_strokes(name, source):
    chosen = guide(name, source=source)
    assert chosen.strength == 1
    net, batch = stroke_net(), batch_of(scribble(1, 4), scribble(2, 3))
    there = stroke_places(batch)
    must = torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 0]])
    wanted = Wanted(must, torch.tensor([[0.0, 0, 0, 1], [1, 0, 0, 0]]), torch.ones(2), there)
    maps = chosen.source.look(net, batch).maps(torch.tensor([0, 2]))
    chosen.loss(maps, wanted).sum().backward()
    assert any(w.grad is not None and w.grad.any() for w in net.parameters())


def test_choices():
    assert guide("rrr").strength == RRR_STRENGTH == pytest.approx(1000 / 255**2)
    assert guide("rrr", strength=3).strength == 3
    assert guide("rrr", source="grad-cam").strength == 1
    assert guide("gradia", layer="4").source == GradCamMaps("4")
    assert guide("gradia-as-programmed").source == GradCamMaps(exact=False)
    assert guide("rrr").source == InputGradients()
    assert guide("hint", source=GradCamMaps("a")).source == GradCamMaps("a")
    assert guide("res-learnt").loss.settings["imputation"] == "learnt"
    assert guide("res").loss.settings["imputation"] == "gaussian"
    assert guide("gradia").settings == {
        "name": "gradia",
        "source": {"name": "grad-cam", "layer": None, "exact": True},
        "loss": {"name": "gradia", "blur": True},
        "strength": 1.0,
    }
    assert SOURCES == ("grad-cam", "input-gradients", "strokes", "attention", "occlusion")


def test_the_strength_of_rrr_is_the_published_one_for_pixels_to_1():
    """The same network on greys to 255, with 1000, is punished as much as ours on pixels to 1."""

    class Of255(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, greys):
            return self.net(greys / 255)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    pixels, target = torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 2])
    wrong = torch.zeros(2, 8, 8, dtype=torch.float64)
    wrong[:, 2:5, 3:7] = 1
    wanted = Wanted(torch.zeros_like(wrong), wrong, torch.ones(2, dtype=torch.float64))
    found = []
    for model, scale, chosen in (
        (net, 1, guide("rrr")),
        (Of255(net), 255, guide("rrr", strength=1000)),
    ):
        looked = chosen.source.look(model, PictureBatch(pixels * scale))
        found.append(chosen.strength * chosen.loss(looked.maps(target), wanted))
    torch.testing.assert_close(found[0], found[1])
    assert (found[0] > 0).all()


def test_errors():
    with pytest.raises(AlignmentError, match="unknown guide 'gradya'; did you mean 'gradia'"):
        guide("gradya")
    with pytest.raises(AlignmentError, match="unknown source 'stroke'; did you mean 'strokes'"):
        guide("rrr", source="stroke")
    with pytest.raises(AlignmentError, match="layer 'a' is for Grad-CAM"):
        guide("rrr", layer="a")
    with pytest.raises(AlignmentError, match="is a way to differentiate Grad-CAM"):
        guide("gradia-as-programmed", source="strokes")
    with pytest.raises(AlignmentError, match="'hint' compares one map an item"):
        guide("hint", source="input-gradients")
    with pytest.raises(AlignmentError, match=r"strength -1; expected a number of at least 0"):
        guide("hint", strength=-1)
