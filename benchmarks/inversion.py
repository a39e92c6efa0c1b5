"""Claim: location inversion is at least 30 times as fast as the original program's way.

The original's way: one drawing at a time, always 197 tokens, the shapes embedded anew at every one
of the 100 steps; here with the pads masked, so that both sides compute the same walks, and with
frozen weights, which is kind to it. Ours: all drawings together, no pads, shapes embedded once.
Both in one process on the same threads, in alternating rounds, in float32; the walks' final
locations and probabilities are compared.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import sightline as sl
from material import arguments, drawings, run, say, start, table

CLAIM = 30
SLOTS = 196


def original_way(
    model: sl.SketchXAINet, sketch: sl.Sketch, target: int, begin: np.ndarray, steps: int
) -> tuple[np.ndarray, float]:
    """The end of one walk, and the probability of the target there."""
    batch = sl.SketchBatch.from_sketches([sketch])
    place = torch.nn.Parameter(torch.from_numpy(begin).float())
    optimiser = torch.optim.SGD([place], lr=10)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, 1e-5)
    for _ in range(steps):
        optimiser.zero_grad()
        F.cross_entropy(logits(model, batch, place), torch.tensor([target])).backward()
        rate = optimiser.param_groups[0]["lr"]
        torch.nn.utils.clip_grad_norm_([place], 0.5 / (rate + 1e-8))
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        end = logits(model, batch, place).softmax(1)[0, target]
    return place.detach().numpy(), float(end)


def logits(model: sl.SketchXAINet, batch: sl.SketchBatch, place: Tensor) -> Tensor:
    """One drawing through 197 tokens, the pads masked."""
    strokes, hidden = len(place), model.config.hidden
    shape = torch.zeros(SLOTS, hidden)
    with torch.no_grad():
        shape[:strokes] = model.shape(batch)
    where = torch.cat([place, torch.zeros(SLOTS - strokes, 2)])
    token = shape + model.location(where) + model.order(torch.arange(SLOTS))
    x = torch.cat([model.class_token[None], token])
    seen = torch.arange(SLOTS + 1) <= strokes
    for layer in model.layers:
        qkv = F.linear(layer.norm_attention(x), layer.qkv.weight, layer.qkv.bias)
        q, k, v = qkv.view(SLOTS + 1, 3, layer.heads, -1).permute(1, 2, 0, 3)
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=seen[None])
        mixed = mixed[0].transpose(0, 1).flatten(1)
        x = x + F.linear(mixed, layer.out.weight, layer.out.bias)
        up = F.gelu(F.linear(layer.norm_mlp(x), layer.up.weight, layer.up.bias))
        x = x + F.linear(up, layer.down.weight, layer.down.bias)
    return model.head(model.norm(x[:1]))


def main(given: argparse.Namespace) -> dict:
    model, machine = start(given)
    model.eval().requires_grad_(False)
    chosen = drawings(given.data, "test", seed=given.seed, labels=model.labels)
    chosen = [s for s in chosen if len(s) > 1][: given.drawings]
    walk = sl.Descent(steps=given.steps)
    sl.recover(model, chosen[:2], descent=sl.Descent(steps=2))  # neither side is timed cold
    few = chosen[: given.peer_drawings]
    rounds, ends = [], []
    for index in range(given.rounds):
        started = time.perf_counter()
        ways = sl.recover(model, chosen, seed=given.seed, descent=walk)
        ours = len(chosen) / (time.perf_counter() - started)
        started = time.perf_counter()
        ends = [
            original_way(model, w.sketch, model.labels.index(w.target), w.locations[0], given.steps)
            for w in ways[: len(few)]
        ]
        theirs = len(few) / (time.perf_counter() - started)
        rounds.append((ours, theirs))
        say(f"round {index + 1}/{given.rounds}: {ours:.2f} and {theirs:.4f} drawings/s")
    gaps = [
        (np.abs(w.locations[-1] - place).max(), abs(w.target_probability[-1] - odds))
        for w, (place, odds) in zip(ways, ends, strict=False)
    ]
    ours, theirs = np.array(rounds).T
    result = {
        "machine": machine,
        "drawings": len(chosen),
        "steps": given.steps,
        "ours_per_second": float(np.median(ours)),
        "original_per_second": float(np.median(theirs)),
        "ratio": float(np.median(ours / theirs)),
        "ratio_min": float((ours / theirs).min()),
        "ratio_max": float((ours / theirs).max()),
        "location_gap": float(max(g for g, _ in gaps)),
        "probability_gap": float(max(g for _, g in gaps)),
    }
    if not given.json:
        report(result)
    return result


def report(result: dict) -> None:
    print(f"{result['machine']}; {result['drawings']} drawings, {result['steps']} steps\n")
    rows = [
        ["ours", f"{result['ours_per_second']:.2f}"],
        ["the original's way", f"{result['original_per_second']:.4f}"],
    ]
    print(table(["", "drawings/s"], rows))
    print(
        f"\nat the end {result['location_gap']:.1e} apart in location, "
        f"{result['probability_gap']:.1e} in probability"
    )
    verdict = "holds" if result["ratio_min"] >= CLAIM else "DOES NOT HOLD"
    spread = f"{result['ratio_min']:.1f} to {result['ratio_max']:.1f}"
    print(f"claim, at least {CLAIM} times: {result['ratio']:.1f} ({spread}): {verdict}")


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--drawings", type=int, default=64)
    parser.add_argument("--peer-drawings", type=int, default=3, help="of them, the other way")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    run(main, parser)
