"""An SSD-MobileNetV1 from a folder of 8-bit arrays."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from sightline.errors import ModelError, first_line
from sightline.models.ssd_mobilenet import SameConv2d, SSDMobileNet

LAYERS, ARRAYS, LABELS = "layers.json", "weights_u8.npz", "labels.txt"
MOST_BYTES = 1 << 28  # unpacked; the network itself has 4 MB


def load_ssd_mobilenet(folder: str | os.PathLike[str]) -> SSDMobileNet:
    """The detector of a folder, in float32, evaluation mode, on the CPU.

    Convention:
        ``layers.json`` lists the convolutions in TensorFlow's names with stride, ``relu6`` and
        shape; ``weights_u8.npz`` holds of each ``<name>/w_u8`` (outputs, rows, columns, inputs;
        depthwise: 1, rows, columns, channels), ``<name>/w_q`` (scale, zero point) and ``<name>/b``;
        ``labels.txt`` has one name a column, background first. A weight is scale * (w_u8 - zero).

    Raises:
        ModelError: a file or an array is missing or has another shape than the network needs.
    """
    folder = Path(folder)
    layers, labels = _layers(folder), _labels(folder)
    depth = _depth(layers, folder)
    with torch.random.fork_rng(devices=[]):  # made with random weights, which are then replaced
        model = SSDMobileNet(labels, depth=depth)
    with _open(folder) as arrays:
        for name, convolution in _named(model):
            _check_layer(layers, name, convolution, folder)
            weight, bias = _weights(arrays, name, convolution, folder)
            convolution.load_state_dict({"weight": weight, "bias": bias})
    _swap_axes(model)
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def _named(model: SSDMobileNet) -> Iterator[tuple[str, SameConv2d]]:
    """Every convolution under its name in the files."""
    net, extra = "FeatureExtractor/MobilenetV1/MobilenetV1/", "FeatureExtractor/MobilenetV1/"
    yield f"{net}Conv2d_0/Relu6", model.stem
    for i, each in enumerate(_convolutions(model.depthwise), start=1):
        yield f"{net}Conv2d_{i}_depthwise/Relu6", each
    for i, each in enumerate(_convolutions(model.pointwise), start=1):
        yield f"{net}Conv2d_{i}_pointwise/Relu6", each
    for i, each in enumerate(_convolutions(model.narrow), start=2):
        width = each.out_channels
        yield f"{extra}Conv2d_13_pointwise_1_Conv2d_{i}_1x1_{width}/Relu6", each
    for i, each in enumerate(_convolutions(model.widen), start=2):
        width = each.out_channels
        yield f"{extra}Conv2d_13_pointwise_2_Conv2d_{i}_3x3_s2_{width}/Relu6", each
    for i, each in enumerate(_convolutions(model.box_heads)):
        yield f"BoxPredictor_{i}/BoxEncodingPredictor/BiasAdd", each
    for i, each in enumerate(_convolutions(model.class_heads)):
        yield f"BoxPredictor_{i}/ClassPredictor/BiasAdd", each


def _convolutions(modules: nn.ModuleList) -> Iterable[SameConv2d]:
    return cast("Iterable[SameConv2d]", modules)


def _swap_axes(model: SSDMobileNet) -> None:
    """The files' boxes are y, x, height, width; ours x, y, width, height."""
    with torch.no_grad():
        for head in model.box_heads:
            for values in head.parameters():
                by_anchor = values.unflatten(0, (-1, 4))
                values.copy_(by_anchor[:, [1, 0, 3, 2]].flatten(0, 1))


def _layers(folder: Path) -> dict[str, dict[str, Any]]:
    path = _existing(folder / LAYERS)
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        return {layer["name"]: layer for layer in listed}
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ModelError(
            f"{path} is no list of layers with a name each; copy the folder again"
        ) from None


def _labels(folder: Path) -> tuple[str, ...]:
    path = _existing(folder / LABELS)
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        raise ModelError(f"{path} is not text; copy the folder again") from None


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path} is missing; the folder needs {LAYERS}, {ARRAYS} and {LABELS}")
    return path


def _depth(layers: dict[str, dict[str, Any]], folder: Path) -> float:
    """Share of MobileNet's widths: its first convolution has 32 at 1."""
    first = layers.get("FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_0/Relu6", {})
    shape = first.get("w_shape_oihw")
    width = shape[0] if isinstance(shape, list) and shape else 0
    if not isinstance(width, int) or not 4 <= width <= 64:
        raise ModelError(
            f"{folder / LAYERS} says no width of the first convolution (Conv2d_0/Relu6, "
            "w_shape_oihw); expected 4 to 64, as in an SSD-MobileNetV1"
        )
    return width / 32


def _open(folder: Path) -> np.lib.npyio.NpzFile:
    path = _existing(folder / ARRAYS)
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
        if size > MOST_BYTES:
            raise ModelError(f"{path} unpacks to {size} bytes; at most {MOST_BYTES} are read")
        return np.load(path, allow_pickle=False)
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(
            f"{path} is no .npz file ({first_line(error)}); copy the folder again"
        ) from None


def _check_layer(
    layers: dict[str, dict[str, Any]], name: str, convolution: SameConv2d, folder: Path
) -> None:
    expected = {
        "stride": convolution.stride[0],
        "relu6": name.endswith("Relu6"),
        "w_shape_oihw": list(convolution.weight.shape),
    }
    layer = layers.get(name)
    if layer is None:
        raise ModelError(f"{folder / LAYERS} has no layer {name!r}; this is another network")
    for key, value in expected.items():
        if layer.get(key) != value:
            raise ModelError(
                f"{folder / LAYERS}: {name!r} has {key} {layer.get(key)}; expected {value} for "
                "these labels and widths"
            )


def _weights(
    arrays: np.lib.npyio.NpzFile, name: str, convolution: SameConv2d, folder: Path
) -> tuple[Float[Tensor, "outputs inputs rows columns"], Float[Tensor, " outputs"]]:
    shape = tuple(convolution.weight.shape)
    to_file = (1, 2, 3, 0) if convolution.groups > 1 else (0, 2, 3, 1)
    back = tuple(to_file.index(axis) for axis in range(4))
    stored = tuple(shape[axis] for axis in to_file)
    packed = _array(arrays, f"{name}/w_u8", stored, np.uint8, folder)
    scale, zero = _array(arrays, f"{name}/w_q", (2,), np.float32, folder)
    bias = _array(arrays, f"{name}/b", shape[:1], np.float32, folder)
    weight = scale * (packed.astype(np.float32) - zero)
    return torch.from_numpy(weight.transpose(back).copy()), torch.from_numpy(bias)


def _array(
    arrays: np.lib.npyio.NpzFile,
    name: str,
    shape: tuple[int, ...],
    kind: type[np.generic],
    folder: Path,
) -> Shaped[np.ndarray, ...]:
    try:
        found = arrays[name]
    except KeyError:
        raise ModelError(
            f"{folder / ARRAYS} has no array {name!r}; copy the folder again"
        ) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{folder / ARRAYS}: array {name!r} cannot be read ({first_line(error)}); nothing in "
            "it was executed"
        ) from None
    if found.shape != shape or found.dtype != kind:
        raise ModelError(
            f"{folder / ARRAYS}: {name!r} is {found.dtype} {list(found.shape)}; expected "
            f"{np.dtype(kind)} {list(shape)}"
        )
    return found
