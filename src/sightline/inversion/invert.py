"""Stroke location inversion: where would the strokes have to stand for another answer?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.errors import GameError, unknown_name
from sightline.inversion.trajectory import Trajectory
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.models.place import place
from sightline.models.protocol import PictureModel, SketchModel, StrokeModel
from sightline.models.sketchxainet import StrokeTokens
from sightline.parts.bound import see_softly
from sightline.sketch.batch import SketchBatch
from sightline.sketch.raster import Rasteriser
from sightline.sketch.sketch import Sketch

Layout = Float[np.ndarray, "_ 2"]
Start = Literal["scattered", "drawn"] | Sequence[Layout]
Progress = Callable[[int, int], None]

SCATTER = 0.1
AT_ONCE = 64
"""Drawings that are moved together."""


@dataclass(frozen=True)
class Descent:
    """How the strokes walk: the authors' settings.

    Args:
        steps: how many.
        rate: learning rate of the first step; it falls along a cosine to ``last_rate``.
        longest_step: the gradient of all strokes of a drawing together is shortened so that a
            step moves them by no more than this, in canvas units of [-1, 1].
        sharpness: for models that read pictures: beta, in 1 / pixels, of the sigmoid whose
            gradient stands for the picture's; the picture itself stays the model's own. A soft
            one feels a stroke from further away.

    Raises:
        GameError: no steps, or a rate, step or sharpness that is not above 0.

    Source:
        Qu et al., SketchXAI, CVPR 2023, and their program: SGD, 10 to 1e-5 over 100 steps, norm
        clipped to 0.5 / (rate + 1e-8).
    """

    steps: int = 100
    rate: float = 10.0
    last_rate: float = 1e-5
    longest_step: float = 0.5
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise GameError(f"steps is {self.steps}; it must be at least 1")
        for name in ("rate", "last_rate", "longest_step", "sharpness"):
            if not 0 < getattr(self, name) < math.inf:
                raise GameError(f"{name} is {getattr(self, name)}; it must be a number above 0")

    @classmethod
    def of(cls, model: object) -> Descent:
        """The authors' settings; smaller steps for a model of pictures, whose gradient is local.

        With the authors' steps the strokes of 30 drawings jumped off a 64-pixel canvas.
        """
        local = isinstance(model, PictureModel)
        return cls(rate=0.1, longest_step=0.1) if local else cls()

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        fallen = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.last_rate + (self.rate - self.last_rate) * fallen

    def moves(
        self, slope: Float[Tensor, "strokes 2"], owner: Int[Tensor, " strokes"], step: int
    ) -> Float[Tensor, "strokes 2"]:
        """What a step takes off the locations; ``owner`` says which drawing a stroke is of."""
        rate = self.rate_at(step)
        squares = (slope * slope).sum(1)
        drawings = int(owner[-1]) + 1
        norm = squares.new_zeros(drawings).index_add(0, owner, squares).sqrt()
        share = (self.longest_step / (rate + 1e-8) / (norm + 1e-6)).clamp(max=1)
        return rate * share[owner, None] * slope


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
        device, dtype = place(model)
        batch = SketchBatch.from_sketches(prepared, dtype=dtype).to(device)
        with torch.no_grad():
            logits = [
                model(batch.select(index))
                for index in torch.arange(len(batch), device=device).split(AT_ONCE)
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
    digest = hashlib.sha256(f"{seed}/{restart}/".encode() + sketch.points.tobytes()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
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


Movable = Callable[[Float[Tensor, "strokes 2"]], Float[Tensor, "sketches labels"]]


def movable(model: SketchModel, batch: SketchBatch, descent: Descent) -> Movable:
    """The model's answer to drawings as a function of where their strokes stand."""
    if isinstance(model, StrokeModel):
        with torch.no_grad():
            tokens: StrokeTokens = model.embed(batch)
        return lambda location: model.classify(tokens, location=location)
    first, owner = batch.first_points, batch.stroke_of_point

    def moved(location: Tensor) -> SketchBatch:
        return batch.with_points(batch.points + (location - first)[owner])

    if not isinstance(model, PictureModel):
        return lambda location: model(moved(location))
    soft = soft_rasteriser(model.rasteriser, descent.sharpness)
    return lambda location: see_softly(model, moved(location), soft)


def soft_rasteriser(own: Rasteriser, sharpness: float) -> Rasteriser:
    """The same lines with a sigmoid's edge, whose gradient reaches further than a line's own."""
    return replace(own, profile="sigmoid", beta=sharpness)
