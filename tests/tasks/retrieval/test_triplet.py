"""Losses of pairs: worked by hand, against loops in float64, and in the training loop."""

import json
import math
import warnings
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from torch import nn

from sightline.errors import SightlineError, TaskError
from sightline.models.encoder import Encoder
from sightline.models.load_encoder import load_encoder
from sightline.models.two_branch import two_branch
from sightline.scenes.pairs import TEST, draw_pair
from sightline.tasks.retrieval.pair_examples import (
    PairAugmentation,
    PairExamples,
    drawing_vectors,
    photo_vectors,
)
from sightline.tasks.retrieval.scores import accuracy_at
from sightline.tasks.retrieval.triplet import (
    Contrastive,
    TripletLoss,
    contrastive_losses,
    match_places,
    triplet_losses,
)
from sightline.training.loop import train
from sightline.training.objective import Objective
from sightline.training.processes import ALONE, Processes
from sightline.training.recipe import Recipe
from toys import unchecked

MININGS = ("hard", "semi-hard", "all")
MEASURES = ("cosine", "distance")


def at(*degrees: float) -> torch.Tensor:
    """Vectors by their angle, of unequal lengths."""
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    lengths = torch.arange(1, len(degrees) + 1, dtype=torch.float64)[:, None]
    return lengths * torch.stack([angle.cos(), angle.sin()], 1)


def some(seed: int, items: int = 9, dimension: int = 5, instances: int = 5):
    generator = torch.Generator().manual_seed(seed)
    drawings, photos = torch.randn(2, items, dimension, generator=generator, dtype=torch.float64)
    return drawings, photos, torch.randint(instances, (items,), generator=generator)


# --- worked by hand -------------------------------------------------------------------------------

# drawings at 0, 90 and 180 degrees; their photos at 60, 90 and 90; cosines of the first drawing
# to the photos are 1/2, 0, 0: of the second sin 60, 1, 1: of the third -1/2, 0, 0
DRAWINGS, PHOTOS = at(0, 90, 180), at(60, 90, 90)
SINE = math.sqrt(3) / 2


@pytest.mark.parametrize(
    ("mining", "want"),
    [
        # 1: 0.5 - 1 + 0.6. 2: its photo and that of 3 are the same: 0 - 0 + 0.6. 3: 1 - 1 + 0.6
        ("hard", [0.1, 0.6, 0.6]),
        # 2: only the photo of 1 is farther: 0 - (1 - sin 60) + 0.6. 3: likewise, 1 - 1.5 + 0.6
        ("semi-hard", [0.1, SINE - 0.4, 0.1]),
        ("all", [0.1, (SINE - 0.4 + 0.6) / 2, (0.1 + 0.6) / 2]),
    ],
)
def test_triplets_by_hand(mining, want):
    got = triplet_losses(DRAWINGS, PHOTOS, torch.arange(3), margin=0.6, mining=mining)
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)


def test_where_none_is_semi_hard_the_farthest_stands_in():
    # the own photo is the farthest, at 180 degrees; others at 60 (d 0.5) and 90 (d 1)
    got = triplet_losses(at(0, 60, 90), at(180, 60, 90), torch.arange(3), margin=0.2)
    assert float(got[0]) == pytest.approx(2 - 1 + 0.2)


def test_distance_by_hand():
    # chords of 60 and 90 degrees: 1 and sqrt 2
    got = triplet_losses(
        at(0, 90), at(60, 90), torch.arange(2), margin=0.5, mining="hard", measure="distance"
    )
    second = 0.5 - 2 * math.sin(math.radians(15))
    np.testing.assert_allclose(got.numpy(), [1 - math.sqrt(2) + 0.5, max(0, second)], atol=1e-7)


def test_contrast_by_hand():
    # cosines 1 and 0 over a temperature of 0.5
    got = contrastive_losses(at(0, 90), at(0, 90), torch.arange(2), temperature=0.5)
    np.testing.assert_allclose(got.numpy(), [math.log(1 + math.exp(-2))] * 2, atol=1e-12)


