"""Experiments on attention: Decoy-MNIST, biased scenes, and what an exact gradient changes.

``python -m sightline.benchmark.experiments decoy-mnist DATA OUT`` runs a plan and prints its table.
A plan that was killed goes on where it was; ``--share 0/2`` and ``--share 1/2`` divide it between
two processes, in any order.
"""

from __future__ import annotations

from pathlib import Path

import torch

from sightline.alignment.map_sources import GradCamMaps, InputGradients
from sightline.benchmark.biased_scenes import SceneSettings, biased_scenes
from sightline.benchmark.confounded import Splits
from sightline.benchmark.decoy_digits import (
    DigitNetwork,
    DigitPerceptron,
    decoy_digits,
    read_digits,
)
from sightline.benchmark.lessons import Network, Study
from sightline.models.small_resnet import SmallResNet
from sightline.training.recipe import Recipe

PLAIN = Recipe(
    epochs=20, batch=256, lr=1e-3, warmup=0.0, weight_decay=0.0, smoothing=0.0, ema=0.0, clip=1e6,
    precision="32-true", augmentation=None,
)  # fmt: skip


def decoy_study(data: Path) -> Study:
    """Decoy-MNIST: every training digit is labelled, and runs begin with an untrained network."""

    def splits(seed: int, folder: Path | None) -> Splits:
        return decoy_digits(*read_digits(data), seed=seed)

    networks = {
        "mlp": Network(lambda seed: DigitPerceptron(seed=seed), InputGradients()),
        "cnn": Network(lambda seed: DigitNetwork(seed=seed), GradCamMaps("features"), "features"),
    }
    return Study("decoy-mnist", splits, networks, PLAIN)


def scenes_study() -> Study:
    """Biased scenes: a plain model is taught again with some labels."""

    def splits(seed: int, folder: Path | None) -> Splits:
        return biased_scenes(SceneSettings(seed=seed), folder=folder)

    def network(seed: int) -> SmallResNet:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return SmallResNet(4, widths=(16, 32, 64))

    first = Recipe(
        epochs=20, batch=32, lr=4e-3, warmup=1.0, weight_decay=0.01, smoothing=0.0, ema=0.99,
        clip=5.0, precision="32-true", augmentation=None,
    )  # fmt: skip
    second = first
    return Study(
        "biased-scenes", splits, {"resnet": Network(network, GradCamMaps())}, first, second=second
    )
