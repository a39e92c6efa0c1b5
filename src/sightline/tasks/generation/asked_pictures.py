"""Whole pictures, their weighted sums and their slopes, asked of a generator through a game."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.errors import GameError, first_line
from sightline.game import Game
from sightline.models.detector import Reply
from sightline.models.generator import Generator
from sightline.targets.target import BoundTargets

NEED_NO_GRADIENT = "occlusion, shapley"
AT_ONCE = 64
"""Pictures that are kept together; only sums over them stay."""


@dataclass(frozen=True)
class WholePicture:
    """The target of a game that is asked for whole pictures: it checks that there are any."""

    def bind(self, model: object, known: Any, reply: Reply, subject: Any) -> BoundTargets:
        """One target, the mean of the picture.

        Raises:
            GameError: the model makes no pictures.
        """
        if not isinstance(model, Generator):
            raise GameError(
                f"{type(model).__name__} makes no pictures; give a generator: "
                "sl.RasterGenerator(module)"
            )
        return BoundTargets(("picture",), "brightness", _brightness)


def _brightness(reply: Reply) -> Tensor:
    assert isinstance(reply, Tensor)  # noqa: S101, a generator's reply is checked to be pictures
    return reply.mean((1, 2, 3))[:, None]


@dataclass(frozen=True, eq=False)
class Asked:
    """Pictures and their slopes, through a game: batched, counted, the generator left as found."""

    game: Game

    def pictures(
        self, presence: Float[Tensor, "rows strokes"]
    ) -> Float[Tensor, "rows colours height width"]:
        """Float64 on the CPU."""

        def play(rows: Tensor) -> Tensor:
            with torch.no_grad():
                return self._checked(self.game.bound(rows), len(rows))

        return self.game.inside(presence, play)

    def sums(
        self, presence: Float[Tensor, "rows strokes"], weights: Float[Tensor, "strokes rows"]
    ) -> Float[Tensor, "strokes colours height width"]:
        """Weighted sums of pictures, a few pictures at a time."""
        return _summed(presence, weights, self.pictures)

    def slopes(
        self,
        at: Float[Tensor, "rows strokes"],
        weights: Float[Tensor, " rows"],
        *,
        straight_through: bool = False,
    ) -> Float[Tensor, "strokes colours height width"]:
        """Derivatives of the picture by each stroke's presence, summed over several places."""
        self._check_slope()
        count = at.shape[1]

        def made(rows: Tensor) -> Tensor:
            reply = self.game.bound(rows, straight_through=straight_through)
            return self._checked(reply, len(rows))

        def play(both: Tensor) -> Tensor:
            where, directions = both.split(count, 1)
            return slopes_along(made, where, directions)

        # rows of a batch are strangers in evaluation mode: one pass serves many directions
        stroke = torch.eye(count, dtype=at.dtype).repeat(len(at), 1)
        both = torch.cat([at.repeat_interleave(count, 0), stroke], 1)
        shares = weights.repeat_interleave(count)[None] * stroke.T
        return _summed(both, shares, lambda rows: self.game.inside(rows, play))

    def _check_slope(self) -> None:
        """Forward mode would take a picture without gradient for one that does not change."""
        if not self.game.bound.partial:
            raise GameError(
                f"{type(self.game.model).__name__} knows strokes whole or not at all, so there is "
                f"no gradient by presence; use {NEED_NO_GRADIENT}"
            )
        self.game.check_differentiable()
        start = torch.ones(1, len(self.game.parts))

        def slope(rows: Tensor) -> Tensor:
            with torch.enable_grad():
                start = rows.clone().requires_grad_()
                total = self._checked(self.game.bound(start, straight_through=True), 1).sum()
                by = (start,) if total.requires_grad else ()
                if by and torch.autograd.grad(total, by, allow_unused=True)[0] is not None:
                    return rows
            raise GameError(
                "the generator's picture carries no gradient (it detaches, converts to numpy, or "
                f"runs under no_grad inside); use a method that needs none: {NEED_NO_GRADIENT}"
            )

        self.game.inside(start, slope)

    def _checked(self, reply: object, rows: int) -> Tensor:
        self.game.read(reply, rows=rows)
        assert isinstance(reply, Tensor)  # noqa: S101, the line above has made sure
        return reply


def _summed(rows: Tensor, weights: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``ask`` answers to rows, weighted and added as it comes, for each stroke."""
    total = torch.zeros(())
    for some, own in zip(rows.split(AT_ONCE), weights.split(AT_ONCE, dim=1), strict=True):
        pictures = ask(some)
        total = total + torch.einsum("sr,rchw->schw", own.to(pictures), pictures)
    return total


def slopes_along(
    made: Callable[[Tensor], Tensor],
    at: Float[Tensor, "rows strokes"],
    directions: Float[Tensor, "rows strokes"],
) -> Float[Tensor, "rows colours height width"]:
    """The derivative of each row's picture in the row's direction.

    Forward mode; where the network has a layer that torch knows no forward mode of, the derivative
    of the backward pass by its own input is taken, which is the same.
    """
    try:
        with warnings.catch_warnings():  # of torch, about torch, when it first loads forward mode
            warnings.filterwarnings("ignore", "`torch.jit.script` is", DeprecationWarning)
            return torch.func.jvp(made, (at.clone(),), (directions.clone(),))[1].detach()
    except (RuntimeError, NotImplementedError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return _twice_backward(made, at, directions)


def _twice_backward(made: Callable[[Tensor], Tensor], at: Tensor, directions: Tensor) -> Tensor:
    """J d, from the backward pass u -> J' u, which is linear in u: its own derivative by u."""
    with torch.enable_grad():
        start = at.clone().requires_grad_()
        pictures = made(start)
        upstream = torch.zeros_like(pictures, requires_grad=True)
        back = torch.autograd.grad(pictures, start, upstream, create_graph=True)[0]
        try:
            return torch.autograd.grad(back, upstream, directions)[0].detach()
        except RuntimeError as error:
            raise GameError(
                "the generator has a layer without forward-mode derivative that cannot be "
                f"differentiated twice either ({first_line(error)}); use a method that needs no "
                f"gradient: {NEED_NO_GRADIENT}"
            ) from error
