"""Claim: exact Shapley values of a 10-stroke drawing take less than 1.5 s on two cores.

Times everything a user waits for once the model is loaded: binding drawing and target to the
model, all 1,024 coalitions, and the values. One run first, untimed; then the median of the rest.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import sightline as sl
from material import arguments, drawings, run, start, table

TARGET_SECONDS = 1.5


def timed(model: sl.SketchXAINet, sketch: sl.Sketch) -> tuple[float, sl.Explanation]:
    """Seconds from a drawing to its explanation."""
    started = time.perf_counter()
    why = sl.shapley(sl.Game(model, sl.Strokes(sketch)))
    return time.perf_counter() - started, why


def main(given: argparse.Namespace) -> dict:
    model, machine = start(given)
    fitting = [s for s in drawings(given.data, "test", seed=given.seed) if len(s) == given.strokes]
    if not fitting:
        raise sl.DrawingError(f"no drawing of the test split has {given.strokes} strokes")
    sketch = fitting[0]
    timed(model, sketch)
    runs = [timed(model, sketch) for _ in range(given.runs)]
    seconds, why = [s for s, _ in runs], runs[0][1]
    result = {
        "drawing": f"{sketch.label} {sketch.name}",
        "strokes": len(sketch),
        "evaluations": why.made.evaluations,
        "median_seconds": float(np.median(seconds)),
        "min_seconds": min(seconds),
        "max_seconds": max(seconds),
        "gap": float(np.abs(why.gap).max()),
        "machine": machine,
    }
    if not given.json:
        report(result)
    return result


def report(result: dict) -> None:
    spread = f"{result['min_seconds']:.3f} to {result['max_seconds']:.3f}"
    median = result["median_seconds"]
    row = [
        result["strokes"],
        result["evaluations"],
        f"{median:.3f}",
        spread,
        f"{result['gap']:.0e}",
    ]
    print(f"{result['drawing']}; {result['machine']}\n")
    print(table(["strokes", "evaluations", "median s", "min to max s", "completeness gap"], [row]))
    if result["strokes"] == 10:
        verdict = "holds" if median < TARGET_SECONDS else "DOES NOT HOLD"
        print(f"\nclaim, less than {TARGET_SECONDS} s: {verdict}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--strokes", type=int, default=10)
    parser.add_argument("--runs", type=int, default=5)
    run(main, parser)
