import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from match_toys import half_red, halves, number_line, three
from sightline.errors import GameError, ModelError, TaskError
from sightline.explanation import Explanation
from sightline.image.photo import Photo
from sightline.models.encoder import Encoder, similarities
from sightline.models.two_branch import two_branch
from sightline.parts import Superpixels
from sightline.scenes.pairs import draw_pair
from sightline.sketch.sketch import Sketch
from sightline.tasks.retrieval.explain_match import default_method, explain_match
from sightline.tasks.retrieval.match import Match
from toys import scribble, stroke_net


def by_hand(**settings) -> Match:
    photo = half_red()
    return explain_match(number_line(), three(), photo, superpixels=halves(photo), **settings)


# --- by hand --------------------------------------------------------------------------------------


def test_both_sides_of_a_match_on_the_number_line():
    match = by_hand()
    # the drawing stands at 6, the photo at 10: 4 apart; each stroke brings its weight nearer
    np.testing.assert_allclose(match.query.scores, [[3, 2, 1]], atol=1e-6)
    assert (match.query.value[0], match.query.base[0]) == (-4, -10)
    assert match.similarity == -4
    assert match.query.targets == ("flag",)
    # nothing is grey: 10. Left alone 15, right alone 5: values -4, -9, -1, and -4 with both
    np.testing.assert_allclose(match.found.scores, [[-4, 4]], atol=1e-5)
    assert match.found.targets == ("query",)
    assert match.query.unit == match.found.unit == "minus distance"


