"""What a run does with one photo: every box by every method, measured against what was marked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from detectors import LABELS, BentDetector, BlackBox, LinearDetector, confetti
from sightline import (
    BoxScores,
    Game,
    GameError,
    GridCells,
    Photo,
    SightlineError,
    boxes_in,
    d_rise,
)
from sightline.image.annotations import Annotation, Annotations
from sightline.image.masks import Runs
from sightline.image.superpixels import decode_labels
from sightline.metrics.localisation import localise
from sightline.runs.folder import explainer
from sightline.runs.loop import Work
from sightline.runs.photos import MAPS, _objects, examine_photo
from sightline.runs.settings import PhotoSettings
from toys import unchecked

PHOTO = confetti(0, (48, 64), name="confetti.png")
METHODS = ("kernel_shap", "hires_cam", "d_rise", "random")
SETTINGS = PhotoSettings(
    methods=METHODS, most=3, superpixels=12, grid=6, budgets={"kernel_shap": 40, "d_rise": 30}
)
QUICK = PhotoSettings(methods=("random", "occlusion"), most=3, superpixels=8, flips=False)
OVERLAPS = (
    *("area", "inside", "energy", "per_area", "coverage", "iou", "pointing"),
    "discrimination",
)
FLIPS = (
    *("deletion", "deletion_normalised", "insertion", "insertion_normalised"),
    *("random_deletion", "random_insertion"),
)


@pytest.fixture(scope="module")
def result():
    return examine_photo(LinearDetector(3), PHOTO, SETTINGS)


def found_in(photo: Photo = PHOTO):
    return LinearDetector(3).detect([photo])[0]


def marked(box, label: str, *, mask: bool = False, crowd: bool = False) -> Annotation:
    """An object of its box's size; its mask is the upper half of the box."""
    height, width = PHOTO.size
    runs = None
    if mask:
        bits = np.zeros((height, width), bool)
        left, top, right, bottom = (round(x) for x in box)
        bits[top : (top + bottom) // 2, left:right] = True
        flat = bits.T.ravel()  # COCO counts down the columns
        change = np.flatnonzero(np.diff(flat, prepend=False, append=flat[-1])).tolist()
        edges = [0, *change, flat.size]
        runs = Runs(tuple(np.diff(edges).tolist()), (height, width))
    box = tuple(float(x) for x in box)
    return Annotation("confetti.png", label, box, PHOTO.size, crowd=crowd, mask=runs)


def test_rows_go_by_box_and_then_by_method(result):
    rows = result.explanations
    assert [(row.number, row.method) for row in rows] == [(n, m) for n in range(3) for m in METHODS]
    assert (result.name, result.height, result.width) == ("confetti.png", 48, 64)
    assert result.parts_kind == "superpixels"
    parts = int(decode_labels(result.parts).max()) + 1
    found = found_in()
    for row in rows:
        assert len(row.scores) == parts
        assert row.label == found.names[row.number]
        assert LABELS[row.label_index] == row.label
        assert row.candidate == int(found.candidates[row.number])
        np.testing.assert_allclose(row.box, found.boxes[row.number])
        assert row.detector_score == pytest.approx(float(found.scores[row.number]))
        assert row.value == pytest.approx(row.detector_score, abs=1e-6)
        assert row.unit == "probability"
        assert "3 boxes shared the evaluations" in row.notes


def test_every_row_is_measured(result):
    for row in result.explanations:
        assert set(row.measures) == {*OVERLAPS, *FLIPS}
        assert len(row.curve) == 51
        assert row.curve[0] == pytest.approx(row.value, abs=1e-6)
        assert row.curve[-1] == pytest.approx(row.base, abs=1e-6)
        assert row.measures["area"] > 0
        assert row.measures["discrimination"] is None  # nothing is marked
    first = {row.method: row.measures for row in result.explanations if row.number == 0}
    for name in ("random_deletion", "random_insertion"):
        assert len({each[name] for each in first.values()}) == 1
    assert first["kernel_shap"]["deletion"] < first["random"]["deletion"]


def test_maps_are_asked_on_the_fine_grid_and_kept_on_superpixels(result):
    by_map = next(row for row in result.explanations if row.method == "hires_cam")
    assert any("6 x 6 grid cells to superpixels" in note for note in by_map.notes)
    assert by_map.errors is None
    shap = next(row for row in result.explanations if row.method == "kernel_shap")
    assert shap.errors is not None
    assert {"hires_cam", "d_rise"} <= MAPS
    assert not MAPS & {"kernel_shap", "random", "occlusion"}


def test_means_are_kept_as_means():
    """D-RISE's scores do not add up: a superpixel keeps the mean of its pixels, not their sum."""
    photo = confetti(1, name="small.png")
    settings = PhotoSettings(
        methods=("d_rise",), most=1, superpixels=12, grid=16, budgets={"d_rise": 30}
    )  # a cell a pixel: the map itself
    told = examine_photo(LinearDetector(), photo, settings)
    (row,) = told.explanations
    found = boxes_in(LinearDetector(), photo, most=1)
    game = Game(LinearDetector(), GridCells(photo, 16, 16), BoxScores(found))
    of_pixels = d_rise(game, budget=30, seed=row.seed).scores[0]
    by_hand = [of_pixels[told.labels.ravel() == k].mean() for k in range(len(row.scores))]
    np.testing.assert_allclose(row.scores, by_hand, rtol=1e-9)


def test_seeds_are_the_photos_own(result):
    seeds = {row.seed for row in result.explanations if row.method != "hires_cam"}
    assert len(seeds) == 1
    model = LinearDetector(3)

    def scores(name: str, seed: int = 0):
        photo = Photo(PHOTO.pixels, name)
        settings = PhotoSettings(**{**vars(QUICK), "seed": seed})
        rows = examine_photo(model, photo, settings).explanations
        return rows[0].seed, rows[0].scores

    one, same, other = scores("a.png"), scores("a.png"), scores("b.png")
    assert one[0] == same[0]
    np.testing.assert_array_equal(one[1], same[1])
    assert one[0] != other[0] != scores("b.png", 1)[0]
    assert np.abs(one[1] - other[1]).max() > 0.1


@pytest.mark.parametrize("batch", [5])
def test_the_batch_changes_nothing(batch, result):
    again = examine_photo(LinearDetector(3), PHOTO, SETTINGS, batch=batch)
    for one, other in zip(result.explanations, again.explanations, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        assert one.seed == other.seed


# --- what was marked ------------------------------------------------------------------------------


def test_the_mask_of_the_matched_object_is_used():
    found = found_in()
    own = marked(found.boxes[0].tolist(), found.names[0], mask=True)
    other_label = next(name for name in LABELS if name != found.names[0])
    decoy = marked(found.boxes[0].tolist(), other_label, mask=False)
    far = marked((0, 0, 5, 5), found.names[0])
    result = examine_photo(LinearDetector(3), PHOTO, QUICK, marked=[decoy, far, own])
    rows = [row for row in result.explanations if row.number == 0]
    heat = decode_labels(result.parts)
    left, top, right, bottom = (round(x) for x in own.box)
    mask = np.zeros(PHOTO.size, bool)
    mask[top : (top + bottom) // 2, left:right] = True
    assert mask.any()
    for row in rows:
        expected = localise(
            row.scores[heat.numpy()],
            found.boxes[0].numpy(),
            mask=mask,
            others=[decoy.box, far.box],
        ).numbers()
        assert row.measures == pytest.approx(expected)
        assert row.measures["mask_energy"] is not None or row.blank
    without = [row for row in result.explanations if row.number != 0]
    assert all("mask_energy" not in row.measures for row in without)
    assert all(row.measures["discrimination"] is None for row in without)


def test_others_never_hold_the_own_object():
    found = found_in()[[0, 4, 8]]
    every = [marked(found.boxes[i].tolist(), found.names[i], mask=i == 1) for i in range(3)]
    crowd = marked(found.boxes[0].tolist(), found.names[0], crowd=True)
    masks, others = _objects(found, [crowd, *every])
    for number in range(3):
        rest = [each.box for i, each in enumerate(every) if i != number]
        # a crowd of the own label may hold the object itself; of another label it does not
        mixed = [crowd.box] * (found.names[number] != crowd.label)
        assert others[number] == mixed + rest
    assert {len(each) for each in others} == {2, 3}
    assert [mask is None for mask in masks] == [True, False, True]


def test_a_detection_of_nothing_marked_has_neither_mask_nor_others():
    found = found_in()[:1]
    left, top, right, bottom = found.boxes[0].tolist()
    beside = marked((left, top, left + 0.45 * (right - left), bottom), found.names[0], mask=True)
    assert _objects(found, [beside]) == ([None], [[]])
    assert _objects(found, []) == ([None], [[]])


# --- detectors of other kinds, and failures -------------------------------------------------------


def test_a_black_box_is_asked_for_the_similarity():
    settings = PhotoSettings(methods=("d_rise",), most=2, superpixels=8, budgets={"d_rise": 20})
    result = examine_photo(BlackBox(LinearDetector(3)), PHOTO, settings)
    assert {row.unit for row in result.explanations} == {"similarity"}
    assert all(row.candidate is None for row in result.explanations)
    assert all(set(FLIPS) <= set(row.measures) for row in result.explanations)


def test_a_method_that_does_not_fit_is_named():
    settings = PhotoSettings(methods=("random", "hires_cam"), superpixels=8, flips=False)
    with pytest.raises(GameError, match="hires_cam: hires_cam looks at the feature maps"):
        examine_photo(BlackBox(LinearDetector(3)), PHOTO, settings)


def test_nothing_found_is_said():
    with pytest.raises(GameError, match=r"no detection of at least 0\.99 in confetti.png"):
        examine_photo(LinearDetector(3), PHOTO, PhotoSettings(threshold=0.99))


def test_every_map_of_a_detector_goes_through():
    methods = tuple(sorted(MAPS))
    settings = PhotoSettings(
        methods=methods, most=2, superpixels=8, grid=8, flips=False, budgets={"d_rise": 10}
    )
    rows = examine_photo(BentDetector(), PHOTO, settings).explanations
    assert [row.method for row in rows] == [*methods, *methods]
    assert all(np.isfinite(row.scores).all() for row in rows)


def test_a_tiny_photo_has_a_cell_a_pixel():
    tiny = Photo(confetti(0, (9, 40)).pixels, "tiny.png")
    settings = PhotoSettings(methods=("hires_cam",), most=1, superpixels=4, flips=False)
    (row,) = examine_photo(LinearDetector(3), tiny, settings).explanations
    assert any("grid cells to 9 x 38 grid cells" in note for note in row.notes)


def test_a_photo_is_read_and_named_by_its_file(tmp_path):
    path = tmp_path / "deep" / "confetti.png"
    path.parent.mkdir()
    Image.fromarray(PHOTO.pixels).save(path)
    found = found_in()
    row = marked(found.boxes[0].tolist(), found.names[0], mask=True)
    known = Annotations((row,), {"confetti.png": PHOTO.size}, {0: found.names[0]})
    by_file = explainer(LinearDetector(3), QUICK, known)(Work(path, "confetti.png"))
    plain = examine_photo(LinearDetector(3), PHOTO, QUICK, marked=[row])
    assert by_file.name == "confetti.png"
    for one, other in zip(by_file.explanations, plain.explanations, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        assert one.measures == other.measures


def test_settings_are_checked_and_recorded():
    with unchecked():
        with pytest.raises(SightlineError, match="unknown method 'kernelshap'; did you mean"):
            PhotoSettings(methods=("kernelshap",))
        with pytest.raises(SightlineError, match="unknown scale 'logits'"):
            PhotoSettings(scale="logits")
        with pytest.raises(SightlineError, match="unknown absence 'gray'; did you mean 'grey'"):
            PhotoSettings(absent="gray")
    for wrong in ({"threshold": 1.5}, {"superpixels": 1}, {"grid": 0}, {"most": 0}):
        with pytest.raises(SightlineError, match="expected a score in"):
            PhotoSettings(**wrong)
    assert SETTINGS.budget("d_rise") == 30
    assert SETTINGS.budget("random") is None
    assert SETTINGS.record()["superpixels"] == 12
    assert "seed" not in SETTINGS.record()


def test_the_detector_is_left_as_it_was():
    from detectors import state

    model = BentDetector()
    model.train()
    before = state(model)
    why = examine_photo(model, PHOTO, QUICK)
    assert state(model) == before
    assert len(why.explanations) == 6
    assert torch.is_grad_enabled()
