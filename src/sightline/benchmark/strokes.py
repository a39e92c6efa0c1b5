"""The benchmark of stroke explanations: which method is right, and by how much."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float

from sightline.benchmark.findings import REFERENCE, Cost, Findings
from sightline.benchmark.perturbed import LEVELS, randomised, relabelled, shifted
from sightline.benchmark.planted import Planted, plant
from sightline.errors import GameError, unknown_name
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.methods import METHODS, explain, parts_for
from sightline.metrics.agreement import spearman
from sightline.metrics.concordance import kendall_w
from sightline.metrics.flipping import areas, presence_along
from sightline.models.door import as_model
from sightline.models.protocol import SketchModel
from sightline.models.recognise import recognise
from sightline.parts import Points, Strokes, drawing
from sightline.sketch.lengths import stroke_lengths
from sightline.sketch.luck import digest
from sightline.sketch.sketch import Sketch
from sightline.targets import ClassScore, Scale

Progress = Callable[[int, int], None]
Scores = Float[np.ndarray, "targets strokes"]
Importance = dict[str, list[dict[str, dict[str, float]]]]
"""Label -> one entry a drawing: method -> part -> importance."""

SAMPLERS = frozenset({"kernel_shap", "lime", "rise", "anchors"})
"""Methods that share the benchmark's budget; the others cost what they cost."""

EXAMPLES = 10

IN_THE_DRAWING_S_FRAME = frozenset(
    {"p_sla", "grad_cam", "grad_cam_pp", "x_grad_cam", "hires_cam", "ablation_cam", "full_grad"}
)
"""Methods that meet the drawing in its own frame, where a shifted canvas is not seen."""

BASELINES: dict[str, Callable[[Sketch], Float[np.ndarray, " strokes"]]] = {
    "by length": stroke_lengths,
    "by order": lambda sketch: -np.arange(len(sketch), dtype=float),
}
"""Rankings that never look at the model."""

