"""What a model answered, checked before anything is read from it."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.errors import GameError
from sightline.models.detector import Candidates, Detections, Reply


def checked_reply(output: object, *, rows: int, pictures: bool = False) -> Reply:
    """The answer to so many pictures or drawings; half types as float32.

    Args:
        output: what came.
        rows: how many were asked about.
        pictures: whether pictures are expected, not logits or vectors.

    Raises:
        GameError: what is no answer, of another number, or not finite.
    """
    if isinstance(output, Candidates):
        _check_numbers(output.scores, rows)
        return output
    if isinstance(output, list) and all(isinstance(each, Detections) for each in output):
        _check_count(len(output), rows)
        return output
    if not isinstance(output, Tensor):
        raise GameError(
            f"the model answered a {type(output).__name__}, not a tensor [batch, classes]; wrap "
            "it in a module that returns its logits"
        )
    if output.ndim != (4 if pictures else 2) or not output.is_floating_point():
        wanted = (
            "pictures [batch, colours, height, width]" if pictures else "logits [batch, classes]"
        )
        raise GameError(
            f"the model answered {output.dtype} of shape {list(output.shape)}; expected {wanted}"
        )
    _check_numbers(output, rows)
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _check_numbers(output: Tensor, rows: int) -> None:
    _check_count(len(output), rows)
    if not bool(output.isfinite().all()):
        raise GameError(
            "the model answered NaN or infinity; check its weights, or its precision "
            f"({output.dtype})"
        )


def _check_count(count: int, rows: int) -> None:
    if count != rows:
        raise GameError(
            f"the model answered {count} rows for {rows} pictures; it must answer one row a picture"
        )
