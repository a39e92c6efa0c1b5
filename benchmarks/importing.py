"""Claim: QuickDraw's ndjson becomes a collection at least 30 times as fast as by HDF5 data sets.

A file of a million drawings is generated from a seed: about 6 strokes and 45 points each, as in
QuickDraw's simplified files. The straightforward converter reads it line by line: json.loads, one
normalisation in numpy, one h5py data set a drawing. It is timed on slices of the file, its time a
drawing taken as the same for the rest (in fact it grows a little, with the number of data sets).
Ours imports the whole file. Both run on the same cores, slices and parts of the import in turn:
the slices are timed before, between and after imports, and the import's rate is compared with the
median of the slices. Wall-clock time and processor time are both given, the second of all processes
together: on a machine with other work it says more, but it counts one core, and the import uses
as many as there are. Memory is the peaks of all processes added up.

Then drawings are fetched by shuffled indices over the whole training split, batch by batch, from as
many files as the import made and from 64 times as many.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

import sightline as sl
from material import run, say, table

CLAIM = 30
RANDOM_ACCESS = 100_000
MOST_MEMORY = 1_000  # MB
POOL = 20_000
FETCHED = 200_000
CLOCKS = "wall", "cpu"

IMPORT = """
import json, os, resource, sys, time
from sightline.sketch import readers
from sightline.sketch.importing import import_drawings
import pyarrow.ipc, torch

def spent():
    told = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in told)

of_readers, end = [], readers._end

def ending(process):
    told = open(f"/proc/{process.pid}/status").read()
    of_readers.append(int(told.split("VmHWM:")[1].split()[0]))
    end(process)

readers._end = ending
started, before = time.perf_counter(), spent()
store = import_drawings([sys.argv[1]], sys.argv[2], processes=int(sys.argv[3]))
wall, cpu = time.perf_counter() - started, spent() - before
print(json.dumps({
    "drawings": len(store), "wall": wall, "cpu": cpu,
    "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + sum(of_readers)) * 1.024e-3,
}))
"""


def generate(path: Path, count: int, *, seed: int) -> None:
    """Drawings like QuickDraw's: lengths, field order and spelling as in its simplified files.

    Every drawing of a pool is used over and over, each time under a key of its own.
    """
    luck = np.random.default_rng(seed)
    pool = [text_of(luck) for _ in range(min(count, POOL))]
    words = ["airplane", "alarm clock", "ant", "The Eiffel Tower", "zigzag"]
    keys = luck.integers(4 * 10**15, 7 * 10**15, count).tolist()
    with open(path, "w", encoding="ascii") as stream:
        for number, key in enumerate(keys):
            stream.write(
                f'{{"word":"{words[number * len(words) // count]}","countrycode":"US",'
                f'"timestamp":"2017-03-08 21:12:07.{key % 90_000 + 10_000} UTC",'
                f'"recognized":{"true" if key % 10 else "false"},"key_id":"{key}",'
                f'"drawing":{pool[number % len(pool)]}}}\n'
            )


def text_of(luck: np.random.Generator) -> str:
    """One drawing, as QuickDraw writes it."""
    sizes = 1 + luck.geometric(1 / 6.5, 1 + luck.poisson(5)).clip(max=80)
    points = np.array_split(luck.integers(0, 256, (2, sizes.sum())), sizes.cumsum()[:-1], axis=1)
    return json.dumps([stroke.tolist() for stroke in points], separators=(",", ":"))


def convert(lines: list[bytes], path: Path) -> None:
    """The straightforward way: one drawing after the other into data sets of their own."""
    with h5py.File(path, "w") as file:
        group = file.create_group("sketch/0")
        for number, line in enumerate(lines):
            strokes = json.loads(line)["drawing"]
            points = np.concatenate([np.array(s, dtype=np.float32).T for s in strokes])
            pen_up = np.zeros((len(points), 1), np.float32)
            pen_up[np.cumsum([len(s[0]) for s in strokes]) - 1] = 1
            low, high = points.min(axis=0), points.max(axis=0)
            if ((high - low) ** 2).sum() < 1e-8:
                continue
            scale = 0.74 / (high - low).max()
            points = 2 * (scale * (points - low) + 0.5 - 0.5 * scale * (high - low)) - 1
            group.create_dataset(str(number), data=np.concatenate([points, pen_up], axis=1))


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Seconds on the wall and of the processors."""
    started, spent = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - started, "cpu": time.process_time() - spent}


def imported(source: Path, out: Path, processes: int) -> dict:
    """Ours, in a process of its own, so that its memory is its own and that of its readers."""
    given = [sys.executable, "-c", IMPORT, str(source), str(out), str(processes)]
    return json.loads(subprocess.run(given, check=True, capture_output=True, text=True).stdout)


