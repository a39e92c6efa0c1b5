"""Loading generators: the shipped one, or a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from sightline.errors import ModelError, first_line, unknown_name
from sightline.models.generator import RasterGenerator
from sightline.models.saved import (
    CONFIG,
    WEIGHTS,
    fill_exactly,
    read_told,
    read_weights,
    write_saved,
)
from sightline.models.small_generator import SmallGenerator
from sightline.sketch.raster import Rasteriser

SHIPPED = ("pairs-generator",)
KIND = "small-generator"
_SIGHT = ("ink", "mean", "std", "epsilon")


def load_generator(name: str | os.PathLike[str]) -> RasterGenerator:
    """Load a generator, ready to use: evaluation mode, float32, on the CPU.

    Args:
        name: ``"pairs-generator"``, which is shipped, or a folder that `save_generator` wrote.

    Raises:
        ModelError: nothing there, or files that do not fit; the message says which.

    Example:
        >>> load_generator("pix2pix")
        Traceback (most recent call last):
        ...
        sightline.errors.ModelError: unknown generator 'pix2pix'; Known: pairs-generator; or ...
    """
    text = os.fspath(name)
    if text in SHIPPED:
        folder = Path(str(files("sightline") / "weights" / text))
    elif Path(text).is_dir():
        folder = Path(text)
    else:
        raise ModelError(
            unknown_name("generator", text, SHIPPED)
            + "; or a folder of save_generator. Your own network goes into sl.RasterGenerator"
        )
    generator = _built(read_told(folder / CONFIG, "generator"), folder / CONFIG)
    fill_exactly(generator.raster.module, read_weights(folder / WEIGHTS), folder, "generator")
    return generator.eval()


def save_generator(
    generator: RasterGenerator,
    folder: str | os.PathLike[str],
    *,
    card: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write ``config.json`` and ``model.safetensors`` as `load_generator` reads them.

    Args:
        generator: of a `SmallGenerator`.
        folder: made where it is not there.
        card: what to say of the training and its result, kept in the config.
        half: store float16.

    Raises:
        ModelError: of another module: `load_generator` could not make it.
    """
    module, raster = generator.raster.module, generator.raster
    if not isinstance(module, SmallGenerator):
        raise ModelError(
            f"cannot save a RasterGenerator of {type(module).__name__}: load_generator would not "
            "know how to make it; keep module.state_dict() with safetensors.torch.save_file"
        )
    config: dict[str, Any] = {"kind": KIND, "width": module.width}
    config |= {key: getattr(raster, key) for key in _SIGHT}
    config |= {"low": generator.low, "high": generator.high}
    config["rasteriser"] = asdict(raster.rasteriser)
    config["card"] = dict(card or {})
    write_saved(folder, config, module.state_dict(), half=half)


def _built(told: Mapping[str, Any], path: Path) -> RasterGenerator:
    if told.get("kind") != KIND:
        raise ModelError(f"{path} does not describe a {KIND}; write it with save_generator")
    try:
        module = SmallGenerator(width=told["width"])
        sight = {key: told[key] for key in (*_SIGHT, "low", "high")}
        rasteriser = Rasteriser(**told["rasteriser"])
        shown = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return RasterGenerator(shown, rasteriser=rasteriser, **sight)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ModelError(
            f"{path} does not describe a generator ({type(error).__name__}: "
            f"{first_line(error)}); write it with save_generator"
        ) from error
