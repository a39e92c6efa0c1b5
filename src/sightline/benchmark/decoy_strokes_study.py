"""Can labels of strokes repair a recogniser that learnt a decoy? One run a line, resumable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sightline.alignment.examples import GuidedExamples
from sightline.alignment.guides import guide
from sightline.alignment.objective import Guided
from sightline.alignment.over_seeds import paired_over_seeds, student_interval
from sightline.alignment.reading import predicted, read_maps
from sightline.alignment.stroke_sources import StrokeScores
from sightline.benchmark.confounded import labelled_items
from sightline.benchmark.decoy_strokes import DecoySplit, DecoyStrokes, plant_decoys
from sightline.errors import AlignmentError, SightlineError, unknown_name
from sightline.models.raster import RasterModel, sketch_cnn
from sightline.models.sketchxainet import SketchXAINet, sketchxainet
from sightline.sketch.collection import read_collection, split_collection
from sightline.sketch.files import replace_file
from sightline.training.evaluate import BATCH, accuracy
from sightline.training.examples import Labelled
from sightline.training.loop import CHECKPOINT, train
from sightline.training.recipe import Recipe

Row = dict[str, Any]
Progress = Callable[[str], None]
Model = SketchXAINet | RasterModel
Recogniser = Literal["sketchxainet", "sketch-cnn"]

RESULTS, TABLE = "results.jsonl", "results.md"
RECOGNISERS = ("sketchxainet", "sketch-cnn")
CLEAN, PLAIN, LONGER, CAIPI = "clean", "plain", "unguided", "caipi"


@dataclass(frozen=True)
class Way:
    """A guide of strokes: a loss by name, the maps it is taken of, and its strength."""

    guide: str
    source: Literal["strokes", "attention"] = "strokes"
    strength: float = 1.0


WAYS: Mapping[str, Way | None] = {
    LONGER: None,
    CAIPI: None,
    "rrr": Way("rrr"),
    "gradia": Way("gradia"),
    "rrr-attention": Way("rrr", "attention"),
    "gradia-attention": Way("gradia", "attention"),
}
"""How the second phase learns; strengths were chosen on seeds from 100 on."""

FIRST = Recipe(
    epochs=24, batch=32, lr=1e-3, warmup=1.0, smoothing=0.0, ema=0.98, precision="32-true",
    augmentation=None,
)  # fmt: skip
SECOND = replace(FIRST, epochs=10, lr=5e-4, warmup=0.0, normalisation="frozen")


@dataclass(frozen=True)
class DecoyStudy:
    """What is run.

    Drawings are not varied while training: flips would take decoys to other corners.

    Args:
        recogniser: ``"sketchxainet"`` (nano), or ``"sketch-cnn"``, which sees pictures.
        categories: the first so many, by name.
        drawings: of each, for training, validation and test.
        first: recipe of the plain and of the clean model.
        second: recipe that goes on from the plain one, with labels.
        kept: share of the labels that are of validation drawings and choose the best epoch.
    """

    recogniser: Recogniser = "sketchxainet"
    categories: int = 10
    drawings: tuple[int, int, int] = (100, 25, 75)
    first: Recipe = field(default_factory=lambda: FIRST)
    second: Recipe = field(default_factory=lambda: SECOND)
    kept: float = 0.25

    def __post_init__(self) -> None:
        if self.recogniser not in RECOGNISERS:
            raise AlignmentError(unknown_name("recogniser", self.recogniser, RECOGNISERS))
        if not 0 <= self.kept < 1:
            raise AlignmentError(f"kept is a share of the labels, below 1; got {self.kept}")

    def model(self, labels: tuple[str, ...], seed: int) -> Model:
        """With first weights drawn from the seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.recogniser == "sketchxainet":
                return sketchxainet("nano", labels)
            return sketch_cnn(labels, width=12)