def fetch(split: sl.StoredSplit, size: int, *, seed: int) -> dict[str, float]:
    """Drawings a second, by shuffled indices of the whole split."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:FETCHED]

    def all_batches() -> None:
        for index in order.split(size):
            split.batch(index)
            split.targets(index)

    return {name: len(order) / seconds for name, seconds in timed(all_batches).items()}


def slice_of(source: Path, count: int, skip: int) -> list[bytes]:
    with open(source, "rb") as stream:
        return [line for number, line in zip(range(skip + count), stream, strict=False)][skip:]


def main(given: argparse.Namespace) -> dict:
    folder = Path(tempfile.mkdtemp(prefix="importing-", dir=given.folder))
    try:
        return measure(folder, given)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, given: argparse.Namespace) -> dict:
    source = folder / "million.ndjson"
    say(f"generating {given.drawings} drawings")
    generate(source, given.drawings, seed=given.seed)
    count = min(given.slice, given.drawings)
    theirs, ours = [], []
    for number in range(given.rounds + 1):
        say(f"round {number}: {count} drawings by HDF5")
        lines = slice_of(source, count, number * count % (given.drawings - count + 1))
        theirs.append(timed(lambda: convert(lines, folder / "peer.h5")))  # noqa: B023
        if number < given.rounds:
            say(f"round {number}: {given.drawings} drawings by sightline")
            shutil.rmtree(folder / "out", ignore_errors=True)
            ours.append(imported(source, folder / "out", given.processes))
    many = folder / "many"
    sl.import_drawings([source], many, shard=1024)
    fetched = {
        f"{len(list(out.glob('train-*')))} files, batches of {size}": fetch(
            sl.SketchStore.open(out).split("train"), size, seed=given.seed
        )
        for out in (folder / "out", many)
        for size in given.batches
    }
    peer = {n: count / float(np.median([t[n] for t in theirs])) for n in CLOCKS}
    own = {n: given.drawings / float(np.median([o[n] for o in ours])) for n in CLOCKS}
    result = {
        "drawings": given.drawings,
        "bytes": source.stat().st_size,
        "stored": sum(path.stat().st_size for path in (folder / "out").iterdir()),
        "load": os.getloadavg()[0],
        "peer": peer,
        "ours": own,
        "ratio": {name: own[name] / peer[name] for name in own},
        "memory": max(o["memory"] for o in ours),
        "fetched": fetched,
    }
    if not given.json:
        report(result, given)
    return result


def report(result: dict, given: argparse.Namespace) -> None:
    print(
        f"{result['drawings']:,} drawings, {result['bytes'] / 1e6:.0f} MB of ndjson, "
        f"{result['stored'] / 1e6:.0f} MB stored; {given.processes} processes that read, "
        f"{os.cpu_count()} cores, load {result['load']:.1f}\n"
    )
    header = ["drawings a second", "wall clock", "processor time"]
    rows = [
        [name, *(f"{result[key][clock]:,.0f}" for clock in CLOCKS)]
        for name, key in (("one HDF5 data set each", "peer"), ("sightline data import", "ours"))
    ]
    rows.append(["ratio", *(f"{result['ratio'][clock]:.1f}" for clock in CLOCKS)])
    print(table(header, rows) + "\n")
    fetched = [
        [name, *(f"{rates[clock]:,.0f}" for clock in CLOCKS)]
        for name, rates in result["fetched"].items()
    ]
    print(table(["random access, drawings a second", *header[1:]], fetched) + "\n")
    least = min(rates["wall"] for rates in result["fetched"].values())
    for claim, holds in (
        (f"at least {CLAIM} times as fast: {result['ratio']['wall']:.1f}",
         result["ratio"]["wall"] >= CLAIM),
        (f"at most {MOST_MEMORY} MB: {result['memory']:.0f}", result["memory"] <= MOST_MEMORY),
        (f"at least {RANDOM_ACCESS:,} a second: {least:,.0f}", least >= RANDOM_ACCESS),
    ):  # fmt: skip
        print(f"claim, {claim}: {'holds' if holds else 'DOES NOT HOLD'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drawings", type=int, default=1_000_000)
    parser.add_argument("--slice", type=int, default=20_000, help="drawings of the HDF5 converter")
    parser.add_argument("--rounds", type=int, default=1, help="imports of the whole file")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that read ndjson")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 1000])
    parser.add_argument("--folder", type=Path, help="where to put the files; removed at the end")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    run(main, parser)
