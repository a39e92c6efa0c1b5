"""Claim: scores follow the rankings of these methods better than random ones, on real drawings.

Every drawing of the test split is explained for the label that the model gives it, and the same
game measures the explanation: deletion AUC (strokes taken away, the most important first; lower
is better) and insertion AUC (put in; higher is better), each against the mean of 32 random
orders. ``shapley`` is exact up to 12 strokes and Kernel SHAP with 4,096 evaluations beyond (those
drawings are counted); agreement with it is taken where it is exact. A drawing of one stroke ranks
nothing: it is left out and counted.

The curves read what the exact values have already asked; seconds and evaluations are those of
each method on its own, after the drawing is bound to the model. With --out each drawing is a line
of JSON, written as soon as it is done; the same command continues a run that was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import sightline as sl
from material import arguments, drawings, run, say, start, table

MOST_EXACT = 12
BEYOND_EXACT = 4096
SAMPLED = 256


def yardstick(game: sl.Game, seed: int) -> sl.Explanation:
    """Exact where that is affordable, else sampled with a large budget."""
    if len(game.parts) <= MOST_EXACT:
        return sl.shapley(game)
    return sl.kernel_shap(game, budget=BEYOND_EXACT, seed=seed)


METHODS: dict[str, Callable[[sl.Game, int], sl.Explanation]] = {
    "shapley": yardstick,
    "kernel_shap": lambda game, seed: sl.kernel_shap(game, budget=SAMPLED, seed=seed),
    "sla": lambda game, seed: sl.sla(game),
    "integrated_gradients": lambda game, seed: sl.integrated_gradients(game),
    "occlusion": lambda game, seed: sl.occlusion(game),
    "random": lambda game, seed: sl.random(game, seed=seed),
}


class Remembered:
    """A game that asks the model about each coalition once; it stands where a game stands."""

    def __init__(self, game: sl.Game) -> None:
        self._game = game
        self._known: dict[bytes, Tensor] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._game, name)

    def __call__(self, presence: Float[Tensor, "rows parts"]) -> Float[Tensor, "rows targets"]:
        """Values, asked or remembered."""
        keys = [row.tobytes() for row in presence.to(torch.uint8).numpy()]
        new = {key: row for key, row in zip(keys, presence, strict=True) if key not in self._known}
        if new:
            values = self._game(torch.stack(list(new.values())))
            self._known |= dict(zip(new, values, strict=True))
        return torch.stack([self._known[key] for key in keys])


def measure(model: object, sketch: sl.Sketch, *, scale: str, seed: int) -> dict:
    """All methods on one drawing."""
    game = sl.Game(model, sl.Strokes(sketch), sl.ClassScore(scale=scale))
    _ = game.fingerprint  # hashed once for all methods, so that none is charged for it
    luck = zlib.crc32(f"{seed}/{sketch.name}".encode())
    remembered = Remembered(game)
    reference = METHODS["shapley"](remembered, luck)
    exact = len(sketch) <= MOST_EXACT
    explanations = {"shapley": reference} | {
        name: explain(game, luck) for name, explain in METHODS.items() if name != "shapley"
    }
    scores = {}
    for name, why in explanations.items():
        near = sl.agreement(why, reference)
        scores[name] = curves(remembered, why, seed=luck + 1) | {
            "evaluations": why.made.evaluations,
            "seconds": why.made.seconds,
            "spearman": near.spearman if exact and np.isfinite(near.spearman) else None,
            "top1": near.top1 if exact else None,
        }
    return {
        "name": sketch.name,
        "label": sketch.label,
        "predicted": game.targets[0],
        "strokes": len(sketch),
        "exact": exact,
        "methods": scores,
    }


def curves(game: Remembered, why: sl.Explanation, *, seed: int) -> dict[str, float]:
    """Areas of deletion and insertion, and those of random orders."""
    deletion = sl.deletion(game, why, seed=seed)
    insertion = sl.insertion(game, why, seed=seed)
    return {
        "deletion": deletion.auc,
        "deletion_random": deletion.random_auc,
        "insertion": insertion.auc,
        "insertion_random": insertion.random_auc,
    }


class Journal:
    """Finished drawings, one line each after a line of settings; in memory only without a path.

    Raises:
        SightlineError: the file holds a run of other settings.
    """

    def __init__(self, path: Path | None, settings: dict) -> None:
        self.records: list[dict] = []
        self._path = path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path)
        if lines and lines[0] != settings:
            raise sl.SightlineError(
                f"{path} holds a run of other settings ({lines[0]}); give another --out, or "
                "remove it"
            )
        self.records = lines[1:]
        path.write_text("".join(json.dumps(x) + "\n" for x in [settings, *self.records]))

    def add(self, record: dict) -> None:
        """Keep one drawing."""
        self.records.append(record)
        if self._path is not None:
            with self._path.open("a") as stream:
                stream.write(json.dumps(record) + "\n")


def _whole_lines(path: Path) -> list[dict]:
    """What a run has written; the last line may be torn where it was killed."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def main(given: argparse.Namespace) -> dict:
    model, machine = start(given)
    every = drawings(given.data, "test", seed=given.seed)[: given.first]
    several = [s for s in every if len(s) > 1]
    journal = Journal(given.out, _settings(given, model, several[0]))
    fill(journal, model, several, given)
    wanted = {s.name for s in several}
    records = [r for r in journal.records if r["name"] in wanted]
    result = {
        "machine": machine,
        "scale": given.scale,
        "drawings": len(records),
        "one_stroke": len(every) - len(several),
        "beyond_exact": sum(not r["exact"] for r in records),
        "right": sum(r["label"] == r["predicted"] for r in records),
        "all": summarise(records),
        "sampled": summarise([r for r in records if 2 ** r["strokes"] > SAMPLED]),
    }
    if not given.json:
        report(result)
    return result


