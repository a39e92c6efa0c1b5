"""Clusters of stroke shapes, as a recogniser embeds them, and a real stroke for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from sightline.analysis.clusters import Clusters, kmeans, nearest
from sightline.errors import DrawingError, ModelError
from sightline.metrics.intervals import Interval
from sightline.models.as_found import as_found
from sightline.models.place import batch_for
from sightline.models.protocol import StrokeModel
from sightline.sketch.sketch import Sketch

BATCH = 2000
"""Strokes embedded at once."""

Stroke = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True, eq=False)
class ShapeClusters:
    """Strokes that a model takes for the same shape.

    Args:
        strokes: those that were clustered, each in its own frame: it starts at (0, 0), in the
            scale of its normalised drawing.
        shapes: their embeddings.
        drawing: the drawing that each comes from, counted from 0.
        labels: what that drawing shows, with the stroke's part where it is named.
        clusters: centres and members.
        prototypes: for each cluster the stroke nearest to its centre: one that somebody drew.
    """

    strokes: tuple[np.ndarray, ...]
    shapes: Float[np.ndarray, "strokes hidden"]
    drawing: Int[np.ndarray, " strokes"]
    labels: tuple[str, ...]
    clusters: Clusters
    prototypes: Int[np.ndarray, " clusters"]

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.prototypes)

    @cached_property
    def by_size(self) -> list[int]:
        """The clusters, largest first."""
        return [int(i) for i in np.argsort(-self.clusters.sizes, kind="stable")]

    def prototype(self, cluster: int) -> np.ndarray:
        """The stroke that stands for a cluster, starting at (0, 0)."""
        return self.strokes[self.prototypes[cluster]]

    def members(self, cluster: int) -> list[int]:
        """Strokes of a cluster, nearest to its centre first."""
        inside = np.flatnonzero(self.clusters.assigned == cluster)
        return [int(i) for i in inside[np.argsort(self.clusters.distance[inside], kind="stable")]]

    def most_common(self, cluster: int) -> tuple[str, float]:
        """The most common label of a cluster's strokes, and its share of them."""
        names, counts = np.unique(
            [self.labels[i] for i in self.members(cluster)], return_counts=True
        )
        return str(names[counts.argmax()]), float(counts.max() / counts.sum())

    def nearest_prototype(self, shapes: Float[np.ndarray, "new hidden"]) -> Int[np.ndarray, " new"]:
        """The cluster whose prototype is nearest to each embedding."""
        return nearest(shapes, self.shapes[self.prototypes])[0]

    def explained(
        self,
        shapes: Float[np.ndarray, "new hidden"],
        drawing: Int[np.ndarray, " new"],
        *,
        seed: int = 0,
        draws: int = 2000,
    ) -> Interval:
        """Share of the inertia of other strokes that the centres take away.

        The interval is a percentile bootstrap over drawings, whose strokes are not independent.
        """
        own = nearest(shapes, self.clusters.centres)[1]
        total = ((shapes - shapes.mean(0)) ** 2).sum(1)
        per = [np.bincount(drawing, weights=w) for w in (own, total)]
        return _ratio_left(per[0], per[1], seed, draws)


