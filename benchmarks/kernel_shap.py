"""Claim: at equal evaluations our Kernel SHAP errs less than captum's and shap's.

The games are real drawings of 9 to 12 strokes, and sums of random unanimity games of 40 parts
whose Shapley values are known (each coefficient is shared equally by its coalition). Every
coalition of a drawing is put to the model once, which gives the exact values. All sides then
read the same table of values, so baseline (strokes absent) and precision are the same, and many
seeds are cheap. The rows that each side asks for are counted; nothing and everything are among
them on every side.

How the peers sample, by their source:

- captum 0.9: sizes with the Shapley kernel's probabilities, members at random, with replacement,
  no pairs (a coalition drawn twice is evaluated twice); a regression with intercept in float32, in
  which nothing and everything weigh 1,000,000.
- shap 0.51: the sizes whose coalitions the budget covers are listed in full, from the smallest
  and largest inwards; the rest is drawn in complementary pairs, repeats counted as weight; the
  sum is a constraint. Used with l1_reg=False: its default keeps ten features.
- ours: complementary pairs without replacement, sizes uniform, weights over the chance to be
  drawn; the sum is a constraint.

Where a budget covers all coalitions there is nothing to estimate: such drawings are left out at
that budget. On an additive game all sides must be exact; that is checked first.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import sightline as sl
from material import arguments, drawings, run, say, start, table
from sightline.methods.shapley import all_coalitions, shapley_values
from sightline.metrics import bootstrap_mean

Scores = Float[np.ndarray, " parts"]


@dataclass
class KnownGame:
    """A game of known values and known Shapley values; it counts the rows it is asked for.

    It stands where a `sightline.Game` stands, with one target.
    """

    parts: range
    read: Callable[[Float[Tensor, "rows parts"]], Float[Tensor, " rows"]]
    exact: Scores
    evaluations: int = 0
    targets: tuple[str, ...] = ("known",)
    unit: str = "logit"
    fingerprint: str = ""
    model: object = None
    value: Tensor = field(init=False)
    base: Tensor = field(init=False)

    def __post_init__(self) -> None:
        ends = torch.tensor([[1.0], [0.0]]).expand(2, len(self.parts))
        self.value, self.base = self.read(ends)[:, None]

    def __call__(self, presence: Tensor) -> Float[Tensor, "rows 1"]:
        """Values, float64."""
        self.evaluations += len(presence)
        return self.read(presence)[:, None]


def from_drawing(model: object, sketch: sl.Sketch, scale: str) -> tuple[KnownGame, float]:
    """A drawing's game, every coalition asked once; and the model's seconds a coalition."""
    game = sl.Game(model, sl.Strokes(sketch), sl.ClassScore(scale=scale))
    n = len(sketch)
    started = time.perf_counter()
    values = game(all_coalitions(n))
    seconds = (time.perf_counter() - started) / len(values)
    place = 2 ** torch.arange(n)
    known = KnownGame(
        range(n),
        lambda presence: values[(presence.long() * place).sum(1), 0],
        shapley_values(values)[0].numpy(),
    )
    return known, seconds


def unanimity(parts: int, *, terms: int = 300, largest: int = 5, seed: int) -> KnownGame:
    """A sum of coefficients, each paid when all members of its random coalition are there."""
    luck = np.random.default_rng(seed)
    sizes = luck.integers(1, largest + 1, terms)
    members = np.zeros((terms, parts))
    for row, size in zip(members, sizes, strict=True):
        row[luck.choice(parts, size, replace=False)] = 1
    paid = luck.standard_normal(terms)
    needed, coefficient = torch.from_numpy(members).T, torch.from_numpy(paid)
    size = torch.from_numpy(sizes)
    return KnownGame(
        range(parts),
        lambda presence: (presence.double() @ needed == size).double() @ coefficient,
        (paid / sizes) @ members,
    )


def additive(parts: int) -> KnownGame:
    """Each part pays its own number, whoever else is there."""
    paid = torch.linspace(-1, 2, parts, dtype=torch.float64)
    return KnownGame(range(parts), lambda presence: presence.double() @ paid, paid.numpy())


def ours(game: KnownGame, budget: int, seed: int) -> Scores:
    """sightline.kernel_shap."""
    game.evaluations += 2  # the making of a `sightline.Game` asks for nothing and everything
    return sl.kernel_shap(game, budget=budget, seed=seed).scores[0]


def captum(game: KnownGame, budget: int, seed: int) -> Scores:
    """captum.attr.KernelShap, in batches as large as ours."""
    from captum.attr import KernelShap

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = torch.ones(1, len(game.parts), dtype=torch.float64)
        found = KernelShap(lambda rows: game(rows)[:, 0]).attribute(
            given, baselines=0, n_samples=budget, perturbations_per_eval=512
        )
    return found[0].double().numpy()


def shap(game: KnownGame, budget: int, seed: int) -> Scores:
    """shap.KernelExplainer; it evaluates nothing and everything besides its samples."""
    from shap import KernelExplainer

    with _numpy_seeded(seed):
        explainer = KernelExplainer(
            lambda rows: game(torch.from_numpy(rows))[:, 0].numpy(), np.zeros((1, len(game.parts)))
        )
        return explainer.shap_values(
            np.ones(len(game.parts)), nsamples=budget - 2, l1_reg=False, silent=True
        )


SIDES = {"ours": ours, "captum": captum, "shap": shap}


@dataclass(frozen=True)
class Record:
    """What one side did with one game and budget, averaged over seeds."""

    side: str
    budget: int
    squared_error: float
    evaluations: float
    seconds: float


def measure(game: KnownGame, budget: int, seeds: int) -> list[Record]:
    """Every side on one game."""
    records = []
    for side, explain in SIDES.items():
        before, started = game.evaluations, time.perf_counter()
        found = np.stack([explain(game, budget, seed) for seed in range(seeds)])
        seconds = (time.perf_counter() - started) / seeds
        asked = (game.evaluations - before) / seeds
        error = float(((found - game.exact) ** 2).mean())
        records.append(Record(side, budget, error, asked, seconds))
    return records


def check_additive() -> dict[str, float]:
    """Largest error of each side on an additive game; stops if one is wrong by more than 1e-3."""
    game = additive(10)
    worst = {s: float(np.abs(f(game, 200, 0) - game.exact).max()) for s, f in SIDES.items()}
    wrong = {side: error for side, error in worst.items() if error > 1e-3}
    if wrong:
        raise sl.SightlineError(f"not exact on an additive game, so used wrongly here: {wrong}")
    return worst


def summarise(records: list[Record]) -> list[dict]:
    """One row a budget and side; ratios are paired by game (geometric mean of error / ours)."""
    rows = []
    for budget in sorted({r.budget for r in records}):
        own = np.array([r.squared_error for r in records if (r.side, r.budget) == ("ours", budget)])
        for side in SIDES:
            chosen = [r for r in records if (r.side, r.budget) == (side, budget)]
            errors = np.array([r.squared_error for r in chosen])
            log_ratio = bootstrap_mean(np.log(errors / own))
            rows.append(
                {
                    "budget": budget,
                    "side": side,
                    "games": len(chosen),
                    "squared_error": vars(bootstrap_mean(errors)),
                    "ratio_to_ours": {k: float(np.exp(v)) for k, v in vars(log_ratio).items()},
                    "ours_nearer": float((own < errors).mean()),
                    "evaluations": float(np.mean([r.evaluations for r in chosen])),
                    "own_ms": 1e3 * float(np.mean([r.seconds for r in chosen])),
                }
            )
    return rows


def main(given: argparse.Namespace) -> dict:
    model, machine = start(given)
    _need_peers()
    check = check_additive()
    games, model_ms = real_games(model, given)
    result = {
        "machine": machine,
        "seeds": given.seeds,
        "largest_error_on_additive_game": check,
        "model_ms_per_evaluation": model_ms,
        "drawings": play(games, given.budgets, given.seeds, "drawing"),
        "synthetic": play(
            [unanimity(given.parts, seed=s) for s in range(given.synthetic)],
            given.synthetic_budgets,
            given.seeds,
            "synthetic game",
        ),
    }
    if not given.json:
        report(result, given)
    return result


def real_games(model: object, given: argparse.Namespace) -> tuple[list[KnownGame], float]:
    """The first drawings of the shuffled test split with a fitting number of strokes."""
    fewest, most = given.strokes
    found = drawings(given.data, "test", seed=given.seed)
    fitting = [s for s in found if fewest <= len(s) <= most][: given.drawings]
    if not fitting:
        raise sl.DrawingError(f"no drawing of the test split has {fewest} to {most} strokes")
    say(f"asking the model about every coalition of {len(fitting)} drawings")
    pairs = [from_drawing(model, sketch, given.scale) for sketch in fitting]
    return [game for game, _ in pairs], 1e3 * float(np.mean([s for _, s in pairs]))


def play(games: list[KnownGame], budgets: list[int], seeds: int, kind: str) -> list[dict]:
    """All sides on all games, where the budget leaves something to estimate."""
    records = []
    for index, game in enumerate(games):
        say(f"{kind} {index + 1}/{len(games)}: {len(game.parts)} parts")
        for budget in budgets:
            if budget < 2 ** len(game.parts):
                records += measure(game, budget, seeds)
    return summarise(records)


def report(result: dict, given: argparse.Namespace) -> None:
    errors = ", ".join(
        f"{side} {error:.0e}" for side, error in result["largest_error_on_additive_game"].items()
    )
    print(f"{result['seeds']} seeds; {result['machine']}")
    print(f"largest error on an additive game: {errors}\n")
    fewest, most = given.strokes
    print(f"Drawings of {fewest} to {most} strokes; errors in squares of the {given.scale}\n")
    print(table(_HEADER, [_cells(row) for row in result["drawings"]]))
    print(f"\nThe model itself takes {result['model_ms_per_evaluation']:.2f} ms an evaluation.\n")
    print(f"Synthetic games of {given.parts} parts\n")
    print(table(_HEADER, [_cells(row) for row in result["synthetic"]]))


_HEADER = [
    "budget",
    "side",
    "games",
    "evaluations",
    "mean squared error [95 %]",
    "error / ours [95 %]",
    "ours nearer",
    "own ms an explanation",
]


def _cells(row: dict) -> list[object]:
    peer = row["side"] != "ours"
    return [
        row["budget"],
        row["side"],
        row["games"],
        f"{row['evaluations']:.0f}",
        "{estimate:.3g} [{low:.3g}, {high:.3g}]".format(**row["squared_error"]),
        "{estimate:.2f} [{low:.2f}, {high:.2f}]".format(**row["ratio_to_ours"]) if peer else "1",
        f"{row['ours_nearer']:.0%}" if peer else "",
        f"{row['own_ms']:.1f}",
    ]


def _need_peers() -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("captum.attr")
            importlib.import_module("shap")
    except ImportError as missing:
        raise sl.SightlineError(
            f"{missing.name} is not installed: pip install 'sightline[bench]', or make bench"
        ) from None


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """For shap, which draws from numpy's global state, which is put back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--drawings", type=int, default=40)
    parser.add_argument("--strokes", type=int, nargs=2, default=[9, 12], metavar=("FEWEST", "MOST"))
    parser.add_argument("--scale", default="logit", help="logit, log-probability or probability")
    parser.add_argument("--budgets", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--synthetic", type=int, default=10, help="synthetic games")
    parser.add_argument("--parts", type=int, default=40, help="of a synthetic game")
    parser.add_argument("--synthetic-budgets", type=int, nargs="+", default=[256, 512, 1024, 2048])
    run(main, parser)
