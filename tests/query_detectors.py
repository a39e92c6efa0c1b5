"""Small detectors of transformers with random weights, made from their configs."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from sightline.image.photo import Photo

NAMES = ["cup", "duck", "kite", "lamp", "sock"]
KINDS = ("detr", "deformable", "rt_detr", "yolos")
SIZES = {
    "detr": {"shortest_edge": 64, "longest_edge": 100},
    "deformable": {"shortest_edge": 64, "longest_edge": 100},
    "rt_detr": {"height": 64, "width": 96},
    "yolos": {"shortest_edge": 64, "longest_edge": 100},
}
_WIDTHS = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]}
_DETR = {
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "num_queries": 12,
    "use_timm_backbone": False,
}


def query_detector(kind: str, seed: int = 0) -> nn.Module:
    """One of `KINDS`, in evaluation mode; weights large enough that scores differ."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _BUILDERS[kind]()
        for name, weight in module.named_parameters():
            if weight.dim() > 1:
                nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
            elif "bias" in name:
                nn.init.normal_(weight, std=0.3)
    return module.eval()


def _named() -> dict[str, dict]:
    return {
        "id2label": dict(enumerate(NAMES)),
        "label2id": {name: i for i, name in enumerate(NAMES)},
    }


def _resnet(*stages: str):
    from transformers import ResNetConfig

    return ResNetConfig(**_WIDTHS, layer_type="basic", out_features=list(stages))


def _detr() -> nn.Module:
    from transformers import DetrConfig, DetrForObjectDetection

    config = DetrConfig(**_DETR, **_named(), d_model=16, backbone_config=_resnet("stage4"))
    return DetrForObjectDetection(config)


def _deformable() -> nn.Module:
    from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection

    backbone = _resnet("stage2", "stage3", "stage4")
    config = DeformableDetrConfig(**_DETR, **_named(), d_model=32, backbone_config=backbone)
    return DeformableDetrForObjectDetection(config)


def _rt_detr() -> nn.Module:
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(
        **_WIDTHS, layer_type="basic", out_features=["stage2", "stage3", "stage4"]
    )
    config = RTDetrConfig(
        **_named(),
        backbone_config=backbone,
        num_queries=12,
        d_model=16,
        encoder_hidden_dim=16,
        encoder_in_channels=[12, 16, 20],
        decoder_in_channels=[16, 16, 16],
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_layers=1,
        decoder_layers=2,
        num_denoising=0,
    )
    return RTDetrForObjectDetection(config)


def _yolos() -> nn.Module:
    from transformers import YolosConfig, YolosForObjectDetection

    config = YolosConfig(
        **_named(),
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=[64, 96],
        patch_size=16,
        num_detection_tokens=12,
    )
    return YolosForObjectDetection(config)


_BUILDERS = {"detr": _detr, "deformable": _deformable, "rt_detr": _rt_detr, "yolos": _yolos}


def noise(height: int, width: int, seed: int = 0) -> Photo:
    """A photo of blocks of random colours."""
    luck = np.random.default_rng(seed)
    coarse = luck.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    pixels = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return Photo(np.ascontiguousarray(pixels), name=f"noise {seed}")
