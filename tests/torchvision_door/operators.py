"""Plain stand-ins for torchvision's compiled operators, where its build does not fit torch's.

torchvision's wheels link against one build of torch; beside another its operators are missing, and
importing it fails. The detectors need two of them, which are short: non-maximum suppression and
RoIAlign.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from sightline.image import boxes

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",  # asked for at the import
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
    "int pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)
_kept = []  # a library's operators go when it does


def stand_in_where_missing() -> None:
    """Import torchvision, with our operators where its own cannot be loaded."""
    if not _loads():
        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        library.impl("nms", _nms, "CompositeExplicitAutograd")
        library.impl("roi_align", roi_align, "CompositeImplicitAutograd")  # differentiable
        _kept.append(library)
        importlib.import_module("torchvision")
        for module in ("torchvision.extension", "torchvision.ops.roi_align"):
            sys.modules[module]._has_ops = lambda: True


def _loads() -> bool:
    folder = Path(find_spec("torchvision").origin).parent
    try:
        for file in folder.glob("_C*.so"):
            torch.ops.load_library(str(file))
    except (OSError, RuntimeError):
        return False
    return hasattr(torch.ops.torchvision, "nms")


def _nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return boxes.nms(dets, scores, overlap=iou_threshold)


def roi_align(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Means of bilinear samples, region by region.

    Source:
        He et al., "Mask R-CNN", ICCV 2017, section 3; borders as in torchvision's kernel.
    """
    shift = 0.5 if aligned else 0.0
    found = [input.new_zeros(0, input.shape[1], pooled_height, pooled_width)]
    for row in rois:
        picture = input[int(row[0])]
        x0, y0, x1, y1 = (row[1:] * spatial_scale - shift).tolist()
        width, height = x1 - x0, y1 - y0
        if not aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        y, rows = _samples(y0, height, pooled_height, sampling_ratio)
        x, columns = _samples(x0, width, pooled_width, sampling_ratio)
        values = _bilinear(picture, y, x)  # [channels, pooled * rows, pooled * columns]
        shape = (len(picture), pooled_height, rows, pooled_width, columns)
        found.append(values.reshape(shape).mean((2, 4))[None])
    return torch.cat(found)


def _samples(start: float, length: float, bins: int, ratio: int) -> tuple[Tensor, int]:
    each = ratio if ratio > 0 else max(1, -int(-length // bins))
    return start + (torch.arange(bins * each) + 0.5) * length / (bins * each), each


def _bilinear(picture: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Zero more than a pixel outside; the border's value up to there."""
    (low_y, high_y, near_y), (low_x, high_x, near_x) = (
        _neighbours(at, size) for at, size in zip((y, x), picture.shape[1:], strict=True)
    )
    near_y, near_x = near_y.to(picture)[:, None], near_x.to(picture)
    top = picture[:, low_y][:, :, low_x] * (1 - near_x) + picture[:, low_y][:, :, high_x] * near_x
    low = picture[:, high_y][:, :, low_x] * (1 - near_x) + picture[:, high_y][:, :, high_x] * near_x
    inside = ((y >= -1) & (y <= picture.shape[1]))[:, None] & (x >= -1) & (x <= picture.shape[2])
    return (top * (1 - near_y) + low * near_y) * inside


def _neighbours(at: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    at = at.clamp(0, size - 1)
    low = at.floor().long()
    return low, (low + 1).clamp(max=size - 1), at - low
