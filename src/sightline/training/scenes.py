"""How the shipped detector of generated scenes is trained.

``python -m sightline.training.scenes FOLDER`` draws the scenes, trains, measures on the test
scenes and writes the detector. Seeds of its scenes are far from small numbers, so that scene 7 is
new to it.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from sightline.errors import SightlineError
from sightline.metrics.intervals import Interval
from sightline.models.detector import Detector
from sightline.models.place import place
from sightline.models.scene_ssd import SceneSSD, save_scene_ssd
from sightline.scenes.scene import Scene, draw_scene
from sightline.training.average_precision import OVERLAPS, average_precision
from sightline.training.detection_loss import detection_loss

TRAINING, VALIDATION, TEST = 10_000_000, 11_000_000, 12_000_000
"""Seeds of the first scene of each; a test scene is shown to no training and chooses nothing."""
LEAST_SCORE = 0.02  # that counts in an average precision
Progress = Callable[[str], None]


@dataclass(frozen=True)
class SceneRecipe:
    """Settings of a training run.

    Args:
        scenes: drawn for training; half are seen mirrored, anew in each epoch.
        epochs: passes over them.
        batch: scenes a step.
        lr: peak learning rate of AdamW; a twentieth of the steps warm up, then a cosine to 0.
        weight_decay: of AdamW.
        negatives: background anchors learnt from for each object's, those most mistaken.
        ema: decay of the running mean of the weights that is validated and kept.
        clip: largest norm of the gradient.
        seed: of the first weights, the order and the mirroring.
        half: whether convolutions run in bfloat16.
    """

    scenes: int = 12_000
    epochs: int = 8
    batch: int = 32
    lr: float = 2e-3
    weight_decay: float = 0.02
    negatives: float = 3.0
    ema: float = 0.998
    clip: float = 5.0
    seed: int = 0
    half: bool = True

    def __post_init__(self) -> None:
        for name in ("scenes", "epochs", "batch"):
            if getattr(self, name) < 1:
                raise SightlineError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.epochs * max(1, self.scenes // self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = max(1, self.steps // 20)
        if step < warm:
            return self.lr * (step + 1) / warm
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / (self.steps - warm)))


@dataclass(frozen=True, eq=False)
class Pool:
    """Scenes as a network reads them: boxes in pixels of its pictures, labels as its columns."""

    pictures: UInt8[Tensor, "scenes 3 height width"]
    boxes: Sequence[Float[Tensor, "_ 4"]]
    labels: Sequence[Int[Tensor, " _"]]

    def __len__(self) -> int:
        return len(self.boxes)


def draw_pool(model: SceneSSD, seeds: Iterable[int], *, progress: Progress | None = None) -> Pool:
    """Scenes drawn once and kept, 61 kB each."""
    pictures, boxes, labels = [], [], []
    for seed in seeds:
        scene = draw_scene(seed)
        frame = model.frame(*scene.photo.size)
        pictures.append((frame.pixels(scene.photo) * 255).round().byte())
        boxes.append(frame.boxes(scene.boxes))
        labels.append(scene.labels)
        if progress is not None and len(pictures) % 1000 == 0:
            progress(f"{len(pictures)} scenes drawn")
    return Pool(torch.stack(pictures), boxes, labels)


def train_scene_ssd(
    model: SceneSSD,
    pool: Pool,
    validation: Sequence[Scene],
    recipe: SceneRecipe,
    *,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Train ``model`` in place; it ends with the running mean of the epoch that validated best.

    Returns:
        One record an epoch: loss, AP50 on the validation scenes, seconds.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    mean, best, history = copy.deepcopy(model).eval(), model.state_dict(), list[dict[str, Any]]()
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        loss = _epoch((model, mean, optimizer), pool, recipe, epoch)
        ap50 = scene_precision(mean, validation, overlaps=(0.5,))[0.5].estimate
        if all(ap50 > row["ap50"] for row in history):
            best = {name: value.clone() for name, value in mean.state_dict().items()}
        seconds = round(time.monotonic() - started, 1)
        history.append({"epoch": epoch + 1, "loss": loss, "ap50": ap50, "seconds": seconds})
        if progress is not None:
            progress(f"epoch {epoch + 1}: loss {loss:.4f}, AP50 {ap50:.4f}, {seconds:.0f} s")
    model.load_state_dict(best)
    model.eval()
    return history


def _epoch(
    learners: tuple[SceneSSD, SceneSSD, torch.optim.Optimizer],
    pool: Pool,
    recipe: SceneRecipe,
    epoch: int,
) -> float:
    """One pass of a model, its running mean and its optimizer over the scenes; the mean loss."""
    model, mean, optimizer = learners
    device, _ = place(model)
    luck = torch.Generator().manual_seed(recipe.seed * 1_000_003 + epoch)
    order = torch.randperm(len(pool), generator=luck)[: len(pool) // recipe.batch * recipe.batch]
    model.train()
    total, batches = 0.0, order.split(recipe.batch)
    for index, chosen in enumerate(batches):
        step = epoch * len(batches) + index
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        pictures, boxes = _mirrored(pool, chosen, torch.rand(len(chosen), generator=luck) < 0.5)
        labels = [pool.labels[i] for i in chosen.tolist()]
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.half):
            logits, offsets, _ = model(pictures.to(device))
        loss = detection_loss(
            logits, offsets, model.anchors, boxes, labels, negatives=recipe.negatives
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        _average(mean, model, min(recipe.ema, (step + 1) / (step + 10)))
        total += loss.item()
    return total / len(batches)


def _mirrored(
    pool: Pool, chosen: Tensor, mirror: Tensor
) -> tuple[Float[Tensor, "scenes 3 height width"], list[Float[Tensor, "_ 4"]]]:
    """A batch; scenes where ``mirror`` is true with left and right exchanged."""
    pictures = pool.pictures[chosen].float() / 255
    pictures = torch.where(mirror[:, None, None, None], pictures.flip(-1), pictures)
    boxes = [pool.boxes[i] for i in chosen.tolist()]
    wide = pictures.shape[-1]
    across = [torch.stack([wide - b[:, 2], b[:, 1], wide - b[:, 0], b[:, 3]], 1) for b in boxes]
    return pictures, [across[i] if mirror[i] else boxes[i] for i in range(len(boxes))]


@torch.no_grad()
def _average(mean: SceneSSD, model: SceneSSD, keep: float) -> None:
    for old, new in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if new.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def scene_precision(
    detector: Detector,
    scenes: Sequence[Scene],
    *,
    overlaps: Sequence[float] = OVERLAPS,
    draws: int = 0,
) -> dict[float, Interval]:
    """`average_precision` of a detector whose labels are named as those of scenes.

    Args:
        detector: any.
        scenes: new to it.
        overlaps: IoU that counts as found.
        draws: of the bootstrap over scenes; without, intervals have no width.
    """
    found = detector.detect([scene.photo for scene in scenes], threshold=LEAST_SCORE)
    boxes, names = [scene.boxes for scene in scenes], [scene.names for scene in scenes]
    return average_precision(found, boxes, names, overlaps=overlaps, draws=draws)


def card_of(
    model: SceneSSD,
    test: Sequence[Scene],
    recipe: SceneRecipe,
    history: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What the detector was trained by, and how well it does on test scenes, with intervals."""
    measured = scene_precision(model, test, draws=1000)
    return {
        "recipe": asdict(recipe) | {"steps": recipe.steps},
        "seeds": {"training": TRAINING, "validation": VALIDATION, "test": TEST},
        "history": [dict(row) for row in history],
        "test": {
            "scenes": len(test),
            "ap50": asdict(measured[0.5]),
            "ap75": asdict(measured[0.75]),
            "ap": sum(of.estimate for of in measured.values()) / len(measured),
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and write a detector of generated scenes."""
    recipe = SceneRecipe()
    parser = argparse.ArgumentParser("sightline.training.scenes", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    for name, most in (("scenes", 0), ("epochs", 0), ("validation", 400), ("test", 500)):
        parser.add_argument(f"--{name}", type=int, default=most or getattr(recipe, name))
    given = parser.parse_args(arguments)
    recipe = SceneRecipe(scenes=given.scenes, epochs=given.epochs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = SceneSSD().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pool = draw_pool(model, range(TRAINING, TRAINING + recipe.scenes), progress=print)
    validation = [draw_scene(VALIDATION + i) for i in range(given.validation)]
    history = train_scene_ssd(model, pool, validation, recipe, progress=print)
    test = [draw_scene(TEST + i) for i in range(given.test)]
    save_scene_ssd(model, given.folder, card=card_of(model, test, recipe, history))


if __name__ == "__main__":
    main()
