"""The game: counting, batching, memory, bad input; and the model is left as it came."""

from __future__ import annotations

import random
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from sightline import METHODS, ClassScore, Explanation, Game, GameError, Points, Strokes, explain
from sightline.game import NEED_NO_GRADIENT
from sightline.parts import Noise
from sightline.sketch.batch import SketchBatch
from toys import (
    LABELS,
    Toy,
    additive,
    batch_of,
    behind,
    picture_net,
    scribble,
    stroke_net,
    tangled,
    toy_game,
    unchecked,
)

SKETCH = scribble(1, 5)
KINDS = {"strokes": stroke_net, "pictures": picture_net}
NEEDS_POINTS = {"p_sla"}
ON_PICTURES = (
    *("grad_cam", "grad_cam_pp", "x_grad_cam", "hires_cam", "odam", "ssgrad_cam", "eigen_cam"),
    *("full_grad", "ablation_cam"),
)
ON_PHOTOS = ("d_rise",)
ON_TOKENS = ("attention", "attention_rollout")
GRADIENTS = (
    *("sla", "gradient_x_input", "smooth_grad", "integrated_gradients", "p_sla"),
    *ON_PICTURES[:-1],
)
PLAYS = [
    (method, kind)
    for method in METHODS
    for kind in KINDS
    if method not in (*ON_PHOTOS, *(ON_PICTURES if kind == "strokes" else ON_TOKENS))
]
"""What goes together; tests/test_methods_table.py holds that the others say why not."""


def parts_for(method: str, model) -> Strokes | Points:
    return Points(model.prepare(SKETCH)) if method in NEEDS_POINTS else Strokes(SKETCH)


def played(method: str, model, target: str | int = "beta") -> Explanation:
    game = Game(model, parts_for(method, model), ClassScore(target))
    return explain(game, method, budget=32)


def coalitions(rows: int, parts: int = 5) -> torch.Tensor:
    luck = torch.Generator().manual_seed(7)
    return (torch.rand(rows, parts, generator=luck) < 0.5).float()


# --- values ---------------------------------------------------------------------------------------


def test_values_are_the_models_answers_on_what_is_left():
    game = toy_game(additive([1.0, 20.0, 300.0], base=-4), 3)
    assert (game.value.tolist(), game.base.tolist()) == ([317.0], [-4.0])
    assert game(torch.tensor([[1.0, 0, 1], [0, 1, 0]])).tolist() == [[297.0], [16.0]]
    assert game(torch.tensor([[0.5, 0, 0]])).tolist() == [[-3.5]]


def test_values_are_float64_on_the_cpu_without_gradient():
    values = Game(stroke_net(), Strokes(SKETCH))(coalitions(3))
    assert (values.dtype, values.device.type, values.requires_grad) == (
        torch.float64,
        "cpu",
        False,
    )


def test_targets_are_columns_from_the_same_evaluations():
    together = Game(stroke_net(), Strokes(SKETCH), ClassScore(["gamma", 0]))
    assert together.targets == ("gamma", "alpha")
    values = together(coalitions(6))
    assert together.evaluations == 2 + 6
    for column, label in enumerate(together.targets):
        alone = Game(stroke_net(), Strokes(SKETCH), ClassScore(label))
        torch.testing.assert_close(values[:, [column]], alone(coalitions(6)))


def test_the_default_target_is_the_predicted_class():
    net = stroke_net()
    predicted = int(net(batch_of(SKETCH)).argmax())
    assert Game(net, Strokes(SKETCH)).targets == (LABELS[predicted],)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_presence_in_between_does_not_change_its_mates(kind):
    """Rows of 0 and 1 take a shorter way through the net; the answer must be the same."""
    game = Game(KINDS[kind]().double(), Strokes(SKETCH))
    whole = coalitions(4)
    mixed = torch.cat([whole, torch.full((1, 5), 0.3)])
    torch.testing.assert_close(game(mixed)[:4], game(whole), atol=1e-12, rtol=0)


