"""Made-up runs: photos whose explanations depend on nothing but their names."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import numpy as np

from sightline.errors import PhotoError
from sightline.runs.loop import Outcome, Work, explain_photos
from sightline.runs.manifest import Manifest, PhotoFile
from sightline.runs.rows import PhotoResult, Row

HEIGHT, WIDTH, PARTS = 24, 32, 12
METHODS = ("kernel_shap", "x_grad_cam", "grad_cam_pp")
LABELS = ("background", "apple", "bird", "cat")


def names(count: int) -> list[str]:
    return [f"{number:012d}.png" for number in range(count)]


def manifest(photos: list[str], folder: Path | str = "", **fields) -> Manifest:
    told = {
        "detector": "toy",
        "fingerprint": "f00d",
        "methods": {name: {"budget": 100} for name in METHODS},
        "photos": tuple(PhotoFile(name, 10, "0" * 64) for name in photos),
        "photos_folder": str(folder),
        "seeds": {"methods": 0},
        "started": "2026-01-01T00:00:00Z",
    }
    return Manifest(**told | fields)


def work(photos: list[str], folder: Path | str = "") -> list[Work]:
    return [Work(Path(folder) / name, name) for name in photos]


def grid() -> np.ndarray:
    """3 rows of 4 cells."""
    return 4 * (np.arange(HEIGHT) // 8)[:, None] + np.arange(WIDTH) // 8


def runs_of_grid() -> dict[str, np.ndarray]:
    """As `encode_labels` has them; that would load torch into every process that is killed."""
    values = np.concatenate([np.tile(np.arange(4) + 4 * row, 8) for row in range(3)])
    arrays = {"shape": [HEIGHT, WIDTH], "values": values, "lengths": [8] * len(values)}
    return {name: np.array(array, np.int32) for name, array in arrays.items()}


def result(name: str, boxes: int | None = None) -> PhotoResult:
    """0 to 2 boxes, three methods each."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    count = int(generator.integers(0, 3)) if boxes is None else boxes
    rows = [row(generator, number, method) for number in range(count) for method in METHODS]
    return PhotoResult(name, HEIGHT, WIDTH, runs_of_grid(), "cells", tuple(rows))


def row(generator: np.random.Generator, number: int, method: str) -> Row:
    label = 1 + number % 3
    scores = generator.normal(size=PARTS)
    return Row(
        number=number,
        method=method,
        label=LABELS[label],
        label_index=label,
        target=f"probability of {LABELS[label]}",
        box=(2.0 + number, 3.0, 20.5 + number, 18.25),
        scores=scores,
        detector_score=0.9 - 0.1 * number,
        candidate=40 + number,
        unit="probability",
        value=0.9 - 0.1 * number,
        base=None if "cam" in method else 0.05,
        errors=np.abs(scores) / 10 if method == "kernel_shap" else None,
        evaluations=100,
        seconds=float(generator.random()) / 1000,
        seed=7,
        notes=("a note",) if number else (),
        measures={
            "deletion": float(generator.random()),
            "inside": None if generator.random() < 0.2 else float(generator.random()),
        },
        curve=tuple(np.linspace(0.9, 0, 5).tolist()),
    )


def explain(item: Work) -> PhotoResult:
    """A photo whose name ends in 3 is broken."""
    if Path(item.name).stem.endswith("3"):
        raise PhotoError(f"{item.name} is broken\nand more is not told")
    return result(item.name)


def slowly(item: Work) -> PhotoResult:
    time.sleep(0.004)
    return explain(item)


def run(folder: Path, count: int = 20, explain_photo=explain, **options) -> Outcome:
    photos = names(count)
    return explain_photos(work(photos), explain_photo, manifest(photos), folder, **options)


def photos_on_disk(folder: Path, photos: list[str]) -> None:
    from PIL import Image

    folder.mkdir(exist_ok=True)
    for name in photos:
        picture = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 255, (6, 8, 3))
        image = Image.fromarray(picture.astype(np.uint8)).resize((WIDTH, HEIGHT))
        image.save(folder / name)
