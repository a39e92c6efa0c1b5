"""Attacks on whole drawings: what they find, what they keep, and what they say."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from sightline.errors import GameError, TaskError
from sightline.game import Game
from sightline.methods import explain
from sightline.models.as_found import as_found
from sightline.models.recognise import Answer, recognise
from sightline.parts import Strokes
from sightline.sketch.batch import SketchBatch
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.simplify import simplify
from sightline.sketch.sketch import Sketch
from sightline.targets import ClassScore
from sightline.tasks.attack.attack import Attack
from sightline.tasks.attack.case import Case
from sightline.tasks.attack.change import ink_length
from sightline.tasks.attack.move_attack import attack_points, move_by_luck
from sightline.tasks.attack.reading import Reading
from sightline.tasks.attack.stroke_insertion import insert_stroke, strokes_by_luck
from sightline.tasks.attack.stroke_removal import (
    guided_order,
    remove_small_stroke,
    small_strokes,
    without_stroke,
)
from toys import LABELS, behind, picture_net, scribble, stroke_net, unchecked

NETS = [stroke_net(1), picture_net(1)]
BOTH = pytest.mark.parametrize("net", NETS, ids=["strokes", "picture"])


def canvas(seed=0, strokes=6):
    """A drawing on a canvas of its own, far from the normalised frame."""
    return dataclasses.replace(scribble(seed, strokes).transform(120, (300, -50)), times=None)


class Counts:
    """Answers by how many strokes there are, and by where the points of the last one are."""

    labels = ("few", "many", "left")

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        count = batch.strokes_per_sketch.double()
        return torch.stack([2.5 - count, count - 2.5, count * 0 - 9], 1)


class ShortHolds:
    """ "held" as long as the stroke that is 0.2 long or shorter is there; each has such a share."""

    labels = ("held", "fallen")

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        rows = []
        for index in range(len(batch)):
            lengths = stroke_lengths(batch.sketch(index))
            rows.append([1.0, 0.0] if (lengths < 0.2).any() else [0.0, 1.0])
        return torch.tensor(rows)


def ladder():
    """Three long lines, one short one, one that is shorter still, on a canvas 100 wide."""
    lines = [[(0, y), (100, y)] for y in (0, 50, 100)]
    return Sketch.from_strokes([*lines, [(40, 20), (50, 20)], [(10, 70), (13, 70)]], name="ladder")


# --- the way back to the canvas -------------------------------------------------------------------


def test_what_is_read_goes_back_to_where_it_was_drawn():
    sketch = canvas()
    reading = Reading.of(stroke_net(), sketch)
    back = reading.as_drawn(reading.read)
    for mine, theirs in zip(back.strokes, sketch.strokes, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)
    assert (back.label, back.name) == (sketch.label, sketch.name)


def test_a_simplified_drawing_comes_back_to_within_its_grid():
    sketch = canvas(3, 8)
    net = stroke_net(epsilon=2.0)
    reading = Reading.of(net, sketch)
    assert len(reading.read.points) < len(sketch.points)
    back = reading.as_drawn(reading.read)
    lo, side = sketch.box[:2], max(sketch.size)
    exact = simplify(sketch).transform(side / 255, lo)
    for mine, theirs in zip(back.strokes, exact.strokes, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=side / 255)


# --- points ---------------------------------------------------------------------------------------


@BOTH
def test_points_stay_within_the_budget_on_the_canvas(net):
    sketch = canvas()
    done = attack_points(net, sketch, budget=0.05, steps=4)
    scale = max(sketch.size) / 1.48
    far = np.linalg.norm(done.attacked.points - done.sketch.points, axis=1) / scale
    assert far.max() <= 0.05 + 1e-5
    assert far.max() == pytest.approx(done.used, abs=1e-5)
    assert done.change.largest_distance <= 0.05 * scale * (1 + 1e-5)
    assert done.label == recognise(net, sketch)[0].label == done.before.label
    assert done.after.label == recognise(net, done.attacked)[0].label
    assert done.after.probability == pytest.approx(recognise(net, done.attacked)[0].probability)
    assert done.success == done.survives == (done.after.label != done.label)


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_no_more_is_used_than_was_allowed(net, seed):
    sketch = canvas(seed)
    done = [
        attack_points(net, sketch, budget=0.07, steps=2),
        attack_points(net, sketch, budget=0.003),
        move_by_luck(net, sketch, budget=0.07, seed=seed),
        insert_stroke(net, sketch, share=0.05, tries=4, steps=0),
        insert_stroke(net, sketch, share=0.05, tries=4, steps=2),
    ]
    for each in done:
        assert 0 < each.used <= each.budget
    assert all(each.used > 0.999 * each.budget for each in done[:3])


def test_a_large_budget_changes_the_answer_and_a_target_is_reached():
    net, sketch = stroke_net(1), canvas()
    done = attack_points(net, sketch, budget=0.5, steps=20)
    assert done.success
    assert done.after.label != done.label
    second = recognise(net, sketch)[1].label
    reached = attack_points(net, sketch, budget=0.5, steps=20, target=second)
    assert reached.success
    assert (reached.target, reached.after.label) == (second, second)
    assert reached.label == done.label


def test_more_starts_are_never_worse_and_come_from_the_seed():
    net, sketch = stroke_net(4), canvas(2)
    one, many, again, other = (
        attack_points(net, sketch, budget=0.04, steps=2, starts=starts, seed=seed)
        for starts, seed in ((1, 0), (4, 0), (4, 0), (4, 100))
    )
    assert np.array_equal(many.attacked.points, again.attacked.points)
    kept = [done.after.probability for done in (one, many)]
    assert one.after.label == many.after.label == one.label
    assert kept[1] <= kept[0]
    assert many.evaluations > 3 * one.evaluations
    assert len({done.attacked.points.tobytes() for done in (one, many, other)}) > 1


def test_evaluations_are_those_that_the_model_sees():
    net, sketch = stroke_net(1), canvas()
    seen = []
    hook = net.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    done = attack_points(net, sketch, budget=0.05, steps=3)
    hook.remove()
    # three of the steps went backward too
    assert done.evaluations == sum(seen) + 3


def test_moved_by_luck_each_point_goes_as_far_as_said():
    net, sketch = stroke_net(1), canvas()
    done = move_by_luck(net, sketch, budget=0.03, seed=5)
    far = np.linalg.norm(done.attacked.points - done.sketch.points, axis=1)
    np.testing.assert_allclose(far, 0.03 * max(sketch.size) / 1.48, rtol=1e-4)
    assert done.evaluations == 3
    same, other = (move_by_luck(net, sketch, budget=0.03, seed=seed) for seed in (5, 6))
    assert np.array_equal(same.attacked.points, done.attacked.points)
    assert not np.array_equal(other.attacked.points, done.attacked.points)
    with pytest.raises(TaskError, match="budget is -1"):
        move_by_luck(net, sketch, budget=-1.0)


# --- removal --------------------------------------------------------------------------------------


def test_the_one_small_stroke_that_holds_the_answer_is_found():
    sketch = ladder()
    both_short = remove_small_stroke(ShortHolds(), sketch)
    assert not both_short.success  # one of the two remains, whichever goes
    held = sketch.select([0, 1, 2, 3])
    done = remove_small_stroke(ShortHolds(), held)
    assert done.success
    assert done.survives
    assert (done.stroke, len(done.attacked), done.after.label) == (3, 3, "fallen")
    assert done.used == pytest.approx(10 / 310)
    assert done.change.length_share == pytest.approx(-10 / 310)
    small = remove_small_stroke(ShortHolds(), held, share=0.01)
    assert not small.success
    assert small.stroke is None
    assert small.notes == ("no stroke that could be spared has at most 1% of the ink",)
    assert len(small.attacked) == 4
    none = remove_small_stroke(ShortHolds(), held, share=0.001)
    assert none.notes == ("no stroke that could be spared has at most 0.1% of the ink",)


def test_of_several_the_one_with_the_least_ink_goes():
    # answers "few" with any stroke gone: 3 strokes are many, 2 are few
    sketch = Sketch.from_strokes([[(0, 0), (90, 90)], [(0, 90), (9, 90)], [(40, 0), (43, 0)]])
    done = remove_small_stroke(Counts(), sketch, share=0.2)
    assert done.success
    assert done.stroke == 2


@BOTH
def test_removal_is_what_asking_without_each_stroke_says(net):
    sketch = canvas(5, 8)
    done = remove_small_stroke(net, sketch, share=0.3)
    own = LABELS.index(done.label)
    lengths = stroke_lengths(sketch)
    found = {}
    for stroke in range(8):
        if lengths[stroke] <= 0.3 * lengths.sum():
            left = net.prepare(sketch.select([i for i in range(8) if i != stroke]))
            with torch.no_grad():
                logits = net(SketchBatch.from_sketches([left]))[0]
            others = torch.cat([logits[:own], logits[own + 1 :]]).max()
            found[stroke] = float(others - logits[own])
    assert len(found) > 3
    succeeding = [stroke for stroke, margin in found.items() if margin > 0]
    assert done.success == bool(succeeding)
    best = (
        min(succeeding, key=lambda stroke: lengths[stroke])
        if succeeding
        else max(found, key=found.__getitem__)
    )
    assert done.stroke == best
    assert done.evaluations == len(found) + 2


def test_guided_tries_the_small_stroke_that_the_method_ranks_first():
    net, sketch = stroke_net(3), canvas(7, 7)
    done = remove_small_stroke(net, sketch, share=0.3, guide="occlusion")
    read = net.prepare(sketch)
    small = small_strokes(read, 0.3)
    scores = explain(Game(net, Strokes(read), ClassScore(done.label)), "occlusion").scores[0]
    assert done.stroke == max(small, key=lambda stroke: scores[stroke])
    assert done.evaluations == 1 + 4 + 2
    for share in (0.3, 1e-5):  # also where no stroke is small enough
        with pytest.raises(GameError, match="unknown method"):
            remove_small_stroke(net, sketch, share=share, guide="oclusion")


class Sized:
    """ "whole" where the drawing fills its frame, as every drawing that is read does."""

    labels = ("whole", "part")

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        sides = [max(batch.sketch(index).size) for index in range(len(batch))]
        return torch.tensor([[1.0, 0.0] if side > 1.4 else [0.0, 1.0] for side in sides])


def test_what_is_left_is_normalised_anew():
    far_out = Sketch.from_strokes([[(0, 0), (50, 50), (0, 50), (0, 0)], [(90, 90), (100, 100)]])
    assert small_strokes(far_out, 0.1) == [1]
    done = remove_small_stroke(Sized(), far_out)
    assert done.stroke == 1
    assert done.after.label == "whole"


def test_a_drawing_is_never_left_without_a_stroke_or_a_size():
    lone = Sketch.from_strokes([[(0, 0), (9, 9)]])
    assert small_strokes(lone, 1.0) == []
    dot = Sketch.from_strokes([[(0, 0), (9, 9)], [(3, 3), (3, 3)]])
    assert small_strokes(dot, 1.0) == [1]
    done = remove_small_stroke(Counts(), lone)
    assert done.stroke is None
    assert not done.success


# --- insertion ------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("steps", [0, 4])
def test_an_inserted_stroke_keeps_to_its_length_its_box_and_its_place(net, steps):
    sketch = canvas(2)
    done = insert_stroke(net, sketch, share=0.08, tries=8, steps=steps)
    assert len(done.attacked) == 7
    assert done.stroke == 6
    for mine, theirs in zip(done.attacked.strokes[:6], sketch.strokes, strict=True):
        assert np.array_equal(mine, theirs)
    new = done.attacked.strokes[6]
    assert 2 <= len(new) <= 5
    length = np.linalg.norm(np.diff(new, axis=0), axis=1).sum()
    assert length <= 0.08 * ink_length(sketch) * (1 + 1e-5)
    assert length == pytest.approx(done.used * ink_length(sketch), rel=1e-4)
    x0, y0, x1, y1 = sketch.box
    slack = 1e-5 * max(sketch.size)
    assert (new >= (x0 - slack, y0 - slack)).all()
    assert (new <= (x1 + slack, y1 + slack)).all()
    assert done.after.label == recognise(net, done.attacked)[0].label
    assert done.after.probability == pytest.approx(recognise(net, done.attacked)[0].probability)


@BOTH
def test_the_best_try_is_taken_and_refining_goes_higher(net):
    sketch = canvas(4)
    one, many, refined = (
        insert_stroke(net, sketch, tries=tries, steps=steps)
        for tries, steps in ((1, 0), (16, 0), (16, 8))
    )
    own = [
        recognise(net, done.attacked)[0].label == done.label and done.after.probability
        for done in (one, many, refined)
    ]
    assert own[0] >= own[1] >= own[2]
    assert own[0] > own[2]


def test_strokes_by_luck_are_as_said():
    read = scribble(1)
    strokes = strokes_by_luck(read, 0.1, 300, seed=4)
    assert {len(stroke) for stroke in strokes} == {2, 3, 4, 5}
    lengths = np.array([float(s.diff(dim=0).norm(dim=1).sum()) for s in strokes])
    assert lengths.max() <= 0.1 + 1e-9
    assert (lengths > 0.0999).mean() > 0.8  # the others are cut by the box
    points = torch.cat(strokes).numpy()
    assert (points >= read.box[:2]).all()
    assert (points <= read.box[2:]).all()
    again = strokes_by_luck(read, 0.1, 300, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(strokes, again, strict=True))
    assert not torch.equal(strokes[0], strokes_by_luck(read, 0.1, 1, seed=5)[0])


def test_one_more_stroke_tips_a_count():
    sketch = Sketch.from_strokes([[(0, 0), (9, 9)], [(0, 9), (9, 0)]])
    done = insert_stroke(Counts(), sketch, steps=0, tries=2)
    assert done.success
    assert done.survives
    assert (done.before.label, done.after.label) == ("few", "many")
    missed = insert_stroke(Counts(), sketch, steps=0, tries=2, target="left")
    assert not missed.success
    with pytest.raises(TaskError, match="give steps=0"):
        insert_stroke(Counts(), sketch, tries=2)


class Biased:
    """Answers the same to every drawing, by a weight that has a gradient and is in no module."""

    labels = ("this", "that")

    def __init__(self):
        self.bias = torch.tensor([1.0, 0.0], requires_grad=True)

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        return self.bias.expand(len(batch), 2)


def test_a_model_that_looks_at_no_point_is_refused_in_words():
    sketch = Sketch.from_strokes([[(0, 0), (9, 9)], [(0, 9), (9, 0)]])
    with pytest.raises(TaskError, match="carries none by their places; give steps=0"):
        insert_stroke(Biased(), sketch, tries=2)
    assert not insert_stroke(Biased(), sketch, tries=2, steps=0).success


# --- the record -----------------------------------------------------------------------------------


NO_WORDS = dict.fromkeys(("times", "label", "name", "parts"))


def every_kind():
    net, sketch = stroke_net(1), canvas()
    return [
        attack_points(net, sketch, steps=2),
        attack_points(net, sketch, steps=2, target=recognise(net, sketch)[1].label),
        remove_small_stroke(net, sketch, share=0.3),
        insert_stroke(net, sketch, tries=4, steps=1),
    ]


@pytest.mark.parametrize("kind", range(4))
def test_an_attack_is_saved_and_read(kind, tmp_path):
    done = every_kind()[kind]
    done.save(tmp_path / "attack.json")
    read = Attack.load(tmp_path / "attack.json")
    assert read.as_dict() == done.as_dict()
    assert (read.success, read.survives) == (done.success, done.survives)
    for mine, theirs in zip(read.attacked.strokes, done.attacked.strokes, strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "sightline healing 1"}, "'sightline healing 1', expected 'sightline attack 1'"),
        ({"kind": "move"}, "unknown kind of attack 'move'"),
        ({"before": {"label": "a", "probability": 2}}, "probability is 2.0"),
        ({"attacked": {"strokes": [[[0, 0]]], **NO_WORDS}}, "stroke 0 of the drawing has 1"),
        ({"change": {}}, "no change of a drawing"),
        ({"stroke": 0}, "names the stroke that was taken away or put in"),
        ({"evaluations": None}, "not an attack, or damaged: int"),
    ],
)
def test_a_broken_record_is_refused_with_its_place(change, told, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(every_kind()[0].as_dict() | change))
    with unchecked(), pytest.raises(TaskError, match=told) as caught:
        Attack.load(path)
    assert "broken.json" in str(caught.value)


@pytest.mark.parametrize(("kind", "count"), [(2, 6), (3, 7)])
@pytest.mark.parametrize("stroke", [99, -1])
def test_a_record_names_a_stroke_that_is_there(kind, count, stroke, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(every_kind()[kind].as_dict() | {"stroke": stroke}))
    with pytest.raises(TaskError, match=f"stroke {stroke} is not there.*has {count}"):
        Attack.load(path)


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(TaskError, match=r"none\.json does not exist; give the \.json"):
        Attack.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(TaskError, match="not an attack, or damaged: not JSON"):
        Attack.load(tmp_path / "text.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(TaskError, match="expected one JSON object"):
        Attack.load(tmp_path / "list.json")


def test_success_is_of_the_answer_after_and_survival_of_that_when_read_again():
    done = dataclasses.replace(every_kind()[0], label="alpha", target=None)
    alpha, beta, gamma = (Answer(label, 0.5) for label in ("alpha", "beta", "gamma"))

    def told(after, again, target=None):
        one = dataclasses.replace(done, after=after, again=again, target=target)
        return one.success, one.survives

    assert told(beta, alpha) == (True, False)
    assert told(alpha, beta) == (False, True)
    assert told(beta, gamma) == (True, True)
    assert told(beta, None) == (True, False)
    assert told(beta, gamma, target="gamma") == (False, True)
    assert told(gamma, beta, target="gamma") == (True, False)


def test_strokes_must_fit_the_kind():
    done = every_kind()[2]
    with pytest.raises(TaskError, match="made 5 strokes of 6; expected 7"):
        dataclasses.replace(done, kind="insert")


# --- mistakes, and the model ----------------------------------------------------------------------

ASKED = {
    "points": lambda net, sketch, **more: attack_points(net, sketch, steps=2, **more),
    "remove": remove_small_stroke,
    "insert": lambda net, sketch, **more: insert_stroke(net, sketch, tries=2, steps=1, **more),
}


@pytest.mark.parametrize("kind", ASKED)
def test_a_target_is_another_label_that_the_model_knows(kind):
    net, sketch = stroke_net(1), canvas()
    with pytest.raises(TaskError, match="unknown label 'bta'; did you mean 'beta'"):
        ASKED[kind](net, sketch, target="bta")
    with pytest.raises(TaskError, match="is the answer already"):
        ASKED[kind](net, sketch, target=recognise(net, sketch)[0].label)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
@pytest.mark.parametrize("kind", ["remove", "insert"])
def test_a_share_is_a_part(kind, share):
    with pytest.raises(TaskError, match=f"share is {share}; give a part"):
        ASKED[kind](stroke_net(), canvas(), share=share)


def test_numbers_that_mean_nothing_are_refused():
    with pytest.raises(TaskError, match="0 tries, 3 steps; give at least 1 and 0"):
        insert_stroke(stroke_net(), canvas(), tries=0, steps=3)
    with pytest.raises(TaskError, match="starts is 0"):
        attack_points(stroke_net(), canvas(), starts=0)


@pytest.mark.parametrize("kind", ASKED)
def test_the_model_is_left_as_it_came(kind):
    net = picture_net(1).train()
    net.module[0].weight.grad = torch.ones_like(net.module[0].weight)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    ASKED[kind](net, canvas())
    assert net.training
    assert all(weight.requires_grad for weight in net.parameters())
    assert (net.module[0].weight.grad == 1).all()
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_a_plain_picture_classifier_is_taken_as_it_is():
    module = behind(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 4)))
    done = insert_stroke(module, canvas(), tries=2, steps=1)
    assert done.kind == "insert"


def test_a_model_that_merges_strokes_is_refused():
    class Merges(Counts):
        def prepare(self, sketch):
            return sketch.select([0]).normalise()

    with pytest.raises(TaskError, match="makes 1 strokes of the 6 of scribble 0"):
        remove_small_stroke(Merges(), canvas())


def test_guided_order_of_a_target_is_turned_round():
    net, sketch = stroke_net(1), canvas()
    with as_found(net), torch.no_grad():
        left = Case.of(net, sketch, None)
        reached = dataclasses.replace(left, target=LABELS[left.label])
    assert guided_order(reached, "sla") == guided_order(left, "sla")[::-1]
    assert len(without_stroke(sketch, 2)) == 5
