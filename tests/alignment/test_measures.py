"""How well maps and labels agree, and a classifier measured by where it looks."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from sightline.alignment.looking import Looked
from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.alignment.measured import Looking, Measured
from sightline.alignment.measures import measure_looking
from sightline.alignment.overlap import (
    energy_inside,
    gradia_iou,
    precision_recall_f1,
    wrong_reason,
)
from sightline.alignment.stroke_sources import StrokeAttention, StrokeScores
from sightline.alignment.verdicts import Verdict, Verdicts
from sightline.alignment.wanted import Wanted, stroke_places
from sightline.errors import AlignmentError
from sightline.image.batch import PictureBatch
from sightline.metrics.localisation import localise
from sightline.models.small_resnet import SmallResNet
from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch
from toys import batch_of, scribble, stroke_net


def wanted_of(rows):
    """Must, must-not and weight of each drawing, as one padded table."""
    must, must_not, weight = zip(*rows, strict=True)
    there, *tables = (
        torch.nn.utils.rnn.pad_sequence(masks, batch_first=True)
        for masks in ([torch.ones_like(m) for m in must], must, must_not)
    )
    return Wanted(*tables, torch.tensor(weight), there > 0)


CORNER = np.array([[1.0, 0.8], [0.0, -4.0]])
TOP = np.array([[1, 1], [0, 0]])


# --- one map, by hand -----------------------------------------------------------------------------


def test_gradia_by_hand():
    assert gradia_iou(CORNER, TOP) == 1.0  # 1 and 0.8 are above 0.75
    assert gradia_iou(CORNER, TOP, threshold=0.8) == 0.5  # above, not at
    assert gradia_iou(CORNER, 1 - TOP) == 0.0
    assert gradia_iou(CORNER, TOP * 0.01) == 1.0  # a label counts above 0


def test_res_keeps_negative_scores_gradia_does_not():
    # from -4 to 1: 0 becomes 0.8, and is above a half
    assert precision_recall_f1(CORNER, TOP) == (2 / 3, 1.0, 0.8)
    assert precision_recall_f1(np.maximum(CORNER, 0), TOP) == (1.0, 1.0, 1.0)


def test_res_counts_marked_places_only():
    seen = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    must, must_not = np.array([1, 0, 0, 1, 0]), np.array([0, 1, 0, 0, 1])
    assert precision_recall_f1(seen, must, must_not) == (0.5, 0.5, 0.5)
    assert precision_recall_f1(seen, must) == (1 / 3, 0.5, 0.4)
    both = precision_recall_f1(seen, np.array([1, 0, 0, 0, 0]), np.array([1, 0, 0, 0, 0]))
    assert both == (None, 0.0, 0.0)  # said and unsaid: nothing is marked


def test_no_bright_place_is_marked():
    found = precision_recall_f1(np.array([0.0, 0.0, 1.0]), np.array([1, 0, 0]), np.array([0, 1, 0]))
    assert found == (None, 0.0, 0.0)


def test_energy_and_wrong_reason_by_hand():
    assert energy_inside(CORNER, TOP) == 1.0
    assert energy_inside(np.array([1.0, 2.0, 1.0, -9.0]), np.array([1, 0, 1, 1])) == 0.5
    assert energy_inside(np.array([1.0, 3.0]), np.array([0.5, 0.0])) == 0.125  # soft
    assert wrong_reason(np.array([0.5, 1.0, 0.0, -3.0]), np.array([1, 1, 0, 1])) == 0.5
    assert wrong_reason(np.array([0.5, 1.0, 0.0]), np.array([0.5, 1.0, 0.0])) == pytest.approx(
        5 / 6
    )
    assert wrong_reason(np.array([0.5, 1.0, 0.0]), np.array([1, 1, 1]), threshold=0.4) == 2 / 3


def test_even_maps_have_the_energy_of_their_area_and_no_other_number():
    even = np.full((4, 4), 0.3)
    mask = np.zeros((4, 4))
    mask[0] = 1
    assert energy_inside(even, mask) == pytest.approx(0.25)
    assert gradia_iou(even, mask) is None
    assert wrong_reason(even, mask) is None
    assert precision_recall_f1(even, mask) is None


@pytest.mark.parametrize("score", [gradia_iou, energy_inside, wrong_reason])
def test_blank_maps_have_no_number(score):
    assert score(np.array([-1.0, 0.0, -3.0]), np.array([1, 0, 0])) is None


# --- against plain lines --------------------------------------------------------------------------


def grown_by_hand(cells, height, width):
    """Bilinear with half-pixel centres and clamped edges, as cv2.resize enlarges."""
    out = np.zeros((height, width))
    rows, columns = cells.shape
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(y), int(x)
            under, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            a, b = y - top, x - left
            out[i, j] = (1 - a) * ((1 - b) * cells[top, left] + b * cells[top, right]) + a * (
                (1 - b) * cells[under, left] + b * cells[under, right]
            )
    return out


@pytest.mark.parametrize("seed", range(5))
def test_photos_against_the_published_programs(seed):
    generator = np.random.default_rng(seed)
    cells = generator.normal(size=(3, 4))
    y = np.zeros((18, 20), int)  # RES: 1 must, -1 must not, 0 unsaid
    y[2:9, 3:12], y[10:, 12:] = 1, -1
    cam = grown_by_hand(np.maximum(cells, 0), 18, 20)
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    binary, target = cam > 0.75, y > 0
    iou = np.sum(binary & target) / np.sum(binary | target)
    assert gradia_iou(cells, target) == pytest.approx(iou, abs=1e-12)
    assert wrong_reason(cells, y < 0) == pytest.approx(cam[y < 0].mean(), abs=1e-12)
    signed = grown_by_hand(cells, 18, 20)
    x = (signed - signed.min()) / (signed.max() - signed.min()) > 0.5
    tp, fp, fn = (np.sum(x * (y > 0)), np.sum(x * (y < 0)), np.sum((1 - x) * (y > 0)))
    found = precision_recall_f1(cells, y > 0, y < 0)
    assert found.recall == pytest.approx(tp / (tp + fn + 1e-6), abs=1e-6)
    if tp + fp:
        precision = tp / (tp + fp + 1e-6)
        assert found.precision == pytest.approx(precision, abs=1e-6)
        f1 = 2 * precision * found.recall / (precision + found.recall + 1e-6)
        assert found.f1 == pytest.approx(f1, abs=1e-5)


def test_energy_is_that_of_localise():
    generator = np.random.default_rng(3)
    scores, mask = generator.normal(size=(6, 9)), generator.random((6, 9)) > 0.6
    where = localise(scores, (0.0, 0.0, 9.0, 6.0), mask=mask)
    assert energy_inside(scores, mask) == pytest.approx(where.mask.energy, abs=1e-12)


@pytest.mark.parametrize("score", [gradia_iou, energy_inside, wrong_reason, precision_recall_f1])
def test_scale_kind_and_device_of_numbers_do_not_matter(score):
    generator = torch.Generator().manual_seed(5)
    cells = torch.randn(4, 4, generator=generator)
    mask = torch.zeros(12, 12)
    mask[:5, 3:8] = 1
    expected = score(cells, mask)
    assert score(cells.double() * 1e300, mask.bool()) == pytest.approx(expected, abs=1e-6)
    assert score(cells.numpy() * np.float32(1e-20), mask.numpy()) == pytest.approx(
        expected, abs=1e-6
    )


@pytest.mark.parametrize("score", [gradia_iou, energy_inside, wrong_reason, precision_recall_f1])
def test_broken_input_is_told(score):
    with pytest.raises(AlignmentError, match="label is empty"):
        score(np.ones(3), np.zeros(3))
    with pytest.raises(AlignmentError, match=r"map has shape \[3\], the label \[2, 2\]"):
        score(np.ones(3), TOP)
    with pytest.raises(AlignmentError, match="1 scores of the map are no number"):
        score(np.array([1.0, np.nan]), np.array([1, 0]))
    with pytest.raises(AlignmentError, match="numbers below 0"):
        score(np.ones(2), np.array([1, -1]))
    with pytest.raises(AlignmentError, match=r"map has shape \[1, 2, 2\]"):
        score(np.ones((1, 2, 2)), TOP)


def test_a_threshold_is_a_share():
    with pytest.raises(AlignmentError, match=r"threshold is 75; expected a share"):
        gradia_iou(CORNER, TOP, threshold=75)


# --- a classifier ---------------------------------------------------------------------------------


class Cells(nn.Module):
    """A photo's four quarters are its features; class k likes channel k."""

    def __init__(self, classes=2):
        super().__init__()
        self.norm = nn.BatchNorm2d(classes)
        self.head = nn.Linear(classes, classes, bias=False)
        self.passes = 0
        nn.init.eye_(self.head.weight)

    def cells(self, pixels):
        self.passes += 1
        return nn.functional.avg_pool2d(self.norm(pixels), pixels.shape[-1] // 2)

    def forward(self, pixels):
        return self.head(self.cells(pixels).mean((2, 3)))


@dataclass(frozen=True)
class ChannelMaps:
    """The channel that a class likes, read from the same forward pass."""

    fails: bool = False
    detached: bool = False
    settings: ClassVar = {"name": "channel"}

    def look(self, model, inputs):
        if self.fails:
            raise RuntimeError("out of paper")
        assert not model.training
        cells = model.cells(inputs.pixels)
        logits = model.head(cells.mean((2, 3)))

        def read(target):
            maps = torch.einsum("nk,nkhw->nhw", model.head.weight[target], cells)
            return maps.detach() if self.detached else maps

        return Looked(logits, read)


class Pictures:
    """Two classes; the object is a bright quarter of the class's channel."""

    def __init__(self, count=6, seed=0):
        generator = torch.Generator().manual_seed(seed)
        self.target = torch.arange(count) % 2
        self.place = torch.randint(4, (count,), generator=generator)
        self.pixels = 0.2 * torch.rand(count, 2, 8, 8, generator=generator)
        self.masks = torch.zeros(count, 8, 8)
        for i in range(count):
            rows, columns = divmod(int(self.place[i]), 2)
            quarter = (slice(4 * rows, 4 * rows + 4), slice(4 * columns, 4 * columns + 4))
            self.pixels[i, self.target[i]][quarter] += 0.7
            self.masks[i][quarter] = 1

    def __len__(self):
        return len(self.target)

    def batch(self, index):
        return PictureBatch(self.pixels[index])

    def targets(self, index):
        return self.target[index]

    def wanted(self, index, *, labelled=None):
        weight = torch.ones(len(self)) if labelled is None else labelled.float()
        masks = self.masks[index] * (weight[index, None, None] > 0)
        return Wanted(
            masks, (1 - self.masks[index]) * (weight[index, None, None] > 0), weight[index]
        )


NAMES = [f"{i}.png" for i in range(6)]


def measured(data=None, model=None, source=None, **choices):
    data, model = data or Pictures(), model or Cells()
    choices = {"items": NAMES, "masks": data.wanted} | choices
    return measure_looking(model, data, source or ChannelMaps(), **choices)


def test_rows_hold_the_numbers_of_the_functions():
    data, model = Pictures(), Cells().eval()
    found = measured(data, model, classes=["cat", "dog"])
    assert [row.item for row in found.rows] == NAMES
    assert [row.truth for row in found.rows] == ["cat", "dog"] * 3
    for i, row in enumerate(found.rows):
        cells = model.norm(data.pixels[i : i + 1]).detach()
        cells = nn.functional.avg_pool2d(cells, 4)[0]
        best = int(cells.mean((1, 2)).argmax())
        assert row.predicted == row.read_for == ["cat", "dog"][best]
        of_map, must = cells[best], data.masks[i]
        assert row.iou == pytest.approx(gradia_iou(of_map, must), abs=1e-12)
        assert row.energy == pytest.approx(energy_inside(of_map, must), abs=1e-6)
        assert row.wrong_reason == pytest.approx(wrong_reason(of_map, 1 - must), abs=1e-6)
        assert (row.precision, row.recall, row.f1) == precision_recall_f1(of_map, must)
        sure = cells.mean((1, 2)).softmax(0).max()
        assert row.confidence == pytest.approx(float(sure), abs=1e-6)
    assert found.accuracy.estimate == 1.0
    assert found.means["iou"].interval.estimate == pytest.approx(
        np.mean([row.iou for row in found.rows])
    )


def test_one_forward_pass_a_batch_and_no_number_depends_on_the_batch():
    model = Cells()
    alone, together = measured(model=model, batch=1), measured(model=model, batch=6)
    assert model.passes == 7
    for one, other in zip(alone.rows, together.rows, strict=True):
        for name, value in vars(one).items():
            expected = getattr(other, name)
            if isinstance(value, float):
                assert value == pytest.approx(expected, abs=1e-6), name
            else:
                assert value == expected, name


def test_maps_of_the_true_class_on_request():
    data, model = Pictures(), Cells()
    model.head.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])  # always says 0
    predicted = measured(data, model)
    true = measured(data, model, map_of="true")
    assert [row.read_for for row in predicted.rows] == ["0"] * 6
    assert [row.read_for for row in true.rows] == ["0", "1"] * 3
    assert predicted.settings["map_of"] == "predicted"
    assert true.blank == 3  # class 1 likes nothing: maps of zeros
    assert true.means["iou"].count == 3
    assert true.means["iou"].missing == 3
    assert true.accuracy.estimate == 0.5


