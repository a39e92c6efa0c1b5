import json
from dataclasses import replace

import numpy as np
import pytest

import sightline as sl
from sightline.errors import TaskError
from sightline.tasks.healing import Healing, Piece, Step, heal
from sightline.tasks.healing.record import begin
from toys import picture_net, scribble

WORTH = {"p2": 1.0, "p3": -2.0, "p4": 4.0, "p5": -0.5}


@pytest.fixture
def game(drawing, game_of):
    return game_of(drawing, **WORTH)


@pytest.fixture
def healing(drawing, game):
    return begin(drawing, game)


def test_a_healing_begins_with_the_drawing_as_it_is(healing, drawing):
    assert (healing.target, healing.unit, healing.value) == ("worth", "logit", 2.5)
    assert healing.steps == ()
    assert healing.sketch.points.tolist() == drawing.points.tolist()


def test_removal_by_choice_scores_after_each(healing, game):
    after = healing.remove([Piece(1, 0, 2), Piece(0, 0, 1)], game)
    assert after.scores == (2.5, 4.5, 3.5)
    assert after.gain == 1.0
    assert [len(after.at(step)) for step in range(3)] == [4, 3, 2]
    assert healing.steps == ()  # as it was


def test_undo_and_redo_walk_the_same_way(healing, game):
    after = healing.remove([Piece(1, 0, 2), Piece(0, 0, 1)], game)
    once, twice = after.undo(), after.undo().undo()
    assert once.scores == (2.5, 4.5)
    assert twice.scores == (2.5,)
    assert twice.sketch.points.tolist() == healing.sketch.points.tolist()
    assert twice.redo().steps == once.steps
    assert twice.redo().redo().steps == after.steps
    assert twice.redo().redo().undone == ()


def test_a_new_removal_forgets_what_was_undone(healing, game):
    other = healing.remove(Piece(1, 0, 2), game).undo().remove(Piece(3, 0, 4), game)
    assert other.undone == ()
    assert other.removed == (Piece(3, 0, 4),)
    with pytest.raises(TaskError, match="no undone step to redo"):
        other.redo()


def test_nothing_to_undo(healing):
    with pytest.raises(TaskError, match="no step to undo"):
        healing.undo()


def test_the_last_stroke_stays(healing, game, drawing):
    every = [Piece(i, 0, len(stroke) - 1) for i, stroke in enumerate(drawing.strokes)]
    with pytest.raises(TaskError, match="without stroke 3 nothing would be left"):
        healing.remove(every, game)


def test_what_has_no_size_is_nothing(game_of):
    dot = sl.Sketch.from_strokes([[(0, 0), (1, 1), (2, 2)], [(5, 5), (5, 5)]])
    game = game_of(dot)
    with pytest.raises(TaskError, match="without stroke 0 nothing would be left"):
        begin(dot, game).remove(Piece(0, 0, 2), game)


def test_another_model_or_unit_is_refused(healing, drawing, game):
    net = picture_net()
    with pytest.raises(TaskError, match="no target 'worth' in this game"):
        healing.remove(Piece(0, 0, 1), sl.Game(net, sl.Strokes(drawing), logits_of(net)))
    chances = sl.Game(game.model, sl.Strokes(drawing), sl.ClassScore("worth", scale="probability"))
    with pytest.raises(TaskError, match="scores of two models or units cannot be compared"):
        healing.remove(Piece(0, 0, 1), chances)


def logits_of(net):
    return sl.ClassScore(net.labels[0])


def test_another_set_of_weights_is_refused():
    sketch = scribble(3)
    games = [
        sl.Game(net, sl.Strokes(sketch), logits_of(net)) for net in (picture_net(0), picture_net(1))
    ]
    healing = begin(sketch, games[0])
    assert len(healing.remove(healing.pieces[0], games[0]).steps) == 1
    with pytest.raises(TaskError, match="this healing was scored by RasterModel"):
        healing.remove(healing.pieces[0], games[1])


def test_saved_and_read_back(tmp_path, game_of):
    sketch = sl.Sketch.from_strokes(
        [[(0, 0), (1 / 3, 1), (2, 7)], [(0.1, 0.2), (5, 5)], [(1, 1), (2, 2), (3, 2), (3, 3)]],
        times=[[0, 1, 2], [3, 4], [5, 6, 7, 8]],
        parts=("a", "b", "c"),
        label="worth",
        name="thirds",
    )
    game = game_of(sketch, p2=-1.0, p3=2.0, p4=-0.75)
    healing = heal(sketch, game).undo()
    assert len(healing.steps) == len(healing.undone) == 1
    healing = replace(healing, notes=("as it was",))
    healing.save(tmp_path / "h.json")
    again = Healing.load(tmp_path / "h.json")
    assert again.steps == healing.steps
    assert again.undone == healing.undone
    assert again.notes == healing.notes
    assert again.scores == healing.scores
    assert again.redo().sketch.points.tobytes() == healing.redo().sketch.points.tobytes()
    for name in ("label", "name", "parts"):
        assert getattr(again.drawing, name) == getattr(sketch, name)
    assert [t.tolist() for t in again.drawing.times] == [t.tolist() for t in sketch.times]
    assert again.remove(Piece(0, 0, 2), game).score == again.score - 2  # it goes on


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "not a healing of this version"),
        ({"value": None}, "not a healing, or damaged"),
        ({"steps": [{"piece": {"stroke": 9, "first": 0, "last": 1}}]}, "not a healing, or damaged"),
        ({"steps": 3}, "not a healing, or damaged"),
        ({"drawing": {"strokes": [[[0, 0]]]}}, "not a healing, or damaged"),
    ],
)
def test_a_damaged_file(tmp_path, healing, change, message):
    healing.save(tmp_path / "h.json")
    told = json.loads((tmp_path / "h.json").read_text()) | change
    (tmp_path / "h.json").write_text(json.dumps(told))
    with pytest.raises(TaskError, match=message):
        Healing.load(tmp_path / "h.json")


def test_steps_that_take_what_is_not_there(tmp_path, healing, game):
    healing.remove(Piece(1, 0, 2), game).save(tmp_path / "h.json")
    told = json.loads((tmp_path / "h.json").read_text())
    told["steps"] *= 2
    (tmp_path / "h.json").write_text(json.dumps(told))
    with pytest.raises(TaskError, match=r"h.json is not a healing, or damaged: points 0 to 2"):
        Healing.load(tmp_path / "h.json")


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(TaskError, match="does not exist"):
        Healing.load(tmp_path / "h.json")
    (tmp_path / "h.json").write_text("{")
    with pytest.raises(TaskError, match="not a healing, or damaged"):
        Healing.load(tmp_path / "h.json")


def test_scores_must_be_numbers(healing):
    with pytest.raises(TaskError, match="must be finite"):
        healing.then([Step(Piece(0, 0, 1), float("nan"))])


def test_steps_must_leave_something(healing, drawing):
    every = [Step(Piece(i, 0, len(s) - 1), 0.0) for i, s in enumerate(drawing.strokes)]
    with pytest.raises(TaskError, match="leave nothing"):
        healing.then(every)


def test_share_removed_is_of_the_line(healing, game):
    lengths = np.array([1, 2, 3, 4]) * np.sqrt(2)
    after = healing.remove(Piece(2, 1, 3), game)
    assert after.share_removed == pytest.approx(2 * np.sqrt(2) / lengths.sum())
    assert after.name(after.removed[0]) == "stroke 2, points 1 to 3"


def test_no_such_step(healing):
    with pytest.raises(TaskError, match="no step 1 in a healing of 0"):
        healing.at(1)
