"""Small detectors of torchvision with random weights."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

ONE_STAGE = ("ssd", "ssdlite", "retinanet", "fcos")
TWO_STAGE = ("faster", "mask")
LOW = 0.05
ALL = 100_000  # candidates a level, so that nothing but suppression thins them out
_SMALL = {"num_classes": 5, "min_size": 64, "max_size": 100}


@cache
def made(kind: str) -> nn.Module:
    """A module in evaluation mode, made once; heads large enough that scores differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = _BUILDERS[kind]()
        heads = module.roi_heads if kind in TWO_STAGE else module.head
        if kind == "ssdlite":
            heads = module  # as it is made, every place of its maps looks alike
        for name, weight in heads.named_parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
            elif "bias" in name:
                nn.init.normal_(weight, std=0.3)
        _quieten(module, kind)
    return module.eval()


def _quieten(module: nn.Module, kind: str) -> None:
    """Offsets of boxes as small as trained ones."""
    for name, weight in module.named_parameters():
        if "regression_head" in name or "bbox_pred" in name:
            weight.data *= 0.5 if kind != "ssd" else 0.1
        elif kind == "ssd" and "classification_head" in name:
            weight.data *= 0.1  # conv4_3 is brought to a length of 20
        elif "cls_score" in name:
            weight.data *= 0.3  # no label far ahead of the others


def _fpn(**settings) -> nn.Module:
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    return resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, trainable_layers=5, **settings
    )


def _pyramid() -> nn.Module:
    from torchvision.ops.feature_pyramid_network import LastLevelP6P7

    return _fpn(returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))


def _ssd() -> nn.Module:
    from torchvision.models.detection import ssd300_vgg16

    return ssd300_vgg16(weights=None, weights_backbone=None, num_classes=5, score_thresh=LOW)


def _ssdlite() -> nn.Module:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    return ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=5, score_thresh=LOW
    )


def _retinanet() -> nn.Module:
    from torchvision.models.detection import RetinaNet

    return RetinaNet(_pyramid(), **_SMALL, score_thresh=LOW, topk_candidates=ALL)


def _fcos() -> nn.Module:
    from torchvision.models.detection import FCOS

    return FCOS(_pyramid(), **_SMALL, score_thresh=LOW, topk_candidates=ALL)


def _faster() -> nn.Module:
    from torchvision.models.detection import FasterRCNN

    return FasterRCNN(_fpn(), **_SMALL, box_score_thresh=LOW, rpn_post_nms_top_n_test=60)


def _mask() -> nn.Module:
    from torchvision.models.detection import MaskRCNN

    return MaskRCNN(_fpn(), **_SMALL, box_score_thresh=LOW, rpn_post_nms_top_n_test=30)


_BUILDERS = {
    "ssd": _ssd,
    "ssdlite": _ssdlite,
    "retinanet": _retinanet,
    "fcos": _fcos,
    "faster": _faster,
    "mask": _mask,
}
