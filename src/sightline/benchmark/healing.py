"""Does healing take out what was planted, and does the model then answer better?"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from sightline.benchmark.drawn_noise import NOISES, Noisy, add_noise
from sightline.benchmark.records import Record, Records, Tell, collection_digest
from sightline.errors import SightlineError, unknown_name
from sightline.game import Game
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.models.fingerprint import fingerprint_of
from sightline.models.place import place
from sightline.models.protocol import SketchModel
from sightline.parts import Strokes
from sightline.sketch.batch import SketchBatch
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.luck import digest, seed_of
from sightline.sketch.sketch import Sketch
from sightline.targets import ClassScore
from sightline.tasks.healing.heal import heal
from sightline.tasks.healing.pieces import (
    Piece,
    common,
    drawn,
    gone_of,
    length_of,
    whole,
    without,
)
from sightline.tasks.healing.record import Healing

CLEAN = "clean"
KINDS = (*NOISES, CLEAN)
STRETCHES = frozenset({"overshoot"})
"""Kinds whose noise is no stroke."""

DEFAULT, UNTOLD = "shapley", "shapley, label unknown"
BLIND = ("blind random", "blind shortest", "blind longest")
"""They take as many strokes as the default did, and never ask the model."""


def shortest_first(sketch: Sketch) -> Float[np.ndarray, " strokes"]:
    """The length of each stroke."""
    return stroke_lengths(sketch)


def longest_first(sketch: Sketch) -> Float[np.ndarray, " strokes"]:
    """Minus the length of each stroke."""
    return -shortest_first(sketch)


STROKE_REMOVERS: Mapping[str, dict[str, Any]] = {
    DEFAULT: {},
    "sla": {"method": "sla"},
    "occlusion": {"method": "occlusion"},
    "occlusion, score alone": {"method": "occlusion", "against": False},
    "random": {"method": "random"},
    "shortest": {"method": shortest_first},
    "longest": {"method": longest_first},
}
"""What `heal` is told beside the drawing; all but the first three let the score alone decide."""

STRETCH_REMOVERS: Mapping[str, dict[str, Any]] = {
    "p_sla": {"parts": "stretches"},
    "p_sla, score alone": {"parts": "stretches", "against": False},
    "random stretches": {"parts": "stretches", "method": "random"},
}


@dataclass(frozen=True)
class HealingStudy:
    """What is run.

    Args:
        drawings: how many, by luck.
        kinds: of noise, and ``"clean"``, the control.
        strokes: fewest and most of a drawing: up to 7, with the noise, Shapley values are exact.
        each: kinds of noise a drawing has, in turn; every second one is healed clean too.
        seed: of the choice of drawings, the noise and the removers.

    Raises:
        SightlineError: an unknown kind, fewer than 2 drawings, or less than 1 kind each.
    """

    drawings: int = 60
    kinds: tuple[str, ...] = KINDS
    strokes: tuple[int, int] = (2, 7)
    each: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise SightlineError(unknown_name("kind of noise", kind, KINDS))
        if self.drawings < 2 or self.each < 1:
            raise SightlineError(
                f"{self.drawings} drawings, {self.each} kinds each; give at least 2 and 1"
            )

    def chosen(self, sketches: Sequence[Sketch]) -> list[Sketch]:
        """Drawings by luck, whatever the model makes of them."""
        fewest, most = self.strokes
        fit = [sketch for sketch in sketches if fewest <= len(sketch) <= most]
        return sorted(fit, key=lambda s: digest(s, f"{self.seed}/study"))[: self.drawings]

    def kinds_of(self, place: int) -> tuple[str, ...]:
        """What the drawing at a place is healed with: noise in turn, and clean if its turn is even.

        Example:
            >>> HealingStudy(each=1).kinds_of(0), HealingStudy(each=2).kinds_of(1)
            (('foreign', 'clean'), ('scribble', 'copy'))
        """
        noise = [kind for kind in self.kinds if kind != CLEAN]
        apart = max(1, len(noise) // self.each)
        turns = range(self.each if noise else 0)
        own = dict.fromkeys(noise[(place + i * apart) % len(noise)] for i in turns)
        clean = (CLEAN,) if CLEAN in self.kinds and (place % 2 == 0 or not noise) else ()
        return (*own, *clean)


def healing_study(
    models: Mapping[str, object],
    sketches: Sequence[Sketch],
    out: str | os.PathLike[str],
    study: HealingStudy | None = None,
    *,
    progress: Tell | None = None,
) -> list[Record]:
    """Plant noise on drawings, heal them by several removers, and count what went.

    A run is one drawing with one kind of noise before one model: all removers heal it. With the
    label known the score is that of the label, as for a person who knows what the drawing is meant
    to be; where it is unknown, that of the model's answer to the noisy drawing.

    Args:
        models: by name.
        sketches: labelled; foreign strokes are taken from them too.
        out: folder of the results; a second start goes on.
        study: what is run.
        progress: is told of each run.

    Returns:
        What `healed` tells of each run, with its drawing, kind and model.

    Raises:
        SightlineError: results that are damaged or of another study; a drawing without a name.
    """
    study, out = study or HealingStudy(), Path(out)
    fit = study.chosen(sketches)
    chosen = {str(sketch.name): sketch for sketch in fit}
    if len(chosen) < len(fit):
        raise SightlineError("drawings of a study need names, each its own: give them in name=...")
    weights = {name: fingerprint_of(as_model(model)) for name, model in models.items()}
    plan = [
        {"drawing": name, "kind": kind, "model": model, "weights": weights[model]}
        for place, name in enumerate(chosen)  # a part of the plan is a fair sample too
        for model in models
        for kind in study.kinds_of(place)
    ]

    def run(step: Mapping[str, str]) -> Record:
        model, host = as_model(models[step["model"]]), chosen[step["drawing"]]
        return healed(model, host, step["kind"], sketches, study.seed)

    settings = {"seed": study.seed, "collection": collection_digest(sketches)}
    return Records(out / "healing.jsonl", settings).complete(plan, run, progress)


def healed(
    model: SketchModel, host: Sketch, kind: str, donors: Sequence[Sketch], seed: int
) -> Record:
    """One drawing with one kind of noise, healed by every remover.

    Told are ``planted`` (strokes, or the tail's share of the line; None where no place was found),
    ``lowers`` (by how much the noise lowers the label's logit), ``right before`` and ``right
    clean`` (is the answer the label); and in ``removers``, by name, ``removed``, ``hit`` (how much
    of it was planted), ``right``, ``gain`` and ``line`` (the share of the line that went).
    """
    started = time.monotonic()
    normal = host.normalise()
    noisy = (
        Noisy(normal, normal, CLEAN, ())
        if kind == CLEAN
        else add_noise(host, kind, donors=donors, seed=seed)
    )
    if noisy is None:
        return {"planted": None}
    case = _Case(model, noisy, str(host.label), seed)
    case.heal()
    return {**case.told(), "seconds": round(time.monotonic() - started, 2)}


@dataclass
class _Case:
    """A noisy drawing, and what each remover left of it."""

    model: SketchModel
    noisy: Noisy
    label: str
    seed: int
    healings: dict[str, Healing] = field(default_factory=dict)
    left: dict[str, tuple[Piece, ...]] = field(default_factory=dict)

    def heal(self) -> None:
        sketch, kind = self.noisy.sketch, self.noisy.kind
        told = Game(self.model, Strokes(sketch), ClassScore(self.label))
        guessed = Game(self.model, Strokes(sketch), ClassScore())
        if kind not in STRETCHES:
            for name, settings in STROKE_REMOVERS.items():
                self._walk(name, told, settings)
            self._walk(UNTOLD, guessed, {})
            self._walk("random, label unknown", guessed, {"method": "random"})
            self._blind()
        if kind in STRETCHES:
            for name, settings in STRETCH_REMOVERS.items():
                self._walk(name, told, settings)
            self._walk("p_sla, label unknown", guessed, STRETCH_REMOVERS["p_sla"])
        if kind == CLEAN:
            self._walk("p_sla", told, STRETCH_REMOVERS["p_sla"])

    def _walk(self, name: str, game: Game, settings: Mapping[str, Any]) -> None:
        known = self.healings.get(name.partition(", label")[0])
        if known is not None and known.target == game.targets[0]:
            healing = known  # the answer is the label: the same walk
        else:
            healing = heal(self.noisy.sketch, game, seed=self.seed, **settings)
        self.healings[name], self.left[name] = healing, healing.pieces

    def _blind(self) -> None:
        """As many strokes as the default took, in an order that no model was asked for."""
        sketch, count = self.noisy.sketch, len(self.healings[DEFAULT].steps)
        luck = np.random.default_rng(seed_of(sketch, f"{self.seed}/blind", size=8))
        lengths = np.argsort(shortest_first(sketch), kind="stable")
        orders = (luck.permutation(len(sketch)), lengths, lengths[::-1])
        for name, order in zip(BLIND, orders, strict=True):
            strokes = whole(sketch)
            self.left[name] = strokes
            for index in order[:count].tolist():
                self.left[name] = without(self.left[name], strokes[index])

    def told(self) -> Record:
        """What the study keeps."""
        sketch, planted = self.noisy.sketch, self.noisy.planted
        left = [drawn(sketch, pieces) for pieces in self.left.values()]
        logits = _logits(self.model, [sketch, self.noisy.clean, *left])
        column = self.model.labels.index(self.label)
        right = [float(answer == column) for answer in logits.argmax(1).tolist()]
        removers: dict[str, dict[str, float]] = {}
        for (name, pieces), answer in zip(self.left.items(), right[2:], strict=True):
            gone = gone_of(sketch, pieces)
            removers[name] = {
                "removed": self._amount(gone),
                "hit": self._amount(common(gone, planted)),
                "line": _share(sketch, gone),
                "right": answer,
            }
            if name in self.healings:
                removers[name]["gain"] = self.healings[name].gain
        return {
            "planted": self._amount(planted),
            "strokes": len(sketch),
            "lowers": float(logits[1, column] - logits[0, column]),
            "right before": right[0],
            "right clean": right[1],
            "removers": removers,
        }

    def _amount(self, pieces: Sequence[Piece]) -> float:
        """Strokes counted; of stretches the share of the line."""
        if self.noisy.kind in STRETCHES:
            return _share(self.noisy.sketch, pieces)
        return float(sum(piece in whole(self.noisy.sketch) for piece in pieces))


def _share(sketch: Sketch, pieces: Sequence[Piece]) -> float:
    return length_of(sketch, pieces) / length_of(sketch, whole(sketch))


def _logits(model: SketchModel, sketches: Sequence[Sketch]) -> torch.Tensor:
    device, dtype = place(model)
    read = [model.prepare(sketch) for sketch in sketches]
    batch = SketchBatch.from_sketches(read, dtype=dtype).to(device)
    with as_found(model), torch.no_grad():
        return model(batch).double().cpu()
