"""Where a model lives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sightline.sketch.batch import SketchBatch
from sightline.sketch.sketch import Sketch


def place(model: object) -> tuple[torch.device, torch.dtype]:
    """Where a model is, and the float type its inputs should have (half types take float32)."""
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weight is None:
        return torch.device("cpu"), torch.float32
    return weight.device, torch.float64 if weight.dtype == torch.float64 else torch.float32


def batch_for(model: object, sketches: Sequence[Sketch]) -> SketchBatch:
    """Prepared drawings, where a model is and in its type."""
    device, dtype = place(model)
    return SketchBatch.from_sketches(sketches, dtype=dtype).to(device)
