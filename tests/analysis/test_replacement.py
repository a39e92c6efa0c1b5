import numpy as np
import pytest
import torch

import sightline as sl
from figures import drawings
from sightline.analysis.primitives import PRIMITIVES, fit_primitives
from sightline.analysis.replacement import (
    by_lines,
    by_primitives,
    by_prototypes,
    by_random_prototypes,
    chosen_primitives,
)
from sightline.analysis.shapes import embed_strokes, shape_clusters, stroke_shapes
from sightline.errors import SightlineError
from sightline.models.sketchxainet import StrokeTokens
from sightline.sketch.batch import SketchBatch
from toys import picture_net, scribble, stroke_net, unchecked


@pytest.fixture
def net():
    return stroke_net(epsilon=2.0)


@pytest.fixture
def prepared(net):
    return [net.prepare(s) for s in drawings(12, 5)]


@pytest.fixture
def found(net):
    return shape_clusters(net, drawings(60, 3), count=6)


def starts(sketches):
    return [stroke[0] for sketch in sketches for stroke in sketch.strokes]


def test_each_stroke_becomes_its_nearest_prototype_where_it_was(net, prepared, found):
    shapes, _ = stroke_shapes(net, prepared)
    away = np.square(shapes[:, None] - found.shapes[found.prototypes]).sum(2)
    redrawn = by_prototypes(net, found)(prepared)
    strokes = [stroke for sketch in redrawn for stroke in sketch.strokes]
    assert [len(s) for s in redrawn] == [len(s) for s in prepared]
    assert [s.label for s in redrawn] == [s.label for s in prepared]
    for stroke, start, nearest in zip(strokes, starts(prepared), away.argmin(1), strict=True):
        assert stroke == pytest.approx(found.prototype(int(nearest)) + start, abs=1e-12)


def test_replacing_strokes_is_replacing_shape_embeddings(net, prepared, found):
    """The model answers as if only the shape term of each token had changed."""
    shapes, _ = stroke_shapes(net, prepared)
    chosen = found.nearest_prototype(shapes)
    with torch.no_grad():
        tokens = net.embed(SketchBatch.from_sketches(prepared))
        swapped = StrokeTokens(
            torch.from_numpy(found.shapes[found.prototypes[chosen]]).float(),
            tokens.location,
            tokens.order,
            tokens.strokes_per_sketch,
        )
        redrawn = net(SketchBatch.from_sketches(by_prototypes(net, found)(prepared)))
        assert redrawn.numpy() == pytest.approx(net.classify(swapped).numpy(), abs=1e-5)
        assert (redrawn - net.classify(tokens)).abs().max() > 1e-3


def test_prototypes_replaced_by_prototypes_stay(net, prepared, found):
    once = by_prototypes(net, found)(prepared)
    twice = by_prototypes(net, found)(once)
    for first, second in zip(once, twice, strict=True):
        assert first.points == pytest.approx(second.points, abs=1e-9)


def test_scaled_prototypes_have_the_strokes_diagonal(net, prepared, found):
    redrawn = by_prototypes(net, found, scaled=True)(prepared)
    for old, new in zip(prepared, redrawn, strict=True):
        for before, after in zip(old.strokes, new.strokes, strict=True):
            assert np.linalg.norm(np.ptp(after, axis=0)) == pytest.approx(
                np.linalg.norm(np.ptp(before, axis=0))
            )
            assert after[0] == pytest.approx(before[0])


def test_random_prototypes_come_as_often_as_their_clusters_are_large(found):
    many = [scribble(seed, 20) for seed in range(60)]
    redrawn = by_random_prototypes(found, 0)(many)
    drawn = [stroke - stroke[0] for sketch in redrawn for stroke in sketch.strokes]
    keys = [found.prototype(cluster).tobytes() for cluster in range(len(found))]
    counts = np.zeros(len(found))
    for stroke in drawn:
        fits = [
            i
            for i in range(len(found))
            if len(stroke) == len(found.prototype(i))
            and np.allclose(stroke, found.prototype(i), atol=1e-9)
        ]
        counts[fits[0]] += 1
    assert len(set(keys)) == len(found)
    share = found.clusters.sizes / found.clusters.sizes.sum()
    assert counts / len(drawn) == pytest.approx(share, abs=0.05)
    again = by_random_prototypes(found, 0)(many)
    other = by_random_prototypes(found, 1)(many)
    assert np.array_equal(again[0].points, redrawn[0].points)
    assert any(len(a.points) != len(b.points) for a, b in zip(other, redrawn, strict=True))


@pytest.mark.parametrize("nearest", ["shape", "form"])
def test_the_figures_are_made_of_the_primitives_they_look_like(nearest):
    trained = sl.load("sketchxainet-tiny")
    cross, ring, _ = drawings(3, 1)
    told = [trained.prepare(s) for s in (cross, ring)]
    fitted = fit_primitives([stroke for s in told for stroke in s.strokes])
    chosen = chosen_primitives(trained, told, fitted, nearest=nearest)
    assert [PRIMITIVES[i] for i in chosen[:2]] == ["line", "line"]
    if nearest == "form":  # a hand-drawn ring is open, and to the model that may be a U
        assert PRIMITIVES[chosen[2]] == "circle"


def test_nearest_in_shape_is_nearest_to_the_embedding(net, prepared):
    strokes = [stroke for s in prepared for stroke in s.strokes]
    fitted = fit_primitives(strokes)
    chosen = chosen_primitives(net, prepared, fitted)
    for index, stroke in enumerate(strokes):
        own = embed_strokes(net, [stroke])[0]
        offered = embed_strokes(net, [fitted.outline(index, k) for k in range(7)])
        away = np.square(offered - own).sum(1)
        assert away[chosen[index]] == pytest.approx(away.min(), abs=1e-9)


@pytest.mark.parametrize("nearest", ["shape", "form"])
def test_primitives_start_where_the_strokes_did(net, prepared, nearest):
    redrawn = by_primitives(net, nearest=nearest)(prepared)
    assert np.array(starts(redrawn)) == pytest.approx(np.array(starts(prepared)), abs=1e-12)
    assert [len(s) for s in redrawn] == [len(s) for s in prepared]


def test_nearest_in_form_asks_no_model_that_reads_strokes(prepared):
    assert len(by_primitives(picture_net(), nearest="form")(prepared)) == len(prepared)


def test_lines_go_from_the_start_to_the_farthest_point():
    hook = sl.Sketch.from_strokes([[(0, 0), (5, 0), (5, 1), (1, 1)]])
    assert by_lines([hook])[0].strokes[0].tolist() == [[0, 0], [5, 1]]
    dot = sl.Sketch.from_strokes([[(2, 2), (2, 2)]])
    assert by_lines([dot])[0].strokes[0].tolist() == [[2, 2], [2, 2]]


def test_another_word_for_nearest_is_refused(net):
    with (
        unchecked(),
        pytest.raises(SightlineError, match="unknown nearest 'formm'; did you mean 'form'"),
    ):
        by_primitives(net, nearest="formm")
