"""Can labels of strokes repair a recogniser that learnt a decoy? One run a line, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sightline.alignment.examples import GuidedExamples
from sightline.alignment.guides import guide
from sightline.alignment.objective import Guided
from sightline.alignment.reading import predicted, read_maps
from sightline.alignment.stroke_sources import StrokeScores
from sightline.benchmark.confounded import labelled_items
from sightline.benchmark.decoy_strokes import DecoySplit, DecoyStrokes, plant_decoys
from sightline.benchmark.ledger import Experiment, Finished, Ledger
from sightline.benchmark.outcomes import Outcomes, Row
from sightline.errors import SightlineError, unknown_name
from sightline.models.raster import RasterModel, sketch_cnn
from sightline.models.sketchxainet import SketchXAINet, sketchxainet
from sightline.sketch.collection import read_collection, split_collection
from sightline.sketch.files import replace_file
from sightline.sketch.sketch import Sketch
from sightline.training.evaluate import BATCH, accuracy
from sightline.training.examples import Labelled
from sightline.training.loop import train
from sightline.training.objective import CrossEntropy, Objective
from sightline.training.recipe import Recipe

Model = SketchXAINet | RasterModel
Progress = Callable[[str], None]
Splits = Mapping[str, Sequence[Sketch]]

STUDY = "decoy-strokes"
SEEDS = tuple(range(5))
LABELS = (30, 100, 300)
CLEAN, PLAIN, CONTINUED, CAIPI = "clean", "plain", "continued", "caipi"
LAST = "epoch"
"""Runs end with their last epoch: whatever chose another one would have to be told of the decoy."""


@dataclass(frozen=True)
class Way:
    """A guide of strokes.

    Args:
        guide: the loss, by name.
        source: of the maps that it is taken of.
        strengths: by network; networks without one are not taught this way.
    """

    guide: str
    source: Literal["strokes", "attention", "occlusion"]
    strengths: Mapping[str, float]


WAYS: Mapping[str, Way] = {
    "rrr": Way("rrr", "strokes", {"sketchxainet": 10.0, "sketch-cnn": 10.0}),
    "gradia": Way("gradia", "strokes", {"sketchxainet": 1.0, "sketch-cnn": 1.0}),
    "rrr-occlusion": Way("rrr", "occlusion", {"sketchxainet": 1.0, "sketch-cnn": 1.0}),
    "rrr-attention": Way("rrr", "attention", {"sketchxainet": 30.0}),
    "gradia-attention": Way("gradia", "attention", {"sketchxainet": 1.0}),
}
"""Strengths were tried with seed 100, which no plan has: those of ``rrr`` and ``rrr-occlusion`` are
the best of three or more, the others were tried once or never."""

NETWORKS: Mapping[str, tuple[Callable[[tuple[str, ...]], Model], float]] = {
    "sketchxainet": (lambda labels: sketchxainet("nano", labels), 1e-3),
    "sketch-cnn": (lambda labels: sketch_cnn(labels, width=12), 2e-3),
}
"""Recognisers by name, and their learning rate."""

FIRST = Recipe(
    epochs=24, batch=32, warmup=1.0, smoothing=0.0, ema=0.98, precision="32-true",
    augmentation=None,
)  # fmt: skip
SECOND = replace(FIRST, epochs=8, warmup=0.0, normalisation="frozen")


@dataclass(frozen=True)
class DecoyStudy:
    """What is run.

    Drawings are not varied while training: flips would take decoys to other corners.

    Args:
        categories: the first so many, by name.
        drawings: of each, for training, validation and test.
        first: recipe of the plain and of the clean model; the learning rate is the network's.
        second: recipe that goes on from the plain one, with labels, at half the learning rate;
            None: runs with labels begin with an untrained network, by the first recipe.
        ways: guides by name.
    """

    categories: int = 10
    drawings: tuple[int, int, int] = (100, 10, 75)
    first: Recipe = field(default_factory=lambda: FIRST)
    second: Recipe | None = field(default_factory=lambda: SECOND)
    ways: Mapping[str, Way] = field(default_factory=lambda: WAYS)

    def plan(
        self,
        seeds: Sequence[int] = SEEDS,
        labelled: Sequence[int] = LABELS,
        networks: Sequence[str] = tuple(NETWORKS),
    ) -> list[Experiment]:
        """All runs, seed by seed; pictures have no attention to guide.

        Raises:
            SightlineError: an unknown network.
        """
        found = []
        for network in networks:
            if network not in NETWORKS:
                raise SightlineError(unknown_name("network", network, NETWORKS))
            bare = (CLEAN, PLAIN) if self.second is None else (CLEAN, PLAIN, CONTINUED)
            found += [Experiment(STUDY, name, network) for name in bare]
            taught = [name for name, way in self.ways.items() if network in way.strengths]
            found += [
                Experiment(STUDY, name, network, count)
                for name in (CAIPI, *taught)
                for count in labelled
            ]
        return [replace(row, seed=seed) for seed in seeds for row in found]


def decoy_strokes(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seeds: Sequence[int] = SEEDS,
    labelled: Sequence[int] = LABELS,
    networks: Sequence[str] = tuple(NETWORKS),
    study: DecoyStudy | None = None,
    progress: Progress | None = None,
) -> list[Finished]:
    """Train on drawings with decoys, then repair with labels of strokes that say: not the decoy.

    Each seed has its own choice of drawings, decoys, labels and first weights. Of each network it
    trains one on drawings with decoys (``plain``) and one on the same drawings without (``clean``,
    the reference). Each way goes on from the plain one, unless there is no second phase: without
    labels (``continued``), with counterexamples whose decoy is dropped (``caipi``), or with a
    guide.

    A run that was finished is not run again.

    Args:
        data: a collection of drawings with splits.
        out: folder of the results; ``decoy-strokes.md`` has the tables.
        seeds: of the runs.
        labelled: how many drawings a person labels.
        networks: ``"sketchxainet"`` (nano), ``"sketch-cnn"`` (pictures of 64 pixels).
        study: what is run.
        progress: is told a line a run.

    Returns:
        The finished runs of the plan. Measures: accuracy where the decoy tells a random class
        (``shifted``), another class (``conflicting``), and without decoys (``clean``); and the
        decoy's share of the positive scores of strokes for the predicted class (``on decoy``).

    Raises:
        SightlineError: an unknown network; results that are damaged or of other settings.
    """
    study, out = study or DecoyStudy(), Path(out)
    splits: Splits = {}
    lessons: dict[int, _Lessons] = {}

    def run(experiment: Experiment) -> Finished:
        nonlocal splits, lessons
        splits = splits or split_collection(read_collection(data), data)
        if experiment.seed not in lessons:  # one seed's at a time: they are large
            lessons = {experiment.seed: _Lessons.of(study, splits, experiment.seed, out)}
        return lessons[experiment.seed].run(experiment)

    found = Ledger(out).complete(
        study.plan(seeds, labelled, networks),
        run,
        check=lambda rows: _refuse_others(rows, study, out),
        told=_line,
        progress=progress,
    )
    with replace_file(out / f"{STUDY}.md") as stream:
        stream.write(decoy_stroke_tables(found).encode())
    return found


def decoy_stroke_tables(rows: Sequence[Finished]) -> str:
    """A table of each network, with the share of the gap that was recovered.

    The gap is between the plain model's accuracy where decoys tell random classes, and the clean
    reference's on drawings without decoys.
    """
    found, tables = Outcomes.from_rows(rows, STUDY), []
    for network in dict.fromkeys(kind[1] for kind in found.kinds):
        kinds = [kind for kind in found.kinds if kind[1] == network]
        plain: Row = (PLAIN, network, 0, 0.0)
        clean: Row = (CLEAN, network, 0, 0.0)
        gaps = {
            kind: found.recovered(kind, plain, clean, "shifted", of_clean="clean")
            for kind in kinds
            if kind not in (plain, clean)
        }
        measures = ("shifted", "conflicting", "clean", "on decoy")
        tables.append(found.table(measures, recovered=gaps, kinds=kinds))
    return "\n\n".join(tables) + "\n"


@dataclass(frozen=True, eq=False)
class _Lessons:
    """The runs of one seed."""

    study: DecoyStudy
    planted: DecoyStrokes
    seed: int
    folder: Path

    @classmethod
    def of(cls, study: DecoyStudy, splits: Splits, seed: int, folder: Path) -> _Lessons:
        names = sorted({str(s.label) for s in splits["train"]})[: study.categories]
        planted = plant_decoys(splits, drawings=study.drawings, categories=names, seed=seed)
        return cls(study, planted, seed, folder)

    def run(self, experiment: Experiment) -> Finished:
        """Teach and measure; the result depends on nothing that ran before."""
        first = {CLEAN, PLAIN}
        if experiment.method not in first and self.study.second is not None:
            self.misled(experiment.network)  # its seconds are another run's
        started = time.monotonic()
        if experiment.method in first:
            model = self.without_labels(experiment.network, clean=experiment.method == CLEAN)
        else:
            model = self.repaired(experiment)
        seconds = round(time.monotonic() - started, 1)
        return Finished(experiment, self.measured(model), seconds, _settings(self.study))

    def untrained(self, network: str) -> Model:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return NETWORKS[network][0](self.planted.classes)

    def misled(self, network: str) -> Model:
        return self.without_labels(network, clean=False)

    def without_labels(self, network: str, *, clean: bool) -> Model:
        """A model of the task alone: read, or taught and kept."""
        from safetensors.torch import load_file, save

        told = hashlib.sha256(_plain(_settings(self.study)).encode()).hexdigest()[:8]
        name = f"{CLEAN if clean else PLAIN}-{network}-{self.seed}-{told}.safetensors"
        path, model = self.folder / name, self.untrained(network)
        if path.exists():
            model.load_state_dict(load_file(path))
            return model
        split = self.planted.clean_training if clean else self.planted.training
        recipe = replace(self.study.first, lr=NETWORKS[network][1])
        self._train(model, split.examples(model), CrossEntropy(chooses=LAST), recipe)
        with replace_file(path) as stream:
            stream.write(save({k: v.contiguous() for k, v in model.state_dict().items()}))
        return model

    def repaired(self, experiment: Experiment) -> Model:
        """A model that learnt with labels."""
        network, split = experiment.network, self.planted.training
        lr = NETWORKS[network][1]
        if self.study.second is None:
            model, recipe = self.untrained(network), replace(self.study.first, lr=lr)
        else:
            model, recipe = self.misled(network), replace(self.study.second, lr=lr / 2)
        items = labelled_items(experiment.labels, len(split), self.seed)
        way = self.study.ways.get(experiment.method)
        if way is None:
            data = _with_counterexamples(split, items, model)
            self._train(model, data, CrossEntropy(chooses=LAST), recipe)
            return model
        told = GuidedExamples.from_labels(split.examples(model), split.names, split.labels(items))
        taught = guide(way.guide, source=way.source, strength=way.strengths[network])
        self._train(model, told, Guided(taught, chooses=LAST), recipe)
        return model

    def _train(
        self, model: Model, data: Labelled | GuidedExamples, objective: Objective, recipe: Recipe
    ) -> None:
        seen: Any = self.planted.validation.examples(model)  # nothing is chosen by it
        if isinstance(objective, Guided):
            seen = GuidedExamples(seen, {})
        own = replace(recipe, seed=self.seed)
        with TemporaryDirectory(prefix=".run-", dir=self.folder) as place:
            train(model, data, seen, own, Path(place), objective=objective)

    def measured(self, model: Model) -> dict[str, float | None]:
        """Accuracy on the three tests, and where the model looks under the shift."""
        tests = {
            "shifted": self.planted.test,
            "conflicting": self.planted.conflicting,
            "clean": self.planted.clean_test,
        }
        seen = {name: split.examples(model) for name, split in tests.items()}
        found: dict[str, float | None] = {n: accuracy(model, data) for n, data in seen.items()}
        return found | {"on decoy": share_on_decoy(model, tests["shifted"], seen["shifted"])}


def _with_counterexamples(split: DecoySplit, items: Sequence[int], model: Model) -> Labelled:
    """CAIPI: beside every labelled drawing, the same without what must be left alone."""
    sketches = (*split.sketches, *split.without_decoys(items))
    return Labelled.from_sketches(sketches, model.labels, model.prepare)


def share_on_decoy(model: nn.Module, split: DecoySplit, examples: Labelled) -> float:
    """Share of the decoy in the positive scores of strokes for the predicted class, in the mean.

    Drawings without any positive score count 0.
    """
    shares = []
    for chosen in torch.arange(len(examples)).split(BATCH):
        _, maps = read_maps(model, StrokeScores(), examples.batch(chosen), predicted)
        decoy = torch.tensor([split.decoy[i] for i in chosen.tolist()], device=maps.device)
        shares.append(_share(maps.clamp(min=0).double(), decoy).cpu())
    return float(torch.cat(shares).mean())


def _share(positive: Tensor, decoy: Tensor) -> Tensor:
    total = positive.sum(1)
    own = positive.gather(1, decoy[:, None])[:, 0]
    return torch.where(total > 0, own / torch.where(total > 0, total, 1), 0)


def _settings(study: DecoyStudy) -> dict[str, Any]:
    return {
        "categories": study.categories,
        "drawings": list(study.drawings),
        "first": study.first.as_dict(),
        "second": None if study.second is None else study.second.as_dict(),
        "ways": {name: asdict(way) for name, way in study.ways.items()},
    }


def _plain(settings: Mapping[str, Any]) -> str:
    """One text for equal settings, whether they come from a study or from a file."""
    return json.dumps(settings, sort_keys=True)


def _refuse_others(rows: Sequence[Finished], study: DecoyStudy, out: Path) -> None:
    own = _plain(_settings(study))
    if any(_plain(row.settings) != own for row in rows):
        raise SightlineError(f"{out} holds results of another study; give another folder")


def _line(row: Finished) -> str:
    numbers = ", ".join(f"{name} {value or 0:.3f}" for name, value in row.measures.items())
    return f"{row.experiment}: {numbers}; {row.seconds:.0f} s"