@pytest.mark.parametrize("mining", MININGS)
def test_two_items_of_an_instance_are_no_negatives_of_each_other(mining):
    """The second photo of the instance is nearer than any other, and does not count."""
    drawings, photos = at(0, 0, 90), at(30, 1, 90)
    got = triplet_losses(drawings, photos, torch.tensor([4, 4, 7]), margin=0.3, mining=mining)
    np.testing.assert_allclose(got[:2].numpy(), [max(0, 0.3 - SINE), 0], atol=1e-12)
    split = triplet_losses(drawings, photos, torch.tensor([4, 5, 7]), margin=0.3, mining="hard")
    assert float(split[0]) > 0.4


def test_contrast_leaves_out_others_of_the_instance():
    drawings, photos, _ = some(0, items=3)
    alike = contrastive_losses(drawings, photos, torch.tensor([4, 4, 7]))
    without = contrastive_losses(drawings[[0, 2]], photos[[0, 2]], torch.tensor([4, 7]))
    np.testing.assert_allclose(alike[0], without[0], atol=1e-12)


# --- an independent oracle ------------------------------------------------------------------------


def plain(drawings, photos, instance, margin, mining, measure):
    def unit(vector):
        return vector / math.sqrt(sum(x * x for x in vector))

    def d(one, other):
        if measure == "cosine":
            return 1 - sum(a * b for a, b in zip(one, other, strict=True))
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))

    drawings, photos = ([unit(v) for v in table.numpy()] for table in (drawings, photos))
    losses = []
    for i, anchor in enumerate(drawings):
        own = d(anchor, photos[i])
        others = [d(anchor, p) for j, p in enumerate(photos) if instance[j] != instance[i]]
        if not others:
            losses.append(0.0)
        elif mining == "all":
            losses.append(sum(max(0, own - far + margin) for far in others) / len(others))
        else:
            farther = [far for far in others if far > own]
            chosen = min(others)
            if mining == "semi-hard":
                chosen = min(farther) if farther else max(others)
            losses.append(max(0, own - chosen + margin))
    return losses


