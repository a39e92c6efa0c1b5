"""One name, one classifier of photos: ours, a saved folder, transformers' or timm's."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.saved import (
    CONFIG,
    WEIGHTS,
    fill_exactly,
    read_told,
    read_weights,
    write_saved,
)
from sightline.models.small_resnet import SmallResNet, small_resnet
from sightline.models.transformers_classifier import (
    built_by_transformers,
    from_config,
    small_of_config,
    transformers_classifier,
)

KNOWN = (
    "small-resnet",
    "transformers:ORG/NAME",
    "transformers:FOLDER",
    "transformers-config:resnet",
    "transformers-config:vit",
    "timm:NAME",
)
_SIGHT = ("labels", "size", "mean", "std", "resampling")
Size = tuple[int, int] | None


@dataclass(frozen=True)
class _Asked:
    """What the caller of `load_classifier` wants, beside the name."""

    labels: tuple[str, ...] | None
    size: Size
    seed: int
    settings: dict[str, Any]

    def labels_for(self, name: str) -> tuple[str, ...]:
        """The labels that a classifier with random weights cannot be without."""
        if not self.labels:
            raise ModelError(f"{name} has random weights and knows no classes; give labels=[...]")
        return self.labels

    def only(self, name: str, *taken: str) -> None:
        """Refuse settings that are not taken."""
        other = sorted(self.settings.keys() - set(taken))
        if other:
            raise ModelError(f"{name} does not take the settings {', '.join(other)}")


def load_classifier(
    name: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    size: Size = None,
    seed: int = 0,
    **settings: Any,
) -> PictureClassifier:
    """Load a classifier of photos, in evaluation mode, float32, on the CPU.

    Args:
        name: one of

            - ``"small-resnet"``: ours, with random weights; needs ``labels``, takes the settings of
              `SmallResNet`;
            - a folder that `save_classifier` wrote;
            - ``"transformers:FOLDER"`` or ``"transformers:ORG/NAME"``: a classifier of
              transformers, with its processor's size and normalisation (the whole photo, averaged
              where it shrinks, whatever the processor's filter and crop); ``revision=`` of a hub
              repository. It gets a new head where the number of ``labels`` differs from its own;
            - ``"transformers-config:resnet"``, ``"transformers-config:vit"``: small ones with
              random weights; need ``labels``, take the settings of the config;
            - ``"timm:NAME"``: where timm is installed, with its weights of the hub (safetensors
              only), or with random ones: ``pretrained=False``. A new head as for transformers.
        labels: names of the classes, where the weights do not say, or other names for them.
        size: height and width of its pictures, where the network reads more than one.
        seed: of random weights; torch's random state is left as it was.
        settings: as above; they go to the kind of classifier that is named.

    Raises:
        ModelError: no such name, nothing there, a package that is missing, labels that do not fit,
            a setting that this kind does not take.

    Example:
        >>> load_classifier("small-resnet", labels=["duck", "cup"], size=(48, 48)).labels
        ('duck', 'cup')
        >>> load_classifier("resnet18")
        Traceback (most recent call last):
        ...
        sightline.errors.ModelError: unknown classifier 'resnet18'; did you mean 'small-resnet'? ...
    """
    text = os.fspath(name)
    kind, _, rest = text.partition(":")
    asked = _Asked(None if labels is None else tuple(labels), size, seed, settings)
    if Path(text).is_dir():
        kind, rest = "folder", text
    elif kind == "folder" or kind not in _LOADERS or bool(rest) == (kind == "small-resnet"):
        raise ModelError(unknown_name("classifier", text, KNOWN) + "; or a folder of a saved one")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # and not those of other devices
            return _LOADERS[kind](rest, asked).eval()
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ModelError(
            f"{text} does not take the settings {', '.join(settings)} ({first_line(error)})"
        ) from error


def save_classifier(model: PictureClassifier, folder: str | os.PathLike[str]) -> None:
    """Write ``config.json`` and ``model.safetensors`` as `load_classifier` reads them.

    The config tells how the module is built (for transformers its own config, for timm the name of
    the architecture), its labels, and what it reads; no network is needed to read it back.

    Raises:
        ModelError: a module that `load_classifier` could not build.
    """
    config = _told(model.module) | {name: getattr(model, name) for name in _SIGHT}
    write_saved(folder, config, model.module.state_dict())


def _told(module: Any) -> dict[str, Any]:
    """The kind of a module, and what `_BUILDERS` need to build it again."""
    if isinstance(module, SmallResNet):
        return {"kind": "small-resnet", "module": module.settings}
    if built_by_transformers(module):
        return {"kind": "transformers", "module": module.config.to_dict()}
    cfg = getattr(module, "pretrained_cfg", None)
    if isinstance(cfg, Mapping) and "architecture" in cfg:
        told = {"architecture": cfg["architecture"], "num_classes": module.num_classes}
        return {"kind": "timm", "module": told}
    raise ModelError(
        f"cannot save a PictureClassifier of {type(module).__name__}: load_classifier would not "
        "know how to make it; keep module.state_dict() with safetensors.torch.save_file"
    )


# --- folders ------------------------------------------------------------------------------------


def _folder(name: str, asked: _Asked) -> PictureClassifier:
    """One that `save_classifier` wrote, or transformers' ``save_pretrained``."""
    home = Path(name)
    told = read_told(home / CONFIG, "classifier")
    if "kind" not in told and "model_type" in told:
        return _transformers(name, asked)
    asked.only(name)
    if told.get("kind") not in _BUILDERS:
        raise ModelError(
            f"{home / CONFIG}: "
            + unknown_name("kind of classifier", str(told.get("kind")), _BUILDERS)
        )
    state = read_weights(home / WEIGHTS)
    try:
        sight = {key: told[key] for key in _SIGHT}
        known = tuple(str(label) for label in sight["labels"])
        module = _BUILDERS[told["kind"]](told["module"])
        sight["size"] = asked.size or tuple(int(side) for side in sight["size"])
        sight["labels"] = _renamed(known, asked.labels, name)
        fill_exactly(module, state, home, "classifier")
        return PictureClassifier(module, **sight)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelError) and str(home) in str(error):
            raise
        raise ModelError(
            f"{home / CONFIG} does not describe a classifier ({type(error).__name__}: "
            f"{first_line(error)}); write it with save_classifier"
        ) from error


