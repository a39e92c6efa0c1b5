"""Games of photos: values by hand, one set of passes for all boxes, and the model left as found."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from detectors import (
    BLACK,
    SIDE,
    BentDetector,
    BlackBox,
    LinearDetector,
    TwoStageDetector,
    by_hand,
    confetti,
    plain,
    state,
)
from sightline import (
    METHODS,
    BoxEdge,
    BoxRival,
    BoxScores,
    BoxSimilarity,
    Frame,
    Game,
    GameError,
    GridCells,
    PictureClassifier,
    Superpixels,
    explain,
)
from sightline.memory import Remembered
from sightline.models.black_box import CallableDetector
from sightline.parts import BoundPhoto

MODEL = LinearDetector(3)
PHOTO = confetti(0)
CELLS = GridCells(PHOTO, 4, 4)
FOUND = MODEL.detect([PHOTO])[0][[0, 4, 8]]
PICTURE = PHOTO.pixels.transpose(2, 0, 1) / 255
SHARES_OUT = ("shapley", "kernel_shap", "occlusion", "integrated_gradients", "gradient_x_input")
CAMS = ("grad_cam", "grad_cam_pp", "x_grad_cam", "hires_cam", "odam", "ssgrad_cam", "eigen_cam")
GRADIENT = ("sla", "gradient_x_input", "smooth_grad", "integrated_gradients", *CAMS, "full_grad")
NOT_FOR_DETECTORS = ("p_sla", "anchors", "attention", "attention_rollout")
BUDGET = {"d_rise": 40, "shapley": None}


def played(game: Game, method: str):
    return explain(game, method, budget=BUDGET.get(method, 64), seed=2)


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", ["grey", "mean", confetti(7)])
@pytest.mark.parametrize("method", SHARES_OUT)
def test_each_cell_gets_exactly_its_own_contribution(method, absent):
    columns = 2 if method == "shapley" else 4  # 2^8 coalitions are enough
    game = Game(MODEL, GridCells(PHOTO, 4, columns, absent), BoxScores(FOUND, "logit"))
    nothing = {
        "grey": np.full_like(PICTURE, 0.5),
        "mean": np.broadcast_to(PICTURE.mean((1, 2))[:, None, None], PICTURE.shape),
    }
    base = nothing[absent] if isinstance(absent, str) else absent.pixels.transpose(2, 0, 1) / 255
    why = explain(game, method, budget=None if method == "shapley" else 400)
    for row, (candidate, label) in enumerate(zip(FOUND.candidates, FOUND.labels, strict=True)):
        cells = by_hand(MODEL, PICTURE, base, int(candidate), int(label))
        expected = cells.reshape(4, columns, -1).sum(2).ravel()
        np.testing.assert_allclose(why.scores[row], expected, atol=2e-6)
        beside = np.delete(np.arange(len(expected)), np.flatnonzero(expected))
        assert np.abs(why.scores[row][beside]).max() < 2e-6
    np.testing.assert_allclose(why.gap, 0, atol=2e-6)
    np.testing.assert_allclose(why.boxes, FOUND.boxes)


def test_a_blur_is_as_pillow_blurs():
    from PIL import Image, ImageFilter

    game = Game(MODEL, GridCells(PHOTO, 4, 4, "blur"), BoxScores(FOUND, "logit"))
    soft = np.asarray(Image.fromarray(PHOTO.pixels).filter(ImageFilter.GaussianBlur(1)))
    base = soft.transpose(2, 0, 1) / 255
    found = explain(game, "occlusion").scores
    np.testing.assert_allclose(found[2], by_hand(MODEL, PICTURE, base, 17, 1), atol=1e-6)


def test_superpixels_are_asked_as_cells_are():
    numbers = torch.arange(4).repeat_interleave(4)
    numbers = 15 - (numbers[:, None] * 4 + numbers)
    target = BoxScores(FOUND, "logit")
    cells = explain(Game(MODEL, CELLS, target), "occlusion").scores
    pieces = explain(Game(MODEL, Superpixels(PHOTO, of_pixels=numbers), target), "occlusion")
    np.testing.assert_array_equal(pieces.scores, cells[:, ::-1])


def test_a_letterboxed_photo_is_explained_in_its_own_cells():
    model = LinearDetector(3, partial(Frame.letterboxed, fill=1.0))
    photo = confetti(4, (8, SIDE))
    game = Game(model, GridCells(photo, 2, 4), BoxScores(model.detect([photo])[0], "logit"))
    shown = game.bound.picture().numpy()
    base = shown.copy()
    base[:, 4:12] = 0.5
    why = explain(game, "occlusion")
    assert len(game.targets) >= 3
    for row, candidate in enumerate(game.candidates):
        label = int(model.detect([photo])[0].labels[row])
        expected = by_hand(model, shown, base, candidate, label).reshape(4, 4)
        assert not expected[[0, 3]].any()
        np.testing.assert_allclose(why.scores[row].reshape(2, 4), expected[1:3], atol=1e-6)
    assert np.abs(why.scores).max() > 0.1
    assert (game.boxes[:, 3] <= 8).all()


# --- one set of passes, whatever the batch --------------------------------------------------------


@pytest.mark.parametrize("method", ["kernel_shap", "d_rise", "occlusion", "rise"])
def test_all_boxes_are_explained_by_the_same_passes(method):
    counts = []
    for detections in (FOUND[[1]], MODEL.detect([PHOTO])[0]):
        model = LinearDetector(3)
        game = Game(model, CELLS, BoxScores(detections))
        model.passes = model.pictures = 0
        played(game, method)
        counts.append((model.passes, model.pictures))
    assert counts[0] == counts[1]
    assert counts[0][1] > 10
    assert len(game.targets) > 10


def test_a_box_alone_is_explained_as_among_others():
    together = explain(Game(MODEL, CELLS, BoxScores(FOUND)), "kernel_shap", budget=100)
    alone = explain(Game(MODEL, CELLS, BoxScores(FOUND[[1]])), "kernel_shap", budget=100)
    np.testing.assert_allclose(alone.scores[0], together.scores[1], atol=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_a_row_does_not_depend_on_its_mates(batch):
    luck = torch.Generator().manual_seed(3)
    rows = torch.rand(11, 16, generator=luck)
    whole = (rows < 0.5).float()
    for target in (BoxScores(FOUND, "logit"), BoxEdge(FOUND, "left"), BoxRival(FOUND, "cup")):
        one, other = (Game(MODEL, CELLS, target, batch=b)(whole) for b in (None, batch))
        assert torch.equal(one, other)
    bent = BentDetector().float()
    found = bent.detect([PHOTO])[0]
    for target in (BoxScores(found), BoxSimilarity(found)):
        one, other = (Game(bent, CELLS, target, batch=b)(rows) for b in (None, batch))
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_photos_go_in_batches_of_32():
    model = LinearDetector(3)
    game = Game(model, CELLS, BoxScores(FOUND))
    model.passes = model.pictures = 0
    game(torch.ones(70, 16))
    assert (model.passes, model.pictures) == (3, 70)
    assert game.evaluations == 72


def test_an_answer_that_is_no_number_is_told():
    class Lost(LinearDetector):
        def dense(self, pictures):
            reply = super().dense(pictures)
            reply.scores[-1, 3, 0] = float("nan")
            return reply

    with pytest.raises(GameError, match="the model answered NaN or infinity; check its weights"):
        Game(Lost(3), CELLS, BoxScores(FOUND))


def test_a_model_that_fails_at_once_is_named_with_the_parts():
    model = LinearDetector(3)
    model.fuse = 0
    with pytest.raises(GameError, match=r"failed on these grid cells \(RuntimeError: the fuse has"):
        Game(model, CELLS, BoxScores(FOUND))


# --- left as found --------------------------------------------------------------------------------


def worn(kind: type = BentDetector):
    """A detector in training, with gradients of its own, and weights that are held."""
    model = kind()
    model.train()
    for number, weight in enumerate(model.parameters()):
        weight.grad = torch.full_like(weight, float(number))
        weight.requires_grad_(number % 2 == 0)
    return model


@pytest.mark.parametrize("method", [m for m in METHODS if m not in NOT_FOR_DETECTORS])
def test_every_method_works_and_leaves_the_detector_as_it_was(method):
    model = worn()
    found = model.detect([PHOTO])[0][:3]
    before = state(model)
    game = Game(model, GridCells(PHOTO, 2, 2), BoxScores(found))
    why = played(game, method)
    assert state(model) == before
    assert why.scores.shape == (3, 4)
    assert np.isfinite(why.scores).all()
    assert why.made.method == method
    assert torch.is_grad_enabled()
    if method != "random":
        assert why.scores.any(1).all() or why.made.notes


@pytest.mark.parametrize("method", [m for m in METHODS if m not in (*NOT_FOR_DETECTORS, "random")])
def test_a_failure_leaves_the_detector_as_it_was(method):
    model = worn()
    found = model.detect([PHOTO])[0][:3]
    game = Game(model, GridCells(PHOTO, 2, 2), BoxScores(found), batch=2)
    before = state(model)
    model.fuse = model.passes
    with pytest.raises(RuntimeError, match="the fuse has blown"):
        played(game, method)
    assert state(model) == before
    model.fuse = None
    assert np.isfinite(played(game, method).scores).all()  # nothing half made was kept


def test_making_a_game_leaves_the_detector_as_it_was_too():
    for kind in (BentDetector, LinearDetector, TwoStageDetector):
        model = worn(kind)
        before = state(model)
        Game(model, CELLS)
        assert state(model) == before


@pytest.mark.parametrize("method", NOT_FOR_DETECTORS)
def test_what_does_not_fit_detectors_says_why(method):
    message = {
        "anchors": "LinearDetector finds boxes and names no class; use shapley, kernel_shap",
        "p_sla": "a gradient by coordinates needs points, not grid cells",
    }.get(method, "LinearDetector attends to no strokes")
    with pytest.raises(GameError, match=message):
        played(Game(MODEL, CELLS, BoxScores(FOUND)), method)


@pytest.mark.parametrize("method", METHODS)
def test_a_black_box_is_explained_by_values_alone(method):
    def finds(photos):
        return [
            ([[0, 0, 8, 8], [8, 8, 16, 16]], [p[:8, :8].mean() / 255, 0.9], [0, 1]) for p in photos
        ]

    cells = GridCells(plain(255), 2, 2)
    game = Game(CallableDetector(finds, labels=["light", "rock"]), cells)
    assert game.unit == "similarity"
    if method in (*GRADIENT, *NOT_FOR_DETECTORS, "ablation_cam"):
        with pytest.raises(GameError, match=r"use |finds boxes|needs points|attends to no strokes"):
            played(game, method)
    else:
        why = played(game, method)
        assert why.scores.shape == (2, 4)
        if method not in ("random", "d_rise"):  # so few masks are luck too
            assert why.ranking("light 1")[0] == 0


def test_a_gradient_of_a_black_box_names_methods_that_need_none():
    game = Game(BlackBox(MODEL), CELLS, BoxSimilarity(FOUND))
    with pytest.raises(GameError, match=r"come and go whole, so there is no gradient .* shapley"):
        explain(game, "integrated_gradients")
    with pytest.raises(GameError, match=r"BlackBox reads no pictures; use shapley, kernel_shap"):
        explain(game, "hires_cam")
    with pytest.raises(GameError, match="grid cells come and go whole: presence must be 0 or 1"):
        game(torch.full((1, 16), 0.5))


# --- classifiers of photos ------------------------------------------------------------------------


def classifier() -> PictureClassifier:
    module = torch.nn.Sequential(
        torch.nn.AvgPool2d(4),
        torch.nn.Conv2d(3, 3, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    module[1].weight.data, module[1].bias.data = weight[:, :3, None, None], weight[:, 3]
    return PictureClassifier(module, labels=["r", "g", "b"], size=(SIDE, SIDE)).eval()


def test_a_remembered_photo_is_still_a_photo():
    game = Game(classifier(), GridCells(PHOTO, 2, 2), remember=True)
    assert isinstance(game._bound, Remembered)
    assert isinstance(game.bound, BoundPhoto)
    fresh = Game(classifier(), GridCells(PHOTO, 2, 2))
    for method in ("d_rise", "hires_cam", "shapley", "occlusion"):
        one, other = (played(g, method).scores for g in (game, fresh))
        np.testing.assert_allclose(one, other, atol=1e-6)
    model = LinearDetector(3)
    again = Game(model, CELLS, BoxScores(FOUND), remember=True)  # boxes are not kept, and work
    assert torch.equal(again(torch.ones(1, 16)), Game(MODEL, CELLS, BoxScores(FOUND)).value[None])


@pytest.mark.parametrize("method", [m for m in METHODS if m not in NOT_FOR_DETECTORS[:1]])
def test_a_classifier_of_photos_is_explained_by_what_fits(method):
    game = Game(classifier(), GridCells(PHOTO, 2, 2, BLACK))
    if method.startswith("attention"):
        with pytest.raises(GameError, match="attends to no strokes"):
            played(game, method)
        return
    why = played(game, method)
    assert why.scores.shape == (1, 4)
    assert why.boxes is None
