from __future__ import annotations

import json
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from oracles import fastestdet
from oracles.average_precision import ap50
from oracles.d_rise import overlap
from oracles.onnx_file import write_brightest
from sightline.errors import ModelError
from sightline.game import Game
from sightline.image.frame import Frame
from sightline.image.photo import Photo
from sightline.methods.d_rise import d_rise
from sightline.models.black_box import CallableDetector, OnnxDetector, UltralyticsDetector
from sightline.models.decoders import BoxOutputs, fastestdet_decode, yolo_decode
from sightline.models.detector import Detector, PhotoModel
from sightline.parts import GridCells
from sightline.targets.boxes import BoxSimilarity

LABELS = ("cat", "dog", "bus")
NIGHT = Photo(np.zeros((20, 30, 3), np.uint8), name="night.jpg")
DAY = Photo(np.full((20, 30, 3), 255, np.uint8), name="day.jpg")
TWO = ([[1, 2, 11, 12], [5, 5, 25, 15]], [0.6, 0.9], [1, 2])


def always(answer, labels=LABELS) -> CallableDetector:
    return CallableDetector(lambda photos: [answer] * len(photos), labels=labels)


# --- any function ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        TWO,
        list(TWO),
        tuple(np.array(field) for field in TWO),
        tuple(torch.tensor(field) for field in TWO),
        (torch.tensor(TWO[0]), np.array(TWO[1]), TWO[2]),
        dict(zip(("boxes", "scores", "labels"), TWO, strict=True)),
        {"labels": [1.0, 2.0], "masks": None, "scores": TWO[1], "boxes": TWO[0]},
    ],
    ids=["tuple", "list", "arrays", "tensors", "mixed", "dict", "dict of more"],
)
def test_an_answer_has_many_forms(answer):
    (one,) = always(answer).detect([NIGHT])
    assert one.boxes.tolist() == [[5, 5, 25, 15], [1, 2, 11, 12]]
    assert one.scores.tolist() == pytest.approx([0.9, 0.6])
    assert one.labels.tolist() == [2, 1]
    assert one.names == ("bus", "dog")
    assert one.candidates is None
    assert (one.boxes.dtype, one.labels.dtype) == (torch.float32, torch.int64)


def test_one_score_a_box_is_its_share_of_a_distribution():
    (one,) = always(TWO).detect([NIGHT])
    assert one.distributions.tolist() == [[0, 0, pytest.approx(0.9)], [0, pytest.approx(0.6), 0]]


def test_distributions_go_with_their_boxes():
    spread = [[0.1, 0.6, 0.2], [0.0, 0.3, 0.9]]
    (one,) = always((*TWO, spread)).detect([NIGHT])
    assert one.distributions.numpy() == pytest.approx(np.array(spread[::-1]))
    (same,) = always(
        dict(zip(("boxes", "scores", "labels"), TWO, strict=True), distributions=spread)
    ).detect([NIGHT])
    assert torch.equal(one.distributions, same.distributions)


def test_boxes_end_at_the_photo():
    (one,) = always(([[-5, -1e6, 31, 20.5]], [0.7], [0])).detect([NIGHT])
    assert one.boxes.tolist() == [[0, 0, 30, 20]]


def test_ties_keep_their_order():
    count = 50
    boxes = [[i % 20, 0, i % 20 + 1, 1] for i in range(count)]
    (one,) = always((boxes, [0.5] * 25 + [0.75] * 25, [0] * count)).detect([NIGHT])
    assert one.boxes[:, 0].tolist() == [b[0] for b in boxes[25:] + boxes[:25]]


def test_the_threshold_is_a_lowest_score():
    detector = always(TWO)
    assert [len(detector.detect([NIGHT], threshold=t)[0]) for t in (0.0, 0.6, 0.61, 0.95)] == [
        2, 2, 1, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("none", [([], [], []), (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))])
def test_nothing_found_is_an_answer(none):
    (one,) = always(none).detect([NIGHT])
    assert len(one) == 0
    assert one.boxes.shape == (0, 4)
    assert one.distributions.shape == (0, 3)


