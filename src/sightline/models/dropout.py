"""Dropout whose luck is cheap on a CPU."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

BITS = 16  # the rate is met to within 2^-17


class Dropout(nn.Dropout):
    """`nn.Dropout` that draws four entries with one random number.

    On many CPUs torch draws a number in double precision for each entry; in a small transformer
    that takes longer than its layer norms. On a GPU it is torch's own.
    """

    def forward(self, input: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Each entry 0 with probability ``p`` while training, the others scaled by 1 / (1 - p)."""
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        count = input.numel()
        draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[:count].view(input.shape)  # evenly from -2^15 to 2^15 - 1
        dropped = bits < round(self.p * 2**BITS) - 2 ** (BITS - 1)
        return input.masked_fill(dropped, 0) * (1 / (1 - self.p))
