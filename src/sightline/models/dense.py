"""Linear layers through the faster of torch's two matrix libraries."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def dense(
    x: Float[Tensor, "rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"],
) -> Float[Tensor, "rows outputs"]:
    """``x @ weight.T + bias``.

    On a CPU in float32 torch multiplies matrices with its BLAS but convolves with oneDNN, which
    knows wider instructions on some processors (twice the speed on AMD's). A linear layer is a
    convolution of one pixel, and in the channels-last layout neither side is copied. Only without
    gradients: the backward pass of a convolution gives the time back.
    """
    convolve = x.device.type == "cpu" and x.dtype == torch.float32 and len(x) > 0
    if not convolve or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    pixels = x.contiguous()[None, :, None, :].permute(0, 3, 1, 2)  # [1, inputs, rows, 1]
    answer = F.conv2d(pixels, weight[:, :, None, None], bias)
    return answer[0, :, :, 0].T


class Dense(nn.Linear):
    """`nn.Linear` computed by `dense`; the same parameters."""

    def forward(self, input: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """One row in, one row out."""
        return dense(input, self.weight, self.bias)
