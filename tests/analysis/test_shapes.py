import numpy as np
import pytest
import torch

import sightline as sl
from figures import drawings
from sightline.analysis.shapes import ShapeClusters, embed_strokes, shape_clusters, stroke_shapes
from sightline.errors import DrawingError, ModelError
from sightline.sketch.batch import SketchBatch
from toys import picture_net, scribble, stroke_net, unchecked


@pytest.fixture
def net():
    return stroke_net(epsilon=2.0)


@pytest.fixture
def found(net) -> ShapeClusters:
    return shape_clusters(net, drawings(60, 3), count=6)


def test_embeddings_are_the_models_own(net):
    sketches = [scribble(seed) for seed in range(3)]
    shapes, owner = stroke_shapes(net, sketches)
    with torch.no_grad():
        tokens = net.embed(SketchBatch.from_sketches(sketches))
    assert shapes == pytest.approx(tokens.shape.double().numpy(), abs=1e-6)
    assert owner.tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_where_a_stroke_stands_plays_no_part(net):
    stroke = scribble(1).strokes[0]
    here, there = embed_strokes(net, [stroke, stroke + 0.3])
    assert here == pytest.approx(there, abs=1e-5)


def test_size_is_part_of_shape(net):
    stroke = scribble(1).strokes[0]
    small, large = embed_strokes(net, [stroke, 2 * stroke])
    assert np.abs(small - large).max() > 1e-3


def test_batches_do_not_show(net, monkeypatch):
    strokes = [s for seed in range(4) for s in scribble(seed).strokes]
    whole = embed_strokes(net, strokes)
    monkeypatch.setattr("sightline.analysis.shapes.BATCH", 3)
    assert embed_strokes(net, strokes) == pytest.approx(whole, abs=1e-6)


def test_more_strokes_than_the_order_table_has_rows_are_embedded():
    many = [s for seed in range(6) for s in scribble(seed).strokes]
    assert len(embed_strokes(stroke_net(max_strokes=5), many)) == 30


def test_prototypes_are_the_real_strokes_nearest_the_centres(found):
    away = np.square(found.shapes[:, None] - found.clusters.centres).sum(2)
    assert found.prototypes.tolist() == away.argmin(0).tolist()
    assert found.clusters.assigned.tolist() == away.argmin(1).tolist()
    for cluster in range(len(found)):
        assert found.prototype(cluster)[0].tolist() == [0, 0]


def test_a_prototypes_nearest_prototype_is_itself(found):
    own = found.shapes[found.prototypes]
    assert found.nearest_prototype(own).tolist() == list(range(len(found)))


def test_members_come_nearest_first(found):
    members = found.members(0)
    distance = found.clusters.distance[members]
    assert (np.diff(distance) >= 0).all()
    assert len(members) == found.clusters.sizes[0]
    assert found.prototypes[0] == members[0]


def test_strokes_of_different_figures_fall_apart(found):
    shares = [found.most_common(cluster)[1] for cluster in range(len(found))]
    assert np.average(shares, weights=found.clusters.sizes) > 0.95


def test_labels_carry_their_part():
    strokes = [[(0, 0), (1, 1)], [(0, 2), (5, 1)]]
    parted = sl.Sketch.from_strokes(strokes, label="owl", parts=("beak", "wing"))
    found = shape_clusters(stroke_net(), [parted], count=1)
    assert found.labels == ("owl: beak", "owl: wing")


def test_a_sample_holds_whole_drawings_and_enough_strokes(net):
    everything = drawings(60, 3)
    some = shape_clusters(net, everything, count=3, strokes=20)
    assert 20 <= len(some.strokes) <= 21
    again = shape_clusters(net, everything, count=3, strokes=20)
    assert np.array_equal(some.shapes, again.shapes)
    other = shape_clusters(net, everything, count=3, strokes=20, seed=1)
    assert len(other.shapes) != len(some.shapes) or not np.allclose(other.shapes, some.shapes)


def test_the_share_explained_is_one_minus_the_ratio(found, net):
    prepared = [net.prepare(s) for s in drawings(40, 9)]
    shapes, owner = stroke_shapes(net, prepared)
    share = found.explained(shapes, owner)
    away = np.square(shapes[:, None] - found.clusters.centres).sum(2).min(1)
    assert share.estimate == pytest.approx(
        1 - away.sum() / np.square(shapes - shapes.mean(0)).sum(), abs=1e-9
    )
    assert share.low < share.estimate < share.high <= 1


def test_strokes_of_one_drawing_are_resampled_together(found, net):
    """Ten copies of every stroke in the same drawing are no more evidence."""
    shapes, owner = stroke_shapes(net, [net.prepare(s) for s in drawings(40, 9)])
    once = found.explained(shapes, owner)
    often = found.explained(np.repeat(shapes, 10, 0), np.repeat(owner, 10))
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_as_it_was(net, fails, monkeypatch):
    net.train()
    net.head.weight.grad = torch.ones_like(net.head.weight)
    before = torch.get_rng_state()
    if fails:

        def boom(*_):
            raise RuntimeError("out of paper")

        monkeypatch.setattr(net.shape, "forward", boom)
        with pytest.raises(RuntimeError, match="out of paper"):
            shape_clusters(net, drawings(9, 1), count=2)
    else:
        shape_clusters(net, drawings(9, 1), count=2)
    assert net.training
    assert all(m.training for m in net.modules())
    assert all(w.requires_grad for w in net.parameters())
    assert (net.head.weight.grad == 1).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_models_without_shapes_are_refused():
    with pytest.raises(
        ModelError, match=r"RasterModel embeds no shapes of strokes; .*sketchxainet-tiny"
    ):
        shape_clusters(picture_net(), drawings(9, 1), count=2)
    with pytest.raises(ModelError, match=r"trained without shape \(use_shape=False\)"):
        shape_clusters(stroke_net(use_shape=False), drawings(9, 1), count=2)


def test_no_drawings_and_no_strokes_are_refused(net):
    with unchecked():
        with pytest.raises(DrawingError, match="no drawings"):
            shape_clusters(net, [])
        with pytest.raises(DrawingError, match="no strokes to embed"):
            embed_strokes(net, [])
    with pytest.raises(DrawingError, match="0 strokes to cluster"):
        shape_clusters(net, drawings(3, 0), strokes=0)
