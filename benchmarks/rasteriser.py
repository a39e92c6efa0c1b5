"""Claim: without gradients, drawings become pictures at least 0.8 times as fast as skia's.

The same polylines, line width, round caps and joins, anti-aliased, into grey pictures of 64, 128
and 224 pixels; in one process, in alternating rounds, the median of the rounds. skia draws on one
thread, sketch by sketch, into bytes. Its paths are made of points ready in Python lists: drawing
is timed with the making of the paths and without. Ours starts from a batch on the CPU and ends in
float32; forward and backward is the sum of all ink differentiated in all points.

Without skia (python -m pip install skia-python) only ours is timed. On a machine that has other
work choose --clock cpu: seconds of this process's processors, one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

import sightline as sl
from material import run, say, table

try:
    import skia
except ImportError:
    skia = None

SIZES = 64, 128, 224
CLAIM = 0.8
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
COLLECTION = Path("quickdraw_30_mini/simplified.ndjson.gz")

Strokes = list[list[list[float]]]  # points (x, y) in pixels


def drawings(folder: Path | None, count: int, *, seed: int) -> tuple[list[sl.Sketch], str]:
    """Normalised drawings, and what they are: of QuickDraw if it is there, else random walks."""
    beside = Path(__file__).parents[1] / "../shared/data"
    path = (folder or Path(os.environ.get("SIGHTLINE_DATA", beside))) / COLLECTION
    luck = np.random.default_rng(seed)
    if path.is_file():
        known = sl.read_collection(path)
        return [known[i].normalise() for i in luck.permutation(len(known))[:count]], "QuickDraw"
    walks = [
        sl.Sketch.from_strokes(
            [
                luck.uniform(-1, 1, 2) + luck.normal(0, 0.15, (luck.integers(2, 16), 2)).cumsum(0)
                for _ in range(luck.integers(2, 8))
            ]
        )
        for _ in range(count)
    ]
    return [walk.normalise() for walk in walks], "generated"


def draw(rasteriser: sl.Rasteriser, batches: list[sl.SketchBatch], *, slopes: bool) -> None:
    """Ours: the pictures, and with slopes also the gradient in the points."""
    for batch in batches:
        if slopes:
            leaf = batch.with_points(batch.points.detach().requires_grad_())
            rasteriser(leaf).sum().backward()
        else:
            rasteriser(batch)


def path_of(strokes: Strokes) -> skia.Path:
    """One path a sketch."""
    path = skia.Path()
    for points in strokes:
        path.addPoly([skia.Point(x, y) for x, y in points], False)
    return path


def draw_with_skia(paths: list[skia.Path], pictures: np.ndarray, line_width: float) -> None:
    """Theirs: each path on its own surface, which writes into the array."""
    width = line_width * pictures.shape[1] / 2
    paint = skia.Paint(
        AntiAlias=True,
        Color=skia.ColorWHITE,
        Style=skia.Paint.kStroke_Style,
        StrokeWidth=width,
        StrokeCap=skia.Paint.kRound_Cap,
        StrokeJoin=skia.Paint.kRound_Join,
    )
    pictures.fill(0)
    for picture, path in zip(pictures, paths, strict=True):
        surface = skia.Surface(picture, colorType=skia.kGray_8_ColorType)
        surface.getCanvas().drawPath(path, paint)


def pens(
    sketches: list[sl.Sketch], given: argparse.Namespace, size: int
) -> dict[str, Callable[[], None]]:
    """What is timed, by name."""
    batches = [
        sl.SketchBatch.from_sketches(sketches[i : i + given.batch])
        for i in range(0, len(sketches), given.batch)
    ]
    rasteriser = sl.Rasteriser(size=size, line_width=given.line_width)
    timed: dict[str, Callable[[], None]] = {}
    for threads in given.threads:
        for kind, slopes in {"": False, ", backward too": True}.items():
            step = partial(draw, rasteriser, batches, slopes=slopes)
            timed[f"ours, {threads} thread{'s' * (threads > 1)}{kind}"] = partial(
                with_threads, threads, step
            )
    if skia is not None:
        strokes = [[((s + 1) * size / 2).tolist() for s in sketch.strokes] for sketch in sketches]
        pictures = np.zeros((len(sketches), size, size), np.uint8)
        paths = [path_of(s) for s in strokes]
        timed["skia"] = lambda: draw_with_skia(paths, pictures, given.line_width)
        timed["skia, paths made"] = lambda: draw_with_skia(
            [path_of(s) for s in strokes], pictures, given.line_width
        )
    return timed


def with_threads(threads: int, step: Callable[[], None]) -> None:
    torch.set_num_threads(threads)
    step()


def apart(sketches: list[sl.Sketch], line_width: float, size: int) -> dict[str, float]:
    """Mean absolute difference of a pixel between the two, and the mean ink, both of 1."""
    ours = sl.Rasteriser(size=size, line_width=line_width)(sl.SketchBatch.from_sketches(sketches))
    theirs = np.zeros(ours.shape, np.uint8)
    strokes = [[((s + 1) * size / 2).tolist() for s in sketch.strokes] for sketch in sketches]
    draw_with_skia([path_of(s) for s in strokes], theirs, line_width)
    difference = np.abs(ours.numpy() - theirs / 255.0)
    return {"apart": float(difference.mean()), "ink": float(ours.mean())}


def measure(
    timed: dict[str, Callable[[], None]], clock: Callable[[], float], rounds: int
) -> dict[str, list[float]]:
    """Seconds of each, round by round, all of them once a round, after one that is not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for index in range(rounds + 1):
        for name, step in timed.items():
            started = clock()
            step()
            if index:
                seconds[name].append(clock() - started)
    return seconds


