"""Biased scenes: the ground agrees with the object in training, and no longer in the test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from sightline.benchmark.confounded import Confounded, Splits
from sightline.errors import PhotoError, SightlineError
from sightline.scenes.scene import Scene, draw_scene
from sightline.sketch.files import replace_file

HOMES = {"boat": "water", "balloon": "clouds", "mushroom": "grass", "star": "sand"}
"""Where each kind of object is at home; both have the order of the classes."""
FIRST_SEED = 20_000_000
"""Of the scenes here; far from those that the package's detector has seen."""
ROOM = 10_000
"""Seeds a split; a split may pass over those whose object is too small."""
Grounds = Literal["agreeing", "disagreeing", "any"]
SPLITS: dict[str, tuple[str, int, Grounds]] = {
    "training": ("training", 0, "agreeing"),
    "validation": ("validation", 1, "agreeing"),
    "test": ("test", 2, "disagreeing"),
    "clean_training": ("training", 0, "any"),
    "clean_validation": ("validation", 1, "any"),
    "clean_test": ("test", 2, "any"),
}
"""How many, which seeds, which grounds. Splits of the same seeds differ in their grounds alone;
those called clean are unbiased: every object on any ground."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class SceneSettings:
    """What is drawn.

    Args:
        size: height and width in pixels.
        training: scenes.
        validation: scenes.
        test: scenes.
        agreement: share of training and validation scenes whose object is at home; the others
            lie on one of the other grounds.
        clutter: fewest and most plain shapes under the object.
        least_object: share of the picture that the visible object covers, at least.
        seed: of everything; no scene is shared by two seeds.

    Raises:
        SightlineError: no scenes, too many, an agreement outside [0, 1], a negative seed.
    """

    size: tuple[int, int] = (64, 64)
    training: int = 1500
    validation: int = 300
    test: int = 800
    agreement: float = 0.95
    clutter: tuple[int, int] = (0, 2)
    least_object: float = 0.04
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("training", "validation", "test"):
            if not 1 <= getattr(self, name) <= ROOM // 2:
                raise SightlineError(
                    f"{name} is {getattr(self, name)} scenes; give 1 to {ROOM // 2}"
                )
        if not 0 <= self.agreement <= 1 or self.seed < 0:
            raise SightlineError(
                f"agreement {self.agreement}, seed {self.seed}; an agreement is from 0 to 1, a "
                "seed a whole number from 0"
            )

    @property
    def digest(self) -> str:
        """Sixteen characters that name these settings."""
        told = json.dumps([asdict(self), HOMES, SPLITS], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def biased_scenes(
    settings: SceneSettings | None = None,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Splits:
    """Draw the scenes, or read those that an earlier call left in ``folder``.

    Convention:
        The object must be looked at, and everything else must not. A group is a pair: class times
        the number of grounds, plus the ground.

    Args:
        settings: of the scenes; by default as `SceneSettings` has them.
        folder: where scenes are kept, in a file named by the settings' digest; None: nowhere.
        progress: is told of each split.

    Raises:
        PhotoError: a file in the folder that is damaged.
    """
    settings = settings or SceneSettings()
    path = folder / f"scenes-{settings.digest}.npz" if folder is not None else None
    if path is not None and path.exists():
        return _read(path)
    splits = {}
    for name in SPLITS:
        splits[name] = draw_split(settings, name)
        if progress is not None:
            progress(f"{name}: {len(splits[name])} scenes drawn")
    scenes = Splits(**splits)
    if path is not None:
        _write(path, scenes)
    return scenes


def draw_split(settings: SceneSettings, name: str) -> Confounded:
    """The scenes of one split."""
    length, block, grounds = SPLITS[name]
    first = FIRST_SEED + (settings.seed * 3 + block) * ROOM
    agreement = settings.agreement if grounds == "agreeing" else 1.0
    scenes: list[Scene] = []
    for seed in range(first, first + ROOM):
        if len(scenes) == getattr(settings, length):
            break
        # the ground has luck of its own, so that another ground changes nothing else
        luck = np.random.default_rng([seed, 7])
        homeless = grounds == "agreeing" and luck.random() >= agreement
        scene = _on(settings, seed, "disagreeing" if homeless else grounds, luck)
        if scene is not None:
            scenes.append(scene)
    else:
        raise SightlineError(
            f"only {len(scenes)} of {ROOM} scenes have an object that covers "
            f"{settings.least_object:.0%}; give a smaller least_object"
        )
    return _split(scenes)


def _on(
    settings: SceneSettings, seed: int, grounds: Grounds, luck: np.random.Generator
) -> Scene | None:
    """One object on a ground of this sort; None where too little of it is to be seen."""
    every = list(HOMES.values())
    turns = {"agreeing": (0, 1), "disagreeing": (1, len(every)), "any": (0, len(every))}[grounds]
    turn = int(luck.integers(*turns))
    ground_of = {kind: every[(i + turn) % len(every)] for i, kind in enumerate(HOMES)}
    scene = draw_scene(
        seed,
        size=settings.size,
        objects=1,
        kinds=tuple(HOMES),
        ground_of=ground_of,
        clutter=settings.clutter,
    )
    return scene if len(scene) and scene.masks.float().mean() >= settings.least_object else None


def _split(scenes: Sequence[Scene]) -> Confounded:
    kinds, grounds = list(HOMES), list(HOMES.values())
    target = torch.tensor([kinds.index(scene.names[0]) for scene in scenes])
    ground = torch.tensor([grounds.index(scene.ground) for scene in scenes])
    pictures = torch.stack([torch.from_numpy(np.array(scene.photo.pixels)) for scene in scenes])
    must = torch.stack([scene.masks[0] for scene in scenes])
    pictures = pictures.permute(0, 3, 1, 2).contiguous()
    return Confounded(pictures, target, must, ~must, target * len(grounds) + ground)


def _write(path: Path, scenes: Splits) -> None:
    arrays = {}
    for name in SPLITS:
        split: Confounded = getattr(scenes, name)
        arrays[f"{name}/pictures"] = split.pictures.numpy()
        arrays[f"{name}/must"] = np.packbits(split.must.numpy(), axis=-1)
        arrays[f"{name}/target"] = split.target.numpy()
        arrays[f"{name}/group"] = split.group.numpy()
    with replace_file(path) as stream:
        # numpy's stub takes every keyword for its flag
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _read(path: Path) -> Splits:
    from zipfile import BadZipFile

    try:
        # numpy forgets to close a damaged file that it has opened itself
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return Splits(**{name: _stored(arrays, name) for name in SPLITS})
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise PhotoError(f"{path} is damaged ({error}); remove it to draw it anew") from None


def _stored(arrays: np.lib.npyio.NpzFile, name: str) -> Confounded:
    pictures = arrays[f"{name}/pictures"]
    masks = np.unpackbits(arrays[f"{name}/must"], axis=-1, count=pictures.shape[-1])
    must = torch.from_numpy(masks.astype(bool))
    target, group = (torch.from_numpy(arrays[f"{name}/{what}"]) for what in ("target", "group"))
    return Confounded(torch.from_numpy(pictures), target, must, ~must, group)
