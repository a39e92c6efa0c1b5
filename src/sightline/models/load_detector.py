"""One name, one detector: from a library, a file or a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models.detector import Detector

KNOWN = (
    "scene-ssd",
    "torchvision:NAME",
    "transformers:ORG/NAME",
    "onnx:FILE",
    "ssd-mobilenet:FOLDER",
    "ssd300-vgg16:WEIGHTS",
)
_OF_FOLDER = ("layers.json", "weights_u8.npz")


def load_detector(
    name: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    **settings: Any,
) -> Detector:
    """Load a detector, in evaluation mode, on the CPU.

    Args:
        name: one of

            - ``"scene-ssd"``: a small one that is shipped, for drawn scenes (or a folder of one);
            - ``"torchvision:NAME"``: e.g. ``ssd300_vgg16``, ``fcos_resnet50_fpn``,
              ``fasterrcnn_resnet50_fpn``; ``weights=FILE`` reads a file instead of torchvision's
              cache;
            - ``"transformers:FOLDER"`` or ``"transformers:ORG/NAME"``: DETR, Deformable DETR,
              RT-DETR, YOLOS ...; ``revision=`` of a hub repository;
            - ``"onnx:FILE"``: boxes only; needs ``labels``, takes the settings of `OnnxDetector`;
            - ``"ssd-mobilenet:FOLDER"``, or just a folder with layers.json and weights_u8.npz;
            - ``"ssd300-vgg16:WEIGHTS"``: torchvision's weights, without torchvision.
        labels: names of the columns of its scores, where the weights do not say.
        settings: as above; they go to the kind of detector that is named.

    Raises:
        ModelError: no such name, nothing there, a package that is missing, a setting that this
            kind does not take.

    Example:
        >>> load_detector("yolo.onnx")
        Traceback (most recent call last):
        ...
        sightline.errors.ModelError: unknown detector 'yolo.onnx'; did you mean 'onnx:yolo.onnx'?
    """
    text = os.fspath(name)
    kind, _, rest = text.partition(":")
    if Path(text).is_dir():
        kind, rest = _kind_of_folder(Path(text)), text
    if kind not in _LOADERS or not (rest or kind == "scene-ssd"):
        raise ModelError(_unknown(text, kind, rest))
    try:
        return _LOADERS[kind](rest, labels, settings)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ModelError(
            f"{kind} does not take the settings {', '.join(settings)} ({first_line(error)})"
        ) from error


def _unknown(text: str, kind: str, rest: str) -> str:
    if kind in _LOADERS and not rest:
        right = next((known for known in KNOWN if known.startswith(kind)), f"{kind}:FILE")
        return f"{text!r} names no model; write {right}"
    of_suffix = {".onnx": "onnx", ".pt": "ultralytics", ".pth": "ssd300-vgg16"}
    if Path(text).suffix in of_suffix:
        right = f"{of_suffix[Path(text).suffix]}:{text}"
        return f"unknown detector {text!r}; did you mean {right!r}?"
    return unknown_name("detector", text, KNOWN) + "; or a folder of an SSD-MobileNet"


def _kind_of_folder(folder: Path) -> str:
    if all((folder / file).is_file() for file in _OF_FOLDER):
        return "ssd-mobilenet"
    config = folder / "config.json"
    if config.is_file():
        return "scene-ssd" if _says_scene_ssd(config) else "transformers"
    raise ModelError(
        f"{folder} holds no detector: neither {' and '.join(_OF_FOLDER)} (SSD-MobileNet) nor "
        "config.json (transformers, scene-ssd)"
    )


def _says_scene_ssd(config: Path) -> bool:
    try:
        settings = json.loads(config.read_text())
    except ValueError:  # whoever reads it next says what is wrong with it
        return False
    return isinstance(settings, dict) and settings.get("kind") == "scene-ssd"


Loader = Callable[[str, Sequence[str] | None, dict[str, Any]], Detector]


def _scene_ssd(folder: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    from sightline.models.scene_ssd import load_scene_ssd

    return load_scene_ssd(folder or None, **_own_labels("scene-ssd", labels), **settings)


def _torchvision(name: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    from sightline.models.doors_torchvision import torchvision_detector

    return torchvision_detector(name, labels=labels, **settings)


def _transformers(name: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    from sightline.models.doors_transformers import load_transformers_detector

    return load_transformers_detector(name, labels=labels, **settings)


def _onnx(file: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    from sightline.models.black_box import OnnxDetector

    if labels is None:
        raise ModelError(f"{file} does not name its labels; give labels=[...], in their order")
    return OnnxDetector(file, labels=labels, **settings)


def _ultralytics(file: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    raise ModelError(
        f"{file} is a pickle, which can run code when it is opened, and sightline opens none: if "
        "you trust it, open it yourself and give the object: "
        "sl.UltralyticsDetector(ultralytics.YOLO(file)); or export it: onnx:FILE"
    )


def _ssd_mobilenet(folder: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    from sightline.models.ssd_quantised import load_ssd_mobilenet

    return load_ssd_mobilenet(folder, **_own_labels("ssd-mobilenet", labels), **settings)


def _ssd300_vgg16(file: str, labels: Sequence[str] | None, settings: dict[str, Any]) -> Detector:
    from sightline.models.ssd_vgg import load_ssd_vgg

    named = {} if labels is None else {"labels": labels}
    return load_ssd_vgg(file, **named, **settings)


def _own_labels(kind: str, labels: Sequence[str] | None) -> dict[str, Any]:
    """Nothing: these detectors bring their names along."""
    if labels is not None:
        raise ModelError(f"{kind} brings its own labels; leave labels out")
    return {}


_LOADERS: dict[str, Loader] = {
    "scene-ssd": _scene_ssd,
    "torchvision": _torchvision,
    "transformers": _transformers,
    "onnx": _onnx,
    "ultralytics": _ultralytics,
    "ssd-mobilenet": _ssd_mobilenet,
    "ssd300-vgg16": _ssd300_vgg16,
}
