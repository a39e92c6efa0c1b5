"""Claim: a cell's score is best shared among strokes as their ink in the cell.

Feature maps of the raster model on drawings of the validation split, carried to the strokes by
that rule (`Explanation.on`) and by the other at hand (the bilinear map read under each stroke's
ink, as SLA reads a gradient), each compared with the exact Shapley values of the strokes: rank
correlation, mean over drawings with its standard error. The amount of ink ranks beside them.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import sightline as sl
from material import arguments, drawings, run, start, table
from sightline.carry import resized

FEWEST, MOST = 4, 9


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; ties share their mean rank, and a constant knows nothing."""
    ranks = [np.array([(x < y).sum() + (x == y).sum() / 2 for y in x]) for x in (a, b)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def read_under_ink(why: sl.Explanation, layers: torch.Tensor) -> np.ndarray:
    """<M, S_i>, M the map of cells as fine as the picture."""
    cells = torch.from_numpy(why.scores).view(why.parts.rows, why.parts.columns)
    smooth = resized(cells, layers.shape[1:])
    return (layers.double() * smooth).sum((1, 2)).numpy()


def measured(model: sl.RasterModel, sketch: sl.Sketch) -> dict[str, float]:
    """Rank correlation with the exact values, by method and rule."""
    strokes = sl.Strokes(sketch)
    game, pixels = sl.Game(model, strokes), sl.GridCells(sketch, 64, 64)
    exact, layers = sl.shapley(game).scores[0], game.bound.layers
    coarse = sl.grad_cam(sl.Game(model, sl.GridCells(sketch, 4, 4)))
    fine = sl.full_grad(sl.Game(model, pixels))
    found = {
        "`grad_cam`, shared as ink": coarse.on(strokes).scores[0],
        "`grad_cam`, read under the ink": read_under_ink(coarse, layers),
        "`full_grad`, each layer from its own grid": sl.full_grad(game).scores[0],
        "`full_grad`, all upsampled to pixels first": fine.on(strokes).scores[0],
        "amount of ink": layers.sum((1, 2)).double().numpy(),
        "`occlusion`": sl.occlusion(game).scores[0],
    }
    return {name: spearman(scores, exact) for name, scores in found.items()}


def main(given: argparse.Namespace) -> dict:
    model, machine = start(given)
    valid = drawings(given.data, "valid", seed=given.seed)
    chosen = [s for s in valid if FEWEST <= len(s) <= MOST][: given.drawings]
    found = [measured(model, sketch) for sketch in chosen]
    by_name = {name: np.array([row[name] for row in found]) for name in found[0]}
    shared, read = list(by_name.values())[:2]
    by_name["first less second"] = shared - read
    rows = [
        [name, f"{v.mean():.3f} ± {v.std() / len(v) ** 0.5:.3f}"] for name, v in by_name.items()
    ]
    if not given.json:
        print(f"{len(found)} drawings; {machine}\n\n{table(['', 'rank correlation'], rows)}")
    return {"drawings": len(found), "machine": machine, **dict(rows)}


if __name__ == "__main__":
    parser = arguments(__doc__, model="sketch-cnn")
    parser.add_argument("--drawings", type=int, default=400)
    run(main, parser)
