"""Class activation maps of boxes: at the map that feeds each box, in one pass, as their papers."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from detectors import (
    BLACK,
    SIDE,
    BentDetector,
    LinearDetector,
    TwoStageDetector,
    by_hand,
    confetti,
)
from sightline import (
    BoxEdge,
    BoxRival,
    BoxScores,
    BoxSimilarity,
    Frame,
    Game,
    GameError,
    GridCells,
    Superpixels,
    explain,
)
from sightline.carry import carry
from sightline.methods import (
    ablation_cam,
    eigen_cam,
    full_grad,
    grad_cam,
    grad_cam_pp,
    hires_cam,
    occlusion,
    odam,
    ssgrad_cam,
    x_grad_cam,
)

PHOTO = confetti(0)
CELLS = GridCells(PHOTO, 4, 4)
ON_BLACK = GridCells(PHOTO, 4, 4, BLACK)
MODEL = LinearDetector(3)
FOUND = MODEL.detect([PHOTO])[0][[0, 4, 8]]
PICTURE = PHOTO.pixels.transpose(2, 0, 1) / 255
BENT = BentDetector()
BOXES = BENT.detect([PHOTO])[0]
BOXES = BOXES[[0, 1, 8]]
"""Candidates 7 (of the first map), 18 and 16 (of the second)."""

CAMS = [grad_cam, grad_cam_pp, x_grad_cam, hires_cam, odam, ssgrad_cam, eigen_cam]


def small(model, found) -> Game:
    return Game(model, CELLS, BoxScores(found, "logit"))


def insides(candidate: int, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of the map that feeds a candidate of `BENT`, and the slope of one of its logits."""
    level = int(candidate >= 16)
    picture = torch.from_numpy(PICTURE)[None]
    features = BENT.maps(picture)[level].detach().requires_grad_()
    logits = BENT.heads(level, features)[0].flatten(2)[0]
    slope = torch.autograd.grad(logits[label, candidate - 16 * level], features)[0]
    return features[0].detach().numpy(), slope[0].numpy()


def test_the_toys_are_what_the_tests_take_them_for():
    assert BOXES.candidates.tolist() == [7, 18, 16]
    assert FOUND.candidates.tolist() == [5, 19, 17]


# --- formulas -------------------------------------------------------------------------------------


def test_under_a_linear_head_hires_cam_is_the_contribution_of_each_cell():
    game = Game(MODEL, ON_BLACK, BoxScores(FOUND, "logit"))
    small_cell = hires_cam(game).scores[0]
    expected = by_hand(MODEL, PICTURE, np.zeros_like(PICTURE), 5, int(FOUND.labels[0]))
    np.testing.assert_allclose(small_cell, expected, atol=1e-6)
    np.testing.assert_allclose(small_cell, occlusion(game).scores[0], atol=1e-6)
    # of the second map a place is 2 x 2 cells, so ask in these
    wide = Game(MODEL, GridCells(PHOTO, 2, 2, BLACK), BoxScores(FOUND, "logit"))
    np.testing.assert_allclose(hires_cam(wide).scores[1:], occlusion(wide).scores[1:], atol=1e-6)
    np.testing.assert_allclose(
        wide.value - MODEL.classes[0].bias[0].item(), hires_cam(wide).scores.sum(1), atol=1e-6
    )


def weighed(weights, features: np.ndarray) -> np.ndarray:
    return np.tensordot(np.array(weights), features, 1)


def plus_plus(a: np.ndarray, g: np.ndarray) -> float:
    below = 2 * g**2 + a.sum() * g**3
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
    return (alpha * np.maximum(g, 0)).sum()


def smooth(features: np.ndarray, slope: np.ndarray) -> np.ndarray:
    found = np.zeros(features.shape[1:])
    for a, g in zip(features, slope, strict=True):
        found += g.mean() * np.abs(g) / max(np.abs(g).max(), 1e-300) * a
    return found


def principal(features: np.ndarray, _slope: np.ndarray) -> np.ndarray:
    """The direction of the largest second moment, by its own matrix."""
    places = features.reshape(len(features), -1).T
    _, directions = np.linalg.eigh(places.T @ places)
    along = (places @ directions[:, -1]).reshape(features.shape[1:])
    return along if along.sum() >= 0 else -along


