"""Decoys of strokes: nothing but the class decides them, and nothing else moves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sightline.alignment.caipi import counterexamples
from sightline.alignment.examples import GuidedExamples
from sightline.alignment.over_seeds import student_interval
from sightline.benchmark import decoy_strokes_study
from sightline.benchmark.decoy_strokes import CODES, FORMS, SIDE, plant_decoy, plant_decoys
from sightline.benchmark.decoy_strokes_study import (
    FIRST,
    SECOND,
    DecoyStudy,
    Way,
    decoy_stroke_tables,
    decoy_strokes,
    share_on_decoy,
)
from sightline.benchmark.ledger import Experiment, Finished
from sightline.errors import AlignmentError, SightlineError
from sightline.models.raster import sketch_cnn
from sightline.models.sketchxainet import StrokeTokens, sketchxainet
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from toys import scribble

CLASSES = ("ant", "bus", "cat")


def drawing(seed, label, split="train"):
    """Some strokes and a diagonal, so that every corner is far from every other."""
    strokes = [*scribble(seed, 2 + seed % 4).strokes, np.array([[-0.8, -0.8], [0.8, 0.8]])]
    return Sketch(tuple(strokes), label=label, name=f"{split}-{label}-{seed}")


def collection(each=12):
    return {
        split: [
            drawing(1000 * place + 100 * k + i, label, split)
            for k, label in enumerate(CLASSES)
            for i in range(each)
        ]
        for place, split in enumerate(("train", "valid", "test"))
    }


@pytest.fixture(scope="module")
def planted():
    return plant_decoys(collection(), drawings=(8, 4, 10), seed=3)


def code_of(split, item):
    """Form and corner, read off the drawing itself."""
    sketch, decoy = split.sketches[item], split.decoy[item]
    stroke = sketch.strokes[decoy]
    form = next(
        name
        for name, points in FORMS.items()
        if len(points) == len(stroke)
        and np.allclose((stroke - stroke.min(0)) / SIDE, points, atol=1e-9)
    )
    rest = np.concatenate([s for i, s in enumerate(sketch.strokes) if i != decoy])
    middle = (rest.min(0) + rest.max(0)) / 2
    right, low = (stroke.min(0) + SIDE / 2) > middle
    return form, bool(right), bool(low)


# --- the decoy ------------------------------------------------------------------------------------


def test_a_decoy_by_hand():
    """A box of 1.48: decoys stand in its corners, at most 0.03 off."""
    square = Sketch.from_strokes([[(0, 0), (8, 0), (8, 8), (0, 8), (0, 0)]], label="box")
    seen = set()
    for code in range(CODES):
        sketch, index = plant_decoy(square, code)
        stroke = sketch.strokes[index]
        assert len(sketch) == 2
        assert_allclose(np.ptp(stroke, axis=0), SIDE)
        gap = 0.74 - np.abs(stroke).max(0)
        assert (gap >= -1e-12).all()
        assert (gap <= 0.03 + 1e-12).all()
        seen.add((len(stroke), tuple((stroke - stroke.min(0)).round(6).ravel()), *(stroke[0] > 0)))
    assert len(seen) == CODES


@pytest.mark.parametrize("shape", [(8, 8), (8, 0.2), (0.2, 8), (8, 2)])
@pytest.mark.parametrize("code", [0, 7, 12, 19])
def test_the_other_strokes_stay_where_a_model_sees_them(shape, code):
    """In a drawing that is too flat for it, the decoy sticks out on both sides alike."""
    width, height = shape
    host = Sketch.from_strokes([[(0, 0), (width, height)], [(0, height), (width, 0)]], label="x")
    sketch, index = plant_decoy(host, code, seed=5)
    for model in (sketchxainet("nano", CLASSES), sketch_cnn(CLASSES)):
        seen, alone = model.prepare(sketch), model.prepare(host)
        assert len(seen) == 3
        rest = [s for i, s in enumerate(seen.strokes) if i != index]
        for ours, theirs in zip(rest, alone.strokes, strict=True):
            assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize("recogniser", [lambda n: sketchxainet("nano", n), sketch_cnn])
def test_preparing_keeps_the_decoy_and_its_number(planted, recogniser):
    model = recogniser(CLASSES)
    for sketch, decoy in zip(planted.training.sketches, planted.training.decoy, strict=True):
        seen = model.prepare(sketch)
        assert len(seen) == len(sketch)
        assert_allclose(np.ptp(seen.strokes[decoy], axis=0), SIDE, atol=0.02)


def test_the_place_in_the_order_says_nothing_of_the_class():
    host = scribble(4, 6)
    assert len({plant_decoy(host, code, seed=2)[1] for code in range(CODES)}) == 1
    places = [plant_decoy(scribble(i, 3), 0)[1] for i in range(200)]
    assert min(Counter(places).values()) > 25  # 50 expected of each of the four
    assert len(set(places)) == 4


# --- the data set ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["training", "validation"])
def test_in_training_the_class_alone_decides_the_code(planted, name):
    split = getattr(planted, name)
    codes = {label: set() for label in CLASSES}
    for item, sketch in enumerate(split.sketches):
        codes[sketch.label].add(code_of(split, item))
        assert split.told[item] == sketch.label
    assert all(len(own) == 1 for own in codes.values())
    assert len(set.union(*codes.values())) == len(CLASSES)


def test_in_the_test_luck_decides_and_in_conflict_never_the_class(planted):
    own = {}
    for item, sketch in enumerate(planted.training.sketches):
        own[sketch.label] = code_of(planted.training, item)
    for name in ("test", "conflicting"):
        split = getattr(planted, name)
        for item in range(len(split)):
            assert code_of(split, item) == own[split.told[item]]
    agree = [t == s.label for t, s in zip(planted.test.told, planted.test.sketches, strict=True)]
    assert 0 < sum(agree) < len(agree)
    assert all(
        told != sketch.label
        for told, sketch in zip(planted.conflicting.told, planted.conflicting.sketches, strict=True)
    )
    assert set(planted.test.told) == set(CLASSES)


def test_all_splits_are_the_clean_ones_and_a_stroke(planted):
    for name in ("training", "validation", "test"):
        split, clean = getattr(planted, name), getattr(planted, f"clean_{name}")
        assert split.names == clean.names
        for item, (marked, bare) in enumerate(zip(split.sketches, clean.sketches, strict=True)):
            rest = [s for i, s in enumerate(marked.strokes) if i != split.decoy[item]]
            assert len(rest) == len(bare)
            for ours, theirs in zip(rest, bare.strokes, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert Counter(s.label for s in planted.training.sketches) == dict.fromkeys(CLASSES, 8)
    assert not set(planted.training.names) & set(planted.test.names)


def test_luck_is_of_the_drawing_and_the_seed():
    """Other drawings come and go, and the same ones keep their decoys."""
    splits = collection()
    one = plant_decoys(splits, drawings=(12, 4, 4), seed=3).training
    turned = {name: own[::-1] for name, own in splits.items()}
    two = plant_decoys(turned, drawings=(12, 4, 4), seed=3).training
    assert one.names == two.names
    for ours, theirs in zip(one.sketches, two.sketches, strict=True):
        np.testing.assert_array_equal(ours.points, theirs.points)
    other = plant_decoys(splits, drawings=(12, 4, 4), seed=4).training
    assert one.names != other.names


def test_labels_say_which_stroke(planted):
    split, items = planted.training, [5, 0, 11]
    for must in (False, True):
        labels = split.labels(items, must=must)
        assert labels.items == tuple(split.names[i] for i in items)
        for label, item in zip(labels, items, strict=True):
            expected = np.zeros(len(split.sketches[item]))
            expected[split.decoy[item]] = 1
            np.testing.assert_array_equal(label.must_not, expected)
            assert (label.must is not None) == must
            if must:
                np.testing.assert_array_equal(label.must, 1 - expected)
    with pytest.raises(AlignmentError, match="has no decoy to label"):
        planted.clean_training.labels([0])


def test_labels_fit_what_the_model_reads(planted):
    """The place that a loss is told of is the decoy, in the model's own padded table."""
    model, items = sketchxainet("nano", CLASSES), [2, 7, 1]
    split = planted.training
    told = GuidedExamples.from_labels(split.examples(model), split.names, split.labels(items))
    batch = told.batch(torch.tensor([7, 3, 1]))
    at = batch.wanted.must_not.nonzero().tolist()
    assert at == [[0, split.decoy[7]], [2, split.decoy[1]]]
    sketch = batch.inputs.sketch(0)
    assert_allclose(np.ptp(sketch.strokes[split.decoy[7]], axis=0), SIDE, atol=0.02)


