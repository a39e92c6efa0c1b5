"""Loading recognisers of drawings: shipped, from a folder or file, or from a hub."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models import saved
from sightline.models.published import as_published, from_published, is_published
from sightline.models.raster import RasterModel, SketchCNN, sketch_cnn
from sightline.models.sketchxainet import Padding, SketchXAINet, SketchXAINetConfig
from sightline.sketch.raster import Rasteriser

WEIGHTS, CONFIG = saved.WEIGHTS, saved.CONFIG
SHIPPED = ("sketchxainet-tiny", "sketch-cnn")


def load(
    name: str | os.PathLike[str],
    *,
    labels: tuple[str, ...] | None = None,
    padding: Padding | None = None,
    heads: int | None = None,
    revision: str | None = None,
) -> SketchXAINet | RasterModel:
    """Load a recogniser, ready to use: evaluation mode, float32, on the CPU.

    Args:
        name: a shipped model (``"sketchxainet-tiny"``, ``"sketch-cnn"``); a folder with
            ``config.json`` and ``model.safetensors``; a weights file (``.safetensors``, or
            ``.bin`` read with ``weights_only=True``); or ``"org/name"`` on the Hugging Face hub,
            which is downloaded once and cached.
        labels: names of the classes, where the weights come without.
        padding: ``"attended"`` or ``"zeroed"`` for the published checkpoints (the default where
            no config says otherwise is ``"attended"``).
        heads: attention heads, where no config says so (64 wide each by default).
        revision: of a hub repository.

    Raises:
        ModelError: nothing there, no network, weights that do not fit; the message says which.
    """
    weights, config = _find(name, revision)
    state = saved.read_weights(weights)
    settings = _read_config(config)
    if settings.get("kind") == "sketch-cnn":
        model: SketchXAINet | RasterModel = _sketch_cnn(state, settings, labels)
    else:
        if is_published(state):
            state = from_published(state)
        model = SketchXAINet(_config(state, settings, labels, padding, heads))
    _fill(model, state, weights)
    return model.eval()


def save(
    model: SketchXAINet | RasterModel, folder: str | os.PathLike[str], *, half: bool = False
) -> None:
    """Write ``config.json`` and ``model.safetensors`` as `load` reads them.

    SketchXAINet is written in the layout of the published checkpoints. ``half`` stores float16.

    Raises:
        ModelError: a `RasterModel` of a module that is no `SketchCNN`: `load` could not make it.
    """
    state: dict[str, Tensor] = model.state_dict()
    if isinstance(model, SketchXAINet):
        state, config = as_published(state), {"kind": "sketchxainet", **model.config.as_dict()}
    elif isinstance(model.module, SketchCNN):
        config = {"kind": "sketch-cnn", "labels": list(model.labels)}
        config |= {name: getattr(model, name) for name in _SIGHT}
        config["rasteriser"] = asdict(model.rasteriser)
    else:
        raise ModelError(
            f"cannot save a RasterModel of {type(model.module).__name__}: load would not know how "
            "to make it; keep module.state_dict() with torch.save"
        )
    saved.write_saved(folder, config, state, half=half)


def _find(name: str | os.PathLike[str], revision: str | None) -> tuple[Path, Path | None]:
    text = os.fspath(name)
    if text in SHIPPED:
        folder = Path(str(files("sightline") / "weights" / text))
        return folder / WEIGHTS, folder / CONFIG
    path = Path(text)
    if path.is_file():
        beside = path.parent / CONFIG
        return path, beside if beside.is_file() else None
    if path.is_dir():
        return _in_folder(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", text) and not text.startswith("."):
        return _from_hub(text, revision)
    raise ModelError(
        unknown_name("model", text, SHIPPED)
        + "; or give a folder, a weights file, or org/name on the hub"
    )


def _in_folder(folder: Path) -> tuple[Path, Path | None]:
    config = folder / CONFIG
    for file in (WEIGHTS, "pytorch_model.bin"):
        if (folder / file).is_file():
            return folder / file, config if config.is_file() else None
    raise ModelError(f"{folder} holds neither {WEIGHTS} nor pytorch_model.bin")


def _from_hub(name: str, revision: str | None) -> tuple[Path, Path | None]:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            name,
            revision=revision,
            allow_patterns=[WEIGHTS, "pytorch_model.bin", CONFIG],
        )
    except Exception as error:  # the hub raises many kinds; all mean the same to the user
        raise ModelError(
            f"{name} is not in the cache and could not be fetched from the hub "
            f"({type(error).__name__}: {first_line(error)}); check the name and the "
            f"network, or give a local folder. Shipped: {', '.join(SHIPPED)}"
        ) from error
    return _in_folder(Path(folder))


def _read_config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        settings = json.loads(path.read_text())
    except ValueError:
        raise ModelError(f"{path} is not JSON") from None
    return settings if isinstance(settings, dict) else {}


def _config(
    state: dict[str, Tensor],
    settings: dict[str, Any],
    labels: tuple[str, ...] | None,
    padding: Padding | None,
    heads: int | None,
) -> SketchXAINetConfig:
    """The shape of the net from the shapes of its weights; the rest from the config."""
    try:
        classes, hidden = state["head.weight"].shape
        read = {
            "hidden": hidden,
            "layers": len({n.split(".")[1] for n in state if n.startswith("layers.")}),
            "mlp": state["layers.0.up.weight"].shape[0],
            "max_strokes": state["order.weight"].shape[0],
            "cell": "lstm" if len(state["shape.rnn.bias_hh_l0"]) == 2 * hidden else "gru",
        }
    except KeyError as missing:
        raise ModelError(f"these are not the weights of a SketchXAINet: no {missing}") from None
    ours = settings.get("kind") == "sketchxainet"
    given = _labels(classes, settings, labels)
    defaults = {"padding": "none"} if ours else {"padding": "attended", "epsilon": None}
    known = {k: settings[k] for k in _READ_FROM_CONFIG if k in settings}
    given_heads = heads or settings.get("heads") or settings.get("num_attention_heads")
    head_count = given_heads or hidden // 64
    if not head_count or hidden % head_count:
        raise ModelError(f"{head_count} heads do not divide a width of {hidden}; give heads=...")
    merged = defaults | read | known | ({"padding": padding} if padding else {})
    return SketchXAINetConfig(labels=given, heads=head_count, **merged)


_READ_FROM_CONFIG = ("padding", "epsilon", "use_shape", "use_location", "use_order", "dropout")
_SIGHT = ("ink", "mean", "std", "epsilon")


def _sketch_cnn(
    state: dict[str, Tensor], settings: dict[str, Any], labels: tuple[str, ...] | None
) -> RasterModel:
    """The width and the number of classes from the weights, the labels from the config."""
    try:
        width = len(state["module.stem.0.weight"])
        classes = len(state["module.head.weight"])
    except KeyError as missing:
        raise ModelError(f"these are not the weights of a SketchCNN: no {missing}") from None
    model = sketch_cnn(_labels(classes, settings, labels), width=width)
    for name in _SIGHT:
        setattr(model, name, settings.get(name, getattr(model, name)))
    model.rasteriser = Rasteriser(**settings.get("rasteriser", asdict(model.rasteriser)))
    return model


def _labels(
    classes: int, settings: dict[str, Any], labels: tuple[str, ...] | None
) -> tuple[str, ...]:
    given = tuple(labels or settings.get("labels", ()) or (str(i) for i in range(classes)))
    if len(given) != classes:
        raise ModelError(f"the weights know {classes} classes, {len(given)} labels were given")
    return given


def _fill(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        )
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit the model: {error}") from None
