"""Drawings whose strokes are replaced by prototypes or by simple primitives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from sightline.analysis.accuracy import Change
from sightline.analysis.primitives import PRIMITIVES, Fitted, fit_primitives
from sightline.analysis.shapes import ShapeClusters, embed_strokes, stroke_shapes
from sightline.errors import SightlineError, unknown_name
from sightline.sketch.simplify import QUICKDRAW_EPSILON, QUICKDRAW_SIDE
from sightline.sketch.sketch import NORMAL_SIDE, Sketch

By = Literal["shape", "form"]
"""What is nearest: the model's shape embedding, or the points themselves."""


def by_prototypes(model: Any, clusters: ShapeClusters, *, scaled: bool = False) -> Change:
    """Replace each stroke by the prototype whose shape embedding is nearest to its own.

    Args:
        model: the one whose shapes were clustered.
        clusters: of `shape_clusters`.
        scaled: give the prototype the length of the stroke's box diagonal; otherwise it keeps its
            own size, which is part of the shape that the model sees.
    """

    def change(prepared: Sequence[Sketch]) -> list[Sketch]:
        shapes, _ = stroke_shapes(model, prepared)
        chosen = clusters.nearest_prototype(shapes)
        return _redrawn(prepared, [clusters.prototype(int(i)) for i in chosen], scaled)

    return change


def by_random_prototypes(clusters: ShapeClusters, seed: int, *, scaled: bool = False) -> Change:
    """Replace each stroke by any prototype: what the nearest one is to be compared with.

    Prototypes are drawn as often as their clusters have strokes.
    """

    def change(prepared: Sequence[Sketch]) -> list[Sketch]:
        luck = np.random.default_rng(seed)
        sizes = clusters.clusters.sizes
        count = sum(len(s) for s in prepared)
        chosen = luck.choice(len(sizes), size=count, p=sizes / sizes.sum())
        return _redrawn(prepared, [clusters.prototype(int(i)) for i in chosen], scaled)

    return change


def by_primitives(model: Any, *, nearest: By = "shape") -> Change:
    """Replace each stroke by one of the seven primitives, laid on it by least squares.

    Args:
        model: decides what is nearest, or at least how finely outlines are thinned.
        nearest: ``"shape"`` takes the primitive whose shape embedding is nearest to the stroke's;
            ``"form"`` the one that lies nearest, point by point, and the simplest of those within
            the tolerance at which the model's drawings are simplified.

    Raises:
        SightlineError: another word for ``nearest``.
    """
    if nearest not in ("shape", "form"):
        raise SightlineError(unknown_name("nearest", nearest, ["shape", "form"]))

    def change(prepared: Sequence[Sketch]) -> list[Sketch]:
        fitted = fit_primitives(_strokes(prepared), epsilon=_epsilon(model))
        chosen = chosen_primitives(model, prepared, fitted, nearest=nearest)
        return with_primitives(prepared, fitted, chosen)

    return change


def chosen_primitives(
    model: Any, prepared: Sequence[Sketch], fitted: Fitted, *, nearest: By = "shape"
) -> list[int]:
    """Which of `PRIMITIVES` stands for each stroke, as `by_primitives` chooses it."""
    if nearest == "form":
        return fitted.best((_epsilon(model) or QUICKDRAW_EPSILON) * NORMAL_SIDE / QUICKDRAW_SIDE)
    shapes, _ = stroke_shapes(model, prepared)
    away = [
        np.square(embed_strokes(model, [fitted.outline(i, k) for i in range(len(fitted))]) - shapes)
        for k in range(len(PRIMITIVES))
    ]
    return [int(i) for i in np.stack([square.sum(1) for square in away]).argmin(0)]


def with_primitives(
    prepared: Sequence[Sketch], fitted: Fitted, chosen: Sequence[int]
) -> list[Sketch]:
    """The drawings with these of `PRIMITIVES` for strokes, each starting where the old one did."""
    return _redrawn(prepared, [fitted.outline(i, k) for i, k in enumerate(chosen)], False)


def by_lines(prepared: Sequence[Sketch]) -> list[Sketch]:
    """Replace each stroke by the straight line from its first point to its farthest.

    The shortest description of a stroke: where it goes, and no shape.
    """
    return _redrawn(prepared, [_chord(stroke) for stroke in _strokes(prepared)], False)


def replacements(
    model: Any, clusters: ShapeClusters, fitted: Fitted, in_shape: Sequence[int], seed: int
) -> dict[str, Change | Sequence[Change]]:
    """The changes that `sightline analyse shapes` measures, by name; several are averaged.

    Args:
        model: whose drawings are changed.
        clusters: of its shapes.
        fitted: the primitives, laid on every stroke of the drawings.
        in_shape: which of them is nearest to each stroke in the model's embedding.
        seed: of the random prototypes.
    """

    def in_form(prepared: Sequence[Sketch]) -> list[Sketch]:
        nearest = chosen_primitives(model, prepared, fitted, nearest="form")
        return with_primitives(prepared, fitted, nearest)

    def at_random(scaled: bool) -> list[Change]:
        return [by_random_prototypes(clusters, seed + i, scaled=scaled) for i in range(3)]

    return {
        "nearest prototype": by_prototypes(model, clusters),
        "nearest prototype, scaled": by_prototypes(model, clusters, scaled=True),
        "nearest primitive in shape": lambda drawings: with_primitives(drawings, fitted, in_shape),
        "nearest primitive in form": in_form,
        "straight lines": by_lines,
        "random prototype": at_random(scaled=False),
        "random prototype, scaled": at_random(scaled=True),
    }


def _chord(stroke: np.ndarray) -> np.ndarray:
    farthest = np.square(stroke - stroke[0]).sum(1).argmax()
    return stroke[[0, farthest]]


def _redrawn(
    prepared: Sequence[Sketch], others: Sequence[np.ndarray], scaled: bool
) -> list[Sketch]:
    """The drawings with other strokes, each starting where the old one did."""
    new = iter(others)
    return [
        sketch.with_points(_placed(next(new), stroke, scaled) for stroke in sketch.strokes)
        for sketch in prepared
    ]


def _placed(other: np.ndarray, stroke: np.ndarray, scaled: bool) -> np.ndarray:
    scale = _diagonal(stroke) / (_diagonal(other) or 1.0) if scaled else 1.0
    return (other - other[0]) * scale + stroke[0]


def _diagonal(stroke: np.ndarray) -> float:
    return float(np.linalg.norm(np.ptp(stroke, axis=0)))


def _strokes(prepared: Sequence[Sketch]) -> list[np.ndarray]:
    return [stroke for sketch in prepared for stroke in sketch.strokes]


def _epsilon(model: Any) -> float | None:
    config = getattr(model, "config", model)
    return getattr(config, "epsilon", None)