def plain_contrast(drawings, photos, instance, temperature):
    def cosine(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    losses = []
    for i in range(len(drawings)):
        own = math.exp(cosine(drawings[i], photos[i]) / temperature)
        others = [j for j in range(len(photos)) if instance[j] != instance[i]]
        by_drawing = sum(math.exp(cosine(drawings[i], photos[j]) / temperature) for j in others)
        by_photo = sum(math.exp(cosine(drawings[j], photos[i]) / temperature) for j in others)
        losses.append((math.log(1 + by_drawing / own) + math.log(1 + by_photo / own)) / 2)
    return losses


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mining", MININGS)
def test_triplets_are_those_of_loops(mining, measure):
    for seed in range(10):
        drawings, photos, instance = some(seed)
        got = triplet_losses(drawings, photos, instance, margin=0.4, mining=mining, measure=measure)
        want = plain(drawings, photos, instance, 0.4, mining, measure)
        np.testing.assert_allclose(got.numpy(), want, atol=1e-7)
        assert max(want) > 0


def test_contrast_is_that_of_loops():
    for seed in range(10):
        got = contrastive_losses(*some(seed), temperature=0.2)
        np.testing.assert_allclose(got.numpy(), plain_contrast(*some(seed), 0.2), atol=1e-10)


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mining", MININGS)
def test_gradients_of_triplets(mining, measure):
    drawings, photos, instance = some(3)

    def loss(one, other):
        return triplet_losses(one, other, instance, margin=0.4, mining=mining, measure=measure)

    assert torch.autograd.gradcheck(loss, (drawings.requires_grad_(), photos.requires_grad_()))


def test_gradients_of_contrast():
    drawings, photos, instance = some(3)
    inputs = (drawings.requires_grad_(), photos.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: contrastive_losses(a, b, instance), inputs)


@pytest.mark.parametrize("loss", [triplet_losses, contrastive_losses])
def test_neither_length_nor_order_matters(loss):
    drawings, photos, instance = some(5)
    want = loss(drawings, photos, instance)
    lengths = torch.arange(1, 10, dtype=torch.float64)[:, None]
    np.testing.assert_allclose(loss(drawings * lengths, photos / lengths, instance), want)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    turned = loss(drawings[order], photos[order], instance[order])
    np.testing.assert_allclose(turned, want[order], atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("mining", MININGS)
def test_equal_vectors_have_a_finite_gradient(mining, measure):
    vectors = torch.ones(3, 4, requires_grad=True)
    got = triplet_losses(
        vectors, vectors, torch.arange(3), margin=0.3, mining=mining, measure=measure
    )
    got.sum().backward()
    np.testing.assert_allclose(got.detach(), 0.3, atol=1e-6)
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize("loss", [triplet_losses, contrastive_losses])
def test_without_a_negative_the_loss_is_zero_and_its_gradient_too(loss):
    drawings, photos, _ = some(6, items=4)
    drawings.requires_grad_()
    got = loss(drawings, photos, torch.full((4,), 3))
    got.sum().backward()
    assert got.tolist() == [0, 0, 0, 0]
    assert torch.equal(drawings.grad, torch.zeros_like(drawings))


def test_settings_that_are_refused():
    for margin in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(TaskError, match=r"the margin is .* above 0"):
            TripletLoss(margin=margin)
    for temperature in (0.0, math.nan):
        with pytest.raises(TaskError, match="the temperature is"):
            Contrastive(temperature)
    with unchecked(), pytest.raises(TaskError, match="unknown mining 'soft'"):
        TripletLoss(mining="soft")
    with unchecked(), pytest.raises(TaskError, match="unknown measure 'cosin'"):
        TripletLoss(measure="cosin")


# --- in the training loop -------------------------------------------------------------------------


def shapes(instances: int, seed: int, drawings: int = 2) -> PairExamples:
    """A photo is three random patches of colour, its drawings are its green, and noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(instances, 3, 4, 4, generator=generator)
    photos = coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)
    target = torch.arange(instances).repeat_interleave(drawings)
    ink = photos[target, 1]
    ink = (ink + 0.05 * torch.randn(ink.shape, generator=generator)).clamp(0, 1)
    return PairExamples(
        (ink * 255).to(torch.uint8),
        (photos * 255).to(torch.uint8),
        target,
        tuple(f"{i}-{k}" for i in range(instances) for k in range(drawings)),
        tuple(map(str, range(instances))),
    )


def small() -> Encoder:
    return two_branch(dimension=16, size=32, width=4, seed=0)


RECIPE = Recipe(
    epochs=3,
    batch=16,
    lr=5e-3,
    warmup=0.5,
    smoothing=0.0,
    ema=0.9,
    precision="32-true",
    augmentation=PairAugmentation(),
    seed=1,
)
OBJECTIVES = [Contrastive(), *(TripletLoss(mining=mining) for mining in MININGS)]


@pytest.mark.parametrize("objective", [Contrastive(), TripletLoss()], ids=str)
def test_the_loop_learns_pairs_of_new_instances(objective, tmp_path):
    assert isinstance(objective, Objective)
    recipe = replace(RECIPE, epochs=6, augmentation=None)
    before = match_places(small(), shapes(40, 2))
    model = small()
    history = train(model, shapes(64, 1), shapes(40, 2), recipe, tmp_path, objective=objective)
    assert accuracy_at(before.numpy(), 1).estimate < 0.1
    assert max(row["valid_top1"] for row in history) > 0.3
    ranks = match_places(model, shapes(40, 2))
    best = max(history, key=lambda row: row["valid_top1"])
    assert accuracy_at(ranks.numpy(), 1).estimate == best["valid_top1"]
    assert accuracy_at(ranks.numpy(), 10).estimate == best["valid_top10"]
    assert float(ranks.double().mean()) == best["valid_place"]


def numbers(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def test_a_killed_run_goes_on_to_the_same_numbers(tmp_path):
    sets = shapes(20, 1), shapes(20, 2)
    whole = small()
    want = train(whole, *sets, RECIPE, tmp_path / "a", objective=Contrastive())
    stopped = Killed(small())
    with pytest.raises(KeyboardInterrupt):
        train(stopped, *sets, RECIPE, tmp_path / "b", objective=Contrastive())
    assert len((tmp_path / "b/metrics.jsonl").read_text().splitlines()) == 1
    again = small()
    got = train(again, *sets, RECIPE, tmp_path / "b", objective=Contrastive())
    assert numbers(got) == numbers(want)
    for one, other in zip(again.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(one, other)


class Killed(Encoder):
    """Fails in its second epoch, like a machine that is switched off."""

    def __init__(self, inner: Encoder) -> None:
        super().__init__(sketch=inner.sketch, photo=inner.photo)
        inner.photo.module.register_forward_pre_hook(self._count)
        self.calls = 0

    def _count(self, *_):
        self.calls += self.training
        if self.calls > 4:  # an epoch has 3 batches
            raise KeyboardInterrupt


def test_a_run_of_another_loss_is_not_continued(tmp_path):
    sets = shapes(20, 1), shapes(20, 2)
    recipe = replace(RECIPE, epochs=1)
    train(small(), *sets, recipe, tmp_path, objective=Contrastive())
    for other in (Contrastive(0.1), TripletLoss()):
        with pytest.raises(SightlineError, match="another recipe"):
            train(small(), *sets, recipe, tmp_path, objective=other)
    assert json.loads(json.dumps(TripletLoss(0.3).settings)) == {
        "loss": "TripletLoss",
        "margin": 0.3,
        "mining": "semi-hard",
        "measure": "cosine",
    }


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_batch_of_one_instance_warns_and_gives_zero(objective):
    examples = shapes(3, 1)
    lonely = torch.tensor([2, 3])
    batch, target = examples.batch(lonely), examples.targets(lonely)
    model = small()
    with pytest.warns(UserWarning, match="no item of a batch of 2 has a negative"):
        found = objective.losses(model, batch, target)["task"]
    assert found.tolist() == [0, 0]
    found.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_losses_are_exact_under_half_a_precision(objective):
    """Vectors may be of half a precision; what is made of them is not."""
    examples, model = shapes(8, 1), small()
    index = torch.arange(0, 16, 2)
    batch, target = examples.batch(index), examples.targets(index)
    with torch.autocast("cpu", torch.bfloat16):
        found = objective.losses(model, batch, target)["task"]
        drawings = drawing_vectors(model, batch.drawings)
        photos = photo_vectors(model, batch.photos)
    assert drawings.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    want = objective._losses(drawings.double(), photos.double(), target)
    torch.testing.assert_close(found.double(), want, atol=1e-5, rtol=1e-5)


# --- ranks ----------------------------------------------------------------------------------------


class Told(nn.Module):
    """Answers with the vectors that stand in the first row of pixels."""

    def forward(self, pictures):
        return pictures[:, 0, 0]


def told(drawings, photos, target) -> tuple[Encoder, PairExamples]:
    """An encoder and examples with these vectors, whole numbers below 256."""
    drawn, seen = (torch.tensor(t, dtype=torch.uint8) for t in (drawings, photos))
    side = drawn.shape[1]
    pixels = seen[:, None, None].expand(-1, 3, side, -1)
    examples = PairExamples(
        drawn[:, None].expand(-1, side, -1),
        pixels,
        torch.tensor(target),
        tuple(map(str, range(len(drawn)))),
        tuple(map(str, range(len(seen)))),
    )
    from sightline.models.photo_classifier import PictureClassifier

    photo = PictureClassifier(Told(), size=(side, side), mean=(0, 0, 0), std=(1, 1, 1))
    return Encoder(sketch=Told(), photo=photo), examples


def test_places_by_hand():
    photos = [[200, 0], [200, 100], [100, 200], [0, 200]]
    encoder, examples = told([[200, 10], [200, 10], [10, 200], [100, 100]], photos, [0, 3, 2, 1])
    # the last drawing stands between two photos that are just as near: the worse place counts
    assert match_places(encoder, examples).tolist() == [1, 4, 2, 2]
    assert TripletLoss().validate(encoder, examples, ALONE) == {
        "valid_top1": 0.25,
        "valid_top10": 1.0,
        "valid_place": 2.25,
    }
    assert Contrastive().chooses == "valid_top1"


def test_an_encoder_that_answers_the_same_to_all_is_last():
    encoder, examples = told([[9, 9]] * 3, [[9, 9]] * 5, [0, 1, 4])
    assert match_places(encoder, examples).tolist() == [5, 5, 5]


def test_places_are_those_of_loops_and_of_large_galleries():
    """More photos than are compared at once."""
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(1, 256, (300, 6), generator=generator)
    target = torch.randint(300, (260,), generator=generator)
    noise = torch.randint(-30, 31, (260, 6), generator=generator)
    drawings = (photos[target] + noise).clamp(1, 255)
    encoder, examples = told(drawings.tolist(), photos.tolist(), target.tolist())
    got = match_places(encoder, examples)
    one, other = (t.double() / t.double().norm(dim=1, keepdim=True) for t in (drawings, photos))
    near = one @ other.T
    want = [1 + int((row > row[own]).sum()) for row, own in zip(near, target, strict=True)]
    assert got.tolist() == want
    assert max(want) > 1


def test_ranks_leave_the_model_as_it_came():
    """Also batch statistics, which a model in training mode would move."""
    drawn = nn.Sequential(nn.BatchNorm2d(1), nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten())
    seen = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = Encoder(sketch=drawn, photo=seen).train()
    seen[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    match_places(model, shapes(5, 0))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert not seen[0].weight.requires_grad
    assert drawn[0].weight.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_each_process_encodes_its_share(monkeypatch):
    """Tables of three processes, added, are that of one."""
    from sightline.tasks.retrieval import triplet

    monkeypatch.setattr(triplet, "AT_ONCE", 4)
    model, examples = small(), shapes(7, 0)
    whole = triplet._encoded(model, examples, "drawn", 14, ALONE)
    monkeypatch.setattr(Processes, "sum", lambda _, tensor: tensor)
    shares = [triplet._encoded(model, examples, "drawn", 14, Processes(r, 3)) for r in range(3)]
    torch.testing.assert_close(sum(shares), whole)
    assert [int((share != 0).any(1).sum()) for share in shares] == [6, 4, 4]


def test_no_warning_from_a_usual_batch():
    examples = shapes(3, 1)
    index = torch.arange(6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Contrastive().losses(small(), examples.batch(index), examples.targets(index))
    assert found["task"].shape == (6,)


# --- what is shipped ------------------------------------------------------------------------------


def shipped_ranks(instances: int) -> torch.Tensor:
    encoder = load_encoder("pairs-encoder")
    pairs = [draw_pair(TEST + index) for index in range(instances)]
    return match_places(encoder, PairExamples.from_pairs(pairs, encoder))


def test_the_shipped_encoder_finds_new_instances():
    assert accuracy_at(shipped_ranks(60).numpy(), 1).estimate > 0.9


@pytest.mark.slow
def test_the_shipped_encoder_does_as_its_card_says():
    card = json.loads((files("sightline") / "weights/pairs-encoder/config.json").read_text())
    told, ranks = card["card"]["test"], shipped_ranks(500).numpy()
    for within in (1, 5, 10):
        found = accuracy_at(ranks, within).estimate
        # rounding may turn two drawings of 500
        assert found == pytest.approx(told[f"top{within}"]["estimate"], abs=0.0041)