def shape_clusters(
    model: Any,
    sketches: Sequence[Sketch],
    *,
    count: int = 100,
    strokes: int = 20_000,
    seed: int = 0,
    restarts: int = 2,
) -> ShapeClusters:
    """Cluster the shape embeddings of many strokes.

    Whole drawings are taken in a random order until they hold ``strokes`` strokes.

    Args:
        model: a SketchXAINet, or any model whose ``embed`` gives shapes of strokes.
        sketches: as they were drawn; `model.prepare` is applied.
        count: number of clusters.
        strokes: how many to cluster, roughly; all where there are fewer.
        seed: of the choice of drawings and of the first centres.
        restarts: of `kmeans`.

    Raises:
        ModelError: the model embeds no shapes, or was trained without them.
        DrawingError: no drawings.
        SightlineError: fewer different strokes than clusters.

    Source:
        Qu et al., SketchXAI, CVPR 2023, shows strokes that share a cluster id. How they clustered
        is not printed; the k-means, its count and the prototypes are ours.
    """
    if not len(sketches):
        raise DrawingError("no drawings: there is no stroke to cluster")
    prepared = [model.prepare(s) for s in _sample(sketches, strokes, seed)]
    shapes, drawing = stroke_shapes(model, prepared)
    clusters = kmeans(shapes, count, seed=seed, restarts=restarts)
    return ShapeClusters(
        tuple(stroke - stroke[0] for sketch in prepared for stroke in sketch.strokes),
        shapes,
        drawing,
        tuple(name for sketch in prepared for name in _names(sketch)),
        clusters,
        nearest(clusters.centres, shapes)[0],
    )


def stroke_shapes(
    model: Any, prepared: Sequence[Sketch]
) -> tuple[Float[np.ndarray, "strokes hidden"], Int[np.ndarray, " strokes"]]:
    """Shape embeddings of all strokes, float64, and the drawing that each belongs to.

    Args:
        model: a SketchXAINet, or any model whose ``embed`` gives shapes of strokes.
        prepared: drawings as `model.prepare` returns them.
    """
    strokes = [stroke for sketch in prepared for stroke in sketch.strokes]
    owner = np.repeat(np.arange(len(prepared)), [len(s) for s in prepared])
    return embed_strokes(model, strokes), owner


def embed_strokes(model: Any, strokes: Sequence[Stroke]) -> Float[np.ndarray, "strokes hidden"]:
    """Shape embeddings of strokes in the normalised scale; where they stand plays no part."""
    model = shape_model(model)
    pieces = []
    with as_found(model), torch.no_grad():
        for start in range(0, len(strokes), BATCH):
            # one stroke a drawing: no order table can be too short
            alone = [Sketch((s,)) for s in strokes[start : start + BATCH]]
            pieces.append(model.embed(batch_for(model, alone)).shape.double().cpu().numpy())
    if not pieces:
        raise DrawingError("no strokes to embed")
    return np.concatenate(pieces)


def shape_model(model: Any) -> StrokeModel:
    """The model, if it embeds shapes of strokes.

    Raises:
        ModelError: it reads pictures, or was trained without shapes.
    """
    if not isinstance(model, StrokeModel):
        raise ModelError(
            f"{type(model).__name__} embeds no shapes of strokes; give a model that reads strokes, "
            "such as sl.load('sketchxainet-tiny')"
        )
    if not getattr(getattr(model, "config", None), "use_shape", True):
        raise ModelError(
            "this SketchXAINet was trained without shape (use_shape=False): its shape embedding "
            "was never used; give a model trained with it"
        )
    return model


def _sample(sketches: Sequence[Sketch], strokes: int, seed: int) -> list[Sketch]:
    if strokes < 1:
        raise DrawingError(f"{strokes} strokes to cluster: ask for at least 1")
    order = np.random.default_rng(seed).permutation(len(sketches))
    before = np.cumsum([0, *(len(sketches[i]) for i in order[:-1])])
    return [sketches[i] for i in order[before < strokes]]


def _names(sketch: Sketch) -> list[str]:
    label = sketch.label or "(no label)"
    if sketch.parts is None:
        return [label] * len(sketch)
    return [f"{label}: {part}" for part in sketch.parts]


def _ratio_left(own: np.ndarray, total: np.ndarray, seed: int, draws: int) -> Interval:
    """1 - sum(own) / sum(total), drawings resampled."""
    luck, count = np.random.default_rng(seed), len(own)
    times = luck.multinomial(count, np.full(count, 1 / count), size=draws)
    low, high = np.percentile(1 - (times @ own) / (times @ total), [2.5, 97.5])
    return Interval(float(1 - own.sum() / total.sum()), float(low), float(high))
