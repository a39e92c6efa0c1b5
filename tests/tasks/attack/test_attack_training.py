"""Training on attacked drawings: what is learnt, at what cost to the model as it came."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from figures import LABELS, drawings
from sightline.errors import SightlineError, TaskError
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
from sightline.tasks.attack.point_moves import Moves, move_points
from sightline.tasks.attack.training import AttackedExamples, TrainedOnAttacks
from sightline.training.examples import Labelled
from sightline.training.loop import train
from sightline.training.processes import ALONE
from sightline.training.recipe import Recipe
from toys import picture_net, stroke_net

MOVES = Moves(0.1, steps=2, loss="cross_entropy")
RECIPE = Recipe(epochs=2, batch=16, lr=2e-3, warmup=1, precision="32-true", seed=3)


def figures(count: int, seed: int) -> Labelled:
    return Labelled.from_sketches(drawings(count, seed), LABELS, lambda sketch: sketch.normalise())


def net(seed: int = 0) -> SketchXAINet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = SketchXAINetConfig(LABELS, hidden=16, layers=2, heads=2, mlp=32, dropout=0.1)
        return SketchXAINet(config)


# --- the loss -------------------------------------------------------------------------------------


def test_without_a_budget_both_terms_are_the_plain_task():
    data, model = figures(6, 1), net().eval()
    batch, target = data.batch(torch.arange(6)), data.targets(torch.arange(6))
    found = TrainedOnAttacks(Moves(0.0), clean=0.25).losses(model, batch, target)
    plain = F.cross_entropy(model(batch), target, reduction="none")
    torch.testing.assert_close(found["task"], 0.25 * plain)
    torch.testing.assert_close(found["attacked"], 0.75 * plain)


@pytest.mark.parametrize("build", [stroke_net, picture_net])
def test_what_is_learnt_is_the_cross_entropy_of_the_moved_drawings(build):
    data = figures(5, 2)
    batch, target = data.batch(torch.arange(5)), data.targets(torch.arange(5))
    model = build().eval()
    moved = move_points(model, batch, target, MOVES, normalise=False)
    found = TrainedOnAttacks(MOVES, smoothing=0.1, clean=0.5).losses(model, batch, target)
    wanted = F.cross_entropy(model(moved), target, reduction="none", label_smoothing=0.1)
    torch.testing.assert_close(found["attacked"], wanted / 2)
    assert found["attacked"].requires_grad
    assert float(found["attacked"].detach().sum()) > float(found["task"].detach().sum())


def test_only_attacked_drawings_are_shown_where_no_clean_ones_are_wanted():
    data = figures(4, 3)
    batch, target = data.batch(torch.arange(4)), data.targets(torch.arange(4))
    assert set(TrainedOnAttacks(MOVES, clean=0.0).losses(net(), batch, target)) == {"attacked"}


def test_the_attack_sees_the_model_in_evaluation_mode_and_leaves_no_gradient():
    data, model = figures(4, 3), net().train()
    batch, target = data.batch(torch.arange(4)), data.targets(torch.arange(4))
    modes = []
    hook = model.norm.register_forward_hook(lambda *_: modes.append(model.norm.training))
    TrainedOnAttacks(MOVES, clean=0.0).losses(model, batch, target)
    hook.remove()
    assert modes == [False, False, False, True]  # two steps, a last look, and the lesson
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_modes_come_back_after_a_failure():
    data, model = figures(4, 3), net().train()
    batch, target = data.batch(torch.arange(4)), data.targets(torch.arange(4))

    def fail(*_: object) -> None:
        raise RuntimeError("no paper")

    model.norm.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no paper"):
        TrainedOnAttacks(MOVES).losses(model, batch, target)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"moves": Moves(0.1, targeted=True)}, "away from their label"),
        ({"clean": 1.0}, "share of clean drawings is 1.0"),
        ({"clean": -0.1}, "share of clean drawings is -0.1"),
    ],
)
def test_wrong_settings(wrong, says):
    with pytest.raises(TaskError, match=says):
        TrainedOnAttacks(**({"moves": MOVES} | wrong))


# --- accuracy under attack ------------------------------------------------------------------------


def test_attacked_accuracy_is_that_of_drawings_moved_one_by_one():
    data, model = figures(9, 4), net()
    found = TrainedOnAttacks(MOVES).validate(model, data, ALONE)
    hits = attacked = 0
    model.eval()
    for index in range(9):
        one = torch.tensor([index])
        batch, target = data.batch(one), data.targets(one)
        moved = move_points(model, batch, target, MOVES).normalise()
        hits += int(model(batch).argmax()) == int(target)
        attacked += int(model(moved).argmax()) == int(target)
    assert found == {
        "valid_top1": hits / 9,
        "valid_attacked": attacked / 9,
        "valid_mean": (hits + attacked) / 18,
    }


def test_attacked_examples_are_normalised_and_keep_their_strokes():
    data, model = figures(3, 5), net()
    shown = AttackedExamples(data, model, MOVES).batch(torch.tensor([2, 0]))
    plain = data.batch(torch.tensor([2, 0]))
    assert torch.equal(shown.stroke_offsets, plain.stroke_offsets)
    assert not torch.equal(shown.points, plain.points)
    torch.testing.assert_close(shown.points, shown.normalise().points)


def test_a_model_that_reads_no_drawings_is_refused():
    batch, target = figures(2, 4).batch(torch.tensor([0, 1])), torch.tensor([0, 1])
    with pytest.raises(TaskError, match="Linear is no model of drawings"):
        TrainedOnAttacks(MOVES).losses(nn.Linear(2, 2), batch, target)
    with pytest.raises(TaskError, match="Linear is no model of drawings"):
        AttackedExamples(figures(2, 4), nn.Linear(2, 2), MOVES).batch(torch.tensor([0]))


# --- in the loop ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_learns_to_stand_what_moves_the_plain_model(tmp_path):
    learn, choose = figures(60, 6), figures(40, 7)
    recipe = replace(RECIPE, epochs=20, lr=5e-3, augmentation=None, ema=0.9)
    attack = Moves(0.6, steps=3, loss="cross_entropy")
    models = {}
    for name, objective in (("plain", None), ("attacked", TrainedOnAttacks(attack))):
        models[name] = net()
        train(models[name], learn, choose, recipe, tmp_path / name, objective=objective)
    stands = {n: TrainedOnAttacks(attack).validate(m, choose, ALONE) for n, m in models.items()}
    assert stands["attacked"]["valid_attacked"] > stands["plain"]["valid_attacked"] + 0.2


def test_a_stopped_run_goes_on_with_the_same_attack_only(tmp_path):
    learn, choose = figures(20, 8), figures(10, 9)
    whole, parts = net(), net()
    objective = TrainedOnAttacks(MOVES)
    train(whole, learn, choose, RECIPE, tmp_path / "whole", objective=objective)
    folder = tmp_path / "parts"

    class Stop(Exception):
        pass

    def stop(text: str) -> None:
        if text.startswith("\repoch 2/2 "):
            raise Stop

    with pytest.raises(Stop):
        train(parts, learn, choose, RECIPE, folder, objective=objective, progress=stop)
    other = TrainedOnAttacks(replace(MOVES, budget=0.2))
    with pytest.raises(SightlineError, match="another recipe"):
        train(net(), learn, choose, RECIPE, folder, objective=other)
    again = net(1)
    train(again, learn, choose, RECIPE, folder, objective=objective)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
