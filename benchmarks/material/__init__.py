"""What every benchmark starts from: drawings, a model, this machine; and what it ends with."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

import sightline as sl

COLLECTION = "spg_quickdraw_parts"


def arguments(description: str, **defaults: object) -> argparse.ArgumentParser:
    """The options that all benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="sketchxainet-tiny", help="as for sightline.load")
    parser.add_argument("--data", type=Path, help="folder of the drawings' collections")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    parser.set_defaults(**defaults)
    return parser


def start(given: argparse.Namespace) -> tuple[sl.SketchXAINet, str]:
    """Set the threads; the model, and one line about the machine."""
    if given.threads:
        torch.set_num_threads(given.threads)
    machine = f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    return sl.load(given.model), machine


def drawings(
    folder: Path | None, split: str, *, seed: int, labels: Sequence[str] | None = None
) -> list[sl.Sketch]:
    """One split of the collection of real drawings, shuffled; with these labels only, if given.

    Raises:
        DrawingError: the collection is not there.
    """
    beside = Path(__file__).parents[2] / "../shared/data"
    path = (folder or Path(os.environ.get("SIGHTLINE_DATA", beside))) / COLLECTION
    if not path.is_dir():
        raise sl.DrawingError(
            f"no drawings at {path}; set SIGHTLINE_DATA (or --data) to the folder that holds "
            f"{COLLECTION}"
        )
    chosen = sl.split_collection(sl.read_collection(path), path)[split]
    known = [s for s in chosen if labels is None or s.label in labels]
    if not known:
        raise sl.DrawingError(f"no drawing of {path} has a label that the model knows")
    return [known[i] for i in np.random.default_rng(seed).permutation(len(known))]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, its columns in line.

    Example:
        >>> print(table(["a", "b"], [[1, "two"]]))
        | a | b   |
        |---|-----|
        | 1 | two |
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def run(main: Callable[[argparse.Namespace], dict], parser: argparse.ArgumentParser) -> None:
    """Run a benchmark; print its JSON if asked; a user's mistake is one line, no traceback."""
    given = parser.parse_args()
    try:
        result = main(given)
    except sl.SightlineError as error:
        sys.exit(f"{parser.prog}: {error}")
    if given.json:
        print(json.dumps(result))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x for x in lines if x.startswith("model name")).split(":")[1].strip()
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
