"""The published checkpoints' layout of SketchXAINet's weights, both ways."""

from __future__ import annotations

import torch
from torch import Tensor

from sightline.errors import ModelError

State = dict[str, Tensor]

_RENAMED = {
    "location": "vit.embeddings.location_embeddings",
    "order": "vit.embeddings.order_embeddings",
    "shape.rnn": "vit.embeddings.stroke_embeddings",
    "norm": "vit.layernorm",
    "head": "vit.fc",
}
_RENAMED_IN_LAYER = {
    "norm_attention": "layernorm_before",
    "norm_mlp": "layernorm_after",
    "out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
_CLASS_TOKEN = "vit.embeddings.cls_token"  # noqa: S105, a weight's name
_QKV = ("query", "key", "value")
_UNUSED = (
    "vit.embeddings.patch_embeddings.",
    "vit.embeddings.position_embeddings",
    "vit.embeddings.mask_token",
    "classifier.",
)


def is_published(state: State) -> bool:
    """Whether weights are in the layout of the published checkpoints."""
    return _CLASS_TOKEN in state


def from_published(state: State) -> State:
    """Published layout -> `SketchXAINet.state_dict`; the weights that it never uses are left out.

    Raises:
        ModelError: a weight that no SketchXAINet has.
    """
    ours: State = {}
    for name, weight in state.items():
        if name.startswith(_UNUSED) or ".attention.attention." in name:
            continue
        ours[_our_name(name)] = weight.reshape(-1) if name == _CLASS_TOKEN else weight
    for layer in _layers(state, "vit.encoder.layer."):
        for kind in ("weight", "bias"):
            stem = f"vit.encoder.layer.{layer}.attention.attention"
            try:
                qkv = [state[f"{stem}.{part}.{kind}"] for part in _QKV]
            except KeyError as missing:
                raise ModelError(f"the weights lack {missing}: the file is incomplete") from None
            ours[f"layers.{layer}.qkv.{kind}"] = torch.cat(qkv)
    return ours


def as_published(state: State) -> State:
    """`SketchXAINet.state_dict` -> published layout, without the unused weights."""
    theirs: State = {}
    for name, weight in state.items():
        if ".qkv." in name:
            layer, kind = name.split(".")[1], name.rsplit(".", 1)[1]
            stem = f"vit.encoder.layer.{layer}.attention.attention"
            for part, rows in zip(_QKV, weight.chunk(3), strict=True):
                theirs[f"{stem}.{part}.{kind}"] = rows.contiguous()
        else:
            theirs[_their_name(name)] = weight[None, None] if name == "class_token" else weight
    return theirs


def _our_name(name: str) -> str:
    if name == _CLASS_TOKEN:
        return "class_token"
    stem, _, kind = name.rpartition(".")
    for ours, theirs in _RENAMED.items():
        if stem == theirs:
            return f"{ours}.{kind}"
    prefix = "vit.encoder.layer."
    if stem.startswith(prefix):
        layer, _, inner = stem[len(prefix) :].partition(".")
        for ours, theirs in _RENAMED_IN_LAYER.items():
            if inner == theirs:
                return f"layers.{layer}.{ours}.{kind}"
    raise ModelError(f"no SketchXAINet has a weight named {name!r}")


def _their_name(name: str) -> str:
    if name == "class_token":
        return _CLASS_TOKEN
    stem, _, kind = name.rpartition(".")
    if stem in _RENAMED:
        return f"{_RENAMED[stem]}.{kind}"
    _, layer, inner = stem.split(".", 2)
    return f"vit.encoder.layer.{layer}.{_RENAMED_IN_LAYER[inner]}.{kind}"


def _layers(state: State, prefix: str) -> list[str]:
    return sorted({n[len(prefix) :].split(".")[0] for n in state if n.startswith(prefix)}, key=int)
