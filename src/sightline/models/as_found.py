"""The user's model leaves every call as it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn


@contextmanager
def as_found(model: object) -> Iterator[None]:
    """Evaluation mode without gradients on weights; everything is put back, also on failure.

    Puts back each module's mode, each weight's ``requires_grad`` and ``.grad``, buffers, and
    torch's random state; gradient mode and inference mode are left as the caller has them.
    """
    if not isinstance(model, nn.Module):
        with torch.random.fork_rng(devices=[]):
            yield
        return
    modes = [(module, module.training) for module in model.modules()]
    # a weight made under torch.inference_mode cannot be differentiated, nor set to be
    changeable = (p for p in model.parameters() if not p.is_inference())
    weights = [(p, p.requires_grad, p.grad) for p in changeable]
    devices = {p.device for p, _, _ in weights if p.device.type == "cuda"}
    kept = [(b, b.detach().clone()) for b in model.buffers()]
    inference = torch.is_inference_mode_enabled()
    with torch.random.fork_rng(devices=sorted(d.index or 0 for d in devices)):
        try:
            model.eval()
            for weight, _, _ in weights:
                weight.requires_grad_(False)
            with torch.inference_mode(False) if inference else nullcontext():
                yield
        finally:
            for module, training in modes:
                module.training = training
            for weight, needs, grad in weights:
                weight.requires_grad_(needs)
                weight.grad = grad
            with torch.no_grad():
                for buffer, value in kept:
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)