def state(model):
    return {
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) for m in model.modules()],
        "needs": [p.requires_grad for p in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "buffers": [b.clone() for b in model.buffers()],
        "luck": torch.get_rng_state(),
    }


@pytest.mark.parametrize("source", [ChannelMaps(), ChannelMaps(fails=True)])
def test_the_model_is_left_as_it_came(source):
    model = Cells().train()
    model.norm.bias.requires_grad_(False)
    model.norm.weight.grad = torch.ones(2)
    before = state(model)
    if source.fails:
        with pytest.raises(RuntimeError, match="out of paper"):
            measured(model=model, source=source)
    else:
        measured(model=model, source=source)
    after = state(model)
    assert torch.equal(after.pop("luck"), before["luck"])
    for name in ("modes", "hooks", "needs"):
        assert after[name] == before[name], name
    for name in ("grads", "buffers"):
        for now, then in zip(after[name], before[name], strict=True):
            assert (now is None) == (then is None), name
            assert then is None or torch.equal(now, then), name


def test_maps_are_read_where_gradients_are_off_and_weights_frozen():
    model = Cells().requires_grad_(False)
    with torch.no_grad():
        found = measured(model=model)
    assert found.means["iou"].count == 6
    assert not any(p.requires_grad for p in model.parameters())


def test_a_detached_map_is_an_error():
    with pytest.raises(AlignmentError, match="map is detached"):
        measured(source=ChannelMaps(detached=True))