def fill(
    journal: Journal, model: object, sketches: list[sl.Sketch], given: argparse.Namespace
) -> None:
    """Measure what the journal lacks, and say how long that will take."""
    done = {record["name"] for record in journal.records}
    left = [s for s in sketches if s.name not in done]
    # the slow ones have many strokes, so time is foretold by coalitions, not by drawings
    cost = np.cumsum([_cost(len(s)) for s in left])
    started = said = time.monotonic()
    for index, sketch in enumerate(left):
        journal.add(measure(model, sketch, scale=given.scale, seed=given.seed))
        now = time.monotonic()
        if now - said > 5 or index + 1 == len(left):
            to_come = (now - started) * (cost[-1] / cost[index] - 1)
            count = len(done) + index + 1
            say(f"{count}/{len(sketches)} drawings, about {to_come / 60:.1f} min left")
            said = now


def _cost(strokes: int) -> int:
    """Evaluations of all methods together, roughly."""
    reference = 2**strokes if strokes <= MOST_EXACT else BEYOND_EXACT + 64 * strokes
    return reference + min(2**strokes, SAMPLED) + 100


def _settings(given: argparse.Namespace, model: object, sketch: sl.Sketch) -> dict:
    fingerprint = sl.Game(model, sl.Strokes(sketch)).fingerprint
    budgets = [MOST_EXACT, BEYOND_EXACT, SAMPLED]
    return {"model": fingerprint, "scale": given.scale, "seed": given.seed, "budgets": budgets}


def summarise(records: list[dict]) -> list[dict]:
    """One row a method."""
    return [_row(name, records) for name in METHODS] if records else []


