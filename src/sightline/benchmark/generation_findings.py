"""What the benchmark of generation found: tables of both ways, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from sightline.benchmark.markdown import markdown_table, number
from sightline.errors import TaskError, unknown_name
from sightline.metrics.intervals import Comparison, Interval, bootstrap_mean, paired
from sightline.scenes.pairs import TEST
from sightline.tasks.generation.stroke_maps import METHODS, MOST_STROKES, Method

REFERENCE, RANDOM, GEOMETRY = "shapley", "random", "ink inside"
EVEN, NEAREST, AREA = "even", "nearest stroke", "area"
FORWARD: tuple[str, ...] = (
    REFERENCE, "kernel_shap", "integrated_gradients", "sla", "gradient_x_input", "occlusion",
)  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One table: what is measured, and what a method must beat.

    Args:
        title: of the column.
        question: that it answers.
        chance: the row that knows nothing; geometry: the row that only looks where lines are.
    """

    title: str
    question: str
    chance: str
    geometry: str


MEASURES: Mapping[str, Measure] = {
    "pointing": Measure(
        "pointing", "Is the strongest stroke of a region one that draws it?", RANDOM, GEOMETRY
    ),
    "precision": Measure(
        "average precision", "Do a region's own strokes come first?", RANDOM, GEOMETRY
    ),
    "caused": Measure(
        "pointing",
        "The same, only of regions that go when their own strokes go: there the generator agrees",
        RANDOM,
        GEOMETRY,
    ),
    "agreement": Measure(
        "Spearman with Shapley", "Are strokes ranked as by exact Shapley values?", RANDOM, GEOMETRY
    ),
    "own share": Measure(
        "share in own part", "Does what a stroke made lie in the part it draws?", EVEN, NEAREST
    ),
    "pixels": Measure(
        "pixels named", "Is a pixel's strongest stroke one of its part?", EVEN, NEAREST
    ),
}


@dataclass(frozen=True)
class GenerationSettings:
    """What is run.

    Args:
        drawings: how many are measured.
        first: seed of the first, by default of pairs that no shipped model was trained on;
            unsuitable ones are passed over and counted.
        most_strokes: drawings of more are passed over; beyond 10, exact Shapley values are not
            asked for.
        forward: methods of game, strokes to regions.
        reverse: methods of maps, pictures to strokes.
        seed: of samples and intervals.

    Raises:
        TaskError: an unknown method, or fewer than 2 drawings.
    """

    drawings: int = 150
    first: int = TEST
    most_strokes: int = MOST_STROKES
    forward: tuple[str, ...] = FORWARD
    reverse: tuple[Method, ...] = METHODS
    seed: int = 0

    def __post_init__(self) -> None:
        for asked, known in ((self.forward, FORWARD), (self.reverse, METHODS)):
            for name in asked:
                if name not in known:
                    raise TaskError(unknown_name("method", name, known))
        if self.drawings < 2:
            raise TaskError(f"drawings is {self.drawings}; an interval needs at least 2")

    @property
    def exact(self) -> bool:
        """Whether all drawings have few enough strokes for exact Shapley values."""
        return self.most_strokes <= MOST_STROKES

    @property
    def of_game(self) -> tuple[str, ...]:
        """Methods of games that such drawings allow."""
        return tuple(name for name in self.forward if self.exact or name != REFERENCE)

    @property
    def of_maps(self) -> tuple[Method, ...]:
        """Methods of maps that such drawings allow."""
        return tuple(name for name in self.reverse if self.exact or name != REFERENCE)


@dataclass(frozen=True, eq=False)
class GenerationStudy:
    """Numbers of every measure and method, one a drawing, in the same order for all.

    Args:
        values: measure -> method -> a number a drawing, the mean over its regions or strokes;
            NaN for drawings that have none such.
        seconds: of one explanation, by method; of this machine.
        regions: asked about; caused: of them, those that lose more than half of their content
            without the strokes that draw them; strokes: of all drawings.
        passed_over: drawings that were not measured, by reason.
        settings: what was run.
    """

    values: dict[str, dict[str, Float[np.ndarray, " drawings"]]]
    seconds: dict[str, float]
    regions: int
    caused: int
    strokes: int
    passed_over: dict[str, int]
    settings: GenerationSettings = field(default_factory=GenerationSettings)

    def interval(self, measure: str, method: str) -> Interval:
        """The mean over drawings."""
        return self._intervals[measure, method]

    @cached_property
    def _intervals(self) -> dict[tuple[str, str], Interval]:
        return {
            (measure, method): bootstrap_mean(_known(values), seed=self.settings.seed)
            for measure, by_method in self.values.items()
            for method, values in by_method.items()
        }

    def against(self, measure: str, method: str, other: str) -> Comparison:
        """By how much a method is better than another, on the same drawings."""
        found = self.values[measure]
        return paired(_known(found[method]), _known(found[other]), seed=self.settings.seed)

    def rows(self, measure: str) -> list[list[str]]:
        """The table of a measure, the best first: value, over chance, over geometry."""
        told, found = MEASURES[measure], self.values[measure]
        best = sorted(found, key=lambda method: -self.interval(measure, method).estimate)
        rows = []
        for method in best:
            over = [
                ""
                if method == other or other not in found
                else number(self.against(measure, method, other).difference, 3, signed=True)
                for other in (told.chance, told.geometry)
            ]
            rows.append([method, number(self.interval(measure, method), 3), *over])
        return rows

    def columns(self, measure: str) -> list[str]:
        """Of that table."""
        told = MEASURES[measure]
        return ["method", told.title, f"over {told.chance}", f"over {told.geometry}"]

    def markdown(self) -> str:
        """All tables, with what they are of."""
        count = len(next(iter(next(iter(self.values.values())).values())))
        over = ", ".join(f"{n} {why}" for why, n in self.passed_over.items()) or "none"
        text = [
            f"{count} drawings of at most {self.settings.most_strokes} strokes (seeds from "
            f"{self.settings.first}), {self.regions} regions, {self.caused} of which go when their "
            f"own strokes go, {self.strokes} strokes; passed over: {over}. Means over drawings, "
            "95 % bootstrap intervals; differences are paired."
        ]
        for measure in self.values:
            table = markdown_table(self.columns(measure), self.rows(measure))
            text.append(f"{MEASURES[measure].question}\n\n{table}")
        spent = ", ".join(f"{name} {1000 * each:.0f}" for name, each in self.seconds.items())
        text.append(f"Milliseconds an explanation on this machine: {spent}.")
        return "\n\n".join(text) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "drawings": len(next(iter(next(iter(self.values.values())).values()))),
            "regions": self.regions,
            "caused": self.caused,
            "strokes": self.strokes,
            "passed_over": self.passed_over,
            "seconds": self.seconds,
            "values": {
                measure: {
                    method: {"mean": i.estimate, "low": i.low, "high": i.high}
                    for method in by_method
                    for i in [self.interval(measure, method)]
                }
                for measure, by_method in self.values.items()
            },
        }


def _known(values: Float[np.ndarray, " drawings"]) -> Float[np.ndarray, " _"]:
    """Of the drawings that have a number; they are the same for all methods of a measure."""
    return values[~np.isnan(values)]
