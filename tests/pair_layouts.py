"""Generated pairs, written in the layouts of Sketchy and of ShoeV2/ChairV2.

The published sets are not part of the data: their loaders are tested on these folders.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sightline.scenes.pairs import Pair, draw_pair
from sightline.sketch.batch import SketchBatch
from sightline.sketch.formats.svg import write_svg
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch


def few_pairs(instances: int, *, seed: int = 0, drawers: int = 2) -> list[Pair]:
    """Instances of all families in turn, each drawn by so many hands."""
    seeds = range(seed, seed + instances)
    return [draw_pair(s, size=48, drawer=d) for s in seeds for d in range(drawers)]


def write_sketchy(
    folder: Path, pairs: Iterable[Pair], *, suffix: str = ".png", transform: str = ""
) -> Path:
    """photo/<tx>/<category>/<id>.jpg; sketch/<tx>/<category>/<id>-<k>.png, or sketches/ and SVG."""
    drawn = folder / "sketches" if suffix == ".svg" else folder / "sketch" / transform
    for pair in pairs:
        _write_photo(folder / "photo" / transform / pair.family / f"{_id(pair)}.jpg", pair)
        write_drawing(drawn / pair.family / f"{_id(pair)}-{_hand(pair)}{suffix}", pair.sketch)
    return folder


def write_shoev2(folder: Path, pairs: Iterable[Pair], *, suffix: str = ".png") -> Path:
    """photo/<id>.png; sketch/<id>_<k>.png or .svg."""
    for pair in pairs:
        _write_photo(folder / "photo" / f"{_id(pair)}.png", pair)
        write_drawing(folder / "sketch" / f"{_id(pair)}_{_hand(pair)}{suffix}", pair.sketch)
    return folder


def write_train_test(
    folder: Path, training: Iterable[Pair], test: Iterable[Pair], *, suffix: str = ".png"
) -> Path:
    """trainA/<id>_<k>.png, trainB/<id>.png, and the same for the test."""
    for split, pairs in (("train", training), ("test", test)):
        for pair in pairs:
            _write_photo(folder / f"{split}B" / f"{_id(pair)}.png", pair)
            name = f"{_id(pair)}_{_hand(pair)}{suffix}"
            write_drawing(folder / f"{split}A" / name, pair.sketch)
    return folder


def write_drawing(path: Path, sketch: Sketch, *, size: int = 120, shift: int = 0) -> None:
    """SVG as it is; else black on white, thin and large, moved to the right within its paper."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        write_svg(path, sketch)
        return
    draw = Rasteriser(size=size, line_width=4 / size)
    ink = draw(SketchBatch.from_sketches([sketch.normalise()]))[0].roll(shift, 1)
    Image.fromarray(((1 - ink) * 255).round().to(torch.uint8).numpy()).save(path)


def _write_photo(path: Path, pair: Pair) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pair.photo.pixels)).save(path)


def _id(pair: Pair) -> str:
    return pair.name.replace("-", "_")


def _hand(pair: Pair) -> str:
    return str(pair.sketch.name).rsplit("-", 1)[1]
