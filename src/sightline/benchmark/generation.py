"""Which explanation of a generated picture is right? A truth for strokes and regions.

Of a generated pair it is known which strokes draw which part, and where each part is. So a method
can be asked both ways: which strokes made this part's region, and where is what this stroke made.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from sightline import methods
from sightline.benchmark.generation_findings import (
    AREA,
    EVEN,
    GEOMETRY,
    NEAREST,
    RANDOM,
    REFERENCE,
    GenerationSettings,
    GenerationStudy,
)
from sightline.benchmark.records import Record, Records
from sightline.errors import TaskError
from sightline.explanation import Explanation
from sightline.game import Game
from sightline.metrics.agreement import spearman
from sightline.models.fingerprint import fingerprint_of
from sightline.models.generator import RasterGenerator
from sightline.parts import Strokes
from sightline.scenes.pairs import Pair, draw_pair
from sightline.tasks.generation.part_regions import PartRegions, ink_inside
from sightline.tasks.generation.part_scores import (
    average_precision,
    evenly,
    nearest,
    own_share,
    pixels_named,
    pointing,
)
from sightline.tasks.generation.stroke_maps import StrokeMaps, stroke_maps

Progress = Callable[[int, int], None]
Values = dict[str, dict[str, float | None]]
"""Measure -> method -> number, of one drawing; None where it has none."""

KERNEL_BUDGET = 64
STEPS = 16
"""Nodes of integrated gradients: half of the default; they cost more than all other methods."""
HALF = 0.5
MOST_PASSED_OVER = 20
"""Drawings looked at for each that is measured, before the generator is taken for a wrong one."""


def benchmark_generation(
    generator: RasterGenerator,
    settings: GenerationSettings | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    pair: Callable[[int], Pair] = draw_pair,
    progress: Progress | None = None,
) -> GenerationStudy:
    """Ask every method about the same drawings, both ways, where the answers are known.

    Args:
        generator: that made its picture from such drawings.
        settings: what is run.
        out: folder of the records; a second start goes on. None keeps none.
        pair: a drawing and its parts by seed.
        progress: is told how many drawings are done, of how many.

    Raises:
        TaskError: the generator shows nothing where parts are, on drawing after drawing;
            or ``out`` holds a study of other settings or another generator.
    """
    settings = settings or GenerationSettings()
    study, kept, known = _Study(generator, settings), None, {}
    if out is not None:
        kept = Records(Path(out) / "generation.jsonl", _told(generator, settings))
        known = kept.by(["seed"])
    found: list[Record] = []
    passed_over: Counter[str] = Counter()
    seed = settings.first
    while len(found) < settings.drawings:
        record = known.get((seed,)) or {"seed": seed, **study.measure(pair(seed), seed)}
        if kept is not None and (seed,) not in known:
            kept.append(record)
        if "passed over" in record:
            passed_over[record["passed over"]] += 1
        else:
            found.append(record)
        seed += 1
        if progress is not None:
            progress(len(found), settings.drawings)
        if seed - settings.first > MOST_PASSED_OVER * settings.drawings:
            raise TaskError(
                f"of {seed - settings.first} drawings only {len(found)} could be asked "
                f"about ({dict(passed_over)}); is this a generator of such drawings?"
            )
    return _side_by_side(found, dict(passed_over), settings)


def _told(generator: RasterGenerator, settings: GenerationSettings) -> Record:
    """What the numbers of a drawing depend on; more drawings may be added later."""
    told = asdict(settings) | {"generator": fingerprint_of(generator)}
    del told["drawings"]
    return told


class _Study:
    """How one drawing is measured."""

    def __init__(self, generator: RasterGenerator, settings: GenerationSettings) -> None:
        self.generator, self.settings = generator, settings
        self.spent: dict[str, float] = {}

    def measure(self, pair: Pair, seed: int) -> Record:
        """Every method on one drawing, or a reason why not."""
        self.spent = {}
        if len(pair.sketch) > self.settings.most_strokes:
            return {"passed over": f"of more than {self.settings.most_strokes} strokes"}
        try:
            parts = PartRegions.of(pair.sketch, pair.masks)
            plain = stroke_maps(self.generator, pair.sketch)
            parts = parts.showing(plain.picture - plain.blank)
        except TaskError:
            return {"passed over": "without a part that can be asked about"}
        maps = self._maps(pair)
        game = Game(self.generator, Strokes(pair.sketch), parts.region())
        scores = self._scores(game, pair, parts, maps, seed)
        caused = _caused(game, parts)
        return {
            "values": _of_scores(scores, parts, caused) | _of_maps(maps, pair, parts, plain),
            "regions": len(parts),
            "caused": int(caused.sum()),
            "strokes": len(pair.sketch),
            "seconds": self.spent,
        }

    def _maps(self, pair: Pair) -> dict[str, StrokeMaps]:
        """By every method; of the gradient along the way, fewer nodes than by default."""
        found: dict[str, StrokeMaps] = {}
        for name in self.settings.of_maps:
            ask = partial(stroke_maps, self.generator, pair.sketch, method=name, steps=STEPS)
            found[name] = self._timed(name, ask)
        return found

    def _scores(
        self, game: Game, pair: Pair, parts: PartRegions, maps: dict[str, StrokeMaps], seed: int
    ) -> dict[str, Float[np.ndarray, "regions strokes"]]:
        """By every method and baseline; what the maps tell exactly is read from them."""
        found = {}
        for name in self.settings.of_game:
            if name in maps:
                found[name] = maps[name].scores(parts.region())
            else:
                found[name] = self._timed(name, partial(_ask, name, game, seed)).scores
        found[RANDOM] = methods.random(game, seed=self.settings.seed + seed).scores
        found[GEOMETRY] = ink_inside(pair.sketch, parts)
        return found

    def _timed(self, name: str, ask: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        answer = ask()
        self.spent[name] = time.perf_counter() - started
        return answer


def _side_by_side(
    found: Sequence[Record], passed_over: dict[str, int], settings: GenerationSettings
) -> GenerationStudy:
    """All drawings; None is a number that a drawing has none of."""
    values = {
        measure: {
            method: np.array([each["values"][measure][method] for each in found], np.float64)
            for method in by_method
        }
        for measure, by_method in found[0]["values"].items()
    }
    known = {m: v for m, v in values.items() if not np.isnan(next(iter(v.values()))).all()}
    names = found[0]["seconds"]
    seconds = {n: float(np.mean([each["seconds"][n] for each in found])) for n in names}
    regions, caused, strokes = (
        sum(each[what] for each in found) for what in ("regions", "caused", "strokes")
    )
    return GenerationStudy(known, seconds, regions, caused, strokes, passed_over, settings)


def _caused(game: Game, parts: PartRegions) -> Bool[np.ndarray, " regions"]:
    """Which regions lose more than half of their content without the strokes that draw them."""
    left = game(1 - torch.from_numpy(parts.own).float()).diagonal()
    return np.array((left < HALF).numpy())


def _of_scores(
    scores: dict[str, Float[np.ndarray, "regions strokes"]],
    parts: PartRegions,
    caused: Bool[np.ndarray, " regions"],
) -> Values:
    """Strokes of regions: means over the regions of one drawing."""
    hits = {name: pointing(s, parts.own) for name, s in scores.items()}
    values: Values = {
        "pointing": {n: float(hit.mean()) for n, hit in hits.items()},
        "caused": {
            n: float(hit[caused].mean()) if caused.any() else None for n, hit in hits.items()
        },
        "precision": {n: float(average_precision(s, parts.own).mean()) for n, s in scores.items()},
    }
    truth = scores.get(REFERENCE)
    if truth is not None:
        others = {n: s for n, s in scores.items() if n != REFERENCE}
        values["agreement"] = {n: _agreement(s, truth) for n, s in others.items()}
    return values


def _of_maps(
    maps: dict[str, StrokeMaps], pair: Pair, parts: PartRegions, plain: StrokeMaps
) -> Values:
    """Regions of strokes: means over the strokes, or the pixels, of one drawing."""
    near = nearest(plain, pair.sketch.normalise())
    every = maps | {EVEN: evenly(plain), NEAREST: near}
    share: dict[str, float | None] = {
        n: float(own_share(m, parts)[0].mean()) for n, m in every.items()
    }
    return {
        "own share": share | {AREA: float(own_share(plain, parts)[1].mean())},
        "pixels": {n: pixels_named(m, parts) for n, m in every.items()},
    }


def _ask(name: str, game: Game, seed: int) -> Explanation:
    if name == "kernel_shap":
        return methods.kernel_shap(game, budget=KERNEL_BUDGET, seed=seed)
    method: Callable[[Game], Explanation] = getattr(methods, name)
    return method(game)


def _agreement(
    scores: Float[np.ndarray, "regions strokes"], truth: Float[np.ndarray, "regions strokes"]
) -> float:
    """Mean rank correlation over regions; where scores rank nothing it is 0."""
    found = [spearman(_rounded(a), _rounded(b)) for a, b in zip(scores, truth, strict=True)]
    return float(np.nan_to_num(found).mean())


def _rounded(scores: Float[np.ndarray, " strokes"]) -> Float[np.ndarray, " strokes"]:
    """To five digits of the largest, so that rounding ranks nothing."""
    return (scores / (np.abs(scores).max() or 1.0)).round(5)