def test_photos_are_answered_in_their_order_from_copies():
    asked = []

    def bright(photos):
        asked.append([p.shape for p in photos])
        answers = [([[0, 0, 9, 9]], [float(p.mean()) / 255], [0]) for p in photos]
        photos[0][:] = 7
        return answers

    detector = CallableDetector(bright, labels=LABELS)
    found = detector.detect([DAY, NIGHT], threshold=0.1)
    assert [len(each) for each in found] == [1, 0]
    assert DAY.pixels.min() == 255
    assert detector.detect([]) == []
    assert asked == [[(20, 30, 3)] * 2], "no photo, no question"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, r"photo 0 \('night.jpg'\): the answer is a NoneType; expected \(boxes, scores, lab"),
        ((1, 2), r"the answer is a tuple of 2; expected \(boxes, scores, labels\)"),
        ({"boxes": [], "scores": []}, r"photo 0 \('night.jpg'\): labels missing; there are \['bo"),
        (([[1, 2], [3]], [1], [1]), "boxes are no array of numbers but a list of 2: "),
        (([["a"] * 4], [1], [1]), "boxes are no array of numbers but a list of 1: "),
        (([[0, 0, 1]], [1], [1]), r"boxes of shape \[1, 3\]; expected \[boxes, 4\], xyxy"),
        (([0, 0, 1, 1], [1], [1]), r"boxes of shape \[4\]; expected \[boxes, 4\]"),
        (([[0, 0, 1, 1]], [1, 1], [1]), r"1 boxes, but scores of shape \[2\]; expected one a box"),
        (([[0, 0, 1, 1]], [1], [[1]]), r"1 boxes, but labels of shape \[1, 1\]; expected one"),
        (
            ([[0, 0, 1, 1], [0, 0, np.nan, 1]], [1, 1], [1, 1]),
            r"photo 0 \('night.jpg'\), box 1: \[0, 0, nan, 1\] is not all finite numbers",
        ),
        (([[9, 9, 5, 12]], [1], [1]), r"box 0: \[9, 9, 5, 12\] is inside out; expected left, top"),
        (([[0, 0, 1, 1]], [87], [1]), r"box 0: score 87; expected \[0, 1\], not a logit or %"),
        (([[0, 0, 1, 1]], [np.nan], [1]), "box 0: score nan; expected"),
        (([[0, 0, 1, 1]], [1], [3]), "box 0: label 3; expected one of 3, 0 to 2"),
        (([[0, 0, 1, 1]], [1], [-1]), "box 0: label -1; expected one of 3, 0 to 2"),
        (([[0, 0, 1, 1]], [1], [0.5]), r"box 0: label 0\.5; expected one of 3"),
        (
            ([[0, 0, 1, 1]], [1], [1], [[1, 0]]),
            r"distributions of shape \[1, 2\]; expected \[1, 3\]: a score for each label",
        ),
        (
            ([[0, 0, 1, 1]], [1], [1], [[1, 0, -2]]),
            r"box 0: distribution \[1, 0, -2\]; expected \[0, 1\]",
        ),
    ],
)
def test_a_wrong_answer_is_refused_by_photo_and_box(answer, message):
    with pytest.raises(ModelError, match=message):
        always(answer).detect([NIGHT])


def test_the_photo_at_fault_is_named():
    def second_is_wrong(photos):
        return [TWO, ([[0, 0, 1, 1]], [2.0], [0])]

    with pytest.raises(ModelError, match=r"photo 1 \('day.jpg'\), box 0: score 2; expected"):
        CallableDetector(second_is_wrong, labels=LABELS).detect([NIGHT, DAY])


@pytest.mark.parametrize(("answers", "came"), [([TWO], "1"), (None, "a NoneType"), (7, "a int")])
def test_an_answer_a_photo(answers, came):
    detector = CallableDetector(lambda photos: answers, labels=LABELS)
    with pytest.raises(ModelError, match=f"shown 2 photos and answered {came}; expected a list"):
        detector.detect([NIGHT, DAY])


@pytest.mark.parametrize("labels", [[], "cat"])
def test_labels_are_names(labels):
    with pytest.raises(ModelError, match=r"labels are .*; give a list of names, one a label"):
        CallableDetector(lambda photos: [], labels=labels)


