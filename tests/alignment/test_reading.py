"""Maps as they are in a loss, read in evaluation mode; the model is left as it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from guided import guided_drawings, picture_net, squares, stroke_net
from sightline.alignment.guides import guide
from sightline.alignment.looking import Looked
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.reading import able_to_look, predicted, read_maps, sights
from sightline.alignment.stroke_sources import StrokeScores


def test_maps_are_those_of_a_loss_detached():
    net, (pictures, _) = picture_net("batch"), squares(4, 0)
    batch, target = pictures.batch(torch.arange(4)), torch.tensor([0, 1, 1, 0])
    logits, maps = read_maps(net, GradCamMaps(), batch, target)
    net.eval()
    looked = GradCamMaps().look(net, batch)
    assert torch.equal(logits, looked.logits.detach())
    assert torch.equal(maps, looked.maps(target).detach())
    assert not maps.requires_grad
    assert not logits.requires_grad
    of_answers = read_maps(net, GradCamMaps(), batch, predicted)[1]
    assert torch.equal(of_answers, looked.maps(logits.argmax(1)).detach())


def test_inputs_are_brought_to_the_model():
    net, (pictures, _) = picture_net().double(), squares(2, 0)
    logits, maps = read_maps(net, GradCamMaps(), pictures.batch(torch.arange(2)), predicted)
    assert logits.dtype == maps.dtype == torch.float64


@pytest.mark.parametrize("outer", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_maps_are_read_whatever_the_callers_gradient_mode(outer):
    net, (pictures, _) = picture_net(), squares(2, 0)
    batch = pictures.batch(torch.arange(2))
    want = read_maps(net, GradCamMaps(), batch, predicted)[1]
    with outer():
        assert torch.equal(read_maps(net, GradCamMaps(), batch, predicted)[1], want)


@dataclass(frozen=True)
class Broken:
    settings: ClassVar = {"name": "broken"}

    def look(self, model, inputs):
        def read(target):
            raise ArithmeticError("broken")

        model.module.stem[1].running_mean.add_(1)
        return Looked(model.look(inputs.pixels), read)


@pytest.mark.parametrize("source", [GradCamMaps(), InputGradients(), Broken()])
def test_the_model_is_left_as_it_came(source):
    net, (pictures, _) = picture_net("batch"), squares(3, 0)
    net.requires_grad_(False)
    net.module.head.requires_grad_(True)
    net.module.head.bias.grad = torch.ones(2)
    net.module.stages.eval()
    modes = [module.training for module in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    luck = torch.get_rng_state()
    batch = pictures.batch(torch.arange(3))
    if isinstance(source, Broken):
        with pytest.raises(ArithmeticError):
            read_maps(net, source, batch, predicted)
    else:
        assert read_maps(net, source, batch, predicted)[1].any(), "also where weights are frozen"
    assert [module.training for module in net.modules()] == modes
    assert {n for n, w in net.named_parameters() if w.requires_grad} == {
        "module.head.weight",
        "module.head.bias",
    }
    assert net.module.head.bias.grad.tolist() == [1, 1]
    assert net.module.head.weight.grad is None
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), luck)
    with pytest.raises(KeyError), able_to_look(net):
        assert all(weight.requires_grad for weight in net.parameters())
        assert not net.training
        raise KeyError
    assert not net.module.stem[0].weight.requires_grad


@pytest.mark.parametrize("batch", [2, 32])
def test_sights_of_pictures_against_one_item_at_a_time(batch):
    net, (pictures, _) = picture_net(), squares(5, 0)
    found = sights(net, GradCamMaps(), pictures, pictures.names, batch=batch)
    assert list(found) == list(pictures.names)
    net.eval()
    for i, name in enumerate(pictures.names):
        one = pictures.batch(torch.tensor([i]))
        shares = net.look(one.pixels).softmax(1)[0].detach()
        answer = int(shares.argmax())
        want = GradCamMaps().look(net, one).maps(torch.tensor([answer]))[0].detach()
        assert found[name].answer == answer
        assert found[name].confidence == pytest.approx(float(shares.max()), rel=1e-5)
        assert found[name].right == (answer == int(pictures.target[i]))
        torch.testing.assert_close(found[name].map, want, rtol=1e-4, atol=1e-6)


def test_channels_of_input_gradients_are_summed_in_magnitude():
    net, (pictures, _) = picture_net(), squares(2, 0)
    found = sights(net, InputGradients(), pictures, pictures.names)
    raw = read_maps(net, InputGradients(), pictures.batch(torch.arange(2)), predicted)[1]
    assert raw.shape == (2, 3, 16, 16)
    torch.testing.assert_close(found["1.png"].map, raw[1].abs().sum(0))


def test_sights_of_drawings_have_a_number_a_stroke():
    net, data = stroke_net(), guided_drawings(5, [], 3).data
    names = [f"drawing {i}" for i in range(5)]
    found = sights(net, StrokeScores(), data, names)
    lengths = data.strokes_per_sketch().tolist()
    assert [len(found[name].map) for name in names] == lengths
    one = read_maps(net, StrokeScores(), data.batch(torch.tensor([0])), predicted)[1][0]
    torch.testing.assert_close(found[names[0]].map, one, rtol=1e-4, atol=1e-6)
    assert guide("gradia", source="strokes").source == StrokeScores()