def test_a_dropped_decoy_is_caipi_s_counterexample(planted):
    model, split, items = sketchxainet("nano", CLASSES), planted.training, [0, 4, 9]
    told = GuidedExamples.from_labels(split.examples(model), split.names, split.labels(items))
    luck = torch.Generator().manual_seed(0)
    theirs, _ = counterexamples(told.batch(torch.tensor(items)), generator=luck)
    dropped = [model.prepare(sketch) for sketch in split.without_decoys(items)]
    ours = SketchBatch.from_sketches(dropped)
    assert ours.sketch_offsets.tolist() == theirs.inputs.sketch_offsets.tolist()
    torch.testing.assert_close(ours.points, theirs.inputs.points, atol=0.01, rtol=0)


def test_refusals():
    with pytest.raises(AlignmentError, match="only 12 drawings of 'ant' of 13; ask for fewer"):
        plant_decoys(collection(), drawings=(13, 2, 2))
    with pytest.raises(AlignmentError, match="only 0 drawings of 'dog'"):
        plant_decoys(collection(), drawings=(3, 2, 2), categories=["ant", "dog"])
    many = [f"class {i}" for i in range(21)]
    with pytest.raises(AlignmentError, match="21 classes, but 20 decoys"):
        plant_decoys(collection(), categories=many)