def decoy_strokes(
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seeds: Sequence[int] = range(5),
    guides: Mapping[str, Way | None] = WAYS,
    labelled: Sequence[int] = (30, 100, 300),
    study: DecoyStudy | None = None,
    progress: Progress | None = None,
) -> list[Row]:
    """Train on drawings with decoys, then repair with labels of strokes that say: not the decoy.

    Each seed has its own choice of drawings, decoys, labels and first weights. It trains one model
    on drawings with decoys (``plain``) and one on the same drawings without (``clean``, the
    reference); each way then goes on from the plain one. Every model is tested on drawings whose
    decoy tells a random class (``test``), another class (``conflicting``), and without decoys
    (``clean_test``). A run that was finished is in ``results.jsonl`` and not run again; one that
    was killed goes on from its last epoch.

    Args:
        data: a collection of drawings with splits.
        out: folder of the results.
        seeds: of the runs that are reported.
        guides: ways by name, of `WAYS`; those of attention are passed over for pictures.
        labelled: how many drawings a person labels.
        study: what is run.
        progress: is told a line a run.

    Returns:
        One row a run, as in the file.

    Raises:
        SightlineError: ``out`` holds results of another study.
    """
    study, out = study or DecoyStudy(), Path(out)
    results = _Results.of(out, study)
    splits = split_collection(read_collection(data), data)
    names = sorted({str(s.label) for s in splits["train"]})[: study.categories]
    for seed in seeds:
        planted = plant_decoys(splits, drawings=study.drawings, categories=names, seed=seed)
        run = _Seed(study, planted, seed, out / "runs" / f"seed-{seed}")
        for key, learn in run.plan(guides, labelled):
            if key in results:
                continue
            started = time.monotonic()
            model = learn()
            seconds = round(time.monotonic() - started, 1)
            row = key.as_row() | run.measured(model) | {"seconds": seconds}
            results.add(row)
            if progress is not None:
                progress(_line(row))
    rows = results.rows
    with replace_file(out / TABLE) as stream:
        stream.write((decoy_table(rows) + "\n").encode())
    return rows


@dataclass(frozen=True)
class _Key:
    """Which run a row is of."""

    seed: int
    way: str
    labelled: int = 0
    strength: float = 0.0

    def as_row(self) -> Row:
        return asdict(self)


@dataclass
class _Results:
    """Rows on disk: a line each, appended when its run is done."""

    path: Path
    rows: list[Row]

    @classmethod
    def of(cls, folder: Path, study: DecoyStudy) -> _Results:
        folder.mkdir(parents=True, exist_ok=True)
        told, own = folder / "study.json", json.dumps(asdict(study), sort_keys=True)
        if told.exists() and told.read_text() != own:
            raise SightlineError(f"{folder} holds results of another study; give another folder")
        with replace_file(told) as stream:
            stream.write(own.encode())
        path = folder / RESULTS
        lines = path.read_text().split("\n") if path.exists() else [""]
        # a line that a kill cut off has no end: its run is done again
        rows = [json.loads(line) for line in lines[:-1]]
        with replace_file(path) as stream:
            stream.writelines(json.dumps(row).encode() + b"\n" for row in rows)
        return cls(path, rows)

    def __contains__(self, key: _Key) -> bool:
        return any(key.as_row().items() <= row.items() for row in self.rows)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        with self.path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            os.fsync(stream.fileno())


@dataclass(frozen=True, eq=False)
class _Seed:
    """Everything of one seed."""

    study: DecoyStudy
    planted: DecoyStrokes
    seed: int
    folder: Path

    def plan(
        self, guides: Mapping[str, Way | None], labelled: Sequence[int]
    ) -> Iterator[tuple[_Key, Callable[[], Model]]]:
        """The runs, each with what makes its model."""
        for first in (CLEAN, PLAIN):
            yield _Key(self.seed, first), partial(self.first, first)
        for name, way in guides.items():
            if way is not None and way.source == "attention" and not self.attends:
                continue
            for count in labelled if name != LONGER else (0,):
                key = _Key(self.seed, name, count, 0.0 if way is None else way.strength)
                yield key, partial(self.second, key, way)

    @property
    def attends(self) -> bool:
        """Whether the recogniser attends to strokes."""
        return self.study.recogniser == "sketchxainet"

    def first(self, way: str) -> Model:
        """The plain or the clean model; read back where it was trained before."""
        model, planted = self.study.model(self.planted.classes, self.seed), self.planted
        splits = (planted.training, planted.validation)
        if way == CLEAN:
            splits = (planted.clean_training, planted.clean_validation)
        examples = [split.examples(model) for split in splits]
        recipe = replace(self.study.first, seed=self.seed)
        train(model, examples[0], examples[1], recipe, self.folder / way)
        return model

    def second(self, key: _Key, way: Way | None) -> Model:
        """What becomes of the plain model with labels."""
        model, planted = self.first(PLAIN), self.planted
        folder = self.folder / f"{key.way}-{key.labelled}-{key.strength:g}"
        recipe = replace(self.study.second, seed=self.seed)
        splits = zip((planted.training, planted.validation), self.chosen(key.labelled), strict=True)
        if way is None:
            more = [_with_counterexamples(split, items, model) for split, items in splits]
            train(model, more[0], more[1], recipe, folder)
        else:
            objective = Guided(guide(way.guide, strength=way.strength, source=way.source))
            told = [_with_labels(split, items, model) for split, items in splits]
            train(model, told[0], told[1], recipe, folder, objective=objective)
        (folder / CHECKPOINT).unlink(missing_ok=True)  # large, and not needed any more
        return model

    def chosen(self, count: int) -> tuple[list[int], list[int]]:
        """Which drawings a person labels, of training and of validation."""
        kept = min(round(count * self.study.kept), len(self.planted.validation))
        training = labelled_items(count - kept, len(self.planted.training), self.seed)
        return training, labelled_items(kept, len(self.planted.validation), self.seed)

    def measured(self, model: Model) -> Row:
        """Accuracy on the three tests, and where the model looks under the shift."""
        tests = {
            name: getattr(self.planted, name).examples(model)
            for name in ("test", "conflicting", "clean_test")
        }
        found = {name: accuracy(model, examples) for name, examples in tests.items()}
        return found | {"wrong_reason": wrong_share(model, self.planted.test, tests["test"])}


