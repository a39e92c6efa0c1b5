"""One run of an experiment: a model is taught, and then asked and watched."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from sightline.alignment.caipi import Fill, counterexamples
from sightline.alignment.examples import GuidedExamples
from sightline.alignment.guides import GUIDES, guide
from sightline.alignment.labels import AttentionLabels
from sightline.alignment.looking import Guide, MapSource
from sightline.alignment.measures import measure_looking
from sightline.alignment.objective import Guided
from sightline.alignment.wanted import Wanted
from sightline.benchmark.confounded import Confounded, Splits, labelled_items
from sightline.benchmark.label_noise import with_wrong_labels
from sightline.benchmark.ledger import Experiment, Finished
from sightline.errors import SightlineError, unknown_name
from sightline.image.batch import PictureBatch
from sightline.sketch.files import replace_file
from sightline.training.evaluate import predict
from sightline.training.loop import train
from sightline.training.objective import CrossEntropy, Objective
from sightline.training.pictures import Pictures
from sightline.training.recipe import Recipe

WITHOUT_LABELS = ("plain", "clean", "continued")
METHODS = (*WITHOUT_LABELS, "caipi", *GUIDES)
"""``plain`` is misled; ``clean`` learns from the clean data and is the reference; ``continued`` is
plain for as long as phase 2 takes; ``caipi`` adds counterexamples; the others are guides."""
Progress = Callable[[str], None]
LOOKED_AT = 400
"""Items of the test whose maps are measured; answers are counted on all."""
LAST = "epoch"
"""Runs end with their last epoch: whatever chose another one would have to be told of the bias."""


@dataclass(frozen=True)
class Network:
    """A model that is taught, and how it is watched.

    Args:
        make: an untrained one from a seed.
        watched: where it looks, when it is measured.
        earlier: a layer before the one that Grad-CAM is read at, for comparing gradients.
        recipe: instead of the study's; None: the study's.
    """

    make: Callable[[int], nn.Module]
    watched: MapSource
    earlier: str | None = None
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Study:
    """A data set, its networks, and how they are taught.

    Args:
        name: of the study.
        splits: from a seed, and a folder to keep them in.
        networks: by name.
        recipe: of a run; of phase 1 where there are two.
        second: recipe of phase 2, which goes on from a plain model of the same seed; None: every
            run begins with an untrained network.
        strengths: of each guide, by ``method`` or ``method/network``.
        fill: of the counterexamples.
        copies: of each counterexample.
    """

    name: str
    splits: Callable[[int, Path | None], Splits]
    networks: Mapping[str, Network]
    recipe: Recipe
    second: Recipe | None = None
    strengths: Mapping[str, float] = field(default_factory=dict)
    fill: Fill = "uniform"
    copies: int = 3

    def first(self, network: str) -> Recipe:
        """The recipe of a network's run, or of its phase 1."""
        return self.networks[network].recipe or self.recipe

    def guide(self, experiment: Experiment) -> Guide:
        """The guide of a run, with the study's strength."""
        method = experiment.method
        strength = self.strengths.get(f"{method}/{experiment.network}", self.strengths.get(method))
        return guide(method, strength=strength)


def check(study: Study, experiment: Experiment) -> None:
    """Refuse a run that the study does not have.

    Raises:
        SightlineError: an unknown method or network; labels for a method that reads none; no
            labels for one that does; a phase 2 in a study without.
    """
    if experiment.method not in METHODS:
        raise SightlineError(unknown_name("method", experiment.method, METHODS))
    if experiment.network not in study.networks:
        raise SightlineError(unknown_name("network", experiment.network, study.networks))
    reads = experiment.method not in WITHOUT_LABELS
    if reads != bool(experiment.labels):
        raise SightlineError(
            f"{experiment} has {experiment.labels} labels; {experiment.method} reads "
            f"{'some' if reads else 'none'}"
        )
    if experiment.method == "continued" and study.second is None:
        raise SightlineError(f"{study.name} has no phase 2 to continue in")


def run(
    study: Study, experiment: Experiment, folder: Path, *, progress: Progress | None = None
) -> Finished:
    """Teach a model and measure it; the result depends on nothing that ran before.

    Args:
        study: what is learnt.
        experiment: the run.
        folder: where data sets and plain models are kept for other runs.
        progress: is told of steps.

    Raises:
        SightlineError: as `check` says.
    """
    check(study, experiment)
    splits = study.splits(experiment.seed, folder)
    started = time.monotonic()
    model = TaughtRun(study, experiment, splits, folder, progress).taught()
    seconds = round(time.monotonic() - started, 1)
    measures = measured(model, splits, study.networks[experiment.network].watched)
    return Finished(experiment, measures, seconds, settings_of(study, experiment))


