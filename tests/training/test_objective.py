"""The plain task as an objective, and what the loop does with any objective."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from guided import picture_net, squares
from sightline.errors import SightlineError
from sightline.image.batch import PictureBatch
from sightline.training.evaluate import accuracy
from sightline.training.loop import train
from sightline.training.objective import CrossEntropy, Objective, cross_entropy
from sightline.training.processes import ALONE
from sightline.training.recipe import Recipe

RECIPE = Recipe(
    epochs=3, batch=4, lr=1e-2, warmup=0, precision="32-true", smoothing=0.0, augmentation=None
)


def test_cross_entropy_by_hand():
    """Logits 0 and log 3: shares 1/4 and 3/4."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    plain = cross_entropy(logits, torch.tensor([0, 1]), 0.0)
    assert plain.tolist() == pytest.approx([math.log(4), math.log(4 / 3)])
    smooth = cross_entropy(logits, torch.tensor([0, 1]), 0.2)
    want = [0.9 * math.log(4) + 0.1 * math.log(4 / 3), 0.9 * math.log(4 / 3) + 0.1 * math.log(4)]
    assert smooth.tolist() == pytest.approx(want)


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        found = cross_entropy(logits.to(dtype), torch.tensor([0]), 0.0)
        assert found.dtype == torch.promote_types(dtype, torch.float32)
        assert found.item() == pytest.approx(2.4076059)


def test_the_plain_task_is_an_objective():
    objective, (pictures, _) = CrossEntropy(), squares(6, 0)
    assert isinstance(objective, Objective)
    assert (objective.settings, objective.learnt, objective.chooses) == ({}, None, "valid_top1")
    net = picture_net()
    batch = pictures.batch(torch.arange(6))
    terms = objective.losses(net, batch, pictures.target)
    assert list(terms) == ["task"]
    torch.testing.assert_close(
        terms["task"], nn.functional.cross_entropy(net.look(batch.pixels), pictures.target,
                                                   reduction="none")
    )  # fmt: skip
    assert objective.validate(net, pictures, ALONE) == {"valid_top1": accuracy(net, pictures)}


class Weight(nn.Module):
    """What an objective learns itself: one number, drawn to 2."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))


@dataclass(frozen=True)
class Two:
    """The task, and a number of its own; the epoch that is chosen is told beforehand."""

    learnt: Weight
    scores: tuple[float, ...] = (1.0, 3.0, 2.0)
    name: str = "two"
    chooses: str = "valid_own"

    @property
    def settings(self):
        return {"name": self.name}

    def losses(self, model, batch, target):
        own = (self.learnt.value - 2).square().expand(len(batch))
        return CrossEntropy().losses(model, batch, target) | {"own": own}

    def validate(self, model, data, processes):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"valid_own": self.scores[len(seen) - 1], "valid_top1": 0.0}


seen: list[dict[str, torch.Tensor]] = []


@pytest.fixture(autouse=True)
def _forget():
    seen.clear()


def test_terms_are_recorded_and_the_objectives_own_number_chooses(tmp_path):
    (pictures, _), net, own = squares(10, 0), picture_net(), Weight()
    history = train(net, pictures, pictures, RECIPE, tmp_path, objective=Two(own))
    for row in history:
        assert row["train_loss"] == pytest.approx(row["train_task"] + row["train_own"])
    assert history[0]["train_own"] == pytest.approx(4, abs=0.3)
    assert history[-1]["train_own"] < history[0]["train_own"]
    assert [row["valid_own"] for row in history] == [1, 3, 2]
    for name, value in net.state_dict().items():
        assert torch.equal(value, seen[1][name]), name
    assert own.value.item() > 0.05
    kept = load_file(tmp_path / "checkpoint.safetensors")
    assert torch.equal(kept["beside/value"], own.value.detach())


@pytest.mark.parametrize(("scores", "best"), [((math.nan, 1.0, 2.0), 2), ((1.0, math.nan, 0.5), 0)])
def test_a_number_that_is_none_is_never_the_best(scores, best, tmp_path):
    (pictures, _), net = squares(6, 0), picture_net()
    train(net, pictures, pictures, RECIPE, tmp_path, objective=Two(Weight(), scores))
    assert all(torch.equal(value, seen[best][name]) for name, value in net.state_dict().items())


def test_another_objective_does_not_continue_a_run(tmp_path):
    (pictures, _), recipe = squares(6, 0), replace(RECIPE, epochs=1)
    train(picture_net(), pictures, pictures, recipe, tmp_path, objective=Two(Weight()))
    for other in (None, Two(Weight(), name="other")):
        with pytest.raises(SightlineError, match="holds a run of another recipe, guide or labels"):
            train(picture_net(), pictures, pictures, recipe, tmp_path, objective=other)
    again = Two(Weight())
    train(picture_net(), pictures, pictures, recipe, tmp_path, objective=again)
    assert again.learnt.value.item() > 0, "what the loss has learnt is read back"


def test_pictures_are_learnt(tmp_path):
    net, recipe = picture_net(), replace(RECIPE, epochs=8, batch=8, ema=0.5)
    history = train(net, squares(48, 1)[0], squares(20, 2)[0], recipe, tmp_path)
    assert max(row["valid_top1"] for row in history) >= 0.9
    assert "train_task" not in history[0], "one term is the loss"
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history


def test_a_batch_of_pictures_by_hand():
    pixels = torch.arange(24.0).view(2, 3, 2, 2) / 24
    batch = PictureBatch(pixels)
    assert (len(batch), batch.size, batch.device.type) == (2, (2, 2), "cpu")
    assert torch.equal(batch.select(torch.tensor([1, 1])).pixels, pixels[[1, 1]])
    moved = batch.to(dtype=torch.float64)
    assert moved.pixels.dtype == torch.float64
    assert torch.equal(moved.pixels.float(), pixels)
    assert batch.to("cpu").pixels.dtype == torch.float32
