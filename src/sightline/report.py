"""One self-contained HTML page: what was seen in drawings and photos, why, and if that is true."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.explanation import Explanation
from sightline.game import Game
from sightline.image.photo import Photo
from sightline.inversion import Trajectory, transfer
from sightline.inversion.pictures import snapshots_figure
from sightline.methods import explain
from sightline.methods.shapley import MOST_PARTS
from sightline.metrics import Agreement, Curve, agreement, deletion, insertion
from sightline.metrics.photo_flipping import photo_flipping
from sightline.metrics.pixel_flipping import FlipCurve
from sightline.models.detector import Detector
from sightline.models.protocol import SketchModel
from sightline.models.recognise import Answer, recognise
from sightline.page import write_page
from sightline.parts import GridCells, Points, Strokes, Superpixels
from sightline.picture import as_svg, boxes_figure, curves_figure, figure_svg
from sightline.sketch.sketch import Sketch
from sightline.targets import BoxScores, ClassScore, boxes_in

COMPARED = ("kernel_shap", "occlusion", "sla", "integrated_gradients", "random")
KERNEL_BUDGET = 512
BOX_BUDGET = 1500
GRID = 24


@dataclass(frozen=True, eq=False)
class Measured:
    """An explanation with its tests."""

    why: Explanation
    deletion: Curve
    insertion: Curve
    agreement: Agreement


@dataclass(frozen=True, eq=False)
class Case:
    """One drawing of a report: the answer, the main explanation first among all, the points.

    ``walk`` moves its strokes until the runner-up is the answer.
    """

    sketch: Sketch
    answers: list[Answer]
    measured: list[Measured]
    points: Explanation
    walk: Trajectory | None

    @property
    def main(self) -> Measured:
        """What the report shows large: exact Shapley values, or Kernel SHAP beyond 16 strokes."""
        return self.measured[0]


def examine(model: SketchModel, sketch: Sketch, *, seed: int = 0) -> Case:
    """Recognise a drawing, explain it by every method, and measure each explanation.

    Explained and measured is the log-probability of the recognised label.
    """
    target = ClassScore(scale="log-probability")
    game = Game(model, Strokes(sketch), target)
    main = "shapley" if len(sketch) <= MOST_PARTS else "kernel_shap"
    names = [main, *(name for name in COMPARED if name != main)]
    whys = [explain(game, name, budget=_budget(name), seed=seed) for name in names]
    measured = [
        Measured(w, deletion(game, w), insertion(game, w), agreement(w, whys[0])) for w in whys
    ]
    points = explain(Game(model, Points(model.prepare(sketch)), target), "p_sla")
    answers = recognise(model, sketch)
    walk = transfer(model, [sketch], answers[1].label)[0] if len(answers) > 1 else None
    return Case(sketch, answers, measured, points, walk)


@dataclass(frozen=True, eq=False)
class PhotoCase:
    """One photo of a report: all its boxes, explained by several methods and measured.

    ``deletions`` has a curve for each method and box.
    """

    photo: Photo
    whys: list[Explanation]
    deletions: list[list[FlipCurve]]


def examine_boxes(detector: Detector, photo: Photo, *, seed: int = 0) -> PhotoCase:
    """Explain every box that a detector finds in a photo, and measure each explanation.

    Raises:
        GameError: nothing is found.
    """
    found = boxes_in(detector, photo)
    game = Game(detector, Superpixels(photo), BoxScores(found))
    cells = Game(detector, GridCells(photo, GRID, GRID), BoxScores(found))
    shap = explain(game, "kernel_shap", budget=BOX_BUDGET, seed=seed)
    whys = [shap, explain(cells, "x_grad_cam"), explain(cells, "random", seed=seed)]
    deletions = [
        [photo_flipping(game, why, target=t, seed=seed) for t in range(len(found))] for why in whys
    ]
    return PhotoCase(photo, whys, deletions)


def _budget(name: str) -> int | None:
    return KERNEL_BUDGET if name == "kernel_shap" else None


def write_report(
    path: str | os.PathLike[str],
    cases: Sequence[Case],
    *,
    photos: Sequence[PhotoCase] = (),
    title: str = "sightline",
) -> None:
    """Write the page; it needs no other file and no network."""
    cards = [*(_card(case) for case in cases), *(_photo_card(p) for p in photos)]
    write_page(path, title, cards, about=_ABOUT)


def verdict(case: Case) -> str:
    """In words: what the drawing was taken for, what speaks for it, and whether that holds."""
    why, first = case.main.why, case.answers[0]
    names = why.parts.names
    ranking = why.ranking()
    text = f"Recognised as {first.label} ({first.probability:.1%}). "
    text += f"What speaks for it most is {names[ranking[0]]} ({why.scores[0, ranking[0]]:+.2f}"
    text += f" {why.unit})"
    weakest = ranking[-1]
    if why.scores[0, weakest] < 0:
        text += f"; {names[weakest]} speaks against it ({why.scores[0, weakest]:+.2f})"
    gain = case.main.deletion.gain
    if len(names) == 1:
        return text + ". There is only one stroke, so no order to test."
    held = "falls faster than" if gain > 0 else "does not fall faster than"
    return text + (
        f". Taking strokes away in this order, the score {held} in random orders "
        f"(mean {case.main.deletion.auc:.2f} against {case.main.deletion.random_auc:.2f})."
    )


def _card(case: Case) -> str:
    name = html.escape(case.sketch.name or "drawing")
    others = ", ".join(f"{html.escape(a.label)} {a.probability:.1%}" for a in case.answers[1:4])
    main = case.main
    curves = curves_figure(
        {
            "deletion: lower is better": (main.deletion.values, main.deletion.random),
            "insertion: higher is better": (main.insertion.values, main.insertion.random),
        },
        main.deletion.unit,
    )
    rows = "\n".join(_row(m) for m in case.measured)
    return _CARD.format(
        name=name,
        verdict=html.escape(verdict(case)),
        others=others,
        strokes=as_svg(main.why),
        points=as_svg(case.points),
        curves=figure_svg(curves),
        reference=main.why.made.method,
        rows=rows,
        walk=_walk(case.walk),
    )


def _photo_card(case: PhotoCase) -> str:
    first = case.whys[0]
    rows = [
        f"<tr><td>{html.escape(target)}</td>"
        + "".join(f"<td>{curves[row].normalised_auc or 0:.2f}</td>" for curves in case.deletions)
        + "</tr>"
        for row, target in enumerate(first.targets)
    ]
    names = "".join(f"<th>{why.made.method}</th>" for why in case.whys)
    return _PHOTO_CARD.format(
        name=html.escape(case.photo.name or "photo"),
        verdict=html.escape(boxes_verdict(case)),
        pictures="\n".join(figure_svg(boxes_figure(why, columns=3)) for why in case.whys[:2]),
        method=first.made.method,
        names=names,
        rows="\n".join(rows),
    )


def boxes_verdict(case: PhotoCase) -> str:
    """In words: what was found, and whether its explanation holds."""
    first = case.whys[0]
    boxes = ", ".join(
        f"{name} ({value:.2f})" for name, value in zip(first.targets, first.value, strict=True)
    )
    mean = [float(np.mean([c.normalised_auc or 0 for c in curves])) for curves in case.deletions]
    text = (
        f"Found {boxes}. {first.made.evaluations} masked pictures explain all of them "
        f"({first.made.method}). Taking away what it names first, the mean score along the way is "
        f"{mean[0]:.2f} of the whole"
    )
    return text + f"; in random order {mean[-1]:.2f}."


def _walk(walk: Trajectory | None) -> str:
    if walk is None:
        return ""
    picture = figure_svg(snapshots_figure(walk, steps=(0, 1, 3, 10, 100)))
    return _WALK.format(target=html.escape(walk.target), picture=picture)


def _row(measured: Measured) -> str:
    why, agree = measured.why, measured.agreement
    rank = "–" if agree.spearman != agree.spearman else f"{agree.spearman:+.2f}"
    cells = [
        why.made.method,
        f"{measured.deletion.auc:.2f}",
        f"{measured.insertion.auc:.2f}",
        rank,
        "yes" if agree.top1 else "no",
        str(why.made.evaluations),
        f"{why.made.seconds:.2f}",
    ]
    return "<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"


_ABOUT = """<p class="quiet">What is vermilion speaks for the answer, what is blue against it. The
numbers on a drawing are ranks, its scores log-probabilities of the recognised label; those of a box
are probabilities of its label at its place.</p>"""

_CARD = """<section><h2>{name}</h2>
<p>{verdict} <span class="quiet">Next: {others}.</span></p>
{strokes}
{curves}
<details><summary>Points: where the score changes most as the line moves</summary>{points}</details>
<details open><summary>All methods on the same game</summary>
<table><tr><th>method</th><th>deletion ↓</th><th>insertion ↑</th><th>rank agreement with
{reference}</th><th>same first</th><th>evaluations</th><th>seconds</th></tr>
{rows}</table></details>
{walk}</section>"""

_PHOTO_CARD = """<section><h2>{name}</h2>
<p>{verdict}</p>
{pictures}
<p class="quiet">Above {method}, below x_grad_cam; each box has its own scale.</p>
<details open><summary>Deletion: mean score as pixels go, as a share of the whole photo's; lower is
better</summary><table><tr><th>box</th>{names}</tr>
{rows}</table></details>
</section>"""

_WALK = """<details><summary>Where its strokes would have to stand to be a {target}</summary>
{picture}</details>"""