def _renamed(known: tuple[str, ...], labels: tuple[str, ...] | None, name: str) -> tuple[str, ...]:
    if labels is not None and known and len(labels) != len(known):
        raise ModelError(
            f"{name} knows {len(known)} classes, {len(labels)} labels were given; leave labels "
            "out, or give one a class"
        )
    return known if labels is None else labels


def _small_of(told: Any) -> nn.Module:
    return SmallResNet(**told)


def _timm_of(told: Any) -> nn.Module:
    name, classes = told["architecture"], told["num_classes"]
    return _timm().create_model(name, pretrained=False, num_classes=classes)


# --- kinds --------------------------------------------------------------------------------------


def _transformers(name: str, asked: _Asked) -> PictureClassifier:
    asked.only(f"transformers:{name}", "revision")
    revision = asked.settings.get("revision")
    return transformers_classifier(name, labels=asked.labels, size=asked.size, revision=revision)


def _transformers_config(kind: str, asked: _Asked) -> PictureClassifier:
    labels = asked.labels_for(f"transformers-config:{kind}")
    return small_of_config(kind, labels, size=asked.size or (64, 64), **asked.settings)


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ModelError("this needs timm: pip install timm") from error


def _timm_named(name: str, asked: _Asked) -> PictureClassifier:
    timm, given = _timm(), {"pretrained": True} | asked.settings
    if asked.labels is not None:
        given["num_classes"] = len(asked.labels)
    if given["pretrained"]:
        given["pretrained_cfg_overlay"] = {"file": _timm_weights(timm, name)}
    try:
        module = timm.create_model(name, **given)
    except RuntimeError as error:
        raise ModelError(
            f"timm cannot make {name} ({first_line(error)}); timm.list_models() tells the names"
        ) from error
    cfg = module.pretrained_cfg
    return PictureClassifier(
        module,
        labels=asked.labels,
        size=asked.size or tuple(cfg["input_size"][1:]),
        mean=cfg["mean"],
        std=cfg["std"],
        resampling="antialiased",
    )


def _timm_weights(timm: Any, name: str) -> str:
    """The safetensors of an architecture from the hub; older timm would open pickles as well."""
    from huggingface_hub import hf_hub_download

    cfg = timm.get_pretrained_cfg(name)
    home = getattr(cfg, "hf_hub_id", None)
    if not home:
        raise ModelError(
            f"timm knows no weights of {name} on the hub; is the name right? Else pretrained=False"
        )
    try:
        return hf_hub_download(home, WEIGHTS)
    except Exception as error:  # the hub raises many kinds; all mean the same to the user
        raise ModelError(
            f"{WEIGHTS} of {home} is not in the cache and could not be fetched "
            f"({type(error).__name__}: {first_line(error)}); say pretrained=False for random "
            "weights"
        ) from error


def _small(_: str, asked: _Asked) -> PictureClassifier:
    labels = asked.labels_for("small-resnet")
    return small_resnet(labels, asked.size or (64, 64), seed=asked.seed, **asked.settings)


_BUILDERS: dict[str, Callable[[Any], nn.Module]] = {
    "small-resnet": _small_of,
    "transformers": from_config,
    "timm": _timm_of,
}
_LOADERS: dict[str, Callable[[str, _Asked], PictureClassifier]] = {
    "folder": _folder,
    "small-resnet": _small,
    "transformers": _transformers,
    "transformers-config": _transformers_config,
    "timm": _timm_named,
}
