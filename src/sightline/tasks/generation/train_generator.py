"""Training of a small generator on generated pairs.

``python -m sightline.tasks.generation.train_generator FOLDER`` trains the one that is shipped.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.errors import TaskError
from sightline.metrics.intervals import Interval, bootstrap_mean
from sightline.models.as_found import as_found
from sightline.models.generator import RasterGenerator
from sightline.models.load_generator import save_generator
from sightline.models.place import place
from sightline.models.small_generator import SmallGenerator, small_generator
from sightline.scenes.pairs import TEST, TRAINING, VALIDATION, draw_pair
from sightline.sketch.sketch import Sketch
from sightline.tasks.generation.generation_objective import (
    Drawn,
    Paint,
    differences,
    mean_picture,
)
from sightline.tasks.generation.painted import paint
from sightline.training.loop import train
from sightline.training.recipe import Recipe

FINER = 2
"""Pixels drawn for each of a picture, and averaged."""
RECIPE = Recipe(
    epochs=13, batch=32, lr=3e-3, warmup=0.5, weight_decay=0.02, smoothing=0.0, ema=0.998,
    augmentation=None,
)  # fmt: skip
Progress = Callable[[str], None]


def painted_pairs(seeds: Iterable[int], *, size: int = 64) -> Iterator[tuple[Sketch, Tensor]]:
    """Generated drawings with the pictures that a generator should make of them.

    Args:
        seeds: of the pairs.
        size: of the pictures.
    """
    for seed in seeds:
        pair = draw_pair(seed, size=FINER * size)
        yield pair.sketch, paint(pair, size)


def train_generator(
    generator: RasterGenerator,
    training: Drawn,
    validation: Drawn,
    folder: Path,
    *,
    recipe: Recipe = RECIPE,
    objective: Paint | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train a generator in place, by the loop of all training; one record an epoch.

    Args:
        generator: of any module that can be differentiated.
        training: drawings with their pictures: `Drawn.of(pairs, generator)`.
        validation: others, that choose the epoch.
        folder: of the run; a run of the same settings found there goes on.
        recipe: the settings.
        objective: the loss.
        progress: is told of steps and epochs.

    Returns:
        The records. The generator ends with the running mean of the weights from the best epoch.

    Raises:
        TaskError: pictures of another size than the generator makes.
        SightlineError: the folder holds another run; a loss that is not finite.
    """
    wanted = validation.batch(torch.arange(1))
    with as_found(generator), torch.no_grad():
        made = generator.see(wanted.ink.to(place(generator)[0]))
    if made.shape != wanted.pictures.shape:
        raise TaskError(
            f"the generator makes pictures of {list(made.shape[1:])}, the pairs have "
            f"{list(wanted.pictures.shape[1:])}; draw the pairs in its size"
        )
    history = train(
        generator,
        training,
        validation,
        recipe,
        folder,
        objective=objective or Paint(),
        progress=progress,
    )
    generator.eval()
    return history


def against_mean(
    generator: RasterGenerator, data: Drawn, mean: Tensor, *, seed: int = 0
) -> dict[str, Interval]:
    """How far pictures are from those wanted, and how far the mean picture of training is.

    Returns:
        Intervals over drawings: the mean squared difference of the generator, that of the mean
        picture, and by how much the generator's is smaller, drawing by drawing.
    """
    own = differences(generator, data)[1]
    bare = (data.pictures.double() / 255 - mean).square().mean((1, 2, 3))
    found = {"generator": own, "mean picture": bare, "gain": bare - own}
    return {name: bootstrap_mean(values.numpy(), seed=seed) for name, values in found.items()}


def main(arguments: list[str] | None = None) -> None:
    """Draw the pairs, train, measure on the test pairs, write the generator."""
    from sightline.allocator import keep_freed_memory

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--held-out", type=int, default=300, help="pairs to choose, and to test")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs)
    parser.add_argument("--width", type=int, default=16)
    given = parser.parse_args(arguments)
    keep_freed_memory()
    torch.set_num_threads(1)
    generator = _untrained(given.width)
    sizes = {TRAINING: given.pairs, VALIDATION: given.held_out, TEST: given.held_out}
    data = {first: _kept(given.folder, first, count, generator) for first, count in sizes.items()}
    recipe = Recipe(**(vars(RECIPE) | {"epochs": given.epochs}))
    history = train_generator(
        generator,
        data[TRAINING],
        data[VALIDATION],
        given.folder / "run",
        recipe=recipe,
        progress=lambda line: _say(line) if line.endswith("\n") else None,
    )
    test = against_mean(generator, data[TEST], mean_picture(data[TRAINING]))
    card = {
        "data": {"pairs": given.pairs, "held out": given.held_out, "seeds": list(sizes)},
        "recipe": recipe.as_dict(),
        "objective": Paint().settings,
        "history": history,
        "test mean squared difference": {name: str(value) for name, value in test.items()},
        "test psnr of the mean": -10 * math.log10(test["generator"].estimate),
    }
    save_generator(generator, given.folder / "generator", card=card, half=True)
    _say("\n".join(f"{name}: {value}" for name, value in test.items()) + "\n")


def _untrained(width: int) -> RasterGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RECIPE.seed)
        generator = small_generator(width=width)
    assert isinstance(generator.raster.module, SmallGenerator)  # noqa: S101, what it is made of
    return generator


def _kept(folder: Path, first: int, count: int, generator: RasterGenerator) -> Drawn:
    """Pairs from these seeds on: read, or drawn and kept."""
    from safetensors.torch import load_file, save

    from sightline.sketch.files import replace_file

    path = folder / f"pairs-{first}-{count}.safetensors"
    if path.exists():
        return Drawn(**load_file(path))
    data = Drawn.of(painted_pairs(range(first, first + count)), generator)
    with replace_file(path) as stream:
        stream.write(save({"ink": data.ink, "pictures": data.pictures}))
    _say(f"{count} pairs drawn\n")
    return data


def _say(line: str) -> None:
    print(line, end="", flush=True)


if __name__ == "__main__":
    main()