@dataclass(frozen=True, eq=False)
class TaughtRun:
    """How the model of one run comes about.

    Args:
        study: what is learnt.
        experiment: the run.
        splits: of its seed.
        folder: where plain models are kept.
        progress: is told of steps.
    """

    study: Study
    experiment: Experiment
    splits: Splits
    folder: Path
    progress: Progress | None = None

    def taught(self) -> nn.Module:
        """The model at the end."""
        if self.experiment.method in ("plain", "clean"):
            return self.without_labels(clean=self.experiment.method == "clean")
        recipe = self.study.first(self.experiment.network)
        if self.study.second is None:
            model = self._untrained()
        else:
            model, recipe = self.without_labels(), self.study.second
        training, objective = self.read()
        self._train(model, training, objective, recipe=recipe)
        return model

    def without_labels(self, *, clean: bool = False) -> nn.Module:
        """A model of the task alone: read, or taught and kept."""
        from safetensors.torch import load_file, save

        recipe = self.study.first(self.experiment.network)
        told = json.dumps(recipe.as_dict(), sort_keys=True)
        name = (
            f"{self.study.name}-{'clean' if clean else 'plain'}-{self.experiment.network}"
            f"-{self.experiment.seed}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
        )
        path, model = self.folder / f"{name}.safetensors", self._untrained()
        if path.exists():
            model.load_state_dict(load_file(path))
            return model
        training = self.splits.clean_training if clean else self.splits.training
        objective = CrossEntropy(chooses=LAST)
        self._train(model, _pictures(training), objective, recipe=recipe)
        with replace_file(path) as stream:
            stream.write(save({k: v.contiguous() for k, v in model.state_dict().items()}))
        return model

    def read(self) -> tuple[GuidedExamples | Pictures, Objective]:
        """What a run with labels learns from, and what it makes smaller."""
        if self.experiment.method == "continued":
            return _pictures(self.splits.training), CrossEntropy(chooses=LAST)
        examples = guided_examples(self.experiment, self.splits.training)
        if self.experiment.method == "caipi":
            more = _with_counterexamples(examples, self.study, self.experiment.seed)
            return more, CrossEntropy(chooses=LAST)
        return examples, Guided(self.study.guide(self.experiment), chooses=LAST)

    def _untrained(self) -> nn.Module:
        return self.study.networks[self.experiment.network].make(self.experiment.seed)

    def _train(
        self,
        model: nn.Module,
        training: GuidedExamples | Pictures,
        objective: Objective,
        *,
        recipe: Recipe,
    ) -> None:
        few = torch.arange(min(100, len(self.splits.validation)))  # nothing is chosen by them
        seen: Any = _pictures(self.splits.validation.select(few))
        if isinstance(objective, Guided):
            seen = GuidedExamples(seen, {})
        own = replace(recipe, seed=self.experiment.seed)
        with TemporaryDirectory(prefix=".run-", dir=self.folder) as place:
            train(
                model,
                training,
                seen,
                own,
                Path(place),
                objective=objective,
                progress=self.progress,
            )


def guided_examples(experiment: Experiment, training: Confounded) -> GuidedExamples:
    """The training items, with as many labels as the experiment has, some wrong."""
    chosen = labelled_items(experiment.labels, len(training), experiment.seed)
    labels = training.labels(chosen)
    if experiment.noise:
        labels = with_wrong_labels(labels, experiment.noise, seed=experiment.seed).labels
    return _joined(training, labels)


def _joined(training: Confounded, labels: AttentionLabels) -> GuidedExamples:
    return GuidedExamples.from_labels(_pictures(training), training.names, labels)


def _with_counterexamples(examples: GuidedExamples, study: Study, seed: int) -> Pictures:
    assert isinstance(examples.data, Pictures)  # noqa: S101, they were made of them
    rows = examples.labelled
    luck = torch.Generator().manual_seed(seed)
    batch = examples.batch(rows)
    made, of = counterexamples(batch, copies=study.copies, fill=study.fill, generator=luck)
    assert isinstance(made.inputs, PictureBatch)  # noqa: S101, of pictures
    added = (made.inputs.pixels * 255).round().to(torch.uint8)
    pixels = torch.cat([examples.data.pixels, added])
    return Pictures(pixels, torch.cat([examples.data.target, examples.targets(rows)[of]]))


def _pictures(split: Confounded) -> Pictures:
    return Pictures(split.pictures, split.target, split.names)


# --- measuring ------------------------------------------------------------------------------------


def measured(model: nn.Module, splits: Splits, watched: MapSource) -> dict[str, float | None]:
    """How often a model is right, and where it looks in the test.

    Returns:
        ``shifted``: accuracy in the test; ``clean``: in the clean test; ``as trained``: in the
        validation split; ``worst group``: lowest accuracy of a group of the clean test;
        ``iou``, ``energy``, ``f1``, ``wrong reason``: of the first 400 test items, means.
    """
    found: dict[str, float | None] = {}
    for name in ("test", "clean_test", "validation"):
        split: Confounded = getattr(splits, name)
        right = predict(model, _pictures(split)).argmax(1) == split.target
        found[_NAMES[name]] = float(right.double().mean())
        if name == "clean_test":
            found["worst group"] = min(
                float(right[split.group == group].double().mean()) for group in split.group.unique()
            )
    return found | _looking(model, splits.test, watched)


_NAMES = {"test": "shifted", "clean_test": "clean", "validation": "as trained"}


def _looking(model: nn.Module, test: Confounded, watched: MapSource) -> dict[str, float | None]:
    few = test.select(torch.arange(min(LOOKED_AT, len(test))))
    found = measure_looking(
        model, _pictures(few), watched, items=few.names, masks=partial(_wanted, few), batch=100
    )
    numbers: dict[str, float | None] = {}
    for name in ("iou", "energy", "f1", "wrong_reason"):
        interval = found.means[name].interval
        numbers[name.replace("_", " ")] = None if interval is None else interval.estimate
    return numbers


def _wanted(split: Confounded, chosen: Int[Tensor, " chosen"]) -> Wanted:
    must, must_not = split.must[chosen].float(), split.must_not[chosen].float()
    return Wanted(must, must_not, torch.ones(len(chosen)))


def settings_of(study: Study, experiment: Experiment) -> dict[str, Any]:
    """How a run is taught, as plain values."""
    told: dict[str, Any] = {"recipe": study.first(experiment.network).as_dict()}
    if study.second is not None and experiment.method not in ("plain", "clean"):
        told["second"] = study.second.as_dict()
    if experiment.method in GUIDES:
        told["guide"] = study.guide(experiment).settings
    if experiment.method == "caipi":
        told["caipi"] = {"fill": study.fill, "copies": study.copies}
    return told
