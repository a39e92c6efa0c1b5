"""The game: model x parts x targets, as one function from presence to values."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sightline.budget import Budget
from sightline.errors import GameError, SightlineError, first_line
from sightline.models.as_found import as_found
from sightline.models.door import as_model
from sightline.models.place import place
from sightline.parts import Bound, BoundPoints, Parts
from sightline.sketch.raster import Rasteriser
from sightline.targets import ClassScore

LARGEST_BATCH = 512


class Game:
    """What happens to scores as parts come and go: ``game(presence) -> values``.

    The model is checked once, with everything there and nothing there, before any method runs.
    It leaves every call as it came: mode, hooks, ``requires_grad``, ``.grad``, and torch's random
    state.

    Args:
        model: a model of drawings (`sightline.load`), or any picture classifier, which is then
            wrapped in a `RasterModel` of 224 pixels.
        parts: what comes and goes.
        targets: what is asked; the predicted class by default.
        batch: largest number of rows for one forward pass; halved when memory runs out.

    Raises:
        GameError: the three do not fit together; the message names mistake and cure.

    Example:
        >>> from sightline.models.raster import sketch_cnn
        >>> from sightline.parts import Strokes
        >>> from sightline.sketch.sketch import Sketch
        >>> cross = Sketch.from_strokes([[[0, 0], [9, 9]], [[0, 9], [9, 0]]])
        >>> game = Game(sketch_cnn(("cross", "ring")), Strokes(cross), ClassScore("cross"))
        >>> game(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).shape  # both strokes; the first alone
        torch.Size([2, 1])
    """

    def __init__(
        self,
        model: object,
        parts: Parts,
        targets: ClassScore | None = None,
        *,
        batch: int = LARGEST_BATCH,
    ) -> None:
        if batch < 1:
            raise GameError(f"batch is {batch}; it must be at least 1")
        self.model = as_model(model)
        _check_parts_and_targets(parts, targets)
        self.parts = parts
        self.batch = batch
        self.rows_at_once = batch
        with as_found(self.model):
            self._bound: Bound = parts.bind(self.model)
            both = torch.tensor([[1.0], [0.0]]).expand(2, len(parts)).to(*place(self.model))
            output = _checked(self._first_play(both), rows=2)
        self._targets = (targets or ClassScore()).bind(tuple(self.model.labels), output)
        self.evaluations = 2
        ends = self._targets.read(output).double().cpu()
        self.value, self.base = ends[0], ends[1]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, in the order of the values."""
        return self._targets.names

    @property
    def unit(self) -> str:
        """The unit of the values."""
        return self._targets.unit

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the model's class and weights: the same model, the same explanation."""
        digest = hashlib.sha256(type(self.model).__name__.encode())
        if isinstance(self.model, nn.Module):
            for name, value in self.model.state_dict().items():
                digest.update(name.encode())
                digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    def __call__(self, presence: Float[Tensor, "rows parts"]) -> Float[Tensor, "rows targets"]:
        """Values of many coalitions, float64 on the CPU, without gradients.

        Each row counts as one evaluation.
        """
        self._check_presence(presence)
        with as_found(self.model):
            return self._in_pieces(presence, self._values)

    def gradient(
        self, presence: Float[Tensor, "rows parts"], *, straight_through: bool = False
    ) -> Float[Tensor, "rows targets parts"]:
        """Derivative of each target by the presence of each part, float64 on the CPU.

        Args:
            presence: where to differentiate.
            straight_through: where ink saturates, let the gradient pass (SLA's convention).

        Raises:
            GameError: these parts come and go whole, or the model's answer carries no gradient.
        """
        if not self._bound.partial:
            raise GameError(
                f"{self.parts.kind} come and go whole, so there is no gradient by presence; "
                "use occlusion, kernel_shap, or p_sla (the gradient by coordinates)"
            )
        self._check_presence(presence)

        def slopes(rows: Tensor) -> Tensor:
            with torch.enable_grad():
                rows = rows.clone().requires_grad_()
                output = self._bound(rows, straight_through=straight_through)
                return _jacobian(self._targets.read(_checked(output, rows=len(rows))), rows)

        self._check_differentiable()
        with as_found(self.model):
            return self._in_pieces(presence, slopes)

    def coordinate_gradient(
        self, *, rasteriser: Rasteriser | None = None
    ) -> Float[Tensor, "targets points 2"]:
        """Derivative of each target by the coordinates of each point (normalised frame).

        Raises:
            GameError: the parts are not points.
        """
        bound = self._bound
        if not isinstance(bound, BoundPoints):
            raise GameError(
                f"a gradient by coordinates needs points, not {self.parts.kind}: "
                "use sl.Points(model.prepare(sketch))"
            )
        self._check_differentiable()
        with as_found(self.model), torch.enable_grad():
            points = bound.points.clone().requires_grad_()
            output = _checked(bound.moved(points, rasteriser=rasteriser), rows=1)
            values = self._targets.read(output)
            self.evaluations += 1
            slopes = [_slope(v, points) for v in values[0]]
        return torch.stack(slopes).double().cpu()

    def _check_differentiable(self) -> None:
        weights = self.model.parameters() if isinstance(self.model, nn.Module) else ()
        if any(weight.is_inference() for weight in weights):
            raise GameError(
                "the model was loaded under torch.inference_mode, so nothing can be "
                "differentiated; load it outside, or use shapley, kernel_shap, occlusion"
            )

    def _values(self, rows: Tensor) -> Tensor:
        return self._targets.read(_checked(self._play(rows), rows=len(rows)))

    def _play(self, rows: Tensor) -> Tensor:
        with torch.no_grad():
            return self._bound(rows)

    def _first_play(self, rows: Tensor) -> Tensor:
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

    def _in_pieces(self, presence: Tensor, play: Callable[[Tensor], Tensor]) -> Tensor:
        presence = presence.detach().to(*place(self.model))
        pieces, start = [], 0
        while start < len(presence):
            rows = presence[start : start + self.rows_at_once]
            try:
                pieces.append(play(rows).detach().double().cpu())
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

    @property
    def seconds_left(self) -> float | None:
        """Time left in the budget; None where it sets no time."""
        limit = self.budget.seconds if self.budget else None
        return None if limit is None else limit - self.seconds


