"""A memory of coalitions: where many methods play one small game, each is computed once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.models.detector import Reply
from sightline.models.sketchxainet import StrokeTokens
from sightline.parts import Bound, Noise

MOST_REMEMBERED = 62
"""Parts whose coalitions have a number that fits 64 bits."""


class Remembered(Bound):
    """Parts bound to a model whose answers to whole coalitions are kept.

    What is asked in between, with gradients or with noise goes to the model as before.
    """

    def __init__(self, bound: Bound) -> None:
        self.bound, self.partial = bound, bound.partial
        self._answers: dict[int, Tensor] = {}

    def __call__(
        self,
        presence: Float[Tensor, "batch parts"],
        *,
        straight_through: bool = False,
        noise: Noise | None = None,
    ) -> Reply:
        """The model's output, from memory where it is known."""
        whole = bool(((presence == 0) | (presence == 1)).all())
        if noise is not None or presence.requires_grad or not whole:
            return self.bound(presence, straight_through=straight_through, noise=noise)
        bit = 2 ** torch.arange(presence.shape[1], device=presence.device)
        keys = (presence.long() * bit).sum(1).tolist()
        first = {key: row for row, key in enumerate(keys) if key not in self._answers}
        if first:
            fresh = self.bound(presence[list(first.values())])
            assert isinstance(fresh, Tensor)  # noqa: S101, a game remembers no detector
            self._answers |= zip(first, fresh, strict=True)
        return torch.stack([self._answers[key] for key in keys])

    @property
    def rows_at_once(self) -> int:
        """As bound."""
        return self.bound.rows_at_once

    def picture(self) -> Float[Tensor, "*size"] | None:
        """As bound."""
        return self.bound.picture()

    def see(self, pictures: Float[Tensor, pictures * size]) -> Reply:
        """As bound."""
        return self.bound.see(pictures)

    def stroke_tokens(self) -> StrokeTokens | None:
        """As bound."""
        return self.bound.stroke_tokens()
