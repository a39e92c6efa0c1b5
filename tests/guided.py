"""Small sets with labels of where to look: pictures, drawings, and class folders of scenes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import figures
from sightline.alignment.examples import GuidedExamples
from sightline.alignment.labels import AttentionLabel
from sightline.image.photo import Photo
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.sketchxainet import SketchXAINet, SketchXAINetConfig
from sightline.models.small_resnet import small_resnet
from sightline.scenes.scene import Scene, draw_scene
from sightline.training.examples import Labelled
from sightline.training.pictures import Pictures

KINDS = ("blue", "red")
SCENES = ("fish", "star")
GROUNDS = {"fish": "sand", "star": "grass"}
SIDE = 16


def picture_net(norm: str = "group", *, seed: int = 0, **settings: Any) -> PictureClassifier:
    """A residual network of a few thousand weights, in training mode."""
    chosen: dict[str, Any] = {"widths": (8, 8), "stem_stride": 1, "norm": norm}
    return small_resnet(KINDS, (SIDE, SIDE), seed=seed, **(chosen | settings)).train()


def stroke_net(*, seed: int = 0, dropout: float = 0.1) -> SketchXAINet:
    """In training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = {"hidden": 16, "layers": 2, "heads": 2, "mlp": 32, "dropout": dropout}
        return SketchXAINet(SketchXAINetConfig(figures.LABELS, **shape)).train()


def squares(count: int, seed: int) -> tuple[Pictures, list[AttentionLabel]]:
    """A red or blue square on noise, and the label that has it."""
    luck = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 3, SIDE, SIDE, generator=luck)
    target = torch.arange(count) % 2
    labels = []
    for i in range(count):
        top, left = torch.randint(0, SIDE - 6, (2,), generator=luck).tolist()
        mask = torch.zeros(SIDE, SIDE)
        mask[top : top + 6, left : left + 6] = 1
        colour = torch.tensor([0.1, 0.1, 0.9] if target[i] == 0 else [0.9, 0.1, 0.1])
        pixels[i] = torch.where(mask > 0, colour[:, None, None], pixels[i])
        labels.append(AttentionLabel(f"{i}.png", mask.numpy(), (1 - mask).numpy()))
    return Pictures(pixels, target, tuple(label.item for label in labels)), labels


def guided_squares(count: int, labelled: Iterable[int], seed: int = 0) -> GuidedExamples:
    """Some of them labelled."""
    pictures, labels = squares(count, seed)
    return GuidedExamples.from_labels(pictures, pictures.names, [labels[i] for i in labelled])


def guided_drawings(count: int, labelled: Iterable[int], seed: int = 0) -> GuidedExamples:
    """Drawings of three figures; the first stroke has to be looked at."""
    sketches = figures.drawings(count, seed)
    chosen = [sketches[i] for i in labelled]
    labels = [
        AttentionLabel(
            sketch.name,
            must=[float(i == 0) for i in range(len(sketch))],
            must_not=[float(i > 0) for i in range(len(sketch))],
        )
        for sketch in chosen
    ]
    data = Labelled.from_sketches(sketches, figures.LABELS, stroke_net().prepare)
    return GuidedExamples.from_labels(data, [sketch.name for sketch in sketches], labels)


def write_photo(path: Path, photo: Photo) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo.pixels).save(path)


def scene_folders(
    root: Path, counts: Mapping[str, int], *, biased: bool = True
) -> dict[str, AttentionLabel]:
    """Class folders of 64 x 80 scenes, ``root/train/fish/0.png``; the label of every photo.

    Biased: the ground tells the class as well as the object does, except in the test split.
    """
    labels = {}
    for split, count in counts.items():
        for kind in SCENES:
            other = SCENES[1 - SCENES.index(kind)]
            ground = GROUNDS[other if split == "test" else kind] if biased else None
            for i in range(count):
                seed = 1000 * list(counts).index(split) + 100 * SCENES.index(kind) + i
                scene = _scene(seed, kind, ground)
                item = f"{split}/{kind}/{i}.png"
                write_photo(root / item, scene.photo)
                mask = scene.masks.any(0).float().numpy()
                labels[item] = AttentionLabel(item, mask, 1 - mask)
    return labels


def _scene(seed: int, kind: str, ground: str | None) -> Scene:
    for again in range(20):
        scene = draw_scene(
            seed + 10_000 * again, size=(64, 80), objects=1, kinds=(kind,), ground=ground, clutter=0
        )
        if len(scene) and int(scene.masks.sum()) > 200:
            return scene
    raise AssertionError(f"no scene with a large enough {kind}")
