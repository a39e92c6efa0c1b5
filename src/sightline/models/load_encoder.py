"""One name, one encoder: shipped, a folder, a recogniser without its head, or CLIP."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models import load as recognisers
from sightline.models.encoder import Encoder, Measure
from sightline.models.headless import headless
from sightline.models.load_classifier import load_classifier
from sightline.models.photo_classifier import PictureClassifier
from sightline.models.raster import RasterModel
from sightline.models.saved import (
    CONFIG,
    WEIGHTS,
    fill_exactly,
    read_told,
    read_weights,
    write_saved,
)
from sightline.models.two_branch import SMALLEST, Branch, two_branch
from sightline.sketch.raster import Rasteriser

SHIPPED = ("pairs-encoder",)
KNOWN = (*SHIPPED, *recognisers.SHIPPED, "clip:ORG/NAME", "clip:FOLDER")
KIND = "two-branch"
RECOGNISERS = ("sketchxainet", "sketch-cnn")
CLASSIFIERS = ("small-resnet", "transformers", "timm")

_SHAPE = ("dimension", "size", "width")
_DRAWN = ("ink", "mean", "std", "epsilon")
_SEEN = ("mean", "std", "resampling")


def load_encoder(
    name: str | os.PathLike[str], *, measure: Measure | None = None, revision: str | None = None
) -> Encoder:
    """Load an encoder, ready to use: evaluation mode, float32, on the CPU.

    Args:
        name: one of

            - ``"pairs-encoder"``: shipped, of drawings and photos, trained on generated pairs;
            - a folder that `save_encoder` wrote;
            - ``"sketchxainet-tiny"``, ``"sketch-cnn"`` or a folder of `sightline.save`: a
              recogniser without its last layer, which reads drawings only;
            - a folder of `save_classifier`: without its last layer, which reads photos only;
            - ``"clip:ORG/NAME"`` or ``"clip:FOLDER"``: an image encoder of transformers
              (`clip_encoder`).
        measure: how vectors are compared, instead of the cosine, or of what the folder says.
        revision: of a hub repository.

    Raises:
        ModelError: no such name, nothing there, a config that describes no encoder, or weights that
            do not fit it; the message says which.

    Example:
        >>> load_encoder("sketch-cnn").sketch.labels
        ()
        >>> load_encoder("pairs-encodr")
        Traceback (most recent call last):
        ...
        sightline.errors.ModelError: unknown encoder 'pairs-encodr'; did you mean 'pairs-encoder'...
    """
    text = os.fspath(name)
    kind, _, rest = text.partition(":")
    if text in SHIPPED:
        encoder = _shipped(text)
    elif Path(text).is_dir():
        encoder = _folder(Path(text))
    elif text in recognisers.SHIPPED:
        encoder = Encoder(sketch=headless(recognisers.load(text)))
    elif kind == "clip" and rest:
        from sightline.models.clip_encoder import clip_encoder

        encoder = clip_encoder(rest, revision=revision)
    else:
        raise ModelError(
            unknown_name("encoder", text, KNOWN)
            + "; or a folder of save_encoder or of a recogniser. Your own networks go into "
            "sl.Encoder"
        )
    encoder.name = text
    if measure is not None:
        encoder = Encoder(
            sketch=encoder.sketch, photo=encoder.photo, measure=measure, name=encoder.name
        )
    return encoder.eval()


def save_encoder(
    encoder: Encoder,
    folder: str | os.PathLike[str],
    *,
    card: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write ``config.json`` and ``model.safetensors`` as `load_encoder` reads them.

    Args:
        encoder: that `two_branch` made.
        folder: made where it is not there.
        card: what to say of the training and its result, kept in the config.
        half: store float16.

    Raises:
        ModelError: another encoder, or one whose photos are no squares: `load_encoder` would not
            know how to make it.
    """
    drawn, seen = _branches(encoder)
    if seen.size[0] != seen.size[1] or seen.size[0] < SMALLEST:
        raise ModelError(
            f"cannot save an encoder that reads photos of {seen.size[0]} x {seen.size[1]} pixels: "
            f"load_encoder makes them square, of {SMALLEST} or more; keep encoder.state_dict() "
            "with safetensors.torch.save_file"
        )
    config: dict[str, Any] = {"kind": KIND, **vars(drawn.module)["settings"]}
    config |= {"size": seen.size[0], "measure": encoder.measure}
    config["sketch"] = {key: getattr(drawn, key) for key in _DRAWN}
    config["sketch"]["rasteriser"] = asdict(drawn.rasteriser)
    config["photo"] = {key: getattr(seen, key) for key in _SEEN}
    config["card"] = dict(card or {})
    write_saved(folder, config, encoder.state_dict(), half=half)


