"""Claims: without pads SketchXAINet trains and answers 20 times as fast, or faster.

Faster than the same weights in the padded configuration; and how near the machine's limit.

The published model runs 197 tokens for every drawing, pads attended; a drawing has about seven.
All sides run in one process, in alternating rounds, on batches of 100 real drawings, with the
same threads, precision and optimizer: ragged batches as luck has them, ragged batches of like
drawings (buckets, as ``--buckets`` makes them; the same drawings), and the padded configuration on
the first of the former. A training step is forward, cross entropy, backward and a step of fused
AdamW. Floating-point operations are counted from the configuration and from the drawings: two for
each multiplication and addition of the LSTM, the linear layers and the attention (over the tokens
there are); three times as many for a training step. They are set against the rate at which torch
multiplies two 2048 x 2048 matrices in the same precision, the best of what was measured in every
round, by its BLAS or by oneDNN.
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
from sightline.models.dense import dense
from sightline.training.examples import Labelled
from sightline.training.order import bucketed

CLAIMS = {"training": 20, "inference": 20}
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
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
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


@torch.no_grad()
def peak(dtype: torch.dtype, *, side: int = 2048, times: int = 5) -> float:
    """Operations a second of the best of several matrix products, each by both libraries."""
    a = torch.randn(side, side, generator=torch.Generator().manual_seed(0)).to(dtype)
    zeros = a.new_zeros(side)
    seconds = []
    for product in [partial(torch.mm, a, a), partial(dense, a, a, zeros)] * times:
        started = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def as_batches(given: argparse.Namespace, model: sl.SketchXAINet) -> dict[str, list[Labelled]]:
    """Drawings of the training split in batches, as luck has them and of like drawings."""
    chosen = drawings(given.data, "train", seed=given.seed, labels=model.labels)
    chosen = chosen[: given.batches * given.batch]
    data = Labelled.from_sketches(chosen, model.labels, model.prepare)
    order = torch.arange(len(data))
    lengths = data.strokes_per_sketch(), data.longest_stroke()
    luck = torch.Generator().manual_seed(given.seed)
    cuts = {
        "ragged": order.split(given.batch),
        "buckets": bucketed(order, *lengths, given.batch, luck),
    }
    return {
        name: [Labelled(data.batch(index), data.targets(index)) for index in cut]
        for name, cut in cuts.items()
    }


def compare(
    models: dict[str, sl.SketchXAINet],
    batches: dict[str, list[Labelled]],
    *,
    precision: str,
    rounds: int,
) -> list[dict]:
    """Rates of all sides and the peak, round by round, for training and for inference."""
    rows = []
    sides = {name: steps(model, precision) for name, model in models.items()}
    best = peak(PRECISIONS[precision])  # the first, which warms up
    for kind in CLAIMS:
        measured: dict[str, list[float]] = {name: [] for name in sides}
        for name, side in sides.items():
            side[kind](batches[name][0])  # none is timed cold
        for index in range(rounds):
            for name, side in sides.items():
                measured[name].append(rate(side[kind], batches[name]))
            best = max(best, peak(PRECISIONS[precision]))
            shown = ", ".join(f"{name} {values[-1]:.1f}" for name, values in measured.items())
            say(f"{precision} {kind} round {index + 1}/{rounds}: {shown} sketches/s")
        rows += [
            {"kind": kind, "precision": precision, "side": name, "rates": measured[name]}
            | {"padded": measured["padded"]}
            for name in sides
        ]
    return [row | {"peak": best} for row in rows]


def summary(row: dict, flops: dict[str, float]) -> dict:
    """Medians, the ratio of each round, and how close to the machine's limit."""
    rates = np.array(row.pop("rates"))
    ratio = rates / np.array(row.pop("padded"))
    flop = flops[row["side"]] * (3 if row["kind"] == "training" else 1)
    return row | {
        "per_second": float(np.median(rates)),
        "ratio": float(np.median(ratio)),
        "ratio_min": float(ratio.min()),
        "ratio_max": float(ratio.max()),
        "flop": flop,
        "of_peak": float(np.median(rates)) * flop / row["peak"],
    }


def main(given: argparse.Namespace) -> dict:
    model, machine = start(given)
    torch.manual_seed(given.seed)  # dropout
    if not isinstance(model, sl.SketchXAINet):
        raise sl.ModelError(f"{given.model} is no SketchXAINet: there are no tokens to pad")
    models = {name: with_padding(model, "none") for name in ("ragged", "buckets")}
    models["padded"] = with_padding(model, "attended")
    batches = as_batches(given, model)
    batches["padded"] = batches["ragged"][: given.padded_batches]
    flops = {name: _mean_flop(models[name].config, batches[name]) for name in models}
    rows = [
        summary(row, flops)
        for precision in given.precision
        for row in compare(models, batches, precision=precision, rounds=given.rounds)
    ]
    strokes = np.mean([float(b.drawings.strokes_per_sketch.sum()) for b in batches["ragged"]])
    settings = {"rounds": given.rounds, "batch": given.batch, "batches": given.batches}
    result = {"rows": rows, "strokes": strokes / given.batch, "machine": machine, **settings}
    if not given.json:
        report(result)
    return result


def _mean_flop(config: sl.SketchXAINetConfig, batches: list[Labelled]) -> float:
    sizes = [len(b) for b in batches]
    return float(np.average([forward_flop(config, b.drawings) for b in batches], weights=sizes))


def with_padding(model: sl.SketchXAINet, padding: str) -> sl.SketchXAINet:
    """A copy of a model, its weights the same, its padding another."""
    copy = sl.SketchXAINet(replace(model.config, padding=padding))
    copy.load_state_dict(model.state_dict())
    return copy


def report(result: dict) -> None:
    print(f"{result['strokes']:.1f} strokes a drawing; {result['machine']}\n")
    print(table(_HEADER, [_cells(row, result["batch"]) for row in result["rows"]]) + "\n")
    for kind, least in CLAIMS.items():
        rows = [r for r in result["rows"] if r["kind"] == kind and r["side"] == "ragged"]
        shown = ", ".join(f"{r['ratio']:.1f} in {r['precision']}" for r in rows)
        verdict = "holds" if min(r["ratio"] for r in rows) >= least else "DOES NOT HOLD"
        print(f"claim, {kind} at least {least} times as fast: {shown}: {verdict}")


_HEADER = [
    "what",
    "precision",
    "side",
    "steps/s",
    "sketches/s",
    "ratio to padded (min to max)",
    "MFLOP a sketch",
    "GFLOP/s",
    "peak, GFLOP/s",
    "share of peak",
]


def _cells(row: dict, batch: int) -> list[str]:
    return [
        row["kind"],
        row["precision"],
        row["side"],
        f"{row['per_second'] / batch:.2f}",
        f"{row['per_second']:.0f}",
        f"{row['ratio']:.1f} ({row['ratio_min']:.1f} to {row['ratio_max']:.1f})",
        f"{row['flop'] / 1e6:.0f}",
        f"{row['flop'] * row['per_second'] / 1e9:.0f}",
        f"{row['peak'] / 1e9:.0f}",
        f"{row['of_peak']:.0%}",
    ]


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=100, help="drawings")
    parser.add_argument("--batches", type=int, default=30, help="of a round, ragged sides")
    parser.add_argument("--padded-batches", type=int, default=1, help="of a round, padded side")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    run(main, parser)