DIGITS = 5
"""Scores are compared to so many digits of the largest, and numbers kept to so many: below is
rounding, which depends on how forward passes are batched."""


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is run.

    Args:
        drawings: how many, the same number of each label as far as they reach.
        strokes: fewest and most strokes of a drawing; 2^n coalitions are asked.
        budget: evaluations of the methods that sample coalitions.
        scale: of the explained score.
        methods: names; all by default.
        checked: drawings that go through the sanity checks and are timed, at most.
        shift: of the canvas, x and y in the normalised frame.
        seed: of the choice of drawings, the planted strokes and the methods.
    """

    drawings: int = 100
    strokes: tuple[int, int] = (3, 10)
    budget: int = 256
    scale: Scale = "probability"
    methods: tuple[str, ...] | None = None
    checked: int = 20
    shift: tuple[float, float] = (0.1, 0.05)
    seed: int = 0

    def __post_init__(self) -> None:
        fewest, most = self.strokes
        if not 2 <= fewest <= most <= 15:
            raise GameError(
                f"drawings of {fewest} to {most} strokes: give 2 or more, and at most 15, since "
                "all coalitions of the strokes and a planted one are asked"
            )
        if self.drawings < 2 or self.checked < 1:
            raise GameError(
                f"{self.drawings} drawings, {self.checked} checked: give at least 2 and 1"
            )


def benchmark_strokes(
    model: object,
    sketches: Sequence[Sketch],
    settings: BenchmarkSettings | None = None,
    *,
    batch: int = 512,
    progress: Progress | None = None,
) -> Findings:
    """Put every stroke method to the same tests on the same drawings.

    - *Planted strokes*: a stroke of another category must be ranked last.
    - *Agreement* with exact Shapley values: Spearman's correlation, and the first stroke.
    - *Part consistency*: within a category the same parts should matter (Kendall's W), and taking
      whole parts away, the most important first, should lower the probability fast.
    - *Sanity*: the explanation must change when the weights are shuffled, when another label is
      asked about, and in a model that learnt random labels by heart; it must stay when the drawing
      is shifted and the answer stays.
    - *Cost*: model evaluations and seconds.

    Args:
        model: a model of drawings, or a picture classifier with labels.
        sketches: labelled; only those that the model recognises are used. Part names are used
            where there are any.
        settings: what is run.
        batch: largest number of rows for one forward pass; no number but the seconds depends on
            it.
        progress: called with drawings done and drawings in all.

    Raises:
        GameError: an unknown method, or fewer than 2 fitting drawings.
    """
    settings = settings or BenchmarkSettings()
    run = _Run(as_model(model), list(sketches), settings, batch)
    chosen = run.chosen()
    run.meet_strangers(chosen)
    for done, sketch in enumerate(chosen):
        run.drawing(sketch, checked=done < settings.checked)
        if progress is not None:
            progress(done + 1, len(chosen))
    return run.findings(chosen)


@dataclass
class _Run:
    """One run of the benchmark, as its numbers come in."""

    model: SketchModel
    sketches: list[Sketch]
    settings: BenchmarkSettings
    batch: int
    methods: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    importance: Importance = field(default_factory=lambda: defaultdict(list))
    costs: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    unplanted: int = 0
    strangers: dict[str, object] = field(default_factory=dict)
    """Models that an explanation must tell from this one, by the name of the test."""
    learnt: float | None = None
    notes: list[str] = field(default_factory=list)
    examples: list[Planted] = field(default_factory=list)

    def __post_init__(self) -> None:
        unknown = [name for name in self.settings.methods or () if name not in METHODS]
        if unknown:
            raise GameError(unknown_name("method", unknown[0], METHODS))
        self.elsewhere = shifted(self.model, self.settings.shift)

    def chosen(self) -> list[Sketch]:
        """Recognised drawings, label by label in turn, in an order by luck."""
        fewest, most = self.settings.strokes
        by_label: dict[str, list[Sketch]] = defaultdict(list)
        for sketch in shuffled(self.sketches, self.settings.seed):
            if sketch.label in self.model.labels and fewest <= len(sketch) <= most:
                by_label[str(sketch.label)].append(sketch)
        chosen: list[Sketch] = []
        turns = {label: self._recognised(some) for label, some in sorted(by_label.items())}
        while turns and len(chosen) < self.settings.drawings:
            for label in list(turns):
                found = next(turns[label], None)
                if found is None:
                    del turns[label]
                elif len(chosen) < self.settings.drawings:
                    chosen.append(found)
        if len(chosen) < 2:
            raise GameError(
                f"{len(chosen)} drawings have {fewest} to {most} strokes, a label of the model, "
                "and are recognised; at least 2 are needed: give more drawings, or another model"
            )
        self._probe(chosen[0])
        return chosen

    def meet_strangers(self, chosen: list[Sketch]) -> None:
        """Make the models of the sanity checks; one that cannot be made is told."""
        seed = self.settings.seed
        try:
            cascade = randomised(self.model, levels=LEVELS, seed=seed)
            for share, other in zip(cascade.shares, cascade.models, strict=True):
                self.strangers[f"weights {share:.0%}"] = other
            parrot = relabelled(self.model, chosen, seed=seed)
            self.strangers["random labels"], self.learnt = parrot.model, parrot.accuracy
        except GameError as error:
            self.notes.append(f"sanity checks are left out: {error}")

    def _recognised(self, sketches: list[Sketch]) -> Iterator[Sketch]:
        for sketch in sketches:
            if recognise(self.model, sketch)[0].label == sketch.label:
                yield sketch

    def _probe(self, sketch: Sketch) -> None:
        """Which methods work on this model at all."""
        game = self._game(self.model, sketch, (str(sketch.label),))
        for name in self.settings.methods or METHODS:
            try:
                self._explained(game, name)
                self.methods.append(name)
            except GameError as error:
                self.refused[name] = str(error)

    def _game(self, model: object, sketch: Sketch, labels: Sequence[str]) -> Game:
        targets = ClassScore(list(labels), scale=self.settings.scale)
        return Game(model, Strokes(sketch), targets, batch=self.batch, remember=True)

    def _explained(self, game: Game, method: str) -> Explanation:
        settings, sketch = self.settings, drawing(game.parts)
        parts = parts_for(method, game.model, sketch)
        if isinstance(parts, Points):  # which add up to strokes
            targets = ClassScore(list(game.targets), scale=settings.scale)
            points = Game(game.model, parts, targets, batch=self.batch)
            return explain(points, method).on(Strokes(drawing(parts)))
        seed = int.from_bytes(_luck(sketch, settings.seed)[:4], "big")
        budget = settings.budget if method in SAMPLERS else None
        return explain(game, method, budget=budget, seed=seed)

    def _all_scores(self, game: Game) -> dict[str, Scores]:
        found = {name: rounded(self._explained(game, name).scores) for name in self.methods}
        targets = len(game.targets)
        for name, rank in BASELINES.items():
            found[name] = np.tile(rank(drawing(game.parts)), (targets, 1))
        return found

    def _note(self, test: str, method: str, value: float) -> None:
        self.values.setdefault(test, {}).setdefault(method, []).append(round(value, DIGITS))

    def drawing(self, sketch: Sketch, *, checked: bool) -> None:
        """Everything about one drawing."""
        label = str(sketch.label)
        game = self._game(self.model, sketch, (label, self._other(sketch)))
        scores = self._all_scores(game)
        reference = self._reference(game, scores)
        areas_of = self._part_deletion(game, scores)
        for method, found in scores.items():
            self._note("agreement", method, _or_zero(spearman(found[0], reference)))
            self._note("first", method, float(found[0].argmax() == reference.argmax()))
            self._note("labels", method, _or_zero(spearman(found[0], found[1])))
            if areas_of:
                self._note("part_deletion", method, areas_of[method])
        if sketch.parts is not None:
            self._remember_parts(sketch, scores)
        self._planted(sketch)
        if checked:
            self._checks(sketch, scores)

    def _reference(self, game: Game, scores: dict[str, Scores]) -> Float[np.ndarray, " strokes"]:
        if REFERENCE in scores:
            return scores[REFERENCE][0]
        return rounded(self._explained(game, REFERENCE).scores)[0]

    def _other(self, sketch: Sketch) -> str:
        others = [label for label in self.model.labels if label != sketch.label]
        own = int.from_bytes(_luck(sketch, self.settings.seed)[4:8], "big")
        return others[own % len(others)]

    def _planted(self, sketch: Sketch) -> None:
        planted = plant(sketch, self.sketches, seed=self.settings.seed)
        if planted is None:
            self.unplanted += 1
            return
        self.examples = [*self.examples, planted][:EXAMPLES]
        game = self._game(self.model, planted.sketch, (str(sketch.label),))
        for method, scores in self._all_scores(game).items():
            self._note("planted", method, last_place(scores[0], planted.index))

    def _part_deletion(self, game: Game, scores: dict[str, Scores]) -> dict[str, float]:
        """Mean probability as whole parts go, the most important first."""
        sketch = drawing(game.parts)
        names = sorted(set(sketch.parts or ()))
        if len(names) < 2:
            return {}
        member = _membership(sketch, names)  # [parts, strokes]
        paths = {}
        for method, found in scores.items():
            order = np.argsort(-(member @ found[0]), kind="stable").tolist()
            paths[method] = presence_along(order, rising=False) @ torch.from_numpy(member).float()
        rows = torch.cat(list(paths.values()))
        probability = self._probability(sketch)(rows)[:, 0].numpy()
        curves = probability.reshape(len(paths), -1)
        return dict(zip(paths, areas(curves).tolist(), strict=True))

    def _probability(self, sketch: Sketch) -> Game:
        target = ClassScore(str(sketch.label), scale="probability")
        return Game(self.model, Strokes(sketch), target, batch=self.batch, remember=True)

    def _remember_parts(self, sketch: Sketch, scores: dict[str, Scores]) -> None:
        names = sorted(set(sketch.parts or ()))
        member = _membership(sketch, names)
        self.importance[str(sketch.label)].append(
            {m: dict(zip(names, (member @ s[0]).tolist(), strict=True)) for m, s in scores.items()}
        )

    def _checks(self, sketch: Sketch, scores: dict[str, Scores]) -> None:
        label = (str(sketch.label),)
        for test, other in self.strangers.items():
            self._compare(test, self._game(other, sketch, label), scores)
        if recognise(self.elsewhere, sketch)[0].label == sketch.label:
            self._compare("shift", self._game(self.elsewhere, sketch, label), scores)
        for method in self.methods:
            fresh = Game(self.model, Strokes(sketch), ClassScore(*label, scale=self.settings.scale))
            made = self._explained(fresh, method).made
            self.costs[method].append((made.evaluations, made.seconds))

    def _compare(self, test: str, game: Game, scores: dict[str, Scores]) -> None:
        for method, found in self._all_scores(game).items():
            untold = test == "shift" and method in IN_THE_DRAWING_S_FRAME
            same = math.nan if untold else _or_zero(spearman(found[0], scores[method][0]))
            self._note(test, method, same)

    def findings(self, chosen: list[Sketch]) -> Findings:
        """All numbers, by test and method."""
        values = {
            test: {m: np.array(numbers) for m, numbers in by_method.items()}
            for test, by_method in self.values.items()
        }
        agreeing = consistency(self.importance)
        values |= {"consistency": agreeing} if agreeing else {}
        cost = {
            method: Cost(*np.mean(np.array(numbers, dtype=float), axis=0).tolist())
            for method, numbers in self.costs.items()
        }
        return Findings(
            model=type(self.model).__name__,
            drawings=len(chosen),
            checked=min(self.settings.checked, len(chosen)),
            unplanted=self.unplanted,
            values=values,
            cost=cost,
            refused=self.refused,
            learnt=self.learnt,
            examples=tuple(self.examples),
            notes=tuple(self.notes),
            seed=self.settings.seed,
        )


def shuffled(sketches: Sequence[Sketch], seed: int) -> list[Sketch]:
    """The drawings in an order by luck, each drawing's its own."""
    return sorted(sketches, key=lambda sketch: _luck(sketch, seed))


def _luck(sketch: Sketch, seed: int) -> bytes:
    return digest(sketch, f"{seed}/benchmark")


def rounded(scores: Scores) -> Scores:
    """Scores without the digits in which one batch differs from another."""
    largest = np.abs(scores).max(1, keepdims=True)
    return np.round(scores / np.where(largest > 0, largest, 1), DIGITS) * largest


def last_place(scores: Float[np.ndarray, " strokes"], index: int) -> float:
    """Area under the ROC curve for one planted stroke: the share of others that rank above it.

    Ties count half.

    Example:
        >>> last_place(np.array([3.0, 1.0, 1.0]), 1)
        0.75
    """
    others = np.delete(scores, index)
    return float(((others > scores[index]) + 0.5 * (others == scores[index])).mean())


def consistency(importance: Importance) -> dict[str, Float[np.ndarray, " labels"]]:
    """Kendall's W of the parts' importance over the drawings of each label, by method.

    Parts that at least half of the label's drawings have, and the drawings that have all of them.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for _, rows in sorted(importance.items()):
        drawings = [set(next(iter(row.values()))) for row in rows]
        every = sorted(set().union(*drawings))
        common = [p for p in every if sum(p in d for d in drawings) * 2 >= len(drawings)]
        kept = [row for row, d in zip(rows, drawings, strict=True) if set(common) <= d]
        if len(common) < 2 or len(kept) < 3:
            continue
        for method in kept[0]:
            table = np.array([[row[method][part] for part in common] for row in kept])
            w = kendall_w(table)
            found[method].append(0.0 if math.isnan(w) else w)
    return {method: np.array(numbers) for method, numbers in found.items()}


def _membership(sketch: Sketch, names: Sequence[str]) -> Float[np.ndarray, "parts strokes"]:
    return (np.array(sketch.parts)[None] == np.array(names)[:, None]).astype(float)


def _or_zero(correlation: float) -> float:
    """Where a side ranks nothing there is no agreement."""
    return 0.0 if math.isnan(correlation) else correlation