def _row(name: str, records: list[dict]) -> dict:
    columns = [record["methods"][name] for record in records]
    row: dict[str, object] = {"method": name, "drawings": len(records)}
    for metric, sign in (("deletion", -1), ("insertion", 1)):
        area = np.array([c[metric] for c in columns])
        luck = np.array([c[f"{metric}_random"] for c in columns])
        best = np.array([record["methods"]["shapley"][metric] for record in records])
        row[metric] = vars(sl.bootstrap_mean(area))
        row[f"{metric}_gain"] = _compared(sign * area, sign * luck)
        row[f"{metric}_against_shapley"] = _compared(sign * area, sign * best)
    rank = [c["spearman"] for c in columns if c["spearman"] is not None]
    first = [c["top1"] for c in columns if c["top1"] is not None]
    row["spearman"] = vars(sl.bootstrap_mean(rank)) if rank else None
    row["top1"] = vars(sl.wilson(sum(first), len(first))) if first else None
    row["evaluations"] = float(np.mean([c["evaluations"] for c in columns]))
    row["seconds"] = float(np.mean([c["seconds"] for c in columns]))
    return row


def _compared(a: np.ndarray, b: np.ndarray) -> dict:
    """Mean of a - b, its interval and p value; positive is better for a."""
    found = sl.paired(a, b)
    return vars(found.difference) | {"p_value": found.p_value}


def report(result: dict) -> None:
    count = result["drawings"]
    print(
        f"{count} drawings, {result['right'] / count:.1%} of them recognised; "
        f"{result['one_stroke']} of one stroke left out; {result['beyond_exact']} of more than "
        f"{MOST_EXACT} strokes, for which shapley is kernel_shap with {BEYOND_EXACT} evaluations. "
        f"Scale: {result['scale']}; means with 95 % intervals. {result['machine']}.\n"
    )
    print_tables(result["all"])
    if result["sampled"]:
        count = result["sampled"][0]["drawings"]
        print(f"\nThe {count} drawings with more coalitions than kernel_shap's {SAMPLED}.\n")
        print_tables(result["sampled"])


def print_tables(rows: list[dict]) -> None:
    """The areas and the cost of each method; then how they compare, drawing by drawing."""
    print(table(_AREAS, [_areas(row) for row in rows]))
    print("\nPaired by drawing, + is better; p where the difference is within chance.\n")
    print(table(_COMPARED, [_compared_cells(row) for row in rows]))


_AREAS = [
    "method",
    "deletion AUC, lower is better",
    "insertion AUC, higher is better",
    "Spearman with exact",
    "same first stroke",
    "evaluations",
    "s a drawing",
]
_COMPARED = [
    "method",
    "deletion, than random orders",
    "insertion, than random orders",
    "deletion, than shapley",
    "insertion, than shapley",
]


def _areas(row: dict) -> list[str]:
    own = row["method"] == "shapley"
    agreement = ["", ""] if own else [_shown(row["spearman"]), _shown(row["top1"])]
    areas = [_shown(row["deletion"]), _shown(row["insertion"])]
    return [_name(row), *areas, *agreement, f"{row['evaluations']:.0f}", f"{row['seconds']:.3f}"]


def _compared_cells(row: dict) -> list[str]:
    chance = [_difference(row[f"{metric}_gain"]) for metric in ("deletion", "insertion")]
    best = [_difference(row[f"{metric}_against_shapley"]) for metric in ("deletion", "insertion")]
    return [_name(row), *chance, *(["", ""] if row["method"] == "shapley" else best)]


def _name(row: dict) -> str:
    return f"kernel_shap({SAMPLED})" if row["method"] == "kernel_shap" else row["method"]


def _shown(interval: dict | None) -> str:
    if interval is None:
        return "no exact values"
    return "{estimate:.3f} [{low:.3f}, {high:.3f}]".format(**interval)


def _difference(compared: dict) -> str:
    text = "{estimate:+.3f} [{low:+.3f}, {high:+.3f}]".format(**compared)
    return text if compared["p_value"] < 0.05 else f"{text}, p {compared['p_value']:.2f}"


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--first", type=int, help="drawings of the shuffled split; all by default")
    parser.add_argument(
        "--scale", default="probability", help="logit, log-probability or probability"
    )
    parser.add_argument("--out", type=Path, help="JSON lines, continued if there")
    run(main, parser)