PAPERS = {
    hires_cam: lambda a, g: (a * g).sum(0),
    odam: lambda a, g: np.maximum((a * g).sum(0), 0),
    grad_cam: lambda a, g: weighed(g.mean((1, 2)), a),
    x_grad_cam: lambda a, g: weighed((a * g).sum((1, 2)) / a.sum((1, 2)), a),
    grad_cam_pp: lambda a, g: weighed([plus_plus(*each) for each in zip(a, g, strict=True)], a),
    ssgrad_cam: smooth,
    eigen_cam: principal,
}


def per_paper(method, features: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return PAPERS[method](features, slope)


@pytest.mark.parametrize("method", CAMS)
def test_each_is_its_paper_written_out_at_the_map_of_its_box(method):
    sides = {0: 4, 1: 2}
    for row, (candidate, label) in enumerate(zip(BOXES.candidates, BOXES.labels, strict=True)):
        side = sides[int(candidate >= 16)]
        game = Game(BENT, GridCells(PHOTO, side, side), BoxScores(BOXES, "logit"))
        features, slope = insides(int(candidate), int(label))
        expected = per_paper(method, features, slope)
        found = method(game).scores[row].reshape(side, side)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10 * np.abs(expected).max())
        assert np.abs(expected).max() > 1e-3
        for other in CAMS:
            if other is not method:
                assert not np.allclose(per_paper(other, features, slope), expected, rtol=1e-3)


def test_odam_is_what_hires_cam_says_for_the_box():
    game = Game(BENT, CELLS, BoxScores(BOXES[[0]], "logit"))
    both, positive = hires_cam(game).scores, odam(game).scores
    assert both.min() < 0 < both.max()
    np.testing.assert_array_equal(positive, np.maximum(both, 0))
    every = Game(BENT, Superpixels(PHOTO, 9), BoxScores(BOXES, "logit"))
    assert odam(every).scores.min() >= 0


def test_eigen_cam_does_not_know_its_target_and_says_so():
    why = eigen_cam(small(BENT, BOXES))
    np.testing.assert_array_equal(why.scores[1], why.scores[2])
    assert np.abs(why.scores[0] - why.scores[1]).max() > 1e-3
    assert why.made.notes[0].startswith("eigen_cam does not ask what the target is")
    assert why.scores.sum(1).min() >= 0


def test_edges_and_rivals_have_maps_of_their_own():
    for target in (BoxEdge(BOXES, "left"), BoxRival(BOXES[[0]], "duck")):
        game = Game(BENT, CELLS, target)
        why = odam(game)
        assert why.scores.any(1).all()
        assert why.unit == game.unit
    assert BOXES.names[0] != "duck"


# --- which map ------------------------------------------------------------------------------------


def test_each_box_is_read_at_the_map_that_feeds_it():
    game = small(BENT, BOXES)
    together = hires_cam(game)
    assert together.made.settings == {"layer": "feature map 0, feature map 1"}
    for row in range(3):
        alone = hires_cam(small(BENT, BOXES[[row]]))
        assert alone.made.settings == {"layer": f"feature map {int(row > 0)}"}
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-12)


def test_a_detector_that_names_the_wrong_map_is_found_out():
    """The known wrong version: every box read at the first map."""

    class Wrong(BentDetector):
        def dense(self, pictures):
            return replace(super().dense(pictures), level=torch.zeros(20, dtype=torch.int64))

    wrong = hires_cam(small(Wrong(), BOXES))
    right = hires_cam(small(BENT, BOXES))
    np.testing.assert_allclose(wrong.scores[0], right.scores[0], atol=1e-12)
    assert np.abs(wrong.scores[1:] - right.scores[1:]).max(1).min() > 1e-2
    # the maps are watched apart, so the first does not even move the score of the second's boxes
    assert [n.split(";")[0] for n in wrong.made.notes if "wrong layer" in n] == [
        f"wrong layer: {name} does not change with feature map 0, so its map is blank"
        for name in right.targets[1:]
    ]


def test_without_a_level_the_map_is_the_one_that_counts_most():
    class Silent(BentDetector):
        def dense(self, pictures):
            return replace(super().dense(pictures), level=None)

    one, other = (hires_cam(small(model, BOXES)) for model in (Silent(), BENT))
    np.testing.assert_array_equal(one.scores, other.scores)
    # a similarity has no candidate: it is read where it depends most
    why = hires_cam(Game(BENT, CELLS, BoxSimilarity(BOXES)))
    assert why.scores.any(1).all()