def test_why_this_photo_above_that_one_asks_for_the_margin():
    that = torch.tensor([[-1.0], [20.0]])
    match = by_hand(over=that, over_names=("wall", "sky"))
    assert match.over == ("wall", "sky")
    assert match.query.targets == ("flag above wall", "flag above sky")
    # |s - -1| - |s - 10| = 2 s - 9 above the wall; |s - 20| - |s - 10| = 10 above the sky
    np.testing.assert_allclose(match.query.scores, [[6, 4, 2], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(match.query.value, [3, 10], atol=1e-6)
    np.testing.assert_allclose(match.found.scores, [[-4, 4]], atol=1e-5)
    assert match.similarity == -4


def test_others_may_be_photos_which_give_their_names():
    black = Photo(np.zeros((4, 8, 3), np.uint8), name="night")
    match = by_hand(over=[black, Photo(black.pixels)])
    assert match.over == ("night", "that 1")
    # |s - 0| - |s - 10| = 2 s - 10
    np.testing.assert_allclose(match.query.scores, [[6, 4, 2]] * 2, atol=1e-6)


def test_the_place_counts_who_stands_nearer():
    gallery = torch.tensor([[20.0], [7.0], [10.0], [6.5], [2.0]])
    match = by_hand(gallery=gallery, index=2)
    assert (match.place, match.among) == (3, 5)  # 7 and 6.5 are nearer to 6; 2 is as near as 10
    assert match.title == "query finds flag: distance 4.00, place 3 of 5"
    assert repr(match) == f"Match({match.title})"


def test_a_photo_is_called_as_a_gallery_calls_it():
    photo, other = half_red("flag.v2.PNG"), half_red("wall.png")
    match = explain_match(number_line(), three(), photo, over=[other], superpixels=halves(photo))
    assert match.names == ("query", "flag.v2")
    assert match.query.targets == ("flag.v2 above wall",)
    assert match.found.parts.subject.name == "flag.v2.PNG"


def test_the_stored_vector_is_explained():
    match = by_hand(gallery=torch.tensor([[10.1]]), index=0)
    assert match.query.value[0] == pytest.approx(-4.1, abs=1e-6)
    assert match.similarity == pytest.approx(-4.1, abs=1e-6)


# --- laws -----------------------------------------------------------------------------------------


def test_each_side_shares_out_the_similarity_of_a_trained_shape_of_encoder():
    encoder, pair = two_branch(dimension=8, width=4, seed=1), draw_pair(2)
    match = explain_match(encoder, pair.sketch, pair.photo, superpixels=12, budget=512)
    drawn, seen = encoder.encode([pair.sketch]), encoder.encode([pair.photo])
    alike = float(similarities(drawn, seen))
    assert match.similarity == pytest.approx(alike, abs=1e-6)
    for why in (match.query, match.found):
        assert why.value[0] == pytest.approx(alike, abs=1e-5)
        assert abs(why.gap[0]) < 1e-6
    colour = pair.photo.pixels.mean((0, 1), keepdims=True).round().astype(np.uint8)
    blank = Photo(np.broadcast_to(colour, pair.photo.pixels.shape).copy())
    nothing = float(similarities(encoder.encode([blank]), drawn))
    assert match.found.base[0] == pytest.approx(nothing, abs=0.01)
    assert len(match.query.parts) == len(pair.sketch)
    assert match.encoder == encoder.fingerprint


def test_a_drawing_may_find_a_drawing():
    encoder = Encoder(sketch=stroke_net())
    query, found = scribble(1), scribble(2)
    match = explain_match(encoder, query, found)
    mirrored = explain_match(encoder, found, query)
    assert match.found.parts.kind == "strokes"
    np.testing.assert_allclose(match.found.scores, mirrored.query.scores, atol=1e-6)
    np.testing.assert_allclose(match.query.scores, mirrored.found.scores, atol=1e-6)
    assert match.names == ("scribble 1", "scribble 2")


def test_a_cosine_s_scale_does_not_matter_and_names_may_be_missing():
    encoder = Encoder(sketch=stroke_net())
    query, found = Sketch(scribble(1).strokes), Sketch(scribble(2).strokes)
    match = explain_match(encoder, query, found, over=3 * encoder.encode([scribble(3)]))
    same = explain_match(encoder, query, found, over=encoder.encode([scribble(3)]))
    np.testing.assert_allclose(match.query.scores, same.query.scores, atol=1e-6)
    assert match.names == ("the drawing", "the drawing")
    assert match.query.targets == ("the drawing above that 0",)


def test_the_seed_decides_about_samples_and_the_methods_are_taken():
    settings = {"photo_method": "rise", "budget": 40, "superpixels": 16}
    encoder, pair = two_branch(dimension=8, width=4, seed=1), draw_pair(2)
    one, same, other = (
        explain_match(encoder, pair.sketch, pair.photo, method="sla", seed=seed, **settings)
        for seed in (0, 0, 1)
    )
    assert (one.query.made.method, one.found.made.method) == ("sla", "rise")
    np.testing.assert_array_equal(one.found.scores, same.found.scores)
    assert np.abs(one.found.scores - other.found.scores).max() > 1e-4


def test_the_default_is_exact_while_the_budget_allows():
    assert default_method(scribble(0, 12)) == "shapley"
    assert default_method(scribble(0, 13)) == "kernel_shap"
    assert default_method(scribble(0, 5), 32) == "shapley"
    assert default_method(scribble(0, 5), 31) == "kernel_shap"
    assert default_method(scribble(0, 3), "2s") == "kernel_shap"
    assert default_method(scribble(0, 13), 10_000) == "kernel_shap"
    assert default_method(half_red(), 10**6) == "kernel_shap"


def test_the_encoder_is_left_as_it_came_also_after_a_failure():
    encoder, pair = two_branch(dimension=8, width=4, seed=1), draw_pair(2)
    encoder.train()
    next(iter(encoder.parameters())).grad = torch.ones_like(next(iter(encoder.parameters())))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    explain_match(encoder, pair.sketch, pair.photo, method="sla", superpixels=4, budget=16)
    with pytest.raises(GameError, match="unknown method"):
        explain_match(encoder, pair.sketch, pair.photo, method="slap", superpixels=4)
    assert all(module.training for module in encoder.modules())
    assert all(weight.requires_grad for weight in encoder.parameters())
    assert bool((next(iter(encoder.parameters())).grad == 1).all())
    assert all(torch.equal(before[name], v) for name, v in encoder.state_dict().items())


# --- files ----------------------------------------------------------------------------------------


def test_a_match_is_read_as_it_was_saved(tmp_path):
    match = by_hand(gallery=torch.tensor([[20.0], [10.0]]), index=1, over=torch.tensor([[-1.0]]))
    manifest = match.save(tmp_path / "why.v2")
    assert {p.name for p in tmp_path.iterdir()} == {
        "why.v2.json",
        "why.v2-query.safetensors",
        "why.v2-found.safetensors",
    }
    read = Match.load(manifest)
    assert read.as_dict() == match.as_dict()
    assert match.as_dict() == {
        "query": "query",
        "found": "flag",
        "similarity": -4.0,
        "measure": "distance",
        "place": 1,
        "among": 2,
        "over": ["that 0"],
        "encoder": number_line().fingerprint,
    }
    np.testing.assert_array_equal(read.query.scores, match.query.scores)
    np.testing.assert_array_equal(read.found.scores, match.found.scores)
    assert Explanation.load(tmp_path / "why.v2-found.safetensors").parts.photo.name == "flag"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "sightline match 0"}, "not a match of this version"),
        ({"files": {"query": "../q.safetensors", "found": "f"}}, "leaves its folder"),
        ({"files": {"query": "lost.safetensors", "found": "f"}}, "does not exist"),
        ({"measure": "taste"}, "measure 'taste'"),
        ({"place": "first"}, "place 'first' of None"),
        ({"place": 1}, "place 1 of None"),
        ({"over": None}, "damaged"),
        ({"similarity": "high"}, "damaged"),
        ({"files": 3}, "damaged"),
    ],
)
def test_a_damaged_match_is_told(tmp_path, change, message):
    manifest = by_hand().save(tmp_path / "why")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | change))
    with pytest.raises(ValueError, match=re.escape(message)):
        Match.load(manifest)


