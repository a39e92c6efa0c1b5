"""The game: model x parts x targets, as one function from presence to values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sightline.budget import Budget
from sightline.errors import GameError, SightlineError, first_line
from sightline.image.photo import Photo
from sightline.memory import MOST_REMEMBERED, Remembered
from sightline.models.as_found import as_found
from sightline.models.detector import Detector, PhotoModel, Reply
from sightline.models.door import as_model, as_photo_model
from sightline.models.encoder import Encoder
from sightline.models.fingerprint import fingerprint_of
from sightline.models.generator import Generator
from sightline.models.place import place
from sightline.models.protocol import SketchModel
from sightline.models.replies import checked_reply
from sightline.parts import (
    Bound,
    BoundPhoto,
    BoundPoints,
    Noise,
    Parts,
)
from sightline.sketch.raster import Rasteriser
from sightline.targets import ClassScore, Target, asked_targets, default_target, together
from sightline.targets.target import BoundTargets

NEED_NO_GRADIENT = "shapley, kernel_shap, lime, rise, anchors, occlusion"


class Game:
    """What happens to scores as parts come and go: ``game(presence) -> values``.

    The model is checked once, with everything there and nothing there, before any method runs.
    It leaves every call as it came: mode, hooks, ``requires_grad``, ``.grad``, and torch's random
    state.

    Args:
        model: a model of drawings (`sightline.load`), a detector (`sightline.load_detector`), an
            `Encoder`, whose branch for such parts plays, a `RasterGenerator`, or any picture
            classifier, which is then wrapped in a `RasterModel` or, where the parts are of a photo,
            a `PictureClassifier`, both of 224 pixels.
        parts: what comes and goes.
        targets: what is asked, one or several of one unit; by default the predicted class, or
            every box that a detector finds. An encoder or a generator has no default.
        batch: largest number of rows for one forward pass; halved when memory runs out. By default
            512 drawings or 32 photos.
        remember: keep the answers to whole coalitions, so that each is computed once however
            many methods ask; an evaluation is counted all the same.

    Raises:
        GameError: the three do not fit together; the message names mistake and cure.

    Example:
        >>> from sightline.models.raster import sketch_cnn
        >>> from sightline.parts import Strokes
        >>> from sightline.sketch.sketch import Sketch
        >>> from sightline.targets import ClassScore
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> game = Game(sketch_cnn(("cross", "ring")), Strokes(cross), ClassScore("cross"))
        >>> game(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).shape  # both strokes; the first alone
        torch.Size([2, 1])
    """

    def __init__(
        self,
        model: object,
        parts: Parts,
        targets: Target | Sequence[Target] | None = None,
        *,
        batch: int | None = None,
        remember: bool = False,
    ) -> None:
        if batch is not None and batch < 1:
            raise GameError(f"batch is {batch}; it must be at least 1")
        asked = asked_targets(parts, targets)
        if not asked or any(isinstance(target, ClassScore) for target in asked):
            _check_classes(model)
        self.model = _as_model(model, parts)
        self.parts = parts
        self.seen_inside: dict[object, Any] = {}
        """What methods saw inside the model on the whole input, so that they share one pass."""
        with as_found(self.model):
            bound = parts.bind(self.model)
            can = remember and len(parts) <= MOST_REMEMBERED
            can &= not isinstance(self.model, Detector)
            self._bound: Bound = Remembered(bound) if can else bound
            self.batch = self.rows_at_once = batch or bound.rows_at_once
            both = torch.tensor([[1.0], [0.0]]).expand(2, len(parts)).to(*place(self.model))
            output = self._checked(self._first_play(both), rows=2)
            asked = asked or [default_target(self.model, parts)]
        labels = tuple(self.model.labels)
        self._targets = together(
            [target.bind(self.model, labels, output, parts.subject) for target in asked]
        )
        self.evaluations = 2
        ends = self._targets.read(output).double().cpu()
        self.value, self.base = ends[0], ends[1]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, in the order of the values."""
        return self._targets.names

    @property
    def resolved(self) -> BoundTargets:
        """The targets as resolved here: the predicted class is that of this whole input.

        With them another game asks the very same about a changed input.
        """
        return self._targets

    @property
    def classes(self) -> tuple[int, ...]:
        """Index of each target's class, as `answers` counts them."""
        return self._targets.classes

    @property
    def candidates(self) -> tuple[int, ...]:
        """Candidate of a dense head behind each target; none for other targets."""
        return self._targets.candidates

    @property
    def boxes(self) -> Float[Tensor, "targets 4"] | None:
        """Box of each target, xyxy in pixels of the photo; None for other targets."""
        return self._targets.boxes

    @property
    def unit(self) -> str:
        """The unit of the values."""
        return self._targets.unit

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the model's class and weights: the same model, the same explanation."""
        return fingerprint_of(self.model)

    def __call__(self, presence: Float[Tensor, "rows parts"]) -> Float[Tensor, "rows targets"]:
        """Values of many coalitions, float64 on the CPU, without gradients.

        Each row counts as one evaluation.
        """
        self._check_presence(presence)
        with as_found(self.model):
            return self._in_pieces(presence, self._values)

    def answers(self, presence: Float[Tensor, "rows parts"]) -> Int[Tensor, " rows"]:
        """Index of the class that the model gives each coalition: the first of the highest.

        Each row counts as one evaluation.
        """
        self._check_presence(presence)

        def first(rows: Tensor) -> Tensor:
            answer = self._checked(self._play(rows), rows=len(rows))
            if not isinstance(answer, Tensor):
                raise GameError(
                    f"{type(self.model).__name__} finds boxes and names no class; use "
                    + self.without_gradient
                )
            if not self.classes:
                raise GameError(
                    f"{self.targets[0]!r} is asked in {self.unit}, and is no class that could be "
                    "answered; use " + self.without_gradient
                )
            return answer.argmax(1)

        with as_found(self.model):
            return self._in_pieces(presence, first).long()

    def gradient(
        self,
        presence: Float[Tensor, "rows parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Float[Tensor, "rows targets parts"]:
        """Derivative of each target by the presence of each part, float64 on the CPU.

        Args:
            presence: where to differentiate.
            straight_through: where ink saturates, let the gradient pass (SLA's convention).
            noise: on what the network reads, with a seed for each row.

        Raises:
            GameError: these parts come and go whole, or the model's answer carries no gradient.
        """
        if not self._bound.partial:
            move = isinstance(self.bound, BoundPoints) and isinstance(self.model, nn.Module)
            raise GameError(
                f"{self.parts.kind} come and go whole, so there is no gradient by presence; use "
                + ("p_sla (the gradient by coordinates), or " if move else "")
                + self.without_gradient
            )
        self._check_presence(presence)
        if noise is not None and len(noise.seeds) != len(presence):
            raise GameError(f"noise has {len(noise.seeds)} seeds for {len(presence)} rows")

        def slopes(rows: Tensor, seeds: Tensor | None = None) -> Tensor:
            drawn = None if noise is None or seeds is None else replace(noise, seeds=seeds)
            with torch.enable_grad():
                rows = rows.clone().requires_grad_()
                output = self._bound(rows, straight_through=straight_through, noise=drawn)
                return _jacobian(self.read(output, rows=len(rows)), rows)

        self.check_differentiable()
        with as_found(self.model):
            return self._in_pieces(presence, slopes, *([] if noise is None else [noise.seeds]))

    def coordinate_gradient(
        self, *, rasteriser: Rasteriser | None = None
    ) -> Float[Tensor, "targets points 2"]:
        """Derivative of each target by the coordinates of each point (normalised frame).

        Raises:
            GameError: the parts are not points.
        """
        bound = self.bound
        if not isinstance(bound, BoundPoints):
            drawn = not isinstance(self.parts.subject, Photo)
            raise GameError(
                f"a gradient by coordinates needs points, not {self.parts.kind}: use "
                + ("sl.Points(model.prepare(sketch)); or " if drawn else "")
                + self.without_gradient
            )
        self.check_differentiable()
        with as_found(self.model), torch.enable_grad():
            points = bound.points.clone().requires_grad_()
            values = self.read(bound.moved(points, rasteriser=rasteriser), rows=1)
            self.evaluations += 1
            slopes = [_slope(v, points) for v in values[0]]
        return torch.stack(slopes).double().cpu()

    def inside(
        self, rows: Float[Tensor, "rows ..."], play: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "rows ..."]:
        """``play`` of many rows, for methods that look inside the model.

        Batched, counted and cleaned up as a call of the game is.
        """
        with as_found(self.model):
            return self._in_pieces(rows, play)

    def read(self, output: object, *, rows: int) -> Float[Tensor, "rows targets"]:
        """The targets in what the model answered, checked; gradients stay."""
        return self._targets.read(self._checked(output, rows=rows))

    @property
    def without_gradient(self) -> str:
        """Methods for this game that need no gradient, for messages."""
        names = NEED_NO_GRADIENT.split(", ")
        if not self.classes:
            names.remove("anchors")
        if isinstance(self.bound, BoundPhoto):
            names.insert(4, "d_rise")
        return ", ".join(names)

    @property
    def bound(self) -> Bound:
        """The parts as this model sees them, without the memory of answers."""
        return self._bound.bound if isinstance(self._bound, Remembered) else self._bound

    def check_differentiable(self) -> None:
        """Refuse a model whose weights torch will not differentiate by.

        Raises:
            GameError: it was loaded under torch.inference_mode.
        """
        weights = self.model.parameters() if isinstance(self.model, nn.Module) else ()
        if any(weight.is_inference() for weight in weights):
            raise GameError(
                "the model was loaded under torch.inference_mode, so nothing can be "
                f"differentiated; load it outside, or use {self.without_gradient}"
            )

    def _values(self, rows: Tensor) -> Tensor:
        return self.read(self._play(rows), rows=len(rows))

    def _checked(self, output: object, *, rows: int) -> Reply:
        return checked_reply(output, rows=rows, pictures=isinstance(self.model, Generator))

    def _play(self, rows: Tensor) -> Reply:
        with torch.no_grad():
            return self._bound(rows)

    def _first_play(self, rows: Tensor) -> Reply:
        """A failure here is a model that does not fit; later ones are passed on as they are."""
        try:
            return self._play(rows)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            if isinstance(error, SightlineError) or _out_of_memory(error):
                raise
            device, dtype = place(self.model)
            raise GameError(
                f"the model failed on these {self.parts.kind} ({type(error).__name__}: "
                f"{first_line(error)}); check the size and number of channels it takes, "
                f"that all its weights are on one device ({device} here) and of one type ({dtype})"
            ) from error

    def _in_pieces(
        self, presence: Tensor, play: Callable[..., Tensor], *alongside: Tensor
    ) -> Tensor:
        """What ``play`` makes of the rows, and of what goes ``alongside``, a row each."""
        presence = presence.detach().to(*place(self.model))
        pieces, start = [], 0
        while start < len(presence):
            here = slice(start, start + self.rows_at_once)
            rows = presence[here]
            try:
                played = play(rows, *(a[here] for a in alongside))
                pieces.append(played.detach().double().cpu())
            except RuntimeError as error:
                if not _out_of_memory(error) or len(rows) == 1:
                    raise
                self.rows_at_once = len(rows) // 2
                continue
            start += len(rows)
            self.evaluations += len(rows)
        return torch.cat(pieces)

    def _check_presence(self, presence: Tensor) -> None:
        if not isinstance(presence, Tensor):
            raise GameError(
                f"presence is a {type(presence).__name__}; give a tensor: torch.as_tensor(presence)"
            )
        if presence.ndim != 2 or presence.shape[1] != len(self.parts) or not len(presence):
            raise GameError(
                f"presence has shape {list(presence.shape)}; expected [rows, {len(self.parts)}], "
                f"one column for each of the {self.parts.kind}"
            )
        if not bool(((presence >= 0) & (presence <= 1)).all()):
            raise GameError("presence must lie in [0, 1]: 1 is there, 0 is absent")
        if not self._bound.partial and not bool(((presence == 0) | (presence == 1)).all()):
            raise GameError(f"{self.parts.kind} come and go whole: presence must be 0 or 1")


class Meter:
    """Evaluations and seconds that one method spends, against its budget."""

    def __init__(self, game: Game, budget: Budget | None = None) -> None:
        self.game, self.budget = game, budget
        self._evaluations = game.evaluations
        self._started = time.monotonic()

    @property
    def evaluations(self) -> int:
        """Rows asked of the model so far."""
        return self.game.evaluations - self._evaluations

    @property
    def seconds(self) -> float:
        """Time so far."""
        return time.monotonic() - self._started

    def charge(self, seconds: float) -> None:
        """Time that another method spent on what this one used too."""
        self._started -= seconds

    @property
    def seconds_left(self) -> float | None:
        """Time left in the budget; None where it sets no time."""
        limit = self.budget.seconds if self.budget else None
        return None if limit is None else limit - self.seconds


def _as_model(model: object, parts: Parts) -> SketchModel | PhotoModel | Detector:
    if isinstance(model, Encoder):
        return model.branch(parts.subject)
    return as_photo_model(model) if isinstance(parts.subject, Photo) else as_model(model)


def _check_classes(model: object) -> None:
    """What has no classes cannot be asked about one, nor about the predicted one."""
    if isinstance(model, Encoder):
        raise GameError(
            "an encoder answers vectors and has no classes: ask "
            "sl.Similarity(encoder.encode([photo]))"
        )
    if isinstance(model, Generator):
        raise GameError("a generator answers pictures and has no classes: ask sl.Region(mask)")


def _jacobian(values: Tensor, rows: Tensor) -> Float[Tensor, "rows targets parts"]:
    return torch.stack([_slope(column, rows) for column in values.unbind(1)], 1)


def _slope(values: Tensor, by: Tensor) -> Tensor:
    if values.requires_grad:
        slope = torch.autograd.grad(values.sum(), by, retain_graph=True, allow_unused=True)[0]
        if slope is not None:
            return slope
    raise GameError(
        "the model's answer carries no gradient (it detaches, converts to numpy, or runs under "
        f"no_grad inside); use a method that needs none: {NEED_NO_GRADIENT}"
    )


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
