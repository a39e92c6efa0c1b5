"""What each stroke's absence changes, as a map that a loss can be taken of."""

from __future__ import annotations

import pytest
import torch

from sightline.alignment.guides import guide
from sightline.alignment.looking import Looked
from sightline.alignment.stroke_occlusion import StrokeOcclusion
from sightline.alignment.wanted import Wanted, stroke_places
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.models.raster import sketch_cnn
from sightline.models.sketchxainet import sketchxainet
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch

LABELS = ("house", "cat", "sun")
WALLS, ROOF, DOOR = (
    [(0, 4), (0, 8), (6, 8), (6, 4)],
    [(0, 4), (3, 0), (6, 4)],
    [(2, 8), (2, 6), (3, 6), (3, 8)],
)
DRAWINGS = [
    Sketch.from_strokes(strokes)
    for strokes in ([WALLS, ROOF, DOOR], [WALLS], [ROOF, WALLS], [DOOR, ROOF, WALLS, DOOR])
]
TARGET = torch.tensor([0, 1, 2, 1])


def network(kind: str):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = (
            sketch_cnn(LABELS, width=4)
            if kind == "cnn"
            else sketchxainet("nano", LABELS, layers=2, padding=kind, max_strokes=8)
        )
    return net.double().eval()


def batch_of(net) -> SketchBatch:
    return SketchBatch.from_sketches([net.prepare(s) for s in DRAWINGS], dtype=torch.float64)


@torch.no_grad()
def without_each(net, batch: SketchBatch, drawing: int, target: int) -> list[float]:
    """Plainly: the drawing with a presence of 0, or a picture without the layer."""
    lost = []
    one = batch.select(torch.tensor([drawing]))
    for stroke in range(int(one.strokes_per_sketch[0])):
        if hasattr(net, "embed"):
            presence = torch.ones(len(one.order), dtype=torch.float64)
            presence[stroke] = 0
            tokens = net.embed(one)
            whole, fewer = net.classify(tokens), net.classify(tokens, presence=presence)
        else:
            layers = net.rasteriser.layers(one)
            left = [layer for i, layer in enumerate(layers) if i != stroke]
            ink = sum(left, torch.zeros_like(layers[0])).clamp(max=1)
            whole, fewer = net.see(layers.sum(0).clamp(max=1)[None]), net.see(ink[None])
        lost.append(float(whole.log_softmax(1)[0, target] - fewer.log_softmax(1)[0, target]))
    return lost


@pytest.mark.parametrize("kind", ["none", "attended", "zeroed", "cnn"])
def test_a_map_is_what_is_lost_without_each_stroke(kind):
    net = network(kind)
    batch = batch_of(net)
    maps = StrokeOcclusion().look(net, batch).maps(TARGET)
    assert maps.shape == (4, 4)
    for row, target in enumerate(TARGET.tolist()):
        expected = without_each(net, batch, row, target)
        assert maps[row, : len(expected)].tolist() == pytest.approx(expected, abs=1e-9)
        assert not maps[row, len(expected) :].any()
    assert maps[0].abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["none", "cnn"])
def test_the_logits_are_the_models_own(kind):
    net = network(kind)
    batch = batch_of(net)
    assert torch.allclose(StrokeOcclusion().look(net, batch).logits, net(batch), atol=1e-12)


@pytest.mark.parametrize("kind", ["none", "cnn"])
def test_some_rows_are_those_of_all(kind):
    net = network(kind)
    looked = StrokeOcclusion().look(net, batch_of(net))
    rows = torch.tensor([3, 0])
    some, every = looked.maps(TARGET, rows), looked.maps(TARGET)
    assert torch.allclose(some, every[rows], atol=1e-12)
    plain = Looked(looked.logits, looked.read)
    assert torch.equal(plain.maps(TARGET, rows), every[rows])


@pytest.mark.parametrize("kind", ["none", "cnn"])
def test_every_weight_learns_by_the_true_slope(kind):
    """Finite differences of a loss on the map, float64, on some weights of every tensor."""
    net = network(kind)
    if kind == "cnn":  # a kink of ReLU has no slope
        for module in net.modules():
            for name, child in module.named_children():
                if isinstance(child, torch.nn.ReLU):
                    setattr(module, name, torch.nn.Softplus())
    batch, rows = batch_of(net), torch.tensor([0, 2, 3])
    there = stroke_places(batch)
    must_not = torch.zeros(there.shape, dtype=torch.float64)
    must_not[:, 0] = 1
    wanted = Wanted(torch.zeros_like(must_not), must_not, torch.ones(4).double(), there)
    loss = guide("rrr", source="occlusion").loss

    def value() -> torch.Tensor:
        maps = StrokeOcclusion().look(net, batch).maps(TARGET, rows)
        return loss(maps, wanted.select(rows)).sum()

    net.zero_grad()
    value().backward()
    for name, weight in net.named_parameters():
        if weight.grad is None or "stages" in name:  # the stages have kinks that stay
            continue
        place = int(weight.grad.abs().argmax())
        flat, step = weight.detach().view(-1), 1e-5
        kept = float(flat[place])
        flat[place] = kept + step
        above = float(value().detach())
        flat[place] = kept - step
        below = float(value().detach())
        flat[place] = kept
        slope = float(weight.grad.view(-1)[place])
        assert (above - below) / (2 * step) == pytest.approx(slope, rel=2e-4, abs=1e-7), name
    assert any(w.grad is not None and w.grad.abs().max() > 1e-6 for w in net.parameters())


def test_guides_know_it():
    assert guide("rrr", source="occlusion").source.settings == {"name": "occlusion"}


def test_photos_and_other_models_are_refused():
    net = network("none")
    with pytest.raises(AlignmentError, match="photos have no strokes"):
        StrokeOcclusion().look(net, PictureBatch(torch.zeros(1, 3, 8, 8)))
    with pytest.raises(AlignmentError, match="reads neither stroke tokens"):
        StrokeOcclusion().look(torch.nn.Flatten(), batch_of(net))
