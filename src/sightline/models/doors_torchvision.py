"""The door to torchvision's detectors; torchvision is imported only when it is used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models.saved import read_weights
from sightline.models.torchvision_dense import Family, TorchvisionDense
from sightline.models.torchvision_rcnn import TorchvisionRCNN

NEEDS = (
    "torchvision cannot be imported ({}); it is no part of sightline: pip install torchvision, in "
    "the version that goes with your torch"
)
_NO_EPSILON = (
    "keypointrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
)
"""Builders whose published weights were trained without an epsilon in batch normalisation."""


def as_torchvision_detector(
    module: nn.Module, *, labels: Sequence[str] | None = None
) -> TorchvisionDense | TorchvisionRCNN:
    """A detection module of torchvision as a detector that can be explained.

    Args:
        module: `SSD` (SSDlite too), `RetinaNet`, `FCOS`, `FasterRCNN`, `MaskRCNN` or
            `KeypointRCNN` of torchvision.models.detection. It is used, not copied.
        labels: names of the columns of its head, e.g. ``weights.meta["categories"]``; numbered by
            default.

    Raises:
        ModelError: another kind of module, or another number of labels than the head has columns.

    Example:
        ``as_torchvision_detector(fcos_resnet50_fpn(weights="DEFAULT"), labels=names)``
    """
    detection = _library().detection
    if isinstance(module, detection.generalized_rcnn.GeneralizedRCNN):
        return TorchvisionRCNN(module, labels)
    families: dict[Family, Any] = {
        "ssd": detection.ssd.SSD,
        "retinanet": detection.retinanet.RetinaNet,
        "fcos": detection.fcos.FCOS,
    }
    for family, kind in families.items():
        if isinstance(module, kind):
            return TorchvisionDense(module, family, labels)
    raise ModelError(
        f"{type(module).__name__} is no detection module of torchvision; expected SSD, RetinaNet, "
        "FCOS, FasterRCNN, MaskRCNN or KeypointRCNN. Any other detector goes through "
        "CallableDetector"
    )


def torchvision_detector(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
) -> TorchvisionDense | TorchvisionRCNN:
    """A detector by its name in torchvision, e.g. ``"ssd300_vgg16"``, with its weights.

    Args:
        name: of a builder in torchvision.models.detection.
        weights: a file of theirs (``.pth``, read with ``weights_only=True``, or ``.safetensors``);
            by default the ones that torchvision publishes, from its cache or downloaded into it.
        labels: of the weights; by default COCO's, as torchvision numbers them.

    Raises:
        ModelError: no torchvision, no such builder, no weights or weights that do not fit.
    """
    models = _library()
    known = models.list_models(module=models.detection)
    if name not in known:
        raise ModelError(unknown_name("torchvision detector", name, known))
    default = models.get_model_weights(name).DEFAULT
    names = tuple(labels) if labels is not None else tuple(default.meta["categories"])
    if weights is not None:
        module = _filled(models, name, Path(weights), len(names))
    else:
        try:
            module = models.get_model(name, weights=default, progress=False)
        except OSError as error:
            raise ModelError(
                f"the weights of {name} could not be fetched ({first_line(error)}); download "
                f"{default.url} where there is a network, and give the file as weights=..."
            ) from error
    return as_torchvision_detector(module.eval(), labels=names)


def _library() -> Any:
    try:
        import torchvision.models
    except (ImportError, RuntimeError) as error:  # a wheel that does not fit torch: RuntimeError
        raise ModelError(NEEDS.format(first_line(error))) from error
    return torchvision.models


def _filled(models: Any, name: str, weights: Path, columns: int) -> nn.Module:
    """The module with weights from a file."""
    if not weights.is_file():
        raise ModelError(
            f"no weights at {weights}; give a file that torchvision publishes for {name}"
        )
    module = models.get_model(name, weights=None, weights_backbone=None, num_classes=columns)
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    if name in _NO_EPSILON:
        for norm in norms:
            norm.eps = 0.0
    missing, surplus = module.load_state_dict(_fitting(module, weights), strict=False)
    # published ResNets are saved with frozen batch normalisation, which counts no batches
    lost = [key for key in missing if not key.endswith("num_batches_tracked")]
    if lost or surplus:
        raise ModelError(
            f"{weights} does not fit {name}: {len(lost)} weights are missing "
            f"({', '.join(lost[:3])}), {len(surplus)} are not known ({', '.join(surplus[:3])})"
        )
    return module


def _fitting(module: nn.Module, weights: Path) -> dict[str, Any]:
    """The weights of a file, if their shapes are the module's."""
    state, own = read_weights(weights), module.state_dict()
    for key, value in state.items():
        if key in own and own[key].shape != value.shape:
            raise ModelError(
                f"{weights} does not fit: {key} is {list(value.shape)}, expected "
                f"{list(own[key].shape)}; weights of other classes need labels=[...]"
            )
    return state
