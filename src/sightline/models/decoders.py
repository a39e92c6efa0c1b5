"""From the outputs of one picture to boxes: layouts in which detectors are exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from sightline.errors import ModelError
from sightline.image.boxes import from_centres

Decoder: TypeAlias = Callable[[Mapping[str, np.ndarray], tuple[int, int]], Any]
"""Outputs by name, height and width of the picture -> boxes xyxy in its pixels, scores, labels,
and distributions if known, before any threshold or suppression."""


def fastestdet_decode(
    outputs: Mapping[str, np.ndarray], size: tuple[int, int]
) -> dict[str, torch.Tensor]:
    """FastestDet: one box a cell, ``[1, 1 + 4 + labels, rows, columns]``.

    Convention:
        Channels: objectness (after the sigmoid), offsets x and y, width and height, labels (after
        the softmax). Centre = (cell + tanh(offset)) / cells; width and height are sigmoids; all of
        the picture. Score = objectness^0.6 x label^0.4.

    Raises:
        ModelError: outputs of another shape.

    Source:
        github.com/dog-qiuqiu/FastestDet, test.py and utils/tool.py (``handle_preds``), which keeps
        the best label of a cell; its suppression is at IoU 0.45 within a label.
    """
    answer = _only(outputs, "FastestDet", "[1, 5 + labels, rows, columns]", axes=4, least=6)
    rows, columns = answer.shape[1:]
    cells = answer.flatten(1).T  # [cells, channels]
    down, right = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    corner = torch.stack([right.flatten(), down.flatten()], 1)
    centre = (corner + cells[:, 1:3].tanh()) / torch.tensor([columns, rows])
    relative = from_centres(torch.cat([centre, cells[:, 3:5].sigmoid()], 1))
    every = cells[:, :1] ** 0.6 * cells[:, 5:] ** 0.4
    scores, labels = every.max(1)
    boxes = relative * torch.tensor([size[1], size[0]] * 2)
    return {"boxes": boxes, "scores": scores, "labels": labels, "distributions": every}


def yolo_decode(
    outputs: Mapping[str, np.ndarray], size: tuple[int, int]
) -> dict[str, torch.Tensor]:
    """YOLOv8 and later, as ultralytics exports them: ``[1, 4 + labels, candidates]``.

    Convention:
        Centre x, centre y, width and height in pixels of the picture, then the labels' scores. The
        best label of a candidate is kept.

    Raises:
        ModelError: outputs of another shape.

    Source:
        Ultralytics' export format, which has its own suppression only where it was exported with
        it. Their pictures are letterboxed with grey 114 / 255.
    """
    each = _only(outputs, "YOLO", "[1, 4 + labels, candidates]", axes=3, least=5).T
    scores, labels = each[:, 4:].max(1)
    return {
        "boxes": from_centres(each[:, :4]),
        "scores": scores,
        "labels": labels,
        "distributions": each[:, 4:],
    }


@dataclass(frozen=True)
class BoxOutputs:
    """Outputs that are boxes, scores and labels already, with or without a batch axis of one.

    Args:
        boxes: name of the output of xyxy boxes.
        scores: of their scores.
        labels: of their labels.
        relative: boxes are shares of the picture, in [0, 1], not pixels.
        first: the number of the first label: 1 where 0 is background and ``labels`` leaves it out.
    """

    boxes: str = "boxes"
    scores: str = "scores"
    labels: str = "labels"
    relative: bool = False
    first: int = 0

    def __call__(
        self, outputs: Mapping[str, np.ndarray], size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        """Decode one picture.

        Raises:
            ModelError: an output of another name.
        """
        wanted = (self.boxes, self.scores, self.labels)
        missing = [name for name in wanted if name not in outputs]
        if missing:
            raise ModelError(
                f"no output {', '.join(missing)}; there are {list(outputs)}: name them in "
                "BoxOutputs(boxes=..., scores=..., labels=...)"
            )
        boxes, scores, labels = (
            outputs[name][0] if outputs[name].ndim > axes else outputs[name]
            for name, axes in zip(wanted, (2, 1, 1), strict=True)
        )
        scale = np.array([size[1], size[0]] * 2) if self.relative else 1
        return {"boxes": boxes * scale, "scores": scores, "labels": labels - self.first}


def _only(
    outputs: Mapping[str, np.ndarray], whose: str, layout: str, *, axes: int, least: int
) -> torch.Tensor:
    """The one output, of one picture, without its batch axis."""
    answers = list(outputs.values())
    fits = len(answers) == 1 and answers[0].ndim == axes and len(answers[0]) == 1
    if not fits or answers[0].shape[1] < least:
        shapes = {name: list(value.shape) for name, value in outputs.items()}
        raise ModelError(
            f"outputs {shapes}; {whose} has one, {layout}: give the decoder of this network as "
            "decode=..."
        )
    return torch.from_numpy(answers[0][0])
