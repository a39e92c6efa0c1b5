"""Claim: D-RISE of every box of a photo costs little more than the detector's own passes.

The same coins and offsets are put to the same SSD-MobileNetV1 twice:

- ours: `sightline.methods.d_rise`: masks in chunks; all boxes of the photo share the masked
  passes;
- a loop, as D-RISE is usually written (github.com/hysts/pytorch_D-RISE): for each box, one mask
  at a time is enlarged by scikit-image, laid on the photo and shown to the detector, and each
  detection compared with the box.

The loop masks the photo, ours the picture that the network reads; the loop sees what the detector
reports from a score of 0.01 on, ours all candidates. So the maps are alike, not equal; their rank
correlation over 16 x 16 cells is printed. Times are the best of the rounds. Needs the weights of
the detector and the photos.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from skimage.transform import resize

from material import run, say, table
from sightline.game import Game
from sightline.image.photo import Photo
from sightline.image.read import read_photo
from sightline.methods.d_rise import d_rise
from sightline.models.detector import Detections
from sightline.models.ssd_quantised import load_ssd_mobilenet
from sightline.parts import GridCells
from sightline.targets.boxes import BoxSimilarity

CELLS = 16


def iou(a: np.ndarray, b: np.ndarray) -> float:
    both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both)


def cosine(p: np.ndarray, q: np.ndarray) -> float:
    return p @ q / np.sqrt((p @ p) * (q @ q))


def enlarged(size: tuple[int, int], luck: torch.Generator) -> np.ndarray:
    """One mask, made as the published program does, of the luck that ours has."""
    cell = [-(-side // CELLS) for side in size]
    drawn = torch.rand(CELLS**2 + 2, generator=luck, dtype=torch.float64).numpy()
    coins = (drawn[: CELLS**2] < 0.5).astype(np.float32).reshape(CELLS, CELLS)
    wide = resize(coins, [(CELLS + 1) * c for c in cell], order=1, anti_aliasing=False)
    top, left = (int(u * c) for u, c in zip(drawn[CELLS**2 :], cell, strict=True))
    return wide[top : top + size[0], left : left + size[1]]


def loop(detector: object, photo: Photo, found: Detections, masks: int, seed: int) -> np.ndarray:
    """A map ``[height, width]`` for each box, one mask at a time, one box after the other."""
    maps = np.zeros((len(found), *photo.size))
    for target in range(len(found)):
        luck = torch.Generator().manual_seed(seed)
        where, what = found.boxes[target].numpy(), found.distributions[target].numpy()
        for _ in range(masks):
            mask = enlarged(photo.size, luck)
            shown = 127.5 + (photo.pixels - 127.5) * mask[..., None]
            (now,) = detector.detect([Photo(shown.round().astype(np.uint8))], threshold=0.01)
            values = [
                iou(where, box) * cosine(what, spread) * score
                for box, spread, score in zip(
                    now.boxes.numpy(), now.distributions.numpy(), now.scores.numpy(), strict=True
                )
            ]
            maps[target] += max(values, default=0.0) * mask / (0.5 * masks)
    return maps


def cells_of(maps: np.ndarray) -> np.ndarray:
    """The mean of a map over each grid cell, ``[boxes, cells]``."""
    rows = np.array_split(maps, CELLS, axis=1)
    each = [part.mean((1, 2)) for row in rows for part in np.array_split(row, CELLS, axis=2)]
    return np.stack(each, 1)


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Mean rank correlation of the maps of each box."""
    ranks = [np.argsort(np.argsort(x, axis=1), axis=1) for x in (a, b)]
    return float(np.mean([np.corrcoef(p, q)[0, 1] for p, q in zip(*ranks, strict=True)]))


def measure(detector: object, photo: Photo, given: argparse.Namespace) -> dict | None:
    """Seconds of both sides on one photo, and how alike their maps are; None without boxes."""
    found = detector.detect([photo])[0][: given.boxes]
    if not len(found):
        return None
    ours, theirs, alone = [], [], []
    for _ in range(given.rounds):
        began = time.perf_counter()
        game = Game(detector, GridCells(photo, CELLS, CELLS), BoxSimilarity(found))
        why = d_rise(game, budget=given.masks, seed=given.seed)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        maps = loop(detector, photo, found, given.masks, given.seed)
        theirs.append(time.perf_counter() - began)
        began = time.perf_counter()
        with torch.no_grad():
            picture = detector.frame(*photo.size).pixels(photo)[None].expand(16, -1, -1, -1)
            for _ in range(-(-given.masks // 16)):
                detector.dense(picture)
        alone.append(time.perf_counter() - began)
    return {
        "photo": photo.name,
        "boxes": len(found),
        "ours_s": min(ours),
        "loop_s": min(theirs),
        "passes_s": min(alone),
        "rank_correlation": agreement(np.asarray(why.scores), cells_of(maps)),
    }


def main(given: argparse.Namespace) -> dict:
    if given.threads:
        torch.set_num_threads(given.threads)
    beside = Path(__file__).parents[1] / "../shared/data"
    data = given.data or Path(os.environ.get("SIGHTLINE_DATA", beside))
    detector = load_ssd_mobilenet(data / "ssd_mobilenet_v1_coco_quant")
    record = json.loads((data / "coco_open_mini/instances_boxes.json").read_text())
    names = [image["file_name"] for image in record["images"]]
    rows: list[dict] = []
    while names and len(rows) < given.photos:
        photo = read_photo(data / "coco_open_mini/images" / names.pop(0))
        measured = measure(detector, photo, given)
        if measured is not None:
            rows.append(measured)
            say(f"{photo.name}: {measured['loop_s'] / measured['ours_s']:.1f} times as fast")
    cells = [
        [
            row["boxes"],
            f"{row['ours_s']:.1f}",
            f"{row['passes_s']:.1f}",
            f"{row['loop_s']:.1f}",
            f"{row['loop_s'] / row['ours_s']:.1f}",
            f"{row['rank_correlation']:.2f}",
        ]
        for row in rows
    ]
    header = ["boxes", "ours, s", "passes alone, s", "loop, s", "loop / ours", "rank correlation"]
    if not given.json:
        print(f"{given.masks} masks, {torch.get_num_threads()} threads, torch {torch.__version__}")
        print(table(header, cells))
    return {"masks": given.masks, "photos": rows}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the detector and of the photos")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--masks", type=int, default=500)
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument("--boxes", type=int, default=4, help="of a photo, the surest")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    run(main, parser)