def _branches(encoder: Encoder) -> tuple[RasterModel, PictureClassifier]:
    """Those of a two-branch encoder."""
    drawn, seen = encoder.sketch, encoder.photo
    if isinstance(drawn, RasterModel) and isinstance(seen, PictureClassifier):
        one, other = drawn.module, seen.module
        alike = isinstance(one, Branch) and isinstance(other, Branch)
        if alike and vars(one)["settings"] == vars(other)["settings"]:
            return drawn, seen
    inside = [getattr(branch, "module", branch) for branch in (drawn, seen)]
    made = " and ".join("nothing" if m is None else type(m).__name__ for m in inside)
    raise ModelError(
        f"cannot save an encoder of {made}: load_encoder would not know how to make it, it knows "
        "those of two_branch; keep encoder.state_dict() with safetensors.torch.save_file"
    )


# --- folders --------------------------------------------------------------------------------------


def _shipped(name: str) -> Encoder:
    home = Path(str(files("sightline") / "weights" / name))
    if not (home / CONFIG).is_file():
        raise ModelError(
            f"{home} does not exist: the installation is incomplete; install sightline again, or "
            "train an encoder of your own: sightline train encoder"
        )
    return _folder(home)


def _folder(home: Path) -> Encoder:
    """Of `save_encoder`, or a saved recogniser."""
    bare = not (home / CONFIG).is_file() and (home / WEIGHTS).is_file()
    told = {} if bare else read_told(home / CONFIG, "encoder")
    kind = told.get("kind")
    if kind is None:
        return _of_unsaid_kind(home)
    if kind in RECOGNISERS:
        return Encoder(sketch=headless(recognisers.load(home)))
    if kind in CLASSIFIERS:
        return Encoder(photo=headless(load_classifier(home)))
    if kind != KIND:
        known = (KIND, *RECOGNISERS, *CLASSIFIERS)
        raise ModelError(f"{home / CONFIG}: " + unknown_name("kind of encoder", str(kind), known))
    state = read_weights(home / WEIGHTS)
    encoder = _built(told, home / CONFIG)
    fill_exactly(encoder, state, home, "encoder")
    return encoder


def _of_unsaid_kind(home: Path) -> Encoder:
    """The published recognisers say nothing of their kind; nor do models of transformers."""
    try:
        return Encoder(sketch=headless(recognisers.load(home)))
    except ModelError as error:
        raise ModelError(
            f"{home} is no recogniser ({error}) and no folder of save_encoder; a model of "
            f"transformers is named clip:{home}"
        ) from error


def _built(told: Mapping[str, Any], path: Path) -> Encoder:
    """With weights of no meaning yet."""
    try:
        shape = {key: operator.index(told[key]) for key in _SHAPE}
        encoder = two_branch(**shape, measure=told["measure"], seed=0)
        drawn, seen = _branches(encoder)
        # made anew, so that what is told is checked as what a user gives
        encoder.sketch = RasterModel(
            drawn.module,
            rasteriser=Rasteriser(**told["sketch"]["rasteriser"]),
            **{key: told["sketch"][key] for key in _DRAWN},
        )
        encoder.photo = PictureClassifier(
            seen.module, size=seen.size, **{key: told["photo"][key] for key in _SEEN}
        )
        return encoder
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path} does not describe an encoder ({type(error).__name__}: {first_line(error)}); "
            "write it with save_encoder"
        ) from error