class Trained(nn.Module):
    """A detector in the middle of its training, with luck and a count of its own."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.fails = fails
        self.modes = []

    def forward(self, photos):
        self.modes.append(self.norm.training)
        pixels = torch.stack([torch.from_numpy(p).permute(2, 0, 1).float() for p in photos])
        mean = self.norm(pixels).mean() * 0 + torch.rand(())
        self.norm.num_batches_tracked += 1
        if self.fails:
            raise ArithmeticError("out of luck")
        return [([[0, 0, 9, 9]], mean[None], [0])] * len(photos)


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_as_it_came(fails):
    model = Trained(fails).train()
    model.norm.weight.requires_grad_(False)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    luck = torch.random.get_rng_state()
    if fails:
        with pytest.raises(ArithmeticError, match="out of luck"):
            CallableDetector(model, labels=LABELS).detect([NIGHT])
    else:
        (one,) = CallableDetector(model, labels=LABELS).detect([NIGHT], threshold=0)
        assert len(one) == 1
        assert not one.scores.requires_grad
    assert model.modes == [False], "asked in evaluation mode"
    assert model.training
    assert model.norm.training
    assert [p.requires_grad for p in model.parameters()] == [False, True]
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), luck)
    assert torch.is_grad_enabled()


def test_tensors_with_a_gradient_are_read():
    scores = torch.tensor(TWO[1], requires_grad=True)
    (one,) = always((TWO[0], scores, TWO[2])).detect([NIGHT])
    assert not one.scores.requires_grad
    assert not one.distributions.requires_grad


def test_tensors_of_inference_mode_are_read():
    with torch.inference_mode():
        answer = tuple(torch.tensor(field) for field in TWO)
    assert len(always(answer).detect([NIGHT])[0]) == 2


def test_a_black_box_is_explained():
    """It reports a fixed box, as sure as one cell is bright: that cell is what D-RISE finds."""

    def watches_a_cell(photos):
        return [([[6, 4, 30, 20]], [float(p[16:24, 40:50].mean()) / 255], [1]) for p in photos]

    photo = Photo(np.full((40, 60, 3), 255, np.uint8))
    detector = CallableDetector(watches_a_cell, labels=LABELS)
    game = Game(detector, GridCells(photo, 5, 6), BoxSimilarity(detector.detect([photo])[0]))
    assert game.value.tolist() == pytest.approx([1])
    why = d_rise(game, budget=1000, grid=(5, 6))
    assert int(why.scores[0].argmax()) == 2 * 6 + 4
    assert why.scores[0].max() - np.median(why.scores[0]) > 4 * why.errors[0].max()


# --- ultralytics ----------------------------------------------------------------------------------


class Yolo(nn.Module):
    """The shape of ``ultralytics.YOLO``: a module whose ``train`` starts a training."""

    def __init__(self, names: object = None) -> None:
        super().__init__()
        self.model = nn.BatchNorm2d(3)
        self.names = {0: "cat", 1: "dog", 2: "bus"} if names is None else names
        self.seen = []

    def train(self, trainer=None, **settings):
        raise AssertionError("a training has started")

    def predict(self, source, conf=0.25, verbose=True):
        self.seen.append((source, conf, verbose, self.model.training))
        with torch.inference_mode():
            boxes = SimpleNamespace(
                xyxy=torch.tensor([[1.0, 2, 11, 12], [5, 5, 99, 15]]),
                conf=torch.tensor([0.9, 0.6]),
                cls=torch.tensor([1.0, 2.0]),
            )
        return [SimpleNamespace(boxes=boxes) for _ in source]


def test_yolo_is_asked_and_never_trained():
    model, colour = Yolo(), Photo(np.dstack([np.full((20, 30), c, np.uint8) for c in (1, 2, 3)]))
    detector = UltralyticsDetector(model)
    one, two = detector.detect([colour, NIGHT], threshold=0.125)
    assert one.boxes.tolist() == two.boxes.tolist() == [[1, 2, 11, 12], [5, 5, 30, 15]]
    assert one.names == ("dog", "bus")
    ((source, conf, verbose, training),) = model.seen
    assert (conf, verbose, training) == (0.125, False, False)
    assert source[0][0, 0].tolist() == [3, 2, 1], "blue, green, red"
    assert model.model.training, "as it came"
    assert detector.detect([]) == []
    with pytest.raises(AssertionError, match="a training has started"):
        model.eval()


def test_yolo_as_any_function_is_not_trained_either():
    model = Yolo()
    model.forward = lambda photos: [TWO for _ in photos]
    assert len(CallableDetector(model, labels=LABELS).detect([NIGHT])[0]) == 2


def test_other_objects_are_no_yolo():
    with pytest.raises(ModelError, match="Linear has no predict and names; expected a detector of"):
        UltralyticsDetector(nn.Linear(1, 1))
    with pytest.raises(ModelError, match=r"the model's names are numbered \[0, 2\]; expected 0, 1"):
        UltralyticsDetector(Yolo({0: "cat", 2: "bus"}))
    assert UltralyticsDetector(Yolo(["cat", "dog"])).labels == ("cat", "dog")
    classifier = Yolo()
    classifier.predict = lambda source, **_: [
        SimpleNamespace(boxes=None, probs=[1]) for _ in source
    ]
    with pytest.raises(ModelError, match="the model's result has no boxes; expected a detector"):
        UltralyticsDetector(classifier).detect([NIGHT])


# --- layouts --------------------------------------------------------------------------------------


def test_fastestdet_is_decoded_as_its_example_does():
    luck = np.random.default_rng(11)
    answer = luck.random((1, 9, 3, 5), np.float32)
    answer[:, 1:5] = 4 * answer[:, 1:5] - 2
    ours = fastestdet_decode({"758": answer}, (96, 160))
    boxes, scores, labels = zip(*fastestdet.boxes(answer[0], 96, 160), strict=True)
    assert np.abs(ours["boxes"].numpy() - boxes).max() < 1e-4
    assert np.abs(ours["scores"].numpy() - scores).max() < 1e-6
    assert ours["labels"].tolist() == list(labels)
    best = ours["distributions"].gather(1, ours["labels"][:, None])[:, 0]
    assert torch.equal(best, ours["scores"])


def test_yolo_is_decoded():
    answer = np.array([[[10, 5], [8, 5], [4, 2], [6, 2], [0.2, 0.7], [0.5, 0.1]]], np.float32)
    ours = yolo_decode({"output0": answer}, (32, 32))
    assert ours["boxes"].tolist() == [[8, 5, 12, 11], [4, 4, 6, 6]]
    assert ours["labels"].tolist() == [1, 0]
    assert ours["scores"].tolist() == pytest.approx([0.5, 0.7])


def test_outputs_that_are_boxes_already():
    batched = {
        "b": np.array([[[0, 0.5, 1, 1]]]),
        "s": np.array([[0.5]]),
        "l": np.array([[3]]),
        "more": np.zeros(1),
    }
    reader = BoxOutputs("b", "s", "l", relative=True, first=1)
    for outputs in (batched, {name: value[0] for name, value in batched.items()}):
        ours = reader(outputs, (20, 40))
        assert ours["boxes"].tolist() == [[0, 10, 40, 20]]
        assert (ours["scores"].tolist(), ours["labels"].tolist()) == ([0.5], [2])
    with pytest.raises(ModelError, match=r"no output scores, labels; there are \['boxes'\]: name"):
        BoxOutputs()({"boxes": np.zeros((1, 4))}, (20, 40))


@pytest.mark.parametrize("decode", [fastestdet_decode, yolo_decode])
@pytest.mark.parametrize("shapes", [[(1, 4, 3, 3)], [(2, 9, 3, 3)], [(1, 3, 8)], [(1, 9)] * 2])
def test_another_layout_is_refused(decode, shapes):
    outputs = {str(i): np.zeros(shape, np.float32) for i, shape in enumerate(shapes)}
    with pytest.raises(ModelError, match=r"outputs .*has one, .*: give the decoder of this networ"):
        decode(outputs, (8, 8))


# --- ONNX files -----------------------------------------------------------------------------------

FIXED = np.array([[0, 0, 4, 2], [1, 1, 3, 3], [0, 0, 4, 2.1]])
COLOUR = Photo(np.full((8, 16, 3), [51, 102, 204], np.uint8), name="colour.png")


@pytest.fixture
def brightest(tmp_path):
    """A function that writes and opens a network whose scores are the brightness of channels."""

    def opened(*, labels=(0, 1, 0), file=None, **settings) -> OnnxDetector:
        path = write_brightest(tmp_path / "net.onnx", FIXED, np.array(labels), **(file or {}))
        return OnnxDetector(path, labels=LABELS, decode=BoxOutputs(), **settings)

    return opened


def test_a_network_is_run_and_its_boxes_moved_to_the_photo(brightest):
    """The picture is 4 x 8, the photo twice as large; the channels score 0.2, 0.4, 0.8."""
    (one,) = brightest(overlap=None).detect([COLOUR], threshold=0)
    assert one.scores.tolist() == pytest.approx([0.8, 0.4, 0.2])
    assert one.boxes.numpy() == pytest.approx(2 * FIXED[::-1], abs=1e-5)
    assert one.names == ("cat", "dog", "cat")
    assert len(brightest(overlap=None).detect([COLOUR], threshold=0.4)[0]) == 2


def test_overlap_suppresses_within_a_label(brightest):
    (one,) = brightest().detect([COLOUR], threshold=0)
    assert one.scores.tolist() == pytest.approx([0.8, 0.4])
    apart = brightest(labels=(2, 1, 0)).detect([COLOUR], threshold=0)
    assert len(apart[0]) == 3


def test_channels_are_prepared_as_the_network_was_trained(brightest):
    (one,) = brightest(bgr=True, overlap=None).detect([COLOUR], threshold=0)
    assert one.boxes[0].tolist() == [0, 0, 8, 4], "the first channel is blue, which is brightest"
    (two,) = brightest(mean=(0.1, 0.2, 0.2), spread=(1.0, 1.0, 2.0), overlap=None).detect(
        [COLOUR], threshold=0
    )
    assert sorted(two.scores.tolist()) == pytest.approx([0.1, 0.2, 0.3])


def test_letterboxed_photos_and_open_sizes(brightest):
    frame = partial(Frame.letterboxed, fill=114 / 255)
    detector = brightest(
        file={"picture": ("batch", 3, "height", "width")}, size=(8, 8), frame=frame, overlap=None
    )
    (one,) = detector.detect([COLOUR], threshold=0)
    # 16 x 8 becomes 8 x 4 with two rows of grey above, where the first box stands
    assert one.boxes[1:].tolist() == [[0, 0, 8, 0], [2, 0, 6, 2]]
    assert one.scores.tolist() == pytest.approx([0.8, 114 / 255, 114 / 255])


def test_a_detector_keeps_the_promises_of_detectors(brightest):
    for detector in (brightest(), always(TWO), UltralyticsDetector(Yolo())):
        assert isinstance(detector, Detector)
        assert not isinstance(detector, PhotoModel), "whose pictures a game would compose"
        assert detector.labels == LABELS


def test_broken_files_are_refused(tmp_path, brightest):
    with pytest.raises(ModelError, match=r"no file .*none.onnx; give the path of an .onnx file"):
        OnnxDetector(tmp_path / "none.onnx", labels=LABELS)
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(ModelError, match=r"text.onnx is no ONNX network that onnxruntime reads: "):
        OnnxDetector(tmp_path / "text.onnx", labels=LABELS)
    with pytest.raises(ModelError, match="threads is 0; it must be at least 1"):
        brightest(threads=0)


@pytest.mark.parametrize("picture", [(1, 4, 8), (2, 3, 4, 8), (1, 4, 4, 8)])
def test_other_inputs_are_refused(brightest, picture):
    with pytest.raises(ModelError, match=r"net.onnx reads .*; expected one input of float \[1, 3"):
        brightest(file={"picture": picture})


def test_sizes_are_checked(brightest):
    with pytest.raises(ModelError, match=r"leaves the size of its pictures open; give size="):
        brightest(file={"picture": (1, 3, "height", "width")})
    with pytest.raises(ModelError, match=r"reads pictures of \[4, 8\], size is \[4, 9\]"):
        brightest(size=(4, 9))


def test_wrong_outputs_are_told_by_file_and_photo(brightest):
    with pytest.raises(ModelError, match=r"net.onnx, photo 0 \('colour.png'\), box 2: label 5;"):
        brightest(labels=(0, 0, 5)).detect([COLOUR], threshold=0)
    with pytest.raises(ModelError, match=r"net.onnx cannot be run: "):
        detector = brightest()
        detector._input = "another"
        detector.detect([COLOUR])


@pytest.mark.parametrize("place", ["../outside", "/absolute", "link"])
def test_no_weights_from_outside_the_folder(tmp_path, place):
    """onnxruntime refuses them; should a version not, this test tells."""
    folder = tmp_path / "model"
    folder.mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(FIXED.astype(np.float32).tobytes())
    (folder / "link").symlink_to(outside)
    place = str(outside) if place == "/absolute" else place
    path = write_brightest(folder / "net.onnx", FIXED, np.array([0, 1, 0]), outside=place)
    with pytest.raises(ModelError, match=r"no ONNX network that onnxruntime reads: .*External"):
        OnnxDetector(path, labels=LABELS)


def test_weights_beside_the_file_are_read(tmp_path):
    (tmp_path / "beside").write_bytes(FIXED.astype(np.float32).tobytes())
    path = write_brightest(tmp_path / "net.onnx", FIXED, np.array([0, 1, 0]), outside="beside")
    detector = OnnxDetector(path, labels=LABELS, decode=BoxOutputs())
    assert len(detector.detect([COLOUR], threshold=0)[0]) == 2


def test_without_onnxruntime_the_cure_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"with: pip install 'sightline\[detectors\]'"):
        OnnxDetector(tmp_path / "net.onnx", labels=LABELS)


# --- a real detector ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coco(data):
    """Photos, names, and boxes by (label, photo)."""
    from PIL import Image

    record = json.loads((data / "coco_open_mini/instances_boxes.json").read_text())
    photos = [
        Photo(np.asarray(Image.open(data / "coco_open_mini/images" / name).convert("RGB")), name)
        for name in (image["file_name"] for image in record["images"])
    ]
    at = {image["id"]: i for i, image in enumerate(record["images"])}
    column = {c["id"]: i for i, c in enumerate(record["categories"])}
    truth: dict[int, dict[int, list]] = {}
    for a in record["annotations"]:
        x, y, w, h = a["bbox"]
        of_label = truth.setdefault(column[a["category_id"]], {})
        of_label.setdefault(at[a["image_id"]], []).append([x, y, x + w, y + h])
    return photos, [c["name"] for c in record["categories"]], truth


def fastest(data, names, **settings) -> OnnxDetector:
    return OnnxDetector(data / "small_detector_weights/FastestDet.onnx", labels=names, **settings)


def mean_ap50(found, truth) -> float:
    by_label = {label: [] for label in range(80)}
    for photo, one in enumerate(found):
        fields = (field.tolist() for field in (one.boxes, one.scores, one.labels))
        for box, score, label in zip(*fields, strict=True):
            by_label[label].append((photo, score, box))
    return float(np.mean([ap50(by_label[label], boxes) for label, boxes in truth.items()]))


def test_fastestdet_finds_the_people(data, coco):
    """27 of 30 when this was written."""
    photos, names, truth = coco
    people = truth[names.index("person")]
    assert len(people) == 30
    found = fastest(data, names, bgr=True).detect([photos[i] for i in people], threshold=0.5)
    hits = [
        any(
            name == "person" and max(overlap(box, one) for one in boxes) >= 0.5
            for name, box in zip(each.names, each.boxes.tolist(), strict=True)
        )
        for each, boxes in zip(found, people.values(), strict=True)
    ]
    assert sum(hits) >= 26


def test_fastestdet_is_as_good_as_it_was(data, coco):
    """AP50 0.41 over 61 labels; with red for blue, as the wrong version, 0.35."""
    photos, names, truth = coco
    right = mean_ap50(fastest(data, names, bgr=True).detect(photos, threshold=0.01), truth)
    wrong = mean_ap50(fastest(data, names).detect(photos, threshold=0.01), truth)
    assert right > 0.4
    assert wrong < 0.36


def test_fastestdet_says_the_same_alone_and_again(data, coco):
    photos, names, _ = coco
    detector = fastest(data, names, bgr=True)
    together, again = detector.detect(photos[:5]), detector.detect(photos[:5])
    alone = [detector.detect([photo])[0] for photo in photos[:5]]
    for a, b, c in zip(together, again, alone, strict=True):
        assert len(a)
        assert bool((a.scores[:-1] >= a.scores[1:]).all())
        for other in (b, c):
            assert torch.equal(a.boxes, other.boxes)
            assert torch.equal(a.distributions, other.distributions)