# --- the study ------------------------------------------------------------------------------------

SMALL = replace(FIRST, epochs=1, batch=8)
GUIDES = {
    "rrr": Way("rrr", "strokes", {"sketchxainet": 1.0, "sketch-cnn": 1.0}),
    "seen": Way("gradia", "attention", {"sketchxainet": 1.0}),
}
QUICK = DecoyStudy(
    categories=2, drawings=(6, 2, 5), first=SMALL, second=replace(SECOND, epochs=1), ways=GUIDES
)


@pytest.fixture
def two_categories(tmp_path):
    """A little collection without splits of its own."""
    luck = np.random.default_rng(1)
    for label in ("bars", "walks"):
        rows = []
        for number in range(160):
            walks = luck.integers(0, 255, (3, 2, 5))
            told = {"word": label, "key_id": f"{label}-{number}", "drawing": walks.tolist()}
            rows.append(json.dumps(told))
        folder = tmp_path / "drawings"
        folder.mkdir(exist_ok=True)
        (folder / f"{label}.ndjson").write_text("\n".join(rows) + "\n")
    return folder


def test_a_study_is_resumed_to_the_same_rows(two_categories, tmp_path, monkeypatch):
    small = {"hidden": 16, "layers": 2, "heads": 2, "mlp": 32}
    net = partial(sketchxainet, "nano", **small)
    monkeypatch.setitem(decoy_strokes_study.NETWORKS, "sketchxainet", (net, 1e-3))
    out, told = tmp_path / "out", []
    options = {"seeds": [4], "labelled": [4], "networks": ["sketchxainet"], "study": QUICK}
    rows = decoy_strokes(two_categories, out, progress=told.append, **options)
    ways = [(row.experiment.method, row.experiment.labels) for row in rows]
    assert ways == [
        ("clean", 0), ("plain", 0), ("continued", 0), ("caipi", 4), ("rrr", 4), ("seen", 4),
    ]  # fmt: skip
    assert len(told) == len(rows)
    assert all(0 <= value <= 1 for row in rows for value in row.measures.values())
    file = out / "runs.jsonl"
    lines = file.read_text().splitlines()
    # killed while the last but one line was being written
    file.write_text("\n".join([*lines[:-2], lines[-2][:20]]))
    told.clear()
    again = decoy_strokes(two_categories, out, progress=told.append, **options)
    assert len(told) == 3  # what was cut off, and two runs
    assert [row.measures for row in again] == [row.measures for row in rows]
    assert "| seen | sketchxainet | 4 | – | 1 |" in (out / "decoy-strokes.md").read_text()
    assert not list(out.glob(".run-*"))
    with pytest.raises(SightlineError, match="results of another study"):
        decoy_strokes(two_categories, out, study=replace(QUICK, categories=1))