def test_what_is_no_match_is_told(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "text.json").write_text("{")
    for name, message in (
        ("none.json", "does not exist"),
        ("list.json", "damaged"),
        ("text.json", "damaged"),
    ):
        with pytest.raises(TaskError, match=message):
            Match.load(tmp_path / name)


def test_a_match_draws_itself(tmp_path):
    match = by_hand(over=torch.tensor([[-1.0], [20.0]]), over_names=("wall", "sky"))
    for suffix in ("png", "svg", "pdf"):
        match.plot(tmp_path / f"match.{suffix}", target="flag above sky")
    assert "flag above sky" in (tmp_path / "match.svg").read_text()
    with pytest.raises(TaskError, match=re.escape("cannot draw 'match.gif'")):
        match.plot(tmp_path / "match.gif")
    with pytest.raises(GameError, match="no target 'flag above sea'"):
        match.plot(tmp_path / "match.png", target="flag above sea")


# --- errors ---------------------------------------------------------------------------------------


def test_what_does_not_fit_is_told():
    photo, drawn = half_red(), three()
    with pytest.raises(TaskError, match="gallery is given without index"):
        by_hand(gallery=torch.ones(2, 1))
    with pytest.raises(TaskError, match="index is given without gallery"):
        by_hand(index=0)
    with pytest.raises(TaskError, match=r"row 2 of a gallery of shape \[2, 1\]"):
        by_hand(gallery=torch.ones(2, 1), index=2)
    with pytest.raises(TaskError, match="of 1 numbers each"):
        by_hand(gallery=torch.ones(2, 3), index=0)
    with pytest.raises(TaskError, match="not the vector of flag: the photo or the encoder has"):
        by_hand(gallery=torch.tensor([[10.0], [11.0]]), index=1)
    with pytest.raises(TaskError, match="over is empty"):
        by_hand(over=[])
    with pytest.raises(GameError, match="1 vectors, but 2 names"):
        by_hand(over=torch.ones(1, 1), over_names=("a", "b"))
    with pytest.raises(TaskError, match="superpixels are of another photo"):
        explain_match(number_line(), drawn, photo, superpixels=halves(half_red()))
    with pytest.raises(ModelError, match="reads drawings only"):
        explain_match(Encoder(sketch=stroke_net()), drawn, photo)


def test_a_recogniser_is_no_encoder():
    from toys import unchecked

    with unchecked(), pytest.raises(TaskError, match="SketchXAINet answers no vectors"):
        explain_match(stroke_net(), three(), half_red())


def test_superpixels_are_cut_as_many_as_asked():
    pair = draw_pair(0)
    encoder = two_branch(dimension=4, width=4, seed=0)
    match = explain_match(
        encoder, pair.sketch, pair.photo, superpixels=9, photo_method="sla", method="sla"
    )
    assert len(match.found.parts) == len(Superpixels(pair.photo, 9))
    assert isinstance(encoder.photo, nn.Module)