def _with_labels(split: DecoySplit, items: Sequence[int], model: Model) -> GuidedExamples:
    return GuidedExamples.from_labels(split.examples(model), split.names, split.labels(items))


def _with_counterexamples(split: DecoySplit, items: Sequence[int], model: Model) -> Labelled:
    """CAIPI: beside every labelled drawing, the same without what must be left alone."""
    sketches = (*split.sketches, *split.without_decoys(items))
    return Labelled.from_sketches(sketches, model.labels, model.prepare)


def wrong_share(model: nn.Module, split: DecoySplit, examples: Labelled) -> float:
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


# --- the table ------------------------------------------------------------------------------------


def recovered(rows: Sequence[Row]) -> list[Row]:
    """Rows with the share of the gap that each run closes.

    The gap is that between the plain model under the shift and the clean model on clean drawings,
    of the same seed.
    """
    ends = {(row["seed"], row["way"]): row for row in rows if row["way"] in (CLEAN, PLAIN)}
    found = []
    for row in rows:
        both = ends.get((row["seed"], CLEAN)), ends.get((row["seed"], PLAIN))
        if both[0] is None or both[1] is None:
            continue
        low, high = both[1]["test"], both[0]["clean_test"]
        share = (row["test"] - low) / (high - low) if high > low else float("nan")
        found.append(row | {"recovered": share})
    return found


NUMBERS = ("test", "conflicting", "clean_test", "wrong_reason", "recovered")
HEADS = ("random decoy", "conflicting", "no decoy", "score on the decoy", "gap recovered")


def decoy_table(rows: Sequence[Row]) -> str:
    """A row a way and number of labels: means over seeds, Student's t intervals at 95 %."""
    groups: dict[tuple[str, int, float], list[Row]] = {}
    for row in recovered(rows):
        groups.setdefault((row["way"], row["labelled"], row["strength"]), []).append(row)
    lines = [
        f"| way | labels | strength | seeds | {' | '.join(HEADS)} | against plain, p | seconds |",
        "|---" * (len(HEADS) + 6) + "|",
    ]
    plain = {row["seed"]: row["test"] for row in rows if row["way"] == PLAIN}
    for (way, labelled, strength), own in groups.items():
        cells = [_cell([row[name] for row in own]) for name in NUMBERS]
        before = [plain[row["seed"]] for row in own]
        p = _p([row["test"] for row in own], before) if way != PLAIN else ""
        seconds = sum(row["seconds"] for row in own) / len(own)
        lines.append(
            f"| {way} | {labelled or ''} | {strength or ''} | {len(own)} | {' | '.join(cells)} | "
            f"{p} | {seconds:.0f} |"
        )
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}"
    interval = student_interval(values)
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _p(after: Sequence[float], before: Sequence[float]) -> str:
    return f"{paired_over_seeds(after, before).p_value:.4f}" if len(after) > 1 else ""


def _line(row: Row) -> str:
    return (
        f"seed {row['seed']}, {row['way']}, {row['labelled']} labels: random decoy "
        f"{row['test']:.1%}, no decoy {row['clean_test']:.1%}, score on the decoy "
        f"{row['wrong_reason']:.2f}, {row['seconds']:.0f} s\n"
    )