@pytest.mark.slow
def test_a_study_of_pictures_in_one_phase(two_categories, tmp_path):
    study = replace(QUICK, second=None)
    rows = decoy_strokes(
        two_categories, tmp_path, seeds=[4], labelled=[4], networks=["sketch-cnn"], study=study
    )
    methods = [row.experiment.method for row in rows]
    assert methods == ["clean", "plain", "caipi", "rrr"]


def test_a_plan_has_every_run_once():
    plan = DecoyStudy().plan(range(2), (30, 300))
    assert len(set(plan)) == len(plan) == 2 * ((3 + 6 * 2) + (3 + 4 * 2))
    assert not [row for row in plan if "attention" in row.method and row.network == "sketch-cnn"]
    assert [row.seed for row in plan] == sorted(row.seed for row in plan)
    at_once = DecoyStudy(second=None).plan([0], (30,), ["sketch-cnn"])
    assert [row.method for row in at_once] == [
        "clean",
        "plain",
        "caipi",
        "rrr",
        "gradia",
        "rrr-occlusion",
    ]
    with pytest.raises(SightlineError, match="unknown network 'sketch-cn'; did you mean"):
        DecoyStudy().plan(networks=["sketch-cn"])


class Weighed(torch.nn.Module):
    """The logit of class 0 is a weighted sum of the strokes that are there."""

    labels = CLASSES

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(weights)

    def prepare(self, sketch):
        return sketch.normalise()

    def forward(self, batch):
        return self.classify(self.embed(batch))

    def embed(self, batch):
        return StrokeTokens(
            self.weights[:, None], batch.first_points, batch.order, batch.strokes_per_sketch
        )

    def classify(self, tokens, *, presence=None, location=None):
        there = torch.ones(len(tokens.shape)) if presence is None else presence
        counts = tokens.strokes_per_sketch
        owner = torch.arange(len(counts)).repeat_interleave(counts)
        first = torch.zeros(len(counts)).index_add(0, owner, tokens.shape[:, 0] * there)
        return torch.stack([first, first - 1, first - 2], 1)


def test_share_on_decoy_by_hand(planted):
    split = planted.test
    owner, count = [len(sketch) for sketch in split.sketches], 0
    weights = torch.ones(sum(owner))
    examples = split.examples(Weighed(weights))
    even = np.mean([1 / strokes for strokes in owner])
    assert share_on_decoy(Weighed(weights), split, examples) == pytest.approx(even)
    assert share_on_decoy(Weighed(-weights), split, examples) == 0
    for strokes, decoy in zip(owner, split.decoy, strict=True):  # decoys speak for, the rest not
        weights[count : count + strokes] = -1
        weights[count + decoy] = 1
        count += strokes
    assert share_on_decoy(Weighed(weights), split, examples) == pytest.approx(1)
    assert share_on_decoy(Weighed(-weights), split, examples) == 0


def finished(seed, method, shifted, clean=0.9, labels=0):
    measures = {"shifted": shifted, "conflicting": 0.1, "clean": clean, "on decoy": 0.5}
    return Finished(Experiment("decoy-strokes", method, "net", labels, seed=seed), measures, 2.0)


def test_the_table_has_means_intervals_and_the_gap():
    rows = [
        finished(seed, *rest)
        for seed in range(3)
        for rest in (
            ("clean", 0.8, 0.9),
            ("plain", 0.3, 0.5),
            ("rrr", 0.6 + seed / 100, 0.8, 30),
        )
    ]
    *_, last = [line for line in decoy_stroke_tables(rows).splitlines() if line.startswith("|")]
    cells = [cell.strip() for cell in last.split("|")][1:-1]
    assert cells[:5] == ["rrr", "net", "30", "–", "3"]
    interval = student_interval([60, 61, 62])
    told = f"{interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
    assert cells[5] == told
    gap = student_interval([30 / 0.6, 31 / 0.6, 32 / 0.6])
    assert cells[-1] == f"{gap.estimate:.1f} [{gap.low:.1f}, {gap.high:.1f}]"
