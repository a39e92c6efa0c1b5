"""Seven simple primitives, and the one that each stroke is most like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from sightline.errors import DrawingError
from sightline.sketch.simplify import QUICKDRAW_SIDE, rdp_keep
from sightline.sketch.sketch import NORMAL_SIDE

STEPS = 48
"""Equal steps along a stroke at which it is compared with a primitive."""

DENSE = 96
"""Steps of a primitive as it is drawn, before thinning."""

STRETCHES = (1 / 4, 1 / 2, 1.0, 2.0, 4.0)
"""Proportions that are tried; a linear map gives the rest."""

ROWS = 1000
"""Strokes fitted at once."""

_TURN = np.linspace(0, 2 * np.pi, DENSE + 1)

OUTLINES: dict[str, Float[np.ndarray, "_ 2"]] = {
    "line": np.array([(0.0, 0.0), (1.0, 0.0)]),
    "corner": np.array([(0.0, 1.0), (0.0, 0.0), (1.0, 0.0)]),
    "half circle": np.stack([np.cos(_TURN / 2), np.sin(_TURN / 2)], 1),
    "U": np.array([(0.0, 1.0), (0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]),
    "triangle": np.array([(0.0, 0.0), (1.0, 0.0), (0.5, 0.75**0.5), (0.0, 0.0)]),
    "square": np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)]),
    "circle": np.stack([np.cos(_TURN), np.sin(_TURN)], 1),
}
"""The seven of Alaniz et al., simplest first."""

PRIMITIVES = tuple(OUTLINES)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Each primitive laid on each stroke as well as it will go.

    Args:
        error: root mean square distance between the two, step by step.
        variant: the proportion and beginning of each primitive that lie nearest.
        linear, shift: the affine map that lays it there.
        epsilon: tolerance of the thinning; None for none.
    """

    error: Float[np.ndarray, "strokes 7"]
    variant: Int[np.ndarray, "strokes 7"]
    linear: Float[np.ndarray, "strokes 7 2 2"]
    shift: Float[np.ndarray, "strokes 7 2"]
    epsilon: float | None

    def __len__(self) -> int:
        """Number of strokes."""
        return len(self.error)

    def outline(self, stroke: int, primitive: int) -> Float[np.ndarray, "_ 2"]:
        """A primitive where it lies on a stroke."""
        points = _variants().dense[self.variant[stroke, primitive]]
        laid = points @ self.linear[stroke, primitive] + self.shift[stroke, primitive]
        return _thin(laid, self.epsilon)

    def best(self, tolerance: float = 0.0) -> list[int]:
        """For each stroke the simplest primitive within ``tolerance`` of the least error."""
        return [int(i) for i in (self.error <= self.error.min(1)[:, None] + tolerance).argmax(1)]


def fit_primitives(
    strokes: Sequence[Float[np.ndarray, "_ 2"]], *, epsilon: float | None = 2.0
) -> Fitted:
    """Lay each of the seven primitives on each stroke by least squares.

    Both are walked in equal steps; the primitive may be moved, turned, mirrored, scaled along two
    directions and sheared (an affine map), and a closed one may begin anywhere.

    Args:
        strokes: in the normalised scale.
        epsilon: tolerance of the thinning of outlines, in units of 1/255 of the drawing, as
            `sightline.simplify` counts; None leaves them dense.

    Raises:
        DrawingError: no strokes.

    Example:
        >>> elbow = np.array([[0.0, 0.0], [0.3, 0.0], [0.3, 0.3]])
        >>> fitted = fit_primitives([elbow])
        >>> PRIMITIVES[fitted.best(1e-6)[0]]
        'corner'
        >>> bool(np.allclose(fitted.outline(0, 1), elbow))
        True

    Source:
        The seven primitives, and affine maps of them, are those of Alaniz et al., Abstracting
        Sketches through Simple Primitives, ECCV 2022, who let a network match them. Differs: the
        map is solved for, and we take no dot.
    """
    if not len(strokes):
        raise DrawingError("no strokes to lay primitives on")
    walked = np.stack([_walk(stroke, STEPS) for stroke in strokes])
    pieces = [_fit(walked[start : start + ROWS]) for start in range(0, len(walked), ROWS)]
    error, variant, linear, shift = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return Fitted(error, variant, linear, shift, epsilon)


