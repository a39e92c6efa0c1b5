from dataclasses import replace

import numpy as np
import pytest
import torch

import sightline as sl
from sightline.analysis.ablation import PUBLISHED, ablation, lacks
from sightline.analysis.accuracy import AS_DRAWN, accuracy_under, hits, probabilities
from sightline.analysis.order import first, reversed_order, shuffled
from sightline.errors import DrawingError, ModelError, SightlineError
from sightline.metrics.intervals import wilson
from sightline.sketch.batch import SketchBatch
from toys import LABELS, behind, picture_net, scribble, stroke_net, unchecked


class Counting:
    """Answers with the number of strokes: class i for i + 1 of them."""

    labels = ("1", "2", "3", "4")

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        return 9 * torch.nn.functional.one_hot(batch.strokes_per_sketch - 1, 4).float()


def told(strokes, label):
    return replace(scribble(strokes, strokes), label=label)


THREE_OF_FOUR = [told(1, "1"), told(2, "2"), told(3, "3"), told(4, "1")]


def test_hits_worked_by_hand():
    outcomes = accuracy_under(
        Counting(), THREE_OF_FOUR, {"first 2": first(2), "reversed": reversed_order}
    )
    whole, cut, turned = outcomes
    assert [o.name for o in outcomes] == [AS_DRAWN, "first 2", "reversed"]
    assert whole.hits.tolist() == [1, 1, 1, 0]
    assert whole.share == wilson(3, 4)
    assert whole.change is None
    assert cut.hits.tolist() == [1, 1, 0, 0]
    assert cut.share == wilson(2, 4)
    assert cut.change.difference.estimate == -0.25
    assert turned.change.difference.estimate == 0
    assert turned.change.p_value == 1


def test_repeats_are_averaged_by_drawing():
    done = accuracy_under(Counting(), THREE_OF_FOUR, {"either": [first(2), first(3), first(4)]})[1]
    assert done.hits == pytest.approx([1, 1, 2 / 3, 0])
    assert done.share.estimate == pytest.approx(2 / 3)
    assert done.share.low < 2 / 3 < done.share.high


def test_the_difference_is_paired_by_drawing():
    """Two changes of equal accuracy: one misses what the other hits, and only one is certain."""
    many = [told(1 + i % 4, str(1 + i % 4)) for i in range(80)]
    lose_two = accuracy_under(Counting(), many, {"first 3": first(3)})[1]
    assert lose_two.share.estimate == 0.75
    assert lose_two.change.difference.high < 0
    assert lose_two.change.distinguishable


def test_the_frame_of_the_whole_drawing_stays():
    seen = []

    class Watching(Counting):
        def __call__(self, batch):
            seen.append(batch.points.clone())
            return super().__call__(batch)

    drawing = told(3, "3")
    accuracy_under(Watching(), [drawing], {"first 1": first(1)})
    whole, cut = seen
    assert torch.equal(cut, whole[: len(cut)])


@pytest.mark.parametrize("net", [stroke_net(), picture_net()], ids=["strokes", "pictures"])
def test_batches_do_not_show(net):
    sketches = [scribble(seed, 1 + seed % 5) for seed in range(7)]
    whole = probabilities(net, sketches)
    assert probabilities(net, sketches, batch=2) == pytest.approx(whole, abs=1e-6)
    with torch.no_grad():
        plain = net(SketchBatch.from_sketches(sketches)).double().softmax(1).numpy()
    assert whole == pytest.approx(plain, abs=1e-6)
    assert whole.sum(1) == pytest.approx(np.ones(7))