def test_items_without_a_label_count_for_accuracy_alone():
    data = Pictures()
    labelled = torch.tensor([1, 1, 0, 0, 0, 1])
    found = measured(data, masks=lambda index: data.wanted(index, labelled=labelled))
    assert [row.labelled for row in found.rows] == labelled.bool().tolist()
    assert found.means["iou"].count == 3
    assert found.means["iou"].missing == 0
    assert found.rows[2].iou is None
    assert len(found.rows) == 6


def test_res_way_needs_must_not_places():
    data = Pictures()

    def only_must(index):
        wanted = data.wanted(index)
        return replace(wanted, must_not=torch.zeros_like(wanted.must_not))

    strict = measured(data, masks=only_must)
    left_open = measured(data, masks=only_must, unmarked="open")
    assert strict.means["precision"].count == 6
    assert left_open.means["precision"].count == 0
    assert left_open.means["precision"].missing == 6
    assert left_open.means["recall"].count == 6
    assert left_open.means["wrong_reason"] == replace(strict.means["wrong_reason"])
    assert left_open.means["wrong_reason"].count == 0


def test_input_gradients_count_by_their_magnitude():
    @dataclass(frozen=True)
    class Slopes:
        settings: ClassVar = {"name": "slopes"}

        def look(self, model, inputs):
            cells = model.cells(inputs.pixels)
            grown = -cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
            return Looked(model.head(cells.mean((2, 3))), lambda _: grown)

    found = measured(source=Slopes())
    cells = nn.functional.avg_pool2d(Cells().eval().norm(Pictures().pixels), 4).detach()
    size = cells[0].abs().sum(0).repeat_interleave(4, 0).repeat_interleave(4, 1)
    expected = gradia_iou(size, Pictures().masks[0])
    assert expected == 1.0
    assert found.rows[0].iou == pytest.approx(expected)


