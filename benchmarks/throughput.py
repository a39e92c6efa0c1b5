"""Claims: without pads SketchXAINet trains 15 times and answers 20 times as fast, or faster.

Faster than the same weights in the padded configuration; and how near the machine's limit.

The published model runs 197 tokens for every drawing, pads attended; a drawing has about seven.
Both sides run in one process, in alternating rounds, on the same batches of 100 real drawings,
with the same threads and precision. A training step is forward, cross entropy, backward and an
AdamW step. Floating-point operations are counted from the configuration and from the drawings:
two for each multiplication and addition of the LSTM, the linear layers and the attention (over
the tokens there are); three times as many for a training step. They are set against the rate at
which torch multiplies two 2048 x 2048 matrices, measured in every round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

import sightline as sl
from material import arguments, drawings, run, say, start, table
from sightline.training.loop import Labelled

CLAIMS = {"training": 15, "inference": 20}
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}

Step = Callable[[Labelled], None]


def forward_flop(config: sl.SketchXAINetConfig, batch: sl.SketchBatch) -> float:
    """Floating-point operations of one drawing's forward pass, averaged over a batch."""
    h, half, points = config.hidden, config.hidden // 2, len(batch.points) / len(batch)
    gates = {"lstm": 4, "gru": 3}[config.cell]
    strokes = batch.strokes_per_sketch.double()
    tokens = 1 + (strokes if config.padding == "none" else strokes * 0 + config.max_strokes)
    recurrent = 2 * gates * half * ((4 + half) + (h + half)) * points  # two directions, two layers
    linear = config.layers * (4 * h * h + 2 * h * config.mlp) * float(tokens.mean())
    attention = config.layers * 2 * h * float((tokens**2).mean())
    ends = 2 * h * float(strokes.mean()) + h * len(config.labels)
    return 2 * (recurrent + linear + attention + ends)


def steps(model: sl.SketchXAINet, precision: str) -> dict[str, Step]:
    """A training step and an answer of one model, each a function of a batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    cast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "bf16")

    def train(batch: Labelled) -> None:
        model.train()
        with cast():
            logits = model(batch.drawings)
        F.cross_entropy(logits.float(), batch.target).backward()
        optimizer.step()
        optimizer.zero_grad()

    def answer(batch: Labelled) -> None:
        model.eval()
        with cast(), torch.inference_mode():
            model(batch.drawings)

    return {"training": train, "inference": answer}


def rate(step: Step, batches: list[Labelled]) -> float:
    """Drawings a second."""
    started = time.perf_counter()
    for batch in batches:
        step(batch)
    return sum(len(b) for b in batches) / (time.perf_counter() - started)


def peak(dtype: torch.dtype, *, side: int = 2048, times: int = 5) -> float:
    """Operations a second of the best of several matrix products."""
    a = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(dtype)
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        torch.mm(a, a)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def as_batches(given: argparse.Namespace, model: sl.SketchXAINet) -> list[Labelled]:
    """Batches of prepared drawings of the training split."""
    chosen = drawings(given.data, "train", seed=given.seed, labels=model.labels)
    chosen = chosen[: given.batches * given.batch]
    data = Labelled.from_sketches(chosen, model.labels, model.prepare)
    return [
        Labelled(data.drawings.select(index), data.target[index])
        for index in torch.arange(len(data)).split(given.batch)
    ]


def compare(
    ragged: sl.SketchXAINet,
    padded: sl.SketchXAINet,
    batches: list[Labelled],
    *,
    precision: str,
    rounds: int,
    padded_batches: int,
) -> list[dict]:
    """Rates of both sides and the peak, round by round, for training and for inference."""
    few, rows = batches[:padded_batches], []
    sides = steps(ragged, precision), steps(padded, precision)
    best = peak(PRECISIONS[precision])  # the first, which warms up
    for kind in CLAIMS:
        ours, theirs = (side[kind] for side in sides)
        ours(batches[0]), theirs(few[0])  # neither is timed cold
        measured = []
        for index in range(rounds):
            measured.append((rate(ours, batches), rate(theirs, few)))
            best = max(best, peak(PRECISIONS[precision]))
            shown = "{:.0f} and {:.1f} sketches/s".format(*measured[-1])
            say(f"{precision} {kind} round {index + 1}/{rounds}: {shown}")
        rows.append({"kind": kind, "precision": precision, "rates": measured})
    return [row | {"peak": best} for row in rows]


def summary(row: dict, flop: float, padded_flop: float) -> dict:
    """Medians, the ratio of each round, and how close to the machine's limit."""
    ragged, padded = np.array(row.pop("rates")).T
    ratio = ragged / padded
    share = 3 if row["kind"] == "training" else 1
    return row | {
        "ragged_per_second": float(np.median(ragged)),
        "padded_per_second": float(np.median(padded)),
        "ratio": float(np.median(ratio)),
        "ratio_min": float(ratio.min()),
        "ratio_max": float(ratio.max()),
        "flop": share * flop,
        "padded_flop": share * padded_flop,
        "of_peak": float(np.median(ragged)) * share * flop / row["peak"],
        "padded_of_peak": float(np.median(padded)) * share * padded_flop / row["peak"],
    }


