"""Claim: SLA of a drawing at 224 pixels takes at most 1.3 times one forward and backward pass.

Networks with random weights read a real drawing of so many strokes, rasterised to 224 pixels. In
alternating rounds, all on the same threads:

- plain: one forward pass of the network, and one backward pass from a class to the picture (no
  gradient by weights, which is the cheapest backward pass there is);
- sla: all strokes at once, from a game that is there;
- sla, game and all: rasterising every stroke, the game's own check (two forward passes), and SLA;
- one by one: what a program does that takes strokes away one at a time: a forward pass a stroke;
- p_sla: every point, from a game that is there;
- shapley: exact, 2 to the strokes forward passes.

A ratio is that of two sides of the same round. ``--clock processor`` counts the time for which the
process was on a processor, which other processes on a busy machine change less; meant for
``--threads 1``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

import sightline as sl
from alignment_step import CLOCKS, MODELS, summary
from material import arguments, drawings, run, say, start, table
from sightline.allocator import keep_freed_memory
from sightline.models.load_classifier import load_classifier

CLAIM = 1.3
SIZE = 224
NETWORKS = ("resnet18", "resnet50", "vit-tiny")
SHAPLEY_STROKES = 6


class _Logits(nn.Module):
    """A classifier of photos as a module from pictures to logits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.module(pictures).logits


@dataclass(frozen=True)
class Setting:
    """What all sides are given."""

    model: sl.RasterModel
    strokes: sl.Game
    points: sl.Game
    few: sl.Game
    picture: torch.Tensor

    def plain(self) -> None:
        """One forward and one backward pass of the network."""
        picture = self.picture.clone().requires_grad_()
        logits = self.model.module(picture)
        torch.autograd.grad(logits[0, 0], picture)

    def whole(self) -> None:
        """From the drawing to its explanation."""
        sketch = self.strokes.parts.subject
        sl.sla(sl.Game(self.model, sl.Strokes(sketch), sl.ClassScore(0)))

    def one_by_one(self) -> None:
        """A forward pass a stroke."""
        with torch.no_grad():
            for _ in range(len(self.strokes.parts)):
                self.model.module(self.picture)


def setting(name: str, sketch: sl.Sketch, few: sl.Sketch, *, seed: int) -> Setting:
    """One network behind a rasteriser, and its games."""
    kind, size, settings = MODELS[name]
    photos = load_classifier(kind, labels=("one", "other"), size=size, seed=seed, **settings)
    module = _Logits(photos.module).eval().requires_grad_(False)
    model = sl.RasterModel(module, rasteriser=sl.Rasteriser(size=SIZE), channels=3)
    games = [
        sl.Game(model, parts, sl.ClassScore(0), batch=16)
        for parts in (sl.Strokes(sketch), sl.Points(model.prepare(sketch)), sl.Strokes(few))
    ]
    ink = games[0].bound.picture()
    assert ink is not None
    return Setting(model, *games, model.shown(ink[None]).contiguous())


def sides(what: Setting) -> dict[str, Callable[[], object]]:
    """What is timed."""
    return {
        "plain": what.plain,
        "sla": partial(sl.sla, what.strokes),
        "sla, game and all": what.whole,
        "one by one": what.one_by_one,
        "p_sla": partial(sl.p_sla, what.points),
        f"shapley, {len(what.few.parts)} strokes": partial(sl.shapley, what.few),
    }


def measure(name: str, what: Setting, given: argparse.Namespace) -> list[dict]:
    """Medians, and the ratio to the plain passes of each round."""
    clock, found = CLOCKS[given.clock], {side: [] for side in sides(what)}
    what.strokes.fingerprint, what.points.fingerprint, what.few.fingerprint  # noqa: B018, hashed once a game
    for index in range(given.repeats + 1):
        for side, play in sides(what).items():
            started = clock()
            play()
            if index:  # none is timed cold
                found[side].append(clock() - started)
        say(f"{name}, round {index}/{given.repeats}")
    return summary(name, found)


def main(given: argparse.Namespace) -> dict:
    machine = start(argparse.Namespace(model="sketchxainet-tiny", threads=given.threads))[1]
    keep_freed_memory()
    known = drawings(given.data, "test", seed=given.seed)
    sketch, few = (_with_strokes(known, count) for count in (given.strokes, SHAPLEY_STROKES))
    rows = []
    for name in NETWORKS if given.model == "all" else [given.model]:
        rows += measure(name, setting(name, sketch, few, seed=given.seed), given)
    result = {"rows": rows, "machine": machine, "strokes": given.strokes, "repeats": given.repeats}
    if not given.json:
        report(result, given)
    return result


def _with_strokes(known: list[sl.Sketch], count: int) -> sl.Sketch:
    found = next((sketch for sketch in known if len(sketch) == count), None)
    if found is None:
        raise sl.DrawingError(f"no drawing of the test split has {count} strokes")
    return found


def report(result: dict, given: argparse.Namespace) -> None:
    print(
        f"a drawing of {result['strokes']} strokes at {SIZE} pixels, {result['repeats']} rounds; "
        f"{result['machine']}\nseconds of the {given.clock} clock\n"
    )
    cells = [
        [
            row["model"],
            row["side"],
            f"{row['seconds']:.4f}",
            f"{row['ratio']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})",
        ]
        for row in result["rows"]
    ]
    header = ["network", "side", "seconds", "ratio to plain (min to max)"]
    print(table(header, cells) + "\n")
    for row in result["rows"]:
        if row["side"] == "sla":
            verdict = "holds" if row["ratio"] <= CLAIM else "DOES NOT HOLD"
            print(f"claim, {row['model']}, at most {CLAIM}: {row['ratio']:.2f}: {verdict}")


if __name__ == "__main__":
    parser = arguments(__doc__, model="all")
    parser.add_argument("--strokes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7, help="rounds that count")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    run(main, parser)