def test_answers_are_the_first_of_the_highest_classes():
    def function(there):
        a, b = there.unbind(1)
        return torch.stack([a * 0, a + b, 2 * b, 2 * a * b], 1)

    game = Game(Toy(function, 2, labels=LABELS), Strokes(scribble(1, 2)), ClassScore("gamma"))
    rows = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0.75]])
    answers = game.answers(rows)
    assert answers.tolist() == [0, 1, 2, 1, 2]
    assert (answers.dtype, answers.device.type) == (torch.int64, "cpu")
    assert game.evaluations == 2 + 5
    assert game.classes == (2,)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_drawing_that_is_left(kind):
    model = KINDS[kind](use_order=False) if kind == "strokes" else KINDS[kind]()
    game = Game(model, Strokes(SKETCH), ClassScore([2, 0]), batch=3)
    rows = coalitions(7)
    rows[:, 0] = 1  # never an empty drawing
    left = [SKETCH.select(row.nonzero()[:, 0].tolist()) for row in rows]
    assert game.answers(rows).tolist() == [model(batch_of(s)).argmax().item() for s in left]
    assert game.classes == (2, 0)
    assert game.answers(torch.ones(1, 5)).tolist() == [int(model(batch_of(SKETCH)).argmax())]


def test_an_absent_point_is_left_out_of_its_line():
    net = stroke_net().double()
    sketch = scribble(2, 2, longest=5)
    game = Game(net, Points(sketch), ClassScore(0))
    lengths = [len(s) for s in sketch.strokes]
    presence = torch.ones(2, sum(lengths))
    presence[0, 1] = 0  # a point inside stroke 0
    presence[1, 1 : lengths[0]] = 0  # one point of stroke 0 stays: no line
    shorter = np.delete(sketch.strokes[0], 1, axis=0)
    by_hand = [sketch.with_points([shorter, sketch.strokes[1]]), sketch.select([1])]
    for row, drawing in enumerate(by_hand):
        expected = net(batch_of(drawing, dtype=torch.float64))[0, 0].item()
        assert game(presence)[row, 0].item() == pytest.approx(expected, abs=1e-12)


# --- counting, batching, memory -------------------------------------------------------------------


def test_evaluations_are_rows_asked_of_the_model():
    game = toy_game(additive([1.0, 2.0]), 2, batch=3)
    assert game.evaluations == 2  # everything and nothing
    game(torch.ones(7, 2))
    assert game.evaluations == 9
    game.gradient(torch.ones(4, 2))
    assert game.evaluations == 13
    assert sum(len(rows) for rows in game.model.asked) == 13


def test_a_coordinate_gradient_is_one_evaluation():
    game = Game(stroke_net(), Points(SKETCH))
    game.coordinate_gradient()
    assert game.evaluations == 3


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_do_not_depend_on_the_batch_size(kind):
    model = KINDS[kind]().double()
    rows = coalitions(23)
    values, slopes = [], []
    for batch in (1, 4, 512):
        game = Game(model, Strokes(SKETCH), ClassScore(0), batch=batch)
        values.append(game(rows))
        slopes.append(game.gradient(rows))
    for other in (1, 2):
        torch.testing.assert_close(values[other], values[0], atol=1e-12, rtol=0)
        torch.testing.assert_close(slopes[other], slopes[0], atol=1e-12, rtol=0)


def test_no_forward_pass_is_larger_than_the_batch():
    game = toy_game(additive([1.0, 2.0]), 2, batch=4)
    game.model.asked.clear()
    game(torch.ones(10, 2))
    assert [len(rows) for rows in game.model.asked] == [4, 4, 2]


def cramped(rows: int, error: Exception | None = None):
    """A set function for which at most so many rows fit into memory."""
    error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a house")
    value = tangled(5)

    def function(there):
        if len(there) > rows:
            raise error
        return value(there)

    return function


@pytest.mark.parametrize(
    "error", [None, RuntimeError("DefaultCPUAllocator: not enough memory: you tried")]
)
def test_when_memory_runs_out_the_batch_is_halved_and_the_numbers_stay(error):
    game = toy_game(cramped(10, error), 5, batch=64)
    rows = coalitions(50)
    torch.testing.assert_close(game(rows), toy_game(tangled(5), 5)(rows), atol=1e-12, rtol=0)
    assert game.rows_at_once == 6  # 50, 25, 12, 6
    assert game.evaluations == 2 + 50  # what was asked in vain is not counted
    game.model.asked.clear()
    game(rows)
    assert max(len(asked) for asked in game.model.asked) == 6  # and remembered