@dataclass(frozen=True, eq=False)
class _Variants:
    """Primitives in several proportions and with several beginnings.

    ``inverse`` solves least squares for the affine map; ``basis`` spans, orthonormally, what such
    maps reach. Both are of the centred ``walked``.
    """

    dense: Float[np.ndarray, "variants _ 2"]
    walked: Float[np.ndarray, "variants steps 2"]
    primitive: Int[np.ndarray, " variants"]
    inverse: Float[np.ndarray, "variants 2 steps"]
    basis: Float[np.ndarray, "variants steps 2"]


@cache
def _variants() -> _Variants:
    found = [
        (dense, index)
        for index, outline in enumerate(OUTLINES.values())
        for stretch in ((1.0,) if index == 0 else STRETCHES)
        for dense in _beginnings(_walk(outline * (stretch, 1.0), DENSE))
    ]
    dense = np.stack([points for points, _ in found])
    walked = dense[:, :: DENSE // STEPS]
    centred = walked - walked.mean(1, keepdims=True)
    basis, size, _ = np.linalg.svd(centred, full_matrices=False)
    basis = basis * (size > 1e-9 * size[:, :1])[:, None]  # a line spans one direction, not two
    inverse = np.linalg.pinv(centred, rcond=1e-9)
    return _Variants(dense, walked, np.array([index for _, index in found]), inverse, basis)


def _beginnings(outline: np.ndarray) -> list[np.ndarray]:
    if not np.allclose(outline[0], outline[-1]):
        return [outline]
    rolled = [np.roll(outline[:-1], -start, axis=0) for start in range(0, DENSE, DENSE // 24)]
    return [np.concatenate([points, points[:1]]) for points in rolled]


def _fit(walked: Float[np.ndarray, "strokes steps 2"]) -> tuple[np.ndarray, ...]:
    variants = _variants()
    middle = walked.mean(1)
    centred = walked - middle[:, None]
    # what an affine map of a variant reaches of a stroke is the stroke's projection on its basis
    flat = variants.basis.transpose(1, 0, 2).reshape(walked.shape[1], -1)
    reached = np.square(centred.transpose(0, 2, 1).reshape(-1, walked.shape[1]) @ flat)
    reached = reached.reshape(len(walked), 2, -1, 2).sum((1, 3))
    left = np.maximum(np.square(centred).sum((1, 2))[:, None] - reached, 0)
    chosen = np.stack([_least(left, variants.primitive == k) for k in range(len(PRIMITIVES))], 1)
    error = np.sqrt(np.take_along_axis(left, chosen, 1) / walked.shape[1])
    linear = variants.inverse[chosen] @ centred[:, None]
    own = variants.walked[chosen].mean(2)
    return error, chosen, linear, middle[:, None] - (own[:, :, None] @ linear)[:, :, 0]


def _least(left: np.ndarray, among: np.ndarray) -> np.ndarray:
    return np.flatnonzero(among)[left[:, among].argmin(1)]


def _walk(points: np.ndarray, steps: int) -> np.ndarray:
    """Points at ``steps`` equal steps along a polyline, both ends included."""
    length = np.sqrt(np.square(np.diff(points, axis=0)).sum(1))
    along = np.concatenate([[0.0], length.cumsum()])
    wanted = np.linspace(0, along[-1], steps + 1)
    return np.stack([np.interp(wanted, along, points[:, axis]) for axis in (0, 1)], 1)


def _thin(points: np.ndarray, epsilon: float | None) -> np.ndarray:
    if epsilon is None:
        return points
    return points[rdp_keep(points, epsilon * NORMAL_SIDE / QUICKDRAW_SIDE)]