def _check_parts_and_targets(parts: object, targets: object) -> None:
    if not isinstance(parts, Parts):
        raise GameError(
            f"a {type(parts).__name__} is no set of parts: give sl.Strokes(sketch) or "
            "sl.Points(sketch)"
        )
    if targets is not None and not isinstance(targets, ClassScore):
        raise GameError(f"{targets!r} is no target: give sl.ClassScore({targets!r})")


def _checked(output: object, *, rows: int) -> Tensor:
    if not isinstance(output, Tensor):
        raise GameError(
            f"the model answered a {type(output).__name__}, not a tensor [batch, classes]; wrap "
            "it in a module that returns its logits"
        )
    if output.ndim != 2 or not output.is_floating_point():
        raise GameError(
            f"the model answered {output.dtype} of shape {list(output.shape)}; expected logits "
            "[batch, classes]"
        )
    if len(output) != rows:
        raise GameError(
            f"the model answered {len(output)} rows for {rows} pictures; it must answer one row "
            "a picture"
        )
    if not bool(output.isfinite().all()):
        raise GameError(
            "the model answered NaN or infinity; check its weights, or its precision "
            f"({output.dtype})"
        )
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _jacobian(values: Tensor, rows: Tensor) -> Float[Tensor, "rows targets parts"]:
    return torch.stack([_slope(column, rows) for column in values.unbind(1)], 1)


def _slope(values: Tensor, by: Tensor) -> Tensor:
    if values.requires_grad:
        slope = torch.autograd.grad(values.sum(), by, retain_graph=True, allow_unused=True)[0]
        if slope is not None:
            return slope
    raise GameError(
        "the model's answer carries no gradient (it detaches, converts to numpy, or runs under "
        "no_grad inside); use a method that needs none: shapley, kernel_shap, occlusion"
    )


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)
