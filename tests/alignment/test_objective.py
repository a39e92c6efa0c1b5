"""GRADIA's sum, by hand and item by item; what validation tells, and what it leaves alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from guided import guided_drawings, guided_squares, picture_net, squares, stroke_net
from sightline.alignment import objective as module
from sightline.alignment.examples import GuidedExamples
from sightline.alignment.guides import guide
from sightline.alignment.labels import AttentionLabel
from sightline.alignment.looking import Guide, Looked
from sightline.alignment.losses import GradiaLoss
from sightline.alignment.map_sources import GradCamMaps
from sightline.alignment.objective import Guided
from sightline.training.objective import CrossEntropy, Objective
from sightline.training.pictures import Pictures
from sightline.training.processes import ALONE, Processes

CELLS = {"0.png": "UI", "1.png": "UA", "2.png": "RI", "3.png": "RA"}


class Even(nn.Module):
    """Logits of 0 for two classes; the map of an item is its red channel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, pixels):
        return (pixels.mean((1, 2, 3))[:, None] * 0 * self.scale).expand(-1, 2)


@dataclass(frozen=True)
class Red:
    settings: ClassVar = {"name": "red"}

    def look(self, model, inputs):
        return Looked(model(inputs.pixels), lambda _: inputs.pixels[:, 0] * model.scale)


@dataclass(frozen=True)
class Brightness:
    """The mean of the map, so that a picture's red is its loss."""

    settings: ClassVar = {"name": "brightness"}

    def __call__(self, maps, wanted):
        assert (wanted.weight > 0).all()
        return maps.flatten(1).mean(1)


def by_hand() -> GuidedExamples:
    """Six items of red 0.5, 0.25, 1, 0.75, 0.9, 0.8; the fifth has no label, four have a cell."""
    pixels = torch.zeros(6, 3, 2, 2)
    pixels[:, 0] = torch.tensor([0.5, 0.25, 1.0, 0.75, 0.9, 0.8])[:, None, None]
    names = [f"{i}.png" for i in range(6)]
    labels = [AttentionLabel(names[i], must=np.ones((2, 2))) for i in (0, 1, 2, 3, 5)]
    data = Pictures(pixels, torch.zeros(6, dtype=torch.int64))
    return GuidedExamples.from_labels(data, names, labels, cells=CELLS)


def gradients(model: nn.Module, loss: torch.Tensor) -> list[torch.Tensor | None]:
    model.zero_grad()
    loss.backward()
    return [None if w.grad is None else w.grad.clone() for w in model.parameters()]


def whole(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    """The loss of a batch, as the loop makes it."""
    return torch.stack(list(terms.values())).sum() / len(terms["task"])


def same(ours, theirs) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(ours, theirs, strict=True)
    )


# --- the loss -------------------------------------------------------------------------------------


def test_the_sum_by_hand():
    """Tasks weigh 1, 0.4, 0.8, 1 and 1, 1; attention 1, 1.6, 0.2, 0, 1 over the four that count."""
    objective, data = Guided(Guide("red", Red(), Brightness(), strength=3.0)), by_hand()
    everything = torch.arange(6)
    terms = objective.losses(Even(), data.batch(everything), data.targets(everything))
    task = (1 + 0.4 + 0.8 + 1 + 1 + 1) / 6 * math.log(2)
    attention = (1 * 0.5 + 1.6 * 0.25 + 0.2 * 1.0 + 1 * 0.8) / 4
    assert terms["task"].mean().item() == pytest.approx(task, rel=1e-6)
    assert terms["attention"].mean().item() == pytest.approx(3.0 * attention, rel=1e-6)
    assert terms["attention"][[3, 4]].tolist() == [0, 0]  # RA, and the one without a label


def test_the_denominator_is_of_the_batch_and_not_of_the_set():
    data, objective = by_hand(), Guided(Guide("red", Red(), Brightness()))
    for chosen, want in [([0, 4], 0.5), ([1, 2], (1.6 * 0.25 + 0.2) / 2), ([3, 4], 0.0)]:
        index = torch.tensor(chosen)
        terms = objective.losses(Even(), data.batch(index), data.targets(index))
        assert terms["attention"].mean().item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("name", ["gradia", "res", "res-learnt", "haics", "rrr", "hint"])