def test_a_map_of_several_sizes_goes_to_superpixels():
    pieces = Superpixels(PHOTO, 12)
    why = hires_cam(Game(BENT, pieces, BoxScores(BOXES, "logit")))
    assert why.made.notes == ("carried from 4 x 4, 2 x 2 grid cells to superpixels",)
    for row in range(3):
        side = 2 if row else 4
        cells = GridCells(PHOTO, side, side)
        own = hires_cam(Game(BENT, cells, BoxScores(BOXES, "logit"))).scores[[row]]
        np.testing.assert_allclose(carry(own, cells, pieces)[0], why.scores[row], atol=1e-12)


@pytest.mark.parametrize("method", CAMS)
def test_a_layer_by_name_is_one_for_all(method):
    why = method(small(BENT, BOXES), layer="stem")
    assert why.made.settings == {"layer": "stem"}
    features, slope = stem_insides()
    expected = per_paper(method, features, slope)
    np.testing.assert_allclose(why.scores[0].reshape(4, 4), expected, atol=1e-10)


def stem_insides() -> tuple[np.ndarray, np.ndarray]:
    features = BENT.stem(torch.from_numpy(PICTURE)[None]).detach().requires_grad_()
    logits = BENT.heads(0, BENT.norm(features).sigmoid())[0].flatten(2)[0]
    slope = torch.autograd.grad(logits[int(BOXES.labels[0]), 7], features)[0]
    return features[0].detach().numpy(), slope[0].numpy()


# --- cost -----------------------------------------------------------------------------------------


def test_all_methods_of_one_game_share_one_pass_and_count_an_evaluation_each():
    model = BentDetector()
    calls = []
    game = small(model, BOXES)
    handle = model.stem.register_forward_hook(lambda *_: calls.append(1))
    model.passes = 0
    whys = [method(game) for method in CAMS]
    handle.remove()
    assert model.passes == 1
    assert len(calls) == 1
    assert [why.made.evaluations for why in whys] == [1] * len(CAMS)
    for why, method in zip(whys, CAMS, strict=True):
        np.testing.assert_array_equal(why.scores, method(small(model, BOXES)).scores)


def test_each_is_charged_the_time_of_the_shared_pass():
    class Slow(BentDetector):
        def dense(self, pictures):
            time.sleep(0.05)
            return super().dense(pictures)

    game = small(Slow(), BOXES)
    spent = [method(game).made.seconds for method in CAMS]
    assert min(spent) >= 0.05


def test_the_backward_pass_stops_at_the_feature_map():
    """Below the map no gradient is recorded: not for weights, not for the picture."""
    model = BentDetector()
    below = []

    class Spied(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            found = self.inner(x)
            below.append((x.requires_grad, found.requires_grad, found.grad_fn))
            return found

    model.stem = Spied(model.stem)
    for weight in model.parameters():
        weight.requires_grad_(True)
    game = small(model, BOXES)
    below.clear()
    hires_cam(game)
    assert below == [(False, False, None)]
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


# --- frames and padding ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*CAMS, ablation_cam])
def test_a_map_of_a_letterboxed_picture_is_read_where_the_photo_is(method):
    photo = confetti(4, (8, SIDE))
    frame = partial(Frame.letterboxed, fill=1.0)
    model = BentDetector(0, frame)
    found = model.detect([photo])[0]
    found = found[(found.candidates < 16).nonzero()[:2, 0].tolist()]
    game = Game(model, GridCells(photo, 2, 4), BoxScores(found, "logit"))
    # the same picture as a photo of its own
    shown = (game.bound.picture() * 255).round().byte().permute(1, 2, 0).numpy()
    plainly = Game(BentDetector(), GridCells(type(photo)(shown), 4, 4), BoxScores(found, "logit"))
    if method is ablation_cam:
        method = partial(ablation_cam, layer="stem")
    inner, whole = method(game), method(plainly)
    np.testing.assert_allclose(
        inner.scores, whole.scores.reshape(2, 4, 4)[:, 1:3].reshape(2, 8), atol=1e-6
    )
    lost = whole.scores.sum(1) - inner.scores.sum(1)
    assert np.abs(lost).max() > 1e-6
    most = lost[np.abs(lost).argmax()]
    assert any(
        note.startswith(f"places outside the photo hold {most:.2g}"[:-1])
        and note.endswith("which nothing gets")
        for note in inner.made.notes
    )


@pytest.mark.parametrize("method", [hires_cam, partial(hires_cam, layer="stems.0"), occlusion])
def test_a_network_that_pads_its_picture_is_read_where_the_picture_is(method):
    model = LinearDetector(3, pad=8)
    game = Game(model, ON_BLACK, BoxScores(FOUND[[0]], "logit"))
    expected = by_hand(MODEL, PICTURE, np.zeros_like(PICTURE), 5, int(FOUND.labels[0]))
    np.testing.assert_allclose(method(game).scores[0], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(5, 9), (8, SIDE), (SIDE, SIDE), (40, 30)])
