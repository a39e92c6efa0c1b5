"""The benchmark on models whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import sightline as sl
from sightline.benchmark import BenchmarkSettings, benchmark_strokes
from sightline.benchmark.strokes import consistency, last_place, rounded
from sightline.errors import GameError
from sightline.models.recognise import recognise
from sightline.sketch.sketch import Sketch
from toys import LABELS, picture_net, scribble, stroke_net, unchecked


def drawings(model, count=10, strokes=4):
    """Scribbles labelled as the model sees them, their first stroke named."""
    given = []
    for seed in range(count):
        sketch = scribble(seed, strokes)
        label = recognise(model, sketch)[0].label
        parts = ("first", *("rest",) * (strokes - 1))
        given.append(Sketch(sketch.strokes, label=label, parts=parts))
    return [*given, *(Sketch(scribble(50 + i).strokes, label=x) for i, x in enumerate(LABELS))]


SMALL = BenchmarkSettings(drawings=5, checked=1, budget=12)


@pytest.fixture(scope="module")
def net():
    return stroke_net(5)


@pytest.fixture(scope="module")
def found(net):
    return benchmark_strokes(net, drawings(net), SMALL, batch=512)


def plain(found):
    numbers = found.as_dict()
    del numbers["seconds"]
    return json.dumps(numbers)


# --- the pieces by hand ---------------------------------------------------------------------------


def test_last_place_by_hand():
    assert last_place(np.array([3.0, 2.0, 1.0, 0.0]), 3) == 1
    assert last_place(np.array([3.0, 2.0, 1.0, 4.0]), 3) == 0
    assert last_place(np.array([3.0, 2.0, 1.0, 2.5]), 3) == pytest.approx(1 / 3)
    assert last_place(np.zeros(4), 0) == 0.5


def test_rounding_forgets_what_batching_changes():
    scores = np.array([[1.0, 0.5, 0.5 + 1e-8], [0.0, 0.0, 0.0]])
    assert rounded(scores)[0, 1] == rounded(scores)[0, 2]
    assert rounded(np.array([[1e-6, 2e-6]]))[0, 0] == pytest.approx(1e-6)  # relative to the largest


def test_consistency_by_hand():
    def row(a, b):
        return {"one": {"body": a, "wing": b}, "two": {"body": 1.0, "wing": 1.0}}

    agreeing = {"bird": [row(2.0, 1.0), row(3.0, 2.0), row(9.0, 0.0)]}
    found = consistency(agreeing)
    assert (found["one"].tolist(), found["two"].tolist()) == ([1.0], [0.0])
    # a drawing without wings is left out; a rare part does not count
    mixed = {"bird": [*agreeing["bird"], {"one": {"body": 1.0}, "two": {"body": 1.0}}]}
    assert consistency(mixed)["one"].tolist() == [1.0]
    rare = [
        {m: parts | ({"hat": 9.0} if i == 0 else {}) for m, parts in r.items()}
        for i, r in enumerate(agreeing["bird"])
    ]
    assert consistency({"bird": rare})["one"].tolist() == [1.0]
    assert consistency({"bird": agreeing["bird"][:2]}) == {}


# --- the whole ------------------------------------------------------------------------------------


def test_every_test_is_there_for_every_method(found):
    assert {t.name for t in found.tests} >= {"planted", "agreement", "part_deletion", "labels"}
    methods = set(sl.METHODS) - set(found.refused) | {"by length", "by order"}
    assert set(found.methods) == methods
    for by_method in found.values.values():
        assert set(by_method) == methods
        assert len({len(v) for v in by_method.values()}) == 1
    assert "reads no pictures" in found.refused["grad_cam"]
    assert set(found.cost) == methods - {"by length", "by order"}
    assert found.cost["occlusion"].evaluations == 4
    assert len(found.values["planted"]["sla"]) + found.unplanted == 5


def test_what_must_be_is(found):
    values = found.values
    assert (values["agreement"]["shapley"] == 1).all()
    assert (values["first"]["shapley"] == 1).all()
    assert (values["labels"]["attention"] == 1).all()  # attention does not know the label
    assert (values["labels"]["by length"] == 1).all()
    assert values["labels"]["shapley"].max() < 1
    assert (values["weights 100%"]["by order"] == 1).all()
    assert (values["random labels"]["by length"] == 1).all()
    assert 0.2 < found.learnt <= 1
    assert np.isnan(values["shift"]["p_sla"]).all() if "shift" in values else True
    assert (values["agreement"]["kernel_shap"] > 0.5).all()


def test_numbers_do_not_depend_on_the_batch(net, found):
    again = benchmark_strokes(net, drawings(net), SMALL, batch=3)
    assert plain(again) == plain(found)


def test_numbers_do_not_depend_on_the_order_of_the_drawings_but_on_the_seed(net, found):
    backwards = benchmark_strokes(net, drawings(net)[::-1], SMALL)
    mean = {m: v.mean() for m, v in found.values["agreement"].items()}
    assert {m: v.mean() for m, v in backwards.values["agreement"].items()} == mean
    other = benchmark_strokes(
        net, drawings(net), BenchmarkSettings(drawings=5, checked=1, budget=12, seed=1)
    )
    assert plain(other) != plain(found)


def test_a_model_of_pictures_and_its_maps():
    net = picture_net(1)
    methods = ("shapley", "grad_cam", "random", "attention")
    settings = BenchmarkSettings(drawings=3, checked=1, methods=methods)
    found = benchmark_strokes(net, drawings(net, 6), settings)
    assert set(found.methods) == {"shapley", "grad_cam", "random", "by length", "by order"}
    assert set(found.refused) == {"attention"}


def test_a_black_box_is_measured_with_what_needs_no_gradient():
    class BlackBox(torch.nn.Module):
        labels = LABELS

        def __init__(self):
            super().__init__()
            self.inner = stroke_net(5)

        def prepare(self, sketch):
            return sketch.normalise()

        def forward(self, batch):
            return self.inner(batch).detach()

    methods = ("shapley", "occlusion", "sla", "p_sla", "grad_cam")
    settings = BenchmarkSettings(drawings=2, checked=1, methods=methods)
    found = benchmark_strokes(BlackBox(), drawings(stroke_net(5)), settings)
    assert set(found.methods) == {"shapley", "occlusion", "by length", "by order"}
    assert all("occlusion" in reason for reason in found.refused.values())
    assert "no gradient to its weights" in found.notes[0]


# --- mistakes -------------------------------------------------------------------------------------


def test_mistakes(net):
    with pytest.raises(GameError, match=r"shaply.*shapley"):
        benchmark_strokes(net, drawings(net), BenchmarkSettings(methods=("shaply",)))
    with pytest.raises(GameError, match="at least 2 are needed"):
        benchmark_strokes(net, drawings(net)[:1], SMALL)
    with unchecked(), pytest.raises(GameError, match="2 or more, and at most 15"):
        BenchmarkSettings(strokes=(3, 20))
    with pytest.raises(GameError, match="at least 2 and 1"):
        BenchmarkSettings(drawings=1)


def test_the_model_is_as_it_was(net, found):
    assert found.drawings == 5
    assert not net.training
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert not any(m._forward_hooks for m in net.modules())
    assert "prepare" not in vars(net)