def test_gradients_back_off_too():
    rows = coalitions(9)
    expected = toy_game(tangled(5), 5).gradient(rows)
    backed_off = toy_game(cramped(4), 5).gradient(rows)
    torch.testing.assert_close(backed_off, expected, atol=1e-12, rtol=0)


def test_when_one_row_does_not_fit_the_error_is_the_models_own():
    game = toy_game(cramped(3), 5)
    game.model.function = cramped(0)
    with pytest.raises(torch.OutOfMemoryError, match="allocate a house"):
        game(coalitions(8))


def test_other_errors_are_not_taken_for_memory():
    game = toy_game(cramped(3, RuntimeError("shapes do not match")), 5)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        game(coalitions(8))
    assert game.rows_at_once == game.batch


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("betta", r"unknown label 'betta'; did you mean 'beta'\? Known: alpha, beta, gamma, delta"),
        ("zzz", r"unknown label 'zzz'; Known: alpha"),
        (4, "target 4 is out of range: this model answers 4 classes, 0 to 3"),
        (-1, "target -1 is out of range"),
        (["alpha", 7], "target 7 is out of range"),
        (True, "target True is neither a label nor an index"),
    ],
)
def test_a_wrong_target_names_the_right_ones(target, message):
    with pytest.raises(GameError, match=message):
        Game(stroke_net(), Strokes(SKETCH), ClassScore(target))


def test_a_name_where_there_are_no_labels_asks_for_an_index_or_labels():
    plain = behind(nn.Sequential(nn.Flatten(), nn.Linear(256, 4)), labels=())
    with pytest.raises(GameError, match=r"'cat' is a name, but .* index from 0 to 3, or labels="):
        Game(plain, Strokes(SKETCH), ClassScore("cat"))
    assert Game(plain, Strokes(SKETCH), ClassScore(2)).targets == ("2",)


def test_labels_are_counted():
    model = behind(nn.Sequential(nn.Flatten(), nn.Linear(256, 3)))
    with pytest.raises(GameError, match=r"4 labels but answers 3 numbers; .* one label a class"):
        Game(model, Strokes(SKETCH))


