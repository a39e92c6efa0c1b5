"""docs/methods.md says which method works on which game: as they do, today.

``UPDATE=1 pytest tests/test_methods_table.py`` writes the table anew.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from detectors import SIDE, BentDetector, confetti
from detectors import BlackBox as Detecting
from sightline import (
    METHODS,
    Game,
    GameError,
    GridCells,
    PictureClassifier,
    Points,
    Sketch,
    Strokes,
    explain,
)
from toys import LABELS, picture_net, stroke_net

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
DRAWING = Sketch.from_strokes(
    [[(0, 0), (4, 1), (8, 0)], [(1, 2), (7, 6)], [(2, 8), (5, 5), (8, 8)]]
).normalise()


class BlackBox:
    """A function of drawings that says nothing of how it answers."""

    labels = LABELS

    def __init__(self) -> None:
        self._inside = picture_net()

    def prepare(self, sketch):
        return sketch.normalise()

    def __call__(self, batch):
        with torch.no_grad():
            return self._inside(batch)


def small_net() -> nn.Module:
    """Pictures to four logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 16, stride=16), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 14 * 14, 4)
        )


MODELS = {
    "SketchXAINet": stroke_net,
    "SketchXAINet, attended pads": lambda: stroke_net(padding="attended"),
    "raster model": picture_net,
    "black box": BlackBox,
}
PHOTO = confetti(size=(SIDE, SIDE))
GAMES = {
    **{f"strokes, {name}": (make, Strokes(DRAWING)) for name, make in MODELS.items()},
    **{f"points, {name}": (make, Points(DRAWING)) for name, make in MODELS.items()},
    "grid cells, raster model": (picture_net, GridCells(DRAWING, 2, 3)),
    "photo, classifier": (lambda: PictureClassifier(small_net()), GridCells(PHOTO, 2, 3)),
    "photo, dense detector": (BentDetector, GridCells(PHOTO, 2, 3)),
    "photo, black-box detector": (lambda: Detecting(BentDetector()), GridCells(PHOTO, 2, 3)),
}


def outcome(method: str, game: Game) -> str | None:
    """None where the method works, else what it says."""
    try:
        why = explain(game, method, budget=300 if method != "shapley" else None)
    except GameError as error:
        return str(error)
    assert why.parts.kind == game.parts.kind
    assert len(why.parts) == len(game.parts)
    return None


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[str, str], str | None]:
    games = {name: Game(make(), parts) for name, (make, parts) in GAMES.items()}
    return {(m, name): outcome(m, game) for m in METHODS for name, game in games.items()}


def short(reason: str) -> str:
    """The clause that says why not, without what would do instead."""
    clause = re.split(r"; use|, so there|: use| \(it ", reason)[0]
    return re.split(r", but |, and ", clause)[-1]


def table(outcomes: dict[tuple[str, str], str | None]) -> str:
    """Rows are methods, columns games, with a list of the sentences below."""
    sentences: list[str] = []

    def cell(method: str, game: str) -> str:
        reason = outcomes[method, game]
        if reason is None:
            return "yes"
        sentence = re.sub(rf"^{method}\b", "the method", reason)
        if sentence not in sentences:
            sentences.append(sentence)
        return f"{short(reason)} [{sentences.index(sentence) + 1}]"

    head = ["method", *GAMES]
    rows = [[f"`{m}`", *(cell(m, game) for game in GAMES)] for m in METHODS]
    lines = [head, ["---"] * len(head), *rows]
    notes = [f"{number}. {sentence}" for number, sentence in enumerate(sentences, start=1)]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *notes])


def named_in(reason: str, method: str) -> list[str]:
    """Methods that a sentence tells the user to take instead."""
    words = re.findall(r"\w+", reason)
    return [name for name in METHODS if name in words and name != method]


def test_the_page_has_the_table(outcomes):
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    shown, after = rest.split(END)
    fresh = table(outcomes)
    if os.environ.get("UPDATE"):
        PAGE.write_text(f"{before}{BEGIN}\n\n{fresh}\n\n{END}{after}")
        return
    assert shown.strip() == fresh, "stale: UPDATE=1 pytest tests/test_methods_table.py"


def test_every_refusal_names_methods_that_work_there(outcomes):
    refused = {key: reason for key, reason in outcomes.items() if reason is not None}
    assert len(refused) > 20
    for (method, game), reason in refused.items():
        named = named_in(reason, method)
        assert named, f"{method} on {game} names nothing else: {reason}"
        for other in named:
            assert outcomes[other, game] is None, f"{method} on {game} names {other}: {reason}"


@pytest.mark.parametrize(
    "game", ["strokes, black box", "points, black box", "photo, black-box detector"]
)
def test_a_black_box_is_told_every_method_that_it_can_have(outcomes, game):
    make, parts = GAMES[game]
    can = {m for m in METHODS if outcomes[m, game] is None}
    assert can - {"random"} == set(Game(make(), parts).without_gradient.split(", "))


def test_every_method_works_somewhere_and_every_game_has_methods(outcomes):
    for method in METHODS:
        assert None in {outcomes[method, game] for game in GAMES}
    for game in GAMES:
        assert sum(outcomes[method, game] is None for method in METHODS) >= 7


def test_every_method_has_a_paragraph():
    words = re.findall(r"`(\w+)`", PAGE.read_text().split(END)[1])
    assert set(METHODS) <= set(words)


def test_a_stale_table_would_be_noticed(outcomes):
    changed = outcomes | {("shapley", "strokes, black box"): "it rains; use kernel_shap"}
    assert table(changed) != table(outcomes)
    assert "it rains [1]" in table(changed)
