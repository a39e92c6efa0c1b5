"""A recogniser without its last layer: an encoder of what it recognises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sightline.errors import ModelError, unknown_name
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.raster import RasterModel
from sightline.models.sketchxainet import SketchXAINet

HEADS = ("head", "classifier", "fc", "classif", "last_linear")
"""What the last part of a classifier is called by us, transformers, torchvision and timm."""

Model = TypeVar("Model", bound=nn.Module)


def headless(model: Model, *, layer: str | None = None) -> Model:
    """The same model without its last layer: it answers with the vectors that the layer reads.

    Weights are shared, not copied: what trains or moves the one trains or moves the other, and
    they are switched between training and evaluation together. The given model answers as before.

    Args:
        model: a recogniser of drawings (`sightline.load`), a `RasterModel`, a classifier of photos
            (`PictureClassifier`), or any module with a last layer.
        layer: name of that layer inside the network, as ``named_modules()`` has it (``"fc"``); by
            default the last linear layer of its head.

    Returns:
        A model of the same kind, without labels, of which everything but classes can be asked.

    Raises:
        ModelError: no module, no such layer, none that is known to be the last, or a network whose
            layers cannot be left out.

    Example:
        >>> from sightline.models.raster import sketch_cnn
        >>> model = sketch_cnn(("cross", "ring"), width=4).eval()
        >>> vectors = headless(model)
        >>> vectors.see(torch.zeros(1, 64, 64)).shape, model.see(torch.zeros(1, 64, 64)).shape
        (torch.Size([1, 16]), torch.Size([1, 2]))
    """
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{type(model).__name__} has no layers to leave out; give a torch.nn.Module, or what "
            "sl.load(...) gives"
        )
    inside = isinstance(model, RasterModel | PictureClassifier)
    network = model.get_submodule("module" if inside else "")
    path = _last_of(network) if layer is None else _named(network, layer)
    twin = _without(model, [*(["module"] if inside else []), *path.split(".")])
    if isinstance(twin, SketchXAINet):
        twin.config = replace(twin.config, labels=())
    elif isinstance(getattr(twin, "labels", None), tuple):
        vars(twin)["labels"] = ()
    return twin


class LeftOut(nn.Module):
    """Stands where a layer was and passes on what the layer would have read."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.training = layer.training
        # not registered: its weights are no longer part of the network
        self.layer = (layer,)

    def forward(self, vectors: Tensor) -> Tensor:
        """The same."""
        return vectors

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LeftOut:
        # where the network moves, its layer moves along, so that the whole model stays usable
        self.layer[0]._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> LeftOut:
        """The layer is switched along with the network."""
        self.layer[0].train(mode)
        return super().train(mode)


def _without(module: Any, path: list[str]) -> Any:
    """A twin of a module, all parts shared but the modules on the way to the layer."""
    if not path:
        return LeftOut(module)
    if isinstance(module, torch.jit.ScriptModule) or "forward" in vars(module):
        raise ModelError(
            f"{type(module).__name__} is compiled or wrapped, so that no layer of it can be left "
            "out; give the plain module"
        )
    twin = copy.copy(module)
    # only the table of parts is its own: weights, buffers and hooks stay those of the model
    vars(twin)["_modules"] = dict(module._modules)
    first, *rest = path
    twin._modules[first] = _without(module._modules[first], rest)
    return twin


def _named(network: nn.Module, layer: str) -> str:
    known = [name for name, _ in network.named_modules() if name]
    if layer not in known:
        raise ModelError(unknown_name("layer", layer, known))
    return layer


def _last_of(network: nn.Module) -> str:
    """The last linear layer of the one part that is called a head."""
    heads = [name for name in network._modules if name in HEADS]
    inside = network.get_submodule(heads[0]).named_modules() if len(heads) == 1 else ()
    linear = [name for name, module in inside if isinstance(module, nn.Linear)]
    if linear:
        return ".".join([heads[0], linear[-1]] if linear[-1] else heads)
    known = [name for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    raise ModelError(
        f"which layer of {type(network).__name__} is the last? Give layer=..., "
        + (f"for example {known[-1]!r}" if known else "as named_modules() names it")
    )