def main(given: argparse.Namespace) -> dict:
    ragged, machine = start(given)
    torch.manual_seed(given.seed)  # dropout
    if not isinstance(ragged, sl.SketchXAINet):
        raise sl.ModelError(f"{given.model} is no SketchXAINet: there are no tokens to pad")
    ragged = with_padding(ragged, "none")
    padded = with_padding(ragged, "attended")
    batches = as_batches(given, ragged)
    everything = [len(b) for b in batches]
    flop, padded_flop = (
        float(np.average([forward_flop(m.config, b.drawings) for b in batches], weights=everything))
        for m in (ragged, padded)
    )
    settings = {"rounds": given.rounds, "padded_batches": given.padded_batches}
    rows = [
        summary(row, flop, padded_flop)
        for precision in given.precision
        for row in compare(ragged, padded, batches, precision=precision, **settings)
    ]
    strokes = np.average([float(b.drawings.strokes_per_sketch.double().mean()) for b in batches])
    result = {"rows": rows, "strokes": float(strokes), "machine": machine, **settings}
    if not given.json:
        report(result)
    return result


def with_padding(model: sl.SketchXAINet, padding: str) -> sl.SketchXAINet:
    """A copy of a model, its weights the same, its padding another."""
    copy = sl.SketchXAINet(replace(model.config, padding=padding))
    copy.load_state_dict(model.state_dict())
    return copy


def report(result: dict) -> None:
    print(f"{result['strokes']:.1f} strokes a drawing; {result['machine']}\n")
    print(table(_HEADER, [_cells(row) for row in result["rows"]]) + "\n")
    for kind, least in CLAIMS.items():
        ratios = {r["precision"]: r["ratio"] for r in result["rows"] if r["kind"] == kind}
        shown = ", ".join(f"{ratio:.1f} in {name}" for name, ratio in ratios.items())
        verdict = "holds" if min(ratios.values()) >= least else "DOES NOT HOLD"
        print(f"claim, {kind} at least {least} times as fast: {shown}: {verdict}")


_HEADER = [
    "what",
    "precision",
    "ragged, sketches/s",
    "padded, sketches/s",
    "ratio (min to max)",
    "MFLOP a sketch, ragged / padded",
    "GFLOP/s, ragged / padded",
    "peak, GFLOP/s",
    "share of peak, ragged / padded",
]


def _cells(row: dict) -> list[str]:
    per_second = row["ragged_per_second"], row["padded_per_second"]
    flop = row["flop"], row["padded_flop"]
    return [
        row["kind"],
        row["precision"],
        f"{per_second[0]:.0f}",
        f"{per_second[1]:.1f}",
        f"{row['ratio']:.1f} ({row['ratio_min']:.1f} to {row['ratio_max']:.1f})",
        f"{flop[0] / 1e6:.0f} / {flop[1] / 1e6:.0f}",
        " / ".join(f"{f * s / 1e9:.0f}" for f, s in zip(flop, per_second, strict=True)),
        f"{row['peak'] / 1e9:.0f}",
        f"{row['of_peak']:.0%} / {row['padded_of_peak']:.0%}",
    ]


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=100, help="drawings")
    parser.add_argument("--batches", type=int, default=10, help="of a round, ragged side")
    parser.add_argument("--padded-batches", type=int, default=1, help="of a round, padded side")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    run(main, parser)