def test_batches_against_item_after_item(name):
    """Each item alone through the network, float64: the sum and its gradient."""
    net, chosen = picture_net().double(), guide(name, strength=0.7)
    pictures, labels = squares(6, 3)
    cells = {"0.png": "UA", "2.png": "RI", "5.png": "RA"}
    kept = [labels[i] for i in (0, 2, 3, 5)]
    exact = {"UA": (0.5, 1.5), "RI": (0.75, 0.25), "RA": (1.0, 0.0)}  # in float32, too
    data = GuidedExamples.from_labels(pictures, pictures.names, kept, cells=cells, weights=exact)
    everything = torch.arange(6)
    batch = data.batch(everything).to(dtype=torch.float64)
    terms = Guided(chosen, smoothing=0.1).losses(net, batch, pictures.target)

    weights = {0: exact["UA"], 2: exact["RI"], 5: exact["RA"], 3: (1.0, 1.0)}
    total = torch.zeros((), dtype=torch.float64)
    for i in range(6):
        alone = batch.select(torch.tensor([i]))
        looked = chosen.source.look(net, alone.inputs)
        logs = looked.logits.log_softmax(1)[0]
        task = -0.9 * logs[pictures.target[i]] - 0.1 * logs.mean()
        of_task, of_attention = weights.get(i, (1.0, 0.0))
        total = total + of_task * task / 6
        if of_attention:
            far = chosen.loss(looked.maps(pictures.target[i : i + 1]), alone.wanted)[0]
            total = total + 0.7 * of_attention * far / 3  # three labels count
    torch.testing.assert_close(whole(terms), total, rtol=1e-10, atol=1e-10)
    ours, theirs = gradients(net, whole(terms)), gradients(net, total)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


SOURCES = [("gradia", None), ("rrr", None), ("gradia", "strokes"), ("gradia", "attention")]


@pytest.mark.parametrize(("name", "source"), SOURCES)
@pytest.mark.parametrize("how", ["strength 0", "no label", "cell RA"])
def test_without_attention_the_gradient_is_the_plain_tasks_bit_for_bit(name, source, how):
    net = picture_net() if source is None else stroke_net(dropout=0.0)
    make = guided_squares if source is None else guided_drawings
    labelled = [] if how == "no label" else [0, 1, 3]
    data = make(5, labelled)
    if how == "cell RA":
        data = GuidedExamples(data.data, data.masks, dict.fromkeys(labelled, 0.0))
    objective = Guided(guide(name, strength=0.0 if how == "strength 0" else None, source=source))
    batch, target = data.batch(torch.arange(5)), data.targets(torch.arange(5))
    terms = objective.losses(net, batch, target)
    assert terms["attention"].tolist() == [0] * 5
    plain = CrossEntropy().losses(net, batch.inputs, target)
    assert torch.equal(terms["task"], plain["task"])
    ours = gradients(net, whole(terms))
    assert same(ours, gradients(net, whole(plain)))
    assert any(gradient is not None and gradient.any() for gradient in ours)


def test_a_label_makes_another_gradient():
    """The check above can fail."""
    net, data = picture_net(), guided_squares(5, [0, 1, 3])
    batch, target = data.batch(torch.arange(5)), data.targets(torch.arange(5))
    ours = gradients(net, whole(Guided(guide("gradia")).losses(net, batch, target)))
    plain = gradients(net, whole(CrossEntropy().losses(net, batch.inputs, target)))
    assert not same(ours, plain)


def test_settings_tell_the_guide_and_what_was_taught():
    objective = Guided(guide("gradia", strength=2), smoothing=0.1, taught="abc")
    assert isinstance(objective, Objective)
    assert objective.settings["guide"]["strength"] == 2
    assert (objective.settings["smoothing"], objective.settings["taught"]) == (0.1, "abc")
    assert "taught" not in Guided(guide("gradia")).settings
    assert objective.learnt is None
    learnt = Guided(guide("res-learnt")).learnt
    assert [name for name, _ in learnt.named_parameters()] == ["kernel"]


# --- validation -----------------------------------------------------------------------------------


def plain_numbers(
    net: nn.Module, data: GuidedExamples, chosen: Guide, smoothing: float = 0.0
) -> dict[str, float]:
    """Item after item, nothing shared with the code under test but the map and the loss."""
    hits, task, far = 0, [], []
    for i in range(len(data)):
        item = data.batch(torch.tensor([i]))
        looked = chosen.source.look(net, item.inputs)
        target = data.targets(torch.tensor([i]))
        hits += int(looked.logits.argmax()) == int(target)
        wrong = -looked.logits.detach().log_softmax(1)[0]
        smooth = (1 - smoothing) * wrong[int(target)] + smoothing * wrong.mean()
        task.append(data.task_weight.get(i, 1.0) * smooth.item())
        if i in data.labelled.tolist():
            weight = data.attention_weight.get(i, 1.0)
            far.append(weight * chosen.loss(looked.maps(target), item.wanted).item())
    return {
        "valid_top1": hits / len(data),
        "valid_attention": sum(far) / len(far) if far else 0.0,
        "valid_score": -(
            sum(task) / len(task) + chosen.strength * (sum(far) / len(far) if far else 0.0)
        ),
    }