def test_order_is_nothing_to_a_model_of_pictures_and_something_to_one_of_strokes():
    sketches = [scribble(seed) for seed in range(6)]
    for change in (reversed_order, shuffled(0)):
        pictures = picture_net()
        asked, told_again = (
            probabilities(pictures, sketches),
            probabilities(pictures, change(sketches)),
        )
        assert told_again == pytest.approx(asked, abs=1e-6)
        strokes = stroke_net()
        moved = probabilities(strokes, change(sketches)) - probabilities(strokes, sketches)
        assert np.abs(moved).max() > 1e-3
        blind = stroke_net(use_order=False)
        assert probabilities(blind, change(sketches)) == pytest.approx(
            probabilities(blind, sketches), abs=1e-5
        )
    cut = probabilities(picture_net(), first(1)(sketches))
    assert np.abs(cut - probabilities(picture_net(), sketches)).max() > 1e-3


def test_the_shipped_raster_model_does_not_see_order():
    model = sl.load("sketch-cnn")
    sketches = [scribble(seed) for seed in range(4)]
    assert probabilities(model, reversed_order(sketches)) == pytest.approx(
        probabilities(model, sketches), abs=1e-5
    )


def test_a_seed_repeats_and_the_global_state_stays():
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    once, again = (
        accuracy_under(Counting(), THREE_OF_FOUR, {"cut": [first(2), first(3)]})[1]
        for _ in range(2)
    )
    assert once.share == again.share
    assert once.change == again.change
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was(fails):
    class Torn(torch.nn.Flatten):
        def forward(self, pictures):
            if fails:
                raise RuntimeError("out of paper")
            return super().forward(pictures)[:, :4]

    model = behind(torch.nn.Sequential(torch.nn.BatchNorm2d(1), Torn())).train()
    sketches = [replace(scribble(0), label=LABELS[0])]
    if fails:
        with pytest.raises(RuntimeError, match="out of paper"):
            accuracy_under(model, sketches, {})
    else:
        accuracy_under(model, sketches, {"reversed": reversed_order})
    assert all(module.training for module in model.modules())
    assert all(weight.requires_grad for weight in model.parameters())
    assert model.module[0].num_batches_tracked == 0


def test_what_cannot_be_measured_is_said():
    with unchecked(), pytest.raises(DrawingError, match="nothing to recognise"):
        accuracy_under(Counting(), [], {})
    with pytest.raises(SightlineError, match="labels owl are not among the model's: 1, 2, 3, 4"):
        accuracy_under(Counting(), [told(1, "owl")], {})
    with pytest.raises(SightlineError, match="'lossy' made 0 drawings of 1"):
        accuracy_under(Counting(), [told(1, "1")], {"lossy": lambda drawings: []})


# --- ablation -------------------------------------------------------------------------------------


def nets():
    return [
        stroke_net(),
        *(stroke_net(**{f"use_{n}": False}) for n in ("shape", "location", "order")),
    ]


def test_models_are_named_by_what_they_lack():
    assert [lacks(n) for n in nets()] == list(PUBLISHED)
    assert lacks(stroke_net(use_shape=False, use_order=False)) == "without shape and order"


def test_each_is_measured_against_the_full_one():
    sketches = [replace(scribble(s), label=LABELS[s % 4]) for s in range(12)]
    outcomes = ablation(nets(), sketches)
    whole = hits(nets()[0], sketches)
    assert outcomes[0].change is None
    for outcome, net in zip(outcomes, nets(), strict=True):
        own = hits(net, sketches)
        assert outcome.hits.tolist() == own.tolist()
        assert outcome.share == wilson(int(own.sum()), 12)
        if outcome.change is not None:
            assert outcome.change.difference.estimate == pytest.approx(own.mean() - whole.mean())


def test_a_table_needs_its_full_model_first():
    sketches = [replace(scribble(0), label=LABELS[0])]
    with pytest.raises(
        ModelError, match="the first model is without shape; give the full one first"
    ):
        ablation(nets()[1:], sketches)
    with pytest.raises(ModelError, match="two models lack the same"):
        ablation([stroke_net(), stroke_net(1)], sketches)
    with pytest.raises(ModelError, match="the first model is missing"):
        ablation([], sketches)
    with pytest.raises(ModelError, match="RasterModel has no switches"):
        ablation([picture_net()], sketches)
