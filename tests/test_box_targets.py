"""Targets in boxes: by hand on a linear detector, by a few plain lines, and what is refused."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from detectors import (
    BLACK,
    LABELS,
    BentDetector,
    BlackBox,
    LinearDetector,
    TwoStageDetector,
    by_hand,
    cell_boxes,
    confetti,
    plain,
)
from oracles.d_rise import similarities
from sightline import (
    BoxEdge,
    BoxRival,
    BoxScores,
    BoxSimilarity,
    ClassScore,
    Detections,
    Frame,
    Game,
    GameError,
    GridCells,
    MissedBox,
    boxes_in,
    kernel_shap,
)
from sightline.targets.boxes import EDGES, numbered
from toys import picture_net, scribble, unchecked

MODEL = LinearDetector(3)
PHOTO = confetti(0)
CELLS = GridCells(PHOTO, 4, 4)
FOUND = MODEL.detect([PHOTO])[0][[0, 4, 8]]
"""Candidates 5, 19 and 17: a kite in a small cell, a kite and a duck in two large ones."""

PICTURE = PHOTO.pixels.transpose(2, 0, 1) / 255
GREY = np.full_like(PICTURE, 0.5)


def test_the_toy_is_what_the_tests_take_it_for():
    assert FOUND.candidates.tolist() == [5, 19, 17]
    assert FOUND.names == ("kite", "kite", "duck")


# --- values ---------------------------------------------------------------------------------------


def test_scores_are_those_of_the_detections_on_every_scale():
    for scale, expected in (
        ("probability", FOUND.scores),
        ("log-probability", FOUND.scores.log()),
        ("logit", FOUND.scores.logit()),
    ):
        game = Game(MODEL, CELLS, BoxScores(FOUND, scale))
        torch.testing.assert_close(game.value.float(), expected, atol=1e-6, rtol=0)
        assert game.unit == scale
    assert game.targets == ("kite 1", "kite 2", "duck 1")
    assert game.candidates == (5, 19, 17)
    assert torch.equal(game.boxes, FOUND.boxes)
    assert game.classes == ()


def test_the_logarithm_of_a_score_that_was_rounded_to_0_is_a_number():
    model = LinearDetector(3)
    for head in model.classes:
        head.bias.data[:] = -200  # a sigmoid of 0 in single precision
    game = Game(model, CELLS, BoxScores(FOUND, "log-probability"))
    assert game.value.isfinite().all()
    assert (game.value < -80).all()


@pytest.mark.parametrize("row", range(3))
def test_logits_are_shared_out_by_hand(row):
    why = shared_out(BoxScores(FOUND, "logit"))
    label = int(FOUND.labels[row])
    expected = by_hand(MODEL, PICTURE, GREY, int(FOUND.candidates[row]), label)
    np.testing.assert_allclose(why[row], expected, atol=1e-6)
    assert np.count_nonzero(expected) == (1 if row == 0 else 4)


@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_shared_out_by_hand_in_pixels_of_the_photo(edge):
    """On a photo twice as large and wide as high, an edge across counts four times as much."""
    frame = partial(Frame.stretched)
    model = LinearDetector(3, frame)
    large = type(PHOTO)(np.kron(PHOTO.pixels, np.ones((2, 4, 1), np.uint8)))
    game = Game(model, GridCells(large, 4, 4), BoxEdge(FOUND, edge))
    assert game.unit == "pixels"
    assert game.targets == tuple(f"{name}: {edge} edge" for name in numbered(FOUND))
    picture = game.bound.picture().numpy()
    times = 4 if edge in ("left", "right") else 2
    column = EDGES.index(edge)
    for row, candidate in enumerate(FOUND.candidates.tolist()):
        moved = by_hand(model, picture, np.zeros_like(picture), candidate, column, edge=True).sum()
        expected = times * (cell_boxes()[candidate, column].item() + moved)
        assert game.value[row].item() == pytest.approx(expected, abs=1e-4)
    alone = occluded(game)
    expected = by_hand(model, picture, GREY, 19, column, edge=True) * times
    np.testing.assert_allclose(alone[1], expected, atol=1e-4)


def occluded(game: Game) -> np.ndarray:
    return (game.value - game(1 - torch.eye(len(game.parts)))).T.numpy()


def shared_out(target) -> np.ndarray:
    return kernel_shap(Game(MODEL, CELLS, target), budget=200).scores


def test_a_rival_is_the_difference_of_two_logits_at_one_place():
    game = Game(MODEL, CELLS, BoxRival(FOUND, "cup"))
    assert game.targets[2] == "duck 1 rather than cup"
    assert game.unit == "logit"
    expected = by_hand(MODEL, PICTURE, GREY, 17, 1) - by_hand(MODEL, PICTURE, GREY, 17, 0)
    np.testing.assert_allclose(occluded(game)[2], expected, atol=1e-6)
    by_number = Game(MODEL, CELLS, BoxRival(FOUND, 0))
    assert torch.equal(by_number.value, game.value)


def test_a_label_is_no_rival_of_itself():
    with pytest.raises(GameError, match="rival 'kite' is itself the label of a detection"):
        Game(MODEL, CELLS, BoxRival(FOUND, "kite"))
    with pytest.raises(GameError, match="unknown label 'mug'"):
        Game(MODEL, CELLS, BoxRival(FOUND, "mug"))


def asked(game: Game, detector, presence: torch.Tensor) -> np.ndarray:
    """Similarities by the plain oracle, from what a black box says of the masked photos."""
    bound = game.bound
    seen = []
    bound.model = type("Spy", (), {})()
    bound.model.labels = LABELS

    def detect(photos, *, threshold):
        seen.extend(detector.detect(photos, threshold=threshold))
        return seen[-len(photos) :]

    bound.model.detect = detect
    bound(presence)
    pictures = [
        [
            (box, scores, float(sure))
            for box, scores, sure in zip(
                found.boxes.tolist(), found.distributions.tolist(), found.scores, strict=True
            )
        ]
        for found in seen
    ]
    told = zip(FOUND.boxes.tolist(), FOUND.distributions.tolist(), strict=True)
    return similarities(pictures, list(told))


def test_similarity_of_a_black_box_is_d_rises():
    box = BlackBox(MODEL)
    game = Game(box, CELLS, BoxSimilarity(FOUND))
    luck = torch.Generator().manual_seed(2)
    presence = (torch.rand(6, 16, generator=luck) < 0.6).float()
    values = game(presence)
    assert game.unit == "similarity"
    assert game.candidates == ()
    assert torch.equal(game.boxes, FOUND.boxes)
    np.testing.assert_allclose(values, asked(game, box, presence), atol=1e-6)
    assert values.std(0).min() > 1e-3
    np.testing.assert_allclose(game.value, FOUND.scores, atol=1e-6)  # it finds itself


def test_similarity_of_a_dense_head_looks_at_all_candidates():
    game = Game(MODEL, CELLS, BoxSimilarity(FOUND))
    reply = MODEL.dense(game.bound.picture()[None])
    each = zip(
        reply.boxes[0].tolist(),
        reply.scores[0].tolist(),
        reply.scores[0].amax(1).tolist(),
        strict=True,
    )
    told = list(zip(FOUND.boxes.tolist(), FOUND.distributions.tolist(), strict=True))
    np.testing.assert_allclose(game.value, similarities([list(each)], told)[0], atol=1e-6)
    assert game.gradient(torch.ones(1, 16)).abs().amax(2).min() > 0


def test_a_label_alone_is_a_distribution_too():
    by_name = Detections(FOUND.boxes, FOUND.scores, FOUND.labels, FOUND.names)
    game = Game(BlackBox(MODEL), CELLS, BoxSimilarity(by_name))
    assert (game.value < FOUND.scores).all()
    assert (game.value > 0.2).all()
    other = Detections(FOUND.boxes, FOUND.scores, FOUND.labels + 7)
    with pytest.raises(GameError, match="label 9 is out of range: there are 3, 0 to 2"):
        Game(BlackBox(MODEL), CELLS, BoxSimilarity(other))


# --- missed boxes ---------------------------------------------------------------------------------


def test_a_missed_box_is_the_candidate_at_its_place():
    # cell 9 is at row 2, column 1
    game = Game(MODEL, CELLS, MissedBox((4, 8, 8, 12), "duck", scale="logit"))
    assert game.targets == ("missed duck",)
    assert game.candidates == (9,)
    assert game.boxes.tolist() == [[4, 8, 8, 12]]
    reply = MODEL.dense(game.bound.picture()[None])
    assert game.value.item() == pytest.approx(reply.logits[0, 9, 1].item())


def test_of_several_candidates_at_the_place_the_likeliest_is_asked():
    # two copies of every cell, the second a bit off: both overlap by more than a half
    class Twice(LinearDetector):
        def dense(self, pictures):
            from dataclasses import replace

            once = super().dense(pictures)
            near = once.boxes + torch.tensor([0.5, 0.0, 0.5, 0.0])
            return replace(
                once,
                boxes=torch.cat([once.boxes, near], 1),
                scores=torch.cat([once.scores, once.scores + 0.1], 1),
                logits=torch.cat([once.logits] * 2, 1),
                level=torch.cat([once.level] * 2),
            )

    exact = MODEL.dense(torch.from_numpy(PICTURE).float()[None]).boxes[0, 9].tolist()
    game = Game(Twice(3), CELLS, MissedBox(exact, "duck"))
    assert game.candidates == (20 + 9,)  # though candidate 9 is the place itself


def test_a_place_that_no_candidate_covers_is_asked_at_the_nearest():
    # 1 x 1 at the bottom right: covered by cell 15 (IoU 1/16) and by cell 19 (1/64)
    assert Game(MODEL, CELLS, MissedBox((15, 15, 16, 16), "duck")).candidates == (15,)

    class Corner(LinearDetector):
        """Boxes shrink to a tenth around their centres: most of the picture is bare."""

        def dense(self, pictures):
            from dataclasses import replace

            from sightline.image.boxes import from_centres

            once = super().dense(pictures)
            low, high = once.boxes[..., :2], once.boxes[..., 2:]
            small = torch.cat([(low + high) / 2, torch.full_like(low, 0.1)], -1)
            return replace(once, boxes=from_centres(small))

    for seed in range(4):  # whatever scores the others have
        game = Game(Corner(seed), CELLS, MissedBox((12.5, 0.2, 13.0, 0.6), "kite"))
        assert game.candidates == (3,)


def test_a_missed_box_of_a_black_box_is_asked_by_similarity():
    game = Game(BlackBox(MODEL), CELLS, MissedBox((4, 8, 8, 12), "duck"))
    assert (game.unit, game.targets) == ("similarity", ("missed duck",))
    assert 0 < game.value.item() < 1
    assert game.boxes.tolist() == [[4, 8, 8, 12]]


@pytest.mark.parametrize(
    ("xyxy", "message"),
    [
        ((3, 3, 3, 9), r"missed box \[3, 3, 3, 9\] has no area"),
        ((9, 3, 4, 9), "has no area; give left, top, right, bottom in pixels"),
        ((3, 3, 4), "has no area"),
        ((float("nan"), 3, 4, 9), "has no area"),
        ((10, 10, 20, 15), r"box \[10.0, 10.0, 20.0, 15.0\] lies outside confetti of 16 x 16 pix"),
        ((-5, 0, 4, 4), "lies outside confetti of 16 x 16"),
        ((0, 0, float("inf"), 4), "lies outside confetti"),
    ],
)
def test_a_missed_box_must_lie_in_the_photo(xyxy, message):
    for model in (MODEL, BlackBox(MODEL)):
        with pytest.raises(GameError, match=message):
            Game(model, CELLS, MissedBox(xyxy, "cup"))


def test_a_missed_box_needs_a_label_that_is_known():
    for model in (MODEL, BlackBox(MODEL)):
        with pytest.raises(GameError, match="unknown label 'cap'; did you mean 'cup'"):
            Game(model, CELLS, MissedBox((4, 8, 8, 12), "cap"))
        with pytest.raises(GameError, match="target 3 is out of range: this model answers 3"):
            Game(model, CELLS, MissedBox((4, 8, 8, 12), 3))


# --- refusals -------------------------------------------------------------------------------------


def test_no_detection_says_how_near_it_came_and_offers_the_missed_box():
    best = f"{float(MODEL.detect([PHOTO])[0].scores[0]):.3f}"
    with pytest.raises(
        GameError,
        match=rf"no detection of at least 0.99 in confetti: the best is kite with {best}; lower "
        r"threshold, or .* sl.MissedBox\(",
    ):
        boxes_in(MODEL, PHOTO, threshold=0.99)
    assert len(boxes_in(MODEL, PHOTO, most=2)) == 2
    assert len(boxes_in(MODEL, PHOTO)) > 2


def test_a_detector_without_a_single_box_says_none():
    class Blind(BlackBox):
        def detect(self, photos, *, threshold=0.5):
            return [each[[]] for each in super().detect(photos)]

    with pytest.raises(GameError, match=r"in this photo: none; lower threshold"):
        boxes_in(Blind(MODEL), type(PHOTO)(PHOTO.pixels))
    with pytest.raises(GameError, match=r"no detection of at least 0\.5"):
        Game(Blind(MODEL), CELLS)


@pytest.mark.parametrize("build", [BoxScores, BoxSimilarity, lambda d: BoxEdge(d, "top")])
def test_no_detection_is_no_target(build):
    with pytest.raises(GameError, match=r"there is no detection to explain: lower .* sl.MissedBox"):
        build(FOUND[[]])


@pytest.mark.parametrize(
    "build", [BoxScores, lambda d: BoxEdge(d, "top"), lambda d: BoxRival(d, 0)]
)
def test_a_black_box_is_asked_by_similarity(build):
    blind = Detections(FOUND.boxes, FOUND.scores, FOUND.labels, FOUND.names)
    with pytest.raises(
        GameError, match=r"a black box has none; use sl.BoxSimilarity\(detections\)"
    ):
        Game(BlackBox(MODEL), CELLS, build(FOUND))
    with pytest.raises(GameError, match=r"do not say which candidate .* sl.BoxSimilarity"):
        Game(MODEL, CELLS, build(blind))


@pytest.mark.parametrize("build", [BoxScores, lambda d: BoxEdge(d, "top")])
def test_detections_of_another_detector_are_refused(build):
    few = Game(TwoStageDetector(), CELLS).model
    with pytest.raises(GameError, match=r"came from candidate 19, but this detector has 4"):
        Game(few, CELLS, build(FOUND))
    wide = Detections(FOUND.boxes, FOUND.scores, FOUND.labels + 7, candidates=FOUND.candidates)
    with pytest.raises(GameError, match=r"a detection has label 9, but this detector has 3"):
        Game(MODEL, CELLS, build(wide))


def test_a_detector_has_no_one_class_and_a_classifier_no_boxes():
    for model in (MODEL, BlackBox(MODEL), TwoStageDetector()):
        with pytest.raises(GameError, match=r"a detector has boxes, not one class: ask sl.BoxSco"):
            Game(model, CELLS, ClassScore("cup"))
    drawn = GridCells(scribble(), 2, 2)
    for target in (BoxSimilarity(FOUND), MissedBox((0, 0, 4, 4), 1)):
        with pytest.raises(GameError, match=r"RasterModel finds no boxes: ask sl.ClassScore"):
            Game(picture_net(), drawn, target)
    with pytest.raises(GameError, match="asks a candidate of a dense head"):
        Game(picture_net(), drawn, BoxScores(FOUND))


def test_unknown_scales_and_edges_name_the_known():
    with unchecked():
        for build in (BoxScores, lambda d, s: MissedBox((0, 0, 1, 1), 0, s)):
            with pytest.raises(GameError, match="unknown scale 'logits'; did you mean 'logit'"):
                build(FOUND, "logits")
        with pytest.raises(GameError, match="unknown edge 'upper'"):
            BoxEdge(FOUND, "upper")


def test_boxes_of_one_label_are_counted():
    assert numbered(MODEL.detect([PHOTO])[0][[0, 4, 1, 8]]) == (
        "kite 1",
        "kite 2",
        "kite 3",
        "duck 1",
    )


# --- several targets in one game ------------------------------------------------------------------


def test_several_targets_of_one_unit_are_one_game():
    parts = [BoxScores(FOUND[[0]]), MissedBox((4, 8, 8, 12), "duck"), BoxScores(FOUND[[2]])]
    game = Game(MODEL, CELLS, parts)
    assert game.targets == ("kite 1", "missed duck", "duck 1")
    assert game.candidates == (5, 9, 17)
    assert game.boxes.shape == (3, 4)
    for column, part in enumerate(parts):
        assert game.value[column] == Game(MODEL, CELLS, part).value[0]
    mixed = Game(BlackBox(MODEL), CELLS, [BoxSimilarity(FOUND), MissedBox((4, 8, 8, 12), "cup")])
    assert len(mixed.boxes) == 4
    assert mixed.candidates == ()


def test_units_are_not_mixed_and_names_are_not_repeated():
    with pytest.raises(GameError, match="share a unit; these have logit, probability"):
        Game(MODEL, CELLS, [BoxScores(FOUND), BoxRival(FOUND, "cup")])
    with pytest.raises(GameError, match="two targets are both named 'kite 1'; ask each thing once"):
        Game(MODEL, CELLS, [BoxScores(FOUND), BoxScores(FOUND[[0]])])


def test_what_is_no_target_is_told_what_to_give():
    with unchecked():
        with pytest.raises(GameError, match=r"no target yet: give sl.BoxScores\(detections\)"):
            Game(MODEL, CELLS, FOUND)
        with pytest.raises(GameError, match=r"'cup' is no target: give sl.ClassScore\('cup'\)"):
            Game(MODEL, CELLS, "cup")
        with pytest.raises(GameError, match="no target: name at least one"):
            Game(MODEL, CELLS, [])


def test_by_default_every_detection_is_asked():
    game = Game(MODEL, CELLS)
    assert game.unit == "probability"
    assert game.candidates == tuple(MODEL.detect([PHOTO])[0].candidates.tolist())
    box = Game(BlackBox(MODEL), CELLS)
    assert box.unit == "similarity"
    assert box.targets == game.targets
    faint = Game(BentDetector(), GridCells(BLACK, 2, 2))
    assert len(faint.targets) == len(BentDetector().detect([BLACK])[0])
    with pytest.raises(GameError, match=r"no detection of at least 0\.5 in plain: the best is"):
        Game(MODEL, GridCells(plain(0), 2, 2))
