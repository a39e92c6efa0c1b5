"""Explanations: numbers with their provenance; saved, carried over, drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from safetensors import safe_open
from safetensors.numpy import save_file

from sightline import (
    ClassScore,
    Explanation,
    Game,
    GameError,
    Points,
    Provenance,
    SightlineError,
    Sketch,
    Strokes,
    kernel_shap,
    p_sla,
    shapley,
)
from sightline.picture import confusion_figure, figure
from toys import picture_net, scribble, stroke_net, unchecked

HOUSE = Sketch.from_strokes(
    [
        np.array([(0.0, 4), (0, 8), (6, 8), (6, 4)]),
        np.array([(0.0, 4), (3, 0), (6, 4)]),
        np.array([(2.0, 8), (2, 6)]),
    ],
    label="house",
    name="house 1",
    parts=("walls", "roof", "door"),
)
MADE = Provenance(
    method="by hand",
    model="Carpenter",
    fingerprint="0123456789abcdef",
    evaluations=8,
    seconds=0.5,
    settings={"budget": 8, "stop": None},
    seed=3,
    versions={"sightline": "0"},
    notes=("drawn on a Sunday",),
)


def made_by_hand(scores=((3.0, -1.0, 0.5), (-2.0, -2.0, -1.0)), *, parts=None, errors=None):
    scores = np.array(scores, dtype=float)
    return Explanation(
        scores=scores,
        parts=parts or Strokes(HOUSE),
        targets=("house", "boat")[: len(scores)],
        unit="logit",
        value=np.array([4.0, 1.0])[: len(scores)],
        base=np.array([1.0, 7.0])[: len(scores)],
        made=MADE,
        errors=errors,
    )


def points_by_hand():
    return made_by_hand([np.arange(9.0) - 2], parts=Points(HOUSE))


def same(a: Explanation, b: Explanation) -> None:
    for name in ("scores", "value", "base"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.errors is None) == (b.errors is None)
    if a.errors is not None:
        np.testing.assert_array_equal(a.errors, b.errors)
    assert (a.targets, a.unit, a.made) == (b.targets, b.unit, b.made)
    assert type(a.parts) is type(b.parts)
    drawn, again = a.parts.subject, b.parts.subject
    assert (drawn.label, drawn.name, drawn.parts) == (again.label, again.name, again.parts)
    for x, y in zip(drawn.strokes, again.strokes, strict=True):
        np.testing.assert_array_equal(x, y)


# --- the record -----------------------------------------------------------------------------------


def test_ranking_gap_and_target_by_hand():
    why = made_by_hand()
    assert why.ranking() == [0, 2, 1]
    assert why.ranking("boat") == [2, 0, 1]  # ties stay in drawing order
    assert why.gap.tolist() == [4 - 1 - 2.5, 1 - 7 + 5]
    assert (why.target("boat"), why.target(1), why.target()) == (1, 1, 0)
    assert repr(why) == "Explanation(by hand: house, boat; 3 strokes)"


@pytest.mark.parametrize("wrong", ["car", 2, -1])
def test_a_target_that_was_not_explained_lists_those_that_were(wrong):
    with pytest.raises(GameError, match=r"no target .* here; explained: house, boat"):
        made_by_hand().ranking(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"scores": np.zeros((1, 3))},
            r"scores have shape \[1, 3\]; expected \[2, 3\], one number",
        ),
        ({"scores": np.zeros((2, 4))}, r"each of the strokes"),
        ({"scores": np.full((2, 3), np.nan)}, "by hand gave scores that are not finite"),
        ({"value": np.zeros(3)}, r"value has shape \[3\]; expected \[2\]"),
        ({"base": np.zeros(1)}, r"base has shape \[1\]; expected \[2\]"),
        ({"errors": np.zeros((2, 2))}, r"errors have shape \[2, 2\]; expected \[2, 3\]"),
        ({"errors": np.full((2, 3), np.inf)}, "by hand gave errors that are not finite"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with unchecked(), pytest.raises(SightlineError, match=message):
        replace(made_by_hand(), **change)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "why",
    [
        made_by_hand(),
        made_by_hand(errors=np.full((2, 3), 0.25)),
        points_by_hand(),
        made_by_hand(parts=Strokes(Sketch(HOUSE.strokes))),
    ],
    ids=["strokes", "errors", "points", "no names"],
)
def test_what_is_saved_comes_back(tmp_path, why):
    why.save(tmp_path / "why.safetensors")
    same(why, Explanation.load(tmp_path / "why.safetensors"))


@pytest.mark.parametrize("make", [stroke_net, picture_net])
def test_real_explanations_come_back(tmp_path, make):
    model, sketch = make(), scribble(1, 8)
    game = Game(model, Strokes(sketch), ClassScore(["beta", "gamma"]))
    dots = Game(model, Points(sketch))
    for why in (shapley(game), kernel_shap(game, budget=100), p_sla(dots)):
        why.save(tmp_path / "why")
        same(why, Explanation.load(str(tmp_path / "why")))


def test_the_file_is_plain_safetensors_with_a_readable_manifest(tmp_path):
    made_by_hand().save(tmp_path / "deep" / "down" / "why")
    with safe_open(tmp_path / "deep" / "down" / "why", "numpy") as file:
        manifest = json.loads(file.metadata()["manifest"])
        assert set(file.keys()) == {"scores", "value", "base", "points", "stroke_lengths"}
    assert manifest["format"] == "sightline explanation 1"
    assert manifest["made"]["method"] == "by hand"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SightlineError, match=r"nowhere does not exist"):
        Explanation.load(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 4, 60, -10])
def test_a_damaged_file_is_refused(tmp_path, keep):
    path = tmp_path / "why"
    made_by_hand().save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SightlineError, match="why is no explanation, or damaged"):
        Explanation.load(path)


def manifest_of(path: Path) -> tuple[dict, dict]:
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["manifest"]), {n: file.get_tensor(n) for n in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda m, _: m.update(format="sightline explanation 0"), "not an explanation of this"),
        (lambda m, _: m.pop("format"), "not an explanation of this version"),
        (lambda m, _: m.pop("made"), "damaged: 'made'"),
        (lambda m, _: m.update(parts="pixels"), "damaged: 'pixels'"),
        (lambda m, _: m["made"].update(spell="abracadabra"), "damaged: .*spell"),
        (lambda m, _: m.update(made=None), "damaged"),
        (lambda m, _: m.update(sketch=[]), "damaged"),
        (lambda _, a: a.pop("scores"), "damaged: 'scores'"),
        (lambda _, a: a.update(stroke_lengths=np.array([4, 3, 1, 1])), "at least 2 points"),
        (lambda _, a: a.update(stroke_lengths=np.array([4.5, 4.5])), "damaged"),
        (lambda _, a: a.update(points=np.full((9, 2), np.nan)), "must be finite"),
        (lambda _, a: a.update(scores=np.zeros((2, 5))), r"shape \[2, 5\]; expected \[2, 3\]"),
        (lambda _, a: a.update(value=np.zeros(9)), r"value has shape \[9\]"),
    ],
)
def test_a_spoilt_manifest_or_array_is_refused(tmp_path, spoil, message):
    path = tmp_path / "why"
    made_by_hand().save(path)
    manifest, arrays = manifest_of(path)
    spoil(manifest, arrays)
    save_file(arrays, path, {"manifest": json.dumps(manifest)})
    with unchecked(), pytest.raises(SightlineError, match=message):
        Explanation.load(path)


@pytest.mark.parametrize("metadata", [None, {"manifest": "[]"}, {"manifest": "{"}, {"other": "x"}])
def test_a_foreign_file_is_refused(tmp_path, metadata):
    save_file({"head.weight": np.zeros((2, 2))}, tmp_path / "weights", metadata)
    with pytest.raises(SightlineError, match=r"weights is (not an|no) explanation"):
        Explanation.load(tmp_path / "weights")


# --- other parts ----------------------------------------------------------------------------------


def test_error_bars_are_not_carried():
    """They are not independent: what they would be of a sum is not known."""
    why = made_by_hand(errors=np.ones((2, 3)))
    assert why.on(Points(HOUSE)).errors is None


def test_equal_scores_rank_in_drawing_order():
    why = made_by_hand([[0.0, 1.0] * 20], parts=Strokes(scribble(1, 40)))
    assert why.ranking() == [*range(1, 40, 2), *range(0, 40, 2)]


def test_points_add_up_to_their_strokes():
    carried = points_by_hand().on(Strokes(HOUSE))
    assert carried.scores.tolist() == [[-2 - 1 + 0 + 1, 2 + 3 + 4, 5 + 6]]
    assert carried.made.notes == ("drawn on a Sunday", "carried from points to strokes")


def test_strokes_share_their_score_among_their_points():
    carried = made_by_hand([[4.0, 6.0, -1.0]]).on(Points(HOUSE))
    assert carried.scores.tolist() == [[1.0] * 4 + [2.0] * 3 + [-0.5] * 2]
    assert carried.gap == made_by_hand([[4.0, 6.0, -1.0]]).gap


def test_there_and_back_is_the_same():
    why = made_by_hand()
    back = why.on(Points(HOUSE)).on(Strokes(HOUSE))
    np.testing.assert_allclose(back.scores, why.scores, atol=1e-12)


def test_the_same_parts_change_nothing():
    why = made_by_hand(errors=np.ones((2, 3)))
    assert why.on(Strokes(HOUSE)) is why
    moved = HOUSE.transform(2.0, (1, 1))  # the same strokes elsewhere
    assert why.on(Strokes(moved)).scores is why.scores


@pytest.mark.parametrize("kind", [Strokes, Points])
def test_parts_of_another_drawing_are_refused(kind):
    with pytest.raises(GameError, match=r"another drawing: .*\[4, 3\] points, .*\[4, 3, 2\]"):
        made_by_hand().on(kind(HOUSE.select([0, 1])))


# --- why a picture is blank -----------------------------------------------------------------------


def test_blank_says_why():
    assert made_by_hand([[0.0, 0.0, 0.0]]).blank() == (
        "every score is 0: the target does not depend on these parts"
    )
    assert made_by_hand().blank("boat") == (
        "no evidence for the target: every score is negative (sum -5)"
    )
    assert made_by_hand([[-1.0, 0.0, 0.0]]).blank() == (
        "no evidence for the target: no score is positive (sum -1)"
    )
    assert made_by_hand().blank() is None


# --- pictures -------------------------------------------------------------------------------------

BEGINS = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", BEGINS)
def test_a_plot_is_a_file_of_its_kind(tmp_path, suffix):
    path = tmp_path / f"new folder/why{suffix}"
    made_by_hand(errors=np.full((2, 3), 0.2)).plot(path)
    assert path.read_bytes().startswith(BEGINS[suffix])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_upper_case_suffixes_count(tmp_path):
    made_by_hand().plot(tmp_path / "WHY.PNG")
    assert (tmp_path / "WHY.PNG").read_bytes().startswith(BEGINS[".png"])


@pytest.mark.parametrize("name", ["why.jpg", "why", "why.png.txt"])
def test_other_suffixes_are_refused_before_anything_is_drawn(tmp_path, name):
    with pytest.raises(SightlineError, match=r"cannot draw 'why.*': .* \.png, \.pdf, \.svg"):
        made_by_hand().plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_plot_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "why.png"
    path.write_text("yesterday's")

    def torn(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", torn)
    with pytest.raises(OSError, match="disk full"):
        made_by_hand().plot(path)
    assert path.read_text() == "yesterday's"
    assert [p.name for p in tmp_path.iterdir()] == ["why.png"]


@pytest.mark.parametrize(
    "why",
    [
        made_by_hand(),
        made_by_hand([[-2.0, -1.0, -0.5]]),
        made_by_hand([[0.0, 0.0, 0.0]]),
        made_by_hand([[1e-9, -1e-9, 0.0]]),
        made_by_hand([[1e9, 2e9, 0.0]]),
        points_by_hand(),
        made_by_hand([np.zeros(9)], parts=Points(HOUSE)),
        made_by_hand([[1.0]], parts=Strokes(HOUSE.select([2]))),
        made_by_hand([np.arange(40.0) - 9], parts=Strokes(scribble(1, 40))),
    ],
    ids=["signed", "negative", "zero", "tiny", "huge", "points", "zero points", "one", "many"],
)
def test_the_notebook_shows_a_picture_of_anything(why):
    html = why._repr_html_()
    assert html.startswith("<svg")
    assert ET.fromstring(html).tag.endswith("svg")  # noqa: S314, our own text
    assert "nan" not in html.lower().replace("nano", "")


def test_a_blank_picture_tells_its_reason():
    def words(why):
        return [
            text.get_text() for text in figure(why).findobj(match=lambda a: hasattr(a, "get_text"))
        ]

    for scores in ([[0.0, 0.0, 0.0]], [[-2.0, -1.0, -0.5]]):
        why = made_by_hand(scores)
        assert why.blank() in words(why)
    shown = words(made_by_hand())
    assert not any("evidence" in text or "every score" in text for text in shown)
    assert "against  ←  logit  →  for" in shown  # the scale stays signed, in the unit


@pytest.mark.parametrize("name", ["$5 and $6", r"$\foo$", r"a_b^c $\alpha", "<b>&amp;", ""])
def test_any_label_can_be_drawn(name):
    why = replace(made_by_hand([[1.0, 2.0, 3.0]]), targets=(name,))
    parts = replace(HOUSE, parts=(name, name, name))
    why = replace(why, parts=Strokes(parts))
    ET.fromstring(why._repr_html_())  # noqa: S314, our own text
    drawn = [text for text in figure(why).findobj(Text) if name in text.get_text()]
    assert len(drawn) >= 4  # the title and three bars
    assert not any(text.get_parse_math() for text in drawn if name)  # as it is, not as a formula


def test_targets_are_drawn_one_at_a_time(tmp_path):
    for target in ("house", "boat"):
        made_by_hand().plot(tmp_path / f"{target}.svg", target=target)
    assert (tmp_path / "house.svg").read_text() != (tmp_path / "boat.svg").read_text()
    with pytest.raises(GameError, match="no target 'car'"):
        made_by_hand().plot(tmp_path / "car.svg", target="car")


def test_labels_of_a_confusion_are_drawn_as_they_are():
    fig = confusion_figure(np.array([[3, 1], [0, 2]]), [r"$\foo$", "plain"])
    fig.canvas.draw()
    drawn = [text for text in fig.findobj(Text) if text.get_text() == r"$\foo$"]
    assert len(drawn) >= 2
    assert not any(text.get_parse_math() for text in drawn)
