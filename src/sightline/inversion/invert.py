"""Stroke location inversion: where would the strokes have to stand for another answer?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.inversion.descent import Descent, movable
from sightline.inversion.trajectory import Trajectory
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.models.place import batch_for
from sightline.models.protocol import SketchModel
from sightline.sketch.batch import SketchBatch
from sightline.sketch.luck import seed_of
from sightline.sketch.sketch import Sketch

Layout = Float[np.ndarray, "_ 2"]
Start = Literal["scattered", "drawn"] | Sequence[Layout]
Progress = Callable[[int, int], None]

SCATTER = 0.1
AT_ONCE = 64
"""Drawings that are moved together."""


def recover(
    model: object,
    sketches: Sequence[Sketch],
    *,
    restarts: int = 1,
    scatter: float = SCATTER,
    seed: int = 0,
    descent: Descent | None = None,
    progress: Progress | None = None,
) -> list[Trajectory]:
    """Scatter the strokes and let them find a layout that the model takes for the drawing.

    The target is each drawing's own label, or the model's answer where it has none. Arguments and
    errors otherwise as in `invert`.
    """
    return invert(
        model,
        sketches,
        None,
        start="scattered",
        restarts=restarts,
        scatter=scatter,
        seed=seed,
        descent=descent,
        progress=progress,
    )


def transfer(
    model: object,
    sketches: Sequence[Sketch],
    labels: str | Sequence[str],
    *,
    restarts: int = 1,
    scatter: float = SCATTER,
    seed: int = 0,
    descent: Descent | None = None,
    progress: Progress | None = None,
) -> list[Trajectory]:
    """Start where the strokes were drawn and walk to another label. Arguments as in `invert`."""
    return invert(
        model,
        sketches,
        labels,
        start="drawn",
        restarts=restarts,
        scatter=scatter,
        seed=seed,
        descent=descent,
        progress=progress,
    )


def invert(
    model: object,
    sketches: Sequence[Sketch],
    labels: str | Sequence[str] | None,
    *,
    start: Start,
    restarts: int = 1,
    scatter: float = SCATTER,
    seed: int = 0,
    descent: Descent | None = None,
    batch: int = AT_ONCE,
    progress: Progress | None = None,
) -> list[Trajectory]:
    """Move the strokes of drawings, each as a whole, until a frozen model answers a label.

    Sketches x labels x restarts walk together. A model of stroke tokens embeds each shape once; a
    model of pictures is differentiated through the rasteriser.

    Args:
        model: a model of drawings, or a picture classifier.
        sketches: drawings.
        labels: one, or several to walk to from each drawing; None walks to its own label (the
            model's answer where the drawing has none).
        start: ``"scattered"`` puts the first points at N(0, scatter^2); ``"drawn"`` leaves them
            where they are, from the second restart on with that noise added; or the layouts
            themselves, one for each sketch.
        restarts: how many starts, each from its own luck.
        scatter: standard deviation of the noise, in canvas units.
        seed: of the noise, which depends on the drawing too, and on nothing else.
        descent: how to walk; `Descent.of` the model by default.
        batch: largest number of drawings moved together; the result does not depend on it.
        progress: called with steps done and steps in all.

    Returns:
        One trajectory for each sketch, label and restart, in that order.

    Raises:
        GameError: an unknown label, no drawing, a model whose answer has no gradient.

    Source:
        Qu et al., SketchXAI, CVPR 2023 (SLI): minimise the cross entropy over locations only.
        Differs: whole batches, shapes embedded once, and models of pictures.
    """
    model = as_model(model)
    descent = descent or Descent.of(model)
    if not sketches or restarts < 1 or batch < 1:
        raise GameError(
            f"{len(sketches)} sketches, {restarts} restarts, batch {batch}: at least 1 of each"
        )
    _check_start(start, sketches)
    with as_found(model):
        drawings = _Drawings.of(model, sketches)
        walks = list(
            _planned(drawings, labels, start, restarts=restarts, scatter=scatter, seed=seed)
        )
        ways: dict[int, Trajectory] = {}
        report = _Steps(progress, len(walks) * descent.steps)
        for some in _alike(walks, drawings, batch):
            chosen = [walks[i] for i in some]
            ways |= zip(some, _walk(model, drawings, chosen, descent, report), strict=True)
    return [ways[i] for i in range(len(walks))]


@dataclass(frozen=True, eq=False)
class _Drawings:
    """Prepared drawings as one batch, and what the model says to them as drawn."""

    sketches: list[Sketch]
    batch: SketchBatch
    answers: list[int]
    certainty: list[float]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, model: SketchModel, sketches: Sequence[Sketch]) -> _Drawings:
        prepared = [model.prepare(sketch) for sketch in sketches]
        batch = batch_for(model, prepared)
        with torch.no_grad():
            logits = [
                model(batch.select(index))
                for index in torch.arange(len(batch), device=batch.device).split(AT_ONCE)
            ]
        certainty, answers = torch.cat(logits).softmax(1).max(1)
        labels = tuple(model.labels) or tuple(str(i) for i in range(logits[0].shape[1]))
        return cls(prepared, batch, answers.tolist(), certainty.tolist(), labels)


@dataclass(frozen=True, eq=False)
class _Walk:
    """One drawing, one target, one start."""

    sketch: int
    target: int
    restart: int
    start: Float[Tensor, "strokes 2"]


def _planned(
    drawings: _Drawings,
    labels: str | Sequence[str] | None,
    start: Start,
    *,
    restarts: int,
    scatter: float,
    seed: int,
) -> Iterator[_Walk]:
    named = [labels] if isinstance(labels, str) else labels
    unknown = [label for label in named or () if label not in drawings.labels]
    if unknown:
        raise GameError(unknown_name("label", unknown[0], drawings.labels))
    for index, sketch in enumerate(drawings.sketches):
        own = sketch.label if sketch.label in drawings.labels else None
        targets = named or [own or drawings.labels[drawings.answers[index]]]
        drawn = np.array([stroke[0] for stroke in sketch.strokes])
        for target in targets:
            for restart in range(restarts):
                noise = scatter * _luck(sketch, seed, restart)
                if start == "scattered":
                    begin = noise
                else:
                    given = drawn if isinstance(start, str) else start[index]
                    begin = torch.from_numpy(given) + (noise if restart else 0)
                yield _Walk(index, drawings.labels.index(target), restart, begin)


def _check_start(start: Start, sketches: Sequence[Sketch]) -> None:
    if isinstance(start, str):
        if start not in ("scattered", "drawn"):
            raise GameError(unknown_name("start", start, ["scattered", "drawn"]))
        return
    given, wanted = [len(layout) for layout in start], [len(sketch) for sketch in sketches]
    if given != wanted:
        raise GameError(
            f"start holds layouts of {given} strokes, the sketches have {wanted}: give one array "
            "[strokes, 2] for each sketch"
        )


def _luck(sketch: Sketch, seed: int, restart: int) -> Float[Tensor, "strokes 2"]:
    """Standard normal noise, seeded by the drawing itself: other drawings do not change it."""
    own = seed_of(sketch, f"{seed}/{restart}")
    generator = torch.Generator().manual_seed(own)
    return torch.randn(len(sketch), 2, generator=generator, dtype=torch.float64)


def _alike(walks: list[_Walk], drawings: _Drawings, batch: int) -> Iterator[list[int]]:
    """Walks in batches of like numbers of strokes, so that attention has little to pad."""
    order = sorted(range(len(walks)), key=lambda i: len(drawings.sketches[walks[i].sketch]))
    for first in range(0, len(order), batch):
        yield order[first : first + batch]


@dataclass
class _Steps:
    """Steps done of all, told to whoever asked."""

    told: Progress | None
    total: int
    done: int = 0

    def add(self, steps: int) -> None:
        self.done += steps
        if self.told is not None:
            self.told(self.done, self.total)


def _walk(
    model: SketchModel,
    drawings: _Drawings,
    walks: list[_Walk],
    descent: Descent,
    report: _Steps,
) -> list[Trajectory]:
    batch = drawings.batch.select(
        torch.tensor([walk.sketch for walk in walks], device=drawings.batch.device)
    )
    answer = movable(model, batch, descent)
    owner, rows = batch.sketch_of_stroke, torch.arange(len(walks), device=batch.device)
    target = torch.tensor([walk.target for walk in walks], device=batch.device)
    location = torch.cat([walk.start for walk in walks]).to(batch.points)
    trace = []
    for step in range(descent.steps + 1):
        last = step == descent.steps
        with torch.set_grad_enabled(not last):
            location = location.detach().requires_grad_(not last)
            log_p = answer(location).log_softmax(1)
            trace.append((location.detach(), log_p.detach()))
            if not last:
                loss = -log_p[rows, target].sum()
                location = location.detach() - descent.moves(_slope(loss, location), owner, step)
                report.add(len(walks))
    return _trajectories(drawings, walks, batch, trace)


def _slope(loss: Tensor, location: Tensor) -> Float[Tensor, "strokes 2"]:
    if loss.requires_grad:
        slope = torch.autograd.grad(loss, location, allow_unused=True)[0]
        if slope is not None:
            return slope
    raise GameError(
        "location inversion walks along a gradient, and this model's answer carries none by the "
        "places of strokes; what needs no gradient: shapley, kernel_shap, lime, rise, anchors, "
        "occlusion"
    )


def _trajectories(
    drawings: _Drawings,
    walks: list[_Walk],
    batch: SketchBatch,
    trace: list[tuple[Tensor, Tensor]],
) -> list[Trajectory]:
    places = torch.stack([place for place, _ in trace]).double().cpu().numpy()
    odds = torch.stack([log_p for _, log_p in trace]).exp().double().cpu().numpy()
    ends = batch.sketch_offsets.tolist()
    ways = []
    for row, walk in enumerate(walks):
        original, own = drawings.answers[walk.sketch], odds[:, row]
        ways.append(
            Trajectory(
                sketch=drawings.sketches[walk.sketch],
                labels=drawings.labels,
                target=drawings.labels[walk.target],
                original=drawings.labels[original],
                drawn_probability=drawings.certainty[walk.sketch],
                restart=walk.restart,
                locations=places[:, ends[row] : ends[row + 1]].copy(),
                target_probability=own[:, walk.target].copy(),
                original_probability=own[:, original].copy(),
                answers=own.argmax(1),
                answer_probability=own.max(1),
            )
        )
    return ways