@pytest.mark.parametrize("batch", [3, 32])
@pytest.mark.parametrize("source", [None, "strokes"])
def test_validation_against_a_plain_loop(batch, source, monkeypatch):
    monkeypatch.setattr(module, "BATCH", batch)
    net = (picture_net("batch") if source is None else stroke_net()).eval()
    data = (guided_squares if source is None else guided_drawings)(7, [1, 2, 6])
    chosen = guide("gradia", strength=0.3, source=source)
    found = Guided(chosen, smoothing=0.2).validate(net, data, ALONE)
    assert found == pytest.approx(plain_numbers(net, data, chosen, 0.2), rel=1e-5)
    assert found["valid_attention"] > 0


@pytest.mark.parametrize("batch", [2, 3, 32])
def test_items_weigh_in_validation_as_in_training(batch, monkeypatch):
    """Cells and labels weigh; how items fall into batches does not."""
    monkeypatch.setattr(module, "BATCH", batch)
    pictures, labels = squares(8, 5)
    cells = {"0.png": "UA", "1.png": "RI", "3.png": "RA", "6.png": "UI"}
    kept = [replace(labels[i], weight=(1 + i) / 8) for i in (0, 1, 3, 4, 6)]
    data = GuidedExamples.from_labels(pictures, pictures.names, kept, cells=cells)
    net, chosen = picture_net().eval(), guide("gradia", strength=0.7)
    found = Guided(chosen, smoothing=0.1).validate(net, data, ALONE)
    assert found == pytest.approx(plain_numbers(net, data, chosen, 0.1), rel=1e-5)
    everything = torch.arange(8)
    terms = Guided(chosen, smoothing=0.1).losses(
        net, data.batch(everything), data.targets(everything)
    )
    assert found["valid_score"] == pytest.approx(-whole(terms).item(), rel=1e-5)
    plain = GuidedExamples.from_labels(pictures, pictures.names, [labels[i] for i in (0, 1, 3, 4)])
    unweighed = Guided(chosen, smoothing=0.1).validate(net, plain, ALONE)
    assert abs(found["valid_score"] - unweighed["valid_score"]) > 1e-3


def test_validation_without_labels_and_of_the_map_that_training_reads():
    net, chosen = picture_net().eval(), guide("gradia")
    found = Guided(chosen).validate(net, guided_squares(5, []), ALONE)
    assert found["valid_attention"] == 0
    assert found == pytest.approx(plain_numbers(net, guided_squares(5, []), chosen), rel=1e-5)


def test_shares_of_several_processes_add_up(monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    net, data, objective = picture_net(), guided_squares(7, [0, 3]), Guided(guide("gradia"))
    sums = []

    class Telling(Processes):
        """Keeps what it was to add, and adds nothing."""

        def sum(self, tensor):
            sums.append(tensor.clone())
            return tensor

    for rank in range(3):
        objective.validate(net, data, Telling(rank, 3))
    hits, task, far, labelled = sum(sums).tolist()
    alone = objective.validate(net, data, ALONE)
    assert labelled == 2
    assert hits / 7 == alone["valid_top1"]
    assert -(task / 7 + far / 2) == pytest.approx(alone["valid_score"], rel=1e-12)


@pytest.mark.parametrize("fails", [False, True])
def test_validation_leaves_the_model_as_it_came(fails):
    net = picture_net("batch")
    net.module.stem.eval()
    net.module.stem.requires_grad_(False)
    net.module.head.weight.grad = torch.full_like(net.module.head.weight, 0.5)
    modes = [m.training for m in net.modules()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    luck = torch.get_rng_state()
    data = guided_squares(5, [0, 1])
    loss = GradiaLoss()
    if fails:

        @dataclass(frozen=True)
        class Broken:
            settings: ClassVar = {"name": "broken"}

            def __call__(self, maps, wanted):
                raise ArithmeticError("broken")

        loss = Broken()
    objective = Guided(Guide("own", GradCamMaps(), loss))
    if fails:
        with pytest.raises(ArithmeticError, match="broken"):
            objective.validate(net, data, ALONE)
    else:
        objective.validate(net, data, ALONE)
    assert [m.training for m in net.modules()] == modes
    assert not any(w.requires_grad for w in net.module.stem.parameters())
    assert all(w.requires_grad for w in net.module.stages.parameters())
    assert net.module.head.weight.grad.unique().tolist() == [0.5]
    assert all(w.grad is None for w in net.module.stages.parameters())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), luck)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