class Answers(nn.Module):
    """A picture classifier that answers as it is told."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.eye = nn.Identity()  # a layer whose map can be looked at
        self.answer = answer

    def forward(self, pictures):
        return self.answer(self.eye(pictures).flatten(1).mean(1, keepdim=True) * self.weight)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda y: {"logits": y}, r"answered a dict, not a tensor .* wrap it in a module"),
        (lambda y: OrderedDict(out=y), "answered a OrderedDict, not a tensor"),
        (lambda y: [{"boxes": y}], "answered a list, not a tensor"),
        (lambda y: (y, y), "answered a tuple, not a tensor"),
        (lambda y: y.detach().numpy(), "answered a ndarray, not a tensor"),
        (lambda _: None, "answered a NoneType, not a tensor"),
        (lambda y: y[:, 0], r"answered torch\.float32 of shape \[2\]; expected logits"),
        (lambda y: y[..., None], r"of shape \[2, 4, 1\]; expected logits \[batch, classes\]"),
        (lambda y: y.argmax(1, keepdim=True), r"answered torch\.int64 of shape \[2, 1\]"),
        (lambda y: y[:1], "answered 1 rows for 2 pictures; it must answer one row a picture"),
        (lambda y: torch.cat([y, y]), "answered 4 rows for 2 pictures"),
        (lambda y: y / 0 * 0, r"answered NaN or infinity; .* precision \(torch\.float32\)"),
        (lambda y: y + float("inf"), "answered NaN or infinity"),
    ],
)
def test_a_wrong_answer_is_described(answer, message):
    with unchecked(), pytest.raises(GameError, match=message):
        Game(behind(Answers(answer)), Strokes(SKETCH))


def test_an_answer_that_goes_bad_later_is_noticed():
    toy = Toy(lambda there: there.sum(1, keepdim=True), 5)
    game = Game(toy, Strokes(SKETCH))
    toy.function = lambda there: there.sum(1, keepdim=True) / 0
    with pytest.raises(GameError, match="NaN or infinity"):
        game(coalitions(3))
    with pytest.raises(GameError, match="NaN or infinity"):
        game.gradient(coalitions(3))
    with pytest.raises(GameError, match="NaN or infinity"):
        game.answers(coalitions(3))


@pytest.mark.parametrize(
    ("presence", "message"),
    [
        (torch.ones(3, 4), r"shape \[3, 4\]; expected \[rows, 5\], one column for each of the"),
        (torch.ones(5), r"shape \[5\]; expected \[rows, 5\]"),
        (torch.ones(0, 5), r"shape \[0, 5\]; expected"),
        (torch.ones(1, 5, 1), r"shape \[1, 5, 1\]"),
        (torch.full((1, 5), 1.01), r"must lie in \[0, 1\]: 1 is there, 0 is absent"),
        (torch.full((1, 5), -0.1), r"must lie in \[0, 1\]"),
        (torch.full((1, 5), float("nan")), r"must lie in \[0, 1\]"),
        (np.ones((1, 5)), r"presence is a ndarray; give a tensor: torch\.as_tensor\(presence\)"),
        ([[1.0] * 5], "presence is a list; give a tensor"),
    ],
)
def test_wrong_presence_is_described(presence, message):
    game = Game(stroke_net(), Strokes(SKETCH))
    with unchecked(), pytest.raises(GameError, match=message):
        game(presence)
    with unchecked(), pytest.raises(GameError, match=message):
        game.gradient(presence)
    with unchecked(), pytest.raises(GameError, match=message):
        game.answers(presence)
    assert game.evaluations == 2


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
def test_presence_of_any_number_type_is_understood(dtype):
    game = Game(stroke_net(), Strokes(SKETCH))
    with unchecked():
        torch.testing.assert_close(game(coalitions(4).to(dtype)), game(coalitions(4)))


def test_points_come_and_go_whole():
    game = Game(stroke_net(), Points(SKETCH))
    count = len(SKETCH.points)
    with pytest.raises(GameError, match="points come and go whole: presence must be 0 or 1"):
        game(torch.full((1, count), 0.5))
    with pytest.raises(GameError, match=r"come and go whole, so .*; use p_sla .*, or shapley, k"):
        game.gradient(torch.ones(1, count))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((object(), Strokes(SKETCH)), r"object is no model: give sl\.load\(\.\.\.\), a torch"),
        ((stroke_net(), SKETCH), r"a Sketch is no set of parts: give sl\.Strokes\(sketch\)"),
        (
            (stroke_net(), Strokes(SKETCH), "beta"),
            r"'beta' is no target: give sl\.ClassScore\('beta'\)",
        ),
        ((stroke_net(), Strokes(SKETCH), 1), r"1 is no target: give sl\.ClassScore\(1\)"),
    ],
)
def test_what_is_no_model_part_or_target_is_named(arguments, message):
    with unchecked(), pytest.raises(GameError, match=message):
        Game(*arguments)


def test_a_batch_below_one_is_refused():
    with pytest.raises(GameError, match="batch is 0; it must be at least 1"):
        Game(stroke_net(), Strokes(SKETCH), batch=0)


class Reader:
    """Reads whole drawings, knows nothing of strokes as tokens or pictures."""

    labels = ("long",)

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch: SketchBatch):
        counts = torch.bincount(batch.sketch_of_point, minlength=len(batch))
        return counts[:, None].float()


def test_a_model_that_only_reads_drawings_can_be_asked_about_points():
    game = Game(Reader(), Points(SKETCH))
    assert game.value.item() == len(SKETCH.points)


def test_a_model_that_only_reads_drawings_is_shown_each_set_of_strokes():
    game = Game(Reader(), Strokes(SKETCH), batch=3)
    lengths = torch.tensor([len(stroke) for stroke in SKETCH.strokes], dtype=torch.float64)
    rows = coalitions(7)
    assert (game.value.item(), game.base.item()) == (len(SKETCH.points), 0)
    assert game(rows)[:, 0].tolist() == (rows.double() @ lengths).tolist()
    assert explain(game, "shapley").scores.round(9).tolist() == [lengths.tolist()]
    message = r"strokes come and go whole, so there is no gradient by presence; use shapley, kernel"
    with pytest.raises(GameError, match=message):
        game.gradient(torch.ones(1, 5))


# --- gradients wherever the caller stands ---------------------------------------------------------


@pytest.mark.parametrize(("method", "kind"), PLAYS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_methods_work_inside_no_grad_and_inference_mode(mode, method, kind):
    model = KINDS[kind]()
    expected = played(method, model).scores
    with mode():
        found = played(method, model).scores
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("method", "kind"), PLAYS)
def test_a_game_made_inside_inference_mode_serves_outside(method, kind):
    model = KINDS[kind]()
    with torch.inference_mode():
        game = Game(model, parts_for(method, model), ClassScore("beta"))
    expected = played(method, model)
    np.testing.assert_array_equal(explain(game, method, budget=32).scores, expected.scores)


@pytest.mark.parametrize(("method", "kind"), PLAYS)
def test_a_model_loaded_inside_inference_mode_is_explained_or_refused_clearly(method, kind):
    with torch.inference_mode():
        model = KINDS[kind]()
        for weight in model.parameters():
            weight.requires_grad_()
    if method in GRADIENTS:
        with pytest.raises(GameError, match=r"under torch\.inference_mode.* load it outside"):
            played(method, model)
    else:
        expected = played(method, KINDS[kind]()).scores
        np.testing.assert_array_equal(played(method, model).scores, expected)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(("method", "kind"), [p for p in PLAYS if p[0] != "grad_cam_pp"])
@pytest.mark.parametrize(
    ("dtype", "close"),
    [(torch.float64, 1e-3), (torch.bfloat16, 0.15), (torch.float16, 0.03)],
)
def test_models_of_other_precision_give_nearly_the_same(dtype, close, method, kind):
    """But for Grad-CAM++, whose coefficients have poles where features are negative, as here."""
    expected = played(method, KINDS[kind]()).scores
    found = played(method, KINDS[kind]().to(dtype)).scores
    assert found.dtype == np.float64
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=close * scale, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_answers_of_half_precision_are_read_in_single(dtype):
    """A probability rounded to 8 bits would hide what a stroke changes."""
    model = stroke_net().to(dtype)
    with torch.no_grad():
        logits = model(batch_of(SKETCH))
    game = Game(model, Strokes(SKETCH), ClassScore([0, 1, 2, 3], scale="probability"))
    torch.testing.assert_close(game.value, logits[0].float().softmax(0).double(), atol=1e-7, rtol=0)


@pytest.mark.parametrize("method", [method for method, kind in PLAYS if kind == "pictures"])
@pytest.mark.parametrize(
    "cut", [torch.Tensor.detach, lambda y: torch.from_numpy(y.detach().numpy())]
)
def test_an_answer_without_gradient_is_named_and_the_way_out(cut, method):
    model = behind(Answers(cut))
    if method in GRADIENTS:
        with pytest.raises(GameError, match=r"carries no gradient .*: shapley, kernel_shap, lime"):
            played(method, model)
    else:
        assert played(method, model).scores.shape == (1, 5)


def test_an_answer_that_ignores_the_drawing_carries_no_gradient_either():
    constant = behind(Answers(lambda y: torch.ones_like(y) * torch.ones(4, requires_grad=True)))
    with pytest.raises(GameError, match="carries no gradient"):
        played("sla", constant)


def test_the_methods_named_as_the_way_out_are_those_that_ask_for_values_alone():
    """A model that is a function and nothing more, without a gradient, shows which they are."""

    def works(method):
        game = toy_game(lambda there: additive([1.0, 2.0])(there.detach()), 2)
        try:
            return explain(game, method).scores.shape == (1, 2)
        except GameError:
            return False

    named = NEED_NO_GRADIENT.split(", ")
    assert {m for m in METHODS if works(m)} == {*named, "random"}


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_noise_is_that_of_its_seed(kind):
    """Not of its place, its mates or the batch."""
    model = KINDS[kind]().double()
    ones, seeds = torch.ones(5, 5), torch.tensor([3, 1, 4, 1, 5])
    together = Game(model, Strokes(SKETCH), ClassScore(0)).gradient(ones, noise=Noise(0.2, seeds))
    for row, seed in enumerate(seeds):
        game = Game(model, Strokes(SKETCH), ClassScore(0), batch=2)
        alone = game.gradient(torch.ones(1, 5), noise=Noise(0.2, seed[None]))
        torch.testing.assert_close(alone[0], together[row], atol=1e-12, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-4


def test_memory_that_runs_out_does_not_change_the_noise():
    rows, noise = torch.ones(9, 5), Noise(0.1, torch.arange(9))
    expected = Game(picture_net(), Strokes(SKETCH)).gradient(rows, noise=noise)
    model = picture_net()
    game = Game(model, Strokes(SKETCH))
    see = model.module.forward

    def cramped_see(pictures):
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return see(pictures)

    model.module.forward = cramped_see
    torch.testing.assert_close(game.gradient(rows, noise=noise), expected, atol=1e-6, rtol=1e-5)
    assert game.rows_at_once == 2


def test_noise_has_a_seed_for_each_row():
    game = Game(stroke_net(), Strokes(SKETCH))
    with pytest.raises(GameError, match="noise has 2 seeds for 3 rows"):
        game.gradient(torch.ones(3, 5), noise=Noise(0.1, torch.arange(2)))


# --- the model is left as it came -----------------------------------------------------------------


class Restless(nn.Module):
    """Everything that a model may carry and a method could disturb."""

    labels = LABELS

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros(1))
        self.fuse = float("inf")

    def prepare(self, sketch):
        return self.inner.prepare(sketch)

    def forward(self, batch):
        return self._after(self.inner(batch))

    def _after(self, logits):
        self.calls += 1  # a buffer that changes in evaluation mode too
        torch.rand(3)  # and luck from the global generator
        self.norm.bias.grad = None
        self.fuse -= 1
        if self.fuse < 0:
            raise RuntimeError("the lights went out")
        return self.dropout(self.norm(logits))


class RestlessStrokes(Restless):
    def embed(self, batch):
        return self.inner.embed(batch)

    def classify(self, tokens, *, presence=None, location=None):
        return self._after(self.inner.classify(tokens, presence=presence, location=location))

    def attention(self, tokens):
        self._after(torch.zeros(1, 4))
        return self.inner.attention(tokens)


class RestlessPictures(Restless):
    @property
    def rasteriser(self):
        return self.inner.rasteriser

    def see(self, pictures):
        return self._after(self.inner.see(pictures))


def restless(kind: str) -> Restless:
    wrap = {"strokes": RestlessStrokes, "pictures": RestlessPictures}[kind]
    model = wrap(KINDS[kind]())
    model.train()
    for index, module in enumerate(model.modules()):
        module.training = index % 3 != 1
    for index, weight in enumerate(model.parameters()):
        weight.requires_grad_(index % 2 == 0)
        if index % 4 == 0 or weight is model.norm.bias:
            weight.grad = torch.full_like(weight, 0.5)
    model.norm.register_forward_hook(lambda *_: None)
    model.norm.register_full_backward_hook(lambda *_: None)
    model.register_forward_pre_hook(lambda *_: None)
    return model


HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_always_called",
    "_state_dict_hooks",
    "_parameters",
    "_buffers",
    "_modules",
)


def identity(tensor: torch.Tensor | None) -> object:
    return None if tensor is None else (id(tensor), tensor.dtype, tensor.tolist())


def state_of(model: nn.Module) -> dict[str, object]:
    """All that must be as before, in a form that can be compared."""
    modules = dict(model.named_modules())
    weights = dict(model.named_parameters())
    return {
        "modes": {name: module.training for name, module in modules.items()},
        "hooks": {
            name: [list(getattr(m, h).items()) for h in HOOKS] for name, m in modules.items()
        },
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "requires_grad": {name: weight.requires_grad for name, weight in weights.items()},
        "grad": {
            name: (id(w.grad), None if w.grad is None else w.grad.sum().item())
            for name, w in weights.items()
        },
        "tensors": {
            name: (id(t), t.dtype, t.tolist())
            for name, t in [*weights.items(), *model.named_buffers()]
        },
        "torch luck": torch.get_rng_state().tolist(),
        "numpy luck": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "python luck": random.getstate(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "threads": torch.get_num_threads(),
        "default dtype": torch.get_default_dtype(),
    }


def assert_untouched(before: dict[str, object], model: nn.Module) -> None:
    after = state_of(model)
    assert [key for key in before if before[key] != after[key]] == []


@pytest.mark.parametrize(("method", "kind"), PLAYS)
def test_the_model_is_left_as_it_came(method, kind):
    model = restless(kind)
    before = state_of(model)
    with unchecked():  # the types' checker draws from Python's own luck
        played(method, model)
    assert_untouched(before, model)


@pytest.mark.parametrize(("method", "kind"), PLAYS)
def test_the_model_is_left_as_it_came_after_a_failure(method, kind):
    model = restless(kind)
    game = Game(model, parts_for(method, model), ClassScore("beta"), batch=3)
    asks = explain(game, method, budget=32).made.evaluations
    for fuse in (0, 1) if asks > game.batch else (0,):
        model.fuse = fuse
        game.seen_inside.clear()  # else a CAM has nothing left to ask
        before = state_of(model)
        if asks:
            with unchecked(), pytest.raises(RuntimeError, match="the lights went out"):
                explain(game, method, budget=32)
        assert_untouched(before, model)


def test_the_model_is_left_as_it_came_when_the_game_cannot_be_made():
    for kind in KINDS:
        model = restless(kind)
        model.fuse = 0
        before = state_of(model)
        with unchecked(), pytest.raises(GameError, match=r"on these strokes .*lights went out"):
            Game(model, Strokes(SKETCH))
        model.fuse = float("inf")
        with unchecked(), pytest.raises(GameError, match="unknown label"):
            Game(model, Strokes(SKETCH), ClassScore("nobody"))
        model.fuse = 0
        assert_untouched(before, model)


def test_the_check_can_fail():
    """Each kind of trace is seen: else the tests above would say nothing."""

    def mode(model):
        model.norm.eval() if model.norm.training else model.norm.train()

    def buffer(model):
        model.calls += 1

    def hook(model):
        model.norm.register_forward_hook(print)

    def needs(model):
        next(model.parameters()).requires_grad_(False)

    def grad(model):
        next(model.parameters()).grad = None

    def weight(model):
        with torch.no_grad():
            next(model.parameters()).add_(1)

    def luck(_):
        torch.rand(1)

    for trace in (mode, buffer, hook, needs, grad, weight):
        model = restless("strokes")
        before = state_of(model)
        trace(model)
        with pytest.raises(AssertionError):
            assert_untouched(before, model)
    with torch.random.fork_rng(devices=[]):
        before = state_of(model)
        luck(model)
        with pytest.raises(AssertionError, match="torch luck"):
            assert_untouched(before, model)


@pytest.mark.parametrize("method", GRADIENTS)
def test_while_it_is_played_a_model_is_in_evaluation_and_its_weights_need_no_gradient(method):
    """So that a backward pass is for presence alone, in memory and time."""
    seen = []

    def look(module, *_):
        seen.append((module.training, any(p.requires_grad for p in model.parameters())))

    model = picture_net().train()
    model.module[0].register_forward_pre_hook(look)
    played(method, model)
    assert set(seen) == {(False, False)}


def test_batch_norm_in_training_mode_does_not_mix_the_rows():
    """The game asks in evaluation mode, whatever the mode it finds."""
    model = picture_net()
    expected = Game(model, Strokes(SKETCH))(coalitions(6))
    model.train()
    torch.testing.assert_close(Game(model, Strokes(SKETCH))(coalitions(6)), expected)
    assert model.training


# --- fingerprint ----------------------------------------------------------------------------------


def test_the_fingerprint_is_that_of_the_weights():
    def fingerprint(model):
        return Game(model, Strokes(SKETCH)).fingerprint

    first = fingerprint(stroke_net(0))
    assert first == fingerprint(stroke_net(0))
    assert first != fingerprint(stroke_net(1))
    changed = stroke_net(0)
    with torch.no_grad():
        changed.head.bias[2] += 1e-6
    assert fingerprint(changed) != first
    assert len({fingerprint(stroke_net().to(d)) for d in (torch.float64, torch.bfloat16)}) == 2


# --- a model that fails at once -------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [RuntimeError("sizes differ\nand more"), ValueError(), IndexError()]
)
def test_a_model_that_cannot_take_the_drawing_is_told_with_its_reason(error):
    def fail(_):
        raise error

    message = r"failed on these strokes \(\w+Error: .*\); check the size"
    with pytest.raises(GameError, match=message) as told:
        Game(behind(Answers(fail)), Strokes(SKETCH))
    assert told.value.__cause__ is error
    assert "and more" not in str(told.value)