def rows_of(sketches: list[sl.Sketch], given: argparse.Namespace, size: int) -> list[dict]:
    seconds = measure(pens(sketches, given, size), CLOCKS[given.clock], given.rounds)
    say(f"{size} pixels: {given.rounds} rounds")
    rows = []
    for name, own in seconds.items():
        row = {"size": size, "what": name, "per_second": len(sketches) / float(np.median(own))}
        for peer in ("skia", "skia, paths made"):
            if peer in seconds:
                row[peer] = float(np.median(np.divide(seconds[peer], own)))
        rows.append(row)
    return rows


def main(given: argparse.Namespace) -> dict:
    if given.clock == "cpu":
        given.threads = [1]
    sketches, source = drawings(given.data, given.sketches, seed=given.seed)
    rows = [row for size in given.sizes for row in rows_of(sketches, given, size)]
    result = {"rows": rows, "source": source, "sketches": len(sketches), "clock": given.clock}
    if skia is not None:
        result["peer"] = {n: apart(sketches, given.line_width, n) for n in given.sizes}
    if not given.json:
        report(result, given)
    return result


def report(result: dict, given: argparse.Namespace) -> None:
    print(
        f"{result['sketches']} drawings ({result['source']}), {given.batch} a batch, line width "
        f"{given.line_width:g}; {given.clock} clock, torch {torch.__version__}\n"
    )
    header = ["size", "what", "sketches/s", "times skia", "times skia, paths made"]
    shown = [
        [row["size"], row["what"], f"{row['per_second']:.0f}"]
        + [f"{row[peer]:.2f}" if peer in row else "-" for peer in ("skia", "skia, paths made")]
        for row in result["rows"]
    ]
    print(table(header, shown) + "\n")
    if "peer" not in result:
        print("skia is not there: python -m pip install skia-python, and run again")
        return
    for size, peer in result["peer"].items():
        ink = f"mean ink {peer['ink']:.3f}"
        print(f"{size} pixels: {peer['apart']:.4f} a pixel apart from skia, {ink}")
    least = min(r["skia"] for r in result["rows"] if r["what"] == "ours, 1 thread")
    verdict = "holds" if least >= CLAIM else "DOES NOT HOLD"
    print(f"claim, on one thread at least {CLAIM} times as fast as skia: {least:.2f}: {verdict}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the drawings' collections")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pixels a side")
    parser.add_argument("--line-width", type=float, default=0.05, help="the canvas is 2 wide")
    parser.add_argument("--sketches", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    run(main, parser)