def test_full_grad_of_photos_of_any_size_leaves_nothing_out(size):
    """The picture is larger than some photos, and its map has a place for each of its pixels."""
    photo = confetti(6, size)
    model = LinearDetector(3).double()
    game = Game(model, GridCells(photo, 2, 2), BoxScores(FOUND, "logit"))
    why = full_grad(game)
    assert why.made.notes[0] == "biases without a place bring 0, 0, 0 logit"
    np.testing.assert_allclose(why.scores.sum(1), game.value, atol=1e-9)


def test_full_grad_of_a_letterboxed_photo_tells_what_lies_beside():
    photo = confetti(4, (8, SIDE))
    model = LinearDetector(3, partial(Frame.letterboxed, fill=1.0))
    found = FOUND[[1]]  # a large cell at the bottom right
    game = Game(model, GridCells(photo, 2, 4), BoxScores(found, "logit"))
    why = full_grad(game)
    shown = game.bound.picture().numpy()
    expected = by_hand(model, shown, np.zeros_like(shown), 19, int(found.labels[0]))
    inner = expected.reshape(4, 4)[[1, 2]].sum()
    bias = -0.125 / 2  # the head's, at a place of which one half is photo
    np.testing.assert_allclose(why.scores.sum(), inner + bias, atol=1e-5)
    assert any("places outside the photo hold" in note for note in why.made.notes)


# --- blank maps -----------------------------------------------------------------------------------


def test_a_dead_layer_is_the_reason_of_a_blank_map():
    model = LinearDetector(3)
    model.stems[0].weight.data[:] = 0
    for method in (hires_cam, eigen_cam, odam):
        why = method(small(model, FOUND))
        dead = "dead layer: feature map 0 is 0 everywhere, so every map of it is blank"
        assert why.made.notes.count(dead) == 1
        assert not why.scores[0].any()
        assert why.scores[1:].any(1).all()


def test_a_wrong_layer_is_the_reason_of_a_blank_map():
    model = LinearDetector(3)
    why = hires_cam(small(model, FOUND), layer="stems.1")
    notes = [note for note in why.made.notes if note.startswith("wrong layer")]
    assert notes == [
        "wrong layer: kite 1 does not change with stems.1, so its map is blank; give an earlier "
        "layer=..."
    ]
    assert not why.scores[0].any()
    assert why.blank(0).startswith("every score is 0")
    # the map of Eigen-CAM does not ask, so it is not blank, and nothing is said
    assert not any(
        "wrong layer" in n for n in eigen_cam(small(model, FOUND), layer="stems.1").made.notes
    )


def test_ablation_cam_tells_which_boxes_its_layer_does_not_feed():
    why = ablation_cam(small(LinearDetector(3), FOUND), layer="stems.1")
    assert "wrong layer: kite 1 does not change without stems.1" in why.made.notes[0]
    assert not why.scores[0].any()
    assert why.scores[1:].any(1).all()
    assert sum("wrong layer" in note for note in why.made.notes) == 1


def test_a_good_map_has_no_reason():
    assert hires_cam(Game(BENT, CELLS, BoxScores(BOXES[[0]], "logit"))).made.notes == ()


# --- refusals -------------------------------------------------------------------------------------


def test_a_detector_without_maps_is_watched_as_any_network():
    with pytest.raises(GameError, match="no layer of the model gives a feature map"):
        hires_cam(Game(TwoStageDetector(), CELLS))


def test_a_detector_that_detaches_is_told():
    class Detached(BentDetector):
        def dense(self, pictures):
            reply = super().dense(pictures)
            return replace(reply, logits=reply.logits.detach(), scores=reply.scores.detach())

    with pytest.raises(GameError, match="answer carries no gradient"):
        hires_cam(small(Detached(), BOXES))


@pytest.mark.parametrize("method", ["hires_cam", "odam", "ssgrad_cam", "eigen_cam", "grad_cam"])
def test_scores_do_not_depend_on_gradient_mode(method):
    expected = explain(small(BENT, BOXES), method).scores
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = explain(small(BENT, BOXES), method).scores
        np.testing.assert_array_equal(found, expected)