class Strokes(nn.Module):
    """The score of a stroke is its number of points; the class is whether there are many."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, batch):
        counts = batch.strokes_per_sketch.float()
        return torch.stack([2 - counts, counts - 2], 1) * self.scale


@dataclass(frozen=True)
class PointMaps:
    settings: ClassVar = {"name": "points"}

    def look(self, model, inputs):
        there = stroke_places(inputs)
        table = torch.full(there.shape, 99.0)  # pads are brightest, and must not be seen
        table[there] = inputs.points_per_stroke.float()
        return Looked(model(inputs), lambda t: table * model.scale[t][:, None])


class Drawings:
    def __init__(self):
        lines = [[(0, 0), (1, 0)], [(0, 0), (1, 0), (1, 1)], [(0, 0), (1, 0), (1, 1), (2, 1)]]
        made = [Sketch.from_strokes(lines[:count]) for count in (1, 3, 2, 3)]
        self.drawings = SketchBatch.from_sketches(made)

    def __len__(self):
        return 4

    def batch(self, index):
        return self.drawings.select(index)

    def targets(self, index):
        return torch.tensor([0, 1, 0, 0])[index]

    def wanted(self, index):
        masks = [
            (torch.ones(1), torch.zeros(1), 1.0),
            (torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]), 1.0),
            (torch.tensor([1.0, 0.0]), torch.zeros(2), 1.0),
            (torch.zeros(3), torch.zeros(3), 0.0),
        ]
        return wanted_of([masks[i] for i in index.tolist()])


@pytest.mark.parametrize("batch", [1, 4])
def test_drawings_are_measured_by_stroke(batch):
    data = Drawings()
    found = measure_looking(
        Strokes(), data, PointMaps(), items=list("abcd"), masks=data.wanted, batch=batch
    )
    one, three, two, bare = found.rows
    assert one.iou is None  # a single stroke is an even map
    assert one.energy == 1.0
    assert (three.iou, three.energy, three.wrong_reason) == (1.0, 4 / 9, 0.0)
    assert (two.iou, two.energy, two.wrong_reason) == (0.0, 0.4, None)
    assert not bare.labelled
    assert [row.right for row in found.rows] == [True, True, True, False]


def test_maps_of_other_strokes_are_told():
    data = Drawings()

    class Short(PointMaps):
        def look(self, model, inputs):
            looked = super().look(model, inputs)
            return Looked(looked.logits, lambda t: looked.read(t)[:, :1])

    with pytest.raises(AlignmentError, match="one score a stroke"):
        measure_looking(Strokes(), data, Short(), items=list("abcd"), masks=data.wanted)


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"items": NAMES[:5]}, "6 examples have 5 names; give one each"),
        ({"groups": ["a"]}, "6 names and 1 groups"),
        ({"items": ["a", "b", "a", "c", "d", "e"]}, "item 'a' is there twice"),
        ({"masks": lambda _: Pictures(3).wanted(torch.arange(3))}, "6 maps and 3 labels"),
    ],
)
def test_what_does_not_fit_is_told(choices, told):
    with pytest.raises(AlignmentError, match=told):
        measured(**choices)


@pytest.mark.parametrize("source", [GradCamMaps(), GradCamMaps(exact=False), InputGradients()])
def test_photos_by_the_real_sources(source):
    model = SmallResNet(2, channels=2, widths=(4, 8), stem_stride=1).train()
    before = state(model)["modes"]
    alone, together = (measured(model=model, source=source, batch=b) for b in (1, 6))
    assert together.settings["maps"] == source.settings
    assert all(row.labelled and row.wrong_reason is not None for row in together.rows)
    for one, other in zip(alone.rows, together.rows, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-4)
    assert state(model)["modes"] == before


@pytest.mark.parametrize("source", [StrokeScores(), StrokeAttention()])
def test_drawings_by_the_real_sources(source):
    drawings = batch_of(scribble(1, 4), scribble(2, 2), dtype=torch.float32)

    class Two:
        def __len__(self):
            return 2

        def batch(self, index):
            return drawings.select(index)

        def targets(self, index):
            return index

        def wanted(self, index):
            masks = [(torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.0, 1.0]), 1.0)]
            masks += [(torch.tensor([1.0, 0.0]), torch.zeros(2), 1.0)]
            return wanted_of([masks[i] for i in index.tolist()])

    model, data = stroke_net(), Two()
    found = measure_looking(model, data, source, items=["a", "b"], masks=data.wanted)
    looked = source.look(model.eval(), drawings)
    maps = looked.maps(looked.logits.argmax(1)).detach()
    for i, row in enumerate(found.rows):
        strokes = int(drawings.strokes_per_sketch[i])
        must = data.wanted(torch.tensor([i])).must[0]
        assert row.energy == pytest.approx(energy_inside(maps[i, :strokes], must), abs=1e-5)


# --- cells and groups -----------------------------------------------------------------------------


def test_cells_by_a_rule_and_by_verdicts():
    model = Cells()
    model.head.weight.data = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    by_rule = measured(model=model, reasonable=lambda row: None if row.item == "5.png" else False)
    assert [row.cell for row in by_rule.rows] == ["UA", "UI", "UA", "UI", "UA", ""]
    assert by_rule.cells["UA"].count == 3
    assert by_rule.cells["UA"].share.estimate == 0.6
    assert by_rule.matrix.proposed
    verdicts = Verdicts.of_people([Verdict("0.png", False, outright=True, author="ada")])
    told = measured(model=model, reasonable=verdicts)
    assert [row.cell for row in told.rows[:2]] == ["RA", ""]  # accuracy is this model's own
    assert told.matrix.counts["RA"] == 1
    assert not told.matrix.proposed
    assert "by people's verdicts" in told.markdown()
    assert measured().matrix is None


def row(item, *, right=True, group="", **numbers):
    return Looking(item, "cat", "cat" if right else "dog", 0.9, "cat", group=group, **numbers)


def test_the_worst_group_is_a_large_one():
    rows = [row(f"a{i}", right=i < 8, group="cat on grass") for i in range(10)]
    rows += [row(f"b{i}", right=i < 5, group="cat on sand") for i in range(10)]
    rows += [row("c", right=False, group="cat on snow")]
    found = Measured(tuple(rows), {})
    assert found.worst_group.name == "cat on sand"
    assert found.worst_group.accuracy.estimate == 0.5
    assert found.worst_group.accuracy.low == pytest.approx(0.2366, abs=1e-4)  # Wilson, 5 of 10
    assert "Too small to be the worst group: cat on snow (1)." in found.markdown()
    assert Measured(tuple(rows), {}, smallest_group=1).worst_group.name == "cat on snow"
    assert Measured((row("a"),), {}).worst_group is None


def test_blank_maps_are_counted_and_not_in_the_mean():
    rows = [row("a", has_must=True, iou=0.5), row("b", has_must=True, blank=True), row("c")]
    mean = Measured(tuple(rows), {}).means["iou"]
    assert (mean.interval.estimate, mean.count, mean.missing) == (0.5, 1, 1)
    assert "| iou | 0.5000 [0.5000, 0.5000] | 1 | 1 |" in Measured(tuple(rows), {}).markdown()
    assert "| energy | - | 0 | 2 |" in Measured(tuple(rows), {}).markdown()
    assert "1 of 3 maps are blank" in Measured(tuple(rows), {}).markdown()


def test_a_measurement_is_plain_values():
    found = measured(groups=["x", "y"] * 3, smallest_group=2, reasonable=lambda row: True)
    told = json.loads(json.dumps(found.as_dict(rows=True)))
    assert told["worst_group"]["name"] in ("x", "y")
    assert told["cells"]["RA"]["count"] == 6
    assert len(told["rows"]) == 6
    assert "rows" not in found.as_dict()
    assert told["settings"]["maps"] == {"name": "channel"}


def test_no_rows_no_measurement():
    with pytest.raises(AlignmentError, match="at least one item"):
        Measured((), {})
